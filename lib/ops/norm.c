/* norm.c: numbers brought to mean 0 and variance 1, in sets: batch, layer and group norm.

   x is seen as A x B x S, and set b is all x[a,b,s]: for batch norm A is the batch, B the channels,
   S a plane; for layer and group norm A is 1 and S what is normalised together. With the mean m and
   variance v of its set, r = 1 / sqrt(v + eps), h = (x - m) r and y = act(weight h + bias).

   Backward, with G = g act'(y), <> the mean over a set and

       P(x, G) = r (G - <G> - h <G h>),

   is gx = weight P(x, G), gweight = sum of G h, gbias = sum of G. P is linear in G, and its own
   transpose; by x, with u the gradient of P,

       gx = -r^2 (<u G> - <u> <G> - <u h> <G h>) h - r <G h> P(x, u) - r <u h> P(x, G),

   which closes the family: every rule is made of these ops. In eval mode m and v are given: then
   they do not depend on x, and P(x, G) = r G.

   Invariant: `stats` (3,B) holds m, v and r, and `sums` (2,B) sum of G h and of G. Both are made by
   the ops that read them (unless they are known already): they stand among the inputs, but depend
   on the others alone, so no gradient goes there. */
#include "ops/ops.h"

#include <math.h>

typedef struct norm_args {
    int64_t A, B, S;
    double  eps;
    gr_act  act; /* none or ReLU */
    bool    fixed, find;
    int64_t dims, groups; /* as given, for people */
} norm_args;

/* The places of the inputs of the three ops; weight and bias come last, or not at all. */
enum {
    NORM_X,
    NORM_STATS,
    NORM_WEIGHT,
    NORM_BIAS,
    SUMS_G = 2,
    SUMS_WEIGHT,
    SUMS_BIAS,
    GRAD_SUMS = 2,
    GRAD_G,
    GRAD_WEIGHT,
    GRAD_BIAS
};

static const gr__op batch_norm2d_op, layer_norm_op, group_norm_op, normalize_op, sums_op, grad_op;

/* Without a weight (and bias) h itself is the result. */
static gr_tensor *norm(const gr__op *op, const norm_args *n, gr_tensor *x, gr_tensor *stats,
    gr_tensor *w, gr_tensor *b)
{
    return gr__apply(op, w ? 4 : 2, (gr_tensor *[]){ x, stats, w, b }, n, sizeof *n);
}

static gr_tensor *sums(
    const norm_args *n, gr_tensor *x, gr_tensor *stats, gr_tensor *g, gr_tensor *w, gr_tensor *b)
{
    return gr__apply(&sums_op, w ? 5 : 3, (gr_tensor *[]){ x, stats, g, w, b }, n, sizeof *n);
}

static gr_tensor *grad(const norm_args *n, gr_tensor *x, gr_tensor *stats, gr_tensor *sums,
    gr_tensor *g, gr_tensor *w, gr_tensor *b)
{
    return gr__apply(&grad_op, w ? 6 : 4, (gr_tensor *[]){ x, stats, sums, g, w, b }, n, sizeof *n);
}

/* ---- forward --------------------------------------------------------------------------------- */

static gr__norm norm_plain(const gr__node *nd)
{
    const norm_args *n = nd->args;
    return (gr__norm){
        .A = n->A,
        .B = n->B,
        .S = n->S,
        .eps = n->eps,
        .fixed = n->fixed,
        .relu = n->act == GR_RELU,
        .find = n->find,
        .x = gr__reals(nd->in[NORM_X]),
        .stats = gr__reals(nd->in[NORM_STATS]),
    };
}

static void set_line(gr__norm *k, const gr__node *nd, int first)
{
    if (nd->n <= first) return;
    k->weight = gr__reals(nd->in[first]);
    k->bias = gr__reals(nd->in[first + 1]);
}

static void forward_part(const void *arg, int64_t begin, int64_t end)
{
    gr__kernel_table()->norm(arg, begin, end);
}
static void sums_part(const void *arg, int64_t begin, int64_t end)
{
    gr__kernel_table()->norm_sums(arg, begin, end);
}
static void grad_part(const void *arg, int64_t begin, int64_t end)
{
    gr__kernel_table()->norm_grad(arg, begin, end);
}

static bool norm_run(const gr__norm *k, void (*part)(const void *, int64_t, int64_t))
{
    int64_t size = k->A * k->S;
    gr__parallel(k->B, size > 0 ? GR__GRAIN / 2 / size : k->B, part, k);
    return true;
}

static bool norm_forward(gr__node *nd, gr_tensor *y)
{
    gr__norm k = norm_plain(nd);
    set_line(&k, nd, NORM_WEIGHT);
    k.y = gr__reals(y);
    return norm_run(&k, forward_part);
}

static bool sums_shape(gr__node *nd, gr_shape *y)
{
    const norm_args *n = nd->args;
    *y = gr_shape(2, n->B);
    return true;
}

static bool sums_forward(gr__node *nd, gr_tensor *y)
{
    gr__norm k = norm_plain(nd);
    set_line(&k, nd, SUMS_WEIGHT);
    k.g = gr__reals(nd->in[SUMS_G]);
    k.sums = gr__reals(y);
    return norm_run(&k, sums_part);
}

static bool grad_forward(gr__node *nd, gr_tensor *gx)
{
    gr__norm k = norm_plain(nd);
    set_line(&k, nd, GRAD_WEIGHT);
    k.sums = gr__reals(nd->in[GRAD_SUMS]);
    k.g = gr__reals(nd->in[GRAD_G]);
    k.y = gr__reals(gx);
    return norm_run(&k, grad_part);
}

/* ---- the rules ------------------------------------------------------------------------------- */

static gr_tensor *input(const gr__node *nd, int i) { return i < nd->n ? nd->in[i] : NULL; }

/* Row i of the sums, as the gradient of a weight or bias. */
static gr_tensor *norm_row(const norm_args *n, gr_tensor *s, int64_t i)
{
    return gr_reshape(gr_slice(s, 0, i, i + 1), gr_shape(n->B));
}

static gr_tensor *norm_vjp(gr__node *nd, int i, gr_tensor *g)
{
    const norm_args *n = nd->args;
    gr_tensor       *x = nd->in[NORM_X], *stats = nd->in[NORM_STATS], *w = input(nd, NORM_WEIGHT),
              *b = input(nd, NORM_BIAS);
    norm_args once = *n;
    if (!nd->left) {
        /* What is not recorded is quicker found while gx is made; else the sums are results, with a
           rule. */
        once.find = i == NORM_X && gr__self()->no_grad;
        nd->left =
            once.find ? gr__constant(&(gr_shape){ 2, { 2, n->B } }, 0) : sums(n, x, stats, g, w, b);
        if (!nd->left) return NULL;
    }
    return i == NORM_X ? grad(&once, x, stats, nd->left, g, w, b)
                       : norm_row(n, nd->left, i - NORM_WEIGHT);
}

/* The helpers of the higher rules. There everything is A x B x S, or (1,B,1) for what belongs to a
   set. */

static gr_tensor *cube(const norm_args *n, gr_tensor *t)
{
    return gr_reshape(t, gr_shape(n->A, n->B, n->S));
}
static gr_tensor *each(const norm_args *n, gr_tensor *v)
{
    return gr_reshape(v, gr_shape(1, n->B, 1));
}
static gr_tensor *over_set(gr_tensor *t)
{
    return gr_sum(t, .axes = GR_DIMS(0, 2), .keepdim = true);
}
static gr_tensor *set_mean(gr_tensor *t)
{
    return gr_mean(t, .axes = GR_DIMS(0, 2), .keepdim = true);
}

/* G: g where the ReLU let x through. */
static gr_tensor *gated(
    const norm_args *n, gr_tensor *x, gr_tensor *stats, gr_tensor *g, gr_tensor *w, gr_tensor *b)
{
    norm_args again = *n;
    if (n->act == GR_NO_ACT) return g;
    again.fixed = true; /* so that it reads the statistics, and does not write them */
    return gr__act_grad(GR_RELU, gr_detach(norm(&normalize_op, &again, x, stats, w, b)), g);
}

static norm_args bare(const norm_args *n)
{
    return (norm_args){ .A = n->A, .B = n->B, .S = n->S, .eps = n->eps, .fixed = n->fixed };
}

static gr_tensor *h_of(const norm_args *n, gr_tensor *x, gr_tensor *stats)
{
    norm_args h = bare(n);
    return norm(
        &normalize_op, &h, x, n->fixed ? stats : gr__constant(&stats->shape, 0), NULL, NULL);
}

static gr_tensor *P(const norm_args *n, gr_tensor *x, gr_tensor *stats, gr_tensor *g)
{
    norm_args p = bare(n);
    p.find = true;
    return grad(&p, x, stats, gr__constant(&(gr_shape){ 2, { 2, n->B } }, 0),
        gr_reshape(g, x->shape), NULL, NULL);
}

static gr_tensor *sums_vjp(gr__node *nd, int i, gr_tensor *u)
{
    const norm_args *n = nd->args;
    gr_tensor       *x = nd->in[NORM_X], *stats = nd->in[NORM_STATS], *g = nd->in[SUMS_G],
              *w = input(nd, SUMS_WEIGHT), *b = input(nd, SUMS_BIAS);
    gr_tensor *u_h = each(n, norm_row(n, u, 0)), *u_1 = each(n, norm_row(n, u, 1));
    if (i == NORM_X)
        return gr_reshape(
            gr_mul(u_h, cube(n, P(n, x, stats, gated(n, x, stats, g, w, b)))), x->shape);
    gr_tensor *inner = gr_add(gr_mul(cube(n, h_of(n, x, stats)), u_h), u_1);
    return gated(n, x, stats, gr_reshape(inner, x->shape), w, b);
}

/* d <u, P(x, G)> / dx. */
static gr_tensor *P_by_x(
    const norm_args *n, gr_tensor *x, gr_tensor *stats, gr_tensor *u, gr_tensor *G)
{
    if (n->fixed || x->count == 0) return gr__constant(&x->shape, 0);
    gr_tensor *h = cube(n, h_of(n, x, stats));
    gr_tensor *variance =
        gr_var(cube(n, x), .axes = GR_DIMS(0, 2), .keepdim = true, .biased = true);
    gr_tensor *r = gr_div(gr__number(1), gr_sqrt(gr_add(variance, gr__number(n->eps))));
    gr_tensor *uh = set_mean(gr_mul(u, h)), *Gh = set_mean(gr_mul(G, h));
    gr_tensor *d =
        gr_sub(gr_sub(set_mean(gr_mul(u, G)), gr_mul(set_mean(u), set_mean(G))), gr_mul(uh, Gh));
    gr_tensor *through_r = gr_mul(gr_mul(gr_mul(r, r), d), h);
    gr_tensor *through_G = gr_mul(gr_mul(r, Gh), cube(n, P(n, x, stats, u))),
              *through_u = gr_mul(gr_mul(r, uh), cube(n, P(n, x, stats, G)));
    return gr_reshape(gr_neg(gr_add(through_r, gr_add(through_G, through_u))), x->shape);
}

static gr_tensor *grad_vjp(gr__node *nd, int i, gr_tensor *u)
{
    const norm_args *n = nd->args;
    gr_tensor       *x = nd->in[NORM_X], *stats = nd->in[NORM_STATS], *g = nd->in[GRAD_G],
              *w = input(nd, GRAD_WEIGHT), *b = input(nd, GRAD_BIAS);
    gr_tensor *wu = w ? gr_mul(each(n, w), cube(n, u)) : cube(n, u);
    if (i == GRAD_G) return gated(n, x, stats, P(n, x, stats, wu), w, b);
    gr_tensor *G = gated(n, x, stats, g, w, b);
    if (i == GRAD_WEIGHT)
        return gr_reshape(over_set(gr_mul(cube(n, u), cube(n, P(n, x, stats, G)))), w->shape);
    return P_by_x(n, x, stats, wu, cube(n, G));
}

static const gr__attribute norm_attributes[] = {
    { "eps", GR__DOUBLE, .at = offsetof(norm_args, eps), .usual = 1e-5 },
    { "act", GR__CHOICE, .at = offsetof(norm_args, act), .choices = gr__act_names },
    { "fixed_stats", GR__BOOL, .at = offsetof(norm_args, fixed), .shown = GR__NEVER },
    { .name = NULL },
};
static const gr__attribute layer_attributes[] = {
    { "eps", GR__DOUBLE, .at = offsetof(norm_args, eps), .usual = 1e-5 },
    { "dims", GR__INT64, .at = offsetof(norm_args, dims), .usual = 1 },
    { .name = NULL },
};
static const gr__attribute group_attributes[] = {
    { "eps", GR__DOUBLE, .at = offsetof(norm_args, eps), .usual = 1e-5 },
    { "groups", GR__INT64, .at = offsetof(norm_args, groups), .shown = GR__ALWAYS },
    { .name = NULL },
};

#define NORM_OP(f, equation, about, pytorch)                                       \
    static const gr__op f##_op = { #f, equation, gr__shape_of_first, norm_forward, \
        .vjp = norm_vjp, .constant = 1 << NORM_STATS, .attributes = about, .torch = pytorch }
NORM_OP(batch_norm2d,
    "h = (x - mean) / sqrt(var + eps), y = act(w h + b); with G = g act': gx = w P(x, G), gw = sum "
    "G h, gb = sum G",
    norm_attributes, "F.batch_norm");
NORM_OP(
    layer_norm, "y = (x - mean) / sqrt(var + eps); gx = P(x, g)", layer_attributes, "F.layer_norm");
NORM_OP(
    group_norm, "y = (x - mean) / sqrt(var + eps); gx = P(x, g)", group_attributes, "F.group_norm");
NORM_OP(normalize, "y = (x - mean) / sqrt(var + eps); gx = P(x, g)", norm_attributes, NULL);

static const gr__op sums_op = {
    .name = "norm_sums",
    .equation = "s = (sum G h, sum G); gx = u_0 P(x, G), gG = u_0 h + u_1",
    .shape = sums_shape,
    .forward = sums_forward,
    .vjp = sums_vjp,
    .attributes = norm_attributes,
    .constant = 1 << NORM_STATS | 1 << SUMS_WEIGHT | 1 << SUMS_BIAS,
};

static const gr__op grad_op = {
    .name = "norm_grad",
    .equation = "z = w P(x, G), P = r (G - <G> - h <G h>); gx as in norm.c, gG = w P(x, u), gw = "
                "sum u P(x, G)",
    .shape = gr__shape_of_first,
    .forward = grad_forward,
    .vjp = grad_vjp,
    .attributes = norm_attributes,
    .constant = 1 << NORM_STATS | 1 << GRAD_SUMS | 1 << GRAD_BIAS,
};

/* ---- batch norm ------------------------------------------------------------------------------ */

static gr_tensor *ones_or(gr_tensor *t, int64_t n, double value)
{
    return t ? t : gr__constant(&(gr_shape){ 1, { n } }, value);
}

static bool vector_of(
    const gr_tensor *t, int64_t n, const char *op, const char *what, const gr_tensor *x)
{
    return !t || (t->dtype == GR_REAL && t->shape.rank == 1 && t->count == n) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: input %s wants a %s (%lld), %s %s given", op, GR__TEXT(x),
               what, (long long)n, t->dtype == GR_REAL ? "reals" : "int32", GR__TEXT(t));
}

static bool eps_is_good(double *eps, const char *op)
{
    if (*eps == 0) *eps = 1e-5;
    return *eps > 0 || gr__fail(GR_ERR_ARGUMENT, "%s: eps %g: over 0 wanted", op, *eps);
}

/* Whether two tensors of as many reals have an element in common. */
static bool meet(const gr_tensor *a, const gr_tensor *b)
{
    return a->storage == b->storage && gr__reals(a) < gr__reals(b) + b->count &&
           gr__reals(b) < gr__reals(a) + a->count;
}

static bool batch_norm_fits(const gr_batch_norm2d_options *o, const gr_tensor *x)
{
    static const char *const name = "batch_norm2d";
    if (!gr__want_rank(x, 4, name, "input") || !gr__want_act(o->act, name)) return false;
    int64_t C = x->shape.dim[1];
    if (!vector_of(o->weight, C, name, "weight", x) || !vector_of(o->bias, C, name, "bias", x) ||
        !vector_of(o->running_mean, C, name, "running_mean", x) ||
        !vector_of(o->running_var, C, name, "running_var", x))
        return false;
    if (!o->running_mean != !o->running_var || (!o->training && !o->running_mean))
        return gr__fail(GR_ERR_ARGUMENT,
            "%s: running_mean and running_var go together, and without .training both are needed",
            name);
    if (o->training && o->running_mean && C > 0 && meet(o->running_mean, o->running_var))
        return gr__fail(
            GR_ERR_ARGUMENT, "%s: running_mean and running_var lie in the same memory", name);
    return !o->training || C == 0 || x->count != C ||
           gr__fail(GR_ERR_ARGUMENT,
               "%s: input %s has one number per channel, which has no variance to train with", name,
               GR__TEXT(x));
}

/* What eval mode knows of each channel. */
static gr_tensor *known_stats(const gr_batch_norm2d_options *o, int64_t C, double eps)
{
    gr_tensor *stats = gr__constant(&(gr_shape){ 2, { 3, C } }, 0);
    for (int64_t c = 0; stats && !o->training && c < C; c++) {
        gr_real *s = gr__reals(stats) + c;
        s[0] = gr__reals(o->running_mean)[c];
        s[C] = gr__reals(o->running_var)[c];
        s[2 * C] = (gr_real)(1 / sqrt((double)s[C] + eps));
    }
    return stats;
}

/* PyTorch's: running += momentum (new - running), with the unbiased variance. */
static void run_on(
    const gr_batch_norm2d_options *o, const gr_tensor *x, const gr_tensor *stats, int64_t C)
{
    double   m = (double)(x->count / C), share = o->momentum;
    gr_real *mean = gr__reals(o->running_mean), *var = gr__reals(o->running_var),
            *s = gr__reals(stats);
    gr__touch(o->running_mean);
    gr__touch(o->running_var);
    for (int64_t c = 0; c < C; c++) {
        mean[c] = (gr_real)((1 - share) * (double)mean[c] + share * (double)s[c]);
        var[c] = (gr_real)((1 - share) * (double)var[c] + share * (double)s[C + c] * m / (m - 1));
    }
}

gr_tensor *gr_batch_norm2d_(gr_batch_norm2d_options o)
{
    gr_tensor *x = o.x;
    norm_args  n = { .eps = o.eps, .fixed = !o.training };
    bool       all =
        o.weight && o.bias && (o.running_mean || o.training) && (o.running_var || o.training);
    if (!gr__given_reals("batch_norm2d", 1, &x) || (!all && gr__failed()) ||
        !eps_is_good(&n.eps, "batch_norm2d") || !batch_norm_fits(&o, x))
        return NULL;
    n.A = x->shape.dim[0];
    n.B = x->shape.dim[1];
    n.S = x->shape.dim[2] * x->shape.dim[3];
    n.act = o.act == GR_RELU ? GR_RELU : GR_NO_ACT;
    if (o.momentum == 0) o.momentum = 0.1;
    bool       line = o.weight || o.bias;
    gr_tensor *stats = known_stats(&o, n.B, n.eps);
    gr_tensor *w = line ? ones_or(o.weight, n.B, 1) : NULL,
              *b = line ? ones_or(o.bias, n.B, 0) : NULL;
    if (!stats || (line && (!w || !b))) return NULL;
    gr_tensor *y = norm(&batch_norm2d_op, &n, x, stats, w, b);
    if (y && o.training && o.running_mean && x->count > 0) run_on(&o, x, stats, n.B);
    return n.act == GR_RELU ? y : gr__act(o.act, y);
}

/* ---- layer and group norm -------------------------------------------------------------------- */

/* h for sets of neighbours, then weight and bias, shaped to broadcast against x. */
static gr_tensor *norm_neighbours(
    const gr__op *op, norm_args n, gr_tensor *x, gr_tensor *w, gr_tensor *b)
{
    n.A = 1;
    gr_tensor *y = norm(op, &n, x, gr__constant(&(gr_shape){ 2, { 3, n.B } }, 0), NULL, NULL);
    if (w && y) y = gr_mul(y, w);
    if (b && y) y = gr_add(y, b);
    return gr__shown_as(op->name, y);
}

static bool is_tail(const gr_tensor *t, const gr_shape *tail, const char *what, const gr_tensor *x)
{
    return !t || (t->dtype == GR_REAL && gr__same_shape(&t->shape, tail)) ||
           gr__fail(GR_ERR_ARGUMENT, "layer_norm: input %s wants a %s %s, %s %s given", GR__TEXT(x),
               what, gr__shape_text(tail).s, t->dtype == GR_REAL ? "reals" : "int32", GR__TEXT(t));
}

gr_tensor *gr_layer_norm_(gr_layer_norm_options o)
{
    gr_tensor *x = o.x;
    int        dims = o.dims ? o.dims : 1;
    norm_args  n = { .eps = o.eps, .B = 1, .S = 1, .dims = dims };
    if (!gr__given_reals("layer_norm", 1, &x) || (!(o.weight && o.bias) && gr__failed()) ||
        !eps_is_good(&n.eps, "layer_norm"))
        return NULL;
    if (dims < 1 || dims > x->shape.rank) {
        gr__fail(GR_ERR_ARGUMENT, "layer_norm: input %s, dims %d: 1 to its rank wanted",
            GR__TEXT(x), dims);
        return NULL;
    }
    gr_shape tail = { .rank = dims };
    for (int i = 0, first = x->shape.rank - dims; i < x->shape.rank; i++)
        if (i < first)
            n.B *= x->shape.dim[i];
        else
            n.S *= tail.dim[i - first] = x->shape.dim[i];
    return is_tail(o.weight, &tail, "weight", x) && is_tail(o.bias, &tail, "bias", x)
               ? norm_neighbours(&layer_norm_op, n, x, o.weight, o.bias)
               : NULL;
}

/* (C) as (C,1,1), so that it broadcasts against x. */
static gr_tensor *by_channel(gr_tensor *t, const gr_tensor *x)
{
    gr_shape s = { .rank = x->shape.rank - 1, .dim = { x->shape.dim[1] } };
    for (int i = 1; i < s.rank; i++) s.dim[i] = 1;
    return t ? gr_reshape(t, s) : NULL;
}

gr_tensor *gr_group_norm_(gr_group_norm_options o)
{
    static const char *const name = "group_norm";
    norm_args                n = { .eps = o.eps, .groups = o.groups };
    if (!gr__given_reals(name, 1, &o.x) || (!(o.weight && o.bias) && gr__failed()) ||
        !eps_is_good(&n.eps, name))
        return NULL;
    if (o.x->shape.rank < 2 || o.groups < 1 || o.x->shape.dim[1] % o.groups != 0) {
        gr__fail(GR_ERR_ARGUMENT,
            "%s: input %s, groups %lld: an input (N,C,...) and groups that divide C wanted", name,
            GR__TEXT(o.x), (long long)o.groups);
        return NULL;
    }
    int64_t N = o.x->shape.dim[0], C = o.x->shape.dim[1];
    if (!vector_of(o.weight, C, name, "weight", o.x) || !vector_of(o.bias, C, name, "bias", o.x))
        return NULL;
    if (o.x->count > 0 && o.x->count == o.groups) {
        gr__fail(GR_ERR_ARGUMENT, "%s: input %s has one number per group, which has no variance",
            name, GR__TEXT(o.x));
        return NULL;
    }
    n.B = N * o.groups;
    n.S = n.B > 0 ? o.x->count / n.B : 0;
    gr_tensor *w = by_channel(o.weight, o.x), *b = by_channel(o.bias, o.x);
    return (w || !o.weight) && (b || !o.bias) ? norm_neighbours(&group_norm_op, n, o.x, w, b)
                                              : NULL;
}
