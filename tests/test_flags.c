/* test_flags.c: no operation on finite numbers with finite results raises overflow, invalid or
   division by zero, forward or backward: a program that traps these would die of it. Over lengths
   that leave a part of a vector, and numbers up to the ends of the type; built in float and in
   double. The same is asked of every case of test_parity_ops.c. */
#include "support.h"

#include <fenv.h>
#include <math.h>
#include <stdio.h>

enum { MOST = 37 };

typedef gr_tensor *function(gr_tensor *x, gr_tensor *t);

#define F(name, expression)                            \
    static gr_tensor *name(gr_tensor *x, gr_tensor *t) \
    {                                                  \
        (void)t;                                       \
        return (expression);                           \
    }

F(sigmoid, gr_sigmoid(x))
F(hyperbolic, gr_tanh(x))
F(silu, gr_silu(x))
F(gelu, gr_gelu(x))
F(elu, gr_elu(x, 1))
F(softplus, gr_softplus(x))
F(softmax, gr_softmax(x, 0))
F(log_softmax, gr_log_softmax(x, 0))
F(logsumexp, gr_logsumexp(x))
F(error_function, gr_erf(x))
F(exponential, gr_exp(gr_neg(gr_abs(x))))
F(root, gr_sqrt(gr_abs(x)))
F(power, gr_pow(gr_abs(x), gr_scalar(0.5)))
F(largest, gr_max(x))
F(greater, gr_maximum(x, t))
F(chosen, gr_where(gr_gt(x, t), x, t))
F(clamped, gr_clamp(x, -1, 1))
F(variance, gr_var(x, .biased = true))
F(deviation, gr_std(x, .biased = true))
F(norm, gr_norm(x))
F(layer_norm, gr_layer_norm(x))
F(mse, gr_mse(x, t))
F(l1, gr_l1(x, t))
F(smooth_l1, gr_smooth_l1(x, t))
F(bce, gr_bce_with_logits(x, gr_sigmoid(t)))
F(kl_div, gr_kl_div(gr_log_softmax(x, 0), gr_softmax(t, 0)))
F(cross_entropy,
    gr_cross_entropy(x, gr_from_ints((gr_shape){ 0 }, &(int32_t){ 0 }), .smoothing = 0.1))

#define OP(f) \
    {         \
#f, f \
    }

static const struct {
    const char *name;
    function   *f;
} table[] = { OP(sigmoid), OP(hyperbolic), OP(silu), OP(gelu), OP(elu), OP(softplus), OP(softmax),
    OP(log_softmax), OP(logsumexp), OP(error_function), OP(exponential), OP(root), OP(power),
    OP(largest), OP(greater), OP(chosen), OP(clamped), OP(variance), OP(deviation), OP(norm),
    OP(layer_norm), OP(mse), OP(l1), OP(smooth_l1), OP(bce), OP(kl_div), OP(cross_entropy) };

static const double numbers[] = { 0, 1, -1, 1e4, -1e4, 1e-40, -1e-40, 88.7, -88.7, 88.73, -88.73,
    89, -89, 44.4, 103.5, -103.9, 200, -200, 1e18, -1e18, 1e30, -1e30, 3e38, -3e38, 0.5, -3, 7,
    709.7, -709.8, 1e-20 };
enum { NUMBERS = (int)(sizeof numbers / sizeof *numbers) };

static bool is_finite(const gr_tensor *t)
{
    for (int64_t i = 0; t && i < gr_count(t); i++)
        if (!isfinite(gr_data(t)[i])) return false;
    return t != NULL;
}

static void look(const char *name, const char *way, int n, int seed, const gr_tensor *result)
{
    int raised = fetestexcept(FE_OVERFLOW | FE_INVALID | FE_DIVBYZERO);
    ck_assert_msg(!raised || !is_finite(result), "%s, %s, %d numbers, seed %d: raises%s%s%s", name,
        way, n, seed, raised & FE_OVERFLOW ? " overflow" : "",
        raised & FE_INVALID ? " invalid" : "", raised & FE_DIVBYZERO ? " division by zero" : "");
    feclearexcept(FE_ALL_EXCEPT);
}

static void try(int k, int n, int seed)
{
    GR_STEP;
    gr_real v[MOST], w[MOST];
    for (int i = 0; i < n; i++) {
        v[i] = (gr_real)numbers[(seed * (i % 3 + 1) + i * (1 + seed % 4)) % NUMBERS];
        w[i] = (gr_real)numbers[(seed + 3 * i) % NUMBERS];
        if (fabs((double)w[i]) > 1e20) w[i] = 1;
    }
    gr_tensor *x = gr_param(gr_from(gr_shape(n), v)), *t = gr_from(gr_shape(n), w);
    feclearexcept(FE_ALL_EXCEPT);
    gr_tensor *y = table[k].f(x, t);
    ck_assert(y != NULL);
    look(table[k].name, "forward", n, seed, y);
    gr_tensor *sum = gr_sum(y);
    if (!is_finite(y) || !is_finite(sum)) return;
    feclearexcept(FE_ALL_EXCEPT);
    look(table[k].name, "backward", n, seed, gr_grad(sum, x, .create_graph = true));
}

START_TEST(no_flag)
{
    for (int n = 1; n <= MOST; n++)
        for (int seed = 0; seed < NUMBERS; seed++) try(_i, n, seed);
    nothing_failed();
}
END_TEST

int main(void)
{
    gr_set_threads(1); /* a thread has flags of its own */
    Suite *s = suite_create("flags");
    tcase_add_loop_test(cases(s, "flags"), no_flag, 0, (int)(sizeof table / sizeof *table));
    return run(s);
}
