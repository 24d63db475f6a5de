/* reduce.c: sums, greatest elements and softmax. Invariant: each output is computed by itself in an
   order that its length alone fixes; every sum runs in double. */
#include "table.h"
#include "vmath.h"

/* Vectors of double, and as many reals as fit in one. */
typedef double dvec __attribute__((vector_size(GR__VECTOR_BYTES)));
enum { DLANES = GR__VECTOR_BYTES / (int)sizeof(double) };
typedef gr_real part
    __attribute__((vector_size(DLANES * sizeof(gr_real)), aligned(sizeof(gr_real)), may_alias));

static double sum_run(const gr_real *x, int64_t n)
{
    dvec    acc[4] = { { 0 } };
    int64_t i = 0;
    for (; i + 4 * DLANES <= n; i += 4 * DLANES) {
        GR__UNROLL
        for (int j = 0; j < 4; j++)
            acc[j] += __builtin_convertvector(*(const part *)(x + i + j * DLANES), dvec);
    }
    acc[0] += acc[1] + (acc[2] + acc[3]);
    double sum = 0;
    for (int l = 0; l < DLANES; l++) sum += acc[0][l];
    for (; i < n; i++) sum += (double)x[i];
    return sum;
}

/* As sum_run, of the squares of x - t. */
double GR__NAME(square_error)(const gr_real *x, const gr_real *t, int64_t n)
{
    dvec    acc[4] = { { 0 } };
    int64_t i = 0;
    for (; i + 4 * DLANES <= n; i += 4 * DLANES) {
        GR__UNROLL
        for (int j = 0; j < 4; j++) {
            dvec d = __builtin_convertvector(
                *(const part *)(x + i + j * DLANES) - *(const part *)(t + i + j * DLANES), dvec);
            acc[j] += d * d;
        }
    }
    acc[0] += acc[1] + (acc[2] + acc[3]);
    double sum = 0;
    for (int l = 0; l < DLANES; l++) sum += acc[0][l];
    for (; i < n; i++) {
        double d = (double)(x[i] - t[i]);
        sum += d * d;
    }
    return sum;
}

enum { COLUMNS = 64 };

/* n <= COLUMNS sums side by side, down columns that stand inner apart. */
static void sum_columns(
    gr_real *y, const gr_real *x, int64_t reduced, int64_t inner, double factor, int64_t n)
{
    double acc[COLUMNS];
    for (int64_t j = 0; j < n; j++) acc[j] = reduced > 0 ? (double)x[j] : 0;
    for (int64_t r = 1; r < reduced; r++)
        for (int64_t j = 0; j < n; j++) acc[j] += (double)x[r * inner + j];
    for (int64_t j = 0; j < n; j++) y[j] = (gr_real)(acc[j] * factor);
}

void GR__NAME(sum)(gr_real *y, const gr_real *x, int64_t reduced, int64_t inner, double factor,
    int64_t begin, int64_t end)
{
    if (inner == 1) {
        for (int64_t o = begin; o < end; o++)
            y[o] = (gr_real)(sum_run(x + o * reduced, reduced) * factor);
        return;
    }
    for (int64_t o = begin, n; o < end; o += n) {
        int64_t column = o % inner;
        n = at_most(at_most(COLUMNS, inner - column), end - o);
        sum_columns(y + o, x + o / inner * reduced * inner + column, reduced, inner, factor, n);
    }
}

/* Of n elements that stand inner apart: the first greatest, or the first NaN. */
static int64_t greatest(const gr_real *x, int64_t n, int64_t inner)
{
    int64_t at = 0;
    gr_real best = x[0];
    for (int64_t r = 1; r < n && best == best; r++) {
        gr_real new = x[r * inner];
        if (!(new <= best)) {
            best = new;
            at = r;
        }
    }
    return at;
}

void GR__NAME(max)(
    gr_real *y, const gr_real *x, int64_t reduced, int64_t inner, int64_t begin, int64_t end)
{
    for (int64_t o = begin; o < end; o++) {
        const gr_real *column = x + o / inner * reduced * inner + o % inner;
        y[o] = reduced ? column[greatest(column, reduced, inner) * inner] : -(gr_real)INFINITY;
    }
}

void GR__NAME(argmax)(
    int32_t *y, const gr_real *x, int64_t reduced, int64_t inner, int64_t begin, int64_t end)
{
    for (int64_t o = begin; o < end; o++)
        y[o] = reduced
                   ? (int32_t)greatest(x + o / inner * reduced * inner + o % inner, reduced, inner)
                   : 0;
}

/* x - shift, where no x is over shift; or what is so low that exp of it is 0: by halves, since the
   difference may be no number that there is. */
GR__INLINE vec shifted(vec x, gr_real shift)
{
    const gr_real low = -400;
    vec           d = x * (gr_real)0.5 - shift * (gr_real)0.5;
    d = vec_choose(d < low, vec_all(low), d);
    /* the zeros that fill up the last vector, if shift is below them */
    d = vec_choose(d > 0, (vec){ 0 }, d);
    return d + d;
}

/* y = exp(x - shift); returns the sum. y may be NULL. */
static double exp_shifted(gr_real *y, const gr_real *x, gr_real shift, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = at_most(LANES, n - i);
        vec     e = vec_exp(shifted(vec_load_some(x + i, some), shift));
        for (int64_t l = 0; l < some; l++) sum += (double)e[l];
        if (y) vec_store_some(y + i, e, some);
    }
    return sum;
}

/* exp(x - max) cannot overflow, and one term of the sum is 1. */
void GR__NAME(softmax)(gr_real *y, const gr_real *x, int64_t n, int64_t begin, int64_t end)
{
    for (int64_t row = begin; n > 0 && row < end; row++) {
        const gr_real *from = x + row * n;
        gr_real       *to = y + row * n;
        gr_real        scale = (gr_real)(1 / exp_shifted(to, from, from[greatest(from, n, 1)], n));
        for (int64_t i = 0; i < n; i++) to[i] *= scale;
    }
}

void GR__NAME(log_softmax)(gr_real *y, const gr_real *x, int64_t n, int64_t begin, int64_t end)
{
    for (int64_t row = begin; n > 0 && row < end; row++) {
        const gr_real *from = x + row * n;
        gr_real        most = from[greatest(from, n, 1)];
        gr_real        rest = (gr_real)log(exp_shifted(NULL, from, most, n));
        for (int64_t i = 0; i < n; i++) y[row * n + i] = from[i] - most - rest;
    }
}
