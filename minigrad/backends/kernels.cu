// Matrix products and convolutions.
//
// A convolution is a product of a matrix of windows and the kernel (ops/conv.py), and the windows are never written out:
// whoever loads a tile of the left matrix gathers it from the images. So one product serves for all, with
//
//     Left, Right    how to read four neighbouring numbers of a matrix: `line(i)` knows what belongs to row i of the left
//                    (column i of the right), a `Cursor` goes along k, `four(line, cursor, end, v)` reads
//     Store          where number (i, j) of the result goes: place row(i) + column(j)
//
// Nothing is divided while k goes on: a cursor counts.
//
// Sums over a long k are split over blocks (grid.z), which write partial sums; `add_up` adds them in a fixed order, so
// that two runs give the same bits. Sizes are ints, places in memory are not.

typedef long long place;

// Reading and writing

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
template <class real>
__device__ __forceinline__ void write_four(real* p, const real* v) {
    if (sizeof(real) == 4 && (wide)p % 16 == 0) {
        *(float4*)p = make_float4(v[0], v[1], v[2], v[3]);
    } else {
#pragma unroll
        for (int q = 0; q < 4; q++) p[q] = v[q];
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

// k = (i · rows + j) · columns + c, counted up.
struct Digits {
    int k, i, j, c, rows, columns;

    Digits() = default;
    __device__ __forceinline__ Digits(int k, int rows, int columns)
        : k(k), i(k / columns / rows), j(k / columns % rows), c(k % columns), rows(rows), columns(columns) {}
    __device__ __forceinline__ void advance(int by) {
        k += by;
        for (c += by; c >= columns; c -= columns)
            if (++j == rows) j = 0, i++;
    }
};

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
    struct Cursor {
        int k;
        __device__ __forceinline__ void advance(int by) { k += by; }
    };
    __device__ __forceinline__ Line line(int i) const { return {p + i * (ALONG_K ? stride : 1), lines - i}; }
    __device__ __forceinline__ Cursor cursor(int k) const { return {k}; }
    __device__ __forceinline__ void four(const Line& line, const Cursor& at, int end, real* v) const {
        int count = line.left <= 0 || at.k >= end ? 0 : ALONG_K ? end - at.k : line.left;
        read_some(line.p + (ALONG_K ? at.k : at.k * stride), count, v);
    }
};

// A convolution: images (n, h, w, c), results (n, ho, wo, f), kernels (kh, kw, c, f), strides, padding above and left.
struct Geometry {
    int n, h, w, c, ho, wo, f, kh, kw, sh, sw, top, left;
};
constexpr int OUTSIDE = -(1 << 30);  // a row that no image has, for lines behind the last

// Four numbers of pixels (i, j), from channel c on: of the next tap, too, where there are no four of one.
template <class real, class Pixel, class Inside>
__device__ __forceinline__ void gather(Digits tap, int count, real* v, Pixel pixel, Inside inside) {
    if (tap.c + 4 <= tap.columns) return read_some(pixel(tap), count > 0 && inside(tap) ? 4 : 0, v);
#pragma unroll 1
    for (int q = 0; q < 4; q++, tap.advance(1)) {  // rare, so in few registers: numbers move up
        v[0] = v[1], v[1] = v[2], v[2] = v[3];
        v[3] = q < count && inside(tap) ? *pixel(tap) : (real)0;
    }
}

// Row (n, i, j), column (di, dj, c): the number that tap (di, dj) meets at pixel (i, j), 0 in the padding.
template <class real>
struct Windows {
    static const bool along_k = true;
    const real* x;
    Geometry g;

    typedef Digits Cursor;
    struct Line {
        const real* image;
        int i, j;
    };
    __device__ __forceinline__ Line line(int row) const { return at(Digits(row, g.ho, g.wo)); }
    __device__ __forceinline__ Line at(const Digits& row) const {
        int i = row.i < g.n ? row.j * g.sh - g.top : OUTSIDE;
        return {x + (place)row.i * g.h * g.w * g.c, i, row.c * g.sw - g.left};
    }
    __device__ __forceinline__ Digits cursor(int k) const { return Digits(k, g.kw, g.c); }
    __device__ __forceinline__ void four(const Line& line, const Digits& tap, int end, real* v) const {
        gather(
            tap, end - tap.k, v,
            [&](const Digits& tap) { return pixel(line, tap.i, tap.j) + tap.c; },
            [&](const Digits& tap) { return inside(line, tap.i, tap.j); }
        );
    }
    __device__ __forceinline__ bool inside(const Line& line, int di, int dj) const {
        return (word)(line.i + di) < (word)g.h && (word)(line.j + dj) < (word)g.w;
    }
    __device__ __forceinline__ const real* pixel(const Line& line, int di, int dj) const {
        return line.image + ((place)(line.i + di) * g.w + line.j + dj) * g.c;
    }
};

// The same numbers with the window's as lines and the pixels along k.
template <class real>
struct WindowsTurned {
    static const bool along_k = false;
    Windows<real> windows;

    typedef Digits Line;
    typedef Digits Cursor;
    __device__ __forceinline__ Digits line(int k) const { return windows.cursor(k); }
    __device__ __forceinline__ Digits cursor(int row) const { return Digits(row, windows.g.ho, windows.g.wo); }
    __device__ __forceinline__ void four(const Digits& line, const Digits& row, int end, real* v) const {
        const Geometry& g = windows.g;
        windows.four(windows.at(row), line, row.k < end ? g.kh * g.kw * g.c : 0, v);
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
    __device__ __forceinline__ Digits cursor(int k) const { return Digits(k, max(taps_j, 1), g.f); }
};

// Row (n, i', j'), column (tap, f): the number of the result that a tap brings to a pixel.
template <class real>
struct Brought {
    static const bool along_k = true;
    const real* d;
    Phase<real> phase;

    typedef Digits Cursor;
    struct Line {
        const real* image;
        int i, j;
    };
    __device__ __forceinline__ Line line(int row) const {
        const Digits at(row, max(phase.rows, 1), max(phase.columns, 1));
        int i = row < phase.m() ? at.j + phase.begin_i : OUTSIDE;
        return {d + (place)at.i * phase.g.ho * phase.g.wo * phase.g.f, i, at.c + phase.begin_j};
    }
    __device__ __forceinline__ Digits cursor(int k) const { return phase.cursor(k); }
    __device__ __forceinline__ void four(const Line& line, const Digits& tap, int end, real* v) const {
        const Geometry& g = phase.g;
        gather(
            tap, end - tap.k, v,
            [&](const Digits& tap) {
                return line.image + ((place)(line.i - tap.i) * g.wo + line.j - tap.j) * g.f + tap.c;
            },
            [&](const Digits& tap) {
                return (word)(line.i - tap.i) < (word)g.ho && (word)(line.j - tap.j) < (word)g.wo;
            }
        );
    }
};

// Column c, k = (tap, f): the weights of the taps of a phase.
template <class real>
struct Taps {
    static const bool along_k = true;
    const real* w;
    Phase<real> phase;

    typedef int Line;
    typedef Digits Cursor;
    __device__ __forceinline__ int line(int c) const { return c; }
    __device__ __forceinline__ Digits cursor(int k) const { return phase.cursor(k); }
    __device__ __forceinline__ void four(int c, const Digits& tap, int end, real* v) const {
        const Geometry& g = phase.g;
        gather(
            tap, c < g.c ? end - tap.k : 0, v,
            [&](const Digits& tap) {
                int di = phase.first_i + tap.i * g.sh, dj = phase.first_j + tap.j * g.sw;
                return w + ((place)(di * g.kw + dj) * g.c + c) * g.f + tap.c;
            },
            [](const Digits& tap) { return true; }
        );
    }
};

// Where results go

// What happens to a sum of row (n, i, j) and column f before it is stored: y = relu(sum + bias[f]), laid out by
// depth-to-space: column (factor·a + b)·C + c of pixel (i, j) is column c of pixel (factor·i + a, factor·j + b).
// Of an ordinary product, i and j are 0 and n is the row.
template <class real>
struct Epilogue {
    real* y;
    const real* bias;  // or null
    int relu, factor, ho, wo, f;

    __device__ __forceinline__ int channels() const { return f / (factor * factor); }
    __device__ __forceinline__ bool together() const { return factor == 1 || channels() % 4 == 0; }
    __device__ __forceinline__ place row(int row) const {
        return factor == 1 ? (place)row * f : (place)(row / wo) * wo * f + row % wo * factor * channels();
    }
    __device__ __forceinline__ place column(int column) const {
        if (factor == 1) return column;
        int block = column / channels(), a = block / factor, b = block % factor;
        return (place)a * wo * factor * channels() + b * channels() + column % channels();
    }
    __device__ __forceinline__ real finished(int column, real sum) const {
        if (bias) sum += bias[column];
        return relu && sum < 0 ? (real)0 : sum;  // a NaN stays one
    }
};

// Partial sums, one after the other, or the result itself where there is only one.
template <class real>
struct Partial {
    real* y;
    int n;

    __device__ __forceinline__ bool together() const { return true; }
    __device__ __forceinline__ place row(int row) const { return (place)row * n; }
    __device__ __forceinline__ place column(int column) const { return column; }
    __device__ __forceinline__ real finished(int column, real sum) const { return sum; }
};

// Pixels of one phase.
template <class real>
struct Pixels {
    real* y;
    Phase<real> phase;

    __device__ __forceinline__ bool together() const { return true; }
    __device__ __forceinline__ place row(int row) const {
        const Geometry& g = phase.g;
        const Digits at(row, phase.rows, phase.columns);
        return (((place)at.i * g.h + phase.a + g.sh * at.j) * g.w + phase.b + g.sw * at.c) * g.c;
    }
    __device__ __forceinline__ place column(int c) const { return c; }
    __device__ __forceinline__ real finished(int c, real sum) const { return sum; }
};

// The product

// Reads slices of K numbers of a matrix's LENGTH lines, a few fours by each thread: neighbouring threads read along k, or
// along lines, and a thread's fours are some lines apart, or some numbers of k.
template <class real, int LENGTH, int K, int THREADS, class Matrix>
struct Reader {
    static constexpr int FOURS = LENGTH * K / 4 / THREADS, ALONG = (Matrix::along_k ? K : LENGTH) / 4;
    static constexpr int LINES = Matrix::along_k ? FOURS : 1, CURSORS = Matrix::along_k ? 1 : FOURS;
    static constexpr int APART = THREADS / ALONG, PAD = 16 / sizeof(real);
    typedef real Slice[K][LENGTH + PAD];

    const Matrix& matrix;
    int line, k;  // of the first four
    typename Matrix::Line lines[LINES];
    typename Matrix::Cursor cursors[CURSORS];
    real read[FOURS][4];

    __device__ __forceinline__ Reader(const Matrix& matrix, int first, int begin) : matrix(matrix) {
        const int near = threadIdx.x % ALONG * 4, far = threadIdx.x / ALONG;
        line = Matrix::along_k ? far : near, k = Matrix::along_k ? near : far;
#pragma unroll
        for (int r = 0; r < LINES; r++) lines[r] = matrix.line(first + line + r * APART);
#pragma unroll
        for (int r = 0; r < CURSORS; r++) cursors[r] = matrix.cursor(begin + k + r * APART);
    }
    __device__ __forceinline__ void fetch(int end) {
#pragma unroll
        for (int r = 0; r < FOURS; r++) matrix.four(lines[r % LINES], cursors[r % CURSORS], end, read[r]);
#pragma unroll
        for (int r = 0; r < CURSORS; r++) cursors[r].advance(K);
    }
    __device__ __forceinline__ void put(Slice& slice) const {
#pragma unroll
        for (int r = 0; r < FOURS; r++)
#pragma unroll
            for (int q = 0; q < 4; q++) {
                if (Matrix::along_k)
                    slice[k + q][line + r * APART] = read[r][q];
                else
                    slice[k + r * APART][line + q] = read[r][q];
            }
    }
};

// M × N numbers of a block's tile, by threads that make EACH × EACH of them. Two slices of K numbers of both matrices
// lie in shared memory: one is multiplied while the next is read.
template <class real, int M, int N, int EACH, int K, class Left, class Right, class Store>
__device__ __forceinline__ void product(
    const Left& left, const Right& right, const Store& store, int m, int n, int begin, int end
) {
    constexpr int ACROSS = N / EACH, THREADS = M / EACH * ACROSS;
    typedef Reader<real, M, K, THREADS, Left> A;
    typedef Reader<real, N, K, THREADS, Right> B;
    alignas(16) __shared__ typename A::Slice a[2];
    alignas(16) __shared__ typename B::Slice b[2];
    const int tx = threadIdx.x % ACROSS, ty = threadIdx.x / ACROSS;
    const int top = blockIdx.x * M, side = blockIdx.y * N;
    A of_a(left, top, begin);
    B of_b(right, side, begin);
    real sums[EACH][EACH] = {};

    // A thread's rows and columns come in fours, half a tile apart if there are eight.
    auto spread = [](int t, int q, int size) { return q / 4 * (size / 2) + t * 4 + q % 4; };
    if (begin < end) {
        of_a.fetch(end), of_b.fetch(end);
        of_a.put(a[0]), of_b.put(b[0]);
    }
    __syncthreads();
    for (int k = begin, slice = 0; k < end; k += K, slice ^= 1) {
        if (k + K < end) of_a.fetch(end), of_b.fetch(end);
#pragma unroll
        for (int step = 0; step < K; step++) {
            real rows[EACH], columns[EACH];
#pragma unroll
            for (int q = 0; q < EACH; q += 4) {
                read_shared(&a[slice][step][spread(ty, q, M)], rows + q);
                read_shared(&b[slice][step][spread(tx, q, N)], columns + q);
            }
#pragma unroll
            for (int p = 0; p < EACH; p++)
#pragma unroll
                for (int q = 0; q < EACH; q++) sums[p][q] += rows[p] * columns[q];
        }
        if (k + K < end) of_a.put(a[slice ^ 1]), of_b.put(b[slice ^ 1]);
        __syncthreads();
    }

    const bool together = store.together();
#pragma unroll
    for (int q = 0; q < EACH; q += 4) {
        const int column = side + spread(tx, q, N);
        if (column >= n) break;
        place columns[4];
#pragma unroll
        for (int r = 0; r < 4; r++) columns[r] = store.column(min(column + r, n - 1));
#pragma unroll
        for (int p = 0; p < EACH; p++) {
            const int row = top + spread(ty, p, M);
            if (row >= m) break;
            real* line = store.y + store.row(row);
            real four[4];
#pragma unroll
            for (int r = 0; r < 4; r++) four[r] = store.finished(min(column + r, n - 1), sums[p][q + r]);
            if (together && column + 4 <= n) {
                write_four(line + columns[0], four);
            } else {
#pragma unroll
                for (int r = 0; r < 4; r++)
                    if (column + r < n) line[columns[r]] = four[r];
            }
        }
    }
}

// The share of split z in 0 … depth, in slices of 8.
struct Share {
    int begin, end;
    __device__ __forceinline__ Share(int depth, int z, int splits) {
        int slices = (depth + 7) / 8;
        begin = (int)((place)slices * z / splits) * 8;
        end = min(depth, (int)((place)slices * (z + 1) / splits) * 8);
    }
};

// Entry points: `threads` of a block, `blocks` that a multiprocessor has registers for, then M, N, EACH and K of
// `product`. `y` is where the result goes, or, with more than one split, where partial sums do.

#define GEOMETRY int n, int h, int w, int c, int ho, int wo, int f, int kh, int kw, int sh, int sw, int top, int left
#define GIVEN Geometry{n, h, w, c, ho, wo, f, kh, kw, sh, sw, top, left}

#define PRODUCTS(real, threads, blocks, suffix, ...)                                                                   \
    extern "C" __global__ void __launch_bounds__(threads, blocks) conv_##suffix(                                       \
        const real* x, const real* weights, real* y, const real* bias, int biased, int relu, int factor, GEOMETRY      \
    ) {                                                                                                                \
        int rows = n * ho * wo, depth = kh * kw * c, z = blockIdx.z, splits = gridDim.z;                               \
        Share share(depth, z, splits);                                                                                 \
        Windows<real> windows{x, GIVEN};                                                                               \
        Matrix<real, false> matrix{weights, f, f, depth};                                                              \
        Epilogue<real> store{y + (place)z * rows * f, biased ? bias : nullptr, relu, factor, ho, wo, f};               \
        product<real, __VA_ARGS__>(windows, matrix, store, rows, f, share.begin, share.end);                           \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(threads, blocks) conv_input_##suffix(                                 \
        const real* d, const real* weights, real* x, GEOMETRY                                                          \
    ) {                                                                                                                \
        int phases = sh * sw, z = blockIdx.z / phases, splits = gridDim.z / phases;                                    \
        Phase<real> phase(GIVEN, blockIdx.z % phases);                                                                 \
        Share share(phase.k(), z, splits);                                                                             \
        Pixels<real> store{x + (place)z * n * h * w * c, phase};                                                       \
        product<real, __VA_ARGS__>(                                                                                    \
            Brought<real>{d, phase}, Taps<real>{weights, phase}, store, phase.m(), c, share.begin, share.end           \
        );                                                                                                             \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(threads, blocks) conv_kernel_##suffix(                                \
        const real* x, const real* d, real* weights, GEOMETRY                                                          \
    ) {                                                                                                                \
        int lines = kh * kw * c, pixels = n * ho * wo, z = blockIdx.z, splits = gridDim.z;                             \
        Share share(pixels, z, splits);                                                                                \
        WindowsTurned<real> windows{{x, GIVEN}};                                                                       \
        Matrix<real, false> matrix{d, f, f, pixels};                                                                   \
        Partial<real> store{weights + (place)z * lines * f, f};                                                        \
        product<real, __VA_ARGS__>(windows, matrix, store, lines, f, share.begin, share.end);                          \
    }                                                                                                                  \
    MATMUL(real, threads, blocks, suffix, nn, true, false, __VA_ARGS__)                                                \
    MATMUL(real, threads, blocks, suffix, nt, true, true, __VA_ARGS__)                                                 \
    MATMUL(real, threads, blocks, suffix, tn, false, false, __VA_ARGS__)                                               \
    MATMUL(real, threads, blocks, suffix, tt, false, true, __VA_ARGS__)

// (m, k) @ (k, n). `t`: transposed, contiguous along the other axis than usual.
#define MATMUL(real, threads, blocks, suffix, which, left_along_k, right_along_k, ...)                                 \
    extern "C" __global__ void __launch_bounds__(threads, blocks) matmul_##which##_##suffix(                           \
        const real* x1, const real* x2, real* y, const real* bias, int biased, int relu, int m, int n, int k,          \
        place stride1, place stride2                                                                                   \
    ) {                                                                                                                \
        int z = blockIdx.z, splits = gridDim.z;                                                                        \
        Share share(k, z, splits);                                                                                     \
        Matrix<real, left_along_k> left{x1, stride1, m, k};                                                            \
        Matrix<real, right_along_k> right{x2, stride2, n, k};                                                          \
        Epilogue<real> store{y + (place)z * m * n, biased ? bias : nullptr, relu, 1, 1, 1, n};                         \
        product<real, __VA_ARGS__>(left, right, store, m, n, share.begin, share.end);                                  \
    }

PRODUCTS(float, 128, 3, f32, 128, 64, 8, 8)
PRODUCTS(double, 256, 2, f64, 64, 64, 4, 16)

// One number to its place.
template <class real>
__device__ __forceinline__ void write(const Epilogue<real>& store, int row, int column, real sum) {
    store.y[store.row(row) + store.column(column)] = store.finished(column, sum);
}

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
        int di = tap / g.kw, dj = tap % g.kw;
        if (!windows.inside(line, di, dj)) continue;
        const real *pixel = windows.pixel(line, di, dj), *weight = weights + (place)tap * g.c * g.f + feature;
        for (int c = 0; c < g.c; c += 4) {
            real four[4];
            read_some(pixel + c, g.c - c, four);
#pragma unroll
            for (int q = 0; q < 4; q++)
                if (c + q < g.c) sum += four[q] * weight[(place)(c + q) * g.f];
        }
    }
    write(store, row, feature, sum);
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
            for (int f = 0; f < g.f; f += 4) {
                real results[4], four[4];
                read_some(pixel + f, g.f - f, results), read_some(weight + f, g.f - f, four);
#pragma unroll
                for (int q = 0; q < 4; q++) sum += results[q] * four[q];
            }
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
#pragma unroll 8
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
#pragma unroll 16
    for (int other = 1; other < count; other++) sum += partial[other * size + i];
    write(store, i / store.f, i % store.f, sum);
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
