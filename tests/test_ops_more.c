/* test_ops_more.c: picking by indices, average pooling and upsampling: values and gradients as
   PyTorch 1.13 gives them, against plain loops, and what is refused, to the letter. A gradient is
   that of the sum of y times 1, 2, 3, ... */
#include "support.h"

#include <math.h>
#include <string.h>

#define V(...) gr_from(gr_shape(GR__COUNT(__VA_ARGS__)), (const gr_real[]){ __VA_ARGS__ })
#define INTS(shape, ...) gr_from_ints((shape), (const int32_t[]){ __VA_ARGS__ })
#define PICTURE(H, W) gr_shape(1, 1, H, W)

/* Random indices below a limit. */
static gr_tensor *any_of(gr_shape shape, int64_t limit, gr_rng *rng)
{
    static int32_t v[100000];
    int64_t        n = 1;
    for (int i = 0; i < shape.rank; i++) n *= shape.dim[i];
    ck_assert_int_le(n, (int64_t)(sizeof v / sizeof *v));
    for (int64_t i = 0; i < n; i++) v[i] = (int32_t)gr_rng_below(rng, limit);
    return gr_from_ints(shape, v);
}

/* 1, 2, 3, ... in a shape. */
static gr_tensor *counted(gr_shape shape)
{
    int64_t n = 1;
    for (int i = 0; i < shape.rank; i++) n *= shape.dim[i];
    return gr_reshape(gr_add(gr_arange(n), gr_scalar(1)), shape);
}

static gr_tensor *gradient(gr_tensor *y, gr_tensor *x)
{
    return gr_grad(gr_sum(gr_mul(y, counted(gr_shape_of(y)))), x);
}

/* ---- picked by indices ----------------------------------------------------------------------- */

START_TEST(picked)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(gr_shape(3, 2), 1, 2, 3, 4, 5, 6)),
              *y = gr_gather(x, 0, INTS(gr_shape(2, 2), 2, 0, 2, 1));
    HOLDS(y, gr_shape(2, 2), 5, 2, 5, 4);
    HOLDS(gradient(y, x), gr_shape(3, 2), 0, 2, 0, 4, 4, 0);
    y = gr_gather(x, -1, INTS(gr_shape(3, 3), 1, 1, 0, 0, 1, 1, 0, 0, 0));
    HOLDS(y, gr_shape(3, 3), 2, 2, 1, 3, 4, 4, 5, 5, 5);
    HOLDS(gradient(y, x), gr_shape(3, 2), 3, 3, 4, 11, 24, 0);
    HOLDS(gr_gather(x, 0, INTS(gr_shape(1, 1), 2)), gr_shape(1, 1), 5);
    HOLDS(gr_gather(x, 1, gr_from_ints(gr_shape(3, 0), (const int32_t[]){ 0 })), gr_shape(3, 0), 0);
    y = gr_embedding(x, INTS(gr_shape(2, 2), 2, 0, 2, 2));
    HOLDS(y, gr_shape(2, 2, 2), 5, 6, 1, 2, 5, 6, 5, 6);
    HOLDS(gradient(y, x), gr_shape(3, 2), 3, 4, 0, 0, 13, 16);
    HOLDS(gr_embedding(x, INTS(SCALAR, 1)), gr_shape(2), 3, 4);
    HOLDS(gr_embedding(x, gr_from_ints(gr_shape(0), (const int32_t[]){ 0 })), gr_shape(0, 2), 0);
    HOLDS(gr_one_hot(INTS(gr_shape(2, 2), 2, 0, 1, 2), 3), gr_shape(2, 2, 3), 0, 0, 1, 1, 0, 0, 0,
        1, 0, 0, 0, 1);
    HOLDS(gr_one_hot(INTS(SCALAR, 0), 2), gr_shape(2), 1, 0);
    HOLDS(gr_one_hot(gr_from_ints(gr_shape(0), (const int32_t[]){ 0 }), 2), gr_shape(0, 2), 0);
    ck_assert(!gr_requires_grad(gr_one_hot(INTS(SCALAR, 0), 2)));
    nothing_failed();
}
END_TEST

/* Large enough for many tasks, along each axis; every element and gradient against indices written
   out. */
START_TEST(picked_by_loops)
{
    enum { A = 40, B = 37, C = 33, MOST = 60 };
    gr_rng rng = gr_rng_of(1, "picked");
    for (int axis = 0; axis < 3; axis++) {
        GR_STEP;
        gr_set_threads(3);
        int64_t    size[3] = { A, B, C }, n[3] = { A - 3, B - 2, C - 1 };
        gr_tensor *x = gr_param(noise(gr_shape(A, B, C), &rng)),
                  *wanted = gr_zeros(gr_shape(A, B, C));
        n[axis] = MOST;
        gr_tensor *index = any_of(gr_shape(n[0], n[1], n[2]), size[axis], &rng);
        gr_tensor *y = gr_gather(x, axis, index), *g = noise(gr_shape_of(y), &rng);
        for (int64_t i = 0; i < gr_count(y); i++) {
            int64_t at[3] = { i / (n[1] * n[2]), i / n[2] % n[1], i % n[2] };
            at[axis] = gr_ints(index)[i];
            int64_t from = (at[0] * B + at[1]) * C + at[2];
            if (gr_data(y)[i] != gr_data(x)[from])
                ck_abort_msg("axis %d, element %lld", axis, (long long)i);
            gr_data_mut(wanted)[from] += gr_data(g)[i];
        }
        holds(gr_grad(y, x, .grad_output = g), gr_shape(A, B, C), gr_data(wanted));
        gr_set_threads(1);
    }
    nothing_failed();
}
END_TEST

/* Also that the number of threads does not show, where many indices meet in one row. */
START_TEST(table_by_loops)
{
    enum { ROWS = 50, WIDTH = 24, COUNT = 5000 };
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "table");
    gr_tensor *w = gr_param(noise(gr_shape(ROWS, WIDTH), &rng)),
              *wanted = gr_zeros(gr_shape(ROWS, WIDTH));
    gr_tensor *index = any_of(gr_shape(COUNT), ROWS - 1, &rng),
              *g = noise(gr_shape(COUNT, WIDTH), &rng);
    for (int threads = 1; threads < 5; threads += 3) {
        gr_set_threads(threads);
        gr_tensor *y = gr_embedding(w, index);
        memset(gr_data_mut(wanted), 0, sizeof(gr_real[ROWS * WIDTH]));
        for (int64_t i = 0; i < COUNT; i++)
            for (int64_t d = 0; d < WIDTH; d++) {
                int64_t from = gr_ints(index)[i] * WIDTH + d;
                if (gr_data(y)[i * WIDTH + d] != gr_data(w)[from])
                    ck_abort_msg("row %lld", (long long)i);
                gr_data_mut(wanted)[from] += gr_data(g)[i * WIDTH + d];
            }
        holds(gr_grad(y, w, .grad_output = g), gr_shape(ROWS, WIDTH), gr_data(wanted));
    }
    gr_set_threads(1);
    nothing_failed();
}
END_TEST

START_TEST(refused_picks)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(3, 5)), *i = INTS(gr_shape(2, 3), 0, 1, 2, 0, 0, 5),
              *cube = gr_zeros(gr_shape(1, 1, 1));
    FAILS(gr_gather(x, 1, i), GR_ERR_ARGUMENT,
        "gather: index 5 at (1,2) is outside 0 .. 4, axis 1 of the input (3,5)");
    FAILS(gr_gather(x, 0, i), GR_ERR_ARGUMENT,
        "gather: index 5 at (1,2) is outside 0 .. 2, axis 0 of the input (3,5)");
    FAILS(gr_gather(x, -1, INTS(gr_shape(1, 1), -1)), GR_ERR_ARGUMENT,
        "gather: index -1 at (0,0) is outside 0 .. 4, axis 1 of the input (3,5)");
    FAILS(gr_gather(x, 2, i), GR_ERR_ARGUMENT, "gather: (3,5) has no axis 2");
    FAILS(gr_gather(gr_zeros(gr_shape(1, 5)), 1, i), GR_ERR_ARGUMENT,
        "gather: the index (2,3) is larger than the input (1,5) beside axis 1, or of another rank");
    FAILS(gr_gather(cube, 1, i), GR_ERR_ARGUMENT,
        "gather: the index (2,3) is larger than the input (1,1,1) beside axis 1, or of another "
        "rank");
    FAILS(gr_gather(x, 0, x), GR_ERR_ARGUMENT, "gather: input 2 (3,5) is real, int32 wanted");
    FAILS(gr_gather(i, 0, i), GR_ERR_ARGUMENT, "gather: input 1 (2,3) is int32, real wanted");
    FAILS(gr_gather(NULL, 0, i), GR_ERR_ARGUMENT, "gather: input 1 is NULL");
    FAILS(gr_gather(x, 0, NULL), GR_ERR_ARGUMENT, "gather: input 2 is NULL");
    FAILS(gr_embedding(x, i), GR_ERR_ARGUMENT,
        "embedding: index 5 at (1,2) is outside 0 .. 2, the rows of the weight (3,5)");
    FAILS(gr_embedding(x, INTS(SCALAR, -1)), GR_ERR_ARGUMENT,
        "embedding: index -1 at () is outside 0 .. 2, the rows of the weight (3,5)");
    FAILS(gr_embedding(cube, i), GR_ERR_ARGUMENT, "embedding: weight (1,1,1) has rank 3, 2 wanted");
    FAILS(gr_embedding(x, INTS(gr_shape(1, 1, 1, 1, 1, 1, 1, 1), 0)), GR_ERR_ARGUMENT,
        "embedding: no room for a dimension after the index (1,1,1,1,1,1,1,1)");
    FAILS(gr_embedding(i, i), GR_ERR_ARGUMENT, "embedding: input 1 (2,3) is int32, real wanted");
    FAILS(gr_embedding(NULL, i), GR_ERR_ARGUMENT, "embedding: input 1 is NULL");
    FAILS(gr_one_hot(i, 5), GR_ERR_ARGUMENT, "one_hot: index 5 at (1,2) is outside 0 .. 4");
    FAILS(gr_one_hot(INTS(gr_shape(1), -3), 5), GR_ERR_ARGUMENT,
        "one_hot: index -3 at (0) is outside 0 .. 4");
    FAILS(gr_one_hot(INTS(gr_shape(1, 1, 1, 1, 1, 1, 1, 1), 0), 5), GR_ERR_ARGUMENT,
        "one_hot: classes 5, index (1,1,1,1,1,1,1,1): 1 class or more wanted, and room for a "
        "dimension");
    FAILS(gr_one_hot(gr_from_ints(gr_shape(0), (const int32_t[]){ 0 }), 0), GR_ERR_ARGUMENT,
        "one_hot: classes 0, index (0): 1 class or more wanted, and room for a dimension");
    FAILS(gr_one_hot(x, 5), GR_ERR_ARGUMENT, "one_hot: input 1 (3,5) is real, int32 wanted");
    FAILS(gr_one_hot(NULL, 5), GR_ERR_ARGUMENT, "one_hot: input 1 is NULL");
    nothing_failed();
}
END_TEST

/* An index that changes between forward and backward would lead anywhere. */
START_TEST(changed_index)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_ones(gr_shape(3))), *i = INTS(gr_shape(2), 0, 2),
              *loss = gr_sum(gr_gather(x, 0, i));
    gr_ints_mut(i)[0] = 1000000;
    FAILS(gr_backward(loss), GR_ERR_GRAPH,
        "backward: an input (2) of gather was changed after it was recorded");
}
END_TEST

/* ---- average pooling ------------------------------------------------------------------------- */

START_TEST(averages)
{
    GR_STEP;
    gr_tensor *k = counted(PICTURE(3, 4)), *x = gr_param(gr_copy(gr_scale(gr_mul(k, k), 0.125))),
              *y = gr_avg_pool2d(x, 2);
    double tiny = ROUGHLY;
    HOLDS(y, PICTURE(1, 2), 2.0625, 4.3125);
    HOLDS(gradient(y, x), PICTURE(3, 4), 0.25, 0.25, 0.5, 0.5, 0.25, 0.25, 0.5, 0.5, 0, 0, 0, 0);
    y = gr_avg_pool2d(x, 3, .stride = 1, .padding = 1);
    NEAR(y, PICTURE(3, 4), tiny, 0.916666667, 1.72222222, 2.47222222, 1.91666667, 3.43055556,
        5.91666667, 7.54166667, 5.59722222, 3.36111111, 5.72222222, 7.13888889, 5.25);
    NEAR(gradient(y, x), PICTURE(3, 4), tiny, 1.55555556, 2.66666667, 3.33333333, 2.44444444,
        3.66666667, 6, 7, 5, 3.33333333, 5.33333333, 6, 4.22222222);
    y = gr_avg_pool2d(x, 3, .stride = 2, .padding = 1, .exclude_padding = true);
    NEAR(y, PICTURE(2, 2), tiny, 2.0625, 3.70833333, 7.5625, 10.7083333);
    NEAR(gradient(y, x), PICTURE(3, 4), tiny, 0.25, 0.583333333, 0.333333333, 0.333333333, 1, 2, 1,
        1, 0.75, 1.41666667, 0.666666667, 0.666666667);
    y = gr_avg_pool2d(x, 0, .size_hw = { 2, 3 }, .stride_hw = { 1, 2 }, .padding_hw = { 1, 0 });
    NEAR(y, PICTURE(4, 1), tiny, 0.291666667, 2.58333333, 8.58333333, 6.29166667);
    NEAR(gradient(y, x), PICTURE(3, 4), tiny, 0.5, 0.5, 0.5, 0, 0.833333333, 0.833333333,
        0.833333333, 0, 1.16666667, 1.16666667, 1.16666667, 0);
    y = gr_adaptive_avg_pool2d(x, gr_hw(2, 3));
    HOLDS(y, PICTURE(2, 3), 2.0625, 3.0625, 4.3125, 7.5625, 9.5625, 11.8125);
    HOLDS(gradient(y, x), PICTURE(3, 4), 0.25, 0.75, 1.25, 0.75, 1.25, 3, 4, 2.25, 1, 2.25, 2.75,
        1.5);
    y = gr_adaptive_avg_pool2d(x, gr_hw(4, 5));
    HOLDS(y, PICTURE(4, 5), 0.125, 0.3125, 0.8125, 1.5625, 2, 1.625, 2.0625, 3.0625, 4.3125, 5,
        6.625, 7.5625, 9.5625, 11.8125, 13, 10.125, 11.3125, 13.8125, 16.5625, 18);
    HOLDS(gradient(y, x), PICTURE(3, 4), 6.75, 6.25, 7.75, 14.25, 13.25, 10, 11, 18.25, 33, 23.75,
        25.25, 40.5);
    y = gr_global_avg_pool2d(x);
    NEAR(y, PICTURE(1, 1), tiny, 6.77083333);
    NEAR(gr_grad(gr_sum(y), x), PICTURE(3, 4), tiny, 1. / 12, 1. / 12, 1. / 12, 1. / 12, 1. / 12,
        1. / 12, 1. / 12, 1. / 12, 1. / 12, 1. / 12, 1. / 12, 1. / 12);
    HOLDS(gr_global_avg_pool2d(gr_zeros(gr_shape(0, 2, 3, 3))), gr_shape(0, 2, 1, 1), 0);
    nothing_failed();
}
END_TEST

/* Every width of a row of pairs, several planes, any number of threads: forward, and back. */
START_TEST(averages_of_pairs)
{
    gr_rng rng = gr_rng_of(1, "pairs");
    for (int64_t W = 1; W <= 41; W++) {
        GR_STEP;
        gr_set_threads((int)(W % 3) + 1);
        int64_t    planes = 30, H = 4;
        gr_tensor *x = gr_param(noise(gr_shape(5, 6, H, 2 * W), &rng)), *y = gr_avg_pool2d(x, 2),
                  *g = noise(gr_shape_of(y), &rng);
        gr_tensor *gx = gr_grad(y, x, .grad_output = g);
        for (int64_t i = 0; i < planes * H / 2; i++)
            for (int64_t j = 0; j < W; j++) {
                const gr_real *at = gr_data(x) + i * 4 * W + 2 * j,
                              *back = gr_data(gx) + i * 4 * W + 2 * j;
                gr_real v = gr_data(y)[i * W + j], given = gr_data(g)[i * W + j] / 4;
                double  mean =
                    ((double)at[0] + (double)at[1] + (double)at[2 * W] + (double)at[2 * W + 1]) / 4;
                if (!(fabs((double)v - mean) <= ROUGHLY))
                    ck_abort_msg("width %lld: %g, not %g", (long long)W, (double)v, mean);
                if (back[0] != given || back[1] != given || back[2 * W] != given ||
                    back[2 * W + 1] != given)
                    ck_abort_msg("width %lld: the gradient", (long long)W);
            }
    }
    gr_set_threads(1);
    nothing_failed();
}
END_TEST

START_TEST(refused_averages)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(1, 2, 3, 4)), *flat = gr_zeros(gr_shape(3, 4)),
              *empty = gr_zeros(gr_shape(1, 2, 0, 4));
    FAILS(gr_avg_pool2d(flat, 2), GR_ERR_ARGUMENT, "avg_pool2d: input (3,4) has rank 2, 4 wanted");
    FAILS(gr_avg_pool2d(x, 0), GR_ERR_ARGUMENT,
        "avg_pool2d: size (0,0), stride (0,0), padding (0,0): padding is at most half the size");
    FAILS(gr_avg_pool2d(x, 2, .padding = 2), GR_ERR_ARGUMENT,
        "avg_pool2d: size (2,2), stride (2,2), padding (2,2): padding is at most half the size");
    FAILS(gr_avg_pool2d(x, 4), GR_ERR_ARGUMENT,
        "avg_pool2d: a window of 4x4 does not fit the input (1,2,3,4), padded by (0,0)");
    FAILS(gr_avg_pool2d(NULL, 2), GR_ERR_ARGUMENT, "avg_pool2d: input 1 is NULL");
    FAILS(gr_adaptive_avg_pool2d(x, gr_hw(0, 2)), GR_ERR_ARGUMENT,
        "adaptive_avg_pool2d: from (1,2,3,4) to 0x2: there must be something on both sides");
    FAILS(gr_adaptive_avg_pool2d(empty, gr_hw(1, 2)), GR_ERR_ARGUMENT,
        "adaptive_avg_pool2d: from (1,2,0,4) to 1x2: there must be something on both sides");
    FAILS(gr_adaptive_avg_pool2d(flat, gr_hw(1, 1)), GR_ERR_ARGUMENT,
        "adaptive_avg_pool2d: input (3,4) has rank 2, 4 wanted");
    FAILS(gr_adaptive_avg_pool2d(NULL, gr_hw(1, 1)), GR_ERR_ARGUMENT,
        "adaptive_avg_pool2d: input 1 is NULL");
    FAILS(gr_global_avg_pool2d(flat), GR_ERR_ARGUMENT,
        "global_avg_pool2d: input (3,4) has rank 2, 4 wanted");
    FAILS(gr_global_avg_pool2d(empty), GR_ERR_ARGUMENT,
        "global_avg_pool2d: from (1,2,0,4) to 1x1: there must be something on both sides");
    FAILS(gr_global_avg_pool2d(NULL), GR_ERR_ARGUMENT, "global_avg_pool2d: input 1 is NULL");
    nothing_failed();
}
END_TEST

/* ---- upsampling ------------------------------------------------------------------------------ */

START_TEST(upsampled)
{
    GR_STEP;
    gr_tensor *x = gr_param(T(PICTURE(2, 2), 1, 4, 9, 16)), *y = gr_upsample(x, 2);
    double     tiny = ROUGHLY;
    HOLDS(y, PICTURE(4, 4), 1, 1, 4, 4, 1, 1, 4, 4, 9, 9, 16, 16, 9, 9, 16, 16);
    HOLDS(gradient(y, x), PICTURE(2, 2), 14, 22, 46, 54);
    y = gr_upsample(x, 0, .size_hw = { 3, 5 });
    HOLDS(y, PICTURE(3, 5), 1, 1, 1, 4, 4, 1, 1, 1, 4, 4, 9, 9, 9, 16, 16);
    HOLDS(gradient(y, x), PICTURE(2, 2), 27, 28, 36, 29);
    y = gr_upsample(x, 2, .bilinear = true);
    HOLDS(y, PICTURE(4, 4), 1, 1.75, 3.25, 4, 3, 4, 6, 7, 7, 8.5, 11.5, 13, 9, 10.75, 14.25, 16);
    HOLDS(gradient(y, x), PICTURE(2, 2), 16.5, 23.5, 44.5, 51.5);
    y = gr_upsample(x, 0, .size_hw = { 3, 5 }, .bilinear = true);
    NEAR(y, PICTURE(3, 5), tiny, 1, 1.3, 2.5, 3.7, 4, 5, 5.5, 7.5, 9.5, 10, 9, 9.7, 12.5, 15.3, 16);
    NEAR(gradient(y, x), PICTURE(2, 2), tiny, 13.3, 21.7, 38.3, 46.7);
    gr_tensor *k = counted(PICTURE(3, 5));
    x = gr_param(gr_copy(gr_mul(k, k)));
    y = gr_upsample(x, 0.7);
    HOLDS(y, PICTURE(2, 3), 1, 4, 9, 36, 49, 64);
    HOLDS(gradient(y, x), PICTURE(3, 5), 1, 2, 3, 0, 0, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0);
    y = gr_upsample(x, 0.7, .bilinear = true);
    NEAR(y, PICTURE(2, 3), tiny, 9.60204082, 18.2346939, 30.7244898, 94.8061224, 123.846939,
        156.744898);
    NEAR(gradient(y, x), PICTURE(3, 5), tiny, 0.617346939, 0.729591837, 1.01020408, 2.18877551,
        0.168367347, 1.29081633, 1.14285714, 1.42346939, 2.58673469, 0.198979592, 2.02040816,
        1.69897959, 2.06632653, 3.58163265, 0.275510204);
    HOLDS(gr_upsample(gr_zeros(gr_shape(2, 0, 3, 3)), 2), gr_shape(2, 0, 6, 6), 0);
    HOLDS(
        gr_upsample(gr_zeros(gr_shape(0, 2, 3, 3)), 2, .bilinear = true), gr_shape(0, 2, 6, 6), 0);
    nothing_failed();
}
END_TEST

/* Many planes, many tasks: each is what it is alone. */
START_TEST(upsampled_planes)
{
    gr_rng rng = gr_rng_of(1, "planes");
    for (int turn = 0; turn < 4; turn++) {
        GR_STEP;
        gr_set_threads(3);
        gr_tensor *x = gr_param(noise(gr_shape(9, 4, 20, 23), &rng)),
                  *y = gr_upsample(x, turn < 2 ? 2 : 1.6, .bilinear = turn % 2);
        gr_tensor *g = noise(gr_shape_of(y), &rng), *gx = gr_grad(y, x, .grad_output = g);
        gr_set_threads(1);
        int64_t plane = gr_size(y, 2) * gr_size(y, 3);
        for (int64_t n = 0; n < 36; n += 7) {
            gr_tensor *one = gr_param(gr_from(PICTURE(20, 23), gr_data(x) + n * 20 * 23));
            gr_tensor *z = gr_upsample(one, turn < 2 ? 2 : 1.6, .bilinear = turn % 2);
            holds(z, PICTURE(gr_size(y, 2), gr_size(y, 3)), gr_data(y) + n * plane);
            holds(gr_grad(z, one, .grad_output = gr_from(gr_shape_of(z), gr_data(g) + n * plane)),
                PICTURE(20, 23), gr_data(gx) + n * 20 * 23);
        }
    }
    nothing_failed();
}
END_TEST

START_TEST(refused_upsampling)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(1, 2, 3, 4));
    FAILS(gr_upsample(gr_zeros(gr_shape(3, 4)), 2), GR_ERR_ARGUMENT,
        "upsample: input (3,4) has rank 2, 4 wanted");
    FAILS(gr_upsample(x, 0), GR_ERR_ARGUMENT,
        "upsample: scale 0, size (0,0): a scale over 0, or 0 and a size, wanted");
    FAILS(gr_upsample(x, -1), GR_ERR_ARGUMENT,
        "upsample: scale -1, size (0,0): a scale over 0, or 0 and a size, wanted");
    FAILS(gr_upsample(x, 2, .size_hw = { 2, 2 }), GR_ERR_ARGUMENT,
        "upsample: scale 2, size (2,2): a scale over 0, or 0 and a size, wanted");
    FAILS(gr_upsample(x, 0, .size_hw = { 2, 0 }), GR_ERR_ARGUMENT,
        "upsample: scale 0, size (2,0): a scale over 0, or 0 and a size, wanted");
    FAILS(gr_upsample(x, 0.3), GR_ERR_ARGUMENT,
        "upsample: (1,2,3,4) times 0.3, or to size (0,0): there must be something on both sides");
    FAILS(gr_upsample(x, 1e300), GR_ERR_ARGUMENT,
        "upsample: (1,2,3,4) times 1e+300, or to size (0,0): there must be something on both "
        "sides");
    FAILS(gr_upsample(gr_zeros(gr_shape(1, 2, 0, 4)), 2), GR_ERR_ARGUMENT,
        "upsample: (1,2,0,4) times 2, or to size (0,0): there must be something on both sides");
    FAILS(gr_upsample(NULL, 2), GR_ERR_ARGUMENT, "upsample: input 1 is NULL");
    FAILS(gr_upsample(NULL, 2, .bilinear = true), GR_ERR_ARGUMENT,
        "upsample: input 1 is NULL");
    nothing_failed();
}
END_TEST

#define SHAPE(t, wanted) ck_assert(same_shape(gr_shape_of(t), (wanted)))

/* ---- numbers that leave their type ----------------------------------------------------------- */

START_TEST(largest_numbers)
{
    GR_STEP;
    gr_tensor *x = gr_ones(gr_shape(2, 3)), *part = NULL;
    ck_assert(gr_split(x, GR_END, 0, &part, 1));
    SHAPE(part, gr_shape(2, 3));
    ck_assert(gr_split(x, GR_END - 1, 1, &part, 1));
    SHAPE(part, gr_shape(2, 3));
    SHAPE(gr_slice(x, 1, 1, GR_END, .step = INT64_MAX), gr_shape(2, 1));
    SHAPE(gr_roll(x, INT64_MIN, 0), gr_shape(2, 3));
    int32_t    seven = 7;
    gr_tensor *i = gr_from_ints(gr_shape(1), &seven);
    ck_assert_int_eq(gr_ints(gr_pad(i, gr_shape(1), .value = INT32_MAX))[0], INT32_MAX);
    ck_assert_int_eq(gr_ints(gr_pad(i, gr_shape(1), .value = INT32_MIN))[0], INT32_MIN);
    nothing_failed();
    FAILS(gr_pad(i, gr_shape(1), .value = 3e9), GR_ERR_ARGUMENT,
        "pad: (1) of int32 cannot hold the value 3e+09");
    FAILS(gr_pad(i, gr_shape(1), .value = (double)NAN), GR_ERR_ARGUMENT,
        "pad: (1) of int32 cannot hold the value nan");
    FAILS(gr_argmax(gr_zeros(gr_shape(0, 3000000000)), 1), GR_ERR_ARGUMENT,
        "argmax: axis 1 of (0,3000000000) is longer than an int32 can count");
    FAILS(
        gr_adaptive_avg_pool2d(gr_zeros(gr_shape(0, 1, INT64_C(1) << 40, 1)), gr_hw(INT32_MAX, 1)),
        GR_ERR_ARGUMENT,
        "adaptive_avg_pool2d: from (0,1,1099511627776,1) to 2147483647x1: there must be something "
        "on both sides");
}
END_TEST

START_TEST(many_tensors)
{
    GR_STEP;
    gr_tensor *t = gr_ones(gr_shape(1, 1));
    SHAPE(gr_concat(GR_TENSORS(t, t, t, t, t, t, t, t, t, t, t, t, t), 0), gr_shape(13, 1));
    SHAPE(gr_stack(GR_TENSORS(t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t,
                       t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t),
              0),
        gr_shape(40, 1, 1));
    nothing_failed();
}
END_TEST

int main(void)
{
    gr_set_threads(1); /* almost everything here is small */
    Suite *s = suite_create("ops more");
    TCase *t = cases(s, "picked by indices");
    tcase_add_test(t, picked);
    tcase_add_test(t, picked_by_loops);
    tcase_add_test(t, table_by_loops);
    tcase_add_test(t, refused_picks);
    tcase_add_test(t, changed_index);
    t = cases(s, "average pooling");
    tcase_add_test(t, averages);
    tcase_add_test(t, averages_of_pairs);
    tcase_add_test(t, refused_averages);
    t = cases(s, "upsampling");
    tcase_add_test(t, upsampled);
    tcase_add_test(t, upsampled_planes);
    tcase_add_test(t, refused_upsampling);
    t = cases(s, "extremes");
    tcase_add_test(t, largest_numbers);
    tcase_add_test(t, many_tensors);
    return run(s);
}
