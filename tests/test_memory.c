/* test_memory.c: blocks that wait for use: they are had again in other sizes when the system
   refuses, they are bounded by recent need, they are given back when that is asked for, and a loop
   that does the same again asks the system for nothing. Each test is a process of its own. */
#include "support.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/core.h"
#include "lenet.h"

#if defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const size_t MB = 1 << 20;

static gr_shape megabytes(int64_t n) { return gr_shape(n << 20 >> (sizeof(gr_real) == 4 ? 2 : 3)); }

/* So much address space more than is in use now. */
static void limit(size_t more)
{
    if (SANITIZED) _exit(0); /* its shadow needs more than can be limited */
    FILE  *f = fopen("/proc/self/statm", "r");
    size_t pages = 0;
    if (!f || fscanf(f, "%zu", &pages) != 1) _exit(0); /* not Linux */
    fclose(f);
    rlim_t        most = (rlim_t)(pages * (size_t)sysconf(_SC_PAGESIZE) + more);
    struct rlimit r = { most, most };
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &r), 0);
}

static void begin(void)
{
    gr_set_threads(1);
    gr_free(gr_zeros(gr_shape(1)));
}

/* ---- when the system refuses ----------------------------------------------------------------- */

START_TEST(what_waits_in_one_size_is_had_in_another)
{
    begin();
    limit(800 * MB);
    gr_free(gr_zeros(megabytes(500)));
    ck_assert_uint_ge(gr_memory().system, 500 * MB); /* it waits */
    gr_tensor *b = gr_zeros(megabytes(600));
    ck_assert_ptr_nonnull(b);
    ck_assert_uint_lt(gr_memory().system, 700 * MB);
    gr_free(b);
    for (int i = 0; i < 6; i++) { /* sizes between 128 KiB and 2 MiB, too */
        gr_tensor *t[200];
        for (int k = 0; k < 200; k++) t[k] = gr_zeros(gr_shape((int64_t)MB / 8 + 49152 * i));
        for (int k = 0; k < 200; k++) gr_free(t[k]);
    }
    b = gr_zeros(megabytes(600));
    ck_assert_ptr_nonnull(b);
    gr_free(b);
    FAILS(gr_zeros(megabytes(900)), GR_ERR_MEMORY,
        "full: out of memory: 943718400 bytes could not be allocated");
    b = gr_zeros(megabytes(600)); /* and the failure has left it so */
    ck_assert_ptr_nonnull(b);
    gr_free(b);
    nothing_failed();
}
END_TEST

/* A graph of many small tensors, and its tape. */
static void long_graph(int n)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_zeros(gr_shape(16))), *y = x;
    for (int i = 0; i < n; i++) y = gr_add(y, x);
    ck_assert(gr_backward(gr_sum(y)));
    ck_assert_double_eq(gr_data(gr_grad_of(x))[0], n + 1);
}

START_TEST(what_waits_in_small_blocks_is_had_in_large)
{
    begin();
    limit(800 * MB);
    long_graph(300000);
    size_t held = gr_memory().system;
    ck_assert_uint_gt(held, 120 * MB);
    gr_tensor *b = gr_zeros(megabytes(700));
    ck_assert_ptr_nonnull(b);
    ck_assert_uint_lt(gr_memory().system, 780 * MB);
    gr_free(b);
    long_graph(300000); /* and the other way round */
    nothing_failed();
}
END_TEST

static void *fill_and_empty(void *arg)
{
    gr_free(gr_zeros(megabytes(500)));
    long_graph(100000);
    return arg;
}

START_TEST(what_waits_of_a_thread_that_has_ended)
{
    begin();
    limit(900 * MB);
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, fill_and_empty, NULL), 0);
    pthread_join(t, NULL);
    gr_tensor *b = gr_zeros(megabytes(700));
    ck_assert_ptr_nonnull(b);
    gr_free(b);
    nothing_failed();
}
END_TEST

START_TEST(the_rest_of_the_library_gets_it_too)
{
    begin();
    limit(700 * MB);
    gr_free(gr_zeros(megabytes(500)));
    void *p = gr__malloc(400 * MB);
    ck_assert_ptr_nonnull(p);
    p = gr__realloc(p, 450 * MB);
    ck_assert_ptr_nonnull(p);
    free(p);
    gr_free(gr_zeros(megabytes(500)));
    /* grows by doubling to 128 MiB, old and new beside each other */
    char **array = NULL, *item = NULL;
    for (size_t i = 0; i < 16 * MB; i++) ck_assert(gr__array_push(&array, &item, sizeof item));
    gr__array_free(&array);
    nothing_failed();
}
END_TEST

/* ---- what waits is bounded ------------------------------------------------------------------- */

static double varying_step(gr_tensor *k, int side)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(2, 16, side, side));
    for (int l = 0; l < 3; l++) x = gr_conv2d(x, k, .padding = 1, .act = GR_RELU);
    gr_backward(gr_sum(x));
    gr_clear_grad(k);
    return (double)gr_memory().peak;
}

START_TEST(sizes_that_vary_do_not_add_up)
{
    begin();
    gr_rng     rng = gr_rng_of(1, "sides");
    gr_tensor *k = gr_param(gr_normal(gr_shape(16, 16, 3, 3), &rng, 0, 0.1));
    for (int i = 0; i < 80; i++) {
        double peak = varying_step(k, 32 + (int)gr_rng_below(&rng, 96));
        ck_assert_double_le(
            (double)gr_memory().system, 2 * fmax(peak, 2 * (double)MB) + 4 * (double)MB);
    }
    ck_assert_uint_lt(gr_memory().live, MB);
    gr_free(k);
    nothing_failed();
}
END_TEST

/* A need of the past is forgotten by what has been taken since, not by time. */
START_TEST(one_large_need_is_forgotten)
{
    begin();
    const gr_shape ten = megabytes(10);
    gr_free(gr_zeros(megabytes(400)));
    for (int i = 0; i < 3; i++) gr_free(gr_zeros(megabytes(10)));
    ck_assert_uint_ge(gr_memory().system, 410 * MB);
    size_t calls = gr_memory().system_calls;
    gr_free(gr_zeros(megabytes(400)));
    ck_assert_uint_eq(gr_memory().system_calls, calls);
    for (size_t taken = 0; taken < 2 * 65 * 512; taken += 10)
        gr_free(gr__tensor(GR_REAL, &ten, "test"));
    ck_assert_uint_lt(gr_memory().system, 40 * MB);
    nothing_failed();
}
END_TEST

/* Small blocks: of one size, then of another, and so on. */
START_TEST(small_sizes_that_vary_do_not_add_up)
{
    begin();
    enum { N = 20000 };
    gr_tensor **t = calloc(N, sizeof(gr_tensor *));
    for (int turn = 0; turn < 40; turn++) {
        for (int i = 0; i < N; i++) t[i] = gr_zeros(gr_shape(16 * turn + 1));
        for (int i = 0; i < N; i++) gr_free(t[i]);
        gr_memory_info m = gr_memory();
        ck_assert_uint_lt(m.system, 3 * m.peak + 60 * MB);
    }
    free(t);
    nothing_failed();
}
END_TEST

/* ---- given back when asked for --------------------------------------------------------------- */

static pthread_barrier_t meet;

static void *hold_some(void *arg)
{
    for (int i = 0; i < 2; i++) long_graph(2000);
    pthread_barrier_wait(&meet); /* its blocks wait with it */
    pthread_barrier_wait(&meet); /* another has trimmed */
    long_graph(2000);
    gr_memory_trim();
    pthread_barrier_wait(&meet);
    pthread_barrier_wait(&meet);
    return arg;
}

START_TEST(trimmed)
{
    begin();
    gr_tensor *kept = gr_param(T(gr_shape(3), 1, 2, 3)), *large = gr_full(megabytes(3), 7);
    ck_assert(gr_backward(gr_sum(gr_mul(kept, kept))));
    ck_assert(gr_reset());
    for (int i = 0; i < 2; i++) long_graph(100000);
    gr_free(gr_zeros(megabytes(100)));
    ck_assert_uint_gt(gr_memory().system, 150 * MB);
    gr_memory_trim();
    ck_assert_uint_lt(gr_memory().system, 4 * MB); /* what is in use, and the slabs of that */
    HOLDS(kept, gr_shape(3), 1, 2, 3);
    HOLDS(gr_grad_of(kept), gr_shape(3), 2, 4, 6);
    ck_assert_double_eq(gr_data(large)[12345], 7);
    gr_memory_trim(); /* again, with nothing there */
    long_graph(1000);
    pthread_t other;
    ck_assert_int_eq(pthread_barrier_init(&meet, NULL, 2), 0);
    ck_assert_int_eq(pthread_create(&other, NULL, hold_some, NULL), 0);
    pthread_barrier_wait(&meet);
    gr_memory_trim();
    pthread_barrier_wait(&meet);
    pthread_barrier_wait(&meet);
    gr_memory_trim();
    ck_assert_uint_lt(gr_memory().system, 4 * MB);
    pthread_barrier_wait(&meet);
    pthread_join(other, NULL);
    gr_free(kept);
    gr_free(large);
    gr_memory_trim();
    ck_assert_uint_eq(gr_memory().live, 0);
    ck_assert_uint_eq(gr_memory().system, 0);
    nothing_failed();
}
END_TEST

/* In the middle of a step, between forward and backward. */
START_TEST(trimmed_in_a_step)
{
    begin();
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(2), 3, 4)), *y = gr_sum(gr_mul(x, gr_mul(x, x)));
    gr_free(gr_zeros(megabytes(10)));
    gr_memory_trim();
    ck_assert(gr_backward(y));
    HOLDS(gr_grad_of(x), gr_shape(2), 27, 48);
    nothing_failed();
}
END_TEST

/* ---- a loop that does the same --------------------------------------------------------------- */

START_TEST(a_steady_loop_asks_for_nothing)
{
    begin();
    gr_model  *net = gr_model_build(_i ? normed : lenet, gr_shape(1, 1, 28, 28), .seed = 7);
    gr_optim  *o = gr_sgd(net, .lr = 0.02, .momentum = 0.9);
    gr_tensor *images, *labels;
    noise_batch(7, 16, &images, &labels);
    size_t calls = 0;
    for (int step = 0; step < 150; step++) {
        if (step == 2) calls = gr_memory().system_calls;
        (_i ? normed_step : lenet_step)(net, o, images, labels);
    }
    ck_assert_uint_eq(gr_memory().system_calls, calls);
    gr_free(images);
    gr_free(labels);
    gr_optim_free(o);
    gr_model_free(net);
    nothing_failed();
}
END_TEST

START_TEST(a_steady_loop_of_large_tensors_asks_for_nothing)
{
    begin();
    gr_rng     rng = gr_rng_of(1, "kernel");
    gr_tensor *k = gr_param(gr_normal(gr_shape(16, 16, 3, 3), &rng, 0, 0.1));
    size_t     calls = 0;
    for (int i = 0; i < 100; i++) {
        if (i == 2) calls = gr_memory().system_calls;
        varying_step(k, 96);
    }
    ck_assert_uint_eq(gr_memory().system_calls, calls);
    gr_free(k);
    nothing_failed();
}
END_TEST

int main(void)
{
    setenv("GRADUS_MEMORY", "recycle", 1);
    Suite *s = suite_create("memory");
    TCase *t = cases(s, "refused by the system");
    tcase_add_test(t, what_waits_in_one_size_is_had_in_another);
    tcase_add_test(t, what_waits_in_small_blocks_is_had_in_large);
    tcase_add_test(t, what_waits_of_a_thread_that_has_ended);
    tcase_add_test(t, the_rest_of_the_library_gets_it_too);
    t = cases(s, "bounded");
    tcase_add_test(t, sizes_that_vary_do_not_add_up);
    tcase_add_test(t, one_large_need_is_forgotten);
    tcase_add_test(t, small_sizes_that_vary_do_not_add_up);
    t = cases(s, "given back");
    tcase_add_test(t, trimmed);
    tcase_add_test(t, trimmed_in_a_step);
    t = cases(s, "steady");
    tcase_add_loop_test(t, a_steady_loop_asks_for_nothing, 0, 2);
    tcase_add_test(t, a_steady_loop_of_large_tensors_asks_for_nothing);
    return run(s);
}
