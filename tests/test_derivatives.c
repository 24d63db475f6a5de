/* test_derivatives.c: hooks on gradients, Hessians times vectors, and the check of gradients that
   users have. In float, and again in double. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define V(...) gr_from(gr_shape(GR__COUNT(__VA_ARGS__)), (const gr_real[]){ __VA_ARGS__ })

/* ---- hooks ----------------------------------------------------------------------------------- */

/* What hooks have seen, in order: a letter and the first element. */
static char   letters[32];
static double firsts[32];

static void note(char letter, const gr_tensor *g)
{
    size_t n = strlen(letters);
    letters[n] = letter;
    letters[n + 1] = 0;
    firsts[n] = (double)gr_data(g)[0];
}

static void saw(const char *wanted, const double *first)
{
    ck_assert_str_eq(letters, wanted);
    for (size_t i = 0; i < strlen(wanted); i++) ck_assert_double_eq(firsts[i], first[i]);
    letters[0] = 0;
}
#define SAW(wanted, ...) saw((wanted), (const double[]){ __VA_ARGS__ })

static gr_tensor *look(gr_tensor *g, void *ctx)
{
    note(*(const char *)ctx, g);
    return NULL;
}

static gr_tensor *times(gr_tensor *g, void *ctx) { return gr_scale(g, *(const double *)ctx); }

START_TEST(hooks_in_order)
{
    GR_STEP;
    double     two = 2, ten = 10;
    gr_tensor *x = gr_param(V(1, 2)), *z = gr_mul(x, x), *y = gr_sum(z);
    ck_assert_ptr_eq(gr_on_grad(z, look, "a"), z);
    gr_on_grad(z, times, &two);
    gr_on_grad(z, look, "b");
    gr_on_grad(x, look, "x");
    gr_on_grad(x, times, &ten);
    gr_on_grad(x, look, "X");
    gr_on_grad(y, look, "y");
    gr_retain_grad(z);
    HOLDS(gr_grad(y, x, .retain_graph = true), gr_shape(2), 40, 80);
    SAW("yabxX", 1, 1, 2, 4, 40);
    ck_assert_ptr_null(gr_grad_of(z));
    /* z alone: nothing below is come to */
    HOLDS(gr_grad(y, z, .retain_graph = true), gr_shape(2), 2, 2);
    SAW("yab", 1, 1, 2);
    ck_assert(gr_backward(y));
    SAW("yabxX", 1, 1, 2, 4, 40);
    HOLDS(gr_grad_of(x), gr_shape(2), 40, 80);
    HOLDS(gr_grad_of(z), gr_shape(2), 2, 2);
    nothing_failed();
}
END_TEST

/* A hook on a leaf sees the sum over its uses, once, and not what earlier backwards left; a tensor
   off the path is not come to. */
START_TEST(hooks_on_leaves)
{
    GR_STEP;
    gr_tensor *x = gr_param(V(3, 4)), *other = gr_param(V(1, 1));
    gr_on_grad(x, look, "x");
    gr_on_grad(other, look, "o");
    for (int i = 0; i < 2; i++) {
        ck_assert(gr_backward(gr_sum(gr_add(gr_mul(x, x), gr_scale(x, 5)))));
        SAW("x", 11);
    }
    HOLDS(gr_grad_of(x), gr_shape(2), 22, 26);
    ck_assert_ptr_nonnull(gr_grad(gr_sum(gr_mul(x, other)), x));
    SAW("x", 1);
    gr_tensor *number = gr_param(gr_scalar(3)); /* the loss itself a leaf */
    gr_on_grad(number, look, "n");
    ck_assert(gr_backward(number));
    SAW("n", 1);
    nothing_failed();
}
END_TEST

/* What is handed back may be anybody's: the gradient that is left is the leaf's own. */
static gr_tensor *instead(gr_tensor *g, void *ctx)
{
    (void)g;
    return ctx;
}

START_TEST(hooks_hand_back_others)
{
    GR_STEP;
    gr_tensor *x = gr_param(V(1, 2)), *mine = V(7, 8), *y = gr_exp(x);
    gr_on_grad(x, instead, mine);
    for (int i = 0; i < 2; i++) ck_assert(gr_backward(gr_sum(gr_scale(x, 2))));
    HOLDS(mine, gr_shape(2), 7, 8);
    HOLDS(gr_grad_of(x), gr_shape(2), 14, 16);
    gr_on_grad(y, instead, x);
    gr_off_grad(x, instead, mine);
    NEAR(gr_grad(gr_sum(y), x), gr_shape(2), ROUGHLY, exp(1), 2 * exp(2)); /* x y */
    HOLDS(x, gr_shape(2), 1, 2);
    nothing_failed();
}
END_TEST

typedef struct pair {
    gr_tensor *t;
    int        calls;
} pair;

static gr_tensor *once(gr_tensor *g, void *ctx)
{
    pair *p = ctx;
    p->calls++;
    note('1', g);
    ck_assert(gr_off_grad(p->t, once, ctx));
    gr_on_grad(p->t, look, "n"); /* from the next time on */
    return NULL;
}

START_TEST(hooks_come_and_go)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(3));
    pair       p = { .t = x };
    gr_on_grad(x, once, &p);
    gr_on_grad(x, look, "l");
    ck_assert(gr_backward(gr_mul(x, x)));
    SAW("1l", 6, 6);
    ck_assert(gr_backward(gr_mul(x, x)));
    SAW("ln", 6, 6);
    ck_assert_int_eq(p.calls, 1);
    ck_assert(gr_off_grad(x, look, "l"));
    ck_assert(gr_backward(gr_mul(x, x)));
    SAW("n", 6);
    FAILS(gr_off_grad(x, look, "l"), GR_ERR_ARGUMENT, "off_grad: the tensor has no such hook");
}
END_TEST

static gr_tensor *remove_the_next(gr_tensor *g, void *ctx)
{
    note('r', g);
    ck_assert(gr_off_grad(ctx, times, NULL));
    return NULL;
}

START_TEST(a_hook_removes_the_next)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(3));
    gr_on_grad(x, remove_the_next, x);
    gr_on_grad(x, times, NULL); /* would crash */
    gr_on_grad(x, look, "l");
    ck_assert(gr_backward(gr_mul(x, x)));
    SAW("rl", 6, 6);
    nothing_failed();
}
END_TEST

/* Another graph's backward, and one on the same leaf, inside a hook. */
static gr_tensor *nested(gr_tensor *g, void *ctx)
{
    gr_tensor *x = ctx;
    ck_assert(!gr_requires_grad(gr_scale(x, 2))); /* the pass does not record */
    gr_set_recording(true);                       /* not set back: the pass does that */
    gr_tensor *cube = gr_mul(x, gr_mul(x, x)), *gx = gr_grad(cube, x, .create_graph = true),
              *ggx = gr_grad(gx, x);
    ck_assert(gr_requires_grad(gx));
    return gr_add(g, ggx);
}

START_TEST(hooks_take_gradients)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(3)), *z = gr_mul(x, x);
    gr_on_grad(z, nested, x);
    ck_assert(gr_backward(gr_scale(z, 5)));
    HOLDS(gr_grad_of(x), SCALAR, (5 + 18) * 6);
    nothing_failed();
}
END_TEST

static gr_tensor *squared(gr_tensor *g, void *ctx)
{
    (void)ctx;
    return gr_mul(g, g);
}

/* Not set back: the pass does that, too. */
static gr_tensor *unrecorded(gr_tensor *g, void *ctx)
{
    gr_set_recording(false);
    return ctx ? g : NULL;
}

/* With create_graph what a hook computes is part of the gradient's history: x^2 -> (2 x)^2 -> 8
   x. */
START_TEST(hooks_are_recorded)
{
    GR_STEP;
    gr_tensor *x = gr_param(V(1, -3));
    gr_on_grad(x, squared, NULL);
    gr_tensor *gx = gr_grad(gr_sum(gr_mul(x, x)), x, .create_graph = true);
    HOLDS(gx, gr_shape(2), 4, 36);
    gr_off_grad(x, squared, NULL);
    HOLDS(gr_grad(gr_sum(gx), x), gr_shape(2), 8, -24);
    gr_tensor *square = gr_mul(x, x);
    gr_on_grad(square, unrecorded, NULL);
    gx = gr_grad(gr_sum(square), x, .create_graph = true);
    HOLDS(gr_grad(gr_sum(gx), x), gr_shape(2), 2, 2);
    nothing_failed();
}
END_TEST

static gr_tensor *keeping(gr_tensor *g, void *ctx)
{
    *(gr_tensor **)ctx = gr_keep(g);
    return NULL;
}

/* What a hook keeps belongs to whoever called backward, also where others hold that gradient; and
   no history is lost by it. */
START_TEST(hooks_may_keep_what_they_see)
{
    gr_tensor *of_x = NULL, *of_y = NULL, *x = gr_param(V(1, -3)), *y = gr_mul(x, x);
    gr_on_grad(x, keeping, &of_x);
    gr_on_grad(y, keeping, &of_y);
    ck_assert(gr_backward(gr_sum(gr_mul(y, y))));
    gr_reset();
    HOLDS(of_x, gr_shape(2), 4, -108);
    HOLDS(of_y, gr_shape(2), 2, 18);
    gr_free(of_x);
    gr_free(of_y);
    HOLDS(gr_grad_of(x), gr_shape(2), 4, -108);
    gr_off_grad(x, keeping, &of_x);
    {
        GR_STEP;
        y = gr_mul(x, x);
        gr_on_grad(y, keeping, &of_y);
        gr_tensor *gx = gr_grad(gr_sum(gr_mul(y, y)), x, .create_graph = true);
        gr_tensor *first = of_y;
        HOLDS(gr_grad(gr_sum(gx), x), gr_shape(2), 12, 108);
        HOLDS(first, gr_shape(2), 2, 18);
        gr_free(first);
    }
    gr_free(x);
    nothing_failed();
}
END_TEST

static gr_tensor *failing(gr_tensor *g, void *ctx) { return gr_add(g, ctx); }

static gr_tensor *recovering(gr_tensor *g, void *ctx)
{
    gr_add(g, ctx);
    gr_clear_error();
    return NULL;
}

START_TEST(failing_hooks)
{
    GR_STEP;
    gr_tensor *x = gr_param(V(1, 2)), *z = gr_mul(x, x), *y = gr_sum(z), *three = V(1, 2, 3),
              *gx[] = { x };
    gr_tensor *ints = gr_from_ints(gr_shape(2), (const int32_t[]){ 1, 2 });
    gr_on_grad(x, failing, three);
    FAILS(
        gr_backward(y, .retain_graph = true), GR_ERR_ARGUMENT, "add: (2) and (3) do not broadcast");
    ck_assert_ptr_null(gr_grad_of(x));
    gr_off_grad(x, failing, three);
    gr_on_grad(z, failing, three);
    FAILS(gr_grads(y, &x, 1, gx, (gr_grad_options){ .create_graph = true }), GR_ERR_ARGUMENT,
        "add: (2) and (3) do not broadcast");
    ck_assert_ptr_null(gx[0]);
    /* a failure that was pending before is not the hook's, but does not hide the hook's either */
    gr_add(x, three);
    ck_assert(!gr_backward(y, .retain_graph = true));
    ck_assert_ptr_null(gr_grad_of(x));
    gr_off_grad(z, failing, three);
    gr_on_grad(z, look, "z");
    ck_assert(gr_backward(y, .retain_graph = true));
    SAW("z", 1);
    gr_clear_error();
    gr_clear_grad(x);
    gr_on_grad(z, instead, three);
    FAILS(gr_backward(y, .retain_graph = true), GR_ERR_GRAPH,
        "backward: a hook gave (3) for the gradient of (2)");
    gr_off_grad(z, instead, three);
    gr_on_grad(z, instead, ints);
    FAILS(gr_backward(y, .retain_graph = true), GR_ERR_GRAPH,
        "backward: a hook gave int32 (2) for the gradient of (2)");
    gr_off_grad(z, instead, ints);
    ck_assert_ptr_null(gr_grad_of(x));
    gr_on_grad(z, recovering, three);
    ck_assert(gr_backward(y));
    HOLDS(gr_grad_of(x), gr_shape(2), 2, 4);
    letters[0] = 0;
    nothing_failed();
}
END_TEST

START_TEST(refused_hooks)
{
    GR_STEP;
    gr_tensor *x = gr_param(V(1)), *c = V(1);
    FAILS(gr_on_grad(NULL, look, "x"), GR_ERR_GRAPH, "on_grad: the tensor is NULL");
    FAILS(gr_on_grad(x, NULL, NULL), GR_ERR_GRAPH, "on_grad: the function is NULL");
    FAILS(gr_on_grad(c, look, "x"), GR_ERR_GRAPH, "on_grad: the tensor has no gradient");
    FAILS(gr_off_grad(NULL, look, "x"), GR_ERR_ARGUMENT, "off_grad: the tensor is NULL");
    FAILS(gr_off_grad(x, look, "x"), GR_ERR_ARGUMENT, "off_grad: the tensor has no such hook");
}
END_TEST

START_TEST(hooks_go_with_their_tensor)
{
    size_t     live = gr_memory().live;
    gr_tensor *x = gr_param(V(1, 2));
    for (int i = 0; i < 3; i++) {
        GR_STEP;
        double     two = 2;
        gr_tensor *z = gr_mul(x, x);
        gr_on_grad(z, times, &two);
        gr_on_grad(z, times, &two);
        gr_on_grad(x, times, &two);
        ck_assert(gr_backward(gr_sum(z)));
        HOLDS(gr_grad_of(x), gr_shape(2),
            i == 0   ? 16
            : i == 1 ? 32
                     : 64,
            i == 0   ? 32
            : i == 1 ? 64
                     : 128);
        gr_clear_grad(x);
    }
    gr_free(x);
    ck_assert_uint_eq(gr_memory().live, live);
    nothing_failed();
}
END_TEST

/* ---- Hessians times vectors ------------------------------------------------------------------ */

/* a^2 b + sum of c^3: Hessian by hand. */
START_TEST(hessian_by_hand)
{
    gr_tensor *a = gr_param(gr_scalar(2)), *b = gr_param(gr_scalar(3)), *c = gr_param(V(1, -2)),
              *lonely = gr_param(V(5));
    size_t live = gr_memory().live;
    {
        GR_STEP;
        gr_tensor *loss = gr_add(gr_mul(gr_mul(a, a), b), gr_sum(gr_mul(c, gr_mul(c, c))));
        gr_tensor *x[] = { a, b, c, lonely },
                  *v[] = { gr_scalar(10), gr_scalar(100), V(1, 2), V(1) }, *hv[4];
        for (int turn = 0; turn < 3; turn++) { /* the history stays */
            ck_assert(gr_hvp(loss, x, 4, v, hv));
            HOLDS(hv[0], SCALAR, 2 * 3 * 10 + 2 * 2 * 100);
            HOLDS(hv[1], SCALAR, 2 * 2 * 10);
            HOLDS(hv[2], gr_shape(2), 6, -24);
            HOLDS(hv[3], gr_shape(1), 0);
            ck_assert(!gr_requires_grad(hv[0]));
        }
        size_t more = gr_memory().live;
        ck_assert(gr_hvp(loss, &a, 1, v, hv));
        size_t one = gr_memory().live - more;
        HOLDS(hv[0], SCALAR, 60);
        ck_assert(gr_hvp(loss, &a, 1, v, hv));
        ck_assert_uint_eq(gr_memory().live - more, 2 * one); /* a result each, and no history */
        {
            GR_NO_GRAD;
            ck_assert(gr_hvp(loss, &b, 1, v, hv)); /* b is linear in the loss */
        }
        HOLDS(hv[0], SCALAR, 0);
        ck_assert_ptr_null(gr_grad_of(a));
        ck_assert(gr_backward(loss));
        HOLDS(gr_grad_of(a), SCALAR, 12);
        gr_tensor *line = gr_sum(gr_scale(c, 3)); /* the gradient does not depend on anything */
        ck_assert(gr_hvp(line, &c, 1, &v[2], hv));
        HOLDS(hv[0], gr_shape(2), 0, 0);
        gr_tensor *same[] = { a, a }, *ones[] = { gr_scalar(1), gr_scalar(1) };
        /* by either name the gradient moves by both */
        ck_assert(gr_hvp(gr_mul(a, a), same, 2, ones, hv));
        HOLDS(hv[0], SCALAR, 4);
        HOLDS(hv[1], SCALAR, 4);
        nothing_failed();
    }
    gr_tensor *x[] = { a, b, c, lonely };
    for (int i = 0; i < 4; i++) gr_clear_grad(x[i]);
    ck_assert_uint_eq(gr_memory().live, live);
    for (int i = 0; i < 4; i++) gr_free(x[i]);
}
END_TEST

/* H v of a small network against H's columns, taken one by one, and H is symmetric. */
START_TEST(hessian_by_columns)
{
    GR_STEP;
    enum { N = 6 };
    gr_rng     rng = gr_rng_of(3, "hessian");
    gr_tensor *w = gr_param(noise(gr_shape(2, 3), &rng)), *data = noise(gr_shape(5, 3), &rng),
              *v = noise(gr_shape(2, 3), &rng), *hv;
    gr_tensor *loss = gr_cross_entropy(
        gr_tanh(gr_linear(data, w)), gr_from_ints(gr_shape(5), (const int32_t[]){ 0, 1, 1, 0, 1 }));
    double column[N][N], wanted[N] = { 0 };
    for (int i = 0; i < N; i++) {
        gr_tensor *unit = gr_zeros(gr_shape(2, 3)), *h;
        gr_data_mut(unit)[i] = 1;
        ck_assert(gr_hvp(loss, &w, 1, &unit, &h));
        for (int j = 0; j < N; j++) {
            column[i][j] = (double)gr_data(h)[j];
            wanted[j] += column[i][j] * (double)gr_data(v)[i];
        }
    }
    ck_assert(gr_hvp(loss, &w, 1, &v, &hv));
    near(hv, gr_shape(2, 3), wanted, ROUGHLY);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < i; j++) ck_assert_double_eq_tol(column[i][j], column[j][i], ROUGHLY);
    ck_assert_double_gt(fabs(wanted[0]), 1e-3);
    nothing_failed();
}
END_TEST

START_TEST(refused_hessians)
{
    GR_STEP;
    gr_tensor *x = gr_param(V(1, 2)), *loss = gr_sum(gr_mul(x, x)), *v = V(1, 2),
              *wide = V(1, 2, 3), *none = NULL, *hv[] = { x };
    FAILS(gr_hvp(NULL, &x, 1, &v, hv), GR_ERR_ARGUMENT, "hvp: the result is NULL");
    FAILS(gr_hvp(loss, &x, 0, &v, hv), GR_ERR_ARGUMENT, "hvp: no tensor to differentiate by");
    FAILS(gr_hvp(loss, &none, 1, &v, hv), GR_ERR_ARGUMENT, "hvp: tensor 1 is NULL");
    FAILS(gr_hvp(gr_scalar(1), &x, 1, &v, hv), GR_ERR_GRAPH,
        "hvp: the result () depends on no parameter, or was made without recording");
    FAILS(gr_hvp(loss, &x, 1, &wide, hv), GR_ERR_ARGUMENT,
        "hvp: vector 1 (3) does not have the shape of tensor 1 (2)");
    FAILS(gr_hvp(loss, &x, 1, &none, hv), GR_ERR_ARGUMENT,
        "hvp: vector 1 NULL does not have the shape of tensor 1 (2)");
    FAILS(gr_hvp(loss, &x, 1, NULL, hv), GR_ERR_ARGUMENT,
        "hvp: vector 1 NULL does not have the shape of tensor 1 (2)");
    FAILS(gr_hvp(gr_mul(x, x), &x, 1, &v, hv), GR_ERR_GRAPH,
        "backward: (2) is not one number; a loss is, or give its gradient as .grad_output");
    ck_assert_ptr_null(hv[0]);
    ck_assert(gr_backward(loss));
    FAILS(gr_hvp(loss, &x, 1, &v, hv), GR_ERR_GRAPH,
        "backward: the history of sum () was used up by an earlier backward; keep it with "
        ".retain_graph");
}
END_TEST

/* ---- the check of gradients ------------------------------------------------------------------ */

#define F(name, expression)                                \
    static gr_tensor *name(gr_tensor *const *x, void *ctx) \
    {                                                      \
        (void)x, (void)ctx;                                \
        return (expression);                               \
    }

F(network,
    gr_cross_entropy(gr_linear(gr_linear(x[0], x[1], .bias = x[2], .act = GR_TANH), x[3]), x[4]))
F(layer, gr_max_pool2d(gr_conv2d(x[0], x[1], .padding = 1, .act = GR_RELU), 2))
F(smooth_layer, gr_avg_pool2d(gr_conv2d(x[0], x[1], .padding = 1, .act = GR_SIGMOID), 2))
F(scaled, gr_scale(x[0], *(const double *)ctx))
F(half_detached, gr_mul(x[0], gr_detach(x[0])))
F(all_detached, gr_exp(gr_detach(x[0])))
F(three_percent, gr_add(gr_exp(x[0]), gr_scale(gr_exp(gr_detach(x[0])), 0.03)))
F(constant, gr_mul(gr_sub(x[0], x[0]), x[0]))
F(no_result, NULL)
F(failed_result, gr_reshape(x[0], gr_shape(77)))
F(ints_result, gr_argmax(x[0], 0))
F(product, gr_mul(x[0], x[1]))

START_TEST(right_gradients)
{
    gr_rng rng = gr_rng_of(5, "right");
    for (int turn = 0; turn < 10; turn++) {
        GR_STEP;
        double     size = turn % 2 ? 1 : 0.1, factor = -3;
        gr_tensor *labels = gr_from_ints(gr_shape(4), (const int32_t[]){ 0, 1, 2, 1 });
#define UNIFORM(...) gr_uniform(gr_shape(__VA_ARGS__), &rng, -size, size)
        gr_tensor *net[] = { UNIFORM(4, 5), UNIFORM(6, 5), UNIFORM(6), UNIFORM(3, 6), labels };
        gr_tensor *conv[] = { UNIFORM(2, 2, 4, 4), UNIFORM(3, 2, 3, 3) }, *a = UNIFORM(3);
        ck_assert_msg(gr_gradcheck(network, net, 5, .second_order = turn < 2), "turn %d: %s", turn,
            gr_error());
        ck_assert_msg(gr_gradcheck(smooth_layer, conv, 2, .second_order = turn == 0), "turn %d: %s",
            turn, gr_error());
        ck_assert_msg(gr_gradcheck(layer, conv, 2), "turn %d: %s", turn, gr_error());
        ck_assert(gr_gradcheck(scaled, &a, 1, .ctx = &factor));
        ck_assert(gr_gradcheck(product, GR_TENSORS(a, a))); /* one input twice: x^2 */
        ck_assert(gr_gradcheck(product, GR_TENSORS(a, UNIFORM(3)), .eps = 1e-3, .tolerance = 0.05));
        GR_NO_GRAD;
        ck_assert(gr_gradcheck(product, GR_TENSORS(a, a)));
    }
    nothing_failed();
}
END_TEST

static gr_tensor *detached(gr_tensor *g, void *ctx)
{
    (void)ctx;
    return gr_detach(g);
}

/* Its first derivative is right; the second gets lost on the way. */
static gr_tensor *once_only(gr_tensor *const *x, void *ctx)
{
    (void)ctx;
    gr_tensor *z = gr_mul(x[0], x[0]);
    gr_tensor *y = gr_exp(z);
    if (gr_requires_grad(z)) gr_on_grad(z, detached, NULL);
    return y;
}

START_TEST(wrong_gradients)
{
    GR_STEP;
    double     zero = 0;
    gr_tensor *x = T(gr_shape(1, 3), 0.25, -0.5, 1);
    double     backward = 0, differences = 0;
    ck_assert(!gr_gradcheck(half_detached, &x, 1));
    ck_assert_int_eq((int)gr_error_code(), GR_ERR_NUMBER);
    ck_assert_int_eq(
        sscanf(gr_error(), "gradcheck: input 1, element (0,2): %lf by backward, %lf by differences",
            &backward, &differences),
        2);
    ck_assert_double_gt(backward, 0.5); /* half of 2 x, weighed by 0.5 .. 1.5 */
    ck_assert_double_eq_tol(differences, 2 * backward, 1e-3);
    gr_clear_error();
    ck_assert(!gr_gradcheck(all_detached, &x, 1));
    ck_assert_ptr_nonnull(strstr(gr_error(), " 0 by backward, "));
    gr_clear_error();
    ck_assert(!gr_gradcheck(three_percent, &x, 1));
    gr_clear_error();
    ck_assert(gr_gradcheck(once_only, &x, 1));
    ck_assert(!gr_gradcheck(once_only, &x, 1, .second_order = true));
    ck_assert_ptr_nonnull(strstr(gr_error(), "gradcheck: second order, input 1, element (0,"));
    gr_clear_error();
    FAILS(gr_gradcheck(constant, &x, 1), GR_ERR_NUMBER,
        "gradcheck: every derivative is zero, which proves nothing; .allow_zero says that it is "
        "meant");
    ck_assert(gr_gradcheck(constant, &x, 1, .allow_zero = true));
    FAILS(gr_gradcheck(scaled, &x, 1, .ctx = &zero), GR_ERR_NUMBER,
        "gradcheck: every derivative is zero, which proves nothing; .allow_zero says that it is "
        "meant");
    zero = 2;
    FAILS(gr_gradcheck(scaled, &x, 1, .ctx = &zero, .second_order = true), GR_ERR_NUMBER,
        "gradcheck: second order, every derivative is zero, which proves nothing; .allow_zero says "
        "that it is meant");
    ck_assert(gr_gradcheck(scaled, &x, 1, .ctx = &zero, .second_order = true, .allow_zero = true));
    gr_data_mut(x)[0] = (gr_real)NAN;
    ck_assert(!gr_gradcheck(product, GR_TENSORS(x, x)));
    gr_clear_error();
}
END_TEST

static gr_tensor *counting(gr_tensor *const *x, void *ctx) { return gr_scale(x[0], ++*(int *)ctx); }

/* Fails at its n-th call. */
static gr_tensor *failing_later(gr_tensor *const *x, void *ctx)
{
    return --*(int *)ctx == 0 ? gr_add(x[0], NULL) : gr_exp(x[0]);
}

START_TEST(inputs_come_back)
{
    GR_STEP;
    gr_tensor *x = V(0.125, -7, 1000), *p = gr_param(V(1, 2, 3)), *both[] = { x, p };
    gr_real    was[3];
    memcpy(was, gr_data(x), sizeof was);
    gr_tensor *before = gr_sum(gr_mul(p, p)); /* a history from before goes on */
    ck_assert(gr_gradcheck(product, both, 2));
    HOLDS(x, gr_shape(3), was[0], was[1], was[2]);
    HOLDS(p, gr_shape(3), 1, 2, 3);
    ck_assert(!gr_requires_grad(x) && gr_requires_grad(p));
    ck_assert_ptr_null(gr_grad_of(p));
    ck_assert(gr_backward(before));
    for (int n = 1; n < 16; n++) {
        int left = n;
        FAILS(gr_gradcheck(failing_later, &x, 1, .ctx = &left), GR_ERR_ARGUMENT,
            "add: input 2 is NULL");
        HOLDS(x, gr_shape(3), was[0], was[1], was[2]);
        ck_assert(!gr_requires_grad(x));
    }
    nothing_failed();
}
END_TEST

START_TEST(refused_checks)
{
    GR_STEP;
    int        calls = 0;
    gr_tensor *x = V(1, 2), *none = NULL, *y = gr_exp(gr_param(V(1)));
    FAILS(gr_gradcheck(NULL, &x, 1), GR_ERR_ARGUMENT, "gradcheck: the function is NULL");
    FAILS(gr_gradcheck(constant, &x, 0), GR_ERR_ARGUMENT, "gradcheck: there is no input");
    FAILS(gr_gradcheck(constant, NULL, 1), GR_ERR_ARGUMENT, "gradcheck: there is no input");
    FAILS(gr_gradcheck(constant, &none, 1), GR_ERR_ARGUMENT, "gradcheck: input 1 is NULL");
    FAILS(gr_gradcheck(constant, &y, 1), GR_ERR_ARGUMENT,
        "gradcheck: input 1 (1) is the result of an operation, a leaf wanted");
    FAILS(gr_gradcheck(no_result, &x, 1), GR_ERR_ARGUMENT, "gradcheck: the function gave NULL");
    FAILS(gr_gradcheck(failed_result, &x, 1), GR_ERR_ARGUMENT,
        "reshape: (2) has 2 elements, shape (77) wanted");
    FAILS(gr_gradcheck(ints_result, &x, 1), GR_ERR_ARGUMENT,
        "gradcheck: the function gave int32, reals wanted");
    ck_assert(!gr_gradcheck(counting, &x, 1, .ctx = &calls));
    ck_assert_ptr_nonnull(strstr(gr_error(), " for the same inputs"));
    gr_clear_error();
}
END_TEST

int main(void)
{
    gr_set_threads(1); /* everything here is small */
    Suite *s = suite_create("derivatives");
    TCase *t = cases(s, "hooks");
    tcase_add_test(t, hooks_in_order);
    tcase_add_test(t, hooks_on_leaves);
    tcase_add_test(t, hooks_hand_back_others);
    tcase_add_test(t, hooks_come_and_go);
    tcase_add_test(t, a_hook_removes_the_next);
    tcase_add_test(t, hooks_take_gradients);
    tcase_add_test(t, hooks_are_recorded);
    tcase_add_test(t, hooks_may_keep_what_they_see);
    tcase_add_test(t, failing_hooks);
    tcase_add_test(t, refused_hooks);
    tcase_add_test(t, hooks_go_with_their_tensor);
    t = cases(s, "Hessians");
    tcase_add_test(t, hessian_by_hand);
    tcase_add_test(t, hessian_by_columns);
    tcase_add_test(t, refused_hessians);
    t = cases(s, "gradcheck");
    tcase_add_test(t, right_gradients);
    tcase_add_test(t, wrong_gradients);
    tcase_add_test(t, inputs_come_back);
    tcase_add_test(t, refused_checks);
    return run(s);
}
