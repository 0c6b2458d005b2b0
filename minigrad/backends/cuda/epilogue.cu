// How the results of products and sums are finished, and where they are stored.

// The sum of row (n, i, j) and column f is stored as y = relu(sum + bias[f]), in the layout of depth-to-space:
// column (factor·a + b)·C + c of pixel (i, j) is column c of pixel (factor·i + a, factor·j + b).
// In an ordinary product, i and j are 0 and n is the row.
template <class real>
struct Epilogue {
    real* y;
    const real* bias;  // or null
    int relu, factor, ho, wo, f;

    __device__ __forceinline__ int channels() const { return f / (factor * factor); }
    __device__ __forceinline__ bool fours_are_contiguous() const { return factor == 1 || channels() % 4 == 0; }
    __device__ __forceinline__ place row(int row) const {
        return factor == 1 ? (place)row * f : (place)(row / wo) * wo * f + row % wo * factor * channels();
    }
    __device__ __forceinline__ place column(int column) const {
        if (factor == 1) return column;
        int block = column / channels(), a = block / factor, b = block % factor;
        return (place)a * wo * factor * channels() + b * channels() + column % channels();
    }
    __device__ __forceinline__ real finish(int column, real sum) const {
        if (bias) sum += bias[column];
        return relu && sum < 0 ? (real)0 : sum;  // NaN propagates
    }
};

// Store one number.
template <class real>
__device__ __forceinline__ void write(const Epilogue<real>& store, int row, int column, real sum) {
    store.y[store.row(row) + store.column(column)] = store.finish(column, sum);
}

// Stores partial sums, or the result itself if there is only one part.
template <class real>
struct Partial {
    real* y;
    int n;

    __device__ __forceinline__ bool fours_are_contiguous() const { return true; }
    __device__ __forceinline__ place row(int row) const { return (place)row * n; }
    __device__ __forceinline__ place column(int column) const { return column; }
    __device__ __forceinline__ real finish(int column, real sum) const { return sum; }
};
