/* winograd.h: convolution with a 3x3 kernel, stride 1, by F(4x4, 3x3): 36 multiplications for 16 outputs, where the sums as they stand
   take 144. For a tile d of 6x6 inputs, a kernel k, and outputs y of 4x4,
       y = A^T [(G k G^T) * (B^T d B)] A,      * element by element,
   and backwards, summed over tiles, dk = G^T [(A dy A^T) * (B^T d B)] G. The * becomes a product of matrices, over channels or over tiles,
   at each of the 36 points. Vectors hold one element of LANES tiles, so that every transform is made of plain vector sums.
   A dilation D is D convolutions along that axis, each of every D-th place: the elements of a tile then stand D apart, and D tiles that begin
   side by side cover D times as many places.
   Source: A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.3, but for its points 0, 1, -1, 2, -2 and
   infinity: here they are 0, NEAR, -NEAR, FAR, -FAR and infinity, of which no power is large or small, nor needs rounding. That halves the error.
   Invariant: for float alone, whose rounding it makes some two or three times larger. */
#ifndef GR_KERNELS_WINOGRAD_H
#define GR_KERNELS_WINOGRAD_H

#include "geometry.h"

enum { WINOGRAD_TILE = 4, WINOGRAD_READ = 6, WINOGRAD_POINTS = 36 };

/* Tiles along an axis, and the place where tile i begins. */
GR__INLINE int64_t winograd_count(int64_t outs, int64_t dilation) { return ceil_div(outs, WINOGRAD_TILE * dilation) * dilation; }

GR__INLINE int64_t winograd_place(int64_t i, int64_t dilation) { return (i - i % dilation) * WINOGRAD_TILE + i % dilation; }

/* Whether it is worth its while: a correlation of that many channels and filters, with these outputs. */
GR__INLINE bool winograd_pays(const gr__conv *c, int64_t outs_h, int64_t outs_w)
{
    bool    fits = c->KH == 3 && c->KW == 3 && c->SH == 1 && c->SW == 1 && c->G == 1;
    int64_t made = winograd_count(outs_h, c->DH) * winograd_count(outs_w, c->DW) * WINOGRAD_TILE * WINOGRAD_TILE;
    return fits && sizeof(gr_real) == 4 && c->C >= 16 && c->F >= 16 && c->N && outs_h > 0 && outs_w > 0 && made * 5 <= outs_h * outs_w * 9;
}

#define NEAR ((gr_real)0.75)
#define FAR ((gr_real)1.5)
#define NEAR2 (NEAR * NEAR)
#define FAR2 (FAR * FAR)
/* Where the other points leave the weights: one over the product of a point's distances from them. */
#define AT_ZERO ((gr_real)(1 / (0.75 * 0.75 * 1.5 * 1.5)))
#define AT_NEAR ((gr_real)(1 / (2 * 0.75 * 0.75 * (0.75 * 0.75 - 1.5 * 1.5))))
#define AT_FAR ((gr_real)(1 / (2 * 1.5 * 1.5 * (1.5 * 1.5 - 0.75 * 0.75))))

/* One row or column of each transform. */

/* B^T: 6 inputs to 6 points. */
GR__INLINE void winograd_input(vec to[6], const vec d[6])
{
    vec even1 = d[4] - FAR2 * d[2], odd1 = NEAR * (d[3] - FAR2 * d[1]), even2 = d[4] - NEAR2 * d[2], odd2 = FAR * (d[3] - NEAR2 * d[1]);
    to[0] = NEAR2 * FAR2 * d[0] - (NEAR2 + FAR2) * d[2] + d[4];
    to[1] = even1 + odd1;
    to[2] = even1 - odd1;
    to[3] = even2 + odd2;
    to[4] = even2 - odd2;
    to[5] = NEAR2 * FAR2 * d[1] - (NEAR2 + FAR2) * d[3] + d[5];
}

/* A^T: 6 points to 4 outputs. */
GR__INLINE void winograd_output(vec to[4], const vec m[6])
{
    vec sum1 = m[1] + m[2], less1 = NEAR * (m[1] - m[2]), sum2 = m[3] + m[4], less2 = FAR * (m[3] - m[4]);
    to[0] = m[0] + sum1 + sum2;
    to[1] = less1 + less2;
    to[2] = NEAR2 * sum1 + FAR2 * sum2;
    to[3] = NEAR2 * less1 + FAR2 * less2 + m[5];
}

/* A: 4 gradients of outputs to 6 points. */
GR__INLINE void winograd_output_grad(vec to[6], const vec g[4])
{
    vec even1 = g[0] + NEAR2 * g[2], odd1 = NEAR * (g[1] + NEAR2 * g[3]), even2 = g[0] + FAR2 * g[2], odd2 = FAR * (g[1] + FAR2 * g[3]);
    to[0] = g[0];
    to[1] = even1 + odd1;
    to[2] = even1 - odd1;
    to[3] = even2 + odd2;
    to[4] = even2 - odd2;
    to[5] = g[3];
}

/* G: 3 weights to 6 points. */
GR__INLINE void winograd_kernel(vec to[6], const vec k[3])
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
GR__INLINE void winograd_kernel_grad(vec to[3], const vec m[6])
{
    vec sum1 = AT_NEAR * (m[1] + m[2]), less1 = AT_NEAR * (m[1] - m[2]), sum2 = AT_FAR * (m[3] + m[4]), less2 = AT_FAR * (m[3] - m[4]);
    to[0] = AT_ZERO * m[0] + sum1 + sum2;
    to[1] = NEAR * less1 + FAR * less2;
    to[2] = NEAR2 * sum1 + FAR2 * sum2 + m[5];
}

/* Reads the 6x6 of vectors at `from`, rows `row` vectors and columns `col` vectors apart, and writes the 36 points of B^T d B, `point` vectors apart. */
void GR__NAME(winograd_tile)(gr_real *to, int64_t point, const gr_real *from, int64_t row, int64_t col);

/* The points of the kernel, G k G^T: to[point][row][channel], for rows begin..end-1 of the correlation s. Each point stands a vector further than
   it must: points a power of two apart would share one set of the cache. */
GR__INLINE int64_t winograd_weights_point(const gr__correlation *s) { return s->rows * s->channels + LANES; }

void GR__NAME(winograd_weights)(const gr__correlation *s, const gr_real *k, gr_real *to, int64_t begin, int64_t end);

/* The forward correlation of LANES images, the first of which are o's: a task of `chunk` of the grid of tiles. */
typedef struct gr__tiles {
    int64_t apart_h, apart_w; /* the elements of a tile */
    int64_t down, across;     /* tiles of an image */
    int64_t rows, cols;       /* tiles of a chunk, at most */
    int64_t bands, spans;     /* chunks of an image: down, across */
    int64_t filters;          /* transformed back at once */
} gr__tiles;

gr__tiles GR__NAME(winograd_tiles)(const gr__correlation *s);
size_t    GR__NAME(winograd_scratch)(const gr__correlation *s, const gr__tiles *t);
void      GR__NAME(winograd_run)(
    const gr__correlation *s, const gr__group *o, const gr__tiles *t, const gr_real *weights, int images, int64_t chunk, void *scratch);

/* The gradient by the kernel: parts of the images sum into copies of their own of the 36 points, which the second phase adds and brings back. */
void GR__NAME(winograd_kernel_grad_plan)(const gr__conv *c, gr__plan *plan);
void GR__NAME(winograd_kernel_grad_run)(const gr__conv *c, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch);

#endif
