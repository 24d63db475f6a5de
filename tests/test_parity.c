/* test_parity.c: LeNet beside PyTorch's, from the same weights and batches.

   tests/parity/lenet.py recorded 100 losses of PyTorch's run in double, and in float. Over the run,
   ours may stray from the run in double three times as far as PyTorch's float run does,
   convolutions being sums as they stand. As the library comes, by Winograd's algorithm, ten steps
   stay together by rounding alone, and the last 30 have about the same loss in the mean. In between
   somebody tosses a coin: in MNIST's step 12 two numbers of one pooling window differ by half of a
   float's last place, and which of them wins changes the run from there on, by a factor of two a
   step. On the drawn digits, and on MNIST if GRADUS_MNIST names the folder of its files. Loading
   the recorded weights also shows that a file written by a plain Python writer is read.

   test_parity --dump DIR writes what lenet.py wants: the drawn digits, weights, and their
   logits. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lenet.h"

enum { STEPS = 100, BATCH = 64, EARLY = 10, LATE = 30 };

static const double mean = 0.1307, std = 0.3081;

static gr_dataset *drawn_digits(void) { return gr_digits(STEPS * BATCH, 1); }

static const char *recorded(const char *name)
{
    const char *srcdir = getenv("srcdir");
    return gr_name("%s/tests/parity/%s", srcdir ? srcdir : ".", name);
}

/* direct: convolutions are sums as they stand. Decided before the first operation, and so in the
   test's own process: Check forks for each. */
static void follow(gr_dataset *data, const char *name, bool direct)
{
    const char *record = gr_name("lenet-%s.txt", name),
               *weights = gr_name("lenet-%s.safetensors", name);
    FILE *f = fopen(recorded(record), "r");
    if (direct) setenv("GRADUS_CONV", "direct", 1);
    ck_assert_msg(f != NULL, "no %s", recorded(record));
    gr_model  *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28));
    gr_optim  *sgd = gr_sgd(net, .lr = 0.02, .momentum = 0.9);
    gr_loader *loader = gr_loader_open(data, BATCH, .in_order = true, .mean = mean, .std = std);
    ck_assert_msg(gr_load(net, recorded(weights)), "%s", gr_error());
    gr_batch batch;
    double   strayed = 0, worst = 0, ours = 0, theirs = 0;
    for (int step = 0; step < STEPS; step++) {
        double in_double, in_float;
        ck_assert_int_eq(fscanf(f, "%lf %lf", &in_double, &in_float), 2);
        ck_assert_msg(gr_next_batch(loader, &batch), "%s", gr_error());
        double loss = lenet_step(net, sgd, batch.inputs, batch.targets),
               off = fabs(loss - in_double);
        ck_assert_msg(
            step >= EARLY || off < 1e-6 * in_double, "step %d: %g from PyTorch's loss", step, off);
        if (step >= STEPS - LATE) ours += loss, theirs += in_double;
        strayed = fmax(strayed, fabs(in_float - in_double));
        worst = fmax(worst, off);
    }
    printf("%s: strays %.2g from PyTorch's run in double, PyTorch's float run %.2g; late losses "
           "%.4g, PyTorch's %.4g\n",
        record, worst, strayed, ours / LATE, theirs / LATE);
    ck_assert_msg(!direct || worst <= 3 * strayed, "%s: strays %g, PyTorch's float run %g", record,
        worst, strayed);
    ck_assert_msg(fabs(ours - theirs) < 0.1 * theirs, "%s: late losses %g, PyTorch's %g", record,
        ours / LATE, theirs / LATE);
    fclose(f);
    gr_loader_close(loader);
    gr_optim_free(sgd);
    gr_model_free(net);
}

START_TEST(drawn_digits_follow_pytorch)
{
    gr_dataset *d = drawn_digits();
    follow(d, "digits", _i);
    gr_dataset_free(d);
}
END_TEST

START_TEST(mnist_follows_pytorch)
{
    const char *folder = getenv("GRADUS_MNIST");
    if (!folder || !*folder) {
        puts("skipped: parity on MNIST (GRADUS_MNIST is not set)");
        return;
    }
    gr_dataset *d = gr_mnist(folder, true);
    ck_assert_msg(d != NULL, "%s", gr_error());
    follow(d, "mnist", _i);
    gr_dataset_free(d);
}
END_TEST

/* ---- for lenet.py ---------------------------------------------------------------------------- */

static void idx_header(FILE *f, int rank, const int64_t *dim)
{
    unsigned char magic[4] = { 0, 0, 8, (unsigned char)rank };
    fwrite(magic, 1, sizeof magic, f);
    for (int i = 0; i < rank; i++) {
        unsigned char size[4] = { (unsigned char)(dim[i] >> 24), (unsigned char)(dim[i] >> 16),
            (unsigned char)(dim[i] >> 8), (unsigned char)dim[i] };
        fwrite(size, 1, sizeof size, f);
    }
}

static void dump_digits(const gr_dataset *d, const char *dir)
{
    int64_t n = gr_dataset_count(d);
    FILE   *images = fopen(gr_name("%s/images", dir), "wb"),
         *labels = fopen(gr_name("%s/labels", dir), "wb");
    if (!images || !labels) exit((perror(dir), 1));
    idx_header(images, 3, (int64_t[]){ n, 28, 28 });
    idx_header(labels, 1, &n);
    for (int64_t i = 0; i < n; i++) {
        fwrite(gr_dataset_image(d, i), 1, 784, images);
        fputc(gr_dataset_label(d, i), labels);
    }
    fclose(images);
    fclose(labels);
}

static int dump(const char *dir)
{
    gr_dataset *d = drawn_digits();
    dump_digits(d, dir);
    gr_model  *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 1);
    gr_loader *loader = gr_loader_open(d, 8, .in_order = true, .mean = mean, .std = std);
    gr_batch   batch;
    FILE      *f = fopen(gr_name("%s/logits.txt", dir), "w");
    if (!f || !gr_save(net, gr_name("%s/weights.safetensors", dir)) ||
        !gr_next_batch(loader, &batch))
        exit((fprintf(stderr, "%s: %s\n", dir, gr_error() ? gr_error() : "cannot write"), 1));
    gr_tensor *y = lenet(net, batch.inputs);
    for (int i = 0; i < 80; i++)
        fprintf(f, "%.9g%c", (double)gr_data(y)[i], i % 10 == 9 ? '\n' : ' ');
    fclose(f);
    gr_loader_close(loader);
    gr_model_free(net);
    gr_dataset_free(d);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--dump") == 0) return dump(argv[2]);
    Suite *s = suite_create("parity");
    TCase *c = tcase_create("parity");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, drawn_digits_follow_pytorch, 0, 2); /* as it comes, and by direct sums */
    tcase_add_loop_test(c, mnist_follows_pytorch, 0, 2);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
