/* isa.h: what differs between the copies of the kernels: their names, the width of a vector and the
   register blocks. Every file but dispatch.c and reference.c is compiled once for each instruction
   set, with GR__ISA saying which; every symbol that such a file exports goes through GR__NAME, so
   that the copies live side by side in one program. */
#ifndef GR_KERNELS_ISA_H
#define GR_KERNELS_ISA_H

#include "kernels.h"
#include "names.h"

#include <string.h>

#ifndef GR__ISA
#define GR__ISA baseline
#endif
#define GR__PASTE(f, isa) gr__##f##_##isa
#define GR__PASTE_EXPANDED(f, isa) GR__PASTE(f, isa)
#define GR__NAME(f) GR__PASTE_EXPANDED(f, GR__ISA)
#define GR__STRING(isa) #isa
#define GR__STRING_EXPANDED(isa) GR__STRING(isa)
#define GR__ISA_STRING GR__STRING_EXPANDED(GR__ISA)

/* The vector is as wide as a register, and the block of accumulators nearly fills the register
   file: ROWS x COLS of broadcast times vector (outer), DOT_ROWS x DOT_COLS of vector times vector
   (dots). A vector wider than the registers would be split by the compiler, at a tenth of the
   speed. */
#if defined __AVX512F__
#define GR__VECTOR_BYTES 64
enum { ROWS = 6, COLS = 4, DOT_ROWS = 4, DOT_COLS = 6 };
#elif defined __AVX__
#define GR__VECTOR_BYTES 32
enum { ROWS = 4, COLS = 3, DOT_ROWS = 3, DOT_COLS = 4 };
#elif defined __aarch64__
#define GR__VECTOR_BYTES 16
enum { ROWS = 6, COLS = 4, DOT_ROWS = 4, DOT_COLS = 5 };
#else
#define GR__VECTOR_BYTES 16
enum { ROWS = 4, COLS = 2, DOT_ROWS = 2, DOT_COLS = 4 };
#endif

#ifdef GRADUS_DOUBLE
typedef int64_t gr__lane;
#else
typedef int32_t gr__lane;
#endif
typedef gr_real  vec __attribute__((vector_size(GR__VECTOR_BYTES)));
typedef gr__lane ivec __attribute__((vector_size(GR__VECTOR_BYTES)));
typedef gr_real  vec_anywhere
    __attribute__((vector_size(GR__VECTOR_BYTES), aligned(sizeof(gr_real)), may_alias));
enum { LANES = GR__VECTOR_BYTES / (int)sizeof(gr_real) };
enum { CACHE_LINE = 64 / (int)sizeof(gr_real) }; /* of a cache */

#define GR__INLINE static inline __attribute__((always_inline, unused))

/* Every loop that this stands before has independent iterations, even where y is one of the
   operands. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed" /* slow without optimisation, but not wrong */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(undefined_behavior_sanitizer)
#define GR__UNROLL /* with a check at every access, unrolling takes clang minutes a file */
#else
#define GR__UNROLL _Pragma("clang loop unroll(full)")
#endif
#define GR__INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define GR__INDEPENDENT _Pragma("GCC ivdep")
#define GR__UNROLL _Pragma("GCC unroll 16")
#endif

GR__INLINE vec vec_all(gr_real x) { return x - (vec){ 0 }; }

GR__INLINE vec vec_load(const gr_real *p) { return *(const vec_anywhere *)p; }

GR__INLINE void vec_store(gr_real *p, vec v) { *(vec_anywhere *)p = v; }

/* The first n lanes; the others are zero, and memory past them is not touched. Of the loop, gcc
   makes one masked load where there is such a thing; clang would make a chain of branches. */
GR__INLINE vec vec_load_some(const gr_real *p, int64_t n)
{
#if GR__VECTOR_BYTES >= 32 && !defined __clang__
    gr_real  lane[LANES] __attribute__((aligned(GR__VECTOR_BYTES)));
    gr__lane some = (gr__lane)n;
#pragma GCC unroll 1
    for (gr__lane l = 0; l < LANES; l++) lane[l] = l < some ? p[l] : 0;
    return vec_load(lane);
#else
    vec v = { 0 };
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
#endif
}

/* By halves, each of a size that the compiler knows: a call for each vector costs more than the
   store. */
GR__INLINE void vec_store_some(gr_real *p, vec v, int64_t n)
{
    const gr_real *from = (const gr_real *)&v;
    GR__UNROLL
    for (int part = LANES; part > 0; part /= 2)
        if (n & part) {
            memcpy(p, from, (size_t)part * sizeof *p);
            p += part;
            from += part;
        }
}

GR__INLINE vec vec_choose(ivec mask, vec yes, vec no)
{
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

/* The first and the last `some` of n numbers. */
GR__INLINE void copy_ends(gr_real *to, const gr_real *from, int64_t n, const int some)
{
    memcpy(to, from, (size_t)some * sizeof *to);
    memcpy(to + n - some, from + n - some, (size_t)some * sizeof *to);
}

/* Exactly n > 0 numbers, by few and overlapping stores. */
GR__INLINE void copy_exactly(gr_real *to, const gr_real *from, int64_t n)
{
    for (; n > 2 * LANES; n -= LANES, to += LANES, from += LANES) vec_store(to, vec_load(from));
    if (n >= LANES)
        copy_ends(to, from, n, LANES);
    else if (LANES > 8 && n >= 8)
        copy_ends(to, from, n, 8);
    else if (LANES > 4 && n >= 4)
        copy_ends(to, from, n, 4);
    else
        for (int64_t i = 0; i < n; i++) to[i] = from[i];
}

GR__INLINE int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

GR__INLINE int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

GR__INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Even parts: part i of n in parts begins here. */
GR__INLINE int64_t even_part(int64_t n, int64_t parts, int64_t i)
{
    return n / parts * i + at_most(i, n % parts);
}

GR__INLINE size_t padded_bytes(int64_t bytes) { return ((size_t)bytes + 63) / 64 * 64; }

#endif
