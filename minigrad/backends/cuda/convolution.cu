// Convolutions: products (products.cu) of a matrix of windows and the kernel (ops/conv.py). The windows are not stored
// (implicit im2col): a tile of the left matrix is gathered from the images as it is loaded.

// A convolution: images (n, h, w, c), results (n, ho, wo, f), kernels (kh, kw, c, f), strides, padding above and left.
struct Geometry {
    int n, h, w, c, ho, wo, f, kh, kw, sh, sw, top, left;
};
constexpr int OUTSIDE = -(1 << 30);  // a row outside of every image, for lines past the last

// Four numbers from channel c of a tap on; they continue with the next tap if fewer than four channels are left.
template <class real, class Pixel, class Inside>
__device__ __forceinline__ void gather(Digits tap, int count, real* v, Pixel pixel, Inside inside) {
    if (tap.c + 4 <= tap.columns) return read_some(pixel(tap), count > 0 && inside(tap) ? 4 : 0, v);
#pragma unroll 1
    for (int q = 0; q < 4; q++, tap.advance(1)) {  // rare, so with few registers: numbers are shifted through v
        v[0] = v[1], v[1] = v[2], v[2] = v[3];
        v[3] = q < count && inside(tap) ? *pixel(tap) : (real)0;
    }
}

// Row (n, i, j), column (di, dj, c): the number that tap (di, dj) multiplies at pixel (i, j), 0 in the padding.
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

// The transpose: the numbers of a window are lines, and k runs over the pixels.
template <class real>
struct WindowsTransposed {
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

// The transposed convolution, for pixels (i, j) = (a + s·i', b + s·j') of one phase (a, b): only every s-th tap
// contributes, the same taps at every (i', j'), so this is a stride-1 convolution of the results with these taps.
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

// Row (n, i', j'), column (tap, f): the number of the result that a tap multiplies for a pixel.
template <class real>
struct ResultWindows {
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

// Stores the pixels of a phase.
template <class real>
struct Pixels {
    real* y;
    Phase<real> phase;

    __device__ __forceinline__ bool fours_are_contiguous() const { return true; }
    __device__ __forceinline__ place row(int row) const {
        const Geometry& g = phase.g;
        const Digits at(row, phase.rows, phase.columns);
        return (((place)at.i * g.h + phase.a + g.sh * at.j) * g.w + phase.b + g.sw * at.c) * g.c;
    }
    __device__ __forceinline__ place column(int c) const { return c; }
    __device__ __forceinline__ real finish(int c, real sum) const { return sum; }
};

// Entry points, as in products.cu

#define GEOMETRY int n, int h, int w, int c, int ho, int wo, int f, int kh, int kw, int sh, int sw, int top, int left
#define GIVEN Geometry{n, h, w, c, ho, wo, f, kh, kw, sh, sw, top, left}

#define CONVOLUTIONS(real, threads, blocks, suffix, ...)                                                               \
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
            ResultWindows<real>{d, phase}, Taps<real>{weights, phase}, store, phase.m(), c, share.begin, share.end     \
        );                                                                                                             \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(threads, blocks) conv_kernel_##suffix(                                \
        const real* x, const real* d, real* weights, GEOMETRY                                                          \
    ) {                                                                                                                \
        int lines = kh * kw * c, pixels = n * ho * wo, z = blockIdx.z, splits = gridDim.z;                             \
        Share share(pixels, z, splits);                                                                                \
        WindowsTransposed<real> windows{{x, GIVEN}};                                                                   \
        Matrix<real, false> matrix{d, f, f, pixels};                                                                   \
        Partial<real> store{weights + (place)z * lines * f, f};                                                        \
        product<real, __VA_ARGS__>(windows, matrix, store, lines, f, share.begin, share.end);                          \
    }

WITH(CONVOLUTIONS, FLOATS)
WITH(CONVOLUTIONS, DOUBLES)

// Few channels or features, too narrow for tiles: each thread computes one number, next to that of the next thread.

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

#define FEW(real, suffix)                                                                                              \
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
    }

FEW(float, f32)
FEW(double, f64)
