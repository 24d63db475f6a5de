/* test_alloc.c: the system has no memory left, at the first, second, ... nth allocation of a
   training step, a save, a load, a checkpoint.

   malloc, calloc, realloc and aligned_alloc are interposed for the whole process, libraries
   included, so the one that fails may be ours, stb_ds's, jansson's or zlib's. Each n runs in a
   process of its own, with GRADUS_MEMORY=system so that no block is recycled. Every failure must be
   an error, must leave the parameters as they were, no gradient half applied and nothing leaked;
   and with memory back the next attempt must work. A run in which nothing failed ends the count.

   The same interposition counts the system's allocations in a training loop with recycling on: none
   from the third step. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "lenet.h"

#if defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if !defined __GLIBC__ || defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || \
    defined                                                       SANITIZED

int main(void)
{
    puts("skipped: allocation cannot be interposed here (sanitizer, or not glibc)");
    return 77;
}

#else

/* ---- the interposed allocator ---------------------------------------------------------------- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static long allocations, fail_at; /* fail_at: 0 never */

static int refused(void)
{
    if (++allocations != fail_at) return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return refused() ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return refused() ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { return refused() ? NULL : __libc_realloc(p, size); }
void *aligned_alloc(size_t alignment, size_t size)
{
    return refused() ? NULL : __libc_memalign(alignment, size);
}

/* ---- one attempt in a process of its own ----------------------------------------------------- */

enum { SURVIVED = 10, NOTHING_FAILED = 11 };

typedef struct scene {
    gr_model  *net;
    gr_optim  *o;
    gr_tensor *images, *labels;
    char       path[64];
} scene;

static void need(int good, const char *what)
{
    if (good) return;
    fprintf(stderr, "allocation %ld failed: %s (error: %s)\n", fail_at, what,
        gr_error() ? gr_error() : "none");
    _exit(1);
}

static bool with_norms; /* which network the scene is set with */

static double step_of(scene *s)
{
    return with_norms ? normed_step(s->net, s->o, s->images, s->labels)
                      : lenet_step(s->net, s->o, s->images, s->labels);
}

static scene set_up(void)
{
    scene s = { 0 };
    gr_set_threads(1); /* libgomp ends the process when a thread cannot be had */
    s.net = gr_model_build(with_norms ? normed : lenet, gr_shape(1, 1, 28, 28), .seed = 7);
    s.o = gr_sgd(s.net, .lr = 0.02, .momentum = 0.9);
    noise_batch(7, 4, &s.images, &s.labels);
    snprintf(s.path, sizeof s.path, "alloc-%ld.safetensors", (long)getpid());
    need(!gr_error(), "set-up");
    return s;
}

static void no_gradients(const scene *s)
{
    for (int i = 0; i < gr_model_count(s->net); i++)
        need(!gr_grad_of(gr_model_at(s->net, i)), "a gradient is left");
}

/* Each returns whether it worked. */
static bool do_step(scene *s) { return step_of(s) > 0; }
static bool do_save(scene *s) { return gr_save(s->net, s->path); }
static bool do_load(scene *s) { return gr_load(s->net, s->path); }

static bool checkpoint(scene *s, bool (*save_or_load)(const char *, gr_checkpoint_options))
{
    double   best = 1;
    gr_value values[] = { { "best", .real = &best },
        { "mode", .text = s->path, .size = sizeof s->path, .same = true }, { 0 } };
    return save_or_load(
        s->path, (gr_checkpoint_options){ s->net, .optim = s->o, .values = values });
}

static bool do_checkpoint_save(scene *s) { return checkpoint(s, gr_checkpoint_save_); }
static bool do_checkpoint_load(scene *s) { return checkpoint(s, gr_checkpoint_load_); }

static bool do_build(scene *s)
{
    gr_model *m = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 9);
    gr_optim *adam = m ? gr_adam(m, .lr = 0.1) : NULL,
             *rmsprop = adam ? gr_rmsprop(m, .momentum = 0.9, .centered = true) : NULL;
    gr_schedule *rate = rmsprop ? gr_one_cycle_lr(rmsprop, 1, 10) : NULL;
    (void)s;
    gr_schedule_free(rate);
    gr_optim_free(adam);
    gr_optim_free(rmsprop);
    gr_model_free(m);
    return rate != NULL;
}

static bool do_init(scene *s)
{
    gr_model *m = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 9);
    bool      good = m && gr_model_init(m, "conv*.weight", GR_ORTHOGONAL);
    (void)s;
    gr_model_free(m);
    return good;
}

static bool do_data(scene *s)
{
    gr_dataset *d = gr_digits(20, 1);
    gr_loader  *l =
        d ? gr_loader_open(d, 8, .seed = 1, .augment = { .crop_padding = 2, .rotation = 5 }) : NULL;
    gr_batch b = { 0 };
    bool     good = l && gr_next_batch(l, &b);
    (void)s;
    gr_loader_close(l);
    gr_dataset_free(d);
    return good;
}

static bool do_ahead(scene *s)
{
    gr_dataset *d = gr_digits(20, 1);
    /* the last batch has tensors of its own */
    gr_loader  *l = d ? gr_loader_open(d, 8, .seed = 1, .prefetch = true) : NULL;
    gr_batch    b = { 0 };
    bool        good = l && gr_next_batch(l, &b) && gr_next_batch(l, &b);
    (void)s;
    gr_loader_close(l);
    gr_dataset_free(d);
    return good;
}

static bool do_idx(scene *s)
{
    gr_idx *idx = gr_idx_read(s->path);
    gr_idx_free(idx);
    return idx != NULL;
}

static bool do_split(scene *s)
{
    gr_dataset *d = gr_shapes(20, 1), *a = NULL, *b = NULL;
    bool        good = d && gr_dataset_split(d, 0.3, 1, &a, &b);
    (void)s;
    gr_dataset_free(a);
    gr_dataset_free(b);
    gr_dataset_free(d);
    return good;
}

/* Two folders beside each other: pictures in sub-folders, one of them broken; a batch of
   CIFAR-10. */
static bool write_folders(scene *s)
{
    char path[128];
    bool good = mkdir(s->path, 0700) == 0;
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%d", s->path, i);
        good = good && mkdir(path, 0700) == 0;
        snprintf(path, sizeof path, "%s/%d/x.png", s->path, i);
        good = good && (i < 2 ? gr_picture_save(path, s->images, .low = -1, .high = 1)
                              : fclose(fopen(path, "w")) == 0);
    }
    snprintf(path, sizeof path, "%s/test_batch.bin", s->path);
    return good && fclose(fopen(path, "w")) == 0 && truncate(path, 3073) == 0;
}

static bool do_pictures(scene *s)
{
    gr_dataset *d = gr_pictures(s->path, .height = 9, .skip_broken = true);
    bool        good = d && gr_dataset_count(d) == 2 && gr_dataset_skipped(d) == 1;
    gr_dataset_free(d);
    return good;
}

static bool do_cifar(scene *s)
{
    gr_dataset *d = gr_cifar10(s->path, false);
    gr_dataset_free(d);
    return d != NULL;
}

static bool do_npy_save(scene *s) { return gr_npy_save(s->path, s->images); }

static bool do_npy_load(scene *s)
{
    gr_tensor *t = gr_npy_load(s->path);
    gr_free(t);
    return t != NULL;
}

/* A file that has to be converted. */
static bool write_npy_f8(scene *s)
{
    static const char header[] =
        "\x93NUMPY\1\0\x76\0{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3)}";
    char file[128 + 48] = "";
    memcpy(file, header, sizeof header - 1);
    memset(file + sizeof header - 1, ' ', 128 - sizeof header + 1);
    FILE *f = fopen(s->path, "wb");
    return f && fwrite(file, 1, sizeof file, f) == sizeof file && fclose(f) == 0;
}

static bool do_picture_save(scene *s)
{
    return gr_picture_save(s->path, s->images, .low = -1, .high = 1);
}

static bool do_picture_load(scene *s)
{
    gr_tensor *t = gr_picture_load(s->path, .height = 20, .width = 11);
    gr_free(t);
    return t != NULL;
}

/* Picked, averaged and made larger again, forward and back. */
static bool do_pick_and_pool(scene *s)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_copy(s->images)),
              *i = gr_from_ints(gr_shape(1, 1, 1, 2), (const int32_t[]){ 3, 3 });
    gr_tensor *y = gr_add(gr_upsample(gr_avg_pool2d(x, 2), 2),
        gr_upsample(gr_adaptive_avg_pool2d(x, gr_hw(7, 7)), 4, .bilinear = true));
    gr_tensor *rows = gr_embedding(
        gr_reshape(y, gr_shape(-1, 28)), gr_from_ints(gr_shape(3), (const int32_t[]){ 1, 0, 1 }));
    gr_tensor *loss =
        gr_add(gr_sum(gr_gather(y, 3, i)), gr_sum(gr_mul(rows, gr_sum(gr_one_hot(i, 28)))));
    return loss && gr_backward(loss);
}

static gr_tensor *twice(gr_tensor *g, void *ctx)
{
    (void)ctx;
    return gr_scale(g, 2);
}

/* A failure in a hook, or on the way to one, leaves no gradient. */
static bool do_hooks(scene *s)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_copy(s->images)), *z = gr_exp(x);
    bool       good = gr_on_grad(x, twice, NULL) && gr_on_grad(z, twice, NULL) &&
                gr_on_grad(z, twice, s) && gr_backward(gr_sum(z));
    need(good || !gr_grad_of(x), "a gradient is left");
    return good;
}

static gr_tensor *exp_rule(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    (void)i, (void)x, (void)ctx;
    return gr_mul(gr_mul(g, y), gr_scalar(2));
}

/* An operation of the user's own, once and twice. */
static bool do_custom(scene *s)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_copy(s->images)), *y = gr_exp(gr_detach(x));
    gr_tensor *z =
        y ? gr_custom("mine", exp_rule, y, GR_TENSORS(x), .equation = "y = 2 e^x; gx = g y") : NULL;
    gr_tensor *gx = z ? gr_grad(gr_sum(z), x, .create_graph = true) : NULL;
    bool       good = gx && gr_backward(gr_sum(gx));
    need(good || !gr_grad_of(x), "a gradient is left");
    return good;
}

static bool do_hvp(scene *s)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_copy(s->images)), *v = gr_copy(s->images), *hv = NULL,
              *loss = gr_sum(gr_tanh(x));
    bool good = loss && v && gr_hvp(loss, &x, 1, &v, &hv);
    need(good == (hv != NULL), "a product is left");
    return good;
}

static gr_tensor *cube(gr_tensor *const *x, void *ctx)
{
    (void)ctx;
    return gr_mul(x[0], gr_mul(x[0], x[0]));
}

static bool do_gradcheck(scene *s)
{
    GR_STEP;
    gr_tensor *x = gr_scalar(0.5);
    (void)s;
    bool good = gr_gradcheck(cube, &x, 1, .second_order = true);
    need(!x || (gr_data(x)[0] == (gr_real)0.5 && !gr_requires_grad(x)), "the input has changed");
    return good;
}

static bool do_print(scene *s)
{
    GR_STEP;
    gr_confusion *c = gr_confusion_new(3);
    bool          good =
        c && gr_confusion_format(c, NULL) && gr_format(s->images) && gr_model_format(s->net);
    gr_confusion_free(c);
    return good;
}

/* A graph in which values are used twice. */
static bool do_trace(scene *s)
{
    GR_STEP;
    gr_tensor *x = lenet(s->net, s->images), *again = x ? gr_add(gr_exp(x), gr_mul(x, x)) : NULL;
    gr_tensor *loss = gr_named(gr_cross_entropy(again, s->labels), "loss");
    bool       good =
        gr_explain_format(loss) && gr_trace_dot(loss, s->path) && gr_trace_html(loss, s->path);
    unlink(s->path);
    return good;
}

static bool do_report(scene *s)
{
    GR_STEP;
    gr_report *r = gr_report_open(s->path, s->net, .optim = s->o, .title = "report",
        .sample = gr_slice(s->images, 0, 0, 1), .sample_every = 1);
    bool       good = r && gr_report_value(r, "value", 1) &&
                gr_report_pictures(r, "pictures", s->images) &&
                gr_report_scores(r, s->images, lenet(s->net, s->images), s->labels) &&
                gr_report_step(r, 1) && gr_report_epoch(r);
    good = gr_report_close(r) && good;
    unlink(s->path);
    return good;
}

/* Backward to two leaves that get the same gradient, and to many results whose gradients are
   kept. */
static bool do_retain(scene *s)
{
    gr_tensor *a = gr_param(gr_zeros(gr_shape(3))), *b = a ? gr_param(gr_zeros(gr_shape(3))) : NULL;
    bool       good = false;
    (void)s;
    if (b) {
        GR_STEP;
        gr_tensor *first = gr_retain_grad(gr_add(a, b)), *y = first;
        for (int i = 0; i < 12; i++) y = gr_retain_grad(gr_neg(y));
        good = gr_backward(gr_sum(y));
        need(!good || (gr_grad_of(a) && gr_grad_of(b) && gr_grad_of(first)),
            "it worked, without a gradient");
        need(good || (!gr_grad_of(a) && !gr_grad_of(b)), "a gradient is left");
    }
    gr_free(a);
    gr_free(b);
    return good;
}

static void attempt(bool (*act)(scene *), scene *s, long n)
{
    uint64_t before = fingerprint(s->net);
    size_t   live = gr_memory().live;
    allocations = 0;
    fail_at = n;
    bool good = act(s);
    long seen = allocations;
    fail_at = 0;
    if (seen < n) _exit(good ? NOTHING_FAILED : 2);
    fail_at = n; /* for the messages */
    need(!good || !gr_error(), "it worked, with an error pending");
    if (!good) {
        need(gr_error() != NULL, "it failed without an error");
        need(gr_error_code() == GR_ERR_MEMORY || gr_error_code() == GR_ERR_FILE,
            "the error is of another kind");
        need(fingerprint(s->net) == before, "a parameter has changed");
        need(gr_memory().live == live, "memory has leaked");
        no_gradients(s);
    }
    gr_clear_error();
    allocations = fail_at = 0;
    need(act(s), "with memory back it still fails");
    _exit(SURVIVED);
}

static int in_a_process(bool (*prepare)(scene *), bool (*act)(scene *), long n)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        scene s = set_up();
        need(!prepare || prepare(&s), "preparation");
        attempt(act, &s, n);
    }
    int status = 0;
    waitpid(child, &status, 0);
    char path[64];
    snprintf(path, sizeof path, "rm -rf alloc-%ld.safetensors", (long)child);
    if (system(path)) return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void every_n(const char *what, bool (*prepare)(scene *), bool (*act)(scene *), long least)
{
    long n = 1;
    int  result;
    while ((result = in_a_process(prepare, act, n)) == SURVIVED) n++;
    ck_assert_msg(result == NOTHING_FAILED, "%s: allocation %ld: exit %d", what, n, result);
    ck_assert_msg(n > least, "%s: only %ld allocations were seen", what, n - 1);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static bool write_idx_gz(scene *s)
{
    unsigned char file[8 + 3000] = { 0, 0, 8, 1, 0, 0, 3000 >> 8, 3000 & 255 };
    gzFile        gz = gzopen(s->path, "wb");
    bool          good = gz && gzwrite(gz, file, sizeof file) == (int)sizeof file;
    return gz && gzclose(gz) == Z_OK && good;
}

START_TEST(every_allocation_of_a_step) { every_n("step", NULL, do_step, 50); }
END_TEST
START_TEST(every_allocation_with_norms)
{
    with_norms = true;
    every_n("step with norms", NULL, do_step, 80);
    every_n("save with buffers", NULL, do_save, 20);
    every_n("load with buffers", do_save, do_load, 20);
    with_norms = false;
}
END_TEST
START_TEST(every_allocation_of_a_later_step) { every_n("later step", do_step, do_step, 60); }
END_TEST
START_TEST(every_allocation_of_a_save) { every_n("save", NULL, do_save, 20); }
END_TEST
START_TEST(every_allocation_of_a_load) { every_n("load", do_save, do_load, 20); }
END_TEST
START_TEST(every_allocation_of_a_checkpoint_saved)
{
    every_n("checkpoint_save", NULL, do_checkpoint_save, 80);
}
END_TEST
START_TEST(every_allocation_of_a_checkpoint_loaded)
{
    every_n("checkpoint_load", do_checkpoint_save, do_checkpoint_load, 80);
}
END_TEST
START_TEST(every_allocation_of_a_build) { every_n("build", NULL, do_build, 80); }
END_TEST
START_TEST(every_allocation_of_an_initialiser) { every_n("init", NULL, do_init, 60); }
END_TEST
START_TEST(every_allocation_of_a_batch) { every_n("data", NULL, do_data, 5); }
END_TEST
START_TEST(every_allocation_of_a_batch_ahead) { every_n("ahead", NULL, do_ahead, 10); }
END_TEST
START_TEST(every_allocation_of_an_idx_file) { every_n("idx", write_idx_gz, do_idx, 3); }
END_TEST
START_TEST(every_allocation_of_a_split) { every_n("split", NULL, do_split, 10); }
END_TEST
START_TEST(every_allocation_of_a_folder_of_pictures)
{
    every_n("pictures", write_folders, do_pictures, 40);
}
END_TEST
START_TEST(every_allocation_of_cifar) { every_n("cifar10", write_folders, do_cifar, 5); }
END_TEST
START_TEST(every_allocation_of_an_npy_file_out) { every_n("npy_save", NULL, do_npy_save, 0); }
END_TEST
START_TEST(every_allocation_of_an_npy_file_in)
{
    every_n("npy_load", write_npy_f8, do_npy_load, 3);
}
END_TEST
START_TEST(every_allocation_of_a_picture_out) { every_n("picture_save", NULL, do_picture_save, 6); }
END_TEST
START_TEST(every_allocation_of_a_picture_in)
{
    every_n("picture_load", do_picture_save, do_picture_load, 7);
}
END_TEST
START_TEST(every_allocation_of_picks_and_pools)
{
    every_n("pick and pool", NULL, do_pick_and_pool, 50);
}
END_TEST
START_TEST(every_allocation_of_hooks) { every_n("hooks", NULL, do_hooks, 15); }
END_TEST
START_TEST(every_allocation_of_gradients_that_are_kept) { every_n("retain", NULL, do_retain, 5); }
END_TEST
START_TEST(every_allocation_of_a_custom_operation) { every_n("custom", NULL, do_custom, 15); }
END_TEST
START_TEST(every_allocation_of_a_hessian) { every_n("hvp", NULL, do_hvp, 20); }
END_TEST
START_TEST(every_allocation_of_a_gradcheck) { every_n("gradcheck", NULL, do_gradcheck, 100); }
END_TEST
START_TEST(every_allocation_of_a_print) { every_n("print", NULL, do_print, 20); }
END_TEST
START_TEST(every_allocation_of_a_trace) { every_n("trace", NULL, do_trace, 200); }
END_TEST
START_TEST(every_allocation_of_a_report) { every_n("report", NULL, do_report, 100); }
END_TEST

/* In a process of its own, where blocks are recycled. */
static int loop_allocations(void)
{
    setenv("GRADUS_MEMORY", "recycle", 1);
    double (*loop_step)(gr_model *, gr_optim *, gr_tensor *, gr_tensor *) =
        with_norms ? normed_step : lenet_step;
    scene      s = set_up();
    gr_optim  *adam = gr_adam(s.net);
    gr_loader *loader = gr_loader_open(
        gr_digits(20, 1), 4, .augment = { .crop_padding = 2, .rotation = 5 }, .prefetch = true);
    gr_batch b;
    for (int step = 0; step < 2; step++) {
        loop_step(s.net, step ? adam : s.o, s.images, s.labels);
        gr_next_batch(loader, &b);
    }
    loop_step(s.net, s.o, s.images, s.labels);
    allocations = 0;
    size_t live = gr_memory().live, calls = gr_memory().system_calls; /* calls: mappings, too */
    for (int step = 0; step < 200; step++)
        if (gr_next_batch(loader, &b)) loop_step(s.net, step % 2 ? adam : s.o, b.inputs, b.targets);
    return allocations == 0 && gr_memory().system_calls == calls && gr_memory().live == live &&
                   !gr_error()
               ? SURVIVED
               : 1;
}

START_TEST(a_loop_asks_for_nothing_from_its_third_step)
{
    with_norms = _i == 1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(loop_allocations());
    with_norms = false;
    int status = 0;
    waitpid(child, &status, 0);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), SURVIVED);
}
END_TEST

int main(void)
{
    setenv("GRADUS_MEMORY", "system", 1);
    Suite *s = suite_create("alloc");
    TCase *c = tcase_create("alloc");
    tcase_set_timeout(c, 300);
    tcase_add_test(c, every_allocation_of_a_step);
    tcase_add_test(c, every_allocation_with_norms);
    tcase_add_test(c, every_allocation_of_a_later_step);
    tcase_add_test(c, every_allocation_of_a_save);
    tcase_add_test(c, every_allocation_of_a_load);
    tcase_add_test(c, every_allocation_of_a_checkpoint_saved);
    tcase_add_test(c, every_allocation_of_a_checkpoint_loaded);
    tcase_add_test(c, every_allocation_of_a_build);
    tcase_add_test(c, every_allocation_of_an_initialiser);
    tcase_add_test(c, every_allocation_of_a_batch);
    tcase_add_test(c, every_allocation_of_a_batch_ahead);
    tcase_add_test(c, every_allocation_of_an_idx_file);
    tcase_add_test(c, every_allocation_of_a_split);
    tcase_add_test(c, every_allocation_of_a_folder_of_pictures);
    tcase_add_test(c, every_allocation_of_cifar);
    tcase_add_test(c, every_allocation_of_an_npy_file_out);
    tcase_add_test(c, every_allocation_of_an_npy_file_in);
    tcase_add_test(c, every_allocation_of_a_picture_out);
    tcase_add_test(c, every_allocation_of_a_picture_in);
    tcase_add_test(c, every_allocation_of_picks_and_pools);
    tcase_add_test(c, every_allocation_of_hooks);
    tcase_add_test(c, every_allocation_of_gradients_that_are_kept);
    tcase_add_test(c, every_allocation_of_a_custom_operation);
    tcase_add_test(c, every_allocation_of_a_hessian);
    tcase_add_test(c, every_allocation_of_a_gradcheck);
    tcase_add_test(c, every_allocation_of_a_print);
    tcase_add_test(c, every_allocation_of_a_trace);
    tcase_add_test(c, every_allocation_of_a_report);
    tcase_add_loop_test(c, a_loop_asks_for_nothing_from_its_third_step, 0, 2);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

#endif
