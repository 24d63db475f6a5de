/* test_cost.c: what the three convolutions cost is in proportion to the products that there are and
   to the sizes of the tensors, whatever the stride, padding, dilation and kernel: time and scratch
   of every table of kernels, over random geometries that are mostly extreme. The values are
   compared with plain loops over the pairs of output and tap, in double. GRADUS_SWEEP=all takes
   75 times as many geometries, another number so many, and the dearest of each table is printed.
   */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/kernels.h"

enum { FEW = 40, ALL = 3000, CAP = 100000 }; /* geometries; products and numbers of one */

/* What is allowed: seconds for a product or a number, and for a call; bytes for a product or a
   number, as many times as one of them has, and for a call. A convolution of a usual geometry takes
   less than a tenth of it. */
static const double unit_seconds = 150e-9, call_seconds = 1e-3;
static const double unit_bytes = 16, call_bytes = 1 << 20;

typedef enum direction { FORWARD, INPUT_GRAD, KERNEL_GRAD, DIRECTIONS } direction;

/* ---- the pairs ------------------------------------------------------------------------------ */

/* Output i reads input h at tap p. */
typedef struct pair {
    int64_t i, p, h;
} pair;

typedef struct axis {
    int64_t H, K, S, P, D, O;
    int64_t count; /* of pairs */
    pair   *pairs;
} axis;

static axis axis_of(int64_t H, int64_t K, int64_t S, int64_t P, int64_t D)
{
    int64_t room = H + 2 * P - D * (K - 1) - 1;
    axis    a = { H, K, S, P, D, room < 0 ? 0 : room / S + 1, 0, NULL };
    for (int64_t p = 0; p < K; p++)
        for (int64_t i = 0; i < a.O; i++) {
            int64_t h = S * i + D * p - P;
            a.count += h >= 0 && h < H;
        }
    return a;
}

static void find_pairs(axis *a)
{
    pair *to = a->pairs = malloc((size_t)(a->count + 1) * sizeof *to);
    ck_assert_ptr_nonnull(to);
    for (int64_t p = 0; p < a->K; p++)
        for (int64_t i = 0; i < a->O; i++) {
            int64_t h = a->S * i + a->D * p - a->P;
            if (h >= 0 && h < a->H) *to++ = (pair){ i, p, h };
        }
}

/* ---- a geometry ----------------------------------------------------------------------------- */

#define ONE_OF(rng, ...) \
    ((const int64_t[]){  \
        __VA_ARGS__ })[gr_rng_below(rng, sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))]

static axis any_axis(gr_rng *rng)
{
    int64_t K = ONE_OF(rng, 1, 1, 2, 3, 3, 4, 5, 7, 11, 16, 33, 64),
            S = ONE_OF(rng, 1, 1, 1, 2, 3, 4, 8, 9, 16, 31, 64, 128);
    int64_t D = ONE_OF(rng, 1, 1, 1, 2, 3, 7, 16, 31, 33, 100, 1000, 10000);
    int64_t H = ONE_OF(rng, 1, 2, 3, 5, 8, 16, 17, 32, 64, 130, 300), full = D * (K - 1);
    int64_t P = ONE_OF(
        rng, 0, 0, 1, K / 2, full / 2, full / 2, full / 2, full, D, D - 1, D + 1, S, 1000, 10000);
    return axis_of(H, K, S, P, D);
}

typedef struct geometry {
    gr__conv c;
    axis     h, w;
    double   products;
    int64_t  x, k, y; /* sizes of the tensors */
} geometry;

static bool any_geometry(gr_rng *rng, geometry *g)
{
    *g = (geometry){ .h = any_axis(rng) };
    g->w = gr_rng_below(rng, 2) ? any_axis(rng) : g->h;
    const axis *h = &g->h, *w = &g->w;
    int64_t     G = ONE_OF(rng, 1, 1, 1, 2, 5, 16), N = ONE_OF(rng, 1, 1, 2, 3, 8, 16, 32);
    int64_t     C = G * ONE_OF(rng, 1, 1, 2, 3, 4, 8, 20, 64, 130),
            F = G * ONE_OF(rng, 1, 1, 2, 3, 4, 8, 20, 64, 130);
    if (h->O < 1 || w->O < 1) return false;
    g->c = (gr__conv){
        .N = N, .C = C, .H = h->H, .W = w->H, .F = F, .KH = h->K, .KW = w->K, .OH = h->O, .OW = w->O
    };
    g->c.SH = h->S, g->c.SW = w->S, g->c.PH = h->P, g->c.PW = w->P, g->c.DH = h->D, g->c.DW = w->D,
    g->c.G = G;
    g->products = (double)(N * F * (C / G)) * (double)h->count * (double)w->count;
    if (g->products > 4 * CAP || (double)h->O * (double)w->O > CAP) return false;
    g->x = N * C * h->H * w->H, g->k = F * (C / G) * h->K * w->K, g->y = N * F * h->O * w->O;
    return g->x + g->k + g->y < CAP;
}

static const char *text(const geometry *g)
{
    static char     to[300];
    const gr__conv *c = &g->c;
    snprintf(to, sizeof to,
        "N %d, %d x %dx%d to %d x %dx%d, kernel %dx%d, stride %d %d, padding %d %d, dilation %d "
        "%d, groups %d: %.0f products, %d numbers",
        (int)c->N, (int)c->C, (int)c->H, (int)c->W, (int)c->F, (int)c->OH, (int)c->OW, (int)c->KH,
        (int)c->KW, (int)c->SH, (int)c->SW, (int)c->PH, (int)c->PW, (int)c->DH, (int)c->DW,
        (int)c->G, g->products, (int)(g->x + g->k + g->y));
    return to;
}

/* ---- what is right -------------------------------------------------------------------------- */

typedef struct numbers {
    gr_real *x, *k, *u;                          /* input, kernel, the output's gradient */
    double  *sum[DIRECTIONS], *size[DIRECTIONS]; /* results, and the same of absolute values */
    int64_t  count[DIRECTIONS];
} numbers;

static gr_real *random_numbers(int64_t n, gr_rng *rng)
{
    gr_real *p = malloc((size_t)(n + 1) * sizeof *p);
    ck_assert_ptr_nonnull(p);
    for (int64_t i = 0; i < n; i++) p[i] = (gr_real)(2 * gr_rng_uniform(rng) - 1);
    return p;
}

static void add(numbers *v, direction d, int64_t at, gr_real a, gr_real b)
{
    v->sum[d][at] += (double)a * (double)b;
    v->size[d][at] += fabs((double)a * (double)b);
}

/* All pairs of image n, filter f and the channel c of its group. */
static void add_pairs(const geometry *g, numbers *v, int64_t n, int64_t f, int64_t c)
{
    const gr__conv *s = &g->c;
    int64_t         channels = s->C / s->G, channel = f / (s->F / s->G) * channels + c;
    for (int64_t a = 0; a < g->h.count; a++)
        for (int64_t b = 0; b < g->w.count; b++) {
            pair    h = g->h.pairs[a], w = g->w.pairs[b];
            int64_t x = ((n * s->C + channel) * s->H + h.h) * s->W + w.h;
            int64_t k = ((f * channels + c) * s->KH + h.p) * s->KW + w.p;
            int64_t y = ((n * s->F + f) * s->OH + h.i) * s->OW + w.i;
            add(v, FORWARD, y, v->x[x], v->k[k]);
            add(v, INPUT_GRAD, x, v->u[y], v->k[k]);
            add(v, KERNEL_GRAD, k, v->x[x], v->u[y]);
        }
}

static numbers numbers_of(geometry *g, gr_rng *rng)
{
    numbers v = { .count = { g->y, g->x, g->k } };
    v.x = random_numbers(g->x, rng), v.k = random_numbers(g->k, rng),
    v.u = random_numbers(g->y, rng);
    for (int d = 0; d < DIRECTIONS; d++) {
        v.sum[d] = calloc((size_t)v.count[d] + 1, sizeof(double));
        v.size[d] = calloc((size_t)v.count[d] + 1, sizeof(double));
        ck_assert(v.sum[d] && v.size[d]);
    }
    find_pairs(&g->h), find_pairs(&g->w);
    for (int64_t n = 0; n < g->c.N; n++)
        for (int64_t f = 0; f < g->c.F; f++)
            for (int64_t c = 0; c < g->c.C / g->c.G; c++) add_pairs(g, &v, n, f, c);
    return v;
}

static void let_go(geometry *g, numbers *v)
{
    free(g->h.pairs), free(g->w.pairs), free(v->x), free(v->k), free(v->u);
    for (int d = 0; d < DIRECTIONS; d++) free(v->sum[d]), free(v->size[d]);
}

/* ---- what it costs -------------------------------------------------------------------------- */

/* The dearest geometries of a table and direction, as parts of what is allowed. */
typedef struct worst {
    double time, bytes;
    char   slow[300], large[300];
} worst;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *block(size_t bytes)
{
    void *p = NULL;
    ck_assert_int_eq(posix_memalign(&p, 64, bytes ? bytes : 1), 0);
    return p;
}

/* A table of this machine, and what is asked of it. */
typedef struct table {
    const gr__kernels *k;
    const char        *only;
} table;

/* Runs it as the library does, on one thread; gives the seconds. */
static double run_conv(
    const table *t, direction d, const gr__conv *c, const gr__operands *o, double *bytes)
{
    const gr__kernels *k = t->k;
    gr__plan           plan;
    double             start = seconds(), taken;
    k->conv_plan(c, (gr__direction)d, t->only, &plan);
    *bytes = (double)plan.shared + (double)plan.scratch;
    ck_assert_msg(*bytes < 1e9, "%s: direction %d takes %.0f bytes", k->isa, (int)d, *bytes);
    void *shared = block(plan.shared), *scratch = block(plan.scratch);
    for (int p = 0; p < plan.stages; p++)
        for (int64_t i = 0; i < plan.tasks[p]; i++) k->conv_run(c, &plan, o, p, i, shared, scratch);
    taken = seconds() - start;
    free(shared), free(scratch);
    return taken;
}

/* The values, and the cost: the least of some times, since the machine does other things, too. */
static void check(const table *t, direction d, const geometry *g, const numbers *v, worst *most)
{
    gr_real     *y = malloc((size_t)(v->count[d] + 1) * sizeof *y);
    gr__operands o = { d == INPUT_GRAD ? v->u : v->x, d == KERNEL_GRAD ? v->u : v->k, .y = y };
    double       units = g->products + (double)(g->x + g->k + g->y), bytes = 0, least = INFINITY;
    double       allowed = units * unit_seconds + call_seconds,
           room = units * unit_bytes * sizeof(gr_real) + call_bytes;
    ck_assert_ptr_nonnull(y);
    for (int i = 0; least > allowed ? i < 20 : least > allowed / 2 && i < 5; i++)
        least = fmin(least, run_conv(t, d, &g->c, &o, &bytes));
    for (int64_t i = 0; i < v->count[d]; i++)
        ck_assert_msg(
            fabs((double)y[i] - v->sum[d][i]) <= (sizeof *y == 4 ? 1e-4 : 1e-12) * v->size[d][i],
            "%s, direction %d, %s: number %lld is %.9g, not %.9g", t->k->isa, (int)d, text(g),
            (long long)i, (double)y[i], v->sum[d][i]);
    free(y);
    if (least / allowed > most->time) most->time = least / allowed, strcpy(most->slow, text(g));
    if (bytes / room > most->bytes) most->bytes = bytes / room, strcpy(most->large, text(g));
}

/* How many geometries to try. */
static int wanted(const char *wish)
{
    return !wish ? FEW : !strcmp(wish, "all") ? ALL : atoi(wish);
}

static void judge(const table *t, direction d, const worst *most, bool tell)
{
    if (tell)
        printf("%-9s direction %d: time %.2f of what is allowed: %s\n                       "
               "scratch %.2f: %s\n",
            t->k->isa, (int)d, most->time, most->slow, most->bytes, most->large);
    ck_assert_msg(tell || most->time <= 1, "%s, direction %d: %.2f of the time allowed: %s",
        t->k->isa, (int)d, most->time, most->slow);
    ck_assert_msg(tell || most->bytes <= 1, "%s, direction %d: %.2f of the scratch allowed: %s",
        t->k->isa, (int)d, most->bytes, most->large);
}

/* The tables of this machine: with fast algorithms, by direct sums, the reference. */
static int tables(table t[7])
{
    static const char *const isa[] = { "baseline", "avx2", "avx512" };
    int                      n = 0;
    for (int direct = 0; direct < 2; direct++)
        for (int i = 0; i < 3; i++)
            if ((t[n] = (table){ gr__kernels_pick(NULL, isa[i], NULL), direct ? "direct" : NULL })
                    .k)
                n++;
    t[n++] = (table){ gr__kernels_pick("reference", NULL, NULL), NULL };
    return n;
}

START_TEST(sweep)
{
    const char  *wish = getenv("GRADUS_SWEEP");
    table        k[7];
    static worst most[7][DIRECTIONS];
    gr_rng       rng = gr_rng_of(1, "cost");
    int          n = tables(k);
    for (int done = 0; done < wanted(wish);) {
        geometry g;
        if (!any_geometry(&rng, &g)) continue;
        numbers v = numbers_of(&g, &rng);
        for (int i = 0; i < n; i++)
            for (direction d = FORWARD; d < DIRECTIONS; d++) check(&k[i], d, &g, &v, &most[i][d]);
        let_go(&g, &v);
        done++;
    }
    for (int tell = wish ? 1 : 0; tell >= 0; tell--)
        for (int i = 0; i < n; i++)
            for (direction d = FORWARD; d < DIRECTIONS; d++) judge(&k[i], d, &most[i][d], tell);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cost");
    TCase *t = cases(suite, "convolutions");
    tcase_add_test(t, sweep);
    return run(suite);
}
