/* geometry.h: the output of a convolution and its input gradient brought to one form, the
   correlation
       y[r, out(t)] = sum over input channels c, taps a of
                      x[c, t step + offset + a offset_step] k[r, c, tap(a)]
   along each of two axes. The forward convolution is one correlation. The input gradient is one for
   each residue, the remainder of h + P by the stride S: the taps that reach an output from there
   are an arithmetic progression, and so are the outputs they reach, so that no multiply falls
   between the strides. Invariant: only this file knows padding, stride and dilation. */
#ifndef GR_KERNELS_GEOMETRY_H
#define GR_KERNELS_GEOMETRY_H

#include "kernels/micro.h"

typedef struct gr__axis {
    int64_t in, step;            /* size of what is read; output t begins at t step + offset */
    int64_t taps, tap, tap_step; /* the taps of the kernel that take part: tap + a tap_step */
    int64_t offset, offset_step; /* where tap a reads, from the beginning */
    int64_t outs, out, out_step; /* output t is written at out + t out_step */
} gr__axis;

typedef struct gr__correlation {
    gr__axis h, w;
    int64_t  in_channels, out_channels; /* of one group: summed over, written */
    int64_t  k_row, k_channel;          /* how far apart rows and channels stand in the kernel */
    int64_t  k_width;                   /* KW */
    int64_t  x_plane, y_plane, y_width;
    int64_t  K; /* terms of a sum */
} gr__correlation;

/* The arrays of one image and one group. */
typedef struct gr__group {
    const gr_real *x, *x_begin, *x_end, *k,
        *bias; /* x_begin, x_end: of the whole array; reading all of it is safe */
    gr_real *y;
    gr_act   act;
} gr__group;

int64_t         residues(const gr__conv *c, gr__direction d);
gr__correlation correlation(const gr__conv *c, gr__direction d, int64_t residue);
gr__group group(const gr__conv *c, gr__direction d, const gr__operands *o, int64_t n, int64_t g);

/* Where in the kernel term k of the sum stands: step[k].a. The order is tap of h, channel, tap of
   w, so that the terms of which a row of outputs has no use, its taps being off the edge of the
   input, are the first or the last. */
void kernel_offsets(const gr__correlation *s, gr__offsets *step);

/* Rows of `width` numbers, one after the other: number t of row i is that in row h + i step, column
   w + t step, of the plane, zero outside it. The last is written up to a whole vector past its
   end. */
void pack_rows(const gr__correlation *s, const gr_real *plane, const gr_real *x_end, int64_t h,
    int64_t w, int64_t rows, int64_t width, gr_real *to);

/* A part of the input with its border of zeros, of up to LANES images side by side, one a lane. */
typedef struct gr__border {
    int64_t h, w; /* where it begins in the input, negative in the padding */
    int64_t rows, cols;
} gr__border;

/* Of a plane: its rows and columns. */
typedef struct gr__plane_size {
    int64_t H, W;
} gr__plane_size;

/* What the outputs begin..end-1 of the rows read. */
gr__border border(const gr__correlation *s, int64_t begin, int64_t end);

/* to[c][row][col][lane]; images stand image_step apart. Written up to LANES vectors past its
   end. */
void interleave(gr_real *to, const gr__border *b, const gr_real *x, const gr_real *x_end,
    int64_t image_step, int images, int64_t channels, gr__plane_size size);

/* The way back: n vectors of from, one image a lane, to n numbers side by side in each image. */
void deinterleave(gr_real *y, int64_t image_step, int images, const gr_real *from, int64_t n);

/* The same, the vectors standing in another order: number i at place[i], for all i of whole
   squares. */
void deinterleave_ordered(
    gr_real *y, int64_t image_step, int images, const gr_real *from, const int *place, int64_t n);

/* Asks for the n numbers that deal is going to write, while there is still work to do: a write to
   memory that is far away waits for it, and the images may stand so far apart that no processor
   guesses the next. */
GR__INLINE void prefetch_images(const gr_real *y, int64_t image_step, int images, int64_t n)
{
    for (int i = 0; i < images; i++)
        for (int64_t j = 0; j < n; j += 64 / (int64_t)sizeof *y)
            __builtin_prefetch(y + i * image_step + j, 1);
}

/* The taps, from begin to end - 1, that fall on the input for any of the outputs first..last. */
GR__INLINE gr__span taps_inside(const gr__axis *a, int64_t first, int64_t last)
{
    const int64_t D = a->offset_step, from = first * a->step + a->offset,
                  to = last * a->step + a->offset; /* tap t reads from + t D to to + t D */
    gr__span r = { 0, a->taps };
    while (r.begin < r.end && (to + r.begin * D < 0 || from + r.begin * D >= a->in)) r.begin++;
    while (r.begin < r.end && (to + (r.end - 1) * D < 0 || from + (r.end - 1) * D >= a->in))
        r.end--;
    return r;
}

GR__INLINE int64_t magnitude(int64_t step) { return step < 0 ? -step : step; }

/* n zeros, rounded up to whole vectors: mostly a few, for which gcc would call memset if the stores
   were not volatile. */
static inline __attribute__((unused)) void clear(gr_real *to, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) *(volatile vec_anywhere *)(to + i) = (vec){ 0 };
}

#endif
