/* depthwise.h: correlations that write few planes for each group, the depthwise one first of all:
   what the output, the input gradient and the kernel gradient share. What a band of output rows
   reads is copied, with its border of zeros, and the columns of one remainder by the stride
   together; where rows of images do not fill vectors, several stand side by side. */
#ifndef GR_KERNELS_DEPTHWISE_H
#define GR_KERNELS_DEPTHWISE_H

#include "depthwise_roll.h"

enum { SWEEP = 8, TAPS_AT_ONCE = 3 };

/* The input of the outputs begin..end-1 of the rows: [channel][row][remainder][column], columns of
   all images in turn. */
typedef struct gr__band {
    gr__border border;
    int64_t    images, pitch; /* columns from one image to the next */
    int64_t    vectors;       /* of a row of outputs */
    int64_t    width, row, plane, begin, end;
} gr__band;

gr__band depthwise_band(const gr__correlation *s, int64_t images, int64_t begin, int64_t end);

/* How a direction is cut: images into chunks, rows into bands. */
typedef struct gr__depthwise_cut {
    int64_t images, chunks, bands, rows;
    int64_t input, tile, zeros; /* numbers: zeros, of a row of them */
} gr__depthwise_cut;

gr__depthwise_cut depthwise_cut(const gr__conv *c, gr__direction d);

/* x: the first image's first channel; what is going to be laid out after this is `next` further
   on. */
void depthwise_lay_out(const gr__band *b, const gr__correlation *s, gr_real *to, const gr_real *x,
    const gr_real *x_end, int64_t image_step, int64_t next);

/* x is in the array x_begin..x_end: the vectors at the edges of a plane read a little more of it,
   or else a copy of the plane. */
gr__view depthwise_view(const gr__band *b, const gr__correlation *s, const gr_real *x,
    const gr_real *x_begin, const gr_real *x_end, const gr_real *zeros, gr_real *copy);

GR__INLINE size_t bytes_of_reals(int64_t n) { return padded_bytes(n * (int64_t)sizeof(gr_real)); }

#endif
