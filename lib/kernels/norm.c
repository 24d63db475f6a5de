/* norm.c: numbers brought to mean 0 and variance 1, in sets. Invariant: a set is computed by
   itself, in an order that its size alone fixes; its sums run in double, of differences from its
   first number (forward) or its mean (backward, a few terms at a time), so that nothing cancels
   however far from 0 it lies. */
#include "table.h"

#include <float.h>
#include <math.h>

/* Vectors of double, and as many reals as fit in one. */
typedef double dvec __attribute__((vector_size(GR__VECTOR_BYTES)));
enum { DLANES = GR__VECTOR_BYTES / (int)sizeof(double) };
typedef gr_real part __attribute__((vector_size(DLANES * sizeof(gr_real))));
typedef gr_real part_anywhere
    __attribute__((vector_size(DLANES * sizeof(gr_real)), aligned(sizeof(gr_real)), may_alias));
typedef gr__lane ipart __attribute__((vector_size(DLANES * sizeof(gr_real))));

/* Two sums side by side, in as many vectors as hide the time that an addition takes. */
enum { WAYS = 4 };
typedef struct pair {
    dvec   first[WAYS], second[WAYS];
    double first_rest, second_rest;
} pair;

static void total(const pair *p, double *first, double *second)
{
    dvec a = (p->first[0] + p->first[1]) + (p->first[2] + p->first[3]),
         b = (p->second[0] + p->second[1]) + (p->second[2] + p->second[3]);
    *first = p->first_rest;
    *second = p->second_rest;
    for (int l = 0; l < DLANES; l++) {
        *first += a[l];
        *second += b[l];
    }
}

/* Asks for the run of set b that is read some 4 KiB after run a: the runs of a set lie so far apart
   that no processor guesses the next. */
GR__INLINE void prefetch_run(const gr__norm *n, const gr_real *x, int64_t a, int64_t b)
{
    int64_t next = a + 1 + 1024 / n->S;
    if (next >= n->A) return;
    for (int64_t i = 0; i < n->S; i += 64 / (int64_t)sizeof *x)
        __builtin_prefetch(x + (next * n->B + b) * n->S + i);
}

/* ---- forward --------------------------------------------------------------------------------- */

static void add_moments(pair *p, const gr_real *x, int64_t S, double origin)
{
    int64_t i = 0;
    for (; i + WAYS * DLANES <= S; i += WAYS * DLANES) {
        GR__UNROLL
        for (int j = 0; j < WAYS; j++) {
            dvec d = __builtin_convertvector(*(const part_anywhere *)(x + i + j * DLANES), dvec) -
                     origin;
            p->first[j] += d;
            p->second[j] += d * d;
        }
    }
    for (; i < S; i++) {
        double d = (double)x[i] - origin;
        p->first_rest += d;
        p->second_rest += d * d;
    }
}

static const double greatest = sizeof(gr_real) == 4 ? (double)FLT_MAX : DBL_MAX;

static void find_moments(const gr__norm *n, int64_t b)
{
    pair   p = { .first_rest = 0 };
    double first, second, m = (double)(n->A * n->S), origin = (double)n->x[b * n->S];
    for (int64_t a = 0; a < n->A; a++) {
        prefetch_run(n, n->x, a, b);
        add_moments(&p, n->x + (a * n->B + b) * n->S, n->S, origin);
    }
    total(&p, &first, &second);
    double variance = second / m - first / m * (first / m);
    if (variance < 0) variance = 0;
    n->stats[b] = (gr_real)(origin + first / m);
    /* One that no real holds is infinite, without a conversion that raises overflow, which a
       compiler may do ahead of the choice: the results that need it may be finite. */
    double held = variance > greatest ? greatest : variance;
    n->stats[n->B + b] = variance > greatest ? (gr_real)INFINITY : (gr_real)held;
    n->stats[2 * n->B + b] = (gr_real)(1 / sqrt(variance + n->eps));
}

/* y = weight h + bias, for a set. The sign of y decides twice what a ReLU lets through, so it is
   computed in one way alone. */
typedef struct line {
    gr_real mean, slope, bias;
} line;

static line line_of(const gr__norm *n, int64_t b)
{
    gr_real root = n->stats[2 * n->B + b];
    return (line){ n->stats[b], n->weight ? root * n->weight[b] : root, n->bias ? n->bias[b] : 0 };
}

/* The last n numbers of a run, filled up with the mean: zeros might lie so far from it that they
   overflow. */
GR__INLINE vec last_of(const gr_real *x, int64_t n, const line *l)
{
    vec v = vec_load_some(x, n);
    for (int64_t i = n; i < LANES; i++) v[i] = l->mean;
    return v;
}

GR__INLINE vec on_line(vec x, const line *l) { return (x - l->mean) * l->slope + l->bias; }

GR__INLINE vec relu(vec y) { return vec_choose(y < 0, (vec){ 0 }, y); }

static void lay(gr_real *y, const gr_real *x, int64_t S, const line *l, bool rectify)
{
    int64_t i = 0;
    if (rectify)
        for (; i + LANES <= S; i += LANES) vec_store(y + i, relu(on_line(vec_load(x + i), l)));
    else
        for (; i + LANES <= S; i += LANES) vec_store(y + i, on_line(vec_load(x + i), l));
    if (i == S) return;
    vec last = on_line(last_of(x + i, S - i, l), l);
    vec_store_some(y + i, rectify ? relu(last) : last, S - i);
}

void GR__NAME(norm)(const gr__norm *n, int64_t begin, int64_t end)
{
    for (int64_t b = begin; n->A * n->S > 0 && b < end; b++) {
        if (!n->fixed) find_moments(n, b);
        line l = line_of(n, b);
        for (int64_t a = 0; a < n->A; a++) {
            int64_t at = (a * n->B + b) * n->S;
            lay(n->y + at, n->x + at, n->S, &l, n->relu);
        }
    }
}

/* ---- backward -------------------------------------------------------------------------------- */

/* The gradient that the ReLU lets through: where y <= 0 it is 0. */
GR__INLINE vec through(vec g, vec x, const line *l)
{
    return vec_choose(on_line(x, l) <= 0, (vec){ 0 }, g);
}

GR__INLINE dvec half(vec v, int h)
{
    part p;
    memcpy(&p, (const char *)&v + (size_t)h * sizeof p, sizeof p);
    return __builtin_convertvector(p, dvec);
}

enum { HALVES = LANES / DLANES, FEW = 8 };

/* Sums of g and of g (x - mean) over a few vectors, so few that their roundings are those of the
   terms, then in double. */
GR__INLINE void add_few(
    pair *p, const gr_real *g, const gr_real *x, int vectors, const line *l, bool rectify)
{
    vec first = { 0 }, second = { 0 };
    for (int j = 0; j < vectors; j++) {
        vec at = vec_load(x + j * LANES), grad = vec_load(g + j * LANES);
        if (rectify) grad = through(grad, at, l);
        first += grad;
        second += grad * (at - l->mean);
    }
    GR__UNROLL
    for (int h = 0; h < HALVES; h++) {
        p->first[h] += half(first, h);
        p->second[h] += half(second, h);
    }
}

/* The same along a run. */
GR__INLINE void add_run(
    pair *p, const gr_real *g, const gr_real *x, int64_t S, const line *l, bool rectify)
{
    int64_t i = 0;
    for (; i + FEW * LANES <= S; i += FEW * LANES) add_few(p, g + i, x + i, FEW, l, rectify);
    int left = (int)((S - i) / LANES);
    if (left) add_few(p, g + i, x + i, left, l, rectify);
    i += left * LANES;
    if (i == S) return;
    gr_real last_g[LANES], last_x[LANES];
    vec_store(last_g, vec_load_some(g + i, S - i));
    vec_store(last_x, last_of(x + i, S - i, l));
    add_few(p, last_g, last_x, 1, l, rectify);
}

void GR__NAME(norm_sums)(const gr__norm *n, int64_t begin, int64_t end)
{
    for (int64_t b = begin; b < end; b++) {
        line   l = line_of(n, b);
        pair   p = { .first_rest = 0 };
        double first, second;
        for (int64_t a = 0; n->S > 0 && a < n->A; a++) {
            const gr_real *g = n->g + (a * n->B + b) * n->S, *x = n->x + (a * n->B + b) * n->S;
            prefetch_run(n, n->x, a, b);
            prefetch_run(n, n->g, a, b);
            if (n->relu)
                add_run(&p, g, x, n->S, &l, true);
            else
                add_run(&p, g, x, n->S, &l, false);
        }
        total(&p, &first, &second);
        n->sums[b] = (gr_real)(second * (double)n->stats[2 * n->B + b]);
        n->sums[n->B + b] = (gr_real)first;
    }
}

/* gx = slope g - level - tilt (x - mean) along a run. */
typedef struct slant {
    gr_real level, tilt;
} slant;

GR__INLINE vec gradient(vec g, vec x, const line *l, const slant *s, bool rectify)
{
    return l->slope * (rectify ? through(g, x, l) : g) - s->level - s->tilt * (x - l->mean);
}

GR__INLINE void grad_run(gr_real *gx, const gr_real *g, const gr_real *x, int64_t S, const line *l,
    const slant *s, bool rectify)
{
    int64_t i = 0;
    for (; i + LANES <= S; i += LANES)
        vec_store(gx + i, gradient(vec_load(g + i), vec_load(x + i), l, s, rectify));
    if (i < S)
        vec_store_some(gx + i,
            gradient(vec_load_some(g + i, S - i), last_of(x + i, S - i, l), l, s, rectify), S - i);
}

/* One number in a set is its own mean: h is 0 whatever it is. */
static void grad_of_single(const gr__norm *n, int64_t b) { n->y[b] = n->g[b] - n->g[b]; }

void GR__NAME(norm_grad)(const gr__norm *n, int64_t begin, int64_t end)
{
    double m = (double)(n->A * n->S);
    for (int64_t b = begin; b < end; b++) {
        if (n->find) GR__NAME(norm_sums)(n, b, b + 1);
        if (!n->fixed && n->A * n->S == 1) {
            grad_of_single(n, b);
            continue;
        }
        line  l = line_of(n, b);
        slant s = { 0, 0 };
        if (!n->fixed && m > 0) {
            s.level = (gr_real)((double)l.slope * (double)n->sums[n->B + b] / m);
            s.tilt = (gr_real)((double)l.slope * (double)n->stats[2 * n->B + b] *
                               (double)n->sums[b] / m);
        }
        for (int64_t a = 0; a < n->A; a++) {
            int64_t at = (a * n->B + b) * n->S;
            if (n->relu)
                grad_run(n->y + at, n->g + at, n->x + at, n->S, &l, &s, true);
            else
                grad_run(n->y + at, n->g + at, n->x + at, n->S, &l, &s, false);
        }
    }
}
