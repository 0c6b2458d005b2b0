// What the device functions of backends/cuda/streams.cu ask of CUDA, in plain C++. Products and sums are not contracted
// (compiler.py), so each rounds once, as the intrinsics do: numbers are the same to the bit.

#define __device__
#define __forceinline__ inline

struct uint4 {
    word x, y, z, w;
};
static inline uint4 make_uint4(word x, word y, word z, word w) { return {x, y, z, w}; }
static inline word __umulhi(word a, word b) { return (word)((wide)a * b >> 32); }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsqrt_rn(float a) { return sqrt(a); }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsqrt_rn(double a) { return sqrt(a); }
static inline int __float_as_int(float a) { return bits_of<int>(a); }
static inline float __int_as_float(int a) { return bits_of<float>(a); }
static inline place __double_as_longlong(double a) { return bits_of<place>(a); }
static inline double __longlong_as_double(place a) { return bits_of<double>(a); }
static inline float __int2float_rn(int a) { return (float)a; }
static inline double __ll2double_rn(place a) { return (double)a; }
static inline float fabsf(float a) { return fabs(a); }
