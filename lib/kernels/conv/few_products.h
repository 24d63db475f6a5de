/* few_products.h: where Winograd's algorithm would be too coarse. Its transforms mix the numbers of
   a whole tile, so that its error is a part of what the tile sums, and an output of few products,
   or of small ones only because most are 0, would be lost in it; one without any would not be 0.
   Such outputs are found by counting numbers that are not 0. Such weights of a kernel gradient are
   found among those that are small beside the points that they come from, by the sizes of their
   products. Both are computed by direct sums. Invariant: shapes and data decide, for each image by
   itself in outputs and input gradients, for each unit of channels in kernel gradients; never
   threads. */
#ifndef GR_KERNELS_CONV_FEW_H
#define GR_KERNELS_CONV_FEW_H

#include "geometry.h"

/* An output should have at least so many products that are not 0, where another of the same image
   has `most`; by its shape a weight, of `terms`. */
GR__INLINE int64_t least_of_outputs(int64_t most) { return at_least(3, most / 128); }

GR__INLINE int64_t least_of_weights(int64_t terms)
{
    return at_most(30000, at_least(16, terms / 128));
}

/* Zeros of a row of the kernel at one tap, over its channels: more make it sparse. */
GR__INLINE int64_t most_zeros_of(int64_t channels)
{
    return at_most(channels - 1, at_least(1, channels / 2));
}

/* Rounding in a weight is a part of the greatest point that it comes from: 1e-7 to 5e-7, and 3e-6
   where few images are summed. A weight whose own products sum to less than LEAST_SIZES of that
   point may be rounding; it is looked at if it is as small as SMALL_WEIGHT of it. */
#define SMALL_WEIGHT ((gr_real)2e-4)
#define LEAST_SIZES ((gr_real)1e-2)

/* Does padding alone leave some output too few products? */
bool few_by_shape(const gr__conv *c, gr__direction d);
bool few_weights_by_shape(const gr__conv *c);

/* The most zeros that one of the rows begin..end-1 of the kernel has at one tap, over its channels;
   rows that have nothing else are not looked at. */
int64_t zeros_of(const gr__correlation *s, const gr_real *k, int64_t begin, int64_t end);

/* What all images have in common. */
typedef struct few_shape {
    const gr__conv *c;
    gr__direction   d;
    gr__correlation s; /* of residue 0 */
    int64_t         residues, zeros;
    int64_t         channels; /* so many would do if none of their numbers were 0 */
    size_t          scratch;
} few_shape;

size_t    few_scratch(const gr__conv *c, gr__direction d);
few_shape few_shape_of(const gr__conv *c, gr__direction d, int64_t zeros);

/* Sums directly the outputs of the image o that may have too few products which are not 0, as each
   row of the kernel has at most `zeros` at a tap. */
void sum_few_products(const few_shape *f, const gr__group *o, void *scratch);

/* Sums directly the weights of some channels of a group, and all of its filters, whose products may
   be too small. scale: for each row of the kernel and each of its pieces, the greatest of the
   points that the weights piece, piece + pieces, ... of the row come from. false: they are more
   than MOST_MENDED, and all should be summed by an algorithm that does so. */
enum { MOST_MENDED = 16 };

bool mend_weights(const gr__conv *c, const gr__operands *o, const gr_real *scale, int64_t pieces,
    int64_t group, gr__span channels);

#endif
