// Sums, in a fixed order.

// Column sums over a part of the rows (grid.y), by `each` threads for each column. It also adds up the partial sums of
// products, so it has their epilogue.
template <class real>
__device__ void sum_columns(const real* x, place rows, place columns, int each, Epilogue<real> store) {
    __shared__ real parts[256];
    const int width = 256 / each, lane = threadIdx.x / width;
    const place column = (place)blockIdx.x * width + threadIdx.x % width;
    const place begin = rows * blockIdx.y / gridDim.y, end = rows * (blockIdx.y + 1) / gridDim.y;
    real sum = 0;
    if (column < columns)
#pragma unroll 8
        for (place row = begin + lane; row < end; row += each) sum += x[row * columns + column];
    parts[threadIdx.x] = sum;
    __syncthreads();
    if (lane || column >= columns) return;
    for (int other = 1; other < each; other++) sum += parts[other * width + threadIdx.x];
    store.y += blockIdx.y * columns;
    write(store, column / store.f, column % store.f, sum);
}

// The sum of a part (grid.y) of each row: at most 256 threads, a power of two, then a tree reduction.
template <class real>
__device__ void sum_rows(const real* x, real* sums, place columns) {
    __shared__ real parts[256];
    const real* row = x + blockIdx.x * columns;
    place end = columns * (blockIdx.y + 1) / gridDim.y;
    real sum = 0;
    for (place i = columns * blockIdx.y / gridDim.y + threadIdx.x; i < end; i += blockDim.x) sum += row[i];
    parts[threadIdx.x] = sum;
    for (int half = blockDim.x / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    if (!threadIdx.x) sums[(place)blockIdx.y * gridDim.x + blockIdx.x] = parts[0];
}

#define SUMS(real, suffix)                                                                                             \
    extern "C" __global__ void sum_columns_##suffix(                                                                   \
        const real* x, place rows, place columns, int each, real* y, const real* bias, int biased, int relu,           \
        int factor, int ho, int wo, int f                                                                              \
    ) {                                                                                                                \
        Epilogue<real> store{y, biased ? bias : nullptr, relu, factor, ho, wo, f};                                     \
        sum_columns(x, rows, columns, each, store);                                                                    \
    }                                                                                                                  \
    extern "C" __global__ void sum_rows_##suffix(const real* x, real* sums, place columns) {                           \
        sum_rows(x, sums, columns);                                                                                    \
    }

SUMS(float, f32)
SUMS(double, f64)
