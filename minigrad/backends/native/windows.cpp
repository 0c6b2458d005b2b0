// The windows of images (im2col) and their transpose, as in numpy/convolution.py: copies, and sums in the same order.
// sizes: images n of h × w pixels and c channels; ho × wo windows of kh × kw pixels, sh and sw apart, the first one
// beginning `top` rows above and `left` columns before the image.

template <class real>
static inline void gather(const real* x, real* columns, const long* sizes) {
    const long n = sizes[0], h = sizes[1], w = sizes[2], c = sizes[3], ho = sizes[4], wo = sizes[5], kh = sizes[6],
               kw = sizes[7], sh = sizes[8], sw = sizes[9], top = sizes[10], left = sizes[11];
    for (long image = 0; image < n; image++, x += h * w * c)
        for (long i = 0; i < ho; i++)
            for (long j = 0; j < wo; j++)
                for (long row = i * sh - top; row < i * sh - top + kh; row++, columns += kw * c) {
                    const long column = j * sw - left;
                    if (row >= 0 && row < h && column >= 0 && column + kw <= w) {
                        __builtin_memcpy(columns, x + (row * w + column) * c, sizeof(real) * kw * c);
                        continue;
                    }
                    for (long k = 0; k < kw; k++) {
                        const bool inside = row >= 0 && row < h && column + k >= 0 && column + k < w;
                        for (long f = 0; f < c; f++)
                            columns[k * c + f] = inside ? x[(row * w + column + k) * c + f] : 0;
                    }
                }
}

template <class real>
static inline void scatter(const real* columns, real* x, const long* sizes) {
    const long n = sizes[0], h = sizes[1], w = sizes[2], c = sizes[3], ho = sizes[4], wo = sizes[5], kh = sizes[6],
               kw = sizes[7], sh = sizes[8], sw = sizes[9], top = sizes[10], left = sizes[11];
    for (long image = 0; image < n; image++, x += h * w * c, columns += ho * wo * kh * kw * c) {
        for (long k = 0; k < h * w * c; k++) x[k] = 0;
        for (long di = 0; di < kh; di++)
            for (long dj = 0; dj < kw; dj++)
                for (long i = 0; i < ho; i++) {
                    const long row = i * sh + di - top;
                    if (row < 0 || row >= h) continue;
                    for (long j = 0; j < wo; j++) {
                        const long column = j * sw + dj - left;
                        if (column < 0 || column >= w) continue;
                        real* to = x + (row * w + column) * c;
                        const real* from = columns + (((i * wo + j) * kh + di) * kw + dj) * c;
#pragma GCC ivdep
                        for (long f = 0; f < c; f++) to[f] += from[f];
                    }
                }
    }
}

extern "C" void gather_windows_float32(const float* x, float* columns, const long* sizes) { gather(x, columns, sizes); }
extern "C" void gather_windows_float64(const double* x, double* columns, const long* sizes) { gather(x, columns, sizes); }
extern "C" void scatter_windows_float32(const float* columns, float* x, const long* sizes) { scatter(columns, x, sizes); }
extern "C" void scatter_windows_float64(const double* columns, double* x, const long* sizes) { scatter(columns, x, sizes); }
