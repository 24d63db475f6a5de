/* test_algorithm.c: an algorithm of convolution is added by one file (toy_algorithm.c) and one line
   (toy_algorithms.def). This program has the library's select.c once more, with that list, in place
   of the library's own for the instruction set "baseline". */
#include "support.h"

#include <stdlib.h>

#include "gradus/ops.h"

extern int toy_runs;

/* For what it suits, it is chosen; elsewhere the others are. */
START_TEST(added)
{
    GR_STEP;
    setenv("GRADUS_ISA", "baseline", 1);
    gr_tensor *y = gr_conv2d(
        T(gr_shape(1, 1, 1, 1), 3), T(gr_shape(1, 1, 1, 1), 5), .bias = T(gr_shape(1), 2));
    HOLDS(y, gr_shape(1, 1, 1, 1), 17);
    ck_assert_int_eq(toy_runs, 1);
    y = gr_conv2d(T(gr_shape(1, 1, 1, 2), 3, 4), T(gr_shape(1, 1, 1, 1), 5));
    HOLDS(y, gr_shape(1, 1, 1, 2), 15, 20);
    y = gr_conv2d_input_grad(T(gr_shape(1, 1, 1, 1), 3), T(gr_shape(1, 1, 1, 1), 5), { 1, 1 });
    HOLDS(y, gr_shape(1, 1, 1, 1), 15);
    ck_assert_int_eq(toy_runs, 1);
}
END_TEST

/* It is known by its name, and to direct sums. */
START_TEST(asked_for)
{
    GR_STEP;
    setenv("GRADUS_ISA", "baseline", 1);
    setenv("GRADUS_CONV", _i ? "toy" : "direct", 1);
    HOLDS(gr_conv2d(T(gr_shape(1, 1, 1, 1), 3), T(gr_shape(1, 1, 1, 1), 7)), gr_shape(1, 1, 1, 1),
        21);
    ck_assert_int_eq(toy_runs, 1);
}
END_TEST

/* Another one is asked for, which can do it, too. */
START_TEST(passed_over)
{
    GR_STEP;
    setenv("GRADUS_ISA", "baseline", 1);
    setenv("GRADUS_CONV", "lanes_columns", 1);
    HOLDS(gr_conv2d(T(gr_shape(1, 1, 1, 1), 3), T(gr_shape(1, 1, 1, 1), 7)), gr_shape(1, 1, 1, 1),
        21);
    ck_assert_int_eq(toy_runs, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("algorithm");
    TCase *t = cases(s, "algorithm");
    tcase_add_test(t, added);
    tcase_add_loop_test(t, asked_for, 0, 2);
    tcase_add_test(t, passed_over);
    return run(s);
}
