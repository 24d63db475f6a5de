/* pool.c: max pooling over planes, and its gradient by the places of the winners.
   Invariant: at[] holds h W + w of the first greatest element of each window, or of its first NaN; -1 for a window that lies
   in the padding altogether. */
#include "table.h"

#include <math.h>

typedef struct span {
    int64_t begin, end;
} span;

/* The part of a window of K from s on that lies inside 0..H-1. */
static span inside(int64_t s, int64_t K, int64_t H) { return (span){ at_least(s, 0), at_most(s + K, H) }; }

static int32_t winner(const gr_real *x, int64_t W, span h, span w)
{
    int32_t at = h.begin < h.end && w.begin < w.end ? (int32_t)(h.begin * W + w.begin) : -1;
    for (int64_t i = h.begin; i < h.end; i++)
        for (int64_t j = w.begin; j < w.end; j++) {
            gr_real new = x[i * W + j], old = x[at];
            if (new > old || (new != new &&old == old)) at = (int32_t)(i * W + j);
        }
    return at;
}

static void any_plane(const gr__pool *p, const gr_real *x, gr_real *y, int32_t *at)
{
    for (int64_t i = 0; i < p->OH; i++) {
        span h = inside(i * p->SH - p->PH, p->KH, p->H);
        for (int64_t j = 0; j < p->OW; j++, y++, at++) {
            *at = winner(x, p->W, h, inside(j * p->SW - p->PW, p->KW, p->W));
            *y = *at < 0 ? -(gr_real)INFINITY : x[*at];
        }
    }
}

/* 2 x 2, stride 2, no padding: no branch, so that the compiler makes vectors of it. */
static void plane_of_pairs(const gr__pool *p, const gr_real *x, gr_real *y, int32_t *at)
{
    for (int64_t i = 0; i < p->OH; i++) {
        const gr_real *upper = x + 2 * i * p->W, *lower = upper + p->W;
        int32_t        first = (int32_t)(2 * i * p->W), below = (int32_t)p->W;
        GR__INDEPENDENT
        for (int32_t j = 0; j < (int32_t)p->OW; j++) {
            gr_real a = upper[2 * j], b = upper[2 * j + 1], c = lower[2 * j], d = lower[2 * j + 1];
            int32_t right = (b > a) | ((b != b) & (a == a)), right_below = (d > c) | ((d != d) & (c == c));
            gr_real up = right ? b : a, down = right_below ? d : c;
            int32_t low = (down > up) | ((down != down) & (up == up));
            y[i * p->OW + j] = low ? down : up;
            at[i * p->OW + j] = first + 2 * j + (low ? below + right_below : right);
        }
    }
}

void GR__NAME(max_pool)(const gr__pool *p, const gr_real *x, gr_real *y, int32_t *at, int64_t begin, int64_t end)
{
    bool    pairs = p->KH == 2 && p->KW == 2 && p->SH == 2 && p->SW == 2 && !p->PH && !p->PW && 2 * p->OH <= p->H && 2 * p->OW <= p->W;
    int64_t in = p->H * p->W, out = p->OH * p->OW;
    for (int64_t plane = begin; plane < end; plane++)
        (pairs ? plane_of_pairs : any_plane)(p, x + plane * in, y + plane * out, at + plane * out);
}

void GR__NAME(max_pool_scatter)(const gr__pool *p, const gr_real *g, const int32_t *at, gr_real *gx, int64_t begin, int64_t end)
{
    int64_t in = p->H * p->W, out = p->OH * p->OW;
    if (begin < end && in > 0) memset(gx + begin * in, 0, (size_t)((end - begin) * in) * sizeof *gx);
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t i = plane * out; i < (plane + 1) * out; i++)
            if (at[i] >= 0) gx[plane * in + at[i]] += g[i];
}

void GR__NAME(max_pool_gather)(const gr__pool *p, const gr_real *x, const int32_t *at, gr_real *y, int64_t begin, int64_t end)
{
    int64_t in = p->H * p->W, out = p->OH * p->OW;
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t i = plane * out; i < (plane + 1) * out; i++) y[i] = at[i] < 0 ? 0 : x[plane * in + at[i]];
}
