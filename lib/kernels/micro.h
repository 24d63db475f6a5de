/* micro.h: the two blocks that all products are made of. Both keep a block of vectors in registers
   while they walk along the summed index, and both find their operands through tables of offsets,
   so that padding, stride, dilation and packing are the business of who makes the tables.
   Invariant: they write whole vectors (outer) or single sums (dots), and the order of each sum
   depends on its length alone. */
#ifndef GR_KERNELS_MICRO_H
#define GR_KERNELS_MICRO_H

#include "isa.h"

/* gcc folds a load into each multiply that uses it, and so reads the vector from memory ROWS times
   over; a volatile load happens once. clang loads once by itself, and would spill. */
#ifdef __clang__
GR__INLINE vec load_once(const gr_real *p) { return vec_load(p); }
#else
GR__INLINE vec load_once(const gr_real *p) { return *(const volatile vec_anywhere *)p; }
#endif

enum { GR__PANEL = COLS * LANES }; /* columns of a product that are made side by side */
enum { GR__MOST_RUNS = 256 };

/* Where step k of a sum finds its operands. */
typedef struct gr__offsets {
    int64_t a, b;
} gr__offsets;

/* Runs of COLS vectors that will be wanted: a block asks for them line after line, as it sums. All
   at once they would be more than a core can wait for, and what the sum itself reads would have to
   wait behind them. */
typedef struct gr__prefetch {
    int            runs;
    const gr_real *run[GR__MOST_RUNS];
} gr__prefetch;

/* y[i,j] = sum over k of a[i a_row + step[k].a] * b[j][step[k].b ...], j counting vectors; from
   bias[i], y or zero on. */
typedef struct gr__outer_block {
    const gr_real     *a;
    int64_t            a_row;
    const gr_real     *b[COLS];
    const gr__offsets *step;
    int64_t            K;
    const gr_real     *bias; /* one a row, or NULL */
    bool               onto; /* add to what y holds */
    gr_real  least; /* the least value written: 0 for ReLU, -infinity for none; a NaN passes */
    gr_real *y;
    int64_t  y_row;
    const int64_t      *to;       /* where each vector of a row begins; NULL: side by side */
    const gr__prefetch *prefetch; /* or NULL */
} gr__outer_block;

void outer_block(
    const gr__outer_block *s, int rows, int cols); /* rows 1..ROWS, cols 1..COLS vectors */

/* y[i,j] = sum over t and lanes of a[i][along[t] ...] * b[j][offset[t] ...], and of `tail` single
   elements after the last t. */
typedef struct gr__dot_block {
    const gr_real *a[DOT_ROWS], *b[DOT_COLS];
    const int64_t *offset; /* T of them, and one more for the tail, if there is one */
    const int64_t *along;  /* the same for a; NULL: one vector after the other */
    int64_t        T;
    int            tail;
    bool           onto; /* add to what y holds */
    gr_real       *y;
    int64_t        y_row;
} gr__dot_block;

void dot_block(const gr__dot_block *s, int rows, int cols); /* rows 1..DOT_ROWS, cols 1..DOT_COLS */

/* y[j] = bias[j] + sum over K terms of a[k] b[j b_row + k], and no less than least. */
typedef struct gr__dot_row {
    const gr_real *a, *b;
    int64_t        b_row, K;
    const gr_real *bias; /* or NULL */
    gr_real        least;
    gr_real       *y;
} gr__dot_row;

enum { ROW_COLS = LANES < 8 ? LANES : 8 };
void dot_row(const gr__dot_row *s, int cols); /* cols 1..ROW_COLS */

/* The activation of n numbers that a block did not already bound, and the bound. */
void    activate(gr_real *y, int64_t n, gr_act act);
gr_real least_of(gr_act act);

/* Lanes of two vectors in turn: the lower halves, the upper halves; and every second lane of
   both. */
#ifdef GRADUS_DOUBLE
#define GR__WIDTH (GR__VECTOR_BYTES / 8)
#else
#define GR__WIDTH (GR__VECTOR_BYTES / 4)
#endif
#if GR__WIDTH == 2
#define GR__LOWER 0, 2
#define GR__UPPER 1, 3
#define GR__REVERSED 0, 1
#define GR__EVEN 0, 2
#elif GR__WIDTH == 4
#define GR__LOWER 0, 4, 1, 5
#define GR__UPPER 2, 6, 3, 7
#define GR__REVERSED 0, 2, 1, 3
#define GR__EVEN 0, 2, 4, 6
#elif GR__WIDTH == 8
#define GR__LOWER 0, 8, 1, 9, 2, 10, 3, 11
#define GR__UPPER 4, 12, 5, 13, 6, 14, 7, 15
#define GR__REVERSED 0, 4, 2, 6, 1, 5, 3, 7
#define GR__EVEN 0, 2, 4, 6, 8, 10, 12, 14
#else
#define GR__LOWER 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define GR__UPPER 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define GR__REVERSED 0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15
#define GR__EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#endif

#ifdef __clang__
GR__INLINE vec vec_lower(vec a, vec b) { return __builtin_shufflevector(a, b, GR__LOWER); }

GR__INLINE vec vec_upper(vec a, vec b) { return __builtin_shufflevector(a, b, GR__UPPER); }

GR__INLINE vec vec_even(vec a, vec b) { return __builtin_shufflevector(a, b, GR__EVEN); }
#else
GR__INLINE vec vec_lower(vec a, vec b) { return __builtin_shuffle(a, b, (ivec){ GR__LOWER }); }

GR__INLINE vec vec_upper(vec a, vec b) { return __builtin_shuffle(a, b, (ivec){ GR__UPPER }); }

GR__INLINE vec vec_even(vec a, vec b) { return __builtin_shuffle(a, b, (ivec){ GR__EVEN }); }
#endif

/* Transposes a square of LANES vectors: each round deals the two halves of the pack in turn, as one
   shuffles cards. */
GR__INLINE void vec_transpose(vec v[LANES])
{
    GR__UNROLL
    for (int round = 1; round < LANES; round *= 2) {
        vec w[LANES];
        GR__UNROLL
        for (int i = 0; i < LANES / 2; i++) {
            w[2 * i] = vec_lower(v[i], v[i + LANES / 2]);
            w[2 * i + 1] = vec_upper(v[i], v[i + LANES / 2]);
        }
        GR__UNROLL
        for (int i = 0; i < LANES; i++) v[i] = w[i];
    }
}

#endif
