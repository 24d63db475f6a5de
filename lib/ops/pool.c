/* pool.c: max pooling.

   y = the largest of each window; `at` keeps which. Backward scatters g to those places, the
   backward of a scatter gathers from them, and that of a gather scatters: closed, with one `at` for
   all three. Planes are the N C pictures of H x W. */
#include "ops/gate.h"
#include "ops/ops.h"

static gr_tensor *scatter(const gr__window2d *p, gr_tensor *g, gr_tensor *at);
static gr_tensor *gather(const gr__window2d *p, gr_tensor *x, gr_tensor *at);

typedef struct pool_call {
    const gr__window2d *p;
    const gr_real      *x;
    gr_real            *y;
    int32_t            *at;
} pool_call;

static int64_t grain(const gr__window2d *p)
{
    return GR__GRAIN / (p->H * p->W > 0 ? p->H * p->W : 1);
}

static void pool_part(const void *arg, int64_t begin, int64_t end)
{
    const pool_call *k = arg;
    gr__kernel_table()->max_pool(k->p, k->x, k->y, k->at, begin, end);
}

static void scatter_part(const void *arg, int64_t begin, int64_t end)
{
    const pool_call *k = arg;
    gr__kernel_table()->max_pool_scatter(k->p, k->x, k->at, k->y, begin, end);
}

static void gather_part(const void *arg, int64_t begin, int64_t end)
{
    const pool_call *k = arg;
    gr__kernel_table()->max_pool_gather(k->p, k->x, k->at, k->y, begin, end);
}

/* ---- the three ops --------------------------------------------------------------------------- */

static bool pool_shape(gr__node *nd, gr_shape *y)
{
    const gr__window2d *p = nd->args;
    *y = nd->in[0]->shape;
    y->dim[2] = p->OH;
    y->dim[3] = p->OW;
    return true;
}

static bool pool_forward(gr__node *nd, gr_tensor *y)
{
    const gr__window2d *p = nd->args;
    if (nd->record && !(nd->saved = gr__tensor(GR_INT32, &y->shape, nd->op->name))) return false;
    int32_t *at = nd->saved ? gr__ints(nd->saved) : NULL;
    gr__parallel(
        p->planes, grain(p), pool_part, &(pool_call){ p, gr__reals(nd->in[0]), gr__reals(y), at });
    return true;
}

static gr_tensor *pool_vjp(gr__node *nd, int i, gr_tensor *g)
{
    gr_tensor *x = nd->in[0];
    (void)i;
    if (!gr__gate_is_near(x, g)) return scatter(nd->args, g, nd->saved);
    return gr__gate_note(scatter(nd->args, gr__act_back(GR_RELU, nd->out, g), nd->saved), x);
}

static bool pool_scatter_shape(gr__node *nd, gr_shape *y)
{
    const gr__window2d *p = nd->args;
    *y = nd->in[0]->shape;
    y->dim[2] = p->H;
    y->dim[3] = p->W;
    return true;
}

static bool pool_scatter_forward(gr__node *nd, gr_tensor *y)
{
    const gr__window2d *p = nd->args;
    gr__parallel(p->planes, grain(p), scatter_part,
        &(pool_call){ p, gr__reals(nd->in[0]), gr__reals(y), gr__ints(nd->in[1]) });
    return true;
}

static gr_tensor *pool_scatter_vjp(gr__node *nd, int i, gr_tensor *u)
{
    (void)i;
    return gather(nd->args, u, nd->in[1]);
}

static bool pool_gather_forward(gr__node *nd, gr_tensor *y)
{
    const gr__window2d *p = nd->args;
    gr__parallel(p->planes, grain(p), gather_part,
        &(pool_call){ p, gr__reals(nd->in[0]), gr__reals(y), gr__ints(nd->in[1]) });
    return true;
}

static gr_tensor *pool_gather_vjp(gr__node *nd, int i, gr_tensor *u)
{
    (void)i;
    return scatter(nd->args, u, nd->in[1]);
}

static const gr__attribute pool_attributes[] = {
    { "size", GR__HW, .at = offsetof(gr__window2d, KH), .at_w = offsetof(gr__window2d, KW),
        .shown = GR__ALWAYS },
    { "stride", GR__HW, .at = offsetof(gr__window2d, SH), .at_w = offsetof(gr__window2d, SW),
        .shown = GR__ALWAYS },
    { "padding", GR__HW, .at = offsetof(gr__window2d, PH), .at_w = offsetof(gr__window2d, PW) },
    { .name = NULL },
};
static const gr__op pool_op = { "max_pool2d", "y = max of the window; gx = g at its first largest",
    pool_shape, pool_forward, .vjp = pool_vjp, .attributes = pool_attributes,
    .torch = "F.max_pool2d" };
static const gr__op pool_scatter_op = { "max_pool2d_scatter", "x[at] = sum of g; gg = u[at]",
    pool_scatter_shape, pool_scatter_forward, .vjp = pool_scatter_vjp,
    .attributes = pool_attributes, .constant = 2, .ints = 2 };
static const gr__op pool_gather_op = { "max_pool2d_gather", "y = x[at]; gx[at] = sum of u",
    pool_shape, pool_gather_forward, .vjp = pool_gather_vjp, .attributes = pool_attributes,
    .constant = 2, .ints = 2 };

static gr_tensor *scatter(const gr__window2d *p, gr_tensor *g, gr_tensor *at)
{
    return gr__apply(&pool_scatter_op, 2, (gr_tensor *[]){ g, at }, p, sizeof *p);
}

static gr_tensor *gather(const gr__window2d *p, gr_tensor *x, gr_tensor *at)
{
    return gr__apply(&pool_gather_op, 2, (gr_tensor *[]){ x, at }, p, sizeof *p);
}

/* ---- entering from outside ------------------------------------------------------------------- */

bool gr__pool_geometry(const char *name, const gr_pool_options *o, gr__window2d *p)
{
    const gr_tensor *x = o->x;
    if (!gr__want_rank(x, 4, name, "input")) return false;
    p->planes = x->shape.dim[0] * x->shape.dim[1];
    p->H = x->shape.dim[2];
    p->W = x->shape.dim[3];
    gr__pair(o->size, o->size_hw, 0, &p->KH, &p->KW);
    gr__pair(o->stride, o->stride_hw, 0, &p->SH, &p->SW);
    gr__pair(o->padding, o->padding_hw, 0, &p->PH, &p->PW);
    p->SH = p->SH ? p->SH : p->KH;
    p->SW = p->SW ? p->SW : p->KW;
    if (p->KH < 1 || p->KW < 1 || p->SH < 1 || p->SW < 1 || p->PH < 0 || p->PW < 0 ||
        2 * p->PH > p->KH || 2 * p->PW > p->KW)
        return gr__fail(GR_ERR_ARGUMENT,
            "%s: size (%lld,%lld), stride (%lld,%lld), padding (%lld,%lld): padding is at most "
            "half the size",
            name, (long long)p->KH, (long long)p->KW, (long long)p->SH, (long long)p->SW,
            (long long)p->PH, (long long)p->PW);
    if (p->H < 1 || p->W < 1 || p->H + 2 * p->PH < p->KH || p->W + 2 * p->PW < p->KW ||
        x->count > INT32_MAX * (int64_t)p->planes)
        return gr__fail(GR_ERR_ARGUMENT,
            "%s: a window of %lldx%lld does not fit the input %s, padded by (%lld,%lld)", name,
            (long long)p->KH, (long long)p->KW, GR__TEXT(x), (long long)p->PH, (long long)p->PW);
    p->OH = (p->H + 2 * p->PH - p->KH) / p->SH + 1;
    p->OW = (p->W + 2 * p->PW - p->KW) / p->SW + 1;
    return true;
}

gr_tensor *gr_max_pool2d_(gr_pool_options o)
{
    gr__window2d p = { 0 };
    if (o.exclude_padding) {
        gr__fail(GR_ERR_ARGUMENT, "max_pool2d: .exclude_padding is an option of avg_pool2d");
        return NULL;
    }
    if (o.x && !gr__pool_geometry("max_pool2d", &o, &p)) return NULL;
    return gr__apply(&pool_op, 1, &o.x, &p, sizeof p);
}
