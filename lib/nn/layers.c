/* layers.c: layers make their parameters by name, once, and apply an op to them.

   Invariant: what a parameter starts as depends on (the model's seed, its full name) alone. */
#include "nn/nn.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

enum { NAME_MOST = 256 };

gr_tensor *gr_nn_param_(gr_model *m, const char *name, gr_nn_param_options o)
{
    bool      made = m && name && !gr__map_get(m->by_name, name);
    gr__slot *s = gr__model_slot(m, name, GR__PARAM, &o.shape, o.shared);
    if (!s || !made) return s ? s->t : NULL;
    gr_rng rng = gr_rng_of(m->seed, name);
    for (int64_t i = 0; i < s->t->count; i++)
        gr__reals(s->t)[i] = (gr_real)(o.value + (o.uniform > 0 ? o.uniform * (2 * gr_rng_uniform(&rng) - 1) : 0));
    s->t->param = true;
    return s->t;
}

gr_tensor *gr_nn_buffer_(gr_model *m, const char *name, gr_nn_buffer_options o)
{
    bool      made = m && name && !gr__map_get(m->by_name, name);
    gr__slot *s = gr__model_slot(m, name, GR__BUFFER, &o.shape, o.shared);
    for (int64_t i = 0; s && made && i < s->t->count; i++) gr__reals(s->t)[i] = (gr_real)o.value;
    return s ? s->t : NULL;
}

/* The name layer.what; false: there is none. */
static bool part_name(char name[NAME_MOST], const char *layer, const char *what)
{
    int length = snprintf(name, NAME_MOST, "%s.%s", layer ? layer : "", what);
    return (layer && *layer && length < NAME_MOST) ||
           gr__fail(GR_ERR_ARGUMENT, "model: a layer's name is %s", layer && *layer ? "too long" : "NULL or empty");
}

/* The parameter layer.what, uniform in value +-bound when it is made. */
static gr_tensor *part_about(gr_model *m, const char *layer, const char *what, gr_shape shape, double value, double bound, bool shared)
{
    char name[NAME_MOST];
    return part_name(name, layer, what) ? gr_nn_param(m, name, shape, .value = value, .uniform = bound, .shared = shared) : NULL;
}

static gr_tensor *part(gr_model *m, const char *layer, const char *what, gr_shape shape, double bound, bool shared)
{
    return part_about(m, layer, what, shape, 0, bound, shared);
}

static gr_tensor *buffer(gr_model *m, const char *layer, const char *what, gr_shape shape, double value, bool shared)
{
    char name[NAME_MOST];
    return part_name(name, layer, what) ? gr_nn_buffer(m, name, shape, .value = value, .shared = shared) : NULL;
}

/* The counter layer.what, 0 when it is made. */
static gr_tensor *counter(gr_model *m, const char *layer, const char *what, bool shared)
{
    char name[NAME_MOST];
    if (!part_name(name, layer, what)) return NULL;
    bool      made = m && !gr__map_get(m->by_name, name);
    gr__slot *s = gr__model_slot(m, name, GR__COUNTER, &(gr_shape){ .rank = 0 }, shared);
    if (s && made) gr__ints(s->t)[0] = 0;
    return s ? s->t : NULL;
}

/* PyTorch's first values: Kaiming uniform with a = sqrt 5 is uniform in +-1/sqrt(fan_in), and so are biases. */
static double bound(int64_t fan_in) { return fan_in > 0 ? 1 / sqrt((double)fan_in) : 0; }

/* ---- linear and convolutions -------------------------------------------------------------------------------------------------------- */

gr_tensor *gr_nn_linear_(gr_model *m, const char *name, gr_tensor *x, gr_nn_linear_options o)
{
    if (!x) return gr_linear(x, NULL);
    if (x->shape.rank < 1 || o.units < 1) {
        gr__fail(GR_ERR_ARGUMENT, "linear '%s': input %s, %lld units: an input (...,I) and 1 unit or more wanted", name ? name : "",
            GR__TEXT(x), (long long)o.units);
        return NULL;
    }
    int64_t    in = x->shape.dim[x->shape.rank - 1];
    gr_tensor *w = part(m, name, "weight", gr_shape(o.units, in), bound(in), o.shared);
    gr_tensor *b = w && !o.no_bias ? part(m, name, "bias", gr_shape(o.units), bound(in), o.shared) : NULL;
    return w && (b || o.no_bias) ? gr_linear(x, w, .bias = b, .act = o.act) : NULL;
}

gr_tensor *gr_nn_conv2d_(gr_model *m, const char *name, gr_tensor *x, int64_t filters, gr_nn_conv2d_options o)
{
    if (!x) return gr_conv2d(x, NULL);
    int64_t groups = o.groups ? o.groups : 1, kh = o.kernel_hw.h ? o.kernel_hw.h : o.kernel, kw = o.kernel_hw.w ? o.kernel_hw.w : o.kernel;
    if (x->shape.rank != 4 || filters < 1 || kh < 1 || kw < 1 || groups < 1 || x->shape.dim[1] % groups != 0) {
        gr__fail(GR_ERR_ARGUMENT,
            "conv2d '%s': input %s, %lld filters, kernel %lldx%lld, %lld groups: an input (N,C,H,W) and sizes of 1 or more wanted, groups "
            "that divide C",
            name ? name : "", GR__TEXT(x), (long long)filters, (long long)kh, (long long)kw, (long long)groups);
        return NULL;
    }
    int64_t    per_group = x->shape.dim[1] / groups;
    double     b = bound(per_group * kh * kw);
    gr_tensor *k = part(m, name, "weight", gr_shape(filters, per_group, kh, kw), b, o.shared);
    gr_tensor *bias = k && !o.no_bias ? part(m, name, "bias", gr_shape(filters), b, o.shared) : NULL;
    if (!k || !(bias || o.no_bias)) return NULL;
    return gr_conv2d(x, k, .bias = bias, .stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups,
        .stride_hw = o.stride_hw, .padding_hw = o.padding_hw, .dilation_hw = o.dilation_hw, .act = o.act);
}

/* PyTorch counts the second dimension of a weight as what comes in, also here, where it is what goes out. */
gr_tensor *gr_nn_conv_transpose2d_(gr_model *m, const char *name, gr_tensor *x, int64_t filters, gr_nn_conv_transpose2d_options o)
{
    if (!x) return gr_conv_transpose2d(x, NULL);
    if (!gr__want_act(o.act, "conv_transpose2d")) return NULL;
    int64_t groups = o.groups ? o.groups : 1, kh = o.kernel_hw.h ? o.kernel_hw.h : o.kernel, kw = o.kernel_hw.w ? o.kernel_hw.w : o.kernel;
    if (x->shape.rank != 4 || filters < 1 || kh < 1 || kw < 1 || groups < 1 || x->shape.dim[1] % groups != 0 || filters % groups != 0) {
        gr__fail(GR_ERR_ARGUMENT,
            "conv_transpose2d '%s': input %s, %lld filters, kernel %lldx%lld, %lld groups: an input (N,C,H,W) and sizes of 1 or more "
            "wanted, groups that divide C and the filters",
            name ? name : "", GR__TEXT(x), (long long)filters, (long long)kh, (long long)kw, (long long)groups);
        return NULL;
    }
    int64_t    per_group = filters / groups;
    double     b = bound(per_group * kh * kw);
    gr_tensor *k = part(m, name, "weight", gr_shape(x->shape.dim[1], per_group, kh, kw), b, o.shared);
    gr_tensor *bias = k && !o.no_bias ? part(m, name, "bias", gr_shape(filters), b, o.shared) : NULL;
    if (!k || !(bias || o.no_bias)) return NULL;
    gr_tensor *y = gr_conv_transpose2d(x, k, .bias = bias, .stride = o.stride, .padding = o.padding, .dilation = o.dilation,
        .groups = o.groups, .stride_hw = o.stride_hw, .padding_hw = o.padding_hw, .dilation_hw = o.dilation_hw,
        .output_padding = o.output_padding, .output_padding_hw = o.output_padding_hw);
    return gr__act(o.act, y);
}

/* ---- normalisation ---------------------------------------------------------------------------------------------------------------- */

gr_tensor *gr_nn_batch_norm2d_(gr_model *m, const char *name, gr_nn_batch_norm2d_options o)
{
    if (!o.x || o.x->shape.rank != 4) return gr_batch_norm2d(o.x);
    gr_shape   c = gr_shape(o.x->shape.dim[1]);
    gr_tensor *w = o.no_affine ? NULL : part_about(m, name, "weight", c, 1, 0, o.shared);
    gr_tensor *b = w ? part(m, name, "bias", c, 0, o.shared) : NULL;
    if (!b && !o.no_affine) return NULL;
    gr_tensor *mean = buffer(m, name, "running_mean", c, 0, o.shared);
    gr_tensor *var = mean ? buffer(m, name, "running_var", c, 1, o.shared) : NULL;
    gr_tensor *batches = var ? counter(m, name, "num_batches_tracked", o.shared) : NULL;
    if (!batches) return NULL;
    bool       training = m->sealed && !m->eval;
    gr_tensor *y = gr_batch_norm2d(o.x, .weight = w, .bias = b, .running_mean = mean, .running_var = var, .training = training,
        .momentum = o.momentum, .eps = o.eps, .act = o.act);
    if (y && training) {
        gr__touch(batches);
        if (gr__ints(batches)[0] < INT32_MAX) gr__ints(batches)[0]++;
    }
    return y;
}

/* ---- dropout -------------------------------------------------------------------------------------------------------------------- */

static gr_tensor *mask(const gr_shape *shape, gr_rng rng, double p)
{
    gr_tensor *t = gr__tensor(GR_REAL, shape, "dropout");
    for (int64_t i = 0; t && i < t->count; i++) gr__reals(t)[i] = (gr_real)(gr_rng_uniform(&rng) < p ? 0 : 1 / (1 - p));
    return gr__own(t);
}

gr_tensor *gr_nn_dropout(gr_model *m, const char *name, gr_tensor *x, double p)
{
    if (!x || !(p >= 0 && p < 1)) {
        gr__fail(GR_ERR_ARGUMENT, x ? "dropout '%s': p = %g: 0 or more and under 1 wanted" : "dropout '%s': the input is NULL",
            name ? name : "", p);
        return NULL;
    }
    gr__slot *s = gr__model_slot(m, name, GR__LAYER, NULL, false);
    if (!s || m->eval) return s ? x : NULL;
    char stream[NAME_MOST];
    snprintf(stream, sizeof stream, "%.*s run %llu", NAME_MOST - 32, s->name, (unsigned long long)s->runs);
    gr_tensor *kept = mask(&x->shape, gr_rng_of(m->seed, stream), p);
    if (kept) s->runs++;
    return gr_mul(x, kept);
}
