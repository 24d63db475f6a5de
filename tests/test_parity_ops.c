/* test_parity_ops.c: every op beside PyTorch's, over its options and shapes; built in float and in
   double.

   tests/parity/ops.py recorded in tests/parity/ops.txt what PyTorch makes of each case in double,
   outputs and gradients, and tells what the file looks like. How far ours may be off is relative to
   the largest number of the tensor compared, as its elements are sums of numbers of about that
   size: 1e-10 in double, and in float 1e-5, some eighty units in the last place, which PyTorch's
   own float results keep to as well. NaN and Inf must stand where they stand there. Each case runs
   twice: on inputs of their own, and on inputs that lie at an odd place in the storage of a larger
   tensor, and whose gradients pass through what took them out.

   tests/parity/special.py recorded in special.txt the same at special points, with second and third
   derivatives. There each number is compared by itself.

   No case may raise overflow, invalid or division by zero, forward or backward, if all numbers that
   go in and come out are finite: a program that traps these would die of it.

   An op that the table below does not know is a failure; so are an option that its function does
   not ask for, a gradient that is zero where the file does not say so, and an op that no case
   uses. */
#include "support.h"

#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradus.h"

enum { MOST = 12, FEWEST_CASES = 300 };

static const double tolerance = sizeof(gr_real) == 4 ? 1e-5 : 1e-10;

/* A tensor as the file has it. */
typedef struct record {
    char     tag;
    gr_shape shape;
    int64_t  count;
    double  *v; /* NULL: zero throughout */
} record;

typedef struct option {
    const char *key, *value;
    bool        asked;
} option;

/* A case: what the file says, and what we make of it. */
typedef struct parity {
    char      *line;  /* its first line in the file */
    char      *words; /* a copy of it, in pieces */
    char      *op;
    int        options, ins, outs, grads, highers;
    option     option[MOST];
    record     in[MOST], out[MOST], upstream[MOST], grad[MOST], higher[MOST];
    gr_tensor *x[MOST], *y[MOST];
} parity;

/* ---- options --------------------------------------------------------------------------------- */

/* The option's text; NULL if the case has its default. */
static const char *text(parity *p, const char *key)
{
    for (int i = 0; i < p->options; i++)
        if (strcmp(p->option[i].key, key) == 0) {
            p->option[i].asked = true;
            return p->option[i].value;
        }
    return NULL;
}

static gr_dims dims(parity *p, const char *key)
{
    gr_dims     d = { 0 };
    const char *s = text(p, key);
    while (s && d.count < GR_MAX_DIMS && strcmp(s, "-") != 0) {
        d.at[d.count++] = atoi(s);
        s = strchr(s, ',');
        if (s) s++;
    }
    return d;
}

static gr_shape sizes(parity *p, const char *key)
{
    gr_dims  d = dims(p, key);
    gr_shape s = { .rank = d.count };
    for (int i = 0; i < d.count; i++) s.dim[i] = d.at[i];
    return s;
}

/* An option is a number, or one for the height and one for the width. What is not there is 0: the
   default. */
static bool is_pair(parity *p, const char *key)
{
    return text(p, key) && strchr(text(p, key), ',');
}
static double num(parity *p, const char *key)
{
    return text(p, key) ? strtod(text(p, key), NULL) : 0;
}
static bool  is_zero(parity *p, const char *key) { return text(p, key) && num(p, key) == 0; }
static int   one(parity *p, const char *key) { return is_pair(p, key) ? 0 : (int)num(p, key); }
static gr_hw two(parity *p, const char *key)
{
    gr_dims d = dims(p, key);
    return is_pair(p, key) ? (gr_hw){ d.at[0], d.at[1] } : (gr_hw){ 0 };
}

static gr_act act(parity *p)
{
    static const char *const name[] = {
        [GR_RELU] = "relu", [GR_SIGMOID] = "sigmoid", [GR_TANH] = "tanh"
    };
    const char *s = text(p, "act");
    for (int i = 1; s && i < (int)(sizeof name / sizeof *name); i++)
        if (strcmp(s, name[i]) == 0) return (gr_act)i;
    return GR_NO_ACT;
}

#define AXIS ((int)num(p, "axis"))
#define REDUCED .axes = dims(p, "axes"), .keepdim = num(p, "keepdim") != 0
#define WINDOWED                                                                             \
    .stride = one(p, "stride"), .stride_hw = two(p, "stride"), .padding = one(p, "padding"), \
    .padding_hw = two(p, "padding")
#define CONVOLVED                                                                \
    WINDOWED, .dilation = one(p, "dilation"), .dilation_hw = two(p, "dilation"), \
              .groups = (int)num(p, "groups")

/* ---- the ops --------------------------------------------------------------------------------- */

#define F(name, expression)                \
    static gr_tensor *op_##name(parity *p) \
    {                                      \
        gr_tensor *const *x = p->x;        \
        (void)x;                           \
        return (expression);               \
    }

F(add, gr_add(x[0], x[1]))
F(sub, gr_sub(x[0], x[1]))
F(mul, gr_mul(x[0], x[1]))
F(div, gr_div(x[0], x[1]))
F(pow, gr_pow(x[0], x[1]))
F(maximum, gr_maximum(x[0], x[1]))
F(minimum, gr_minimum(x[0], x[1]))
F(square, gr_mul(x[0], x[0]))
F(eq, gr_eq(x[0], x[1]))
F(ne, gr_ne(x[0], x[1]))
F(lt, gr_lt(x[0], x[1]))
F(le, gr_le(x[0], x[1]))
F(gt, gr_gt(x[0], x[1]))
F(ge, gr_ge(x[0], x[1]))
F(where, gr_where(x[0], x[1], x[2]))

F(neg, gr_neg(x[0]))
F(scale, gr_scale(x[0], num(p, "factor")))
F(exp, gr_exp(x[0]))
F(log, gr_log(x[0]))
F(sqrt, gr_sqrt(x[0]))
F(abs, gr_abs(x[0]))
F(sign, gr_sign(x[0]))
F(sin, gr_sin(x[0]))
F(cos, gr_cos(x[0]))
F(log1p, gr_log1p(x[0]))
F(expm1, gr_expm1(x[0]))
F(erf, gr_erf(x[0]))
F(clamp, gr_clamp(x[0], num(p, "low"), num(p, "high")))
F(relu, gr_relu(x[0]))
F(sigmoid, gr_sigmoid(x[0]))
F(tanh, gr_tanh(x[0]))
F(softplus, gr_softplus(x[0]))
F(leaky_relu, gr_leaky_relu(x[0], num(p, "slope")))
F(elu, gr_elu(x[0], num(p, "alpha")))
F(silu, gr_silu(x[0]))
F(gelu, gr_gelu(x[0]))

F(sum, gr_sum(x[0], REDUCED))
F(mean, gr_mean(x[0], REDUCED))
F(max, gr_max(x[0], REDUCED))
F(min, gr_min(x[0], REDUCED))
F(norm, gr_norm(x[0], REDUCED))
F(logsumexp, gr_logsumexp(x[0], REDUCED))
F(var, gr_var(x[0], REDUCED, .biased = num(p, "biased") != 0))
F(std, gr_std(x[0], REDUCED, .biased = num(p, "biased") != 0))
F(argmax, gr_argmax(x[0], AXIS))

F(reshape, gr_reshape(x[0], sizes(p, "shape")))
F(flatten, gr_flatten(x[0]))
F(permute, gr_permute(x[0], dims(p, "order")))
F(expand, gr_expand(x[0], sizes(p, "shape")))
F(flip, gr_flip(x[0], dims(p, "dims")))
F(concat, gr_concat(x, p->ins, AXIS))
F(transpose, gr_transpose(x[0], dims(p, "dims").at[0], dims(p, "dims").at[1]))
F(unsqueeze, gr_unsqueeze(x[0], AXIS))
F(squeeze, gr_squeeze(x[0], .axes = dims(p, "axes")))
F(stack, gr_stack(x, p->ins, AXIS))
F(split, gr_split(x[0], (int64_t)num(p, "size"), AXIS, p->y, p->outs) ? p->y[0] : NULL)
F(roll, gr_roll(x[0], (int64_t)num(p, "shift"), AXIS))
F(slice, gr_slice(x[0], AXIS, (int64_t)num(p, "start"), (int64_t)num(p, "stop"),
             .step = (int64_t)num(p, "step")))
F(pad, gr_pad(x[0], sizes(p, "before"), .after = sizes(p, "after"), .value = num(p, "value")))

F(gather, gr_gather(x[0], AXIS, x[1]))
F(embedding, gr_embedding(x[0], x[1]))
F(one_hot, gr_one_hot(x[0], (int64_t)num(p, "classes")))

F(matmul, gr_matmul(x[0], x[1], .transpose_a = num(p, "transpose_a") != 0,
              .transpose_b = num(p, "transpose_b") != 0))
F(linear, gr_linear(x[0], x[1], .bias = x[2], .act = act(p)))

F(conv2d, gr_conv2d(x[0], x[1], .bias = x[2], CONVOLVED, .act = act(p)))
F(conv2d_input_grad, gr_conv2d_input_grad(x[0], x[1], two(p, "size"), CONVOLVED))
F(conv2d_kernel_grad, gr_conv2d_kernel_grad(x[0], x[1], two(p, "size"), CONVOLVED))
F(conv_transpose2d,
    gr_conv_transpose2d(x[0], x[1], .bias = x[2], CONVOLVED,
        .output_padding = one(p, "output_padding"), .output_padding_hw = two(p, "output_padding")))
F(conv_filt, gr_conv_filt(x[0], x[1]))
F(conv_valid, gr_conv_valid(x[0], x[1]))
F(conv_full, gr_conv_full(x[0], x[1]))
F(max_pool2d, gr_max_pool2d(x[0], one(p, "size"), .size_hw = two(p, "size"), WINDOWED))
F(avg_pool2d, gr_avg_pool2d(x[0], one(p, "size"), .size_hw = two(p, "size"), WINDOWED,
                  .exclude_padding = num(p, "exclude_padding") != 0))
F(adaptive_avg_pool2d, gr_adaptive_avg_pool2d(x[0], two(p, "size")))
F(global_avg_pool2d, gr_global_avg_pool2d(x[0]))
F(upsample, gr_upsample(x[0], num(p, "scale"), .size_hw = two(p, "size"),
                .bilinear = num(p, "bilinear") != 0))

/* The inputs are x, weight and bias if it is affine, and the running statistics if it has them,
   which training changes. */
static gr_tensor *op_batch_norm2d(parity *p)
{
    bool affine = !is_zero(p, "affine"), running = !is_zero(p, "running"),
         training = num(p, "training") != 0;
    gr_tensor *mean = running ? p->x[p->ins - 2] : NULL, *var = running ? p->x[p->ins - 1] : NULL;
    gr_tensor *y = gr_batch_norm2d(p->x[0], .weight = affine ? p->x[1] : NULL,
        .bias = affine ? p->x[2] : NULL, .running_mean = mean, .running_var = var,
        .training = training, .momentum = num(p, "momentum"), .eps = num(p, "eps"), .act = act(p));
    p->y[1] = running ? gr_copy(mean) : NULL;
    p->y[2] = running ? gr_copy(var) : NULL;
    return y;
}

F(layer_norm, gr_layer_norm(x[0], .dims = (int)num(p, "dims"), .weight = x[1], .bias = x[2],
                  .eps = num(p, "eps")))
F(group_norm, gr_group_norm(x[0], (int64_t)num(p, "groups"), .weight = x[1], .bias = x[2],
                  .eps = num(p, "eps")))

F(softmax, gr_softmax(x[0], AXIS))
F(log_softmax, gr_log_softmax(x[0], AXIS))

static gr_reduction reduction(parity *p)
{
    const char *s = text(p, "reduction");
    return !s ? GR_MEAN : strcmp(s, "sum") == 0 ? GR_SUM : GR_NONE;
}

#define REDUCTION .reduction = reduction(p)
#define LABELLED                                                 \
    .weight = x[2], .ignore_index = (int)num(p, "ignore_index"), \
    .ignore_class_0 = num(p, "ignore_class_0") != 0, REDUCTION

F(cross_entropy, gr_cross_entropy(x[0], x[1], .smoothing = num(p, "smoothing"), LABELLED))
F(nll, gr_nll(x[0], x[1], LABELLED))
F(mse, gr_mse(x[0], x[1], REDUCTION))
F(l1, gr_l1(x[0], x[1], REDUCTION))
F(smooth_l1, gr_smooth_l1(x[0], x[1], .beta = num(p, "beta"), REDUCTION))
F(bce_with_logits, gr_bce_with_logits(x[0], x[1], .weight = num(p, "weight") != 0 ? x[2] : NULL,
                       .pos_weight = num(p, "pos_weight") != 0 ? x[p->ins - 1] : NULL, REDUCTION))
F(kl_div, gr_kl_div(x[0], x[1], .log_target = num(p, "log_target") != 0,
              .batch_mean = num(p, "batch_mean") != 0, REDUCTION))

/* ---- training: five steps of a (4,5) matrix and a (5) vector, both in one row of 25 numbers -- */

static gr_tensor *row_of(const gr_model *m)
{
    gr_tensor *w = gr_reshape(gr_copy(gr_model_get(m, "w")), gr_shape(20));
    return gr_concat(GR_TENSORS(w, gr_copy(gr_model_get(m, "b"))), 0);
}

static gr_tensor *gradient_row_of(const gr_model *m)
{
    gr_tensor *w = gr_reshape(gr_copy(gr_grad_of(gr_model_get(m, "w"))), gr_shape(20));
    return gr_concat(GR_TENSORS(w, gr_copy(gr_grad_of(gr_model_get(m, "b")))), 0);
}

static gr_tensor *part(gr_tensor *row, int from, gr_shape shape)
{
    return gr_reshape(gr_slice(row, 0, from, from ? 25 : 20), shape);
}

/* A sealed model of both, with the initial values of the row. */
static gr_model *model_of(gr_tensor *row)
{
    GR_NO_GRAD;
    gr_model *m = gr_model_new(0);
    gr_nn_param(m, "w", gr_shape(4, 5));
    gr_nn_param(m, "b", gr_shape(5));
    gr_model_seal(m);
    for (int i = 0; i < 25; i++) gr_data_mut(gr_model_at(m, i / 20))[i % 20] = gr_data(row)[i];
    return m;
}

/* The sum of every parameter by a number of the row, which is its gradient then. */
static gr_tensor *loss_of(const gr_model *m, gr_tensor *row)
{
    gr_tensor *w = gr_mul(gr_model_get(m, "w"), part(row, 0, gr_shape(4, 5)));
    return gr_add(gr_sum(w), gr_sum(gr_mul(gr_model_get(m, "b"), part(row, 20, gr_shape(5)))));
}

static gr_tensor *train(parity *p, gr_model *m, gr_optim *o)
{
    double factor = num(p, "bias_lr_factor"), decay = num(p, "bias_decay");
    if (factor > 0 || text(p, "bias_decay"))
        gr_optim_group(o, GR_VECTORS, .lr_factor = factor, .weight_decay = decay,
            .no_decay = is_zero(p, "bias_decay"));
    for (int i = 0; i < p->outs; i++) {
        gr_minimize(o, loss_of(m, p->x[1 + i]));
        p->y[i] = row_of(m);
    }
    gr_optim_free(o);
    gr_model_free(m);
    return p->y[0];
}

#define TRAINED(name, ...)                                                                    \
    static gr_tensor *op_##name(parity *p)                                                    \
    {                                                                                         \
        gr_model *m = model_of(p->x[0]);                                                      \
        return train(p, m,                                                                    \
            gr_##name(                                                                        \
                m, .lr = num(p, "lr"), .weight_decay = num(p, "weight_decay"), __VA_ARGS__)); \
    }
#define BETAS                                                                            \
    .beta1 = num(p, "beta1"), .no_beta1 = is_zero(p, "beta1"), .beta2 = num(p, "beta2"), \
    .eps = num(p, "eps")

TRAINED(sgd, .momentum = num(p, "momentum"), .dampening = num(p, "dampening"),
    .nesterov = num(p, "nesterov") != 0)
TRAINED(adam, BETAS)
TRAINED(adamw, BETAS, .no_decay = is_zero(p, "weight_decay"))
TRAINED(rmsprop, .alpha = num(p, "alpha"), .no_alpha = is_zero(p, "alpha"), .eps = num(p, "eps"),
    .momentum = num(p, "momentum"), .centered = num(p, "centered") != 0)

/* How long the gradients were, and what is left of them. */
static gr_tensor *op_clip_grad_norm(parity *p)
{
    gr_model *m = model_of(p->x[0]);
    gr_backward(loss_of(m, p->x[0]));
    gr_tensor *norm = gr_scalar(gr_clip_grad_norm(m, num(p, "most")));
    p->y[1] = gradient_row_of(m);
    gr_model_free(m);
    return norm;
}

static gr_tensor *op_clip_grad_value(parity *p)
{
    gr_model *m = model_of(p->x[0]);
    gr_backward(loss_of(m, p->x[0]));
    gr_clip_grad_value(m, num(p, "most"));
    gr_tensor *y = gradient_row_of(m);
    gr_model_free(m);
    return y;
}

/* The rates, and the momenta if they are asked for, of as many counts as the file has. */
static gr_tensor *follow(parity *p, gr_model *m, gr_optim *o, gr_schedule *s)
{
    int        n = (int)p->out[0].count;
    gr_tensor *lr = gr_zeros(gr_shape(n)), *momentum = gr_zeros(gr_shape(n));
    for (int i = 0; s && i < n; i++) {
        gr_data_mut(lr)[i] = (gr_real)gr_optim_lr(o);
        gr_data_mut(momentum)[i] = (gr_real)gr_optim_momentum(o);
        if (p->ins)
            gr_schedule_report(s, (double)gr_data(p->x[0])[i]);
        else
            gr_schedule_next(s);
    }
    p->y[1] = momentum;
    gr_schedule_free(s);
    gr_optim_free(o);
    gr_model_free(m);
    return lr;
}

static gr_milestones milestones(parity *p)
{
    gr_dims       d = dims(p, "milestones");
    gr_milestones m = { .count = d.count };
    for (int i = 0; i < d.count; i++) m.at[i] = d.at[i];
    return m;
}

#define SCHEDULED(name, ...)                                                                      \
    static gr_tensor *op_##name(parity *p)                                                        \
    {                                                                                             \
        gr_model *m = model_of(gr_zeros(gr_shape(25)));                                           \
        gr_optim *o = num(p, "adam") != 0 ? gr_adam(m, .lr = 0.5)                                 \
                                          : gr_sgd(m, .lr = 0.5, .momentum = num(p, "momentum")); \
        return follow(p, m, o, gr_##name(o, __VA_ARGS__));                                        \
    }
#define WARMUP .warmup = (int64_t)num(p, "warmup"), .warmup_from = num(p, "warmup_from")

SCHEDULED(step_lr, (int64_t)num(p, "every"), .gamma = num(p, "gamma"), WARMUP)
SCHEDULED(multistep_lr, milestones(p), .gamma = num(p, "gamma"), WARMUP)
SCHEDULED(exponential_lr, num(p, "gamma"), WARMUP)
SCHEDULED(cosine_lr, (int64_t)num(p, "steps"), .min_lr = num(p, "min_lr"), WARMUP)
SCHEDULED(one_cycle_lr, num(p, "max_lr"), (int64_t)num(p, "steps"),
    .pct_start = num(p, "pct_start"), .div_factor = num(p, "div_factor"),
    .final_div_factor = num(p, "final_div_factor"), .base_momentum = num(p, "base_momentum"),
    .max_momentum = num(p, "max_momentum"), .linear = num(p, "linear") != 0,
    .three_phase = num(p, "three_phase") != 0, .fixed_momentum = num(p, "fixed_momentum") != 0)
SCHEDULED(plateau_lr, .factor = num(p, "factor"), .patience = (int64_t)num(p, "patience"),
    .no_patience = is_zero(p, "patience"), .threshold = num(p, "threshold"),
    .no_threshold = is_zero(p, "threshold"), .cooldown = (int64_t)num(p, "cooldown"),
    .min_lr = num(p, "min_lr"), .eps = num(p, "eps"), .maximise = num(p, "maximise") != 0,
    .absolute = num(p, "absolute") != 0)

#define OP(name)            \
    {                       \
#name, op_##name, 0 \
    }

static struct {
    const char *name;
    gr_tensor *(*f)(parity *p);
    int cases;
} table[] = { OP(add), OP(sub), OP(mul), OP(div), OP(pow), OP(maximum), OP(minimum), OP(square),
    OP(eq), OP(ne), OP(lt), OP(le), OP(gt), OP(ge), OP(where), OP(neg), OP(scale), OP(exp), OP(log),
    OP(sqrt), OP(abs), OP(sign), OP(sin), OP(cos), OP(log1p), OP(expm1), OP(erf), OP(clamp),
    OP(relu), OP(sigmoid), OP(tanh), OP(softplus), OP(leaky_relu), OP(elu), OP(silu), OP(gelu),
    OP(sum), OP(mean), OP(max), OP(min), OP(norm), OP(logsumexp), OP(var), OP(std), OP(argmax),
    OP(reshape), OP(flatten), OP(permute), OP(expand), OP(flip), OP(concat), OP(transpose),
    OP(unsqueeze), OP(squeeze), OP(stack), OP(split), OP(roll), OP(slice), OP(pad), OP(gather),
    OP(embedding), OP(one_hot), OP(matmul), OP(linear), OP(conv2d), OP(conv2d_input_grad),
    OP(conv2d_kernel_grad), OP(conv_transpose2d), OP(conv_filt), OP(conv_valid), OP(conv_full),
    OP(max_pool2d), OP(avg_pool2d), OP(adaptive_avg_pool2d), OP(global_avg_pool2d), OP(upsample),
    OP(batch_norm2d), OP(layer_norm), OP(group_norm), OP(softmax), OP(log_softmax),
    OP(cross_entropy), OP(nll), OP(mse), OP(l1), OP(smooth_l1), OP(bce_with_logits), OP(kl_div),
    OP(sgd), OP(adam), OP(adamw), OP(rmsprop), OP(clip_grad_norm), OP(clip_grad_value), OP(step_lr),
    OP(multistep_lr), OP(exponential_lr), OP(cosine_lr), OP(one_cycle_lr), OP(plateau_lr) };

enum { OPS = (int)(sizeof table / sizeof *table) };

/* ---- reading the file ------------------------------------------------------------------------ */

/* The next line, without its end, until free; NULL at the end of the file. */
static char *next_line(FILE *f)
{
    char   *s = NULL;
    size_t  room = 0;
    ssize_t n = getline(&s, &room, f);
    if (n > 0) {
        s[n - (s[n - 1] == '\n')] = '\0';
        return s;
    }
    free(s);
    return NULL;
}

/* "x 2,3 1 2 3 4 5 6" */
static void parse_record(record *r, const char *s)
{
    *r = (record){ .tag = s[0], .count = 1 };
    char *at = (char *)s + 2;
    while (*at && *at != ' ') {
        if (*at == '-' || *at == ',')
            at++;
        else {
            ck_assert_int_lt(r->shape.rank, GR_MAX_DIMS);
            r->count *= r->shape.dim[r->shape.rank++] = strtol(at, &at, 10);
        }
    }
    if (r->tag == 'z') return;
    r->v = malloc((size_t)r->count * sizeof *r->v + 1);
    for (int64_t i = 0; i < r->count; i++) {
        char *from = at;
        r->v[i] = strtod(from, &at);
        ck_assert_msg(at > from, "a tensor of %lld numbers has %lld: %.60s", (long long)r->count,
            (long long)i, s);
    }
    ck_assert_msg(*at == '\0', "a tensor has more numbers than its shape: %.60s", s);
}

/* "op conv2d stride=2 padding=1" */
static void parse_head(parity *p, char *line)
{
    *p = (parity){ .line = line, .words = strdup(line) };
    strtok(p->words, " ");
    p->op = strtok(NULL, " ");
    for (char *word; (word = strtok(NULL, " ")) != NULL; p->options++) {
        char *equals = strchr(word, '=');
        ck_assert_msg(
            equals && p->options < MOST, "%s: options are key=value, at most %d", line, MOST);
        *equals = '\0';
        p->option[p->options] = (option){ .key = word, .value = equals + 1 };
    }
}

static void parse_tensor(parity *p, const char *s)
{
    bool in = strchr("xci", *s), out = strchr("yj", *s), up = *s == 'u', grad = strchr("gz", *s),
         higher = *s == 'h';
    record *r = in              ? &p->in[p->ins]
                : out           ? &p->out[p->outs]
                : up && p->outs ? &p->upstream[p->outs - 1]
                : higher        ? &p->higher[p->highers]
                                : &p->grad[p->grads];
    bool    good = in || out || (up && p->outs) || grad || higher;
    ck_assert_msg(good && p->ins < MOST && p->outs < MOST && p->highers < MOST,
        "%s: not a tensor's line: %.60s", p->line, s);
    p->highers += higher;
    p->ins += in;
    p->outs += out;
    p->grads += grad;
    parse_record(r, s);
}

/* The case that begins with the line *ahead, which becomes the first of the one after it; false at
   the end of the file. */
static bool next_case(FILE *f, parity *p, char **ahead)
{
    if (!*ahead) return false;
    ck_assert_msg(strncmp(*ahead, "op ", 3) == 0, "not the beginning of a case: %.60s", *ahead);
    parse_head(p, *ahead);
    while ((*ahead = next_line(f)) != NULL && strncmp(*ahead, "op ", 3) != 0) {
        parse_tensor(p, *ahead);
        free(*ahead);
    }
    return true;
}

static void free_case(parity *p)
{
    record *all[] = { p->in, p->out, p->upstream, p->grad, p->higher };
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < MOST; i++) free(all[k][i].v);
    free(p->words);
    free(p->line);
}

/* ---- running a case -------------------------------------------------------------------------- */

static struct {
    int    cases, failures;
    double worst;
    char   where[160];
    bool   special; /* each number is compared by itself */
} total;

/* A failure does not keep the other cases from being run. */
#define WRONG(...) (total.failures++, printf("%s: ", p->line), printf(__VA_ARGS__), putchar('\n'))

/* A leaf of the numbers, after as many others. */
static gr_tensor *leaf_of(const record *r, int others)
{
    gr_shape   shape = others ? gr_shape(others + r->count) : r->shape;
    size_t     n = (size_t)(others + r->count);
    gr_real   *reals = malloc(n * sizeof *reals + 1);
    int32_t   *ints = malloc(n * sizeof *ints + 1);
    gr_tensor *t;
    for (int64_t i = 0; i < others + r->count; i++) {
        reals[i] = i < others ? (gr_real)NAN : (gr_real)r->v[i - others];
        ints[i] = i < others || r->tag != 'i' ? -1 : (int32_t)r->v[i - others];
    }
    t = r->tag == 'i' ? gr_from_ints(shape, ints) : gr_from(shape, reals);
    free(reals);
    free(ints);
    return r->tag == 'x' ? gr_param(t) : t;
}

static gr_tensor *without(gr_tensor *leaf, int others, gr_shape shape)
{
    return others ? gr_reshape(gr_slice(leaf, 0, others, GR_END), shape) : leaf;
}

/* The sum of every output by its upstream gradient, whose gradients the recorded ones are; NULL:
   there is none. */
static gr_tensor *root_of(const parity *p)
{
    gr_tensor *root = gr_scalar(0);
    bool       any = false;
    for (int i = 0; i < p->outs; i++) {
        if (!p->upstream[i].tag) continue;
        root = gr_add(root, gr_sum(gr_mul(p->y[i], leaf_of(&p->upstream[i], 0))));
        any = true;
    }
    return any ? root : NULL;
}

/* The largest number that is one. */
static double scale_of(const record *r)
{
    double most = 0;
    for (int64_t i = 0; r->v && i < r->count; i++)
        if (isfinite(r->v[i])) most = fmax(most, fabs(r->v[i]));
    return most;
}

static void compare(
    const parity *p, const char *what, int number, const gr_tensor *t, const record *r)
{
    bool     ints = r->tag == 'j';
    gr_shape shape = gr_shape_of(t);
    double   scale = scale_of(r), worst = 0;
    if (!t || !same_shape(shape, r->shape) || (gr_dtype_of(t) == GR_INT32) != ints) {
        WRONG("%s %d: %s", what, number, !t ? gr_error() : "another shape or type than PyTorch's");
        return;
    }
    if (r->tag == 'g' && !total.special && r->count > 0 && scale == 0 && !isnan(r->v[0]))
        WRONG("%s %d is zero, and not said to be", what, number);
    for (int64_t i = 0; i < r->count; i++) {
        double ours = ints ? gr_ints(t)[i] : (double)gr_data(t)[i], theirs = r->v ? r->v[i] : 0;
        if (sizeof(gr_real) == 4 && fabs(theirs) > FLT_MAX) theirs = copysign(INFINITY, theirs);
        if (ours == theirs || (isnan(ours) && isnan(theirs))) continue;
        if (total.special) scale = fmax(1, fabs(theirs));
        double off =
            isfinite(ours) && isfinite(theirs) && !ints ? fabs(ours - theirs) / scale : INFINITY;
        if (!(off <= tolerance)) {
            WRONG("%s %d: element %lld is %.17g, PyTorch's %.17g", what, number, (long long)i, ours,
                theirs);
            return;
        }
        worst = fmax(worst, off);
    }
    if (worst > total.worst) {
        total.worst = worst;
        snprintf(total.where, sizeof total.where, "%s, %s %d", p->line, what, number);
    }
}

/* ---- flags ----------------------------------------------------------------------------------- */

static const int traps = FE_OVERFLOW | FE_INVALID | FE_DIVBYZERO;

static bool is_finite(const gr_tensor *t)
{
    for (int64_t i = 0; t && gr_dtype_of(t) == GR_REAL && i < gr_count(t); i++)
        if (!isfinite(gr_data(t)[i])) return false;
    return t != NULL;
}

static bool are_finite(gr_tensor *const *t, int n)
{
    for (int i = 0; i < n; i++)
        if (t[i] && !is_finite(t[i])) return false;
    return true;
}

/* What is raised by now, if the case's inputs, outputs and these tensors are finite. */
static void look_at_flags(const parity *p, const char *what, gr_tensor *const *t, int n)
{
    int raised = fetestexcept(traps);
    if (raised && are_finite(p->x, p->ins) && are_finite(p->y, p->outs) && are_finite(t, n))
        WRONG("%s raises%s%s%s", what, raised & FE_OVERFLOW ? " overflow" : "",
            raised & FE_INVALID ? " invalid" : "",
            raised & FE_DIVBYZERO ? " division by zero" : "");
    feclearexcept(FE_ALL_EXCEPT);
}

/* ---- gradients ------------------------------------------------------------------------------- */

/* The sum of all, each number by 1, 1.5, 2, 1, ... */
static gr_tensor *weighed(gr_tensor *const *g, int n)
{
    gr_tensor *sum = gr_scalar(0);
    for (int i = 0; i < n; i++) {
        gr_tensor *w = gr_zeros(gr_shape_of(g[i]));
        for (int64_t e = 0; e < gr_count(w); e++)
            gr_data_mut(w)[e] = (gr_real)(1 + (double)(e % 3) / 2);
        sum = gr_add(sum, gr_sum(gr_mul(g[i], w)));
    }
    return sum;
}

/* Orders 2 and up, of gradients that are recorded. */
static void compare_higher(
    const parity *p, gr_tensor *const *leaf, int n, int others, gr_tensor **gx)
{
    for (int k = 0; k < p->highers; k++) {
        if (k % n == 0) {
            gr_tensor *root = weighed(gx, n);
            for (int i = 0; i < n; i++) gx[i] = gr_zeros(gr_shape_of(leaf[i]));
            feclearexcept(FE_ALL_EXCEPT);
            if (gr_requires_grad(root) &&
                !gr_grads(root, leaf, n, gx,
                    (gr_grad_options){ .create_graph = true, .allow_unused = true })) {
                WRONG("no derivatives of order %d: %s", 2 + k / n, gr_error());
                return;
            }
            look_at_flags(p, "a higher derivative", gx, n);
        }
        int i = k % n;
        compare(p, k < n ? "second derivative" : "third derivative", i,
            without(gx[i], others, p->higher[k].shape), &p->higher[k]);
    }
}

/* The gradients of the x, which are leaves after as many other numbers. */
static void compare_gradients(const parity *p, gr_tensor *const *leaf, int n, int others)
{
    gr_tensor *gx[MOST] = { NULL }, *root = root_of(p);
    if (n != p->grads) WRONG("%d gradients are recorded, for %d inputs", p->grads, n);
    if (n == 0 || n != p->grads) return;
    feclearexcept(FE_ALL_EXCEPT);
    if (!root || !gr_grads(root, leaf, n, gx,
                     (gr_grad_options){ .create_graph = p->highers > 0, .allow_unused = true })) {
        WRONG("no gradients: %s", root ? gr_error() : "no output has any");
        return;
    }
    look_at_flags(p, "backward", gx, n);
    for (int i = 0; i < n; i++)
        compare(p, "gradient", i, without(gx[i], others, p->grad[i].shape), &p->grad[i]);
    compare_higher(p, leaf, n, others, gx);
}

static void run_case(parity *p, gr_tensor *(*f)(parity *p), int others)
{
    GR_STEP;
    gr_tensor *leaf[MOST];
    int        n = 0;
    for (int i = 0; i < p->ins; i++) {
        gr_tensor *t = leaf_of(&p->in[i], others);
        p->x[i] = without(t, others, p->in[i].shape);
        if (p->in[i].tag == 'x') leaf[n++] = t;
    }
    feclearexcept(FE_ALL_EXCEPT);
    p->y[0] = f(p);
    look_at_flags(p, "forward", p->y, p->outs);
    for (int i = 0; i < p->outs; i++) compare(p, "output", i, p->y[i], &p->out[i]);
    compare_gradients(p, leaf, n, others);
    for (int i = 0; i < p->options; i++)
        if (!p->option[i].asked) WRONG("nobody asks for %s", p->option[i].key);
    gr_clear_error();
}

static void run_any(parity *p)
{
    int k = 0;
    while (k < OPS && strcmp(table[k].name, p->op) != 0) k++;
    total.cases++;
    if (k == OPS) {
        WRONG("no such op in the table");
        return;
    }
    table[k].cases++;
    run_case(p, table[k].f, 0);
    if (!total.special) run_case(p, table[k].f, 1);
}

/* All cases of a file. */
static void run_file(const char *name)
{
    const char *srcdir = getenv("srcdir"),
               *path = gr_name("%s/tests/parity/%s", srcdir ? srcdir : ".", name);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "no %s", path);
    char *line = next_line(f);
    int   promised = 0;
    ck_assert(line && sscanf(line, "cases %d", &promised) == 1);
    free(line);
    line = next_line(f);
    for (parity p; next_case(f, &p, &line); free_case(&p)) run_any(&p);
    fclose(f);
    for (int k = 0; k < OPS && !total.special; k++)
        if (!table[k].cases) total.failures++, printf("%s: no case uses it\n", table[k].name);
    printf("%d cases of %d ops, the worst %.2g: %s\n", total.cases, OPS, total.worst, total.where);
    fflush(stdout); /* an assertion that fails ends the process without that */
    ck_assert_int_eq(total.cases, promised);
    ck_assert_int_ge(total.cases, FEWEST_CASES);
    ck_assert_msg(total.failures == 0, "%d differences from PyTorch, listed above", total.failures);
}

START_TEST(every_case_agrees_with_pytorch) { run_file("ops.txt"); }
END_TEST

static void run_special(const char *name)
{
    memset(&total, 0, sizeof total);
    total.special = true;
    run_file(name);
}

START_TEST(special_points_agree_with_pytorch) { run_special("special.txt"); }
END_TEST

/* What PyTorch tests its own operators with; tests/parity/samples.py. */
START_TEST(samples_agree_with_pytorch) { run_special("samples.txt"); }
END_TEST

int main(void)
{
    Suite *s = suite_create("parity_ops");
    TCase *t = cases(s, "parity_ops");
    gr_set_threads(1); /* everything here is small, and a thread has flags of its own */
    tcase_add_test(t, every_case_agrees_with_pytorch);
    tcase_add_test(t, special_points_agree_with_pytorch);
    tcase_add_test(t, samples_agree_with_pytorch);
    return run(s);
}
