/* check.h: in place of Check's header, where tests are run against many changed copies of the
   library (tests/mutate/mutate.py). It has what our tests use of Check, and a program takes the
   names of the tests to run, stops at the first that fails, and says how long each took. */
#ifndef GR_TESTS_MUTATE_CHECK_H
#define GR_TESTS_MUTATE_CHECK_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

typedef struct Suite   Suite;
typedef struct TCase   TCase;
typedef struct SRunner SRunner;
typedef struct TTest {
    const char *name;
    void (*fn)(int);
} TTest;
enum { CK_NORMAL, CK_NOFORK };

#define START_TEST(f)                                      \
    static void               f##_body(int _i);            \
    static const TTest        f##_test = { #f, f##_body }; \
    static const TTest *const f = &f##_test;               \
    static void               f##_body(int _i __attribute__((unused)))
#define END_TEST

Suite   *suite_create(const char *name);
TCase   *tcase_create(const char *name);
void     suite_add_tcase(Suite *s, TCase *t);
void     tcase_add_loop_test(TCase *t, const TTest *f, int begin, int end);
void     tcase_add_checked_fixture(TCase *t, void (*before)(void), void (*after)(void));
SRunner *srunner_create(Suite *s);
void     srunner_run_all(SRunner *r, int how);
int      srunner_ntests_failed(SRunner *r);
#define tcase_add_test(t, f) tcase_add_loop_test(t, f, 0, 1)
#define tcase_set_timeout(t, s) ((void)(t))
#define srunner_set_fork_status(r, s) ((void)(r))
#define srunner_free(r) ((void)(r))

void check_failed(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
#define ck_abort_msg(...) check_failed(__FILE__, __LINE__, __VA_ARGS__)
#define ck_assert_msg(x, ...) ((x) ? (void)0 : ck_abort_msg(__VA_ARGS__))
#define ck_assert(x) ((x) ? (void)0 : ck_abort_msg("%s", #x))

#define CK_COMPARE(type, a, op, b)                                  \
    do {                                                            \
        type ck_a = (a);                                            \
        type ck_b = (b);                                            \
        if (!(ck_a op ck_b)) ck_abort_msg("%s %s %s", #a, #op, #b); \
    } while (0)
#define ck_assert_int_eq(a, b) CK_COMPARE(intmax_t, a, ==, b)
#define ck_assert_int_ne(a, b) CK_COMPARE(intmax_t, a, !=, b)
#define ck_assert_int_lt(a, b) CK_COMPARE(intmax_t, a, <, b)
#define ck_assert_int_le(a, b) CK_COMPARE(intmax_t, a, <=, b)
#define ck_assert_int_gt(a, b) CK_COMPARE(intmax_t, a, >, b)
#define ck_assert_int_ge(a, b) CK_COMPARE(intmax_t, a, >=, b)
#define ck_assert_uint_eq(a, b) CK_COMPARE(uintmax_t, a, ==, b)
#define ck_assert_uint_ne(a, b) CK_COMPARE(uintmax_t, a, !=, b)
#define ck_assert_uint_lt(a, b) CK_COMPARE(uintmax_t, a, <, b)
#define ck_assert_uint_le(a, b) CK_COMPARE(uintmax_t, a, <=, b)
#define ck_assert_uint_gt(a, b) CK_COMPARE(uintmax_t, a, >, b)
#define ck_assert_uint_ge(a, b) CK_COMPARE(uintmax_t, a, >=, b)
#define ck_assert_float_eq(a, b) CK_COMPARE(float, a, ==, b)
#define ck_assert_double_eq(a, b) CK_COMPARE(double, a, ==, b)
#define ck_assert_double_ne(a, b) CK_COMPARE(double, a, !=, b)
#define ck_assert_double_lt(a, b) CK_COMPARE(double, a, <, b)
#define ck_assert_double_le(a, b) CK_COMPARE(double, a, <=, b)
#define ck_assert_double_gt(a, b) CK_COMPARE(double, a, >, b)
#define ck_assert_double_ge(a, b) CK_COMPARE(double, a, >=, b)
#define ck_assert_double_eq_tol(a, b, tol) \
    ck_assert_double_lt(fabs((double)(a) - (double)(b)), (double)(tol))
#define ck_assert_float_eq_tol(a, b, tol) ck_assert_double_eq_tol(a, b, tol)
#define ck_assert_double_nan(a) ck_assert_msg(isnan(a), "%s is a number", #a)
#define ck_assert_float_nan(a) ck_assert_double_nan(a)
#define ck_assert_double_infinite(a) ck_assert_msg(isinf(a), "%s is finite", #a)
#define ck_assert_double_finite(a) ck_assert_msg(isfinite(a), "%s is not finite", #a)
#define ck_assert_ptr_eq(a, b) CK_COMPARE(const void *, a, ==, b)
#define ck_assert_ptr_ne(a, b) CK_COMPARE(const void *, a, !=, b)
#define ck_assert_ptr_null(a) CK_COMPARE(const void *, a, ==, NULL)
#define ck_assert_ptr_nonnull(a) CK_COMPARE(const void *, a, !=, NULL)
#define ck_assert_mem_eq(a, b, n) ck_assert_msg(memcmp(a, b, n) == 0, "%s is not %s", #a, #b)
#define ck_assert_mem_ne(a, b, n) ck_assert_msg(memcmp(a, b, n) != 0, "%s is %s", #a, #b)
#define ck_assert_str_eq(a, b)                                                                    \
    do {                                                                                          \
        const char *ck_s = (a), *ck_t = (b);                                                      \
        if (!ck_s || !ck_t || strcmp(ck_s, ck_t)) ck_abort_msg("\"%s\", not \"%s\"", ck_s, ck_t); \
    } while (0)
#define ck_assert_str_ne(a, b) ck_assert_msg(strcmp(a, b) != 0, "%s is %s", #a, #b)

#endif
