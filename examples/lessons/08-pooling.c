/* 08-pooling.c: pooling and softmax. How max and average pooling send a gradient back into their
   windows, and why the gradient of cross-entropy through softmax is p - y: by the chain
   rule, by Gradus, and by central differences. */
#include <gradus.h>

#include <math.h>
#include <stdio.h>

enum { CLASSES = 3, LABEL = 1 };

static void show(const char *what, gr_tensor *t)
{
    printf("%s:\n%s\n", what, gr_format(gr_reshape(t, gr_shape(gr_size(t, 2), gr_size(t, 3)))));
}

static void pooling(void)
{
    const gr_real pixels[] = { 1, 5, 2, 0, 3, 4, 1, 2, 7, 1, 3, 3, 0, 2, 3, 1 },
                  back[] = { 4, 8, 12, 16 };
    gr_tensor *x = gr_param(gr_from(gr_shape(1, 1, 4, 4), pixels)),
              *g = gr_from(gr_shape(1, 1, 2, 2), back);
    gr_tensor *largest = gr_max_pool2d(x, 2), *mean = gr_avg_pool2d(x, 2);
    show("x", x);
    show("the largest of each window", largest);
    show("its mean", mean);
    show("g, which comes back", g);
    show("gx through the largest", gr_grad(largest, x, .grad_output = g));
    show("gx through the mean", gr_grad(mean, x, .grad_output = g));
}

static gr_tensor *loss_of(gr_tensor *scores)
{
    const int32_t label = LABEL;
    return gr_cross_entropy(scores, gr_from_ints(gr_shape(1), &label));
}

static double by_differences(gr_tensor *scores, int j)
{
    GR_NO_GRAD;
    const gr_real h = (gr_real)0.05, old = gr_data(scores)[j];
    gr_data_mut(scores)[j] = old + h;
    double above = gr_item(loss_of(scores));
    gr_data_mut(scores)[j] = old - h;
    double below = gr_item(loss_of(scores));
    gr_data_mut(scores)[j] = old;
    return (above - below) / (2 * (double)h);
}

static void softmax(void)
{
    const gr_real values[CLASSES] = { 0, (gr_real)log(2), (gr_real)log(7) };
    gr_tensor    *x = gr_param(gr_from(gr_shape(1, CLASSES), values)), *p = gr_softmax(x, 1);
    double        jacobian[CLASSES][CLASSES];
    printf("\nclass   score       p      dp/dx0  dp/dx1  dp/dx2\n");
    for (int i = 0; i < CLASSES; i++) {
        gr_tensor *gx = gr_grad(gr_slice(p, 1, i, i + 1), x, .retain_graph = true);
        for (int j = 0; j < CLASSES; j++) jacobian[i][j] = (double)gr_data(gx)[j];
        printf("  %d    %6.3f  %6.3f    ", i, (double)values[i], (double)gr_data(p)[i]);
        for (int j = 0; j < CLASSES; j++) printf("  %6.3f", jacobian[i][j]);
        putchar('\n');
    }

    gr_tensor *loss = loss_of(x), *gx = gr_grad(loss, x);
    printf("\nthe label is %d; loss = -log p%d = %.3f\n        by parts   p - y   Gradus   "
           "differences\n",
        LABEL, LABEL, gr_item(loss));
    for (int j = 0; j < CLASSES; j++) {
        double pj = (double)gr_data(p)[j],
               by_parts = -1 / (double)gr_data(p)[LABEL] * jacobian[LABEL][j];
        printf("dL/dx%d   %6.3f  %6.3f   %6.3f   %11.3f\n", j, by_parts, pj - (j == LABEL),
            (double)gr_data(gx)[j], by_differences(x, j));
    }
}

int main(void)
{
    gr_on_error(gr_print_and_exit); /* a call that fails: one line says why, and the program ends */
    GR_STEP;
    pooling();
    softmax();
    return 0;
}
