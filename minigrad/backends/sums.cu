// Sums, in a fixed order.

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

#define SUMS(real, suffix)                                                                                             \
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

SUMS(float, f32)
SUMS(double, f64)
