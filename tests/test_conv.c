/* test_conv.c: the three convolutions against their equations.

   Plain loops, written here from T(x, k, u) in ops.h and from nothing else, stand beside every
   combination of options. Then what the equations promise: the adjoint identity, closure under
   differentiation where the options leave sizes open, and the paper's (1), (2), (10), (18) and (26)
   for single channels. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

/* N images, C channels, H x W; F filters of KH x KW; OH x OW; stride S, padding P, dilation D, G
   groups. */
typedef struct geometry {
    int64_t N, C, H, W, F, KH, KW, OH, OW;
    int     SH, SW, PH, PW, DH, DW, G;
} geometry;

#define OPTIONS_OF(c)                                                      \
    .stride_hw = { (c)->SH, (c)->SW }, .padding_hw = { (c)->PH, (c)->PW }, \
    .dilation_hw = { (c)->DH, (c)->DW }, .groups = (c)->G

/* ---- the plain loops ------------------------------------------------------------------------- */

/* One term u x k of T: the places of its three factors. */
typedef struct term {
    int64_t x, k, u;
} term;

typedef void visitor(term t, void *arg);

static void terms_of_output(
    const geometry *c, int64_t n, int64_t f, int64_t i, int64_t j, visitor *visit, void *arg)
{
    int64_t C = c->C / c->G, first = f / (c->F / c->G) * C;
    for (int64_t q = 0; q < C; q++)
        for (int64_t a = 0; a < c->KH; a++)
            for (int64_t b = 0; b < c->KW; b++) {
                int64_t h = c->SH * i + c->DH * a - c->PH, w = c->SW * j + c->DW * b - c->PW;
                if (h >= 0 && h < c->H && w >= 0 && w < c->W)
                    visit((term){ ((n * c->C + first + q) * c->H + h) * c->W + w,
                              ((f * C + q) * c->KH + a) * c->KW + b,
                              ((n * c->F + f) * c->OH + i) * c->OW + j },
                        arg);
            }
}

static void terms(const geometry *c, visitor *visit, void *arg)
{
    for (int64_t n = 0; n < c->N; n++)
        for (int64_t f = 0; f < c->F; f++)
            for (int64_t i = 0; i < c->OH; i++)
                for (int64_t j = 0; j < c->OW; j++) terms_of_output(c, n, f, i, j, visit, arg);
}

typedef struct sums {
    const gr_real *x, *k, *u;
    double        *y, *gx, *gk; /* dT/du, dT/dx, dT/dk */
} sums;

static void add_term(term t, void *arg)
{
    sums  *s = arg;
    double x = (double)s->x[t.x], k = (double)s->k[t.k], u = (double)s->u[t.u];
    s->y[t.u] += x * k;
    s->gx[t.x] += u * k;
    s->gk[t.k] += x * u;
}

/* ---- one geometry ---------------------------------------------------------------------------- */

static int64_t reach(int64_t H, int64_t K, int S, int P, int D)
{
    int64_t room = H + 2 * P - D * (K - 1) - 1;
    return room < 0 ? 0 : room / S + 1;
}

static double *zeros(int64_t n)
{
    double *p = calloc((size_t)n + 1, sizeof *p);
    ck_assert_ptr_nonnull(p);
    return p;
}

static void refused(const geometry *c, gr_tensor *x, gr_tensor *k)
{
    char text[300];
    ck_assert_ptr_null(gr_conv2d(x, k, OPTIONS_OF(c)));
    snprintf(text, sizeof text,
        "conv2d: input %lldx%lld, padded by (%d,%d), is smaller than the kernel %lldx%lld, dilated "
        "by (%d,%d)",
        (long long)c->H, (long long)c->W, c->PH, c->PW, (long long)c->KH, (long long)c->KW, c->DH,
        c->DW);
    failed_with(GR_ERR_ARGUMENT, text);
}

/* Winograd's algorithm rounds more coarsely than direct sums, in float; test_kernels.c says exactly
   how coarsely. */
static double roughness(const geometry *c)
{
    bool tiles = c->KH == 3 && c->KW == 3 && c->C >= 16 && c->F >= 16,
         rows = c->DW == 1 && c->KW > 2 * c->SW;
    return sizeof(gr_real) == 4 && (tiles || rows) ? 10 * ROUGHLY : ROUGHLY;
}

static void against_loops(const geometry *c, gr_tensor *x, gr_tensor *k, gr_tensor *u)
{
    sums s = { gr_data(x), gr_data(k), gr_data(u), zeros(gr_count(u)), zeros(gr_count(x)),
        zeros(gr_count(k)) };
    terms(c, add_term, &s);
    near(gr_conv2d(x, k, OPTIONS_OF(c)), gr_shape_of(u), s.y, roughness(c));
    near(gr_conv2d_input_grad(u, k, gr_hw(c->H, c->W), OPTIONS_OF(c)), gr_shape_of(x), s.gx,
        roughness(c));
    near(gr_conv2d_kernel_grad(x, u, gr_hw(c->KH, c->KW), OPTIONS_OF(c)), gr_shape_of(k), s.gk,
        roughness(c));
    free(s.y);
    free(s.gx);
    free(s.gk);
}

/* Whether it fits; if not, it was refused. */
static bool one(geometry *c, gr_rng *rng)
{
    GR_STEP;
    c->OH = reach(c->H, c->KH, c->SH, c->PH, c->DH);
    c->OW = reach(c->W, c->KW, c->SW, c->PW, c->DW);
    gr_tensor *x = noise(gr_shape(c->N, c->C, c->H, c->W), rng),
              *k = noise(gr_shape(c->F, c->C / c->G, c->KH, c->KW), rng);
    bool fits = c->OH > 0 && c->OW > 0;
    if (fits)
        against_loops(c, x, k, noise(gr_shape(c->N, c->F, c->OH, c->OW), rng));
    else
        refused(c, x, k);
    return fits;
}

/* ---- every combination ----------------------------------------------------------------------- */

/* _i: stride 1-3, padding 0-2, dilation 1-2. */
START_TEST(every_combination)
{
    static const int64_t kernels[][2] = { { 1, 1 }, { 2, 3 }, { 5, 5 } },
                         sizes[][2] = { { 7, 9 }, { 11, 5 } };
    static const int groups[] = { 1, 2, 4 };
    gr_rng           rng = gr_rng_of(1, "every combination");
    int              S = _i % 3 + 1, P = _i / 3 % 3, D = _i / 9 + 1;
    for (int g = 0; g < 3; g++)
        for (int k = 0; k < 3; k++)
            for (int s = 0; s < 2; s++)
                for (int N = 1; N <= 3; N += 2) {
                    geometry c = { N, 4, sizes[s][0], sizes[s][1], 8, kernels[k][0], kernels[k][1],
                        0, 0, S, S, P, P, D, D, groups[g] };
                    bool     fits = one(&c, &rng);
                    ck_assert(fits || kernels[k][0] == 5);
                }
    nothing_failed();
}
END_TEST

static int pick(gr_rng *rng, int low, int high)
{
    return low + (int)gr_rng_below(rng, high - low + 1);
}

/* Height and width apart, odd numbers of channels, sizes around those of vectors. */
START_TEST(any_geometry)
{
    gr_rng rng = gr_rng_of((uint64_t)_i, "any geometry");
    int    fitted = 0;
    for (int i = 0; i < 100; i++) {
        int      G = pick(&rng, 1, 3);
        geometry c = { .N = pick(&rng, 1, 3),
            .H = pick(&rng, 1, 12),
            .W = pick(&rng, 1, 35),
            .KH = pick(&rng, 1, 4),
            .KW = pick(&rng, 1, 6),
            .G = G };
        c.C = G * pick(&rng, 1, 5);
        c.F = G * pick(&rng, 1, 9);
        c.SH = pick(&rng, 1, 4), c.SW = pick(&rng, 1, 4);
        c.PH = pick(&rng, 0, 5), c.PW = pick(&rng, 0, 5);
        c.DH = pick(&rng, 1, 3), c.DW = pick(&rng, 1, 3);
        fitted += one(&c, &rng);
    }
    ck_assert_int_gt(fitted, 50);
    nothing_failed();
}
END_TEST

/* As many images and channels as a training step has: where fast algorithms begin. */
START_TEST(layers_of_networks)
{
    static const geometry layers[] = {
        { 4, 1, 28, 28, 6, 5, 5, 0, 0, 1, 1, 2, 2, 1, 1, 1 },
        { 4, 6, 14, 14, 16, 5, 5, 0, 0, 1, 1, 0, 0, 1, 1, 1 },
        { 2, 16, 14, 14, 32, 3, 3, 0, 0, 1, 1, 1, 1, 1, 1, 1 },
        { 2, 16, 15, 15, 24, 3, 3, 0, 0, 2, 2, 1, 1, 1, 1, 1 },
        { 2, 24, 9, 9, 24, 3, 3, 0, 0, 1, 1, 1, 1, 1, 1, 24 },
        { 2, 33, 7, 7, 17, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1 },
        { 2, 8, 8, 8, 8, 3, 3, 0, 0, 1, 1, 4, 4, 1, 1, 1 },
        { 1, 3, 31, 33, 16, 7, 7, 0, 0, 2, 2, 3, 3, 1, 1, 1 },
        { 3, 8, 12, 12, 8, 3, 3, 0, 0, 1, 1, 2, 2, 2, 2, 2 },
        { 1, 40, 3, 3, 40, 3, 3, 0, 0, 1, 1, 0, 0, 1, 1, 1 },
    };
    gr_rng rng = gr_rng_of(1, "layers");
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        geometry c = layers[i];
        ck_assert(one(&c, &rng));
    }
}
END_TEST

START_TEST(no_images)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_zeros(gr_shape(0, 2, 5, 5))),
              *k = gr_param(gr_ones(gr_shape(3, 2, 3, 3))), *y = gr_conv2d(x, k);
    ck_assert(same_shape(gr_shape_of(y), gr_shape(0, 3, 3, 3)));
    ck_assert(gr_backward(gr_sum(y)));
    ck_assert(same_shape(gr_shape_of(gr_grad_of(x)), gr_shape(0, 2, 5, 5)));
    holds(gr_grad_of(k), gr_shape(3, 2, 3, 3), gr_data(gr_zeros(gr_shape(3, 2, 3, 3))));
    gr_tensor *none = gr_conv2d(
        gr_ones(gr_shape(1, 0, 2, 2)), gr_ones(gr_shape(2, 0, 1, 1)), .bias = T(gr_shape(2), 3, 4));
    HOLDS(none, gr_shape(1, 2, 2, 2), 3, 3, 3, 3, 4, 4, 4, 4);
    ck_assert(same_shape(
        gr_shape_of(gr_conv2d(gr_ones(gr_shape(1, 2, 2, 2)), gr_ones(gr_shape(0, 2, 1, 1)))),
        gr_shape(1, 0, 2, 2)));
    nothing_failed();
}
END_TEST

START_TEST(bias_and_act)
{
    GR_STEP;
    gr_rng rng = gr_rng_of(1, "bias");
    for (int groups = 1; groups <= 2; groups++)
        for (int act = GR_NO_ACT; act <= GR_TANH; act++) {
            gr_tensor *x = noise(gr_shape(3, 4, 7, 9), &rng),
                      *k = noise(gr_shape(6, 4 / groups, 3, 2), &rng),
                      *b = noise(gr_shape(6), &rng);
            gr_tensor *z = gr_add(
                gr_conv2d(x, k, .padding = 1, .groups = groups), gr_reshape(b, gr_shape(6, 1, 1)));
            gr_tensor *y = act == GR_RELU      ? gr_relu(z)
                           : act == GR_SIGMOID ? gr_sigmoid(z)
                           : act == GR_TANH    ? gr_tanh(z)
                                               : z;
            gr_tensor *fused =
                gr_conv2d(x, k, .bias = b, .padding = 1, .groups = groups, .act = (gr_act)act);
            ck_assert_double_lt(gr_item(gr_max(gr_abs(gr_sub(y, fused)))), ROUGHLY);
        }
    nothing_failed();
}
END_TEST

/* ---- what linearity promises ----------------------------------------------------------------- */

static double inner(gr_tensor *a, gr_tensor *b) { return gr_item(gr_sum(gr_mul(a, b))); }

START_TEST(adjoint)
{
    gr_rng rng = gr_rng_of((uint64_t)_i, "adjoint");
    for (int i = 0; i < 50; i++) {
        GR_STEP;
        int G = pick(&rng, 1, 2), K = pick(&rng, 1, 3), S = pick(&rng, 1, 3), P = pick(&rng, 0, 2),
            D = pick(&rng, 1, 2);
        gr_tensor *x = noise(gr_shape(2, 2 * G, pick(&rng, 7, 10), pick(&rng, 7, 10)), &rng),
                  *k = noise(gr_shape(3 * G, 2, K, K), &rng);
        gr_tensor *y = gr_conv2d(x, k, .stride = S, .padding = P, .dilation = D, .groups = G),
                  *u = noise(gr_shape_of(y), &rng);
        gr_tensor *A = gr_conv2d_input_grad(u, k, gr_hw(gr_size(x, 2), gr_size(x, 3)), .stride = S,
            .padding = P, .dilation = D, .groups = G);
        gr_tensor *B = gr_conv2d_kernel_grad(
            x, u, gr_hw(K, K), .stride = S, .padding = P, .dilation = D, .groups = G);
        double yu = inner(y, u), most = ROUGHLY * fmax(10, fabs(yu));
        ck_assert_double_eq_tol(inner(x, A), yu, most);
        ck_assert_double_eq_tol(inner(k, B), yu, most);
    }
    nothing_failed();
}
END_TEST

static void equal(gr_tensor *a, gr_tensor *b)
{
    ck_assert_msg(a && b, "%s", gr_error());
    ck_assert(same_shape(gr_shape_of(a), gr_shape_of(b)));
    ck_assert_double_le(gr_item(gr_max(gr_abs(gr_sub(a, b)))), ROUGHLY);
}

/* The gradients of A and of B are the other two, at the sizes they were called with. */
static void closed(int64_t H, int64_t W, int S, int P, int D, int G, gr_rng *rng)
{
    GR_STEP;
    gr_tensor *k = gr_param(noise(gr_shape(4, 4 / G, 3, 2), rng)),
              *x = gr_param(noise(gr_shape(2, 4, H, W), rng));
    gr_tensor *u = gr_param(noise(
        gr_shape_of(gr_conv2d(x, k, .stride = S, .padding = P, .dilation = D, .groups = G)), rng));
    gr_tensor *z = gr_conv2d_input_grad(
                  u, k, gr_hw(H, W), .stride = S, .padding = P, .dilation = D, .groups = G),
              *gz = noise(gr_shape_of(z), rng);
    gr_tensor *w = gr_conv2d_kernel_grad(
                  x, u, gr_hw(3, 2), .stride = S, .padding = P, .dilation = D, .groups = G),
              *gw = noise(gr_shape_of(w), rng);
    ck_assert(same_shape(gr_shape_of(z), gr_shape(2, 4, H, W)) &&
              same_shape(gr_shape_of(w), gr_shape_of(k)));
    gr_tensor *of_z[2], *of_w[2];
    ck_assert(
        gr_grads(z, (gr_tensor *[]){ u, k }, 2, of_z, (gr_grad_options){ .grad_output = gz }));
    ck_assert(
        gr_grads(w, (gr_tensor *[]){ x, u }, 2, of_w, (gr_grad_options){ .grad_output = gw }));
    equal(of_z[0], gr_conv2d(gz, k, .stride = S, .padding = P, .dilation = D, .groups = G));
    equal(of_z[1], gr_conv2d_kernel_grad(
                       gz, u, gr_hw(3, 2), .stride = S, .padding = P, .dilation = D, .groups = G));
    equal(of_w[0], gr_conv2d_input_grad(
                       u, gw, gr_hw(H, W), .stride = S, .padding = P, .dilation = D, .groups = G));
    equal(of_w[1], gr_conv2d(x, gw, .stride = S, .padding = P, .dilation = D, .groups = G));
}

START_TEST(closure)
{
    gr_rng rng = gr_rng_of(1, "closure");
    for (int S = 1; S <= 3; S++)
        for (int P = 0; P <= 2; P++)
            for (int D = 1; D <= 2; D++)
                for (int G = 1; G <= 4; G *= 2)
                    for (int extra = 0; extra < S; extra++) /* S sizes share one OH */
                        closed(7 + extra, 6 + extra, S, P, D, G, &rng);
    nothing_failed();
}
END_TEST

/* One u and one k, and each of the S heights that give u's: A at each is A at the largest, cut. */
START_TEST(open_sizes)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "open sizes");
    gr_tensor *u = noise(gr_shape(1, 2, 3, 3), &rng), *k = noise(gr_shape(2, 1, 2, 2), &rng);
    gr_tensor *largest = gr_conv2d_input_grad(u, k, gr_hw(10, 10), .stride = 3);
    for (int H = 8; H <= 10; H++)
        for (int W = 8; W <= 10; W++)
            equal(gr_conv2d_input_grad(u, k, gr_hw(H, W), .stride = 3),
                gr_slice(gr_slice(largest, 2, 0, H), 3, 0, W));
    FAILS(gr_conv2d_input_grad(u, k, gr_hw(7, 8), .stride = 3), GR_ERR_ARGUMENT,
        "conv2d_input_grad: gradient (1,2,3,3), but convolving 7x8 by 2x2 gives (1,2,2,3)");
    FAILS(gr_conv2d_input_grad(u, k, gr_hw(8, 11), .stride = 3), GR_ERR_ARGUMENT,
        "conv2d_input_grad: gradient (1,2,3,3), but convolving 8x11 by 2x2 gives (1,2,3,4)");
    gr_tensor *x = noise(gr_shape(1, 1, 9, 9), &rng);
    ck_assert(gr_conv2d_kernel_grad(x, u, gr_hw(2, 3), .stride = 3) &&
              gr_conv2d_kernel_grad(x, u, gr_hw(1, 2), .stride = 3));
    FAILS(gr_conv2d_kernel_grad(x, u, gr_hw(4, 3), .stride = 3), GR_ERR_ARGUMENT,
        "conv2d_kernel_grad: gradient (1,2,3,3), but convolving 9x9 by 4x3 gives (1,2,2,3)");
}
END_TEST

START_TEST(transposed)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "transposed");
    gr_tensor *x = noise(gr_shape(2, 4, 5, 3), &rng), *k = noise(gr_shape(4, 3, 3, 2), &rng),
              *b = noise(gr_shape(6), &rng);
    for (int more = 0; more < 2; more++) {
        gr_tensor *y = gr_conv_transpose2d(x, k, .bias = b, .stride = 2, .padding = 1, .groups = 2,
            .output_padding_hw = { more, 1 });
        int64_t    OH = 4 * 2 - 2 + 2 + more + 1, OW = 2 * 2 - 2 + 1 + 1 + 1;
        gr_tensor *z =
            gr_conv2d_input_grad(x, k, gr_hw(OH, OW), .stride = 2, .padding = 1, .groups = 2);
        equal(y, gr_add(z, gr_reshape(b, gr_shape(6, 1, 1))));
    }
    NEAR(gr_conv_transpose2d(
             T(gr_shape(1, 1, 1, 2), 2, 3), T(gr_shape(1, 1, 1, 3), 1, 10, 100), .stride = 2),
        gr_shape(1, 1, 1, 5), 1e-4, 2, 20, 203, 30, 300);
}
END_TEST

/* ---- the paper ------------------------------------------------------------------------------- */

static double at(const gr_tensor *t, int64_t i, int64_t j)
{
    return (double)gr_data(t)[i * gr_size(t, 1) + j];
}

/* (1): a matrix read outside is zero. */
static double zero_outside(const gr_tensor *t, int64_t i, int64_t j)
{
    return i < 0 || j < 0 || i >= gr_size(t, 0) || j >= gr_size(t, 1) ? 0 : at(t, i, j);
}

START_TEST(equation_1)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "(1)");
    gr_tensor *m = noise(gr_shape(3, 4), &rng);
    for (int i = -2; i <= 2; i++)
        for (int k = i; k <= 4; k++)
            for (int j = -2; j <= 2; j++)
                for (int l = j; l <= 5; l++) {
                    if (k < 0 || i > 2 || l < 0 || j > 3)
                        /* nothing of m is left: a pad refuses to take away more than there is */
                        continue;
                    gr_tensor *s = gr_pad(m, gr_shape(-i, -j), .after = gr_shape(k - 2, l - 3));
                    ck_assert(same_shape(gr_shape_of(s), gr_shape(k - i + 1, l - j + 1)));
                    for (int p = 0; p <= k - i; p++)
                        for (int q = 0; q <= l - j; q++)
                            ck_assert_double_eq(at(s, p, q), zero_outside(m, i + p, j + q));
                }
    nothing_failed();
}
END_TEST

/* (2): d(a *filt b)_ij / da is b moved to (i,j). (10): d(a *filt b)_ij / db is the window of a at
   (i,j). Both to the last bit. */
START_TEST(equations_2_and_10)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "(2)");
    gr_tensor *a = gr_param(noise(gr_shape(4, 5), &rng)),
              *b = gr_param(noise(gr_shape(2, 3), &rng)), *y = gr_conv_filt(a, b);
    ck_assert(same_shape(gr_shape_of(y), gr_shape(3, 3)));
    for (int64_t i = 0; i < 3; i++)
        for (int64_t j = 0; j < 3; j++) {
            gr_tensor *only = gr_zeros(gr_shape(3, 3)), *g[2];
            gr_data_mut(only)[3 * i + j] = 1;
            ck_assert(gr_grads(y, (gr_tensor *[]){ a, b }, 2, g,
                (gr_grad_options){ .grad_output = only, .retain_graph = true }));
            for (int64_t h = 0; h < 4; h++)
                for (int64_t w = 0; w < 5; w++)
                    ck_assert_double_eq(at(g[0], h, w), zero_outside(b, h - i, w - j));
            for (int64_t p = 0; p < 2; p++)
                for (int64_t q = 0; q < 3; q++)
                    ck_assert_double_eq(at(g[1], p, q), at(a, i + p, j + q));
        }
}
END_TEST

/* The three by their definitions, element by element. */
START_TEST(filt_valid_full)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "filt");
    gr_tensor *a = noise(gr_shape(4, 5), &rng), *b = noise(gr_shape(3, 2), &rng);
    gr_tensor *filt = gr_conv_filt(a, b), *valid = gr_conv_valid(a, b), *full = gr_conv_full(a, b);
    ck_assert(same_shape(gr_shape_of(filt), gr_shape(2, 4)) &&
              same_shape(gr_shape_of(valid), gr_shape(2, 4)));
    ck_assert(same_shape(gr_shape_of(full), gr_shape(6, 6)));
    for (int64_t i = 0; i < 6; i++)
        for (int64_t j = 0; j < 6; j++) {
            double f = 0, v = 0, u = 0;
            for (int64_t p = 0; p < 3; p++)
                for (int64_t q = 0; q < 2; q++) {
                    f += zero_outside(a, i + p, j + q) * at(b, p, q);
                    v += zero_outside(a, i + p, j + q) * at(b, 2 - p, 1 - q);
                    u += zero_outside(a, i - p, j - q) * at(b, p, q);
                }
            ck_assert_double_eq_tol(at(full, i, j), u, ROUGHLY);
            if (i < 2 && j < 4) {
                ck_assert_double_eq_tol(at(filt, i, j), f, ROUGHLY);
                ck_assert_double_eq_tol(at(valid, i, j), v, ROUGHLY);
            }
        }
    equal(full, gr_conv_full(b, a));
}
END_TEST

/* (18): df/da = b *full df/d(a *filt b). (26): df/db = a *filt df/d(a *filt b). */
START_TEST(equations_18_and_26)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "(18)");
    gr_tensor *a = gr_param(noise(gr_shape(5, 6), &rng)),
              *b = gr_param(noise(gr_shape(2, 3), &rng));
    gr_tensor *y = gr_retain_grad(gr_conv_filt(a, b));
    ck_assert(gr_backward(gr_sum(gr_mul(y, gr_tanh(y)))));
    equal(gr_grad_of(a), gr_conv_full(b, gr_grad_of(y)));
    equal(gr_grad_of(b), gr_conv_filt(a, gr_grad_of(y)));
}
END_TEST

/* (33) to (35), for one image, one channel and one filter at a time: the sums of single channels
   are the three of many. */
START_TEST(equations_33_to_35)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "(33)");
    gr_tensor *x = noise(gr_shape(2, 3, 5, 4), &rng), *k = noise(gr_shape(2, 3, 2, 3), &rng),
              *g = noise(gr_shape(2, 2, 4, 2), &rng);
    gr_tensor *y = gr_zeros(gr_shape(2, 2, 4, 2)), *gx = gr_zeros(gr_shape_of(x)),
              *gk = gr_zeros(gr_shape_of(k));
#define PLANE(t, i, j)                                                    \
    gr_reshape(gr_slice(gr_slice((t), 0, (i), (i) + 1), 1, (j), (j) + 1), \
        gr_shape(gr_size((t), 2), gr_size((t), 3)))
#define INTO(t, i, j, m)                      \
    for (int64_t e = 0; e < gr_count(m); e++) \
    gr_data_mut(t)[((i)*gr_size((t), 1) + (j)) * gr_count(m) + e] += gr_data(m)[e]
    for (int64_t n = 0; n < 2; n++)
        for (int64_t f = 0; f < 2; f++)
            for (int64_t c = 0; c < 3; c++) {
                gr_tensor *X = PLANE(x, n, c), *K = PLANE(k, f, c), *G = PLANE(g, n, f);
                gr_tensor *Y = gr_conv_filt(X, K), *GX = gr_conv_full(K, G),
                          *GK = gr_conv_filt(X, G);
                INTO(y, n, f, Y);
                INTO(gx, n, c, GX);
                INTO(gk, f, c, GK);
            }
    equal(gr_conv2d(x, k), y);
    equal(gr_conv2d_input_grad(g, k, gr_hw(5, 4)), gx);
    equal(gr_conv2d_kernel_grad(x, g, gr_hw(2, 3)), gk);
}
END_TEST

/* The kernels' bits do not depend on the number of threads. */
START_TEST(any_threads)
{
    gr_rng rng = gr_rng_of(1, "threads");
    for (int i = 0; i < 20; i++) {
        GR_STEP;
        int        S = pick(&rng, 1, 2), C = pick(&rng, 1, 9), F = pick(&rng, 1, 20);
        gr_tensor *x = noise(gr_shape(5, C, 17, 19), &rng), *k = noise(gr_shape(F, C, 3, 3), &rng);
        gr_tensor *of[2][3];
        for (int threads = 1; threads <= 2; threads++) {
            gr_set_threads(threads == 1 ? 1 : 3);
            gr_tensor *y = of[threads - 1][0] = gr_conv2d(x, k, .stride = S, .padding = 1);
            of[threads - 1][1] =
                gr_conv2d_input_grad(y, k, gr_hw(17, 19), .stride = S, .padding = 1);
            of[threads - 1][2] =
                gr_conv2d_kernel_grad(x, y, gr_hw(3, 3), .stride = S, .padding = 1);
        }
        for (int j = 0; j < 3; j++) holds(of[0][j], gr_shape_of(of[1][j]), gr_data(of[1][j]));
    }
}
END_TEST

int main(void)
{
    gr_set_threads(1); /* everything here is small */
    Suite *s = suite_create("conv");
    TCase *t = cases(s, "loops");
    tcase_add_loop_test(t, every_combination, 0, 18);
    tcase_add_loop_test(t, any_geometry, 0, 4);
    tcase_add_test(t, layers_of_networks);
    tcase_add_test(t, no_images);
    tcase_add_test(t, bias_and_act);
    tcase_add_test(t, any_threads);
    t = cases(s, "promises");
    tcase_add_loop_test(t, adjoint, 0, 2);
    tcase_add_test(t, closure);
    tcase_add_test(t, open_sizes);
    tcase_add_test(t, transposed);
    t = cases(s, "paper");
    tcase_add_test(t, equation_1);
    tcase_add_test(t, equations_2_and_10);
    tcase_add_test(t, filt_valid_full);
    tcase_add_test(t, equations_18_and_26);
    tcase_add_test(t, equations_33_to_35);
    return run(s);
}
