/* test_gradcheck.c: one table drives every op over its options, in double, against central
   differences.

   A row is a function from inputs to a result. First order: for random output weights g, d <g, y> /
   dx by gr_grads, and by gr_backward. Second order: gx is a function of (x, g); for random weights
   w, d <w, gx(x, g)> / d(x, g), by the recorded gradient against differences of first-order
   gradients. Third order, where the row asks for it: likewise once more, for random u, d <u, d <w,
   gx> / d(x, g)> / d(x, g). Every element is compared, signed, to 1e-6 of itself, or of 1 if it is
   smaller: a difference at step h = 1e-5 of numbers f is off by their rounding, 1e-16 f / h = 1e-11
   f, and by h^2 / 6 = 2e-11 of their third derivative, in any order, since the gradients that are
   differenced are exact to rounding; what is left is for numbers in the hundreds. Each row runs
   twice: on its inputs as they are, and on results computed from them that two nodes use. An
   expected gradient that is zero throughout proves nothing: it is refused, unless the row names
   why; and a row that names why must be right. */
#include "support.h"

#include "core/core.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef GRADUS_DOUBLE
#error "gradients are checked in double"
#endif

enum { INPUTS = 3, OPTIONS = 6 };

typedef gr_tensor *function(gr_tensor *const *x, const int *o);

/* any: distinct numbers in -1 .. 1, none of them 0; positive: in 0.5 .. 2 */
typedef enum domain { ANY, POSITIVE } domain;

typedef struct row {
    const char *name;
    function   *f;
    int         n; /* inputs */
    gr_shape    in[INPUTS];
    int         to[OPTIONS]; /* option i runs through 0 .. to[i] */
    /* shapes that depend on options; gives the number of inputs */
    int (*adapt)(gr_shape *in, const int *o);
    domain      domain;
    const char *linear; /* why the second derivative by x is zero */
    const char *flat;   /* why every derivative is zero */
    bool        third;  /* the third derivative is checked, and is not zero */
} row;

#define S(...)                                  \
    {                                           \
        GR__COUNT(__VA_ARGS__), { __VA_ARGS__ } \
    }
#define NUMBER   \
    {            \
        0, { 0 } \
    }
#define IN(count, ...) .n = (count), .in = { __VA_ARGS__ }
#define OPTS(...) .to = { __VA_ARGS__ }
#define F(name, expression)                                   \
    static gr_tensor *name(gr_tensor *const *x, const int *o) \
    {                                                         \
        (void)x, (void)o;                                     \
        return (expression);                                  \
    }

/* ---- arithmetic ------------------------------------------------------------------------------ */

F(add, gr_add(x[0], x[1]))
F(sub, gr_sub(x[0], x[1]))
F(mul, gr_mul(x[0], x[1]))
F(divide, gr_div(x[0], x[1]))
F(power, gr_pow(x[0], x[1]))
F(maximum, gr_maximum(x[0], x[1]))
F(add_self, gr_add(x[0], x[0]))
F(sub_self, gr_sub(x[0], x[0]))
F(mul_self, gr_mul(x[0], x[0]))
F(div_self, gr_div(x[0], x[0]))
F(power_self, gr_pow(x[0], x[0]))
F(maximum_self, gr_maximum(x[0], x[0]))
F(mul_chain, gr_mul(gr_mul(x[0], x[1]), gr_add(x[0], gr_mul(x[1], x[0]))))
F(power_up, gr_pow(x[0], gr_scalar(2 + o[0])))
F(power_down, gr_pow(x[0], gr_scalar(-1 - o[0])))
F(power_one, gr_pow(x[0], gr_scalar(1)))
F(power_none, gr_pow(x[0], gr_scalar(0)))
F(power_base, gr_pow(gr_scalar(o[0] ? 2.5 : 0.25), x[0]))
F(power_flat, gr_pow(gr_mul(x[0], gr_scalar(0)), gr_add(gr_mul(x[0], x[0]), gr_scalar(3))))

F(neg, gr_neg(x[0]))
F(scale, gr_scale(x[0], -1.75))
F(scale_zero, gr_scale(x[0], 0))
F(exponential, gr_exp(x[0]))
F(logarithm, gr_log(x[0]))
F(root, gr_sqrt(x[0]))
F(absolute, gr_abs(x[0]))
F(sign_used, gr_mul(x[0], gr_sign(x[0])))
F(relu, gr_relu(x[0]))
F(sigmoid, gr_sigmoid(x[0]))
F(minimum, gr_minimum(x[0], x[1]))
F(minimum_self, gr_minimum(x[0], x[0]))
F(sine, gr_sin(x[0]))
F(cosine, gr_cos(x[0]))
F(log_of_one_and, gr_log1p(x[0]))
F(exp_minus_one, gr_expm1(x[0]))
F(error_function, gr_erf(x[0]))
F(clamp, gr_clamp(x[0], -0.5, 0.5))
F(clamp_wide, gr_clamp(x[0], -9, 9))
F(softplus, gr_softplus(x[0]))
F(leaky_relu, gr_leaky_relu(x[0], 0.1))
F(elu, gr_elu(x[0], 0.7))
F(silu, gr_silu(x[0]))
F(gelu, gr_gelu(x[0]))
F(hyperbolic, gr_tanh(x[0]))
F(deep, gr_tanh(gr_exp(gr_sigmoid(gr_mul(x[0], gr_relu(x[0]))))))

/* Comparisons have no gradient, and let that of what they are multiplied with through. */
static gr_tensor *compared(gr_tensor *const *x, const int *o)
{
    static gr_tensor *(*const fn[])(
        gr_tensor *, gr_tensor *) = { gr_eq, gr_ne, gr_lt, gr_le, gr_gt, gr_ge };
    return gr_mul(x[0], gr_add(fn[o[0]](x[0], x[1]), gr_mul(x[1], gr_scalar(0.5))));
}

/* 1, 0, 0, 1, 0, 0, ... */
static gr_tensor *thirds(gr_shape shape)
{
    gr_tensor *t = gr_zeros(shape);
    for (int64_t i = 0; i < gr_count(t); i += 3) gr_data_mut(t)[i] = 1;
    return t;
}

F(where_like, gr_where(thirds(gr_shape(2, 3)), x[0], x[1]))
F(where_wide, gr_where(thirds(gr_shape(2, 1, 3)), x[0], x[1]))
F(where_scalar, gr_where(gr_scalar(o[0]), gr_exp(x[0]), gr_mul(x[0], x[0])))
F(where_self, gr_where(thirds(gr_shape(4)), x[0], gr_mul(x[0], x[0])))

/* ---- reductions ------------------------------------------------------------------------------ */

/* The dimensions that a mask names, the last one counted from the end. */
static gr_dims axes_of(int mask, int rank)
{
    gr_dims axes = { .count = 0 };
    for (int i = 0; i < rank; i++)
        if (mask >> i & 1) axes.at[axes.count++] = i == rank - 1 ? -1 : i;
    return axes;
}

F(sum, gr_sum(x[0], .axes = axes_of(o[0], gr_shape_of(x[0]).rank), .keepdim = o[1]))
F(mean, gr_mean(x[0], .axes = axes_of(o[0], gr_shape_of(x[0]).rank), .keepdim = o[1]))
F(largest, gr_max(x[0], .axes = axes_of(o[0], gr_shape_of(x[0]).rank), .keepdim = o[1]))
F(smallest, gr_min(x[0], .axes = axes_of(o[0], gr_shape_of(x[0]).rank), .keepdim = o[1]))
F(spread,
    gr_var(x[0], .axes = axes_of(o[0], gr_shape_of(x[0]).rank), .keepdim = o[1], .biased = o[2]))
F(deviation,
    gr_std(x[0], .axes = axes_of(o[0], gr_shape_of(x[0]).rank), .keepdim = o[1], .biased = o[2]))
F(norm, gr_norm(x[0], .axes = axes_of(o[0], gr_shape_of(x[0]).rank), .keepdim = o[1]))
F(logsumexp, gr_logsumexp(x[0], .axes = axes_of(o[0], gr_shape_of(x[0]).rank), .keepdim = o[1]))
F(variance, gr_mean(gr_mul(gr_sub(x[0], gr_mean(x[0])), gr_sub(x[0], gr_mean(x[0])))))

/* ---- movement -------------------------------------------------------------------------------- */

static gr_tensor *reshape(gr_tensor *const *x, const int *o)
{
    const gr_shape to[] = { gr_shape(12), gr_shape(3, -1), gr_shape(-1, 1, 6), gr_shape(2, 3, 2) };
    return gr_reshape(x[0], to[o[0]]);
}

F(flatten, gr_flatten(x[0]))
F(transpose, gr_transpose(x[0], 0, -1))
F(unsqueeze, gr_unsqueeze(x[0], o[0]))
F(squeeze, gr_squeeze(x[0]))
F(stack, gr_stack(x, 3, o[0]))
F(roll, gr_roll(x[0], o[0] - 2, o[1]))

static gr_tensor *split(gr_tensor *const *x, const int *o)
{
    gr_tensor *part[3];
    (void)o;
    return gr_split(x[0], 2, 1, part, 3) ? gr_add(part[0], gr_mul(part[1], part[2])) : NULL;
}

static gr_tensor *permute(gr_tensor *const *x, const int *o)
{
    const gr_dims order[] = { GR_DIMS(0, 1, 2), GR_DIMS(0, 2, 1), GR_DIMS(1, 0, 2),
        GR_DIMS(1, 2, 0), GR_DIMS(2, 0, 1), GR_DIMS(-1, -2, -3) };
    return gr_permute(x[0], order[o[0]]);
}

F(permute_four, gr_permute(x[0], GR_DIMS(3, 0, 2, 1)))

static gr_tensor *expand(gr_tensor *const *x, const int *o)
{
    const gr_shape to[] = { gr_shape(1, 3, 1), gr_shape(2, 3, 1), gr_shape(2, 3, 4),
        gr_shape(2, 1, 3, 2) };
    return gr_expand(x[0], to[o[0]]);
}

F(expand_number, gr_expand(x[0], gr_shape(2, 3)))
F(expand_away, gr_expand(x[0], gr_shape(0, 3)))

static gr_tensor *slice(gr_tensor *const *x, const int *o)
{
    static const struct {
        int64_t start, stop, step;
    } cut[] = { { 0, GR_END, 1 }, { 1, 3, 1 }, { -2, GR_END, 1 }, { -4, -1, 2 }, { 1, GR_END, 3 },
        { 0, 1, 1 }, { -9, 9, 2 } };
    return gr_slice(x[0], o[0], cut[o[1]].start, cut[o[1]].stop, .step = cut[o[1]].step);
}

F(slice_nothing, gr_slice(x[0], 0, 2, 1))
F(slice_twice, gr_mul(gr_slice(x[0], 0, 0, 2), gr_slice(x[0], 0, 1, 3)))
F(flip, gr_flip(x[0], axes_of(o[0] + 1, 3)))
F(concat, gr_concat(GR_TENSORS(x[0], x[1], x[2]), o[0] - 3))
F(concat_self, gr_concat(GR_TENSORS(x[0], x[1], x[0]), 1))
F(concat_empty, gr_concat(GR_TENSORS(x[0], gr_zeros(gr_shape(2, 0)), x[0]), 1))

/* Shapes of concat's inputs: apart along the axis. */
static int along_axis(gr_shape *in, const int *o)
{
    for (int i = 0; i < 3; i++) in[i].dim[o[0]] = i + 1;
    return 3;
}

static gr_tensor *pad(gr_tensor *const *x, const int *o)
{
    const gr_shape before[] = { gr_shape(1, 2), gr_shape(0, 1), gr_shape(-1, 0), gr_shape(-1, 2),
        gr_shape(2, -1), gr_shape(4, 0) };
    const gr_shape after[] = { gr_shape(1, 2), gr_shape(2, 0), gr_shape(0, -2), gr_shape(1, -1),
        gr_shape(-1, -1), gr_shape(-2, 1) };
    return gr_pad(x[0], before[o[0]], .after = after[o[0]], .value = o[1] ? -0.5 : 0);
}

F(pad_both, gr_pad(x[0], gr_shape(1, 0, 2)))

/* Numbers 0 .. limit-1 in no order, most of them more than once. */
static gr_tensor *indices(gr_shape shape, int limit)
{
    gr_tensor *t = gr_from_ints(shape, (const int32_t[64]){ 0 });
    for (int64_t i = 0; i < gr_count(t); i++)
        gr_ints_mut(t)[i] = (int32_t)((i * i + 2 * i + 1) % 7 % limit);
    return t;
}

F(gather,
    gr_gather(x[0], o[0], indices(o[1] ? gr_shape(2, 2, 2) : gr_shape(o[0] == 0 ? 4 : 1, 3, 4), 2)))
F(gather_all, gr_gather(x[0], -1, indices(gr_shape(3, 5), 2)))
F(gather_nothing, gr_gather(x[0], 0, gr_from_ints(gr_shape(0, 2), (const int32_t[]){ 0 })))
F(embedding, gr_embedding(x[0], indices(o[0] ? gr_shape(2, 1, 3) : gr_shape(5), 4)))
F(embedding_number, gr_embedding(x[0], indices(SCALAR, 4)))
F(embedding_used, gr_mul(gr_embedding(x[0], indices(gr_shape(3), 2)),
                      gr_gather(x[0], 0, indices(gr_shape(3, 2), 2))))

/* ---- matrices -------------------------------------------------------------------------------- */

F(matmul, gr_matmul(x[0], x[1], .transpose_a = o[0], .transpose_b = o[1]))
F(matmul_self, gr_matmul(x[0], x[0], .transpose_a = o[0], .transpose_b = o[1]))

static void swap_last(gr_shape *s)
{
    int64_t last = s->dim[s->rank - 1];
    s->dim[s->rank - 1] = s->dim[s->rank - 2];
    s->dim[s->rank - 2] = last;
}

/* Stored as the transposes that the flags read. */
static int transposed(gr_shape *in, const int *o)
{
    for (int i = 0; i < 2; i++)
        if (o[i] && in[i].rank > 1) swap_last(&in[i]);
    return 2;
}

F(linear, gr_linear(x[0], x[1], .bias = o[1] ? x[2] : NULL, .act = (gr_act)o[0]))
F(linear_self, gr_linear(x[0], x[0], .bias = gr_sum(x[0], .axes = GR_DIMS(0)), .act = (gr_act)o[0]))

static int bias_or_not(gr_shape *in, const int *o)
{
    (void)in;
    return o[1] ? 3 : 2;
}

/* ---- convolution ----------------------------------------------------------------------------- */
/* Options: stride - 1, padding, dilation - 1, which groups, how much larger than needed the open
   size is. */

static const int groups[] = { 1, 2, 4 };

#define WINDOW .stride = o[0] + 1, .padding = o[1], .dilation = o[2] + 1, .groups = groups[o[3]]

F(conv, gr_conv2d(x[0], x[1], WINDOW))
F(input_grad, gr_conv2d_input_grad(x[0], x[1], gr_hw(3 + o[2] + o[4], 5), WINDOW))
F(kernel_grad, gr_conv2d_kernel_grad(x[0], x[1], gr_hw(2, 3), WINDOW))
F(conv_act, gr_conv2d(x[0], x[1], .bias = o[1] ? x[2] : NULL, .act = (gr_act)o[0], .stride = 2,
                .padding = 1))
F(conv_apart,
    gr_conv2d(x[0], x[1], .stride_hw = { 2, 1 }, .padding_hw = { 0, 2 }, .dilation_hw = { 1, 2 }))
F(conv_self, gr_conv2d(x[0], x[0], .padding = o[0]))
F(conv_transpose, gr_conv_transpose2d(x[0], x[1], .bias = o[4] ? x[2] : NULL,
                      .output_padding = o[0] && o[5], WINDOW))
F(filt, gr_conv_filt(x[0], x[1]))
F(valid, gr_conv_valid(x[0], x[1]))
F(full, gr_conv_full(x[0], x[1]))
F(filt_self, gr_conv_filt(x[0], x[0]))
F(valid_self, gr_conv_valid(x[0], x[0]))
F(full_self, gr_conv_full(x[0], x[0]))

static int64_t reach(int64_t H, int64_t K, const int *o)
{
    return (H + 2 * o[1] - ((o[2] + 1) * (K - 1) + 1)) / (o[0] + 1) + 1;
}

static int grouped(gr_shape *in, const int *o)
{
    in[1].dim[1] /= groups[o[3]];
    return 2;
}

/* The gradient's size follows from the input's. */
static int input_grad_sizes(gr_shape *in, const int *o)
{
    in[0].dim[2] = reach(3 + o[2] + o[4], 2, o);
    in[0].dim[3] = reach(5, 3, o);
    return grouped(in, o);
}

static int kernel_grad_sizes(gr_shape *in, const int *o)
{
    in[1].dim[2] = reach(in[0].dim[2], 2, o);
    in[1].dim[3] = reach(in[0].dim[3], 3, o);
    return 2;
}

static int transpose_sizes(gr_shape *in, const int *o)
{
    grouped(in, o);
    return o[4] ? 3 : 2;
}

/* ---- pooling, probabilities, losses ---------------------------------------------------------- */

F(pool, gr_max_pool2d(x[0], o[0] + 1, .stride = o[1], .padding = o[0] ? o[2] : 0))
F(pool_apart,
    gr_max_pool2d(x[0], 0, .size_hw = { 3, 2 }, .stride_hw = { 1, 2 }, .padding_hw = { 1, 0 }))
F(averages, gr_avg_pool2d(x[0], o[0] + 1, .stride = o[1], .padding = o[0] ? o[2] : 0,
                .exclude_padding = o[3]))
F(averages_apart, gr_avg_pool2d(x[0], 0, .size_hw = { 3, 2 }, .stride_hw = { 1, 2 },
                      .padding_hw = { 1, 0 }, .exclude_padding = o[0]))
F(adaptive, gr_adaptive_avg_pool2d(x[0], gr_hw(o[0] + 1, 2 * o[1] + 1)))
F(whole, gr_global_avg_pool2d(x[0]))
F(nearest, gr_upsample(x[0], o[0] == 0 ? 2 : o[0] == 1 ? 1.6 : 0.5, .bilinear = o[1]))
F(resized,
    gr_upsample(x[0], 0, .size_hw = { o[0] == 0 ? 7 : 2, o[0] == 0 ? 3 : 5 }, .bilinear = o[1]))
F(upsampled_used, gr_mul(gr_upsample(x[0], 2), gr_upsample(x[0], 2, .bilinear = true)))
F(softmax, gr_softmax(x[0], o[0] - 1))
F(log_softmax, gr_log_softmax(x[0], o[0] - 1))
F(softmax_vector, gr_softmax(x[0], 0))
F(cross_entropy, gr_cross_entropy(x[0], gr_from_ints(gr_shape(3), (const int32_t[]){ 1, 3, 1 })))
F(cross_entropy_one, gr_cross_entropy(x[0], gr_from_ints(gr_shape(1), (const int32_t[]){ o[0] })))
F(cross_entropy_used,
    gr_mul(gr_cross_entropy(x[0], gr_from_ints(gr_shape(3), (const int32_t[]){ 1, 3, 0 })),
        gr_sum(x[0])))
F(mse, gr_mse(x[0], x[1]))
F(mse_self, gr_mse(x[0], x[0]))

/* Options: smoothing, class weights, what is ignored (nothing, label 3, label 0), reduction; logits
   (N,C) or (N,C,2). */

static gr_tensor *some_labels(const gr_tensor *x)
{
    static const int32_t at[] = { 1, 3, 1, 0, 2, 3 };
    return gr_shape_of(x).rank == 2 ? gr_from_ints(gr_shape(3), at)
                                    : gr_from_ints(gr_shape(3, 2), at);
}

static gr_tensor *class_weights(void) { return T(gr_shape(4), 0.5, 2, 1.5, 1); }

F(cross_entropy_full,
    gr_cross_entropy(x[0], some_labels(x[0]), .smoothing = 0.3 * o[0],
        .weight = o[1] ? class_weights() : NULL, .ignore_index = o[2] == 1 ? 3 : 0,
        .ignore_class_0 = o[2] == 2, .reduction = (gr_reduction)o[3]))
F(nll, gr_nll(x[0], some_labels(x[0]), .weight = o[1] ? class_weights() : NULL,
           .ignore_index = o[2] == 1 ? 3 : 0, .ignore_class_0 = o[2] == 2,
           .reduction = (gr_reduction)o[3]))
F(mse_reduced, gr_mse(x[0], x[1], .reduction = (gr_reduction)o[0]))
F(l1, gr_l1(x[0], x[1], .reduction = (gr_reduction)o[0]))
F(smooth_l1, gr_smooth_l1(gr_scale(x[0], 1.013), x[1], .beta = o[1] ? 0.4 : 0,
                 .reduction = (gr_reduction)o[0]))
F(bce, gr_bce_with_logits(x[0], x[1], .weight = o[1] ? T(gr_shape(3), 0.5, 2, 1) : NULL,
           .pos_weight = o[2] ? T(gr_shape(2, 1), 0.5, 3) : NULL, .reduction = (gr_reduction)o[0]))
F(kl_div, gr_kl_div(x[0], x[1], .log_target = o[1], .reduction = (gr_reduction)o[0]))
F(kl_div_batch, gr_kl_div(x[0], x[1], .log_target = o[1], .batch_mean = true))
F(bce_weights, gr_bce_with_logits(x[0], thirds(gr_shape(2, 3)), .weight = x[1], .pos_weight = x[2]))

/* ---- normalisation --------------------------------------------------------------------------- */
/* Options: none, act, a larger eps; without weight and bias where there is one input alone. */

static gr_tensor *batch_norm_in(bool training, gr_tensor *const *x, const int *o)
{
    gr_tensor *mean = T(gr_shape(3), 0.3, -0.2, 0.1), *var = T(gr_shape(3), 0.5, 1.5, 0.2);
    return gr_batch_norm2d(x[0], .weight = o[3] ? NULL : x[1], .bias = o[3] ? NULL : x[2],
        .running_mean = mean, .running_var = var, .training = training, .act = (gr_act)o[1],
        .eps = o[2] ? 0.5 : 0);
}

F(batch_norm, batch_norm_in(true, x, o))
F(batch_norm_fixed, batch_norm_in(false, x, o))
F(batch_norm_plain, batch_norm_in(false, x, (const int[]){ 0, 0, 0, 1 }))

static int line_or_not(gr_shape *in, const int *o)
{
    (void)in;
    return o[3] ? 1 : 3;
}

F(layer_norm, gr_layer_norm(x[0], .dims = o[0], .weight = o[3] ? NULL : x[1],
                  .bias = o[3] ? NULL : x[2], .eps = o[2] ? 0.5 : 0))
F(group_norm, gr_group_norm(x[0], o[0] + 1, .weight = o[3] ? NULL : x[1],
                  .bias = o[3] ? NULL : x[2], .eps = o[2] ? 0.5 : 0))

/* Weight and bias as the last dims dimensions. */
static int tails(gr_shape *in, const int *o)
{
    int dims = o[0] ? o[0] : 1;
    in[1].rank = dims;
    for (int i = 0; i < dims; i++) in[1].dim[i] = in[0].dim[in[0].rank - dims + i];
    in[2] = in[1];
    return o[3] ? 1 : 3;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const char *const sums = "linear in x";
static const char *const picks = "linear between its kinks";
static const char *const moves = "moves numbers";

#define SPREADS(op, fn, ...)                                                                   \
    { op " like", fn, IN(2, S(2, 3), S(2, 3)), __VA_ARGS__ },                                  \
        { op " row", fn, IN(2, S(2, 3), S(3)), __VA_ARGS__ },                                  \
        { op " column", fn, IN(2, S(2, 1), S(2, 3)), __VA_ARGS__ },                            \
        { op " both", fn, IN(2, S(2, 1, 3), S(4, 1)), __VA_ARGS__ },                           \
        { op " number", fn, IN(2, NUMBER, S(2, 2)), __VA_ARGS__ },                             \
    {                                                                                          \
        op " nothing", fn, IN(2, S(0, 3), S(1, 3)), .flat = "there is no element", __VA_ARGS__ \
    }

#define BROADCASTS(op, fn, ...)                                                              \
    SPREADS(op, fn, __VA_ARGS__), { op " numbers", fn, IN(2, NUMBER, NUMBER), __VA_ARGS__ }, \
    {                                                                                        \
        op " ones", fn, IN(2, S(1, 1), S(1)), __VA_ARGS__                                    \
    }

#define UNARY(op, fn, ...)                                                                     \
    { op, fn, IN(1, S(2, 3)), __VA_ARGS__ }, { op " number", fn, IN(1, NUMBER), __VA_ARGS__ }, \
        { op " one", fn, IN(1, S(1, 1)), __VA_ARGS__ },                                        \
    {                                                                                          \
        op " nothing", fn, IN(1, S(2, 0)), .flat = "there is no element", __VA_ARGS__          \
    }

static const row table[] = {
    BROADCASTS("add", add, .linear = sums),
    BROADCASTS("sub", sub, .linear = sums),
    BROADCASTS("mul", mul, .linear = NULL),
    BROADCASTS("div", divide, .domain = POSITIVE),
    BROADCASTS("pow", power, .domain = POSITIVE),
    SPREADS("maximum", maximum, .linear = picks),
    { "add self", add_self, IN(1, S(3)), .linear = sums },
    { "sub self", sub_self, IN(1, S(3)), .flat = "x - x is 0" },
    { "mul self", mul_self, IN(1, S(2, 2)) },
    { "div self", div_self, IN(1, S(3)), .flat = "x / x is 1" },
    { "pow self", power_self, IN(1, S(3)), .domain = POSITIVE },
    SPREADS("minimum", minimum, .linear = picks),
    { "minimum self", minimum_self, IN(1, S(3)), .linear = picks },
    { "maximum self", maximum_self, IN(1, S(3)), .linear = picks },
    { "mul chain", mul_chain, IN(2, S(2, 3), S(3)) },
    { "pow 2, 3", power_up, IN(1, S(2, 2)), OPTS(1) },
    { "pow -1, -2", power_down, IN(1, S(2, 2)), OPTS(1), .domain = POSITIVE },
    { "pow 1", power_one, IN(1, S(2, 2)), .linear = sums },
    { "pow 0", power_none, IN(1, S(2, 2)), .flat = "x^0 is 1" },
    { "pow of a number", power_base, IN(1, S(2, 2)), OPTS(1) },
    { "pow of 0", power_flat, IN(1, S(3)), .flat = "0^b is 0 for b > 0" },

    UNARY("neg", neg, .linear = sums),
    UNARY("scale", scale, .linear = sums),
    { "scale by 0", scale_zero, IN(1, S(3)), .flat = "0 x is 0" },
    UNARY("exp", exponential, .linear = NULL),
    UNARY("log", logarithm, .domain = POSITIVE),
    UNARY("sqrt", root, .domain = POSITIVE),
    UNARY("abs", absolute, .linear = picks),
    { "relu", relu, IN(1, S(3, 5)), .linear = picks },
    { "relu nothing", relu, IN(1, S(2, 0)), .flat = "there is no element" },
    UNARY("sigmoid", sigmoid, .linear = NULL),
    { "tanh", hyperbolic, IN(1, S(2, 3)), .third = true },
    { "tanh number", hyperbolic, IN(1, NUMBER), .third = true },
    { "tanh nothing", hyperbolic, IN(1, S(2, 0)), .flat = "there is no element" },
    UNARY("sin", sine, .linear = NULL),
    UNARY("cos", cosine, .linear = NULL),
    UNARY("log1p", log_of_one_and, .domain = POSITIVE),
    UNARY("expm1", exp_minus_one, .linear = NULL),
    UNARY("erf", error_function, .linear = NULL),
    { "clamp", clamp, IN(1, S(5, 5)), .linear = picks },
    { "clamp within", clamp_wide, IN(1, S(5)), .linear = picks },
    UNARY("softplus", softplus, .linear = NULL),
    UNARY("leaky_relu", leaky_relu, .linear = picks),
    { "elu", elu, IN(1, S(5, 3)) },
    { "elu nothing", elu, IN(1, S(2, 0)), .flat = "there is no element" },
    UNARY("silu", silu, .linear = NULL),
    UNARY("gelu", gelu, .linear = NULL),
    { "sign used", sign_used, IN(1, S(5)), .linear = picks },
    { "a chain of four", deep, IN(1, S(7)) },
    { "comparisons used", compared, IN(2, S(2, 3), S(3)), OPTS(5) },
    { "where", where_like, IN(2, S(2, 3), S(2, 3)), .linear = picks },
    { "where row and column", where_like, IN(2, S(2, 1), S(3)), .linear = picks },
    { "where number", where_like, IN(2, NUMBER, S(3)), .linear = picks },
    { "where wide condition", where_wide, IN(2, S(4, 1), S(3)), .linear = picks },
    { "where scalar condition", where_scalar, IN(1, S(2, 2)), OPTS(1) },
    { "where self", where_self, IN(1, S(4)) },

    { "transpose", transpose, IN(1, S(2, 3, 4)), .linear = sums },
    { "unsqueeze", unsqueeze, IN(1, S(2, 3)), OPTS(2), .linear = sums },
    { "squeeze", squeeze, IN(1, S(1, 2, 1, 3)), .linear = sums },
    { "stack", stack, IN(3, S(2, 3), S(2, 3), S(2, 3)), OPTS(2), .linear = sums },
    { "split", split, IN(1, S(2, 5)) },
    { "roll", roll, IN(1, S(3, 4)), OPTS(5, 1), .linear = sums },

    { "sum", sum, IN(1, S(2, 3, 2)), OPTS(7, 1), .linear = sums },
    { "sum of 4", sum, IN(1, S(2, 1, 3, 2)), OPTS(15, 1), .linear = sums },
    { "sum of a number", sum, IN(1, NUMBER), OPTS(0, 1), .linear = sums },
    { "sum of nothing", sum, IN(1, S(2, 0)), OPTS(3, 1), .flat = "there is no element" },
    { "mean", mean, IN(1, S(2, 3, 2)), OPTS(7, 1), .linear = sums },
    { "mean of one", mean, IN(1, S(1, 1)), OPTS(3, 1), .linear = sums },
    { "mean of a number", mean, IN(1, NUMBER), OPTS(0, 1), .linear = sums },
    { "max", largest, IN(1, S(2, 3, 2)), OPTS(7, 1), .linear = picks },
    { "min", smallest, IN(1, S(2, 3, 2)), OPTS(7, 1), .linear = picks },
    { "var", spread, IN(1, S(2, 3, 2)), OPTS(7, 1, 1) },
    { "std", deviation, IN(1, S(3, 4, 3)), OPTS(7, 1, 1) },
    { "norm", norm, IN(1, S(2, 3, 2)), OPTS(7, 1) },
    { "logsumexp", logsumexp, IN(1, S(2, 3, 2)), OPTS(7, 1) },
    { "max of 4", largest, IN(1, S(2, 1, 3, 2)), OPTS(15, 1), .linear = picks },
    { "max of a number", largest, IN(1, NUMBER), OPTS(0, 1), .linear = picks },
    { "variance", variance, IN(1, S(2, 3)) },

    { "reshape", reshape, IN(1, S(2, 6)), OPTS(3), .linear = moves },
    { "flatten", flatten, IN(1, S(2, 3, 2)), .linear = moves },
    { "flatten vector", flatten, IN(1, S(3)), .linear = moves },
    { "permute", permute, IN(1, S(2, 3, 4)), OPTS(5), .linear = moves },
    { "permute 4", permute_four, IN(1, S(2, 3, 1, 4)), .linear = moves },
    { "expand", expand, IN(1, S(1, 3, 1)), OPTS(3), .linear = moves },
    { "expand number", expand_number, IN(1, NUMBER), .linear = moves },
    { "expand away", expand_away, IN(1, S(1, 3)), .flat = "there is no element" },
    { "slice", slice, IN(1, S(4, 5, 4)), OPTS(2, 6), .linear = moves },
    { "slice nothing", slice_nothing, IN(1, S(3, 2)), .flat = "there is no element" },
    { "slice twice", slice_twice, IN(1, S(3, 2)) },
    { "flip", flip, IN(1, S(2, 3, 2)), OPTS(6), .linear = moves },
    { "concat", concat, IN(3, S(2, 3, 2), S(2, 3, 2), S(2, 3, 2)), OPTS(2), along_axis,
        .linear = moves },
    { "concat self", concat_self, IN(2, S(2, 3), S(2, 1)), .linear = moves },
    { "concat nothing", concat_empty, IN(1, S(2, 3)), .linear = moves },
    { "pad", pad, IN(1, S(3, 5)), OPTS(5, 1), .linear = moves },
    { "pad both", pad_both, IN(1, S(2, 1, 2)), .linear = moves },

    { "gather", gather, IN(1, S(2, 3, 4)), OPTS(2, 1), .linear = sums },
    { "gather more than there is", gather_all, IN(1, S(3, 2)), .linear = sums },
    { "gather nothing", gather_nothing, IN(1, S(3, 2)), .flat = "there is no element" },
    { "embedding", embedding, IN(1, S(4, 3)), OPTS(1), .linear = sums },
    { "embedding of one number", embedding_number, IN(1, S(4, 1)), .linear = sums },
    { "embedding used", embedding_used, IN(1, S(3, 2)) },

    { "matmul", matmul, IN(2, S(2, 3), S(3, 4)), OPTS(1, 1), transposed },
    { "matmul one", matmul, IN(2, S(1, 1), S(1, 1)), OPTS(1, 1), transposed },
    { "matmul batched", matmul, IN(2, S(2, 2, 3), S(2, 3, 2)), OPTS(1, 1), transposed },
    { "matmul batches broadcast", matmul, IN(2, S(2, 1, 2, 3), S(3, 3, 1)), OPTS(1, 1),
        transposed },
    { "matmul batches of one", matmul, IN(2, S(1, 1, 2, 3), S(2, 3, 2)), OPTS(1, 1), transposed },
    { "matmul batch by matrix", matmul, IN(2, S(2, 2, 3), S(3, 2)), OPTS(1, 1), transposed },
    { "matmul matrix by batch", matmul, IN(2, S(2, 3), S(2, 3, 2)), OPTS(1, 1), transposed },
    { "matmul row by column", matmul, IN(2, S(3), S(3)), OPTS(1, 1) },
    { "matmul row by matrix", matmul, IN(2, S(3), S(3, 2)), OPTS(0, 1), transposed },
    { "matmul matrix by column", matmul, IN(2, S(2, 3), S(3)), OPTS(1, 0), transposed },
    { "matmul row by batch", matmul, IN(2, S(3), S(2, 3, 2)), OPTS(0, 1), transposed },
    { "matmul batch by column", matmul, IN(2, S(2, 2, 3), S(3)), OPTS(1, 0), transposed },
    { "matmul nothing", matmul, IN(2, S(2, 0), S(0, 3)), OPTS(1, 1), transposed,
        .flat = "there is no element" },
    { "matmul self", matmul_self, IN(1, S(3, 3)), OPTS(1, 1) },
    { "matmul self batched", matmul_self, IN(1, S(2, 2, 2)), OPTS(1, 1) },

    { "linear", linear, IN(3, S(2, 3), S(4, 3), S(4)), OPTS(3, 1), bias_or_not, .third = true },
    { "linear vector", linear, IN(3, S(3), S(4, 3), S(4)), OPTS(3, 1), bias_or_not },
    { "linear rank 3", linear, IN(3, S(2, 2, 3), S(2, 3), S(2)), OPTS(3, 1), bias_or_not,
        .third = true },
    { "linear self", linear_self, IN(1, S(3, 3)), OPTS(3), .third = true },

    { "conv2d", conv, IN(2, S(2, 4, 4, 5), S(4, 4, 2, 3)), OPTS(2, 2, 1, 2), grouped },
    { "conv2d act", conv_act, IN(3, S(2, 2, 4, 5), S(3, 2, 3, 2), S(3)), OPTS(3, 1), bias_or_not,
        .third = true },
    { "conv2d height and width apart", conv_apart, IN(2, S(1, 2, 5, 4), S(2, 2, 2, 3)),
        .third = true },
    { "conv2d in groups", conv, IN(2, S(2, 2, 3, 3), S(2, 2, 2, 2)), OPTS(1, 1, 1, 1), grouped,
        .third = true },
    { "conv2d 1x1", conv, IN(2, S(2, 2, 2, 2), S(3, 2, 1, 1)) },
    { "conv2d self", conv_self, IN(1, S(2, 2, 3, 3)), OPTS(1), .third = true },
    { "conv2d_input_grad", input_grad, IN(2, S(2, 4, 1, 1), S(4, 4, 2, 3)), OPTS(2, 2, 1, 2, 1),
        input_grad_sizes },
    { "conv2d_kernel_grad", kernel_grad, IN(2, S(2, 4, 4, 5), S(2, 4, 1, 1)), OPTS(2, 2, 1, 2),
        kernel_grad_sizes },
    { "conv_transpose2d", conv_transpose, IN(3, S(2, 4, 3, 2), S(4, 4, 2, 3), S(4)),
        OPTS(1, 0, 1, 0, 1, 1), transpose_sizes },
    { "conv_transpose2d padded", conv_transpose, IN(2, S(1, 4, 3, 3), S(4, 4, 2, 3)),
        OPTS(2, 1, 0, 2, 0, 1), transpose_sizes },
    { "conv_filt", filt, IN(2, S(4, 5), S(2, 3)) },
    { "conv_filt whole", filt, IN(2, S(2, 3), S(2, 3)) },
    { "conv_valid", valid, IN(2, S(4, 5), S(3, 2)) },
    { "conv_full", full, IN(2, S(3, 2), S(2, 4)) },
    { "conv_full number", full, IN(2, S(1, 1), S(2, 3)) },
    { "conv_filt self", filt_self, IN(1, S(2, 3)) },
    { "conv_valid self", valid_self, IN(1, S(2, 3)) },
    { "conv_full self", full_self, IN(1, S(2, 3)) },

    { "max_pool2d", pool, IN(1, S(2, 2, 5, 4)), OPTS(2, 3, 1), .linear = picks },
    { "max_pool2d height and width apart", pool_apart, IN(1, S(1, 2, 5, 4)), .linear = picks },
    { "avg_pool2d", averages, IN(1, S(2, 2, 5, 4)), OPTS(2, 3, 1, 1), .linear = sums },
    { "avg_pool2d of pairs", averages, IN(1, S(2, 1, 4, 6)), OPTS(1, 0), .linear = sums },
    { "avg_pool2d height and width apart", averages_apart, IN(1, S(1, 2, 5, 4)), OPTS(1),
        .linear = sums },
    { "adaptive_avg_pool2d", adaptive, IN(1, S(2, 2, 5, 4)), OPTS(6, 2), .linear = sums },
    { "global_avg_pool2d", whole, IN(1, S(2, 3, 3, 5)), .linear = sums },
    { "upsample", nearest, IN(1, S(2, 2, 3, 5)), OPTS(2, 1), .linear = sums },
    { "upsample to a size", resized, IN(1, S(2, 1, 3, 4)), OPTS(1, 1), .linear = sums },
    { "upsample of one", resized, IN(1, S(1, 1, 1, 1)), OPTS(1, 1), .linear = sums },
    { "upsample used", upsampled_used, IN(1, S(1, 2, 2, 3)) },
    { "batch_norm2d", batch_norm, IN(3, S(2, 3, 3, 1), S(3), S(3)), OPTS(0, 3, 1, 1), line_or_not,
        .third = true },
    { "batch_norm2d wide", batch_norm, IN(3, S(1, 3, 3, 11), S(3), S(3)), OPTS(0, 1, 1),
        line_or_not },
    { "batch_norm2d in eval mode", batch_norm_fixed, IN(3, S(2, 3, 1, 2), S(3), S(3)),
        OPTS(0, 3, 1), line_or_not, .third = true },
    { "batch_norm2d in eval mode, plain", batch_norm_plain, IN(1, S(2, 3, 1, 2)), .linear = sums },
    { "layer_norm", layer_norm, IN(3, S(2, 3, 5), S(1), S(1)), OPTS(3, 0, 1, 1), tails },
    { "layer_norm of a row", layer_norm, IN(3, S(17), S(1), S(1)), OPTS(1), tails, .third = true },
    { "group_norm", group_norm, IN(3, S(2, 2, 3, 1), S(2), S(2)), OPTS(1, 0, 1, 1), line_or_not,
        .third = true },
    { "group_norm of rows", group_norm, IN(3, S(3, 6), S(6), S(6)), OPTS(1), line_or_not },
    { "group_norm, long", group_norm, IN(3, S(1, 2, 11, 3), S(2), S(2)), OPTS(1), line_or_not },
    { "softmax", softmax, IN(1, S(2, 3, 2)), OPTS(3), .third = true },
    { "softmax vector", softmax_vector, IN(1, S(4)) },
    { "softmax of one", softmax_vector, IN(1, S(1, 3)), .flat = "softmax of one number is 1" },
    { "log_softmax", log_softmax, IN(1, S(2, 3, 2)), OPTS(3), .third = true },
    { "cross_entropy", cross_entropy, IN(1, S(3, 4)), .third = true },
    { "cross_entropy of one row", cross_entropy_one, IN(1, S(1, 3)), OPTS(2), .third = true },
    { "cross_entropy of one class", cross_entropy_one, IN(1, S(1, 1)),
        .flat = "the one class has probability 1" },
    { "cross_entropy used", cross_entropy_used, IN(1, S(3, 4)), .third = true },
    { "cross_entropy with options", cross_entropy_full, IN(1, S(3, 4)), OPTS(1, 1, 2, 2),
        .third = true },
    { "cross_entropy of planes", cross_entropy_full, IN(1, S(3, 4, 2)), OPTS(1, 1, 2, 2) },
    { "nll", nll, IN(1, S(3, 4)), OPTS(0, 1, 2, 2), .linear = moves },
    { "nll of planes", nll, IN(1, S(3, 4, 2)), OPTS(0, 1, 2, 2), .linear = moves },
    { "mse reduced", mse_reduced, IN(2, S(2, 3), S(2, 3)), OPTS(2) },
    { "l1", l1, IN(2, S(2, 3), S(2, 3)), OPTS(2), .linear = picks },
    { "smooth_l1", smooth_l1, IN(2, S(3, 5), S(3, 5)), OPTS(2, 1) },
    { "bce_with_logits", bce, IN(2, S(2, 3), S(2, 3)), OPTS(2, 1, 1) },
    { "bce_with_logits's weights", bce_weights, IN(3, S(2, 3), S(3), S(2, 1)) },
    { "kl_div", kl_div, IN(2, S(2, 3), S(2, 3)), OPTS(2, 1), .domain = POSITIVE },
    { "kl_div of a batch", kl_div_batch, IN(2, S(2, 3), S(2, 3)), OPTS(0, 1), .domain = POSITIVE },
    { "mse", mse, IN(2, S(2, 3), S(2, 3)) },
    { "mse number", mse, IN(2, NUMBER, NUMBER) },
    { "mse self", mse_self, IN(1, S(3)), .flat = "x - x is 0" },
};

/* ---- the check ------------------------------------------------------------------------------- */

enum { MOST = 1 << 13 };
static const double step = 1e-5, tolerance = 1e-6;

typedef struct problem {
    const row *r;
    int        o[OPTIONS];
    bool       derived; /* inputs are results, used by two nodes */
    int        n;
    gr_tensor *x[INPUTS + 1]; /* the last of n + 1 is g */
    gr_tensor *w[INPUTS], *u[INPUTS + 1];
    gr_rng     rng;
} problem;

static void complain(const problem *p, const char *what)
{
    ck_abort_msg("%s {%d,%d,%d,%d,%d,%d}%s: %s%s%s", p->r->name, p->o[0], p->o[1], p->o[2], p->o[3],
        p->o[4], p->o[5], p->derived ? " derived" : "", what, gr_error() ? ": " : "",
        gr_error() ? gr_error() : "");
}

static gr_tensor *evaluate(const problem *p)
{
    if (!p->derived) return p->r->f(p->x, p->o);
    gr_tensor *z[INPUTS];
    for (int i = 0; i < p->n; i++) z[i] = gr_scale(gr_scale(p->x[i], 2), 0.5);
    return gr_add(p->r->f(z, p->o), gr_scale(p->r->f(z, p->o), 0.5));
}

/* All of y's elements, in order. */
static int64_t elements(double *to, const gr_tensor *t)
{
    int64_t count = gr_count(t);
    ck_assert_int_le(count, MOST);
    if (count > 0) memcpy(to, gr_data(t), (size_t)count * sizeof *to);
    return count;
}

/* y's elements; or those of all gradients of <g, y>, one input behind the other. */
typedef int64_t quantity(const problem *p, double *to);

static int64_t result(const problem *p, double *to)
{
    GR_STEP;
    GR_NO_GRAD;
    return elements(to, evaluate(p));
}

static int64_t gradients(const problem *p, double *to)
{
    GR_STEP;
    gr_tensor *gx[INPUTS];
    if (!gr_grads(evaluate(p), p->x, p->n, gx,
            (gr_grad_options){ .grad_output = p->x[p->n], .allow_unused = true }))
        complain(p, "no gradient");
    int64_t at = 0;
    for (int i = 0; i < p->n; i++) at += elements(to + at, gx[i]);
    return at;
}

/* The sum of <w[i], t[i]>, with its history; the weights as one array, too. */
static gr_tensor *weighed(gr_tensor *const *t, gr_tensor *const *w, int n, double *weight)
{
    gr_tensor *m = NULL;
    int64_t    at = 0;
    for (int i = 0; i < n; i++) {
        gr_tensor *part = gr_sum(gr_mul(t[i], w[i]));
        at += elements(weight + at, w[i]);
        m = m ? gr_add(m, part) : part;
    }
    return m;
}

/* The gradients of <w, gx> by x and g, recorded or not. */
static void second_gradients_of(const problem *p, bool create, gr_tensor **ggx)
{
    static double unused[MOST];
    gr_tensor    *gx[INPUTS];
    if (!gr_grads(evaluate(p), p->x, p->n, gx,
            (gr_grad_options){ .grad_output = p->x[p->n], .create_graph = true }) ||
        !gr_grads(weighed(gx, p->w, p->n, unused), p->x, p->n + 1, ggx,
            (gr_grad_options){ .create_graph = create, .allow_unused = true }))
        complain(p, "no second derivative");
}

static int64_t second_gradients(const problem *p, double *to)
{
    GR_STEP;
    gr_tensor *ggx[INPUTS + 1];
    second_gradients_of(p, false, ggx);
    int64_t at = 0;
    for (int i = 0; i <= p->n; i++) at += elements(to + at, ggx[i]);
    return at;
}

/* d <weight, quantity> / d x[i][e], by central differences. */
static double difference(const problem *p, quantity *q, const double *weight, int i, int64_t e)
{
    static double up[MOST], down[MOST];
    double       *v = gr_data_mut(p->x[i]) + e, was = *v;
    *v = was + step;
    q(p, up);
    *v = was - step;
    int64_t count = q(p, down);
    *v = was;
    double slope = 0;
    for (int64_t k = 0; k < count; k++) slope += weight[k] * (up[k] - down[k]);
    return slope / (2 * step);
}

/* Every element of the gradient by x[i], expected and given. Returns whether one of them is not
   zero. */
static bool agrees(const problem *p, quantity *q, const double *weight, int i, const gr_tensor *gx,
    const char *order)
{
    bool lively = false;
    char what[200];
    for (int64_t e = 0; e < gr_count(p->x[i]); e++) {
        double wanted = difference(p, q, weight, i, e), given = gr_data(gx)[e];
        lively = lively || fabs(wanted) > tolerance;
        if (!(fabs(given - wanted) <= tolerance * fmax(1, fabs(wanted)))) {
            snprintf(what, sizeof what,
                "%s order, input %d, element %lld: %.10g, central differences %.10g", order, i + 1,
                (long long)e, given, wanted);
            complain(p, what);
        }
    }
    return lively;
}

static void refuse(const problem *p, bool lively, bool reason, const char *order)
{
    char what[200];
    if (lively == !reason) return;
    snprintf(what, sizeof what,
        lively ? "%s order is not zero, though the row says so"
               : "%s order: every expected gradient is zero, and the row does not say why",
        order);
    complain(p, what);
}

static void first_order(const problem *p)
{
    GR_STEP;
    static double weight[MOST];
    gr_tensor    *g = p->x[p->n], *gx[INPUTS];
    elements(weight, g);
    if (!gr_grads(evaluate(p), p->x, p->n, gx,
            (gr_grad_options){ .grad_output = g, .allow_unused = p->r->flat }))
        complain(p, "no gradient");
    for (int i = 0; i < p->n; i++)
        refuse(p, agrees(p, result, weight, i, gx[i], "first"), p->r->flat, "first");
    if (!gr_backward(gr_sum(gr_mul(evaluate(p), gr_detach(g))))) complain(p, "no backward");
    for (int i = 0; i < p->n; i++) {
        gr_tensor *left = gr_grad_of(p->x[i]);
        for (int64_t e = 0; left && e < gr_count(left); e++)
            if (fabs(gr_data(left)[e] - gr_data(gx[i])[e]) >
                1e-12 * fmax(1, fabs(gr_data(left)[e])))
                complain(p, "gr_backward and gr_grads differ");
        gr_clear_grad(p->x[i]);
    }
}

static void second_order(const problem *p)
{
    GR_STEP;
    static double weight[MOST];
    gr_tensor    *gx[INPUTS], *ggx[INPUTS + 1], *g = p->x[p->n];
    if (!gr_grads(evaluate(p), p->x, p->n, gx,
            (gr_grad_options){
                .grad_output = g, .create_graph = true, .allow_unused = p->r->flat }))
        complain(p, "no recorded gradient");
    gr_tensor *m = weighed(gx, p->w, p->n, weight);
    if (!gr_requires_grad(m)) {
        refuse(p, false, p->r->flat, "second");
        return;
    }
    if (!gr_grads(m, p->x, p->n + 1, ggx, (gr_grad_options){ .allow_unused = true }))
        complain(p, "no second derivative");
    bool lively = false;
    for (int i = 0; i < p->n; i++)
        lively = agrees(p, gradients, weight, i, ggx[i], "second") || lively;
    refuse(p, lively, p->r->linear || p->r->flat, "second");
    refuse(p, agrees(p, gradients, weight, p->n, ggx[p->n], "second, by g,"), p->r->flat,
        "second, by g,");
}

static void third_order(const problem *p)
{
    GR_STEP;
    static double weight[MOST];
    gr_tensor    *ggx[INPUTS + 1], *gggx[INPUTS + 1];
    bool          lively = false;
    second_gradients_of(p, true, ggx);
    if (!gr_grads(weighed(ggx, p->u, p->n + 1, weight), p->x, p->n + 1, gggx,
            (gr_grad_options){ .allow_unused = true }))
        complain(p, "no third derivative");
    for (int i = 0; i <= p->n; i++)
        lively = agrees(p, second_gradients, weight, i, gggx[i], "third") || lively;
    refuse(p, lively, NULL, "third");
}

/* ---- the inputs ------------------------------------------------------------------------------ */

/* Distinct numbers, in a random order, none of them 0: places 0 .. total-1 of the domain, dealt
   out. */
static void deal(problem *p, const gr_shape *in)
{
    int64_t total = 0, count[INPUTS], deck[MOST];
    for (int i = 0; i < p->n; i++) {
        p->x[i] = gr_param(gr_zeros(in[i]));
        total += count[i] = gr_count(p->x[i]);
    }
    for (int64_t i = 0; i < total; i++) {
        int64_t at = gr_rng_below(&p->rng, i + 1);
        deck[i] = deck[at];
        deck[at] = i;
    }
    for (int i = 0, at = 0; i < p->n; i++)
        for (int64_t e = 0; e < count[i]; e++) {
            double place = ((double)deck[at++] + 0.3) / (double)total;
            gr_data_mut(p->x[i])[e] = p->r->domain == POSITIVE ? 0.5 + 1.5 * place : 2 * place - 1;
        }
}

static void pose(problem *p)
{
    gr_shape in[INPUTS];
    memcpy(in, p->r->in, sizeof in);
    p->n = p->r->adapt ? p->r->adapt(in, p->o) : p->r->n;
    deal(p, in);
    GR_STEP;
    gr_tensor *y = evaluate(p);
    if (!y) complain(p, "no result");
    p->x[p->n] = gr_param(gr_keep(gr_uniform(gr_shape_of(y), &p->rng, 0.5, 1.5)));
    for (int i = 0; i < p->n; i++) p->w[i] = gr_keep(gr_uniform(in[i], &p->rng, 0.5, 1.5));
    for (int i = 0; i <= p->n; i++)
        p->u[i] = gr_keep(gr_uniform(gr_shape_of(p->x[i]), &p->rng, 0.5, 1.5));
}

static void dispose(problem *p)
{
    for (int i = 0; i <= p->n; i++) gr_free(p->x[i]);
    for (int i = 0; i < p->n; i++) gr_free(p->w[i]);
    for (int i = 0; i <= p->n; i++) gr_free(p->u[i]);
}

/* The next combination of options; false after the last. */
static bool advance(const row *r, int *o)
{
    for (int i = 0; i < OPTIONS; i++) {
        if (o[i] < r->to[i]) {
            o[i]++;
            return true;
        }
        o[i] = 0;
    }
    return false;
}

START_TEST(every_row)
{
    const row *r = &table[_i];
    int        o[OPTIONS] = { 0 };
    size_t     live = gr_memory().live;
    do
        for (int derived = 0; derived < 2; derived++) {
            problem p = { .r = r, .derived = derived, .rng = gr_rng_of(7, r->name) };
            memcpy(p.o, o, sizeof o);
            pose(&p);
            first_order(&p);
            second_order(&p);
            if (r->third) third_order(&p);
            dispose(&p);
            nothing_failed();
        }
    while (advance(r, o));
    ck_assert_uint_eq(gr_memory().live, live);
}
END_TEST

/* ---- what has no gradient says so ------------------------------------------------------------ */

START_TEST(without_gradient)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 1, -2)), *one = gr_scalar(1);
    gr_tensor *results[] = { gr_sign(x), gr_eq(x, one), gr_ne(x, one), gr_lt(x, one), gr_le(x, one),
        gr_gt(x, one), gr_ge(x, one), gr_argmax(x, 0) };
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        ck_assert_msg(results[i] && !gr_requires_grad(results[i]), "result %zu", i);
    nothing_failed();
    FAILS(gr_grad(gr_sum(gr_sign(x)), x), GR_ERR_GRAPH,
        "grad: the result () depends on no parameter, or was made without recording");
}
END_TEST

/* ---- which ops have been differentiated, how often ------------------------------------------- */

enum { MOST_OPS = 256, ORDERS = 3 };

static struct {
    const gr__op *op;
    bool          met; /* in the row at hand */
    bool          args;
    int           order;
} known[MOST_OPS];

static void note(const gr__node *nd)
{
    int i = 0;
    while (known[i].op && known[i].op != nd->op) i++;
    known[i].op = nd->op;
    known[i].met = true;
    known[i].args |= nd->args != NULL;
}

/* Backward has come by these, from the root down. */
static void note_all(const gr__node *root)
{
    bool *reached = calloc(root->index - root->reach + 1, 1);
    reached[root->index - root->reach] = true;
    for (size_t i = root->index + 1; i-- > root->reach;) {
        const gr__node *nd = gr__self()->tape[i];
        if (!reached[i - root->reach]) continue;
        note(nd);
        for (int k = 0; k < nd->n; k++)
            if (nd->in[k]->node && !gr__names(nd->op->constant, k))
                reached[nd->in[k]->node->index - root->reach] = true;
    }
    free(reached);
}

/* The gradient of a sum of gradients of ... a sum of the result, weighed by the inputs, so that
   there always is a next one. */
static void differentiate(const problem *p)
{
    GR_STEP;
    gr_tensor *sum = gr_sum(gr_mul(evaluate(p), p->x[p->n])), *gx[INPUTS + 1];
    int        order = 0;
    while (order < ORDERS && gr_grads(sum, p->x, p->n + 1, gx,
                                 (gr_grad_options){ .create_graph = true, .allow_unused = true })) {
        note_all(sum->node);
        order++;
        sum = gr_scalar(0);
        for (int i = 0; i <= p->n; i++) sum = gr_add(sum, gr_sum(gr_mul(gx[i], p->x[i])));
    }
    if (gr_error()) complain(p, "not differentiated");
    for (int i = 0; known[i].op; i++) {
        if (known[i].met && known[i].order < order) known[i].order = order;
        known[i].met = false;
    }
}

static void differentiate_all(void)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        problem p = { .r = &table[i], .rng = gr_rng_of(7, table[i].name) };
        do {
            pose(&p);
            differentiate(&p);
            dispose(&p);
        } while (advance(p.r, p.o));
    }
}

/* An op with arguments says what they are. */
START_TEST(attributes)
{
    int with = 0;
    differentiate_all();
    for (int i = 0; known[i].op; i++) {
        const gr__attribute *a = known[i].op->attributes;
        ck_assert_msg(known[i].args == (a && a->name), "%s has %s", known[i].op->name,
            a ? "attributes without arguments" : "arguments, but no attributes");
        for (; a && a->name; a++)
            ck_assert_msg(
                a->kind != GR__CHOICE || a->choices, "%s: %s", known[i].op->name, a->name);
        with += known[i].args;
    }
    ck_assert_int_ge(with, 30);
}
END_TEST

/* "mul 3": its gradient, that gradient's, and that one's have been taken. tests/check_ops.sh makes
   docs/ops.md of it. */
static int print_orders(void)
{
    differentiate_all();
    for (int i = 0; known[i].op; i++) printf("%s %d\n", known[i].op->name, known[i].order);
    return 0;
}

int main(int argc, char **argv)
{
    gr_set_threads(1); /* everything here is small */
    if (argc > 1 && strcmp(argv[1], "--orders") == 0) return print_orders();
    Suite *s = suite_create("gradcheck");
    TCase *t = cases(s, "gradcheck");
    tcase_add_loop_test(t, every_row, 0, (int)(sizeof table / sizeof *table));
    tcase_add_test(t, without_gradient);
    tcase_add_test(t, attributes);
    return run(s);
}
