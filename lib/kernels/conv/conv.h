/* conv.h: the two ways of computing a correlation, and what both need to write their outputs. */
#ifndef GR_KERNELS_CONV_H
#define GR_KERNELS_CONV_H

#include "geometry.h"

enum { GR__PANEL = COLS * LANES }; /* columns of a product that are made side by side */

/* A task takes `rows` rows of the outputs of one image, one phase and one group, or all rows of some images. */
typedef struct gr__panels {
    int64_t rows, bands, images; /* of a task, at most; tasks of an image */
    int64_t channels;            /* gathered at once */
    int64_t along, down;         /* panels of a channel: for its columns, each for the remainders of its rows */
    int64_t further;             /* rows of a panel below those of the outputs */
    int64_t width, size;         /* of a panel's row, of a panel: elements */
    int64_t taps;                /* of a phase, at most */
    bool    runs_on;             /* a panel for each tap of w, row after row without a gap */
} gr__panels;

bool       GR__NAME(panels_pay)(const gr__correlation *s); /* for a batch that fills the lanes, one phase */
gr__panels GR__NAME(panels_of)(const gr__conv *c, gr__direction d);
size_t     GR__NAME(panels_scratch)(const gr__conv *c, gr__direction d, const gr__panels *p);
/* Images from n on, group g. */
void       GR__NAME(panels_run)(const gr__conv *c, gr__direction d, const gr__operands *o, const gr__panels *p, int64_t phase, int64_t n,
    int64_t g, int64_t band, void *scratch);

/* Rows begin..end-1 of the grids of all phases, at most GR__MOST_PHASES, of `images` images, o being the first. */
enum { GR__MOST_PHASES = 64 };
size_t GR__NAME(images_scratch)(const gr__conv *c, gr__direction d, int64_t rows);
void   GR__NAME(images_run)(const gr__conv *c, gr__direction d, const gr__group *o, int images, int64_t begin, int64_t end, void *scratch);

/* The activation of n numbers that the register block did not already bound. */
void    GR__NAME(activate)(gr_real *y, int64_t n, gr_act act);
gr_real GR__NAME(least_of)(gr_act act); /* the bound */

/* Idle lanes cost what busy ones do: a quarter of them is as many as pay. */
GR__INLINE bool fills_lanes(const gr__conv *c) { return ceil_div(c->N, LANES) * LANES * 3 <= c->N * 4; }

/* Do the outs stand side by side in memory? */
GR__INLINE bool is_dense(const gr__correlation *s) { return s->h.out_step == 1 && s->w.out_step == 1; }

#endif
