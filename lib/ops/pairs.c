/* pairs.c: losses of x beside a target of the same shape, element by element, then reduced. Each is
   a formula over ops that have their rules, so gradients of any order flow to both; the reduced
   squares are an op of their own, and their gradient another. */
#include "ops/ops.h"

static bool are_a_pair(const char *name, gr_tensor *x, gr_tensor *target, gr_reduction reduction)
{
    if (!gr__given_reals(name, 2, (gr_tensor *[]){ x, target }) ||
        !gr__want_reduction(reduction, name))
        return false;
    return gr__same_shape(&x->shape, &target->shape) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: %s and %s differ in shape", name, GR__TEXT(x),
               GR__TEXT(target));
}

static gr_tensor *reduced(gr_tensor *loss, gr_reduction reduction)
{
    return reduction == GR_NONE ? loss : reduction == GR_SUM ? gr_sum(loss) : gr_mean(loss);
}

/* ---- squares: L = f sum (x - t)^2, f being 1 or 1 / n ---------------------------------------- */

static gr_tensor *mse_grad(gr_tensor *x, gr_tensor *t, gr_tensor *g, double f);

static bool mse_shape(gr__node *nd, gr_shape *y)
{
    (void)nd;
    y->rank = 0;
    return true;
}

static bool mse_forward(gr__node *nd, gr_tensor *y)
{
    const gr_tensor *x = nd->in[0], *t = nd->in[1];
    gr__reals(y)[0] = (gr_real)(gr__k()->square_error(gr__reals(x), gr__reals(t), x->count) *
                                *(const double *)nd->args);
    return true;
}

static gr_tensor *mse_vjp(gr__node *nd, int i, gr_tensor *g)
{
    double f = *(const double *)nd->args;
    return i == 0 ? mse_grad(nd->in[0], nd->in[1], g, f) : mse_grad(nd->in[1], nd->in[0], g, f);
}

typedef struct pull {
    const gr_real *x, *t;
    gr_real       *z;
    double         factor;
} pull;

static void pull_part(const void *arg, int64_t begin, int64_t end)
{
    const pull *p = arg;
    gr__k()->sub(p->z + begin, p->x + begin, 1, p->t + begin, 1, end - begin);
    gr__k()->scale(p->z + begin, p->z + begin, p->factor, end - begin);
}

static bool mse_grad_forward(gr__node *nd, gr_tensor *z)
{
    double factor = 2 * *(const double *)nd->args * (double)gr__reals(nd->in[2])[0];
    gr__parallel(z->count, GR__GRAIN, pull_part,
        &(pull){ gr__reals(nd->in[0]), gr__reals(nd->in[1]), gr__reals(z), factor });
    return true;
}

static gr_tensor *mse_grad_vjp(gr__node *nd, int i, gr_tensor *u)
{
    gr_tensor *x = nd->in[0], *t = nd->in[1], *g = nd->in[2];
    double     f = 2 * *(const double *)nd->args;
    if (i == 2) return gr_scale(gr_sum(gr_mul(u, gr_sub(x, t))), f);
    return gr_mul(gr_scale(u, i == 0 ? f : -f), g);
}

static const gr__op mse_op = { "mse",
    "L = f sum (x - t)^2, f = 1 / n for a mean; gx = 2 f g (x - t), gt = 2 f g (t - x)", mse_shape,
    mse_forward, .vjp = mse_vjp, .torch = "F.mse_loss" };
static const gr__op mse_grad_op = { "mse_grad",
    "z = 2 f g (x - t); gx = 2 f g u, gt = -2 f g u, gg = 2 f sum u (x - t)", gr__shape_of_first,
    mse_grad_forward, .vjp = mse_grad_vjp };

static gr_tensor *mse_grad(gr_tensor *x, gr_tensor *t, gr_tensor *g, double f)
{
    return gr__apply(&mse_grad_op, 3, (gr_tensor *[]){ x, t, g }, &f, sizeof f);
}

gr_tensor *gr_mse_(gr_loss_options o)
{
    if (!are_a_pair("mse", o.x, o.target, o.reduction)) return NULL;
    if (o.reduction == GR_NONE) {
        gr_tensor *d = gr_sub(o.x, o.target);
        return gr_mul(d, d);
    }
    double f = o.reduction == GR_SUM ? 1 : 1 / (double)o.x->count;
    return gr__apply(&mse_op, 2, (gr_tensor *[]){ o.x, o.target }, &f, sizeof f);
}

/* ---- the others ------------------------------------------------------------------------------ */

gr_tensor *gr_l1_(gr_loss_options o)
{
    return are_a_pair("l1", o.x, o.target, o.reduction)
               ? reduced(gr_abs(gr_sub(o.x, o.target)), o.reduction)
               : NULL;
}

gr_tensor *gr_smooth_l1_(gr_smooth_l1_options o)
{
    double beta = o.beta == 0 ? 1 : o.beta;
    if (!are_a_pair("smooth_l1", o.x, o.target, o.reduction)) return NULL;
    if (!(beta > 0)) {
        gr__fail(GR_ERR_ARGUMENT, "smooth_l1: beta %g: over 0 wanted", beta);
        return NULL;
    }
    /* The square is of x - t itself, which has a derivative where |x - t| has none, and of 0 where
       it is not chosen. */
    gr_tensor *d = gr_sub(o.x, o.target), *size = gr_abs(d),
              *near = size ? gr_lt(size, gr__number(beta)) : NULL;
    gr_tensor *small = gr_where(near, d, gr__number(0)),
              *far = gr_sub(size, gr__number(0.5 * beta));
    return reduced(gr_where(near, gr_scale(gr_mul(small, small), 0.5 / beta), far), o.reduction);
}

static bool spreads_over(const char *what, const gr_tensor *w, const gr_tensor *x)
{
    gr_shape s;
    return !w ||
           (w->dtype == GR_REAL && gr__broadcast(&x->shape, &w->shape, &s) &&
               gr__same_shape(&s, &x->shape)) ||
           gr__fail(GR_ERR_ARGUMENT, "bce_with_logits: %s %s does not broadcast to %s", what,
               GR__TEXT(w), GR__TEXT(x));
}

/* -t p log s(x) - (1 - t) log(1 - s(x)) = (1 - t) x + (1 + (p - 1) t) log(1 + e^-x). */
gr_tensor *gr_bce_with_logits_(gr_bce_with_logits_options o)
{
    gr_tensor *t = o.target;
    if (!are_a_pair("bce_with_logits", o.x, t, o.reduction) ||
        (!(o.weight && o.pos_weight) && gr__failed()) || !spreads_over("weight", o.weight, o.x) ||
        !spreads_over("pos_weight", o.pos_weight, o.x))
        return NULL;
    gr_tensor *tail = gr_softplus(gr_neg(o.x));
    if (o.pos_weight)
        tail = gr_mul(gr_add(gr__number(1), gr_mul(gr_sub(o.pos_weight, gr__number(1)), t)), tail);
    gr_tensor *loss = gr_add(gr_mul(gr_sub(gr__number(1), t), o.x), tail);
    return reduced(o.weight ? gr_mul(loss, o.weight) : loss, o.reduction);
}

/* 0 log 0 is 0: what is not chosen is replaced first. */
static gr_tensor *entropy(gr_tensor *t)
{
    gr_tensor *none = gr_eq(t, gr__number(0));
    return gr_mul(t, gr_log(gr_where(none, gr__number(1), t)));
}

gr_tensor *gr_kl_div_(gr_kl_div_options o)
{
    gr_tensor *t = o.target;
    if (!are_a_pair("kl_div", o.x, t, o.reduction)) return NULL;
    if (o.batch_mean && (o.x->shape.rank < 1 || o.reduction != GR_MEAN)) {
        gr__fail(GR_ERR_ARGUMENT, "kl_div: .batch_mean of %s: a mean, and a batch (N,...), wanted",
            GR__TEXT(o.x));
        return NULL;
    }
    gr_tensor *loss =
        o.log_target ? gr_mul(gr_exp(t), gr_sub(t, o.x)) : gr_sub(entropy(t), gr_mul(t, o.x));
    return o.batch_mean ? gr_scale(gr_sum(loss), 1 / (double)o.x->shape.dim[0])
                        : reduced(loss, o.reduction);
}
