/* test_core.c: errors, steps and memory, tensors made and read, random numbers, containers,
   threads. Short, so that it also runs under valgrind. */
#include "support.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/core.h"

/* ---- errors ---------------------------------------------------------------------------------- */

static int  calls;
static char heard[200];

static void hear(const char *message)
{
    calls++;
    snprintf(heard, sizeof heard, "%s", message);
}

START_TEST(first_failure_stays)
{
    nothing_failed();
    ck_assert_int_eq(gr_error_code(), GR_OK);
    gr_clear_error();
    ck_assert_ptr_null(gr_full(gr_shape(-1), 0));
    ck_assert_ptr_null(gr_from(gr_shape(1), NULL));
    ck_assert(!gr__fail(GR_ERR_SYSTEM, "later"));
    ck_assert(gr__failed());
    failed_with(GR_ERR_ARGUMENT,
        "full: shape (-1): sizes must not be negative, nor their product too large");
    nothing_failed();
    ck_assert(!gr__fail(GR_ERR_FILE, "%s: %d", "a file", 3));
    failed_with(GR_ERR_FILE, "a file: 3");
    ck_assert(!gr__fail_memory("work", 12));
    failed_with(GR_ERR_MEMORY, "work: out of memory: 12 bytes could not be allocated");
}
END_TEST

START_TEST(handler_hears_once)
{
    gr_on_error(hear);
    ck_assert_ptr_null(gr_add(NULL, gr_from(gr_shape(1), NULL)));
    ck_assert_ptr_null(gr_exp(gr_mul(NULL, NULL)));
    ck_assert_int_eq(calls, 1);
    ck_assert_str_eq(heard, "from: values is NULL");
    gr_clear_error();
    ck_assert_ptr_null(gr_exp(NULL));
    ck_assert_int_eq(calls, 2);
    ck_assert_str_eq(heard, "exp: input 1 is NULL");
    gr_clear_error();
    gr_on_error(NULL);
    ck_assert_ptr_null(gr_exp(NULL));
    ck_assert_int_eq(calls, 2);
}
END_TEST

/* The record cuts a message, and never writes past its end. */
START_TEST(long_message)
{
    char *text = malloc(5001);
    memset(text, 'x', 5000);
    text[5000] = '\0';
    gr__fail(GR_ERR_FILE, "%s", text);
    ck_assert_uint_gt(strlen(gr_error()), 100);
    ck_assert_uint_lt(strlen(gr_error()), 5000);
    free(text);
}
END_TEST

static void *fail_here(void *arg)
{
    (void)arg;
    if (gr_error()) return NULL;
    gr_exp(NULL);
    return gr_error() ? &calls : NULL;
}

START_TEST(errors_belong_to_threads)
{
    pthread_t thread;
    void     *result;
    gr_log(NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_here, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_nonnull(result);
    failed_with(GR_ERR_ARGUMENT, "log: input 1 is NULL");
}
END_TEST

/* ---- steps ----------------------------------------------------------------------------------- */

static size_t live(void) { return gr_memory().live; }

static gr_tensor *leave(int how)
{
    for (int i = 0; i < 3; i++) {
        GR_STEP;
        gr_tensor *x = gr_ones(gr_shape(100)), *y = gr_add(x, x);
        gr_name("name %d", i);
        if (how == 0) continue;
        if (how == 1) break;
        return y;
    }
    return NULL;
}

START_TEST(ways_out_of_a_step)
{
    leave(0);
    size_t before = live();
    for (int how = 0; how < 3; how++) {
        leave(how);
        ck_assert_uint_eq(live(), before);
    }
}
END_TEST

START_TEST(steps_nest)
{
    gr_reset();
    size_t     before = live(), inside;
    gr_step    a = gr_step_begin();
    gr_tensor *x = gr_ones(gr_shape(10));
    inside = live();
    gr_step b = gr_step_begin();
    gr_ones(gr_shape(1000));
    gr_step c = gr_step_begin();
    gr_ones(gr_shape(1000));
    ck_assert_int_eq(a.depth, 1);
    ck_assert_int_eq(c.depth, 3);
    gr_step_end(&b); /* and c */
    ck_assert_uint_eq(live(), inside);
    gr_step_end(&c); /* ended already */
    ck_assert_uint_eq(live(), inside);
    ck_assert_double_eq(gr_item(gr_sum(x)), 10);
    gr_step_end(&a);
    ck_assert_uint_eq(live(), before);
    gr_step_end(NULL);
    gr_step_end(&(gr_step){ 0 });
    nothing_failed();
}
END_TEST

START_TEST(keep_through_levels)
{
    size_t     before = live();
    gr_tensor *kept, *param;
    {
        GR_STEP;
        {
            GR_STEP;
            {
                GR_STEP;
                gr_tensor *x = gr_param(gr_full(gr_shape(2), 3));
                kept = gr_mul(x, x);
                ck_assert(gr_requires_grad(kept));
                ck_assert_ptr_eq(gr_keep(kept), kept);
                ck_assert(!gr_requires_grad(kept));
                param = gr_keep(x);
                ck_assert(gr_requires_grad(param)); /* a parameter stays one */
            }
            HOLDS(kept, gr_shape(2), 9, 9);
            gr_keep(kept);
        }
        HOLDS(kept, gr_shape(2), 9, 9);
        /* from the outermost step to the caller, who has it for good */
        ck_assert_ptr_eq(gr_keep(gr_keep(kept)), kept);
    }
    HOLDS(kept, gr_shape(2), 9, 9);
    gr_free(kept);
    ck_assert_uint_eq(live(), before);
    FAILS(gr_keep(NULL), GR_ERR_ARGUMENT, "keep: the tensor is NULL");
}
END_TEST

START_TEST(outside_any_step)
{
    gr_reset();
    size_t     before = live();
    gr_tensor *x = gr_ones(gr_shape(100)), *kept;
    size_t     made = live();
    gr_add(x, x);
    kept = gr_keep(gr_add(x, x));
    ck_assert_uint_gt(live(), made);
    {
        GR_STEP;
        FAILS(gr_reset(), GR_ERR_ARGUMENT, "reset: a step is open, 1 deep");
    }
    ck_assert(gr_reset());
    HOLDS(gr_sum(x), SCALAR, 100);
    HOLDS(gr_sum(kept), SCALAR, 200);
    gr_reset();
    gr_free(kept);
    ck_assert_uint_eq(live(), made);
    gr_free(x);
    gr_free(NULL);
    ck_assert_uint_eq(live(), before);
}
END_TEST

/* A tensor that shares storage keeps it. */
START_TEST(shared_storage)
{
    size_t     before = live();
    gr_tensor *x = gr_full(gr_shape(2, 2), 3), *view = gr_keep(gr_reshape(x, gr_shape(4)));
    gr_free(x);
    HOLDS(view, gr_shape(4), 3, 3, 3, 3);
    gr_free(view);
    ck_assert_uint_eq(live(), before);
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------- */

static void small_step(gr_tensor *w)
{
    GR_STEP;
    gr_tensor *x = gr_ones(gr_shape(20, 30)), *y = gr_tanh(gr_matmul(x, w));
    ck_assert(gr_backward(gr_mean(gr_mul(y, y))));
    gr_clear_grad(w);
}

START_TEST(third_step_asks_for_nothing)
{
    setenv("GRADUS_MEMORY", "recycle", 1); /* also under a sanitizer */
    gr_tensor *w = gr_param(gr_full(gr_shape(30, 40), 0.01));
    small_step(w);
    small_step(w);
    gr_memory_info two = gr_memory();
    for (int i = 0; i < 20; i++) small_step(w);
    gr_memory_info many = gr_memory();
    ck_assert_uint_eq(many.system_calls, two.system_calls);
    ck_assert_uint_eq(many.system, two.system);
    ck_assert_uint_eq(many.live, two.live);
    ck_assert_uint_eq(many.peak, two.peak);
    ck_assert(many.peak >= many.live && many.system >= many.peak);
    gr_free(w);
}
END_TEST

static void *work(void *arg)
{
    (void)arg;
    /* the caller's, were it not for the step */
    for (int i = 0; i < 100; i++) gr_ones(gr_shape(10));
    {
        GR_STEP;
        gr_tensor *x = gr_param(gr_ones(gr_shape(100, 50)));
        gr_backward(gr_sum(gr_mul(x, x)));
    }
    /* the base step's, which ends with the thread */
    for (int i = 0; i < 50; i++) gr_scale(gr_scalar(1), 2);
    return NULL;
}

static void *work_in_steps(void *arg)
{
    GR_STEP;
    return work(arg);
}

START_TEST(recycled_across_threads)
{
    setenv("GRADUS_MEMORY", "recycle", 1); /* also under a sanitizer */
    pthread_t thread;
    size_t    before = live(), calls_before = 0;
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, work_in_steps, NULL), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_uint_eq(live(), before);
        if (i > 0) ck_assert_uint_eq(gr_memory().system_calls, calls_before);
        calls_before = gr_memory().system_calls;
    }
}
END_TEST

static void *release(void *arg)
{
    gr_free(arg);
    return NULL;
}

/* 16 KB: small enough to wait in the thread, large enough to come from the system each time if it
   is lost there. */
START_TEST(recycled_from_a_thread_that_only_releases)
{
    setenv("GRADUS_MEMORY", "recycle", 1); /* also under a sanitizer */
    pthread_t thread;
    size_t    calls_before = 0;
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, release, gr_ones(gr_shape(4000))), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        if (i > 0) ck_assert_uint_eq(gr_memory().system_calls, calls_before);
        calls_before = gr_memory().system_calls;
    }
}
END_TEST

static gr_tensor        *handed_on;
static pthread_barrier_t turn;

static void *make_and_wait(void *arg)
{
    handed_on = gr_zeros(gr_shape(10000));
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    return arg;
}

/* A thread that has not yet told what it took, while another has given it back: what is live is
   never less than nothing. */
START_TEST(live_over_threads)
{
    pthread_t thread;
    pthread_barrier_init(&turn, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, make_and_wait, NULL), 0);
    pthread_barrier_wait(&turn);
    gr_free(handed_on);
    ck_assert_uint_lt(gr_memory().live, 1 << 20);
    pthread_barrier_wait(&turn);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    pthread_barrier_destroy(&turn);
    ck_assert_uint_eq(gr_memory().live, 0);
}
END_TEST

static atomic_bool enough;

static void *allocate(void *arg)
{
    while (!atomic_load(&enough)) {
        gr_free(gr_zeros(gr_shape(10000)));
        /* a lock taken again at once starves the others where threads take turns, as under
           valgrind */
        sched_yield();
    }
    return arg;
}

/* A child that is forked while another thread asks for memory gets some, too. */
START_TEST(a_forked_child_is_not_locked_out)
{
    /* a sanitizer's own allocator does lock a child out, so it is not asked after this: */
    setenv("GRADUS_MEMORY", "recycle", 1);
    gr_tensor *one = gr_zeros(gr_shape(10000)), *other = gr_zeros(gr_shape(10000));
    pthread_t  t;
    gr_free(one), gr_free(other);
    ck_assert_int_eq(pthread_create(&t, NULL, allocate, NULL), 0);
    int locked_out = 0;
    for (int i = 0; i < 100 && !locked_out; i++) {
        int   status = 1;
        pid_t child = fork();
        if (child == 0) {
            signal(SIGALRM, SIG_DFL); /* not the handler that Check has put there */
            alarm(100);
            if (gr_zeros(gr_shape(10000)))
                /* not an exit, where valgrind would miss what the other thread held at the fork */
                raise(SIGKILL);
            _exit(1);
        }
        locked_out = waitpid(child, &status, 0) != child || !WIFSIGNALED(status) ||
                     WTERMSIG(status) != SIGKILL;
    }
    atomic_store(&enough, true);
    pthread_join(t, NULL);
    ck_assert_int_eq(locked_out, 0);
}
END_TEST

static void *leave_open(void *arg)
{
    gr_step_begin();
    gr_step_begin();
    gr_tensor *x = gr_param(gr_ones(gr_shape(9)));
    gr_mul(x, x);
    gr_format(x);
    return arg;
}

START_TEST(thread_ends_with_open_steps)
{
    pthread_t thread;
    size_t    before = live();
    ck_assert_int_eq(pthread_create(&thread, NULL, leave_open, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(live(), before);
}
END_TEST

/* Every size comes aligned, whole, and back. */
START_TEST(blocks)
{
    setenv("GRADUS_MEMORY", "recycle", 1); /* also under a sanitizer */
    size_t before = live();
    for (size_t size = 0; size < 5000000; size = size * 5 / 4 + 1) {
        unsigned char *p = gr__alloc(size), *q = gr__alloc(size);
        ck_assert(p && q && p != q && (uintptr_t)p % 64 == 0 && (uintptr_t)q % 64 == 0);
        memset(p, 1, size);
        memset(q, 2, size);
        ck_assert(size == 0 || (p[0] == 1 && p[size - 1] == 1 && q[0] == 2));
        gr__release(p, size);
        ck_assert_ptr_eq(gr__alloc(size), p);
        gr__release(p, size);
        gr__release(q, size);
        ck_assert_uint_eq(live(), before);
    }
    ck_assert_ptr_null(gr__alloc(SIZE_MAX));
    ck_assert_ptr_null(gr__alloc((size_t)1 << 47));
    gr__release(NULL, 10);
}
END_TEST

/* ---- tensors --------------------------------------------------------------------------------- */

START_TEST(made)
{
    GR_STEP;
    HOLDS(gr_scalar(2.5), SCALAR, 2.5);
    HOLDS(gr_full(gr_shape(2), -1), gr_shape(2), -1, -1);
    HOLDS(gr_zeros(gr_shape(1, 2)), gr_shape(1, 2), 0, 0);
    HOLDS(gr_ones(gr_shape(2, 1)), gr_shape(2, 1), 1, 1);
    HOLDS(gr_arange(3), gr_shape(3), 0, 1, 2);
    HOLDS(gr_arange(0), gr_shape(0), 0);
    HOLDS(T(gr_shape(2, 2), 1, 2, 3, 4), gr_shape(2, 2), 1, 2, 3, 4);
    HOLDS_INTS(gr_from_ints(gr_shape(2), (const int32_t[]){ INT32_MIN, INT32_MAX }), gr_shape(2),
        INT32_MIN, INT32_MAX);
    HOLDS_INTS(gr_copy(gr_from_ints(gr_shape(1), (const int32_t[]){ 7 })), gr_shape(1), 7);
    ck_assert_int_eq(gr_count(gr_zeros(gr_shape(3, 0, 2))), 0);
    ck_assert_int_eq(gr_count(gr_zeros(gr_shape(1, 2, 1, 2, 1, 2, 1, 2))), 16);
    ck_assert_uint_eq((uintptr_t)gr_data(gr_ones(gr_shape(3))) % 64, 0);
    gr_tensor *x = T(gr_shape(2), 1, 2), *copy = gr_copy(x);
    gr_data_mut(x)[0] = 9;
    HOLDS(copy, gr_shape(2), 1, 2);
    nothing_failed();
}
END_TEST

START_TEST(not_made)
{
    GR_STEP;
    const int64_t huge = INT64_C(1) << 40;
    const gr_real one = 1;
    FAILS(gr_full(gr_shape(2, -3), 0), GR_ERR_ARGUMENT,
        "full: shape (2,-3): sizes must not be negative, nor their product too large");
    FAILS(gr_zeros(gr_shape(huge, huge)), GR_ERR_ARGUMENT,
        "full: shape (1099511627776,1099511627776): sizes must not be negative, nor their product "
        "too large");
    FAILS(gr_ones(gr_shape(INT64_MAX)), GR_ERR_ARGUMENT,
        "full: shape (9223372036854775807): sizes must not be negative, nor their product too "
        "large");
    FAILS(gr_zeros((gr_shape){ .rank = 9 }), GR_ERR_ARGUMENT,
        "full: shape (0,0,0,0,0,0,0,0): sizes must not be negative, nor their product too large");
    FAILS(gr_zeros((gr_shape){ .rank = -1 }), GR_ERR_ARGUMENT,
        "full: shape (): sizes must not be negative, nor their product too large");
    ck_assert_ptr_null(gr_zeros(gr_shape(huge, 1024)));
    ck_assert_int_eq(gr_error_code(), GR_ERR_MEMORY);
    gr_clear_error();
    FAILS(gr_arange(-1), GR_ERR_ARGUMENT,
        "arange: shape (-1): sizes must not be negative, nor their product too large");
    FAILS(gr_from(gr_shape(2), NULL), GR_ERR_ARGUMENT, "from: values is NULL");
    FAILS(gr_from(gr_shape(-2), &one), GR_ERR_ARGUMENT,
        "from: shape (-2): sizes must not be negative, nor their product too large");
    FAILS(gr_from_ints(gr_shape(2), NULL), GR_ERR_ARGUMENT, "from_ints: values is NULL");
    FAILS(gr_copy(NULL), GR_ERR_ARGUMENT, "copy: the tensor is NULL");
    FAILS(gr_param(NULL), GR_ERR_ARGUMENT, "param: the tensor is NULL");
    gr_tensor *p = gr_param(gr_scalar(1));
    FAILS(gr_param(gr_reshape(p, gr_shape(1, 1))), GR_ERR_ARGUMENT,
        "param: (1,1) is the result of an operation, a leaf of reals wanted");
    FAILS(gr_param(gr_from_ints(gr_shape(1), (const int32_t[]){ 1 })), GR_ERR_ARGUMENT,
        "param: (1) is int32, a leaf of reals wanted");
    ck_assert_ptr_eq(gr_param(p), p);
}
END_TEST

START_TEST(reading)
{
    GR_STEP;
    gr_tensor *x = T(gr_shape(2, 3), 1, 2, 3, 4, 5, 6),
              *ints = gr_from_ints(gr_shape(1), (const int32_t[]){ -7 });
    ck_assert(
        gr_size(x, 0) == 2 && gr_size(x, 1) == 3 && gr_size(x, -1) == 3 && gr_size(x, -2) == 2);
    ck_assert(gr_dtype_of(x) == GR_REAL && gr_dtype_of(ints) == GR_INT32);
    ck_assert_double_eq(gr_item(ints), -7);
    ck_assert_double_eq(gr_item(T(gr_shape(1, 1), 4)), 4);
    FAILS(gr_size(x, 2) != -1, GR_ERR_ARGUMENT, "size: (2,3) has no dimension 2");
    FAILS(gr_size(x, -3) != -1, GR_ERR_ARGUMENT, "size: (2,3) has no dimension -3");
    FAILS(gr_size(NULL, 0) != -1, GR_ERR_ARGUMENT, "size: the tensor is NULL");
    FAILS(gr_shape_of(NULL).rank, GR_ERR_ARGUMENT, "shape_of: the tensor is NULL");
    FAILS(gr_count(NULL) != -1, GR_ERR_ARGUMENT, "count: the tensor is NULL");
    FAILS(gr_dtype_of(NULL), GR_ERR_ARGUMENT, "dtype_of: the tensor is NULL");
    FAILS(gr_requires_grad(NULL), GR_ERR_ARGUMENT, "requires_grad: the tensor is NULL");
    FAILS(gr_data(NULL), GR_ERR_ARGUMENT, "data: the tensor is NULL");
    FAILS(gr_data(ints), GR_ERR_ARGUMENT, "data: the tensor (1) holds int32, see gr_ints");
    FAILS(gr_data_mut(ints), GR_ERR_ARGUMENT, "data_mut: the tensor (1) holds int32, see gr_ints");
    FAILS(gr_ints(x), GR_ERR_ARGUMENT, "ints: the tensor (2,3) holds reals, see gr_data");
    FAILS(gr_ints_mut(x), GR_ERR_ARGUMENT, "ints_mut: the tensor (2,3) holds reals, see gr_data");
    FAILS(gr_ints_mut(NULL), GR_ERR_ARGUMENT, "ints_mut: the tensor is NULL");
    FAILS(!isnan(gr_item(x)), GR_ERR_ARGUMENT, "item: (2,3) has 6 elements, one wanted");
    FAILS(!isnan(gr_item(gr_zeros(gr_shape(0)))), GR_ERR_ARGUMENT,
        "item: (0) has 0 elements, one wanted");
    FAILS(!isnan(gr_item(NULL)), GR_ERR_ARGUMENT, "item: the tensor is NULL");
    ck_assert(!gr_requires_grad(x) && gr_requires_grad(gr_param(x)));
}
END_TEST

START_TEST(shapes)
{
    gr_shape y;
    ck_assert(gr__broadcast(&gr_shape(3, 1), &gr_shape(4), &y) && same_shape(y, gr_shape(3, 4)));
    ck_assert(gr__broadcast(&SCALAR, &gr_shape(0, 1), &y) && same_shape(y, gr_shape(0, 1)));
    ck_assert(gr__broadcast(&gr_shape(1), &gr_shape(0), &y) && same_shape(y, gr_shape(0)));
    ck_assert(!gr__broadcast(&gr_shape(2), &gr_shape(3), &y) &&
              !gr__broadcast(&gr_shape(2), &gr_shape(0), &y));
    /* too large, were it not empty: sizes of parts are computed */
    ck_assert_int_eq(gr__count(&gr_shape(0, INT64_MAX, INT64_MAX)), -1);
    ck_assert_int_eq(gr__count(&gr_shape(INT64_MAX / 32)), INT64_MAX / 32);
    ck_assert_int_eq(gr__count(&gr_shape(INT64_MAX / 32, 2)), -1);
    ck_assert_str_eq(gr__shape_text(&SCALAR).s, "()");
    const int64_t m = INT64_MIN;
    ck_assert_uint_eq(strlen(gr__shape_text(&gr_shape(m, m, m, m, m, m, m, m)).s), 8 * 20 + 7 + 2);
    int64_t stride[3];
    gr__strides(&gr_shape(2, 3, 4), stride);
    ck_assert(stride[0] == 12 && stride[1] == 4 && stride[2] == 1);
}
END_TEST

START_TEST(names)
{
    size_t before = live();
    {
        GR_STEP;
        const char *a = gr_name("layer%d.%s", 3, "conv1"), *b = gr_name("%s", "");
        ck_assert_str_eq(a, "layer3.conv1");
        ck_assert_str_eq(b, "");
        ck_assert_uint_eq(strlen(gr_name("%5000d", 1)), 5000);
    }
    ck_assert_uint_eq(live(), before);
}
END_TEST

/* ---- random numbers -------------------------------------------------------------------------- */

/* Philox4x32-10 again, from the paper, held to its published vectors; then the streams are held to
   it. */
static void philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    memcpy(out, counter, 4 * sizeof *out);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t even = (uint64_t)out[0] * 0xD2511F53u, odd = (uint64_t)out[2] * 0xCD9E8D57u;
        uint32_t next[4] = { (uint32_t)(odd >> 32) ^ out[1] ^ k0, (uint32_t)odd,
            (uint32_t)(even >> 32) ^ out[3] ^ k1, (uint32_t)even };
        memcpy(out, next, sizeof next);
    }
}

START_TEST(known_vectors)
{
    static const struct {
        uint32_t key[2], counter[4], out[4];
    } known[] = {
        { { 0, 0 }, { 0, 0, 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { ~0u, ~0u }, { ~0u, ~0u, ~0u, ~0u },
            { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0xa4093822, 0x299f31d0 }, { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
            { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    uint32_t out[4];
    for (int i = 0; i < 3; i++) {
        philox(known[i].key, known[i].counter, out);
        ck_assert_mem_eq(out, known[i].out, sizeof out);
    }
    gr_rng rng = { 0 };
    ck_assert_double_eq(gr_rng_uniform(&rng), (double)(0x6627e8d5e169c58d >> 11) * 0x1p-53);
    rng = (gr_rng){ .key = 0x299f31d0a4093822, .counter = 0x85a308d3243f6a88 };
    for (int i = 0; i < 100; i++) {
        uint64_t c = rng.counter;
        philox((uint32_t[]){ 0xa4093822, 0x299f31d0 },
            (uint32_t[]){ (uint32_t)c, (uint32_t)(c >> 32), 0, 0 }, out);
        ck_assert_double_eq(
            gr_rng_uniform(&rng), (double)(((uint64_t)out[0] << 32 | out[1]) >> 11) * 0x1p-53);
    }
}
END_TEST

START_TEST(streams)
{
    gr_rng a = gr_rng_of(1, "conv1.weight"), again = gr_rng_of(1, "conv1.weight"),
           b = gr_rng_of(1, "conv2.weight"), c = gr_rng_of(2, "conv1.weight");
    int    same_b = 0, same_c = 0;
    double together = 0;
    for (int i = 0; i < 10000; i++) {
        double u = gr_rng_uniform(&a), v = gr_rng_uniform(&b), w = gr_rng_uniform(&c);
        ck_assert_double_eq(gr_rng_uniform(&again), u);
        same_b += u == v;
        same_c += u == w;
        together += (u - 0.5) * (v - 0.5) + (u - 0.5) * (w - 0.5);
    }
    ck_assert_int_eq(same_b + same_c, 0);
    ck_assert_double_lt(fabs(together / 10000), 0.005); /* standard deviation 0.0012 */
    ck_assert_uint_eq(gr_rng_of(3, NULL).key, gr_rng_of(3, "").key);
    gr_rng branch = a; /* a plain value */
    ck_assert_double_eq(gr_rng_uniform(&branch), gr_rng_uniform(&a));
}
END_TEST

START_TEST(moments)
{
    enum { N = 40000 };
    gr_rng rng = gr_rng_of(5, "moments");
    double sum = 0, squares = 0, normal = 0, normal_squares = 0, fourth = 0;
    for (int i = 0; i < N; i++) {
        double u = gr_rng_uniform(&rng), z = gr_rng_normal(&rng);
        if (!(u >= 0 && u < 1 && isfinite(z))) ck_abort_msg("%g, %g", u, z);
        sum += u;
        squares += u * u;
        normal += z;
        normal_squares += z * z;
        fourth += z * z * z * z;
    }
    ck_assert_double_eq_tol(sum / N, 0.5, 0.006); /* four standard deviations each */
    ck_assert_double_eq_tol(squares / N, 1 / 3., 0.006);
    ck_assert_double_eq_tol(normal / N, 0, 0.02);
    ck_assert_double_eq_tol(normal_squares / N, 1, 0.03);
    ck_assert_double_eq_tol(fourth / N, 3, 0.2);
}
END_TEST

START_TEST(below)
{
    gr_rng rng = gr_rng_of(5, "below");
    int    count[7] = { 0 }, high = 0;
    for (int i = 0; i < 70000; i++) count[gr_rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++) ck_assert_int_lt(abs(count[i] - 10000), 400);
    /* Without rejection, the lower half of 3/4 of all numbers would come twice as often as the
       upper: 2/3 of them. */
    const int64_t n = INT64_C(3) << 61;
    for (int i = 0; i < 10000; i++) high += gr_rng_below(&rng, n) >= n / 2;
    ck_assert_int_lt(abs(high - 5000), 200);
    ck_assert(
        gr_rng_below(&rng, 1) == 0 && gr_rng_below(&rng, 0) == 0 && gr_rng_below(&rng, -5) == 0);
    for (int i = 0; i < 100; i++) {
        int64_t x = gr_rng_below(&rng, INT64_MAX);
        ck_assert(x >= 0 && x < INT64_MAX);
    }
}
END_TEST

START_TEST(random_tensors)
{
    GR_STEP;
    gr_rng     a = gr_rng_of(1, "a"), b = a;
    gr_tensor *u = gr_uniform(gr_shape(100, 100), &a, -2, 4),
              *z = gr_normal(gr_shape(100, 100), &a, 5, 0.5);
    ck_assert_double_eq_tol(gr_item(gr_mean(u)), 1, 0.08);
    ck_assert(gr_item(gr_max(u)) <= 4 && gr_item(gr_max(gr_neg(u))) <= 2);
    ck_assert_double_eq_tol(gr_item(gr_mean(z)), 5, 0.03);
    holds(gr_uniform(gr_shape(100, 100), &b, -2, 4), gr_shape(100, 100), gr_data(u));
    FAILS(gr_uniform(gr_shape(-1), &a, 0, 1), GR_ERR_ARGUMENT,
        "uniform: shape (-1): sizes must not be negative, nor their product too large");
    FAILS(gr_normal(gr_shape(-1), &a, 0, 1), GR_ERR_ARGUMENT,
        "normal: shape (-1): sizes must not be negative, nor their product too large");
    FAILS(gr_uniform(gr_shape(1), NULL, 0, 1), GR_ERR_ARGUMENT, "uniform: the stream is NULL");
    FAILS(gr_normal(gr_shape(1), NULL, 0, 1), GR_ERR_ARGUMENT, "normal: the stream is NULL");
}
END_TEST

/* [low, high) in the element's own precision, where rounding would reach high. */
START_TEST(uniform_stays_below)
{
    GR_STEP;
    gr_rng rng = gr_rng_of(1, "below one");
    for (int i = 0; i < 20; i++) {
        gr_tensor *u = gr_uniform(gr_shape(100000), &rng, 1,
            1 + 2 * (double)(sizeof(gr_real) == 4 ? FLT_EPSILON : DBL_EPSILON));
        ck_assert(gr_item(gr_max(u)) <
                  1 + 2 * (double)(sizeof(gr_real) == 4 ? FLT_EPSILON : DBL_EPSILON));
    }
}
END_TEST

/* ---- containers ------------------------------------------------------------------------------ */

START_TEST(arrays)
{
    int64_t *a = NULL;
    ck_assert_uint_eq(gr__array_length(a), 0);
    for (int64_t i = 0; i < 3000; i++) ck_assert(gr__array_push(&a, &i, sizeof i));
    ck_assert_uint_eq(gr__array_length(a), 3000);
    for (int64_t i = 0; i < 3000; i++)
        if (a[i] != i) ck_abort_msg("item %lld is %lld", (long long)i, (long long)a[i]);
    gr__array_truncate(a, 10);
    const int64_t *was = a, more = 77;
    ck_assert(gr__array_push(&a, &more, sizeof more));
    ck_assert_ptr_eq(a, was); /* room is kept */
    ck_assert(gr__array_length(a) == 11 && a[10] == 77 && a[9] == 9);
    gr__array_free(&a);
    ck_assert_ptr_null(a);
    gr__array_free(&a);
    gr__array_truncate(NULL, 0);
}
END_TEST

START_TEST(maps)
{
    gr__map   *m = gr__map_new();
    char       key[32];
    static int value[1000];
    ck_assert_ptr_null(gr__map_get(m, "absent"));
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "layer%d.weight", i);
        ck_assert(gr__map_put(m, key, &value[i]));
        /* puts again replace */
        ck_assert(gr__map_put(m, i % 2 ? "" : "empty's neighbour", &value[i]));
    }
    memset(key, 'x', sizeof key); /* keys are copied */
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "layer%d.weight", i);
        ck_assert_ptr_eq(gr__map_get(m, key), &value[i]);
    }
    ck_assert_ptr_eq(gr__map_get(m, ""), &value[999]);
    ck_assert_ptr_eq(gr__map_get(m, "empty's neighbour"), &value[998]);
    ck_assert_ptr_null(gr__map_get(m, "layer1000.weight"));
    ck_assert_ptr_null(gr__map_get(m, "layer"));
    gr__map_free(m);
    gr__map_free(NULL);
}
END_TEST

/* ---- threads --------------------------------------------------------------------------------- */

static void mark(const void *arg, int64_t begin, int64_t end)
{
    unsigned char *const *seen = arg;
    for (int64_t i = begin; i < end; i++) (*seen)[i]++;
}

START_TEST(thread_count)
{
    ck_assert_int_ge(gr_threads(), 1);
    ck_assert(gr_set_threads(3));
    int three = gr_threads();
    ck_assert(three == 3 || three == 1); /* built without threads it is always 1 */
    FAILS(gr_set_threads(-1), GR_ERR_ARGUMENT, "set_threads: -1 threads: 0 or more wanted");
    ck_assert_int_eq(gr_threads(), three);
    unsigned char seen[1000], *p = seen;
    for (int64_t grain = 0; grain < 1200; grain += 37) {
        memset(seen, 0, sizeof seen);
        gr__parallel(1000, grain, mark, &p);
        for (int i = 0; i < 1000; i++)
            if (seen[i] != 1)
                ck_abort_msg("grain %lld: index %d was met %d times", (long long)grain, i, seen[i]);
    }
    gr__parallel(0, 1, mark, &p);
    ck_assert(gr_set_threads(0));
    ck_assert_int_ge(gr_threads(), 1);
}
END_TEST

START_TEST(what_runs)
{
    const char *k = gr_kernels();
    ck_assert(k && (!strcmp(k, "reference") || !strcmp(k, "baseline") || !strcmp(k, "avx2") ||
                       !strcmp(k, "avx512")));
    ck_assert_str_eq(gr_version(), "0.1.0");
}
END_TEST

START_TEST(wrong_kernels)
{
    GR_STEP;
    setenv("GRADUS_KERNELS", "fastest", 1);
    FAILS(gr_kernels(), GR_ERR_SYSTEM,
        "kernels: GRADUS_KERNELS: the only kernels to ask for by name are reference");
    FAILS(gr_exp(gr_scalar(1)), GR_ERR_SYSTEM,
        "kernels: GRADUS_KERNELS: the only kernels to ask for by name are reference");
}
END_TEST

START_TEST(wrong_convolutions)
{
    setenv("GRADUS_CONV", "fft", 1);
    FAILS(gr_kernels(), GR_ERR_SYSTEM,
        "kernels: GRADUS_CONV: there is no fft; there are list, direct, linear, by_taps, "
        "winograd2d, winograd1d, pointwise, depthwise, lanes_images, lanes_columns");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core");
    TCase *t = cases(s, "errors");
    tcase_add_test(t, first_failure_stays);
    tcase_add_test(t, handler_hears_once);
    tcase_add_test(t, long_message);
    tcase_add_test(t, errors_belong_to_threads);
    t = cases(s, "steps");
    tcase_add_test(t, ways_out_of_a_step);
    tcase_add_test(t, steps_nest);
    tcase_add_test(t, keep_through_levels);
    tcase_add_test(t, outside_any_step);
    tcase_add_test(t, shared_storage);
    t = cases(s, "memory");
    tcase_add_test(t, third_step_asks_for_nothing);
    tcase_add_test(t, recycled_across_threads);
    tcase_add_test(t, recycled_from_a_thread_that_only_releases);
    tcase_add_test(t, live_over_threads);
    tcase_add_test(t, a_forked_child_is_not_locked_out);
    tcase_add_test(t, thread_ends_with_open_steps);
    tcase_add_test(t, blocks);
    t = cases(s, "tensors");
    tcase_add_test(t, made);
    tcase_add_test(t, not_made);
    tcase_add_test(t, reading);
    tcase_add_test(t, shapes);
    tcase_add_test(t, names);
    t = cases(s, "random");
    tcase_add_test(t, known_vectors);
    tcase_add_test(t, streams);
    tcase_add_test(t, moments);
    tcase_add_test(t, below);
    tcase_add_test(t, random_tensors);
    tcase_add_test(t, uniform_stays_below);
    t = cases(s, "containers");
    tcase_add_test(t, arrays);
    tcase_add_test(t, maps);
    t = cases(s, "threads");
    tcase_add_test(t, thread_count);
    tcase_add_test(t, what_runs);
    tcase_add_test(t, wrong_kernels);
    tcase_add_test(t, wrong_convolutions);
    return run(s);
}
