/* depthwise_roll.h: 3x3 taps of one channel, with registers for all of them (AVX-512): the lines of
   the input are read once, where they stand, from the first to the last; each goes to three rows of
   outputs, or meets three rows of the gradient. */
#ifndef GR_KERNELS_CONV_ROLLS_H
#define GR_KERNELS_CONV_ROLLS_H

#include "geometry.h"

enum { ROLL_TAPS = 3 };
enum { ROLLS = ROWS == 6 }; /* a roll takes more than 16 registers */

/* One channel under a band, where it stands or copied: its first line is row h, and begins with
   column w, of `rows` x `cols` numbers with zeros around them. Vectors read a little past the ends
   of a line, where memory is but no number of it; a line outside is `zeros`, as long as one. */
typedef struct gr__view {
    const gr_real *x, *zeros;
    int64_t        row; /* from one line to the next */
    int64_t        h, w, rows, cols;
} gr__view;

/* One channel under ROLL_TAPS x ROLL_TAPS taps, and rows of outputs: made, or read as the
   gradient. */
typedef struct gr__roll {
    gr__view x;
    int64_t  step; /* lines from one row of outputs to the next */
    int64_t  col[ROLL_TAPS];
    int64_t  rows, outs; /* outs: of a row */
    int64_t apart; /* from one vector of columns to the next: the last may overlap the one before */
} gr__roll;

typedef struct gr__roll_filter {
    gr_real weight[ROLL_TAPS][ROLL_TAPS], bias, least;
} gr__roll_filter;

/* Whether a roll can make the outputs; it wants a row to nearly fill its vectors. */
GR__INLINE bool depthwise_roll_suits(const gr__correlation *s)
{
    bool taps = s->in_channels == 1 && s->h.taps == ROLL_TAPS && s->w.taps == ROLL_TAPS;
    bool together = s->h.step == magnitude(s->h.offset_step) && s->w.step == 1 &&
                    s->h.out_step == 1 && s->w.out_step == 1;
    return ROLLS && taps && together && s->w.outs >= LANES &&
           s->w.outs * 4 >= ceil_div(s->w.outs, LANES) * LANES * 3;
}

/* `rows` rows of outputs, the first of which begins at the view's first line. */
GR__INLINE gr__roll roll_of(const gr__correlation *s, const gr__view *x, int64_t rows)
{
    gr__roll r = { .x = *x, .step = s->h.step, .rows = rows, .outs = s->w.outs };
    for (int i = 0; i < ROLL_TAPS; i++) r.col[i] = i * magnitude(s->w.offset_step);
    return r;
}

/* All rows of outputs, one after the other from y on. */
void depthwise_roll(gr__roll *r, const gr__roll_filter *f, gr_real *y);

/* The kernel gradient, g being rows of the gradient: onto sum, a vector for each tap, whose lanes
   are to be added up at the end. */
void depthwise_roll_kernel_grad(gr__roll *r, const gr_real *g, gr_real *sum);

#endif
