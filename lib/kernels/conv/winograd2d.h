/* winograd2d.h: convolution with a 3x3 kernel by F(4x4, 3x3): at stride 1, 36 multiplications for
   16 outputs, where the sums as they stand take 144; at stride 2, 81. For a tile d of 6x6 inputs, a
   kernel k, and outputs y of 4x4,
       y = A^T [(G k G^T) * (B^T d B)] A,      * element by element,
   and backwards, summed over tiles, dk = G^T [(A dy A^T) * (B^T d B)] G. The * becomes a product of
   matrices, over channels or over tiles, at each of the 36 points. Vectors hold one element of
   LANES tiles, so that every transform is made of plain vector sums. A dilation D is D convolutions
   along that axis, each of every D-th place: the elements of a tile then stand D apart, and D tiles
   that begin side by side cover D times as many places. A stride of 2 is the sum of two
   convolutions along each axis, one of every second place with taps 0 and 2, one of the places
   between with tap 1: y[t] = x[2t] k[0] + x[2t + 2] k[2] and x[2t + 1] k[1]. As kernels of three
   they are 0, k[0], k[2] and 0, k[1], 0. The first is 0 at the point 0, the other at infinity as
   well: 5 and 4 points are left, for both axes 5x5, 5x4, 4x5 and 4x4. All four add up at the
   points, forward as further channels, in the input gradient, where they share their input, as
   further rows, in the kernel gradient as further columns. Source: A. Lavin and S. Gray, Fast
   Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.3, but for its points 0, 1,
   -1, 2, -2 and infinity: here they are 0, NEAR, -NEAR, FAR, -FAR and infinity, of which no power
   is large or small, nor needs rounding. That halves the error. Invariant: for float alone, whose
   rounding it makes some two or three times larger. */
#ifndef GR_KERNELS_WINOGRAD_H
#define GR_KERNELS_WINOGRAD_H

#include "geometry.h"

enum { WINOGRAD_TILE = 4 };

/* The points that are used along an axis, first..5, and in all. */
GR__INLINE int winograd2d_first(int64_t stride) { return stride == 1 ? 0 : 1; }

GR__INLINE int64_t winograd2d_points(int64_t stride) { return stride == 1 ? 36 : 25; }

/* The convolutions that one with a stride is the sum of, its components: whether it is the one of
   tap 1 along h, along w. Ordered so that those that have a point stand side by side; number 1 has
   all points. */
GR__INLINE int64_t winograd2d_components(int64_t stride) { return stride * stride; }

GR__INLINE bool winograd2d_middle_h(int64_t component) { return component >= 2; }

GR__INLINE bool winograd2d_middle_w(int64_t component) { return component == 0 || component == 3; }

GR__INLINE gr__span winograd2d_components_at(int64_t stride, int64_t point)
{
    if (stride == 1) return (gr__span){ 0, 1 };
    bool far_h = point / 5 == 4, far_w = point % 5 == 4;
    return (gr__span){ far_w ? 1 : 0, far_h ? 2 : far_w ? 3 : 4 };
}

/* The tap that is number i of the three in a component, or -1. */
GR__INLINE int64_t winograd2d_tap(int64_t stride, bool middle, int i)
{
    if (stride == 1) return i;
    return middle ? (i == 1 ? 1 : -1) : i == 0 ? -1 : 2 * (i - 1);
}

/* What the last tile along an axis reads beyond its outputs' places. */
GR__INLINE int64_t winograd2d_further(int64_t stride, int64_t dilation)
{
    return stride == 1 ? 2 * dilation : 1;
}

/* Tiles along an axis, and the place where tile i begins. */
GR__INLINE int64_t winograd2d_count(int64_t outs, int64_t dilation)
{
    return ceil_div(outs, WINOGRAD_TILE * dilation) * dilation;
}

GR__INLINE int64_t winograd2d_place(int64_t i, int64_t dilation)
{
    return (i - i % dilation) * WINOGRAD_TILE + i % dilation;
}

#define NEAR ((gr_real)0.75)
#define FAR ((gr_real)1.5)
#define NEAR2 (NEAR * NEAR)
#define FAR2 (FAR * FAR)
/* Where the other points leave the weights: one over the product of a point's distances from
   them. */
#define AT_ZERO ((gr_real)(1 / (0.75 * 0.75 * 1.5 * 1.5)))
#define AT_NEAR ((gr_real)(1 / (2 * 0.75 * 0.75 * (0.75 * 0.75 - 1.5 * 1.5))))
#define AT_FAR ((gr_real)(1 / (2 * 1.5 * 1.5 * (1.5 * 1.5 - 0.75 * 0.75))))

/* One row or column of each transform. */

/* B^T: 6 inputs to 6 points. */
GR__INLINE void winograd2d_input(vec to[6], const vec d[6])
{
    vec even1 = d[4] - FAR2 * d[2], odd1 = NEAR * (d[3] - FAR2 * d[1]), even2 = d[4] - NEAR2 * d[2],
        odd2 = FAR * (d[3] - NEAR2 * d[1]);
    to[0] = NEAR2 * FAR2 * d[0] - (NEAR2 + FAR2) * d[2] + d[4];
    to[1] = even1 + odd1;
    to[2] = even1 - odd1;
    to[3] = even2 + odd2;
    to[4] = even2 - odd2;
    to[5] = NEAR2 * FAR2 * d[1] - (NEAR2 + FAR2) * d[3] + d[5];
}

/* A^T: 6 points to 4 outputs. */
GR__INLINE void winograd2d_output(vec to[4], const vec m[6])
{
    vec sum1 = m[1] + m[2], less1 = NEAR * (m[1] - m[2]), sum2 = m[3] + m[4],
        less2 = FAR * (m[3] - m[4]);
    to[0] = m[0] + sum1 + sum2;
    to[1] = less1 + less2;
    to[2] = NEAR2 * sum1 + FAR2 * sum2;
    to[3] = NEAR2 * less1 + FAR2 * less2 + m[5];
}

/* A: 4 gradients of outputs to 6 points. */
GR__INLINE void winograd2d_output_grad(vec to[6], const vec g[4])
{
    vec even1 = g[0] + NEAR2 * g[2], odd1 = NEAR * (g[1] + NEAR2 * g[3]),
        even2 = g[0] + FAR2 * g[2], odd2 = FAR * (g[1] + FAR2 * g[3]);
    to[0] = g[0];
    to[1] = even1 + odd1;
    to[2] = even1 - odd1;
    to[3] = even2 + odd2;
    to[4] = even2 - odd2;
    to[5] = g[3];
}

/* G: 3 weights to 6 points. */
GR__INLINE void winograd2d_kernel(vec to[6], const vec k[3])
{
    vec even1 = AT_NEAR * (k[0] + NEAR2 * k[2]), odd1 = AT_NEAR * NEAR * k[1];
    vec even2 = AT_FAR * (k[0] + FAR2 * k[2]), odd2 = AT_FAR * FAR * k[1];
    to[0] = AT_ZERO * k[0];
    to[1] = even1 + odd1;
    to[2] = even1 - odd1;
    to[3] = even2 + odd2;
    to[4] = even2 - odd2;
    to[5] = k[2];
}

/* G^T: 6 points to the gradients of 3 weights. */
GR__INLINE void winograd2d_kernel_grad(vec to[3], const vec m[6])
{
    vec sum1 = AT_NEAR * (m[1] + m[2]), less1 = AT_NEAR * (m[1] - m[2]),
        sum2 = AT_FAR * (m[3] + m[4]), less2 = AT_FAR * (m[3] - m[4]);
    to[0] = AT_ZERO * m[0] + sum1 + sum2;
    to[1] = NEAR * less1 + FAR * less2;
    to[2] = NEAR2 * sum1 + FAR2 * sum2 + m[5];
}

/* Reads a tile of vectors at `from`, rows `row` vectors and columns `col` vectors apart, and writes
   the points of B^T d B that this component has, `point` elements apart. */
void winograd2d_tile(int64_t stride, int64_t component, gr_real *to, int64_t point,
    const gr_real *from, int64_t row, int64_t col);

/* How an axis is cut into tiles. Element i of the tile at place t is read at `read` + step_in (t +
   i D), and written at `written` + step_out (t + i D). */
typedef struct gr__winograd2d_axis {
    int64_t dilation, step_in, step_out;
    int64_t read, written;
    int64_t further; /* read past the last tile */
    int64_t outs, tiles;
} gr__winograd2d_axis;

/* A correlation by tiles, of LANES images at once: a task is a `chunk` of the grid of tiles. */
typedef struct gr__winograd2d_grid {
    gr__direction       d;
    gr__winograd2d_axis h, w;
    int64_t             stride, points;
    gr__span            in, out; /* components of the input, of the output, one of which has one */
    int64_t             rows, cols;   /* tiles of a chunk, at most */
    int64_t             bands, spans; /* chunks of an image: down, across */
    int64_t             blocks;       /* of ROWS filters, transformed back at once */
} gr__winograd2d_grid;

/* Can it, for any of the directions, and is it cheaper than direct sums? */
bool winograd2d_fits(const gr__conv *c, gr__direction d);
bool winograd2d_is_cheaper(const gr__conv *c, gr__direction d);

/* Filters in blocks of ROWS, or, so that all are about as large, less. */
GR__INLINE int64_t winograd2d_blocks(const gr__correlation *s)
{
    return ceil_div(s->out_channels, ROWS);
}

/* The points of the kernel, G k G^T: to[point][component of y][block][component of
   x][channel][ROWS], so that they are read in one stream. Each point stands a vector further than
   it must: points a power of two apart would share one set of the cache. */
GR__INLINE int64_t winograd2d_weights_point(const gr__correlation *s, const gr__winograd2d_grid *t)
{
    return winograd2d_components(t->stride) * winograd2d_blocks(s) * ROWS * s->in_channels + LANES;
}

#endif
