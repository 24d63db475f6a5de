/* test_train.c: what trains a model. The numbers were made by PyTorch 1.13 in double; optimisers
   run on 37 weights, so that whole vectors and the rest of one are both met. Compiled in float and
   in double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradus.h"
#include "support.h"

static void close_to(double a, double b)
{
    double most = sizeof(gr_real) == 4 ? 4e-6 : 1e-13;
    ck_assert_msg(fabs(a - b) <= most * (1 + fabs(b)), "%.15g, %.15g expected", a, b);
}

/* ---- optimisers ------------------------------------------------------------------------------ */

enum { N = 37, STEPS = 5 };

static gr_tensor *weigh(gr_model *m, gr_tensor *x)
{
    return gr_mul(gr_nn_param(m, "p", gr_shape(N)), x);
}

/* Weights 0.5, -1, 2, 0.5, -1, 2, ... */
static gr_model *weights(void)
{
    static const gr_real start[3] = { (gr_real)0.5, -1, 2 };
    gr_model            *m = gr_model_build(weigh, gr_shape(N));
    for (int i = 0; i < N; i++) gr_data_mut(gr_model_get(m, "p"))[i] = start[i % 3];
    return m;
}

static gr_real slope(int step, int i) { return (gr_real)((7 * step + 3 * (i % 3)) % 11 - 5) / 4; }

/* Three weights after each step must be those expected, and all others like them. */
static void follows(gr_model *m, gr_optim *o, const double *expected)
{
    nothing_failed();
    for (int step = 0; step < STEPS; step++) {
        GR_STEP;
        gr_real g[N];
        for (int i = 0; i < N; i++) g[i] = slope(step, i);
        ck_assert(!isnan(gr_minimize(o, gr_sum(weigh(m, gr_from(gr_shape(N), g))))));
        for (int i = 0; i < N; i++)
            close_to((double)gr_data(gr_model_get(m, "p"))[i], expected[3 * step + i % 3]);
    }
    gr_optim_free(o);
    gr_model_free(m);
}

#define FOLLOWS(optim, ...) follows(m, (optim), (const double[]){ __VA_ARGS__ })

START_TEST(sgd_steps_as_pytorchs_does)
{
    gr_model *m = weights();
    FOLLOWS(gr_sgd(m, .lr = 0.1), 0.625, -0.95, 1.975, 0.575, -1.075, 2.05, 0.625, -1.1, 1.95, 0.5,
        -1.025, 1.95, 0.475, -1.125, 2.05);
    m = weights();
    FOLLOWS(gr_sgd(m, .lr = 0.1, .momentum = 0.9, .dampening = 0.2, .weight_decay = 0.05), 0.6225,
        -0.945, 1.965, 0.69026, -0.99172, 1.98564, 0.78848296, -1.04980112, 1.91627344,
        0.77372969216, -1.03787492352, 1.84617844224, 0.73735683233536, -1.10298984699392,
        1.85570823048704);
    m = weights();
    FOLLOWS(gr_sgd(m, .lr = 0.1, .momentum = 0.8, .weight_decay = 0.05, .nesterov = true), 0.7205,
        -0.901, 1.937, 0.7024155, -1.082691, 2.032167, 0.8145081605, -1.166903581, 1.857759097,
        0.6346613774555, -1.073102277571, 1.789641610727, 0.543330031264801, -1.23307092865366,
        1.90647188360006);
}
END_TEST

START_TEST(adam_steps_as_pytorchs_does)
{
    gr_model *m = weights();
    FOLLOWS(gr_adam(m), 0.500999999992, -0.99900000002, 1.99900000004, 0.501345605836282,
        -0.999442215279139, 1.99949418986446, 0.501818606299491, -0.999894992125503,
        1.99922978964607, 0.501728879617879, -0.999940812192427, 1.99901320907587,
        0.501582583183615, -1.00026789995606, 1.99920618067202);
    m = weights();
    FOLLOWS(gr_adam(m, .lr = 0.05, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1),
        0.549958368026644, -0.950083194675541, 1.95011086474501, 0.551589281366077,
        -0.980559320205745, 1.9717224363452, 0.568723887595569, -1.00266971035299, 1.93630546697986,
        0.539018046484257, -0.983504749975022, 1.90961682625647, 0.513531603651829,
        -1.00326176787131, 1.92556219016712);
    m = weights();
    FOLLOWS(gr_adam(m, .lr = 0.05, .no_beta1 = true, .beta2 = 0.9), 0.5499999996, -0.950000001,
        1.950000002, 0.523223496528895, -1.01443677479015, 2.01571287491576, 0.554417566376706,
        -1.03035424122645, 1.94974571730863, 0.488895289321952, -0.98197973883299, 1.94974571730863,
        0.473986328968684, -1.04181016351663, 2.01703491813825);
}
END_TEST

START_TEST(adamw_steps_as_pytorchs_does)
{
    gr_model *m = weights();
    FOLLOWS(gr_adamw(m), 0.500994999992, -0.99899000002, 1.99898000004, 0.501335595886282,
        -0.999422225379139, 1.99945420006446, 0.501803582993532, -0.99986500800325,
        1.99916980530407, 0.501708838276091, -0.999900829420093, 1.99893323303581,
        0.501557524753444, -1.00021791817543, 1.99910621529963);
    m = weights();
    FOLLOWS(gr_adamw(m, .lr = 0.05, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1),
        0.547460031974421, -0.945099800399202, 1.94019920318725, 0.549180707614039,
        -0.974705186362402, 1.96694149827361, 0.566463144324539, -0.997084042986221,
        1.93122526799069, 0.536576649559297, -0.979215374519466, 1.90723077931037,
        0.511316786353774, -0.99937948880229, 1.92641667892602);
    m = weights();
    FOLLOWS(gr_adamw(m, .lr = 0.05, .no_beta1 = true, .no_decay = true), 0.5499999996, -0.950000001,
        1.950000002, 0.523733955434605, -1.01564132852844, 2.01706862103366, 0.553894690853363,
        -1.03145350963215, 1.94915159811016, 0.488241487010542, -0.983412287025771,
        1.94915159811016, 0.473682592041974, -1.04371016677899, 2.01814090217312);
}
END_TEST

START_TEST(rmsprop_steps_as_pytorchs_does)
{
    gr_model *m = weights();
    FOLLOWS(gr_rmsprop(m), 0.599999992000001, -0.900000019999996, 1.90000003999998,
        0.562699802452997, -0.992911781374815, 1.99491582756322, 0.597802378093412,
        -1.01127032675936, 1.91630305866871, 0.531655715173007, -0.962841448325495,
        1.91630305866871, 0.51847572524092, -1.01727961220964, 1.97848890565953);
    m = weights();
    FOLLOWS(
        gr_rmsprop(m, .lr = 0.05, .alpha = 0.9, .eps = 1e-3, .momentum = 0.8, .weight_decay = 0.1),
        0.657698311468915, -0.842715081299395, 1.84298947449649, 0.713663394886382,
        -0.858622418558368, 1.84302913224313, 0.811255589599044, -0.892197608835641,
        1.70587835902767, 0.772719822798864, -0.82751015410959, 1.57551039260841, 0.712211638193293,
        -0.863466724492324, 1.56006494389765);
    m = weights();
    FOLLOWS(gr_rmsprop(m, .lr = 0.05, .alpha = 0.9, .centered = true), 0.666666662222222,
        -0.833333344444444, 1.83333335555555, 0.604499676552095, -0.98388112697017, 1.9875632738313,
        0.666464929994908, -1.01535658981485, 1.85969604932925, 0.554579757132246,
        -0.932836547404672, 1.85969604932925, 0.531174136430203, -1.02841600656534,
        1.96561809166599);
    m = weights();
    FOLLOWS(gr_rmsprop(m, .lr = 0.05, .momentum = 0.8, .centered = true, .weight_decay = 0.1),
        1.00251886554207, -0.497481176545464, 1.49748120460381, 1.17973458814018,
        -0.543604726562288, 1.49633381642417, 1.4599117920291, -0.653192825082633, 1.07471923797954,
        1.32793744397107, -0.4811534549531, 0.698001454182733, 1.12599484099892, -0.604071761267045,
        0.678845617347674);
    m = weights();
    FOLLOWS(gr_rmsprop(m, .lr = 0.05, .no_alpha = true), 0.5499999996, -0.950000001, 1.950000002,
        0.5000000006, -1.0000000006, 2.00000000133333, 0.5499999996, -1.0499999986,
        1.95000000183333, 0.5, -0.999999999266667, 1.95000000183333, 0.450000002, -1.04999999876667,
        2.00000000133333);
}
END_TEST

/* Where the gradient never changes, v - m^2 tends to 0, and rounding may make it negative. */
START_TEST(a_centered_variance_is_never_negative)
{
    gr_model *m = weights();
    gr_optim *o = gr_rmsprop(m, .lr = 1e-6, .alpha = 0.5, .centered = true);
    for (int step = 0; step < 200; step++) {
        GR_STEP;
        gr_tensor *g = gr_full(gr_shape(N), 0.1 + 0.01 * (step % 2 ? 0 : 1e-6));
        gr_minimize(o, gr_sum(weigh(m, g)));
    }
    nothing_failed();
    for (int i = 0; i < N; i++) ck_assert(isfinite(gr_data(gr_model_get(m, "p"))[i]));
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

START_TEST(misuse_of_an_optimiser_is_said)
{
    gr_model *m = weights();
    FAILS(gr_adamw(NULL), GR_ERR_ARGUMENT, "adamw: the model is NULL");
    FAILS(gr_rmsprop(NULL), GR_ERR_ARGUMENT, "rmsprop: the model is NULL");
    FAILS(gr_adamw(m, .beta2 = 1), GR_ERR_ARGUMENT,
        "adamw: lr 0.001, beta1 0.9, beta2 1, eps 1e-08, weight_decay 0.01: none may be negative, "
        "betas are under 1");
    FAILS(gr_rmsprop(m, .alpha = 1), GR_ERR_ARGUMENT,
        "rmsprop: lr 0.01, alpha 1, eps 1e-08, momentum 0, weight_decay 0: none may be negative, "
        "alpha is under 1");
    FAILS(gr_rmsprop(m, .momentum = NAN), GR_ERR_ARGUMENT,
        "rmsprop: lr 0.01, alpha 0.99, eps 1e-08, momentum nan, weight_decay 0: none may be "
        "negative, alpha is under 1");
    ck_assert(isnan(gr_optim_momentum(NULL)));
    gr_model_free(m);
}
END_TEST

/* ---- groups ---------------------------------------------------------------------------------- */

static gr_tensor *layers(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, "body.fc2", gr_nn_linear(m, "body.fc1", x, 2), 2);
}

static void put(gr_model *m, const char *name, int n, const gr_real *values, bool in_grad)
{
    gr_tensor *t = gr_model_get(m, name);
    for (int i = 0; i < n; i++) gr_data_mut(in_grad ? gr_grad_of(t) : t)[i] = values[i];
}

/* Three steps of sgd on fc1, whose gradients are these times 1, 2, 3. */
static void train_fc1(gr_model *m, gr_optim *o)
{
    put(m, "body.fc1.weight", 4, (const gr_real[]){ (gr_real)0.5, -1, 2, (gr_real)0.25 }, false);
    put(m, "body.fc1.bias", 2, (const gr_real[]){ 1, (gr_real)-0.5 }, false);
    for (int s = 1; s <= 3; s++) {
        GR_STEP;
        gr_real k = (gr_real)s;
        ck_assert(gr_backward(gr_sum(layers(m, gr_ones(gr_shape(1, 2))))));
        put(m, "body.fc1.weight", 4, (const gr_real[]){ k / 2, -k / 4, k, 3 * k / 4 }, true);
        put(m, "body.fc1.bias", 2, (const gr_real[]){ -k / 2, k / 4 }, true);
        ck_assert(gr_optim_step(o));
        gr_zero_grad(o);
    }
}

START_TEST(groups_have_rates_and_decays_of_their_own)
{
    static const double      expected[6] = { 0.0119836875, -0.73504425, 0.99603725, -0.46805940625,
             1.951, -0.9755 };
    static const char *const patterns[] = { GR_VECTORS, "*.bias", " body.fc[12].bias",
        "body.fc1.bias, body.fc2.b??s", ("*2.bias," GR_VECTORS) };
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
        gr_model *m = gr_model_build(layers, gr_shape(1, 2));
        gr_optim *o = gr_sgd(m, .lr = 0.1, .momentum = 0.9, .weight_decay = 0.05);
        ck_assert(gr_optim_group(o, "*", .weight_decay = 1, .lr_factor = 3));
        ck_assert(gr_optim_group(o, "*.weight", .weight_decay = 0.05, .lr_factor = 1));
        ck_assert(gr_optim_group(o, patterns[p], .no_decay = true));
        ck_assert(gr_optim_group(o, patterns[p], .lr_factor = 2));
        train_fc1(m, o);
        for (int i = 0; i < 6; i++)
            close_to((double)gr_data(
                         gr_model_get(m, i < 4 ? "body.fc1.weight" : "body.fc1.bias"))[i % 4],
                expected[i]);
        gr_optim_free(o);
        gr_model_free(m);
    }
}
END_TEST

START_TEST(frozen_parameters_keep_out_of_groups_way)
{
    gr_model *m = gr_model_build(layers, gr_shape(1, 2), .seed = 3);
    gr_optim *o = gr_adamw(m, .lr = 0.1);
    ck_assert(gr_optim_group(o, "body.fc1.*", .lr_factor = 10, .weight_decay = 0.5));
    ck_assert(gr_model_freeze(m, "body.fc1"));
    gr_tensor *fc1 = gr_copy(gr_model_get(m, "body.fc1.weight")),
              *fc2 = gr_copy(gr_model_get(m, "body.fc2.weight"));
    gr_tensor *x = gr_ones(gr_shape(1, 2));
    ck_assert(!isnan(gr_minimize(o, gr_sum(layers(m, x)))));
    ck_assert_mem_eq(
        gr_data(fc1), gr_data(gr_model_get(m, "body.fc1.weight")), 4 * sizeof(gr_real));
    ck_assert_mem_ne(
        gr_data(fc2), gr_data(gr_model_get(m, "body.fc2.weight")), 4 * sizeof(gr_real));
    ck_assert(gr_model_unfreeze(m, "body.fc1"));
    ck_assert(!isnan(gr_minimize(o, gr_sum(layers(m, x)))));
    for (int i = 0; i < 4; i++) { /* its first step: of lr at once, and the decay by it */
        double was = (double)gr_data(fc1)[i],
               now = (double)gr_data(gr_model_get(m, "body.fc1.weight"))[i];
        ck_assert(fabs(fabs(now - was * (1 - 1 * 0.5)) - 1) < 1e-4);
    }
    gr_reset();
    gr_free(x);
    gr_free(fc1);
    gr_free(fc2);
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

static gr_tensor *matrices(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, "fc", x, 2, .no_bias = true);
}

START_TEST(misuse_of_a_group_is_said)
{
    gr_model *m = gr_model_build(layers, gr_shape(1, 2)),
             *flat = gr_model_build(matrices, gr_shape(1, 2));
    gr_optim *o = gr_sgd(m), *without = gr_sgd(flat);
    FAILS(gr_optim_group(NULL, "*", .no_decay = true), GR_ERR_ARGUMENT,
        "optim_group: the optimiser is NULL");
    FAILS(gr_optim_group(o, NULL), GR_ERR_ARGUMENT, "optim_group: the pattern is NULL");
    FAILS(gr_optim_group(o, " , "), GR_ERR_ARGUMENT, "optim_group: the pattern is empty");
    FAILS(gr_optim_group(o, "*.bias fc1.weight", .lr_factor = 2), GR_ERR_ARGUMENT,
        "optim_group: no parameter fits 'fc1.weight'");
    FAILS(gr_optim_group(without, GR_VECTORS, .no_decay = true), GR_ERR_ARGUMENT,
        "optim_group: no parameter is a vector");
    FAILS(gr_optim_group(o, "*", .lr_factor = -1), GR_ERR_ARGUMENT,
        "optim_group: lr_factor -1, weight_decay 0: none may be negative");
    FAILS(gr_optim_group(o, "*", .no_decay = true, .weight_decay = 0.1), GR_ERR_ARGUMENT,
        "optim_group: .no_decay and .weight_decay 0.1: one of them");
    gr_optim_free(o);
    gr_optim_free(without);
    gr_model_free(m);
    gr_model_free(flat);
}
END_TEST

/* ---- clipping -------------------------------------------------------------------------------- */

static const gr_real grads[6] = { (gr_real)0.5, -1, 2, (gr_real)0.25, -3, (gr_real)0.125 };

/* Gradients on fc1 alone: the others are frozen, and have none. */
static void give_grads(gr_model *m)
{
    GR_STEP;
    gr_model_freeze(m, "body.fc2");
    gr_clear_grad(gr_model_get(m, "body.fc1.weight"));
    gr_clear_grad(gr_model_get(m, "body.fc1.bias"));
    ck_assert(gr_backward(gr_sum(layers(m, gr_ones(gr_shape(1, 2))))));
    put(m, "body.fc1.weight", 4, grads, true);
    put(m, "body.fc1.bias", 2, grads + 4, true);
}

static void grads_are(gr_model *m, const double *expected)
{
    nothing_failed();
    for (int i = 0; i < 6; i++)
        close_to((double)gr_data(gr_grad_of(
                     gr_model_get(m, i < 4 ? "body.fc1.weight" : "body.fc1.bias")))[i % 4],
            expected[i]);
}

START_TEST(clipping_is_pytorchs)
{
    static const struct {
        double most, grad[6];
    } c[] = {
        { 1.5, { 0.19813740366056, -0.39627480732112, 0.792549614642239, 0.0990687018302799,
                   -1.18882442196336, 0.0495343509151399 } },
        { 0, { 0, 0, 0, 0, 0, 0 } },
        { 3.8, { 0.5, -1, 2, 0.25, -3, 0.125 } },
        { 3.7, { 0.488738929029381, -0.977477858058762, 1.95495571611752, 0.24436946451469,
                   -2.93243357417628, 0.122184732257345 } },
    };
    gr_model *m = gr_model_build(layers, gr_shape(1, 2));
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        give_grads(m);
        close_to(gr_clip_grad_norm(m, c[i].most), 3.78525098243168);
        grads_are(m, c[i].grad);
    }
    /* Beside a small norm PyTorch's 1e-6 shows. */
    gr_clip_grad_norm(m, 1e-6);
    double before = (double)gr_data(gr_grad_of(gr_model_at(m, 0)))[0],
           norm = gr_clip_grad_norm(m, 1e-6);
    close_to((double)gr_data(gr_grad_of(gr_model_at(m, 0)))[0] / before, 1e-6 / (norm + 1e-6));
    give_grads(m);
    ck_assert(gr_clip_grad_value(m, 0.5));
    grads_are(m, (const double[]){ 0.5, -0.5, 0.5, 0.25, -0.5, 0.125 });
    gr_model_free(m);
}
END_TEST

START_TEST(what_cannot_be_clipped_stays_and_stops_the_step)
{
    gr_model *m = gr_model_build(layers, gr_shape(1, 2));
    gr_optim *o = gr_sgd(m);
    FAILS(!isnan(gr_clip_grad_norm(NULL, 1)), GR_ERR_ARGUMENT, "clip_grad_norm: the model is NULL");
    FAILS(!isnan(gr_clip_grad_norm(m, -1)), GR_ERR_ARGUMENT,
        "clip_grad_norm: a limit of -1: 0 or more wanted");
    FAILS(!isnan(gr_clip_grad_norm(m, 1)), GR_ERR_GRAPH,
        "clip_grad_norm: no parameter has a gradient; gr_backward comes first");
    FAILS(gr_clip_grad_value(m, NAN), GR_ERR_ARGUMENT,
        "clip_grad_value: a limit of nan: 0 or more wanted");
    FAILS(gr_clip_grad_value(m, 1), GR_ERR_GRAPH,
        "clip_grad_value: no parameter has a gradient; gr_backward comes first");
    for (int bad = 0; bad < 2; bad++) {
        give_grads(m);
        gr_data_mut(gr_grad_of(gr_model_get(m, "body.fc1.bias")))[1] =
            bad ? -(gr_real)INFINITY : (gr_real)NAN;
        ck_assert(isnan(gr_clip_grad_norm(m, 1)));
        ck_assert(!gr_optim_step(o));
        failed_with(GR_ERR_NUMBER,
            bad ? "clip_grad_norm: the gradient of 'body.fc1.bias' (2) has the norm inf"
                : "clip_grad_norm: the gradient of 'body.fc1.bias' (2) has the norm nan");
        ck_assert(gr_data(gr_grad_of(gr_model_get(m, "body.fc1.weight")))[2] == 2);
    }
    give_grads(m);
    FAILS(gr_add(NULL, NULL) || !isnan(gr_clip_grad_norm(m, 1)) || gr_clip_grad_value(m, 1),
        GR_ERR_ARGUMENT, "add: input 1 is NULL");
    grads_are(m, (const double[]){ 0.5, -1, 2, 0.25, -3, 0.125 });
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

/* ---- schedules: rates from 0.4 --------------------------------------------------------------- */

static void rates(gr_optim *o, gr_schedule *s, int n, const double *expected, bool momentum)
{
    nothing_failed();
    for (int t = 0; t < n; t++) {
        ck_assert_double_eq_tol(gr_optim_lr(o), *expected++, 1e-13);
        if (momentum) ck_assert_double_eq_tol(gr_optim_momentum(o), *expected++, 1e-13);
        ck_assert(gr_schedule_next(s));
    }
    gr_schedule_free(s);
    ck_assert(gr_optim_set_lr(o, 0.4));
}

static void reports(
    gr_optim *o, gr_schedule *s, int n, const double *metric, const double *expected)
{
    nothing_failed();
    for (int t = 0; t < n; t++) {
        ck_assert(gr_schedule_report(s, metric[t]) && gr_schedule_next(s));
        ck_assert_double_eq_tol(gr_optim_lr(o), expected[t], 1e-13);
    }
    gr_schedule_free(s);
    ck_assert(gr_optim_set_lr(o, 0.4));
}

#define LIST(...) \
    (const double[]) { __VA_ARGS__ }
#define LENGTH(...) (int)(sizeof(LIST(__VA_ARGS__)) / sizeof(double))
#define RATES(schedule, ...) rates(o, (schedule), LENGTH(__VA_ARGS__), LIST(__VA_ARGS__), false)
#define CYCLES(schedule, ...) rates(o, (schedule), LENGTH(__VA_ARGS__) / 2, LIST(__VA_ARGS__), true)
#define REPORTS(schedule, ...) \
    reports(o, (schedule), LENGTH(__VA_ARGS__), metric, LIST(__VA_ARGS__))

START_TEST(rates_are_pytorchs)
{
    gr_model *m = weights();
    gr_optim *o = gr_sgd(m, .lr = 0.4);
    RATES(gr_step_lr(o, 3), 0.4, 0.4, 0.4, 0.04, 0.04, 0.04, 0.004, 0.004, 0.004, 0.0004, 0.0004,
        0.0004);
    RATES(gr_step_lr(o, 2, .gamma = 0.5, .warmup = 4), 0.133333333333333, 0.2, 0.266666666666667,
        0.333333333333333, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05);
    RATES(gr_multistep_lr(o, GR_MILESTONES(2, 5, 6)), 0.4, 0.4, 0.04, 0.04, 0.04, 0.004, 0.0004,
        0.0004, 0.0004, 0.0004, 0.0004, 0.0004);
    RATES(gr_multistep_lr(o, GR_MILESTONES(1, 4), .gamma = 0.5, .warmup = 3, .warmup_from = 0.1),
        0.04, 0.16, 0.28, 0.4, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1);
    RATES(gr_exponential_lr(o, 0.9), 0.4, 0.36, 0.324, 0.2916, 0.26244, 0.236196, 0.2125764,
        0.19131876, 0.172186884, 0.1549681956, 0.13947137604, 0.125524238436);
    RATES(gr_exponential_lr(o, 0.9, .warmup = 5), 0.133333333333333, 0.186666666666667, 0.24,
        0.293333333333333, 0.346666666666667, 0.4, 0.36, 0.324, 0.2916, 0.26244, 0.236196,
        0.2125764);
    RATES(gr_cosine_lr(o, 8), 0.4, 0.384775906502257, 0.34142135623731, 0.276536686473018, 0.2,
        0.123463313526982, 0.0585786437626905, 0.0152240934977427, 0, 0.0152240934977427,
        0.0585786437626906, 0.123463313526982);
    RATES(gr_cosine_lr(o, 5, .min_lr = 0.05, .warmup = 4, .warmup_from = 0.01), 0.004, 0.103, 0.202,
        0.301, 0.4, 0.366577974015616, 0.279077974015616, 0.170922025984384, 0.0834220259843842,
        0.05, 0.0834220259843842, 0.170922025984384);
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

START_TEST(one_cycle_is_pytorchs)
{
    gr_model *m = weights();
    gr_optim *o = gr_sgd(m, .lr = 0.4, .momentum = 0.9);
    CYCLES(gr_one_cycle_lr(o, 1, 10, .fixed_momentum = true), 0.04, 0.9, 0.52, 0.9, 1, 0.9,
        0.950484632013474, 0.9, 0.811745653949763, 0.9, 0.611262021936289, 0.9, 0.388741978063711,
        0.9, 0.188258346050237, 0.9, 0.0495193679865263, 0.9, 4e-06, 0.9);
    CYCLES(gr_one_cycle_lr(o, 1, 10), 0.04, 0.95, 0.52, 0.9, 1, 0.85, 0.950484632013474,
        0.854951556604879, 0.811745653949763, 0.868825509907063, 0.611262021936289,
        0.888873953302184, 0.388741978063711, 0.911126046697816, 0.188258346050237,
        0.931174490092937, 0.0495193679865263, 0.945048443395121, 4e-06, 0.95);
    CYCLES(gr_one_cycle_lr(o, 1, 10, .linear = true, .pct_start = 0.5, .div_factor = 10,
               .final_div_factor = 100, .base_momentum = 0.7, .max_momentum = 0.9),
        0.1, 0.9, 0.325, 0.85, 0.55, 0.8, 0.775, 0.75, 1, 0.7, 0.8002, 0.74, 0.6004, 0.78, 0.4006,
        0.82, 0.2008, 0.86, 0.001, 0.9);
    CYCLES(gr_one_cycle_lr(o, 1, 10, .three_phase = true), 0.04, 0.95, 0.52, 0.9, 1, 0.85, 0.52,
        0.9, 0.04, 0.95, 0.0361807218535102, 0.95, 0.0261817218535102, 0.95, 0.0138222781464898,
        0.95, 0.0038232781464898, 0.95, 4e-06, 0.95);
    CYCLES(gr_one_cycle_lr(o, 1, 10, .three_phase = true, .linear = true, .pct_start = 0.4), 0.04,
        0.95, 0.36, 0.916666666666667, 0.68, 0.883333333333333, 1, 0.85, 0.68, 0.883333333333333,
        0.36, 0.916666666666667, 0.04, 0.95, 0.026668, 0.95, 0.013336, 0.95, 3.99999999999706e-06,
        0.95);
    gr_optim_free(o);
    o = gr_adam(m, .lr = 0.4, .no_beta1 = true);
    CYCLES(gr_one_cycle_lr(o, 1, 10), 0.04, 0.95, 0.52, 0.9, 1, 0.85, 0.950484632013474,
        0.854951556604879, 0.811745653949763, 0.868825509907063, 0.611262021936289,
        0.888873953302184, 0.388741978063711, 0.911126046697816, 0.188258346050237,
        0.931174490092937, 0.0495193679865263, 0.945048443395121, 4e-06, 0.95);
    gr_schedule *s = gr_one_cycle_lr(o, 1, 10, .warmup = 2);
    for (int t = 0; t < 20; t++) {
        if (t < 2)
            ck_assert_double_eq_tol(gr_optim_lr(o), 0.04 * (t == 0 ? 1.0 / 3 : 2.0 / 3), 1e-13);
        ck_assert(gr_schedule_next(s));
    }
    ck_assert_double_eq_tol(gr_optim_lr(o), 4e-6, 1e-13); /* where it stays */
    ck_assert_double_eq_tol(gr_optim_momentum(o), 0.95, 1e-13);
    gr_schedule_free(s);
    s = gr_one_cycle_lr(o, 1, 10, .pct_start = 0.1);
    ck_assert_double_eq_tol(gr_optim_lr(o), 1, 1e-13); /* at the top at once: no way up */
    gr_schedule_free(s);
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

START_TEST(plateaus_are_pytorchs)
{
    static const double loss[] = { 1.0, 0.9, 0.9, 0.95, 0.89995, 0.899, 0.95, 0.95, 0.95, 0.95, 0.8,
        0.8, 0.8, 0.8, 0.8, 0.8 };
    static const double accuracy[] = { 0.1, 0.2, 0.2, 0.15, 0.20001, 0.2005, 0.2, 0.2, 0.2, 0.2,
        0.5, 0.5, 0.5, 0.5, 0.5, 0.5 };
    static const double even[14] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    const double       *metric = loss;
    gr_model           *m = weights();
    gr_optim           *o = gr_sgd(m, .lr = 0.4);
    REPORTS(gr_plateau_lr(o, .patience = 2), 0.4, 0.4, 0.4, 0.4, 0.04, 0.04, 0.04, 0.04, 0.004,
        0.004, 0.004, 0.004, 0.004, 0.0004, 0.0004, 0.0004);
    REPORTS(gr_plateau_lr(o, .patience = 2, .no_threshold = true, .factor = 0.5), 0.4, 0.4, 0.4,
        0.4, 0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1);
    REPORTS(gr_plateau_lr(o, .no_patience = true, .cooldown = 2, .factor = 0.5, .min_lr = 0.06),
        0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06);
    REPORTS(gr_plateau_lr(
                o, .patience = 1, .absolute = true, .threshold = 0.05, .eps = 0.05, .factor = 0.5),
        0.4, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1);
    metric = accuracy;
    REPORTS(gr_plateau_lr(o, .patience = 2, .maximise = true), 0.4, 0.4, 0.4, 0.4, 0.04, 0.04, 0.04,
        0.04, 0.004, 0.004, 0.004, 0.004, 0.004, 0.0004, 0.0004, 0.0004);
    REPORTS(
        gr_plateau_lr(o, .patience = 1, .maximise = true, .absolute = true, .threshold = 0.0003),
        0.4, 0.4, 0.4, 0.04, 0.04, 0.04, 0.04, 0.004, 0.004, 0.0004, 0.0004, 0.0004, 4e-05, 4e-05,
        4e-06, 4e-06);
    metric = even;
    REPORTS(
        gr_plateau_lr(o), 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.04, 0.04, 0.04);
    gr_schedule *s =
        gr_plateau_lr(o, .no_patience = true, .factor = 0.5, .warmup = 2, .warmup_from = 0.5);
    ck_assert(gr_schedule_report(s, 1) && gr_schedule_report(s, 1) && gr_schedule_next(s));
    /* the warm-up goes on by counts, the plateau by reports */
    ck_assert_double_eq_tol(gr_optim_lr(o), 0.2 * 0.75, 1e-13);
    ck_assert(gr_schedule_next(s) && gr_schedule_next(s));
    ck_assert_double_eq_tol(gr_optim_lr(o), 0.2, 1e-13);
    gr_schedule_free(s);
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

START_TEST(groups_follow_the_schedule)
{
    gr_model *m = gr_model_build(layers, gr_shape(1, 2)),
             *same = gr_model_build(layers, gr_shape(1, 2));
    gr_optim *o = gr_sgd(m, .lr = 0.4), *twice = gr_sgd(same, .lr = 0.4);
    ck_assert(gr_optim_group(o, "*", .lr_factor = 0.5));
    gr_schedule *s = gr_step_lr(o, 1, .gamma = 0.5), *t = gr_step_lr(twice, 1, .gamma = 0.5);
    gr_tensor   *x = gr_ones(gr_shape(1, 2));
    for (int i = 0; i < 3; i++) {
        gr_backward(gr_sum(layers(m, x)));
        gr_backward(gr_sum(layers(same, x)));
        ck_assert(gr_schedule_next(t)); /* one ahead: half the rate */
        ck_assert(gr_optim_step(o) && gr_optim_step(twice));
        ck_assert(gr_schedule_next(s));
        gr_zero_grad(o);
        gr_zero_grad(twice);
        gr_reset();
    }
    for (int p = 0; p < 4; p++)
        ck_assert_mem_eq(
            gr_data(gr_model_at(m, p)), gr_data(gr_model_at(same, p)), 2 * sizeof(gr_real));
    gr_free(x);
    gr_schedule_free(s);
    gr_schedule_free(t);
    gr_optim_free(o);
    gr_optim_free(twice);
    gr_model_free(m);
    gr_model_free(same);
}
END_TEST

START_TEST(misuse_of_a_schedule_is_said)
{
    gr_model *m = weights();
    gr_optim *o = gr_sgd(m, .lr = 0.4);
    FAILS(gr_step_lr(NULL, 3), GR_ERR_ARGUMENT, "step_lr: the optimiser is NULL");
    FAILS(gr_multistep_lr(NULL, GR_MILESTONES(3)), GR_ERR_ARGUMENT,
        "multistep_lr: the optimiser is NULL");
    FAILS(gr_exponential_lr(NULL, 0.9), GR_ERR_ARGUMENT, "exponential_lr: the optimiser is NULL");
    FAILS(gr_cosine_lr(NULL, 3), GR_ERR_ARGUMENT, "cosine_lr: the optimiser is NULL");
    FAILS(gr_one_cycle_lr(NULL, 1, 3), GR_ERR_ARGUMENT, "one_cycle_lr: the optimiser is NULL");
    FAILS(gr_plateau_lr(NULL), GR_ERR_ARGUMENT, "plateau_lr: the optimiser is NULL");
    FAILS(gr_step_lr(o, 0), GR_ERR_ARGUMENT,
        "step_lr: every 0, gamma 0.1: 1 or more and a gamma over 0 wanted");
    FAILS(gr_step_lr(o, 1, .gamma = -1), GR_ERR_ARGUMENT,
        "step_lr: every 1, gamma -1: 1 or more and a gamma over 0 wanted");
    FAILS(gr_multistep_lr(o, GR_MILESTONES(2, 2)), GR_ERR_ARGUMENT,
        "multistep_lr: count 2, gamma 0.1: milestones that rise from 1 or more and a gamma "
        "over 0 wanted");
    FAILS(gr_multistep_lr(o, GR_MILESTONES(0, 2)), GR_ERR_ARGUMENT,
        "multistep_lr: count 2, gamma 0.1: milestones that rise from 1 or more and a gamma "
        "over 0 wanted");
    FAILS(gr_exponential_lr(o, 0), GR_ERR_ARGUMENT, "exponential_lr: gamma 0: over 0 wanted");
    FAILS(gr_cosine_lr(o, 0, .min_lr = 0.1), GR_ERR_ARGUMENT,
        "cosine_lr: steps 0, min_lr 0.1: 1 step or more and a min_lr of 0 or more wanted");
    FAILS(gr_cosine_lr(o, 2, .warmup = -1), GR_ERR_ARGUMENT,
        "cosine_lr: warmup -1, warmup_from 0: 0 or more wanted, and warmup_from at most 1");
    FAILS(gr_one_cycle_lr(o, 1, 0), GR_ERR_ARGUMENT,
        "one_cycle_lr: max_lr 1, steps 0, pct_start 0.3, div_factor 25, final_div_factor 10000: "
        "all over 0, pct_start at most 1 wanted");
    FAILS(gr_one_cycle_lr(o, 1, 9), GR_ERR_ARGUMENT,
        "one_cycle_lr: sgd has no momentum to move; make it with one, or say .fixed_momentum");
    FAILS(gr_one_cycle_lr(o, 1, 9, .base_momentum = 0.96), GR_ERR_ARGUMENT,
        "one_cycle_lr: momentum 0.96 to 0.95: from 0 or more to under 1 wanted");
    FAILS(gr_plateau_lr(o, .factor = 1), GR_ERR_ARGUMENT,
        "plateau_lr: factor 1, patience 10, threshold 0.0001, cooldown 0, min_lr 0, eps 1e-08: "
        "none may be negative, factor is under 1");
    FAILS(gr_schedule_next(NULL), GR_ERR_ARGUMENT, "schedule_next: the schedule is NULL");
    FAILS(gr_schedule_report(NULL, 1), GR_ERR_ARGUMENT, "schedule_report: the schedule is NULL");
    gr_schedule *s = gr_step_lr(o, 3);
    FAILS(gr_schedule_report(s, 1), GR_ERR_ARGUMENT,
        "schedule_report: a schedule of step_lr takes no reports");
    ck_assert_double_eq(gr_optim_lr(o), 0.4);
    gr_schedule_free(s);
    gr_schedule_free(NULL);
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

/* ---- initialisation -------------------------------------------------------------------------- */

/* 18432 numbers: uniform ones reach to the bound and not over, and both kinds have the standard
   deviation, to 2 %, and the mean 0. */
static void spread(gr_tensor *t, double bound, double std)
{
    nothing_failed();
    double  sum = 0, square = 0, most = 0;
    int64_t n = gr_count(t);
    for (int64_t i = 0; i < n; i++) {
        double x = (double)gr_data(t)[i];
        sum += x;
        square += x * x;
        most = fmax(most, fabs(x));
    }
    if (bound > 0)
        ck_assert_msg(
            most <= bound * 1.000001 && most > 0.999 * bound, "%.9g, bound %.9g", most, bound);
    if (bound > 0) std = bound / sqrt(3);
    if (std > 0 && bound == 0)
        ck_assert_msg(
            most > 3.2 * std && most < 7 * std, "%.9g is the largest, std %.9g", most, std);
    ck_assert_msg(fabs(sqrt(square / (double)n) / std - 1) < 0.02, "std %.9g, %.9g expected",
        sqrt(square / (double)n), std);
    ck_assert_msg(fabs(sum / (double)n) < 0.03 * std, "mean %.9g, std %.9g", sum / (double)n, std);
}

#define UNIFORM(bound, ...) (ck_assert(gr_tensor_init(t, &rng, __VA_ARGS__)), spread(t, bound, 0))
#define NORMAL(std, ...) (ck_assert(gr_tensor_init(t, &rng, __VA_ARGS__)), spread(t, 0, std))

START_TEST(first_values_are_spread_as_pytorchs)
{
    gr_tensor *t = gr_zeros(gr_shape(64, 32, 3, 3));
    gr_rng     rng = gr_rng_of(1, "init");
    UNIFORM(0.144337567297406, GR_KAIMING_UNIFORM);
    UNIFORM(0.058925565098879, GR_KAIMING_UNIFORM, .a = sqrt(5));
    UNIFORM(0.100080096128179, GR_KAIMING_UNIFORM, .a = 0.2, .fan_out = true);
    UNIFORM(0.170103454359943, GR_KAIMING_UNIFORM, .act = GR_TANH);
    UNIFORM(0.102062072615966, GR_KAIMING_UNIFORM, .act = GR_SIGMOID);
    NORMAL(0.0833333333333333, GR_KAIMING_NORMAL);
    NORMAL(0.058925565098879, GR_KAIMING_NORMAL, .fan_out = true, .act = GR_RELU);
    NORMAL(0.058925565098879, GR_KAIMING_NORMAL, .gain = 1);
    UNIFORM(0.0833333333333333, GR_XAVIER_UNIFORM);
    UNIFORM(0.138888888888889, GR_XAVIER_UNIFORM, .act = GR_TANH);
    NORMAL(0.0481125224324688, GR_XAVIER_NORMAL);
    NORMAL(0.0680413817439772, GR_XAVIER_NORMAL, .act = GR_RELU);
    NORMAL(0.000962250448649376, GR_XAVIER_NORMAL, .gain = 0.02);
    ck_assert(gr_tensor_init(t, NULL, GR_CONSTANT, .value = 0.25));
    for (int64_t i = 0; i < gr_count(t); i++) ck_assert(gr_data(t)[i] == (gr_real)0.25);
    gr_tensor *none = gr_zeros(gr_shape(0, 3));
    ck_assert(
        gr_tensor_init(none, &rng, GR_ORTHOGONAL) && gr_tensor_init(none, &rng, GR_KAIMING_NORMAL));
    nothing_failed();
    gr_free(none);
    gr_free(t);
}
END_TEST

/* The sum over the shared dimension of Q's vectors j and k, Q seen as rows x columns and its
   vectors the fewer of the two. */
static double product(const gr_real *q, int64_t rows, int64_t columns, int64_t j, int64_t k)
{
    int64_t length = rows < columns ? columns : rows, vector = rows < columns ? columns : 1,
            along = rows < columns ? 1 : columns;
    double sum = 0;
    for (int64_t i = 0; i < length; i++)
        sum += (double)q[j * vector + i * along] * (double)q[k * vector + i * along];
    return sum;
}

/* Q's vectors against the normal numbers that it was made from: R is upper triangular, its diagonal
   positive. */
static double r_at(
    const gr_real *q, int64_t rows, int64_t columns, int64_t j, int64_t k, const double *drawn)
{
    int64_t length = rows < columns ? columns : rows, vector = rows < columns ? columns : 1,
            along = rows < columns ? 1 : columns;
    double sum = 0;
    for (int64_t i = 0; i < length; i++)
        sum += (double)q[j * vector + i * along] * drawn[k * length + i];
    return sum;
}

START_TEST(orthogonal_weights_are_the_q_of_a_qr)
{
    const gr_shape shapes[] = { gr_shape(4, 9), gr_shape(9, 4), gr_shape(5, 5),
        gr_shape(6, 2, 3, 3), gr_shape(40, 2, 3, 3), gr_shape(1, 7), gr_shape(7, 1),
        gr_shape(64, 64) };
    double         drawn[4096], most = sizeof(gr_real) == 4 ? 1e-6 : 1e-13;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        gr_tensor *t = gr_zeros(shapes[i]);
        gr_rng     rng = gr_rng_of(2, "init"), same = rng;
        for (int64_t d = 0; d < gr_count(t); d++) drawn[d] = gr_rng_normal(&same);
        ck_assert(gr_tensor_init(t, &rng, GR_ORTHOGONAL));
        int64_t rows = gr_size(t, 0), columns = gr_count(t) / rows,
                n = rows < columns ? rows : columns;
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = 0; k < n; k++) {
                ck_assert_double_eq_tol(product(gr_data(t), rows, columns, j, k), j == k, most);
                if (j > k)
                    ck_assert_double_eq_tol(
                        r_at(gr_data(t), rows, columns, j, k, drawn), 0, 30 * most);
                if (j == k) ck_assert(r_at(gr_data(t), rows, columns, j, k, drawn) > 0);
            }
        ck_assert(gr_tensor_init(t, &rng, GR_ORTHOGONAL, .gain = 3));
        ck_assert_double_eq_tol(product(gr_data(t), rows, columns, 0, 0), 9, 9 * most);
        gr_free(t);
    }
}
END_TEST

START_TEST(a_models_weights_begin_by_name)
{
    gr_model *m = gr_model_build(layers, gr_shape(1, 2), .seed = 5),
             *other = gr_model_build(layers, gr_shape(1, 2), .seed = 5);
    ck_assert(gr_model_init(m, "*.fc2.weight", GR_XAVIER_NORMAL) &&
              gr_model_init(other, "*.weight", GR_XAVIER_NORMAL));
    const char *names[] = { "body.fc1.weight", "body.fc1.bias", "body.fc2.weight",
        "body.fc2.bias" };
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(memcmp(gr_data(gr_model_get(m, names[i])),
                             gr_data(gr_model_get(other, names[i])), 2 * sizeof(gr_real)) == 0,
            i != 0);
    gr_tensor *t = gr_zeros(gr_shape(2, 2));
    gr_rng     rng = gr_rng_of(5, "body.fc2.weight");
    ck_assert(gr_tensor_init(t, &rng, GR_XAVIER_NORMAL));
    ck_assert_mem_eq(gr_data(t), gr_data(gr_model_get(m, "body.fc2.weight")), 4 * sizeof(gr_real));
    ck_assert(gr_model_init(m, GR_VECTORS, GR_CONSTANT, .value = 0.5));
    ck_assert(gr_data(gr_model_get(m, "body.fc1.bias"))[1] == (gr_real)0.5);
    ck_assert_mem_eq(gr_data(t), gr_data(gr_model_get(m, "body.fc2.weight")), 4 * sizeof(gr_real));
    nothing_failed();
    gr_free(t);
    gr_model_free(m);
    gr_model_free(other);
}
END_TEST

START_TEST(misuse_of_an_initialiser_is_said)
{
    gr_model  *m = gr_model_build(layers, gr_shape(1, 2)), *open = gr_model_new(0);
    gr_tensor *t = gr_zeros(gr_shape(3)),
              *ints = gr_from_ints(gr_shape(1, 1), (const int32_t[]){ 1 });
    gr_rng     rng = gr_rng_of(1, "x");
    gr_tensor *before = gr_copy(gr_model_get(m, "body.fc1.weight"));
    FAILS(gr_model_init(NULL, "*", GR_CONSTANT), GR_ERR_ARGUMENT, "model_init: the model is NULL");
    FAILS(gr_model_init(open, "*", GR_CONSTANT), GR_ERR_ARGUMENT,
        "model_init: the model is still being built; gr_model_seal ends that");
    FAILS(gr_model_init(m, "*.wieght", GR_CONSTANT), GR_ERR_ARGUMENT,
        "model_init: no parameter fits '*.wieght'");
    FAILS(gr_model_init(m, "*", GR_ORTHOGONAL), GR_ERR_ARGUMENT,
        "model_init: body.fc1.bias (2): a weight (O,I,...) wanted, vectors take "
        "GR_CONSTANT only");
    FAILS(gr_model_init(m, "*.weight", GR_XAVIER_NORMAL, .gain = -1), GR_ERR_ARGUMENT,
        "model_init: gain -1: 0 or more wanted");
    ck_assert_mem_eq(
        gr_data(before), gr_data(gr_model_get(m, "body.fc1.weight")), 4 * sizeof(gr_real));
    FAILS(gr_model_init(m, "*", (gr_init_how)9), GR_ERR_ARGUMENT,
        "model_init: there is no initialisation 9");
    FAILS(gr_tensor_init(NULL, &rng, GR_CONSTANT), GR_ERR_ARGUMENT,
        "tensor_init: the tensor is NULL");
    FAILS(gr_tensor_init(t, NULL, GR_XAVIER_NORMAL), GR_ERR_ARGUMENT,
        "tensor_init: the stream is NULL");
    FAILS(gr_tensor_init(t, &rng, GR_XAVIER_NORMAL), GR_ERR_ARGUMENT,
        "tensor_init: a tensor (3): a weight (O,I,...) wanted, vectors take GR_CONSTANT "
        "only");
    FAILS(gr_tensor_init(ints, &rng, GR_CONSTANT), GR_ERR_ARGUMENT,
        "tensor_init: input 1 (1,1) is int32, real wanted");
    gr_free(before);
    gr_free(t);
    gr_free(ints);
    gr_model_free(m);
    gr_model_free(open);
}
END_TEST

/* ---- the model as a table -------------------------------------------------------------------- */

static gr_tensor *varied(gr_model *m, gr_tensor *x)
{
    x = gr_sub(x, gr_scalar(1)); /* before any layer */
    x = gr_nn_conv2d(
        m, "stem.conv", x, 8, 3, .padding = 1, .stride = 2, .groups = 2, .act = GR_RELU);
    gr_tensor *y = gr_nn_conv2d(m, "stem.same", x, 8, 3, .padding = 1, .no_bias = true);
    x = gr_max_pool2d(gr_add(x, y), 2);
    x = gr_nn_conv_transpose2d(m, "up", x, 5, 2, .stride = 2);
    x = gr_nn_dropout(m, "drop", gr_flatten(x), 0.5);
    x = gr_nn_linear(m, "fc", gr_relu(x), 6);
    x = gr_matmul(x, gr_transpose(gr_nn_param(m, "w", gr_shape(4, 6)), 0, 1));
    x = gr_mul(x, gr_reshape(gr_nn_param(m, "scale.weight", gr_shape(4)), gr_shape(1, 4)));
    return gr_add(x, gr_nn_param(m, "scale.bias", gr_shape(4)));
}

START_TEST(a_model_is_told_as_a_table)
{
    /* conv: 2 x 8 x 64 x (2 x 9); same: 2 x 8 x 64 x 72; up: 2 x 8 x 16 x 20; fc: 2 x 320 x 6 */
    const char *const expected =
        "layer      op                                                output       parameters    "
        "FLOPs\n"
        "------------------------------------------------------------------------------------------"
        "---\n"
        "           input                                             (1,4,16,16)\n"
        "           sub                                               (1,4,16,16)                "
        "1,024\n"
        "stem.conv  conv2d (act relu, stride 2, padding 1, groups 2)  (1,8,8,8)           152   "
        "18,432\n"
        "stem.same  conv2d (padding 1)                                (1,8,8,8)           576   "
        "73,728\n"
        "           add                                               (1,8,8,8)                    "
        "512\n"
        "           max_pool2d (size 2, stride 2)                     (1,8,4,4)                    "
        "512\n"
        "up         conv_transpose2d (stride 2)                       (1,5,8,8)           165    "
        "5,120\n"
        "           relu                                              (1,320)                      "
        "320\n"
        "fc         linear                                            (1,6)             1,926    "
        "3,840\n"
        "w          matmul                                            (1,4)                24      "
        " 48\n"
        "scale      mul, add                                          (1,4)                 8      "
        "  8\n"
        "------------------------------------------------------------------------------------------"
        "---\n"
        "total                                                                          2,851  "
        "103,544\n"
        "2,851 parameters, %s KiB; 728 frozen\n"
        "FLOPs: 2 per multiply-add, without bias and activation; "
        "other ops: 1 per number read or written\n";
    GR_STEP;
    gr_model *m = gr_model_build(varied, gr_shape(1, 4, 16, 16));
    gr_model_freeze(m, "stem");
    size_t      live = gr_memory().live;
    const char *text = NULL;
    {
        GR_NO_GRAD;
        text = gr_model_format(m);
        nothing_failed();
        ck_assert_str_eq(text, gr_name(expected, sizeof(gr_real) == 4 ? "11.1" : "22.3"));
        ck_assert(!gr_set_recording(false));
    }
    ck_assert(gr_memory().live < live + 4096); /* the text alone */
    gr_tensor *x = gr_ones(gr_shape(1, 8));
    ck_assert_ptr_ne(gr_nn_dropout(m, "drop", x, 0.5), x); /* still in train mode */
    const char *pair = gr_model_format(m, .input = gr_shape(2, 4, 16, 16));
    ck_assert_ptr_nonnull(strstr(pair, "fc         linear                                          "
                                       "  (2,6)             1,926    7,680\n"));
    gr_model_free(m);
}
END_TEST

static gr_tensor *first_of_two(gr_model *m, gr_tensor *x) { return gr_nn_linear(m, "one", x, 3); }
static gr_tensor *nothing(gr_model *m, gr_tensor *x) { return (void)m, (void)x, NULL; }

START_TEST(a_model_opened_by_hand_is_told_how)
{
    gr_model *m = gr_model_new(1);
    GR_STEP;
    FAILS(gr_model_format(m), GR_ERR_ARGUMENT,
        "model_format: the model is still being built; gr_model_seal ends that");
    {
        GR_NO_GRAD;
        first_of_two(m, gr_ones(gr_shape(1, 2)));
        gr_nn_linear(m, "other.two", gr_ones(gr_shape(1, 2)), 3);
    }
    gr_model_seal(m);
    FAILS(gr_model_format(NULL), GR_ERR_ARGUMENT, "model_format: the model is NULL");
    FAILS(gr_model_format(m), GR_ERR_ARGUMENT,
        "model_format: the model is of gr_model_new: .forward and .input wanted");
    FAILS(gr_model_format(m, .forward = nothing, .input = gr_shape(1)), GR_ERR_ARGUMENT,
        "model_format: the forward function gave NULL");
    FAILS(gr_model_format(m, .forward = first_of_two, .input = gr_shape(1, 5)), GR_ERR_ARGUMENT,
        "model: 'one.weight' is (3,2), (3,5) wanted");
    const char *text = gr_model_format(m, .forward = first_of_two, .input = gr_shape(1, 2));
    nothing_failed();
    ck_assert_ptr_nonnull(strstr(text, "one        linear      (1,3)            9     12\n"));
    ck_assert_ptr_nonnull(strstr(text, "other.two  (not used)                   9      0\n"));
    gr_model_free(m);
}
END_TEST

/* A table's rows must be these, and no others between the two rules. */
static void rows_are(gr_forward *forward, gr_shape input, const char *expected)
{
    GR_STEP;
    gr_model   *m = gr_model_build_(forward, (gr_model_options){ .input = input });
    const char *text = gr_model_format(m), *rule = "-\n", *from = text ? strstr(text, rule) : NULL;
    nothing_failed();
    const char *to = strstr(from + 2, "--");
    ck_assert_str_eq(gr_name("%.*s", (int)(to - from - 2), from + 2), expected);
    gr_model_free(m);
}

static gr_tensor *normed(gr_model *m, gr_tensor *x)
{
    x = gr_nn_batch_norm2d(m, "plain", x, .no_affine = true);
    x = gr_nn_batch_norm2d(m, "bn", x, .act = GR_RELU);
    x = gr_nn_group_norm(m, "gn", x, 2);
    return gr_nn_layer_norm(m, "ln", gr_mean(x, .axes = GR_DIMS(2, 3)));
}

static gr_tensor *worded(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, "fc", gr_nn_embedding(m, "embed", gr_argmax(x, 1), 50, 8), 3);
}

/* A generator that makes its own noise, and a weight made of two. */
static gr_tensor *generating(gr_model *m, gr_tensor *x)
{
    gr_rng rng = gr_rng_of(1, "z");
    x = gr_relu(gr_nn_linear(m, "fc1", gr_normal(gr_shape(1, 5), &rng, 0, 1), 7));
    gr_tensor *v = gr_nn_param(m, "fc2.weight_v", gr_shape(3, 7)),
              *g = gr_nn_param(m, "fc2.weight_g", gr_shape(3, 1));
    return gr_linear(x, gr_mul(v, gr_mul(gr_scalar(2), g)));
}

START_TEST(a_tables_rows_are_the_layers)
{
    rows_are(normed, gr_shape(1, 4, 8, 8),
        "       input                    (1,4,8,8)\n"
        "       batch_norm2d             (1,4,8,8)                256\n"
        "bn     batch_norm2d (act relu)  (1,4,8,8)           8    256\n"
        "gn     group_norm (groups 2)    (1,4,8,8)           8    768\n"
        "       mean (axes (2,3))        (1,4)                    256\n"
        "ln     layer_norm               (1,4)               8     12\n");
    rows_are(worded, gr_shape(2, 6),
        "       input      (2,6)\n"
        "embed  embedding  (2,8)          400    400\n"
        "fc     linear     (2,3)           27     96\n");
    rows_are(generating, gr_shape(1),
        "       input   (1)\n"
        "fc1    linear  (1,7)           42     70\n"
        "       relu    (1,7)                   7\n"
        "fc2    linear  (1,3)           24     42\n");
}
END_TEST

/* A forward function that goes backward itself, and one that reads what is older than the run. */
static gr_tensor *older;
static gr_tensor *inner(gr_model *m, gr_tensor *x)
{
    gr_tensor *y = gr_nn_linear(m, "fc", gr_mul(x, older), 2);
    return gr_requires_grad(y) ? gr_mul(y, gr_grad(gr_sum(gr_mul(y, y)), y)) : y;
}

START_TEST(a_table_stands_whatever_forward_does)
{
    GR_STEP;
    gr_tensor *p = gr_param(gr_ones(gr_shape(2)));
    older = gr_mul(p, p);
    gr_model   *m = gr_model_build(inner, gr_shape(1, 2));
    const char *text = gr_model_format(m);
    nothing_failed();
    ck_assert_ptr_nonnull(strstr(text, "fc     linear  (1,2)            6      8\n"));
    gr_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("train");
    TCase *c = cases(s, "optimisers");
    tcase_add_test(c, sgd_steps_as_pytorchs_does);
    tcase_add_test(c, adam_steps_as_pytorchs_does);
    tcase_add_test(c, adamw_steps_as_pytorchs_does);
    tcase_add_test(c, rmsprop_steps_as_pytorchs_does);
    tcase_add_test(c, a_centered_variance_is_never_negative);
    tcase_add_test(c, misuse_of_an_optimiser_is_said);
    c = cases(s, "groups");
    tcase_add_test(c, groups_have_rates_and_decays_of_their_own);
    tcase_add_test(c, frozen_parameters_keep_out_of_groups_way);
    tcase_add_test(c, misuse_of_a_group_is_said);
    c = cases(s, "clipping");
    tcase_add_test(c, clipping_is_pytorchs);
    tcase_add_test(c, what_cannot_be_clipped_stays_and_stops_the_step);
    c = cases(s, "schedules");
    tcase_add_test(c, rates_are_pytorchs);
    tcase_add_test(c, one_cycle_is_pytorchs);
    tcase_add_test(c, plateaus_are_pytorchs);
    tcase_add_test(c, groups_follow_the_schedule);
    tcase_add_test(c, misuse_of_a_schedule_is_said);
    c = cases(s, "initialisers");
    tcase_add_test(c, first_values_are_spread_as_pytorchs);
    tcase_add_test(c, orthogonal_weights_are_the_q_of_a_qr);
    tcase_add_test(c, a_models_weights_begin_by_name);
    tcase_add_test(c, misuse_of_an_initialiser_is_said);
    c = cases(s, "tables");
    tcase_add_test(c, a_model_is_told_as_a_table);
    tcase_add_test(c, a_model_opened_by_hand_is_told_how);
    tcase_add_test(c, a_tables_rows_are_the_layers);
    tcase_add_test(c, a_table_stands_whatever_forward_does);
    return run(s);
}
