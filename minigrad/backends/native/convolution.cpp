// Convolutions of images x (n, h, w, c) with a kernel (kh, kw, c, f), and their transposes: see minigrad/ops/conv.py.
//
// If an image has zeros around it, a window is kh rows of kw·c contiguous numbers. Products of M windows and V vectors
// of features are summed in registers, one row of the windows after the other. So nothing is copied but the image, some
// rows at a time, to put the zeros around it, and the kernel, once, in panels of V vectors. In which order the products
// of a result are added depends on the sizes of one image and of the kernel: not on M, V, n or the processor.

constexpr long BAND = (1 << 17) / sizeof(REAL);  // numbers of an image to work on at a time: they stay in the cache

// The windows of an image: (i, j) of rows × columns begins at pixel (i·sh − top, j·sw − left).
struct Windows {
    long h, w, c, kh, kw, sh, sw, top, left, rows, columns;

    long run() const { return kw * c; }                           // numbers of a row of a window
    long width() const { return ((columns - 1) * sw + kw) * c; }  // numbers of a row of an image with its zeros
    long begin(long i) const { return larger(0, top - i * sh); }  // the rows of windows (i, …) that are in the image
    long end(long i) const { return smaller(kh, h + top - i * sh); }
    long band() const { return larger(1, (BAND / larger(1, width()) - kh) / sh + 1); }  // rows to work on at a time
    long padded() const { return ((smaller(rows, band()) - 1) * sh + kh) * width(); }   // numbers of a band's image
};

// Some rows of windows, and the rows of the image that they are in with the zeros before and after each.
struct Band {
    const Windows& s;
    long first, last;
    long start;  // the first row of the image
    real* padded;

    Band(const Windows& s, const real* x, long first, real* padded)
        : s(s),
          first(first),
          last(smaller(s.rows, first + s.band())),
          start(larger(0, first * s.sh - s.top)),
          padded(padded) {
        const long stop = smaller(s.h, (last - 1) * s.sh - s.top + s.kh), width = s.width();
        const long from = smaller(larger(0, s.left * s.c), width);
        const long to = larger(from, smaller((s.left + s.w) * s.c, width));
        for (long row = start; row < stop; row++, padded += width) {
            for (long k = 0; k < from; k++) padded[k] = 0;
            for (long k = from; k < to; k++) padded[k] = x[(row * s.w - s.left) * s.c + k];
            for (long k = to; k < width; k++) padded[k] = 0;
        }
    }

    // Row di of window (i, j).
    const real* at(long i, long j, long di) const {
        return padded + (i * s.sh - s.top + di - start) * s.width() + j * s.sw * s.c;
    }
};

// y[j·right + f] ← Σ_k window(i, j)[k] · panel[k, f]
template <int V, int M>
static void correlate_row(const Band& band, const real* panel, long i, real* y, long right, long features) {
    const Windows& s = band.s;
    for (long j = 0; j < s.columns; j += M) {
        j = smaller(j, s.columns - M);  // the last tile may overlap the one before
        Tile<V, M> tile;
        for (long di = s.begin(i); di < s.end(i); di++)
            tile.add(band.at(i, j, di), s.sw * s.c, 1, panel + di * s.run() * V * LANES, V * LANES, s.run());
        tile.store(y + j * right, right, features);
    }
}

template <int V, int... M>
static auto choose_height(long columns, Heights<M...>) {
    auto row = correlate_row<V, 1>;
    long least = 2 * columns;  // windows that are computed, some of them twice
    const auto consider = [&](auto candidate, long height) {
        const long computed = divide_up(columns, height) * height;
        if (height <= columns && computed < least) row = candidate, least = computed;
    };
    (consider(correlate_row<V, M>, M), ...);
    return row;
}

template <int V>
static void correlate_band(const Band& band, const real* panel, real* y, long down, long right, long features) {
    constexpr int tallest = TALLEST<V>;
    constexpr Heights<tallest, tallest * 4 / 7, tallest / 2, tallest * 2 / 7, 2> heights;
    const auto row = choose_height<V>(band.s.columns, heights);
    for (long i = band.first; i < band.last; i++) row(band, panel, i, y + i * down, right, features);
}

// y[i·down + j·right + f] ← Σ_k window(i, j)[k] · w[k, f], for the windows of one image and w in panels
static void correlate(
    const real* x, const real* panels, real* y, const Windows& s, long features, long down, long right, real* padded) {
    for (long first = 0; first < s.rows;) {
        const Band band(s, x, first, padded);
        const real* panel = panels;
        for (long f = 0, width; f < features; f += width, panel += s.kh * s.run() * width) {
            width = panel_width(features - f);
            const long count = smaller(features - f, width);
            if (width == LANES) correlate_band<1>(band, panel, y + f, down, right, count);
            else if (width == 2 * LANES) correlate_band<2>(band, panel, y + f, down, right, count);
            else correlate_band<WIDEST>(band, panel, y + f, down, right, count);
        }
        first = band.last;
    }
}

static long rows_of_products(const Windows& s, long all) {
    return larger(1, 2 * BAND / (s.width() / s.c * all) - s.kh + 1);
}

// The same for one window at every pixel and FEW features: each pixel times the weights of all taps first, so that
// vectors are full, then the sums of what belongs to a window. `panels` are those of a matrix (c, taps·features), and
// `products` have zeros before and after each row.
template <int FEW>
static void correlate_by_taps(
    const real* x, const real* panels, real* y, const Windows& s, real* padded, real* products) {
    const long all = s.kh * s.kw * FEW, width = s.width() / s.c, band = rows_of_products(s, all);
    for (long first = 0, last; first < s.rows; first = last) {
        last = smaller(s.rows, first + band);
        const long start = larger(0, first - s.top), rows = smaller(s.h, last - 1 - s.top + s.kh) - start;
        const Windows pixels = {rows, s.w, s.c, 1, 1, 1, 1, 0, 0, rows, s.w};
        correlate(x + start * s.w * s.c, panels, products + s.left * all, pixels, all, width * all, all, padded);
        for (long i = first; i < last; i++)
            for (long j = 0; j < s.columns; j++, y += FEW) {
                real sum[FEW] = {};
                for (long di = s.begin(i); di < s.end(i); di++) {
                    const real* product = products + ((i - s.top + di - start) * width + j) * all + di * s.kw * FEW;
                    for (long dj = 0; dj < s.kw; dj++, product += all + FEW)
                        for (int f = 0; f < FEW; f++) sum[f] += product[f];
                }
                for (int f = 0; f < FEW; f++) y[f] = sum[f];
            }
    }
}

// sums[k, f] += Σ_j window(i, j)[k] · d[i, j, f], for the rows i of a band of some images one after the other, for M
// numbers k of row di of the windows and V vectors of features f
template <int V, int M>
static void add_products(const Band& band, long images, long di, long k, const real* d, real* sums, long width) {
    const Windows& s = band.s;
    Tile<V, M> tile;
    for (long image = 0; image < images; image++)
        for (long i = band.first; i < band.last; i++)
            if (s.begin(i) <= di && di < s.end(i))
                tile.add(band.at(i, 0, di) + image * s.padded() + k, 1, s.sw * s.c,
                         d + (image * s.rows + i) * s.columns * width, width, s.columns);
    tile.store(sums + (di * s.run() + k) * width, width, width, true);
}

template <int V, int... M>
static void add_run(const Band& band, long images, long di, const real* d, real* sums, long width, Heights<M...>) {
    long k = 0;
    ([&] { for (; k + M <= band.s.run(); k += M) add_products<V, M>(band, images, di, k, d, sums, width); }(), ...);
}

template <int V>
static void add_band(const Band& band, long images, const real* d, real* sums, long width) {
    constexpr int tallest = smaller(12, TALLEST<V>);  // most kernels are 3 wide
    constexpr Heights<tallest, tallest / 2, 3, 2, 1> heights;
    for (long di = 0; di < band.s.kh; di++) add_run<V>(band, images, di, d, sums, width, heights);
}

// y ← x, rows of `from` numbers as rows of `to`: shorter, or with zeros at their ends
static void copy_rows(const real* x, long from, real* y, long to, long count) {
    for (long row = 0; row < count; row++)
        for (long k = 0; k < to; k++) *y++ = k < from ? x[row * from + k] : 0;
}

// What Python calls: functions of sizes and arrays, which return how many numbers of scratch memory they need. If none
// is given, they only do that.

struct Sizes {
    long n, h, w, c, ho, wo, f, kh, kw, sh, sw, top, left;

    long image() const { return h * w * c; }
    long result() const { return ho * wo * f; }
};

static long conv_by_taps(const Sizes& a, const Windows& s, const real* x, const real* w, real* y, real* scratch) {
    const long all = a.kh * a.kw * a.f, kernel = packed(a.c, all), width = s.width() / s.c;
    const long rows = smaller(s.rows, rows_of_products(s, all)) + s.kh - 1;
    const Windows pixels = {rows, a.w, a.c, 1, 1, 1, 1, 0, 0, rows, a.w};
    const long image = pixels.padded(), size = rows * width * all;
    if (scratch) {
        real *products = scratch + kernel + image, *across = products + size;  // the kernel with its channels as rows
        for (long k = 0; k < all * a.c; k++) {
            const long tap = k / (a.c * a.f), c = k / a.f % a.c, f = k % a.f;
            across[c * all + tap * a.f + f] = w[k];
        }
        pack(scratch, a.c, all, [&](long c) { return across + c * all; }, 1);
        for (long k = 0; k < size; k++) products[k] = 0;
        constexpr decltype(&correlate_by_taps<1>) by_features[] = {
            correlate_by_taps<1>, correlate_by_taps<2>, correlate_by_taps<3>, correlate_by_taps<4>};
        for (long n = 0; n < a.n; n++)
            by_features[a.f - 1](x + n * a.image(), scratch, y + n * a.result(), s, scratch + kernel, products);
    }
    return kernel + image + size + a.c * all;
}

extern "C" long conv(const Sizes* sizes, const real* x, const real* w, real* y, real* scratch) {
    const Sizes& a = *sizes;
    const Windows s = {a.h, a.w, a.c, a.kh, a.kw, a.sh, a.sw, a.top, a.left, a.ho, a.wo};
    if (a.sh == 1 && a.sw == 1 && a.f <= 4 && 4 * a.f <= a.c) return conv_by_taps(a, s, x, w, y, scratch);
    const long count = a.kh * s.run(), kernel = packed(count, a.f);
    if (scratch) {
        pack(scratch, count, a.f, [&](long k) { return w + k * a.f; }, 1);
        for (long n = 0; n < a.n; n++)
            correlate(x + n * a.image(), scratch, y + n * a.result(), s, a.f, a.wo * a.f, a.f, scratch + kernel);
    }
    return kernel + s.padded();
}

// The pixels (i0 + i·sh, j0 + j·sw) of the images are in windows that begin at multiples of the stride: they are a
// correlation of the results with every sh-th and sw-th tap of the kernel, in reverse order.
extern "C" long conv_input(const Sizes* sizes, const real* d, const real* w, real* x, real* scratch) {
    const Sizes& a = *sizes;
    long most = 0;
    for (long i0 = 0; i0 < smaller(a.sh, a.h); i0++)
        for (long j0 = 0; j0 < smaller(a.sw, a.w); j0++) {
            const long di0 = (i0 + a.top) % a.sh, dj0 = (j0 + a.left) % a.sw;  // the first taps
            const long down = divide_up(larger(0, a.kh - di0), a.sh), right = divide_up(larger(0, a.kw - dj0), a.sw);
            const long top = down - 1 - (i0 + a.top) / a.sh, left = right - 1 - (j0 + a.left) / a.sw;
            const long rows = divide_up(a.h - i0, a.sh), columns = divide_up(a.w - j0, a.sw);
            const Windows s = {a.ho, a.wo, a.f, down, right, 1, 1, top, left, rows, columns};
            const long kernel = packed(down * s.run(), a.c);
            most = larger(most, kernel + s.padded());
            if (!scratch) continue;
            const auto row = [&](long k) {
                const long tap = k / a.f;
                const long di = di0 + (down - 1 - tap / right) * a.sh, dj = dj0 + (right - 1 - tap % right) * a.sw;
                return w + (di * a.kw + dj) * a.c * a.f + k % a.f;
            };
            pack(scratch, down * s.run(), a.c, row, a.f);
            for (long n = 0; n < a.n; n++)
                correlate(d + n * a.result(), scratch, x + n * a.image() + (i0 * a.w + j0) * a.c, s, a.c,
                          a.sh * a.w * a.c, a.sw * a.c, scratch + kernel);
        }
    return most;
}

extern "C" long conv_kernel(const Sizes* sizes, const real* x, const real* d, real* w, real* scratch) {
    const Sizes& a = *sizes;
    const Windows s = {a.h, a.w, a.c, a.kh, a.kw, a.sh, a.sw, a.top, a.left, a.ho, a.wo};
    const long count = a.kh * s.run(), width = divide_up(a.f, LANES) * LANES, pixels = a.ho * a.wo;
    const bool exact = width == a.f;  // else features and sums are copied, with zeros at the end of their rows
    const long fit = smaller(a.n, 2 * BAND / (s.padded() + pixels * a.f));
    const long together = s.band() < s.rows ? 1 : larger(1, fit);  // images
    if (scratch) {
        real *features = scratch + together * s.padded(), *sums = exact ? w : features + together * pixels * width;
        for (long k = 0; k < count * width; k++) sums[k] = 0;
        for (long begin = 0; begin < a.n; begin += together) {
            const long images = smaller(together, a.n - begin);
            const real* here = d + begin * a.result();
            if (!exact) copy_rows(here, a.f, features, width, images * pixels);
            if (!exact) here = features;
            for (long first = 0; first < s.rows;) {
                for (long n = 1; n < images; n++) Band(s, x + (begin + n) * a.image(), first, scratch + n * s.padded());
                const Band band(s, x + begin * a.image(), first, scratch);
                long f = 0;
                for (; f + 2 * LANES <= width; f += 2 * LANES) add_band<2>(band, images, here + f, sums + f, width);
                if (f < width) add_band<1>(band, images, here + f, sums + f, width);
                first = band.last;
            }
        }
        if (!exact) copy_rows(sums, width, w, a.f, count);
    }
    return together * (s.padded() + (exact ? 0 : pixels * width)) + (exact ? 0 : count * width);
}
