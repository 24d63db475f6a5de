/* loss.c: softmax, and the losses of labels and of targets.

   The kernels work on rows, the last axis; along another axis, x is permuted first. Cross-entropy
   is one op forward and one backward, softmax - targets, which is again an op with a rule; both
   take rows to numbers, and what reduces them is made of ops. The losses of x beside a target of
   the same shape are formulas over ops that have their rules, so gradients of any order flow to
   both; the reduced squares are an op of their own, and their gradient another. */
#include "ops/ops.h"

#include <math.h>
#include <string.h>

static int64_t at_least_one(int64_t n) { return n > 0 ? n : 1; }

/* ---- softmax and log_softmax ----------------------------------------------------------------- */

typedef struct loss_rows {
    const gr_real *x;
    gr_real       *y;
    int64_t        n;
    void (*fn)(gr_real *y, const gr_real *x, int64_t n, int64_t begin, int64_t end);
} loss_rows;

static void rows_part(const void *arg, int64_t begin, int64_t end)
{
    const loss_rows *r = arg;
    r->fn(r->y, r->x, r->n, begin, end);
}

static bool by_rows(
    gr__node *nd, gr_tensor *y, void (*fn)(gr_real *, const gr_real *, int64_t, int64_t, int64_t))
{
    int64_t n = y->shape.rank > 0 ? y->shape.dim[y->shape.rank - 1] : 1;
    if (y->count > 0)
        gr__parallel(y->count / n, GR__GRAIN / 8 / n, rows_part,
            &(loss_rows){ gr__reals(nd->in[0]), gr__reals(y), n, fn });
    return true;
}

static bool softmax_forward(gr__node *nd, gr_tensor *y)
{
    return by_rows(nd, y, gr__kernel_table()->softmax);
}
static bool log_softmax_forward(gr__node *nd, gr_tensor *y)
{
    return by_rows(nd, y, gr__kernel_table()->log_softmax);
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

static const gr__op softmax_op = { "softmax", "y = e^x / sum e^x; gx = y (g - sum g y)",
    gr__shape_of_first, softmax_forward, .vjp = softmax_vjp, .torch = "torch.softmax" };
static const gr__op log_softmax_op = { "log_softmax", "y = x - log sum e^x; gx = g - e^y sum g",
    gr__shape_of_first, log_softmax_forward, .vjp = log_softmax_vjp, .torch = "torch.log_softmax" };

static gr_tensor *loss_along(const gr__op *op, gr_tensor *x, int axis)
{
    if (!x) return gr__apply(op, 1, &x, NULL, 0);
    int last = x->shape.rank - 1;
    if (!gr__want_axis_or_scalar(x, &axis, op->name)) return NULL;
    if (axis >= last) return gr__apply(op, 1, &x, NULL, 0);
    gr_dims swap = { .count = x->shape.rank };
    for (int i = 0; i < swap.count; i++) swap.at[i] = i == axis ? last : i == last ? axis : i;
    gr_tensor *turned = gr_permute(x, swap);
    return gr__shown_as(op->name, gr_permute(gr__apply(op, 1, &turned, NULL, 0), swap));
}

gr_tensor *gr_softmax(gr_tensor *x, int axis) { return loss_along(&softmax_op, x, axis); }
gr_tensor *gr_log_softmax(gr_tensor *x, int axis) { return loss_along(&log_softmax_op, x, axis); }

/* ---- labels ---------------------------------------------------------------------------------- */

/* How labels count. Row n of C numbers, with label y, has the target q_c = (1 - smoothing) w_y [c =
   y] + smoothing / C w_c, or 0 if y is ignored; w is 1 without class weights. */
typedef struct counting {
    double  smoothing;
    int32_t ignored;
} counting;

static const gr_real *weights_of(const gr_tensor *w) { return w ? gr__reals(w) : NULL; }
static double         weight_at(const gr_real *w, int64_t c) { return w ? (double)w[c] : 1; }

/* x is (N,C,...), labels (N,...), weight (C). */
static bool labels_fit(const char *name, const gr_tensor *x, const gr_tensor *labels,
    const gr_tensor *weight, const counting *how)
{
    gr_shape wanted = { .rank = x->shape.rank - 1,
        .dim = { x->shape.rank > 0 ? x->shape.dim[0] : 0 } };
    for (int i = 1; i < wanted.rank; i++) wanted.dim[i] = x->shape.dim[i + 1];
    if (x->shape.rank < 2)
        return gr__fail(
            GR_ERR_ARGUMENT, "%s: logits %s, (N,C) or (N,C,...) wanted", name, GR__TEXT(x));
    if (!gr__same_shape(&labels->shape, &wanted))
        return gr__fail(GR_ERR_ARGUMENT, "%s: logits %s want labels %s, labels %s given", name,
            GR__TEXT(x), gr__shape_text(&wanted).s, GR__TEXT(labels));
    int64_t C = x->shape.dim[1];
    if (weight && (weight->dtype != GR_REAL || weight->shape.rank != 1 || weight->count != C))
        return gr__fail(GR_ERR_ARGUMENT, "%s: logits %s want %lld real class weight%s, %s %s given",
            name, GR__TEXT(x), (long long)C, gr__plural(C, "s"),
            weight->dtype == GR_REAL ? "reals" : "int32", GR__TEXT(weight));
    for (int64_t n = 0; n < labels->count; n++) {
        int32_t y = gr__ints(labels)[n];
        if (y != how->ignored && (y < 0 || y >= C))
            return gr__fail(GR_ERR_ARGUMENT,
                "%s: label %d at %lld is outside 0 .. %lld, the classes of logits %s", name, y,
                (long long)n, (long long)C - 1, GR__TEXT(x));
    }
    return true;
}

/* One row of logits (C) and its label (), without a batch. */
static bool is_single(const gr_tensor *x, const gr_tensor *labels)
{
    return x && labels && x->shape.rank == 1 && labels->shape.rank == 0 &&
           labels->dtype == GR_INT32;
}

/* (N,C,...) as rows of C, in the order of the labels. */
static gr_tensor *to_rows(gr_tensor *x)
{
    int rank = x->shape.rank;
    if (rank == 2) return x;
    gr_dims order = { .count = rank };
    for (int i = 0; i < rank; i++) order.at[i] = i == 0 ? 0 : i == rank - 1 ? 1 : i + 1;
    int64_t  C = x->shape.dim[1];
    gr_shape flat = { 2, { 1, C } };
    for (int i = 0; i < rank; i++) flat.dim[0] *= i == 1 ? 1 : x->shape.dim[i];
    return gr_reshape(gr_permute(x, order), flat);
}

/* What a mean divides by: the weights of the labels that count. */
static double loss_counted(const gr_tensor *labels, const gr_tensor *weight, const counting *how)
{
    double sum = 0;
    for (int64_t n = 0; n < labels->count; n++) {
        int32_t y = gr__ints(labels)[n];
        if (y != how->ignored) sum += weight_at(weights_of(weight), y);
    }
    return sum;
}

/* The losses of the rows, reduced. Of none, the mean is NaN: 0 times infinity. */
static gr_tensor *reduced(const char *name, gr_tensor *losses, const gr_tensor *labels,
    const gr_tensor *weight, const counting *how, gr_reduction reduction)
{
    if (!losses) return NULL;
    gr_tensor *y = reduction == GR_NONE ? gr_reshape(losses, labels->shape) : gr_sum(losses);
    if (reduction == GR_MEAN) y = gr_scale(y, 1 / loss_counted(labels, weight, how));
    return gr__shown_as(name, y);
}

bool gr__want_reduction(gr_reduction r, const char *op)
{
    return (unsigned)r <= GR_NONE ||
           gr__fail(GR_ERR_ARGUMENT, "%s: there is no reduction %d", op, (int)r);
}

static int32_t ignored_by(int index, bool class_0) { return index ? index : class_0 ? 0 : -100; }

/* ---- cross-entropy: rows (N,C) to the loss of each, (N) -------------------------------------- */

static gr_tensor *cross_entropy_grad(
    const counting *how, gr_tensor *x, gr_tensor *labels, gr_tensor *g, gr_tensor *w);

static bool cross_entropy_shape(gr__node *nd, gr_shape *y)
{
    *y = gr_shape(nd->in[0]->shape.dim[0]);
    return true;
}

typedef struct ce_rows {
    const counting *how;
    const gr_real  *x, *w, *g;
    const int32_t  *labels;
    gr_real        *y;
    int64_t         C;
} ce_rows;

/* Sum of q_c, and of q_c x_c if x is given. */
static double target_sum(const ce_rows *r, int32_t label, const gr_real *x)
{
    double sure = (1 - r->how->smoothing) * weight_at(r->w, label), spread = 0;
    if (r->how->smoothing > 0)
        for (int64_t c = 0; c < r->C; c++) spread += weight_at(r->w, c) * (x ? (double)x[c] : 1);
    return sure * (x ? (double)x[label] : 1) + r->how->smoothing / (double)r->C * spread;
}

/* In double: what a training curve shows. */
static double row_loss(const ce_rows *r, const gr_real *x, int32_t label)
{
    double top = (double)x[0], sum = 0;
    for (int64_t c = 1; c < r->C; c++) top = x[c] > top ? (double)x[c] : top;
    for (int64_t c = 0; c < r->C; c++) sum += exp((double)x[c] - top);
    return target_sum(r, label, NULL) * (log(sum) + top) - target_sum(r, label, x);
}

static void loss_part(const void *arg, int64_t begin, int64_t end)
{
    const ce_rows *r = arg;
    for (int64_t n = begin; n < end; n++)
        r->y[n] = r->labels[n] == r->how->ignored
                      ? 0
                      : (gr_real)row_loss(r, r->x + n * r->C, r->labels[n]);
}

static bool cross_entropy_forward(gr__node *nd, gr_tensor *y)
{
    int64_t C = nd->in[0]->shape.dim[1];
    ce_rows r = { nd->args, gr__reals(nd->in[0]), nd->n > 2 ? gr__reals(nd->in[2]) : NULL, NULL,
        gr__ints(nd->in[1]), gr__reals(y), C };
    gr__parallel(y->count, GR__GRAIN / 8 / at_least_one(C), loss_part, &r);
    return true;
}

static gr_tensor *cross_entropy_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return cross_entropy_grad(nd->args, nd->in[0], nd->in[1], g, nd->n > 2 ? nd->in[2] : NULL);
}

/* z = g (Q softmax(x) - q), Q the sum of q. */
static void grad_row(const ce_rows *r, gr_real *z, int32_t label, gr_real g)
{
    gr_real whole = (gr_real)(target_sum(r, label, NULL) * (double)g),
            sure = (gr_real)(1 - r->how->smoothing);
    for (int64_t c = 0; c < r->C; c++) z[c] *= whole;
    z[label] -= g * sure * (gr_real)weight_at(r->w, label);
    gr_real share = g * (gr_real)(r->how->smoothing / (double)r->C);
    for (int64_t c = 0; share != 0 && c < r->C; c++) z[c] -= share * (gr_real)weight_at(r->w, c);
}

static void loss_grad_part(const void *arg, int64_t begin, int64_t end)
{
    const ce_rows *r = arg;
    gr__kernel_table()->softmax(r->y, r->x, r->C, begin, end);
    for (int64_t n = begin; n < end; n++) {
        gr_real *z = r->y + n * r->C;
        if (r->labels[n] == r->how->ignored)
            memset(z, 0, (size_t)r->C * sizeof *z);
        else
            grad_row(r, z, r->labels[n], r->g[n]);
    }
}

static bool cross_entropy_grad_forward(gr__node *nd, gr_tensor *z)
{
    int64_t N = z->shape.dim[0], C = z->shape.dim[1];
    ce_rows r = { nd->args, gr__reals(nd->in[0]), nd->n > 3 ? gr__reals(nd->in[3]) : NULL,
        gr__reals(nd->in[2]), gr__ints(nd->in[1]), gr__reals(z), C };
    gr__parallel(N, GR__GRAIN / 8 / at_least_one(C), loss_grad_part, &r);
    return true;
}

/* Q of every row, as a column. */
static gr_tensor *target_sums(
    const counting *how, const gr_tensor *x, const gr_tensor *labels, const gr_tensor *w)
{
    gr_tensor *q = gr__constant(&(gr_shape){ 2, { x->shape.dim[0], 1 } }, 0);
    ce_rows    r = { .how = how, .w = weights_of(w), .C = x->shape.dim[1] };
    for (int64_t n = 0; q && n < q->count; n++) {
        int32_t y = gr__ints(labels)[n];
        if (y != how->ignored) gr__reals(q)[n] = (gr_real)target_sum(&r, y, NULL);
    }
    return q;
}

/* g as a column, and 0 for a label that does not count, even where g is infinite: the mean of none
   divides by 0. */
static gr_tensor *counted_only(const counting *how, const gr_tensor *labels, gr_tensor *g)
{
    gr_shape   column = { 2, { labels->count, 1 } };
    gr_tensor *counts = gr__constant(&column, 1);
    for (int64_t n = 0; counts && n < labels->count; n++)
        if (gr__ints(labels)[n] == how->ignored) gr__reals(counts)[n] = 0;
    return gr_where(counts, gr_reshape(g, column), gr__number(0));
}

static gr_tensor *cross_entropy_grad_vjp(gr__node *nd, int i, gr_tensor *u)
{
    const counting *how = nd->args;
    gr_tensor      *x = nd->in[0], *labels = nd->in[1], *g = nd->in[2],
              *w = nd->n > 3 ? nd->in[3] : NULL;
    if (i == 2)
        return gr_sum(gr_mul(u, cross_entropy_grad(how, x, labels, gr__constant(&g->shape, 1), w)),
            .axes = GR_DIMS(-1));
    gr_tensor *s = gr_softmax(x, -1);
    gr_tensor *inner = gr_sub(u, gr_sum(gr_mul(u, s), .axes = GR_DIMS(-1), .keepdim = true));
    return gr_mul(
        gr_mul(counted_only(how, labels, g), target_sums(how, x, labels, w)), gr_mul(s, inner));
}

static const gr__attribute counting_attributes[] = {
    { "smoothing", GR__DOUBLE, .at = offsetof(counting, smoothing) },
    { "ignore_index", GR__INT, .at = offsetof(counting, ignored), .usual = -100 },
    { .name = NULL },
};

static const gr__op cross_entropy_op = {
    .name = "cross_entropy",
    .equation = "L_n = sum over c of -q_nc log softmax(x)_nc; gx = g (softmax(x) sum q - q)",
    .shape = cross_entropy_shape,
    .forward = cross_entropy_forward,
    .vjp = cross_entropy_vjp,
    .attributes = counting_attributes,
    .constant = 1 << 1 | 1 << 2,
    .ints = 1 << 1,
    .torch = "F.cross_entropy",
};

static const gr__op cross_entropy_grad_op = {
    .name = "cross_entropy_grad",
    .equation = "z = g (s sum q - q), s = softmax(x); gx = g s (u - sum u s) sum q, gg = sum u (s "
                "sum q - q)",
    .shape = gr__shape_of_first,
    .forward = cross_entropy_grad_forward,
    .vjp = cross_entropy_grad_vjp,
    .attributes = counting_attributes,
    .constant = 1 << 1 | 1 << 3,
    .ints = 1 << 1,
};

static gr_tensor *cross_entropy_grad(
    const counting *how, gr_tensor *x, gr_tensor *labels, gr_tensor *g, gr_tensor *w)
{
    return gr__apply(
        &cross_entropy_grad_op, w ? 4 : 3, (gr_tensor *[]){ x, labels, g, w }, how, sizeof *how);
}

gr_tensor *gr_cross_entropy_(gr_cross_entropy_options o)
{
    static const char *const name = "cross_entropy";
    if (is_single(o.logits, o.labels)) {
        gr_shape one = o.labels->shape;
        o.labels = gr_reshape(o.labels, gr_shape(1));
        o.logits = gr_reshape(o.logits, gr_shape(1, o.logits->count));
        gr_tensor *loss = gr_cross_entropy_(o);
        return loss ? gr__shown_as(name, gr_reshape(loss, one)) : NULL;
    }
    counting how = { o.smoothing, ignored_by(o.ignore_index, o.ignore_class_0) };
    if (!gr__given_reals(name, 1, &o.logits) ||
        !gr__given(name, 2, (gr_tensor *[]){ o.logits, o.labels }) ||
        !gr__is(GR_INT32, name, 1, o.labels) || (!o.weight && gr__failed()) ||
        !gr__want_reduction(o.reduction, name))
        return NULL;
    if (!(o.smoothing >= 0 && o.smoothing <= 1)) {
        gr__fail(GR_ERR_ARGUMENT, "%s: smoothing %g: 0 to 1 wanted", name, o.smoothing);
        return NULL;
    }
    if (!labels_fit(name, o.logits, o.labels, o.weight, &how)) return NULL;
    gr_tensor *x = to_rows(o.logits), *labels = gr_reshape(o.labels, gr_shape(o.labels->count));
    gr_tensor *losses = gr__apply(&cross_entropy_op, o.weight ? 3 : 2,
        (gr_tensor *[]){ x, labels, o.weight }, &how, sizeof how);
    return reduced(name, losses, o.labels, o.weight, &how, o.reduction);
}

/* ---- negative log-likelihood ----------------------------------------------------------------- */

/* The labels as indices, an ignored one as 0; and what each row's number is multiplied with. */
static bool picks(const gr_tensor *labels, const gr_tensor *w, const counting *how,
    gr_tensor **index, gr_tensor **factor)
{
    gr_shape column = gr_shape(labels->count, 1);
    *index = gr__own(gr__tensor(GR_INT32, &column, "nll"));
    *factor = gr__constant(&column, 0);
    if (!*index || !*factor) return false;
    for (int64_t n = 0; n < labels->count; n++) {
        int32_t y = gr__ints(labels)[n];
        gr__ints(*index)[n] = y == how->ignored ? 0 : y;
        gr__reals(*factor)[n] = y == how->ignored ? 0 : (gr_real)-weight_at(weights_of(w), y);
    }
    return true;
}

gr_tensor *gr_nll_(gr_nll_options o)
{
    static const char *const name = "nll";
    if (is_single(o.log_probs, o.labels)) {
        gr_shape one = o.labels->shape;
        o.labels = gr_reshape(o.labels, gr_shape(1));
        o.log_probs = gr_reshape(o.log_probs, gr_shape(1, o.log_probs->count));
        gr_tensor *loss = gr_nll_(o);
        return loss ? gr__shown_as(name, gr_reshape(loss, one)) : NULL;
    }
    counting   how = { 0, ignored_by(o.ignore_index, o.ignore_class_0) };
    gr_tensor *index, *factor;
    if (!gr__given_reals(name, 1, &o.log_probs) ||
        !gr__given(name, 2, (gr_tensor *[]){ o.log_probs, o.labels }) ||
        !gr__is(GR_INT32, name, 1, o.labels) || (!o.weight && gr__failed()) ||
        !gr__want_reduction(o.reduction, name) ||
        !labels_fit(name, o.log_probs, o.labels, o.weight, &how) ||
        !picks(o.labels, o.weight, &how, &index, &factor))
        return NULL;
    /* What is ignored is replaced first: it may be infinite. */
    gr_tensor *picked = gr_gather(to_rows(o.log_probs), 1, index), *zero = gr__number(0);
    gr_tensor *losses = gr_mul(gr_where(factor, picked, zero), factor);
    return reduced(name, losses, o.labels, o.weight, &how, o.reduction);
}

/* ---- x beside a target of the same shape ----------------------------------------------------- */

static bool are_a_pair(const char *name, gr_tensor *x, gr_tensor *target, gr_reduction reduction)
{
    if (!gr__given_reals(name, 2, (gr_tensor *[]){ x, target }) ||
        !gr__want_reduction(reduction, name))
        return false;
    return gr__same_shape(&x->shape, &target->shape) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: %s and %s differ in shape", name, GR__TEXT(x),
               GR__TEXT(target));
}

static gr_tensor *reduced_pair(const char *name, gr_tensor *loss, gr_reduction reduction)
{
    return gr__shown_as(name, reduction == GR_NONE  ? loss
                              : reduction == GR_SUM ? gr_sum(loss)
                                                    : gr_mean(loss));
}

/* ---- squares: L = f sum (x - t)^2, f being 1 or 1 / n ---------------------------------------- */

typedef struct mse_args {
    double       f;
    gr_reduction reduction;
} mse_args;

static const gr__attribute mse_attributes[] = {
    { "factor", GR__DOUBLE, .at = offsetof(mse_args, f), .shown = GR__NEVER },
    { "reduction", GR__CHOICE, .at = offsetof(mse_args, reduction),
        .choices = gr__reduction_names },
    { .name = NULL },
};

static gr_tensor *mse_grad(gr_tensor *x, gr_tensor *t, gr_tensor *g, const mse_args *args);

static bool mse_shape(gr__node *nd, gr_shape *y)
{
    (void)nd;
    y->rank = 0;
    return true;
}

static bool mse_forward(gr__node *nd, gr_tensor *y)
{
    const gr_tensor *x = nd->in[0], *t = nd->in[1];
    gr__reals(y)[0] =
        (gr_real)(gr__kernel_table()->square_error(gr__reals(x), gr__reals(t), x->count) *
                  ((const mse_args *)nd->args)->f);
    return true;
}

static gr_tensor *mse_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return mse_grad(nd->in[i], nd->in[1 - i], g, nd->args);
}

typedef struct pull {
    const gr_real *x, *t;
    gr_real       *z;
    double         factor;
} pull;

static void pull_part(const void *arg, int64_t begin, int64_t end)
{
    const pull *p = arg;
    gr__kernel_table()->sub(p->z + begin, p->x + begin, 1, p->t + begin, 1, end - begin);
    gr__kernel_table()->scale(p->z + begin, p->z + begin, p->factor, end - begin);
}

static bool mse_grad_forward(gr__node *nd, gr_tensor *z)
{
    double factor = 2 * ((const mse_args *)nd->args)->f * (double)gr__reals(nd->in[2])[0];
    gr__parallel(z->count, GR__GRAIN, pull_part,
        &(pull){ gr__reals(nd->in[0]), gr__reals(nd->in[1]), gr__reals(z), factor });
    return true;
}

static gr_tensor *mse_grad_vjp(gr__node *nd, int i, gr_tensor *u)
{
    gr_tensor *x = nd->in[0], *t = nd->in[1], *g = nd->in[2];
    double     f = 2 * ((const mse_args *)nd->args)->f;
    if (i == 2) return gr_scale(gr_sum(gr_mul(u, gr_sub(x, t))), f);
    return gr_mul(gr_scale(u, i == 0 ? f : -f), g);
}

static const gr__op mse_op = { "mse",
    "L = f sum (x - t)^2, f = 1 / n for a mean; gx = 2 f g (x - t), gt = 2 f g (t - x)", mse_shape,
    mse_forward, .vjp = mse_vjp, .attributes = mse_attributes, .torch = "F.mse_loss" };
static const gr__op mse_grad_op = { "mse_grad",
    "z = 2 f g (x - t); gx = 2 f g u, gt = -2 f g u, gg = 2 f sum u (x - t)", gr__shape_of_first,
    mse_grad_forward, .vjp = mse_grad_vjp, .attributes = mse_attributes };

static gr_tensor *mse_grad(gr_tensor *x, gr_tensor *t, gr_tensor *g, const mse_args *args)
{
    return gr__apply(&mse_grad_op, 3, (gr_tensor *[]){ x, t, g }, args, sizeof *args);
}

gr_tensor *gr_mse_(gr_loss_options o)
{
    if (!are_a_pair("mse", o.x, o.target, o.reduction)) return NULL;
    if (o.reduction == GR_NONE) {
        gr_tensor *d = gr_sub(o.x, o.target);
        return gr__shown_as("mse", gr_mul(d, d));
    }
    mse_args args = { o.reduction == GR_SUM ? 1 : 1 / (double)o.x->count, o.reduction };
    return gr__apply(&mse_op, 2, (gr_tensor *[]){ o.x, o.target }, &args, sizeof args);
}

/* ---- the others ------------------------------------------------------------------------------ */

gr_tensor *gr_l1_(gr_loss_options o)
{
    return are_a_pair("l1", o.x, o.target, o.reduction)
               ? reduced_pair("l1", gr_abs(gr_sub(o.x, o.target)), o.reduction)
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
    return reduced_pair(
        "smooth_l1", gr_where(near, gr_scale(gr_mul(small, small), 0.5 / beta), far), o.reduction);
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
    return reduced_pair("bce_with_logits", o.weight ? gr_mul(loss, o.weight) : loss, o.reduction);
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
    if (o.batch_mean)
        return gr__shown_as("kl_div", gr_scale(gr_sum(loss), 1 / (double)o.x->shape.dim[0]));
    return reduced_pair("kl_div", loss, o.reduction);
}
