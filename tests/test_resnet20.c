/* test_resnet20.c: the ResNet-20 of the examples beside PyTorch's, from the same weights and
   batches; built in float and in double.

   tests/parity/resnet20.py recorded the losses of 50 steps of PyTorch's run in double, and in
   float, and after them the loss in eval mode, by the running statistics. Over the run ours may
   stray from the run in double by 1e-8 in double, and in float three times as far as PyTorch's
   float run does. Weights and batches come from formulas that both sides compute, and that a float
   holds exactly.

   There are two runs. In one no ReLU's input is so nearly 0 that rounding as good as PyTorch's
   turns its sign, and convolutions are sums as they stand; the runs stay together to the last
   digits. In the other convolutions go by Winograd's algorithm where it pays, which rounds two or
   three times as much and turns signs, and PyTorch's float run has turned one as well.

   test_resnet20 --dump DIR writes what resnet20.py wants to check: weights after the run, and their
   logits. */
#include "../examples/resnet20.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { STEPS = 50, BATCHES = 4, SIDE = 8, MOST = 12 };

typedef struct training {
    const char *name;
    int         batch; /* images in one */
    int         seed;
} training;

static const training still = { "still", 4, 401 }, turning = { "turning", MOST, 3 };

/* Number i of a stream in [-1, 1), a multiple of 2^-15: the bits of both, mixed as MurmurHash3
   mixes its last word. */
static double noise_at(uint32_t stream, int64_t i)
{
    uint32_t h = (uint32_t)i * 0x9E3779B9u + stream * 0x7F4A7C15u;
    h = (h ^ h >> 16) * 0x85EBCA6Bu;
    h = (h ^ h >> 13) * 0xC2B2AE35u;
    return ((h ^ h >> 16) >> 16) / 32768.0 - 1;
}

/* Noise for every weight of more than one dimension, by a power of two near Kaiming's bound. */
static gr_model *first_model(void)
{
    gr_model *m = gr_model_build(resnet20, gr_shape(1, 3, SIDE, SIDE));
    for (int i = 0; i < gr_model_count(m); i++) {
        gr_tensor *w = gr_model_at(m, i);
        if (gr_shape_of(w).rank < 2) continue;
        double fan_in = (double)(gr_count(w) / gr_size(w, 0)),
               bound = exp2(round(log2(sqrt(6 / fan_in))));
        for (int64_t k = 0; k < gr_count(w); k++)
            gr_data_mut(w)[k] = (gr_real)(bound * noise_at((uint32_t)i, k));
    }
    gr_tensor *bias = gr_model_get(m, "fc.bias");
    for (int64_t k = 0; bias && k < gr_count(bias); k++) gr_data_mut(bias)[k] = 0;
    return m;
}

static gr_tensor *images_of(const training *t, int batch)
{
    gr_tensor *x = gr_zeros(gr_shape(t->batch, 3, SIDE, SIDE));
    for (int64_t k = 0; k < gr_count(x); k++)
        gr_data_mut(x)[k] = (gr_real)noise_at((uint32_t)(1000 * t->seed + batch), k);
    return x;
}

static gr_tensor *loss_of(const training *t, gr_model *m, int batch)
{
    int32_t label[MOST];
    for (int n = 0; n < t->batch; n++) label[n] = (3 * n + batch) % 10;
    return gr_cross_entropy(
        resnet20(m, images_of(t, batch)), gr_from_ints(gr_shape(t->batch), label));
}

/* The losses of the steps, and after them the one in eval mode. */
static gr_model *train(const training *t, double *losses)
{
    gr_model *m = first_model();
    gr_optim *sgd = gr_sgd(m, .lr = 0.005, .momentum = 0.9, .weight_decay = 1e-4);
    for (int step = 0; step < STEPS; step++) {
        GR_STEP;
        losses[step] = gr_minimize(sgd, loss_of(t, m, step % BATCHES));
    }
    GR_STEP;
    gr_model_eval(m);
    losses[STEPS] = gr_item(loss_of(t, m, 0));
    gr_optim_free(sgd);
    return m;
}

static void follow(const training *t)
{
    double      losses[STEPS + 1], worst = 0, strayed = 0;
    const char *srcdir = getenv("srcdir"),
               *path = gr_name("%s/tests/parity/resnet20-%s.txt", srcdir ? srcdir : ".", t->name);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "no %s", path);
    gr_model_free(train(t, losses));
    nothing_failed();
    for (int i = 0; i <= STEPS; i++) {
        double in_double, in_float;
        ck_assert_int_eq(fscanf(f, "%lf %lf", &in_double, &in_float), 2);
        ck_assert(isfinite(losses[i]));
        worst = fmax(worst, fabs(losses[i] - in_double));
        strayed = fmax(strayed, fabs(in_float - in_double));
    }
    fclose(f);
    printf("%s: strays %.2g from PyTorch's run in double, PyTorch's float run %.2g\n", t->name,
        worst, strayed);
    double most = sizeof(gr_real) == 4 ? 3 * strayed : 1e-8;
    ck_assert_msg(worst <= most, "%s: strays %g, more than %g", t->name, worst, most);
}

/* Before the first operation, and so in the test's own process: Check forks for each. */
static void sums_as_they_stand(void) { setenv("GRADUS_CONV", "direct", 1); }

START_TEST(follows_pytorch_to_the_last_digits)
{
    sums_as_they_stand();
    follow(&still);
}
END_TEST

START_TEST(follows_pytorch_with_winograd) { follow(&turning); }
END_TEST

static int dump(const char *dir)
{
    double     losses[STEPS + 1];
    gr_model  *m = train(&still, losses);
    gr_tensor *y = resnet20(m, images_of(&still, 0));
    FILE      *f = fopen(gr_name("%s/logits.txt", dir), "w");
    if (!f || !y || !gr_save(m, gr_name("%s/ours.safetensors", dir)))
        exit((fprintf(stderr, "%s: %s\n", dir, gr_error() ? gr_error() : "cannot write"), 1));
    for (int i = 0; i < 10 * still.batch; i++)
        fprintf(f, "%.9g%c", (double)gr_data(y)[i], i % 10 == 9 ? '\n' : ' ');
    fclose(f);
    gr_model_free(m);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--dump") == 0) return dump(argv[2]);
    Suite *s = suite_create("resnet20");
    TCase *c = cases(s, "resnet20");
    tcase_add_test(c, follows_pytorch_to_the_last_digits);
    tcase_add_test(c, follows_pytorch_with_winograd);
    return run(s);
}
