// Counter-based random streams: the same bits as numpy/streams.py, which defines each number.
//
// Every operation that rounds is written as an intrinsic (__fmul_rn, __dadd_rn, …), so that the compiler may not fuse
// two of them into a multiply-add; a test checks this in the PTX.

typedef unsigned int word;
typedef unsigned long long wide;
typedef long long place;

// Philox4x32-10 of the counter (low half of i, high half of i, 0, lane).
__device__ __forceinline__ uint4 philox(word k0, word k1, wide i, word lane) {
    word c0 = (word)i, c1 = (word)(i >> 32), c2 = 0, c3 = lane;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        word hi0 = __umulhi(0xD2511F53u, c0), lo0 = 0xD2511F53u * c0;
        word hi1 = __umulhi(0xCD9E8D57u, c2), lo1 = 0xCD9E8D57u * c2;
        c0 = hi1 ^ c1 ^ k0;
        c1 = lo1;
        c2 = hi0 ^ c3 ^ k1;
        c3 = lo0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return make_uint4(c0, c1, c2, c3);
}

// One rounding each.
__device__ __forceinline__ float times(float x, float y) { return __fmul_rn(x, y); }
__device__ __forceinline__ float plus(float x, float y) { return __fadd_rn(x, y); }
__device__ __forceinline__ float root(float x) { return __fsqrt_rn(x); }
__device__ __forceinline__ double times(double x, double y) { return __dmul_rn(x, y); }
__device__ __forceinline__ double plus(double x, double y) { return __dadd_rn(x, y); }
__device__ __forceinline__ double root(double x) { return __dsqrt_rn(x); }

// Horner's rule: c + x·(rest).
template <class real>
__device__ __forceinline__ real polynomial(real x, real c) {
    return c;
}
template <class real, class... Rest>
__device__ __forceinline__ real polynomial(real x, real c, Rest... rest) {
    return plus(times(polynomial(x, rest...), x), c);
}

// A floating-point format: its integers, and the two polynomials fitted for it.
template <class real>
struct Format;

template <>
struct Format<float> {
    typedef int integer;
    typedef word natural;
    static const int bits = 32, digits = 24;
    static const integer root_half = 0x3F3504F3;
    static __device__ __forceinline__ integer bits_of(float x) { return __float_as_int(x); }
    static __device__ __forceinline__ float number(integer x) { return __int_as_float(x); }
    static __device__ __forceinline__ float to_real(integer x) { return __int2float_rn(x); }
    static __device__ __forceinline__ float magnitude(float x) { return fabsf(x); }
    static __device__ __forceinline__ float log(float f) {
        return polynomial(f, 0.99999976f, -0.66666675f, 0.500032f, -0.40002474f, 0.33216357f, -0.28390786f, 0.2652722f,
                          -0.2565503f, 0.14958704f);
    }
    static __device__ __forceinline__ float sine(float t) {
        return polynomial(t, 0.4999998f, 0.06657699f, 0.0040682442f, 0.00015129439f);
    }
};

template <>
struct Format<double> {
    typedef long long integer;
    typedef wide natural;
    static const int bits = 64, digits = 53;
    static const integer root_half = 0x3FE6A09E667F3BCDll;
    static __device__ __forceinline__ integer bits_of(double x) { return __double_as_longlong(x); }
    static __device__ __forceinline__ double number(integer x) { return __longlong_as_double(x); }
    static __device__ __forceinline__ double to_real(integer x) { return __ll2double_rn(x); }
    static __device__ __forceinline__ double magnitude(double x) { return fabs(x); }
    static __device__ __forceinline__ double log(double f) {
        return polynomial(f, 1.0000000000000009, -0.666666666666659, 0.499999999999468, -0.4000000000022548,
                          0.33333333342970745, -0.28571428552749123, 0.24999999195118291, -0.2222222256881958,
                          0.2000003650656971, -0.18181843152029648, 0.166657063096351, -0.15383080740431865,
                          0.14300361047394775, -0.13369678340628147, 0.12382437951054204, -0.11328412054198515,
                          0.11399310455690485, -0.1305541442400529, 0.11891635423254239, -0.051321003266075034);
    }
    static __device__ __forceinline__ double sine(double t) {
        return polynomial(t, 0.49999999999999994, 0.06657486246595908, 0.004074862465942106, 0.0001432778057284354,
                          3.2710232154478955e-06, 5.2406724608668484e-08, 6.214528507392945e-10, 5.874149953580066e-12);
    }
};

// A power of two, exact.
template <class real>
__device__ constexpr real power_of_two(int n) {
    return n < 0 ? power_of_two<real>(n + 1) / 2 : n ? power_of_two<real>(n - 1) * 2 : (real)1;
}

// √(−2 ln u), where u = (v >> 1 | 1)·2^(1−B). With u = (1+f)·2^−e, −2 ln u = f²·log(f) − 2f + e·2 ln 2.
template <class real>
__device__ __forceinline__ real radius(typename Format<real>::natural v) {
    typedef Format<real> form;
    typedef typename form::integer integer;
    constexpr integer one = (integer)1 << (form::digits - 1);  // an exponent's lowest bit
    constexpr real weight = (real)(2 * 0.69314718055994530942 * power_of_two<double>(1 - form::digits));
    real u = times(form::to_real((integer)(v >> 1) | 1), power_of_two<real>(1 - form::bits));
    integer bits = form::bits_of(u), shift = (form::root_half + one - 1 - bits) & -one;  // e · one
    real f = plus(form::number(bits + shift), (real)-1);
    real y = times(times(form::log(f), f), f);
    y = plus(y, -times(f, (real)2));
    return root(plus(y, times(form::to_real(shift), weight)));
}

// sin(xπ/2) = x + x·t·sine(t) with t = 1 − x².
template <class real>
__device__ __forceinline__ real sine(real x) {
    real t = plus((real)1, -times(x, x));
    return plus(times(times(Format<real>::sine(t), t), x), x);
}

// The arguments of the sines of a pair, from its second word: ±(1 − |a|), whose sine is (−1)^w · cos(aπ/2), and a.
template <class real>
__device__ __forceinline__ void angles(typename Format<real>::natural w, real& x, real& a) {
    typedef Format<real> form;
    typedef typename form::integer integer;
    a = times(form::to_real(((integer)w >> (form::bits - form::digits - 1)) | 1), power_of_two<real>(-form::digits));
    x = plus((real)1, -form::magnitude(a));
    x = form::number(form::bits_of(x) ^ (integer)(w << (form::bits - 1)));
}

// The Box–Muller pair from two words: ((−1)^w · r cos(aπ/2), r sin(aπ/2)).
template <class real>
__device__ __forceinline__ void normal_pair(
    typename Format<real>::natural v, typename Format<real>::natural w, real& first, real& second
) {
    real r = radius<real>(v), x, a;
    angles<real>(w, x, a);
    first = times(sine(x), r);
    second = times(sine(a), r);
}

__device__ __forceinline__ wide join_words(word low, word high) { return (wide)high << 32 | low; }

// The numbers of one counter: four of 32 bits, or two of 64.
__device__ __forceinline__ void normals(uint4 w, float* y) {
    normal_pair<float>(w.x, w.y, y[0], y[1]);
    normal_pair<float>(w.z, w.w, y[2], y[3]);
}
__device__ __forceinline__ void normals(uint4 w, double* y) {
    normal_pair<double>(join_words(w.x, w.y), join_words(w.z, w.w), y[0], y[1]);
}
__device__ __forceinline__ void uniforms(uint4 w, float* y) {
    y[0] = times((float)(w.x >> 8), power_of_two<float>(-24));
    y[1] = times((float)(w.y >> 8), power_of_two<float>(-24));
    y[2] = times((float)(w.z >> 8), power_of_two<float>(-24));
    y[3] = times((float)(w.w >> 8), power_of_two<float>(-24));
}
__device__ __forceinline__ void uniforms(uint4 w, double* y) {
    y[0] = times((double)(join_words(w.x, w.y) >> 11), power_of_two<double>(-53));
    y[1] = times((double)(join_words(w.z, w.w) >> 11), power_of_two<double>(-53));
}

// One number of a stream, for generated kernels, which draw noise where they use it. Only this one of its pair is made.
__device__ __forceinline__ void words_of_pair(uint4 w, wide pair, word& first, word& second) {
    first = pair % 2 ? w.z : w.x, second = pair % 2 ? w.w : w.y;
}
__device__ __forceinline__ void words_of_pair(uint4 w, wide pair, wide& first, wide& second) {
    first = join_words(w.x, w.y), second = join_words(w.z, w.w);
}
template <class real>
__device__ __forceinline__ real normal_at(const word* key, wide position) {
    typename Format<real>::natural first, second;
    words_of_pair(philox(key[0], key[1], position / (16 / sizeof(real)), 0), position / 2, first, second);
    real x, a;
    angles<real>(second, x, a);
    return times(sine(position % 2 ? a : x), radius<real>(first));
}
template <class real>
__device__ __forceinline__ real uniform_at(const word* key, wide position) {
    constexpr int each = 16 / sizeof(real);
    real y[each];
    uniforms(philox(key[0], key[1], position / each, 0), y);
    return y[position % each];
}

// Entry points: `size` numbers from position offset + *start on. A thread loops over counters, so that bounds are
// computed once; numbers of a counter before the first or after the last are dropped.
template <class number, class Numbers>
__device__ __forceinline__ void draw(
    const word* key, number* out, wide offset, const wide* start, place size, word lane, Numbers numbers
) {
    constexpr int each = 16 / sizeof(number);
    offset += *start;
    const word k0 = key[0], k1 = key[1];
    const place step = (place)gridDim.x * blockDim.x * each;
    place at = ((place)blockIdx.x * blockDim.x + threadIdx.x) * each - (place)(offset % each);  // its first number
    const bool aligned = (wide)(out + at) % 16 == 0;
#pragma unroll 1
    for (; at < size; at += step) {
        alignas(16) number y[each];
        numbers(philox(k0, k1, (offset + at) / each, lane), y);
        if (aligned && at >= 0 && at + each <= size) {
            *(uint4*)(out + at) = *(const uint4*)y;
        } else {
#pragma unroll
            for (int k = 0; k < each; k++)
                if (at + k >= 0 && at + k < size) out[at + k] = y[k];
        }
    }
}

#define DRAW(name, number, fill)                                                                                       \
    extern "C" __global__ void name(                                                                                   \
        const word* key, number* out, wide offset, const wide* start, place size, word lane                            \
    ) {                                                                                                                \
        draw(key, out, offset, start, size, lane, [](uint4 w, number* y) { fill; });                                   \
    }

DRAW(random_bits, word, (y[0] = w.x, y[1] = w.y, y[2] = w.z, y[3] = w.w))
DRAW(random_uniform_f32, float, uniforms(w, y))
DRAW(random_uniform_f64, double, uniforms(w, y))
DRAW(random_normal_f32, float, normals(w, y))
DRAW(random_normal_f64, double, normals(w, y))
