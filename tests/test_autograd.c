/* test_autograd.c: the backward scan, the gradients it leaves, and what it refuses. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "core/core.h"

/* ---- the plain case -------------------------------------------------------------------------- */

START_TEST(square)
{
    gr_tensor *x = gr_param(gr_scalar(3));
    ck_assert_ptr_null(gr_grad_of(x));
    ck_assert(gr_backward(gr_mul(x, x)));
    ck_assert_double_eq(gr_item(gr_grad_of(x)), 6);
    nothing_failed();
    gr_reset();
    gr_free(x);
}
END_TEST

START_TEST(reused_operands)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 3, -2)), *y = gr_mul(x, x),
              *z = gr_add(gr_mul(y, x), gr_sub(y, x));
    ck_assert(gr_backward(gr_sum(gr_add(z, z)))); /* 2 (x^3 + x^2 - x) */
    HOLDS(gr_grad_of(x), gr_shape(2), 2 * (27 + 6 - 1), 2 * (12 - 4 - 1));
    gr_clear_grad(x);
    ck_assert_ptr_null(gr_grad_of(x));
    gr_tensor *many[40];
    for (int i = 0; i < 40; i++) many[i] = i % 2 ? x : gr_scale(x, i);
    ck_assert(gr_backward(gr_sum(gr_concat(many, 40, 0))));
    HOLDS(gr_grad_of(x), gr_shape(2), 400, 400); /* 20 + 0 + 2 + ... + 38 */
    nothing_failed();
}
END_TEST

/* d / dx of the same sum by way of views, which share storage. */
START_TEST(views)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2, 2), 1, 2, 3, 4)), *flat = gr_reshape(x, gr_shape(4)),
              *row = gr_slice(x, 0, 1, 2), *same = gr_flatten(x);
    gr_tensor *loss = gr_add(gr_sum(gr_mul(flat, gr_reshape(same, gr_shape(4)))),
        gr_sum(gr_mul(row, gr_slice(gr_reshape(flat, gr_shape(2, 2)), 0, 0, 1))));
    ck_assert(gr_backward(loss)); /* sum x^2 + x3 x1 + x4 x2 */
    HOLDS(gr_grad_of(x), gr_shape(2, 2), 5, 8, 7, 10);
    gr_clear_grad(x);
    gr_tensor *a = gr_reshape(x, gr_shape(4)),
              *parts = gr_concat(
                  GR_TENSORS(gr_slice(a, 0, 0, 2), gr_slice(a, 0, 0, 2), gr_slice(a, 0, 1, 3)), 0);
    ck_assert(gr_backward(gr_sum(gr_mul(parts, gr_add(gr_arange(6), gr_scalar(1))))));
    HOLDS(gr_grad_of(x), gr_shape(2, 2), 1 + 3, 2 + 4 + 5, 6, 0);
    nothing_failed();
}
END_TEST

START_TEST(accumulation)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 1, 2)), *y = gr_param(gr_scalar(5));
    for (int i = 1; i <= 3; i++) {
        ck_assert(gr_backward(gr_sum(gr_mul(x, y))));
        HOLDS(gr_grad_of(x), gr_shape(2), (gr_real)(5 * i), (gr_real)(5 * i));
        HOLDS(gr_grad_of(y), SCALAR, (gr_real)(3 * i));
    }
    gr_clear_grad(y);
    ck_assert(gr_backward(gr_mul(y, y)));
    HOLDS(gr_grad_of(y), SCALAR, 10);
    HOLDS(gr_grad_of(x), gr_shape(2), 15, 15);
    gr_clear_grad(NULL);
    nothing_failed();
}
END_TEST

START_TEST(parameter_as_loss)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(3));
    ck_assert(gr_backward(x));
    ck_assert(gr_backward(gr_reshape(x, gr_shape(1, 1))));
    ck_assert_double_eq(gr_item(gr_grad_of(x)), 2);
    ck_assert_double_eq(gr_item(gr_grad(x, x)), 1);
    nothing_failed();
}
END_TEST

START_TEST(retained_gradients)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 1, 2)), *h = gr_retain_grad(gr_mul(x, x)),
              *unseen = gr_mul(x, x);
    gr_tensor *loss = gr_retain_grad(gr_sum(gr_mul(h, gr_add(h, unseen))));
    ck_assert(gr_backward(loss, .retain_graph = true));
    HOLDS(gr_grad_of(loss), SCALAR, 1);
    HOLDS(gr_grad_of(h), gr_shape(2), 3, 12); /* 2 h + unseen */
    ck_assert_ptr_null(gr_grad_of(unseen));
    HOLDS(gr_grad_of(x), gr_shape(2), 8, 64); /* d 2 x^4 */
    ck_assert(gr_backward(loss));
    HOLDS(gr_grad_of(h), gr_shape(2), 6, 24);
    HOLDS(gr_grad_of(x), gr_shape(2), 16, 128);
    FAILS(gr_retain_grad(NULL), GR_ERR_GRAPH, "retain_grad: the tensor is NULL");
    FAILS(gr_retain_grad(gr_scalar(1)), GR_ERR_GRAPH,
        "retain_grad: the tensor has no gradient to retain");
}
END_TEST

/* A ReLU under max pooling is gone through on the pooled numbers, unless somebody sees the gradient
   between the two: same bits. */
typedef enum witness { UNWATCHED, RETAINED, HOOKED, ASKED, CREATED, USED_TWICE, WAYS } witness;

static gr_tensor *hands_on(gr_tensor *g, void *ctx)
{
    *(double *)ctx = gr_item(gr_sum(gr_abs(g)));
    return NULL;
}

/* The gradient of the kernel, or of x where there is none; *between: the sum of the absolute
   gradients of what the ReLU made, if seen. */
static gr_tensor *through_pool(
    gr_tensor *x, gr_tensor *k, bool overlapping, witness way, double *between)
{
    gr_tensor *y = k ? gr_conv2d(x, k, .act = GR_RELU) : gr_relu(x), *leaf = k ? k : x;
    gr_tensor *pooled = gr_max_pool2d(y, 2, .stride = overlapping ? 1 : 2);
    gr_tensor *loss =
        gr_sum(gr_mul(pooled, gr_reshape(gr_arange(gr_count(pooled)), gr_shape_of(pooled))));
    if (way == USED_TWICE) loss = gr_add(loss, gr_sum(y));
    if (way == ASKED || way == CREATED) {
        gr_tensor *both[2] = { leaf, y }, *g[2];
        ck_assert(gr_grads(loss, both, way == ASKED ? 2 : 1, g,
            (gr_grad_options){ .create_graph = way == CREATED }));
        if (way == ASKED) *between = gr_item(gr_sum(gr_abs(g[1])));
        return g[0];
    }
    if (way == RETAINED) gr_retain_grad(y);
    if (way == HOOKED) gr_on_grad(y, hands_on, between);
    ck_assert(gr_backward(loss));
    if (way == RETAINED) *between = gr_item(gr_sum(gr_abs(gr_grad_of(y))));
    gr_tensor *g = gr_copy(gr_grad_of(leaf));
    gr_clear_grad(x), gr_clear_grad(leaf);
    return g;
}

START_TEST(rectified_then_pooled)
{
    gr_rng rng = gr_rng_of(1, "pooled");
    for (int i = 0; i < 4; i++) {
        GR_STEP;
        bool       overlapping = i % 2;
        /* often a whole window of zeros */
        gr_tensor *shifted = gr_sub(noise(gr_shape(2, 3, 9, 9), &rng), gr_scalar(0.6));
        gr_tensor *x = gr_param(gr_detach(shifted));
        gr_tensor *k = i < 2 ? gr_param(noise(gr_shape(4, 3, 3, 3), &rng)) : NULL, *plain = NULL;
        double     seen[WAYS] = { 0 };
        for (witness way = UNWATCHED; way < USED_TWICE; way++) {
            gr_tensor *g = through_pool(x, k, overlapping, way, &seen[way]);
            if (!plain) plain = g;
            holds(g, gr_shape_of(plain), gr_data(plain));
        }
        ck_assert_double_eq(seen[RETAINED], seen[HOOKED]);
        ck_assert_double_eq(seen[RETAINED], seen[ASKED]);
        gr_tensor *twice = through_pool(x, k, overlapping, USED_TWICE, &seen[USED_TWICE]);
        gr_tensor *y = k ? gr_conv2d(x, k, .act = GR_RELU) : gr_relu(x);
        gr_tensor *rest = gr_grad(gr_sum(y), k ? k : x), *sum = gr_add(plain, rest);
        for (int64_t e = 0; e < gr_count(sum); e++)
            ck_assert_double_eq_tol((double)gr_data(twice)[e], (double)gr_data(sum)[e],
                ROUGHLY * (1 + fabs((double)gr_data(sum)[e])));
    }
    nothing_failed();
}
END_TEST

/* add hands one gradient on to both operands; what else one of them gets, from further down, must
   not reach the other. */
START_TEST(shared_gradients_are_not_added_to)
{
    GR_STEP;
    gr_tensor *a = gr_param(T(gr_shape(2), 1, 2)), *b = gr_param(T(gr_shape(2), 3, 4)),
              *alone = gr_sum(gr_scale(a, 5));
    gr_tensor *u = gr_scale(a, 1), *v = gr_scale(b, 1), *below = gr_sum(gr_scale(u, 7));
    ck_assert(gr_backward(
        gr_add(gr_add(alone, below), gr_add(gr_sum(gr_add(a, b)), gr_sum(gr_add(u, v))))));
    HOLDS(gr_grad_of(a), gr_shape(2), 14, 14);
    HOLDS(gr_grad_of(b), gr_shape(2), 2, 2);
    nothing_failed();
}
END_TEST

/* Gradients that a rule hands on unchanged to several receivers are each one's own. */
START_TEST(gradients_do_not_alias)
{
    GR_STEP;
    gr_tensor *a = gr_param(T(gr_shape(2), 1, 2)), *b = gr_param(T(gr_shape(2), 3, 4)),
              *c = gr_retain_grad(gr_add(a, b));
    ck_assert(gr_backward(gr_sum(gr_reshape(c, gr_shape(2, 1)))));
    gr_data_mut(gr_grad_of(a))[0] = 100;
    HOLDS(gr_grad_of(b), gr_shape(2), 1, 1);
    HOLDS(gr_grad_of(c), gr_shape(2), 1, 1);
    gr_tensor *out = T(gr_shape(2), 5, 6), *g[4];
    for (int create = 0; create < 2; create++) {
        gr_tensor *y = gr_add(a, b);
        ck_assert(gr_grads(y, (gr_tensor *[]){ a, b, a, y }, 4, g,
            (gr_grad_options){ .grad_output = out, .create_graph = create }));
        for (int i = 0; i < 4; i++) {
            HOLDS(g[i], gr_shape(2), 5, 6);
            ck_assert_ptr_ne(g[i], out);
            for (int j = 0; j < i; j++) ck_assert_ptr_ne(g[i], g[j]);
        }
        if (!create) gr_data_mut(g[0])[0] = 7;
        HOLDS(out, gr_shape(2), 5, 6);
        HOLDS(g[1], gr_shape(2), 5, 6);
        HOLDS(g[2], gr_shape(2), 5, 6);
    }
}
END_TEST

/* What the tape needs of a tensor outlives its gr_free; a kept result outlives its step, without
   its history. */
START_TEST(freed_and_kept)
{
    gr_tensor *x = gr_param(gr_scalar(3)), *c = gr_scalar(4), *kept;
    {
        GR_STEP;
        gr_tensor *y = gr_mul(x, c), *z = gr_mul(y, y);
        gr_free(c);
        gr_free(y);
        ck_assert(gr_backward(z));
        ck_assert_double_eq(gr_item(gr_grad_of(x)), 2 * 3 * 16);
        gr_clear_grad(x);
        kept = gr_keep(gr_mul(x, x));
        ck_assert(!gr_requires_grad(kept));
        FAILS(gr_backward(kept), GR_ERR_GRAPH,
            "backward: the loss () depends on no parameter, or was made without recording");
        ck_assert(gr_backward(gr_mul(kept, x)));
        ck_assert_double_eq(gr_item(gr_grad_of(x)), 9);
    }
    ck_assert_double_eq(gr_item(kept), 9);
    gr_free(kept);
    gr_free(x);
}
END_TEST

/* ---- not recording --------------------------------------------------------------------------- */

START_TEST(no_grad_and_detach)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(3));
    {
        GR_NO_GRAD;
        ck_assert(!gr_requires_grad(gr_mul(x, x)));
        {
            GR_NO_GRAD;
        }
        ck_assert(!gr_requires_grad(gr_mul(x, x)));
        ck_assert(!gr_set_recording(true));
        ck_assert(gr_requires_grad(gr_mul(x, x)));
        FAILS(gr_backward(gr_detach(x)), GR_ERR_GRAPH,
            "backward: the loss () depends on no parameter, or was made without recording");
    }
    ck_assert(gr_set_recording(true));
    gr_tensor *y = gr_mul(x, x), *d = gr_detach(y), *copy = gr_copy(y);
    ck_assert(gr_requires_grad(y) && !gr_requires_grad(d) && !gr_requires_grad(copy));
    ck_assert_ptr_eq(gr_data(d), gr_data(y));
    ck_assert_ptr_ne(gr_data(copy), gr_data(y));
    ck_assert(gr_backward(gr_mul(y, d)));
    ck_assert_double_eq(gr_item(gr_grad_of(x)), 2 * 3 * 9);
    FAILS(gr_detach(NULL), GR_ERR_ARGUMENT, "detach: the tensor is NULL");
}
END_TEST

/* By default backward records nothing, and does not stop what comes after it from being
   recorded. */
START_TEST(backward_records_nothing)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(2)), *y = gr_mul(gr_mul(x, x), x), *g = gr_grad(y, x);
    ck_assert(!gr_requires_grad(g));
    ck_assert_double_eq(gr_item(g), 12);
    ck_assert(gr_requires_grad(gr_mul(x, x)));
    GR_NO_GRAD;
    gr_set_recording(true);
    y = gr_mul(gr_mul(x, x), x);
    gr_set_recording(false);
    g = gr_grad(y, x, .create_graph = true); /* asked for by name, so recorded */
    ck_assert(gr_requires_grad(g));
    ck_assert(!gr_requires_grad(gr_mul(x, x)));
    ck_assert_double_eq(gr_item(gr_grad(g, x)), 12);
    nothing_failed();
}
END_TEST

/* ---- what backward refuses ------------------------------------------------------------------- */

START_TEST(no_loss)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2, 3), 1, 2, 3, 4, 5, 6)), *c = gr_scalar(1);
    FAILS(gr_backward(gr_mul(x, x)), GR_ERR_GRAPH,
        "backward: (2,3) is not one number; a loss is, or give its gradient as .grad_output");
    FAILS(gr_backward(x), GR_ERR_GRAPH,
        "backward: (2,3) is not one number; a loss is, or give its gradient as .grad_output");
    FAILS(gr_grad(gr_mul(x, x), x), GR_ERR_GRAPH,
        "backward: (2,3) is not one number; a loss is, or give its gradient as .grad_output");
    FAILS(gr_backward(gr_sum(gr_zeros(gr_shape(2)))), GR_ERR_GRAPH,
        "backward: the loss () depends on no parameter, or was made without recording");
    FAILS(gr_backward(c), GR_ERR_GRAPH,
        "backward: the loss () depends on no parameter, or was made without recording");
    FAILS(gr_backward(gr_argmax(gr_reshape(x, gr_shape(6)), 0)), GR_ERR_GRAPH,
        "backward: the loss () depends on no parameter, or was made without recording");
    FAILS(gr_backward(NULL), GR_ERR_ARGUMENT, "backward: the loss is NULL");
    ck_assert_ptr_null(gr_grad_of(x));
    ck_assert_ptr_null(gr_grad_of(NULL));
    ck_assert(!gr_backward(gr_sum(gr_add(x, gr_zeros(gr_shape(4)))))); /* the first failure stays */
    failed_with(GR_ERR_ARGUMENT, "add: (2,3) and (4) do not broadcast");
}
END_TEST

START_TEST(used_up)
{
    GR_STEP;
    gr_tensor        *x = gr_param(gr_scalar(3)), *y = gr_mul(x, x), *loss = gr_exp(y);
    const char *const exp_used = "backward: the history of exp () was used up by an earlier "
                                 "backward; keep it with .retain_graph";
    const char *const mul_used = "backward: the history of mul () was used up by an earlier "
                                 "backward; keep it with .retain_graph";
    ck_assert(gr_backward(loss));
    double once = gr_item(gr_grad_of(x));
    FAILS(gr_backward(loss), GR_ERR_GRAPH, exp_used);
    FAILS(gr_grad(loss, x), GR_ERR_GRAPH, exp_used);
    FAILS(gr_grad(loss, x, .allow_unused = true), GR_ERR_GRAPH, exp_used);
    FAILS(gr_backward(gr_add(y, x)), GR_ERR_GRAPH, mul_used);
    FAILS(gr_grad(gr_add(gr_neg(y), x), x), GR_ERR_GRAPH, mul_used);
    ck_assert_double_eq(gr_item(gr_grad_of(x)), once);
    ck_assert_double_eq(gr_item(y), 9); /* values stay readable */
    /* what lies below y is not needed */
    ck_assert_double_eq(gr_item(gr_grad(gr_mul(y, y), y)), 18);
    nothing_failed();
    gr_tensor *again = gr_mul(x, x);
    ck_assert(gr_grad(again, x, .retain_graph = true) && gr_grad(again, x, .create_graph = true) &&
              gr_backward(again, .retain_graph = true));
    ck_assert(gr_grad(again, x));
    FAILS(gr_backward(again), GR_ERR_GRAPH, mul_used);
}
END_TEST

START_TEST(changed_values)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 1, 2)), *w = gr_param(T(gr_shape(2), 3, 4)),
              *y = gr_exp(x), *loss = gr_sum(gr_mul(y, w));
    gr_data_mut(w)[0] = 5;
    FAILS(gr_backward(loss), GR_ERR_GRAPH,
        "backward: an input (2) of mul was changed after it was recorded");
    ck_assert(!gr_grad_of(x) && !gr_grad_of(w));
    loss = gr_sum(gr_mul(y, w));
    gr_data_mut(gr_reshape(y, gr_shape(2, 1)))[1] = 0; /* through a view */
    FAILS(gr_backward(loss), GR_ERR_GRAPH,
        "backward: an input (2) of mul was changed after it was recorded");
    FAILS(gr_backward(gr_sum(y)), GR_ERR_GRAPH,
        "backward: the result (2) of exp was changed after it was recorded");
    gr_tensor *labels = gr_from_ints(gr_shape(1), (const int32_t[]){ 1 });
    loss = gr_cross_entropy(gr_reshape(x, gr_shape(1, 2)), labels);
    gr_ints_mut(labels)[0] = 0;
    FAILS(gr_backward(loss), GR_ERR_GRAPH,
        "backward: an input (1) of cross_entropy was changed after it was recorded");
    ck_assert(!gr_grad_of(x) && !gr_grad_of(w));
    ck_assert(gr_backward(gr_sum(gr_mul(gr_exp(x), w))));
}
END_TEST

/* The failure comes after some leaves have had their gradient: none of them changes. */
START_TEST(failure_changes_nothing)
{
    GR_STEP;
    gr_tensor *a = gr_param(gr_scalar(2)), *b = gr_param(gr_scalar(3)), *c = gr_param(gr_scalar(4));
    ck_assert(gr_backward(gr_mul(gr_mul(a, b), c)));
    gr_tensor *early = gr_exp(a), *loss = gr_mul(gr_mul(early, b), c);
    gr_data_mut(early)[0] = 1;
    ck_assert(!gr_backward(loss));
    gr_clear_error();
    HOLDS(gr_grad_of(a), SCALAR, 12);
    HOLDS(gr_grad_of(b), SCALAR, 8);
    HOLDS(gr_grad_of(c), SCALAR, 6);
    ck_assert(gr_backward(gr_mul(gr_mul(a, b), c)));
    HOLDS(gr_grad_of(c), SCALAR, 12);
}
END_TEST

/* ---- gr_grad --------------------------------------------------------------------------------- */

START_TEST(grads_of_intermediates)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 1, 2)), *h = gr_mul(x, x),
              *y = gr_sum(gr_mul(h, gr_add(h, x))), *c = gr_scalar(2), *g[3];
    ck_assert(
        gr_grads(y, (gr_tensor *[]){ h, x, h }, 3, g, (gr_grad_options){ .retain_graph = true }));
    HOLDS(g[0], gr_shape(2), 3, 10);          /* 2 h + x */
    HOLDS(g[1], gr_shape(2), 4 + 3, 32 + 12); /* d x^4 + x^3 */
    HOLDS(g[2], gr_shape(2), 3, 10);
    ck_assert(!gr_grad_of(x) && !gr_grad_of(h));
    HOLDS(gr_grad(y, h, .retain_graph = true), gr_shape(2), 3, 10);
    HOLDS(gr_grad(y, y, .retain_graph = true), SCALAR, 1);
    /* a constant, too, if it was part of what was recorded */
    HOLDS(gr_grad(gr_mul(gr_sum(x), c), c), SCALAR, 3);
    nothing_failed();
    gr_tensor *mine[2] = { x, x };
    FAILS(gr_grads(y, (gr_tensor *[]){ x, c }, 2, mine, (gr_grad_options){ .retain_graph = true }),
        GR_ERR_GRAPH, "grad: the result does not depend on tensor 2 (); .allow_unused gives zeros");
    ck_assert(!mine[0] && !mine[1]);
    gr_tensor *away = gr_param(gr_ones(gr_shape(3)));
    ck_assert(
        gr_grads(y, (gr_tensor *[]){ away, x }, 2, g, (gr_grad_options){ .allow_unused = true }));
    HOLDS(g[0], gr_shape(3), 0, 0, 0);
    HOLDS(g[1], gr_shape(2), 7, 44);
}
END_TEST

START_TEST(grads_misused)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 1, 2)), *y = gr_mul(x, x), *g[2];
    FAILS(gr_grad(NULL, x), GR_ERR_ARGUMENT, "grad: the result is NULL");
    FAILS(gr_grad(y, NULL), GR_ERR_ARGUMENT, "grad: tensor 1 is NULL");
    FAILS(gr_grads(y, NULL, 1, g, (gr_grad_options){ .x = NULL }), GR_ERR_ARGUMENT,
        "grad: no tensor to differentiate by");
    FAILS(gr_grads(y, &x, 0, g, (gr_grad_options){ .x = NULL }), GR_ERR_ARGUMENT,
        "grad: no tensor to differentiate by");
    FAILS(gr_grads(y, &x, 1, NULL, (gr_grad_options){ .x = NULL }), GR_ERR_ARGUMENT,
        "grad: no tensor to differentiate by");
    FAILS(gr_grads(y, (gr_tensor *[]){ x, NULL }, 2, g, (gr_grad_options){ .x = NULL }),
        GR_ERR_ARGUMENT, "grad: tensor 2 is NULL");
    FAILS(gr_grad(y, x, .grad_output = gr_ones(gr_shape(3))), GR_ERR_GRAPH,
        "backward: the result is (2), .grad_output (3)");
    FAILS(gr_grad(y, x, .grad_output = gr_from_ints(gr_shape(2), (const int32_t[]){ 1, 1 })),
        GR_ERR_GRAPH, "backward: the result is (2), .grad_output (2)");
    FAILS(gr_grad(gr_ones(gr_shape(2)), x), GR_ERR_GRAPH,
        "grad: the result (2) depends on no parameter, or was made without recording");
    HOLDS(gr_grad(y, x, .grad_output = T(gr_shape(2), 10, 100)), gr_shape(2), 20, 400);
}
END_TEST

/* y = x^5: 5 x^4, 20 x^3, 60 x^2, 120 x, 120. */
START_TEST(higher_orders)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(2)), *y = gr_mul(gr_mul(gr_mul(x, x), gr_mul(x, x)), x);
    static const double orders[] = { 80, 160, 240, 240, 120 };
    for (int i = 0; i < 5; i++) {
        y = gr_grad(y, x, .create_graph = true);
        ck_assert_double_eq(gr_item(y), orders[i]);
    }
    nothing_failed();
    /* d^3 tanh = -2 (1 - t^2) (1 - 3 t^2) */
    gr_tensor *t = gr_tanh(x), *d = t;
    for (int i = 0; i < 3; i++) d = gr_grad(d, x, .create_graph = true);
    double v = tanh(2.0);
    ck_assert_double_eq_tol(gr_item(d), -2 * (1 - v * v) * (1 - 3 * v * v), 1e-5);
}
END_TEST

/* The seed and grad_output take part in a recorded gradient, and outlive the pass. */
START_TEST(recorded_seed)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(3)), *c = gr_param(gr_scalar(5)),
              *g = gr_grad(gr_add(x, c), x, .create_graph = true);
    HOLDS(gr_grad(gr_mul(x, x), gr_scale(x, 1), .create_graph = true, .allow_unused = true), SCALAR,
        0);
    /* whatever was let go of by mistake is taken by these */
    for (int i = 0; i < 50; i++) gr_full(gr_shape(1), 9);
    HOLDS(g, SCALAR, 1);
    HOLDS(gr_grad(x, x, .create_graph = true), SCALAR, 1);
    gr_tensor *u = gr_param(gr_scalar(7)),
              *gx = gr_grad(gr_mul(x, x), x, .grad_output = u, .create_graph = true);
    HOLDS(gx, SCALAR, 42);
    HOLDS(gr_grad(gx, u, .retain_graph = true), SCALAR, 6);
    HOLDS(gr_grad(gx, x), SCALAR, 14);
    /* 2 x c^2 */
    ck_assert(gr_backward(gr_mul(gr_grad(gr_mul(x, gr_mul(x, c)), x, .create_graph = true), c)));
    HOLDS(gr_grad_of(x), SCALAR, 50);
    HOLDS(gr_grad_of(c), SCALAR, 60);
    nothing_failed();
}
END_TEST

/* ---- a pass inside a pass: a rule that itself takes gradients -------------------------------- */

static gr_tensor *watched;

static bool inner_shape(gr__node *nd, gr_shape *y)
{
    *y = nd->in[0]->shape;
    return true;
}

static bool inner_forward(gr__node *nd, gr_tensor *y)
{
    for (int64_t i = 0; i < y->count; i++)
        gr__reals(y)[i] = gr__reals(nd->in[0])[i] * gr__reals(nd->in[0])[i];
    return true;
}

/* y = x^2, its rule by autograd; meanwhile another pass meets the outer pass's leaf. */
static gr_tensor *inner_vjp(gr__node *nd, int i, gr_tensor *g)
{
    bool       was = gr_set_recording(true);
    gr_tensor *x = gr_param(gr_copy(nd->in[i]));
    gr_tensor *gx = gr_grad(gr_mul(x, x), x, .grad_output = g);
    bool       good = gr_backward(gr_mul(watched, watched));
    gr_set_recording(was);
    return good ? gx : NULL;
}

static const gr__op inner_op = { "inner", "y = x^2", inner_shape, inner_forward, .vjp = inner_vjp };

START_TEST(nested_passes)
{
    GR_STEP;
    gr_tensor *x = watched = gr_param(gr_scalar(3)), *y = gr__apply(&inner_op, 1, &x, NULL, 0),
              *z = gr__apply(&inner_op, 1, &y, NULL, 0);
    ck_assert(gr_backward(gr_add(gr_mul(z, x), x))); /* x^5 + x, and twice x^2 on the way */
    ck_assert_double_eq(gr_item(gr_grad_of(x)), 5 * 81 + 1 + 2 * 6);
    ck_assert_double_eq(gr_item(gr_grad(gr__apply(&inner_op, 1, &x, NULL, 0), x)), 6);
    nothing_failed();
}
END_TEST

static gr_tensor *no_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)nd, (void)i, (void)g;
    return NULL;
}

static gr_tensor *odd_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)nd, (void)i;
    return gr_reshape(g, gr_shape(1, 1));
}

START_TEST(bad_rules)
{
    static const gr__op none = { "none", "y = x^2", inner_shape, inner_forward, .vjp = no_vjp },
                        odd = { "odd", "y = x^2", inner_shape, inner_forward, .vjp = odd_vjp };
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(3));
    FAILS(gr_backward(gr__apply(&none, 1, &x, NULL, 0)), GR_ERR_GRAPH,
        "backward: none gave no gradient for input 1");
    FAILS(gr_backward(gr__apply(&odd, 1, &x, NULL, 0)), GR_ERR_GRAPH,
        "backward: odd gave a gradient (1,1) for input 1 ()");
    ck_assert_ptr_null(gr_grad_of(x));
}
END_TEST

/* ---- anomalies ------------------------------------------------------------------------------- */

START_TEST(anomalies)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2, 2), 1, 0, 4, 9));
    ck_assert(gr_log(x) != NULL);
    gr_detect_anomaly(true);
    FAILS(gr_log(x), GR_ERR_NUMBER, "log: forward gave -inf at element 1 of (2,2)");
    gr_tensor *y = gr_sum(gr_sqrt(x));
    FAILS(gr_backward(y), GR_ERR_NUMBER,
        "sqrt: backward gave inf at element 1 of the gradient of input 1 (2,2)");
    ck_assert_ptr_null(gr_grad_of(x));
    /* made from values: not an operation */
    gr_tensor *nan = gr_from(gr_shape(1), (const gr_real[]){ (gr_real)NAN });
    ck_assert_ptr_nonnull(nan);
    ck_assert_ptr_null(gr_mul(nan, x));
    ck_assert_int_eq(gr_error_code(), GR_ERR_NUMBER);
    gr_clear_error();
    ck_assert_ptr_nonnull(gr_mul(x, x));
    gr_detect_anomaly(false);
    ck_assert(gr_backward(gr_sum(gr_sqrt(x))));
    ck_assert(isinf(gr_data(gr_grad_of(x))[1]));
    nothing_failed();
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------- */

typedef struct net {
    gr_tensor *k, *w, *b;
} net;

static net make_net(void)
{
    gr_rng rng = gr_rng_of(1, "net");
    return (net){ gr_param(gr_normal(gr_shape(2, 1, 3, 3), &rng, 0, 0.3)),
        gr_param(gr_normal(gr_shape(3, 8), &rng, 0, 0.3)), gr_param(gr_zeros(gr_shape(3))) };
}

static void free_net(net *m)
{
    gr_free(m->k);
    gr_free(m->w);
    gr_free(m->b);
}

static void descend(gr_tensor *p)
{
    const gr_real *g = gr_data(gr_grad_of(p));
    gr_real       *v = gr_data_mut(p);
    for (int64_t i = 0; i < gr_count(p); i++) v[i] -= (gr_real)0.1 * g[i];
    gr_clear_grad(p);
}

static double train(const net *m, gr_rng *rng)
{
    GR_STEP;
    gr_tensor *x = gr_uniform(gr_shape(4, 1, 6, 6), rng, -1, 1),
              *labels = gr_from_ints(gr_shape(4), (const int32_t[]){ 0, 1, 2, 0 });
    gr_tensor *h = gr_max_pool2d(gr_conv2d(x, m->k, .act = GR_RELU), 2);
    gr_tensor *loss = gr_cross_entropy(gr_linear(gr_flatten(h), m->w, .bias = m->b), labels);
    ck_assert(gr_backward(loss));
    descend(m->k);
    descend(m->w);
    descend(m->b);
    return gr_item(loss);
}

START_TEST(ten_thousand_steps)
{
    setenv("GRADUS_MEMORY", "recycle", 1); /* also under a sanitizer */
    net            m = make_net();
    gr_rng         rng = gr_rng_of(1, "steps");
    gr_memory_info before = { 0 };
    for (int i = 0; i < 10000; i++) {
        if (i == 2) before = gr_memory();
        train(&m, &rng);
    }
    gr_memory_info after = gr_memory();
    ck_assert_uint_eq(after.live, before.live);
    ck_assert_uint_eq(after.peak, before.peak);
    ck_assert_uint_eq(after.system, before.system);
    ck_assert_uint_eq(after.system_calls, before.system_calls);
    free_net(&m);
}
END_TEST

/* The same of second-order steps, of failing ones, and of passes that are left half way. */
START_TEST(no_leak_either_way)
{
    gr_tensor *x = gr_param(gr_ones(gr_shape(3, 3)));
    size_t     live = gr_memory().live;
    for (int i = 0; i < 200; i++) {
        GR_STEP;
        gr_tensor *y = gr_sum(gr_exp(gr_matmul(x, gr_tanh(x)))),
                  *g = gr_grad(y, x, .create_graph = true);
        ck_assert(gr_backward(gr_sum(gr_mul(g, g)), .retain_graph = i % 2));
        gr_clear_grad(x);
        gr_tensor *z = gr_softmax(gr_mul(x, x), 0);
        gr_data_mut(x)[0] += 1e-3f;
        ck_assert(!gr_backward(gr_sum(gr_mul(z, z))) && !gr_add(x, gr_ones(gr_shape(2))) &&
                  !gr_grad(z, x));
        gr_clear_error();
    }
    ck_assert_uint_eq(gr_memory().live, live);
    for (int i = 0; i < 200; i++) { /* outside any step */
        ck_assert(gr_backward(gr_sum(gr_mul(x, x))));
        gr_clear_grad(x);
        gr_reset();
    }
    ck_assert_uint_eq(gr_memory().live, live);
    gr_free(x);
}
END_TEST

/* What backward is through with is let go of before the step ends: intermediates' gradients,
   pooling's places. */
START_TEST(backward_lets_go)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_ones(gr_shape(1, 1, 256, 256))), *y = x;
    for (int i = 0; i < 20; i++) y = gr_tanh(y);
    gr_tensor     *loss = gr_sum(y);
    gr_memory_info before = gr_memory();
    ck_assert(gr_backward(loss));
    size_t one = 256 * 256 * sizeof(gr_real);
    /* the leaf's gradient and two or three on the way */
    ck_assert_uint_le(gr_memory().peak, before.live + 4 * one);
    ck_assert_uint_le(gr_memory().live, before.live + 2 * one);
}
END_TEST

START_TEST(a_million_nodes)
{
    gr_tensor *x = gr_param(gr_scalar(1));
    size_t     live = gr_memory().live;
    {
        GR_STEP;
        gr_tensor *y = x;
        for (int i = 0; i < 1000000; i++) y = i % 2 ? gr_neg(y) : gr_add(y, x);
        ck_assert(gr_backward(y));
    }
    /* y becomes -(y + x), 500,000 times: every second time undoes the first */
    HOLDS(gr_grad_of(x), SCALAR, 1);
    gr_clear_grad(x);
    ck_assert_uint_eq(gr_memory().live, live);
    nothing_failed();
    gr_free(x);
}
END_TEST

int main(void)
{
    gr_set_threads(1); /* everything here is small */
    Suite *s = suite_create("autograd");
    TCase *t = cases(s, "backward");
    tcase_add_test(t, square);
    tcase_add_test(t, reused_operands);
    tcase_add_test(t, views);
    tcase_add_test(t, accumulation);
    tcase_add_test(t, parameter_as_loss);
    tcase_add_test(t, retained_gradients);
    tcase_add_test(t, rectified_then_pooled);
    tcase_add_test(t, shared_gradients_are_not_added_to);
    tcase_add_test(t, gradients_do_not_alias);
    tcase_add_test(t, freed_and_kept);
    tcase_add_test(t, no_grad_and_detach);
    tcase_add_test(t, backward_records_nothing);
    t = cases(s, "refused");
    tcase_add_test(t, no_loss);
    tcase_add_test(t, used_up);
    tcase_add_test(t, changed_values);
    tcase_add_test(t, failure_changes_nothing);
    tcase_add_test(t, anomalies);
    t = cases(s, "grad");
    tcase_add_test(t, grads_of_intermediates);
    tcase_add_test(t, grads_misused);
    tcase_add_test(t, higher_orders);
    tcase_add_test(t, recorded_seed);
    tcase_add_test(t, nested_passes);
    tcase_add_test(t, bad_rules);
    t = cases(s, "memory");
    tcase_add_test(t, ten_thousand_steps);
    tcase_add_test(t, no_leak_either_way);
    tcase_add_test(t, backward_lets_go);
    tcase_add_test(t, a_million_nodes);
    return run(s);
}
