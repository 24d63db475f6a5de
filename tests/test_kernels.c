/* test_kernels.c: the fast kernels of every instruction set that this machine has, with Winograd's
   algorithm and without, against the plain loops of the reference, over random shapes, ragged ones
   above all. Every operand is a block of its own, so that a checker of memory sees what is read or
   written past it. What is allowed is a part of the sum of absolute products, which the reference
   gives for |a| and |b|. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

enum {
    RUNS = 10,
    DIRECT = 200,
    PLANES = 40,
    ROLLS = 30,
    ONE_TAP = 20,
    WINOGRAD = 12,
    ROWS = 24,
    STRIDED = 6,
    PRODUCTS = 120,
    POOLS = 200
}; /* RUNS times so many shapes */

static const double exact = 1e-5, transformed = 1e-4;

/* ---- running one kernel as the library does, but on one thread ------------------------------- */

typedef enum direction { FORWARD, INPUT_GRAD, KERNEL_GRAD } direction;

static void *block(size_t bytes)
{
    void *p = NULL;
    ck_assert_int_eq(posix_memalign(&p, 64, bytes ? bytes : 1), 0);
    return p;
}

/* A table of this machine, and what is asked of it: "direct", an algorithm, or NULL. */
typedef struct table {
    const gr__kernels *k;
    const char        *only;
} table;

static void run_conv(const table *of, direction d, const gr__conv *c, const gr__operands *o)
{
    const gr__kernels *k = of->k;
    gr__plan           plan;
    k->conv_plan(c, (gr__direction)d, of->only, &plan);
    void *shared = block(plan.shared), *scratch = block(plan.scratch);
    memset(shared, 0xFF, plan.shared); /* NaN: nothing may be taken for cleared */
    memset(scratch, 0xFF, plan.scratch);
    for (int p = 0; p < plan.stages; p++)
        for (int64_t t = plan.tasks[p] - 1; t >= 0; t--) /* in any order */
            k->conv_run(c, &plan, o, p, t, shared, scratch);
    free(shared);
    free(scratch);
}

static void run_matmul(const gr__kernels *k, const gr__matmul *m, const gr__operands *o)
{
    gr__plan plan;
    k->matmul_plan(m, &plan);
    void *shared = block(plan.shared), *scratch = block(plan.scratch);
    memset(shared, 0xFF, plan.shared);
    memset(scratch, 0xFF, plan.scratch);
    for (int p = 0; p < plan.stages; p++)
        for (int64_t t = plan.tasks[p] - 1; t >= 0; t--)
            k->matmul_run(m, &plan, o, p, t, shared, scratch);
    free(shared);
    free(scratch);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static gr_real *numbers(int64_t n, gr_rng *rng)
{
    gr_real *p = block((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = (gr_real)(2 * gr_rng_uniform(rng) - 1);
    return p;
}

static gr_real *sizes_of(const gr_real *x, int64_t n)
{
    gr_real *p = block((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = (gr_real)fabs((double)x[i]);
    return p;
}

static int64_t pick(gr_rng *rng, int64_t low, int64_t high)
{
    return low + gr_rng_below(rng, high - low + 1);
}

static const char *const isas[] = { "baseline", "avx2", "avx512" };

enum { ISAS = 3, MOST_TABLES = 60 };

/* The tables of this machine: any algorithm for all instruction sets, then exact ones for all. */
static int tables(table t[2 * ISAS])
{
    int n = 0;
    for (int direct = 0; direct < 2; direct++)
        for (int i = 0; i < ISAS; i++)
            if ((t[n] = (table){ gr__kernels_pick(NULL, isas[i], NULL), direct ? "direct" : NULL })
                    .k)
                n++;
    ck_assert_int_ge(n, 2);
    return n;
}

/* The same for each algorithm by its name. */
static int tables_by_name(table t[MOST_TABLES])
{
    int n = 0;
    for (int i = 0; i < ISAS; i++) {
        const gr__kernels *k = gr__kernels_pick(NULL, isas[i], NULL);
        for (int a = 0; k && k->conv_algorithms[a]; a++) {
            ck_assert_int_lt(n, MOST_TABLES);
            t[n++] = (table){ k, k->conv_algorithms[a]->name };
        }
    }
    return n;
}

/* What was computed is what was wanted, to a part of the sums of sizes; and some of it is not
   zero. */
static void agree(const gr_real *y, const gr_real *wanted, const gr_real *size, int64_t n,
    double part, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)y[i] - (double)wanted[i]) <= part * (double)size[i] + 1e-30))
            ck_abort_msg(
                "%s: element %lld is %.9g, not %.9g: off by %.2g of the sum of absolute products",
                what, (long long)i, (double)y[i], (double)wanted[i],
                fabs((double)y[i] - (double)wanted[i]) / (double)size[i]);
}

/* ---- convolutions ---------------------------------------------------------------------------- */

static int64_t reach(int64_t H, int64_t K, int64_t S, int64_t P, int64_t D)
{
    int64_t room = H + 2 * P - D * (K - 1) - 1;
    return room < 0 ? 0 : room / S + 1;
}

static bool is_transformed(const table *t, direction d, const gr__conv *c)
{
    gr__plan plan;
    t->k->conv_plan(c, (gr__direction)d, t->only, &plan);
    return plan.algorithm && !plan.algorithm->exact;
}

static const char *text(const gr__conv *c)
{
    static char s[300];
    snprintf(s, sizeof s,
        "N %lld, %lldx%lldx%lld to %lld, kernel %lldx%lld, stride %lld %lld, padding %lld %lld, "
        "dilation %lld %lld, groups %lld",
        (long long)c->N, (long long)c->C, (long long)c->H, (long long)c->W, (long long)c->F,
        (long long)c->KH, (long long)c->KW, (long long)c->SH, (long long)c->SW, (long long)c->PH,
        (long long)c->PW, (long long)c->DH, (long long)c->DW, (long long)c->G);
    return s;
}

static void against_reference(const gr__conv *c, direction d, gr_rng *rng, const table *t, int n)
{
    const int64_t X = c->N * c->C * c->H * c->W, K = c->F * c->C / c->G * c->KH * c->KW,
                  Y = c->N * c->F * c->OH * c->OW;
    const int64_t A = d == INPUT_GRAD ? Y : X, B = d == KERNEL_GRAD ? Y : K,
                  R = d == FORWARD      ? Y
                      : d == INPUT_GRAD ? X
                                        : K;
    const table reference = { gr__kernels_pick("reference", NULL, NULL), NULL };
    bool    relu = d != KERNEL_GRAD && gr_rng_below(rng, 2); /* (34) has them in conv_transpose2d */
    int64_t made = d == FORWARD ? c->F : c->C;
    gr_real *a = numbers(A, rng), *b = numbers(B, rng),
            *bias = d != KERNEL_GRAD && gr_rng_below(rng, 2) ? numbers(made, rng) : NULL;
    gr_real *size_a = sizes_of(a, A), *size_b = sizes_of(b, B),
            *size_bias = bias ? sizes_of(bias, made) : NULL;
    gr_real *wanted = block((size_t)R * sizeof *wanted), *size = block((size_t)R * sizeof *size),
            *y = block((size_t)R * sizeof *y);
    run_conv(&reference, d, c, &(gr__operands){ a, b, bias, wanted, relu ? GR_RELU : GR_NO_ACT });
    run_conv(&reference, d, c, &(gr__operands){ size_a, size_b, size_bias, size, GR_NO_ACT });
    for (int i = 0; i < n; i++) {
        char what[400];
        snprintf(what, sizeof what, "%s, %s, direction %d: %s", t[i].k->isa,
            t[i].only ? t[i].only : "usual", (int)d, text(c));
        memset(y, 0xFF, (size_t)R * sizeof *y);
        run_conv(&t[i], d, c, &(gr__operands){ a, b, bias, y, relu ? GR_RELU : GR_NO_ACT });
        agree(y, wanted, size, R, is_transformed(&t[i], d, c) ? transformed : exact, what);
    }
    free(a), free(b), free(bias), free(size_a), free(size_b), free(size_bias), free(wanted),
        free(size), free(y);
}

static void one_direction(const gr__conv *c, direction d, gr_rng *rng)
{
    table t[2 * ISAS];
    against_reference(c, d, rng, t, tables(t));
}

static bool any_conv(gr_rng *rng, gr__conv *c)
{
    int64_t G = gr_rng_below(rng, 3) ? 1 : pick(rng, 2, 4);
    *c = (gr__conv){ .G = G,
        .C = G * pick(rng, 1, 9),
        .F = G * pick(rng, 1, 9),
        .N = gr_rng_below(rng, 3) ? pick(rng, 1, 5) : pick(rng, 11, 19) };
    c->H = pick(rng, 1, 12), c->W = pick(rng, 1, 19), c->KH = pick(rng, 1, 5),
    c->KW = pick(rng, 1, 5);
    c->SH = pick(rng, 1, 3), c->SW = pick(rng, 1, 3), c->PH = pick(rng, 0, 3),
    c->PW = pick(rng, 0, 3), c->DH = pick(rng, 1, 2), c->DW = pick(rng, 1, 2);
    if (gr_rng_below(rng, 2)) c->SH = c->SW = c->DH = c->DW = 1;
    c->OH = reach(c->H, c->KH, c->SH, c->PH, c->DH);
    c->OW = reach(c->W, c->KW, c->SW, c->PW, c->DW);
    return c->OH > 0 && c->OW > 0 &&
           c->N * c->F * c->OH * c->OW * c->C / G * c->KH * c->KW < 200000;
}

START_TEST(convolutions)
{
    gr_rng rng = gr_rng_of((uint64_t)_i, "convolutions");
    for (int done = 0; done < DIRECT;) {
        gr__conv c;
        if (!any_conv(&rng, &c)) continue;
        for (direction d = FORWARD; d <= KERNEL_GRAD; d++) one_direction(&c, d, &rng);
        done++;
    }
}
END_TEST

/* Few planes a group: rows shorter and longer than vectors, several bands, kernels of more rows
   than go together, strides and dilations that let them go together and that do not, images side by
   side that are not a multiple of how many go together. */
START_TEST(planes)
{
    gr_rng rng = gr_rng_of((uint64_t)_i, "planes");
    for (int done = 0; done < PLANES;) {
        int64_t G = pick(&rng, 1, 6), S = pick(&rng, 1, 3),
                D = gr_rng_below(&rng, 3) ? 1 : pick(&rng, 2, 4);
        gr__conv c = { .G = G,
            .C = G * pick(&rng, 1, 2),
            .F = G * pick(&rng, 1, 4),
            .N = pick(&rng, 1, gr_rng_below(&rng, 2) ? 3 : 19) };
        c.H = pick(&rng, 1, done % 8 ? 20 : 150), c.W = pick(&rng, 1, 40), c.KH = pick(&rng, 1, 7),
        c.KW = pick(&rng, 1, 7);
        c.SH = S, c.SW = gr_rng_below(&rng, 4) ? S : pick(&rng, 1, 5), c.DH = D,
        c.DW = gr_rng_below(&rng, 4) ? D : 1;
        c.PH = pick(&rng, 0, 4), c.PW = pick(&rng, 0, 4);
        c.OH = reach(c.H, c.KH, c.SH, c.PH, c.DH), c.OW = reach(c.W, c.KW, c.SW, c.PW, c.DW);
        if (!c.OH || !c.OW || c.N * c.F * c.OH * c.OW * (c.C / G) * c.KH * c.KW > 400000) continue;
        for (direction d = FORWARD; d <= KERNEL_GRAD; d++) one_direction(&c, d, &rng);
        done++;
    }
}
END_TEST

/* 3x3 taps of one channel, rows of outputs that fill a vector or nearly: read where they stand, but
   for the ends of a tensor, with more padding than a kernel reaches and none, dilated along rows,
   several bands, rows whose last vector overlaps the one before. */
START_TEST(rolls)
{
    gr_rng rng = gr_rng_of((uint64_t)_i, "rolls");
    for (int done = 0; done < ROLLS;) {
        int64_t  G = pick(&rng, 1, 4), S = gr_rng_below(&rng, 4) ? 1 : 2;
        gr__conv c = { .G = G,
            .C = G,
            .F = G * pick(&rng, 1, 4),
            .N = pick(&rng, 1, 3),
            .KH = 3,
            .KW = 3,
            .SH = S,
            .SW = 1,
            .DH = S };
        c.H = pick(&rng, 1, done % 8 ? 12 : 150), c.W = pick(&rng, 4, 70),
        c.DW = gr_rng_below(&rng, 3) ? 1 : pick(&rng, 2, 9);
        c.PH = pick(&rng, 0, 4), c.PW = pick(&rng, 0, gr_rng_below(&rng, 4) ? 2 : 20);
        c.OH = reach(c.H, c.KH, c.SH, c.PH, c.DH), c.OW = reach(c.W, c.KW, c.SW, c.PW, c.DW);
        if (!c.OH || !c.OW) continue;
        for (direction d = FORWARD; d <= KERNEL_GRAD; d++) one_direction(&c, d, &rng);
        done++;
    }
}
END_TEST

/* Kernels of one tap, which are products of matrices. */
START_TEST(one_tap)
{
    gr_rng rng = gr_rng_of((uint64_t)_i, "one tap");
    for (int i = 0; i < ONE_TAP; i++) {
        bool     wide = i % 4 == 0;
        gr__conv c = { .N = pick(&rng, 1, 5),
            .C = pick(&rng, 1, wide ? 150 : 40),
            .F = pick(&rng, 1, wide ? 150 : 40),
            .KH = 1,
            .KW = 1 };
        c.H = c.OH = pick(&rng, 1, 14), c.W = c.OW = pick(&rng, 1, 14),
        c.SH = c.SW = c.DH = c.DW = c.G = 1;
        for (direction d = FORWARD; d <= KERNEL_GRAD; d++) one_direction(&c, d, &rng);
    }
}
END_TEST

/* Shapes too large for one band, or for all channels at once; and first layers, of which a batch is
   summed image by image. */
START_TEST(large)
{
    static const gr__conv shapes[] = {
        { .N = 1, .C = 40, .H = 10, .W = 196, .F = 3, .KH = 5, .KW = 5, .SH = 1, .PH = 2, .DH = 1 },
        { .N = 2, .C = 110, .H = 10, .W = 10, .F = 2, .KH = 5, .KW = 5, .SH = 1, .PH = 2, .DH = 1 },
        { .N = 1, .C = 40, .H = 19, .W = 190, .F = 3, .KH = 3, .KW = 3, .SH = 2, .PH = 1, .DH = 1 },
        { .N = 13, .C = 2, .H = 30, .W = 192, .F = 9, .KH = 3, .KW = 3, .SH = 1, .PH = 1, .DH = 1 },
        { .N = 12, .C = 3, .H = 32, .W = 32, .F = 16, .KH = 3, .KW = 3, .SH = 1, .PH = 1, .DH = 1 },
        { .N = 16, .C = 1, .H = 28, .W = 28, .F = 6, .KH = 5, .KW = 5, .SH = 1, .PH = 2, .DH = 1 },
        { .N = 13, .C = 2, .H = 41, .W = 65, .F = 23, .KH = 5, .KW = 4, .SH = 2, .PH = 2, .DH = 1 },
        { .N = 2, .C = 8, .H = 20, .W = 14, .F = 24, .KH = 5, .KW = 5, .SH = 1, .PH = 0, .DH = 1 },
        { .N = 3, .C = 9, .H = 35, .W = 29, .F = 20, .KH = 5, .KW = 4, .SH = 2, .PH = 1, .DH = 1 }
    };
    gr_rng   rng = gr_rng_of((uint64_t)_i, "large");
    gr__conv c = shapes[_i];
    c.SW = c.SH, c.PW = c.PH, c.DW = c.DH, c.G = 1;
    c.OH = reach(c.H, c.KH, c.SH, c.PH, c.DH);
    c.OW = reach(c.W, c.KW, c.SW, c.PW, c.DW);
    for (direction d = FORWARD; d <= KERNEL_GRAD; d++) one_direction(&c, d, &rng);
}
END_TEST

/* Shapes for which Winograd's algorithm is taken: images that fill the lanes of some instruction
   sets and not of others, several chunks of tiles, tiles that stick out, channels and filters that
   fill no vector. */
START_TEST(winograd)
{
    gr_rng rng = gr_rng_of((uint64_t)_i, "winograd");
    for (int i = 0; i < WINOGRAD; i++) {
        gr__conv c = { .N = pick(&rng, 3, 17),
            .C = pick(&rng, 16, 21),
            .F = pick(&rng, 16, 21),
            .H = pick(&rng, 3, 12),
            .W = pick(&rng, 3, 12),
            .KH = 3,
            .KW = 3,
            .SH = 1,
            .SW = 1,
            .PH = pick(&rng, 0, 3),
            .PW = pick(&rng, 0, 3),
            .DH = pick(&rng, 1, 2),
            .DW = pick(&rng, 1, 2),
            .G = 1 };
        if (gr_rng_below(&rng, 2)) c.DH = c.DW = 1;
        if (_i == 0 && i < 2)
            c.C = i ? 16 : 70, c.F = i ? 70 : 16, c.N = 16; /* several blocks of filters */
        if (_i == 0 && i == 2)
            c.C = 171, c.F = 173, c.N = 5, c.H = c.W = 12,
            c.PH = c.PW = c.DH = c.DW = 1; /* the points of all tiles */
        if (_i == 1 && i == 0)
            c.H = 3, c.W = 270, c.N = 13, c.C = 70, c.F = 16; /* several spans of a row */
        c.OH = reach(c.H, c.KH, c.SH, c.PH, c.DH);
        c.OW = reach(c.W, c.KW, c.SW, c.PW, c.DW);
        if (c.OH < 1 || c.OW < 1) continue;
        for (direction d = FORWARD; d <= KERNEL_GRAD; d++) one_direction(&c, d, &rng);
    }
}
END_TEST

/* Shapes for which it is taken along rows alone: pieces of 3 to 5 taps, with and without strides,
   several bands, spans and parts of the images. */
START_TEST(winograd_rows)
{
    gr_rng rng = gr_rng_of((uint64_t)_i, "rows");
    for (int done = 0; done < ROWS;) {
        int64_t G = gr_rng_below(&rng, 4) ? 1 : 2, S = gr_rng_below(&rng, 3) ? 1 : pick(&rng, 2, 3);
        gr__conv c = { .G = G,
            .C = G * pick(&rng, 1, 9),
            .F = G * pick(&rng, 5, 17),
            .N = pick(&rng, 3, 18),
            .SW = S,
            .DW = 1 };
        c.KW = pick(&rng, 2 * S + 1, 5 * S), c.KH = pick(&rng, 1, 5),
        c.SH = gr_rng_below(&rng, 3) ? S : pick(&rng, 1, 3);
        c.H = pick(&rng, 1, 12), c.W = pick(&rng, c.KW, 30), c.PH = pick(&rng, 0, 3),
        c.PW = pick(&rng, 0, 3), c.DH = pick(&rng, 1, 2);
        if (_i == 0 && done < 2) c.N = done ? 60 : 130, c.H = 7, c.KH = 3;
        if (_i == 0 && done == 2) c.C = 150, c.F = 7, c.G = 1;
        if (_i == 0 && done == 3)
            c.C = c.F = 40, c.G = c.SH = c.SW = 1, c.N = 16, c.H = 6, c.W = 120, c.KH = 2,
            c.KW = 5; /* spans of a row */
        if (_i == 0 && done == 4)
            c.C = c.F = 64, c.G = c.SH = c.SW = c.DH = c.PH = 1, c.N = c.H = 4, c.W = 140, c.KH = 3,
            c.KW = 5; /* by fours */
        if (_i == 1 && done == 0)
            c.H = 1, c.KH = 3, c.SH = 2, c.PH = 1, c.N = 16; /* with a stride, but one phase */
        if (_i == 1 && done == 1) c.W = 1, c.KW = 10, c.SW = 2, c.PW = 9, c.SH = 1, c.N = 16;
        if (_i == 1 && done == 2)
            c.W = 0, c.KW = 5, c.SW = 1, c.PW = 4, c.N = 16; /* nothing but padding */
        c.OH = reach(c.H, c.KH, c.SH, c.PH, c.DH), c.OW = reach(c.W, c.KW, c.SW, c.PW, c.DW);
        if (!c.OH || !c.OW) continue;
        for (direction d = FORWARD; d <= KERNEL_GRAD; d++) one_direction(&c, d, &rng);
        done++;
    }
}
END_TEST

/* By tiles at stride 2: sizes that they cover well, with places of the input that no output reads,
   the first tile of (34) at the border or over it. */
START_TEST(winograd_strided)
{
    static const int sizes[] = { 14, 15, 16, 17, 22, 23, 24, 25 };
    gr_rng           rng = gr_rng_of((uint64_t)_i, "winograd, strided");
    for (int i = 0; i < STRIDED; i++) {
        gr__conv c = { .N = pick(&rng, 3, 17),
            .C = pick(&rng, 16, 33),
            .F = pick(&rng, 16, 21),
            .KH = 3,
            .KW = 3,
            .SH = 2,
            .SW = 2 };
        c.H = sizes[pick(&rng, 0, 7)], c.W = sizes[pick(&rng, 0, 7)], c.PH = pick(&rng, 0, 2),
        c.PW = pick(&rng, 0, 2);
        if (i % 2) c.C = 32;
        if (_i == 0 && i == 0)
            c.C = 64, c.N = 12, c.W = 120; /* several spans of a row; several blocks of filters */
        if (_i == 0 && i == 1) c.C = 16, c.F = 200, c.N = 12, c.W = 100;
        if (_i == 1 && i == 0)
            c.C = 100, c.N = 4, c.H = 16, c.PH = 1, c.W = 120; /* the same by fours */
        if (_i == 0 && i == 2)
            c.C = 112, c.F = 100, c.N = 5, c.H = c.W = 16,
            c.PH = c.PW = 1; /* the points of all tiles at once */
        c.DH = c.DW = c.G = 1, c.OH = reach(c.H, 3, 2, c.PH, 1), c.OW = reach(c.W, 3, 2, c.PW, 1);
        for (direction d = FORWARD; d <= KERNEL_GRAD; d++) one_direction(&c, d, &rng);
    }
}
END_TEST

/* Winograd's algorithm is where it should be, and only there: its results differ from direct sums
   in the last bits. */
START_TEST(what_is_transformed)
{
    const table fast = { gr__kernels_pick(NULL, NULL, NULL), NULL };
    for (int i = 0; i < 9; i++) {
        gr__conv c = { 16, 16, 16, 16, 16, 3, 3, 16, 16, 1, 1, 1, 1, 1, 1, 1 };
        if (i == 1 || i == 5) c.C = i == 1 ? 2 : 6;
        if (i == 2) c.DH = c.DW = c.PH = c.PW = 2;
        if (i == 3) c.G = 8;
        if (i > 4 && i < 8) c.KH = c.KW = 5, c.PH = c.PW = 2;
        if (i == 6) c.DW = 2, c.PW = 4;
        if (i == 7) c.N = 1;
        if (i == 8) c.SH = c.SW = 2, c.OH = c.OW = 8;
        for (direction d = FORWARD; d <= KERNEL_GRAD; d++)
            ck_assert_int_eq(
                is_transformed(&fast, d, &c), i == 0 || i == 2 || i == 4 || i == 5 || i == 8);
    }
}
END_TEST

/* ---- algorithms by name ---------------------------------------------------------------------- */

/* Shapes that between them each algorithm computes, whether it pays there or not: N, C, H, W, F,
   KH, KW, OH, OW (found), SH, SW, PH, PW, DH, DW, G. */
static const gr__conv named_shapes[] = {
    { 3, 5, 7, 9, 4, 3, 3, 0, 0, 1, 1, 1, 1, 1, 1, 1 },
    { 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1 },
    { 18, 3, 11, 13, 7, 3, 3, 0, 0, 1, 1, 0, 2, 1, 1, 1 },
    { 17, 8, 9, 8, 5, 3, 3, 0, 0, 2, 2, 1, 1, 1, 1, 1 },
    { 5, 17, 14, 15, 18, 3, 3, 0, 0, 1, 1, 2, 2, 2, 2, 1 },
    { 2, 20, 15, 14, 9, 3, 3, 0, 0, 2, 2, 0, 1, 1, 1, 1 },
    { 4, 6, 10, 21, 8, 5, 5, 0, 0, 1, 1, 2, 2, 1, 1, 2 },
    { 19, 2, 8, 20, 6, 1, 4, 0, 0, 1, 1, 0, 3, 2, 1, 1 },
    { 3, 4, 9, 23, 6, 7, 9, 0, 0, 2, 3, 3, 4, 1, 1, 2 },
    { 3, 9, 8, 8, 12, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1 },
    { 2, 70, 6, 7, 40, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1 },
    { 4, 6, 9, 9, 6, 1, 1, 0, 0, 2, 2, 0, 0, 1, 1, 3 },
    { 3, 6, 12, 33, 6, 3, 3, 0, 0, 1, 1, 1, 1, 1, 1, 6 },
    { 16, 4, 7, 6, 8, 3, 3, 0, 0, 2, 1, 1, 1, 1, 2, 4 },
    { 2, 3, 5, 40, 3, 3, 3, 0, 0, 1, 1, 4, 20, 1, 1, 3 },
    { 2, 3, 9, 8, 4, 5, 5, 0, 0, 3, 3, 6, 7, 2, 3, 1 },
    { 33, 3, 6, 5, 4, 2, 3, 0, 0, 9, 1, 1, 1, 1, 1, 1 },
    { 1, 2, 4, 4, 3, 9, 9, 0, 0, 1, 1, 30, 31, 4, 5, 1 },
    { 5, 3, 7, 6, 10, 7, 6, 0, 0, 1, 2, 0, 0, 1, 1, 1 }, /* a kernel as large as the picture */
    { 20, 40, 1, 1, 33, 1, 1, 0, 0, 3, 1, 0, 0, 1, 1, 1 },
    { 1, 70, 1, 2, 1, 1, 2, 0, 0, 1, 1, 0, 0, 1, 1, 1 },
};

START_TEST(by_name)
{
    table     t[MOST_TABLES];
    int       n = tables_by_name(t), used[MOST_TABLES] = { 0 };
    gr_rng    rng = gr_rng_of((uint64_t)_i, "by name");
    const int many = (int)(sizeof named_shapes / sizeof *named_shapes);
    for (int i = 0; i < many; i++) {
        gr__conv c = named_shapes[i];
        c.OH = reach(c.H, c.KH, c.SH, c.PH, c.DH), c.OW = reach(c.W, c.KW, c.SW, c.PW, c.DW);
        for (direction d = FORWARD; d <= KERNEL_GRAD; d++) {
            against_reference(&c, d, &rng, t, n);
            for (int k = 0, a = 0; k < n; k++) { /* what was asked for was taken */
                gr__plan plan;
                a = k && t[k].k == t[k - 1].k ? a + 1 : 0;
                if (t[k].k->conv_algorithms[a]->suits(&c, (gr__direction)d) == GR__CANNOT) continue;
                t[k].k->conv_plan(&c, (gr__direction)d, t[k].only, &plan);
                ck_assert_ptr_eq(plan.algorithm, t[k].k->conv_algorithms[a]);
                used[k]++;
            }
        }
    }
    for (int k = 0; k < n; k++)
        ck_assert_msg(used[k] || sizeof(gr_real) == 8, "%s: no shape for number %d, %s",
            t[k].k->isa, k, t[k].only);
}
END_TEST

/* ---- products of matrices -------------------------------------------------------------------- */

START_TEST(products)
{
    table              fast[2 * ISAS];
    const gr__kernels *reference = gr__kernels_pick("reference", NULL, NULL);
    int                n = tables(fast) / 2;
    gr_rng             rng = gr_rng_of((uint64_t)_i, "products");
    for (int i = 0; i < PRODUCTS; i++) {
        gr__matmul m = { .M = pick(&rng, 1, 40),
            .N = pick(&rng, 1, 80),
            .K = pick(&rng, 1, i % 8 ? 40 : 300),
            .batch = pick(&rng, 1, 3) };
        if (i % 8 == 1)
            m.M = pick(&rng, 97, 230), m.N = pick(&rng, 1, 200),
            m.K = pick(&rng, 1, i % 16 == 1 ? 600 : 60);
        if (i % 40 == 2)
            m.batch = 3, m.M = pick(&rng, 97, 120), m.N = pick(&rng, 1024, 1100),
            m.K = pick(&rng, 1, 9); /* rows not split */
        if (i % 40 == 10)
            m.M = pick(&rng, 7, 30), m.N = 48 * 7,
            m.K = pick(&rng, 550, 600); /* read in place though large */
        if (i % 8 == 3) m.M = 1;
        if (i % 8 == 5)
            m.batch = 1, m.M = pick(&rng, 1, 8), m.N = 16 * pick(&rng, 1, 2),
            m.K = 4 << pick(&rng, 0, 2); /* whole vectors, few */
        m.transpose_a = gr_rng_below(&rng, 2), m.transpose_b = gr_rng_below(&rng, 2);
        gr_act act = gr_rng_below(&rng, 2) ? GR_RELU : GR_NO_ACT;
        m.a_step = gr_rng_below(&rng, 2) ? m.M * m.K : 0,
        m.b_step = gr_rng_below(&rng, 2) ? m.K * m.N : 0;
        int64_t A = m.a_step * (m.batch - 1) + m.M * m.K, B = m.b_step * (m.batch - 1) + m.K * m.N,
                Y = m.batch * m.M * m.N;
        gr_real *a = numbers(A, &rng), *b = numbers(B, &rng), *size_a = sizes_of(a, A),
                *size_b = sizes_of(b, B);
        gr_real *wanted = block((size_t)Y * sizeof *wanted),
                *size = block((size_t)Y * sizeof *size), *y = block((size_t)Y * sizeof *y);
        gr_real *bias = gr_rng_below(&rng, 2) ? numbers(m.N, &rng) : NULL,
                *size_bias = bias ? sizes_of(bias, m.N) : NULL;
        run_matmul(reference, &m, &(gr__operands){ a, b, bias, wanted, act });
        run_matmul(reference, &m, &(gr__operands){ size_a, size_b, size_bias, size, GR_NO_ACT });
        for (int k = 0; k < n; k++) {
            memset(y, 0xFF, (size_t)Y * sizeof *y);
            run_matmul(fast[k].k, &m, &(gr__operands){ a, b, bias, y, act });
            agree(y, wanted, size, Y, exact, fast[k].k->isa);
        }
        free(a), free(b), free(bias), free(size_a), free(size_b), free(size_bias), free(wanted),
            free(size), free(y);
    }
}
END_TEST

/* ---- max pooling ----------------------------------------------------------------------------- */

/* Some planes of several, and nothing around them is written; the numbers are few, so that equal
   ones meet, and some are none. */
START_TEST(pooling)
{
    table              fast[2 * ISAS];
    const gr__kernels *reference = gr__kernels_pick("reference", NULL, NULL);
    int                n = tables(fast) / 2;
    gr_rng             rng = gr_rng_of((uint64_t)_i, "pooling");
    for (int i = 0; i < POOLS; i++) {
        gr__window2d p = { .planes = pick(&rng, 1, 5),
            .H = pick(&rng, 2, 9),
            .W = pick(&rng, 2, i % 2 ? 70 : 20),
            .KH = 2,
            .KW = 2 };
        if (i % 8 == 0)
            p.KH = pick(&rng, 1, p.H), p.KW = pick(&rng, 1, p.W), p.PH = p.KH / 2, p.PW = p.KW / 2;
        p.SH = i % 8 ? 2 : pick(&rng, 1, 3), p.SW = i % 8 ? 2 : pick(&rng, 1, 3);
        p.OH = reach(p.H, p.KH, p.SH, p.PH, 1), p.OW = reach(p.W, p.KW, p.SW, p.PW, 1);
        int64_t X = p.planes * p.H * p.W, Y = p.planes * p.OH * p.OW,
                begin = pick(&rng, 0, p.planes - 1), end = pick(&rng, begin, p.planes);
        gr_real *x = block((size_t)X * sizeof *x), *y[2], *back[2];
        int32_t *at[2];
        for (int64_t j = 0; j < X; j++)
            x[j] = gr_rng_below(&rng, 40) ? (gr_real)pick(&rng, -9, 9) : (gr_real)NAN;
        for (int s = 0; s < 2; s++) {
            y[s] = block((size_t)Y * sizeof *x), at[s] = block((size_t)Y * sizeof *at[s]),
            back[s] = block((size_t)X * sizeof *x);
        }
        for (int k = -1; k < n; k++) {
            const gr__kernels *kernels = k < 0 ? reference : fast[k].k;
            int                s = k >= 0;
            memset(y[s], 0, (size_t)Y * sizeof *x), memset(at[s], 0, (size_t)Y * sizeof *at[s]),
                memset(back[s], 0, (size_t)X * sizeof *x);
            kernels->max_pool(&p, x, y[s], at[s], begin, end);
            kernels->max_pool_scatter(&p, y[0], at[0], back[s], begin, end);
            if (s)
                ck_assert(!memcmp(y[0], y[1], (size_t)Y * sizeof *x) &&
                          !memcmp(at[0], at[1], (size_t)Y * sizeof *at[0]));
            if (s) ck_assert_mem_eq(back[0], back[1], (size_t)X * sizeof *x);
            kernels->max_pool(&p, x, y[s], NULL, begin, end);
            if (s) ck_assert_mem_eq(y[0], y[1], (size_t)Y * sizeof *x);
        }
        for (int s = 0; s < 2; s++) free(y[s]), free(at[s]), free(back[s]);
        free(x);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kernels");
    TCase *t = cases(s, "kernels");
    tcase_add_loop_test(t, convolutions, 0, RUNS);
    tcase_add_loop_test(t, planes, 0, RUNS);
    tcase_add_loop_test(t, rolls, 0, RUNS);
    tcase_add_loop_test(t, one_tap, 0, RUNS);
    tcase_add_loop_test(t, large, 0, 9);
    tcase_add_loop_test(t, winograd, 0, RUNS);
    tcase_add_loop_test(t, winograd_rows, 0, RUNS);
    tcase_add_loop_test(t, winograd_strided, 0, RUNS);
    tcase_add_test(t, what_is_transformed);
    tcase_add_loop_test(t, by_name, 0, 2);
    tcase_add_loop_test(t, products, 0, RUNS);
    tcase_add_loop_test(t, pooling, 0, RUNS);
    return run(s);
}
