/* 10-second.c: second derivatives. A gradient is a recorded result like any other and can be
   differentiated again; the three convolutions are each other's gradients, so this needs no new
   code; and a Hessian times a vector through a network of convolutions. */
#include <gradus.h>

#include <math.h>
#include <stdio.h>

static void powers(void)
{
    gr_tensor *x = gr_param(gr_scalar(2)), *y = gr_mul(gr_mul(x, x), x);
    printf("x^3 at 2: %g", gr_item(y));
    for (int order = 1; order <= 3; order++) {
        y = gr_grad(y, x, .create_graph = true);
        printf("   derivative %d: %g", order, gr_item(y));
    }
    putchar('\n');
}

/* Whole numbers from -2 to 2, other ones for another start. */
static gr_tensor *numbers(gr_shape shape, int start)
{
    gr_tensor *t = gr_zeros(shape);
    for (int64_t e = 0; e < gr_count(t); e++)
        gr_data_mut(t)[e] = (gr_real)((e + start) * 7 % 11 % 5 - 2);
    return gr_param(t);
}

static gr_tensor *dot(gr_tensor *a, gr_tensor *b) { return gr_sum(gr_mul(a, b)); }

static void check(const char *what, gr_tensor *gradient, gr_tensor *convolution)
{
    printf("%-28s largest difference %g\n", what,
        gr_item(gr_max(gr_abs(gr_sub(gradient, convolution)))));
}

#define OPTIONS .stride = 2, .padding = 1 /* one set for all three */
#define CONV(x, k) gr_conv2d(x, k, OPTIONS)
#define A(u, k) gr_conv2d_input_grad(u, k, gr_hw(5, 5), OPTIONS)
#define B(x, u) gr_conv2d_kernel_grad(x, u, gr_hw(3, 3), OPTIONS)

static void closed(void)
{
    gr_tensor *x = numbers(gr_shape(2, 2, 5, 5), 0), *k = numbers(gr_shape(3, 2, 3, 3), 1),
              *u = numbers(gr_shape(2, 3, 3, 3), 2);
    gr_tensor *v = numbers(gr_shape(2, 2, 5, 5), 3), *w = numbers(gr_shape(3, 2, 3, 3), 4),
              *T = dot(u, CONV(x, k));
    printf("\nu . conv(x,k) = %g   x . A(u,k) = %g   k . B(x,u) = %g\n", gr_item(T),
        gr_item(dot(x, A(u, k))), gr_item(dot(k, B(x, u))));
    check("u . conv(x,k) by x: A(u,k)", gr_grad(T, x, .retain_graph = true), A(u, k));
    check("u . conv(x,k) by k: B(x,u)", gr_grad(T, k), B(x, u));
    T = dot(v, A(u, k));
    check("v . A(u,k) by u: conv(v,k)", gr_grad(T, u, .retain_graph = true), CONV(v, k));
    check("v . A(u,k) by k: B(v,u)", gr_grad(T, k), B(v, u));
    T = dot(w, B(x, u));
    check("w . B(x,u) by x: A(u,w)", gr_grad(T, x, .retain_graph = true), A(u, w));
    check("w . B(x,u) by u: conv(x,w)", gr_grad(T, u), CONV(x, w));
}

static gr_tensor *network(gr_tensor *x, gr_tensor *k1, gr_tensor *k2)
{
    gr_tensor *y = gr_conv2d(gr_tanh(gr_conv2d(x, k1, .padding = 1)), k2, .stride = 2);
    return gr_mean(gr_mul(y, y));
}

/* The gradients when both kernels have gone h along v. */
static void gradients(
    gr_tensor *x, gr_tensor *const k[2], gr_tensor *const v[2], double h, gr_tensor *g[2])
{
    gr_tensor *at[2];
    for (int i = 0; i < 2; i++) at[i] = gr_param(gr_copy(gr_add(k[i], gr_scale(v[i], h))));
    gr_grads(network(x, at[0], at[1]), at, 2, g, (gr_grad_options){ 0 });
}

static void hessian(void)
{
    const double h = 0.01;
    gr_rng       rng = gr_rng_of(1, "lesson");
    gr_shape     one = gr_shape(4, 1, 3, 3), two = gr_shape(2, 4, 3, 3);
    gr_tensor   *x = gr_normal(gr_shape(2, 1, 9, 9), &rng, 0, 1);
    gr_tensor   *k[2] = { gr_param(gr_normal(one, &rng, 0, 0.3)),
          gr_param(gr_normal(two, &rng, 0, 0.3)) };
    gr_tensor *v[2] = { gr_normal(one, &rng, 0, 1), gr_normal(two, &rng, 0, 1) }, *hv[2], *above[2],
              *below[2];
    gr_hvp(network(x, k[0], k[1]), k, 2, v, hv);
    gradients(x, k, v, h, above);
    gradients(x, k, v, -h, below);
    putchar('\n');
    for (int i = 0; i < 2; i++) {
        gr_tensor *differences = gr_scale(gr_sub(above[i], below[i]), 1 / (2 * h));
        double norm = gr_item(gr_norm(hv[i])), apart = gr_item(gr_norm(gr_sub(hv[i], differences)));
        printf("kernel %d: |Hv| = %.2f, and differences of gradients %s\n", i + 1, norm,
            apart < 0.01 * norm ? "agree within 1 %" : "disagree");
    }
}

int main(void)
{
    gr_on_error(gr_print_and_exit); /* a call that fails: one line says why, and the program ends */
    GR_STEP;
    powers();
    closed();
    hessian();
    return 0;
}
