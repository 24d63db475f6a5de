/* test_norm.c: normalisation. A network with batch norm beside PyTorch's, in numbers, in its file
   of weights, and in what it leaves in its buffers; each op against its definition; what is
   refused.

   tests/parity/norm.py recorded PyTorch's state after three batches, and its results. test_norm
   --dump FILE writes ours, for norm.py to load. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gradus.h"

/* ---- the network of norm.py ------------------------------------------------------------------ */

static gr_tensor *net(gr_model *m, gr_tensor *x)
{
    x = gr_nn_conv2d(m, "conv1", x, 5, 3, .no_bias = true);
    x = gr_nn_batch_norm2d(m, "bn1", x, .act = GR_RELU);
    x = gr_nn_conv2d(m, "conv2", x, 3, 2);
    x = gr_nn_batch_norm2d(m, "bn2", x, .momentum = 0.25, .eps = 0.01, .act = GR_TANH);
    return gr_nn_batch_norm2d(m, "bn3", x, .no_affine = true);
}

static gr_model *built(void) { return gr_model_build(net, gr_shape(1, 2, 7, 5)); }

static gr_tensor *pixels(int step)
{
    gr_tensor *x = gr_zeros(gr_shape(4, 2, 7, 5));
    for (int64_t k = 0; x && k < gr_count(x); k++) {
        double i = (double)(k + 1000 * step);
        gr_data_mut(x)[k] = (gr_real)(sin(i * i * 0.01) + 0.3 * cos(0.7 * i));
    }
    return x;
}

static void start(gr_model *m)
{
    for (int p = 0; p < gr_model_count(m); p++) {
        gr_tensor *t = gr_model_at(m, p);
        for (int64_t i = 0; i < gr_count(t); i++)
            gr_data_mut(t)[i] = (gr_real)(0.5 * sin((double)i * 0.9 + (double)gr_count(t)));
    }
}

static gr_model *trained(void)
{
    gr_model *m = built();
    start(m);
    for (int step = 0; step < 3; step++) {
        GR_STEP;
        net(m, pixels(step));
    }
    return gr_error() ? NULL : m;
}

static const char *recorded(const char *name)
{
    const char *srcdir = getenv("srcdir");
    return gr_name("%s/tests/parity/%s", srcdir ? srcdir : ".", name);
}

static void next_are(FILE *f, const gr_tensor *t, const char *what)
{
    ck_assert_msg(t, "%s: %s", what, gr_error());
    for (int64_t i = 0; i < gr_count(t); i++) {
        double wanted;
        ck_assert_int_eq(fscanf(f, "%lf", &wanted), 1);
        if (!(fabs((double)gr_data(t)[i] - wanted) <= 2e-5 * fmax(1, fabs(wanted))))
            ck_abort_msg("%s: element %lld is %.9g, PyTorch's %.9g", what, (long long)i,
                (double)gr_data(t)[i], wanted);
    }
}

static void same_state(const gr_model *a, const gr_model *b)
{
    ck_assert_int_eq(gr_model_buffer_count(a), 9);
    for (int i = 0; i < gr_model_count(a); i++)
        for (int64_t k = 0; k < gr_count(gr_model_at(a, i)); k++)
            ck_assert_float_eq_tol(
                (float)gr_data(gr_model_at(a, i))[k], (float)gr_data(gr_model_at(b, i))[k], 1e-6f);
    for (int i = 0; i < 9; i++) {
        gr_tensor *s = gr_model_buffer_at(a, i), *t = gr_model_buffer_at(b, i);
        if (gr_dtype_of(s) == GR_INT32)
            ck_assert_int_eq(gr_ints(s)[0], gr_ints(t)[0]);
        else
            for (int64_t k = 0; k < gr_count(s); k++)
                ck_assert_float_eq_tol((float)gr_data(s)[k], (float)gr_data(t)[k], 1e-6f);
    }
}

START_TEST(a_network_is_pytorchs)
{
    gr_model *m = built(), *ours = trained();
    ck_assert_msg(gr_load(m, recorded("norm.safetensors")), "%s", gr_error());
    same_state(m, ours); /* the same three batches from the same start */
    FILE *f = fopen(recorded("norm.txt"), "r");
    ck_assert_ptr_nonnull(f);
    GR_STEP;
    gr_model_eval(m);
    next_are(f, net(m, pixels(9)), "eval mode");
    gr_model_train(m);
    gr_tensor *x = gr_param(pixels(9)), *y = net(m, x);
    ck_assert(gr_backward(gr_sum(gr_mul(y, gr_mul(y, y)))));
    next_are(f, gr_grad_of(x), "input");
    for (int i = 0; i < gr_model_count(m); i++)
        next_are(f, gr_grad_of(gr_model_at(m, i)), gr_model_name(m, i));
    double more;
    ck_assert_int_eq(fscanf(f, "%lf", &more), EOF);
    fclose(f);
    gr_model_free(m);
    gr_model_free(ours);
}
END_TEST

static char path[64];

START_TEST(buffers_are_saved_in_pytorchs_order)
{
    static const char *const names[] = { "bn1.running_mean", "bn1.running_var",
        "bn1.num_batches_tracked", "bn2.running_mean", "bn2.running_var", "bn2.num_batches_tracked",
        "bn3.running_mean", "bn3.running_var", "bn3.num_batches_tracked" };
    gr_model                *a = trained(), *b = built();
    ck_assert_int_eq(gr_model_count(a), 7);
    for (int i = 0; i < 9; i++) ck_assert_str_eq(gr_model_buffer_name(a, i), names[i]);
    ck_assert_ptr_eq(gr_model_get(a, "bn2.running_var"), gr_model_buffer_at(a, 4));
    ck_assert_int_eq(gr_ints(gr_model_get(a, "bn3.num_batches_tracked"))[0], 3);
    /* What the build's run has left alone. */
    HOLDS(gr_model_get(b, "bn1.running_mean"), gr_shape(5), 0, 0, 0, 0, 0);
    HOLDS(gr_model_get(b, "bn1.running_var"), gr_shape(5), 1, 1, 1, 1, 1);
    HOLDS(gr_model_get(b, "bn1.weight"), gr_shape(5), 1, 1, 1, 1, 1);
    HOLDS(gr_model_get(b, "bn1.bias"), gr_shape(5), 0, 0, 0, 0, 0);
    HOLDS_INTS(gr_model_get(b, "bn1.num_batches_tracked"), SCALAR, 0);
    ck_assert(gr_save(a, path) && gr_load(b, path));
    same_state(a, b);
    ck_assert_ptr_null(gr_model_buffer_at(a, 9));
    failed_with(GR_ERR_ARGUMENT, "model_buffer_at: buffer 9 of 9");
    remove(path);
    gr_model_free(a);
    gr_model_free(b);
}
END_TEST

/* A file with one counter, as PyTorch may have left it. */
static void write_counter(const char *dtype, const void *number, size_t size)
{
    char          header[400];
    FILE         *f = fopen(path, "wb");
    int           n = snprintf(header, sizeof header,
                  "{\"bn.running_mean\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
        "\"bn.running_var\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                  "\"bn.num_batches_tracked\":{\"dtype\":\"%s\",\"shape\":[],"
                  "\"data_offsets\":[0,%zu]}}",
                  dtype, size);
    unsigned char length[8] = { (unsigned char)(n & 255), (unsigned char)(n >> 8) };
    fwrite(length, 1, 8, f);
    fwrite(header, 1, (size_t)n, f);
    fwrite(number, 1, size, f);
    fclose(f);
}

static gr_tensor *no_channels(gr_model *m, gr_tensor *x)
{
    return gr_nn_batch_norm2d(m, "bn", x, .no_affine = true);
}

static void refused(gr_model *m, const char *rest)
{
    char text[256];
    snprintf(text, sizeof text, "load: '%s': 'bn.num_batches_tracked' %s", path, rest);
    FAILS(gr_load(m, path), GR_ERR_FORMAT, text);
    HOLDS_INTS(gr_model_get(m, "bn.num_batches_tracked"), SCALAR, 70000);
}

static void write_without_counter(bool whole)
{
    static const char
        mean[] = "{\"bn.running_mean\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}",
        var[] = ",\"bn.running_var\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";
    char          header[200];
    FILE         *f = fopen(path, "wb");
    int           n = snprintf(header, sizeof header, "%s%s}", mean, whole ? var : "");
    unsigned char length[8] = { (unsigned char)n };
    fwrite(length, 1, 8, f);
    fwrite(header, 1, (size_t)n, f);
    fclose(f);
}

/* PyTorch's load_state_dict(strict=True) takes a file without num_batches_tracked, and has 0 there
   (1.13). */
START_TEST(a_file_without_a_counter_has_zero)
{
    gr_model *m = gr_model_build(no_channels, gr_shape(1, 0, 2, 2));
    int64_t   number = 70000;
    char      text[200];
    write_counter("I64", &number, 8);
    ck_assert(gr_load(m, path));
    write_without_counter(false);
    snprintf(text, sizeof text, "load: '%s' lacks 'bn.running_var' (0)", path);
    FAILS(gr_load(m, path), GR_ERR_FORMAT, text);
    HOLDS_INTS(gr_model_get(m, "bn.num_batches_tracked"), SCALAR, 70000);
    write_without_counter(true);
    ck_assert_msg(gr_load(m, path), "%s", gr_error());
    HOLDS_INTS(gr_model_get(m, "bn.num_batches_tracked"), SCALAR, 0);
    remove(path);
    gr_model_free(m);
}
END_TEST

START_TEST(a_counter_is_loaded_strictly)
{
    gr_model *m = gr_model_build(no_channels, gr_shape(1, 0, 2, 2));
    int64_t   number = 70000;
    write_counter("I64", &number, 8);
    ck_assert_msg(gr_load(m, path), "%s", gr_error());
    HOLDS_INTS(gr_model_get(m, "bn.num_batches_tracked"), SCALAR, 70000);
    number = (int64_t)1 << 31;
    write_counter("I64", &number, 8);
    refused(m, "is 2147483648, 0 to 2147483647 wanted");
    number = -1;
    write_counter("I64", &number, 8);
    refused(m, "is -1, 0 to 2147483647 wanted");
    write_counter("I32", &number, 4);
    refused(m, "holds I32, the model's holds I64");
    remove(path);
    gr_model_free(m);
}
END_TEST

/* ---- batch norm ------------------------------------------------------------------------------ */

START_TEST(batch_norm_by_hand)
{
    GR_STEP;
    /* Channel 0 holds 1, 2, 3, 6 (mean 3, variance 3.5), channel 1 holds 1000000 and a little. */
    gr_tensor *x = T(gr_shape(2, 2, 1, 2), 1, 2, 1000000, 1000001, 3, 6, 1000002, 1000003);
    gr_tensor *mean = T(gr_shape(2), 10, 0), *var = T(gr_shape(2), 1, 2), *w = T(gr_shape(2), 2, 1),
              *b = T(gr_shape(2), -1, 0.5);
    double     r = 2 / sqrt(3.5 + 1e-5), s = 1 / sqrt(1.25 + 1e-5);
    gr_tensor *y = gr_batch_norm2d(
        x, .weight = w, .bias = b, .running_mean = mean, .running_var = var, .training = true);
    NEAR(y, gr_shape(2, 2, 1, 2), ROUGHLY, -2 * r - 1, -r - 1, 0.5 - 1.5 * s, 0.5 - 0.5 * s, -1,
        3 * r - 1, 0.5 + 0.5 * s, 0.5 + 1.5 * s);
    NEAR(mean, gr_shape(2), ROUGHLY, 9.3, 100000.15);
    NEAR(var, gr_shape(2), ROUGHLY, 0.9 + 0.1 * 14 / 3, 1.8 + 0.1 * 5 / 3);
    y = gr_batch_norm2d(x, .training = true, .act = GR_TANH, .eps = 0.5);
    NEAR(gr_slice(gr_flatten(y), 1, 0, 2), gr_shape(2, 2), ROUGHLY, tanh(-1), tanh(-0.5), 0,
        tanh(1.5));
    y = gr_batch_norm2d(x, .bias = b, .running_mean = T(gr_shape(2), 1, 1000000),
        .running_var = T(gr_shape(2), 3.5, 0.5), .eps = 0.5, .act = GR_RELU);
    NEAR(y, gr_shape(2, 2, 1, 2), ROUGHLY, 0, 0, 0.5, 1.5, 0, 1.5, 2.5, 3.5);
    y = gr_batch_norm2d(gr_full(gr_shape(3, 1, 2, 2), 0.3), .training = true);
    HOLDS(y, gr_shape(3, 1, 2, 2), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    /* Nothing comes in: nothing goes out, and the running statistics stay. */
    y = gr_batch_norm2d(gr_zeros(gr_shape(0, 2, 3, 3)), .weight = w, .running_mean = mean,
        .running_var = var, .training = true);
    ck_assert(y && gr_count(y) == 0 && gr_data(mean)[0] < 9.5);
    ck_assert(gr_count(gr_batch_norm2d(gr_zeros(gr_shape(2, 0, 3, 3)), .training = true)) == 0);
    nothing_failed();
}
END_TEST

/* The running statistics are not what backward looks at: a second forward may come first, as in
   PyTorch. */
START_TEST(two_forwards_then_backward)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "x");
    gr_tensor *x = gr_param(noise(gr_shape(3, 2, 3, 3), &rng)), *mean = gr_zeros(gr_shape(2)),
              *var = gr_ones(gr_shape(2));
    for (int training = 0; training < 2; training++) {
        gr_tensor *one =
            gr_batch_norm2d(x, .running_mean = mean, .running_var = var, .training = training);
        gr_tensor *two =
            gr_batch_norm2d(x, .running_mean = mean, .running_var = var, .training = true);
        ck_assert_msg(gr_backward(gr_sum(gr_mul(one, two))), "%s", gr_error());
    }
    /* What was computed from the running statistics themselves is out of date, though. */
    gr_tensor *stale = gr_mul(mean, gr_slice(gr_reshape(x, gr_shape(-1)), 0, 0, 2));
    gr_batch_norm2d(x, .running_mean = mean, .running_var = var, .training = true);
    FAILS(gr_backward(gr_sum(stale)), GR_ERR_GRAPH,
        "backward: an input (2) of mul was changed after it was recorded");
}
END_TEST

/* While a model is being built by hand, too, nothing runs on. */
START_TEST(statistics_wait_for_the_seal)
{
    GR_STEP;
    gr_model  *m = gr_model_new(1);
    gr_tensor *x = T(gr_shape(1, 1, 1, 2), 3, 5);
    /* by mean 0 and variance 1 */
    HOLDS(gr_scale(gr_nn_batch_norm2d(m, "bn", x, .eps = 3), 2), gr_shape(1, 1, 1, 2), 3, 5);
    HOLDS(gr_model_get(m, "bn.running_mean"), gr_shape(1), 0);
    ck_assert(gr_model_seal(m));
    gr_nn_batch_norm2d(m, "bn", x, .momentum = 0.5);
    HOLDS(gr_model_get(m, "bn.running_mean"), gr_shape(1), 2);
    ck_assert_double_eq(gr_item(gr_model_get(m, "bn.num_batches_tracked")), 1);
    gr_model_free(m);
    nothing_failed();
}
END_TEST

START_TEST(the_number_of_threads_does_not_show)
{
    gr_real kept[2][3 * 5 * 40 * 40];
    for (int threads = 1; threads <= 4; threads += 3) {
        GR_STEP;
        ck_assert(gr_set_threads(threads));
        gr_rng     rng = gr_rng_of(1, "x");
        gr_tensor *x = gr_param(noise(gr_shape(3, 5, 40, 40), &rng)), *w = gr_ones(gr_shape(5)),
                  *b = gr_full(gr_shape(5), 0.1);
        gr_tensor *y = gr_batch_norm2d(x, .weight = w, .bias = b, .training = true, .act = GR_RELU);
        gr_tensor *gx = gr_grad(gr_sum(gr_mul(y, y)), x);
        ck_assert_msg(gx, "%s", gr_error());
        if (threads == 1)
            memcpy(kept[0], gr_data(y), sizeof kept[0]),
                memcpy(kept[1], gr_data(gx), sizeof kept[1]);
        else
            ck_assert(memcmp(kept[0], gr_data(y), sizeof kept[0]) == 0 &&
                      memcmp(kept[1], gr_data(gx), sizeof kept[1]) == 0);
    }
    gr_set_threads(0);
}
END_TEST

START_TEST(batch_norm_says_what_is_wrong)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(2, 3, 4, 4)), *v = gr_ones(gr_shape(3)),
              *four = gr_ones(gr_shape(4));
    FAILS(gr_batch_norm2d(NULL), GR_ERR_ARGUMENT, "batch_norm2d: input 1 is NULL");
    FAILS(gr_batch_norm2d(v, .training = true), GR_ERR_ARGUMENT,
        "batch_norm2d: input (3) has rank 1, 4 wanted");
    FAILS(gr_batch_norm2d(x, .weight = four, .training = true), GR_ERR_ARGUMENT,
        "batch_norm2d: input (2,3,4,4) wants a weight (3), reals (4) given");
    FAILS(gr_batch_norm2d(
              x, .bias = gr_from_ints(gr_shape(3), (const int32_t[3]){ 0 }), .training = true),
        GR_ERR_ARGUMENT, "batch_norm2d: input (2,3,4,4) wants a bias (3), int32 (3) given");
    FAILS(gr_batch_norm2d(x), GR_ERR_ARGUMENT,
        "batch_norm2d: running_mean and running_var go together, and without .training both are "
        "needed");
    FAILS(gr_batch_norm2d(x, .running_mean = v, .training = true), GR_ERR_ARGUMENT,
        "batch_norm2d: running_mean and running_var go together, and without .training both are "
        "needed");
    FAILS(gr_batch_norm2d(x, .eps = -1, .training = true), GR_ERR_ARGUMENT,
        "batch_norm2d: eps -1: over 0 wanted");
    FAILS(gr_batch_norm2d(x, .act = (gr_act)7, .training = true), GR_ERR_ARGUMENT,
        "batch_norm2d: there is no activation 7");
    FAILS(gr_batch_norm2d(gr_zeros(gr_shape(1, 3, 1, 1)), .training = true), GR_ERR_ARGUMENT,
        "batch_norm2d: input (1,3,1,1) has one number per channel, which has no variance to train "
        "with");
    FAILS(gr_batch_norm2d(x, .weight = gr_add(NULL, x), .training = true), GR_ERR_ARGUMENT,
        "add: input 1 is NULL");
}
END_TEST

/* ---- layer and group norm -------------------------------------------------------------------- */

START_TEST(layer_norm_by_hand)
{
    GR_STEP;
    gr_tensor *x = T(gr_shape(2, 2, 2), 1, 2, 3, 6, -1, 1, 0, 4);
    double     r = 1 / sqrt(3.5 + 1e-5), s = 1 / sqrt(3.5 + 0.5);
    NEAR(gr_layer_norm(x), gr_shape(2, 2, 2), 1e-4, -1, 1, -1, 1, -1, 1, -1, 1);
    gr_tensor *y = gr_layer_norm(x, .dims = 2, .weight = T(gr_shape(2, 2), 1, 2, 3, 4),
        .bias = T(gr_shape(2, 2), 0, 0, 0, 10));
    NEAR(y, gr_shape(2, 2, 2), ROUGHLY, -2 * r, -2 * r, 0, 10 + 12 * r, -2 * r, 0, -3 * r,
        10 + 12 * r);
    NEAR(gr_layer_norm(T(gr_shape(4), 1, 2, 3, 6), .eps = 0.5, .bias = gr_ones(gr_shape(4))),
        gr_shape(4), ROUGHLY, 1 - 2 * s, 1 - s, 1, 1 + 3 * s);
    HOLDS(gr_layer_norm(T(gr_shape(2, 1), 5, 6)), gr_shape(2, 1), 0, 0);
    ck_assert(gr_count(gr_layer_norm(gr_zeros(gr_shape(0, 3)))) == 0 &&
              gr_count(gr_layer_norm(gr_zeros(gr_shape(3, 0)))) == 0);
    nothing_failed();
    FAILS(gr_layer_norm(NULL), GR_ERR_ARGUMENT, "layer_norm: input 1 is NULL");
    FAILS(gr_layer_norm(x, .dims = 4), GR_ERR_ARGUMENT,
        "layer_norm: input (2,2,2), dims 4: 1 to its rank wanted");
    FAILS(gr_layer_norm(x, .dims = -1), GR_ERR_ARGUMENT,
        "layer_norm: input (2,2,2), dims -1: 1 to its rank wanted");
    FAILS(gr_layer_norm(x, .dims = 2, .weight = gr_ones(gr_shape(2))), GR_ERR_ARGUMENT,
        "layer_norm: input (2,2,2) wants a weight (2,2), reals (2) given");
    FAILS(gr_layer_norm(x, .eps = -1), GR_ERR_ARGUMENT, "layer_norm: eps -1: over 0 wanted");
}
END_TEST

START_TEST(group_norm_by_hand)
{
    GR_STEP;
    gr_tensor *x = T(gr_shape(1, 4, 1, 2), 1, 2, 3, 6, -1, 1, 0, 4);
    double     r = 1 / sqrt(3.5 + 1e-5);
    gr_tensor *y = gr_group_norm(
        x, 2, .weight = T(gr_shape(4), 1, 2, 3, 4), .bias = T(gr_shape(4), 0, 1, 0, 0));
    NEAR(y, gr_shape(1, 4, 1, 2), ROUGHLY, -2 * r, -r, 1, 1 + 6 * r, -6 * r, 0, -4 * r, 12 * r);
    NEAR(gr_group_norm(x, 4), gr_shape(1, 4, 1, 2), 1e-4, -1, 1, -1, 1, -1, 1, -1, 1);
    HOLDS(gr_group_norm(gr_ones(gr_shape(2, 2)), 2), gr_shape(2, 2), 0, 0, 0, 0);
    ck_assert(gr_count(gr_group_norm(gr_zeros(gr_shape(0, 4, 2)), 2)) == 0 &&
              gr_count(gr_group_norm(gr_zeros(gr_shape(2, 4, 0)), 2)) == 0);
    nothing_failed();
    FAILS(gr_group_norm(x, 3), GR_ERR_ARGUMENT,
        "group_norm: input (1,4,1,2), groups 3: an input (N,C,...) and groups that divide C "
        "wanted");
    FAILS(gr_group_norm(x, 0), GR_ERR_ARGUMENT,
        "group_norm: input (1,4,1,2), groups 0: an input (N,C,...) and groups that divide C "
        "wanted");
    FAILS(gr_group_norm(gr_ones(gr_shape(1, 2)), 2), GR_ERR_ARGUMENT,
        "group_norm: input (1,2) has one number per group, which has no variance");
    FAILS(gr_group_norm(x, 2, .bias = gr_ones(gr_shape(2))), GR_ERR_ARGUMENT,
        "group_norm: input (1,4,1,2) wants a bias (4), reals (2) given");
}
END_TEST

/* ---- the layers ------------------------------------------------------------------------------ */

static gr_tensor *layers(gr_model *m, gr_tensor *x)
{
    x = gr_nn_layer_norm(m, "ln", gr_nn_group_norm(m, "gn", x, 2), .dims = 2);
    return gr_nn_layer_norm(
        m, "plain", gr_nn_group_norm(m, "bare", x, 1, .no_affine = true), .no_affine = true);
}

START_TEST(norms_are_layers)
{
    static const char *const names[] = { "gn.weight", "gn.bias", "ln.weight", "ln.bias" };
    gr_model                *m = gr_model_build(layers, gr_shape(1, 4, 3, 2));
    ck_assert_int_eq(gr_model_count(m), 4);
    ck_assert_int_eq(gr_model_buffer_count(m), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(gr_model_name(m, i), names[i]);
        ck_assert(same_shape(gr_shape_of(gr_model_at(m, i)), i < 2 ? gr_shape(4) : gr_shape(3, 2)));
        ck_assert(gr_data(gr_model_at(m, i))[3] == (i % 2 ? 0 : 1));
    }
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "x");
    gr_tensor *x = noise(gr_shape(2, 4, 3, 2), &rng),
              *y = gr_group_norm(gr_layer_norm(gr_group_norm(x, 2), .dims = 2), 1);
    gr_tensor *ours = layers(m, x), *wanted = gr_layer_norm(y);
    ck_assert(
        gr_count(ours) == 48 && memcmp(gr_data(ours), gr_data(wanted), 48 * sizeof(gr_real)) == 0);
    FAILS(gr_nn_layer_norm(m, "ln", x, .dims = 9), GR_ERR_ARGUMENT,
        "layer_norm: input (2,4,3,2), dims 9: 1 to its rank wanted");
    FAILS(gr_nn_group_norm(m, "gn", NULL, 2), GR_ERR_ARGUMENT, "group_norm: input 1 is NULL");
    gr_model_free(m);
}
END_TEST

START_TEST(an_embedding_is_a_layer)
{
    gr_model *m = gr_model_new(5);
    GR_STEP;
    gr_tensor *index = gr_from_ints(gr_shape(2, 2), (const int32_t[]){ 0, 999, 3, 0 });
    gr_tensor *y = gr_nn_embedding(m, "words", index, 1000, 8);
    gr_tensor *w = gr_model_get(m, "words.weight");
    ck_assert(same_shape(gr_shape_of(y), gr_shape(2, 2, 8)) &&
              same_shape(gr_shape_of(w), gr_shape(1000, 8)));
    ck_assert(memcmp(gr_data(y) + 8, gr_data(w) + 999 * 8, 8 * sizeof(gr_real)) == 0);
    double sum = 0, square = 0;
    for (int i = 0; i < 8000; i++) {
        sum += (double)gr_data(w)[i];
        square += (double)gr_data(w)[i] * (double)gr_data(w)[i];
    }
    ck_assert(fabs(sum / 8000) < 0.05 && fabs(square / 8000 - 1) < 0.07);
    FAILS(gr_nn_embedding(m, "more", index, 0, 8), GR_ERR_ARGUMENT,
        "embedding 'more': rows 0, features 8: 1 or more wanted");
    gr_model_free(m);
}
END_TEST

static gr_tensor *dropping(gr_model *m, gr_tensor *x)
{
    return gr_nn_dropout2d(m, "drop", x, 0.25);
}

START_TEST(dropout2d_drops_channels)
{
    gr_model *m = gr_model_build(dropping, gr_shape(1, 1, 1, 1), .seed = 3);
    GR_STEP;
    gr_tensor *x = gr_param(gr_ones(gr_shape(50, 40, 3, 2))), *y = dropping(m, x),
              *z = dropping(m, x);
    int dropped = 0, different = 0;
    for (int plane = 0; plane < 2000; plane++) {
        const gr_real *v = gr_data(y) + 6 * plane;
        dropped += v[0] == 0;
        different += v[0] != gr_data(z)[6 * plane];
        ck_assert(v[0] == 0 || fabs((double)v[0] - 4.0 / 3) < 1e-6);
        for (int i = 1; i < 6; i++) ck_assert(v[i] == v[0]);
    }
    ck_assert(abs(dropped - 500) < 100 && different > 0);
    ck_assert(gr_backward(gr_sum(y)));
    ck_assert(memcmp(gr_data(gr_grad_of(x)), gr_data(y), 12000 * sizeof(gr_real)) == 0);
    gr_model_eval(m);
    ck_assert_ptr_eq(dropping(m, x), x);
    FAILS(gr_nn_dropout2d(m, "drop", x, 1), GR_ERR_ARGUMENT,
        "dropout2d 'drop': p = 1: 0 or more and under 1 wanted");
    FAILS(gr_nn_dropout2d(m, "drop", gr_ones(gr_shape(2)), 0.5), GR_ERR_ARGUMENT,
        "dropout2d: input (2) has rank 1, 4 wanted");
    gr_model_free(m);
}
END_TEST

static gr_tensor *dropping_numbers(gr_model *m, gr_tensor *x)
{
    return gr_nn_dropout(m, "drop", x, 0.25);
}

START_TEST(dropout_draws_number_i_for_element_i)
{
    for (int threads = 1; threads <= 4; threads += 3) {
        GR_STEP;
        ck_assert(gr_set_threads(threads));
        gr_model  *m = gr_model_build(dropping_numbers, gr_shape(1), .seed = 3);
        gr_tensor *y = dropping_numbers(m, gr_ones(gr_shape(3, 7001)));
        gr_rng     rng = gr_rng_of(3, "drop run 0");
        for (int i = 0; i < 3 * 7001; i++)
            if ((gr_data(y)[i] == 0) != (gr_rng_uniform(&rng) < 0.25))
                ck_abort_msg("element %d with %d threads", i, threads);
        gr_model_free(m);
    }
    gr_set_threads(0);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--dump") == 0) {
        gr_model *m = trained();
        return m && gr_save(m, argv[2]) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    snprintf(path, sizeof path, "test_norm-%ld.safetensors", (long)getpid());
    Suite *s = suite_create("norm");
    TCase *t = cases(s, "norm");
    tcase_add_test(t, a_network_is_pytorchs);
    tcase_add_test(t, buffers_are_saved_in_pytorchs_order);
    tcase_add_test(t, a_counter_is_loaded_strictly);
    tcase_add_test(t, a_file_without_a_counter_has_zero);
    tcase_add_test(t, batch_norm_by_hand);
    tcase_add_test(t, two_forwards_then_backward);
    tcase_add_test(t, statistics_wait_for_the_seal);
    tcase_add_test(t, the_number_of_threads_does_not_show);
    tcase_add_test(t, batch_norm_says_what_is_wrong);
    tcase_add_test(t, layer_norm_by_hand);
    tcase_add_test(t, group_norm_by_hand);
    tcase_add_test(t, norms_are_layers);
    tcase_add_test(t, an_embedding_is_a_layer);
    tcase_add_test(t, dropout2d_drops_channels);
    tcase_add_test(t, dropout_draws_number_i_for_element_i);
    return run(s);
}
