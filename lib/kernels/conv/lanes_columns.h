/* lanes_columns.h: the direct sums of one image, which other algorithms fall back to. */
#ifndef GR_KERNELS_LANES_COLUMNS_H
#define GR_KERNELS_LANES_COLUMNS_H

#include "geometry.h"

/* A task takes `rows` rows of the outputs of one image, one residue and one group, or all rows of
   some images. */
typedef struct gr__lanes_columns {
    int64_t rows, bands, images; /* of a task, at most; tasks of an image */
    int64_t channels;            /* gathered at once */
    int64_t along,
        down;        /* panels of a channel: for its columns, each for the remainders of its rows */
    int64_t further; /* rows of a panel below those of the outputs */
    int64_t width, size; /* of a panel's row, of a panel: elements */
    int64_t taps;        /* of a residue, at most */
    bool    runs_on;     /* a panel for each tap of w, row after row without a gap */
} gr__lanes_columns;

bool lanes_columns_pays(
    const gr__correlation *s); /* for a batch that fills the lanes, one residue */
gr__lanes_columns lanes_columns_of(const gr__conv *c, gr__direction d);
size_t lanes_columns_scratch(const gr__conv *c, gr__direction d, const gr__lanes_columns *p);
/* Images from n on, group g; pieces run through the bands of a residue, the residues. */
void   lanes_columns_piece(const gr__conv *c, gr__direction d, const gr__operands *o,
      const gr__lanes_columns *p, int64_t piece, int64_t n, int64_t g, void *scratch);

/* Whether they are better than lanes_images for a batch that fills the lanes: x has few channels,
   so that it is g that takes the time to interleave, and which is read here where it stands. */
bool lanes_columns_kernel_grad_pays(const gr__conv *c);

#endif
