/* test_print.c: tensors as text, against what NumPy's str() gave for the same arrays (version 1.24,
   float32 and int32). */
#include "support.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void prints(const gr_tensor *t, const char *text)
{
    const char *s = gr_format(t);
    nothing_failed();
    ck_assert_str_eq(s, text);
}

#define PRINTS(t, text)      \
    do {                     \
        GR_STEP;             \
        prints((t), (text)); \
    } while (0)

static gr_tensor *ints(gr_shape shape, const int32_t *values)
{
    return gr_from_ints(shape, values);
}

START_TEST(a_number_by_itself)
{
    PRINTS(T(SCALAR, 3), "3.0");
    PRINTS(T(SCALAR, 0.1f), "0.1");
    PRINTS(T(SCALAR, -0.0f), "-0.0");
    PRINTS(T(SCALAR, 0.0001f), "1e-04");
    PRINTS(T(SCALAR, 0.0002f), "0.0002");
    PRINTS(T(SCALAR, 1.5e-05f), "1.5e-05");
    PRINTS(T(SCALAR, 90000008), "90000010.0");
    PRINTS(T(SCALAR, 1000000000000000.0f), "1000000000000000.0");
    PRINTS(T(SCALAR, 1e+16f), "1e+16");
    PRINTS(T(SCALAR, 1.25e+20f), "1.25e+20");
    PRINTS(T(SCALAR, NAN), "nan");
    PRINTS(T(SCALAR, -INFINITY), "-inf");
    PRINTS(ints(SCALAR, (const int32_t[]){ -7 }), "-7");
}
END_TEST

START_TEST(fixed_point)
{
    PRINTS(T(gr_shape(3), 1, 2, 3), "[1. 2. 3.]");
    PRINTS(T(gr_shape(3), 0.5f, -1.25f, 10), "[ 0.5  -1.25 10.  ]");
    PRINTS(T(gr_shape(2), 0.1f, 0.3333333333333333f), "[0.1        0.33333334]");
    PRINTS(T(gr_shape(2), -0.0f, 1), "[-0.  1.]");
    PRINTS(T(gr_shape(1), 12345.678f), "[12345.678]");
    PRINTS(T(gr_shape(3), 16777216, 90000008, 89999992), "[16777216. 90000008. 89999992.]");
    PRINTS(T(gr_shape(2), 0.001f, 1), "[0.001 1.   ]");
    PRINTS(T(gr_shape(4), 0.001f, 0.02f, 0.3f, -0.4f), "[ 0.001  0.02   0.3   -0.4  ]");
}
END_TEST

START_TEST(exponents)
{
    PRINTS(T(gr_shape(1), 100000000.0f), "[1.e+08]");
    PRINTS(T(gr_shape(1), 1e-05f), "[1.e-05]");
    PRINTS(T(gr_shape(2), 0.0009f, 1), "[9.e-04 1.e+00]");
    PRINTS(T(gr_shape(2), 0.1f, 1.2345679e-09f), "[1.0000000e-01 1.2345679e-09]");
    PRINTS(T(gr_shape(2), 10000000000.0f, -1e-10f), "[ 1.e+10 -1.e-10]");
    PRINTS(T(gr_shape(1), 1.262177448353619e-29f), "[1.2621775e-29]");
    PRINTS(T(gr_shape(2), 3.4028235e+38f, 1e-45f), "[3.4028235e+38 1.4012985e-45]");
    PRINTS(T(gr_shape(2), 0, 1e-05f), "[0.e+00 1.e-05]");
}
END_TEST

START_TEST(what_is_not_finite)
{
    PRINTS(T(gr_shape(1), NAN), "[nan]");
    PRINTS(T(gr_shape(2), NAN, -INFINITY), "[ nan -inf]");
    PRINTS(T(gr_shape(3), NAN, 1, 2.5f), "[nan 1.  2.5]");
    PRINTS(T(gr_shape(3), INFINITY, -INFINITY, 1e+20f), "[   inf   -inf 1.e+20]");
    PRINTS(T(gr_shape(3), -INFINITY, 1, 100), "[-inf   1. 100.]");
}
END_TEST

START_TEST(integers)
{
    PRINTS(ints(gr_shape(3), (const int32_t[]){ 1, 2, 3 }), "[1 2 3]");
    PRINTS(ints(gr_shape(2, 2), (const int32_t[]){ -1, 10, 100, -1000 }), "[[   -1    10]\n"
                                                                          " [  100 -1000]]");
    PRINTS(ints(gr_shape(2), (const int32_t[]){ 2147483647, -2147483648 }),
        "[ 2147483647 -2147483648]");
}
END_TEST

START_TEST(empty)
{
    PRINTS(gr_zeros(gr_shape(0)), "[]");
    PRINTS(gr_zeros(gr_shape(2, 0, 3)), "[]");
}
END_TEST

START_TEST(rows_and_blocks)
{
    PRINTS(gr_reshape(gr_arange(6), gr_shape(2, 3)), "[[0. 1. 2.]\n"
                                                     " [3. 4. 5.]]");
    PRINTS(gr_reshape(gr_arange(6), gr_shape(2, 1, 3)), "[[[0. 1. 2.]]\n"
                                                        "\n"
                                                        " [[3. 4. 5.]]]");
    PRINTS(gr_reshape(gr_arange(8), gr_shape(2, 2, 2)), "[[[0. 1.]\n"
                                                        "  [2. 3.]]\n"
                                                        "\n"
                                                        " [[4. 5.]\n"
                                                        "  [6. 7.]]]");
    PRINTS(gr_reshape(gr_arange(4), gr_shape(1, 2, 1, 2)), "[[[[0. 1.]]\n"
                                                           "\n"
                                                           "  [[2. 3.]]]]");
    PRINTS(gr_full(gr_shape(1, 1), 1.5), "[[1.5]]");
}
END_TEST

START_TEST(long_rows_wrap)
{
    PRINTS(gr_arange(30),
        "[ 0.  1.  2.  3.  4.  5.  6.  7.  8.  9. 10. 11. 12. 13. 14. 15. 16. 17.\n"
        " 18. 19. 20. 21. 22. 23. 24. 25. 26. 27. 28. 29.]");
    PRINTS(gr_reshape(gr_scale(gr_arange(30), 0.125), gr_shape(2, 15)),
        "[[0.    0.125 0.25  0.375 0.5   0.625 0.75  0.875 1.    1.125 1.25  1.375\n"
        "  1.5   1.625 1.75 ]\n"
        " [1.875 2.    2.125 2.25  2.375 2.5   2.625 2.75  2.875 3.    3.125 3.25\n"
        "  3.375 3.5   3.625]]");
    PRINTS(gr_reshape(gr_scale(gr_arange(18), -1e-06), gr_shape(2, 9)),
        "[[-0.0e+00 -1.0e-06 -2.0e-06 -3.0e-06 -4.0e-06 -5.0e-06 -6.0e-06 -7.0e-06\n"
        "  -8.0e-06]\n"
        " [-9.0e-06 -1.0e-05 -1.1e-05 -1.2e-05 -1.3e-05 -1.4e-05 -1.5e-05 -1.6e-05\n"
        "  -1.7e-05]]");
    PRINTS(gr_reshape(gr_arange(62), gr_shape(1, 2, 31)),
        "[[[ 0.  1.  2.  3.  4.  5.  6.  7.  8.  9. 10. 11. 12. 13. 14. 15. 16.\n"
        "   17. 18. 19. 20. 21. 22. 23. 24. 25. 26. 27. 28. 29. 30.]\n"
        "  [31. 32. 33. 34. 35. 36. 37. 38. 39. 40. 41. 42. 43. 44. 45. 46. 47.\n"
        "   48. 49. 50. 51. 52. 53. 54. 55. 56. 57. 58. 59. 60. 61.]]]");
}
END_TEST

START_TEST(large_tensors_are_summarised)
{
    PRINTS(gr_arange(1001), "[   0.    1.    2. ...  998.  999. 1000.]");
    PRINTS(gr_reshape(gr_arange(1002), gr_shape(2, 501)),
        "[[0.000e+00 1.000e+00 2.000e+00 ... 4.980e+02 4.990e+02 5.000e+02]\n"
        " [5.010e+02 5.020e+02 5.030e+02 ... 9.990e+02 1.000e+03 1.001e+03]]");
    PRINTS(gr_reshape(gr_arange(1100), gr_shape(1100, 1)), "[[0.000e+00]\n"
                                                           " [1.000e+00]\n"
                                                           " [2.000e+00]\n"
                                                           " ...\n"
                                                           " [1.097e+03]\n"
                                                           " [1.098e+03]\n"
                                                           " [1.099e+03]]");
}
END_TEST

START_TEST(large_boxes_are_summarised)
{
    PRINTS(gr_reshape(gr_arange(1320), gr_shape(10, 11, 12)),
        "[[[0.000e+00 1.000e+00 2.000e+00 ... 9.000e+00 1.000e+01 1.100e+01]\n"
        "  [1.200e+01 1.300e+01 1.400e+01 ... 2.100e+01 2.200e+01 2.300e+01]\n"
        "  [2.400e+01 2.500e+01 2.600e+01 ... 3.300e+01 3.400e+01 3.500e+01]\n"
        "  ...\n"
        "  [9.600e+01 9.700e+01 9.800e+01 ... 1.050e+02 1.060e+02 1.070e+02]\n"
        "  [1.080e+02 1.090e+02 1.100e+02 ... 1.170e+02 1.180e+02 1.190e+02]\n"
        "  [1.200e+02 1.210e+02 1.220e+02 ... 1.290e+02 1.300e+02 1.310e+02]]\n"
        "\n"
        " [[1.320e+02 1.330e+02 1.340e+02 ... 1.410e+02 1.420e+02 1.430e+02]\n"
        "  [1.440e+02 1.450e+02 1.460e+02 ... 1.530e+02 1.540e+02 1.550e+02]\n"
        "  [1.560e+02 1.570e+02 1.580e+02 ... 1.650e+02 1.660e+02 1.670e+02]\n"
        "  ...\n"
        "  [2.280e+02 2.290e+02 2.300e+02 ... 2.370e+02 2.380e+02 2.390e+02]\n"
        "  [2.400e+02 2.410e+02 2.420e+02 ... 2.490e+02 2.500e+02 2.510e+02]\n"
        "  [2.520e+02 2.530e+02 2.540e+02 ... 2.610e+02 2.620e+02 2.630e+02]]\n"
        "\n"
        " [[2.640e+02 2.650e+02 2.660e+02 ... 2.730e+02 2.740e+02 2.750e+02]\n"
        "  [2.760e+02 2.770e+02 2.780e+02 ... 2.850e+02 2.860e+02 2.870e+02]\n"
        "  [2.880e+02 2.890e+02 2.900e+02 ... 2.970e+02 2.980e+02 2.990e+02]\n"
        "  ...\n"
        "  [3.600e+02 3.610e+02 3.620e+02 ... 3.690e+02 3.700e+02 3.710e+02]\n"
        "  [3.720e+02 3.730e+02 3.740e+02 ... 3.810e+02 3.820e+02 3.830e+02]\n"
        "  [3.840e+02 3.850e+02 3.860e+02 ... 3.930e+02 3.940e+02 3.950e+02]]\n"
        "\n"
        " ...\n"
        "\n"
        " [[9.240e+02 9.250e+02 9.260e+02 ... 9.330e+02 9.340e+02 9.350e+02]\n"
        "  [9.360e+02 9.370e+02 9.380e+02 ... 9.450e+02 9.460e+02 9.470e+02]\n"
        "  [9.480e+02 9.490e+02 9.500e+02 ... 9.570e+02 9.580e+02 9.590e+02]\n"
        "  ...\n"
        "  [1.020e+03 1.021e+03 1.022e+03 ... 1.029e+03 1.030e+03 1.031e+03]\n"
        "  [1.032e+03 1.033e+03 1.034e+03 ... 1.041e+03 1.042e+03 1.043e+03]\n"
        "  [1.044e+03 1.045e+03 1.046e+03 ... 1.053e+03 1.054e+03 1.055e+03]]\n"
        "\n"
        " [[1.056e+03 1.057e+03 1.058e+03 ... 1.065e+03 1.066e+03 1.067e+03]\n"
        "  [1.068e+03 1.069e+03 1.070e+03 ... 1.077e+03 1.078e+03 1.079e+03]\n"
        "  [1.080e+03 1.081e+03 1.082e+03 ... 1.089e+03 1.090e+03 1.091e+03]\n"
        "  ...\n"
        "  [1.152e+03 1.153e+03 1.154e+03 ... 1.161e+03 1.162e+03 1.163e+03]\n"
        "  [1.164e+03 1.165e+03 1.166e+03 ... 1.173e+03 1.174e+03 1.175e+03]\n"
        "  [1.176e+03 1.177e+03 1.178e+03 ... 1.185e+03 1.186e+03 1.187e+03]]\n"
        "\n"
        " [[1.188e+03 1.189e+03 1.190e+03 ... 1.197e+03 1.198e+03 1.199e+03]\n"
        "  [1.200e+03 1.201e+03 1.202e+03 ... 1.209e+03 1.210e+03 1.211e+03]\n"
        "  [1.212e+03 1.213e+03 1.214e+03 ... 1.221e+03 1.222e+03 1.223e+03]\n"
        "  ...\n"
        "  [1.284e+03 1.285e+03 1.286e+03 ... 1.293e+03 1.294e+03 1.295e+03]\n"
        "  [1.296e+03 1.297e+03 1.298e+03 ... 1.305e+03 1.306e+03 1.307e+03]\n"
        "  [1.308e+03 1.309e+03 1.310e+03 ... 1.317e+03 1.318e+03 1.319e+03]]]");
    PRINTS(gr_reshape(gr_scale(gr_arange(1200), 0.5), gr_shape(3, 400)),
        "[[0.000e+00 5.000e-01 1.000e+00 ... 1.985e+02 1.990e+02 1.995e+02]\n"
        " [2.000e+02 2.005e+02 2.010e+02 ... 3.985e+02 3.990e+02 3.995e+02]\n"
        " [4.000e+02 4.005e+02 4.010e+02 ... 5.985e+02 5.990e+02 5.995e+02]]");
}
END_TEST

START_TEST(the_text_lives_as_long_as_the_step)
{
    size_t live = gr_memory().live;
    for (int i = 0; i < 3; i++) {
        GR_STEP;
        gr_tensor  *x = gr_arange(2000);
        const char *a = gr_format(x), *b = gr_format(gr_scalar(2));
        ck_assert_str_eq(a, "[0.000e+00 1.000e+00 2.000e+00 ... 1.997e+03 1.998e+03 1.999e+03]");
        ck_assert_str_eq(b, "2.0");
    }
    ck_assert_uint_eq(gr_memory().live, live);
}
END_TEST

START_TEST(a_locale_with_a_decimal_comma_changes_nothing)
{
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) return;
    PRINTS(T(gr_shape(2), 0.5, 1.25), "[0.5  1.25]");
    PRINTS(T(gr_shape(2), 0.1f, 1e-9f), "[1.e-01 1.e-09]");
    PRINTS(gr_scalar(0.1), "0.1");
    setlocale(LC_NUMERIC, "C");
}
END_TEST

START_TEST(print_writes_a_line)
{
    GR_STEP;
    char path[] = "/tmp/gradus-print-XXXXXX", line[80] = "";
    int  fd = mkstemp(path), out = dup(1);
    fflush(stdout);
    dup2(fd, 1);
    gr_print(T(gr_shape(2), 1, 2));
    fflush(stdout);
    dup2(out, 1);
    ck_assert_int_eq((int)pread(fd, line, sizeof line - 1, 0), 8);
    ck_assert_str_eq(line, "[1. 2.]\n");
    close(out);
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(null)
{
    FAILS(gr_format(NULL), GR_ERR_ARGUMENT, "format: the tensor is NULL");
    gr_print(NULL);
    failed_with(GR_ERR_ARGUMENT, "format: the tensor is NULL");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("print");
    TCase *c = cases(s, "print");
    tcase_add_test(c, a_number_by_itself);
    tcase_add_test(c, fixed_point);
    tcase_add_test(c, exponents);
    tcase_add_test(c, what_is_not_finite);
    tcase_add_test(c, integers);
    tcase_add_test(c, empty);
    tcase_add_test(c, rows_and_blocks);
    tcase_add_test(c, long_rows_wrap);
    tcase_add_test(c, large_tensors_are_summarised);
    tcase_add_test(c, large_boxes_are_summarised);
    tcase_add_test(c, the_text_lives_as_long_as_the_step);
    tcase_add_test(c, a_locale_with_a_decimal_comma_changes_nothing);
    tcase_add_test(c, print_writes_a_line);
    tcase_add_test(c, null);
    return run(s);
}
