/* test_threads.c: two threads train two models, each as if alone; two threads share one model for inference; the number of threads inside
   an operation does not show in its result. With the thread sanitizer, it is the test of our own locking. */
#include <check.h>
#include <pthread.h>
#include <string.h>

#include "lenet.h"

typedef struct job {
    uint64_t seed, result;
    int      failed;
} job;

static void *train(void *arg)
{
    job       *j = arg;
    gr_model  *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = j->seed);
    gr_optim  *o = j->seed % 2 ? gr_sgd(net, .lr = 0.02, .momentum = 0.9) : gr_adam(net, .lr = 0.002);
    gr_tensor *images, *labels;
    noise_batch(j->seed, 16, &images, &labels);
    for (int step = 0; step < 12; step++) lenet_step(net, o, images, labels);
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
    job alone[2] = { { .seed = 1 }, { .seed = 2 } }, together[2] = { { .seed = 1 }, { .seed = 2 } };
    for (int i = 0; i < 2; i++) train(&alone[i]);
    pthread_t t[2];
    for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, train, &together[i]), 0);
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
    int        failed;
} reader;

static void *infer(void *arg)
{
    reader *r = arg;
    for (int i = 0; i < 20; i++) {
        GR_STEP;
        bool       was = gr_set_recording(r->record);
        gr_tensor *y = lenet(r->net, r->images);
        if (y) memcpy(r->out, gr_data(y), sizeof r->out);
        gr_set_recording(was);
    }
    r->failed = gr_error() != NULL;
    return NULL;
}

/* Also when one of the two forgets to say that nothing is to be recorded. */
START_TEST(two_threads_share_a_model_for_inference)
{
    gr_model  *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 3);
    gr_tensor *images, *labels;
    noise_batch(3, 16, &images, &labels);
    gr_model_eval(net);
    reader r[3] = { { .net = net, .images = images }, { .net = net, .images = images, .record = true }, { .net = net, .images = images } };
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
        job j = { .seed = 5 };
        train(&j);
        ck_assert_int_eq(j.failed, 0);
        result[threads - 1] = j.result;
        ck_assert(result[threads - 1] == result[0]);
    }
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
    tcase_add_test(c, two_models_train_as_each_alone);
    tcase_add_test(c, two_threads_share_a_model_for_inference);
    tcase_add_test(c, threads_do_not_show_in_the_bits);
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
