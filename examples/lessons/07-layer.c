/* 07-layer.c: the layer. First its three equations, (33) to (35), put together from the
   convolutions of two matrices and held against gr_conv2d. Then stride and padding along one line
   of pixels: which tap of the kernel meets which pixel in which output. */
#include <gradus.h>

#include <math.h>
#include <stdio.h>

enum { N = 2, C = 2, F = 3, W = 7 }; /* images, channels, filters; pixels of the line */

/* Whole numbers from -2 to 2, which are summed exactly. */
static gr_tensor *numbers(gr_shape shape)
{
    gr_tensor *t = gr_zeros(shape);
    for (int64_t e = 0; e < gr_count(t); e++) gr_data_mut(t)[e] = (gr_real)(e * 7 % 11 % 5 - 2);
    return t;
}

/* The matrix i,j of a tensor (I,J,H,W). */
static gr_tensor *matrix(gr_tensor *t, int i, int j)
{
    return gr_squeeze(gr_slice(gr_slice(t, 0, i, i + 1), 1, j, j + 1), .axes = GR_DIMS(0, 1));
}

static double difference(gr_tensor *a, gr_tensor *b)
{
    return gr_item(gr_max(gr_abs(gr_sub(a, b))));
}

static void layer(void)
{
    gr_tensor *X = gr_param(numbers(gr_shape(N, C, 5, 5))),
              *K = gr_param(numbers(gr_shape(F, C, 3, 3)));
    gr_tensor *Y = gr_conv2d(X, K), *G = numbers(gr_shape(N, F, 3, 3)), *to[] = { X, K },
              *gradients[2];
    double off33 = 0, off34 = 0, off35 = 0;
    gr_grads(Y, to, 2, gradients, (gr_grad_options){ .grad_output = G });
    for (int n = 0; n < N; n++)
        for (int f = 0; f < F; f++) {
            gr_tensor *sum = gr_scalar(0);
            for (int c = 0; c < C; c++)
                sum = gr_add(sum, gr_conv_filt(matrix(X, n, c), matrix(K, f, c)));
            off33 = fmax(off33, difference(sum, matrix(Y, n, f)));
        }
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C; c++) {
            gr_tensor *sum = gr_scalar(0);
            for (int f = 0; f < F; f++)
                sum = gr_add(sum, gr_conv_full(matrix(K, f, c), matrix(G, n, f)));
            off34 = fmax(off34, difference(sum, matrix(gradients[0], n, c)));
        }
    for (int f = 0; f < F; f++)
        for (int c = 0; c < C; c++) {
            gr_tensor *sum = gr_scalar(0);
            for (int n = 0; n < N; n++)
                sum = gr_add(sum, gr_conv_filt(matrix(X, n, c), matrix(G, n, f)));
            off35 = fmax(off35, difference(sum, matrix(gradients[1], f, c)));
        }
    printf("largest difference:  (33) %g   (34) %g   (35) %g\n", off33, off34, off35);
}

/* A row for each output: its gradient, which says what it is made of. With the kernel 1 2 3 the
   numbers are the taps', called abc. */
static void taps(gr_tensor *k, int stride, int padding)
{
    gr_tensor *x = gr_param(gr_zeros(gr_shape(1, 1, 1, W)));
    gr_tensor *y = gr_conv2d(x, k, .stride_hw = { 1, stride }, .padding_hw = { 0, padding });
    printf("\nstride %d, padding %d\n    x0 x1 x2 x3 x4 x5 x6\n", stride, padding);
    for (int i = 0; i < gr_size(y, 3); i++) {
        gr_tensor *one = gr_slice(y, 3, i, i + 1), *gx = gr_grad(one, x, .retain_graph = true);
        printf("y%d", i);
        for (int h = 0; h < W; h++) printf("  %c", ".abc"[(int)gr_data(gx)[h]]);
        putchar('\n');
    }
}

static const char *line(gr_tensor *t) { return gr_format(gr_reshape(t, gr_shape(-1))); }

int main(void)
{
    gr_on_error(gr_print_and_exit); /* a call that fails: one line says why, and the program ends */
    GR_STEP;
    const gr_real abc[] = { 1, 2, 3 }, four[] = { 1, 10, 100, 1000 },
                  seven[] = { 1, 0, 10, 0, 100, 0, 1000 };
    gr_tensor *k = gr_from(gr_shape(1, 1, 1, 3), abc), *g = gr_from(gr_shape(1, 1, 1, 4), four),
              *spread = gr_from(gr_shape(1, 1, 1, W), seven);
    layer();
    taps(k, 1, 0);
    taps(k, 1, 1);
    taps(k, 2, 1);
    printf("\n(34) at stride 2:      %s\n", line(gr_conv2d_input_grad(g, k, gr_hw(1, W),
                                                .stride_hw = { 1, 2 }, .padding_hw = { 0, 1 })));
    printf("stride 1, g spread:    %s\n",
        line(gr_conv2d_input_grad(spread, k, gr_hw(1, W), .padding_hw = { 0, 1 })));
    printf("forward, kernel cba:   %s\n",
        line(gr_conv2d(spread, gr_flip(k, GR_DIMS(3)), .padding_hw = { 0, 3 - 1 - 1 })));
    return 0;
}
