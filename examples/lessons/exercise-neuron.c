/* exercise-neuron.c: a neuron, y = tanh(w x + b), as in docs/book/01-scalar.md. Fill in its
   backward function, and have it graded:

       make examples/lessons/exercise-neuron && examples/lessons/exercise-neuron

   A solution is in solutions/neuron.c. */
#include "exercise.h"

enum { N = 6 }; /* six neurons with a w, an x and a b each */

/* ---- your part ---- */

/* From g, the gradient of y, those of w, x and b. Each array has N numbers, and neuron e has number
   e of each. */
static void neuron_backward(const gr_real *g, const gr_real *w, const gr_real *x, const gr_real *y,
    gr_real *gw, gr_real *gx, gr_real *gb)
{
    for (int e = 0; e < N; e++) {
        gw[e] = 0; /* not yet */
        gx[e] = 0;
        gb[e] = 0;
    }
    (void)g, (void)w, (void)x, (void)y; /* these will be used */
}

/* ---- the grading ---- */

static gr_tensor *rule(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    gr_tensor *gx[3] = { gr_zeros(gr_shape(N)), gr_zeros(gr_shape(N)), gr_zeros(gr_shape(N)) };
    neuron_backward(gr_data(g), gr_data(x[0]), gr_data(x[1]), gr_data(y), gr_data_mut(gx[0]),
        gr_data_mut(gx[1]), gr_data_mut(gx[2]));
    return (void)ctx, gx[i];
}

static gr_tensor *neuron(gr_tensor *const *x, void *ctx)
{
    gr_tensor *y = gr_tanh(gr_add(gr_mul(x[0], x[1]), x[2]));
    return (void)ctx, gr_custom("neuron", rule, y, x, 3);
}

int main(void)
{
    static const input inputs[] = {
        { "w", "chapter 1: the derivative of tanh, then of the sum, then of u = w x: g_w = g_u x" },
        { "x", "chapter 1: the derivative of tanh, then of the sum, then of u = w x: g_x = g_u w" },
        { "b", "chapter 1: the derivative of tanh, then of the sum: g_b = g_v" },
    };
    GR_STEP;
    return grade(neuron,
        GR_TENSORS(numbers(gr_shape(N)), numbers(gr_shape(N)), numbers(gr_shape(N))), inputs);
}
