/* test_promises.c: promises of the headers that no other test holds the library to, across the
   rooms. */
#include "support.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/core.h"
#include "gradus.h"

static char folder[] = "/tmp/gradus-promises-XXXXXX";

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static gr_tensor *one_weight(gr_model *m, gr_tensor *x)
{
    return gr_mul(x, gr_nn_param(m, "w", gr_shape(1), .value = 0.5, .normal = 2));
}

static gr_model *small(uint64_t seed)
{
    return gr_model_build(one_weight, gr_shape(1, 1), .seed = seed);
}

/* ---- operations ---- */

/* PyTorch 1.13 in double: batch_norm of x, weight 1.5, bias 0.25, in training; the loss is the
   sum of c y^2 with c = 1/8 .. 8/8. */
START_TEST(batch_norms_gradient_as_a_function)
{
    GR_STEP;
    gr_shape   s = gr_shape(2, 1, 2, 2), one = gr_shape(1);
    gr_tensor *x = gr_param(T(s, 0, 1, 3, -2, 0.5, 2, -1, 4)), *w = gr_param(T(one, 1.5)),
              *b = gr_param(T(one, 0.25));
    gr_tensor *c = T(s, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1), *in[] = { x, w, b }, *g[3],
              *h[3];
    gr_tensor *v[] = { T(s, 1, -1, 0.5, 2, 0, 1, -0.5, 0.25), T(one, 2), T(one, -1) };
    for (int recorded = 0; recorded < 2; recorded++) {
        gr_tensor *y = gr_batch_norm2d(x, .weight = w, .bias = b, .training = true);
        ck_assert(gr_grads(gr_sum(gr_mul(c, gr_mul(y, y))), in, 3, g,
            (gr_grad_options){ .create_graph = recorded }));
        NEAR(g[0], s, ROUGHLY, 0.348732820791235, -0.33576735310903, -1.12677930793923,
            0.581939054660926, -0.102860804186892, -0.0432769363153858, -0.461197972943267,
            1.13921049904164);
        NEAR(g[1], one, ROUGHLY, 17.0037585593727);
        NEAR(g[2], one, ROUGHLY, 3.99708812831344);
    }
    gr_tensor *y = gr_batch_norm2d(x, .weight = w, .bias = b, .training = true);
    ck_assert(gr_hvp(gr_sum(gr_mul(c, gr_mul(y, y))), in, 3, v, h));
    NEAR(h[0], s, ROUGHLY, 1.58680929946061, 0.563374670194416, -2.93721984764886, 1.54866444527467,
        -0.337756848229193, -0.514222768163497, -2.08492642291615, 2.17527747202799);
    NEAR(h[1], one, ROUGHLY, 23.4841653720545);
    NEAR(h[2], one, ROUGHLY, -6.80636983724574);
}
END_TEST

/* Each element stands in the result four times, so the Hessian of half the sum of squares is 4. */
START_TEST(the_second_derivative_through_upsampling)
{
    GR_STEP;
    gr_shape   s = gr_shape(1, 1, 2, 2);
    gr_tensor *x = gr_param(T(s, 1, 2, -3, 0.5)), *v = T(s, 1, -2, 0.25, 3), *hv;
    gr_tensor *y = gr_upsample(x, 2);
    ck_assert(gr_hvp(gr_scale(gr_sum(gr_mul(y, y)), 0.5), &x, 1, &v, &hv));
    HOLDS(hv, s, 4, -8, 1, 12);
}
END_TEST

START_TEST(what_is_refused)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(4, 3)), *w = gr_ones(gr_shape(3));
    gr_tensor *ints = gr_from_ints(gr_shape(2, 3), (const int32_t[]){ 0, 7, 1, 2, 0, 1 });
    FAILS(gr_gather(x, 0, ints), GR_ERR_ARGUMENT,
        "gather: index 7 at (0,1) is outside 0 .. 3, axis 0 of the input (4,3)");
    ck_assert_ptr_null(gr_reshape(x, gr_shape(-1, -1)));
    ck_assert_int_eq(gr_error_code(), GR_ERR_ARGUMENT);
    gr_clear_error();
    FAILS(gr_permute(x, GR_DIMS(0, INT32_MAX / 2)), GR_ERR_ARGUMENT,
        "permute: (4,3) wants each dimension named once");
    FAILS(gr_permute(x, GR_DIMS(INT32_MIN, 0)), GR_ERR_ARGUMENT,
        "permute: (4,3) wants each dimension named once");
    ck_assert_ptr_null(gr_layer_norm(ints, .weight = w, .bias = w));
    ck_assert_int_eq(gr_error_code(), GR_ERR_ARGUMENT);
    gr_clear_error();
    ck_assert_ptr_null(gr_adaptive_avg_pool2d(gr_zeros(gr_shape(1, 1, 3, 0)), gr_hw(1, 1)));
    ck_assert_int_eq(gr_error_code(), GR_ERR_ARGUMENT);
    gr_clear_error();
    ck_assert_ptr_null(gr_adaptive_avg_pool2d(gr_zeros(gr_shape(1, 1, 0, 3)), gr_hw(1, 1)));
    ck_assert_int_eq(gr_error_code(), GR_ERR_ARGUMENT);
    gr_clear_error();
}
END_TEST

/* As PyTorch has it: nothing of x is left, and no gradient goes there. */
START_TEST(a_pad_may_take_all_away)
{
    gr_tensor *x = gr_param(T(gr_shape(3), 1, 2, 3));
    gr_tensor *y = gr_pad(x, gr_shape(2), .after = gr_shape(-3), .value = 7),
              *z = gr_pad(x, gr_shape(-3), .after = gr_shape(2), .value = 8);
    HOLDS(y, gr_shape(2), 7, 7);
    HOLDS(z, gr_shape(2), 8, 8);
    HOLDS(gr_grad(gr_add(gr_sum(y), gr_sum(gr_mul(x, x))), x), gr_shape(3), 2, 4, 6);
    FAILS(gr_pad(x, gr_shape(3), .after = gr_shape(-4)), GR_ERR_ARGUMENT,
        "pad: dimension 0 of (3) cannot lose -3 and 4");
    gr_free(x);
}
END_TEST

/* A weight that could not be made is not the same as none: NULL in gives NULL out. */
START_TEST(a_weight_that_failed)
{
    GR_STEP;
    gr_tensor *x = gr_ones(gr_shape(2, 3)), *w = gr_add(x, gr_ones(gr_shape(7)));
    ck_assert_ptr_null(w);
    ck_assert_ptr_null(gr_layer_norm(x, .weight = w));
    ck_assert_ptr_null(gr_layer_norm(x));
    ck_assert_ptr_null(gr_group_norm(gr_ones(gr_shape(1, 2, 3)), 2, .weight = w));
    gr_clear_error();
    ck_assert_ptr_nonnull(gr_layer_norm(x));
}
END_TEST

/* Text that is cut for a message is cut between two characters, wherever they begin. */
START_TEST(a_long_name_is_cut_between_characters)
{
    for (int ahead = 0; ahead < 3; ahead++) {
        char text[400] = "ab";
        text[ahead] = 0;
        for (int i = 0; i < 60; i++) strcat(text, "\xe2\x82\xac"); /* the sign of the euro */
        gr__quote q = gr__quoted(text);
        size_t    n = strlen(q.s);
        ck_assert(n > 60 && n < sizeof q.s);
        ck_assert_str_eq(q.s + n - 3, "...");
        ck_assert_int_eq((int)(n - 3 - (size_t)ahead) % 3, 0);
        ck_assert_mem_eq(q.s, text, n - 3);
    }
}
END_TEST

/* What decides how numbers are written is the largest and the smallest of them, wherever they
   stand. */
START_TEST(the_order_of_numbers_does_not_change_their_style)
{
    GR_STEP;
    static const gr_real all[][3] = { { (gr_real)1e9, 1, 2 }, { 1, (gr_real)1e9, 2 },
        { 1, 2, (gr_real)1e9 } };
    static const gr_real low[][3] = { { (gr_real)1e-9, 1, 2 }, { 1, (gr_real)1e-9, 2 },
        { 1, 2, (gr_real)1e-9 } };
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(strstr(gr_format(gr_from(gr_shape(3), all[i])), "e+09"));
        ck_assert_ptr_nonnull(strstr(gr_format(gr_from(gr_shape(3), low[i])), "e-09"));
    }
}
END_TEST

/* A convolution of no images takes pictures of any size that there may be, and no larger ones. */
START_TEST(the_largest_picture)
{
    GR_STEP;
    const int64_t most = INT32_MAX / 4;
    gr_tensor    *k = gr_ones(gr_shape(1, 1, 1, 1));
    gr_tensor    *y = gr_conv2d(gr_zeros(gr_shape(0, 1, most, 1)), k);
    ck_assert_msg(y && gr_shape_of(y).dim[2] == most, "%s", gr_error());
    y = gr_conv2d(gr_zeros(gr_shape(0, 1, 1, most)), k);
    ck_assert_msg(y && gr_shape_of(y).dim[3] == most, "%s", gr_error());
    ck_assert_ptr_null(gr_conv2d(gr_zeros(gr_shape(0, 1, most + 1, 1)), k));
    ck_assert_int_eq(gr_error_code(), GR_ERR_ARGUMENT);
    gr_clear_error();
}
END_TEST

/* Threads that have nothing to do sleep, after a moment: they take no processor from others. */
START_TEST(idle_threads_sleep)
{
    gr_tensor    *x = gr_ones(gr_shape(256, 256));
    struct rusage before, after;
    ck_assert(gr_set_threads(4));
    ck_assert_ptr_nonnull(gr_matmul(x, x));
    usleep(100000);
    getrusage(RUSAGE_SELF, &before);
    usleep(400000);
    getrusage(RUSAGE_SELF, &after);
    double used = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                  1e-6 * (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec);
    ck_assert_double_lt(used, 0.05);
    gr_set_threads(0);
    gr_free(x);
}
END_TEST

/* ---- models ---- */

static gr_tensor *uniform_weight(gr_model *m, gr_tensor *x)
{
    return gr_mul(x, gr_nn_param(m, "w", gr_shape(1), .value = 0.5, .uniform = 2));
}

/* .value, and a number uniform in [-2, 2) from that stream. */
START_TEST(a_uniform_parameter)
{
    gr_model *m = gr_model_build(uniform_weight, gr_shape(1, 1), .seed = 5);
    gr_rng    rng = gr_rng_of(5, "w");
    HOLDS(gr_model_get(m, "w"), gr_shape(1), (gr_real)(0.5 + 2 * (2 * gr_rng_uniform(&rng) - 1)));
    gr_model_free(m);
    ck_assert(!gr_optim_step(NULL));
    ck_assert_int_eq(gr_error_code(), GR_ERR_ARGUMENT);
    gr_clear_error();
    ck_assert_int_eq(gr_model_count(NULL), -1);
    ck_assert_int_eq(gr_error_code(), GR_ERR_ARGUMENT);
    gr_clear_error();
}
END_TEST

/* .value, and a normal number times .normal from the stream of the seed and the parameter's name.
   */
START_TEST(a_normal_parameter)
{
    for (uint64_t seed = 1; seed < 4; seed++) {
        gr_model *m = small(seed);
        gr_rng    rng = gr_rng_of(seed, "w");
        HOLDS(gr_model_get(m, "w"), gr_shape(1), (gr_real)(0.5 + 2 * gr_rng_normal(&rng)));
        gr_model_free(m);
    }
}
END_TEST

static gr_tensor *normed(gr_model *m, gr_tensor *x) { return gr_nn_batch_norm2d(m, "bn", x); }

/* The counter of batches stays at the largest number that it can hold. */
START_TEST(a_counter_that_is_full)
{
    GR_STEP;
    gr_model  *m = gr_model_build(normed, gr_shape(2, 1, 2, 2));
    gr_tensor *x = T(gr_shape(2, 1, 1, 1), 1, 3),
              *count = gr_model_get(m, "bn.num_batches_tracked");
    gr_ints_mut(count)[0] = INT32_MAX - 1;
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(normed(m, x));
        ck_assert_int_eq(gr_ints(count)[0], INT32_MAX);
    }
    gr_model_free(m);
}
END_TEST

static gr_tensor *by_rows(gr_model *m, gr_tensor *x) { return gr_nn_linear(m, "fc", x, 5); }

/* A linear layer of 4 numbers to 5, for each of 3 rows: 2 x 3 x 5 x 4. */
START_TEST(the_work_of_a_linear_layer)
{
    gr_model   *m = gr_model_build(by_rows, gr_shape(1, 3, 4));
    const char *table = gr_model_format(m);
    ck_assert_msg(table && strstr(table, " 120\n"), "%s", table ? table : gr_error());
    gr_model_free(m);
}
END_TEST

START_TEST(milestones_that_fall_later)
{
    gr_model *m = small(1);
    gr_optim *o = gr_sgd(m, .lr = 1);
    FAILS(gr_multistep_lr(o, GR_MILESTONES(1, 50, 20)), GR_ERR_ARGUMENT,
        "multistep_lr: count 3, gamma 0.1: milestones that rise from 1 or more and a gamma "
        "over 0 wanted");
    gr_optim_free(o);
    gr_model_free(m);
}
END_TEST

/* ---- loaders and checkpoints ---- */

static gr_dataset *four(unsigned char first, unsigned char last)
{
    const unsigned char image[4] = { 1, 2, 3, 4 }, label[4] = { first, 1, 2, last };
    return gr_dataset_from(gr_shape(1, 1, 1), 4, image, label, 4);
}

/* A checkpoint goes on with the data and the numbers that it was made with: each label, mean and
   std counts. */
START_TEST(a_checkpoint_knows_its_data)
{
    gr_model   *m = small(1);
    gr_dataset *d = four(0, 3), *other[] = { four(1, 3), four(0, 2) };
    gr_loader  *l = gr_loader_open(d, 2, .mean = 0.5, .std = 0.25);
    ck_assert(gr_checkpoint_save("a", m, .loader = l));
    ck_assert(gr_checkpoint_load("a", m, .loader = l));
    gr_loader *wrong[] = { gr_loader_open(other[0], 2, .mean = 0.5, .std = 0.25),
        gr_loader_open(other[1], 2, .mean = 0.5, .std = 0.25),
        gr_loader_open(d, 2, .mean = 0.25, .std = 0.25),
        gr_loader_open(d, 2, .mean = 1, .std = 0.5), gr_loader_open(d, 2, .mean = 0, .std = 0.5),
        gr_loader_open(d, 1, .mean = 0.5, .std = 0.25) };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert(!gr_checkpoint_load("a", m, .loader = wrong[i]));
        ck_assert_int_eq(gr_error_code(), GR_ERR_FORMAT);
        gr_clear_error();
        gr_loader_close(wrong[i]);
    }
    gr_loader *flipped =
        gr_loader_open(d, 2, .mean = 0.5, .std = 0.25, .augment = { .flip = true });
    ck_assert(!gr_checkpoint_load("a", m, .loader = flipped));
    ck_assert_ptr_nonnull(strstr(gr_error(),
        "lacks loader.augment.")); /* nothing is changed there, and nothing said of it */
    gr_clear_error();
    gr_loader_close(flipped);
    gr_loader_close(l);
    gr_dataset_free(d);
    for (int i = 0; i < 2; i++) gr_dataset_free(other[i]);
    gr_model_free(m);
}
END_TEST

START_TEST(sets_and_changes_that_cannot_be)
{
    gr_dataset *d = four(0, 3);
    FAILS(gr_dataset_subset(d, (const int64_t[]){ 4, 0 }, 2), GR_ERR_ARGUMENT,
        "dataset_subset: there is no image 4 among 4");
    ck_assert_ptr_null(gr_loader_open(d, 2, .augment = { .erase = 0.5, .erase_ratio = { 0, 2 } }));
    ck_assert_int_eq(gr_error_code(), GR_ERR_ARGUMENT);
    gr_clear_error();
    gr_loader *l = gr_loader_open(d, 2, .augment = { .erase = 0.5, .erase_ratio = { 1, 2 } });
    ck_assert_ptr_nonnull(l);
    gr_loader_close(l);
    gr_dataset_free(d);
}
END_TEST

/* So do the numbers of a schedule. */
START_TEST(a_checkpoint_knows_its_schedule)
{
    static const double momenta[][2] = { { 0.8, 0.9 }, { 0.7, 0.9 }, { 0.8, 0.95 } };
    static const char  *missed[] = { NULL, "schedule.base_momentum", "schedule.max_momentum" };
    gr_model           *m = small(1);
    for (int i = 0; i < 3; i++) {
        gr_optim    *o = gr_sgd(m, .lr = 0.1, .momentum = 0.9);
        gr_schedule *s = gr_one_cycle_lr(
            o, 0.1, 10, .base_momentum = momenta[i][0], .max_momentum = momenta[i][1]);
        if (i == 0) ck_assert(gr_checkpoint_save("a", m, .optim = o, .schedule = s));
        ck_assert_int_eq(gr_checkpoint_load("a", m, .optim = o, .schedule = s), i == 0);
        ck_assert_msg(i == 0 || strstr(gr_error(), missed[i]), "%s", gr_error());
        gr_clear_error();
        gr_schedule_free(s);
        gr_optim_free(o);
    }
    gr_model_free(m);
}
END_TEST

static atomic_int inside, most_inside, called;

static bool slow_change(unsigned char *image, gr_shape shape, gr_rng *rng, void *arg)
{
    int now = atomic_fetch_add(&inside, 1) + 1;
    (void)image, (void)shape, (void)rng, (void)arg;
    if (now > atomic_load(&most_inside)) atomic_store(&most_inside, now);
    usleep(300);
    atomic_fetch_sub(&inside, 1);
    atomic_fetch_add(&called, 1);
    return true;
}

/* One image after another, however large the batch is and however many threads there are. */
START_TEST(a_change_is_called_by_one_thread_at_a_time)
{
    enum { N = 32, SIDE = 128 };
    unsigned char *images = calloc(N, SIDE * SIDE), labels[N] = { 0 };
    gr_dataset    *d = gr_dataset_from(gr_shape(1, SIDE, SIDE), N, images, labels, 1);
    gr_batch       b;
    ck_assert(gr_set_threads(4));
    for (int ahead = 0; ahead < 2; ahead++) {
        gr_loader *l = gr_loader_open(
            d, N, .augment = { .change = slow_change, .flip = true }, .prefetch = ahead);
        ck_assert(gr_next_batch(l, &b));
        gr_loader_close(l);
    }
    ck_assert_int_ge(atomic_load(&called), 2 * N);
    ck_assert_int_eq(atomic_load(&most_inside), 1);
    gr_set_threads(0);
    gr_dataset_free(d);
    free(images);
}
END_TEST

/* ---- files ---- */

static int next_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

/* A file is closed again, whether it was good or not. */
START_TEST(no_file_stays_open)
{
    GR_STEP;
    gr_model *m = small(1);
    gr_real   x = 1;
    ck_assert(gr_save(m, "w.safetensors") && gr_checkpoint_save("c", m) &&
              gr_npy_save("x.npy", T(gr_shape(1), x)));
    FILE *f = fopen("bad", "w");
    ck_assert_ptr_nonnull(f);
    fputs("no file of any kind that is read here", f);
    fclose(f);
    int before = next_descriptor();
    ck_assert(gr_load(m, "w.safetensors") && gr_checkpoint_load("c", m) && gr_npy_load("x.npy"));
    ck_assert(gr_save(m, "w.safetensors") && gr_checkpoint_save("c", m) &&
              gr_npy_save("x.npy", T(gr_shape(1), x)));
    ck_assert_int_eq(next_descriptor(), before);
    ck_assert(!gr_load(m, "bad"));
    gr_clear_error();
    ck_assert(!gr_checkpoint_load("bad", m));
    gr_clear_error();
    ck_assert_ptr_null(gr_npy_load("bad"));
    gr_clear_error();
    ck_assert_ptr_null(gr_picture_load("bad"));
    gr_clear_error();
    ck_assert_int_eq(next_descriptor(), before);
    gr_model_free(m);
}
END_TEST

/* Memory that earlier calls have left on the stack, which something that was never set would be
   read from. */
static __attribute__((noinline)) void leave_rubbish(void)
{
    volatile unsigned char rubbish[16384];
    for (size_t i = 0; i < sizeof rubbish; i++) rubbish[i] = 0x55;
}

START_TEST(a_file_that_is_not_there)
{
    leave_rubbish();
    FAILS(gr_idx_read("nowhere"), GR_ERR_FILE, "cannot open 'nowhere': No such file or directory");
    leave_rubbish();
    FAILS(gr_npy_load("nowhere"), GR_ERR_FILE, "cannot open 'nowhere': No such file or directory");
    leave_rubbish();
    FAILS(gr_picture_load("nowhere"), GR_ERR_FILE,
        "cannot open 'nowhere': No such file or directory");
}
END_TEST

/* A new file has the rights of any new file: 0666 without what the process's mask takes away. */
START_TEST(the_rights_of_a_new_file)
{
    static const mode_t masks[] = { 022, 027, 077 };
    gr_model           *m = small(1);
    struct stat         s;
    for (int i = 0; i < 3; i++) {
        umask(masks[i]);
        ck_assert(gr_save(m, gr_name("%d.safetensors", i)));
        ck_assert_int_eq(stat(gr_name("%d.safetensors", i), &s), 0);
        ck_assert_int_eq(s.st_mode & 07777, 0666 & ~masks[i]);
    }
    gr_model_free(m);
}
END_TEST

/* NumPy takes any of | < > = as the order of bytes, and writes a bar for one-byte numbers; it takes
   no other sign. */
START_TEST(a_dtype_without_an_order)
{
    GR_STEP;
    static const char *const header[] = {
        "{'descr': '!f4', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '?i1', 'fortran_order': False, 'shape': (4,), }",
        "{'descr': '|i1', 'fortran_order': False, 'shape': (4,), }",
        "{'descr': '|i1', 'fortran_order': False, 'shape': (4, -1), }"
    };
    for (int i = 0; i < 4; i++) {
        char text[128];
        memset(text, ' ', sizeof text);
        memcpy(text, "\x93NUMPY\x01\x00\x76\x00", 10);
        memcpy(text + 10, header[i], strlen(header[i]));
        text[127] = '\n';
        FILE *f = fopen("x.npy", "w");
        ck_assert(f && fwrite(text, 1, 128, f) == 128 && fwrite("\x01\x02\x03\xff", 1, 4, f) == 4 &&
                  fclose(f) == 0);
        gr_tensor *t = gr_npy_load("x.npy");
        if (i == 2)
            HOLDS_INTS(t, gr_shape(4), 1, 2, 3, -1);
        else {
            ck_assert_ptr_null(t);
            ck_assert_int_eq(gr_error_code(), GR_ERR_FORMAT);
            if (i == 3) ck_assert_ptr_nonnull(strstr(gr_error(), "no list of sizes"));
            gr_clear_error();
        }
    }
}
END_TEST

/* Version 2 of the format has lengths of four bytes. */
START_TEST(a_header_of_64_kib)
{
    GR_STEP;
    enum { HEADER = 65536 };
    static char       text[HEADER];
    static const char words[] = "{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }";
    memset(text, ' ', HEADER);
    memcpy(text, words, strlen(words));
    text[HEADER - 1] = '\n';
    FILE *f = fopen("x.npy", "w");
    ck_assert(f && fwrite("\x93NUMPY\x02\x00\x00\x00\x01\x00", 1, 12, f) == 12 &&
              fwrite(text, 1, HEADER, f) == HEADER);
    ck_assert(fwrite("\x07\x00\x00\x00", 1, 4, f) == 4 && fclose(f) == 0);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(1), 7);
}
END_TEST

/* Two pictures of 2x2; the first label is none of a digit. */
START_TEST(labels_of_mnist)
{
    unsigned char images[16 + 8] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2 },
                              labels[8 + 2] = { 0, 0, 8, 1, 0, 0, 0, 2, 9, 9 };
    for (int wrong = -1; wrong < 2; wrong++) {
        labels[8] = wrong == 0 ? 10 : 9;
        labels[9] = wrong == 1 ? 10 : 9;
        FILE *f = fopen("train-images-idx3-ubyte", "w"), *g = fopen("train-labels-idx1-ubyte", "w");
        ck_assert(f && g && fwrite(images, 1, 24, f) == 24 && fwrite(labels, 1, 10, g) == 10 &&
                  fclose(f) == 0 && fclose(g) == 0);
        gr_dataset *d = gr_mnist(".", true);
        if (wrong < 0)
            ck_assert_ptr_nonnull(d);
        else {
            ck_assert_ptr_null(d);
            ck_assert_int_eq(gr_error_code(), GR_ERR_FORMAT);
            gr_clear_error();
        }
        gr_dataset_free(d);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("promises");
    TCase *t = cases(s, "operations");
    tcase_add_test(t, batch_norms_gradient_as_a_function);
    tcase_add_test(t, the_second_derivative_through_upsampling);
    tcase_add_test(t, what_is_refused);
    tcase_add_test(t, a_pad_may_take_all_away);
    tcase_add_test(t, a_weight_that_failed);
    tcase_add_test(t, a_long_name_is_cut_between_characters);
    tcase_add_test(t, the_order_of_numbers_does_not_change_their_style);
    tcase_add_test(t, the_largest_picture);
    tcase_add_test(t, idle_threads_sleep);
    t = cases(s, "models");
    tcase_add_test(t, a_uniform_parameter);
    tcase_add_test(t, a_normal_parameter);
    tcase_add_test(t, a_counter_that_is_full);
    tcase_add_test(t, the_work_of_a_linear_layer);
    tcase_add_test(t, milestones_that_fall_later);
    t = cases(s, "files");
    tcase_add_checked_fixture(t, enter, leave);
    tcase_add_test(t, a_checkpoint_knows_its_data);
    tcase_add_test(t, sets_and_changes_that_cannot_be);
    tcase_add_test(t, a_change_is_called_by_one_thread_at_a_time);
    tcase_add_test(t, no_file_stays_open);
    tcase_add_test(t, a_file_that_is_not_there);
    tcase_add_test(t, the_rights_of_a_new_file);
    tcase_add_test(t, a_dtype_without_an_order);
    tcase_add_test(t, a_checkpoint_knows_its_schedule);
    tcase_add_test(t, a_header_of_64_kib);
    tcase_add_test(t, labels_of_mnist);
    return run(s);
}
