/* upsample.c: pictures made larger or smaller, by the nearest element or by a blend of four.

   y = U x, and gx = U^T g: a closed pair for each way. By the nearest, an element of x is spread
   over a window of y, so U is what takes average pooling back, without its division. Sizes and
   rounding are torch.nn.functional.interpolate's. */
#include "ops/ops.h"

#include <math.h>

/* ---- the nearest: y[i] = x[i / scale], rounded down ------------------------------------------ */

static gr_tensor *nearest_vjp(gr__node *nd, int i, gr_tensor *g);
static gr_tensor *collect_vjp(gr__node *nd, int i, gr_tensor *u);

static const gr__attribute nearest_attributes[] = {
    { "size", GR__HW, .at = offsetof(gr__cover2d, rows.size),
        .at_w = offsetof(gr__cover2d, columns.size), .shown = GR__NEVER },
    { .name = NULL },
};
static const gr__op nearest_op = { "upsample",
    "y = the nearest of x; gx = sum of g where x is the nearest", gr__spread_shape,
    gr__spread_forward, .vjp = nearest_vjp, .attributes = nearest_attributes,
    .torch = "F.interpolate" };
static const gr__op collect_op = { "upsample_sum",
    "x = sum of g where x is the nearest; gg = the nearest of u", gr__sums_shape, gr__sums_forward,
    .vjp = collect_vjp, .attributes = nearest_attributes };

static gr_tensor *nearest_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return gr__apply(&collect_op, 1, &g, nd->args, sizeof(gr__cover2d));
}

static gr_tensor *collect_vjp(gr__node *nd, int i, gr_tensor *u)
{
    (void)i;
    return gr__apply(&nearest_op, 1, &u, nd->args, sizeof(gr__cover2d));
}

/* Span i is those of y that take x's element i: where that is a matter of rounding, as PyTorch
   rounds, which is in float for doubles too. */
static void by_nearest(const gr__cover *v, gr__span *spans)
{
    int64_t at = 0;
    float   step = (float)v->scale;
    for (int64_t i = 0; i < v->count; i++) {
        spans[i].begin = at;
        while (at < v->size && (i == v->count - 1 || (int64_t)floorf((float)at * step) <= i)) at++;
        spans[i].end = at;
    }
}

/* ---- bilinear -------------------------------------------------------------------------------- */

/* One axis: from a size to another, in steps of x. */
typedef struct upsample_along {
    int64_t from, to;
    double  step;
} upsample_along;

typedef struct zoom {
    int64_t        planes;
    upsample_along rows, columns;
    bool           bilinear;
} zoom;

static gr_tensor *bilinear_vjp(gr__node *nd, int i, gr_tensor *g);
static gr_tensor *bilinear_spread_vjp(gr__node *nd, int i, gr_tensor *u);

/* Element i lies at (i + 1/2) step - 1/2 between two of x's, and at the first where that is before
   it. */
static void upsample_place(const upsample_along *a, gr__taps *taps)
{
    for (int64_t i = 0; i < a->to; i++) {
        double  place = a->to == a->from ? (double)i : fmax(0, ((double)i + 0.5) * a->step - 0.5);
        int64_t at = (int64_t)place, last = a->from - 1;
        if (at > last) at = last;
        double rest = fmin(place - (double)at, 1);
        taps[i] =
            (gr__taps){ { at, at < last ? at + 1 : last }, { (gr_real)(1 - rest), (gr_real)rest } };
    }
}

typedef void upsample_kernel(
    const gr__blend *b, const gr_real *from, gr_real *to, int64_t begin, int64_t end);

typedef struct upsample_call {
    const gr__blend *b;
    upsample_kernel *fn;
    const gr_real   *from;
    gr_real         *to;
} upsample_call;

static void upsample_part(const void *arg, int64_t begin, int64_t end)
{
    const upsample_call *k = arg;
    k->fn(k->b, k->from, k->to, begin, end);
}

static bool upsample_run(gr__node *nd, gr_tensor *y, upsample_kernel *fn)
{
    const zoom *z = nd->args;
    int64_t     OH = z->rows.to, OW = z->columns.to;
    size_t      bytes = (size_t)(OH + OW) * sizeof(gr__taps);
    gr__taps   *taps = gr__alloc(bytes);
    if (!taps) return gr__fail_memory(nd->op->name, bytes);
    upsample_place(&z->rows, taps);
    upsample_place(&z->columns, taps + OH);
    gr__blend b = { z->rows.from, z->columns.from, OH, OW, taps, taps + OH };
    gr__parallel(z->planes, GR__GRAIN / 4 / (OH * OW), upsample_part,
        &(upsample_call){ &b, fn, gr__reals(nd->in[0]), gr__reals(y) });
    gr__release(taps, bytes);
    return true;
}

static bool bilinear_shape(gr__node *nd, gr_shape *y)
{
    const zoom *z = nd->args;
    *y = nd->in[0]->shape;
    y->dim[2] = z->rows.to;
    y->dim[3] = z->columns.to;
    return true;
}

static bool bilinear_spread_shape(gr__node *nd, gr_shape *y)
{
    const zoom *z = nd->args;
    *y = nd->in[0]->shape;
    y->dim[2] = z->rows.from;
    y->dim[3] = z->columns.from;
    return true;
}

static bool bilinear_forward(gr__node *nd, gr_tensor *y)
{
    return upsample_run(nd, y, gr__kernel_table()->blend);
}

static bool bilinear_spread_forward(gr__node *nd, gr_tensor *y)
{
    return upsample_run(nd, y, gr__kernel_table()->blend_spread);
}

static const gr__attribute bilinear_attributes[] = {
    { "size", GR__HW, .at = offsetof(zoom, rows.to), .at_w = offsetof(zoom, columns.to),
        .shown = GR__NEVER },
    { "bilinear", GR__BOOL, .at = offsetof(zoom, bilinear) },
    { .name = NULL },
};
static const gr__op bilinear_op = { "upsample",
    "y = a blend of four of x; gx = g, given to the four", bilinear_shape, bilinear_forward,
    .vjp = bilinear_vjp, .attributes = bilinear_attributes,
    .torch = "F.interpolate, mode bilinear" };
static const gr__op bilinear_spread_op = { "upsample_bilinear_spread",
    "x = g, given to four; gg = a blend of four of u", bilinear_spread_shape,
    bilinear_spread_forward, .vjp = bilinear_spread_vjp, .attributes = bilinear_attributes };

static gr_tensor *bilinear_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return gr__apply(&bilinear_spread_op, 1, &g, nd->args, sizeof(zoom));
}

static gr_tensor *bilinear_spread_vjp(gr__node *nd, int i, gr_tensor *u)
{
    (void)i;
    return gr__apply(&bilinear_op, 1, &u, nd->args, sizeof(zoom));
}

/* ---- entering from outside ------------------------------------------------------------------- */

/* A scale that leaves the size as it is leaves the elements as they are; PyTorch's rule, also for
   1.1 times 7. */
static upsample_along resize(int64_t from, int64_t size, double scale)
{
    double         to = size ? (double)size : floor((double)from * scale);
    upsample_along a = { .from = from, .to = to >= 1 && to <= INT32_MAX ? (int64_t)to : 0 };
    a.step = size || a.to == from ? (double)from / to : 1 / scale;
    return a;
}

static bool geometry(const gr_tensor *x, const gr_upsample_options *o, zoom *z)
{
    bool sized = o->size_hw.h || o->size_hw.w;
    if (!gr__want_rank(x, 4, "upsample", "input")) return false;
    if (sized ? o->size_hw.h < 1 || o->size_hw.w < 1 || o->scale != 0 : !(o->scale > 0))
        return gr__fail(GR_ERR_ARGUMENT,
            "upsample: scale %g, size (%lld,%lld): a scale over 0, or 0 and a size, wanted",
            o->scale, (long long)o->size_hw.h, (long long)o->size_hw.w);
    z->planes = x->shape.dim[0] * x->shape.dim[1];
    z->rows = resize(x->shape.dim[2], o->size_hw.h, o->scale);
    z->columns = resize(x->shape.dim[3], o->size_hw.w, o->scale);
    if (x->shape.dim[2] < 1 || x->shape.dim[3] < 1 || z->rows.to < 1 || z->columns.to < 1)
        return gr__fail(GR_ERR_ARGUMENT,
            "upsample: %s times %g, or to size (%lld,%lld): there must be something on both sides",
            GR__TEXT(x), o->scale, (long long)o->size_hw.h, (long long)o->size_hw.w);
    return true;
}

/* What gives twice the size takes each element twice, whatever the scale says; PyTorch's rule
   again, though its forward of several channels does not keep to either, as its backward does. */
static double nearest_step(const upsample_along *a) { return a->to == 2 * a->from ? 0.5 : a->step; }

gr_tensor *gr_upsample_(gr_upsample_options o)
{
    zoom z = { .bilinear = o.bilinear };
    if (o.x && !geometry(o.x, &o, &z)) return NULL;
    if (o.bilinear) return gr__apply(&bilinear_op, 1, &o.x, &z, sizeof z);
    gr__cover2d v = {
        .planes = z.planes,
        .rows = { .rule = by_nearest,
            .size = z.rows.to,
            .count = z.rows.from,
            .scale = nearest_step(&z.rows) },
        .columns = { .rule = by_nearest,
            .size = z.columns.to,
            .count = z.columns.from,
            .scale = nearest_step(&z.columns) },
        .divisor = 1,
    };
    return gr__apply(&nearest_op, 1, &o.x, &v, sizeof v);
}
