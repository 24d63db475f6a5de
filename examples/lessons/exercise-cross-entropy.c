/* exercise-cross-entropy.c: the gradient of softmax and cross-entropy together, the loss of a
   classifier. Fill in the backward function, and have it graded:

       make examples/lessons/exercise-cross-entropy && examples/lessons/exercise-cross-entropy

   A solution is in solutions/cross-entropy.c. */
#include "exercise.h"

#include <math.h>

enum { N = 4, C = 3 }; /* examples, classes */

/* ---- your part ---- */

/* From g, the gradient of the loss, that of the logits z. The loss is the mean, over the N
   examples, of -log(softmax(z[n])[label[n]]), and softmax(z[n])[c] is exp(z[n][c]) over the sum of
   exp(z[n][d]) for all d. */
static void cross_entropy_backward(
    gr_real g, const gr_real z[N][C], const int32_t label[N], gr_real gz[N][C])
{
    (void)g, (void)z, (void)label, (void)gz; /* not yet */
}

/* ---- the grading ---- */

static gr_tensor *rule(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y, void *ctx)
{
    gr_tensor *gz = gr_zeros(gr_shape(N, C));
    cross_entropy_backward(gr_data(g)[0], (const gr_real(*)[C])gr_data(x[0]), gr_ints(x[1]),
        (gr_real(*)[C])gr_data_mut(gz));
    return (void)i, (void)y, (void)ctx, gz;
}

static gr_tensor *cross_entropy(gr_tensor *const *x, void *ctx)
{
    return (void)ctx, gr_custom("cross_entropy", rule, gr_cross_entropy(x[0], x[1]), x, 2);
}

int main(void)
{
    static const input inputs[] = { { "z",
        "chapter 8, cross-entropy: g (softmax(z) - [c = label]) / N" } };
    GR_STEP;
    gr_tensor *labels = gr_from_ints(gr_shape(N), (const int32_t[N]){ 2, 0, 1, 2 });
    return grade(cross_entropy, GR_TENSORS(numbers(gr_shape(N, C)), labels), inputs);
}
