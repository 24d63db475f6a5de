/* elementwise.c: one output from one element of each operand. Invariant: an element's value depends
   on its operands alone, never on where it stands in the array, so that any partition gives the
   same bits; y may be one of the operands. */
#include "table.h"
#include "vmath.h"

#define UNARY(name, value)                                        \
    void GR__NAME(name)(gr_real * y, const gr_real *x, int64_t n) \
    {                                                             \
        GR__INDEPENDENT                                           \
        for (int64_t i = 0; i < n; i++) {                         \
            gr_real v = x[i];                                     \
            y[i] = (gr_real)(value);                              \
        }                                                         \
    }

UNARY(neg, -v)
UNARY(sqrt, real_(sqrt)(v))
UNARY(abs, real_(fabs)(v))
UNARY(sign, (gr_real)((v > 0) - (v < 0))) /* 0 for a NaN, as in PyTorch */
UNARY(relu, v < 0 ? 0 : v)                /* so written, a NaN passes */
UNARY(log, real_(log)(v))
UNARY(sin, real_(sin)(v))
UNARY(cos, real_(cos)(v))
UNARY(log1p, real_(log1p)(v))
UNARY(expm1, real_(expm1)(v))
UNARY(erf, real_(erf)(v))
UNARY(softplus,
    (v > 0 ? v : 0) + real_(log1p)(real_(exp)(-real_(fabs)(v)))) /* log(1 + e^x) without overflow */

/* Whole vectors throughout: the last one is filled up with zeros, so that every element goes
   through the same code. */
#define UNARY_VECTOR(name, function)                                                    \
    void GR__NAME(name)(gr_real * y, const gr_real *x, int64_t n)                       \
    {                                                                                   \
        int64_t i = 0;                                                                  \
        for (; i + LANES <= n; i += LANES) vec_store(y + i, function(vec_load(x + i))); \
        if (i < n) vec_store_some(y + i, function(vec_load_some(x + i, n - i)), n - i); \
    }

UNARY_VECTOR(exp, vec_exp)
UNARY_VECTOR(sigmoid, vec_sigmoid)
UNARY_VECTOR(tanh, vec_tanh)

/* One loop for each pair of steps: the step must be a constant for the compiler to make vectors of
   it. */
#define BINARY_LOOP(value, i_of_a, i_of_b)        \
    {                                             \
        GR__INDEPENDENT                           \
        for (int64_t i = 0; i < n; i++) {         \
            gr_real u = a[i_of_a], v = b[i_of_b]; \
            y[i] = (gr_real)(value);              \
        }                                         \
    }

#define BINARY(name, value)                                                                 \
    static void name##_few(                                                                 \
        gr_real *y, const gr_real *a, int a_step, const gr_real *b, int b_step, int64_t n)  \
    {                                                                                       \
        if (a_step)                                                                         \
            BINARY_LOOP(value, i, 0)                                                        \
        else if (b_step)                                                                    \
            BINARY_LOOP(value, 0, i)                                                        \
        else                                                                                \
            BINARY_LOOP(value, 0, 0)                                                        \
    }                                                                                       \
    void GR__NAME(name)(                                                                    \
        gr_real * y, const gr_real *a, int a_step, const gr_real *b, int b_step, int64_t n) \
    {                                                                                       \
        if (!a_step || !b_step)                                                             \
            name##_few(y, a, a_step, b, b_step, n);                                         \
        else                                                                                \
            BINARY_LOOP(value, i, i)                                                        \
    }

BINARY(add, u + v)
BINARY(sub, u - v)
BINARY(mul, u *v)
BINARY(div, u / v)
BINARY(pow, real_(pow)(u, v))
BINARY(maximum,
    u > v || u != u ? u : v) /* NaN if either is: the second is taken where no comparison holds */
BINARY(minimum, u < v || u != u ? u : v)
BINARY(eq, u == v)
BINARY(ne, u != v)
BINARY(lt, u < v)
BINARY(le, u <= v)
BINARY(gt, u > v)
BINARY(ge, u >= v)
BINARY(relu_grad, u <= 0 ? 0 : v) /* from y and g; a NaN in y lets g pass, as it let x */
BINARY(sigmoid_grad, v *(u *(1 - u)))
BINARY(tanh_grad, v *(1 - u * u))

void GR__NAME(scale)(gr_real *y, const gr_real *x, double factor, int64_t n)
{
    gr_real f = (gr_real)factor;
    GR__INDEPENDENT
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * f;
}

void GR__NAME(where)(gr_real *y, const gr_real *c, const gr_real *a, const gr_real *b, int64_t n)
{
    GR__INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        gr_real yes = a[i], no = b[i];
        y[i] = c[i] != 0 ? yes : no;
    }
}
