/* The compiled kernels: every template once in float64 and once in float32.
 *
 * This file is compiled several times, once per instruction set, with -DVECTOR_BYTES=16, 32 or 64
 * (see build.py); library.py loads the widest that the processor runs. Plain C with GCC's vector
 * extensions: no intrinsics, no Python headers. */
#include <stdlib.h>
#include <string.h>

#ifndef VECTOR_BYTES
#define VECTOR_BYTES 16
#endif
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define EXPORT __attribute__((visibility("default")))

enum { OUT_OF_MEMORY = 1 };

static void *allocate(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

/* Stops the compiler from removing or vectorising away a probe's loop. */
#if defined(__x86_64__)
#define KEEP_IN_REGISTERS(value) __asm__ volatile("" : "+x"(value))
#else
#define KEEP_IN_REGISTERS(value) __asm__ volatile("" : "+w"(value))
#endif
static volatile double probe_sink;

/* Hides where an address comes from, so that what it points to is loaded anew. */
#define OPAQUE(pointer) __asm__("" : "+r"(pointer))

/* Lane indices for the interleaving of two vectors' lower and upper halves. */
typedef long long index_f64 __attribute__((vector_size(VECTOR_BYTES)));
typedef int index_f32 __attribute__((vector_size(VECTOR_BYTES)));
#if VECTOR_BYTES == 64
#define LOW8 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH8 4, 12, 5, 13, 6, 14, 7, 15
#define LOW16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
static const index_f64 zip_low_f64 = {LOW8}, zip_high_f64 = {HIGH8};
static const index_f32 zip_low_f32 = {LOW16}, zip_high_f32 = {HIGH16};
#elif VECTOR_BYTES == 32
static const index_f64 zip_low_f64 = {0, 4, 1, 5}, zip_high_f64 = {2, 6, 3, 7};
static const index_f32 zip_low_f32 = {0, 8, 1, 9, 2, 10, 3, 11};
static const index_f32 zip_high_f32 = {4, 12, 5, 13, 6, 14, 7, 15};
#else
static const index_f64 zip_low_f64 = {0, 2}, zip_high_f64 = {1, 3};
static const index_f32 zip_low_f32 = {0, 4, 1, 5}, zip_high_f32 = {2, 6, 3, 7};
#endif

/* Updates of the spectrum, one per stage of a scheme; the Python side lists the same names. */
enum {
    LOAD,
    ETDRK4_A,
    ETDRK4_A_RECORD,
    ETDRK4_B,
    ETDRK4_C,
    ETDRK4_D,
    AB4,
    PECE_PREDICT,
    PECE_CORRECT
};
enum { SCHEME_ETDRK4, SCHEME_ETDAB4, SCHEME_ETD_PECE };

#define REAL double
#define NAME(x) x##_f64
#include "templates.h"
#include "four_step.h"
#undef REAL
#undef NAME

#define REAL float
#define NAME(x) x##_f32
#include "templates.h"

#include "rows.h"

/* The widest instruction set of this processor: 2 AVX-512, 1 AVX2 with FMA, 0 neither. */
EXPORT int instruction_set(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return 2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
    return 0;
}

EXPORT long vector_bytes(void) { return VECTOR_BYTES; }

EXPORT const char *compiler(void) { return __VERSION__; }
