/* activations.c: functions of one tensor, made of the element-wise ops.

   Each is a formula over ops that have their rules, so it has all its derivatives from them; at a
   kink the choice is PyTorch's. */
#include "ops/ops.h"

/* ---- clamp: an op of its own, because at its bounds g passes whole --------------------------- */

typedef struct bounds {
    double low, high;
} bounds;

typedef struct clamping {
    gr_real        low, high;
    const gr_real *x;
    gr_real       *y;
} clamping;

static bool clamp_shape(gr__node *nd, gr_shape *y)
{
    const bounds *b = nd->args;
    *y = nd->in[0]->shape;
    return b->low <= b->high ||
           gr__fail(GR_ERR_ARGUMENT, "clamp: from %g to %g is no range", b->low, b->high);
}

static void clamp_part(const void *arg, int64_t begin, int64_t end)
{
    const clamping *c = arg;
    gr__k()->maximum(c->y + begin, c->x + begin, 1, &c->low, 0, end - begin);
    gr__k()->minimum(c->y + begin, c->y + begin, 1, &c->high, 0, end - begin);
}

static bool clamp_forward(gr__node *nd, gr_tensor *y)
{
    const bounds *b = nd->args;
    gr__parallel(y->count, GR__GRAIN, clamp_part,
        &(clamping){ (gr_real)b->low, (gr_real)b->high, gr__reals(nd->in[0]), gr__reals(y) });
    return true;
}

static gr_tensor *clamp_vjp(gr__node *nd, int i, gr_tensor *g)
{
    const bounds *b = nd->args;
    (void)i;
    return gr_mul(
        g, gr_mul(gr_ge(nd->in[0], gr__number(b->low)), gr_le(nd->in[0], gr__number(b->high))));
}

static const gr__op clamp_op = { "clamp", "y = min(max(x, low), high); gx = g [low <= x <= high]",
    clamp_shape, clamp_forward, .vjp = clamp_vjp, .torch = "torch.clamp" };

gr_tensor *gr_clamp(gr_tensor *x, double low, double high)
{
    return gr__apply(&clamp_op, 1, &x, &(bounds){ low, high }, sizeof(bounds));
}

/* ---- formulas -------------------------------------------------------------------------------- */

gr_tensor *gr_leaky_relu(gr_tensor *x, double slope)
{
    if (!gr__given_reals("leaky_relu", 1, &x)) return NULL;
    return gr_where(gr_gt(x, gr__number(0)), x, gr_scale(x, slope));
}

gr_tensor *gr_elu(gr_tensor *x, double alpha)
{
    if (!gr__given_reals("elu", 1, &x)) return NULL;
    gr_tensor *positive = gr_gt(x, gr__number(0));
    /* What is not chosen is replaced first: e^x may overflow there. */
    return gr_where(positive, x, gr_scale(gr_expm1(gr_where(positive, gr__number(0), x)), alpha));
}

gr_tensor *gr_silu(gr_tensor *x)
{
    if (!gr__given_reals("silu", 1, &x)) return NULL;
    return gr_mul(x, gr_sigmoid(x));
}

gr_tensor *gr_gelu(gr_tensor *x)
{
    if (!gr__given_reals("gelu", 1, &x)) return NULL;
    /* 1 / sqrt 2 */
    return gr_mul(
        gr_scale(x, 0.5), gr_add(gr__number(1), gr_erf(gr_scale(x, 0.70710678118654752440))));
}
