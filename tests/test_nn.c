/* test_nn.c: models, layers, one step of training and what it refuses, files of weights. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lenet.h"

static void fails(const char *text, gr_code code)
{
    ck_assert_ptr_nonnull(gr_error());
    ck_assert_str_eq(gr_error(), text);
    ck_assert_int_eq(gr_error_code(), code);
    gr_clear_error();
}

static void near(double a, double b)
{
    ck_assert_msg(fabs(a - b) <= 1e-6 * (1 + fabs(b)), "%.9g, %.9g expected", a, b);
}

/* ---- the model ------------------------------------------------------------------------------- */

START_TEST(a_model_has_pytorch_names_shapes_and_bounds)
{
    static const char *const names[] = { "conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
        "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias" };
    static const int64_t     counts[] = { 150, 6, 2400, 16, 48000, 120, 10080, 84, 840, 10 };
    static const int         fan_in[] = { 25, 25, 150, 150, 400, 400, 120, 120, 84, 84 };
    gr_model                *m = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 1);
    ck_assert_int_eq(gr_model_count(m), 10);
    for (int i = 0; i < 10; i++) {
        gr_tensor *t = gr_model_at(m, i);
        ck_assert_str_eq(gr_model_name(m, i), names[i]);
        ck_assert_int_eq(gr_count(t), counts[i]);
        ck_assert_ptr_eq(gr_model_get(m, names[i]), t);
        double bound = 1 / sqrt(fan_in[i]), square = 0;
        for (int64_t k = 0; k < gr_count(t); k++) {
            ck_assert(fabs((double)gr_data(t)[k]) <= bound * 1.000001);
            square += (double)gr_data(t)[k] * (double)gr_data(t)[k];
        }
        if (counts[i] > 1000) /* uniform: variance bound^2 / 3 */
            ck_assert(fabs(square / (double)counts[i] / (bound * bound / 3) - 1) < 0.1);
    }
    gr_model_free(m);
}
END_TEST

START_TEST(first_values_depend_on_seed_and_name_alone)
{
    gr_model  *a = gr_model_new(4), *b = gr_model_new(4), *c = gr_model_new(5);
    gr_tensor *first = gr_nn_param(a, "one", gr_shape(8), .uniform = 1);
    gr_nn_param(b, "two", gr_shape(3), .uniform = 1);
    gr_tensor *same = gr_nn_param(b, "one", gr_shape(8), .uniform = 1),
              *other = gr_nn_param(c, "one", gr_shape(8), .uniform = 1);
    ck_assert_int_eq(memcmp(gr_data(first), gr_data(same), 8 * sizeof(gr_real)), 0);
    ck_assert_int_ne(memcmp(gr_data(first), gr_data(other), 8 * sizeof(gr_real)), 0);
    near(gr_data(gr_nn_param(a, "c", gr_shape(1), .value = 2))[0], 2);
    gr_model_free(a);
    gr_model_free(b);
    gr_model_free(c);
}
END_TEST

static gr_tensor *twice(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, "fc", gr_nn_linear(m, "fc", x, 4), 4);
}

static gr_tensor *tied(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, "fc", gr_nn_linear(m, "fc", x, 4), 4, .shared = true);
}

static gr_tensor *numbered(gr_model *m, gr_tensor *x)
{
    for (int i = 0; i < 3; i++) x = gr_nn_linear(m, gr_name("layer%d.fc", i), x, 4);
    return x;
}

static int        late;
static gr_tensor *unsure(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, late ? "late" : "fc", x, late == 2 ? 3 : 4);
}

START_TEST(names_are_given_out_once)
{
    ck_assert_ptr_null(gr_model_build(twice, gr_shape(1, 4)));
    fails("model: 'fc.weight' was made already; layers that mean to share it say .shared",
        GR_ERR_ARGUMENT);
    gr_model *m = gr_model_build(tied, gr_shape(1, 4));
    ck_assert_int_eq(gr_model_count(m), 2);
    gr_model_free(m);
    m = gr_model_build(numbered, gr_shape(1, 4));
    ck_assert_str_eq(gr_model_name(m, 4), "layer2.fc.weight");
    gr_model_free(m);
    late = 0;
    m = gr_model_build(unsure, gr_shape(1, 4));
    gr_tensor *x = gr_ones(gr_shape(2, 4)), *wide = gr_ones(gr_shape(2, 5));
    ck_assert_ptr_nonnull(unsure(m, x));
    ck_assert_ptr_null(unsure(m, wide));
    fails("model: 'fc.weight' is (4,4), (4,5) wanted", GR_ERR_ARGUMENT);
    late = 1;
    ck_assert_ptr_null(unsure(m, x));
    fails("model: there is no 'late.weight', and the model is sealed", GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_model_get(m, "nobody"));
    fails("model_get: there is no parameter or buffer 'nobody'", GR_ERR_ARGUMENT);
    gr_model_free(m);
    gr_free(x);
    gr_free(wide);
}
END_TEST

static gr_tensor *nothing(gr_model *m, gr_tensor *x)
{
    (void)m, (void)x;
    return NULL;
}

START_TEST(misuse_of_a_model_is_said)
{
    gr_tensor *x = gr_ones(gr_shape(2, 4));
    ck_assert_ptr_null(gr_model_build(nothing, gr_shape(1)));
    fails("model_build: the forward function gave NULL", GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_model_build(NULL, gr_shape(1)));
    fails("model_build: the forward function is NULL", GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_nn_linear(NULL, "fc", x, 4));
    fails("model: the model is NULL", GR_ERR_ARGUMENT);
    gr_model *m = gr_model_new(0);
    ck_assert_ptr_null(gr_nn_linear(m, NULL, x, 4));
    fails("model: a layer's name is NULL or empty", GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_nn_linear(m, "fc", NULL, 4));
    fails("linear: input 1 is NULL", GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_nn_linear(m, "fc", x, 0));
    fails("linear 'fc': input (2,4), units 0: an input (...,I) and 1 unit or more wanted",
        GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_nn_conv2d(m, "c", x, 4, 3));
    fails("conv2d 'c': input (2,4), filters 4, kernel 3x3, groups 1: an input (N,C,H,W) and sizes "
          "of 1 or more wanted, groups that divide C",
        GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_sgd(m, .lr = 1));
    fails("sgd: the model is still being built; gr_model_seal ends that", GR_ERR_ARGUMENT);
    ck_assert(!gr_save(m, "x"));
    fails("save: the model is still being built; gr_model_seal ends that", GR_ERR_ARGUMENT);
    ck_assert(gr_model_seal(m) && !gr_model_seal(m));
    fails("model_seal: the model is sealed already", GR_ERR_ARGUMENT);
    ck_assert(!gr_model_freeze(m, "x"));
    fails("model_freeze: there is no parameter 'x'", GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_model_at(m, 0));
    fails("model_at: parameter 0 of 0", GR_ERR_ARGUMENT);
    gr_model_free(m);
    gr_free(x);
}
END_TEST

/* ---- layers ---------------------------------------------------------------------------------- */

static gr_tensor *growing(gr_model *m, gr_tensor *x)
{
    x = gr_nn_conv_transpose2d(m, "up1", x, 6, 3, .stride = 2, .padding = 1, .output_padding = 1,
        .groups = 2, .act = GR_RELU);
    return gr_nn_conv_transpose2d(
        m, "up2", x, 2, 0, .kernel_hw = { 2, 3 }, .dilation = 2, .no_bias = true);
}

START_TEST(a_transposed_convolution_is_a_layer)
{
    gr_model  *m = gr_model_build(growing, gr_shape(1, 4, 3, 2), .seed = 1);
    gr_tensor *x = gr_ones(gr_shape(2, 4, 3, 2)), *w = gr_model_get(m, "up1.weight"),
              *b = gr_model_get(m, "up1.bias");
    ck_assert_int_eq(gr_model_count(m), 3);
    ck_assert_str_eq(gr_model_name(m, 2), "up2.weight");
    ck_assert(gr_size(w, 0) == 4 && gr_size(w, 1) == 3 && gr_size(w, 2) == 3 && gr_size(w, 3) == 3);
    double most = 0, bound = 1 / sqrt(27); /* fan_in is PyTorch's: filters/groups kernel^2 */
    for (int64_t i = 0; i < gr_count(w); i++) most = fmax(most, fabs((double)gr_data(w)[i]));
    ck_assert(most <= bound && most > 0.9 * bound);
    gr_tensor *y = growing(m, x);
    ck_assert(gr_size(y, 0) == 2 && gr_size(y, 1) == 2 && gr_size(y, 2) == 8 && gr_size(y, 3) == 8);
    gr_tensor *one = gr_conv_transpose2d(
        x, w, .bias = b, .stride = 2, .padding = 1, .output_padding = 1, .groups = 2);
    gr_tensor *two =
        gr_conv_transpose2d(gr_relu(one), gr_model_get(m, "up2.weight"), .dilation = 2);
    for (int64_t i = 0; i < gr_count(y); i++) near((double)gr_data(y)[i], (double)gr_data(two)[i]);
    ck_assert_ptr_null(gr_nn_conv_transpose2d(m, "up1", x, 5, 3, .groups = 2));
    fails("conv_transpose2d 'up1': input (2,4,3,2), filters 5, kernel 3x3, groups 2: an input "
          "(N,C,H,W) and sizes of 1 or more wanted, "
          "groups that divide C and the filters",
        GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_nn_conv_transpose2d(m, "up1", x, 6, 3, .act = (gr_act)9));
    fails("conv_transpose2d: there is no activation 9", GR_ERR_ARGUMENT);
    gr_reset();
    gr_model_free(m);
    gr_free(x);
}
END_TEST

static gr_tensor *dropping(gr_model *m, gr_tensor *x) { return gr_nn_dropout(m, "drop", x, 0.25); }

START_TEST(dropout_drops_in_train_mode_alone)
{
    gr_model *m = gr_model_build(dropping, gr_shape(1), .seed = 3),
             *again = gr_model_build(dropping, gr_shape(1), .seed = 3);
    gr_tensor *x = gr_param(gr_ones(gr_shape(10000)));
    gr_tensor *y = dropping(m, x);
    double     zeros = 0;
    for (int i = 0; i < 10000; i++) {
        zeros += gr_data(y)[i] == 0;
        ck_assert(gr_data(y)[i] == 0 || fabs((double)gr_data(y)[i] - 4.0 / 3) < 1e-6);
    }
    ck_assert(fabs(zeros / 10000 - 0.25) < 0.02);
    gr_backward(gr_sum(y));
    /* x is 1: the gradient is the mask */
    ck_assert_int_eq(memcmp(gr_data(gr_grad_of(x)), gr_data(y), 10000 * sizeof(gr_real)), 0);
    gr_tensor *same = dropping(again, x), *next = dropping(m, x);
    ck_assert_int_eq(memcmp(gr_data(same), gr_data(y), 10000 * sizeof(gr_real)), 0);
    ck_assert_int_ne(memcmp(gr_data(next), gr_data(y), 10000 * sizeof(gr_real)), 0);
    gr_model_eval(m);
    ck_assert_ptr_eq(dropping(m, x), x);
    gr_model_train(m);
    ck_assert_ptr_ne(dropping(m, x), x);
    ck_assert_ptr_null(gr_nn_dropout(m, "drop", x, 1));
    fails("dropout 'drop': p = 1: 0 or more and under 1 wanted", GR_ERR_ARGUMENT);
    gr_reset();
    gr_model_free(m);
    gr_model_free(again);
    gr_free(x);
}
END_TEST

START_TEST(frozen_parameters_stay)
{
    gr_model *m = gr_model_build(numbered, gr_shape(1, 4), .seed = 2);
    gr_optim *o = gr_sgd(m, .lr = 0.1, .weight_decay = 0.1);
    ck_assert(gr_model_freeze(m, "layer1"));
    uint64_t   before = fingerprint(m);
    gr_tensor *frozen = gr_copy(gr_model_get(m, "layer1.fc.weight")), *x = gr_ones(gr_shape(2, 4));
    gr_minimize(o, gr_sum(numbered(m, x)));
    ck_assert_ptr_null(gr_error());
    ck_assert(fingerprint(m) != before);
    ck_assert_int_eq(
        memcmp(gr_data(frozen), gr_data(gr_model_get(m, "layer1.fc.weight")), 16 * sizeof(gr_real)),
        0);
    ck_assert(gr_model_unfreeze(m, ""));
    gr_minimize(o, gr_sum(numbered(m, x)));
    ck_assert_int_ne(
        memcmp(gr_data(frozen), gr_data(gr_model_get(m, "layer1.fc.weight")), 16 * sizeof(gr_real)),
        0);
    gr_reset();
    gr_free(frozen);
    gr_free(x);
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

/* ---- optimisers: loss = sum of c p, so that the gradient is c, whatever p -------------------- */

enum { N = 5 };

static gr_tensor *param_model(gr_model *m, gr_tensor *x)
{
    return gr_mul(gr_nn_param(m, "p", gr_shape(N), .uniform = 1), x);
}

static gr_model *one_param(void) { return gr_model_build(param_model, gr_shape(N), .seed = 6); }

START_TEST(gradients_add_up_until_they_are_cleared)
{
    gr_model  *m = one_param();
    gr_optim  *o = gr_sgd(m, .lr = 1);
    gr_tensor *x = gr_ones(gr_shape(N)), *p = gr_model_get(m, "p"), *before = gr_copy(p);
    for (int i = 0; i < 3; i++) ck_assert(gr_backward(gr_sum(param_model(m, x))));
    near(gr_data(gr_grad_of(p))[0], 3);
    ck_assert(gr_optim_step(o));
    near((double)gr_data(p)[0], (double)gr_data(before)[0] - 3);
    gr_zero_grad(o);
    ck_assert_ptr_null(gr_grad_of(p));
    ck_assert(gr_optim_set_lr(o, 0));
    near(gr_optim_lr(o), 0);
    gr_reset();
    gr_free(x);
    gr_free(before);
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

START_TEST(an_optimiser_refuses_what_is_not_whole)
{
    gr_model  *m = one_param();
    gr_optim  *o = gr_sgd(m, .lr = 1);
    gr_tensor *x = gr_ones(gr_shape(N));
    uint64_t   before = fingerprint(m);
    ck_assert(!gr_optim_step(o));
    fails("optim_step: no parameter has a gradient; gr_backward comes first", GR_ERR_GRAPH);
    ck_assert(gr_backward(gr_sum(param_model(m, x))));
    ck_assert_ptr_null(gr_add(NULL, x));
    ck_assert(!gr_optim_step(o));
    fails("add: input 1 is NULL", GR_ERR_ARGUMENT);
    ck_assert(isnan(gr_minimize(o, NULL)));
    fails("backward: the loss is NULL", GR_ERR_ARGUMENT);
    ck_assert(isnan(gr_minimize(NULL, x)));
    fails("minimize: the optimiser is NULL", GR_ERR_ARGUMENT);
    ck_assert(fingerprint(m) == before);
    ck_assert_ptr_null(gr_sgd(m, .lr = -1));
    fails("sgd: lr -1, momentum 0, weight_decay 0: none may be negative", GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_sgd(m, .nesterov = true));
    fails("sgd: nesterov wants a momentum and no dampening, 0 and 0 given", GR_ERR_ARGUMENT);
    ck_assert_ptr_null(gr_adam(m, .beta1 = 1));
    fails("adam: lr 0.001, beta1 1, beta2 0.999, eps 1e-08, weight_decay 0: none may be negative, "
          "betas are under 1",
        GR_ERR_ARGUMENT);
    ck_assert(!gr_optim_set_lr(o, -2));
    fails("optim_set_lr: -2 is no learning rate", GR_ERR_ARGUMENT);
    gr_reset();
    gr_free(x);
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

START_TEST(a_parameter_changed_under_a_graph_is_refused)
{
    gr_model  *m = one_param();
    gr_optim  *o = gr_sgd(m, .lr = 1);
    gr_tensor *x = gr_ones(gr_shape(N)), *first = gr_sum(param_model(m, x)),
              *second = gr_sum(param_model(m, x));
    ck_assert(!isnan(gr_minimize(o, first)));
    ck_assert(!gr_backward(second));
    fails("backward: an input (5) of mul was changed after it was recorded", GR_ERR_GRAPH);
    gr_reset();
    gr_free(x);
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

START_TEST(a_network_learns)
{
    gr_model  *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 1);
    gr_optim  *o = gr_adam(net, .lr = 0.003);
    gr_tensor *images, *labels;
    noise_batch(1, 32, &images, &labels);
    double first = lenet_step(net, o, images, labels), last = 0;
    for (int step = 0; step < 60; step++) last = lenet_step(net, o, images, labels);
    ck_assert(fabs(first - log(10)) < 0.2);
    ck_assert_msg(last < 0.5, "loss %g after 60 steps", last);
    gr_free(images);
    gr_free(labels);
    gr_optim_free(o);
    gr_model_free(net);
}
END_TEST

/* ---- files of weights ------------------------------------------------------------------------ */

static char path[64];

START_TEST(weights_go_to_a_file_and_back)
{
    gr_model *a = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 1),
             *b = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 2);
    ck_assert(fingerprint(a) != fingerprint(b));
    ck_assert(gr_save(a, path) && gr_load(b, path));
    ck_assert(fingerprint(a) == fingerprint(b));
    remove(path);
    gr_model_free(a);
    gr_model_free(b);
}
END_TEST

static gr_tensor *wider(gr_model *m, gr_tensor *x) { return gr_nn_linear(m, "fc", x, 5); }
static gr_tensor *narrow(gr_model *m, gr_tensor *x) { return gr_nn_linear(m, "fc", x, 4); }
static gr_tensor *unbiased(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, "fc", x, 4, .no_bias = true);
}

static void refused(gr_model *m, const char *rest)
{
    char     text[256];
    uint64_t before = fingerprint(m);
    ck_assert(!gr_load(m, path));
    snprintf(text, sizeof text, "load: '%s'%s", path, rest);
    fails(text, GR_ERR_FORMAT);
    ck_assert(fingerprint(m) == before);
}

START_TEST(a_file_that_does_not_fit_changes_nothing)
{
    gr_model *w = gr_model_build(wider, gr_shape(1, 4), .seed = 1),
             *n = gr_model_build(narrow, gr_shape(1, 4), .seed = 1);
    gr_model *u = gr_model_build(unbiased, gr_shape(1, 4), .seed = 1);
    ck_assert(gr_save(n, path));
    refused(w, ": 'fc.weight' is (4,4), the model's is (5,4)");
    refused(u, " has 'fc.bias', which the model lacks");
    ck_assert(gr_save(u, path));
    refused(n, " lacks 'fc.bias' (4)");
    remove(path);
    ck_assert(!gr_load(n, NULL));
    fails("load: the path is NULL", GR_ERR_ARGUMENT);
    ck_assert(!gr_load(NULL, path));
    fails("load: the model is NULL", GR_ERR_ARGUMENT);
    gr_model_free(w);
    gr_model_free(n);
    gr_model_free(u);
}
END_TEST

/* ---- names ----------------------------------------------------------------------------------- */

/* What a layer of this name drops of 64 ones in its first run, as ones and zeros. */
static void masks(const char *name, gr_tensor *x, char text[65])
{
    gr_model *m = gr_model_new(7);
    m = gr_nn_dropout(m, name, x, 0.5) ? m : NULL;
    ck_assert_msg(m && gr_model_seal(m), "%s", gr_error());
    gr_tensor *y = gr_nn_dropout(m, name, x, 0.5);
    for (int i = 0; i < 64; i++) text[i] = gr_data(y)[i] != 0 ? '1' : '0';
    text[64] = 0;
    gr_model_free(m);
}

/* However long: what a layer drops, and what a parameter begins with, depends on all of its
   name. */
START_TEST(long_names_are_told_apart)
{
    GR_STEP;
    gr_tensor *x = gr_ones(gr_shape(64));
    char       a[65], b[65], name[2000];
    for (size_t n = 100; n < sizeof name - 2; n += n < 300 ? 1 : 250) {
        memset(name, 'a', n);
        name[n + 1] = 0;
        name[n] = '1';
        masks(name, x, a);
        name[n] = '2';
        masks(name, x, b);
        ck_assert_msg(strcmp(a, b) != 0, "two names of %zu bytes", n + 1);
        gr_model  *m = gr_model_new(7);
        gr_tensor *two = gr_nn_param(m, name, gr_shape(8), .uniform = 1);
        name[n] = '1';
        gr_tensor *one = gr_nn_param(m, name, gr_shape(8), .uniform = 1);
        ck_assert(memcmp(gr_data(one), gr_data(two), 8 * sizeof(gr_real)) != 0);
        gr_model_free(m);
    }
    memset(name, 'a', 255);
    name[255] = 0;
    gr_model *m = gr_model_new(7);
    ck_assert_ptr_null(gr_nn_linear(m, name, x, 3));
    ck_assert(gr_error() && strstr(gr_error(), "model: the layer's name 'aaaa") &&
              strstr(gr_error(), "too long"));
    gr_clear_error();
    gr_model_free(m);
}
END_TEST

/* Recorded before names were hashed whole: a name that fitted keeps its mask. The first run after
   sealing is run 1 here. */
START_TEST(short_names_keep_their_masks)
{
    GR_STEP;
    char       mask[65];
    gr_tensor *x = gr_ones(gr_shape(64));
    masks("block1.drop", x, mask);
    ck_assert_str_eq(mask, "1000001101111100110111100101101111111100010110001000111001110010");
}
END_TEST

START_TEST(names_that_no_file_can_hold)
{
    static const char *const bad[] = { "\xff", "caf\xe9", "a\xc3", "\xc0\x80", "\xed\xa0\x80",
        "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80" };
    gr_model                *m = gr_model_new(0);
    gr_tensor               *x = gr_ones(gr_shape(2, 4)), *image = gr_ones(gr_shape(1, 2, 3, 3));
    char                     text[200];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert(!gr_nn_param(m, bad[i], gr_shape(1)));
        snprintf(text, sizeof text,
            "model: '%s' cannot be a name: files of weights take valid UTF-8 only, and not "
            "__metadata__",
            bad[i]);
        fails(text, GR_ERR_ARGUMENT);
        ck_assert(!gr_nn_buffer(m, bad[i], gr_shape(1)));
        fails(text, GR_ERR_ARGUMENT);
        ck_assert(!gr_nn_dropout(m, bad[i], x, 0.5)); /* its count of runs goes into checkpoints */
        fails(text, GR_ERR_ARGUMENT);
        ck_assert(!gr_nn_linear(m, bad[i], x, 3));
        snprintf(text, sizeof text,
            "model: '%s.weight' cannot be a name: files of weights take valid UTF-8 only, and not "
            "__metadata__",
            bad[i]);
        fails(text, GR_ERR_ARGUMENT);
        ck_assert(!gr_nn_batch_norm2d(m, bad[i], image));
        fails(text, GR_ERR_ARGUMENT);
    }
    ck_assert(!gr_nn_param(m, "__metadata__", gr_shape(1)));
    fails("model: '__metadata__' cannot be a name: files of weights take valid UTF-8 only, and not "
          "__metadata__",
        GR_ERR_ARGUMENT);
    ck_assert_int_eq(gr_model_count(m) + gr_model_buffer_count(m), 0);
    ck_assert(gr_nn_param(
        m, "\xc3\xa9.\xe2\x82\xac.\xf0\x9f\x99\x82 \"quoted\"\\\t\x01", gr_shape(1), .value = 3));
    ck_assert(gr_nn_linear(m, "__metadata__", x, 3) && gr_model_seal(m) &&
              gr_save(m, path)); /* of "__metadata__.weight" nobody minds */
    gr_data_mut(gr_model_at(m, 0))[0] = 0;
    ck_assert(gr_load(m, path) && gr_data(gr_model_at(m, 0))[0] == 3);
    unlink(path);
    gr_model_free(m);
    gr_free(x);
    gr_free(image);
}
END_TEST

int main(void)
{
    snprintf(path, sizeof path, "test_nn-%ld.safetensors", (long)getpid());
    Suite *s = suite_create("nn");
    TCase *c = tcase_create("nn");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, a_model_has_pytorch_names_shapes_and_bounds);
    tcase_add_test(c, first_values_depend_on_seed_and_name_alone);
    tcase_add_test(c, names_are_given_out_once);
    tcase_add_test(c, misuse_of_a_model_is_said);
    tcase_add_test(c, a_transposed_convolution_is_a_layer);
    tcase_add_test(c, dropout_drops_in_train_mode_alone);
    tcase_add_test(c, frozen_parameters_stay);
    tcase_add_test(c, gradients_add_up_until_they_are_cleared);
    tcase_add_test(c, an_optimiser_refuses_what_is_not_whole);
    tcase_add_test(c, a_parameter_changed_under_a_graph_is_refused);
    tcase_add_test(c, a_network_learns);
    tcase_add_test(c, weights_go_to_a_file_and_back);
    tcase_add_test(c, a_file_that_does_not_fit_changes_nothing);
    tcase_add_test(c, long_names_are_told_apart);
    tcase_add_test(c, short_names_keep_their_masks);
    tcase_add_test(c, names_that_no_file_can_hold);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
