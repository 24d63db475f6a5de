/* elementwise.c: arithmetic, activations and comparisons, element by element.

   y = f(a, b) over the common shape of a and b. Two operands broadcast: along a dimension that one
   lacks or has with size 1, its stride is 0. Neighbouring dimensions that both operands walk alike
   are one, so that the kernel runs over the longest row there is. A rule gives the gradient in the
   result's shape; the backward driver sums it over what was repeated. */
#include "ops/gate.h"
#include "ops/ops.h"

#include <string.h>

#define LOOP(name) offsetof(gr__kernels, name)

/* ---- walking two operands -------------------------------------------------------------------- */

/* The common shape, merged: rows of `inner` elements; places of row r from its mixed-radix digits
   over dim. */
typedef struct ew_walk {
    gr__binary    *fn;
    const gr_real *a, *b;
    gr_real       *y;
    int            a_step, b_step, rank;
    int64_t        inner;
    int64_t        dim[GR_MAX_DIMS], a_stride[GR_MAX_DIMS], b_stride[GR_MAX_DIMS];
} ew_walk;

/* Whether dimension i continues the one kept before it, for this operand. */
static bool continues(const int64_t *kept, int at, const int64_t *stride, int i, int64_t size)
{
    return kept[at] == stride[i] * size;
}

static void ew_merge(ew_walk *w, const gr_shape *y, const int64_t *a, const int64_t *b)
{
    w->rank = 0;
    for (int i = 0; i < y->rank; i++) {
        if (y->dim[i] == 1) continue;
        int last = w->rank - 1;
        if (last >= 0 && continues(w->a_stride, last, a, i, y->dim[i]) &&
            continues(w->b_stride, last, b, i, y->dim[i]))
            w->dim[last] *= y->dim[i];
        else
            w->dim[last = w->rank++] = y->dim[i];
        w->a_stride[last] = a[i];
        w->b_stride[last] = b[i];
    }
    w->inner = 1;
    if (w->rank > 0) {
        w->rank--;
        w->inner = w->dim[w->rank];
        w->a_step = (int)w->a_stride[w->rank];
        w->b_step = (int)w->b_stride[w->rank];
    }
}

static void walk_rows(const void *arg, int64_t begin, int64_t end)
{
    const ew_walk *w = arg;
    for (int64_t row = begin; row < end; row++) {
        int64_t rest = row, a = 0, b = 0;
        for (int i = w->rank - 1; i >= 0; i--) {
            int64_t digit = rest % w->dim[i];
            rest /= w->dim[i];
            a += digit * w->a_stride[i];
            b += digit * w->b_stride[i];
        }
        w->fn(w->y + row * w->inner, w->a + a, w->a_step, w->b + b, w->b_step, w->inner);
    }
}

static void walk_row_parts(const void *arg, int64_t begin, int64_t end)
{
    const ew_walk *w = arg;
    w->fn(w->y + begin, w->a + begin * w->a_step, w->a_step, w->b + begin * w->b_step, w->b_step,
        end - begin);
}

/* Whether an operand is as long as the result, or one number: then it is walked in one row. */
static bool is_one_row(const gr_tensor *t, const gr_tensor *y)
{
    return t->count == y->count || t->count == 1;
}

/* y = op of a and b; y may be one of them, if it has their shape. */
static void fill_binary(const gr__op *op, const gr_tensor *a, const gr_tensor *b, gr_tensor *y)
{
    ew_walk w;
    memcpy(&w.fn, (const char *)gr__kernel_table() + op->kernel, sizeof w.fn);
    w.a = gr__reals(a);
    w.b = gr__reals(b);
    w.y = gr__reals(y);
    if (is_one_row(a, y) && is_one_row(b, y)) {
        w.a_step = a->count == y->count;
        w.b_step = b->count == y->count;
        gr__parallel(y->count, GR__GRAIN, walk_row_parts, &w);
        return;
    }
    int64_t a_stride[GR_MAX_DIMS], b_stride[GR_MAX_DIMS];
    gr__broadcast_strides(&a->shape, &y->shape, a_stride);
    gr__broadcast_strides(&b->shape, &y->shape, b_stride);
    ew_merge(&w, &y->shape, a_stride, b_stride);
    if (y->count > 0) gr__parallel(y->count / w.inner, GR__GRAIN / w.inner, walk_rows, &w);
}

static bool binary_forward(gr__node *nd, gr_tensor *y)
{
    fill_binary(nd->op, nd->in[0], nd->in[1], y);
    return true;
}

static bool broadcast_shape(gr__node *nd, gr_shape *y)
{
    gr_tensor *a = nd->in[0], *b = nd->in[1];
    if (gr__same_shape(&a->shape, &b->shape)) {
        *y = a->shape;
        return true;
    }
    return gr__broadcast(&a->shape, &b->shape, y) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: %s and %s do not broadcast", nd->op->name, GR__TEXT(a),
               GR__TEXT(b));
}

static gr_tensor *apply2(const gr__op *op, gr_tensor *a, gr_tensor *b)
{
    return gr__apply(op, 2, (gr_tensor *[]){ a, b }, NULL, 0);
}

/* ---- arithmetic of two ----------------------------------------------------------------------- */

static gr_tensor *add_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)nd, (void)i;
    return g;
}

static gr_tensor *sub_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)nd;
    return i == 0 ? g : gr_neg(g);
}

static gr_tensor *mul_vjp(gr__node *nd, int i, gr_tensor *g) { return gr_mul(g, nd->in[1 - i]); }

static gr_tensor *div_vjp(gr__node *nd, int i, gr_tensor *g)
{
    gr_tensor *b = nd->in[1];
    return i == 0 ? gr_div(g, b) : gr_neg(gr_div(gr_mul(g, nd->out), b));
}

/* What is not chosen is replaced before it is used, so that no infinity times zero comes in at any
   order. */
static gr_tensor *pow_vjp(gr__node *nd, int i, gr_tensor *g)
{
    gr_tensor *a = nd->in[0], *b = nd->in[1], *zero = gr__number(0), *one = gr__number(1);
    if (i == 0) {
        gr_tensor *flat = gr_eq(b, zero);
        gr_tensor *power = gr_pow(a, gr_where(flat, one, gr_sub(b, one)));
        return gr_mul(g, gr_where(flat, zero, gr_mul(b, power)));
    }
    gr_tensor *flat = gr_mul(gr_eq(a, zero), gr_ge(b, zero));
    return gr_mul(g, gr_where(flat, zero, gr_mul(nd->out, gr_log(gr_where(flat, one, a)))));
}

static gr_tensor *maximum_vjp(gr__node *nd, int i, gr_tensor *g)
{
    gr_tensor *mine = nd->in[i], *other = nd->in[1 - i], *one = gr__number(1);
    return gr_mul(g, gr_sub(one, gr_scale(gr_add(gr_lt(mine, other), gr_le(mine, other)), 0.5)));
}

static gr_tensor *minimum_vjp(gr__node *nd, int i, gr_tensor *g)
{
    gr_tensor *mine = nd->in[i], *other = nd->in[1 - i], *one = gr__number(1);
    return gr_mul(g, gr_sub(one, gr_scale(gr_add(gr_gt(mine, other), gr_ge(mine, other)), 0.5)));
}

static const gr__op add_op = { "add", "y = a + b; ga = g, gb = g", broadcast_shape, binary_forward,
    .vjp = add_vjp, .broadcasts = true, .kernel = LOOP(add), .torch = "torch.add" };
static const gr__op sub_op = { "sub", "y = a - b; ga = g, gb = -g", broadcast_shape, binary_forward,
    .vjp = sub_vjp, .broadcasts = true, .kernel = LOOP(sub), .torch = "torch.sub" };
static const gr__op mul_op = { "mul", "y = a b; ga = g b, gb = g a", broadcast_shape,
    binary_forward, .vjp = mul_vjp, .broadcasts = true, .kernel = LOOP(mul), .torch = "torch.mul" };
static const gr__op div_op = { "div", "y = a / b; ga = g / b, gb = -g y / b", broadcast_shape,
    binary_forward, .vjp = div_vjp, .broadcasts = true, .kernel = LOOP(div), .torch = "torch.div" };
static const gr__op pow_op = { "pow", "y = a^b; ga = g b a^(b-1), gb = g y log a", broadcast_shape,
    binary_forward, .vjp = pow_vjp, .broadcasts = true, .kernel = LOOP(pow), .torch = "torch.pow" };
static const gr__op maximum_op = { "maximum",
    "y = max(a, b); ga = g [a > b] + g/2 [a = b], gb = g [b > a] + g/2 [a = b]", broadcast_shape,
    binary_forward, .vjp = maximum_vjp, .broadcasts = true, .kernel = LOOP(maximum),
    .torch = "torch.maximum" };
static const gr__op minimum_op = { "minimum",
    "y = min(a, b); ga = g [a < b] + g/2 [a = b], gb = g [b < a] + g/2 [a = b]", broadcast_shape,
    binary_forward, .vjp = minimum_vjp, .broadcasts = true, .kernel = LOOP(minimum),
    .torch = "torch.minimum" };

gr_tensor *gr_add(gr_tensor *a, gr_tensor *b) { return apply2(&add_op, a, b); }
gr_tensor *gr_sub(gr_tensor *a, gr_tensor *b) { return apply2(&sub_op, a, b); }
gr_tensor *gr_mul(gr_tensor *a, gr_tensor *b) { return apply2(&mul_op, a, b); }
gr_tensor *gr_div(gr_tensor *a, gr_tensor *b) { return apply2(&div_op, a, b); }
gr_tensor *gr_pow(gr_tensor *a, gr_tensor *b) { return apply2(&pow_op, a, b); }
gr_tensor *gr_maximum(gr_tensor *a, gr_tensor *b) { return apply2(&maximum_op, a, b); }
gr_tensor *gr_minimum(gr_tensor *a, gr_tensor *b) { return apply2(&minimum_op, a, b); }

/* ---- comparisons: 1 or 0, no gradient -------------------------------------------------------- */

#define COMPARISON_OP(f, equation, pytorch)                                       \
    static const gr__op f##_op = { #f, equation, broadcast_shape, binary_forward, \
        .kernel = LOOP(f), .torch = pytorch };                                    \
    gr_tensor          *gr_##f(gr_tensor *a, gr_tensor *b) { return apply2(&f##_op, a, b); }
COMPARISON_OP(eq, "y = [a = b]", "torch.eq")
COMPARISON_OP(ne, "y = [a != b]", "torch.ne")
COMPARISON_OP(lt, "y = [a < b]", "torch.lt")
COMPARISON_OP(le, "y = [a <= b]", "torch.le")
COMPARISON_OP(gt, "y = [a > b]", "torch.gt")
COMPARISON_OP(ge, "y = [a >= b]", "torch.ge")

/* ---- functions of one ------------------------------------------------------------------------ */

typedef struct flat {
    gr__unary     *fn;
    gr_real       *y;
    const gr_real *x;
    double         factor;
} flat;

static void flat_part(const void *arg, int64_t begin, int64_t end)
{
    const flat *f = arg;
    f->fn(f->y + begin, f->x + begin, end - begin);
}

static void scale_part(const void *arg, int64_t begin, int64_t end)
{
    const flat *f = arg;
    gr__kernel_table()->scale(f->y + begin, f->x + begin, f->factor, end - begin);
}

static bool unary_forward(gr__node *nd, gr_tensor *y)
{
    flat f = { .y = gr__reals(y), .x = gr__reals(nd->in[0]) };
    memcpy(&f.fn, (const char *)gr__kernel_table() + nd->op->kernel, sizeof f.fn);
    gr__parallel(y->count, GR__GRAIN, flat_part, &f);
    return true;
}

bool gr__shape_of_first(gr__node *nd, gr_shape *y)
{
    *y = nd->in[0]->shape;
    return true;
}

static bool scale_forward(gr__node *nd, gr_tensor *y)
{
    const double *factor = nd->args;
    gr__parallel(y->count, GR__GRAIN, scale_part,
        &(flat){ .factor = *factor, .y = gr__reals(y), .x = gr__reals(nd->in[0]) });
    return true;
}

static gr_tensor *neg_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)nd, (void)i, gr_neg(g);
}
static gr_tensor *scale_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr_scale(g, *(const double *)nd->args);
}
static gr_tensor *exp_vjp(gr__node *nd, int i, gr_tensor *g) { return (void)i, gr_mul(g, nd->out); }
static gr_tensor *log_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr_div(g, nd->in[0]);
}
static gr_tensor *sqrt_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr_scale(gr_div(g, nd->out), 0.5);
}
static gr_tensor *abs_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr_mul(g, gr_sign(nd->in[0]));
}
static gr_tensor *relu_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr__act_back(GR_RELU, nd->out, g);
}
static gr_tensor *sigmoid_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr__act_back(GR_SIGMOID, nd->out, g);
}
static gr_tensor *tanh_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr__act_back(GR_TANH, nd->out, g);
}

static gr_tensor *sin_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr_mul(g, gr_cos(nd->in[0]));
}
static gr_tensor *cos_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr_neg(gr_mul(g, gr_sin(nd->in[0])));
}
static gr_tensor *softplus_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr_mul(g, gr_sigmoid(nd->in[0]));
}

static gr_tensor *plus_one(gr_tensor *x) { return gr_add(x, gr__number(1)); }
static gr_tensor *log1p_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr_div(g, plus_one(nd->in[0]));
}
static gr_tensor *expm1_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return (void)i, gr_mul(g, plus_one(nd->out));
}

static gr_tensor *erf_vjp(gr__node *nd, int i, gr_tensor *g)
{
    /* beyond, e^(-x^2) is 0 in any type, and x^2 might overflow */
    gr_tensor *x = gr_clamp(nd->in[0], -30, 30);
    (void)i;
    /* 2 / sqrt(pi) */
    return gr_scale(gr_mul(g, gr_exp(gr_neg(gr_mul(x, x)))), 1.12837916709551257390);
}

#define UNARY_OP(f, equation, pytorch)                                              \
    static const gr__op f##_op = { #f, equation, gr__shape_of_first, unary_forward, \
        .vjp = f##_vjp, .kernel = LOOP(f), .torch = pytorch }
UNARY_OP(neg, "y = -x; gx = -g", "torch.neg");
static const gr__attribute scale_attributes[] = {
    { "factor", GR__DOUBLE, .shown = GR__ALWAYS },
    { .name = NULL },
};
static const gr__op scale_op = { "scale", "y = s x; gx = s g", gr__shape_of_first, scale_forward,
    .vjp = scale_vjp, .attributes = scale_attributes, .torch = "torch.mul, by a number" };
UNARY_OP(exp, "y = e^x; gx = g y", "torch.exp");
UNARY_OP(log, "y = log x; gx = g / x", "torch.log");
UNARY_OP(sqrt, "y = sqrt x; gx = g / (2 y)", "torch.sqrt");
UNARY_OP(abs, "y = |x|; gx = g sign x", "torch.abs");
static const gr__op sign_op = { .name = "sign",
    .equation = "y = [x > 0] - [x < 0]",
    .shape = gr__shape_of_first,
    .forward = unary_forward,
    .kernel = LOOP(sign),
    .torch = "torch.sign" };
UNARY_OP(relu, "y = max(x, 0); gx = g [y > 0]", "torch.relu");
UNARY_OP(sigmoid, "y = 1 / (1 + e^-x); gx = g y (1 - y)", "torch.sigmoid");
UNARY_OP(tanh, "y = tanh x; gx = g (1 - y^2)", "torch.tanh");

UNARY_OP(sin, "y = sin x; gx = g cos x", "torch.sin");
UNARY_OP(cos, "y = cos x; gx = -g sin x", "torch.cos");
UNARY_OP(log1p, "y = log(1 + x); gx = g / (1 + x)", "torch.log1p");
UNARY_OP(expm1, "y = e^x - 1; gx = g (y + 1)", "torch.expm1");
UNARY_OP(erf, "y = erf x; gx = 2 g e^(-x^2) / sqrt pi", "torch.erf");
UNARY_OP(softplus, "y = log(1 + e^x); gx = g sigmoid x", "F.softplus");

static gr_tensor *apply1(const gr__op *op, gr_tensor *x) { return gr__apply(op, 1, &x, NULL, 0); }

gr_tensor *gr_neg(gr_tensor *x) { return apply1(&neg_op, x); }
gr_tensor *gr_exp(gr_tensor *x) { return apply1(&exp_op, x); }
gr_tensor *gr_log(gr_tensor *x) { return apply1(&log_op, x); }
gr_tensor *gr_sqrt(gr_tensor *x) { return apply1(&sqrt_op, x); }
gr_tensor *gr_abs(gr_tensor *x) { return apply1(&abs_op, x); }
gr_tensor *gr_sign(gr_tensor *x) { return apply1(&sign_op, x); }
gr_tensor *gr_relu(gr_tensor *x) { return gr__act(GR_RELU, x); }
gr_tensor *gr_sigmoid(gr_tensor *x) { return apply1(&sigmoid_op, x); }
gr_tensor *gr_tanh(gr_tensor *x) { return apply1(&tanh_op, x); }
gr_tensor *gr_sin(gr_tensor *x) { return apply1(&sin_op, x); }
gr_tensor *gr_cos(gr_tensor *x) { return apply1(&cos_op, x); }
gr_tensor *gr_log1p(gr_tensor *x) { return apply1(&log1p_op, x); }
gr_tensor *gr_expm1(gr_tensor *x) { return apply1(&expm1_op, x); }
gr_tensor *gr_erf(gr_tensor *x) { return apply1(&erf_op, x); }
gr_tensor *gr_softplus(gr_tensor *x) { return apply1(&softplus_op, x); }

gr_tensor *gr_scale(gr_tensor *x, double factor)
{
    return gr__apply(&scale_op, 1, &x, &factor, sizeof factor);
}

/* ---- activations backwards: h(y, g) = g act'(x), with act' written in y ---------------------- */

static gr_tensor *relu_grad_vjp(gr__node *nd, int i, gr_tensor *u)
{
    (void)i;
    return gr__act_grad(GR_RELU, nd->in[0], u);
}

static gr_tensor *sigmoid_grad_vjp(gr__node *nd, int i, gr_tensor *u)
{
    gr_tensor *y = nd->in[0], *g = nd->in[1];
    if (i == 1) return gr__act_grad(GR_SIGMOID, y, u);
    return gr_mul(gr_mul(u, g), gr_sub(gr__number(1), gr_scale(y, 2)));
}

static gr_tensor *tanh_grad_vjp(gr__node *nd, int i, gr_tensor *u)
{
    gr_tensor *y = nd->in[0], *g = nd->in[1];
    return i == 1 ? gr__act_grad(GR_TANH, y, u) : gr_scale(gr_mul(gr_mul(u, g), y), -2);
}

static const gr__op relu_grad_op = { "relu_grad", "h = g [y > 0]; gg = u [y > 0]",
    gr__shape_of_first, binary_forward, .vjp = relu_grad_vjp, .constant = 1,
    .kernel = LOOP(relu_grad) };
static const gr__op sigmoid_grad_op = { "sigmoid_grad",
    "h = g y (1 - y); gy = u g (1 - 2 y), gg = u y (1 - y)", gr__shape_of_first, binary_forward,
    .vjp = sigmoid_grad_vjp, .kernel = LOOP(sigmoid_grad) };
static const gr__op tanh_grad_op = { "tanh_grad",
    "h = g (1 - y^2); gy = -2 u g y, gg = u (1 - y^2)", gr__shape_of_first, binary_forward,
    .vjp = tanh_grad_vjp, .kernel = LOOP(tanh_grad) };

bool gr__want_act(gr_act act, const char *op)
{
    return (unsigned)act <= GR_TANH ||
           gr__fail(GR_ERR_ARGUMENT, "%s: there is no activation %d", op, (int)act);
}

gr_tensor *gr__act(gr_act act, gr_tensor *x)
{
    static const gr__op *const ops[] = {
        [GR_RELU] = &relu_op, [GR_SIGMOID] = &sigmoid_op, [GR_TANH] = &tanh_op
    };
    gr_tensor *y = act == GR_NO_ACT ? x : apply1(ops[act], x);
    if (y && act == GR_RELU) gr__gate_mark(y, act);
    return y;
}

static const gr__op *const grads[] = {
    [GR_RELU] = &relu_grad_op, [GR_SIGMOID] = &sigmoid_grad_op, [GR_TANH] = &tanh_grad_op
};

gr_tensor *gr__act_grad(gr_act act, gr_tensor *y, gr_tensor *g)
{
    return act == GR_NO_ACT ? g : apply2(grads[act], y, g);
}

gr_tensor *gr__act_back(gr_act act, gr_tensor *y, gr_tensor *g)
{
    if (gr__gate_take(g, y) || act == GR_NO_ACT) return g;
    if (!gr__spare(g)) return gr__act_grad(act, y, g);
    gr__touch(g);
    fill_binary(grads[act], y, g, g);
    return g;
}

/* ---- choice ---------------------------------------------------------------------------------- */

typedef struct choice {
    const gr_real *c, *a, *b;
    gr_real       *y;
} choice;

static void choose_part(const void *arg, int64_t begin, int64_t end)
{
    const choice *w = arg;
    gr__kernel_table()->where(w->y + begin, w->c + begin, w->a + begin, w->b + begin, end - begin);
}

static bool where_forward(gr__node *nd, gr_tensor *y)
{
    choice w = { gr__reals(nd->in[0]), gr__reals(nd->in[1]), gr__reals(nd->in[2]), gr__reals(y) };
    gr__parallel(y->count, GR__GRAIN, choose_part, &w);
    return true;
}

static gr_tensor *where_vjp(gr__node *nd, int i, gr_tensor *g)
{
    gr_tensor *zero = gr__number(0);
    return i == 1 ? gr_where(nd->in[0], g, zero) : gr_where(nd->in[0], zero, g);
}

static const gr__op where_op = { "where", "y = c ? a : b; ga = c ? g : 0, gb = c ? 0 : g",
    gr__shape_of_first, where_forward, .vjp = where_vjp, .constant = 1, .torch = "torch.where" };

gr_tensor *gr_where(gr_tensor *condition, gr_tensor *a, gr_tensor *b)
{
    gr_tensor *in[3] = { condition, a, b };
    if (condition && a && b) {
        gr_shape y;
        if (!gr__broadcast(&a->shape, &b->shape, &y) || !gr__broadcast(&condition->shape, &y, &y)) {
            gr__fail(GR_ERR_ARGUMENT, "where: %s, %s and %s do not broadcast", GR__TEXT(condition),
                GR__TEXT(a), GR__TEXT(b));
            return NULL;
        }
        for (int i = 0; i < 3; i++)
            if (!gr__same_shape(&in[i]->shape, &y)) in[i] = gr_expand(in[i], y);
    }
    return gr__apply(&where_op, 3, in, NULL, 0);
}

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
    gr__kernel_table()->maximum(c->y + begin, c->x + begin, 1, &c->low, 0, end - begin);
    gr__kernel_table()->minimum(c->y + begin, c->y + begin, 1, &c->high, 0, end - begin);
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

static const gr__attribute clamp_attributes[] = {
    { "low", GR__DOUBLE, .at = offsetof(bounds, low), .shown = GR__ALWAYS },
    { "high", GR__DOUBLE, .at = offsetof(bounds, high), .shown = GR__ALWAYS },
    { .name = NULL },
};
static const gr__op clamp_op = { "clamp", "y = min(max(x, low), high); gx = g [low <= x <= high]",
    clamp_shape, clamp_forward, .vjp = clamp_vjp, .attributes = clamp_attributes,
    .torch = "torch.clamp" };

gr_tensor *gr_clamp(gr_tensor *x, double low, double high)
{
    return gr__apply(&clamp_op, 1, &x, &(bounds){ low, high }, sizeof(bounds));
}

/* ---- formulas -------------------------------------------------------------------------------- */
/* Over ops that have their rules, so all derivatives come from them. At a kink the choice is
   PyTorch's. */

gr_tensor *gr_leaky_relu(gr_tensor *x, double slope)
{
    if (!gr__given_reals("leaky_relu", 1, &x)) return NULL;
    return gr__shown_as("leaky_relu", gr_where(gr_gt(x, gr__number(0)), x, gr_scale(x, slope)));
}

gr_tensor *gr_elu(gr_tensor *x, double alpha)
{
    if (!gr__given_reals("elu", 1, &x)) return NULL;
    gr_tensor *positive = gr_gt(x, gr__number(0));
    /* What is not chosen is replaced first: e^x may overflow there. */
    gr_tensor *below = gr_scale(gr_expm1(gr_where(positive, gr__number(0), x)), alpha);
    return gr__shown_as("elu", gr_where(positive, x, below));
}

gr_tensor *gr_silu(gr_tensor *x)
{
    if (!gr__given_reals("silu", 1, &x)) return NULL;
    return gr__shown_as("silu", gr_mul(x, gr_sigmoid(x)));
}

gr_tensor *gr_gelu(gr_tensor *x)
{
    if (!gr__given_reals("gelu", 1, &x)) return NULL;
    /* 1 / sqrt 2 */
    gr_tensor *phi = gr_add(gr__number(1), gr_erf(gr_scale(x, 0.70710678118654752440)));
    return gr__shown_as("gelu", gr_mul(gr_scale(x, 0.5), phi));
}
