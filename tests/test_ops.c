/* test_ops.c: what every op computes, by numbers worked out by hand or by plain loops, and what it
   refuses, to the letter. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

static const gr_real nan_ = (gr_real)NAN, inf = (gr_real)INFINITY;

#define V(...) gr_from(gr_shape(GR__COUNT(__VA_ARGS__)), (const gr_real[]){ __VA_ARGS__ })
#define INTS(...) gr_from_ints(gr_shape(GR__COUNT(__VA_ARGS__)), (const int32_t[]){ __VA_ARGS__ })

/* ---- arithmetic ------------------------------------------------------------------------------ */

START_TEST(arithmetic)
{
    GR_STEP;
    gr_tensor *a = T(gr_shape(2, 2), 1, -2, 3, 4), *b = V(2, 4),
              *column = T(gr_shape(2, 1), 10, 20);
    HOLDS(gr_add(a, b), gr_shape(2, 2), 3, 2, 5, 8);
    HOLDS(gr_sub(b, a), gr_shape(2, 2), 1, 6, -1, 0);
    HOLDS(gr_mul(a, column), gr_shape(2, 2), 10, -20, 60, 80);
    HOLDS(gr_mul(b, column), gr_shape(2, 2), 20, 40, 40, 80);
    HOLDS(gr_div(a, b), gr_shape(2, 2), 0.5, -0.5, 1.5, 1);
    HOLDS(gr_div(V(1, -1, 0), gr_scalar(0)), gr_shape(3), inf, -inf, nan_);
    HOLDS(gr_sub(gr_scalar(1), a), gr_shape(2, 2), 0, 3, -2, -3);
    NEAR(gr_pow(V(2, 9, -3, 0, 5), V(3, 0.5, 2, 0, 0)), gr_shape(5), 1e-6, 8, 3, 9, 1, 1);
    HOLDS(gr_pow(V(-1, 0), V(0.5, -1)), gr_shape(2), nan_, inf);
    HOLDS(gr_maximum(V(1, 5, nan_, 0), V(2, 5, 0, nan_)), gr_shape(4), 2, 5, nan_, nan_);
    HOLDS(gr_add(gr_zeros(gr_shape(0, 2)), b), gr_shape(0, 2), 0);
    HOLDS(gr_add(gr_zeros(gr_shape(3, 0)), gr_zeros(gr_shape(1, 1))), gr_shape(3, 0), 0);
    nothing_failed();
}
END_TEST

/* Every pair of shapes that broadcast, up to rank 4, against indices written out. */
START_TEST(broadcasting)
{
    gr_rng rng = gr_rng_of(1, "broadcasting");
    for (int turn = 0; turn < 300; turn++) {
        GR_STEP;
        int64_t y[4], a[4], b[4];
        for (int i = 0; i < 4; i++) {
            y[i] = 1 + gr_rng_below(&rng, turn % 10 == 0 && i == 3 ? 70 : 4);
            int64_t kind = gr_rng_below(&rng, 4);
            a[i] = kind == 1 ? 1 : y[i];
            b[i] = kind == 2 ? 1 : y[i];
        }
        gr_tensor *x = noise(gr_shape(a[0], a[1], a[2], a[3]), &rng),
                  *z = noise(gr_shape(b[0], b[1], b[2], b[3]), &rng), *d = gr_sub(x, z);
        ck_assert(same_shape(gr_shape_of(d), gr_shape(y[0], y[1], y[2], y[3])));
        const gr_real *v = gr_data(d);
        for (int64_t i = 0; i < gr_count(d); i++) {
            int64_t at[4] = { i / (y[1] * y[2] * y[3]), i / (y[2] * y[3]) % y[1], i / y[3] % y[2],
                i % y[3] },
                    p = 0, q = 0;
            for (int k = 0; k < 4; k++) {
                p = p * a[k] + (a[k] == 1 ? 0 : at[k]);
                q = q * b[k] + (b[k] == 1 ? 0 : at[k]);
            }
            if (v[i] != gr_data(x)[p] - gr_data(z)[q])
                ck_abort_msg("turn %d, element %lld", turn, (long long)i);
        }
    }
}
END_TEST

START_TEST(functions)
{
    GR_STEP;
    gr_tensor *x = V(-2, -0.5, 0, 1, 3);
    HOLDS(gr_neg(x), gr_shape(5), 2, 0.5, 0, -1, -3);
    HOLDS(gr_scale(x, -2), gr_shape(5), 4, 1, 0, -2, -6);
    HOLDS(gr_abs(x), gr_shape(5), 2, 0.5, 0, 1, 3);
    HOLDS(gr_sign(x), gr_shape(5), -1, -1, 0, 1, 1);
    HOLDS(gr_relu(x), gr_shape(5), 0, 0, 0, 1, 3);
    HOLDS(gr_relu(V(nan_, inf, -inf)), gr_shape(3), nan_, inf, 0);
    NEAR(gr_exp(x), gr_shape(5), 1e-6, exp(-2), exp(-0.5), 1, exp(1), exp(3));
    NEAR(gr_sigmoid(x), gr_shape(5), 1e-6, 1 / (1 + exp(2)), 1 / (1 + exp(0.5)), 0.5,
        1 / (1 + exp(-1)), 1 / (1 + exp(-3)));
    NEAR(gr_tanh(x), gr_shape(5), 1e-6, tanh(-2), tanh(-0.5), 0, tanh(1), tanh(3));
    NEAR(gr_log(V(1, 2, 0.25)), gr_shape(3), 1e-6, 0, log(2), log(0.25));
    NEAR(gr_sqrt(V(0, 1, 2)), gr_shape(3), 1e-6, 0, 1, sqrt(2));
    HOLDS(gr_log(V(0, -1, inf, nan_)), gr_shape(4), -inf, nan_, inf, nan_);
    HOLDS(gr_sqrt(V(-1, inf)), gr_shape(2), nan_, inf);
    HOLDS(gr_exp(V(-inf, inf, nan_, -2000, 2000)), gr_shape(5), 0, inf, nan_, 0, inf);
    HOLDS(gr_sigmoid(V(-inf, inf, nan_, -2000, 2000)), gr_shape(5), 0, 1, nan_, 0, 1);
    HOLDS(gr_tanh(V(-inf, inf, nan_, -2000, 2000)), gr_shape(5), -1, 1, nan_, -1, 1);
    HOLDS(gr_exp(gr_zeros(gr_shape(0))), gr_shape(0), 0);
    nothing_failed();
}
END_TEST

/* Values and gradients as PyTorch 1.13 gives them in double, at kinks too. */
START_TEST(functions_by_pytorch)
{
    GR_STEP;
    gr_tensor *x = gr_param(V(-2, -0.5, 0, 1, 3)), *clamped = gr_clamp(x, -2, 3);
    NEAR(gr_leaky_relu(x, 0.1), gr_shape(5), 1e-6, -0.2, -0.05, 0, 1, 3);
    NEAR(gr_grad(gr_sum(gr_leaky_relu(x, 0.1)), x), gr_shape(5), 1e-6, 0.1, 0.1, 0.1, 1, 1);
    NEAR(gr_elu(x, 0.7), gr_shape(5), 1e-6, -0.605265302, -0.275428538, 0, 1, 3);
    NEAR(gr_grad(gr_sum(gr_elu(x, 0.7)), x), gr_shape(5), 1e-6, 0.0947346983, 0.424571462, 0.7, 1,
        1);
    NEAR(gr_silu(x), gr_shape(5), 1e-6, -0.238405844, -0.188770334, 0, 0.731058579, 2.85772238);
    NEAR(gr_gelu(x), gr_shape(5), 1e-6, -0.0455002639, -0.154268769, 0, 0.841344746, 2.99595031);
    NEAR(gr_softplus(x), gr_shape(5), 1e-6, 0.126928011, 0.474076984, 0.693147181, 1.31326169,
        3.04858735);
    HOLDS(gr_softplus(V(-2000, 2000, nan_)), gr_shape(3), 0, 2000, nan_);
    NEAR(gr_erf(x), gr_shape(5), 1e-6, -0.995322265, -0.520499878, 0, 0.842700793, 0.99997791);
    NEAR(gr_expm1(x), gr_shape(5), 1e-6, -0.864664717, -0.39346934, 0, 1.71828183, 19.0855369);
    NEAR(gr_log1p(gr_abs(x)), gr_shape(5), 1e-6, 1.09861229, 0.405465108, 0, 0.693147181,
        1.38629436);
    NEAR(gr_sin(x), gr_shape(5), 1e-6, sin(-2), sin(-0.5), 0, sin(1), sin(3));
    NEAR(gr_cos(x), gr_shape(5), 1e-6, cos(2), cos(0.5), 1, cos(1), cos(3));
    HOLDS(gr_clamp(x, -1, 2), gr_shape(5), -1, -0.5, 0, 1, 2);
    HOLDS(gr_grad(gr_sum(gr_clamp(x, -1, 2)), x), gr_shape(5), 0, 1, 1, 1, 0);
    HOLDS(gr_grad(gr_sum(clamped), x), gr_shape(5), 1, 1, 1, 1, 1);
    HOLDS(gr_elu(V(2000), 1), gr_shape(1), 2000);
    HOLDS(gr_minimum(V(1, 5, nan_, 0), V(2, 5, 0, nan_)), gr_shape(4), 1, 5, nan_, nan_);
    nothing_failed();
}
END_TEST

/* The vectors' tails, and what lies far out: against the C library over many lengths and
   magnitudes. */
START_TEST(functions_by_the_library)
{
    gr_rng rng = gr_rng_of(1, "functions");
    static const struct {
        gr_tensor *(*fn)(gr_tensor *);
        double (*wanted)(double);
        double low, high;
    } of[] = { { gr_exp, exp, -80, 80 }, { gr_log, log, 1e-30, 1e30 }, { gr_sqrt, sqrt, 0, 1e10 },
        { gr_tanh, tanh, -10, 10 }, { gr_tanh, tanh, -1e-3, 1e-3 }, { gr_abs, fabs, -1, 1 } };
    for (size_t f = 0; f < sizeof of / sizeof *of; f++)
        for (int64_t n = 1; n <= 67; n++) {
            GR_STEP;
            gr_tensor *x = gr_uniform(gr_shape(n), &rng, of[f].low, of[f].high), *y = of[f].fn(x);
            for (int64_t i = 0; i < n; i++) {
                double wanted = of[f].wanted((double)gr_data(x)[i]), given = (double)gr_data(y)[i];
                if (!(fabs(given - wanted) <= (sizeof(gr_real) == 4 ? 4e-7 : 1e-15) * fabs(wanted)))
                    ck_abort_msg("function %zu of %.17g is %.17g, not %.17g", f,
                        (double)gr_data(x)[i], given, wanted);
            }
        }
}
END_TEST

START_TEST(comparisons)
{
    GR_STEP;
    gr_tensor *a = V(1, 2, 3, nan_), *b = V(2, 2, 2, nan_);
    HOLDS(gr_eq(a, b), gr_shape(4), 0, 1, 0, 0);
    HOLDS(gr_ne(a, b), gr_shape(4), 1, 0, 1, 1);
    HOLDS(gr_lt(a, b), gr_shape(4), 1, 0, 0, 0);
    HOLDS(gr_le(a, b), gr_shape(4), 1, 1, 0, 0);
    HOLDS(gr_gt(a, b), gr_shape(4), 0, 0, 1, 0);
    HOLDS(gr_ge(a, b), gr_shape(4), 0, 1, 1, 0);
    HOLDS(gr_lt(a, T(gr_shape(2, 1), 2, 3)), gr_shape(2, 4), 1, 0, 0, 0, 1, 1, 0, 0);
    HOLDS(gr_where(V(1, 0, -3, nan_), V(1, 2, 3, 4), gr_scalar(9)), gr_shape(4), 1, 9, 3, 4);
    HOLDS(gr_where(gr_scalar(0), V(nan_, 1), V(5, 6)), gr_shape(2), 5, 6);
    HOLDS(gr_where(T(gr_shape(2, 1), 1, 0), V(1, 2), gr_scalar(7)), gr_shape(2, 2), 1, 2, 7, 7);
    nothing_failed();
}
END_TEST

/* Gradients at the places where an op has none, or several: as the header says. */
START_TEST(gradients_at_kinks)
{
    GR_STEP;
    gr_tensor *x = gr_param(V(-1, 0, 1)), *a = gr_param(V(1, 2, 3)), *b = gr_param(V(2, 2, 2)),
              *g[2];
    HOLDS(gr_grad(gr_sum(gr_abs(x)), x), gr_shape(3), -1, 0, 1);
    HOLDS(gr_grad(gr_sum(gr_relu(x)), x), gr_shape(3), 0, 0, 1);
    ck_assert(gr_grads(
        gr_sum(gr_maximum(a, b)), (gr_tensor *[]){ a, b }, 2, g, (gr_grad_options){ .x = NULL }));
    HOLDS(g[0], gr_shape(3), 0, 0.5, 1);
    HOLDS(g[1], gr_shape(3), 1, 0.5, 0);
    gr_tensor *ties = gr_param(T(gr_shape(2, 3), 5, 1, 5, 2, 2, 2));
    HOLDS(gr_grad(gr_sum(gr_max(ties, .axes = GR_DIMS(1))), ties), gr_shape(2, 3), 0.5, 0, 0.5,
        (gr_real)1 / 3, (gr_real)1 / 3, (gr_real)1 / 3);
    gr_tensor *tied = gr_param(T(gr_shape(1, 1, 2, 2), 3, 3, 3, 3));
    HOLDS(gr_grad(gr_sum(gr_max_pool2d(tied, 2)), tied), gr_shape(1, 1, 2, 2), 1, 0, 0, 0);
    gr_tensor *base = gr_param(V(0, 0, 0, 2)), *power = gr_param(V(0, 1, 2, 0));
    ck_assert(gr_grads(gr_sum(gr_pow(base, power)), (gr_tensor *[]){ base, power }, 2, g,
        (gr_grad_options){ .x = NULL }));
    HOLDS(g[0], gr_shape(4), 0, 1, 0, 0);
    NEAR(g[1], gr_shape(4), 1e-6, 0, 0, 0, log(2));
    gr_tensor *c = gr_param(V(1, 0)), *p = gr_param(V(nan_, 1)), *q = gr_param(V(1, nan_));
    ck_assert(gr_grads(gr_sum(gr_where(gr_detach(c), p, q)), (gr_tensor *[]){ p, q }, 2, g,
        (gr_grad_options){ .x = NULL }));
    HOLDS(g[0], gr_shape(2), 1, 0);
    HOLDS(g[1], gr_shape(2), 0, 1);
    nothing_failed();
}
END_TEST

/* ---- reductions ------------------------------------------------------------------------------ */

START_TEST(reductions)
{
    GR_STEP;
    gr_tensor *x = T(gr_shape(2, 3), 1, 2, 3, 4, 5, 9);
    HOLDS(gr_sum(x), SCALAR, 24);
    HOLDS(gr_sum(x, .keepdim = true), gr_shape(1, 1), 24);
    HOLDS(gr_sum(x, .axes = GR_DIMS(0)), gr_shape(3), 5, 7, 12);
    HOLDS(gr_sum(x, .axes = GR_DIMS(-1), .keepdim = true), gr_shape(2, 1), 6, 18);
    HOLDS(gr_mean(x), SCALAR, 4);
    HOLDS(gr_mean(x, .axes = GR_DIMS(1)), gr_shape(2), 2, 6);
    HOLDS(gr_max(x), SCALAR, 9);
    HOLDS(gr_max(x, .axes = GR_DIMS(0)), gr_shape(3), 4, 5, 9);
    HOLDS(gr_max(T(gr_shape(2, 2), 1, nan_, 3, 2), .axes = GR_DIMS(1)), gr_shape(2), nan_, 3);
    HOLDS(gr_max(V(-inf, -inf)), SCALAR, -inf);
    HOLDS(gr_sum(gr_zeros(gr_shape(0, 2))), SCALAR, 0);
    HOLDS(gr_sum(gr_zeros(gr_shape(0, 2)), .axes = GR_DIMS(0)), gr_shape(2), 0, 0);
    HOLDS(gr_sum(gr_zeros(gr_shape(0, 3, 2)), .axes = GR_DIMS(0, 2)), gr_shape(3), 0, 0, 0);
    HOLDS(gr_mean(gr_zeros(gr_shape(0))), SCALAR, nan_);
    HOLDS(gr_mean(gr_zeros(gr_shape(2, 0)), .axes = GR_DIMS(1)), gr_shape(2), nan_, nan_);
    HOLDS(gr_max(gr_zeros(gr_shape(0, 2)), .axes = GR_DIMS(1)), gr_shape(0), 0);
    HOLDS(gr_sum(gr_scalar(3)), SCALAR, 3);
    HOLDS_INTS(gr_argmax(x, 1), gr_shape(2), 2, 2);
    HOLDS_INTS(gr_argmax(x, -2), gr_shape(3), 1, 1, 1);
    HOLDS_INTS(gr_argmax(V(3, 7, 7, 1), 0), SCALAR, 1);
    HOLDS_INTS(gr_argmax(V(3, nan_, 7, nan_), 0), SCALAR, 1);
    HOLDS_INTS(gr_argmax(V(-inf, -inf), 0), SCALAR, 0);
    HOLDS_INTS(gr_argmax(gr_zeros(gr_shape(0, 2)), 1), gr_shape(0), 0);
    nothing_failed();
}
END_TEST

/* Every mask over (2,3,4,5), against a loop. */
START_TEST(reductions_by_loops)
{
    GR_STEP;
    static const int64_t dim[4] = { 2, 3, 4, 5 };
    gr_rng               rng = gr_rng_of(1, "reductions");
    gr_tensor           *x = noise(gr_shape(2, 3, 4, 5), &rng);
    for (int mask = 1; mask < 16; mask++) {
        double  sum[120] = { 0 }, most[120];
        gr_dims axes = { .count = 0 };
        int64_t kept[4], share = 1;
        for (int k = 0; k < 4; k++) {
            kept[k] = mask >> k & 1 ? 1 : dim[k];
            share *= mask >> k & 1 ? dim[k] : 1;
            if (mask >> k & 1) axes.at[axes.count++] = k;
        }
        for (int i = 0; i < 120; i++) most[i] = -INFINITY;
        for (int64_t i = 0; i < 120; i++) {
            int64_t at[4] = { i / 60, i / 20 % 3, i / 5 % 4, i % 5 }, to = 0;
            for (int k = 0; k < 4; k++) to = to * kept[k] + (kept[k] == 1 ? 0 : at[k]);
            sum[to] += (double)gr_data(x)[i];
            most[to] = fmax(most[to], (double)gr_data(x)[i]);
        }
        gr_shape shape = gr_shape(kept[0], kept[1], kept[2], kept[3]);
        near(gr_sum(x, .axes = axes, .keepdim = true), shape, sum, ROUGHLY);
        near(gr_scale(gr_mean(x, .axes = axes, .keepdim = true), (double)share), shape, sum,
            ROUGHLY);
        near(gr_max(x, .axes = axes, .keepdim = true), shape, most, 0);
    }
}
END_TEST

/* As PyTorch 1.13 gives them in double. */
START_TEST(statistics)
{
    GR_STEP;
    gr_tensor *x = T(gr_shape(2, 3), 1, 2, 4, -1, 0, 1), *zero = gr_param(gr_zeros(gr_shape(3)));
    HOLDS(gr_min(x), SCALAR, -1);
    HOLDS(gr_min(x, .axes = GR_DIMS(1), .keepdim = true), gr_shape(2, 1), 1, -1);
    HOLDS(gr_min(V(1, nan_)), SCALAR, nan_);
    NEAR(gr_var(x), SCALAR, 1e-6, 2.96666667);
    NEAR(gr_var(x, .axes = GR_DIMS(-1)), gr_shape(2), 1e-6, 2.33333333, 1);
    NEAR(gr_var(x, .axes = GR_DIMS(1), .biased = true), gr_shape(2), 1e-6, 1.55555556, 2.0 / 3);
    NEAR(gr_std(x, .axes = GR_DIMS(0), .keepdim = true), gr_shape(1, 3), 1e-6, 1.41421356,
        1.41421356, 2.12132034);
    HOLDS(gr_var(V(1)), SCALAR, nan_);
    HOLDS(gr_var(V(1), .biased = true), SCALAR, 0);
    NEAR(gr_norm(x), SCALAR, 1e-6, 4.79583152);
    NEAR(gr_norm(x, .axes = GR_DIMS(1)), gr_shape(2), 1e-6, 4.58257569, 1.41421356);
    HOLDS(gr_norm(gr_zeros(gr_shape(0))), SCALAR, 0);
    HOLDS(gr_grad(gr_norm(zero), zero), gr_shape(3), 0, 0, 0);
    HOLDS(gr_grad(gr_std(zero), zero), gr_shape(3), 0, 0, 0);
    NEAR(gr_logsumexp(x), SCALAR, 1e-6, 4.23108236);
    NEAR(gr_logsumexp(x, .axes = GR_DIMS(1), .keepdim = true), gr_shape(2, 1), 1e-6, 4.16984602,
        1.40760596);
    HOLDS(gr_logsumexp(V(-inf, -inf)), SCALAR, -inf);
    HOLDS(gr_logsumexp(V(inf, 1)), SCALAR, inf);
    HOLDS(gr_logsumexp(V(2000, 0)), SCALAR, 2000);
    nothing_failed();
}
END_TEST

/* The error of a long sum does not grow with its length. */
START_TEST(long_sums)
{
    GR_STEP;
    gr_rng      rng = gr_rng_of(1, "long");
    gr_tensor  *x = gr_uniform(gr_shape(1000, 1000), &rng, 0, 1);
    long double sum = 0, down = 0; /* longer than what is measured, in the build in double */
    for (int64_t i = 0; i < 1000000; i++) sum += (long double)gr_data(x)[i];
    for (int64_t i = 0; i < 1000; i++) down += (long double)gr_data(x)[1000 * i + 17];
    double eps = sizeof(gr_real) == 4 ? FLT_EPSILON : DBL_EPSILON;
    ck_assert_double_eq_tol(gr_item(gr_sum(x)), (double)sum, 20 * eps * (double)sum);
    ck_assert_double_eq_tol(gr_item(gr_mean(x)), (double)sum / 1e6, 20 * eps);
    ck_assert_double_eq_tol(
        (double)gr_data(gr_sum(x, .axes = GR_DIMS(0)))[17], (double)down, 20 * eps * (double)down);
}
END_TEST

/* ---- movement -------------------------------------------------------------------------------- */

START_TEST(movement)
{
    GR_STEP;
    gr_tensor *x = T(gr_shape(2, 3), 1, 2, 3, 4, 5, 6);
    HOLDS(gr_reshape(x, gr_shape(3, -1)), gr_shape(3, 2), 1, 2, 3, 4, 5, 6);
    HOLDS(gr_reshape(gr_scalar(3), gr_shape(1, 1)), gr_shape(1, 1), 3);
    HOLDS(gr_reshape(gr_zeros(gr_shape(0, 3)), gr_shape(3, -1)), gr_shape(3, 0), 0);
    ck_assert_ptr_eq(gr_data(gr_reshape(x, gr_shape(6))), gr_data(x));
    HOLDS(gr_flatten(gr_reshape(x, gr_shape(2, 3, 1))), gr_shape(2, 3), 1, 2, 3, 4, 5, 6);
    HOLDS(gr_flatten(V(1, 2)), gr_shape(2, 1), 1, 2);
    HOLDS(gr_flatten(gr_zeros(gr_shape(0, 3, 2))), gr_shape(0, 6), 0);
    HOLDS(gr_permute(x, GR_DIMS(1, 0)), gr_shape(3, 2), 1, 4, 2, 5, 3, 6);
    HOLDS(gr_permute(gr_reshape(x, gr_shape(1, 2, 3)), GR_DIMS(-1, 0, 1)), gr_shape(3, 1, 2), 1, 4,
        2, 5, 3, 6);
    HOLDS(gr_expand(V(1, 2), gr_shape(2, 2)), gr_shape(2, 2), 1, 2, 1, 2);
    HOLDS(gr_expand(T(gr_shape(2, 1), 1, 2), gr_shape(2, 3)), gr_shape(2, 3), 1, 1, 1, 2, 2, 2);
    HOLDS(gr_expand(gr_scalar(4), gr_shape(3)), gr_shape(3), 4, 4, 4);
    HOLDS(gr_expand(V(1), gr_shape(0)), gr_shape(0), 0);
    HOLDS(gr_flip(x, GR_DIMS(1)), gr_shape(2, 3), 3, 2, 1, 6, 5, 4);
    HOLDS(gr_flip(x, GR_DIMS(0, -1)), gr_shape(2, 3), 6, 5, 4, 3, 2, 1);
    HOLDS(gr_transpose(x, 0, -1), gr_shape(3, 2), 1, 4, 2, 5, 3, 6);
    HOLDS(gr_unsqueeze(x, -1), gr_shape(2, 3, 1), 1, 2, 3, 4, 5, 6);
    HOLDS(gr_unsqueeze(gr_scalar(7), 0), gr_shape(1), 7);
    HOLDS(gr_squeeze(gr_reshape(x, gr_shape(1, 2, 1, 3))), gr_shape(2, 3), 1, 2, 3, 4, 5, 6);
    HOLDS(gr_squeeze(gr_reshape(x, gr_shape(1, 2, 1, 3)), .axes = GR_DIMS(-2, 3)),
        gr_shape(1, 2, 3), 1, 2, 3, 4, 5, 6);
    HOLDS(gr_stack(GR_TENSORS(V(1, 2), V(3, 4)), 1), gr_shape(2, 2), 1, 3, 2, 4);
    HOLDS(gr_stack(GR_TENSORS(V(1, 2), V(3, 4)), 0), gr_shape(2, 2), 1, 2, 3, 4);
    HOLDS(gr_roll(x, 1, 1), gr_shape(2, 3), 3, 1, 2, 6, 4, 5);
    HOLDS(gr_roll(x, -4, 1), gr_shape(2, 3), 2, 3, 1, 5, 6, 4);
    HOLDS(gr_roll(x, 3, 1), gr_shape(2, 3), 1, 2, 3, 4, 5, 6);
    gr_tensor *part[2];
    ck_assert(gr_split(x, 2, 1, part, 2));
    HOLDS(part[0], gr_shape(2, 2), 1, 2, 4, 5);
    HOLDS(part[1], gr_shape(2, 1), 3, 6);
    nothing_failed();
}
END_TEST

START_TEST(slices)
{
    GR_STEP;
    gr_tensor *x = gr_arange(6), *m = gr_reshape(x, gr_shape(2, 3));
    HOLDS(gr_slice(x, 0, 1, 3), gr_shape(2), 1, 2);
    HOLDS(gr_slice(x, 0, -2, GR_END), gr_shape(2), 4, 5);
    HOLDS(gr_slice(x, 0, 0, -1, .step = 2), gr_shape(3), 0, 2, 4);
    HOLDS(gr_slice(x, 0, 1, GR_END, .step = 3), gr_shape(2), 1, 4);
    HOLDS(gr_slice(x, -1, -100, 100, .step = 5), gr_shape(2), 0, 5);
    HOLDS(gr_slice(x, 0, 4, 2), gr_shape(0), 0);
    HOLDS(gr_slice(x, 0, 6, GR_END), gr_shape(0), 0);
    HOLDS(gr_slice(x, 0, INT64_MIN, INT64_MAX), gr_shape(6), 0, 1, 2, 3, 4, 5);
    HOLDS(gr_slice(m, 1, 1, 2), gr_shape(2, 1), 1, 4);
    HOLDS(gr_slice(m, 1, 0, GR_END, .step = 2), gr_shape(2, 2), 0, 2, 3, 5);
    HOLDS(gr_slice(x, 0, 0, GR_END, .step = INT64_MAX), gr_shape(1), 0);
    ck_assert_ptr_eq(gr_data(gr_slice(m, 0, 1, 2)), gr_data(x) + 3);
    HOLDS_INTS(gr_slice(INTS(1, 2, 3), 0, 1, GR_END), gr_shape(2), 2, 3);
    nothing_failed();
}
END_TEST

START_TEST(joins_and_borders)
{
    GR_STEP;
    gr_tensor *x = T(gr_shape(2, 2), 1, 2, 3, 4);
    HOLDS(gr_concat(GR_TENSORS(x, T(gr_shape(1, 2), 5, 6)), 0), gr_shape(3, 2), 1, 2, 3, 4, 5, 6);
    HOLDS(gr_concat(GR_TENSORS(x, T(gr_shape(2, 1), 5, 6), x), -1), gr_shape(2, 5), 1, 2, 5, 1, 2,
        3, 4, 6, 3, 4);
    HOLDS(gr_concat(GR_TENSORS(x), 1), gr_shape(2, 2), 1, 2, 3, 4);
    HOLDS(gr_concat(GR_TENSORS(gr_zeros(gr_shape(0, 2)), x), 0), gr_shape(2, 2), 1, 2, 3, 4);
    HOLDS_INTS(gr_concat(GR_TENSORS(INTS(1, 2), INTS(3)), 0), gr_shape(3), 1, 2, 3);
    HOLDS(gr_pad(x, gr_shape(1, 0)), gr_shape(4, 2), 0, 0, 1, 2, 3, 4, 0, 0);
    HOLDS(gr_pad(x, gr_shape(0, 1), .after = gr_shape(0, -1), .value = 9), gr_shape(2, 2), 9, 1, 9,
        3);
    HOLDS(gr_pad(x, gr_shape(-1, -2), .after = gr_shape(0, 1), .value = 5), gr_shape(1, 1), 5);
    HOLDS(gr_pad(x, gr_shape(-1, 0), .after = gr_shape(-1, 0)), gr_shape(0, 2), 0);
    HOLDS(gr_pad(gr_scalar(3), (gr_shape){ .rank = 0 }), SCALAR, 3);
    HOLDS_INTS(gr_pad(INTS(1, 2), gr_shape(1), .value = -7), gr_shape(4), -7, 1, 2, -7);
    HOLDS_INTS(gr_permute(gr_reshape(INTS(1, 2, 3, 4), gr_shape(2, 2)), GR_DIMS(1, 0)),
        gr_shape(2, 2), 1, 3, 2, 4);
    HOLDS_INTS(gr_expand(INTS(5), gr_shape(2, 2)), gr_shape(2, 2), 5, 5, 5, 5);
    HOLDS_INTS(gr_flip(INTS(1, 2, 3), GR_DIMS(0)), gr_shape(3), 3, 2, 1);
    nothing_failed();
}
END_TEST

/* ---- matrices -------------------------------------------------------------------------------- */

START_TEST(products)
{
    GR_STEP;
    gr_tensor *a = T(gr_shape(2, 3), 1, 2, 3, 4, 5, 6), *b = T(gr_shape(3, 2), 1, 0, 0, 1, 2, 2),
              *v = V(1, 2, 3), *w = V(1, -1);
    HOLDS(gr_matmul(a, b), gr_shape(2, 2), 7, 8, 16, 17);
    HOLDS(gr_matmul(a, a, .transpose_b = true), gr_shape(2, 2), 14, 32, 32, 77);
    HOLDS(gr_matmul(a, w, .transpose_a = true), gr_shape(3), -3, -3, -3);
    HOLDS(gr_matmul(a, v), gr_shape(2), 14, 32);
    HOLDS(gr_matmul(v, b), gr_shape(2), 7, 8);
    HOLDS(gr_matmul(v, v), SCALAR, 14);
    /* a vector's transpose is itself */
    HOLDS(gr_matmul(v, v, .transpose_a = true, .transpose_b = true), SCALAR, 14);
    HOLDS(gr_matmul(gr_reshape(a, gr_shape(2, 1, 3)), gr_reshape(b, gr_shape(1, 3, 2))),
        gr_shape(2, 1, 2), 7, 8, 16, 17);
    HOLDS(
        gr_matmul(gr_zeros(gr_shape(2, 0)), gr_zeros(gr_shape(0, 2))), gr_shape(2, 2), 0, 0, 0, 0);
    HOLDS(gr_matmul(gr_zeros(gr_shape(0, 3)), b), gr_shape(0, 2), 0);
    HOLDS(gr_matmul(gr_zeros(gr_shape(0, 2, 3)), b), gr_shape(0, 2, 2), 0);
    HOLDS(gr_matmul(gr_zeros(gr_shape(2, 0)), gr_zeros(gr_shape(3, 0, 2))), gr_shape(3, 2, 2), 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    HOLDS(gr_linear(V(1, 2, 3), a, .bias = w, .act = GR_RELU), gr_shape(2), 15, 31);
    HOLDS(gr_linear(gr_neg(a), a, .act = GR_RELU), gr_shape(2, 2), 0, 0, 0, 0);
    HOLDS(gr_linear(gr_zeros(gr_shape(2, 0)), gr_zeros(gr_shape(2, 0)), .bias = w), gr_shape(2, 2),
        1, -1, 1, -1);
    HOLDS(gr_linear(gr_zeros(gr_shape(0, 3)), a), gr_shape(0, 2), 0);
    nothing_failed();
}
END_TEST

/* Gradients of products over nothing have the shapes of what they are of. */
START_TEST(empty_products_backward)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_zeros(gr_shape(2, 3, 0))), *w = gr_param(gr_zeros(gr_shape(4, 0))),
              *b = gr_param(gr_zeros(gr_shape(4)));
    ck_assert_msg(gr_backward(gr_sum(gr_linear(x, w, .bias = b))), "%s", gr_error());
    HOLDS(gr_grad_of(b), gr_shape(4), 6, 6, 6, 6);
    HOLDS(gr_grad_of(w), gr_shape(4, 0), 0);
    HOLDS(gr_grad_of(x), gr_shape(2, 3, 0), 0);
    gr_tensor *none = gr_param(gr_zeros(gr_shape(0, 3))), *y = gr_param(gr_ones(gr_shape(2, 2, 3)));
    ck_assert_msg(gr_backward(gr_sum(gr_linear(y, none, .act = GR_TANH))), "%s", gr_error());
    HOLDS(gr_grad_of(y), gr_shape(2, 2, 3), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    HOLDS(gr_grad_of(none), gr_shape(0, 3), 0);
    gr_tensor *a = gr_param(gr_ones(gr_shape(2, 0))), *c = gr_param(gr_ones(gr_shape(3, 0, 2)));
    ck_assert_msg(gr_backward(gr_sum(gr_matmul(a, c))), "%s", gr_error());
    HOLDS(gr_grad_of(c), gr_shape(3, 0, 2), 0);
}
END_TEST

/* Sizes around the register blocks, each flag, each batch, against three loops. */
START_TEST(products_by_loops)
{
    gr_rng rng = gr_rng_of(1, "products");
    for (int turn = 0; turn < 400; turn++) {
        GR_STEP;
        int64_t M = 1 + gr_rng_below(&rng, 40), N = 1 + gr_rng_below(&rng, 70),
                K = 1 + gr_rng_below(&rng, 50), batch = 1 + gr_rng_below(&rng, 3);
        bool ta = gr_rng_below(&rng, 2), tb = gr_rng_below(&rng, 2), shared = gr_rng_below(&rng, 2);
        gr_tensor *a = noise(ta ? gr_shape(batch, K, M) : gr_shape(batch, M, K), &rng);
        gr_tensor *b = noise(
            tb ? gr_shape(shared ? 1 : batch, N, K) : gr_shape(shared ? 1 : batch, K, N), &rng);
        gr_tensor *y = gr_matmul(a, b, .transpose_a = ta, .transpose_b = tb);
        ck_assert(same_shape(gr_shape_of(y), gr_shape(batch, M, N)));
        for (int64_t i = 0; i < batch * M * N; i++) {
            int64_t        s = i / (M * N), m = i / N % M, n = i % N;
            const gr_real *as = gr_data(a) + s * M * K, *bs = gr_data(b) + (shared ? 0 : s * K * N);
            double         sum = 0;
            for (int64_t k = 0; k < K; k++)
                sum += (double)(ta ? as[k * M + m] : as[m * K + k]) *
                       (double)(tb ? bs[n * K + k] : bs[k * N + n]);
            if (!(fabs((double)gr_data(y)[i] - sum) <= ROUGHLY * fmax(1, fabs(sum))))
                ck_abort_msg("(%lld,%lld,%lld) batch %lld: element %lld is %g, not %g",
                    (long long)M, (long long)N, (long long)K, (long long)batch, (long long)i,
                    (double)gr_data(y)[i], sum);
        }
    }
}
END_TEST

/* ---- pooling, probabilities, losses ---------------------------------------------------------- */

START_TEST(pooling)
{
    GR_STEP;
    gr_tensor *x = gr_reshape(gr_arange(16), gr_shape(1, 1, 4, 4));
    HOLDS(gr_max_pool2d(x, 2), gr_shape(1, 1, 2, 2), 5, 7, 13, 15);
    HOLDS(gr_max_pool2d(x, 3), gr_shape(1, 1, 1, 1), 10);
    HOLDS(gr_max_pool2d(x, 2, .stride = 1), gr_shape(1, 1, 3, 3), 5, 6, 7, 9, 10, 11, 13, 14, 15);
    HOLDS(gr_max_pool2d(gr_neg(x), 2, .padding = 1), gr_shape(1, 1, 3, 3), 0, -1, -3, -4, -5, -7,
        -12, -13, -15);
    HOLDS(gr_max_pool2d(x, 0, .size_hw = { 1, 4 }), gr_shape(1, 1, 4, 1), 3, 7, 11, 15);
    HOLDS(gr_max_pool2d(T(gr_shape(1, 1, 2, 2), 1, nan_, 3, 4), 2), gr_shape(1, 1, 1, 1), nan_);
    HOLDS(gr_max_pool2d(T(gr_shape(1, 1, 2, 2), -inf, -inf, -inf, -inf), 2), gr_shape(1, 1, 1, 1),
        -inf);
    HOLDS(gr_max_pool2d(gr_zeros(gr_shape(0, 2, 4, 4)), 2), gr_shape(0, 2, 2, 2), 0);
    nothing_failed();
}
END_TEST

START_TEST(pooling_by_loops)
{
    gr_rng rng = gr_rng_of(1, "pooling");
    for (int turn = 0; turn < 200; turn++) {
        GR_STEP;
        int64_t H = 3 + gr_rng_below(&rng, 8), W = 3 + gr_rng_below(&rng, 8);
        int     KH = 1 + (int)gr_rng_below(&rng, 3), KW = 1 + (int)gr_rng_below(&rng, 3),
            SH = 1 + (int)gr_rng_below(&rng, 3), SW = 1 + (int)gr_rng_below(&rng, 3);
        int     PH = (int)gr_rng_below(&rng, KH / 2 + 1), PW = (int)gr_rng_below(&rng, KW / 2 + 1);
        int64_t OH = (H + 2 * PH - KH) / SH + 1, OW = (W + 2 * PW - KW) / SW + 1;
        gr_tensor *x = noise(gr_shape(2, 3, H, W), &rng);
        gr_tensor *y = gr_max_pool2d(
            x, 0, .size_hw = { KH, KW }, .stride_hw = { SH, SW }, .padding_hw = { PH, PW });
        ck_assert(same_shape(gr_shape_of(y), gr_shape(2, 3, OH, OW)));
        for (int64_t i = 0; i < 6 * OH * OW; i++) {
            gr_real most = -inf;
            for (int64_t e = 0; e < KH * KW; e++) {
                int64_t h = i / OW % OH * SH - PH + e / KW, w = i % OW * SW - PW + e % KW;
                if (h >= 0 && h < H && w >= 0 && w < W &&
                    gr_data(x)[(i / (OH * OW) * H + h) * W + w] > most)
                    most = gr_data(x)[(i / (OH * OW) * H + h) * W + w];
            }
            if (gr_data(y)[i] != most) ck_abort_msg("turn %d, element %lld", turn, (long long)i);
        }
    }
}
END_TEST

START_TEST(probabilities)
{
    GR_STEP;
    gr_tensor *x = T(gr_shape(2, 2), 0, (gr_real)log(3), 1000, 1000);
    NEAR(gr_softmax(x, 1), gr_shape(2, 2), 1e-6, 0.25, 0.75, 0.5, 0.5);
    NEAR(gr_log_softmax(x, -1), gr_shape(2, 2), 1e-6, log(0.25), log(0.75), log(0.5), log(0.5));
    NEAR(gr_softmax(gr_permute(x, GR_DIMS(1, 0)), 0), gr_shape(2, 2), 1e-6, 0.25, 0.5, 0.75, 0.5);
    NEAR(gr_log_softmax(V(-1e4, 0), 0), gr_shape(2), 1e-6, -1e4, 0);
    HOLDS(gr_softmax(V(-inf, 0), 0), gr_shape(2), 0, 1);
    HOLDS(gr_softmax(gr_zeros(gr_shape(0, 3)), 1), gr_shape(0, 3), 0);
    HOLDS(gr_softmax(gr_zeros(gr_shape(2, 0)), 1), gr_shape(2, 0), 0);
    HOLDS(gr_softmax(gr_zeros(gr_shape(2, 0)), 0), gr_shape(2, 0), 0);
    NEAR(gr_cross_entropy(x, INTS(1, 0)), SCALAR, 1e-6, (-log(0.75) - log(0.5)) / 2);
    NEAR(gr_cross_entropy(T(gr_shape(1, 2), 1e4, 0), INTS(1)), SCALAR, 1e-6, 1e4);
    HOLDS(gr_cross_entropy(
              gr_zeros(gr_shape(0, 3)), gr_from_ints(gr_shape(0), (const int32_t[]){ 0 })),
        SCALAR, nan_);
    HOLDS(gr_mse(V(1, 2), V(3, 5)), SCALAR, 6.5);
    HOLDS(gr_mse(gr_zeros(gr_shape(0)), gr_zeros(gr_shape(0))), SCALAR, nan_);
    nothing_failed();
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------- */

#define REFUSED(expression, text) FAILS((expression), GR_ERR_ARGUMENT, text)

/* Windows of 2 x 2 have kernels of their own, by groups of windows: every width, with ties, NaN and
   infinities. */
static int first_of_pairs(const gr_real *x, int64_t width, int64_t i, int64_t j)
{
    const int64_t place[4] = { 2 * i * width + 2 * j, 2 * i * width + 2 * j + 1,
        (2 * i + 1) * width + 2 * j, (2 * i + 1) * width + 2 * j + 1 };
    int           best = 0;
    for (int k = 1; k < 4; k++) {
        gr_real new = x[place[k]], old = x[place[best]];
        if (new > old || (isnan(new) && !isnan(old))) best = k;
    }
    return (int)place[best];
}

START_TEST(pooled_pairs_of_every_width)
{
    gr_rng rng = gr_rng_of(1, "pairs");
    for (int64_t width = 2; width < 72; width++) {
        GR_STEP;
        gr_tensor *x = gr_param(gr_zeros(gr_shape(1, 1, 7, width)));
        gr_real   *v = gr_data_mut(x);
        for (int64_t i = 0; i < 7 * width; i++) {
            int64_t draw = gr_rng_below(&rng, 40);
            v[i] = draw == 0 ? (gr_real)NAN : draw == 1 ? -(gr_real)INFINITY : (gr_real)(draw % 4);
        }
        int64_t    windows = 3 * (width / 2);
        gr_tensor *y = gr_max_pool2d(x, 2), *alone = gr_max_pool2d(gr_detach(x), 2);
        gr_tensor *g = gr_grad(y, x,
            .grad_output = gr_reshape(gr_add(gr_arange(windows), gr_scalar(1)), gr_shape_of(y)));
        for (int64_t i = 0, n = 0; i < 3; i++)
            for (int64_t j = 0; j < width / 2; j++, n++) {
                int at = first_of_pairs(v, width, i, j);
                ck_assert(gr_data(y)[n] == v[at] || (isnan(v[at]) && isnan(gr_data(y)[n])));
                ck_assert(gr_data(alone)[n] == v[at] || (isnan(v[at]) && isnan(gr_data(alone)[n])));
                ck_assert(gr_data(g)[at] == (gr_real)(n + 1));
            }
        ck_assert_double_eq((double)gr_item(gr_sum(g)), (double)(windows * (windows + 1) / 2));
    }
    nothing_failed();
}
END_TEST

START_TEST(refused_elementwise)
{
    GR_STEP;
    gr_tensor *a = gr_zeros(gr_shape(2, 3)), *b = gr_zeros(gr_shape(2)), *i = INTS(1, 2, 3);
    static const struct {
        const char *name;
        gr_tensor *(*fn)(gr_tensor *, gr_tensor *);
    } two[] = { { "add", gr_add }, { "sub", gr_sub }, { "mul", gr_mul }, { "div", gr_div },
        { "pow", gr_pow }, { "maximum", gr_maximum }, { "minimum", gr_minimum }, { "eq", gr_eq },
        { "ne", gr_ne }, { "lt", gr_lt }, { "le", gr_le }, { "gt", gr_gt }, { "ge", gr_ge },
        { "conv_filt", gr_conv_filt }, { "conv_full", gr_conv_full } };
    for (size_t k = 0; k < sizeof two / sizeof *two; k++) {
        char text[100];
        snprintf(text, sizeof text, "%s: (2,3) and (2) do not broadcast", two[k].name);
        if (k < 13) REFUSED(two[k].fn(a, b), text);
        snprintf(text, sizeof text, "%s: input 1 is NULL", two[k].name);
        REFUSED(two[k].fn(NULL, b), text);
        snprintf(text, sizeof text, "%s: input 2 is NULL", two[k].name);
        REFUSED(two[k].fn(a, NULL), text);
        snprintf(text, sizeof text, "%s: input 2 (3) is int32, real wanted", two[k].name);
        REFUSED(two[k].fn(a, i), text);
    }
    REFUSED(gr_where(a, b, b), "where: (2,3), (2) and (2) do not broadcast");
    REFUSED(gr_where(a, NULL, a), "where: input 2 is NULL");
    REFUSED(gr_where(i, gr_zeros(gr_shape(3)), gr_scalar(0)),
        "where: input 1 (3) is int32, real wanted");
}
END_TEST

START_TEST(refused_of_one)
{
    GR_STEP;
    gr_tensor *i = INTS(1, 2, 3);
    static const struct {
        const char *name;
        gr_tensor *(*fn)(gr_tensor *);
    } one[] = { { "neg", gr_neg }, { "exp", gr_exp }, { "log", gr_log }, { "sqrt", gr_sqrt },
        { "abs", gr_abs }, { "sign", gr_sign }, { "relu", gr_relu }, { "sigmoid", gr_sigmoid },
        { "tanh", gr_tanh }, { "sin", gr_sin }, { "cos", gr_cos }, { "log1p", gr_log1p },
        { "expm1", gr_expm1 }, { "erf", gr_erf }, { "softplus", gr_softplus }, { "silu", gr_silu },
        { "gelu", gr_gelu } };
    for (size_t k = 0; k < sizeof one / sizeof *one; k++) {
        char text[100];
        snprintf(text, sizeof text, "%s: input 1 is NULL", one[k].name);
        REFUSED(one[k].fn(NULL), text);
        snprintf(text, sizeof text, "%s: input 1 (3) is int32, real wanted", one[k].name);
        REFUSED(one[k].fn(i), text);
    }
    REFUSED(gr_clamp(NULL, 0, 1), "clamp: input 1 is NULL");
    REFUSED(gr_clamp(gr_scalar(1), 2, 1), "clamp: from 2 to 1 is no range");
    REFUSED(gr_leaky_relu(i, 0.1), "leaky_relu: input 1 (3) is int32, real wanted");
    REFUSED(gr_elu(NULL, 1), "elu: input 1 is NULL");
    REFUSED(gr_scale(NULL, 2), "scale: input 1 is NULL");
    REFUSED(gr_scale(i, 2), "scale: input 1 (3) is int32, real wanted");
}
END_TEST

START_TEST(refused_reductions)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(2, 3)), *i = INTS(1, 2, 3);
    REFUSED(gr_sum(NULL), "sum: input 1 is NULL");
    REFUSED(gr_min(NULL), "min: input 1 is NULL");
    REFUSED(gr_min(gr_zeros(gr_shape(2, 0))), "min: (2,0) has nothing along its axes");
    REFUSED(gr_var(i), "var: input 1 (3) is int32, real wanted");
    REFUSED(gr_std(x, .axes = GR_DIMS(2)), "std: (2,3) has no axis 2");
    REFUSED(gr_norm(x, .axes = GR_DIMS(0, -2)), "norm: axis 0 is named twice");
    REFUSED(gr_logsumexp(NULL), "logsumexp: input 1 is NULL");
    REFUSED(gr_mean(NULL, .axes = GR_DIMS(0)), "mean: input 1 is NULL");
    REFUSED(gr_max(NULL), "max: input 1 is NULL");
    REFUSED(gr_argmax(NULL, 0), "argmax: input 1 is NULL");
    REFUSED(gr_sum(i), "sum: input 1 (3) is int32, real wanted");
    REFUSED(gr_argmax(i, 0), "argmax: input 1 (3) is int32, real wanted");
    REFUSED(gr_sum(x, .axes = GR_DIMS(2)), "sum: (2,3) has no axis 2");
    REFUSED(gr_mean(x, .axes = GR_DIMS(0, -3)), "mean: (2,3) has no axis -3");
    REFUSED(gr_max(x, .axes = GR_DIMS(1, -1)), "max: axis 1 is named twice");
    REFUSED(gr_sum(x, .axes = { .count = 9 }), "sum: axes 9, at most 8 wanted");
    REFUSED(gr_sum(x, .axes = { .count = -1 }), "sum: axes -1, at most 8 wanted");
    REFUSED(gr_sum(gr_scalar(1), .axes = GR_DIMS(1)), "sum: () has no axis 1");
    REFUSED(gr_max(gr_zeros(gr_shape(2, 0))),
        "max: (2,0) has nothing along axis 1 to take the largest of");
    REFUSED(gr_argmax(x, 2), "argmax: (2,3) has no axis 2");
    REFUSED(gr_argmax(gr_scalar(1), -2), "argmax: () has no axis -2");
    REFUSED(gr_argmax(gr_zeros(gr_shape(2, 0)), 1), "argmax: (2,0) has nothing along axis 1");
}
END_TEST

START_TEST(refused_movement)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(2, 3));
    REFUSED(gr_reshape(NULL, gr_shape(1)), "reshape: input 1 is NULL");
    REFUSED(gr_reshape(x, gr_shape(4)), "reshape: (2,3) has 6 elements, shape (4) wanted");
    REFUSED(gr_reshape(x, gr_shape(-1, 4)), "reshape: (2,3) has 6 elements, shape (-1,4) wanted");
    REFUSED(gr_reshape(x, gr_shape(-1, -1)), "reshape: (2,3) has 6 elements, shape (-1,-1) wanted");
    REFUSED(gr_reshape(x, gr_shape(-2, -3)), "reshape: (2,3) has 6 elements, shape (-2,-3) wanted");
    REFUSED(gr_reshape(gr_zeros(gr_shape(0)), gr_shape(-1, 0)),
        "reshape: (0) has 0 elements, shape (-1,0) wanted");
    REFUSED(gr_reshape(x, (gr_shape){ .rank = 9 }),
        "reshape: (2,3) has 6 elements, shape (0,0,0,0,0,0,0,0) wanted");
    REFUSED(gr_transpose(NULL, 0, 1), "transpose: input 1 is NULL");
    REFUSED(gr_transpose(gr_zeros(gr_shape(2, 3)), 0, 2), "transpose: (2,3) has no axis 2");
    REFUSED(gr_unsqueeze(NULL, 0), "unsqueeze: input 1 is NULL");
    REFUSED(
        gr_unsqueeze(gr_zeros(gr_shape(2, 3)), 3), "unsqueeze: (2,3) has no room for an axis 3");
    REFUSED(gr_squeeze(NULL), "squeeze: input 1 is NULL");
    REFUSED(
        gr_squeeze(gr_zeros(gr_shape(2, 3)), .axes = GR_DIMS(-3)), "squeeze: (2,3) has no axis -3");
    REFUSED(gr_stack(NULL, 2, 0), "stack: 0 tensors, 1 or more wanted");
    REFUSED(gr_stack(GR_TENSORS(gr_scalar(1), NULL), 0), "stack: input 2 is NULL");
    REFUSED(gr_stack(GR_TENSORS(gr_scalar(1), gr_zeros(gr_shape(2))), 0),
        "stack: input 2 (2) differs from ()");
    REFUSED(gr_roll(NULL, 1, 0), "roll: input 1 is NULL");
    REFUSED(gr_roll(gr_zeros(gr_shape(2, 3)), 1, -3), "roll: (2,3) has no axis -3");
    ck_assert(!gr_split(gr_zeros(gr_shape(2, 3)), 2, 1, (gr_tensor *[3]){ NULL }, 3));
    REFUSED(NULL, "split: (2,3) along axis 1 in parts of 2 does not give 3");
    REFUSED(gr_flatten(NULL), "flatten: input 1 is NULL");
    REFUSED(gr_flatten(gr_scalar(1)), "flatten: () has no dimension to keep");
    REFUSED(gr_permute(NULL, GR_DIMS(0)), "permute: input 1 is NULL");
    REFUSED(gr_permute(x, GR_DIMS(0)), "permute: (2,3) wants each dimension named once");
    REFUSED(
        gr_permute(x, GR_DIMS(1, -1)), "permute: (2,3) wants each dimension named once");
    REFUSED(
        gr_permute(x, GR_DIMS(0, 2)), "permute: (2,3) wants each dimension named once");
}
END_TEST

START_TEST(refused_parts)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(2, 3)), *c[2] = { x, NULL };
    REFUSED(gr_expand(NULL, gr_shape(1)), "expand: input 1 is NULL");
    REFUSED(gr_expand(x, gr_shape(2, 6)), "expand: (2,3) does not repeat to (2,6)");
    REFUSED(gr_expand(x, gr_shape(3)), "expand: (2,3) does not repeat to (3)");
    REFUSED(gr_expand(gr_scalar(1), gr_shape(-1)), "expand: () does not repeat to (-1)");
    REFUSED(gr_flip(NULL, GR_DIMS(0)), "flip: input 1 is NULL");
    REFUSED(gr_flip(x, GR_DIMS(2)), "flip: (2,3) has no dimension 2");
    REFUSED(gr_slice(NULL, 0, 0, 1), "slice: input 1 is NULL");
    REFUSED(gr_slice(x, 2, 0, 1), "slice: (2,3) has no axis 2");
    REFUSED(gr_slice(x, 0, 0, 1, .step = -1), "slice: step -1, 1 or more wanted");
    REFUSED(gr_slice(gr_scalar(1), 0, 0, 1), "slice: () has no axis 0");
    REFUSED(gr_pad(NULL, gr_shape(0)), "pad: input 1 is NULL");
    REFUSED(gr_pad(x, gr_shape(1)), "pad: (2,3) has rank 2, and .before has 1, .after 1");
    REFUSED(gr_pad(x, gr_shape(1, 1), .after = gr_shape(1, 1, 1)),
        "pad: (2,3) has rank 2, and .before has 2, .after 3");
    REFUSED(gr_pad(x, gr_shape(-1, 0), .after = gr_shape(-2, 0)),
        "pad: dimension 0 of (2,3) cannot lose 1 and 2");
    REFUSED(gr_pad(x, gr_shape(0, 5), .after = gr_shape(0, -4)),
        "pad: dimension 1 of (2,3) cannot lose -5 and 4");
    REFUSED(gr_concat(NULL, 2, 0), "concat: 0 tensors, 1 or more wanted");
    REFUSED(gr_concat(c, 0, 0), "concat: 0 tensors, 1 or more wanted");
    REFUSED(gr_concat(c, 2, 0), "concat: input 2 is NULL");
    REFUSED(gr_concat(GR_TENSORS(x, x), 2), "concat: (2,3) has no axis 2");
    REFUSED(gr_concat(GR_TENSORS(x, gr_zeros(gr_shape(2, 4))), 0),
        "concat: input 2 (2,4) does not continue (2,3) along axis 0");
    REFUSED(gr_concat(GR_TENSORS(x, gr_zeros(gr_shape(3))), 0),
        "concat: input 2 (3) does not continue (2,3) along axis 0");
    REFUSED(gr_concat(GR_TENSORS(gr_zeros(gr_shape(1)), INTS(1)), 0),
        "concat: input 2 (1) does not continue (1) along axis 0");
}
END_TEST

START_TEST(refused_matrices)
{
    GR_STEP;
    gr_tensor *a = gr_zeros(gr_shape(2, 3)), *b = gr_zeros(gr_shape(2, 3)),
              *i = gr_reshape(INTS(1, 2, 3), gr_shape(3, 1));
    REFUSED(gr_matmul(NULL, a), "matmul: input 1 is NULL");
    REFUSED(gr_matmul(a, NULL), "matmul: input 2 is NULL");
    REFUSED(gr_matmul(a, i), "matmul: input 2 (3,1) is int32, real wanted");
    REFUSED(gr_matmul(a, b),
        "matmul: (2,3) and (2,3): inner sizes must be equal and leading ones broadcast");
    REFUSED(gr_matmul(a, b, .transpose_a = true, .transpose_b = true),
        "matmul: (2,3)^T and (2,3)^T: inner sizes must be equal and leading ones broadcast");
    REFUSED(gr_matmul(gr_zeros(gr_shape(2, 2, 3)), gr_zeros(gr_shape(3, 3, 2))),
        "matmul: (2,2,3) and (3,3,2): inner sizes must be equal and leading ones broadcast");
    REFUSED(gr_matmul(gr_scalar(1), a), "matmul: () and (2,3): a scalar is no matrix");
    REFUSED(gr_linear(NULL, a), "linear: input 1 is NULL");
    REFUSED(gr_linear(a, NULL), "linear: input 2 is NULL");
    REFUSED(gr_linear(a, gr_zeros(gr_shape(2, 4))),
        "linear: input (2,3) and weight (2,4): weight (O,I) wants input (...,I)");
    REFUSED(gr_linear(gr_scalar(1), a),
        "linear: input () and weight (2,3): weight (O,I) wants input (...,I)");
    REFUSED(gr_linear(a, gr_zeros(gr_shape(3))),
        "linear: input (2,3) and weight (3): weight (O,I) wants input (...,I)");
    REFUSED(gr_linear(a, b, .bias = gr_zeros(gr_shape(3))),
        "linear: weight (2,3) gives 2 numbers, bias (3) has others");
    REFUSED(gr_linear(a, b, .bias = INTS(1, 2)), "linear: input 3 (2) is int32, real wanted");
    REFUSED(gr_linear(a, b, .act = (gr_act)9), "linear: there is no activation 9");
}
END_TEST

START_TEST(refused_convolutions)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(2, 4, 5, 5)), *k = gr_zeros(gr_shape(6, 4, 3, 3)),
              *g = gr_zeros(gr_shape(2, 6, 3, 3)), *flat = gr_zeros(gr_shape(2, 4));
    REFUSED(gr_conv2d(NULL, k), "conv2d: input 1 is NULL");
    REFUSED(gr_conv2d(x, NULL), "conv2d: input 2 is NULL");
    REFUSED(gr_conv2d(gr_reshape(gr_from_ints(gr_shape(4), (const int32_t[]){ 1, 2, 3, 4 }),
                          gr_shape(1, 4, 1, 1)),
                gr_zeros(gr_shape(1, 4, 1, 1))),
        "conv2d: input 1 (1,4,1,1) is int32, real wanted");
    REFUSED(gr_conv2d(flat, k), "conv2d: input (2,4) has rank 2, 4 wanted");
    REFUSED(gr_conv2d(x, flat), "conv2d: kernel (2,4) has rank 2, 4 wanted");
    REFUSED(gr_conv2d(gr_zeros(gr_shape(64, 3, 28, 28)), gr_zeros(gr_shape(6, 1, 5, 5))),
        "conv2d: input (64,3,28,28) has 3 channels, kernel (6,1,5,5) takes 1");
    REFUSED(gr_conv2d(x, k, .groups = 2),
        "conv2d: input (2,4,5,5) has 4 channels, kernel (6,4,3,3) takes 8");
    REFUSED(
        gr_conv2d(x, k, .groups = 4), "conv2d: groups 4 do not divide channels 4 and filters 6");
    REFUSED(gr_conv2d(x, k, .bias = gr_zeros(gr_shape(5))),
        "conv2d: kernel (6,4,3,3) has 6 filters, bias (5) another number");
    REFUSED(gr_conv2d(x, k, .bias = gr_zeros(gr_shape(6, 1))),
        "conv2d: kernel (6,4,3,3) has 6 filters, bias (6,1) another number");
    REFUSED(gr_conv2d(x, k, .dilation = 3),
        "conv2d: input 5x5, padded by (0,0), is smaller than the kernel 3x3, dilated by (3,3)");
    REFUSED(gr_conv2d(x, gr_zeros(gr_shape(6, 4, 0, 3))), "conv2d: a kernel of 0x3 is empty");
    REFUSED(gr_conv2d(x, k, .stride = -1), "conv2d: stride (-1,-1), padding (0,0), dilation (1,1), "
                                           "groups 1: they must not be negative");
    REFUSED(
        gr_conv2d(x, k, .padding_hw = { 0, -2 }), "conv2d: stride (1,1), padding (0,-2), dilation "
                                                  "(1,1), groups 1: they must not be negative");
    REFUSED(gr_conv2d(x, k, .padding = INT32_MAX), "conv2d: an option over 536870911");
    REFUSED(gr_conv2d(x, k, .act = (gr_act)-1), "conv2d: there is no activation -1");
    REFUSED(gr_conv2d_input_grad(NULL, k, gr_hw(5, 5)), "conv2d_input_grad: input 1 is NULL");
    REFUSED(gr_conv2d_input_grad(g, NULL, gr_hw(5, 5)), "conv2d_input_grad: input 2 is NULL");
    REFUSED(gr_conv2d_input_grad(g, flat, gr_hw(5, 5)),
        "conv2d_input_grad: kernel (2,4) has rank 2, 4 wanted");
    REFUSED(gr_conv2d_input_grad(flat, k, gr_hw(5, 5)),
        "conv2d_input_grad: gradient (2,4) has rank 2, 4 wanted");
    REFUSED(gr_conv2d_input_grad(g, k, gr_hw(6, 5)),
        "conv2d_input_grad: gradient (2,6,3,3), but convolving 6x5 by 3x3 gives (2,6,4,3)");
    REFUSED(
        gr_conv2d_input_grad(g, k, gr_hw(-6, 5)), "conv2d_input_grad: there is no input of -6x5");
    REFUSED(gr_conv2d_input_grad(g, k, gr_hw(INT64_MAX, 5)),
        "conv2d_input_grad: a size over 536870911");
    REFUSED(gr_conv2d_input_grad(gr_zeros(gr_shape(2, 5, 3, 3)), k, gr_hw(5, 5)),
        "conv2d_input_grad: gradient (2,5,3,3), but convolving 5x5 by 3x3 gives (2,6,3,3)");
    REFUSED(gr_conv2d_kernel_grad(NULL, g, gr_hw(3, 3)), "conv2d_kernel_grad: input 1 is NULL");
    REFUSED(gr_conv2d_kernel_grad(x, NULL, gr_hw(3, 3)), "conv2d_kernel_grad: input 2 is NULL");
    REFUSED(gr_conv2d_kernel_grad(x, g, gr_hw(2, 3)),
        "conv2d_kernel_grad: gradient (2,6,3,3), but convolving 5x5 by 2x3 gives (2,6,4,3)");
    REFUSED(
        gr_conv2d_kernel_grad(x, g, gr_hw(0, 3)), "conv2d_kernel_grad: a kernel of 0x3 is empty");
    REFUSED(gr_conv2d_kernel_grad(x, g, gr_hw(3, 3), .groups = 5),
        "conv2d_kernel_grad: groups 5 do not divide channels 4 and filters 6");
    REFUSED(gr_conv2d_kernel_grad(x, gr_zeros(gr_shape(1, 6, 3, 3)), gr_hw(3, 3)),
        "conv2d_kernel_grad: gradient (1,6,3,3), but convolving 5x5 by 3x3 gives (2,6,3,3)");
}
END_TEST

START_TEST(refused_transposed_and_single)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(2, 4, 5, 5)), *k = gr_zeros(gr_shape(4, 6, 3, 3)),
              *m = gr_zeros(gr_shape(2, 3)), *v = gr_zeros(gr_shape(3));
    REFUSED(gr_conv_transpose2d(NULL, k), "conv_transpose2d: input 1 is NULL");
    REFUSED(gr_conv_transpose2d(x, NULL), "conv_transpose2d: input 2 is NULL");
    REFUSED(gr_conv_transpose2d(m, k), "conv_transpose2d: input (2,3) has rank 2, 4 wanted");
    REFUSED(gr_conv_transpose2d(x, m), "conv_transpose2d: kernel (2,3) has rank 2, 4 wanted");
    REFUSED(gr_conv_transpose2d(x, gr_zeros(gr_shape(5, 6, 3, 3))),
        "conv_transpose2d: input (2,4,5,5) has 4 channels, kernel (5,6,3,3) takes 5");
    REFUSED(gr_conv_transpose2d(x, k, .bias = gr_zeros(gr_shape(4))),
        "conv_transpose2d: the output has 6 channels, bias (4) another number");
    REFUSED(gr_conv_transpose2d(x, k, .output_padding = 1),
        "conv_transpose2d: output_padding (1,1) must be under the stride or the dilation (1,1)");
    REFUSED(gr_conv_transpose2d(x, k, .stride = 2, .output_padding_hw = { 1, 2 }),
        "conv_transpose2d: output_padding (1,2) must be under the stride or the dilation (2,2)");
    REFUSED(gr_conv_transpose2d(x, k, .groups = 3),
        "conv_transpose2d: groups 3 do not divide channels 18 and filters 4");
    REFUSED(
        gr_conv_transpose2d(x, k, .padding = 9), "conv_transpose2d: there is no input of -11x-11");
    REFUSED(gr_conv_filt(v, m), "conv_filt: first operand (3) has rank 1, 2 wanted");
    REFUSED(gr_conv_filt(m, v), "conv_filt: second operand (3) has rank 1, 2 wanted");
    REFUSED(gr_conv_filt(m, gr_zeros(gr_shape(3, 1))),
        "conv_filt: (2,3) by (3,1): the second must not be empty nor larger than the first");
    REFUSED(gr_conv_filt(m, gr_zeros(gr_shape(0, 1))),
        "conv_filt: (2,3) by (0,1): the second must not be empty nor larger than the first");
    REFUSED(gr_conv_valid(m, v), "conv_valid: second operand (3) has rank 1, 2 wanted");
    REFUSED(gr_conv_valid(NULL, m), "conv_valid: input 1 is NULL");
    REFUSED(gr_conv_full(m, v), "conv_full: second operand (3) has rank 1, 2 wanted");
    REFUSED(gr_conv_full(m, gr_zeros(gr_shape(2, 0))),
        "conv_full: (2,3) by (2,0): neither must be empty");
}
END_TEST

START_TEST(refused_pooling_and_losses)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(1, 2, 4, 4)), *m = gr_zeros(gr_shape(2, 3));
    REFUSED(gr_max_pool2d(NULL, 2), "max_pool2d: input 1 is NULL");
    REFUSED(gr_max_pool2d(m, 2), "max_pool2d: input (2,3) has rank 2, 4 wanted");
    REFUSED(gr_max_pool2d(x, 0),
        "max_pool2d: size (0,0), stride (0,0), padding (0,0): padding is at most half the size");
    REFUSED(gr_max_pool2d(x, 2, .padding = 2),
        "max_pool2d: size (2,2), stride (2,2), padding (2,2): padding is at most half the size");
    REFUSED(gr_max_pool2d(x, 2, .stride = -1),
        "max_pool2d: size (2,2), stride (-1,-1), padding (0,0): padding is at most half the size");
    REFUSED(gr_max_pool2d(x, 5),
        "max_pool2d: a window of 5x5 does not fit the input (1,2,4,4), padded by (0,0)");
    REFUSED(gr_softmax(NULL, 0), "softmax: input 1 is NULL");
    REFUSED(gr_log_softmax(NULL, 0), "log_softmax: input 1 is NULL");
    REFUSED(gr_softmax(m, 2), "softmax: (2,3) has no axis 2");
    REFUSED(gr_log_softmax(gr_scalar(1), -2), "log_softmax: () has no axis -2");
    REFUSED(gr_softmax(INTS(1, 2), 0), "softmax: input 1 (2) is int32, real wanted");
    REFUSED(gr_cross_entropy(NULL, INTS(1)), "cross_entropy: input 1 is NULL");
    REFUSED(gr_cross_entropy(m, NULL), "cross_entropy: input 2 is NULL");
    REFUSED(gr_cross_entropy(m, V(0, 1)), "cross_entropy: input 2 (2) is real, int32 wanted");
    REFUSED(gr_cross_entropy(INTS(1, 2), INTS(1, 2)),
        "cross_entropy: input 1 (2) is int32, real wanted");
    REFUSED(gr_cross_entropy(m, INTS(1, 2, 0)),
        "cross_entropy: logits (2,3) want labels (2), labels (3) given");
    REFUSED(gr_cross_entropy(x, INTS(1)),
        "cross_entropy: logits (1,2,4,4) want labels (1,4,4), labels (1) given");
    REFUSED(gr_cross_entropy(m, INTS(1, 3)),
        "cross_entropy: label 3 at 1 is outside 0 .. 2, the classes of logits (2,3)");
    REFUSED(gr_cross_entropy(m, INTS(-1, 2)),
        "cross_entropy: label -1 at 0 is outside 0 .. 2, the classes of logits (2,3)");
    REFUSED(gr_mse(m, V(1)), "mse: (2,3) and (1) differ in shape");
    REFUSED(gr_mse(NULL, m), "mse: input 1 is NULL");
    REFUSED(gr_mse(m, NULL), "mse: input 2 is NULL");
}
END_TEST

/* A chain is checked once, at its end: NULL in, NULL out, and the first failure stays. A bias that
   could not be made is not "no bias". */
START_TEST(null_in_null_out)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_zeros(gr_shape(2, 3))), *bad = gr_add(x, gr_zeros(gr_shape(2)));
    gr_tensor *y = gr_relu(gr_linear(
        gr_flatten(gr_max_pool2d(gr_conv2d(bad, bad, .bias = bad), 2)), bad, .bias = bad));
    ck_assert(!gr_mse(gr_softmax(gr_concat(GR_TENSORS(y, x), 0), 1), y) && !gr_where(y, y, x) &&
              !gr_slice(y, 3, 2, 1) && !gr_pad(y, gr_shape(1)));
    ck_assert(!gr_sum(y, .axes = GR_DIMS(5)) && !gr_argmax(y, 7) && !gr_permute(y, GR_DIMS(1)) &&
              !gr_expand(y, gr_shape(1)) && !gr_matmul(y, x));
    ck_assert(!gr_conv_valid(y, x) && !gr_conv_transpose2d(y, y) && !gr_cross_entropy(y, NULL) &&
              !gr_keep(y) && !gr_detach(y) && !gr_copy(y) && !gr_param(y));
    ck_assert(!gr_linear(x, gr_zeros(gr_shape(4, 3)), .bias = bad));
    ck_assert(
        !gr_conv2d(gr_zeros(gr_shape(1, 1, 2, 2)), gr_zeros(gr_shape(1, 1, 1, 1)), .bias = bad));
    ck_assert(!gr_conv_transpose2d(
        gr_zeros(gr_shape(1, 1, 2, 2)), gr_zeros(gr_shape(1, 1, 1, 1)), .bias = bad));
    ck_assert(!gr_backward(y) && !gr_grad(y, x) && isnan(gr_item(y)));
    failed_with(GR_ERR_ARGUMENT, "add: (2,3) and (2) do not broadcast");
}
END_TEST

/* Sizes too large are an error before anything is written. */
START_TEST(overflow)
{
    GR_STEP;
    gr_tensor *one = gr_ones(gr_shape(1, 1)), *tall = gr_zeros(gr_shape(0, INT64_C(1) << 40)),
              *wide = gr_zeros(gr_shape(INT64_C(1) << 40, 0));
    ck_assert(!gr_expand(one, gr_shape(INT64_C(1) << 40, INT64_C(1) << 40)));
    failed_with(GR_ERR_ARGUMENT, "expand: (1,1) does not repeat to (1099511627776,1099511627776)");
    REFUSED(gr_matmul(wide, tall), "matmul: shape (1099511627776,1099511627776): sizes must not be "
                                   "negative, nor their product too large");
    REFUSED(gr_add(wide, gr_zeros(gr_shape(INT64_C(1) << 40, 1, 0))),
        "add: shape (1099511627776,1099511627776,0): sizes must not be negative, nor their product "
        "too large");
    gr_tensor *x = gr_zeros(gr_shape(1, 0, 1, 1));
    ck_assert(!gr_conv_transpose2d(x, gr_zeros(gr_shape(0, 1, 1, 1)), .padding = 100000000));
    ck_assert_int_eq(gr_error_code(), GR_ERR_ARGUMENT);
    gr_clear_error();
}
END_TEST

/* All results are the same bits at any number of threads. */
START_TEST(any_threads)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "threads");
    gr_tensor *x = noise(gr_shape(300, 400), &rng), *row = noise(gr_shape(400), &rng), *of[2][6];
    for (int t = 0; t < 2; t++) {
        gr_set_threads(t ? 3 : 1);
        of[t][0] = gr_mul(x, row);
        of[t][1] = gr_tanh(x);
        of[t][2] = gr_sum(x, .axes = GR_DIMS(0));
        of[t][3] = gr_mean(x);
        of[t][4] = gr_softmax(x, 0);
        of[t][5] = gr_matmul(x, x, .transpose_a = true);
    }
    for (int i = 0; i < 6; i++) holds(of[0][i], gr_shape_of(of[1][i]), gr_data(of[1][i]));
}
END_TEST

int main(void)
{
    gr_set_threads(1); /* almost everything here is small */
    Suite *s = suite_create("ops");
    TCase *t = cases(s, "elementwise");
    tcase_add_test(t, arithmetic);
    tcase_add_test(t, broadcasting);
    tcase_add_test(t, functions);
    tcase_add_test(t, functions_by_pytorch);
    tcase_add_test(t, statistics);
    tcase_add_test(t, pooled_pairs_of_every_width);
    tcase_add_test(t, functions_by_the_library);
    tcase_add_test(t, comparisons);
    tcase_add_test(t, gradients_at_kinks);
    t = cases(s, "reductions");
    tcase_add_test(t, reductions);
    tcase_add_test(t, reductions_by_loops);
    tcase_add_test(t, long_sums);
    t = cases(s, "movement");
    tcase_add_test(t, movement);
    tcase_add_test(t, slices);
    tcase_add_test(t, joins_and_borders);
    t = cases(s, "matrices");
    tcase_add_test(t, products);
    tcase_add_test(t, empty_products_backward);
    tcase_add_test(t, products_by_loops);
    t = cases(s, "pooling and losses");
    tcase_add_test(t, pooling);
    tcase_add_test(t, pooling_by_loops);
    tcase_add_test(t, probabilities);
    tcase_add_test(t, any_threads);
    t = cases(s, "refused");
    tcase_add_test(t, refused_elementwise);
    tcase_add_test(t, refused_of_one);
    tcase_add_test(t, refused_reductions);
    tcase_add_test(t, refused_movement);
    tcase_add_test(t, refused_parts);
    tcase_add_test(t, refused_matrices);
    tcase_add_test(t, refused_convolutions);
    tcase_add_test(t, refused_transposed_and_single);
    tcase_add_test(t, refused_pooling_and_losses);
    tcase_add_test(t, null_in_null_out);
    tcase_add_test(t, overflow);
    return run(s);
}
