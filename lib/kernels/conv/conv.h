/* conv.h: what the algorithms of convolution share. Each is a file, or one for the output and the
   input gradient and one for the kernel gradient, and defines its gr__conv_algorithm (kernels.h);
   algorithms.def lists them, and select.c takes the first that pays:

       linear         a kernel as large as the picture: a product of matrices
       by_taps        a tap of the kernel at a time, for geometries that are mostly padding or gaps
       winograd2d     F(4x4, 3x3), by transforms of tiles
       winograd1d     F(m, r) along rows, by transforms of their parts
       pointwise      a kernel of one tap: a product of matrices
       depthwise      few channels a group; depthwise_roll for 3x3 taps of one, with AVX-512
       lanes_images   direct sums, a vector holds one column of as many images as it has lanes
       lanes_columns  direct sums, a vector holds columns of one image; serves everything

   Below them: geometry.h makes one form of the output and the input gradient, pack.c lays inputs
   out, kernel_grad_parts.h divides kernel gradients by direct sums, winograd_fallback.h sums
   directly what Winograd's algorithm is too coarse for, as few_products.h finds out. */
#ifndef GR_KERNELS_CONV_H
#define GR_KERNELS_CONV_H

#include "geometry.h"

/* Idle lanes cost what busy ones do: a quarter of them is as many as pay. */
GR__INLINE bool fills_lanes(const gr__conv *c)
{
    return ceil_div(c->N, LANES) * LANES * 3 <= c->N * 4;
}

/* Do the outs stand side by side in memory? */
GR__INLINE bool is_dense(const gr__correlation *s)
{
    return s->h.out_step == 1 && s->w.out_step == 1;
}

/* For suits. */
GR__INLINE gr__suits pays_if(bool pays) { return pays ? GR__PAYS : GR__CAN; }

#endif
