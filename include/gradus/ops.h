/* ops.h: operations on tensors, all differentiable any number of times unless they say otherwise.

   In the comments y is the result and g the gradient of the loss with respect to y. A result
   belongs to the innermost step (outside any step: until gr_reset). Every operation fails on NULL,
   on int32 where reals are wanted and the other way round, and when memory runs out; it then
   returns NULL and the reason is in gr_error. */
#ifndef GRADUS_OPS_H
#define GRADUS_OPS_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Several tensors, however many, and their number, as two arguments: gr_concat(GR_TENSORS(a, b),
 *  1). C only. */
#define GR_TENSORS(...)                                                                            \
    ((gr_tensor *[]){ __VA_ARGS__ }),                                                              \
        ((int)(sizeof(gr_tensor *[]){ __VA_ARGS__ } / sizeof(gr_tensor *)))

/* ---- arithmetic, element by element -------------------------------------------------------------
   Two operands broadcast as in NumPy: shapes are aligned at the last dimension, and a size 1 (or a
   missing dimension) repeats. The gradient of a repeated operand is summed over its repeats. */

/** y = a + b. Gradient: g, g. Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_add(gr_tensor *a, gr_tensor *b);
/** y = a - b. Gradient: g, -g. Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_sub(gr_tensor *a, gr_tensor *b);
/** y = a b. Gradient: g b, g a. Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_mul(gr_tensor *a, gr_tensor *b);
/** y = a / b. Gradient: g / b, -g y / b. Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_div(gr_tensor *a, gr_tensor *b);
/** y = a^b.
 *  Gradient: g b a^(b-1), and 0 where b = 0; g y log a, and 0 where a = 0 and b >= 0 (PyTorch's).
 *  Derivatives of any order are finite at a = 0 for a whole b of 0 and up, where PyTorch's are NaN
 *  from the second on.
 *  Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_pow(gr_tensor *a, gr_tensor *b);
/** y = max(a, b); NaN if either is.
 *  Gradient: g to the larger, half to each of equals, whole to both beside a NaN.
 *  Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_maximum(gr_tensor *a, gr_tensor *b);
/** y = min(a, b); NaN if either is.
 *  Gradient: g to the smaller, half to each of equals, whole to both beside a NaN.
 *  Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_minimum(gr_tensor *a, gr_tensor *b);

/** y = -x. Gradient: -g. */
GR_API gr_tensor *gr_neg(gr_tensor *x);
/** y = factor x. Gradient: factor g. */
GR_API gr_tensor *gr_scale(gr_tensor *x, double factor);
/** y = e^x. Gradient: g y. */
GR_API gr_tensor *gr_exp(gr_tensor *x);
/** y = log x, natural. Gradient: g / x. */
GR_API gr_tensor *gr_log(gr_tensor *x);
/** y = sqrt x. Gradient: g / (2 y). */
GR_API gr_tensor *gr_sqrt(gr_tensor *x);
/** y = |x|.
 *  Gradient: g sign x, 0 at 0; the second derivative is 0 everywhere (PyTorch 1.13 has others). */
GR_API gr_tensor *gr_abs(gr_tensor *x);
/** y = -1, 0 or 1: the sign of x. No gradient: it is zero wherever it is defined. */
GR_API gr_tensor *gr_sign(gr_tensor *x);
/** y = sin x, x in radians. Gradient: g cos x. */
GR_API gr_tensor *gr_sin(gr_tensor *x);
/** y = cos x, x in radians. Gradient: -g sin x. */
GR_API gr_tensor *gr_cos(gr_tensor *x);
/** y = log(1 + x), exact near 0. Gradient: g / (1 + x). */
GR_API gr_tensor *gr_log1p(gr_tensor *x);
/** y = e^x - 1, exact near 0. Gradient: g (y + 1). */
GR_API gr_tensor *gr_expm1(gr_tensor *x);
/** y = erf x = 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.
 *  Gradient: 2 g e^(-x^2) / sqrt(pi); higher derivatives at infinity are 0, where PyTorch's are
 *  NaN. */
GR_API gr_tensor *gr_erf(gr_tensor *x);
/** y = x held within low .. high. Gradient: g where low <= x <= high, else 0, also
 *  for NaN. Errors: low over high (PyTorch: high). */
GR_API gr_tensor *gr_clamp(gr_tensor *x, double low, double high);

/** y = max(x, 0). Gradient: g where y > 0, else 0. */
GR_API gr_tensor *gr_relu(gr_tensor *x);
/** y = 1 / (1 + e^-x). Gradient: g y (1 - y). */
GR_API gr_tensor *gr_sigmoid(gr_tensor *x);
/** y = tanh x. Gradient: g (1 - y^2). */
GR_API gr_tensor *gr_tanh(gr_tensor *x);

/** y = log(1 + e^x), without overflow. Gradient: g / (1 + e^-x). */
GR_API gr_tensor *gr_softplus(gr_tensor *x);
/** y = x where x > 0, else slope x (PyTorch's usual slope is 0.01). Gradient: g, or slope g. */
GR_API gr_tensor *gr_leaky_relu(gr_tensor *x, double slope);
/** y = x where x > 0, else alpha (e^x - 1) (PyTorch's usual alpha is 1).
 *  Gradient: g, or g alpha e^x; at 0 all derivatives are those from the left (PyTorch's second is
 *  0), and at NaN they are NaN (PyTorch: g). */
GR_API gr_tensor *gr_elu(gr_tensor *x, double alpha);
/** y = x / (1 + e^-x), also called swish. Gradient: g s (1 + x (1 - s)) with s = 1 / (1 + e^-x). */
GR_API gr_tensor *gr_silu(gr_tensor *x);
/** y = x (1 + erf(x / sqrt 2)) / 2, the exact form.
 *  Gradient: g (y / x + x e^(-x^2 / 2) / sqrt(2 pi)). */
GR_API gr_tensor *gr_gelu(gr_tensor *x);

/** y = 1 where a = b, else 0. Broadcasts; no gradient. Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_eq(gr_tensor *a, gr_tensor *b);
/** y = 1 where a differs from b, else 0. Broadcasts; no gradient.
 *  Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_ne(gr_tensor *a, gr_tensor *b);
/** y = 1 where a < b, else 0. Broadcasts; no gradient. Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_lt(gr_tensor *a, gr_tensor *b);
/** y = 1 where a <= b, else 0. Broadcasts; no gradient. Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_le(gr_tensor *a, gr_tensor *b);
/** y = 1 where a > b, else 0. Broadcasts; no gradient. Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_gt(gr_tensor *a, gr_tensor *b);
/** y = 1 where a >= b, else 0. Broadcasts; no gradient. Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_ge(gr_tensor *a, gr_tensor *b);

/** y = a where condition is not 0, else b. All three broadcast.
 *  Gradient: g to the operand chosen, 0 to the other, none to condition.
 *  Errors: shapes that do not broadcast. */
GR_API gr_tensor *gr_where(gr_tensor *condition, gr_tensor *a, gr_tensor *b);

/* A scalar, shape (), has an axis 0, which is also -1, for reductions, softmax, argmax, gather,
   squeeze, transpose and flip; not for concat, split, slice and roll. As in PyTorch. */

/* ---- reductions ------------------------------------------------------------------------------ */

/** Options of gr_sum, gr_mean, gr_max, gr_min, gr_norm and gr_logsumexp. */
typedef struct gr_reduce_options {
    gr_tensor *x GR__OR(nullptr);
    GR__NAMED
    gr_dims axes GR__OR({}); /* which dimensions to reduce; none: all */
    bool keepdim GR__OR(false); /* keep them with size 1 */
} gr_reduce_options;

/** y = sum of x over .axes. Sums are blocked, so that their error does not grow with the length.
 *  Shape: x's without those dimensions (.keepdim: with size 1).
 *  Gradient: g at every element summed.
 *  Defaults: all dimensions, giving ().
 *  Errors: an axis that x lacks or named twice. */
#define gr_sum(...) gr_sum_(GR__LITERAL(gr_reduce_options) { .x = __VA_ARGS__ })
/** gr_sum as a function, for callers without macros. */
GR_API gr_tensor *gr_sum_(gr_reduce_options o);

/** y = mean of x over .axes; as gr_sum, divided by the number of elements summed.
 *  Gradient: g / that number. NaN over no elements. */
#define gr_mean(...) gr_mean_(GR__LITERAL(gr_reduce_options) { .x = __VA_ARGS__ })
/** gr_mean as a function, for callers without macros. */
GR_API gr_tensor *gr_mean_(gr_reduce_options o);

/** y = the largest of x over .axes, shapes as gr_sum; NaN if one is.
 *  Gradient: g, shared evenly by equal largest (PyTorch's amax).
 *  Errors: as gr_sum; nothing to take the largest of. */
#define gr_max(...) gr_max_(GR__LITERAL(gr_reduce_options) { .x = __VA_ARGS__ })
/** gr_max as a function, for callers without macros. */
GR_API gr_tensor *gr_max_(gr_reduce_options o);

/** y = the smallest of x over .axes, shapes as gr_sum; NaN if one is.
 *  Gradient: g, shared evenly by equal smallest (PyTorch's amin).
 *  Errors: as gr_sum; nothing to take the smallest of. */
#define gr_min(...) gr_min_(GR__LITERAL(gr_reduce_options) { .x = __VA_ARGS__ })
/** gr_min as a function, for callers without macros. */
GR_API gr_tensor *gr_min_(gr_reduce_options o);

/** y = sqrt of the sum of x^2 over .axes, the 2-norm, shapes as gr_sum.
 *  Gradient: g x / y, and 0 where y = 0, as are its own derivatives (PyTorch: NaN). Infinite where
 *  the sum of squares is.
 *  Errors: as gr_sum. */
#define gr_norm(...) gr_norm_(GR__LITERAL(gr_reduce_options) { .x = __VA_ARGS__ })
/** gr_norm as a function, for callers without macros. */
GR_API gr_tensor *gr_norm_(gr_reduce_options o);

/** y = log of the sum of e^x over .axes, without overflow, shapes as gr_sum.
 *  Gradient: g e^(x - y); beside an infinite x it is 0, and NaN at that. -infinity over no
 *  elements.
 *  Errors: as gr_sum. */
#define gr_logsumexp(...) gr_logsumexp_(GR__LITERAL(gr_reduce_options) { .x = __VA_ARGS__ })
/** gr_logsumexp as a function, for callers without macros. */
GR_API gr_tensor *gr_logsumexp_(gr_reduce_options o);

/** Options of gr_var and gr_std. */
typedef struct gr_var_options {
    gr_tensor *x GR__OR(nullptr);
    GR__NAMED
    gr_dims axes GR__OR({}); /* which dimensions to reduce; none: all */
    bool keepdim GR__OR(false); /* keep them with size 1 */
    bool biased GR__OR(false); /* divide by n, not by n - 1 */
} gr_var_options;

/** y = sum of (x - mean)^2 / (n - 1) over .axes, shapes as gr_sum.
 *  Gradient: 2 g (x - mean) / (n - 1), NaN beside infinity.
 *  Defaults: n - 1 (.biased: n); NaN if that is 0.
 *  Errors: as gr_sum. */
#define gr_var(...) gr_var_(GR__LITERAL(gr_var_options) { .x = __VA_ARGS__ })
/** gr_var as a function, for callers without macros. */
GR_API gr_tensor *gr_var_(gr_var_options o);
/** y = sqrt of gr_var. Gradient: through the square root, and 0 where y = 0. Errors: as gr_sum. */
#define gr_std(...) gr_std_(GR__LITERAL(gr_var_options) { .x = __VA_ARGS__ })
/** gr_std as a function, for callers without macros. */
GR_API gr_tensor *gr_std_(gr_var_options o);

/** y = the index along axis of the largest of x, the first of equals, int32; the axis is dropped.
 *  No gradient.
 *  Errors: an axis that x lacks, that is empty, or longer than 2^31 - 1. */
GR_API gr_tensor *gr_argmax(gr_tensor *x, int axis);

/* ---- shape and order ------------------------------------------------------------------------- */
/* These move elements of either type. Gradient: g, moved back; where elements repeat, summed; where
   they are left out, 0. */

/** x's elements in another shape, storage shared. One size may be -1: what remains.
 *  Errors: a different number of elements. */
GR_API gr_tensor *gr_reshape(gr_tensor *x, gr_shape shape);
/** x (N, ...) as (N, product of the rest), storage shared: from images to rows. Errors: rank 0. */
GR_API gr_tensor *gr_flatten(gr_tensor *x);
/** x with its dimensions in another order: dimension i of y is dimension order[i] of x.
 *  Errors: an order that is no permutation. */
GR_API gr_tensor *gr_permute(gr_tensor *x, gr_dims order);
/** x repeated along dimensions of size 1 and new leading ones, to shape, where -1 leaves a size as
 *  it is.
 *  Errors: shapes that do not broadcast so. */
GR_API gr_tensor *gr_expand(gr_tensor *x, gr_shape shape);
/** x with the order along dims reversed. Errors: a dimension that x lacks. */
GR_API gr_tensor *gr_flip(gr_tensor *x, gr_dims dims);
/** n tensors concatenated along axis.
 *  Shapes: equal except along axis; one of shape (0) is left out.
 *  Errors: unequal shapes or types, n < 1. */
GR_API gr_tensor *gr_concat(gr_tensor *const *xs, int n, int axis);

/** x with two dimensions exchanged. Errors: an axis that x lacks. */
GR_API gr_tensor *gr_transpose(gr_tensor *x, int a, int b);
/** x with one more dimension, of size 1, which becomes number axis (negative: counted from the end
 *  of the result). Storage shared.
 *  Errors: no such place, too many dimensions. */
GR_API gr_tensor *gr_unsqueeze(gr_tensor *x, int axis);

/** Options of gr_squeeze. */
typedef struct gr_squeeze_options {
    gr_tensor *x GR__OR(nullptr);
    GR__NAMED
    gr_dims axes GR__OR({}); /* which to remove if their size is 1; none: all */
} gr_squeeze_options;

/** gr_squeeze(x, .axes): x without its dimensions of size 1, or without those of .axes that have
 *  it. Storage shared.
 *  Errors: an axis that x lacks. */
#define gr_squeeze(...) gr_squeeze_(GR__LITERAL(gr_squeeze_options) { .x = __VA_ARGS__ })
/** gr_squeeze as a function, for callers without macros. */
GR_API gr_tensor *gr_squeeze_(gr_squeeze_options o);

/** n tensors of one shape along a new dimension, number axis.
 *  Errors: unequal shapes or types, no such place, n < 1. */
GR_API gr_tensor *gr_stack(gr_tensor *const *xs, int n, int axis);
/** x in parts of size along axis, the last one shorter if the size does not divide evenly; parts[0
 *  .. n-1] are set. A size over x's, such as GR_END, gives one part; nothing is split into one
 *  empty part, or none.
 *  Errors: an axis that x lacks, an n that is not the number of parts; then no part is of use. */
GR_API bool gr_split(gr_tensor *x, int64_t size, int axis, gr_tensor **parts, int n);
/** x with its elements shifted by shift positions along axis; what leaves at the end enters at the
 *  start.
 *  Errors: an axis that x lacks. */
GR_API gr_tensor *gr_roll(gr_tensor *x, int64_t shift, int axis);

/** To the end, as a stop of gr_slice. */
#define GR_END INT64_MAX

/** Options of gr_slice. */
typedef struct gr_slice_options {
    gr_tensor *x GR__OR(nullptr);
    int axis GR__OR(0);
    int64_t start GR__OR(0);
    int64_t stop GR__OR(0);
    GR__NAMED
    int64_t step GR__OR(0); /* 1 */
} gr_slice_options;

/** gr_slice(x, axis, start, stop, .step): x's indices start, start + step, ... below stop along
 *  axis. Negative start and stop count from the end, and what lies outside is left out (Python's
 *  rule).
 *  Defaults: step 1. A slice of the leading dimension shares storage.
 *  Errors: an axis that x lacks, a step under 1. */
#define gr_slice(x_, axis_, start_, ...) \
    gr_slice_(GR__LITERAL(gr_slice_options) { \
        .x = (x_), .axis = (axis_), .start = (start_), .stop = __VA_ARGS__ })
/** gr_slice as a function, for callers without macros. */
GR_API gr_tensor *gr_slice_(gr_slice_options o);

/** Options of gr_pad. */
typedef struct gr_pad_options {
    gr_tensor *x GR__OR(nullptr);
    gr_shape before GR__OR({});
    GR__NAMED
    gr_shape after GR__OR({}); /* none: as before */
    double value GR__OR(0);
} gr_pad_options;

/** gr_pad(x, gr_shape(before each dimension), .after, .value): x with that many elements of .value
 *  put before and after each dimension; a negative number takes elements away. The slice of
 *  equation (1) is a pad with 0.
 *  Defaults: after as before, value 0.
 *  Errors: not one number a dimension, more taken away than there is; for int32, a value outside
 *  its range or NaN (a fraction is cut off). */
#define gr_pad(x_, ...) gr_pad_(GR__LITERAL(gr_pad_options) { .x = (x_), .before = __VA_ARGS__ })
/** gr_pad as a function, for callers without macros. */
GR_API gr_tensor *gr_pad_(gr_pad_options o);

/* ---- indexing -------------------------------------------------------------------------------- */

/** y[i][j][k] = x[index[i][j][k]][j][k] for axis 0, and likewise for another.
 *  Shapes: index int32 of x's rank, no larger than x beside axis; y as index. A scalar counts as
 *  (1), and an index without elements may have any rank.
 *  Gradient: g summed where x was selected (scatter-add).
 *  Errors: an axis that x lacks, sizes, an index outside x. */
GR_API gr_tensor *gr_gather(gr_tensor *x, int axis, gr_tensor *index);
/** y[..., d] = weight[index[...], d]: rows of a table.
 *  Shapes: weight (V,D), index (...) int32, y (..., D).
 *  Gradient: g summed row by row.
 *  Errors: weight's rank, an index outside 0 .. V-1. */
GR_API gr_tensor *gr_embedding(gr_tensor *weight, gr_tensor *index);
/** y[..., c] = 1 where index is c, else 0.
 *  Shapes: index (...) int32, y (..., classes). No gradient.
 *  Errors: an index outside 0 .. classes-1. */
GR_API gr_tensor *gr_one_hot(gr_tensor *index, int64_t classes);

/* ---- matrices -------------------------------------------------------------------------------- */

/** Options of gr_matmul. */
typedef struct gr_matmul_options {
    gr_tensor *a GR__OR(nullptr);
    gr_tensor *b GR__OR(nullptr);
    GR__NAMED
    bool transpose_a GR__OR(false); /* a is read as its transpose */
    bool transpose_b GR__OR(false); /* b likewise */
} gr_matmul_options;

/** gr_matmul(a, b, .transpose_a, .transpose_b): y = a b over the last two dimensions.
 *  Shapes: (..., M, K) by (..., K, N) gives (..., M, N); leading dimensions broadcast; a vector (K)
 *  is a row on the left and a column on the right, and its dimension is dropped.
 *  Gradient: g b^T, a^T g.
 *  Errors: inner sizes that differ, rank 0. */
#define gr_matmul(a_, ...) \
    gr_matmul_(GR__LITERAL(gr_matmul_options) { .a = (a_), .b = __VA_ARGS__ })
/** gr_matmul as a function, for callers without macros. */
GR_API gr_tensor *gr_matmul_(gr_matmul_options o);

/** Options of gr_linear. */
typedef struct gr_linear_options {
    gr_tensor *x GR__OR(nullptr);
    gr_tensor *weight GR__OR(nullptr);
    GR__NAMED
    gr_tensor *bias GR__OR(nullptr); /* none */
    gr_act act GR__OR(GR_NO_ACT);
} gr_linear_options;

/** gr_linear(x, weight, .bias, .act): y = act(x weight^T + bias).
 *  Shapes: x (..., I), weight (O, I), bias (O), y (..., O). Gradient, with gz = g act': gz weight,
 *  gz^T x, gz summed over all but the last dimension.
 *  Errors: sizes that do not fit. */
#define gr_linear(x_, ...) \
    gr_linear_(GR__LITERAL(gr_linear_options) { .x = (x_), .weight = __VA_ARGS__ })
/** gr_linear as a function, for callers without macros. */
GR_API gr_tensor *gr_linear_(gr_linear_options o);

/* ---- the three convolutions ---------------------------------------------------------------------
   T(x, k, u) = sum of u[n,f,i,j] x[n,c, SH i + DH p - PH, SW j + DW q - PW] k[f,c,p,q], x read as
   zero outside (1), is linear in each of the three. conv2d is dT/du, conv2d_input_grad dT/dx,
   conv2d_kernel_grad dT/dk; so the gradients of each are the other two, with the same options.
   Stride S and dilation D are 1 by default, padding P 0, groups 1; the _hw fields take height and
   width apart. */

#define GR__CONV_OPTIONS \
    int64_t padding GR__OR(0); /* P: 0 */ \
    int64_t stride GR__OR(0); /* S: 1 */ \
    int64_t dilation GR__OR(0); /* D: 1 */ \
    int64_t groups GR__OR(0); /* 1 */ \
    gr_hw padding_hw GR__OR({}); /* height and width apart, in place of the number */ \
    gr_hw stride_hw GR__OR({}); /* likewise */ \
    gr_hw dilation_hw GR__OR({}); /* likewise */

/** Options of gr_conv2d. */
typedef struct gr_conv2d_options {
    gr_tensor *x GR__OR(nullptr);
    gr_tensor *kernel GR__OR(nullptr);
    GR__NAMED
    gr_tensor *bias GR__OR(nullptr); /* none */
    GR__CONV_OPTIONS
    gr_act act GR__OR(GR_NO_ACT);
} gr_conv2d_options;

/** gr_conv2d(x, k, .bias, .padding, .stride, .dilation, .groups, .act): Y_nf = act(sum over c of
 *  X_nc *filt K_fc + bias_f), equation (33).
 *  Shapes: x (N,C,H,W), k (F,C/groups,KH,KW), bias (F), y (N,F,OH,OW) with OH = (H + 2 P - D (KH-1)
 *  - 1) / S + 1 rounded down. Gradient, with gz = g act': X by (34), K by (35), the bias's is gz
 *  summed over n, i, j.
 *  Errors: channels, groups or sizes that do not fit.
 *  Source: derived in docs/convolution.md, equations (33) to (35). */
#define gr_conv2d(x_, ...) \
    gr_conv2d_(GR__LITERAL(gr_conv2d_options) { .x = (x_), .kernel = __VA_ARGS__ })
/** gr_conv2d as a function, for callers without macros. */
GR_API gr_tensor *gr_conv2d_(gr_conv2d_options o);

/** Options of gr_conv2d_input_grad. */
typedef struct gr_conv2d_input_grad_options {
    gr_tensor *g GR__OR(nullptr);
    gr_tensor *k GR__OR(nullptr);
    gr_hw input GR__OR({});
    GR__NAMED
    GR__CONV_OPTIONS
} gr_conv2d_input_grad_options;

/** gr_conv2d_input_grad(g, k, gr_hw(H, W), ...): X_nc = sum over f of K_fc *full G_nf, equation
 *  (34), for the convolution with these options over an input of H x W.
 *  Shapes: g (N,F,OH,OW), k (F,C/groups,KH,KW), result (N,C,H,W).
 *  Gradient: gr_conv2d of g', gr_conv2d_kernel_grad.
 *  Errors: sizes whose convolution would not give g's. */
#define gr_conv2d_input_grad(g_, k_, ...) \
    gr_conv2d_input_grad_(GR__LITERAL(gr_conv2d_input_grad_options) { \
        .g = (g_), .k = (k_), .input = __VA_ARGS__ })
/** gr_conv2d_input_grad as a function, for callers without macros. */
GR_API gr_tensor *gr_conv2d_input_grad_(gr_conv2d_input_grad_options o);

/** Options of gr_conv2d_kernel_grad. */
typedef struct gr_conv2d_kernel_grad_options {
    gr_tensor *x GR__OR(nullptr);
    gr_tensor *g GR__OR(nullptr);
    gr_hw kernel GR__OR({});
    GR__NAMED
    GR__CONV_OPTIONS
} gr_conv2d_kernel_grad_options;

/** gr_conv2d_kernel_grad(x, g, gr_hw(KH, KW), ...): K_fc = sum over n of X_nc *filt G_nf, equation
 *  (35), for the convolution with these options and a kernel of KH x KW.
 *  Shapes: x (N,C,H,W), g (N,F,OH,OW), result (F,C/groups,KH,KW).
 *  Gradient: gr_conv2d_input_grad, gr_conv2d.
 *  Errors: sizes whose convolution would not give g's. */
#define gr_conv2d_kernel_grad(x_, g_, ...) \
    gr_conv2d_kernel_grad_(GR__LITERAL(gr_conv2d_kernel_grad_options) { \
        .x = (x_), .g = (g_), .kernel = __VA_ARGS__ })
/** gr_conv2d_kernel_grad as a function, for callers without macros. */
GR_API gr_tensor *gr_conv2d_kernel_grad_(gr_conv2d_kernel_grad_options o);

/** Options of gr_conv_transpose2d. */
typedef struct gr_conv_transpose2d_options {
    gr_tensor *x GR__OR(nullptr);
    gr_tensor *kernel GR__OR(nullptr);
    GR__NAMED
    gr_tensor *bias GR__OR(nullptr); /* none */
    GR__CONV_OPTIONS
    int64_t output_padding GR__OR(0);
    gr_hw output_padding_hw GR__OR({});
} gr_conv_transpose2d_options;

/** gr_conv_transpose2d(x, k, .bias, .output_padding, ...): gr_conv2d_input_grad of x, plus the
 *  bias.
 *  Shapes: x (N,C,H,W), k (C,F/groups,KH,KW), bias (F), y (N,F,OH,OW) with OH = (H-1) S - 2 P + D
 *  (KH-1) + output_padding + 1.
 *  Errors: sizes that do not fit; output_padding must be under the stride or the dilation. */
#define gr_conv_transpose2d(x_, ...) \
    gr_conv_transpose2d_(GR__LITERAL(gr_conv_transpose2d_options) { \
        .x = (x_), .kernel = __VA_ARGS__ })
/** gr_conv_transpose2d as a function, for callers without macros. */
GR_API gr_tensor *gr_conv_transpose2d_(gr_conv_transpose2d_options o);

/** y = a *filt b: y[i,j] = sum over p,q of a[i+p,j+q] b[p,q]; cross-correlation of two matrices
 *  without padding.
 *  Shapes: (HA,WA), (HB,WB), y (HA-HB+1,WA-WB+1).
 *  Gradient: b *full g (18), a *filt g (26).
 *  Errors: rank, b larger than a. */
GR_API gr_tensor *gr_conv_filt(gr_tensor *a, gr_tensor *b);
/** y = a *valid b: gr_conv_filt with b flipped in both directions; convolution without padding.
 *  Shapes: as gr_conv_filt.
 *  Errors: as gr_conv_filt. */
GR_API gr_tensor *gr_conv_valid(gr_tensor *a, gr_tensor *b);
/** y = a *full b: y[k,l] = sum over m,n of a[m,n] b[k-m,l-n]; convolution with full zero padding.
 *  Shapes: (HA,WA), (HB,WB), y (HA+HB-1,WA+WB-1).
 *  Gradient: g *filt b, g *filt a.
 *  Errors: rank, an empty operand. */
GR_API gr_tensor *gr_conv_full(gr_tensor *a, gr_tensor *b);

/* ---- pooling --------------------------------------------------------------------------------- */

/** Options of gr_max_pool2d and gr_avg_pool2d. */
typedef struct gr_pool_options {
    gr_tensor *x GR__OR(nullptr);
    int64_t size GR__OR(0);
    GR__NAMED
    int64_t padding GR__OR(0);
    int64_t stride GR__OR(0); /* the size */
    gr_hw size_hw GR__OR({});
    gr_hw padding_hw GR__OR({});
    gr_hw stride_hw GR__OR({});
    /* gr_avg_pool2d: divide by how many places of a window are not padding */
    bool exclude_padding GR__OR(false);
} gr_pool_options;

/** gr_max_pool2d(x, size, .padding, .stride): y = the largest of each window; size is 0, .size_hw =
 *  {2, 3} if that is not square.
 *  Shapes: x (N,C,H,W), y (N,C,OH,OW) with OH = (H + 2 P - size) / S + 1 rounded down.
 *  Gradient: g to the first largest of its window.
 *  Defaults: stride the size, padding 0 (padded places never win).
 *  Errors: a window larger than the padded input, a padding over half the window,
 *  .exclude_padding. */
#define gr_max_pool2d(x_, ...) \
    gr_max_pool2d_(GR__LITERAL(gr_pool_options) { .x = (x_), .size = __VA_ARGS__ })
/** gr_max_pool2d as a function, for callers without macros. */
GR_API gr_tensor *gr_max_pool2d_(gr_pool_options o);

/** gr_avg_pool2d(x, size, .padding, .stride, .exclude_padding): y = the mean of each window; sizes
 *  and defaults as gr_max_pool2d.
 *  Gradient: g / n at every place of its window.
 *  Defaults: padding counts as zeros, n = size^2.
 *  Errors: as gr_max_pool2d. */
#define gr_avg_pool2d(x_, ...) \
    gr_avg_pool2d_(GR__LITERAL(gr_pool_options) { .x = (x_), .size = __VA_ARGS__ })
/** gr_avg_pool2d as a function, for callers without macros. */
GR_API gr_tensor *gr_avg_pool2d_(gr_pool_options o);
/** y[i][j] = the mean of x's rows i H / size.h to (i + 1) H / size.h, rounded outwards, and its
 *  columns likewise (PyTorch's windows).
 *  Shapes: x (N,C,H,W), y (N,C,size.h,size.w).
 *  Gradient: g / n at every place of its window.
 *  Errors: rank, a size under 1. */
GR_API gr_tensor *gr_adaptive_avg_pool2d(gr_tensor *x, gr_hw size);
/** y = the mean of each picture.
 *  Shapes: x (N,C,H,W), y (N,C,1,1).
 *  Gradient: g / (H W) everywhere.
 *  Errors: rank, an empty picture. */
GR_API gr_tensor *gr_global_avg_pool2d(gr_tensor *x);

/** Options of gr_upsample. */
typedef struct gr_upsample_options {
    gr_tensor *x GR__OR(nullptr);
    double scale GR__OR(0);
    GR__NAMED
    gr_hw size_hw GR__OR({}); /* height and width of the result, in place of a scale */
    bool bilinear GR__OR(false);
} gr_upsample_options;

/** gr_upsample(x, scale, .size_hw, .bilinear): y[i] = x[i / scale rounded down], or x at (i + 1/2)
 *  / scale - 1/2 between four neighbours (PyTorch's nearest, and bilinear with align_corners off);
 *  scale is 0 with .size_hw = {7, 5}. A scale may be a fraction, and under 1.
 *  Shapes: x (N,C,H,W), y (N,C,H scale,W scale) rounded down.
 *  Gradient: g distributed to the elements that y is made of, by the same weights.
 *  Errors: rank, a size under 1. */
#define gr_upsample(x_, ...) \
    gr_upsample_(GR__LITERAL(gr_upsample_options) { .x = (x_), .scale = __VA_ARGS__ })
/** gr_upsample as a function, for callers without macros. */
GR_API gr_tensor *gr_upsample_(gr_upsample_options o);

/* ---- normalisation --------------------------------------------------------------------------- */

/** Options of gr_batch_norm2d. */
typedef struct gr_batch_norm2d_options {
    gr_tensor *x GR__OR(nullptr);
    GR__NAMED
    gr_tensor *weight GR__OR(nullptr); /* none: 1 */
    gr_tensor *bias GR__OR(nullptr);   /* none: 0 */
    gr_tensor *running_mean GR__OR(nullptr);
    gr_tensor *running_var GR__OR(nullptr);
    bool training GR__OR(false);
    double momentum GR__OR(0); /* 0.1 */
    double eps GR__OR(0);      /* 1e-5 */
    gr_act act GR__OR(GR_NO_ACT);
} gr_batch_norm2d_options;

/** gr_batch_norm2d(x, .weight, .bias, .running_mean, .running_var, .training, .momentum, .eps,
 *  .act): y = act(weight h + bias) with h = (x - mean) / sqrt(var + eps), each channel by itself.
 *  With .training, mean and var are the batch's (var divides by n), and running = (1 - momentum)
 *  running + momentum (the batch's; var there divides by n - 1), if given; without, they are the
 *  running ones.
 *  Shapes: x and y (N,C,H,W), the others (C). Gradient, with G = g act', <> the channel's mean:
 *  weight (G - <G> - h <G h>) / sqrt(var + eps) (without .training: weight G / sqrt(var + eps)),
 *  sum of G h, sum of G; none to the running ones.
 *  Defaults: PyTorch's, momentum 0.1, eps 1e-5.
 *  Errors: sizes that do not fit, one running tensor without the other, both in the same memory,
 *  none without .training, one number per channel with it.
 *  Source: Ioffe and Szegedy, Batch Normalization, ICML 2015, algorithms 1 and 2. */
#define gr_batch_norm2d(...) \
    gr_batch_norm2d_(GR__LITERAL(gr_batch_norm2d_options) { .x = __VA_ARGS__ })
/** gr_batch_norm2d as a function, for callers without macros. */
GR_API gr_tensor *gr_batch_norm2d_(gr_batch_norm2d_options o);

/** Options of gr_layer_norm. */
typedef struct gr_layer_norm_options {
    gr_tensor *x GR__OR(nullptr);
    GR__NAMED
    int dims GR__OR(0); /* how many dimensions, from the last, are normalised together: 1 */
    gr_tensor *weight GR__OR(nullptr); /* none: 1 */
    gr_tensor *bias GR__OR(nullptr);   /* none: 0 */
    double eps GR__OR(0);              /* 1e-5 */
} gr_layer_norm_options;

/** gr_layer_norm(x, .dims, .weight, .bias, .eps): y = weight (x - mean) / sqrt(var + eps) + bias,
 *  mean and var those of the last dims dimensions, var dividing by n.
 *  Shapes: y as x, weight and bias as the last dims dimensions of x.
 *  Gradient: as gr_batch_norm2d's, each row by itself.
 *  Defaults: dims 1, eps 1e-5.
 *  Errors: more dims than x has, sizes that do not fit.
 *  Source: Ba, Kiros and Hinton, Layer Normalization, 2016. */
#define gr_layer_norm(...) gr_layer_norm_(GR__LITERAL(gr_layer_norm_options) { .x = __VA_ARGS__ })
/** gr_layer_norm as a function, for callers without macros. */
GR_API gr_tensor *gr_layer_norm_(gr_layer_norm_options o);

/** Options of gr_group_norm. */
typedef struct gr_group_norm_options {
    gr_tensor *x GR__OR(nullptr);
    int64_t groups GR__OR(0);
    GR__NAMED
    gr_tensor *weight GR__OR(nullptr); /* none: 1 */
    gr_tensor *bias GR__OR(nullptr);   /* none: 0 */
    double eps GR__OR(0);              /* 1e-5 */
} gr_group_norm_options;

/** gr_group_norm(x, groups, .weight, .bias, .eps): y = weight (x - mean) / sqrt(var + eps) + bias,
 *  mean and var those of a group of neighbouring channels in one picture, var dividing by n.
 *  Shapes: x and y (N,C,...), weight and bias (C).
 *  Gradient: as gr_batch_norm2d's, each group by itself.
 *  Defaults: eps 1e-5.
 *  Errors: groups that do not divide C, sizes that do not fit, one number per group.
 *  Source: Wu and He, Group Normalization, ECCV 2018. */
#define gr_group_norm(x_, ...) \
    gr_group_norm_(GR__LITERAL(gr_group_norm_options) { .x = (x_), .groups = __VA_ARGS__ })
/** gr_group_norm as a function, for callers without macros. */
GR_API gr_tensor *gr_group_norm_(gr_group_norm_options o);

/* ---- probabilities and losses ---------------------------------------------------------------- */

/** y = e^x / sum over axis of e^x.
 *  Gradient: y (g - sum over axis of g y).
 *  Errors: an axis that x lacks. */
GR_API gr_tensor *gr_softmax(gr_tensor *x, int axis);
/** y = x - log sum over axis of e^x.
 *  Gradient: g - e^y (sum over axis of g).
 *  Errors: an axis that x lacks. */
GR_API gr_tensor *gr_log_softmax(gr_tensor *x, int axis);

/** The reduction of a loss of many elements. */
typedef enum gr_reduction {
    GR_MEAN = 0, /* their mean */
    GR_SUM = 1,  /* their sum */
    GR_NONE = 2  /* all of them */
} gr_reduction;

/** Options of gr_cross_entropy. */
typedef struct gr_cross_entropy_options {
    gr_tensor *logits GR__OR(nullptr);
    gr_tensor *labels GR__OR(nullptr);
    GR__NAMED
    double smoothing GR__OR(0);
    gr_tensor *weight GR__OR(nullptr); /* one number per class; none: 1 */
    int ignore_index GR__OR(0);        /* a label that is ignored: -100 */
    bool ignore_class_0 GR__OR(false); /* label 0 is ignored, which .ignore_index cannot express */
    gr_reduction reduction GR__OR(GR_MEAN);
} gr_cross_entropy_options;

/** gr_cross_entropy(logits, labels, .smoothing, .weight, .ignore_index, .ignore_class_0,
 *  .reduction): loss_n = -sum over c of q_c log_softmax(logits)[n,c], in nats, with q_c = (1 -
 *  smoothing) weight[label] [c = label] + smoothing / C weight[c]; 0 for an ignored label. The mean
 *  divides by the sum of weight[label] over labels that count, and of none is NaN (PyTorch's).
 *  Shapes: logits (N,C), (N,C,...) or (C), labels (N), (N,...) or () int32, weight (C), loss () or,
 *  with GR_NONE, as labels.
 *  Gradient: g (softmax(logits) sum of q - q), over what the mean divides by; none to weight.
 *  Defaults: the mean; no smoothing, weights 1, label -100 ignored.
 *  Errors: shapes, a label outside 0 .. C-1, a smoothing outside 0 .. 1. */
#define gr_cross_entropy(logits_, ...) \
    gr_cross_entropy_(GR__LITERAL(gr_cross_entropy_options) { \
        .logits = (logits_), .labels = __VA_ARGS__ })
/** gr_cross_entropy as a function, for callers without macros. */
GR_API gr_tensor *gr_cross_entropy_(gr_cross_entropy_options o);

/** Options of gr_nll. */
typedef struct gr_nll_options {
    gr_tensor *log_probs GR__OR(nullptr);
    gr_tensor *labels GR__OR(nullptr);
    GR__NAMED
    gr_tensor *weight GR__OR(nullptr); /* one number per class; none: 1 */
    int ignore_index GR__OR(0);        /* a label that is ignored: -100 */
    bool ignore_class_0 GR__OR(false); /* label 0 is ignored, which .ignore_index cannot express */
    gr_reduction reduction GR__OR(GR_MEAN);
} gr_nll_options;

/** gr_nll(log_probs, labels, .weight, .ignore_index, .ignore_class_0, .reduction): loss_n =
 *  -weight[label] log_probs[n,label]; what gr_cross_entropy is after gr_log_softmax.
 *  Shapes: as gr_cross_entropy.
 *  Gradient: -g weight[label] at the label, else 0; a label whose weight is 0 gives loss and
 *  gradient 0 whatever stands there (PyTorch: NaN, where that is infinite or the mean is of weights
 *  0).
 *  Defaults: the mean; weights 1, label -100 ignored.
 *  Errors: as gr_cross_entropy. */
#define gr_nll(log_probs_, ...) \
    gr_nll_(GR__LITERAL(gr_nll_options) { .log_probs = (log_probs_), .labels = __VA_ARGS__ })
/** gr_nll as a function, for callers without macros. */
GR_API gr_tensor *gr_nll_(gr_nll_options o);

/** Options of gr_mse and gr_l1. */
typedef struct gr_loss_options {
    gr_tensor *x GR__OR(nullptr);
    gr_tensor *target GR__OR(nullptr);
    GR__NAMED
    gr_reduction reduction GR__OR(GR_MEAN);
} gr_loss_options;

/** gr_mse(x, target, .reduction): (x - target)^2.
 *  Gradient: 2 g (x - target), and its negative.
 *  Defaults: the mean over all elements.
 *  Errors: unequal shapes. */
#define gr_mse(x_, ...) gr_mse_(GR__LITERAL(gr_loss_options) { .x = (x_), .target = __VA_ARGS__ })
/** gr_mse as a function, for callers without macros. */
GR_API gr_tensor *gr_mse_(gr_loss_options o);
/** gr_l1(x, target, .reduction): |x - target|.
 *  Gradient: g sign(x - target), and its negative.
 *  Defaults: the mean over all elements.
 *  Errors: unequal shapes. */
#define gr_l1(x_, ...) gr_l1_(GR__LITERAL(gr_loss_options) { .x = (x_), .target = __VA_ARGS__ })
/** gr_l1 as a function, for callers without macros. */
GR_API gr_tensor *gr_l1_(gr_loss_options o);

/** Options of gr_smooth_l1. */
typedef struct gr_smooth_l1_options {
    gr_tensor *x GR__OR(nullptr);
    gr_tensor *target GR__OR(nullptr);
    GR__NAMED
    double beta GR__OR(0); /* 1; for 0 there is gr_l1 */
    gr_reduction reduction GR__OR(GR_MEAN);
} gr_smooth_l1_options;

/** gr_smooth_l1(x, target, .beta, .reduction): d^2 / (2 beta) where d = |x - target| is under beta,
 *  else d - beta / 2.
 *  Gradient: g (x - target) / beta, or g sign(x - target), and its negative.
 *  Defaults: beta 1, the mean over all elements.
 *  Errors: unequal shapes, a negative beta. */
#define gr_smooth_l1(x_, ...) \
    gr_smooth_l1_(GR__LITERAL(gr_smooth_l1_options) { .x = (x_), .target = __VA_ARGS__ })
/** gr_smooth_l1 as a function, for callers without macros. */
GR_API gr_tensor *gr_smooth_l1_(gr_smooth_l1_options o);

/** Options of gr_bce_with_logits. */
typedef struct gr_bce_with_logits_options {
    gr_tensor *x GR__OR(nullptr);
    gr_tensor *target GR__OR(nullptr);
    GR__NAMED
    gr_tensor *weight GR__OR(nullptr);     /* of each element; broadcasts to x; none: 1 */
    /* of the part with the target; broadcasts to x; none: 1 */
    gr_tensor *pos_weight GR__OR(nullptr);
    gr_reduction reduction GR__OR(GR_MEAN);
} gr_bce_with_logits_options;

/** gr_bce_with_logits(x, target, .weight, .pos_weight, .reduction): -weight (pos_weight target log
 *  s + (1 - target) log(1 - s)) with s = 1 / (1 + e^-x), without overflow.
 *  Gradient: g weight (s - target) where pos_weight is 1; to target, weight and pos_weight, too.
 *  Defaults: the mean over all elements, weights 1.
 *  Errors: unequal shapes, weights that do not broadcast to x. */
#define gr_bce_with_logits(x_, ...) \
    gr_bce_with_logits_(GR__LITERAL(gr_bce_with_logits_options) { \
        .x = (x_), .target = __VA_ARGS__ })
/** gr_bce_with_logits as a function, for callers without macros. */
GR_API gr_tensor *gr_bce_with_logits_(gr_bce_with_logits_options o);

/** Options of gr_kl_div. */
typedef struct gr_kl_div_options {
    gr_tensor *x GR__OR(nullptr);
    gr_tensor *target GR__OR(nullptr);
    GR__NAMED
    bool log_target GR__OR(false); /* the target is given as its logarithm, too */
    /* divide by N alone, as the definition of the divergence has it, not by all elements */
    bool batch_mean GR__OR(false);
    gr_reduction reduction GR__OR(GR_MEAN);
} gr_kl_div_options;

/** gr_kl_div(x, target, .log_target, .batch_mean, .reduction): target (log target - x), x being the
 *  logarithm of what is measured against the target; 0 log 0 is 0.
 *  Gradient: -g target; to target g (log target + 1 - x), and -g x where it is 0.
 *  Defaults: the mean over all elements (PyTorch's).
 *  Errors: unequal shapes, .batch_mean without a batch or with another reduction. */
#define gr_kl_div(x_, ...) \
    gr_kl_div_(GR__LITERAL(gr_kl_div_options) { .x = (x_), .target = __VA_ARGS__ })
/** gr_kl_div as a function, for callers without macros. */
GR_API gr_tensor *gr_kl_div_(gr_kl_div_options o);

#ifdef __cplusplus
}
#endif

#endif
