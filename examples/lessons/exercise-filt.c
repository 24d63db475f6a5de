/* exercise-filt.c: the two gradients of y = a *filt b, (18) and (26). Fill in the backward
   function, and have it graded:

       make examples/lessons/exercise-filt && examples/lessons/exercise-filt

   A solution is in solutions/filt.c. */
#include "exercise.h"

enum { HA = 5, WA = 4, HB = 2, WB = 3, HY = HA - HB + 1, WY = WA - WB + 1 };

/* ---- your part ---- */

/* From g, the gradient of y, those of a (18) and b (26), which are full of zeros when it begins.
   Indices count from 0 here: y[i][j] is the sum of a[i + p][j + q] b[p][q] over p and q. */
static void filt_backward(const gr_real g[HY][WY], const gr_real a[HA][WA], const gr_real b[HB][WB],
    gr_real ga[HA][WA], gr_real gb[HB][WB])
{
    (void)g, (void)a, (void)b, (void)ga, (void)gb; /* not yet */
}

/* ---- the grading ---- */

static gr_tensor *rule(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    gr_tensor *gx[2] = { gr_zeros(gr_shape(HA, WA)), gr_zeros(gr_shape(HB, WB)) };
    filt_backward((const gr_real(*)[WY])gr_data(g), (const gr_real(*)[WA])gr_data(x[0]),
        (const gr_real(*)[WB])gr_data(x[1]), (gr_real(*)[WA])gr_data_mut(gx[0]),
        (gr_real(*)[WB])gr_data_mut(gx[1]));
    return (void)y, (void)ctx, gx[i];
}

static gr_tensor *filt(gr_tensor *const *x, void *ctx)
{
    return (void)ctx, gr_custom("filt", rule, gr_conv_filt(x[0], x[1]), x, 2);
}

int main(void)
{
    static const input inputs[] = {
        { "a", "(18): ga = b *full g; element k,l is the sum over i,j of g[i][j] b[k - i][l - j], "
               "where b has that element" },
        { "b", "(26): gb = a *filt g; element k,l is the sum over i,j of g[i][j] a[i + k][j + l]" },
    };
    GR_STEP;
    return grade(filt, GR_TENSORS(numbers(gr_shape(HA, WA)), numbers(gr_shape(HB, WB))), inputs);
}
