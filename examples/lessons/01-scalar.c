/* 01-scalar.c: a scalar and its chain rule. One neuron, y = tanh(w x + b), and its
   derivatives: by the chain rule, by Gradus, and by central differences. */
#include <gradus.h>

#include <math.h>
#include <stdio.h>

static double neuron(double w, double x, double b) { return tanh(w * x + b); }

/* The three derivatives by central differences: each number is changed by h up and down. */
static void by_differences(double w, double x, double b, double d[3])
{
    const double h = 1e-3;
    d[0] = (neuron(w + h, x, b) - neuron(w - h, x, b)) / (2 * h);
    d[1] = (neuron(w, x + h, b) - neuron(w, x - h, b)) / (2 * h);
    d[2] = (neuron(w, x, b + h) - neuron(w, x, b - h)) / (2 * h);
}

int main(void)
{
    gr_on_error(gr_print_and_exit); /* a call that fails: one line says why, and the program ends */
    GR_STEP;                        /* what is made from here on is released where main ends */

    /* Forward: three operations, each of which Gradus computes and records. */
    gr_tensor *w = gr_param(gr_scalar(0.5)), *x = gr_param(gr_scalar(2)),
              *b = gr_param(gr_scalar(-0.5));
    gr_tensor *u = gr_mul(w, x);
    gr_tensor *v = gr_add(u, b);
    gr_tensor *y = gr_tanh(v);
    printf("forward:   u = w x = %.4f   v = u + b = %.4f   y = tanh v = %.4f\n\n", gr_item(u),
        gr_item(v), gr_item(y));

    /* Backward by hand: from y down, each derivative is the one above it times a local
       derivative. */
    double dv = 1 - gr_item(y) * gr_item(y);
    double du = dv * 1, db = dv * 1;
    double dw = du * gr_item(x), dx = du * gr_item(w);

    /* Backward by Gradus. Parameters get their gradients; a result gets one if it is asked to keep
       it. */
    gr_retain_grad(u), gr_retain_grad(v);
    gr_backward(y);

    double d[3];
    by_differences(gr_item(w), gr_item(x), gr_item(b), d);
    printf("           chain rule   Gradus   differences\n");
    printf("dy/dv      %10.4f   %.4f\n", dv, gr_item(gr_grad_of(v)));
    printf("dy/du      %10.4f   %.4f\n", du, gr_item(gr_grad_of(u)));
    printf("dy/dw      %10.4f   %.4f   %11.4f\n", dw, gr_item(gr_grad_of(w)), d[0]);
    printf("dy/dx      %10.4f   %.4f   %11.4f\n", dx, gr_item(gr_grad_of(x)), d[1]);
    printf("dy/db      %10.4f   %.4f   %11.4f\n", db, gr_item(gr_grad_of(b)), d[2]);
    return 0;
}
