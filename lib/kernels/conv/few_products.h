/* few_products.h: where Winograd's algorithm would be too coarse. Its transforms mix the numbers of
   a whole tile, so that its error is a part of what the tile sums, and an output of few products,
   or of small ones only because most are 0, would be lost in it; one without any would not be 0.
   Such outputs are found by counting numbers that are not 0, and computed by direct sums.
   Invariant: shapes and data decide, for each image by itself in outputs and input gradients, for
   each channel in kernel gradients; never threads. */
#ifndef GR_KERNELS_CONV_FEW_H
#define GR_KERNELS_CONV_FEW_H

#include "geometry.h"

/* An output should have at least so many products that are not 0, where another of the same image
   has `most`; by its shape a weight, of `terms`. */
GR__INLINE int64_t least_of_outputs(int64_t most) { return at_least(3, most / 32); }

GR__INLINE int64_t least_of_weights(int64_t terms)
{
    return at_most(30000, at_least(16, terms / 128));
}

/* Zeros of a row of the kernel, for outputs and input gradients: more make it sparse. */
GR__INLINE int64_t most_zeros_of(int64_t terms) { return at_least(8, terms / 8); }


/* Does padding alone leave some output too few products? */
bool few_by_shape(const gr__conv *c, gr__direction d);
bool few_weights_by_shape(const gr__conv *c);

/* The most zeros that one of the rows begin..end-1 of the kernel has, those apart that have nothing
   else. */
int64_t zeros_of(const gr__correlation *s, const gr_real *k, int64_t begin, int64_t end);

/* Sums directly the outputs of the image o that may have too few products which are not 0, as each
   row of the kernel has at most `zeros`. */
size_t few_scratch(const gr__conv *c, gr__direction d);
void   sum_few_products(
      const gr__conv *c, gr__direction d, const gr__group *o, int64_t zeros, void *scratch);

/* Has a weight of the channels begin..end-1 of a group, and any filter of that group, too few? */
size_t few_weights_scratch(const gr__conv *c, int64_t channels);
bool   few_weights_by_data(const gr__conv *c, const gr__operands *o, int64_t group, int64_t begin,
      int64_t end, void *scratch);

#endif
