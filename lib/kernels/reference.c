/* reference.c: the equations as plain loops, to be read beside the paper, and the oracle that the
   fast kernels are tested against. Invariant: one loop for each letter of the equation, one sum for
   each output, every sum in double.

   N images, C channels, F filters, H x W the input, I x J the output (OH x OW), P x Q the taps of
   the kernel (KH x KW). In G groups, filter f belongs to group f / (F/G) and sees the C/G channels
   of that group alone. */
#include "table.h"

#include <math.h>

static void plan_one_stage(gr__plan *plan, int64_t tasks)
{
    *plan = (gr__plan){ .stages = 1, .tasks = { tasks } };
}

static double reference_act(gr_act act, double x)
{
    switch (act) {
    case GR_RELU:
        return x < 0 ? 0 : x; /* so written, a NaN passes */
    case GR_SIGMOID:
        return 1 / (1 + exp(-x));
    case GR_TANH:
        return tanh(x);
    case GR_NO_ACT:
        break;
    }
    return x;
}

/* Equation (1): the plane x, of H x W, read at (h, w); a slice reads zero outside its matrix. */
static double slice(const gr_real *x, int64_t H, int64_t W, int64_t h, int64_t w)
{
    return h < 0 || h >= H || w < 0 || w >= W ? 0 : (double)x[h * W + w];
}

/* Terms that read outside are left out: first, first + step, ... before end are the others, of one
   axis. */
typedef struct terms {
    int64_t first, end, step;
} terms;

static int64_t rounded_up(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : 0; }

/* The t of 0..n-1 for which 0 <= at + t step < size. */
static terms reference_inside(int64_t at, int64_t step, int64_t size, int64_t n)
{
    int64_t end = rounded_up(size - at, step);
    return (terms){ rounded_up(-at, step), end < n ? end : n, 1 };
}

/* Equation (33): Y_nf = sum over c of X_nc *filt K_fc. */

static double reference_conv_at(
    const gr__conv *s, const gr_real *x, const gr_real *k, int64_t i, int64_t j)
{
    double      y = 0;
    const terms P = reference_inside(s->SH * i - s->PH, s->DH, s->H, s->KH);
    const terms Q = reference_inside(s->SW * j - s->PW, s->DW, s->W, s->KW);
    if (P.first >= P.end || Q.first >= Q.end) return 0;
    for (int64_t c = 0; c < s->C / s->G; c++)
        for (int64_t p = P.first; p < P.end; p++)
            for (int64_t q = Q.first; q < Q.end; q++)
                y += slice(x + c * s->H * s->W, s->H, s->W, s->SH * i + s->DH * p - s->PH,
                         s->SW * j + s->DW * q - s->PW) *
                     (double)k[(c * s->KH + p) * s->KW + q];
    return y;
}

static void forward_plane(const gr__conv *s, const gr__operands *o, int64_t task)
{
    int64_t n = task / s->F, f = task % s->F, channels = s->C / s->G, group = f / (s->F / s->G);

    const gr_real *x = o->a + (n * s->C + group * channels) * s->H * s->W;
    const gr_real *k = o->b + f * channels * s->KH * s->KW;
    gr_real       *y = o->y + (n * s->F + f) * s->OH * s->OW;

    for (int64_t i = 0; i < s->OH; i++)
        for (int64_t j = 0; j < s->OW; j++)
            y[i * s->OW + j] = (gr_real)reference_act(
                o->act, reference_conv_at(s, x, k, i, j) + (o->bias ? (double)o->bias[f] : 0));
}

/* Equation (34): dL/dX_nc = sum over f of K_fc *full dL/dY_nf. With stride S, padding P and
   dilation D, tap p carries x[h] to the output i for which S i + D p - P = h, if there is one. */

/* The output that tap p joins to the input h, or -1. */
static int64_t output_of(int64_t h, int64_t p, int64_t stride, int64_t padding, int64_t dilation)
{
    int64_t i = h + padding - dilation * p;
    return i < 0 || i % stride ? -1 : i / stride;
}

/* The taps that join an output to the input h: one, and every so many-th after it. */
static terms taps_to(
    int64_t h, int64_t stride, int64_t padding, int64_t dilation, int64_t K, int64_t outs)
{
    int64_t reach = stride * (outs - 1), last = (h + padding) / dilation + 1;
    terms   t = { rounded_up(h + padding - reach, dilation), last < K ? last : K, 1 };
    while (t.first < t.end && (h + padding - dilation * t.first) % stride) t.first++;
    while (t.first + t.step < t.end && dilation * t.step % stride) t.step++;
    return t;
}

/* g and k begin at the first filter of the group. */
static double input_grad_at(
    const gr__conv *s, const gr_real *g, const gr_real *k, int64_t h, int64_t w)
{
    int64_t     taps = s->KH * s->KW, channels = s->C / s->G;
    double      gx = 0;
    const terms P = taps_to(h, s->SH, s->PH, s->DH, s->KH, s->OH);
    if (P.first >= P.end) return 0;
    const terms Q = taps_to(w, s->SW, s->PW, s->DW, s->KW, s->OW);
    if (Q.first >= Q.end) return 0;
    for (int64_t f = 0; f < s->F / s->G; f++)
        for (int64_t p = P.first; p < P.end; p += P.step)
            for (int64_t q = Q.first; q < Q.end; q += Q.step)
                gx +=
                    slice(g + f * s->OH * s->OW, s->OH, s->OW, output_of(h, p, s->SH, s->PH, s->DH),
                        output_of(w, q, s->SW, s->PW, s->DW)) *
                    (double)k[f * channels * taps + p * s->KW + q];
    return gx;
}

static void input_grad_plane(const gr__conv *s, const gr__operands *o, int64_t task)
{
    int64_t n = task / s->C, c = task % s->C, channels = s->C / s->G, filters = s->F / s->G,
            group = c / channels;

    const gr_real *g = o->a + (n * s->F + group * filters) * s->OH * s->OW;
    const gr_real *k = o->b + (group * filters * channels + c % channels) * s->KH * s->KW;
    gr_real       *gx = o->y + (n * s->C + c) * s->H * s->W;

    for (int64_t h = 0; h < s->H; h++)
        for (int64_t w = 0; w < s->W; w++)
            gx[h * s->W + w] = (gr_real)reference_act(
                o->act, input_grad_at(s, g, k, h, w) + (o->bias ? (double)o->bias[c] : 0));
}

/* Equation (35): dL/dK_fc = sum over n of X_nc *filt dL/dY_nf. */

static double kernel_grad_at(
    const gr__conv *s, const gr_real *x, const gr_real *g, int64_t p, int64_t q)
{
    double      gk = 0;
    const terms I = reference_inside(s->DH * p - s->PH, s->SH, s->H, s->OH);
    const terms J = reference_inside(s->DW * q - s->PW, s->SW, s->W, s->OW);
    for (int64_t n = 0; n < s->N; n++)
        for (int64_t i = I.first; i < I.end; i++)
            for (int64_t j = J.first; j < J.end; j++)
                gk += slice(x + n * s->C * s->H * s->W, s->H, s->W, s->SH * i + s->DH * p - s->PH,
                          s->SW * j + s->DW * q - s->PW) *
                      (double)g[n * s->F * s->OH * s->OW + i * s->OW + j];
    return gk;
}

static void kernel_grad_plane(const gr__conv *s, const gr__operands *o, int64_t task)
{
    int64_t channels = s->C / s->G, f = task / channels, c = task % channels,
            group = f / (s->F / s->G);

    const gr_real *x = o->a + (group * channels + c) * s->H * s->W;
    const gr_real *g = o->b + f * s->OH * s->OW;
    gr_real       *gk = o->y + task * s->KH * s->KW;

    for (int64_t p = 0; p < s->KH; p++)
        for (int64_t q = 0; q < s->KW; q++)
            gk[p * s->KW + q] = (gr_real)kernel_grad_at(s, x, g, p, q);
}

/* A task makes one plane of the result. */

static void reference_conv_plan(
    const gr__conv *c, gr__direction d, const char *only, gr__plan *plan)
{
    (void)only;
    plan_one_stage(plan, d == GR__FORWARD      ? c->N * c->F
                         : d == GR__INPUT_GRAD ? c->N * c->C
                                               : c->F * (c->C / c->G));
    plan->direction = d;
}

static void reference_conv_run(const gr__conv *s, const gr__plan *plan, const gr__operands *o,
    int stage, int64_t task, void *shared, void *scratch)
{
    (void)stage, (void)shared, (void)scratch;
    if (plan->direction == GR__FORWARD)
        forward_plane(s, o, task);
    else if (plan->direction == GR__INPUT_GRAD)
        input_grad_plane(s, o, task);
    else
        kernel_grad_plane(s, o, task);
}

/* y[m,n] = sum over k of a[m,k] b[k,n]. */

static void reference_matmul_plan(const gr__matmul *m, gr__plan *plan)
{
    plan_one_stage(plan, m->batch * m->M);
}

static void reference_matmul_run(const gr__matmul *s, const gr__plan *plan, const gr__operands *o,
    int stage, int64_t task, void *shared, void *scratch)
{
    (void)plan, (void)stage, (void)shared, (void)scratch;
    int64_t        product = task / s->M, m = task % s->M;
    const gr_real *a = o->a + product * s->a_step, *b = o->b + product * s->b_step;
    gr_real       *y = o->y + task * s->N;

    for (int64_t n = 0; n < s->N; n++) {
        double sum = 0;
        for (int64_t k = 0; k < s->K; k++)
            sum += (double)(s->transpose_a ? a[k * s->M + m] : a[m * s->K + k]) *
                   (double)(s->transpose_b ? b[n * s->K + k] : b[k * s->N + n]);
        y[n] = (gr_real)reference_act(o->act, sum + (o->bias ? (double)o->bias[n] : 0));
    }
}

/* y[i,j] = max over p,q of x[S i + p - P, S j + q - P]. */

/* The winner's place in the plane x: the first of equals, the first NaN before all. */
static int32_t pool_winner(const gr__window2d *s, const gr_real *x, int64_t i, int64_t j)
{
    int32_t at = -1;
    for (int64_t p = 0; p < s->KH; p++)
        for (int64_t q = 0; q < s->KW; q++) {
            int64_t h = s->SH * i + p - s->PH, w = s->SW * j + q - s->PW;
            if (h < 0 || h >= s->H || w < 0 || w >= s->W) continue;
            gr_real new = x[h * s->W + w];
            if (at < 0 || new > x[at] || (isnan(new) && !isnan(x[at])))
                at = (int32_t)(h * s->W + w);
        }
    return at;
}

static void reference_max_pool(
    const gr__window2d *s, const gr_real *x, gr_real *y, int32_t *at, int64_t begin, int64_t end)
{
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t i = 0; i < s->OH; i++)
            for (int64_t j = 0; j < s->OW; j++) {
                int64_t out = (plane * s->OH + i) * s->OW + j;
                int32_t winner = pool_winner(s, x + plane * s->H * s->W, i, j);
                y[out] = winner < 0 ? -(gr_real)INFINITY : x[plane * s->H * s->W + winner];
                if (at) at[out] = winner;
            }
}

static void reference_max_pool_scatter(const gr__window2d *s, const gr_real *g, const int32_t *at,
    gr_real *gx, int64_t begin, int64_t end)
{
    for (int64_t i = begin * s->H * s->W; i < end * s->H * s->W; i++) gx[i] = 0;
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t out = plane * s->OH * s->OW; out < (plane + 1) * s->OH * s->OW; out++)
            if (at[out] >= 0) gx[plane * s->H * s->W + at[out]] += g[out];
}

static void reference_max_pool_gather(const gr__window2d *s, const gr_real *x, const int32_t *at,
    gr_real *y, int64_t begin, int64_t end)
{
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t out = plane * s->OH * s->OW; out < (plane + 1) * s->OH * s->OW; out++)
            y[out] = at[out] < 0 ? 0 : x[plane * s->H * s->W + at[out]];
}

/* y[i,j] = sum of x over window (i,j), divided. */

static double window_share(const gr__windows *s, int64_t i, int64_t j)
{
    int64_t rows = s->rows[i].end - s->rows[i].begin,
            columns = s->columns[j].end - s->columns[j].begin;
    return 1 / (s->divisor > 0 ? s->divisor : (double)(rows * columns));
}

static void reference_window_sums(
    const gr__windows *s, const gr_real *x, gr_real *y, int64_t begin, int64_t end)
{
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t i = 0; i < s->OH; i++)
            for (int64_t j = 0; j < s->OW; j++) {
                double sum = 0;
                for (int64_t h = s->rows[i].begin; h < s->rows[i].end; h++)
                    for (int64_t w = s->columns[j].begin; w < s->columns[j].end; w++)
                        sum += (double)x[(plane * s->H + h) * s->W + w];
                y[(plane * s->OH + i) * s->OW + j] = (gr_real)(sum * window_share(s, i, j));
            }
}

/* gx[h,w] = sum of g, divided, over the windows that see (h,w). */
static void reference_window_spread(
    const gr__windows *s, const gr_real *g, gr_real *gx, int64_t begin, int64_t end)
{
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t h = 0, top = 0; h < s->H; h++) {
            while (top < s->OH && s->rows[top].end <= h) top++;
            for (int64_t w = 0, left = 0; w < s->W; w++) {
                double sum = 0;
                while (left < s->OW && s->columns[left].end <= w) left++;
                for (int64_t i = top; i < s->OH && s->rows[i].begin <= h; i++)
                    for (int64_t j = left; j < s->OW && s->columns[j].begin <= w; j++)
                        if (h < s->rows[i].end && w < s->columns[j].end)
                            sum +=
                                (double)g[(plane * s->OH + i) * s->OW + j] * window_share(s, i, j);
                gx[(plane * s->H + h) * s->W + w] = (gr_real)sum;
            }
        }
}

/* y = act(weight h + bias), h = (x - mean) / sqrt(variance + eps), mean and variance over the
   set. */

static double norm_mean(const gr__norm *n, int64_t b)
{
    double sum = 0;
    for (int64_t a = 0; a < n->A; a++)
        for (int64_t s = 0; s < n->S; s++) sum += (double)n->x[(a * n->B + b) * n->S + s];
    return sum / (double)(n->A * n->S);
}

static double norm_variance(const gr__norm *n, int64_t b, double mean)
{
    double sum = 0;
    for (int64_t a = 0; a < n->A; a++)
        for (int64_t s = 0; s < n->S; s++) {
            double d = (double)n->x[(a * n->B + b) * n->S + s] - mean;
            sum += d * d;
        }
    return sum / (double)(n->A * n->S);
}

static double norm_h(const gr__norm *n, int64_t b, int64_t at)
{
    return ((double)n->x[at] - (double)n->stats[b]) * (double)n->stats[2 * n->B + b];
}

static double norm_line(const gr__norm *n, int64_t b, int64_t at)
{
    return (n->weight ? (double)n->weight[b] : 1) * norm_h(n, b, at) +
           (n->bias ? (double)n->bias[b] : 0);
}

static void reference_norm(const gr__norm *n, int64_t begin, int64_t end)
{
    for (int64_t b = begin; n->A * n->S > 0 && b < end; b++) {
        if (!n->fixed) {
            double mean = norm_mean(n, b), variance = norm_variance(n, b, mean);
            n->stats[b] = (gr_real)mean;
            n->stats[n->B + b] = (gr_real)variance;
            n->stats[2 * n->B + b] = (gr_real)(1 / sqrt(variance + n->eps));
        }
        for (int64_t a = 0; a < n->A; a++)
            for (int64_t s = 0; s < n->S; s++) {
                int64_t at = (a * n->B + b) * n->S + s;
                n->y[at] =
                    (gr_real)reference_act(n->relu ? GR_RELU : GR_NO_ACT, norm_line(n, b, at));
            }
    }
}

/* G = g act'(y). */
static double norm_through(const gr__norm *n, int64_t b, int64_t at)
{
    return n->relu && norm_line(n, b, at) <= 0 ? 0 : (double)n->g[at];
}

static void reference_norm_sums(const gr__norm *n, int64_t begin, int64_t end)
{
    for (int64_t b = begin; b < end; b++) {
        double with_h = 0, alone = 0;
        for (int64_t a = 0; a < n->A; a++)
            for (int64_t s = 0; s < n->S; s++) {
                int64_t at = (a * n->B + b) * n->S + s;
                with_h += norm_through(n, b, at) * norm_h(n, b, at);
                alone += norm_through(n, b, at);
            }
        n->sums[b] = (gr_real)with_h;
        n->sums[n->B + b] = (gr_real)alone;
    }
}

/* gx = weight / sqrt(variance + eps) (G - <G> - h <G h>), and without the means where the
   statistics are fixed. */
static void reference_norm_grad(const gr__norm *n, int64_t begin, int64_t end)
{
    if (n->find) reference_norm_sums(n, begin, end);
    double share = n->fixed ? 0 : 1 / (double)(n->A * n->S);
    for (int64_t b = begin; b < end; b++)
        for (int64_t a = 0; a < n->A; a++)
            for (int64_t s = 0; s < n->S; s++) {
                int64_t at = (a * n->B + b) * n->S + s;
                double  rest =
                    share * ((double)n->sums[n->B + b] + norm_h(n, b, at) * (double)n->sums[b]);
                double slope =
                    (n->weight ? (double)n->weight[b] : 1) * (double)n->stats[2 * n->B + b];
                n->y[at] = (gr_real)(slope * (norm_through(n, b, at) - rest));
            }
}

const gr__kernels gr__kernels_reference = {
    .isa = "reference",
    .conv_algorithms = GR__NAME(conv_algorithms), /* not used, but known by name */
#define KERNEL(result, name, parameters) .name = reference_##name,
#define SHARED(result, name, parameters) .name = GR__NAME(name),
#include "kernels.def"
};
