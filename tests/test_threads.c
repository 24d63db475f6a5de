/* test_threads.c: two threads train two models, each as if alone; two threads share one model for
   inference; the number of threads inside an operation does not show in its result, nor does a
   loader's thread in its batches. With the thread sanitizer, it is the test of our own locking. */
#include <check.h>
#include <pthread.h>
#include <string.h>

#include "lenet.h"

/* The two networks that the tests run with. */
static gr_forward *const networks[] = { lenet, normed };

typedef struct job {
    uint64_t seed, result;
    int      network, failed;
} job;

static void *train(void *arg)
{
    job      *j = arg;
    gr_model *net = gr_model_build(networks[j->network], gr_shape(1, 1, 28, 28), .seed = j->seed);
    gr_optim *o =
        j->seed % 2 ? gr_sgd(net, .lr = 0.02, .momentum = 0.9) : gr_adam(net, .lr = 0.002);
    gr_tensor *images, *labels;
    noise_batch(j->seed, 16, &images, &labels);
    for (int step = 0; step < 12; step++)
        (j->network ? normed_step : lenet_step)(net, o, images, labels);
    j->result = fingerprint(net);
    j->failed = gr_error() != NULL;
    gr_free(images);
    gr_free(labels);
    gr_optim_free(o);
    gr_model_free(net);
    return NULL;
}

START_TEST(two_models_train_as_each_alone)
{
    job alone[2] = { { .seed = 1, .network = _i }, { .seed = 2, .network = _i } },
        together[2] = { alone[0], alone[1] };
    for (int i = 0; i < 2; i++) train(&alone[i]);
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, train, &together[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
        ck_assert_int_eq(alone[i].failed, 0);
        ck_assert_int_eq(together[i].failed, 0);
        ck_assert(alone[i].result == together[i].result);
    }
    ck_assert(alone[0].result != alone[1].result);
}
END_TEST

typedef struct reader {
    gr_model  *net;
    gr_tensor *images;
    gr_real    out[160];
    bool       record;
    int        network, failed;
} reader;

static void *infer(void *arg)
{
    reader *r = arg;
    for (int i = 0; i < 20; i++) {
        GR_STEP;
        bool       was = gr_set_recording(r->record);
        gr_tensor *y = networks[r->network](r->net, r->images);
        if (y) memcpy(r->out, gr_data(y), sizeof r->out);
        gr_set_recording(was);
    }
    r->failed = gr_error() != NULL;
    return NULL;
}

/* Also when one of the two forgets to say that nothing is to be recorded. */
START_TEST(two_threads_share_a_model_for_inference)
{
    gr_model  *net = gr_model_build(networks[_i], gr_shape(1, 1, 28, 28), .seed = 3);
    gr_tensor *images, *labels;
    noise_batch(3, 16, &images, &labels);
    gr_model_eval(net);
    reader one = { .net = net, .images = images, .network = _i }, r[3] = { one, one, one };
    r[1].record = true;
    infer(&r[2]);
    pthread_t t[2];
    for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, infer, &r[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
        ck_assert_int_eq(r[i].failed, 0);
        ck_assert_int_eq(memcmp(r[i].out, r[2].out, sizeof r[i].out), 0);
    }
    gr_free(images);
    gr_free(labels);
    gr_model_free(net);
}
END_TEST

START_TEST(threads_do_not_show_in_the_bits)
{
    uint64_t result[4];
    for (int threads = 1; threads <= 4; threads++) {
        ck_assert(gr_set_threads(threads));
        job j = { .seed = 5, .network = _i };
        train(&j);
        ck_assert_int_eq(j.failed, 0);
        result[threads - 1] = j.result;
        ck_assert(result[threads - 1] == result[0]);
    }
    gr_set_threads(0);
}
END_TEST

/* Trains on what a loader gives, with a thread that is one batch ahead or without, goes back once,
   and stops in the middle of an epoch. */
typedef struct course {
    const gr_dataset *digits;
    uint64_t          seed, result;
    bool              prefetch;
    int               failed;
} course;

static void *take_course(void *arg)
{
    course    *c = arg;
    gr_augment change = { .rotation = 10, .crop_padding = 2, .flip = true, .erase = 0.5 };
    gr_loader *l =
        gr_loader_open(c->digits, 16, .seed = c->seed, .augment = change, .prefetch = c->prefetch);
    gr_model *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = c->seed);
    gr_optim *o = gr_sgd(net, .lr = 0.02, .momentum = 0.9);
    gr_batch  b;
    for (int call = 0; call < 14; call++) {
        if (call == 8) gr_loader_seek(l, 0, 2);
        if (gr_next_batch(l, &b)) lenet_step(net, o, b.inputs, b.targets);
    }
    c->result = fingerprint(net);
    c->failed = gr_error() != NULL;
    gr_loader_close(l);
    gr_optim_free(o);
    gr_model_free(net);
    return NULL;
}

START_TEST(loaders_that_are_ahead_give_the_same)
{
    gr_dataset *digits = gr_digits(90, 1);
    course      plain[2] = { { .digits = digits, .seed = 1 }, { .digits = digits, .seed = 2 } },
           ahead[2];
    pthread_t t[2];
    for (int i = 0; i < 2; i++) {
        take_course(&plain[i]);
        ahead[i] = plain[i];
        ahead[i].prefetch = true;
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, take_course, &ahead[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
        ck_assert_int_eq(plain[i].failed, 0);
        ck_assert_int_eq(ahead[i].failed, 0);
        ck_assert(plain[i].result == ahead[i].result);
    }
    ck_assert(plain[0].result != plain[1].result);
    gr_dataset_free(digits);
}
END_TEST

static bool refuse_third(unsigned char *image, gr_shape shape, gr_rng *rng, void *arg)
{
    int *calls = arg;
    (void)image, (void)shape, (void)rng;
    return ++*calls % 3 != 0;
}

START_TEST(a_failure_ahead_is_the_callers)
{
    gr_dataset *digits = gr_digits(20, 1);
    int         calls = 0, failures = 0;
    gr_loader  *l = gr_loader_open(
         digits, 2, .augment = { .change = refuse_third, .arg = &calls }, .prefetch = true);
    gr_batch b;
    for (int call = 0; call < 30; call++) {
        gr_next_batch(l, &b);
        failures += gr_error() != NULL;
        gr_clear_error();
    }
    gr_loader_close(l);
    ck_assert_int_ge(failures, 10);
    ck_assert_int_ge(calls, 40);
    gr_dataset_free(digits);
}
END_TEST

typedef struct derivation {
    uint64_t seed;
    gr_real  gx[6 * 3 * 64 * 64], gw[50 * 64];
    int      failed;
} derivation;

static gr_tensor *half(gr_tensor *g, void *ctx)
{
    ((derivation *)ctx)->failed += g == NULL;
    return gr_scale(g, 0.5);
}

/* Large enough that each operation is cut into tasks; hooks on top. */
static void *derive(void *arg)
{
    GR_STEP;
    derivation *d = arg;
    gr_rng      rng = gr_rng_of(d->seed, "derive");
    gr_tensor  *x = gr_param(gr_normal(gr_shape(6, 3, 64, 64), &rng, 0, 1)),
              *w = gr_param(gr_normal(gr_shape(50, 64), &rng, 0, 1));
    int32_t at[3000];
    for (int i = 0; i < 3000; i++) at[i] = (int32_t)gr_rng_below(&rng, 50);
    gr_tensor *index = gr_from_ints(gr_shape(3000), at), *rows = gr_embedding(w, index);
    gr_tensor *y = gr_mul(
        gr_upsample(gr_avg_pool2d(x, 2), 2), gr_upsample(gr_adaptive_avg_pool2d(x, gr_hw(7, 5)), 0,
                                                 .size_hw = { 64, 64 }, .bilinear = true));
    gr_tensor *picked = gr_gather(rows, 0, gr_reshape(index, gr_shape(50, 60)));
    gr_on_grad(x, half, d);
    gr_on_grad(rows, half, d);
    bool good = gr_backward(gr_add(gr_sum(gr_tanh(y)), gr_sum(gr_mul(picked, picked))));
    if (good) memcpy(d->gx, gr_data(gr_grad_of(x)), sizeof d->gx);
    if (good) memcpy(d->gw, gr_data(gr_grad_of(w)), sizeof d->gw);
    d->failed += gr_error() != NULL;
    return NULL;
}

static void same_gradients(const derivation *a, const derivation *b)
{
    ck_assert_int_eq(a->failed + b->failed, 0);
    ck_assert_int_eq(memcmp(a->gx, b->gx, sizeof a->gx), 0);
    ck_assert_int_eq(memcmp(a->gw, b->gw, sizeof a->gw), 0);
}

START_TEST(gradients_are_the_same_in_any_company)
{
    static derivation alone[2], together[2];
    pthread_t         t[2];
    for (int i = 0; i < 2; i++) {
        alone[i].seed = together[i].seed = (uint64_t)i + 1;
        ck_assert(gr_set_threads(1));
        derive(&alone[i]);
    }
    ck_assert(gr_set_threads(3));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, derive, &together[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
        same_gradients(&alone[i], &together[i]);
    }
    ck_assert_int_ne(memcmp(alone[0].gx, alone[1].gx, sizeof alone[0].gx), 0);
    gr_set_threads(0);
}
END_TEST

static void *fail_here(void *arg)
{
    (void)arg;
    gr_add(NULL, NULL);
    return gr_error() ? arg : NULL;
}

START_TEST(errors_and_steps_belong_to_a_thread)
{
    pthread_t t;
    void     *failed = NULL;
    int       mark;
    ck_assert_int_eq(pthread_create(&t, NULL, fail_here, &mark), 0);
    pthread_join(t, &failed);
    ck_assert_ptr_eq(failed, &mark);
    ck_assert_ptr_null(gr_error());
}
END_TEST

static void *leave_things_open(void *arg)
{
    (void)arg;
    gr_step step = gr_step_begin();
    (void)step;
    gr_tensor *x = gr_param(gr_ones(gr_shape(100)));
    return gr_exp(x) ? arg : NULL;
}

START_TEST(a_thread_that_ends_leaves_nothing_live)
{
    pthread_t t;
    void     *fine = NULL;
    size_t    before = gr_memory().live;
    ck_assert_int_eq(pthread_create(&t, NULL, leave_things_open, &before), 0);
    pthread_join(t, &fine);
    ck_assert_ptr_nonnull(fine);
    ck_assert_uint_eq(gr_memory().live, before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("threads");
    TCase *c = tcase_create("threads");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, two_models_train_as_each_alone, 0, 2);
    tcase_add_loop_test(c, two_threads_share_a_model_for_inference, 0, 2);
    tcase_add_loop_test(c, threads_do_not_show_in_the_bits, 0, 2);
    tcase_add_test(c, loaders_that_are_ahead_give_the_same);
    tcase_add_test(c, a_failure_ahead_is_the_callers);
    tcase_add_test(c, gradients_are_the_same_in_any_company);
    tcase_add_test(c, errors_and_steps_belong_to_a_thread);
    tcase_add_test(c, a_thread_that_ends_leaves_nothing_live);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK); /* threads and a sanitizer in one process */
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
