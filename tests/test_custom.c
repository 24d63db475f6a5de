/* test_custom.c: operations of the user's own. In float, and again in double. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "gradus/inspect.h"

/* ---- an operation made of operations: y = tanh x --------------------------------------------- */

static gr_tensor *tanh_of(gr_tensor *x) /* as values alone */
{
    gr_tensor *y = gr_copy(x);
    for (int64_t e = 0; e < gr_count(y); e++)
        gr_data_mut(y)[e] = (gr_real)tanh((double)gr_data(x)[e]);
    return y;
}

static gr_tensor *tanh_rule(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    (void)i, (void)x, (void)ctx;
    return gr_mul(g, gr_sub(gr_scalar(1), gr_mul(y, y)));
}

static gr_tensor *my_tanh(gr_tensor *x)
{
    return gr_custom("my_tanh", tanh_rule, tanh_of(x), GR_TENSORS(x),
        .equation = "y = tanh x; gx = g (1 - y^2)");
}

/* ---- one that is filled in -------------------------------------------------------------------
   y = m x, m (R,C) and x (C), plus the picked of the labels, which have no gradient. */

static int calls[3];

static gr_tensor *product_rule(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    int64_t    rows = gr_size(x[0], 0), columns = gr_size(x[0], 1);
    gr_tensor *gx = gr_zeros(gr_shape_of(x[i]));
    gr_real   *to = gr_data_mut(gx);
    (void)y;
    calls[i]++;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) {
            if (i == 0)
                to[r * columns + c] = gr_data(g)[r] * gr_data(x[1])[c] * *(const gr_real *)ctx;
            if (i == 1)
                to[c] += gr_data(g)[r] * gr_data(x[0])[r * columns + c] * *(const gr_real *)ctx;
        }
    return gx;
}

static gr_tensor *my_product(gr_tensor *m, gr_tensor *x, gr_tensor *labels, gr_real *factor)
{
    gr_tensor *y = gr_scale(gr_matmul(m, gr_reshape(x, gr_shape(gr_count(x), 1))), (double)*factor);
    return gr_custom("my_product", product_rule, gr_reshape(y, gr_shape(gr_size(m, 0))),
        GR_TENSORS(m, x, labels), .ctx = factor);
}

static gr_tensor *check_product(gr_tensor *const *x, void *ctx)
{
    return gr_mul(my_product(x[0], x[1], gr_from_ints(gr_shape(1), (const int32_t[]){ 1 }), ctx),
        gr_from(gr_shape(2), (const gr_real[]){ 1, -2 }));
}

static gr_tensor *check_tanh(gr_tensor *const *x, void *ctx)
{
    (void)ctx;
    return gr_mul(my_tanh(my_tanh(x[0])), x[0]);
}

/* ---- what it computes ------------------------------------------------------------------------ */

START_TEST(first_derivatives)
{
    GR_STEP;
    gr_real    two = 2;
    gr_tensor *m = gr_param(T(gr_shape(2, 3), 1, 2, 3, 4, 5, 6)),
              *x = gr_param(T(gr_shape(3), 1, 0, -1)),
              *labels = gr_from_ints(gr_shape(1), (const int32_t[]){ 1 });
    gr_tensor *y = my_product(m, x, labels, &two);
    HOLDS(y, gr_shape(2), -4, -4);
    memset(calls, 0, sizeof calls);
    ck_assert(gr_backward(gr_sum(gr_mul(y, y))));
    HOLDS(gr_grad_of(m), gr_shape(2, 3), -16, 0, 16, -16, 0, 16);
    HOLDS(gr_grad_of(x), gr_shape(3), -16 * 5, -16 * 7, -16 * 9);
    ck_assert_int_eq(calls[0], 1);
    ck_assert_int_eq(calls[1], 1);
    ck_assert_int_eq(calls[2], 0);

    /* Only what is asked for. */
    memset(calls, 0, sizeof calls);
    y = my_product(m, gr_detach(x), labels, &two);
    HOLDS(gr_grad(gr_sum(y), m), gr_shape(2, 3), 2, 0, -2, 2, 0, -2);
    ck_assert_int_eq(calls[1], 0);
    nothing_failed();
}
END_TEST

START_TEST(agrees_with_differences)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "custom");
    gr_real    factor = (gr_real)0.5;
    gr_tensor *x = noise(gr_shape(2, 3), &rng);
    ck_assert(gr_gradcheck(check_tanh, GR_TENSORS(x), .second_order = true));
    ck_assert(gr_gradcheck(check_product,
        GR_TENSORS(noise(gr_shape(2, 3), &rng), noise(gr_shape(3), &rng)), .ctx = &factor));
    nothing_failed();
}
END_TEST

/* Against gr_tanh, order by order. */
START_TEST(higher_derivatives)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(3), (gr_real)0.5, -1, 2)), *mine = my_tanh(x),
              *given = gr_tanh(x);
    for (int order = 1; order <= 4; order++) {
        mine = gr_grad(gr_sum(mine), x, .create_graph = true);
        given = gr_grad(gr_sum(given), x, .create_graph = true);
        const gr_real *v = gr_data(given);
        NEAR(mine, gr_shape(3), 20 * ROUGHLY, (double)v[0], (double)v[1], (double)v[2]);
    }
    nothing_failed();
}
END_TEST

static gr_tensor *reversed(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    (void)i, (void)x, (void)y, (void)ctx;
    return gr_neg(g);
}

static gr_tensor *straight_through(
    int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    (void)i, (void)x, (void)y, (void)ctx;
    return g;
}

/* Rules that do not look at x, recorded: second derivatives of zero. The result's own history does
   not count. */
START_TEST(linear_rules)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 3, -4)),
              *y = gr_custom("reversed", reversed, x, GR_TENSORS(x));
    HOLDS(y, gr_shape(2), 3, -4);
    /* a result of its own, not x's numbers */
    gr_data_mut(gr_custom("copied", reversed, x, GR_TENSORS(x)))[0] = 100;
    HOLDS(x, gr_shape(2), 3, -4);
    gr_tensor *g = gr_grad(gr_sum(y), x, .create_graph = true);
    HOLDS(g, gr_shape(2), -1, -1);
    HOLDS(gr_grad(gr_sum(gr_mul(g, x)), x, .create_graph = true), gr_shape(2), -1, -1);
    gr_tensor *rounded = gr_custom("rounded", straight_through, gr_sign(x), GR_TENSORS(x));
    HOLDS(rounded, gr_shape(2), 1, -1);
    HOLDS(gr_grad(gr_sum(gr_mul(rounded, x)), x, .create_graph = true), gr_shape(2), 4, -5);
    HOLDS(
        gr_grad(gr_sum(gr_custom("halved", straight_through, gr_scale(x, 0.5), GR_TENSORS(x))), x),
        gr_shape(2), 1, 1);
    nothing_failed();
}
END_TEST

START_TEST(not_recorded)
{
    GR_STEP;
    gr_tensor *x = T(gr_shape(2), 1, 2);
    ck_assert(!gr_requires_grad(gr_custom("reversed", reversed, x, GR_TENSORS(x))));
    gr_param(x);
    ck_assert(gr_requires_grad(gr_custom("reversed", reversed, x, GR_TENSORS(x))));
    GR_NO_GRAD;
    ck_assert(!gr_requires_grad(gr_custom("reversed", reversed, x, GR_TENSORS(x))));
    nothing_failed();
}
END_TEST

/* The name and the equation may go away; many inputs; a scalar; no elements. */
START_TEST(told)
{
    GR_STEP;
    char       name[] = "short_lived", equation[] = "y = -x; gx = a rule\n of mine";
    gr_tensor *x = gr_param(T(gr_shape(2), 3, 4)), *many[40];
    gr_tensor *y = gr_custom(name, reversed, gr_neg(x), GR_TENSORS(x), .equation = equation);
    memset(name, 'X', sizeof name - 1);
    memset(equation, 'X', sizeof equation - 1);
    const char *text = gr_explain_format(gr_sum(y));
    ck_assert_ptr_nonnull(strstr(text, "  short_lived"));
    ck_assert_ptr_nonnull(strstr(text, "y = -x\n"));
    ck_assert_ptr_nonnull(strstr(text, "gx = a rule? of mine\n"));
    ck_assert_ptr_nonnull(
        gr_explain_format(gr_sum(gr_custom("plain", reversed, gr_neg(x), GR_TENSORS(x)))));
    for (int i = 0; i < 40; i++) many[i] = x;
    ck_assert(gr_backward(gr_sum(gr_custom("many", straight_through, x, many, 40))));
    HOLDS(gr_grad_of(x), gr_shape(2), 40, 40);
    gr_tensor *none = gr_param(gr_zeros(gr_shape(0, 3)));
    HOLDS(gr_grad(gr_sum(gr_custom("none", reversed, none, GR_TENSORS(none))), none),
        gr_shape(0, 3), 0);
    gr_tensor *s = gr_param(gr_scalar(2));
    ck_assert(gr_backward(my_tanh(s)));
    nothing_failed();
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------- */

START_TEST(refused_calls)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 1, 2)),
              *labels = gr_from_ints(gr_shape(2), (const int32_t[]){ 1, 2 });
    FAILS(gr_custom(NULL, reversed, x, GR_TENSORS(x)), GR_ERR_ARGUMENT,
        "custom: the name 'NULL' is not 1 to 40 letters, digits and _");
    FAILS(gr_custom("", reversed, x, GR_TENSORS(x)), GR_ERR_ARGUMENT,
        "custom: the name '' is not 1 to 40 letters, digits and _");
    FAILS(gr_custom("<b>", reversed, x, GR_TENSORS(x)), GR_ERR_ARGUMENT,
        "custom: the name '<b>' is not 1 to 40 letters, digits and _");
    FAILS(gr_custom("a234567890123456789012345678901234567890x", reversed, x, GR_TENSORS(x)),
        GR_ERR_ARGUMENT,
        "custom: the name 'a234567890123456789012345678901234567890x' is not 1 to 40 letters, "
        "digits and _");
    ck_assert_ptr_nonnull(
        gr_custom("a234567890123456789012345678901234567890", reversed, x, GR_TENSORS(x)));
    FAILS(gr_custom("mine", NULL, x, GR_TENSORS(x)), GR_ERR_ARGUMENT,
        "mine: the backward function is NULL");
    FAILS(gr_custom("mine", reversed, NULL, GR_TENSORS(x)), GR_ERR_ARGUMENT,
        "mine: the result is NULL");
    FAILS(gr_custom("mine", reversed, labels, GR_TENSORS(x)), GR_ERR_ARGUMENT,
        "mine: the result (2) is int32, real wanted");
    FAILS(gr_custom("mine", reversed, x, NULL, 1), GR_ERR_ARGUMENT, "mine: there is no input");
    FAILS(gr_custom("mine", reversed, x, &x, 0), GR_ERR_ARGUMENT, "mine: there is no input");
    FAILS(gr_custom("mine", reversed, x, GR_TENSORS(x, NULL)), GR_ERR_ARGUMENT,
        "mine: input 2 is NULL");
    FAILS(gr_custom("mine", reversed, gr_neg(NULL), GR_TENSORS(x)), GR_ERR_ARGUMENT,
        "neg: input 1 is NULL");
}
END_TEST

/* Rules that err: which, ctx says. */
enum { NOTHING, TRANSPOSED, INTEGERS, CHANGED, FAILED, STOPPED };

static gr_tensor *bad_rule(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    (void)i, (void)y;
    switch (*(int *)ctx) {
    case TRANSPOSED:
        return gr_transpose(g, 0, 1);
    case INTEGERS:
        return gr_from_ints(gr_shape(2, 3), (const int32_t[6]){ 0 });
    case CHANGED:
        gr_data_mut(g)[0] = 7;
        return g;
    case FAILED:
        return gr_matmul(g, x[0]);
    case STOPPED:
        gr_set_recording(false);
        return gr_scale(g, 2);
    default:
        return NULL;
    }
}

static bool backward_of(int kind)
{
    gr_tensor *x = gr_param(gr_ones(gr_shape(2, 3)));
    bool       good = gr_backward(
        gr_sum(gr_mul(gr_custom("mine", bad_rule, gr_neg(x), GR_TENSORS(x), .ctx = &kind), x)));
    ck_assert(good || !gr_grad_of(x));
    return good;
}

START_TEST(refused_gradients)
{
    GR_STEP;
    FAILS(backward_of(NOTHING), GR_ERR_GRAPH, "backward: mine gave no gradient for input 1");
    FAILS(backward_of(TRANSPOSED), GR_ERR_GRAPH,
        "backward: mine gave a gradient (3,2) for input 1 (2,3)");
    FAILS(backward_of(INTEGERS), GR_ERR_GRAPH,
        "backward: mine gave an int32 gradient (2,3) for input 1");
    FAILS(backward_of(CHANGED), GR_ERR_GRAPH,
        "backward: mine changed the gradient (2,3) that it was given");
    FAILS(backward_of(FAILED), GR_ERR_ARGUMENT,
        "matmul: (2,3) and (2,3): inner sizes must be equal and leading ones broadcast");
    ck_assert(backward_of(STOPPED));
    nothing_failed();
}
END_TEST

/* A gradient that is filled in cannot be recorded; one that stops recording is found out, too. */
START_TEST(refused_second_derivatives)
{
    GR_STEP;
    int        stopped = STOPPED;
    gr_real    two = 2;
    gr_tensor *m = gr_param(gr_ones(gr_shape(2, 3))), *x = gr_ones(gr_shape(3)),
              *labels = gr_from_ints(gr_shape(1), (const int32_t[]){ 1 });
    gr_tensor *y = gr_sum(my_product(m, x, labels, &two));
    FAILS(gr_grad(y, m, .create_graph = true), GR_ERR_GRAPH,
        "backward: my_product's gradient for input 1 is not made of g by operations, so it cannot "
        "be differentiated again");
    ck_assert_ptr_nonnull(gr_grad(y, m)); /* it has not been used up */
    y = gr_sum(gr_custom("mine", bad_rule, gr_neg(m), GR_TENSORS(m), .ctx = &stopped));
    FAILS(gr_grad(y, m, .create_graph = true), GR_ERR_GRAPH,
        "backward: mine's gradient for input 1 is not made of g by operations, so it cannot be "
        "differentiated again");
    ck_assert(gr_set_recording(true));
    FAILS(gr_gradcheck(check_product, GR_TENSORS(gr_ones(gr_shape(2, 3)), x), .ctx = &two,
              .second_order = true),
        GR_ERR_GRAPH,
        "backward: my_product's gradient for input 1 is not made of g by operations, so it cannot "
        "be differentiated again");
}
END_TEST

START_TEST(values_changed)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 1, 2)), *y = tanh_of(x),
              *z = gr_custom("my_tanh", tanh_rule, y, GR_TENSORS(x));
    gr_data_mut(y)[0] = 100; /* z has a copy */
    ck_assert_ptr_nonnull(gr_grad(gr_sum(z), x, .retain_graph = true));
    gr_data_mut(x)[0] = 100;
    FAILS(gr_backward(gr_sum(z)), GR_ERR_GRAPH,
        "backward: an input (2) of my_tanh was changed after it was recorded");
    gr_detect_anomaly(true);
    gr_data_mut(y)[1] = (gr_real)INFINITY;
    FAILS(gr_custom("my_tanh", tanh_rule, y, GR_TENSORS(x)), GR_ERR_NUMBER,
        "my_tanh: forward gave inf at element 1 of (2)");
    gr_detect_anomaly(false);
}
END_TEST

/* ---- memory: what a rule makes goes away, also outside any step ------------------------------ */

START_TEST(no_leak)
{
    gr_tensor *x = gr_param(T(gr_shape(2), (gr_real)0.5, 2)), *y = tanh_of(x);
    size_t     live = gr_memory().live;
    for (int i = 0; i < 3; i++) {
        gr_tensor *loss = gr_sum(gr_custom("my_tanh", tanh_rule, y, GR_TENSORS(x)));
        ck_assert_ptr_nonnull(gr_grad(gr_sum(gr_grad(loss, x, .create_graph = true)), x));
        ck_assert(gr_reset());
        ck_assert_uint_eq(gr_memory().live, live);
    }
    nothing_failed();
    gr_free(x);
    gr_free(y);
}
END_TEST

int main(void)
{
    gr_set_threads(1);
    Suite *s = suite_create("custom");
    TCase *t = cases(s, "gradients");
    tcase_add_test(t, first_derivatives);
    tcase_add_test(t, agrees_with_differences);
    tcase_add_test(t, higher_derivatives);
    tcase_add_test(t, linear_rules);
    tcase_add_test(t, not_recorded);
    tcase_add_test(t, told);
    t = cases(s, "refused");
    tcase_add_test(t, refused_calls);
    tcase_add_test(t, refused_gradients);
    tcase_add_test(t, refused_second_derivatives);
    tcase_add_test(t, values_changed);
    t = cases(s, "memory");
    tcase_add_test(t, no_leak);
    return run(s);
}
