/* conv.h: the two ways of computing a correlation, and what both need to write their outputs. */
#ifndef GR_KERNELS_CONV_H
#define GR_KERNELS_CONV_H

#include "geometry.h"

/* Outputs side by side, and terms of their sums, that stay in the nearest cache together. */
enum { GR__PANEL = COLS * LANES, GR__TERMS = 256 };

/* Outputs begin..end-1 of the grid of outs of one image. */
size_t GR__NAME(panels_scratch)(const gr__correlation *s, int64_t K);
void   GR__NAME(panels_run)(const gr__correlation *s, const gr__group *o, int64_t begin, int64_t end, void *scratch);

/* Rows begin..end-1 of the grids of all phases, at most GR__MOST_PHASES, of `images` images, o being the first. */
enum { GR__MOST_PHASES = 64 };
size_t GR__NAME(images_scratch)(const gr__conv *c, gr__direction d, int64_t rows);
void   GR__NAME(images_run)(const gr__conv *c, gr__direction d, const gr__group *o, int images, int64_t begin, int64_t end, void *scratch);

/* The activation of n numbers that the register block did not already bound. */
void    GR__NAME(activate)(gr_real *y, int64_t n, gr_act act);
gr_real GR__NAME(least_of)(gr_act act); /* the bound */

/* Where output j of the grid of outs stands in its plane. */
GR__INLINE int64_t place_of(const gr__correlation *s, int64_t j)
{
    int64_t h = s->h.out + j / s->w.outs * s->h.out_step, w = s->w.out + j % s->w.outs * s->w.out_step;
    return h * s->y_width + w;
}

/* Do the outs stand side by side in memory? */
GR__INLINE bool is_dense(const gr__correlation *s) { return s->h.out_step == 1 && s->w.out_step == 1; }

#endif
