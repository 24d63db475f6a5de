/* test_leaks.c: what is opened, built or read and then released leaves nothing behind in the
   system's memory, and what is refused neither; nothing is written past the end of a tensor.

   malloc and its like are interposed and count the blocks that live. Each scene is played three
   times: the third may leave no more than the second did (the first fills what a process keeps).
   GRADUS_MEMORY=system, so that the library's own blocks count. These are aligned; behind each
   stands a line of guards, which must be there when it is released. */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

#include "support.h"

/* ---- the interposed allocator ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void  __libc_free(void *p);

static atomic_long live;

static void *counted(void *p)
{
    if (p) atomic_fetch_add(&live, 1);
    return p;
}

void *malloc(size_t size) { return counted(__libc_malloc(size)); }
void *calloc(size_t n, size_t size) { return counted(__libc_calloc(n, size)); }

enum { GUARDED = 20000, GUARDS = 64, GUARD = 0xa5 };
static struct {
    unsigned char *p;
    size_t         size;
} guarded[GUARDED];
static atomic_flag changing = ATOMIC_FLAG_INIT;
static atomic_int  written_past;

static void guard(unsigned char *p, size_t size)
{
    while (atomic_flag_test_and_set(&changing))
        ;
    for (int i = 0; p && i < GUARDED; i++)
        if (!guarded[i].p) {
            guarded[i].p = p;
            guarded[i].size = size;
            memset(p + size, GUARD, GUARDS);
            break;
        }
    atomic_flag_clear(&changing);
}

static void check_guard(unsigned char *p)
{
    while (atomic_flag_test_and_set(&changing))
        ;
    for (int i = 0; p && i < GUARDED; i++)
        if (guarded[i].p == p) {
            for (int k = 0; k < GUARDS; k++)
                if (p[guarded[i].size + (size_t)k] != GUARD) atomic_store(&written_past, 1);
            guarded[i].p = NULL;
            break;
        }
    atomic_flag_clear(&changing);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    void *p = __libc_memalign(alignment, size + GUARDS);
    guard(p, size);
    return counted(p);
}

void *realloc(void *p, size_t size)
{
    void *q = __libc_realloc(p, size);
    if (!p && q) atomic_fetch_add(&live, 1);
    return q;
}

void free(void *p)
{
    if (p) atomic_fetch_sub(&live, 1);
    if (((uintptr_t)p & 63) == 0) check_guard(p);
    __libc_free(p);
}

/* ---- scenes: each leaves what it found ---- */

static char folder[] = "/tmp/gradus-leaks-XXXXXX";

static void refused(bool failed)
{
    ck_assert(failed && gr_error());
    gr_clear_error();
}

static void put(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "w");
    ck_assert(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

static void a_run(void)
{
    gr_model    *net = gr_model_build(normed, gr_shape(1, 1, 28, 28), .seed = 7);
    gr_optim    *adam = gr_adam(net);
    gr_schedule *s = gr_step_lr(adam, 2);
    gr_dataset  *d = gr_digits(8, 1);
    for (int ahead = 0; ahead < 2; ahead++) {
        gr_loader *l =
            gr_loader_open(d, 3, .augment = { .flip = true, .rotation = 5 }, .prefetch = ahead);
        gr_batch b;
        while (gr_next_batch(l, &b)) {
            GR_STEP;
            gr_minimize(adam, gr_cross_entropy(normed(net, b.inputs), b.targets));
            gr_schedule_next(s);
        }
        ck_assert(gr_checkpoint_save("c", net, .optim = adam, .schedule = s, .loader = l));
        ck_assert(gr_checkpoint_load("c", net, .optim = adam, .schedule = s, .loader = l));
        double   number = 1;
        gr_value twice[] = { { "x", .real = &number }, { "x", .real = &number }, { 0 } };
        refused(!gr_checkpoint_save("c", net, .values = twice));
        refused(!gr_checkpoint_load("c", net));
        gr_loader_close(l);
    }
    ck_assert(gr_save(net, "w") && gr_load(net, "w"));
    put("bad", "not a file of weights", 21);
    refused(!gr_load(net, "bad"));
    refused(!gr_checkpoint_load("bad", net));
    gr_dataset_free(d);
    gr_schedule_free(s);
    gr_optim_free(adam);
    gr_model_free(net);
    nothing_failed();
}

static void sets_of_pictures(void)
{
    gr_tensor *t = gr_full(gr_shape(1, 5, 5), 0.5);
    mkdir("p", 0700), mkdir("p/one", 0700), mkdir("p/two", 0700);
    ck_assert(gr_picture_save("p/one/a.png", t) && gr_picture_save("p/two/b.png", t));
    put("p/one/c.png", "none", 4);
    put("p/two/d.jpg", "none", 4);
    gr_dataset *d = gr_pictures("p", .height = 4, .skip_broken = true), *train = NULL, *rest = NULL;
    ck_assert(d && gr_dataset_skipped(d) == 2);
    ck_assert(gr_dataset_split(d, 0.5, 1, &train, &rest));
    gr_dataset *sub = gr_dataset_subset(d, (const int64_t[]){ 1, 1 }, 2);
    ck_assert(sub != NULL);
    gr_dataset_free(sub), gr_dataset_free(train), gr_dataset_free(rest), gr_dataset_free(d);
    refused(!gr_pictures("p", .height = 4));
    refused(!gr_pictures("nowhere"));
    gr_free(gr_picture_load("p/one/a.png"));
    refused(!gr_picture_load("p/one/c.png"));
    gr_reset();
    gr_free(t);
    nothing_failed();
}

static void cifar(void)
{
    static unsigned char record[3073];
    mkdir("cifar", 0700);
    put("cifar/test_batch.bin", record, sizeof record);
    gr_dataset *d = gr_cifar10("cifar", false);
    ck_assert(d != NULL);
    gr_dataset_free(d);
    refused(!gr_cifar10("cifar", true));
    put("cifar/batches.meta.txt", "few\nnames\n", 10);
    refused(!gr_cifar10("cifar", false));
    ck_assert_int_eq(remove("cifar/batches.meta.txt"), 0);
    record[0] = 77;
    put("cifar/test_batch.bin", record, sizeof record);
    refused(!gr_cifar10("cifar", false));
    record[0] = 0;
    nothing_failed();
}

static void arrays(void)
{
    gr_tensor *t = gr_zeros(gr_shape(2, 3));
    ck_assert(gr_npy_save("x.npy", t));
    gr_free(gr_npy_load("x.npy"));
    put("bad.npy", "\x93NUMPY\x01\x00\x04\x00none", 14);
    refused(!gr_npy_load("bad.npy"));
    gr_free(t);
    gr_reset();
    nothing_failed();
}

static void text(void)
{
    gr_model *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28));
    ck_assert_ptr_nonnull(gr_model_format(net));
    gr_confusion *c = gr_confusion_new(3);
    ck_assert_ptr_nonnull(c);
    ck_assert_ptr_nonnull(gr_confusion_format(c, NULL));
    gr_confusion_free(c);
    gr_model_free(net);
    nothing_failed();
}

static void graphs(void)
{
    gr_tensor *x = gr_param(gr_full(gr_shape(3), 2)), *v = gr_ones(gr_shape(3)),
              *w = gr_ones(gr_shape(2)), *hv;
    gr_tensor *y = gr_sum(gr_mul(x, gr_mul(x, x)));
    ck_assert(gr_hvp(y, &x, 1, &v, &hv) && gr_backward(y));
    refused(!gr_add(x, w));
    gr_reset();
    gr_free(x), gr_free(v), gr_free(w);
    nothing_failed();
}

/* Tensors that fill whole lines of 64 bytes, so that nothing lies between their last element and
   the guards. */
static gr_tensor *of_sixteen(gr_model *m, gr_tensor *x)
{
    gr_tensor *a = gr_nn_buffer(m, "buffer", gr_shape(16), .value = 3);
    gr_tensor *b = gr_nn_param(m, "param", gr_shape(16), .value = 1, .uniform = 1);
    x = gr_add(gr_mul(x, a), b);
    x = gr_nn_batch_norm2d(m, "norm", gr_reshape(x, gr_shape(1, 16, 4, 4)), .act = GR_RELU);
    return gr_nn_linear(m, "fc", gr_reshape(x, gr_shape(16, 16)), 16, .act = GR_TANH);
}

static void whole_lines(void)
{
    gr_shape   s = gr_shape(16, 16);
    gr_model  *m = gr_model_build(of_sixteen, s);
    gr_optim  *o = gr_adamw(m);
    gr_rng     rng = gr_rng_of(1, "lines");
    gr_tensor *x = gr_uniform(s, &rng, -1, 1), *k = gr_uniform(gr_shape(1, 1, 3, 3), &rng, -1, 1);
    for (int i = 0; i < 2; i++) {
        GR_STEP;
        gr_minimize(o, gr_sum(gr_softmax(of_sixteen(m, x), -1)));
        gr_tensor *p = gr_reshape(x, gr_shape(1, 1, 16, 16));
        gr_conv2d(p, k, .padding = 1), gr_max_pool2d(p, 2), gr_avg_pool2d(p, 2), gr_upsample(p, 2),
            gr_upsample(p, 2, .bilinear = true);
        gr_transpose(x, 0, 1), gr_matmul(x, x), gr_pad(x, gr_shape(8, 8)),
            gr_concat((gr_tensor *[]){ x, x }, 2, 1);
        gr_slice(x, 0, 4, 8), gr_sum(x, .axes = GR_DIMS(0)),
            gr_where(gr_gt(x, gr_scalar(0)), x, gr_exp(x));
    }
    gr_optim_free(o);
    gr_model_free(m);
    gr_free(x), gr_free(k);
    nothing_failed();
}

static void (*const scenes[])(
    void) = { whole_lines, a_run, sets_of_pictures, cifar, arrays, text, graphs };

START_TEST(nothing_is_left)
{
    long left[3];
    for (int i = 0; i < 3; i++) {
        scenes[_i]();
        gr_reset();
        left[i] = atomic_load(&live);
    }
    ck_assert_int_eq(left[2], left[1]);
    ck_assert_int_eq(atomic_load(&written_past), 0);
}
END_TEST

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert(gr_set_threads(1)); /* what a worker allocates at its first job would count, too */
}

static void leave(void)
{
    char command[64];
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

int main(void)
{
    setenv("GRADUS_MEMORY", "system", 1);
    Suite *s = suite_create("leaks");
    TCase *t = cases(s, "leaks");
    tcase_add_checked_fixture(t, enter, leave);
    tcase_add_loop_test(t, nothing_is_left, 0, (int)(sizeof scenes / sizeof *scenes));
    return run(s);
}

#endif
