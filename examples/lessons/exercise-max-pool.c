/* exercise-max-pool.c: the gradient of max pooling over windows of 2x2. Fill in the backward
   function, and have it graded:

       make examples/lessons/exercise-max-pool && examples/lessons/exercise-max-pool

   A solution is in solutions/max-pool.c. */
#include "exercise.h"

enum { C = 2, HX = 4, WX = 6, HY = HX / 2, WY = WX / 2 };

/* ---- your part ---- */

/* From g, the gradient of y, that of x, which is full of zeros when it begins: y[c][i][j] is the
   largest of x[c][2 * i + p][2 * j + q] for p and q of 0 and 1. */
static void max_pool_backward(
    const gr_real g[C][HY][WY], const gr_real x[C][HX][WX], gr_real gx[C][HX][WX])
{
    (void)g, (void)x, (void)gx; /* not yet */
}

/* ---- the grading ---- */

static gr_tensor *rule(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    gr_tensor *gx = gr_zeros(gr_shape(1, C, HX, WX));
    max_pool_backward((const gr_real(*)[HY][WY])gr_data(g), (const gr_real(*)[HX][WX])gr_data(x[0]),
        (gr_real(*)[HX][WX])gr_data_mut(gx));
    return (void)i, (void)y, (void)ctx, gx;
}

static gr_tensor *max_pool(gr_tensor *const *x, void *ctx)
{
    return (void)ctx, gr_custom("max_pool", rule, gr_max_pool2d(x[0], 2), x, 1);
}

int main(void)
{
    static const input inputs[] = { { "x", "chapter 8, max pooling: the largest of a window gets "
                                           "the whole gradient, the others none" } };
    GR_STEP;
    return grade(max_pool, GR_TENSORS(numbers(gr_shape(1, C, HX, WX))), inputs);
}
