/* layers.c: layers make their parameters by name, once, and apply an op to them.

   Invariant: the initial value of a parameter depends on (the model's seed, its full name) alone.
   */
#include "nn/nn.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

enum { NAME_MOST = 256 };

/* Whether a slot of that name would be made now. */
static bool is_new(const gr_model *m, const char *name)
{
    return m && name && !m->sealed && !gr__map_get(m->by_name, name);
}

/* How a parameter is made is handed on as a pointer: a copy of so much takes longer than finding
   the parameter. */
typedef const gr_nn_param_options beginning;

static gr_tensor *param(gr_model *m, const char *name, beginning *o)
{
    bool      made = is_new(m, name);
    gr__slot *s = gr__model_slot(m, name, GR__PARAM, &o->shape, o->shared);
    if (!s || !made) return s ? s->t : NULL;
    gr_rng rng = gr_rng_of(m->seed, name);
    for (int64_t i = 0; i < s->t->count; i++) {
        double value = o->value;
        if (o->uniform > 0) value += o->uniform * (2 * gr_rng_uniform(&rng) - 1);
        if (o->normal > 0) value += o->normal * gr_rng_normal(&rng);
        gr__reals(s->t)[i] = (gr_real)value;
    }
    s->t->param = true;
    return s->t;
}

gr_tensor *gr_nn_param_(gr_model *m, const char *name, gr_nn_param_options o)
{
    return param(m, name, &o);
}

gr_tensor *gr_nn_buffer_(gr_model *m, const char *name, gr_nn_buffer_options o)
{
    bool      made = is_new(m, name);
    gr__slot *s = gr__model_slot(m, name, GR__BUFFER, &o.shape, o.shared);
    for (int64_t i = 0; s && made && i < s->t->count; i++) gr__reals(s->t)[i] = (gr_real)o.value;
    return s ? s->t : NULL;
}

/* The name layer.what; false: there is none. Every step makes the names of all its parameters:
   snprintf would take a tenth of a small one. */
static bool part_name(char name[NAME_MOST], const char *layer, const char *what)
{
    size_t length = layer ? strlen(layer) : 0, rest = strlen(what) + 1;
    if (length == 0) return gr__fail(GR_ERR_ARGUMENT, "model: a layer's name is NULL or empty");
    if (length + 1 + rest > NAME_MOST)
        return gr__fail(GR_ERR_ARGUMENT,
            "model: the layer's name '%s' is too long: with .%s it may have %d bytes",
            gr__quoted(layer).s, what, NAME_MOST - 1);
    memcpy(name, layer, length);
    name[length] = '.';
    memcpy(name + length + 1, what, rest);
    return true;
}

/* The parameter layer.what. */
static gr_tensor *layer_part(gr_model *m, const char *layer, const char *what, beginning *o)
{
    char name[NAME_MOST];
    return part_name(name, layer, what) ? param(m, name, o) : NULL;
}

/* A weight of ones and a bias of zeros, to follow a normalisation; none of them if the layer says
   so. */
static bool affine(gr_model *m, const char *layer, gr_shape shape, bool none, bool shared,
    gr_tensor **w, gr_tensor **b)
{
    *w = none ? NULL
              : layer_part(m, layer, "weight",
                    &(beginning){ .shape = shape, .value = 1, .shared = shared });
    *b = *w ? layer_part(m, layer, "bias", &(beginning){ .shape = shape, .shared = shared }) : NULL;
    return none || *b;
}

static gr_tensor *buffer(
    gr_model *m, const char *layer, const char *what, gr_shape shape, double value, bool shared)
{
    char name[NAME_MOST];
    return part_name(name, layer, what)
               ? gr_nn_buffer(m, name, shape, .value = value, .shared = shared)
               : NULL;
}

/* The counter layer.what, 0 when it is made. */
static gr_tensor *counter(gr_model *m, const char *layer, const char *what, bool shared)
{
    char name[NAME_MOST];
    if (!part_name(name, layer, what)) return NULL;
    bool      made = is_new(m, name);
    gr__slot *s = gr__model_slot(m, name, GR__COUNTER, &(gr_shape){ .rank = 0 }, shared);
    if (s && made) gr__ints(s->t)[0] = 0;
    return s ? s->t : NULL;
}

/* PyTorch's initialisation: Kaiming uniform with a = sqrt 5 is uniform in +-1/sqrt(fan_in), and so
   are biases. */
static double layer_bound(int64_t fan_in) { return fan_in > 0 ? 1 / sqrt((double)fan_in) : 0; }

/* ---- linear and convolutions ----------------------------------------------------------------- */

gr_tensor *gr_nn_linear_(gr_model *m, const char *name, gr_nn_linear_options o)
{
    if (!o.x) return gr_linear(o.x, NULL);
    if (o.x->shape.rank < 1 || o.units < 1) {
        gr__fail(GR_ERR_ARGUMENT,
            "linear '%s': input %s, units %lld: an input (...,I) and 1 unit or more wanted",
            name ? name : "", GR__TEXT(o.x), (long long)o.units);
        return NULL;
    }
    int64_t   in = o.x->shape.dim[o.x->shape.rank - 1];
    beginning of_w = {
        .shape = gr_shape(o.units, in), .uniform = layer_bound(in), .shared = o.shared
    };
    beginning  of_b = { .shape = gr_shape(o.units), .uniform = of_w.uniform, .shared = o.shared };
    gr_tensor *w = layer_part(m, name, "weight", &of_w);
    gr_tensor *b = w && !o.no_bias ? layer_part(m, name, "bias", &of_b) : NULL;
    return w && (b || o.no_bias) ? gr_linear(o.x, w, .bias = b, .act = o.act) : NULL;
}

gr_tensor *gr_nn_conv2d_(gr_model *m, const char *name, gr_nn_conv2d_options o)
{
    if (!o.x) return gr_conv2d(o.x, NULL);
    int64_t groups = o.groups ? o.groups : 1, kh = o.kernel_hw.h ? o.kernel_hw.h : o.kernel,
            kw = o.kernel_hw.w ? o.kernel_hw.w : o.kernel;
    if (o.x->shape.rank != 4 || o.filters < 1 || kh < 1 || kw < 1 || groups < 1 ||
        o.x->shape.dim[1] % groups != 0) {
        gr__fail(GR_ERR_ARGUMENT,
            "conv2d '%s': input %s, filters %lld, kernel %lldx%lld, groups %lld: an input "
            "(N,C,H,W) and sizes of 1 or more wanted, groups that divide C",
            name ? name : "", GR__TEXT(o.x), (long long)o.filters, (long long)kh, (long long)kw,
            (long long)groups);
        return NULL;
    }
    int64_t   per_group = o.x->shape.dim[1] / groups;
    beginning of_k = { .shape = gr_shape(o.filters, per_group, kh, kw),
        .uniform = layer_bound(per_group * kh * kw),
        .shared = o.shared };
    beginning of_bias = {
        .shape = gr_shape(o.filters), .uniform = of_k.uniform, .shared = o.shared
    };
    gr_tensor *k = layer_part(m, name, "weight", &of_k);
    gr_tensor *bias = k && !o.no_bias ? layer_part(m, name, "bias", &of_bias) : NULL;
    if (!k || !(bias || o.no_bias)) return NULL;
    return gr_conv2d(o.x, k, .bias = bias, .stride = o.stride, .padding = o.padding,
        .dilation = o.dilation, .groups = o.groups, .stride_hw = o.stride_hw,
        .padding_hw = o.padding_hw, .dilation_hw = o.dilation_hw, .act = o.act);
}

/* PyTorch counts the second dimension of a weight as what comes in, also here, where it is what
   goes out. */
gr_tensor *gr_nn_conv_transpose2d_(gr_model *m, const char *name, gr_nn_conv_transpose2d_options o)
{
    if (!o.x) return gr_conv_transpose2d(o.x, NULL);
    if (!gr__want_act(o.act, "conv_transpose2d")) return NULL;
    int64_t groups = o.groups ? o.groups : 1, kh = o.kernel_hw.h ? o.kernel_hw.h : o.kernel,
            kw = o.kernel_hw.w ? o.kernel_hw.w : o.kernel;
    if (o.x->shape.rank != 4 || o.filters < 1 || kh < 1 || kw < 1 || groups < 1 ||
        o.x->shape.dim[1] % groups != 0 || o.filters % groups != 0) {
        gr__fail(GR_ERR_ARGUMENT,
            "conv_transpose2d '%s': input %s, filters %lld, kernel %lldx%lld, groups %lld: an "
            "input (N,C,H,W) and sizes of 1 or more wanted, groups that divide C and the filters",
            name ? name : "", GR__TEXT(o.x), (long long)o.filters, (long long)kh, (long long)kw,
            (long long)groups);
        return NULL;
    }
    int64_t   per_group = o.filters / groups;
    beginning of_k = { .shape = gr_shape(o.x->shape.dim[1], per_group, kh, kw),
        .uniform = layer_bound(per_group * kh * kw),
        .shared = o.shared };
    beginning of_bias = {
        .shape = gr_shape(o.filters), .uniform = of_k.uniform, .shared = o.shared
    };
    gr_tensor *k = layer_part(m, name, "weight", &of_k);
    gr_tensor *bias = k && !o.no_bias ? layer_part(m, name, "bias", &of_bias) : NULL;
    if (!k || !(bias || o.no_bias)) return NULL;
    gr_tensor *y = gr_conv_transpose2d(o.x, k, .bias = bias, .stride = o.stride,
        .padding = o.padding, .dilation = o.dilation, .groups = o.groups, .stride_hw = o.stride_hw,
        .padding_hw = o.padding_hw, .dilation_hw = o.dilation_hw,
        .output_padding = o.output_padding, .output_padding_hw = o.output_padding_hw);
    return gr__act(o.act, y);
}

/* ---- normalisation --------------------------------------------------------------------------- */

gr_tensor *gr_nn_batch_norm2d_(gr_model *m, const char *name, gr_nn_batch_norm2d_options o)
{
    if (!o.x || o.x->shape.rank != 4) return gr_batch_norm2d(o.x);
    gr_shape   c = gr_shape(o.x->shape.dim[1]);
    gr_tensor *w, *b;
    if (!affine(m, name, c, o.no_affine, o.shared, &w, &b)) return NULL;
    gr_tensor *mean = buffer(m, name, "running_mean", c, 0, o.shared);
    gr_tensor *var = mean ? buffer(m, name, "running_var", c, 1, o.shared) : NULL;
    gr_tensor *batches = var ? counter(m, name, "num_batches_tracked", o.shared) : NULL;
    if (!batches) return NULL;
    bool       training = m->sealed && !m->eval;
    gr_tensor *y =
        gr_batch_norm2d(o.x, .weight = w, .bias = b, .running_mean = mean, .running_var = var,
            .training = training, .momentum = o.momentum, .eps = o.eps, .act = o.act);
    if (y && training) {
        gr__touch(batches);
        if (gr__ints(batches)[0] < INT32_MAX) gr__ints(batches)[0]++;
    }
    return y;
}

gr_tensor *gr_nn_layer_norm_(gr_model *m, const char *name, gr_nn_layer_norm_options o)
{
    gr_shape   tail = { .rank = o.dims ? o.dims : 1 };
    gr_tensor *w, *b;
    if (!o.x || tail.rank < 1 || tail.rank > o.x->shape.rank)
        return gr_layer_norm(o.x, .dims = o.dims);
    for (int i = 0; i < tail.rank; i++)
        tail.dim[i] = o.x->shape.dim[o.x->shape.rank - tail.rank + i];
    if (!affine(m, name, tail, o.no_affine, o.shared, &w, &b)) return NULL;
    return gr_layer_norm(o.x, .dims = o.dims, .weight = w, .bias = b, .eps = o.eps);
}

gr_tensor *gr_nn_group_norm_(gr_model *m, const char *name, gr_nn_group_norm_options o)
{
    gr_tensor *w, *b;
    if (!o.x || o.x->shape.rank < 2) return gr_group_norm(o.x, o.groups);
    if (!affine(m, name, gr_shape(o.x->shape.dim[1]), o.no_affine, o.shared, &w, &b)) return NULL;
    return gr_group_norm(o.x, o.groups, .weight = w, .bias = b, .eps = o.eps);
}

/* ---- embedding ------------------------------------------------------------------------------- */

gr_tensor *gr_nn_embedding_(gr_model *m, const char *name, gr_nn_embedding_options o)
{
    if (o.rows < 1 || o.features < 1) {
        gr__fail(GR_ERR_ARGUMENT, "embedding '%s': rows %lld, features %lld: 1 or more wanted",
            name ? name : "", (long long)o.rows, (long long)o.features);
        return NULL;
    }
    gr_tensor *w = layer_part(m, name, "weight",
        &(beginning){ .shape = gr_shape(o.rows, o.features), .normal = 1, .shared = o.shared });
    return w ? gr_embedding(w, o.index) : NULL;
}

/* ---- dropout --------------------------------------------------------------------------------- */

typedef struct layer_draw {
    gr_real *y;
    gr_rng   rng;
    double   p;
} layer_draw;

/* Number i of the stream is for element i, so that any partition gives the same bits. */
static void draw_part(const void *arg, int64_t begin, int64_t end)
{
    const layer_draw *d = arg;
    gr__kernel_table()->drop(
        d->y + begin, d->rng.key, d->rng.counter + (uint64_t)begin, d->p, end - begin);
}

static gr_tensor *mask(const gr_shape *shape, gr_rng rng, double p)
{
    gr_tensor *t = gr__tensor(GR_REAL, shape, "dropout");
    if (t) gr__parallel(t->count, GR__GRAIN / 8, draw_part, &(layer_draw){ gr__reals(t), rng, p });
    return gr__own(t);
}

/* x times a mask of that shape, which broadcasts. */
static gr_tensor *layer_drop(
    gr_model *m, const char *name, gr_tensor *x, const gr_shape *shape, double p)
{
    gr__slot *s = gr__model_slot(m, name, GR__LAYER, NULL, false);
    if (!s || m->eval) return s ? x : NULL;
    char run[32];
    snprintf(run, sizeof run, " run %llu", (unsigned long long)s->runs);
    gr_tensor *kept = mask(shape, gr__rng_of_parts(m->seed, s->name, run), p);
    if (kept) s->runs++;
    return gr_mul(x, kept);
}

static bool may_drop(const char *op, const char *name, const gr_tensor *x, double p)
{
    if (!x) return gr__fail(GR_ERR_ARGUMENT, "%s '%s': the input is NULL", op, name ? name : "");
    return (p >= 0 && p < 1) ||
           gr__fail(GR_ERR_ARGUMENT, "%s '%s': p = %g: 0 or more and under 1 wanted", op,
               name ? name : "", p);
}

gr_tensor *gr_nn_dropout(gr_model *m, const char *name, gr_tensor *x, double p)
{
    return may_drop("dropout", name, x, p) ? layer_drop(m, name, x, &x->shape, p) : NULL;
}

gr_tensor *gr_nn_dropout2d(gr_model *m, const char *name, gr_tensor *x, double p)
{
    if (!may_drop("dropout2d", name, x, p) || !gr__want_rank(x, 4, "dropout2d", "input"))
        return NULL;
    return layer_drop(m, name, x, &(gr_shape){ 4, { x->shape.dim[0], x->shape.dim[1], 1, 1 } }, p);
}
