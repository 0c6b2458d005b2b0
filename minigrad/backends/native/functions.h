// Elementary functions without branches or tables, which a compiler can vectorise. NaN gives NaN; results beyond the
// largest number are infinite; the errors also hold for subnormal arguments and results.
//
// Largest errors, in units in the last place (checked in test_native_functions.py; half a unit is rounding alone):
//
//            float   double
//     exp      1.1      1.1
//     expm1    1.7      1.9
//     log      0.9      0.9
//     log1p    1.5      1.5
//     tanh     2.5      2.7
//     sqrt     0.5      0.5
//     fabs     0        0

typedef unsigned int word;
typedef unsigned long long wide;
typedef long long place;

template <class to, class from>
static inline to bits_of(from x) {
    to y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}

// What differs between the two types of real numbers.
template <class real> struct format;
template <> struct format<float> {
    typedef int integer;
    static constexpr int digits = 23, terms = 7, odd_terms = 5;  // of the fraction; of the series of exp and of log
    static constexpr float to_integer = 0x1.8p23f;               // x + this rounds x to an integer, in the low bits
    static constexpr float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
    static constexpr float lowest = -104, highest = 89, saturated = -18;
    static constexpr int sqrt_half = 0x3f3504f3;
    static constexpr float smallest = 0x1p-126f;
};
template <> struct format<double> {
    typedef place integer;
    static constexpr int digits = 52, terms = 13, odd_terms = 11;
    static constexpr double to_integer = 0x1.8p52;
    static constexpr double ln2_high = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45;
    static constexpr double lowest = -746, highest = 710, saturated = -40;
    static constexpr place sqrt_half = 0x3fe6a09e667f3bcd;
    static constexpr double smallest = 0x1p-1022;
};

static inline float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline float fabs(float a) { return __builtin_fabsf(a); }
static inline double fabs(double a) { return __builtin_fabs(a); }
static inline float sqrt(float a) { return __builtin_sqrtf(a); }
static inline double sqrt(double a) { return __builtin_sqrt(a); }
template <class real> static inline bool isinf(real a) { return fabs(a) == (real)__builtin_inf(); }
template <class real> static inline bool isfinite(real a) { return fabs(a) < (real)__builtin_inf(); }
template <class real> static inline real larger(real a, real b) { return a >= b || a != a ? a : b; }
template <class real> static inline real smaller(real a, real b) { return a <= b || a != a ? a : b; }

// 2ⁿ for normal numbers
template <class real>
static inline real power_of_2(typename format<real>::integer n) {
    typedef format<real> f;
    typename f::integer bias = ((typename f::integer)1 << (8 * sizeof(real) - f::digits - 2)) - 1;
    return bits_of<real>((n + bias) << f::digits);
}

// x = n·ln 2 + r with |r| ≤ ½ ln 2; gives r, and n as an integer
template <class real>
static inline real reduce(real x, typename format<real>::integer& n) {
    typedef format<real> f;
    real shifted = multiply_add(x, (real)1.4426950408889634, f::to_integer);
    n = bits_of<typename f::integer>(shifted) - bits_of<typename f::integer>(f::to_integer);
    real whole = shifted - f::to_integer;
    return multiply_add(whole, -f::ln2_low, multiply_add(whole, -f::ln2_high, x));
}

// Σ rᵏ/k! from k = 2, without the factor r²
template <class real>
static inline real tail_of_exp(real r) {
    constexpr double inverse[] = {1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880,
                                  1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800};
    real sum = (real)inverse[format<real>::terms];
#pragma GCC unroll 16
    for (int k = format<real>::terms - 1; k >= 2; k--) sum = multiply_add(sum, r, (real)inverse[k]);
    return sum;
}

// eˣ = 2ⁿ·eʳ, in two factors so that subnormal results are rounded once
template <class real>
static inline real exp(real x) {
    typedef format<real> f;
    x = x < f::lowest ? f::lowest : x > f::highest ? f::highest : x;
    typename f::integer n;
    real r = reduce(x, n);
    real y = 1 + multiply_add(r * r, tail_of_exp(r), r);
    typename f::integer half = n >> 1;
    return y * power_of_2<real>(half) * power_of_2<real>(n - half);
}

// eˣ − 1 = 2·(2ⁿ⁻¹·(eʳ − 1) + (2ⁿ⁻¹ − ½))
template <class real>
static inline real expm1(real x) {
    typedef format<real> f;
    real clipped = x < f::saturated ? f::saturated : x > f::highest ? f::highest : x;
    typename f::integer n;
    real r = reduce(clipped, n);
    real scale = power_of_2<real>(n - 1);
    real y = 2 * multiply_add(scale, multiply_add(r * r, tail_of_exp(r), r), scale - (real)0.5);
    return fabs(x) < (real)1e-30 ? x : y;  // half of a subnormal number would be rounded
}

// x = 2ⁿ·(1 + u) with √½ ≤ 1 + u < √2, s = u/(2 + u): ln x = n·ln 2 + 2·artanh s, for positive normal x
template <class real>
static inline real log_of_normal(real x, typename format<real>::integer shift) {
    typedef format<real> f;
    typedef typename f::integer integer;
    integer i = bits_of<integer>(x) - f::sqrt_half;
    real n = (real)(int)((i >> f::digits) + shift);
    real u = bits_of<real>((i & (((integer)1 << f::digits) - 1)) + f::sqrt_half) - 1;
    real s = u / (2 + u), s2 = s * s, half = (real)0.5 * u * u;
    real sum = (real)2 / (2 * f::odd_terms + 1);
#pragma GCC unroll 16
    for (int k = f::odd_terms - 1; k >= 1; k--) sum = multiply_add(sum, s2, (real)2 / (2 * k + 1));
    real correction = multiply_add(s, half + sum * s2, n * f::ln2_low);
    return multiply_add(n, f::ln2_high, u - (half - correction));
}

template <class real>
static inline real log(real x) {
    typedef format<real> f;
    bool tiny = x < f::smallest;
    real y = log_of_normal(tiny ? x * ((wide)1 << f::digits) : x, tiny ? -f::digits : 0);
    y = x < (real)__builtin_inf() ? y : x;  // ∞ and NaN
    return x > 0 ? y : x == 0 ? -(real)__builtin_inf() : x != x ? x : (real)__builtin_nan("");
}

// ln(1 + x), with what is lost in rounding 1 + x
template <class real>
static inline real log1p(real x) {
    real sum = 1 + x, lost = x - (sum - 1);
    real y = log_of_normal(sum, 0) + lost / sum;
    y = fabs(x) < (real)1e-30 || sum == (real)__builtin_inf() ? x : y;
    return sum > 0 ? y : sum == 0 ? -(real)__builtin_inf() : x != x ? x : (real)__builtin_nan("");
}

// tanh x = (e²ˣ − 1)/(e²ˣ + 1), of |x|
template <class real>
static inline real tanh(real x) {
    real size = fabs(x);
    real grown = expm1(2 * (size > 20 ? (real)20 : size));
    real y = grown / (grown + 2);
    return x < 0 ? -y : x == 0 ? x : y;
}
