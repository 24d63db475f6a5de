/* 02-graph.c: a value that is used twice. L = u v with u = x y and v = u + x: both x and u go two
   ways, and their gradients are sums, one term for each way. Everything is a whole number, so that
   it can be followed in the head. */
#include <gradus.h>

#include <stdio.h>

int main(void)
{
    gr_on_error(gr_print_and_exit); /* a call that fails: one line says why, and the program ends */
    GR_STEP;
    gr_tensor *x = gr_named(gr_param(gr_scalar(2)), "x");
    gr_tensor *y = gr_named(gr_param(gr_scalar(3)), "y");
    gr_tensor *u = gr_named(gr_mul(x, y), "u");
    gr_tensor *v = gr_named(gr_add(u, x), "v");
    gr_tensor *L = gr_named(gr_mul(u, v), "L");

    /* By hand, from L down. A gradient is whole only when every use of its tensor has been
       visited. */
    double gL = 1;
    double gu = gL * gr_item(v); /* L = u v is the first use of u that we meet */
    double gv = gL * gr_item(u);
    gu += gv; /* v = u + x is the second */
    double gx = gv;
    double gy = gu * gr_item(x); /* u = x y: gu is whole by now */
    gx += gu * gr_item(y);
    printf("by hand:   gL = %g   gv = %g   gu = %g   gy = %g   gx = %g\n\n", gL, gv, gu, gy, gx);

    /* The same as Gradus goes about it: number 3 first, then 2, then 1. */
    gr_explain_print(L);

    gr_backward(L, .retain_graph = true);
    printf(
        "\nbackward once:    gx = %g   gy = %g\n", gr_item(gr_grad_of(x)), gr_item(gr_grad_of(y)));
    gr_backward(L);
    printf("backward twice:   gx = %g   gy = %g\n", gr_item(gr_grad_of(x)), gr_item(gr_grad_of(y)));
    return 0;
}
