/* reduce.c: sum, mean and max over dimensions, argmax; min, var, std, norm and logsumexp, made of
   them.

   x is seen as outer x reduced x inner for each run of neighbouring reduced dimensions; several
   runs are reduced one after another, the last first. Backward of a reduction spreads g over what
   was reduced: g with the reduced dimensions put back as size 1 broadcasts. */
#include "ops/ops.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- which dimensions ------------------------------------------------------------------------ */

typedef struct reduction {
    gr_dims axes; /* as given; none: all */
    bool    keepdim;
    bool    over[GR_MAX_DIMS];
} reduction;

bool gr__want_axis(const gr_tensor *x, int *axis, const char *op)
{
    return gr__axis(axis, x->shape.rank) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: %s has no axis %d", op, GR__TEXT(x), *axis);
}

bool gr__want_axis_or_scalar(const gr_tensor *x, int *axis, const char *op)
{
    if (x->shape.rank > 0) return gr__want_axis(x, axis, op);
    return gr__axis(axis, 1) || gr__want_axis(x, axis, op);
}

bool gr__mark_axes(const gr_tensor *x, const gr_dims *axes, bool over[GR_MAX_DIMS], const char *op)
{
    if (axes->count < 0 || axes->count > GR_MAX_DIMS)
        return gr__fail(
            GR_ERR_ARGUMENT, "%s: axes %d, at most %d wanted", op, axes->count, GR_MAX_DIMS);
    for (int i = 0; i < GR_MAX_DIMS; i++) over[i] = axes->count == 0;
    for (int i = 0; i < axes->count; i++) {
        int axis = axes->at[i];
        if (!gr__want_axis_or_scalar(x, &axis, op)) return false;
        if (over[axis]) return gr__fail(GR_ERR_ARGUMENT, "%s: axis %d is named twice", op, axis);
        over[axis] = true;
    }
    return true;
}

static bool reduce_shape(gr__node *nd, gr_shape *y)
{
    const reduction *r = nd->args;
    const gr_shape  *x = &nd->in[0]->shape;
    y->rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (!r->over[i] || r->keepdim) y->dim[y->rank++] = r->over[i] ? 1 : x->dim[i];
    return true;
}

/* A reduced dimension put back with size 1, so that g broadcasts against what was reduced. */
static gr_tensor *keepdim(gr_tensor *g, const gr_shape *shape, const reduction *r)
{
    gr_shape kept = *shape;
    for (int i = 0; i < shape->rank; i++)
        if (r->over[i]) kept.dim[i] = 1;
    return gr_reshape(g, kept);
}

/* ---- walking --------------------------------------------------------------------------------- */

/* One pass: outer x reduced x inner to outer x inner. */
typedef struct pass {
    const gr_real *x;
    gr_real       *y;
    int64_t        reduced, inner;
    double         factor;
} pass;

static void sum_part(const void *arg, int64_t begin, int64_t end)
{
    const pass *p = arg;
    gr__kernel_table()->sum(p->y, p->x, p->reduced, p->inner, p->factor, begin, end);
}

static void max_part(const void *arg, int64_t begin, int64_t end)
{
    const pass *p = arg;
    gr__kernel_table()->max(p->y, p->x, p->reduced, p->inner, begin, end);
}

/* The last run of reduced dimensions that is left becomes one of size 1; false if there is none. */
static bool next_run(gr_shape *s, bool *over, int64_t *outer, int64_t *reduced, int64_t *inner)
{
    int last = s->rank - 1;
    while (last >= 0 && !over[last]) last--;
    if (last < 0) return false;
    *outer = *reduced = *inner = 1;
    for (int i = last + 1; i < s->rank; i++) *inner *= s->dim[i];
    int i = last;
    for (; i >= 0 && over[i]; i--) {
        *reduced *= s->dim[i];
        s->dim[i] = 1;
        over[i] = false;
    }
    for (; i >= 0; i--) *outer *= s->dim[i];
    return true;
}

static bool reduce(
    const gr__node *nd, gr_tensor *y, void (*part)(const void *, int64_t, int64_t), double factor)
{
    const reduction *r = nd->args;
    bool             over[GR_MAX_DIMS];
    memcpy(over, r->over, sizeof over);
    gr_shape   s = nd->in[0]->shape;
    gr_tensor *from = nd->in[0], *held = NULL;
    int64_t    outer, reduced, inner;
    while (next_run(&s, over, &outer, &reduced, &inner)) {
        bool       last = outer * inner == y->count;
        gr_tensor *to = last ? y : gr__tensor(GR_REAL, &s, nd->op->name);
        if (to) {
            pass p = { gr__reals(from), gr__reals(to), reduced, inner, last ? factor : 1 };
            gr__parallel(outer * inner, GR__GRAIN / (reduced > 0 ? reduced : 1), part, &p);
        }
        gr__unref(held);
        if (!to) return false;
        if (last) return true;
        from = held = to;
    }
    /* Nothing to reduce: a scalar. */
    memcpy(gr__reals(y), gr__reals(from), (size_t)y->count * sizeof(gr_real));
    return true;
}

static gr_tensor *reduce_apply(const gr__op *op, const gr_reduce_options *o)
{
    reduction r = { .axes = o->axes, .keepdim = o->keepdim };
    if (o->x && !gr__mark_axes(o->x, &r.axes, r.over, op->name)) return NULL;
    return gr__apply(op, 1, (gr_tensor *[]){ o->x }, &r, sizeof r);
}

/* ---- sum and mean ---------------------------------------------------------------------------- */

static bool sum_forward(gr__node *nd, gr_tensor *y) { return reduce(nd, y, sum_part, 1); }

/* 1 / n. If there are no means, it is 1: 0 / 0 would be an invalid operation that nobody asked
   for. */
static double reduce_part_of(const gr_tensor *y, const gr_tensor *x)
{
    return y->count ? (double)y->count / (double)x->count : 1;
}

static double reduce_share(const gr__node *nd) { return reduce_part_of(nd->out, nd->in[0]); }

static bool mean_forward(gr__node *nd, gr_tensor *y)
{
    return reduce(nd, y, sum_part, reduce_part_of(y, nd->in[0]));
}

static gr_tensor *sum_vjp(gr__node *nd, int i, gr_tensor *g)
{
    const reduction *r = nd->args;
    (void)i;
    return gr_expand(keepdim(g, &nd->in[0]->shape, r), nd->in[0]->shape);
}

static gr_tensor *mean_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return sum_vjp(nd, i, gr_scale(g, reduce_share(nd)));
}

static const gr__attribute reduce_attributes[] = {
    { "axes", GR__DIMS, .at = offsetof(reduction, axes), .usual = -1e9 },
    { "keepdim", GR__BOOL, .at = offsetof(reduction, keepdim) },
    { .name = NULL },
};
static const gr__op sum_op = { "sum", "y = sum of x; gx = g, spread", reduce_shape, sum_forward,
    .vjp = sum_vjp, .attributes = reduce_attributes, .torch = "torch.sum" };
static const gr__op mean_op = { "mean", "y = sum of x / n; gx = g / n, spread", reduce_shape,
    mean_forward, .vjp = mean_vjp, .attributes = reduce_attributes, .torch = "torch.mean" };

gr_tensor *gr_sum_(gr_reduce_options o) { return reduce_apply(&sum_op, &o); }
gr_tensor *gr_mean_(gr_reduce_options o) { return reduce_apply(&mean_op, &o); }

gr_tensor *gr__sum_to(gr_tensor *g, const gr_shape *shape)
{
    gr_dims axes = { .count = 0 };
    int     lead = g->shape.rank - shape->rank;
    for (int i = 0; i < g->shape.rank; i++)
        if (i < lead || shape->dim[i - lead] != g->shape.dim[i]) axes.at[axes.count++] = i;
    if (axes.count > 0) g = gr_sum(g, .axes = axes, .keepdim = true);
    return lead > 0 ? gr_reshape(g, *shape) : g;
}

/* ---- max ------------------------------------------------------------------------------------- */

static bool max_shape(gr__node *nd, gr_shape *y)
{
    const reduction *r = nd->args;
    const gr_tensor *x = nd->in[0];
    reduce_shape(nd, y);
    for (int i = 0; i < x->shape.rank && gr__count(y) > 0; i++)
        if (r->over[i] && x->shape.dim[i] == 0)
            return gr__fail(GR_ERR_ARGUMENT,
                "max: %s has nothing along axis %d to take the largest of", GR__TEXT(x), i);
    return true;
}

static bool max_forward(gr__node *nd, gr_tensor *y) { return reduce(nd, y, max_part, 1); }

static gr_tensor *max_vjp(gr__node *nd, int i, gr_tensor *g)
{
    const reduction *r = nd->args;
    gr_tensor       *x = nd->in[0];
    (void)i;
    gr_tensor *largest = gr_eq(x, keepdim(gr_detach(nd->out), &x->shape, r));
    gr_tensor *ties = gr_sum(largest, .axes = r->axes, .keepdim = true);
    return gr_mul(largest, gr_div(keepdim(g, &x->shape, r), ties));
}

static const gr__op max_op = { "max", "y = max of x; gx = g [x = y] / ties", max_shape, max_forward,
    .vjp = max_vjp, .attributes = reduce_attributes, .torch = "torch.amax" };

gr_tensor *gr_max_(gr_reduce_options o) { return reduce_apply(&max_op, &o); }

/* ---- argmax ---------------------------------------------------------------------------------- */

static int64_t size_along(const gr_shape *s, int axis) { return s->rank > 0 ? s->dim[axis] : 1; }

static bool argmax_shape(gr__node *nd, gr_shape *y)
{
    const int       *axis = nd->args;
    const gr_tensor *x = nd->in[0];
    y->rank = 0;
    for (int i = 0; i < x->shape.rank; i++)
        if (i != *axis) y->dim[y->rank++] = x->shape.dim[i];
    int64_t size = size_along(&x->shape, *axis);
    if (size == 0 && gr__count(y) > 0)
        return gr__fail(
            GR_ERR_ARGUMENT, "argmax: %s has nothing along axis %d", GR__TEXT(x), *axis);
    if (size > INT32_MAX)
        return gr__fail(GR_ERR_ARGUMENT, "argmax: axis %d of %s is longer than an int32 can count",
            *axis, GR__TEXT(x));
    nd->dtype = GR_INT32;
    return true;
}

static bool argmax_forward(gr__node *nd, gr_tensor *y)
{
    const int      *axis = nd->args;
    const gr_shape *s = &nd->in[0]->shape;
    int64_t         inner = 1;
    for (int i = *axis + 1; i < s->rank; i++) inner *= s->dim[i];
    gr__kernel_table()->argmax(
        gr__ints(y), gr__reals(nd->in[0]), size_along(s, *axis), inner, 0, y->count);
    return true;
}

static const gr__attribute argmax_attributes[] = {
    { "axis", GR__INT, .shown = GR__ALWAYS },
    { .name = NULL },
};
static const gr__op argmax_op = { .name = "argmax",
    .equation = "y = the first i with x_i = max of x",
    .shape = argmax_shape,
    .forward = argmax_forward,
    .attributes = argmax_attributes,
    .torch = "torch.argmax" };

gr_tensor *gr_argmax(gr_tensor *x, int axis)
{
    if (x && !gr__want_axis_or_scalar(x, &axis, "argmax")) return NULL;
    return gr__apply(&argmax_op, 1, &x, &axis, sizeof axis);
}

/* ---- statistics, made of the reductions and element-wise ops --------------------------------- */

/* The axes are good, in the name of the call; how many elements go into one result. */
static bool look(const char *name, const gr_reduce_options *o, int64_t *reduced)
{
    bool over[GR_MAX_DIMS];
    if (!gr__given_reals(name, 1, &o->x) || !gr__mark_axes(o->x, &o->axes, over, name))
        return false;
    *reduced = 1;
    for (int i = 0; i < o->x->shape.rank; i++) *reduced *= over[i] ? o->x->shape.dim[i] : 1;
    return true;
}

static bool look_for_some(const char *name, const gr_reduce_options *o)
{
    int64_t reduced;
    if (!look(name, o, &reduced)) return false;
    return reduced > 0 ||
           gr__fail(GR_ERR_ARGUMENT, "%s: %s has nothing along its axes", name, GR__TEXT(o->x));
}

gr_tensor *gr_min_(gr_reduce_options o)
{
    if (!look_for_some("min", &o)) return NULL;
    return gr__shown_as("min", gr_neg(gr_max(gr_neg(o.x), .axes = o.axes, .keepdim = o.keepdim)));
}

/* sqrt, with the gradient 0 at 0: what is not chosen is replaced first, so that no infinity comes
   in. */
static gr_tensor *root(gr_tensor *s)
{
    gr_tensor *flat = s ? gr_eq(s, gr__number(0)) : NULL;
    return gr_where(flat, gr__number(0), gr_sqrt(gr_where(flat, gr__number(1), s)));
}

static gr_tensor *variance(const char *name, const gr_var_options *o)
{
    int64_t n;
    if (!look(name, &(gr_reduce_options){ .x = o->x, .axes = o->axes }, &n)) return NULL;
    gr_tensor *d = gr_sub(o->x, gr_mean(o->x, .axes = o->axes, .keepdim = true));
    gr_tensor *squares = gr_sum(gr_mul(d, d), .axes = o->axes, .keepdim = o->keepdim);
    double     freedom = (double)(o->biased ? n : n - 1);
    return gr__shown_as("var", gr_scale(squares, freedom > 0 ? 1 / freedom : NAN));
}

gr_tensor *gr_var_(gr_var_options o) { return variance("var", &o); }

gr_tensor *gr_std_(gr_var_options o)
{
    gr_tensor *v = variance("std", &o);
    return v ? gr__shown_as("std", root(v)) : NULL;
}

gr_tensor *gr_norm_(gr_reduce_options o)
{
    int64_t reduced;
    if (!look("norm", &o, &reduced)) return NULL;
    gr_tensor *squares = gr_sum(gr_mul(o.x, o.x), .axes = o.axes, .keepdim = o.keepdim);
    return gr__shown_as("norm", root(squares));
}

/* The largest is taken out, as a constant: it cancels. Infinity less itself is no number, and so,
   of an infinite one, the largest finite number is: what stands beside infinity then counts for
   nothing. Of nothing, the sum is 0. */
gr_tensor *gr_logsumexp_(gr_reduce_options o)
{
    int64_t reduced;
    if (!look("logsumexp", &o, &reduced)) return NULL;
    if (reduced == 0)
        return gr__shown_as(
            "logsumexp", gr_log(gr_sum(gr_exp(o.x), .axes = o.axes, .keepdim = o.keepdim)));
    gr_tensor *most = gr_max(gr_detach(o.x), .axes = o.axes, .keepdim = true);
    most = most ? gr_where(gr_eq(most, gr__number(-INFINITY)), gr__number(0), most) : NULL;
    const double finite = sizeof(gr_real) == 4 ? (double)FLT_MAX : DBL_MAX;
    most = most ? gr_minimum(most, gr__number(finite)) : NULL;
    /* What lies so far below that e^(x - most) is 0 is lifted, since x - most might overflow. */
    gr_tensor *floor =
        most ? gr_where(gr_ge(most, gr__number(0)), gr__number(-1000), gr__number(-finite)) : NULL;
    gr_tensor *sum =
        gr_sum(gr_exp(gr_sub(gr_maximum(o.x, floor), most)), .axes = o.axes, .keepdim = o.keepdim);
    if (!sum) return NULL;
    return gr__shown_as("logsumexp", gr_add(gr_log(sum), gr_reshape(most, sum->shape)));
}
