/* test_ownership.c: whose a tensor is: the step's, the thread's, the caller's, or another thread's,
   which lets it be read and no more. And calls whose results stand in the place of what went in. In
   float, and again in double; the address sanitizer sees each use after release. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "lenet.h"
#include "support.h"

/* ---- parameters ------------------------------------------------------------------------------ */

typedef gr_tensor *making(gr_tensor *x); /* of x = (1, 2): y = (1, 2) or (2, 4), not recorded */

static gr_tensor *by_scale(gr_tensor *x) { return gr_scale(x, 2); }
static gr_tensor *by_scale_1(gr_tensor *x) { return gr_scale(x, 1); }
static gr_tensor *by_reshape(gr_tensor *x) { return gr_reshape(x, gr_shape(2)); }
static gr_tensor *by_expand(gr_tensor *x) { return gr_expand(x, gr_shape(2)); }
static gr_tensor *by_flatten(gr_tensor *x)
{
    return gr_reshape(gr_flatten(gr_reshape(x, gr_shape(1, 2))), gr_shape(2));
}
static gr_tensor *by_concat(gr_tensor *x) { return gr_concat(GR_TENSORS(x), 0); }
static gr_tensor *by_detach(gr_tensor *x) { return gr_detach(x); }
static gr_tensor *by_slice(gr_tensor *x) { return gr_slice(x, 0, 0, 2); }
static gr_tensor *by_sum(gr_tensor *x) { return gr_add(x, x); }

/* a result of a parameter, while nothing is recorded */
static gr_tensor *by_parameter(gr_tensor *x)
{
    gr_tensor *p = gr_param(gr_copy(x));
    GR_NO_GRAD;
    gr_tensor *y = gr_mul(p, p);
    gr_free(p);
    return gr_scale(gr_sqrt(y), 1);
}

static gr_tensor *no_rule(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    (void)i, (void)x, (void)y, (void)ctx;
    return g;
}

static gr_tensor *by_custom(gr_tensor *x) { return gr_custom("same", no_rule, x, GR_TENSORS(x)); }

static gr_tensor *by_grad(gr_tensor *x)
{
    gr_tensor *p = gr_param(gr_copy(x)), *g = gr_scale(gr_grad(gr_sum(gr_mul(p, p)), p), 0.5);
    gr_free(p);
    return g;
}

static gr_tensor *by_hvp(gr_tensor *x)
{
    gr_tensor *p = gr_param(gr_copy(x)), *loss = gr_sum(gr_mul(p, p)), *h = NULL;
    ck_assert(gr_hvp(loss, &p, 1, &x, &h)); /* 2 x */
    gr_free(p);
    return h;
}

static making *const makings[] = { by_scale, by_scale_1, by_reshape, by_expand, by_flatten,
    by_concat, by_detach, by_slice, by_sum, by_parameter, by_custom, by_grad, by_hvp };

enum { MAKINGS = sizeof makings / sizeof *makings };

static double first(const gr_tensor *t) { return (double)gr_data(t)[0]; }

/* Trains it a little over resets, and says that it is (w1, w2) each time. */
static void works_on(gr_tensor *w)
{
    double a = first(w);
    for (int i = 0; i < 3; i++) {
        ck_assert(gr_backward(gr_sum(gr_mul(w, w))));
        ck_assert_double_eq_tol((double)first(gr_grad_of(w)), 2 * a, 1e-5);
        ck_assert(gr_reset());
        ck_assert_double_eq_tol((double)first(gr_grad_of(w)), 2 * a, 1e-5);
        gr_clear_grad(w);
        gr_tensor *other = gr_zeros(gr_shape(2)); /* would come to lie where a released one was */
        ck_assert_double_eq(first(w), a);
        gr_free(other);
    }
}

START_TEST(a_parameter_made_outside_any_step_is_the_callers)
{
    gr_tensor *x = T(gr_shape(2), 1, 2), *w = gr_param(makings[_i](x));
    ck_assert_ptr_nonnull(w);
    gr_free(x);
    works_on(w);
    gr_free(w);
    nothing_failed();
}
END_TEST

START_TEST(the_natural_initialisation)
{
    gr_rng     rng = gr_rng_of(1, "w");
    size_t     live = gr_memory().live;
    gr_tensor *values = gr_normal(gr_shape(4), &rng, 0, 1), *w = gr_param(gr_scale(values, 0.1));
    double     was = first(values);
    gr_free(values);
    works_on(w);
    ck_assert_double_eq_tol(first(w), 0.1 * was, 1e-6);
    gr_free(w);
    ck_assert_uint_eq(gr_memory().live, live);
    nothing_failed();
}
END_TEST

/* Made outside, and a parameter only in a step: the step's end does not release it either. */
START_TEST(a_parameter_from_outside_in_a_step)
{
    gr_tensor *x = T(gr_shape(2), 1, 2), *y = gr_scale(x, 2);
    {
        GR_STEP;
        ck_assert_ptr_eq(gr_param(y), y);
    }
    works_on(y);
    gr_free(y);
    gr_free(x);
    nothing_failed();
}
END_TEST

START_TEST(a_parameter_made_in_a_step_is_the_steps)
{
    size_t     live = gr_memory().live;
    gr_tensor *kept;
    {
        GR_STEP;
        gr_tensor *gone = gr_param(gr_scale(T(gr_shape(2), 1, 2), 0.5));
        kept = gr_keep(gr_param(gr_scale(T(gr_shape(2), 1, 2), 3)));
        ck_assert(gr_backward(gr_sum(gr_mul(gone, kept))));
        HOLDS(gr_grad_of(kept), gr_shape(2), 0.5, 1);
        gr_clear_grad(kept);
    }
    works_on(kept);
    gr_free(kept);
    ck_assert_uint_eq(gr_memory().live, live);
    nothing_failed();
}
END_TEST

START_TEST(what_reset_leaves_and_takes)
{
    size_t     live = gr_memory().live;
    gr_tensor *x = gr_param(T(gr_shape(2), 1, 2)), *copy = gr_copy(x),
              *view = gr_keep(gr_detach(x)), *kept = gr_keep(gr_scale(copy, 3));
    gr_tensor *mid = gr_retain_grad(gr_mul(x, x));
    ck_assert(gr_backward(gr_sum(mid)));
    HOLDS(gr_grad_of(mid), gr_shape(2), 1, 1);
    gr_tensor *mid_grad = gr_copy(gr_grad_of(mid));
    ck_assert(gr_reset());
    HOLDS(x, gr_shape(2), 1, 2);
    HOLDS(gr_grad_of(x), gr_shape(2), 2, 4);
    HOLDS(copy, gr_shape(2), 1, 2);
    HOLDS(kept, gr_shape(2), 3, 6);
    HOLDS(mid_grad, gr_shape(2), 1, 1);
    gr_free(x);
    HOLDS(view, gr_shape(2), 1, 2); /* the storage lasts with the view */
    gr_free(copy), gr_free(view), gr_free(kept), gr_free(mid_grad);
    ck_assert_uint_eq(gr_memory().live, live);
    nothing_failed();
}
END_TEST

/* In eval mode dropout gives its input itself; every other operation gives a tensor of its own. */
static gr_tensor *dropped(gr_model *m, gr_tensor *x)
{
    return gr_nn_dropout(m, "drop", gr_nn_linear(m, "fc", x, 2), 0.5);
}

START_TEST(dropout_in_eval_mode)
{
    gr_model *net = gr_model_build(dropped, gr_shape(1, 2));
    gr_model_eval(net);
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(1, 2));
    ck_assert_ptr_eq(gr_nn_dropout(net, "drop", x, 0.5), x);
    gr_model_free(net);
    nothing_failed();
}
END_TEST

static gr_tensor *kept_by_hook, *given_by_hook;

static gr_tensor *keeping(gr_tensor *g, void *ctx)
{
    (void)ctx;
    kept_by_hook = gr_keep(gr_scale(g, 3));
    return kept_by_hook;
}

static gr_tensor *giving(gr_tensor *g, void *ctx)
{
    (void)g, (void)ctx;
    return given_by_hook;
}

/* What a hook answers stays whose it was, and the gradient is the parameter's own. */
START_TEST(what_hooks_return)
{
    gr_tensor *x = gr_param(T(gr_shape(2), 1, 2));
    gr_on_grad(x, keeping, NULL);
    ck_assert(gr_backward(gr_sum(gr_mul(x, x))));
    gr_data_mut(gr_grad_of(x))[0] = 100;
    HOLDS(kept_by_hook, gr_shape(2), 6, 12);
    gr_clear_grad(x);
    HOLDS(kept_by_hook, gr_shape(2), 6, 12);
    gr_off_grad(x, keeping, NULL);
    gr_on_grad(x, giving, NULL);
    for (int i = 0; i < 2; i++) { /* the caller's, and the thread's */
        given_by_hook = i ? gr_scale(kept_by_hook, 1) : kept_by_hook;
        ck_assert(gr_backward(gr_sum(gr_mul(x, x))));
        if (i == 0) gr_free(kept_by_hook), kept_by_hook = T(gr_shape(2), 6, 12);
        gr_reset();
        HOLDS(gr_grad_of(x), gr_shape(2), 6, 12);
        gr_clear_grad(x);
    }
    gr_free(kept_by_hook);
    gr_free(x);
    nothing_failed();
}
END_TEST

static gr_tensor *changing(gr_tensor *g, void *ctx)
{
    (void)ctx;
    gr_data_mut(g)[0] = 5;
    return NULL;
}

static gr_tensor *resetting(gr_tensor *g, void *ctx)
{
    (void)g, (void)ctx;
    gr_reset();
    return NULL;
}

START_TEST(what_hooks_may_not_do)
{
    gr_tensor *x = gr_param(T(gr_shape(2), 1, 2)), *y = gr_named(gr_mul(x, x), "y");
    gr_on_grad(y, changing, NULL);
    FAILS(gr_backward(gr_sum(y)), GR_ERR_GRAPH,
        "backward: a hook changed the gradient of 'y' (2) that it was given");
    ck_assert_ptr_null(gr_grad_of(x));
    ck_assert(gr_off_grad(y, changing, NULL));
    gr_on_grad(y, resetting, NULL);
    FAILS(gr_grad(gr_sum(y), x, .create_graph = true), GR_ERR_GRAPH,
        "reset: a backward pass is under way");
    ck_assert(gr_off_grad(y, resetting, NULL));
    HOLDS(gr_grad(gr_sum(y), x), gr_shape(2), 2, 4);
    ck_assert(gr_reset());
    gr_free(x);
    nothing_failed();
}
END_TEST

/* ---- two threads ----------------------------------------------------------------------------- */

static struct {
    /* w: main's parameter; the others another thread's */
    gr_tensor        *w, *h, *y, *value, *leaf;
    gr_step           step;
    pthread_barrier_t meet;
} shared;

static void *record(void *arg)
{
    bool own_steps = arg != NULL;
    if (own_steps) shared.step = gr_step_begin();
    shared.h = gr_mul(shared.w, shared.w);
    shared.y = gr_sum(shared.h);
    shared.value = gr_scale(gr_detach(shared.w), 2);
    shared.leaf = gr_zeros(gr_shape(3));
    pthread_barrier_wait(&shared.meet);
    pthread_barrier_wait(&shared.meet); /* main has tried */
    bool good = gr_backward(shared.y) && first(gr_grad_of(shared.w)) == 2;
    gr_clear_grad(shared.w);
    if (!own_steps) gr_free(shared.leaf);
    return good ? &shared : NULL;
}

static gr_tensor *square_of(gr_tensor *const *x, void *ctx)
{
    (void)x, (void)ctx;
    return shared.h;
}

#define WHOSE " belongs to another thread, which made it; here it can only be read"
#define REFUSED(expression, text) FAILS(expression, GR_ERR_GRAPH, text WHOSE)
#define REFUSED_VOID(expression, text) ((expression), failed_with(GR_ERR_GRAPH, text WHOSE))

static void tries_backward(void)
{
    gr_tensor *g[1], *w = shared.w, *y = shared.y, *h = shared.h;
    REFUSED(gr_backward(y), "backward: ()");
    REFUSED(gr_grad(y, w), "grad: ()");
    REFUSED(gr_grads(y, &w, 1, g, (gr_grad_options){ .create_graph = true }), "grad: ()");
    REFUSED(gr_grad(gr_sum(gr_mul(w, w)), h), "grad: (3)");
    REFUSED(gr_hvp(y, &w, 1, &w, g), "hvp: ()");
    REFUSED(gr_hvp(gr_sum(gr_mul(w, w)), &h, 1, &w, g), "hvp: (3)");
    REFUSED(gr_retain_grad(h), "retain_grad: (3)");
    REFUSED(gr_on_grad(h, keeping, NULL), "on_grad: (3)");
    REFUSED(gr_off_grad(h, keeping, NULL), "off_grad: (3)");
    REFUSED(gr_explain_format(y), "explain: ()");
    REFUSED(gr_trace_dot(y, "ownership.dot"), "trace_dot: ()");
    REFUSED(gr_trace_html(y, "ownership.html"), "trace_html: ()");
    REFUSED(gr_gradcheck(square_of, GR_TENSORS(w)), "grad: (3)");
    ck_assert_ptr_null(gr_grad_of(w));
}

static void tries_operations(void)
{
    gr_tensor *w = shared.w, *h = shared.h;
    REFUSED(gr_mul(w, h), "mul: (3)");
    REFUSED(gr_sum(h), "sum: (3)");
    REFUSED(gr_reshape(h, gr_shape(3, 1)), "reshape: (3)");
    REFUSED(gr_concat(GR_TENSORS(w, w, h), 0), "concat: (3)");
    REFUSED(gr_custom("mine", no_rule, w, GR_TENSORS(w, h)), "mine: (3)");
    ck_assert_double_eq(gr_item(gr_sum(gr_detach(h))), 14); /* its values are there to be read */
    HOLDS(shared.value, gr_shape(3), 2, 4, 6);
    gr_tensor *copy = gr_copy(h);
    HOLDS(copy, gr_shape(3), 1, 4, 9);
    gr_free(copy);
    GR_NO_GRAD;
    HOLDS(gr_add(h, shared.value), gr_shape(3), 3, 8, 15);
}

static void tries_lives(bool own_steps)
{
    REFUSED(gr_keep(shared.h), "keep: (3)");
    REFUSED(gr_keep(shared.value), "keep: (3)");
    REFUSED(gr_param(shared.value), "param: (3)");
    REFUSED_VOID(gr_free(shared.h), "free: (3)");
    REFUSED_VOID(gr_free(shared.value), "free: (3)");
    if (!own_steps) return;
    REFUSED_VOID(gr_free(shared.leaf), "free: (3)");
    gr_step_end(&shared.step);
    failed_with(GR_ERR_GRAPH, "step_end: the step was opened by another thread");
    ck_assert_int_eq(shared.step.depth, 1);
}

/* _i: bit 0: the other thread is in a step of its own; bit 1: so is this one, with a tape of its
   own beside. */
START_TEST(what_another_thread_records)
{
    pthread_t t;
    void     *good = NULL;
    gr_step   mine = { 0 };
    shared.w = gr_param(T(gr_shape(3), 1, 2, 3));
    ck_assert_int_eq(pthread_barrier_init(&shared.meet, NULL, 2), 0);
    ck_assert_int_eq(pthread_create(&t, NULL, record, _i & 1 ? &shared : NULL), 0);
    if (_i & 2) {
        mine = gr_step_begin();
        gr_tensor *y = shared.w;
        for (int i = 0; i < 4; i++) y = gr_mul(y, shared.w);
    }
    pthread_barrier_wait(&shared.meet);
    tries_backward();
    tries_operations();
    tries_lives(_i & 1);
    pthread_barrier_wait(&shared.meet);
    pthread_join(t, &good);
    ck_assert_ptr_nonnull(good); /* the other thread's tape is whole */
    gr_step_end(&mine);
    works_on(shared.w);
    gr_free(shared.w);
    nothing_failed();
}
END_TEST

static void *make_and_keep(void *arg)
{
    (void)arg;
    gr_tensor *y = gr_keep(gr_mul(shared.w, shared.w));
    gr_exp(y);
    return y;
}

/* What a thread that has ended has left to the caller is like any tensor; a later thread may have
   its place in memory. */
START_TEST(threads_that_have_ended)
{
    size_t live = gr_memory().live;
    shared.w = gr_param(T(gr_shape(3), 1, 2, 3));
    for (int i = 0; i < 20; i++) {
        pthread_t t;
        void     *kept = NULL, *again = NULL;
        ck_assert_int_eq(pthread_create(&t, NULL, make_and_keep, NULL), 0);
        pthread_join(t, &kept);
        ck_assert_int_eq(pthread_create(&t, NULL, make_and_keep, NULL), 0);
        pthread_join(t, &again);
        gr_tensor *p = gr_param(kept);
        ck_assert_ptr_nonnull(p);
        ck_assert(gr_backward(gr_sum(gr_mul(p, gr_mul(shared.w, again)))));
        HOLDS(gr_grad_of(p), gr_shape(3), 1, 8, 27);
        HOLDS(gr_grad_of(shared.w), gr_shape(3), 1, 16, 81);
        gr_clear_grad(shared.w);
        ck_assert(gr_reset());
        gr_free(kept);
        gr_free(again);
    }
    gr_free(shared.w);
    ck_assert_uint_eq(gr_memory().live, live);
    nothing_failed();
}
END_TEST

/* The same of a model: the loss of another thread is not to be minimised. */
static gr_tensor *line(gr_model *m, gr_tensor *x) { return gr_nn_linear(m, "fc", x, 1); }

static gr_model *model;

static void *lose(void *arg)
{
    (void)arg;
    GR_STEP;
    shared.y = gr_sum(line(model, gr_ones(gr_shape(1, 2))));
    pthread_barrier_wait(&shared.meet);
    pthread_barrier_wait(&shared.meet);
    return NULL;
}

START_TEST(another_threads_loss_is_not_minimised)
{
    pthread_t t;
    model = gr_model_build(line, gr_shape(1, 2));
    gr_optim *o = gr_sgd(model, .lr = 1);
    double    was = first(gr_model_get(model, "fc.weight"));
    ck_assert_int_eq(pthread_barrier_init(&shared.meet, NULL, 2), 0);
    ck_assert_int_eq(pthread_create(&t, NULL, lose, NULL), 0);
    pthread_barrier_wait(&shared.meet);
    double loss = gr_minimize(o, shared.y);
    ck_assert(loss != loss);
    failed_with(GR_ERR_GRAPH, "backward: ()" WHOSE);
    pthread_barrier_wait(&shared.meet);
    pthread_join(t, NULL);
    ck_assert_double_eq(first(gr_model_get(model, "fc.weight")), was);
    gr_optim_free(o);
    gr_model_free(model);
    nothing_failed();
}
END_TEST

/* ---- results in the place of what went in ---------------------------------------------------- */

/* f = sum x^3 + sum x y^2: H = (6 x, 2 y; 2 y, 2 x). */
static gr_tensor *cubic(gr_tensor *x, gr_tensor *y)
{
    return gr_add(gr_sum(gr_mul(x, gr_mul(x, x))), gr_sum(gr_mul(x, gr_mul(y, y))));
}

START_TEST(a_hessian_times_vectors_in_their_place)
{
    gr_tensor *x[2] = { gr_param(T(gr_shape(2), 3, 1)), gr_param(T(gr_shape(2), 2, 4)) },
              *loss = cubic(x[0], x[1]);
    gr_tensor *v0 = T(gr_shape(2), 1, 2), *v1 = T(gr_shape(2), 10, 20), *v[2] = { v0, v1 };
    ck_assert(gr_hvp(loss, x, 2, v, v));
    HOLDS(v[0], gr_shape(2), 58, 172); /* 6 x v0 + 2 y v1 */
    HOLDS(v[1], gr_shape(2), 64, 56);  /* 2 y v0 + 2 x v1 */
    HOLDS(v0, gr_shape(2), 1, 2);
    gr_tensor *over[3] = { v0, v1, NULL };
    ck_assert(gr_hvp(loss, x, 2, over, over + 1)); /* lists that overlap */
    HOLDS(over[1], gr_shape(2), 58, 172);
    HOLDS(over[2], gr_shape(2), 64, 56);
    gr_tensor *in_x[2] = { x[0], x[1] };
    ck_assert(gr_hvp(loss, in_x, 2, GR__LITERAL(gr_tensor *[]){ v0, v1 }, in_x));
    HOLDS(in_x[0], gr_shape(2), 58, 172);
    HOLDS(in_x[1], gr_shape(2), 64, 56);
    gr_tensor *hx = NULL, *x0 = x[0];
    ck_assert(gr_hvp(loss, &x0, 1, &x0, &hx)); /* the point as the vector */
    HOLDS(hx, gr_shape(2), 54, 6);
    gr_tensor *twice[2] = { x[0], x[0] }, *vs[2] = { v0, v0 };
    /* one tensor named twice: the sum over both, for each */
    ck_assert(gr_hvp(loss, twice, 2, vs, vs));
    HOLDS(vs[0], gr_shape(2), 36, 24);
    HOLDS(vs[1], gr_shape(2), 36, 24);
    ck_assert_ptr_ne(vs[0], vs[1]);
    ck_assert(gr_reset());
    gr_free(x[0]), gr_free(x[1]), gr_free(v0), gr_free(v1);
    nothing_failed();
}
END_TEST

START_TEST(gradients_in_the_place_of_the_tensors)
{
    gr_tensor *x = gr_param(T(gr_shape(2), 3, 1)), *y = gr_param(T(gr_shape(2), 2, 4)),
              *list[3] = { x, y, NULL };
    gr_tensor *loss = cubic(x, y);
    ck_assert(gr_grads(loss, list, 2, list, (gr_grad_options){ .retain_graph = true }));
    HOLDS(list[0], gr_shape(2), 31, 19); /* 3 x^2 + y^2 */
    HOLDS(list[1], gr_shape(2), 12, 8);  /* 2 x y */
    list[0] = x, list[1] = y;
    ck_assert(gr_grads(loss, list, 2, list + 1, (gr_grad_options){ .create_graph = true }));
    HOLDS(list[1], gr_shape(2), 31, 19);
    HOLDS(list[2], gr_shape(2), 12, 8);
    /* the point as the gradient */
    HOLDS(gr_grad(gr_mul(x, x), x, .grad_output = x), gr_shape(2), 18, 2);
    HOLDS(x, gr_shape(2), 3, 1);
    ck_assert(gr_reset());
    gr_free(x), gr_free(y);
    nothing_failed();
}
END_TEST

START_TEST(running_statistics_in_one_place)
{
    GR_STEP;
    gr_tensor *x = gr_arange(16), *both = gr_ones(gr_shape(2, 2)), *one = gr_ones(gr_shape(2));
    x = gr_reshape(x, gr_shape(2, 2, 2, 2));
    FAILS(gr_batch_norm2d(x, .running_mean = one, .running_var = one, .training = true),
        GR_ERR_ARGUMENT, "batch_norm2d: running_mean and running_var lie in the same memory");
    gr_tensor *mean = gr_reshape(gr_slice(both, 0, 0, 1), gr_shape(2)),
              *var = gr_reshape(gr_slice(both, 0, 1, 2), gr_shape(2));
    /* side by side */
    ck_assert_ptr_nonnull(
        gr_batch_norm2d(x, .running_mean = mean, .running_var = var, .training = true));
    nothing_failed();
}
END_TEST

int main(void)
{
    gr_set_threads(1);
    Suite *s = suite_create("ownership");
    TCase *t = cases(s, "whose");
    tcase_add_loop_test(t, a_parameter_made_outside_any_step_is_the_callers, 0, MAKINGS);
    tcase_add_test(t, the_natural_initialisation);
    tcase_add_test(t, a_parameter_from_outside_in_a_step);
    tcase_add_test(t, a_parameter_made_in_a_step_is_the_steps);
    tcase_add_test(t, what_reset_leaves_and_takes);
    tcase_add_test(t, dropout_in_eval_mode);
    tcase_add_test(t, what_hooks_return);
    tcase_add_test(t, what_hooks_may_not_do);
    t = cases(s, "threads");
    tcase_add_loop_test(t, what_another_thread_records, 0, 4);
    tcase_add_test(t, threads_that_have_ended);
    tcase_add_test(t, another_threads_loss_is_not_minimised);
    t = cases(s, "in place");
    tcase_add_test(t, a_hessian_times_vectors_in_their_place);
    tcase_add_test(t, gradients_in_the_place_of_the_tensors);
    tcase_add_test(t, running_statistics_in_one_place);
    return run(s);
}
