/* exercise-conv2d.c: the two gradients of a convolutional layer, (34) and (35), as loops. Fill in
   the backward function, and have it graded:

       make examples/lessons/exercise-conv2d && examples/lessons/exercise-conv2d

   When it is right, set S to 2 and P to 1 and make it right again: then it knows of stride and
   padding. A solution is in solutions/conv2d.c. */
#include "exercise.h"

#ifndef S
#define S 1 /* stride */
#define P 0 /* padding */
#endif
enum {
    N = 2,
    C = 2,
    F = 3,
    HX = 5,
    WX = 4,
    HK = 2,
    WK = 3,
    HY = (HX + 2 * P - HK) / S + 1,
    WY = (WX + 2 * P - WK) / S + 1
};

/* ---- your part ---- */

/* From g, the gradient of y, those of x (34) and k (35), which are full of zeros when it begins.
   Indices count from 0: y[n][f][i][j] is the sum of x[n][c][S * i + p - P][S * j + q - P]
   k[f][c][p][q] over c, p and q, as far as x has those elements. */
static void conv2d_backward(const gr_real g[N][F][HY][WY], const gr_real x[N][C][HX][WX],
    const gr_real k[F][C][HK][WK], gr_real gx[N][C][HX][WX], gr_real gk[F][C][HK][WK])
{
    (void)g, (void)x, (void)k, (void)gx, (void)gk; /* not yet */
}

/* ---- the grading ---- */

static gr_tensor *rule(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    gr_tensor *gx[2] = { gr_zeros(gr_shape(N, C, HX, WX)), gr_zeros(gr_shape(F, C, HK, WK)) };
    conv2d_backward((const gr_real(*)[F][HY][WY])gr_data(g),
        (const gr_real(*)[C][HX][WX])gr_data(x[0]), (const gr_real(*)[C][HK][WK])gr_data(x[1]),
        (gr_real(*)[C][HX][WX])gr_data_mut(gx[0]), (gr_real(*)[C][HK][WK])gr_data_mut(gx[1]));
    return (void)y, (void)ctx, gx[i];
}

static gr_tensor *conv2d(gr_tensor *const *x, void *ctx)
{
    return (void)ctx,
           gr_custom("conv2d", rule, gr_conv2d(x[0], x[1], .stride = S, .padding = P), x, 2);
}

int main(void)
{
    static const input inputs[] = {
        { "x", "(34): image n's channel c gets K_fc *full G_nf, summed over every filter f" },
        { "k", "(35): the kernel's f,c gets X_nc *filt G_nf, summed over every image n" },
    };
    GR_STEP;
    return grade(conv2d,
        GR_TENSORS(numbers(gr_shape(N, C, HX, WX)), numbers(gr_shape(F, C, HK, WK))), inputs);
}
