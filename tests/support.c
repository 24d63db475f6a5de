/* support.c: what the test programs share. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

void failed_with(gr_code code, const char *text)
{
    ck_assert_ptr_nonnull(gr_error());
    ck_assert_str_eq(gr_error(), text);
    ck_assert_int_eq((int)gr_error_code(), (int)code);
    gr_clear_error();
}

void nothing_failed(void) { ck_assert_msg(!gr_error(), "unexpected: %s", gr_error()); }

bool same_shape(gr_shape a, gr_shape b)
{
    bool same = a.rank == b.rank;
    for (int i = 0; same && i < a.rank; i++) same = a.dim[i] == b.dim[i];
    return same;
}

static void has_shape(const gr_tensor *t, gr_shape shape)
{
    ck_assert_msg(t, "no tensor: %s", gr_error());
    nothing_failed();
    gr_shape s = gr_shape_of(t);
    ck_assert_int_eq(s.rank, shape.rank);
    for (int i = 0; i < s.rank; i++)
        ck_assert_msg(s.dim[i] == shape.dim[i], "dimension %d is %lld, not %lld", i,
            (long long)s.dim[i], (long long)shape.dim[i]);
}

void holds(const gr_tensor *t, gr_shape shape, const gr_real *values)
{
    has_shape(t, shape);
    const gr_real *v = gr_data(t);
    for (int64_t i = 0; i < gr_count(t); i++)
        /* an assertion writes to a file: not one an element */
        if (v[i] != values[i] && !(isnan(v[i]) && isnan(values[i])))
            ck_abort_msg(
                "element %lld is %.17g, not %.17g", (long long)i, (double)v[i], (double)values[i]);
}

void holds_ints(const gr_tensor *t, gr_shape shape, const int32_t *values)
{
    has_shape(t, shape);
    const int32_t *v = gr_ints(t);
    ck_assert_ptr_nonnull(v);
    for (int64_t i = 0; i < gr_count(t); i++)
        if (v[i] != values[i])
            ck_abort_msg("element %lld is %d, not %d", (long long)i, v[i], values[i]);
}

void near(const gr_tensor *t, gr_shape shape, const double *values, double tolerance)
{
    has_shape(t, shape);
    const gr_real *v = gr_data(t);
    for (int64_t i = 0; i < gr_count(t); i++) {
        double most = tolerance * fmax(1, fabs(values[i]));
        if (!(fabs((double)v[i] - values[i]) <= most))
            ck_abort_msg("element %lld is %.17g, not %.17g", (long long)i, (double)v[i], values[i]);
    }
}

gr_tensor *noise(gr_shape shape, gr_rng *rng) { return gr_uniform(shape, rng, -1, 1); }

TCase *cases(Suite *suite, const char *name)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 300);
    suite_add_tcase(suite, t);
    return t;
}

int run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
