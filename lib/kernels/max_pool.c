/* max_pool.c: max pooling over planes, and its gradient by the places of the winners. Invariant:
   at[] holds h W + w of the first greatest element of each window, or of its first NaN; -1 for a
   window that lies in the padding altogether. Where at is NULL, nobody asks. */
#include "table.h"

#include <math.h>

/* The part of a window of K from s on that lies inside 0..H-1. */
static gr__span max_pool_inside(int64_t s, int64_t K, int64_t H)
{
    return (gr__span){ at_least(s, 0), at_most(s + K, H) };
}

static int32_t winner(const gr_real *x, int64_t W, gr__span h, gr__span w)
{
    int32_t at = h.begin < h.end && w.begin < w.end ? (int32_t)(h.begin * W + w.begin) : -1;
    for (int64_t i = h.begin; i < h.end; i++)
        for (int64_t j = w.begin; j < w.end; j++) {
            gr_real new = x[i * W + j], old = x[at];
            if (new > old || (new != new &&old == old)) at = (int32_t)(i * W + j);
        }
    return at;
}

static void any_plane(const gr__window2d *p, const gr_real *x, gr_real *y, int32_t *at)
{
    for (int64_t i = 0; i < p->OH; i++) {
        gr__span h = max_pool_inside(i * p->SH - p->PH, p->KH, p->H);
        for (int64_t j = 0; j < p->OW; j++, y++) {
            int32_t from = winner(x, p->W, h, max_pool_inside(j * p->SW - p->PW, p->KW, p->W));
            *y = from < 0 ? -(gr_real)INFINITY : x[from];
            if (at) *at++ = from;
        }
    }
}

/* ---- 2 x 2, stride 2, no padding ------------------------------------------------------------- */

/* Where a row of windows is: y and at, one of each a window, from two rows of x; first is upper's
   place in its plane. */
typedef struct pairs {
    const gr_real *upper, *lower;
    gr_real       *y;
    int32_t       *at;
    int32_t        first, below;
} pairs;

GR__INLINE void window_of_pairs(const pairs *p, int64_t j)
{
    gr_real a = p->upper[2 * j], b = p->upper[2 * j + 1], c = p->lower[2 * j],
            d = p->lower[2 * j + 1];
    bool    right = b > a || (b != b && a == a), right_below = d > c || (d != d && c == c);
    gr_real up = right ? b : a, down = right_below ? d : c;
    bool    low = down > up || (down != down && up == up);
    p->y[j] = low ? down : up;
    if (p->at) p->at[j] = p->first + 2 * (int32_t)j + (low ? p->below + right_below : right);
}

#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(mask, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(mask, a, b, ...) __builtin_shuffle(a, b, (mask){ __VA_ARGS__ })
#endif
#define EVEN_4 0, 2, 4, 6
#define EVEN_8 EVEN_4, 8, 10, 12, 14
#define EVEN_16 EVEN_8, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_4 1, 3, 5, 7
#define ODD_8 ODD_4, 9, 11, 13, 15
#define ODD_16 ODD_8, 17, 19, 21, 23, 25, 27, 29, 31
#define LOWER_4 0, 4, 1, 5
#define UPPER_4 2, 6, 3, 7
#define LOWER_8 0, 8, 1, 9, 2, 10, 3, 11
#define UPPER_8 4, 12, 5, 13, 6, 14, 7, 15
#define LOWER_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define UPPER_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define GREATER(new, old) (~(new <= old) & (old == old)) /* or NaN, where old is none */

/* The same, of n windows side by side from j on: columns are deinterleaved to even and odd vectors;
   a mask is 0 or -1 a lane. */
#define WINDOWS_OF_PAIRS(n)                                                             \
    GR__INLINE void windows_of_pairs_##n(const pairs *p, int64_t j)                     \
    {                                                                                   \
        typedef gr_real  real_n __attribute__((vector_size(n * sizeof(gr_real))));      \
        typedef gr__lane lane_n __attribute__((vector_size(n * sizeof(gr_real))));      \
        typedef int32_t  place_n __attribute__((vector_size(n * sizeof(int32_t))));     \
        real_n           u, v, s, t;                                                    \
        memcpy(&u, p->upper + 2 * j, sizeof u);                                         \
        memcpy(&v, p->upper + 2 * j + n, sizeof v);                                     \
        memcpy(&s, p->lower + 2 * j, sizeof s);                                         \
        memcpy(&t, p->lower + 2 * j + n, sizeof t);                                     \
        real_n a = SHUFFLE(lane_n, u, v, EVEN_##n), b = SHUFFLE(lane_n, u, v, ODD_##n); \
        real_n c = SHUFFLE(lane_n, s, t, EVEN_##n), d = SHUFFLE(lane_n, s, t, ODD_##n); \
        lane_n right = GREATER(b, a), right_below = GREATER(d, c);                      \
        real_n up = (real_n)((right & (lane_n)b) | (~right & (lane_n)a));               \
        real_n down = (real_n)((right_below & (lane_n)d) | (~right_below & (lane_n)c)); \
        lane_n low = GREATER(down, up);                                                 \
        real_n y = (real_n)((low & (lane_n)down) | (~low & (lane_n)up));                \
        memcpy(p->y + j, &y, sizeof y);                                                 \
        if (!p->at) return;                                                             \
        lane_n  step = (low & (p->below - right_below)) | (~low & -right);              \
        place_n at = __builtin_convertvector(step, place_n) + (place_n){ EVEN_##n } +   \
                     (p->first + 2 * (int32_t)j);                                       \
        memcpy(p->at + j, &at, sizeof at);                                              \
    }

WINDOWS_OF_PAIRS(4)
#if GR__VECTOR_BYTES >= 32
WINDOWS_OF_PAIRS(8)
#endif
#if GR__VECTOR_BYTES >= 64
WINDOWS_OF_PAIRS(16)
#endif

/* How many windows of a row are made at once. A group may be wider than the row, if there is room
   for it behind the row's beginning: what is written there is written again by the rows and planes
   that follow. */
static int64_t group_of(int64_t windows, int64_t room)
{
    int64_t group = 1;
    for (int64_t n = 4; n <= GR__VECTOR_BYTES / 4; n *= 2)
        if (windows >= n || (windows > n / 2 && room >= n)) group = n;
    return group;
}

/* Group after group; the last one is shifted back to end at the edge, and makes some windows
   again. */
#define EACH_GROUP(row, n, group, fn) \
    for (int64_t j = 0; j < n; j += group) fn(row, at_least(0, at_most(j, n - group)))

GR__INLINE void row_of_pairs(const pairs *row, int64_t n, int64_t group)
{
    if (group == 1) EACH_GROUP(row, n, 1, window_of_pairs);
    if (group == 4) EACH_GROUP(row, n, 4, windows_of_pairs_4);
#if GR__VECTOR_BYTES >= 32
    if (group == 8) EACH_GROUP(row, n, 8, windows_of_pairs_8);
#endif
#if GR__VECTOR_BYTES >= 64
    if (group == 16) EACH_GROUP(row, n, 16, windows_of_pairs_16);
#endif
}

static void last_rows_of_pairs(const pairs *row, int64_t n)
{
    row_of_pairs(row, n, group_of(n, n));
}

/* Planes one behind the other. */
GR__INLINE void planes_of_pairs(const gr__window2d *p, const gr_real *x, gr_real *y, int32_t *at,
    int64_t planes, const int64_t group)
{
    const int64_t  W = p->W, OW = p->OW;
    const gr_real *x_end = x + planes * p->H * W, *y_end = y + planes * p->OH * OW;
    for (; planes > 0; planes--, x += p->H * W) {
        pairs row = { x, x + W, y, at, 0, (int32_t)W };
        for (int64_t i = 0; i < p->OH; i++) {
            if (at_most(y_end - row.y, (x_end - row.lower) / 2) >= group)
                row_of_pairs(&row, OW, group);
            else
                last_rows_of_pairs(&row, OW);
            row.upper += 2 * W, row.lower += 2 * W, row.first += 2 * (int32_t)W;
            row.y += OW;
            if (at) row.at += OW;
        }
        y = row.y, at = row.at;
    }
}

static bool in_pairs(const gr__window2d *p)
{
    return p->KH == 2 && p->KW == 2 && p->SH == 2 && p->SW == 2 && !p->PH && !p->PW &&
           2 * p->OH <= p->H && 2 * p->OW <= p->W;
}

void GR__NAME(max_pool)(
    const gr__window2d *p, const gr_real *x, gr_real *y, int32_t *at, int64_t begin, int64_t end)
{
    int64_t in = p->H * p->W, out = p->OH * p->OW, planes = end - begin,
            group = in_pairs(p) ? group_of(p->OW, p->OW * 2) : 0;
    x += begin * in, y += begin * out, at = at ? at + begin * out : NULL;
    if (group == 16)
        planes_of_pairs(p, x, y, at, planes, 16);
    else if (group == 8)
        planes_of_pairs(p, x, y, at, planes, 8);
    else if (group == 4)
        planes_of_pairs(p, x, y, at, planes, 4);
    else if (group == 1)
        planes_of_pairs(p, x, y, at, planes, 1);
    else
        for (; planes > 0; planes--, x += in, y += out, at = at ? at + out : NULL)
            any_plane(p, x, y, at);
}

/* ---- and back: g to the winners, zero to the others ------------------------------------------ */

/* A row of windows of pairs: each has four places to itself, so they are written, not added to, in
   the rows upper and lower. */
typedef struct spread {
    const gr_real *g;
    const int32_t *at;
    gr_real       *upper, *lower;
    int32_t        first, below;
} spread;

static void window_to_pairs(const spread *s, int64_t j)
{
    int32_t step = s->at[j] - s->first - 2 * (int32_t)j;
    s->upper[2 * j] = step == 0 ? s->g[j] : 0;
    s->upper[2 * j + 1] = step == 1 ? s->g[j] : 0;
    s->lower[2 * j] = step == s->below ? s->g[j] : 0;
    s->lower[2 * j + 1] = step == s->below + 1 ? s->g[j] : 0;
}

/* The same, of n windows from j on: even and odd columns are deinterleaved together. */
#define WINDOWS_TO_PAIRS(n)                                                                \
    static void windows_to_pairs_##n(const spread *s, int64_t j)                           \
    {                                                                                      \
        typedef gr__lane lane_n __attribute__((vector_size(n * sizeof(gr_real))));         \
        typedef int32_t  place_n __attribute__((vector_size(n * sizeof(int32_t))));        \
        place_n          at;                                                               \
        lane_n           g;                                                                \
        memcpy(&at, s->at + j, sizeof at);                                                 \
        memcpy(&g, s->g + j, sizeof g);                                                    \
        lane_n step = __builtin_convertvector(                                             \
            at - (place_n){ EVEN_##n } - (s->first + 2 * (int32_t)j), lane_n);             \
        lane_n a = g & (step == 0), b = g & (step == 1), c = g & (step == s->below),       \
               d = g & (step == s->below + 1);                                             \
        lane_n u = SHUFFLE(lane_n, a, b, LOWER_##n), v = SHUFFLE(lane_n, a, b, UPPER_##n); \
        lane_n l = SHUFFLE(lane_n, c, d, LOWER_##n), m = SHUFFLE(lane_n, c, d, UPPER_##n); \
        memcpy(s->upper + 2 * j, &u, sizeof u);                                            \
        memcpy(s->upper + 2 * j + n, &v, sizeof v);                                        \
        memcpy(s->lower + 2 * j, &l, sizeof l);                                            \
        memcpy(s->lower + 2 * j + n, &m, sizeof m);                                        \
    }

WINDOWS_TO_PAIRS(4)
#if GR__VECTOR_BYTES >= 32
WINDOWS_TO_PAIRS(8)
#endif
#if GR__VECTOR_BYTES >= 64
WINDOWS_TO_PAIRS(16)
#endif

static void row_to_pairs(const spread *row, int64_t n, int64_t group)
{
    if (group == 1) EACH_GROUP(row, n, 1, window_to_pairs);
    if (group == 4) EACH_GROUP(row, n, 4, windows_to_pairs_4);
#if GR__VECTOR_BYTES >= 32
    if (group == 8) EACH_GROUP(row, n, 8, windows_to_pairs_8);
#endif
#if GR__VECTOR_BYTES >= 64
    if (group == 16) EACH_GROUP(row, n, 16, windows_to_pairs_16);
#endif
}

static void plane_to_pairs(const gr__window2d *p, const gr_real *g, const int32_t *at, gr_real *gx)
{
    int64_t W = p->W, width = 2 * p->OW;
    for (int64_t i = 0; i < p->OH; i++) {
        gr_real *upper = gx + 2 * i * W;
        spread   row = { g + i * p->OW, at + i * p->OW, upper, upper + W, (int32_t)(2 * i * W),
              (int32_t)W };
        row_to_pairs(
            &row, p->OW, group_of(p->OW, at_most((p->OH - i) * p->OW, (p->H - 2 * i - 1) * W / 2)));
        for (int64_t j = width; j < W; j++) upper[j] = upper[W + j] = 0;
    }
    for (int64_t j = 2 * p->OH * W; j < p->H * W; j++) gx[j] = 0;
}

/* Windows that overlap add where they meet. */
static void any_plane_back(const gr__window2d *p, const gr_real *g, const int32_t *at, gr_real *gx)
{
    if (p->H * p->W > 0) memset(gx, 0, (size_t)(p->H * p->W) * sizeof *gx);
    for (int64_t i = 0; i < p->OH * p->OW; i++)
        if (at[i] >= 0) gx[at[i]] += g[i];
}

void GR__NAME(max_pool_scatter)(const gr__window2d *p, const gr_real *g, const int32_t *at,
    gr_real *gx, int64_t begin, int64_t end)
{
    int64_t in = p->H * p->W, out = p->OH * p->OW;
    for (int64_t plane = begin; plane < end; plane++)
        (in_pairs(p) ? plane_to_pairs : any_plane_back)(
            p, g + plane * out, at + plane * out, gx + plane * in);
}

void GR__NAME(max_pool_gather)(const gr__window2d *p, const gr_real *x, const int32_t *at,
    gr_real *y, int64_t begin, int64_t end)
{
    int64_t in = p->H * p->W, out = p->OH * p->OW;
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t i = plane * out; i < (plane + 1) * out; i++)
            y[i] = at[i] < 0 ? 0 : x[plane * in + at[i]];
}
