/* test_trace.c: names, and the graph told to people. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "lenet.h"

/* ---- names --------------------------------------------------------------------------------------------------------------------------- */

START_TEST(names)
{
    gr_tensor *t = gr_zeros(gr_shape(2, 3));
    size_t     live = gr_memory().live;
    ck_assert_ptr_null(gr_name_of(t));
    char own[] = "logits";
    ck_assert_ptr_eq(gr_named(t, own), t);
    own[0] = 'L';
    ck_assert_str_eq(gr_name_of(t), "logits");
    ck_assert_ptr_eq(gr_named(t, gr_name_of(t)), t);
    ck_assert_str_eq(gr_name_of(t), "logits");
    ck_assert_ptr_eq(gr_named(t, "again"), t);
    ck_assert_str_eq(gr_name_of(t), "again");
    GR_STEP;
    ck_assert_ptr_null(gr_name_of(gr_copy(t)));
    ck_assert_ptr_null(gr_name_of(gr_detach(t)));
    gr_free(t);
    ck_assert_uint_lt(gr_memory().live, live + 1024);
    nothing_failed();
}
END_TEST

START_TEST(names_refused)
{
    gr_tensor *t = gr_zeros(gr_shape(2, 3));
    FAILS(gr_named(NULL, "x"), GR_ERR_ARGUMENT, "named: the tensor is NULL");
    FAILS(gr_named(t, NULL), GR_ERR_ARGUMENT, "named: the name of (2,3) is NULL");
    FAILS(gr_named(t, ""), GR_ERR_ARGUMENT, "named: the name of (2,3) is empty");
    FAILS(gr_name_of(NULL), GR_ERR_ARGUMENT, "name_of: the tensor is NULL");
    ck_assert_ptr_null(gr_name_of(t));
    gr_free(t);
}
END_TEST

START_TEST(names_of_a_model)
{
    gr_model *m = gr_model_build(normed, gr_shape(1, 1, 28, 28));
    for (int i = 0; i < gr_model_count(m); i++) ck_assert_str_eq(gr_name_of(gr_model_at(m, i)), gr_model_name(m, i));
    for (int i = 0; i < gr_model_buffer_count(m); i++)
        ck_assert_str_eq(gr_name_of(gr_model_buffer_at(m, i)), gr_model_buffer_name(m, i));
    gr_model_free(m);
    nothing_failed();
}
END_TEST

START_TEST(names_in_anomalies)
{
    GR_STEP;
    gr_tensor *x = gr_named(gr_param(T(gr_shape(2, 2), 1, 0, 4, 9)), "the\nx");
    gr_detect_anomaly(true);
    FAILS(gr_log(x), GR_ERR_NUMBER, "log: forward gave -inf at element 1 of (2,2), from 'the?x' (2,2)");
    FAILS(gr_backward(gr_sum(gr_sqrt(x))), GR_ERR_NUMBER,
        "sqrt: backward gave inf at element 1 of the gradient of input 1 'the?x' (2,2)");
    char name[400];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    gr_named(x, name);
    name[96] = '\0';
    FAILS(gr_log(x), GR_ERR_NUMBER, gr_name("log: forward gave -inf at element 1 of (2,2), from '%s...' (2,2)", name));
    gr_detect_anomaly(false);
}
END_TEST

int main(void)
{
    gr_set_threads(1); /* everything here is small */
    Suite *s = suite_create("trace");
    TCase *t = cases(s, "names");
    tcase_add_test(t, names);
    tcase_add_test(t, names_refused);
    tcase_add_test(t, names_of_a_model);
    tcase_add_test(t, names_in_anomalies);
    return run(s);
}
