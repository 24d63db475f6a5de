/* matmul.c: products of matrices, and the linear layer made of one.

   y = a b gives ga = g b^T and gb = a^T g; with a flag that reads an operand as its transpose, each
   rule is again one product. */
#include "ops/ops.h"

#include <string.h>

typedef struct product {
    bool ta, tb;
} product;

/* M, N, K and the batch of a product of two operands of rank 2 and more; false where the inner
   sizes differ. */
static bool sizes(const gr_tensor *a, const gr_tensor *b, bool ta, bool tb, gr__matmul *m)
{
    const int64_t *ad = a->shape.dim + a->shape.rank - 2, *bd = b->shape.dim + b->shape.rank - 2;
    *m = (gr__matmul){
        .M = ad[ta], .K = ad[!ta], .N = bd[!tb], .batch = 1, .transpose_a = ta, .transpose_b = tb
    };
    return m->K == bd[tb];
}

static gr_shape batch_of(const gr_tensor *t)
{
    gr_shape s = t->shape;
    s.rank -= 2;
    return s;
}

static bool matmul_shape(gr__node *nd, gr_shape *y)
{
    const product *p = nd->args;
    gr__matmul     m;
    sizes(nd->in[0], nd->in[1], p->ta, p->tb, &m);
    if (nd->in[0]->shape.rank > 2 || nd->in[1]->shape.rank > 2) {
        gr_shape a = batch_of(nd->in[0]), b = batch_of(nd->in[1]);
        *y = gr__count(&a) == 1 && a.rank <= b.rank ? b : a;
    }
    y->dim[y->rank++] = m.M;
    y->dim[y->rank++] = m.N;
    return true;
}

typedef struct matmul_call {
    const gr__matmul   *m;
    const gr__plan     *plan;
    const gr__operands *o;
} matmul_call;

static void multiply_task(const void *arg, int stage, int64_t task, void *shared, void *scratch)
{
    const matmul_call *c = arg;
    gr__kernel_table()->matmul_run(c->m, c->plan, c->o, stage, task, shared, scratch);
}

static bool multiply(const gr__matmul *m, const gr__operands *o, const char *what)
{
    gr__plan plan = { .stages = 0 };
    gr__kernel_table()->matmul_plan(m, &plan);
    double work = (double)m->batch * (double)m->M * (double)m->N * (double)m->K;
    return gr__run_plan(&plan, work, multiply_task, &(matmul_call){ m, &plan, o }, what);
}

static bool matmul_forward(gr__node *nd, gr_tensor *y)
{
    const product *p = nd->args;
    gr__matmul     m;
    sizes(nd->in[0], nd->in[1], p->ta, p->tb, &m);
    int64_t a = m.M * m.K, b = m.K * m.N;
    m.batch = m.M * m.N > 0 ? y->count / (m.M * m.N) : 0;
    m.a_step = nd->in[0]->count > a ? a : 0;
    m.b_step = nd->in[1]->count > b ? b : 0;
    return multiply(&m,
        &(gr__operands){ .a = gr__reals(nd->in[0]), .b = gr__reals(nd->in[1]), .y = gr__reals(y) },
        "matmul");
}

static gr_tensor *matmul_vjp(gr__node *nd, int i, gr_tensor *g)
{
    const product *p = nd->args;
    gr_tensor     *a = nd->in[0], *b = nd->in[1];
    if (i == 0)
        return p->ta ? gr_matmul(b, g, .transpose_a = p->tb, .transpose_b = true)
                     : gr_matmul(g, b, .transpose_b = !p->tb);
    return p->tb ? gr_matmul(g, a, .transpose_a = true, .transpose_b = p->ta)
                 : gr_matmul(a, g, .transpose_a = !p->ta);
}

static const gr__attribute product_attributes[] = {
    { "transpose_a", GR__BOOL, .at = offsetof(product, ta) },
    { "transpose_b", GR__BOOL, .at = offsetof(product, tb) },
    { .name = NULL },
};
static const gr__op matmul_op = { "matmul", "y = a b; ga = g b^T, gb = a^T g", matmul_shape,
    matmul_forward, .vjp = matmul_vjp, .attributes = product_attributes, .broadcasts = true,
    .torch = "torch.matmul" };

/* Batches that are neither equal nor single are repeated until they are equal. */
static gr_tensor *repeat_batch(gr_tensor *t, const gr_shape *batch)
{
    gr_shape own = batch_of(t), to = *batch;
    if (gr__count(&own) == 1 || gr__same_shape(&own, batch)) return t;
    to.dim[to.rank++] = t->shape.dim[t->shape.rank - 2];
    to.dim[to.rank++] = t->shape.dim[t->shape.rank - 1];
    return gr_expand(t, to);
}

static gr_tensor *apply_matmul(gr_tensor *a, gr_tensor *b, bool ta, bool tb)
{
    return gr__apply(&matmul_op, 2, (gr_tensor *[]){ a, b }, &(product){ ta, tb }, sizeof(product));
}

static gr_tensor *product_of_matrices(gr_tensor *a, gr_tensor *b, bool ta, bool tb)
{
    gr__matmul m;
    if (a->shape.rank == 2 && b->shape.rank == 2 && sizes(a, b, ta, tb, &m))
        return apply_matmul(a, b, ta, tb);
    gr_shape ba = batch_of(a), bb = batch_of(b), batch;
    if (!sizes(a, b, ta, tb, &m) || !gr__broadcast(&ba, &bb, &batch)) {
        gr__fail(GR_ERR_ARGUMENT,
            "matmul: %s%s and %s%s: inner sizes must be equal and leading ones broadcast",
            GR__TEXT(a), ta ? "^T" : "", GR__TEXT(b), tb ? "^T" : "");
        return NULL;
    }
    if (ba.rank > 0 && bb.rank == 0 && !ta) { /* many rows by one matrix: one product */
        gr_shape y = a->shape;
        y.dim[y.rank - 1] = m.N;
        gr_tensor *flat = gr_reshape(a, gr_shape(gr__count(&ba) * m.M, m.K));
        if (!flat) return NULL;
        return gr__shown_as("matmul", gr_reshape(product_of_matrices(flat, b, ta, tb), y));
    }
    return apply_matmul(repeat_batch(a, &batch), repeat_batch(b, &batch), ta, tb);
}

gr_tensor *gr_matmul_(gr_matmul_options o)
{
    gr_tensor *b = o.b;
    if (!gr__given("matmul", 2, (gr_tensor *[]){ o.a, b })) return NULL;
    if (o.a->shape.rank > 1 && b->shape.rank > 1)
        return product_of_matrices(o.a, b, o.transpose_a, o.transpose_b);
    if (o.a->shape.rank == 0 || b->shape.rank == 0) {
        gr__fail(GR_ERR_ARGUMENT, "matmul: %s and %s: a scalar is no matrix", GR__TEXT(o.a),
            GR__TEXT(b));
        return NULL;
    }
    bool       row = o.a->shape.rank == 1, column = b->shape.rank == 1;
    gr_tensor *left = row ? gr_reshape(o.a, gr_shape(1, o.a->count)) : o.a,
              *right = column ? gr_reshape(b, gr_shape(b->count, 1)) : b;
    if (!left || !right) return NULL;
    gr_tensor *y =
        product_of_matrices(left, right, !row && o.transpose_a, !column && o.transpose_b);
    if (!y || !(row || column)) return y;
    gr_shape s = y->shape;
    if (column) s.rank--;
    if (row) {
        if (!column) s.dim[s.rank - 2] = s.dim[s.rank - 1];
        s.rank--;
    }
    return gr__shown_as("matmul", gr_reshape(y, s));
}

/* ---- linear ---------------------------------------------------------------------------------- */

static bool linear_shape(gr__node *nd, gr_shape *y)
{
    const gr_tensor *x = nd->in[0], *w = nd->in[1], *b = nd->n > 2 ? nd->in[2] : NULL;
    if (w->shape.rank != 2 || x->shape.rank < 1 ||
        x->shape.dim[x->shape.rank - 1] != w->shape.dim[1])
        return gr__fail(GR_ERR_ARGUMENT,
            "linear: input %s and weight %s: weight (O,I) wants input (...,I)", GR__TEXT(x),
            GR__TEXT(w));
    if (b && (b->shape.rank != 1 || b->count != w->shape.dim[0]))
        return gr__fail(GR_ERR_ARGUMENT,
            "linear: weight %s gives %lld number%s, bias %s has others", GR__TEXT(w),
            (long long)w->shape.dim[0], gr__plural(w->shape.dim[0], "s"), GR__TEXT(b));
    *y = x->shape;
    y->dim[y->rank - 1] = w->shape.dim[0];
    return true;
}

static bool linear_forward(gr__node *nd, gr_tensor *y)
{
    const gr_tensor *x = nd->in[0], *w = nd->in[1];
    gr__matmul m = { .N = w->shape.dim[0], .K = w->shape.dim[1], .batch = 1, .transpose_b = true };
    m.M = m.N > 0 ? y->count / m.N : 0;
    gr__operands o = { gr__reals(x), gr__reals(w), nd->n > 2 ? gr__reals(nd->in[2]) : NULL,
        gr__reals(y), *(const gr_act *)nd->args };
    return multiply(&m, &o, "linear");
}

/* (..., I) as (rows, I). */
static gr_tensor *matmul_rows(gr_tensor *t)
{
    if (!t || t->shape.rank == 2) return t;
    int64_t many = 1;
    for (int i = 0; i < t->shape.rank - 1; i++) many *= t->shape.dim[i];
    return gr_reshape(t, gr_shape(many, t->shape.dim[t->shape.rank - 1]));
}

static gr_tensor *linear_vjp(gr__node *nd, int i, gr_tensor *g)
{
    if (!nd->left && !(nd->left = gr__act_back(*(const gr_act *)nd->args, nd->out, g))) return NULL;
    if (i == 0) return gr_matmul(nd->left, nd->in[1]);
    if (i == 1)
        return gr_matmul(matmul_rows(nd->left), matmul_rows(nd->in[0]), .transpose_a = true);
    return gr_sum(matmul_rows(nd->left), .axes = GR_DIMS(0));
}

static const gr__attribute linear_attributes[] = {
    { "act", GR__CHOICE, .choices = gr__act_names },
    { .name = NULL },
};
static const gr__op linear_op = { "linear",
    "y = act(x w^T + b), gz = g act'; gx = gz w, gw = gz^T x, gb = sum of gz", linear_shape,
    linear_forward, .vjp = linear_vjp, .attributes = linear_attributes, .torch = "F.linear" };

gr_tensor *gr_linear_(gr_linear_options o)
{
    if ((!o.bias && gr__failed()) || !gr__want_act(o.act, "linear")) return NULL;
    return gr__apply(
        &linear_op, o.bias ? 3 : 2, (gr_tensor *[]){ o.x, o.weight, o.bias }, &o.act, sizeof o.act);
}
