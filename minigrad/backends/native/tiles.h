// Sums of products in registers, for convolutions. REAL is float or double.

#if defined(__AVX512F__)
constexpr int BYTES = 64, REGISTERS = 32;  // of a vector; vectors
#elif defined(__AVX__)
constexpr int BYTES = 32, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int BYTES = 16, REGISTERS = 32;
#else
constexpr int BYTES = 16, REGISTERS = 16;
#endif
constexpr int WIDEST = REGISTERS / 8;           // vectors of a panel

typedef REAL real;
typedef real vector __attribute__((vector_size(BYTES)));
typedef real loose __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));  // anywhere in memory
constexpr long LANES = BYTES / sizeof(real);

static constexpr long smaller(long a, long b) { return a < b ? a : b; }
static constexpr long larger(long a, long b) { return a > b ? a : b; }
static constexpr long divide_up(long a, long b) { return (a + b - 1) / b; }

// Sums of products in registers: M rows of V vectors, so many that registers are left for the operands.
template <int V>
constexpr int TALLEST = smaller(14, (REGISTERS - 4) / V);
template <int... M>
struct Heights {};

template <int V, int M>
struct Tile {
    vector sum[M][V] = {};

    // sum[r] += Σ_k a[r·row + k·step] · (V vectors at b + k·width)
    inline __attribute__((always_inline)) void add(
        const real* a, long row, long step, const real* b, long width, long count) {
        for (long k = 0; k < count; k++, a += step, b += width) {
            vector w[V];
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) w[v] = *(const loose*)(b + v * LANES);
#pragma GCC unroll 16
            for (int r = 0; r < M; r++)
#pragma GCC unroll 4
                for (int v = 0; v < V; v++) sum[r][v] += a[r * row] * w[v];
        }
    }

    // y[r·row + k] ← sum[r][k] or += sum[r][k], for the first `count` numbers of each row
    void store(real* y, long row, long count, bool more = false) const {
        for (int r = 0; r < M; r++, y += row)
            for (int v = 0; v < V; v++)
                if ((v + 1) * LANES <= count) {
                    loose* to = (loose*)(y + v * LANES);
                    *to = more ? *to + sum[r][v] : sum[r][v];
                } else
                    for (long k = v * LANES; k < count; k++) {
                        const real value = sum[r][v][k - v * LANES];
                        y[k] = more ? y[k] + value : value;
                    }
    }
};

static long panel_width(long features) {
    return LANES * (features > 3 * LANES ? WIDEST : features > LANES ? 2 : 1);
}

static long packed(long count, long features) { return count * divide_up(features, WIDEST * LANES) * WIDEST * LANES; }

// panels ← a matrix of `count` rows, some columns at a time; row k is every step-th number from row(k) on
template <class Row>
static void pack(real* panels, long count, long features, Row row, long step) {
    for (long f = 0, width; f < features; f += width) {
        width = panel_width(features - f);
        const long inside = smaller(width, features - f);
        for (long k = 0; k < count; k++, panels += width) {
            const real* from = row(k) + f * step;
            for (long j = 0; j < inside; j++) panels[j] = from[j * step];
            for (long j = inside; j < width; j++) panels[j] = 0;
        }
    }
}
