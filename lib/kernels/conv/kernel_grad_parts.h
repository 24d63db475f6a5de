/* kernel_grad_parts.h: kernel gradients by direct sums, dL/dK_fc = sum over n of X_nc *filt
   dL/dY_nf. Stage 0 sums parts of the images, each into a copy of the kernel of its own; stage 1
   adds the copies. Invariant: a part is summed by tasks that own their channels, image after image;
   parts are added in order, and what they are depends on shapes alone. */
#ifndef GR_KERNELS_KERNEL_GRAD_PARTS_H
#define GR_KERNELS_KERNEL_GRAD_PARTS_H

#include "geometry.h"

typedef struct gr__parts {
    int64_t filters, taps, channels; /* of a group; taps KH KW */
    int64_t together, chunks;        /* channels that one task takes */
    int64_t groups, units;           /* groups that one task takes; tasks of a part */
    int64_t parts, size;             /* parts of the images; elements of the kernel */
} gr__parts;

/* What an algorithm adds to its gr__conv_algorithm, the plan and run of which are those below. */
typedef struct gr__kernel_sums {
    gr__parts (*parts)(const gr__conv *c);
    size_t (*scratch)(const gr__conv *c, const gr__parts *s);
    /* Task `task` of stage 0; parts: all copies of the kernel. */
    void (*sum)(const gr__conv *c, const gr__parts *s, const gr__operands *o, int64_t task,
        gr_real *parts, void *scratch);
} gr__kernel_sums;

/* `together` channels of `groups` groups a task; no more than `most` parts. */
gr__parts parts_of(const gr__conv *c, int64_t together, int64_t groups, int64_t most);

/* Channels channel..channel+channels of the groups group..group+groups, over one part of the
   images; y: their sums, filters `row` elements apart. */
typedef struct gr__part {
    int64_t  part, group, groups, channel, channels, row;
    gr_real *y;
} gr__part;

gr__part part_at(const gr__conv *c, const gr__parts *s, int64_t task, gr_real *parts);

void            parts_plan(const gr__conv *c, gr__direction d, gr__plan *plan);
gr__conv_runner GR__NAME(parts_run);

/* y[begin..end-1] = the sum over `many` parts. */
void add_parts(
    const gr__parts *s, int64_t many, const gr_real *parts, gr_real *y, int64_t begin, int64_t end);

/* Windows of x, each at x + its place + offset[t] for step t of the sum, by `filters` rows of g:
   y[filter][term], onto what is there or not. */
typedef struct gr__window_dots {
    const gr_real *g, *x;
    int64_t        g_row, filters, terms;
    const int64_t *offset, *along;
    int64_t        T;
    int            tail;
    bool           onto;
    gr_real       *y;
    int64_t        y_row;
} gr__window_dots;

/* Where the window of channel, tap of h, tap of w begins: so many steps of each; tap i of h is i D
   rows down, each S-th of which follows its forerunner, while the remainders stand apart. */
typedef struct gr__window_places {
    int64_t KH, KW, channel, row, col;
    int64_t S, D, rest;
} gr__window_places;

void window_dots(const gr__window_dots *m, const gr__window_places *p);

/* The channels c..c+channels of one group, as the correlation that reads their windows. */
gr__correlation windows_of(const gr__conv *c, int64_t channels);

GR__INLINE bool is_empty_sum(const gr__conv *c) { return !c->N || !c->OH || !c->OW; }

#endif
