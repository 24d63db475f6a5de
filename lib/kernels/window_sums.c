/* window_sums.c: sums over windows of a plane, divided, and their transpose, which spreads numbers
   over the windows. Average pooling of every kind is one or the other, and so is upsampling by the
   nearest. Also the blend of four neighbours, bilinear upsampling, and its transpose. Invariant: a
   plane is one thread's, and sums in an order that its sizes alone fix. */
#include "table.h"

/* What the columns (or rows) of all windows have in common. */
typedef struct order {
    bool pairs; /* 0 1, 2 3, 4 5, ... */
    bool tiles; /* one behind the other, from the first to the last, none left out */
} order;

static order order_of(const gr__span *s, int64_t n, int64_t size)
{
    order   o = { n > 0, true };
    int64_t end = 0;
    for (int64_t i = 0; i < n; i++) {
        o.pairs = o.pairs && s[i].begin == 2 * i && s[i].end == 2 * i + 2;
        o.tiles = o.tiles && s[i].begin == end;
        end = s[i].end;
    }
    o.tiles = o.tiles && end == size;
    return o;
}

/* What a sum over a window is multiplied with. */
static double windows_share(const gr__windows *s, gr__span h, gr__span w)
{
    return 1 / (s->divisor > 0 ? s->divisor : (double)((h.end - h.begin) * (w.end - w.begin)));
}

/* ---- from planes of H x W to OH x OW --------------------------------------------------------- */

static void sum_pairs(
    gr_real *restrict y, const gr_real *upper, const gr_real *lower, gr_real factor, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        y[j] = ((upper[2 * j] + upper[2 * j + 1]) + (lower[2 * j] + lower[2 * j + 1])) * factor;
}

static double sum_window(const gr_real *x, int64_t W, gr__span h, gr__span w)
{
    double sum = 0;
    for (int64_t i = h.begin; i < h.end; i++)
        for (int64_t j = w.begin; j < w.end; j++) sum += (double)x[i * W + j];
    return sum;
}

void GR__NAME(window_sums)(
    const gr__windows *s, const gr_real *x, gr_real *y, int64_t begin, int64_t end)
{
    int64_t in = s->H * s->W, out = s->OH * s->OW;
    bool    whole =
        out == 1 && order_of(s->rows, 1, s->H).tiles && order_of(s->columns, 1, s->W).tiles;
    if (whole) {
        GR__NAME(sum)(y, x, in, 1, windows_share(s, s->rows[0], s->columns[0]), begin, end);
        return;
    }
    bool pairs = order_of(s->columns, s->OW, s->W).pairs;
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t i = 0; i < s->OH; i++) {
            gr__span       h = s->rows[i];
            const gr_real *from = x + plane * in;
            gr_real       *to = y + plane * out + i * s->OW;
            if (pairs && h.end - h.begin == 2) {
                from += h.begin * s->W;
                sum_pairs(
                    to, from, from + s->W, (gr_real)windows_share(s, h, s->columns[0]), s->OW);
                continue;
            }
            for (int64_t j = 0; j < s->OW; j++)
                to[j] = (gr_real)(sum_window(from, s->W, h, s->columns[j]) *
                                  windows_share(s, h, s->columns[j]));
        }
}

/* ---- and back -------------------------------------------------------------------------------- */

static void spread_pairs(gr_real *restrict gx, const gr_real *g, gr_real factor, int64_t n)
{
    for (int64_t j = 0; j < n; j++) gx[2 * j] = gx[2 * j + 1] = g[j] * factor;
}

/* Windows that tile the plane: each row of them is written once, and copied to its other rows. */
static void spread_tiles(const gr__windows *s, const gr_real *g, gr_real *gx, bool pairs)
{
    for (int64_t i = 0; i < s->OH; i++, g += s->OW) {
        gr__span h = s->rows[i];
        gr_real *first = gx + h.begin * s->W;
        if (h.begin == h.end) continue;
        if (pairs)
            spread_pairs(first, g, (gr_real)windows_share(s, h, s->columns[0]), s->OW);
        else
            for (int64_t j = 0; j < s->OW; j++) {
                gr__span w = s->columns[j];
                gr_real  v = w.begin < w.end ? g[j] * (gr_real)windows_share(s, h, w) : 0;
                for (int64_t k = w.begin; k < w.end; k++) first[k] = v;
            }
        for (int64_t r = h.begin + 1; r < h.end; r++)
            memcpy(gx + r * s->W, first, (size_t)s->W * sizeof *gx);
    }
}

static void spread_any(const gr__windows *s, const gr_real *g, gr_real *gx)
{
    memset(gx, 0, (size_t)(s->H * s->W) * sizeof *gx);
    for (int64_t i = 0; i < s->OH; i++)
        for (int64_t j = 0; j < s->OW; j++) {
            gr__span h = s->rows[i], w = s->columns[j];
            gr_real  v = g[i * s->OW + j] * (gr_real)windows_share(s, h, w);
            for (int64_t r = h.begin; r < h.end; r++)
                for (int64_t k = w.begin; k < w.end; k++) gx[r * s->W + k] += v;
        }
}

void GR__NAME(window_spread)(
    const gr__windows *s, const gr_real *g, gr_real *gx, int64_t begin, int64_t end)
{
    order   columns = order_of(s->columns, s->OW, s->W);
    bool    tiles = columns.tiles && order_of(s->rows, s->OH, s->H).tiles;
    int64_t in = s->H * s->W, out = s->OH * s->OW;
    for (int64_t plane = begin; plane < end; plane++)
        if (tiles)
            spread_tiles(s, g + plane * out, gx + plane * in, columns.pairs);
        else
            spread_any(s, g + plane * out, gx + plane * in);
}

/* ---- bilinear -------------------------------------------------------------------------------- */

void GR__NAME(blend)(const gr__blend *b, const gr_real *x, gr_real *y, int64_t begin, int64_t end)
{
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t i = 0; i < b->OH; i++) {
            const gr__taps *r = &b->rows[i];
            const gr_real  *upper = x + (plane * b->H + r->at[0]) * b->W,
                          *lower = x + (plane * b->H + r->at[1]) * b->W;
            gr_real *to = y + (plane * b->OH + i) * b->OW;
            for (int64_t j = 0; j < b->OW; j++) {
                const gr__taps *c = &b->columns[j];
                to[j] = r->weight[0] *
                            (c->weight[0] * upper[c->at[0]] + c->weight[1] * upper[c->at[1]]) +
                        r->weight[1] *
                            (c->weight[0] * lower[c->at[0]] + c->weight[1] * lower[c->at[1]]);
            }
        }
}

void GR__NAME(blend_spread)(
    const gr__blend *b, const gr_real *g, gr_real *gx, int64_t begin, int64_t end)
{
    int64_t in = b->H * b->W;
    memset(gx + begin * in, 0, (size_t)((end - begin) * in) * sizeof *gx);
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t i = 0; i < b->OH; i++) {
            const gr__taps *r = &b->rows[i];
            const gr_real  *from = g + (plane * b->OH + i) * b->OW;
            gr_real        *upper = gx + plane * in + r->at[0] * b->W,
                    *lower = gx + plane * in + r->at[1] * b->W;
            for (int64_t j = 0; j < b->OW; j++) {
                const gr__taps *c = &b->columns[j];
                for (int k = 0; k < 2; k++) {
                    upper[c->at[k]] += r->weight[0] * c->weight[k] * from[j];
                    lower[c->at[k]] += r->weight[1] * c->weight[k] * from[j];
                }
            }
        }
}
