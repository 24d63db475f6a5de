/* square.c: the first lesson. The gradient of x x at 3 is 6. */
#include <gradus.h>

#include <stdio.h>

int main(void)
{
    gr_on_error(gr_print_and_exit);
    gr_tensor *x = gr_param(gr_scalar(3));
    gr_backward(gr_mul(x, x));
    printf("%g\n", gr_item(gr_grad_of(x)));
    gr_free(x);
    return 0;
}
