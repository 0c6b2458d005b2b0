// Matrix products and convolutions.
//
// A convolution is a product of a matrix of windows and the kernel (ops/conv.py), and the windows are never written out:
// whoever loads a tile of the left matrix gathers it from the images. So one product serves for all, with
//
//     Left, Right    how to read four neighbouring numbers of a matrix: `line(i)` remembers what belongs to row i of the
//                    left (column i of the right), `four(line, k, v)` reads
//     Store          where number (i, j) of the result goes
//
// Sums over a long k are split over blocks (grid.z), which write partial sums; `add_up` adds them in a fixed order, so
// that two runs give the same bits. Sizes are ints, places in memory are not.

typedef long long place;

// Reading

// Four numbers: at once where they lie in one 16-byte word.
template <class real>
__device__ __forceinline__ void read_four(const real* p, real* v) {
    if (sizeof(real) == 4 && (wide)p % 16 == 0) {
        float4 read = *(const float4*)p;
        v[0] = read.x, v[1] = read.y, v[2] = read.z, v[3] = read.w;
    } else {
#pragma unroll
        for (int q = 0; q < 4; q++) v[q] = p[q];
    }
}

// The same from shared memory, where they always do.
__device__ __forceinline__ void read_shared(const float* p, float* v) {
    float4 read = *(const float4*)p;
    v[0] = read.x, v[1] = read.y, v[2] = read.z, v[3] = read.w;
}
__device__ __forceinline__ void read_shared(const double* p, double* v) {
    double2 first = *(const double2*)p, second = *(const double2*)(p + 2);
    v[0] = first.x, v[1] = first.y, v[2] = second.x, v[3] = second.y;
}

// `count` numbers that follow each other, and zeros.
template <class real>
__device__ __forceinline__ void read_some(const real* p, int count, real* v) {
    if (count >= 4) return read_four(p, v);
#pragma unroll
    for (int q = 0; q < 4; q++) v[q] = q < count ? p[q] : (real)0;
}

// An ordinary matrix, of `lines` × `depth`. Four numbers follow each other along k, or along lines.
template <class real, bool ALONG_K>
struct Matrix {
    static const bool along_k = ALONG_K;
    const real* p;
    place stride;  // of the axis that is not contiguous
    int lines, depth;

    struct Line {
        const real* p;
        int left;  // lines from here on
    };
    __device__ __forceinline__ Line line(int i) const { return {p + i * (ALONG_K ? stride : 1), lines - i}; }
    __device__ __forceinline__ void four(const Line& line, int k, int end, real* v) const {
        int count = line.left <= 0 || k >= end ? 0 : ALONG_K ? end - k : line.left;
        read_some(line.p + (ALONG_K ? k : k * stride), count, v);
    }
};

// A convolution: images (n, h, w, c), results (n, ho, wo, f), kernels (kh, kw, c, f), strides, padding above and left.
struct Geometry {
    int n, h, w, c, ho, wo, f, kh, kw, sh, sw, top, left;
};

// Row (n, i, j), column (di, dj, c): the number that tap (di, dj) meets at pixel (i, j), 0 in the padding.
template <class real>
struct Windows {
    static const bool along_k = true;
    const real* x;
    Geometry g;

    struct Line {
        const real* image;
        int i, j;
    };
    __device__ __forceinline__ Line line(int row) const {
        int pixel = row % (g.ho * g.wo), image = row / (g.ho * g.wo);
        if (image >= g.n) return {nullptr, 0, 0};
        return {x + (place)image * g.h * g.w * g.c, pixel / g.wo * g.sh - g.top, pixel % g.wo * g.sw - g.left};
    }
    __device__ __forceinline__ void four(const Line& line, int k, int end, real* v) const {
        int tap = k / g.c, c = k % g.c;
        if (c + 4 <= g.c) return read_some(at(line, tap, c), k < end && inside(line, tap) ? 4 : 0, v);
#pragma unroll
        for (int q = 0; q < 4; q++, c + 1 < g.c ? c++ : (tap++, c = 0))
            v[q] = k + q < end && inside(line, tap) ? *at(line, tap, c) : (real)0;
    }
    __device__ __forceinline__ bool inside(const Line& line, int tap) const {
        int i = line.i + tap / g.kw, j = line.j + tap % g.kw;
        return line.image && 0 <= i && i < g.h && 0 <= j && j < g.w;
    }
    __device__ __forceinline__ const real* at(const Line& line, int tap, int c) const {
        return line.image + ((place)(line.i + tap / g.kw) * g.w + line.j + tap % g.kw) * g.c + c;
    }
};

// The same numbers with the window's as lines and the pixels along k.
template <class real>
struct WindowsTurned {
    static const bool along_k = false;
    Windows<real> windows;

    typedef int Line;
    __device__ __forceinline__ Line line(int k) const { return k; }
    __device__ __forceinline__ void four(const Line& line, int pixel, int end, real* v) const {
        if (pixel < end)
            windows.four(windows.line(pixel), line, windows.g.kh * windows.g.kw * windows.g.c, v);
        else
            v[0] = v[1] = v[2] = v[3] = 0;
    }
};

// The transposed convolution, for pixels (i, j) = (a + s·i', b + s·j') of one phase (a, b): only the taps of one phase
// meet results, which they do at every i', so this is a stride-1 convolution of the results with every s-th tap.
template <class real>
struct Phase {
    Geometry g;
    int a, b, rows, columns, first_i, first_j, taps_i, taps_j, begin_i, begin_j;

    __device__ __forceinline__ Phase(const Geometry& g, int number) : g(g), a(number / g.sw), b(number % g.sw) {
        rows = (g.h - a + g.sh - 1) / g.sh, columns = (g.w - b + g.sw - 1) / g.sw;
        first_i = (a + g.top) % g.sh, first_j = (b + g.left) % g.sw;
        taps_i = g.kh > first_i ? (g.kh - first_i + g.sh - 1) / g.sh : 0;
        taps_j = g.kw > first_j ? (g.kw - first_j + g.sw - 1) / g.sw : 0;
        begin_i = (a + g.top) / g.sh, begin_j = (b + g.left) / g.sw;
    }
    __device__ __forceinline__ int m() const { return g.n * rows * columns; }
    __device__ __forceinline__ int k() const { return taps_i * taps_j * g.f; }
};

// Row (n, i', j'), column (tap, f): the number of the result that a tap brings to a pixel.
template <class real>
struct Brought {
    static const bool along_k = true;
    const real* d;
    Phase<real> phase;

    struct Line {
        const real* image;
        int i, j;
    };
    __device__ __forceinline__ Line line(int row) const {
        int pixels = phase.rows * phase.columns;
        if (row >= phase.m()) return {nullptr, 0, 0};
        return {d + (place)(row / pixels) * phase.g.ho * phase.g.wo * phase.g.f,
                row % pixels / phase.columns + phase.begin_i, row % pixels % phase.columns + phase.begin_j};
    }
    __device__ __forceinline__ void four(const Line& line, int k, int end, real* v) const {
        int tap = k / phase.g.f, f = k % phase.g.f;
        if (f + 4 <= phase.g.f) return read_some(at(line, tap, f), k < end && inside(line, tap) ? 4 : 0, v);
#pragma unroll
        for (int q = 0; q < 4; q++, f + 1 < phase.g.f ? f++ : (tap++, f = 0))
            v[q] = k + q < end && inside(line, tap) ? *at(line, tap, f) : (real)0;
    }
    __device__ __forceinline__ bool inside(const Line& line, int tap) const {
        int i = line.i - tap / phase.taps_j, j = line.j - tap % phase.taps_j;
        return line.image && 0 <= i && i < phase.g.ho && 0 <= j && j < phase.g.wo;
    }
    __device__ __forceinline__ const real* at(const Line& line, int tap, int f) const {
        int i = line.i - tap / phase.taps_j, j = line.j - tap % phase.taps_j;
        return line.image + ((place)i * phase.g.wo + j) * phase.g.f + f;
    }
};

// Column c, k = (tap, f): the weights of the taps of a phase.
template <class real>
struct Taps {
    static const bool along_k = true;
    const real* w;
    Phase<real> phase;

    typedef int Line;
    __device__ __forceinline__ Line line(int c) const { return c; }
    __device__ __forceinline__ void four(const Line& c, int k, int end, real* v) const {
        int tap = k / phase.g.f, f = k % phase.g.f;
        if (f + 4 <= phase.g.f) return read_some(at(c, tap, f), c < phase.g.c && k < end ? 4 : 0, v);
#pragma unroll
        for (int q = 0; q < 4; q++, f + 1 < phase.g.f ? f++ : (tap++, f = 0))
            v[q] = c < phase.g.c && k + q < end ? *at(c, tap, f) : (real)0;
    }
    __device__ __forceinline__ const real* at(int c, int tap, int f) const {
        int di = phase.first_i + tap / phase.taps_j * phase.g.sh, dj = phase.first_j + tap % phase.taps_j * phase.g.sw;
        return w + ((place)(di * phase.g.kw + dj) * phase.g.c + c) * phase.g.f + f;
    }
};

// Writing

// What happens to a sum of row (n, i, j) and column f before it is stored: y = relu(sum + bias[f]), laid out by
// depth-to-space: column (factor·a + b)·C + c of pixel (i, j) is column c of pixel (factor·i + a, factor·j + b).
// Of an ordinary product, i and j are 0 and n is the row.
template <class real>
struct Epilogue {
    real* y;
    const real* bias;  // or null
    int relu, factor, ho, wo, f;

    __device__ __forceinline__ void operator()(int row, int column, real sum) const {
        if (bias) sum += bias[column];
        if (relu && sum < 0) sum = 0;  // a NaN stays one
        if (factor == 1) {
            y[(place)row * f + column] = sum;
            return;
        }
        int c = f / (factor * factor), n = row / (ho * wo), i = row / wo % ho, j = row % wo;
        int a = column / c / factor, b = column / c % factor;
        y[(((place)n * ho + i) * factor + a) * wo * f / factor + ((place)j * factor + b) * c + column % c] = sum;
    }
};

// Partial sums, one after the other, or the result itself where there is only one.
template <class real>
struct Partial {
    real* y;
    int n;

    __device__ __forceinline__ void operator()(int row, int column, real sum) const { y[(place)row * n + column] = sum; }
};

// Pixels of one phase.
template <class real>
struct Pixels {
    real* x;
    Phase<real> phase;

    __device__ __forceinline__ void operator()(int row, int c, real sum) const {
        int pixels = phase.rows * phase.columns, n = row / pixels, i = row % pixels / phase.columns;
        int j = row % pixels % phase.columns, s = phase.g.sh, t = phase.g.sw;
        x[(((place)n * phase.g.h + phase.a + s * i) * phase.g.w + phase.b + t * j) * phase.g.c + c] = sum;
    }
};

// The product

// SIZE × SIZE numbers of a block's tile, by 256 threads that make SIZE/16 × SIZE/16 each. Two slices of K numbers of
// both matrices lie in shared memory: one is multiplied while the next is read.
template <class real, int SIZE, class Left, class Right, class Store>
__device__ __forceinline__ void product(
    const Left& left, const Right& right, const Store& store, int m, int n, int begin, int end
) {
    constexpr int K = 8, EACH = SIZE / 16, FOURS = SIZE * K / 4, PAD = 4;
    alignas(16) __shared__ real a[2][K][SIZE + PAD];
    alignas(16) __shared__ real b[2][K][SIZE + PAD];
    const int thread = threadIdx.x, tx = thread % 16, ty = thread / 16;
    const int top = blockIdx.x * SIZE, side = blockIdx.y * SIZE;

    // Which four numbers of a slice a thread reads: line and k of the first. With 64 lines, half of the threads do.
    const bool reads = thread < FOURS;
    const int a_line = Left::along_k ? thread / (K / 4) : thread % (SIZE / 4) * 4;
    const int a_k = Left::along_k ? thread % (K / 4) * 4 : thread / (SIZE / 4);
    const int b_line = Right::along_k ? thread / (K / 4) : thread % (SIZE / 4) * 4;
    const int b_k = Right::along_k ? thread % (K / 4) * 4 : thread / (SIZE / 4);
    const typename Left::Line of_a = left.line(top + a_line);
    const typename Right::Line of_b = right.line(side + b_line);

    real next_a[4], next_b[4], sums[EACH][EACH] = {};
    auto fetch = [&](int k) {
        if (!reads) return;
        left.four(of_a, k + a_k, end, next_a);
        right.four(of_b, k + b_k, end, next_b);
    };
    auto put = [&](int slice) {
        if (!reads) return;
#pragma unroll
        for (int q = 0; q < 4; q++) {
            a[slice][Left::along_k ? a_k + q : a_k][Left::along_k ? a_line : a_line + q] = next_a[q];
            b[slice][Right::along_k ? b_k + q : b_k][Right::along_k ? b_line : b_line + q] = next_b[q];
        }
    };

    // A thread's rows and columns come in fours, SIZE/2 apart if there are eight.
    auto spread = [](int t, int q) { return q / 4 * (SIZE / 2) + t * 4 + q % 4; };
    if (begin < end) {
        fetch(begin);
        put(0);
    }
    __syncthreads();
    for (int k = begin, slice = 0; k < end; k += K, slice ^= 1) {
        if (k + K < end) fetch(k + K);
#pragma unroll
        for (int step = 0; step < K; step++) {
            real rows[EACH], columns[EACH];
#pragma unroll
            for (int q = 0; q < EACH; q += 4) {
                read_shared(&a[slice][step][spread(ty, q)], rows + q);
                read_shared(&b[slice][step][spread(tx, q)], columns + q);
            }
#pragma unroll
            for (int p = 0; p < EACH; p++)
#pragma unroll
                for (int q = 0; q < EACH; q++) sums[p][q] += rows[p] * columns[q];
        }
        if (k + K < end) put(slice ^ 1);
        __syncthreads();
    }
#pragma unroll
    for (int p = 0; p < EACH; p++)
#pragma unroll
        for (int q = 0; q < EACH; q++) {
            int row = top + spread(ty, p), column = side + spread(tx, q);
            if (row < m && column < n) store(row, column, sums[p][q]);
        }
}

// The share of split z in 0 … depth, in whole slices.
struct Share {
    int begin, end;
    __device__ __forceinline__ Share(int depth, int z, int splits) {
        int slices = (depth + 7) / 8;
        begin = (int)((place)slices * z / splits) * 8;
        end = min(depth, (int)((place)slices * (z + 1) / splits) * 8);
    }
};

// Entry points. `y` is where the result goes, or, with more than one split, where partial sums do.

#define GEOMETRY int n, int h, int w, int c, int ho, int wo, int f, int kh, int kw, int sh, int sw, int top, int left
#define GIVEN Geometry{n, h, w, c, ho, wo, f, kh, kw, sh, sw, top, left}

#define PRODUCTS(real, size, suffix)                                                                                   \
    extern "C" __global__ void __launch_bounds__(256, 2) conv_##suffix(                                                \
        const real* x, const real* weights, real* y, const real* bias, int biased, int relu, int factor, GEOMETRY      \
    ) {                                                                                                                \
        int rows = n * ho * wo, depth = kh * kw * c, z = blockIdx.z, splits = gridDim.z;                               \
        Share share(depth, z, splits);                                                                                 \
        Windows<real> windows{x, GIVEN};                                                                               \
        Matrix<real, false> matrix{weights, f, f, depth};                                                              \
        Epilogue<real> store{y + (place)z * rows * f, biased ? bias : nullptr, relu, factor, ho, wo, f};               \
        product<real, size>(windows, matrix, store, rows, f, share.begin, share.end);                                  \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256, 2) conv_input_##suffix(                                          \
        const real* d, const real* weights, real* x, GEOMETRY                                                          \
    ) {                                                                                                                \
        int phases = sh * sw, z = blockIdx.z / phases, splits = gridDim.z / phases;                                    \
        Phase<real> phase(GIVEN, blockIdx.z % phases);                                                                 \
        Share share(phase.k(), z, splits);                                                                             \
        Pixels<real> store{x + (place)z * n * h * w * c, phase};                                                       \
        product<real, size>(                                                                                           \
            Brought<real>{d, phase}, Taps<real>{weights, phase}, store, phase.m(), c, share.begin, share.end           \
        );                                                                                                             \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256, 2) conv_kernel_##suffix(                                         \
        const real* x, const real* d, real* weights, GEOMETRY                                                          \
    ) {                                                                                                                \
        int lines = kh * kw * c, pixels = n * ho * wo, z = blockIdx.z, splits = gridDim.z;                             \
        Share share(pixels, z, splits);                                                                                \
        WindowsTurned<real> windows{{x, GIVEN}};                                                                       \
        Matrix<real, false> matrix{d, f, f, pixels};                                                                   \
        Partial<real> store{weights + (place)z * lines * f, f};                                                        \
        product<real, size>(windows, matrix, store, lines, f, share.begin, share.end);                                 \
    }                                                                                                                  \
    MATMUL(real, size, suffix, nn, true, false)                                                                        \
    MATMUL(real, size, suffix, nt, true, true)                                                                         \
    MATMUL(real, size, suffix, tn, false, false)                                                                       \
    MATMUL(real, size, suffix, tt, false, true)

// (m, k) @ (k, n). `t`: transposed, contiguous along the other axis than usual.
#define MATMUL(real, size, suffix, which, left_along_k, right_along_k)                                                 \
    extern "C" __global__ void __launch_bounds__(256, 2) matmul_##which##_##suffix(                                    \
        const real* x1, const real* x2, real* y, const real* bias, int biased, int relu, int m, int n, int k,          \
        place stride1, place stride2                                                                                   \
    ) {                                                                                                                \
        int z = blockIdx.z, splits = gridDim.z;                                                                        \
        Share share(k, z, splits);                                                                                     \
        Matrix<real, left_along_k> left{x1, stride1, m, k};                                                            \
        Matrix<real, right_along_k> right{x2, stride2, n, k};                                                          \
        Epilogue<real> store{y + (place)z * m * n, biased ? bias : nullptr, relu, 1, 1, 1, n};                         \
        product<real, size>(left, right, store, m, n, share.begin, share.end);                                         \
    }

PRODUCTS(float, 128, large_f32)
PRODUCTS(float, 64, f32)
PRODUCTS(double, 64, f64)

// Few channels or features: too narrow for tiles. One thread makes one number; neighbours read neighbours.

template <class real>
__device__ void few(const real* x, const real* weights, Epilogue<real> store, Geometry g) {
    place i = (place)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (place)g.n * g.ho * g.wo * g.f) return;
    int feature = i % g.f, row = i / g.f;
    Windows<real> windows{x, g};
    typename Windows<real>::Line line = windows.line(row);
    real sum = 0;
    for (int tap = 0; tap < g.kh * g.kw; tap++) {
        if (!windows.inside(line, tap)) continue;
        const real *pixel = windows.at(line, tap, 0), *weight = weights + (place)tap * g.c * g.f + feature;
        for (int c = 0; c < g.c; c++) sum += pixel[c] * weight[(place)c * g.f];
    }
    store(row, feature, sum);
}

template <class real>
__device__ void few_input(const real* d, const real* weights, real* x, Geometry g) {
    place at = (place)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (place)g.n * g.h * g.w * g.c) return;
    int c = at % g.c, j = at / g.c % g.w + g.left, i = at / g.c / g.w % g.h + g.top;
    const real* image = d + at / g.c / g.w / g.h * g.ho * g.wo * g.f;
    real sum = 0;
    for (int di = i % g.sh; di < g.kh && di <= i; di += g.sh)
        for (int dj = j % g.sw; dj < g.kw && dj <= j; dj += g.sw) {
            int row = (i - di) / g.sh, column = (j - dj) / g.sw;
            if (row >= g.ho || column >= g.wo) continue;
            const real* pixel = image + ((place)row * g.wo + column) * g.f;
            const real* weight = weights + ((place)(di * g.kw + dj) * g.c + c) * g.f;
            for (int f = 0; f < g.f; f++) sum += pixel[f] * weight[f];
        }
    x[at] = sum;
}

// Partial sums over some rows of pixels (grid.y).
template <class real>
__device__ void few_kernel(const real* x, const real* d, real* weights, Geometry g) {
    int entries = g.kh * g.kw * g.c * g.f, entry = blockIdx.x * blockDim.x + threadIdx.x;
    if (entry >= entries) return;
    int f = entry % g.f, c = entry / g.f % g.c, dj = entry / g.f / g.c % g.kw, di = entry / g.f / g.c / g.kw;
    place rows = (place)g.n * g.ho, end = rows * (blockIdx.y + 1) / gridDim.y;
    real sum = 0;
    for (place row = rows * blockIdx.y / gridDim.y; row < end; row++) {
        int i = row % g.ho * g.sh + di - g.top, n = row / g.ho;
        if (i < 0 || i >= g.h) continue;
        const real *line = x + ((place)n * g.h + i) * g.w * g.c + c, *results = d + row * g.wo * g.f + f;
        for (int column = 0; column < g.wo; column++) {
            int j = column * g.sw + dj - g.left;
            if (j >= 0 && j < g.w) sum += line[(place)j * g.c] * results[(place)column * g.f];
        }
    }
    weights[(place)blockIdx.y * entries + entry] = sum;
}

// Sums

// Column sums of some rows (grid.y): 32 columns by 8 threads each.
template <class real>
__device__ void sum_columns(const real* x, real* sums, place rows, int columns) {
    __shared__ real parts[8][33];
    int column = blockIdx.x * 32 + threadIdx.x % 32, lane = threadIdx.x / 32;
    place end = rows * (blockIdx.y + 1) / gridDim.y;
    real sum = 0;
    if (column < columns)
        for (place row = rows * blockIdx.y / gridDim.y + lane; row < end; row += 8) sum += x[row * columns + column];
    parts[lane][threadIdx.x % 32] = sum;
    __syncthreads();
    if (lane || column >= columns) return;
    for (int other = 1; other < 8; other++) sum += parts[other][threadIdx.x % 32];
    sums[(place)blockIdx.y * columns + column] = sum;
}

// The sum of a part (grid.y) of each row: 256 threads, then pairs of them.
template <class real>
__device__ void sum_rows(const real* x, real* sums, place columns) {
    __shared__ real parts[256];
    const real* row = x + blockIdx.x * columns;
    place end = columns * (blockIdx.y + 1) / gridDim.y;
    real sum = 0;
    for (place i = columns * blockIdx.y / gridDim.y + threadIdx.x; i < end; i += 256) sum += row[i];
    parts[threadIdx.x] = sum;
    for (int half = 128; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    if (!threadIdx.x) sums[(place)blockIdx.y * gridDim.x + blockIdx.x] = parts[0];
}

// Partial sums (count, m, n), added up in order.
template <class real>
__device__ void add_up(const real* partial, int count, place size, Epilogue<real> store) {
    place i = (place)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    real sum = partial[i];
    for (int other = 1; other < count; other++) sum += partial[other * size + i];
    store(i / store.f, i % store.f, sum);
}

#define REST(real, suffix)                                                                                             \
    extern "C" __global__ void conv_few_##suffix(                                                                      \
        const real* x, const real* weights, real* y, const real* bias, int biased, int relu, int factor, GEOMETRY      \
    ) {                                                                                                                \
        few(x, weights, Epilogue<real>{y, biased ? bias : nullptr, relu, factor, ho, wo, f}, GIVEN);                   \
    }                                                                                                                  \
    extern "C" __global__ void conv_input_few_##suffix(const real* d, const real* weights, real* x, GEOMETRY) {        \
        few_input(d, weights, x, GIVEN);                                                                               \
    }                                                                                                                  \
    extern "C" __global__ void conv_kernel_few_##suffix(const real* x, const real* d, real* weights, GEOMETRY) {       \
        few_kernel(x, d, weights, GIVEN);                                                                              \
    }                                                                                                                  \
    extern "C" __global__ void sum_columns_##suffix(const real* x, real* sums, place rows, int columns) {              \
        sum_columns(x, sums, rows, columns);                                                                           \
    }                                                                                                                  \
    extern "C" __global__ void sum_rows_##suffix(const real* x, real* sums, place columns) {                           \
        sum_rows(x, sums, columns);                                                                                    \
    }                                                                                                                  \
    extern "C" __global__ void add_up_##suffix(                                                                        \
        const real* partial, int count, place size, real* y, const real* bias, int biased, int relu, int factor,       \
        int ho, int wo, int f                                                                                          \
    ) {                                                                                                                \
        add_up(partial, count, size, Epilogue<real>{y, biased ? bias : nullptr, relu, factor, ho, wo, f});             \
    }

REST(float, f32)
REST(double, f64)
