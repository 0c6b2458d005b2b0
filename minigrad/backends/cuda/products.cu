// Our own matrix products: CuPy does not let CUDA graphs record cuBLAS (cupy#6290), and these have an epilogue.
// convolution.cu uses them too, with matrix types of its own:
//
//     Left, Right    read four neighbouring numbers of a matrix: `line(i)` stands for row i of the left (column i of
//                    the right) matrix, a `Cursor` moves along k, and `four(line, cursor, end, v)` reads
//     Store          where number (i, j) of the result is stored: at y + row(i) + column(j)
//
// The loop over k has no integer divisions, because cursors count.
//
// Sums over a long k are split over blocks (grid.z), which write partial sums; `sum_columns` (sums.cu) adds them in a
// fixed order, so that two runs give the same bits. Sizes are ints; offsets into memory are 64-bit integers (`place`).

// Reading and writing

// Four numbers: in one access if they are 16-byte aligned floats.
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

// The same from shared memory, where they are always aligned.
__device__ __forceinline__ void read_shared(const float* p, float* v) {
    float4 read = *(const float4*)p;
    v[0] = read.x, v[1] = read.y, v[2] = read.z, v[3] = read.w;
}
__device__ __forceinline__ void read_shared(const double* p, double* v) {
    double2 first = *(const double2*)p, second = *(const double2*)(p + 2);
    v[0] = first.x, v[1] = first.y, v[2] = second.x, v[3] = second.y;
}

// `count` consecutive numbers, filled up with zeros to four.
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

// An ordinary matrix of `lines` × `depth`, contiguous along k or along lines.
template <class real, bool ALONG_K>
struct Matrix {
    static const bool along_k = ALONG_K;
    const real* p;
    place stride;  // of the axis that is not contiguous
    int lines, depth;

    struct Line {
        const real* p;
        int left;  // the number of lines from here on
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

// The product

// Reads slices of K numbers of a matrix's LENGTH lines; each thread reads FOURS groups of four. Neighbouring threads
// read along the contiguous axis (k or lines), and the groups of a thread are APART apart along the other axis.
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

// A block's tile of M × N numbers, of which each thread computes EACH × EACH. Shared memory holds two slices of K
// numbers of both matrices (double buffering): one is multiplied while the next is read.
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

    const bool contiguous = store.fours_are_contiguous();
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
            for (int r = 0; r < 4; r++) four[r] = store.finish(min(column + r, n - 1), sums[p][q + r]);
            if (contiguous && column + 4 <= n) {
                write_four(line + columns[0], four);
            } else {
#pragma unroll
                for (int r = 0; r < 4; r++)
                    if (column + r < n) line[columns[r]] = four[r];
            }
        }
    }
}

// The range of k, 0 … depth, that split z adds up, in slices of 8.
struct Share {
    int begin, end;
    __device__ __forceinline__ Share(int depth, int z, int splits) {
        int slices = (depth + 7) / 8;
        begin = (int)((place)slices * z / splits) * 8;
        end = min(depth, (int)((place)slices * (z + 1) / splits) * 8);
    }
};

// Entry points: (m, k) @ (k, n); `t` marks a transposed operand, which is contiguous along its first axis. FLOATS and
// DOUBLES give the threads of a block, the blocks that a multiprocessor has registers for, and M, N, EACH and K of
// `product`. `y` receives the result or, with more than one split, the partial sums.

#define FLOATS float, 128, 3, f32, 128, 64, 8, 8
#define DOUBLES double, 256, 2, f64, 64, 64, 4, 16
#define WITH(macro, ...) macro(__VA_ARGS__)

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

#define MATMULS(real, threads, blocks, suffix, ...)                                                                    \
    MATMUL(real, threads, blocks, suffix, nn, true, false, __VA_ARGS__)                                                \
    MATMUL(real, threads, blocks, suffix, nt, true, true, __VA_ARGS__)                                                 \
    MATMUL(real, threads, blocks, suffix, tn, false, false, __VA_ARGS__)                                               \
    MATMUL(real, threads, blocks, suffix, tt, false, true, __VA_ARGS__)

WITH(MATMULS, FLOATS)
WITH(MATMULS, DOUBLES)
