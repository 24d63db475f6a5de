/* 04-moons.c: two moons, and a small network. 200 points of two classes that no straight line
   parts; a network of 2-16-16-1 learns which is which, and 04-moons.png (or the file that is named)
   shows what it thinks of the whole plane. Its boundary is where the colour changes. */
#include <gradus.h>

#include <math.h>
#include <stdio.h>

enum { N = 200, WIDTH = 320, HEIGHT = 240, SCALE = 80 }; /* SCALE: pixels for a length of 1 */
/* of the part of the plane that is shown */
static const double left = -1.5, top = 1.75;

/* Points near two half circles that reach into each other: x (N,2), and their classes, 0 or 1
   (N,1). */
static void make_moons(gr_tensor *x, gr_tensor *target)
{
    gr_rng rng = gr_rng_of(1, "moons");
    for (int i = 0; i < N; i++) {
        double angle = acos(-1) * gr_rng_uniform(&rng), way = i % 2 ? -1 : 1;
        gr_data_mut(x)[2 * i] = (gr_real)(i % 2 + way * cos(angle) + 0.12 * gr_rng_normal(&rng));
        gr_data_mut(x)[2 * i + 1] =
            (gr_real)(i % 2 * 0.5 + way * sin(angle) + 0.12 * gr_rng_normal(&rng));
        gr_data_mut(target)[i] = (gr_real)(i % 2);
    }
}

/* Three layers; the last gives one number a point, its logit: above 0 for class 1. */
static gr_tensor *mlp(gr_model *m, gr_tensor *x) /* (N,2) -> (N,1) */
{
    x = gr_nn_linear(m, "layer1", x, 16, .act = GR_TANH);
    x = gr_nn_linear(m, "layer2", x, 16, .act = GR_TANH);
    return gr_nn_linear(m, "layer3", x, 1);
}

/* How many points the logits put into their class. */
static int count_right(gr_tensor *logits, gr_tensor *target)
{
    return (int)gr_item(gr_sum(gr_eq(gr_gt(logits, gr_scalar(0)), target)));
}

/* Pixel i, from blue at p = 0 over white to orange at p = 1; light: how bright. */
static void paint(gr_real *picture, int i, double p, double light)
{
    const double colour[3] = { fmin(1, 0.3 + 1.4 * p), 1 - 0.9 * fabs(p - 0.5),
        fmin(1, 1.7 - 1.4 * p) };
    for (int c = 0; c < 3; c++) picture[c * WIDTH * HEIGHT + i] = (gr_real)(light * colour[c]);
}

static void draw(const char *path, gr_model *net, gr_tensor *x, gr_tensor *target)
{
    gr_tensor *plane = gr_zeros(gr_shape(WIDTH * HEIGHT, 2)),
              *picture = gr_zeros(gr_shape(3, HEIGHT, WIDTH));
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        gr_data_mut(plane)[2 * i] = (gr_real)(left + (double)(i % WIDTH) / SCALE);
        gr_data_mut(plane)[2 * i + 1] = (gr_real)(top - (double)(i / WIDTH) / SCALE);
    }
    gr_tensor *p = gr_sigmoid(mlp(net, plane));
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        paint(gr_data_mut(picture), i, (double)gr_data(p)[i], 1);
    for (int i = 0; i < 9 * N; i++) { /* a point is a square of nine pixels */
        double column = ((double)gr_data(x)[i / 9 * 2] - left) * SCALE,
               row = (top - (double)gr_data(x)[i / 9 * 2 + 1]) * SCALE;
        paint(gr_data_mut(picture), ((int)row + i % 3 - 1) * WIDTH + (int)column + i / 3 % 3 - 1,
            (double)gr_data(target)[i / 9], 0.6);
    }
    gr_picture_save(path, picture);
}

int main(int argc, char **argv)
{
    gr_on_error(gr_print_and_exit); /* a call that fails: one line says why, and the program ends */
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(N, 2)), *target = gr_zeros(gr_shape(N, 1));
    make_moons(x, target);
    gr_model *net = gr_model_build(mlp, gr_shape(N, 2), .seed = 1);
    gr_optim *sgd = gr_sgd(net, .lr = 0.1);
    for (int step = 0; step <= 1600; step++) {
        GR_STEP;
        gr_tensor *logits = mlp(net, x);
        double     loss = gr_minimize(sgd, gr_bce_with_logits(logits, target));
        if (step % 200 == 0)
            printf("step %4d   loss %.2f   %3d of %d points right\n", step, loss,
                count_right(logits, target), N);
    }
    draw(argc > 1 ? argv[1] : "04-moons.png", net, x, target);
    gr_optim_free(sgd), gr_model_free(net);
    return 0;
}
