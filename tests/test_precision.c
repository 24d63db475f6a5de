/* test_precision.c: how exact convolutions are, whatever algorithm computes them. For every
   element, of (33), (34) and (35), the error is at most 1e-4 of the sum of its own absolute
   products, and an element whose every product is 0 is exactly 0: by the public operations, on
   every instruction set, against plain sums in double. The shapes are those of tests/shapes.txt,
   and small pictures; the numbers normal, rectified, sparse, one-hot and striped. GRADUS_SWEEP=all
   goes through all of them; without it, some. */
#include "support.h"

#include <gradus/ops.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

static const double      part = 1e-4;
static const char *const isas[] = { "avx512", "avx2", "baseline" };

typedef enum filling { NORMAL, RECTIFIED, SPARSE, ONE_HOT, STRIPED, FILLINGS } filling;

/* The most products of one operation, and of the elements of it that are summed anew. */
enum { MOST_PRODUCTS = 40000000, SUMMED = 400000, LEAST_ELEMENTS = 40 };

static int64_t worst_elements;
static double  worst;

static bool all(void)
{
    const char *sweep = getenv("GRADUS_SWEEP");
    return sweep && !strcmp(sweep, "all");
}

/* One-hot: along axis 1, as a map of classes is; sparse: one in a hundred; striped: every second
   column, so that some taps of two striped operands meet nothing. */
static gr_tensor *filled(gr_shape shape, filling how, gr_rng *rng)
{
    if (how == RECTIFIED) return gr_relu(gr_normal(shape, rng, 0, 1));
    if (how == NORMAL) return gr_normal(shape, rng, 0, 1);
    gr_tensor *t = gr_zeros(shape);
    gr_real   *v = gr_data_mut(t);
    int64_t    C = shape.dim[1], plane = shape.dim[2] * shape.dim[3];
    for (int64_t i = 0; i < gr_count(t) && how == SPARSE; i++)
        if (!gr_rng_below(rng, 100)) v[i] = (gr_real)gr_rng_normal(rng);
    for (int64_t i = 0; i < gr_count(t) && how == STRIPED; i++)
        if (i % shape.dim[3] % 2 == 0) v[i] = (gr_real)gr_rng_normal(rng);
    for (int64_t i = 0; i < shape.dim[0] * plane && how == ONE_HOT; i++)
        v[(i / plane * C + gr_rng_below(rng, C)) * plane + i % plane] = 1;
    return t;
}

/* The sum of an element's products, and of their sizes. */
typedef struct sums {
    double sum, size;
} sums;

static void add(sums *s, gr_real a, gr_real b)
{
    s->sum += (double)a * (double)b;
    s->size += fabs((double)a * (double)b);
}

static gr_real number(
    const gr_real *x, int64_t C, int64_t H, int64_t W, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return h < 0 || w < 0 || h >= H || w >= W ? 0 : x[((n * C + c) * H + h) * W + w];
}

static sums output_at(const gr__conv *s, const gr_real *x, const gr_real *k, const int64_t *e)
{
    sums    y = { 0, 0 };
    int64_t per = s->C / s->G, first = e[1] / (s->F / s->G) * per;
    for (int64_t c = 0; c < per; c++)
        for (int64_t p = 0; p < s->KH; p++)
            for (int64_t q = 0; q < s->KW; q++)
                add(&y,
                    number(x, s->C, s->H, s->W, e[0], first + c, e[2] * s->SH + p * s->DH - s->PH,
                        e[3] * s->SW + q * s->DW - s->PW),
                    number(k, per, s->KH, s->KW, e[1], c, p, q));
    return y;
}

static sums input_grad_at(const gr__conv *s, const gr_real *u, const gr_real *k, const int64_t *e)
{
    sums    y = { 0, 0 };
    int64_t per = s->C / s->G, filters = s->F / s->G, first = e[1] / per * filters;
    for (int64_t f = first; f < first + filters; f++)
        for (int64_t p = 0; p < s->KH; p++)
            for (int64_t q = 0; q < s->KW; q++) {
                int64_t i = e[2] + s->PH - p * s->DH, j = e[3] + s->PW - q * s->DW;
                if (i >= 0 && j >= 0 && i % s->SH == 0 && j % s->SW == 0)
                    add(&y, number(u, s->F, s->OH, s->OW, e[0], f, i / s->SH, j / s->SW),
                        number(k, per, s->KH, s->KW, f, e[1] % per, p, q));
            }
    return y;
}

static sums kernel_grad_at(const gr__conv *s, const gr_real *x, const gr_real *u, const int64_t *e)
{
    sums    y = { 0, 0 };
    int64_t c = e[0] / (s->F / s->G) * (s->C / s->G) + e[1];
    for (int64_t n = 0; n < s->N; n++)
        for (int64_t i = 0; i < s->OH; i++)
            for (int64_t j = 0; j < s->OW; j++)
                add(&y,
                    number(x, s->C, s->H, s->W, n, c, i * s->SH + e[2] * s->DH - s->PH,
                        j * s->SW + e[3] * s->DW - s->PW),
                    number(u, s->F, s->OH, s->OW, n, e[0], i, j));
    return y;
}

typedef sums element(const gr__conv *s, const gr_real *a, const gr_real *b, const int64_t *e);

/* A number of 0..n-1, the ends more often. */
static int64_t place(gr_rng *rng, int64_t n)
{
    int64_t at = gr_rng_below(rng, 2 * n);
    return at < n ? at : at % 2 ? n - 1 : at < n + n / 2 ? 0 : gr_rng_below(rng, n);
}

/* Some elements of y, as many as `products` a piece allow; if that is all of them, each. */
static void check(const gr__conv *s, const gr_tensor *y, const gr_tensor *a, const gr_tensor *b,
    element *at, double products, const char *what, gr_rng *rng)
{
    ck_assert_ptr_nonnull(y);
    gr_shape shape = gr_shape_of(y);
    int64_t  many = gr_count(y), some = (int64_t)(SUMMED / products);
    if (some < LEAST_ELEMENTS) some = LEAST_ELEMENTS;
    for (int64_t i = 0; i < (many < some ? many : some); i++) {
        int64_t e[4], left = i;
        for (int d = 3; d >= 0; left /= shape.dim[d--])
            e[d] = some < many ? place(rng, shape.dim[d]) : left % shape.dim[d];
        int64_t index = ((e[0] * shape.dim[1] + e[1]) * shape.dim[2] + e[2]) * shape.dim[3] + e[3];
        sums    w = at(s, gr_data(a), gr_data(b), e);
        double  error = fabs((double)gr_data(y)[index] - w.sum);
        worst_elements++;
        if (w.size > 0 && error / w.size > worst) worst = error / w.size;
        if (!(error <= part * w.size))
            ck_abort_msg("%s: element (%lld,%lld,%lld,%lld) is off by %.2g, its products' sizes "
                         "sum to %.2g\n"
                         "N %lld, %lldx%lldx%lld to %lld, kernel %lldx%lld, stride %lld %lld, "
                         "padding %lld %lld, dilation %lld %lld, groups %lld",
                what, (long long)e[0], (long long)e[1], (long long)e[2], (long long)e[3], error,
                w.size, (long long)s->N, (long long)s->C, (long long)s->H, (long long)s->W,
                (long long)s->F, (long long)s->KH, (long long)s->KW, (long long)s->SH,
                (long long)s->SW, (long long)s->PH, (long long)s->PW, (long long)s->DH,
                (long long)s->DW, (long long)s->G);
    }
}

#define OPTIONS                                                                        \
    .stride_hw = { (int)s->SH, (int)s->SW }, .padding_hw = { (int)s->PH, (int)s->PW }, \
    .groups = (int)s->G, .dilation_hw = { (int)s->DH, (int)s->DW }

static int rest(int64_t H, int64_t OH, int64_t K, int64_t S, int64_t P, int64_t D)
{
    return (int)(H - ((OH - 1) * S - 2 * P + D * (K - 1) + 1));
}

/* `which`: whether the first operand, the second or both are filled so; the other is normal. */
static void one_shape(const gr__conv *s, filling how, int which, gr_rng *rng)
{
    GR_STEP;
    GR_NO_GRAD;
    char       what[64];
    filling    first = which == 1 ? NORMAL : how, second = which == 0 ? NORMAL : how;
    double     taps = (double)(s->KH * s->KW) / (double)s->G;
    gr_shape   of_k = gr_shape(s->F, s->C / s->G, s->KH, s->KW);
    gr_tensor *x = filled(gr_shape(s->N, s->C, s->H, s->W), first, rng), *u, *k, *y;
    gr_tensor *g = filled(gr_shape(s->N, s->F, s->OH, s->OW), first, rng);
    k = filled(of_k, second, rng), u = filled(gr_shape(s->N, s->F, s->OH, s->OW), second, rng);
    snprintf(what, sizeof what, "%s, filling %d of %d", gr_kernels(), (int)how, which);
    y = gr_conv2d(x, k, OPTIONS);
    check(s, y, x, k, output_at, taps * (double)s->C, gr_name("(33), %s", what), rng);
    y = gr_conv2d_input_grad(g, k, gr_hw(s->H, s->W), OPTIONS);
    check(s, y, g, k, input_grad_at, taps * (double)s->F, gr_name("(34), %s", what), rng);
    if (which == 0) {
        y = gr_conv_transpose2d(g, k, OPTIONS,
            .output_padding_hw = { rest(s->H, s->OH, s->KH, s->SH, s->PH, s->DH),
                rest(s->W, s->OW, s->KW, s->SW, s->PW, s->DW) });
        check(s, y, g, k, input_grad_at, taps * (double)s->F, gr_name("transposed, %s", what), rng);
    }
    y = gr_conv2d_kernel_grad(x, u, gr_hw(s->KH, s->KW), OPTIONS);
    check(
        s, y, x, u, kernel_grad_at, (double)(s->N * s->OH * s->OW), gr_name("(35), %s", what), rng);
    nothing_failed();
}

static bool find_output(gr__conv *s)
{
    int64_t h = s->H + 2 * s->PH - s->DH * (s->KH - 1) - 1,
            w = s->W + 2 * s->PW - s->DW * (s->KW - 1) - 1;
    s->OH = h / s->SH + 1;
    s->OW = w / s->SW + 1;
    return h >= 0 && w >= 0;
}

static double products_of(const gr__conv *s)
{
    return (double)s->N * (double)(s->F * s->OH * s->OW) * (double)(s->C / s->G * s->KH * s->KW);
}

/* On the instruction set of this number; false if the machine has not got it. */
static bool begin(int isa)
{
    if (!gr__kernels_pick(NULL, isas[isa], NULL)) return false;
    setenv("GRADUS_ISA", isas[isa], 1);
    ck_assert_str_eq(gr_kernels(), isas[isa]);
    return true;
}

static void say(const char *sweep, int shapes)
{
    if (all())
        printf("%s, %s: %d runs, %lld elements, worst error %.1e of the sum of absolute products\n",
            sweep, gr_kernels(), shapes, (long long)worst_elements, worst);
}

/* Every shape of the list, or every 301st; a few images, and as many as fill vectors. */
START_TEST(published_shapes)
{
    if (!begin(_i)) return;
    const char *srcdir = getenv("srcdir");
    char        line[200];
    FILE       *list = fopen(gr_name("%s/tests/shapes.txt", srcdir ? srcdir : "."), "r");
    gr_rng      rng = gr_rng_of((uint64_t)_i, "published shapes");
    int         number = 0, runs = 0;
    ck_assert_ptr_nonnull(list);
    while (fgets(line, sizeof line, list)) {
        gr__conv s = { .N = 1 };
        int64_t *field[] = { &s.C, &s.H, &s.W, &s.F, &s.KH, &s.KW, &s.SH, &s.SW, &s.PH, &s.PW,
            &s.DH, &s.DW, &s.G };
        char    *at = line;
        if (*line == '#' || (number++ % 301 != 100 * _i && !all())) continue;
        for (size_t i = 0; i < sizeof field / sizeof *field; i++) *field[i] = strtoll(at, &at, 10);
        ck_assert(find_output(&s));
        for (int many = 0; many < 2; many++)
            for (filling how = NORMAL; how < FILLINGS; how++) {
                if (!all() && (number / 301 + many) % 2 != (int)how % 2) continue;
                s.N = many ? 16 + (number * 7 + (int)how * 16) % 49 : 1 + (number + (int)how) % 3;
                while (s.N > 1 && products_of(&s) > MOST_PRODUCTS) s.N = s.N / 2;
                one_shape(&s, how, (number + runs++) % 3, &rng);
            }
    }
    fclose(list);
    ck_assert_int_ge(number, 1000);
    say("published shapes", runs);
}
END_TEST

/* 1x1 to 8x8, 1x8 and 8x1; padding 0 to 2; 3x3 and 5x5 kernels, strides, dilations. */
START_TEST(small_pictures)
{
    if (!begin(_i)) return;
    gr_rng rng = gr_rng_of((uint64_t)_i, "small pictures");
    int    runs = 0;
    for (int64_t i = 0, many = all() ? 6000 : 60; i < many; i++) {
        static const int64_t channels[] = { 16, 17, 24, 32, 48, 64, 100, 128 };
        int64_t size = i % 10, S = gr_rng_below(&rng, 3) ? 1 : 2, D = gr_rng_below(&rng, 3) ? 1 : 2,
                K = gr_rng_below(&rng, 4) ? 3 : 5;
        gr__conv s = { .C = channels[gr_rng_below(&rng, 8)],
            .F = channels[gr_rng_below(&rng, 8)],
            .H = size + 1,
            .W = size + 1,
            .G = 1 };
        if (size >= 8) s.H = size == 8 ? 1 : 8, s.W = size == 8 ? 8 : 1;
        s.N = gr_rng_below(&rng, 3) ? 1 + gr_rng_below(&rng, 5) : 12 + gr_rng_below(&rng, 21);
        s.KH = s.KW = K, s.SH = s.SW = S, s.DH = s.DW = D;
        s.PH = gr_rng_below(&rng, 3), s.PW = gr_rng_below(&rng, 4) ? s.PH : gr_rng_below(&rng, 3);
        if (!find_output(&s)) continue;
        one_shape(&s, (filling)(gr_rng_below(&rng, FILLINGS)), (int)gr_rng_below(&rng, 3), &rng);
        runs++;
    }
    say("small pictures", runs);
}
END_TEST

/* Shapes for which fast algorithms are made: one corner of a picture alone is not 0; some channels
   and filters hardly ever are; a kernel that passes on what it gets; pictures of which some are
   empty. */
START_TEST(few_products)
{
    if (!begin(_i)) return;
    gr_rng rng = gr_rng_of((uint64_t)_i, "few products");
    for (int i = 0; i < (all() ? 60 : 12); i++) {
        GR_STEP;
        GR_NO_GRAD;
        gr__conv v = { .N = 16,
            .C = 16 + 8 * (i % 3),
            .F = 16 + 5 * (i % 2),
            .H = 14 + i % 4,
            .W = 15 + i % 3,
            .KH = 3,
            .KW = 3,
            .G = 1 };
        if (i % 4 == 3) v.KH = v.KW = 5;
        const gr__conv *s = &v;
        v.SH = v.SW = i % 4 == 2 ? 2 : 1, v.DH = v.DW = 1, v.PH = v.PW = v.KH / 2;
        ck_assert(find_output(&v));
        gr_tensor *x = gr_normal(gr_shape(v.N, v.C, v.H, v.W), &rng, 0, 1),
                  *u = gr_normal(gr_shape(v.N, v.F, v.OH, v.OW), &rng, 0, 1);
        gr_tensor *k = gr_normal(gr_shape(v.F, v.C, v.KH, v.KW), &rng, 0, 1),
                  *passing = gr_zeros(gr_shape(v.F, v.C, v.KH, v.KW));
        gr_real *X = gr_data_mut(x), *U = gr_data_mut(u);
        for (int64_t c = 0; c < v.C && c < v.F; c++)
            gr_data_mut(passing)[(c * v.C + c) * v.KH * v.KW + v.KH * v.KW / 2] = 1;
        for (int64_t e = 0; e < gr_count(x); e++) {
            int64_t w = e % v.W, h = e / v.W % v.H, c = e / v.W / v.H % v.C,
                    n = e / v.W / v.H / v.C;
            if (n % 4 == 0 && (h > 4 || w > 5)) X[e] = 0;
            if (n % 4 == 1) X[e] = 0;
            if (c == 3 && (w > 0 || h > 0)) X[e] = 0;
            if (c == 4 && w != v.W - 1) X[e] = 0;
            if (c == 5) X[e] = 0;
        }
        for (int64_t e = 0; e < gr_count(u); e++)
            if (e / v.OW / v.OH % v.F == 2 && e % v.OW) U[e] = 0;
        check(s, gr_conv2d(x, k, OPTIONS), x, k, output_at, 1, "(33)", &rng);
        check(s, gr_conv2d(x, passing, OPTIONS), x, passing, output_at, 1, "(33), passing", &rng);
        check(s, gr_conv2d_input_grad(u, k, gr_hw(v.H, v.W), OPTIONS), u, k, input_grad_at, 1,
            "(34)", &rng);
        check(s, gr_conv2d_input_grad(u, passing, gr_hw(v.H, v.W), OPTIONS), u, passing,
            input_grad_at, 1, "(34), passing", &rng);
        check(s, gr_conv2d_kernel_grad(x, u, gr_hw(v.KH, v.KW), OPTIONS), x, u, kernel_grad_at, 1,
            "(35)", &rng);
        nothing_failed();
    }
    say("few products", all() ? 60 : 12);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("precision");
    TCase *t = cases(s, "precision");
    if (all()) tcase_set_timeout(t, 20000);
    tcase_add_loop_test(t, published_shapes, 0, 3);
    tcase_add_loop_test(t, small_pictures, 0, 3);
    tcase_add_loop_test(t, few_products, 0, 3);
    return run(s);
}
