// CUDA C++ as plain C++: the language extensions and intrinsics of a kernel, run on one core of the host.
//
// Blocks run one after another, in one of several orders (`turn`): results that depend on the order show a race. The
// threads of a block are fibres: each runs until it waits for others, and resumes when they have arrived. A block whose
// threads never wait is a plain loop in one fibre. Behaviour that CUDA leaves undefined, if detected, is an error (a
// barrier that not all threads reach) or gives NaN (uninitialized shared memory, a lane that takes no part).
#pragma once
#include <link.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <type_traits>
#include <ucontext.h>
#include <utility>

// Language extensions

#define __global__ __attribute__((used))
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static thread_local  // so that `spoil_this` finds all of it
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define alignas __align__  // CUDA accepts it after __shared__ too

struct uint3 {
    unsigned x, y, z;
};
using dim3 = uint3;
static uint3 threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;

#define SHIM_VECTORS(T, name)                                                                              \
    struct alignas(2 * sizeof(T)) name##2 {                                                                \
        T x, y;                                                                                            \
    };                                                                                                     \
    struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) name##4 {                                      \
        T x, y, z, w;                                                                                      \
    };                                                                                                     \
    [[maybe_unused]] static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                     \
    [[maybe_unused]] static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SHIM_VECTORS(float, float)
SHIM_VECTORS(double, double)
SHIM_VECTORS(int, int)
SHIM_VECTORS(unsigned, uint)
SHIM_VECTORS(long long, longlong)
SHIM_VECTORS(unsigned long long, ulonglong)

// Functions. -ffp-contract=off rounds each + − × everywhere, as the _rn functions do on the device.

template <class To, class From>
static inline To shim_bits(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
#define SHIM_BITS(name, To, From) \
    [[maybe_unused]] static inline To name(From x) { return shim_bits<To>(x); }
SHIM_BITS(__float_as_int, int, float)
SHIM_BITS(__int_as_float, float, int)
SHIM_BITS(__float_as_uint, unsigned, float)
SHIM_BITS(__uint_as_float, float, unsigned)
SHIM_BITS(__double_as_longlong, long long, double)
SHIM_BITS(__longlong_as_double, double, long long)

#define SHIM_ROUNDED(T, letter, end)                                                               \
    [[maybe_unused]] static inline T __##letter##add_rn(T x, T y) { return x + y; }                \
    [[maybe_unused]] static inline T __##letter##sub_rn(T x, T y) { return x - y; }                \
    [[maybe_unused]] static inline T __##letter##mul_rn(T x, T y) { return x * y; }                \
    [[maybe_unused]] static inline T __##letter##div_rn(T x, T y) { return x / y; }                \
    [[maybe_unused]] static inline T __##letter##sqrt_rn(T x) { return sqrt(x); }                  \
    [[maybe_unused]] static inline T __##end##_rn(T x, T y, T z) { return fma(x, y, z); }
SHIM_ROUNDED(float, f, fmaf)
SHIM_ROUNDED(double, d, fma)

#define SHIM_CONVERTED(name, To, From) \
    [[maybe_unused]] static inline To name(From x) { return static_cast<To>(x); }
SHIM_CONVERTED(__int2float_rn, float, int)
SHIM_CONVERTED(__uint2float_rn, float, unsigned)
SHIM_CONVERTED(__int2double_rn, double, int)
SHIM_CONVERTED(__uint2double_rn, double, unsigned)
SHIM_CONVERTED(__ll2float_rn, float, long long)
SHIM_CONVERTED(__ll2double_rn, double, long long)
SHIM_CONVERTED(__ull2double_rn, double, unsigned long long)

[[maybe_unused]] static inline unsigned __umulhi(unsigned x, unsigned y) {
    return static_cast<unsigned>(static_cast<unsigned long long>(x) * y >> 32);
}
[[maybe_unused]] static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(x) * y >> 64);
}
template <class T>
static inline T __ldg(const T* p) {
    return *p;
}
template <class T, class U>
static inline std::common_type_t<T, U> min(T x, U y) {
    return y < x ? y : x;
}
template <class T, class U>
static inline std::common_type_t<T, U> max(T x, U y) {
    return x < y ? y : x;
}
[[maybe_unused]] static inline float rsqrtf(float x) { return 1 / sqrtf(x); }

// Threads of a block

namespace shim {
constexpr int MOST = 1024, STACK = (1 << 16) + 17 * 64;  // not a power of two, for the caches
constexpr unsigned long long GARBAGE = ~0ull;  // NaN in every floating-point type

struct Fibre {
    bool begun;
    jmp_buf here;
};
struct Thread {
    enum { READY, AT_WARP, AT_BLOCK, DONE } state;
    int line;                        // source line at which it waits
    unsigned lanes;                  // at a warp: the lanes it waits for
    int from;                        // the lane whose value it reads
    unsigned long long value;        // the value it offers, then the one it read
    Fibre* fibre;
};
static Thread threads[MOST];
static Fibre fibres[MOST];
static Fibre* idle[MOST];
static char stacks[MOST][STACK];
static Fibre* running;
static jmp_buf scheduler;
static int count, next, current, idles;
enum { FORWARDS, BACKWARDS, SHUFFLED } order = FORWARDS;

// The i-th of n in the current order.
static unsigned turn(unsigned i, unsigned n) {
    return order == FORWARDS ? i : order == BACKWARDS || n % 7 == 0 ? n - 1 - i : unsigned((7ull * i + 3) % n);
}
static void (*body)(void*, void**);
static void *kernel, **arguments;
static char error[400];

static void enter(int thread) {
    current = thread;
    const unsigned t = thread, x = blockDim.x, y = blockDim.y;
    threadIdx = {t % x, t / x % y, t / x / y};
}

static void leave() {
    if (!_setjmp(running->here)) _longjmp(scheduler, 1);
}

// The endless loop of a fibre: runs threads that have not begun; without any, returns to the scheduler as idle.
static void work() {
    for (;;) {
        while (next < count) {
            const int thread = turn(next++, count);
            threads[thread].fibre = running;
            enter(thread);
            body(kernel, arguments);
            threads[current].state = Thread::DONE;
        }
        idle[idles++] = running;
        leave();
    }
}

static void resume(Fibre* fibre) {
    running = fibre;
    if (_setjmp(scheduler)) return;
    if (fibre->begun) _longjmp(fibre->here, 1);
    fibre->begun = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stacks[fibre - fibres];
    context.uc_stack.ss_size = STACK;
    makecontext(&context, work, 0);
    setcontext(&context);
}

static void wait_for_block(int line) {
    threads[current].state = Thread::AT_BLOCK;
    threads[current].line = line;
    leave();
}

template <class T>
static T wait_for_warp(int line, unsigned lanes, T value, int from) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    Thread& me = threads[current];
    me.state = Thread::AT_WARP, me.line = line, me.lanes = lanes, me.from = from;
    memcpy(&me.value, &value, sizeof value);
    leave();
    memcpy(&value, &threads[current].value, sizeof value);
    return value;
}

// The lane that a shuffle within groups of `width` reads: its own beyond the end of the group.
enum Shuffle { AT, DOWN, XOR };
static inline int lane(Shuffle shuffle, int by, int width = warpSize) {
    const int mine = current % warpSize, first = mine / width * width;
    const int from = shuffle == AT ? first + by % width : shuffle == DOWN ? mine + by : mine ^ by;
    return from < first + width ? from : mine;
}
static inline unsigned lanes(unsigned mask = 0xFFFFFFFF) { return mask; }

static bool stuck(const Thread& one, const Thread& other) {
    const char* const where[] = {"", "at a warp's meeting", "at __syncthreads", "not at all, for it has returned"};
    const char* const message =
        "divergent barrier in block (%u, %u, %u): thread %d waits %s in line %d, thread %d %s in line %d";
    snprintf(error, sizeof error, message, blockIdx.x, blockIdx.y, blockIdx.z, int(&one - threads), where[one.state],
             one.line, int(&other - threads), where[other.state], other.line);
    return false;
}

// Resumes each thread of a warp once all lanes in its mask have arrived (or have returned).
static bool release_warp(Thread* warp, int size, bool& some) {
    unsigned long long values[warpSize];
    unsigned waiting = 0, alive = 0;
    for (int i = 0; i < size; i++) {
        values[i] = warp[i].value;
        waiting |= unsigned(warp[i].state == Thread::AT_WARP) << i;
        alive |= unsigned(warp[i].state != Thread::DONE) << i;
    }
    for (int i = 0; i < size; i++) {
        Thread& me = warp[i];
        const unsigned lanes = me.lanes & alive;
        if (!(waiting >> i & 1) || (lanes & ~waiting)) continue;
        for (int k = 0; k < size; k++)
            if ((lanes >> k & 1) && (warp[k].line != me.line || warp[k].lanes != me.lanes)) return stuck(me, warp[k]);
        me.state = Thread::READY;
        me.value = me.from >= 0 && me.from < size && (lanes >> me.from & 1) ? values[me.from] : GARBAGE;
        some = true;
    }
    return true;
}

// Once all threads wait or are done, wakes those that can run. False at the end, or in a deadlock (with `error`).
static bool release() {
    bool some = false;
    for (int i = 0; i < count; i += warpSize)
        if (!release_warp(threads + i, count - i < warpSize ? count - i : warpSize, some)) return false;
    if (some) return true;
    const Thread* first = nullptr;
    for (int i = 0; i < count; i++) {
        const Thread& me = threads[i];
        if (me.state == Thread::DONE) continue;
        if (!first) first = &me;
        const bool both_at_block = me.state == Thread::AT_BLOCK && first->state == Thread::AT_BLOCK;
        if (!both_at_block || me.line != first->line) return stuck(*first, me);
    }
    for (int i = 0; i < count; i++)
        if (threads[i].state == Thread::AT_BLOCK) threads[i].state = Thread::READY;
    return first != nullptr;
}

// Fills the shared memory of all kernels with garbage: it is the only thread-local memory of this library, whose
// program headers give its address and size.
static thread_local char spoiled;

static int spoil_this(dl_phdr_info* library, size_t, void*) {
    char* const start = static_cast<char*>(library->dlpi_tls_data);
    for (int i = 0; i < library->dlpi_phnum; i++) {
        const auto& header = library->dlpi_phdr[i];
        if (header.p_type != PT_TLS || !start || &spoiled < start || &spoiled >= start + header.p_memsz) continue;
        memset(start, int(GARBAGE & 0xFF), header.p_memsz);
        return 1;
    }
    return 0;
}

// Faults that would end the process: an unmapped address, or (by traps of the sanitizers) a misaligned address or an
// index beyond a declared array.
static jmp_buf failed;

static void fail(int signal) {
    const bool trap = signal == SIGILL;
    const char* const what = trap ? "misaligned address, or index out of bounds," : "illegal address or division";
    const char* const message = "%s in block (%u, %u, %u), thread %d";
    snprintf(error, sizeof error, message, what, blockIdx.x, blockIdx.y, blockIdx.z, current);
    _longjmp(failed, 1);
}

struct Watch {
    static constexpr int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction before[4];
    Watch() {
        struct sigaction mine = {};
        mine.sa_handler = fail, mine.sa_flags = SA_NODEFER;
        for (int i = 0; i < 4; i++) sigaction(signals[i], &mine, &before[i]);
    }
    ~Watch() {
        for (int i = 0; i < 4; i++) sigaction(signals[i], &before[i], nullptr);
    }
};

static bool run_block() {
    bool waited = false;
    for (next = 0; next < count;) resume(idle[--idles]);
    while (release()) {
        waited = true;
        for (int i = 0; i < count; i++) {
            const int thread = turn(i, count);
            if (threads[thread].state != Thread::READY) continue;
            enter(thread);
            resume(threads[thread].fibre);
        }
    }
    if (waited) dl_iterate_phdr(spoil_this, nullptr);  // threads that never wait share no memory
    return !error[0];
}

// Runs a kernel over a grid. Returns an error message, or null.
static const char* run() {
    static bool ready = false;
    if (!ready) {
        spoiled = 1;
        dl_iterate_phdr(spoil_this, nullptr);
        for (idles = 0; idles < MOST; idles++) {
            idle[idles] = &fibres[MOST - 1 - idles];
            idle[idles]->begun = false;
        }
    }
    error[0] = 0;
    count = blockDim.x * blockDim.y * blockDim.z;
    ready = false;  // after a failure, all fibres start afresh
    Watch watch;
    if (_setjmp(failed)) return error;
    for (unsigned z = 0; z < gridDim.z; z++)
        for (unsigned y = 0; y < gridDim.y; y++)
            for (unsigned x = 0; x < gridDim.x; x++) {
                blockIdx = {turn(x, gridDim.x), turn(y, gridDim.y), turn(z, gridDim.z)};
                if (!run_block()) return error;
            }
    ready = true;
    return nullptr;
}

// Kernels of any parameters, behind one interface

template <class T>
static void describe(char*& text) {
    using Bare = std::remove_cv_t<std::remove_pointer_t<T>>;
    const char kind = std::is_same_v<Bare, bool> ? 'b' : std::is_floating_point_v<Bare> ? 'f'
                      : !std::is_integral_v<Bare> ? 'V' : std::is_signed_v<Bare> ? 'i' : 'u';
    size_t size = 0;
    if constexpr (!std::is_void_v<Bare>) size = sizeof(Bare);
    text += sprintf(text, "%s%c%zu ", std::is_pointer_v<T> ? "*" : "", kind, size);
}

// The parameter types in NumPy's notation, separated by spaces: "f4" is float, "*i8" points to long long.
template <class... T>
static const char* parameters(void (*)(T...)) {
    static char text[sizeof...(T) * 8 + 1];
    [[maybe_unused]] char* end = text;
    (describe<T>(end), ...);
    return text;
}

template <class... T, size_t... I>
static void call(void (*f)(T...), void** values, std::index_sequence<I...>) {
    f(*static_cast<std::remove_cv_t<T>*>(values[I])...);
}

template <class... T>
static const char* launch(void (*f)(T...), dim3 grid, dim3 block, void** values) {
    gridDim = grid, blockDim = block, arguments = values, kernel = reinterpret_cast<void*>(f);
    body = [](void* f, void** values) {
        call(reinterpret_cast<void (*)(T...)>(f), values, std::index_sequence_for<T...>());
    };
    return run();
}
}  // namespace shim

#define __syncthreads() shim::wait_for_block(__LINE__)
#define __syncwarp(...) shim::wait_for_warp(__LINE__, shim::lanes(__VA_ARGS__), 0, -1)
#define SHIM_SHUFFLE(how, lanes, value, ...) \
    shim::wait_for_warp(__LINE__, lanes, value, shim::lane(shim::how, __VA_ARGS__))
#define __shfl_sync(...) SHIM_SHUFFLE(AT, __VA_ARGS__)
#define __shfl_down_sync(...) SHIM_SHUFFLE(DOWN, __VA_ARGS__)
#define __shfl_xor_sync(...) SHIM_SHUFFLE(XOR, __VA_ARGS__)
