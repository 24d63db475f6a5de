/* loss.c: softmax and the losses.

   The kernels work on rows, the last axis; along another axis, x is permuted first. Cross-entropy is one op forward and one backward,
   softmax - one_hot, which is again an op with a rule. */
#include "ops/ops.h"

#include <math.h>

/* ---- softmax and log_softmax ----------------------------------------------------------------------------------------------------- */

typedef struct rows {
    const gr_real *x;
    gr_real       *y;
    int64_t        n;
    void (*fn)(gr_real *y, const gr_real *x, int64_t n, int64_t begin, int64_t end);
} rows;

static void rows_part(const void *arg, int64_t begin, int64_t end)
{
    const rows *r = arg;
    r->fn(r->y, r->x, r->n, begin, end);
}

static bool by_rows(gr__node *nd, gr_tensor *y, void (*fn)(gr_real *, const gr_real *, int64_t, int64_t, int64_t))
{
    int64_t n = y->shape.dim[y->shape.rank - 1];
    if (y->count > 0) gr__parallel(y->count / n, GR__GRAIN / 8 / n, rows_part, &(rows){ gr__reals(nd->in[0]), gr__reals(y), n, fn });
    return true;
}

static bool softmax_forward(gr__node *nd, gr_tensor *y) { return by_rows(nd, y, gr__k()->softmax); }
static bool log_softmax_forward(gr__node *nd, gr_tensor *y) { return by_rows(nd, y, gr__k()->log_softmax); }

static bool same_shape(gr__node *nd, gr_shape *y)
{
    *y = nd->in[0]->shape;
    return true;
}

static gr_tensor *softmax_vjp(gr__node *nd, int i, gr_tensor *g)
{
    gr_tensor *y = nd->out;
    (void)i;
    return gr_mul(y, gr_sub(g, gr_sum(gr_mul(g, y), .axes = GR_DIMS(-1), .keepdim = true)));
}

static gr_tensor *log_softmax_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return gr_sub(g, gr_mul(gr_exp(nd->out), gr_sum(g, .axes = GR_DIMS(-1), .keepdim = true)));
}

static const gr__op softmax_op = { "softmax", "y = e^x / sum e^x; gx = y (g - sum g y)", same_shape, softmax_forward, .vjp = softmax_vjp };
static const gr__op log_softmax_op = { "log_softmax", "y = x - log sum e^x; gx = g - e^y sum g", same_shape, log_softmax_forward,
    .vjp = log_softmax_vjp };

static gr_tensor *along(const gr__op *op, gr_tensor *x, int axis)
{
    if (!x) return gr__apply(op, 1, &x, NULL, 0);
    int last = x->shape.rank - 1;
    if (!gr__axis(&axis, x->shape.rank)) {
        gr__fail(GR_ERR_ARGUMENT, "%s: %s has no axis %d", op->name, GR__TEXT(x), axis);
        return NULL;
    }
    if (axis == last) return gr__apply(op, 1, &x, NULL, 0);
    gr_dims swap = { .count = x->shape.rank };
    for (int i = 0; i < swap.count; i++) swap.at[i] = i == axis ? last : i == last ? axis : i;
    gr_tensor *turned = gr_permute(x, swap);
    return gr_permute(gr__apply(op, 1, &turned, NULL, 0), swap);
}

gr_tensor *gr_softmax(gr_tensor *x, int axis) { return along(&softmax_op, x, axis); }
gr_tensor *gr_log_softmax(gr_tensor *x, int axis) { return along(&log_softmax_op, x, axis); }

/* ---- cross-entropy ------------------------------------------------------------------------------------------------------------------ */

static gr_tensor *cross_entropy_grad(gr_tensor *x, gr_tensor *labels, gr_tensor *g);

static bool labels_fit(const gr_tensor *x, const gr_tensor *labels)
{
    if (x->shape.rank != 2 || labels->shape.rank != 1 || labels->count != x->shape.dim[0])
        return gr__fail(GR_ERR_ARGUMENT, "cross_entropy: logits %s want labels (N), labels %s given", GR__TEXT(x), GR__TEXT(labels));
    for (int64_t n = 0; n < labels->count; n++)
        if (gr__ints(labels)[n] < 0 || gr__ints(labels)[n] >= x->shape.dim[1])
            return gr__fail(GR_ERR_ARGUMENT, "cross_entropy: label %d at %lld is outside the %lld classes of logits %s",
                gr__ints(labels)[n], (long long)n, (long long)x->shape.dim[1], GR__TEXT(x));
    return true;
}

static bool cross_entropy_shape(gr__node *nd, gr_shape *y)
{
    y->rank = 0;
    return labels_fit(nd->in[0], nd->in[1]);
}

/* In double: a loss is a sum over the batch, and what a training curve shows. */
static double row_loss(const gr_real *x, int64_t C, int32_t label)
{
    double top = (double)x[0], sum = 0;
    for (int64_t c = 1; c < C; c++) top = x[c] > top ? (double)x[c] : top;
    for (int64_t c = 0; c < C; c++) sum += exp((double)x[c] - top);
    return log(sum) + top - (double)x[label];
}

static bool cross_entropy_forward(gr__node *nd, gr_tensor *y)
{
    const gr_tensor *x = nd->in[0];
    int64_t          N = x->shape.dim[0], C = x->shape.dim[1];
    double           total = 0;
    for (int64_t n = 0; n < N; n++) total += row_loss(gr__reals(x) + n * C, C, gr__ints(nd->in[1])[n]);
    gr__reals(y)[0] = (gr_real)(total / (double)N);
    return true;
}

static gr_tensor *cross_entropy_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return cross_entropy_grad(nd->in[0], nd->in[1], g);
}

/* z = g (softmax(x) - one_hot) / N. */
static bool cross_entropy_grad_forward(gr__node *nd, gr_tensor *z)
{
    const gr_tensor *x = nd->in[0];
    const int32_t   *labels = gr__ints(nd->in[1]);
    int64_t          N = x->shape.dim[0], C = x->shape.dim[1];
    gr_real          share = gr__reals(nd->in[2])[0] / (gr_real)N;
    gr__k()->softmax(gr__reals(z), gr__reals(x), C, 0, N);
    for (int64_t n = 0; n < N; n++) {
        gr_real *row = gr__reals(z) + n * C;
        row[labels[n]] -= 1;
        for (int64_t c = 0; c < C; c++) row[c] *= share;
    }
    return true;
}

static gr_tensor *cross_entropy_grad_vjp(gr__node *nd, int i, gr_tensor *u)
{
    gr_tensor *x = nd->in[0], *labels = nd->in[1], *g = nd->in[2];
    if (i == 2) return gr_reshape(gr_sum(gr_mul(u, cross_entropy_grad(x, labels, gr__constant(&(gr_shape){ .rank = 0 }, 1)))), g->shape);
    gr_tensor *s = gr_softmax(x, -1);
    gr_tensor *inner = gr_sub(u, gr_sum(gr_mul(u, s), .axes = GR_DIMS(-1), .keepdim = true));
    return gr_mul(gr_scale(g, 1 / (double)x->shape.dim[0]), gr_mul(s, inner));
}

static const gr__op cross_entropy_op = {
    .name = "cross_entropy",
    .equation = "L = mean of -log softmax(x)[label]; gx = g (softmax(x) - one_hot) / N",
    .shape = cross_entropy_shape,
    .forward = cross_entropy_forward,
    .vjp = cross_entropy_vjp,
    .constant = 2,
    .ints = 2,
};

static const gr__op cross_entropy_grad_op = {
    .name = "cross_entropy_grad",
    .equation = "z = g (softmax(x) - one_hot) / N",
    .shape = same_shape,
    .forward = cross_entropy_grad_forward,
    .vjp = cross_entropy_grad_vjp,
    .constant = 2,
    .ints = 2,
};

static gr_tensor *cross_entropy_grad(gr_tensor *x, gr_tensor *labels, gr_tensor *g)
{
    return gr__apply(&cross_entropy_grad_op, 3, (gr_tensor *[]){ x, labels, g }, NULL, 0);
}

gr_tensor *gr_cross_entropy(gr_tensor *logits, gr_tensor *labels)
{
    return gr__apply(&cross_entropy_op, 2, (gr_tensor *[]){ logits, labels }, NULL, 0);
}

/* ---- mean squared error ----------------------------------------------------------------------------------------------------------------- */

gr_tensor *gr_mse(gr_tensor *x, gr_tensor *target)
{
    if (!gr__given_reals("mse", 2, (gr_tensor *[]){ x, target })) return NULL;
    if (!gr__same_shape(&x->shape, &target->shape)) {
        gr__fail(GR_ERR_ARGUMENT, "mse: %s and %s differ in shape", GR__TEXT(x), GR__TEXT(target));
        return NULL;
    }
    gr_tensor *d = gr_sub(x, target);
    return gr_mean(gr_mul(d, d));
}
