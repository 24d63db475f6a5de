/* test_report.c: training reports: the data of the page, and that the run has the same bits. */
#include "support.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lenet.h"

#define PAGE "report.html"

/* ---- reading a page ------------------------------------------------------ */

static char *page; /* the last that was read */

static size_t read_page(void)
{
    FILE *f = fopen(PAGE, "rb");
    ck_assert_ptr_nonnull(f);
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    free(page);
    page = malloc(size + 1);
    ck_assert_uint_eq(fread(page, 1, size, f), size);
    page[size] = '\0';
    fclose(f);
    return size;
}

/* The data in the page; the caller's. */
static json_t *read_data(void)
{
    read_page();
    char *from = strstr(page, "id=\"data\">"), *to = from ? strstr(from, "</script>") : NULL;
    ck_assert_ptr_nonnull(to);
    from += strlen("id=\"data\">");
    json_error_t why;
    json_t      *data = json_loadb(from, (size_t)(to - from), 0, &why);
    ck_assert_msg(data != NULL, "the data are no JSON: %s at %d", why.text, why.position);
    return data;
}

/* What stands there: at(data, "layers.list.0.name"). */
static json_t *at(json_t *j, const char *path)
{
    char  copy[100], *rest, *key;
    char *whole = strcpy(copy, path);
    for (key = strtok_r(whole, ".", &rest); key; key = strtok_r(NULL, ".", &rest))
        j = json_is_array(j) ? json_array_get(j, (size_t)atoi(key)) : json_object_get(j, key);
    ck_assert_msg(j != NULL, "there is no %s", path);
    return j;
}

static const char *text_at(json_t *j, const char *path) { return json_string_value(at(j, path)); }

static double number_at(json_t *j, const char *path) { return json_number_value(at(j, path)); }

/* Decodes base64; the caller's. */
static unsigned char *bytes_of(const char *s, size_t *n)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char *to = malloc(strlen(s) + 1);
    unsigned       bits = 0;
    *n = 0;
    for (int k = 0; *s && *s != '='; s++, k++) {
        const char *c = strchr(alphabet, *s);
        ck_assert_ptr_nonnull(c);
        bits = bits << 6 | (unsigned)(c - alphabet);
        if (k % 4 > 0) to[(*n)++] = (unsigned char)(bits >> (6 - 2 * (k % 4)));
    }
    return to;
}

/* The floats there, at most most of them; returns how many there are. */
static int floats_at(json_t *j, const char *path, float *to, int most)
{
    size_t         n;
    unsigned char *b = bytes_of(text_at(j, path), &n);
    ck_assert_uint_eq(n % 4, 0);
    memcpy(to, b, n / 4 < (size_t)most ? n : 4 * (size_t)most);
    free(b);
    return (int)(n / 4);
}

static void floats_are(json_t *j, const char *path, int n, const double *wanted)
{
    float x[64];
    ck_assert_int_eq(floats_at(j, path, x, 64), n);
    for (int i = 0; i < n; i++)
        ck_assert_msg(isnan(wanted[i])
                          ? isnan(x[i])
                          : fabs((double)x[i] - wanted[i]) <= 1e-6 * fmax(1, fabs(wanted[i])),
            "%s %d is %g, not %g", path, i, (double)x[i], wanted[i]);
}
#define FLOATS(j, path, ...)                                                    \
    floats_are((j), (path), sizeof((double[]){ __VA_ARGS__ }) / sizeof(double), \
        (double[]){ __VA_ARGS__ })

/* ---- models -------------------------------------------------------------- */

/* Parameters a.w (2), b (1), of which the loss is |a.w|^2 + 3 b. */
static gr_model *two_layers(void)
{
    gr_model *m = gr_model_new(1);
    gr_nn_param(m, "a.w", gr_shape(2), .value = 3);
    gr_nn_param(m, "b", gr_shape(1), .value = 1);
    gr_model_seal(m);
    return m;
}

static double two_step(gr_model *m, gr_optim *o)
{
    GR_STEP;
    gr_tensor *w = gr_model_get(m, "a.w");
    return gr_minimize(o, gr_add(gr_sum(gr_mul(w, w)), gr_sum(gr_scale(gr_model_get(m, "b"), 3))));
}

/* ---- curves -------------------------------------------------------------- */

/* w: 3 to 2.4 to 1.92; each step takes 0.2 of it. */
START_TEST(curves_of_two_steps)
{
    gr_model  *m = two_layers();
    gr_optim  *sgd = gr_sgd(m, .lr = 0.1);
    gr_report *r = gr_report_open(PAGE, m, .optim = sgd, .title = "two", .every = 1);
    ck_assert(gr_report_step(r, two_step(m, sgd)));
    gr_optim_set_lr(sgd, 0.05);
    ck_assert(gr_report_step(r, two_step(m, sgd)));
    ck_assert(gr_report_value(r, "mine", 7));
    ck_assert(gr_report_epoch(r));
    ck_assert(gr_report_close(r));
    json_t *d = read_data();
    ck_assert_str_eq(text_at(d, "title"), "two");
    ck_assert_str_eq(text_at(d, "status"), "finished");
    ck_assert_str_eq(text_at(d, "optimiser"), "sgd");
    ck_assert(number_at(d, "step") == 2 && number_at(d, "parameters") == 3 &&
              number_at(d, "epochs_done") == 1);
    FLOATS(d, "loss.x", 1, 2);
    FLOATS(d, "loss.y", 21, 11.52 + 2.1);
    FLOATS(d, "rate.y", 0.1, 0.05);
    FLOATS(d, "epochs.x", 2);
    FLOATS(d, "epochs.loss", (21 + 13.62) / 2);
    FLOATS(d, "epochs.accuracy", NAN);
    FLOATS(d, "values.0.y", 7);
    FLOATS(d, "layers.x", 1, 2);
    ck_assert_str_eq(text_at(d, "layers.list.0.name"), "a");
    ck_assert_str_eq(text_at(d, "layers.list.1.name"), "b");
    FLOATS(d, "layers.list.0.gradient", 6 * sqrt(2), 4.8 * sqrt(2));
    FLOATS(d, "layers.list.0.update", 0.2, 0.1);
    FLOATS(d, "layers.list.1.gradient", 3, 3);
    FLOATS(d, "layers.list.1.update", 0.3, 0.15 / 0.7);
    json_decref(d);
    gr_optim_free(sgd);
    gr_model_free(m);
    nothing_failed();
}
END_TEST

/* One step of so many is looked at; frozen layers have gaps; losses that are no numbers too. */
START_TEST(gaps)
{
    gr_model  *m = two_layers();
    gr_optim  *sgd = gr_sgd(m, .lr = 0.1);
    gr_report *r = gr_report_open(PAGE, m, .optim = sgd, .every = 3, .step = 10);
    gr_model_freeze(m, "b");
    for (int i = 0; i < 7; i++) {
        two_step(m, sgd);
        ck_assert(gr_report_step(r, i == 1 ? (double)NAN : i == 2 ? (double)INFINITY : (double)i));
    }
    ck_assert(gr_report_close(r));
    json_t *d = read_data();
    FLOATS(d, "layers.x", 11, 14, 17);
    FLOATS(d, "layers.list.1.gradient", NAN, NAN, NAN);
    FLOATS(d, "loss.x", 11, 12, 13, 14, 15, 16, 17);
    FLOATS(d, "loss.y", 0, NAN, NAN, 3, 4, 5, 6);
    ck_assert(number_at(d, "not_finite") == 2 && number_at(d, "first") == 10 &&
              number_at(d, "step") == 17);
    json_decref(d);
    gr_optim_free(sgd);
    gr_model_free(m);
    nothing_failed();
}
END_TEST

/* Points merge, and lose nothing: their mean is that of all steps, and their extremes are there. */
START_TEST(long_runs_are_thinned)
{
    enum { STEPS = 100000 };
    gr_model  *m = two_layers();
    gr_report *r = gr_report_open(PAGE, m, .seconds = 1e9);
    double     sum = 0, mean = 0;
    for (int i = 1; i <= STEPS; i++) {
        double loss = sin(i * 0.001) + (i == 77777 ? 50 : 0);
        sum += loss;
        gr_report_step(r, loss);
    }
    ck_assert(gr_report_close(r));
    json_t *d = read_data();
    float   x[1001], y[1001], high[1001], most = 0;
    int     n = floats_at(d, "loss.x", x, 1001), span = (int)number_at(d, "loss.span");
    ck_assert_int_le(n, 1000);
    ck_assert_int_ge(n, 500);
    ck_assert_int_eq(span, 128);
    ck_assert_int_eq(n, (STEPS + span - 1) / span);
    ck_assert_int_eq(floats_at(d, "loss.y", y, 1001), n);
    ck_assert_int_eq(floats_at(d, "loss.high", high, 1001), n);
    for (int i = 0; i < n; i++) {
        mean += (double)y[i] * (i < n - 1 ? span : STEPS - (n - 1) * span) / STEPS;
        most = high[i] > most ? high[i] : most;
        ck_assert(x[i] == (float)(i < n - 1 ? (i + 1) * span : STEPS));
    }
    ck_assert_double_eq_tol(mean, sum / STEPS, 1e-6);
    ck_assert(most > 49);
    json_decref(d);
    gr_model_free(m);
    nothing_failed();
}
END_TEST

/* ---- bounds -------------------------------------------------------------- */

/* 700 layers, some of them convolutions, all curves, pictures, classes and mistakes that there may
   be. */
START_TEST(five_megabytes_at_most)
{
    gr_model *m = gr_model_new(1);
    for (int i = 0; i < 700; i++) {
        GR_STEP;
        gr_nn_param(m, gr_name("layer%d.weight", i), i % 20 ? gr_shape(1) : gr_shape(64, 64, 5, 5),
            .value = 1);
    }
    gr_model_seal(m);
    gr_optim  *sgd = gr_sgd(m, .lr = 1e-9);
    gr_report *r = gr_report_open(PAGE, m, .optim = sgd, .every = 1, .seconds = 1e9);
    for (int i = 0; i < 1200; i++) {
        GR_STEP;
        if (i % 60 == 0) {
            gr_tensor *loss = gr_scalar(0);
            for (int k = 0; k < 700; k++) loss = gr_add(loss, gr_sum(gr_model_at(m, k)));
            gr_minimize(sgd, loss);
        }
        for (int k = 0; k < 8; k++) gr_report_value(r, gr_name("value %d", k), i);
        gr_report_step(r, i);
        gr_report_epoch(r);
    }
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "scores");
    gr_tensor *images = gr_uniform(gr_shape(96, 3, 128, 128), &rng, 0, 1),
              *scores = gr_normal(gr_shape(96, 256), &rng, 0, 9);
    int32_t labels[96] = { 0 };
    ck_assert(gr_report_scores(r, images, scores, gr_from_ints(gr_shape(96), labels)));
    for (int k = 0; k < 4; k++) ck_assert(gr_report_pictures(r, gr_name("pictures %d", k), images));
    ck_assert(gr_report_epoch(r));
    ck_assert(gr_report_close(r));
    size_t size = read_page();
    ck_assert_uint_gt(size, 2000000);
    ck_assert_uint_lt(size, 5000000);
    json_t *d = read_data();
    ck_assert_uint_eq(json_array_size(at(d, "layers.list")), 512);
    ck_assert(number_at(d, "layers.left_out") == 700 - 512);
    ck_assert_uint_eq(json_array_size(at(d, "kernels")), 24);
    ck_assert(number_at(d, "kernels_left_out") == 35 - 24);
    ck_assert_uint_eq(json_array_size(at(d, "mistakes")), 24);
    ck_assert_uint_eq(json_array_size(at(d, "confusion")), 65536);
    json_decref(d);
    gr_optim_free(sgd);
    gr_model_free(m);
    nothing_failed();
}
END_TEST

/* ---- scores and pictures ------------------------------------------------- */

/* Of the second epoch, which has other mistakes than the first. */
START_TEST(scores_of_an_epoch)
{
    GR_STEP;
    gr_model     *m = two_layers();
    gr_report    *r = gr_report_open(PAGE, m);
    gr_tensor    *images = T(gr_shape(4, 1, 1, 2), 0, 1, 1, 1, 0, 4, 9, 9);
    gr_tensor    *scores = T(gr_shape(4, 3), 0, 5, 0, 9, 0, 0, 0, 0, 2, 0, 0, 1);
    const int32_t labels[] = { 1, 1, 0, 2 };
    ck_assert(gr_report_scores(r, images, gr_neg(scores), gr_from_ints(gr_shape(4), labels)));
    ck_assert(gr_report_epoch(r));
    ck_assert(gr_report_scores(r, images, scores, gr_from_ints(gr_shape(4), labels)));
    ck_assert(gr_report_epoch(r));
    ck_assert(gr_report_close(r));
    json_t     *d = read_data();
    const int   confusion[] = { 0, 0, 1, 1, 1, 0, 0, 0, 1 };
    const char *name[] = { "0", "1", "2" };
    for (int i = 0; i < 9; i++)
        ck_assert(
            json_integer_value(json_array_get(at(d, "confusion"), (size_t)i)) == confusion[i]);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(json_string_value(json_array_get(at(d, "classes"), (size_t)i)), name[i]);
    double first = -log(exp(-5) / (2 + exp(-5))) - log(1 / (2 + exp(-9))) - log(1 / (2 + exp(-2))) -
                   log(exp(-1) / (2 + exp(-1)));
    double second = -log(exp(5) / (2 + exp(5))) - log(1 / (2 + exp(9))) - log(1 / (2 + exp(2))) -
                    log(exp(1) / (2 + exp(1)));
    FLOATS(d, "epochs.test_loss", first / 4, second / 4);
    FLOATS(d, "epochs.accuracy", 0.5, 0.5);
    ck_assert_uint_eq(json_array_size(at(d, "mistakes")), 2);
    ck_assert(number_at(d, "mistakes.0.label") == 1 && number_at(d, "mistakes.0.guess") == 0);
    ck_assert_double_eq_tol(number_at(d, "mistakes.0.confidence"), exp(9) / (2 + exp(9)), 1e-6);
    ck_assert_double_eq_tol(number_at(d, "mistakes.0.truth"), 1 / (2 + exp(9)), 1e-6);
    ck_assert(number_at(d, "mistakes.1.label") == 0 && number_at(d, "mistakes.1.guess") == 2);
    size_t         n;
    unsigned char *b = bytes_of(text_at(d, "mistakes.1.picture.bytes"), &n);
    ck_assert(n == 2 && b[0] == 0 && b[1] == 255);
    free(b);
    json_decref(d);
    gr_model_free(m);
    nothing_failed();
}
END_TEST

/* Bytes come back as they were before the loader made numbers of them; the sample is its first
   image. */
START_TEST(pictures_as_the_data_have_them)
{
    gr_dataset *set = gr_shapes(20, 3);
    gr_loader  *loader = gr_loader_open(set, 5, .in_order = true, .channel_mean = { 0.4, 0.5, 0.6 },
         .channel_std = { 0.2, 0.3, 0.1 });
    gr_model   *m = two_layers();
    gr_report  *r = gr_report_open(PAGE, m, .loader = loader);
    gr_batch    batch;
    ck_assert(gr_next_batch(loader, &batch));
    ck_assert(gr_report_pictures(r, "pictures", batch.inputs, .columns = 5));
    int32_t none[5] = { 0 };
    GR_STEP;
    gr_tensor *scores = gr_zeros(gr_shape(5, gr_dataset_classes(set)));
    ck_assert(gr_report_scores(r, batch.inputs, scores, gr_from_ints(gr_shape(5), none)));
    ck_assert(gr_report_epoch(r));
    ck_assert(gr_report_close(r));
    json_t *d = read_data();
    ck_assert_str_eq(text_at(d, "classes.0"), gr_dataset_class_name(set, 0));
    ck_assert(number_at(d, "batches") == 4 && number_at(d, "pictures.0.columns") == 5);
    for (int i = 0; i < 5; i++) {
        size_t               n;
        char                 path[40];
        const unsigned char *x = gr_dataset_image(set, i);
        snprintf(path, sizeof path, "pictures.0.list.%d.bytes", i);
        unsigned char *b = bytes_of(text_at(d, path), &n);
        ck_assert_uint_eq(n, 3072);
        for (int k = 0; k < 3072; k++) ck_assert_int_eq(b[k], x[k % 3 * 1024 + k / 3]);
        free(b);
    }
    json_decref(d);
    gr_model_free(m);
    gr_loader_close(loader);
    gr_dataset_free(set);
    nothing_failed();
}
END_TEST

START_TEST(large_pictures_are_made_smaller)
{
    GR_STEP;
    gr_model  *m = two_layers();
    gr_report *r = gr_report_open(PAGE, m);
    gr_tensor *t = gr_zeros(gr_shape(1, 130, 20));
    for (int i = 0; i < 2600; i++) gr_data_mut(t)[i] = (gr_real)(i / 20 >= 66);
    ck_assert(gr_report_pictures(r, "long", t));
    ck_assert(gr_report_close(r));
    json_t *d = read_data();
    ck_assert(
        number_at(d, "pictures.0.list.0.h") == 44 && number_at(d, "pictures.0.list.0.w") == 7);
    size_t         n;
    unsigned char *b = bytes_of(text_at(d, "pictures.0.list.0.bytes"), &n);
    ck_assert_uint_eq(n, 44 * 7);
    for (int i = 0; i < 44 * 7; i++) ck_assert_int_eq(b[i], i / 7 >= 22 ? 255 : 0);
    free(b);
    json_decref(d);
    gr_model_free(m);
    nothing_failed();
}
END_TEST

/* ---- kernels and activations --------------------------------------------- */

START_TEST(kernels_and_activations)
{
    gr_dataset *digits = gr_digits(8, 1);
    gr_loader  *loader = gr_loader_open(digits, 4, .mean = 0.1, .std = 0.3);
    gr_model   *m = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 1);
    gr_report  *r = gr_report_open(PAGE, m, .loader = loader);
    ck_assert(gr_report_close(r));
    json_t *d = read_data();
    ck_assert_uint_eq(json_array_size(at(d, "kernels")), 2);
    ck_assert_str_eq(text_at(d, "kernels.1.name"), "conv2.weight");
    float k[2400], v[500];
    ck_assert_int_eq(floats_at(d, "kernels.1.v", k, 2400), 16 * 6 * 25);
    for (int i = 0; i < 2400; i++)
        ck_assert(k[i] == (float)gr_data(gr_model_get(m, "conv2.weight"))[i]);
    ck_assert(number_at(d, "sample.label") == gr_dataset_label(digits, 0));
    size_t         n;
    unsigned char *b = bytes_of(text_at(d, "sample.picture.bytes"), &n);
    ck_assert(n == 784 && memcmp(b, gr_dataset_image(digits, 0), 784) == 0);
    free(b);
    ck_assert_uint_eq(json_array_size(at(d, "sample.list")), 7);
    ck_assert_str_eq(text_at(d, "sample.list.0.layer"), "conv1");
    ck_assert_str_eq(text_at(d, "sample.list.6.layer"), "fc3");
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(1, 1, 28, 28));
    for (int i = 0; i < 784; i++)
        gr_data_mut(x)[i] = (gr_real)((gr_dataset_image(digits, 0)[i] / 255.0 - 0.1) / 0.3);
    gr_tensor *y = lenet(m, x);
    ck_assert_int_eq(floats_at(d, "sample.list.6.v", v, 500), 10);
    for (int i = 0; i < 10; i++) ck_assert_double_eq_tol((double)v[i], (double)gr_data(y)[i], 1e-5);
    json_decref(d);
    gr_model_free(m);
    gr_loader_close(loader);
    gr_dataset_free(digits);
    nothing_failed();
}
END_TEST

/* ---- the run is not changed ---------------------------------------------- */

/* Trains a network that has dropout and running statistics, and says what became of it. */
static uint64_t trained(bool reported)
{
    gr_dataset *digits = gr_digits(64, 1);
    gr_loader  *loader = gr_loader_open(digits, 16, .seed = 3, .augment = { .crop_padding = 2 });
    gr_loader  *test = gr_loader_open(digits, 16, .in_order = true);
    gr_model   *m = gr_model_build(normed, gr_shape(1, 1, 28, 28), .seed = 1);
    gr_optim   *adam = gr_adam(m, .lr = 0.01);
    gr_report  *r = reported ? gr_report_open(PAGE, m, .optim = adam, .loader = loader, .every = 1,
                                   .seconds = 1e-9)
                             : NULL;
    gr_batch    b;
    for (int epoch = 0; epoch < 3; epoch++) {
        while (gr_next_batch(loader, &b)) {
            double loss = normed_step(m, adam, b.inputs, b.targets);
            if (r) gr_report_step(r, loss);
        }
        gr_model_eval(m);
        while (r && gr_next_batch(test, &b)) {
            GR_STEP;
            gr_report_scores(r, b.inputs, normed(m, b.inputs), b.targets);
        }
        gr_model_train(m);
        if (r) gr_report_epoch(r);
    }
    ck_assert(gr_report_close(r));
    uint64_t print = fingerprint(m);
    for (int i = 0; i < gr_model_buffer_count(m); i++) {
        gr_tensor *t = gr_model_buffer_at(m, i);
        for (int64_t k = 0; gr_dtype_of(t) == GR_REAL && k < gr_count(t); k++)
            print = print * 31 + (uint64_t)(gr_data(t)[k] * 1e6f);
    }
    gr_optim_free(adam);
    gr_model_free(m);
    gr_loader_close(test);
    gr_loader_close(loader);
    gr_dataset_free(digits);
    nothing_failed();
    return print;
}

START_TEST(same_bits)
{
    uint64_t without = trained(false);
    size_t   live = gr_memory().live;
    ck_assert(trained(true) == without);
    ck_assert_uint_eq(gr_memory().live, live);
}
END_TEST

/* A forward function with state of its own: it counts its calls, and draws noise from a stream of
   its own. */
static int    noisy_calls;
static gr_rng noise_stream;

static gr_tensor *noisy(gr_model *m, gr_tensor *x)
{
    noisy_calls++;
    x = gr_nn_linear(m, "a", gr_flatten(x), 16, .act = GR_RELU);
    return gr_nn_linear(
        m, "b", gr_add(x, gr_scale(gr_normal(gr_shape_of(x), &noise_stream, 0, 1), 0.1)), 10);
}

static double noisy_step(gr_model *m, gr_optim *o, const gr_batch *b)
{
    GR_STEP;
    return gr_minimize(o, gr_cross_entropy(noisy(m, b->inputs), b->targets));
}

/* The last loss of three epochs of four steps. seconds: between two writings, 0: no report. calls:
   of forward, before and by close. */
static double noisy_run(double seconds, int64_t sample_every, int calls[2])
{
    noise_stream = gr_rng_of(7, "noise");
    gr_dataset *digits = gr_digits(64, 1);
    gr_loader  *loader = gr_loader_open(digits, 16);
    gr_model   *m = gr_model_build(noisy, gr_shape(16, 1, 28, 28));
    gr_optim   *sgd = gr_sgd(m, .lr = 0.1);
    gr_batch    b;
    double      loss = 0;
    noisy_calls = 0;
    noise_stream = gr_rng_of(7, "noise");
    gr_report *r = NULL;
    if (seconds > 0)
        r = gr_report_open(PAGE, m, .optim = sgd, .loader = loader, .seconds = seconds,
            .sample_every = sample_every);
    for (int epoch = 0; epoch < 3; epoch++) {
        while (gr_next_batch(loader, &b)) {
            loss = noisy_step(m, sgd, &b);
            if (r) ck_assert(gr_report_step(r, loss));
        }
        if (r) ck_assert(gr_report_epoch(r));
    }
    calls[0] = noisy_calls;
    ck_assert(gr_report_close(r));
    calls[1] = noisy_calls - calls[0];
    gr_optim_free(sgd);
    gr_model_free(m);
    gr_loader_close(loader);
    gr_dataset_free(digits);
    return loss;
}

/* Forward is called where the header says, and there alone, however often the clock has the page
   written. */
START_TEST(forward_with_state)
{
    int    calls[2];
    double alone = noisy_run(0, 0, calls);
    ck_assert(calls[0] == 12 && calls[1] == 0);
    for (int i = 0; i < 2; i++) {
        double seconds = i ? 1e-9 : 1e9;
        ck_assert(noisy_run(seconds, 0, calls) == alone);
        ck_assert(calls[0] == 12 && calls[1] == 1);
    }
    double sampled = noisy_run(1e9, 1, calls);
    ck_assert(calls[0] == 15 && calls[1] == 1);
    ck_assert(noisy_run(1e-9, 1, calls) == sampled);
    ck_assert(calls[0] == 15 && calls[1] == 1);
    noisy_run(1e-9, 2, calls);
    ck_assert(calls[0] == 13 && calls[1] == 1);
    nothing_failed();
}
END_TEST

/* The optimiser may go first. */
START_TEST(optimiser_goes_first)
{
    gr_model  *m = two_layers();
    gr_optim  *sgd = gr_sgd(m, .lr = 0.1), *other = gr_sgd(m, .lr = 0.1);
    gr_report *r = gr_report_open(PAGE, m, .optim = sgd);
    gr_report_step(r, two_step(m, sgd));
    gr_optim_free(sgd);
    ck_assert(gr_report_step(r, 1));
    ck_assert(gr_report_close(r));
    r = gr_report_open(PAGE, m, .optim = other);
    ck_assert(gr_report_close(r));
    two_step(m, other);
    gr_optim_free(other);
    gr_model_free(m);
    nothing_failed();
}
END_TEST

/* ---- hostile names ------------------------------------------------------- */

static int count_of(const char *text, const char *what)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, what)); s++) n++;
    return n;
}

START_TEST(hostile_names)
{
    static const char *const odd[] = { "plain", "</script><script>alert(1)</script>",
        "\"},{\"x\":\"", "<!--<script>", "a\\", "x\xff\n\x01" };
    int                      scripts = 0, ends = 0;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        GR_STEP;
        gr_model *m = gr_model_new(1);
        /* a parameter's name must be UTF-8; other texts need not be */
        gr_nn_param(
            m, gr_name("%s.weight", i < 5 ? odd[i] : "x\n\x01"), gr_shape(2, 2, 3, 3), .value = 1);
        gr_model_seal(m);
        gr_optim  *sgd = gr_sgd(m, .lr = 0.1);
        gr_report *r = gr_report_open(PAGE, m, .optim = sgd, .title = odd[i]);
        gr_report_step(r, gr_minimize(sgd, gr_sum(gr_model_at(m, 0))));
        ck_assert(gr_report_value(r, odd[i], 1));
        ck_assert(gr_report_pictures(r, odd[i], gr_zeros(gr_shape(1, 4, 4))));
        ck_assert(gr_report_close(r));
        json_t *d = read_data();
        if (i == 0) {
            scripts = count_of(page, "<script");
            ends = count_of(page, "</script");
        }
        ck_assert_int_eq(count_of(page, "<script"), scripts);
        ck_assert_int_eq(count_of(page, "</script"), ends);
        ck_assert_int_eq(count_of(page, "<!--"), 0);
        if (i < 5) ck_assert_str_eq(text_at(d, "title"), odd[i]);
        if (i == 5) ck_assert_str_eq(text_at(d, "title"), "x\\xff\\n\\x01");
        json_decref(d);
        gr_optim_free(sgd);
        gr_model_free(m);
        nothing_failed();
    }
}
END_TEST

/* ---- errors -------------------------------------------------------------- */

START_TEST(open_refused)
{
    gr_model *m = two_layers(), *other = two_layers(), *open = gr_model_new(1);
    gr_optim *sgd = gr_sgd(m);
    FAILS(gr_report_open(NULL, m), GR_ERR_ARGUMENT, "report_open: the path is NULL");
    FAILS(gr_report_open(PAGE, NULL), GR_ERR_ARGUMENT, "report_open: the model is NULL");
    FAILS(gr_report_open(PAGE, open), GR_ERR_ARGUMENT,
        "report_open: the model is still being built; gr_model_seal ends that");
    FAILS(gr_report_open(PAGE, other, .optim = sgd), GR_ERR_ARGUMENT,
        "report_open: the optimiser belongs to another model");
    FAILS(gr_report_open(PAGE, m, .every = -1), GR_ERR_ARGUMENT,
        "report_open: every -1, step 0, seconds 0: none may be negative");
    FAILS(gr_report_open(PAGE, m, .seconds = NAN), GR_ERR_ARGUMENT,
        "report_open: every 0, step 0, seconds nan: none may be negative");
    FAILS(gr_report_open("no/such/r.html", m, .optim = sgd), GR_ERR_FILE,
        "cannot write 'no/such/r.html': No such file or directory");
    ck_assert_ptr_null(strstr(PAGE, "/"));
    gr_report *r = gr_report_open(PAGE, m, .optim = sgd);
    FAILS(gr_report_open(PAGE, m, .optim = sgd), GR_ERR_ARGUMENT,
        "report_open: the optimiser has a report already");
    ck_assert(gr_report_close(r));
    ck_assert(gr_report_close(NULL));
    gr_optim_free(sgd);
    gr_model_free(m), gr_model_free(other), gr_model_free(open);
}
END_TEST

START_TEST(sample_refused)
{
    gr_model  *m = gr_model_build(lenet, gr_shape(1, 1, 28, 28));
    gr_tensor *ints = gr_from_ints(gr_shape(1), (const int32_t[]){ 1 }),
              *small = gr_zeros(gr_shape(1, 1, 9, 9));
    FAILS(gr_report_open(PAGE, m, .sample = ints), GR_ERR_ARGUMENT,
        "report_open: the sample (1) is int32");
    FAILS(gr_report_open(PAGE, m, .sample_every = -1), GR_ERR_ARGUMENT,
        "report_open: sample_every is -1; it may not be negative");
    gr_report *r = gr_report_open(PAGE, m, .sample = small, .sample_every = 2);
    ck_assert(gr_report_epoch(r));
    FAILS(gr_report_epoch(r), GR_ERR_ARGUMENT,
        "conv2d: input 4x4, padded by (0,0), is smaller than the kernel 5x5, dilated by (1,1)");
    FAILS(gr_report_close(r), GR_ERR_ARGUMENT,
        "conv2d: input 4x4, padded by (0,0), is smaller than the kernel 5x5, dilated by (1,1)");
    json_t *d = read_data();
    ck_assert_ptr_nonnull(strstr(text_at(d, "status"), "conv2d: input 4x4"));
    json_decref(d);
    gr_free(ints), gr_free(small);
    gr_model_free(m);
}
END_TEST

START_TEST(calls_refused)
{
    GR_STEP;
    gr_model  *m = two_layers();
    gr_report *r = gr_report_open(PAGE, m);
    gr_tensor *x = gr_zeros(gr_shape(2, 1, 4, 4)), *s = gr_zeros(gr_shape(2, 3)),
              *l = gr_from_ints(gr_shape(2), (const int32_t[]){ 0, 3 });
    FAILS(gr_report_step(NULL, 1), GR_ERR_ARGUMENT, "report_step: the report is NULL");
    FAILS(gr_report_epoch(NULL), GR_ERR_ARGUMENT, "report_epoch: the report is NULL");
    FAILS(gr_report_scores(NULL, x, s, l), GR_ERR_ARGUMENT, "report_scores: the report is NULL");
    FAILS(gr_report_scores(r, x, NULL, l), GR_ERR_ARGUMENT, "report_scores: the scores are NULL");
    FAILS(gr_report_scores(r, x, s, s), GR_ERR_ARGUMENT,
        "report_scores: images (2,1,4,4), scores (2,3), labels (2,3): (N,...), (N,classes) and "
        "int32 (N) wanted");
    FAILS(gr_report_scores(r, x, gr_zeros(gr_shape(2, 257)), l), GR_ERR_ARGUMENT,
        "report_scores: scores (2,257): 1 to 256 classes wanted");
    FAILS(gr_report_scores(r, x, s, l), GR_ERR_ARGUMENT,
        "confusion_add: label 1 is 3, not 0 to 2");
    FAILS(gr_report_scores(r, x, gr_zeros(gr_shape(2, 4)), l), GR_ERR_ARGUMENT,
        "report_scores: scores (2,4), the report has 3 classes");
    FAILS(gr_report_value(r, NULL, 1), GR_ERR_ARGUMENT, "report_value: the name is NULL");
    FAILS(gr_report_value(r, "", 1), GR_ERR_ARGUMENT, "report_value: the name is empty");
    for (int k = 0; k < 8; k++) ck_assert(gr_report_value(r, gr_name("%d", k), 1));
    FAILS(gr_report_value(r, "mine", 1), GR_ERR_ARGUMENT,
        "report_value: 'mine' is a new name, but there are 8 curves already");
    FAILS(gr_report_pictures(r, "p", s), GR_ERR_ARGUMENT,
        "report_pictures: images (2,3): (N,C,H,W) or (N,H,W) wanted");
    FAILS(gr_report_pictures(r, "p", NULL), GR_ERR_ARGUMENT,
        "report_pictures: images NULL: (N,C,H,W) or (N,H,W) wanted");
    FAILS(gr_report_pictures(r, "p", x, .columns = -1), GR_ERR_ARGUMENT,
        "report_pictures: -1 columns");
    for (int k = 0; k < 4; k++) ck_assert(gr_report_pictures(r, gr_name("%d", k), x));
    FAILS(gr_report_pictures(r, "mine", x), GR_ERR_ARGUMENT,
        "report_pictures: 'mine' is a new name, but there are 4 already");
    ck_assert(gr_report_close(r));
    gr_model_free(m);
    nothing_failed();
}
END_TEST

/* What ended the run stands in the page; and a file that can no longer be written is an error, and
   leaves the old one. */
START_TEST(ends_badly)
{
    gr_model  *m = two_layers();
    gr_report *r = gr_report_open(PAGE, m);
    gr_backward(NULL);
    ck_assert(gr_error() && !gr_report_step(r, 1) && !gr_report_epoch(r));
    char *failure = strdup(gr_error());
    ck_assert(!gr_report_close(r));
    json_t *d = read_data();
    ck_assert_str_eq(text_at(d, "status"), failure);
    ck_assert(number_at(d, "step") == 0);
    free(failure);
    json_decref(d);
    gr_clear_error();
    mkdir("report-folder", 0700);
    r = gr_report_open("report-folder/r.html", m);
    remove("report-folder/r.html");
    rmdir("report-folder");
    FAILS(gr_report_close(r), GR_ERR_FILE,
        "cannot write 'report-folder/r.html': No such file or directory");
    gr_model_free(m);
}
END_TEST

int main(void)
{
    gr_set_threads(1); /* everything here is small */
    Suite *s = suite_create("report");
    TCase *t = cases(s, "curves");
    tcase_add_test(t, curves_of_two_steps);
    tcase_add_test(t, gaps);
    tcase_add_test(t, long_runs_are_thinned);
    tcase_add_test(t, five_megabytes_at_most);
    t = cases(s, "pictures");
    tcase_add_test(t, scores_of_an_epoch);
    tcase_add_test(t, pictures_as_the_data_have_them);
    tcase_add_test(t, large_pictures_are_made_smaller);
    tcase_add_test(t, kernels_and_activations);
    t = cases(s, "run");
    tcase_add_test(t, same_bits);
    tcase_add_test(t, forward_with_state);
    tcase_add_test(t, optimiser_goes_first);
    tcase_add_test(t, hostile_names);
    t = cases(s, "errors");
    tcase_add_test(t, open_refused);
    tcase_add_test(t, sample_refused);
    tcase_add_test(t, calls_refused);
    tcase_add_test(t, ends_badly);
    int failed = run(s);
    free(page);
    remove(PAGE);
    return failed;
}
