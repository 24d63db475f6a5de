/* winograd.h: convolution with a 3x3 kernel, stride 1, by F(4x4, 3x3): 36 multiplications for 16 outputs, where the sums as they stand
   take 144. For a tile d of 6x6 inputs, a kernel k, and outputs y of 4x4,
       y = A^T [(G k G^T) * (B^T d B)] A,      * element by element,
   and backwards, summed over tiles, dk = G^T [(A dy A^T) * (B^T d B)] G. The * becomes a product of matrices, over channels or over tiles,
   at each of the 36 points. Vectors hold one element of LANES tiles, so that every transform is made of plain vector sums.
   Source: A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.3: the points 0, 1, -1, 2, -2 and infinity.
   Invariant: for float alone, whose rounding it makes some ten times larger. */
#ifndef GR_KERNELS_WINOGRAD_H
#define GR_KERNELS_WINOGRAD_H

#include "geometry.h"

enum { WINOGRAD_TILE = 4, WINOGRAD_READ = 6, WINOGRAD_POINTS = 36 };

/* Whether it is worth its while: a correlation of that many channels and filters, with these outputs. */
GR__INLINE bool winograd_pays(const gr__conv *c, int64_t outs_h, int64_t outs_w)
{
    bool    fits = c->KH == 3 && c->KW == 3 && c->SH == 1 && c->SW == 1 && c->DH == 1 && c->DW == 1 && c->G == 1;
    int64_t made = ceil_div(outs_h, WINOGRAD_TILE) * ceil_div(outs_w, WINOGRAD_TILE) * WINOGRAD_TILE * WINOGRAD_TILE;
    return fits && sizeof(gr_real) == 4 && c->C >= 16 && c->F >= 16 && c->N && outs_h > 0 && outs_w > 0 && made * 5 <= outs_h * outs_w * 9;
}

/* One row or column of each transform; the elements stand `step` apart. */

/* B^T: 6 inputs to 6 points. */
GR__INLINE void winograd_input(vec to[6], const vec d[6])
{
    vec even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1], near = d[4] - d[2], far = 2 * (d[3] - d[1]);
    to[0] = 4 * d[0] - 5 * d[2] + d[4];
    to[1] = even + odd;
    to[2] = even - odd;
    to[3] = near + far;
    to[4] = near - far;
    to[5] = 4 * d[1] - 5 * d[3] + d[5];
}

/* A^T: 6 points to 4 outputs. */
GR__INLINE void winograd_output(vec to[4], const vec m[6])
{
    vec sum1 = m[1] + m[2], less1 = m[1] - m[2], sum2 = m[3] + m[4], less2 = m[3] - m[4];
    to[0] = m[0] + sum1 + sum2;
    to[1] = less1 + 2 * less2;
    to[2] = sum1 + 4 * sum2;
    to[3] = less1 + 8 * less2 + m[5];
}

/* A: 4 gradients of outputs to 6 points. */
GR__INLINE void winograd_output_grad(vec to[6], const vec g[4])
{
    vec even1 = g[0] + g[2], odd1 = g[1] + g[3], even2 = g[0] + 4 * g[2], odd2 = 2 * g[1] + 8 * g[3];
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
    const gr_real sixth = (gr_real)(1.0 / 6), twelfth = (gr_real)(1.0 / 12), part = (gr_real)(1.0 / 24);
    vec           outer1 = -sixth * (k[0] + k[2]), inner1 = -sixth * k[1], outer2 = part * k[0] + sixth * k[2], inner2 = twelfth * k[1];
    to[0] = k[0] * (gr_real)0.25;
    to[1] = outer1 + inner1;
    to[2] = outer1 - inner1;
    to[3] = outer2 + inner2;
    to[4] = outer2 - inner2;
    to[5] = k[2];
}

/* G^T: 6 points to the gradients of 3 weights. */
GR__INLINE void winograd_kernel_grad(vec to[3], const vec m[6])
{
    const gr_real sixth = (gr_real)(1.0 / 6), twelfth = (gr_real)(1.0 / 12), part = (gr_real)(1.0 / 24);
    vec           sum1 = m[1] + m[2], less1 = m[2] - m[1], sum2 = m[3] + m[4], less2 = m[3] - m[4];
    to[0] = (gr_real)0.25 * m[0] - sixth * sum1 + part * sum2;
    to[1] = sixth * less1 + twelfth * less2;
    to[2] = sixth * (sum2 - sum1) + m[5];
}

/* Reads the 6x6 of vectors at `from`, rows `row` vectors apart, and writes the 36 points of B^T d B, `point` vectors apart. */
void GR__NAME(winograd_tile)(gr_real *to, int64_t point, const gr_real *from, int64_t row);

/* The points of the kernel, G k G^T: to[point][row][channel], for rows begin..end-1 of the correlation s. */
void GR__NAME(winograd_weights)(const gr__correlation *s, const gr_real *k, gr_real *to, int64_t begin, int64_t end);

/* The forward correlation of LANES images, the first of which are o's: a task of `chunk` of the grid of tiles. */
typedef struct gr__tiles {
    int64_t down, across; /* tiles of an image */
    int64_t rows, cols;   /* tiles of a chunk, at most */
    int64_t bands, spans; /* chunks of an image: down, across */
    int64_t filters;      /* transformed back at once */
} gr__tiles;

gr__tiles GR__NAME(winograd_tiles)(const gr__correlation *s);
size_t    GR__NAME(winograd_scratch)(const gr__correlation *s, const gr__tiles *t);
void      GR__NAME(winograd_run)(
    const gr__correlation *s, const gr__group *o, const gr__tiles *t, const gr_real *weights, int images, int64_t chunk, void *scratch);

/* The gradient by the kernel: parts of the images sum into copies of their own of the 36 points, which the second phase adds and brings back. */
void GR__NAME(winograd_kernel_grad_plan)(const gr__conv *c, gr__plan *plan);
void GR__NAME(winograd_kernel_grad_run)(const gr__conv *c, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch);

#endif
