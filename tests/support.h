/* support.h: what the test programs share. */
#ifndef GR_TESTS_SUPPORT_H
#define GR_TESTS_SUPPORT_H

#include <check.h>

#include "gradus/autograd.h"
#include "gradus/io.h"

/* The pending failure must be this one, to the letter; it is cleared. */
void failed_with(gr_code code, const char *text);
/* No failure is pending. */
void nothing_failed(void);

/* An expression that gives NULL, false or 0 and leaves this failure. */
#define FAILS(expression, code, text)                                 \
    do {                                                              \
        ck_assert_msg(!(expression), "%s did not fail", #expression); \
        failed_with((code), (text));                                  \
    } while (0)

/* A tensor of these numbers: T(gr_shape(2), 1, 2). */
#define T(shape, ...) gr_from((shape), (const gr_real[]){ __VA_ARGS__ })
#define SCALAR ((gr_shape){ .rank = 0 })

/* t has this shape and these numbers, exactly, NaN equal to NaN. */
void holds(const gr_tensor *t, gr_shape shape, const gr_real *values);
void holds_ints(const gr_tensor *t, gr_shape shape, const int32_t *values);
#define HOLDS(t, shape, ...) holds((t), (shape), (const gr_real[]){ __VA_ARGS__ })
#define HOLDS_INTS(t, shape, ...) holds_ints((t), (shape), (const int32_t[]){ __VA_ARGS__ })

/* The same up to a tolerance, relative where the numbers are over 1. */
void near(const gr_tensor *t, gr_shape shape, const double *values, double tolerance);
#define NEAR(t, shape, tolerance, ...) \
    near((t), (shape), (const double[]){ __VA_ARGS__ }, (tolerance))

/* As exact as a sum of a few hundred products can be. */
#define ROUGHLY (sizeof(gr_real) == 4 ? 2e-5 : 1e-12)

/* Uniform in [-1, 1). */
gr_tensor *noise(gr_shape shape, gr_rng *rng);
bool       same_shape(gr_shape a, gr_shape b);

/* Runs a suite; the exit status of its program. */
int    run(Suite *suite);
/* A test case of the suite with a generous limit of time. */
TCase *cases(Suite *suite, const char *name);

#endif
