/* test_loss.c: the losses with their options, beside numbers that PyTorch gave for the same inputs,
   and what is refused. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "gradus/ops.h"

#define INTS(...) gr_from_ints(gr_shape(GR__COUNT(__VA_ARGS__)), (const int32_t[]){ __VA_ARGS__ })
#define V(...) T(gr_shape(GR__COUNT(__VA_ARGS__)), __VA_ARGS__)

static gr_tensor *logits(gr_shape shape)
{
    gr_tensor *x = gr_zeros(shape);
    for (int i = 0; i < 12; i++) gr_data_mut(x)[i] = (gr_real)(2 * sin(i * 1.7 + 0.3));
    return x;
}

static gr_tensor *classes(void) { return V(0.5, 2, 1.5, 1); }

START_TEST(cross_entropy_is_pytorchs)
{
    GR_STEP;
    gr_tensor *x = logits(gr_shape(3, 4)), *y = INTS(1, 3, 0), *w = classes();
    NEAR(gr_cross_entropy(x, y), SCALAR, ROUGHLY, 1.157423673);
    NEAR(gr_cross_entropy(x, y, .reduction = GR_SUM), SCALAR, ROUGHLY, 3.472271019);
    NEAR(gr_cross_entropy(x, y, .reduction = GR_NONE), gr_shape(3), ROUGHLY, 0.3248569714,
        2.818050209, 0.329363838);
    NEAR(gr_cross_entropy(x, y, .smoothing = 0.2), SCALAR, ROUGHLY, 1.353565688);
    NEAR(gr_cross_entropy(x, y, .smoothing = 0.2, .weight = w), SCALAR, ROUGHLY, 1.307100442);
    NEAR(gr_cross_entropy(x, y, .smoothing = 0.2, .weight = w, .reduction = GR_NONE), gr_shape(3),
        ROUGHLY, 1.015750485, 2.79418348, 0.7649175836);
    NEAR(gr_cross_entropy(x, y, .smoothing = 0.2, .weight = w, .ignore_index = 3), SCALAR, ROUGHLY,
        0.7122672273);
    NEAR(gr_cross_entropy(x, y, .weight = w, .ignore_class_0 = true), SCALAR, ROUGHLY, 1.155921384);
    NEAR(gr_cross_entropy(x, y, .smoothing = 1, .ignore_class_0 = true), SCALAR, ROUGHLY,
        2.127977186);
    gr_tensor *planes = logits(gr_shape(1, 4, 3)),
              *at = gr_from_ints(gr_shape(1, 3), (const int32_t[]){ 2, -100, 1 });
    NEAR(gr_cross_entropy(planes, at, .weight = w, .smoothing = 0.1, .reduction = GR_NONE),
        gr_shape(1, 3), ROUGHLY, 4.324416317, 0, 2.536690127);
    NEAR(gr_cross_entropy(planes, at, .weight = w, .smoothing = 0.1), SCALAR, ROUGHLY, 1.960316127);
    nothing_failed();
}
END_TEST

START_TEST(the_gradient_of_cross_entropy_is_pytorchs)
{
    GR_STEP;
    gr_tensor *x = gr_param(logits(gr_shape(3, 4)));
    gr_tensor *loss = gr_cross_entropy(
        x, INTS(1, 3, 0), .weight = classes(), .smoothing = 0.2, .ignore_index = 3);
    NEAR(gr_grad(loss, x), gr_shape(3, 4), ROUGHLY, 0.1466852122, -0.1452532797, 6.994233646e-05,
        -0.001501874806, 0, 0, 0, 0, 0.01703912003, -0.00679135961, -0.02637536379, 0.01612760337);
    /* Where all are ignored the mean is of nothing, but nothing is wrong with the logits. */
    gr_tensor *none = gr_cross_entropy(x, INTS(3, 3, 3), .ignore_index = 3);
    HOLDS(none, SCALAR, NAN);
    HOLDS(gr_grad(none, x), gr_shape(3, 4), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    HOLDS(gr_cross_entropy(x, INTS(-100, -100, -100), .reduction = GR_SUM), SCALAR, 0);
    HOLDS(gr_cross_entropy(x, INTS(0, 1, 2), .weight = gr_zeros(gr_shape(4))), SCALAR, NAN);
    HOLDS(gr_nll(x, INTS(-100, -100, -100)), SCALAR, NAN);
    HOLDS(gr_nll(x, INTS(-100, -100, -100), .reduction = GR_SUM), SCALAR, 0);
    nothing_failed();
}
END_TEST

START_TEST(nll_is_pytorchs)
{
    GR_STEP;
    gr_tensor *x = logits(gr_shape(3, 4)), *y = INTS(1, 3, 0), *w = classes();
    NEAR(gr_nll(x, y, .weight = w), SCALAR, ROUGHLY, -1.112211041);
    NEAR(gr_nll(x, y, .weight = w, .ignore_index = 3, .reduction = GR_NONE), gr_shape(3), ROUGHLY,
        -3.637189707, 0, -0.9720075014);
    gr_tensor *at = gr_from_ints(gr_shape(1, 3), (const int32_t[]){ 2, -100, 1 });
    NEAR(gr_nll(logits(gr_shape(1, 4, 3)), at, .reduction = GR_SUM), SCALAR, ROUGHLY, 0.5895571342);
    /* An impossible class does no harm to rows with another label, or with none. */
    gr_tensor *sure = gr_param(T(gr_shape(2, 2), -INFINITY, -1, -INFINITY, -INFINITY));
    gr_tensor *loss = gr_nll(sure, INTS(1, -100));
    HOLDS(loss, SCALAR, 1);
    HOLDS(gr_grad(loss, sure), gr_shape(2, 2), 0, -1, 0, 0);
    HOLDS(gr_nll(sure, INTS(0, -100)), SCALAR, INFINITY);
    nothing_failed();
}
END_TEST

START_TEST(losses_of_pairs_are_pytorchs)
{
    GR_STEP;
    gr_tensor *x = V(0.5, -2, 3, 1), *t = V(0.25, 0.5, 1, 1);
    NEAR(gr_l1(x, t), SCALAR, ROUGHLY, 1.1875);
    NEAR(gr_l1(x, t, .reduction = GR_SUM), SCALAR, ROUGHLY, 4.75);
    NEAR(gr_l1(x, t, .reduction = GR_NONE), gr_shape(4), ROUGHLY, 0.25, 2.5, 2, 0);
    NEAR(gr_mse(x, t), SCALAR, ROUGHLY, 2.578125);
    NEAR(gr_mse(x, t, .reduction = GR_SUM), SCALAR, ROUGHLY, 10.3125);
    NEAR(gr_mse(x, t, .reduction = GR_NONE), gr_shape(4), ROUGHLY, 0.0625, 6.25, 4, 0);
    NEAR(gr_smooth_l1(x, t), SCALAR, ROUGHLY, 0.8828125);
    NEAR(gr_smooth_l1(x, t, .reduction = GR_SUM), SCALAR, ROUGHLY, 3.53125);
    NEAR(gr_smooth_l1(x, t, .reduction = GR_NONE), gr_shape(4), ROUGHLY, 0.03125, 2, 1.5, 0);
    NEAR(gr_smooth_l1(x, t, .beta = 2.25, .reduction = GR_NONE), gr_shape(4), ROUGHLY,
        0.01388888889, 1.375, 0.8888888889, 0);
    NEAR(gr_bce_with_logits(x, t), SCALAR, ROUGHLY, 0.5844635086);
    NEAR(gr_bce_with_logits(x, t, .reduction = GR_SUM), SCALAR, ROUGHLY, 2.337854034);
    gr_tensor *w = classes(), *p = V(1, 1.5, 2, 0.5);
    NEAR(gr_bce_with_logits(x, t, .weight = w, .pos_weight = p, .reduction = GR_NONE), gr_shape(4),
        ROUGHLY, 0.4245384921, 3.317320028, 0.1457620547, 0.1566308438);
    NEAR(gr_bce_with_logits(x, t, .weight = w, .pos_weight = p), SCALAR, ROUGHLY, 1.011062855);
    HOLDS(gr_bce_with_logits(V(1000, -1000, 1000), V(1, 0, 0), .reduction = GR_NONE), gr_shape(3),
        0, 0, 1000);
    gr_tensor *q = V(0.25, 0, 1, 0.5), *two = gr_reshape(q, gr_shape(2, 2));
    NEAR(gr_kl_div(x, q), SCALAR, ROUGHLY, -1.079536795);
    NEAR(gr_kl_div(x, q, .reduction = GR_SUM), SCALAR, ROUGHLY, -4.318147181);
    NEAR(gr_kl_div(x, q, .reduction = GR_NONE), gr_shape(4), ROUGHLY, -0.4715735903, 0, -3,
        -0.8465735903);
    NEAR(gr_kl_div(x, q, .log_target = true, .reduction = GR_NONE), gr_shape(4), ROUGHLY,
        -0.3210063542, 2, -5.436563657, -0.8243606354);
    NEAR(gr_kl_div(gr_reshape(x, gr_shape(2, 2)), two, .batch_mean = true), SCALAR, ROUGHLY,
        -2.15907359);
    HOLDS(gr_mse(gr_zeros(gr_shape(0)), gr_zeros(gr_shape(0))), SCALAR, NAN);
    HOLDS(gr_l1(gr_zeros(gr_shape(0)), gr_zeros(gr_shape(0)), .reduction = GR_SUM), SCALAR, 0);
    nothing_failed();
}
END_TEST

START_TEST(at_a_kink_the_gradient_is_pytorchs)
{
    GR_STEP;
    gr_tensor *x = gr_param(V(0, 1, -1, 2)), *t = gr_param(V(0, 0, 1, 1));
    HOLDS(gr_grad(gr_l1(x, t, .reduction = GR_SUM), x), gr_shape(4), 0, 1, -1, 1);
    HOLDS(gr_grad(gr_l1(x, t, .reduction = GR_SUM), t), gr_shape(4), 0, -1, 1, -1);
    HOLDS(gr_grad(gr_smooth_l1(x, t, .reduction = GR_SUM), x), gr_shape(4), 0, 1, -1, 1);
    gr_tensor *q = gr_param(V(0, 1, 0.5, 0));
    HOLDS(gr_grad(gr_kl_div(x, q, .reduction = GR_SUM), x), gr_shape(4), 0, -1, -0.5, 0);
    nothing_failed();
}
END_TEST

START_TEST(what_is_wrong_is_said)
{
    GR_STEP;
    gr_tensor *x = logits(gr_shape(3, 4)), *y = INTS(1, 3, 0), *w = classes(), *v = V(1, 2, 3);
    FAILS(gr_cross_entropy(v, INTS(1)), GR_ERR_ARGUMENT,
        "cross_entropy: logits (3), (N,C) or (N,C,...) wanted");
    FAILS(gr_cross_entropy(gr_zeros(gr_shape(2, 4, 3)), y), GR_ERR_ARGUMENT,
        "cross_entropy: logits (2,4,3) want labels (2,3), labels (3) given");
    FAILS(gr_cross_entropy(x, y, .weight = v), GR_ERR_ARGUMENT,
        "cross_entropy: logits (3,4) want 4 real class weights, reals (3) given");
    FAILS(gr_nll(x, y, .weight = INTS(1, 2, 3, 4)), GR_ERR_ARGUMENT,
        "nll: logits (3,4) want 4 real class weights, int32 (4) given");
    FAILS(gr_cross_entropy(x, y, .smoothing = 1.5), GR_ERR_ARGUMENT,
        "cross_entropy: smoothing 1.5: 0 to 1 wanted");
    FAILS(gr_cross_entropy(x, y, .reduction = (gr_reduction)3), GR_ERR_ARGUMENT,
        "cross_entropy: there is no reduction 3");
    FAILS(gr_cross_entropy(x, INTS(1, -100, 4)), GR_ERR_ARGUMENT,
        "cross_entropy: label 4 at 2 is outside 0 .. 3, the classes of logits (3,4)");
    FAILS(gr_cross_entropy(x, INTS(1, -100, 2), .ignore_index = -1), GR_ERR_ARGUMENT,
        "cross_entropy: label -100 at 1 is outside 0 .. 3, the classes of logits (3,4)");
    FAILS(gr_nll(x, v), GR_ERR_ARGUMENT, "nll: input 2 (3) is real, int32 wanted");
    FAILS(gr_nll(x, NULL), GR_ERR_ARGUMENT, "nll: input 2 is NULL");
    FAILS(gr_l1(x, w), GR_ERR_ARGUMENT, "l1: (3,4) and (4) differ in shape");
    FAILS(gr_smooth_l1(x, x, .beta = -1), GR_ERR_ARGUMENT, "smooth_l1: beta -1: over 0 wanted");
    FAILS(gr_bce_with_logits(x, x, .weight = v), GR_ERR_ARGUMENT,
        "bce_with_logits: weight (3) does not broadcast to (3,4)");
    FAILS(gr_bce_with_logits(x, x, .pos_weight = gr_zeros(gr_shape(2, 3, 4))), GR_ERR_ARGUMENT,
        "bce_with_logits: pos_weight (2,3,4) does not broadcast to (3,4)");
    FAILS(gr_kl_div(x, x, .batch_mean = true, .reduction = GR_SUM), GR_ERR_ARGUMENT,
        "kl_div: .batch_mean of (3,4): a mean, and a batch (N,...), wanted");
    FAILS(gr_kl_div(x, NULL), GR_ERR_ARGUMENT, "kl_div: input 2 is NULL");
    FAILS(gr_mse(x, x, .reduction = (gr_reduction)-1), GR_ERR_ARGUMENT,
        "mse: there is no reduction -1");
    FAILS(
        gr_cross_entropy(x, y, .weight = gr_add(NULL, x)), GR_ERR_ARGUMENT, "add: input 1 is NULL");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loss");
    TCase *t = cases(s, "loss");
    tcase_add_test(t, cross_entropy_is_pytorchs);
    tcase_add_test(t, the_gradient_of_cross_entropy_is_pytorchs);
    tcase_add_test(t, nll_is_pytorchs);
    tcase_add_test(t, losses_of_pairs_are_pytorchs);
    tcase_add_test(t, at_a_kink_the_gradient_is_pytorchs);
    tcase_add_test(t, what_is_wrong_is_said);
    return run(s);
}
