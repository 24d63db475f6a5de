/* avg_pool.c: average pooling: by windows, to a size, and over the whole picture.

   y = A x, with A the means over windows; gx = A^T g spreads g over them, and the gradient of that
   is A again: a closed pair. Invariant: what a row of windows sees depends on the row alone, and
   likewise a column, so a rule gives spans for each of the two.

   Average pooling and upsampling by the nearest are one pair of kernels, sums over windows and
   their transpose. */
#include "ops/ops.h"

/* ---- ops over windows ------------------------------------------------------------------------ */

typedef void avg_pool_kernel(
    const gr__windows *s, const gr_real *from, gr_real *to, int64_t begin, int64_t end);

typedef struct avg_pool_call {
    const gr__windows *s;
    avg_pool_kernel   *fn;
    const gr_real     *from;
    gr_real           *to;
} avg_pool_call;

static void part(const void *arg, int64_t begin, int64_t end)
{
    const avg_pool_call *k = arg;
    k->fn(k->s, k->from, k->to, begin, end);
}

static bool avg_pool_run(gr__node *nd, gr_tensor *y, avg_pool_kernel *fn)
{
    const gr__cover2d *v = nd->args;
    int64_t            OH = v->rows.count, plane = v->rows.size * v->columns.size;
    size_t             bytes = (size_t)(OH + v->columns.count) * sizeof(gr__span);
    gr__span          *spans = gr__alloc(bytes);
    if (!spans) return gr__fail_memory(nd->op->name, bytes);
    v->rows.rule(&v->rows, spans);
    v->columns.rule(&v->columns, spans + OH);
    gr__windows s = { v->rows.size, v->columns.size, OH, v->columns.count, spans, spans + OH,
        v->divisor };
    gr__parallel(v->planes, GR__GRAIN / plane, part,
        &(avg_pool_call){ &s, fn, gr__reals(nd->in[0]), gr__reals(y) });
    gr__release(spans, bytes);
    return true;
}

bool gr__sums_shape(gr__node *nd, gr_shape *y)
{
    const gr__cover2d *v = nd->args;
    *y = nd->in[0]->shape;
    y->dim[2] = v->rows.count;
    y->dim[3] = v->columns.count;
    return true;
}

bool gr__sums_forward(gr__node *nd, gr_tensor *y)
{
    return avg_pool_run(nd, y, gr__kernel_table()->window_sums);
}

bool gr__spread_shape(gr__node *nd, gr_shape *y)
{
    const gr__cover2d *v = nd->args;
    *y = nd->in[0]->shape;
    y->dim[2] = v->rows.size;
    y->dim[3] = v->columns.size;
    return true;
}

bool gr__spread_forward(gr__node *nd, gr_tensor *y)
{
    return avg_pool_run(nd, y, gr__kernel_table()->window_spread);
}

/* ---- the pair -------------------------------------------------------------------------------- */

static gr_tensor *avg_pool_vjp(gr__node *nd, int i, gr_tensor *g);
static gr_tensor *avg_pool_spread_vjp(gr__node *nd, int i, gr_tensor *u);

static const gr__attribute avg_pool_attributes[] = {
    { "size", GR__HW, .at = offsetof(gr__cover2d, rows.K), .at_w = offsetof(gr__cover2d, columns.K),
        .shown = GR__ALWAYS },
    { "stride", GR__HW, .at = offsetof(gr__cover2d, rows.S),
        .at_w = offsetof(gr__cover2d, columns.S), .shown = GR__ALWAYS },
    { "padding", GR__HW, .at = offsetof(gr__cover2d, rows.P),
        .at_w = offsetof(gr__cover2d, columns.P) },
    { "divisor", GR__DOUBLE, .at = offsetof(gr__cover2d, divisor), .shown = GR__NEVER },
    { .name = NULL },
};
static const gr__attribute adaptive_attributes[] = {
    { "size", GR__HW, .at = offsetof(gr__cover2d, rows.count),
        .at_w = offsetof(gr__cover2d, columns.count), .shown = GR__ALWAYS },
    { .name = NULL },
};

static const gr__op avg_pool_op = { "avg_pool2d",
    "y = mean of the window; gx = g / n, spread over it", gr__sums_shape, gr__sums_forward,
    .vjp = avg_pool_vjp, .attributes = avg_pool_attributes, .torch = "F.avg_pool2d" };
static const gr__op adaptive_op = { "adaptive_avg_pool2d",
    "y = mean of the window; gx = g / n, spread over it", gr__sums_shape, gr__sums_forward,
    .vjp = avg_pool_vjp, .attributes = adaptive_attributes, .torch = "F.adaptive_avg_pool2d" };
static const gr__op global_op = { "global_avg_pool2d",
    "y = mean of the plane; gx = g / n, spread over it", gr__sums_shape, gr__sums_forward,
    .vjp = avg_pool_vjp, .attributes = adaptive_attributes };
static const gr__op avg_pool_spread_op = { "avg_pool2d_spread",
    "x = g / n, spread over the window; gg = mean of u", gr__spread_shape, gr__spread_forward,
    .vjp = avg_pool_spread_vjp, .attributes = avg_pool_attributes };

static gr_tensor *avg_pool_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return gr__apply(&avg_pool_spread_op, 1, &g, nd->args, sizeof(gr__cover2d));
}

static gr_tensor *avg_pool_spread_vjp(gr__node *nd, int i, gr_tensor *u)
{
    (void)i;
    return gr__apply(&avg_pool_op, 1, &u, nd->args, sizeof(gr__cover2d));
}

/* ---- entering from outside ------------------------------------------------------------------- */

/* Window i is S i - P .. S i - P + K - 1, as far as it lies inside. */
static void by_stride(const gr__cover *v, gr__span *spans)
{
    for (int64_t i = 0; i < v->count; i++) {
        int64_t begin = i * v->S - v->P, end = begin + v->K;
        spans[i] = (gr__span){ begin > 0 ? begin : 0, end < v->size ? end : v->size };
    }
}

gr_tensor *gr_avg_pool2d_(gr_pool_options o)
{
    gr__window2d p = { 0 };
    if (o.x && !gr__pool_geometry("avg_pool2d", &o, &p)) return NULL;
    gr__cover2d v = {
        .planes = p.planes,
        .rows = { by_stride, p.H, p.OH, p.KH, p.SH, p.PH, 0 },
        .columns = { by_stride, p.W, p.OW, p.KW, p.SW, p.PW, 0 },
        .divisor = o.exclude_padding ? 0 : (double)p.KH * (double)p.KW,
    };
    return gr__apply(&avg_pool_op, 1, &o.x, &v, sizeof v);
}

/* Window i is i size / count .. (i + 1) size / count, rounded outwards. */
static void by_count(const gr__cover *v, gr__span *spans)
{
    for (int64_t i = 0; i < v->count; i++)
        spans[i] =
            (gr__span){ i * v->size / v->count, ((i + 1) * v->size + v->count - 1) / v->count };
}

static gr_tensor *adaptive(const gr__op *op, gr_tensor *x, gr_hw to)
{
    const char *name = op->name;
    if (!gr__given(name, 1, &x) || !gr__want_rank(x, 4, name, "input")) return NULL;
    const int64_t *size = x->shape.dim;
    if (size[2] < 1 || size[3] < 1 || to.h < 1 || to.w < 1 || to.h > INT32_MAX ||
        to.w > INT32_MAX || size[2] > INT32_MAX || size[3] > INT32_MAX) {
        gr__fail(GR_ERR_ARGUMENT, "%s: from %s to %lldx%lld: there must be something on both sides",
            name, GR__TEXT(x), (long long)to.h, (long long)to.w);
        return NULL;
    }
    gr__cover2d v = {
        .planes = size[0] * size[1],
        .rows = { .rule = by_count, .size = size[2], .count = to.h },
        .columns = { .rule = by_count, .size = size[3], .count = to.w },
    };
    return gr__apply(op, 1, &x, &v, sizeof v);
}

gr_tensor *gr_adaptive_avg_pool2d(gr_tensor *x, gr_hw size)
{
    return adaptive(&adaptive_op, x, size);
}

gr_tensor *gr_global_avg_pool2d(gr_tensor *x) { return adaptive(&global_op, x, gr_hw(1, 1)); }
