/* depthwise_roll.c: two vectors of columns go down the lines of the input; what is past the ends of
   a row is masked, and lines above and below the plane are zeros. Invariant: an output, or the sum
   of a lane, depends on the columns of its vector alone; nothing is read outside what the view
   allows. */
#include "depthwise_roll.h"

enum { WIDE = 2 };

/* ---- lines, and the ends of rows ------------------------------------------------------------- */

GR__INLINE const gr_real *roll_line_of(const gr__view *v, int64_t i)
{
    i += v->h;
    return i >= 0 && i < v->rows ? v->x + i * v->row : v->zeros;
}

/* The lanes of the vector at column j that are one of n columns. */
GR__INLINE ivec lanes_inside(int64_t j, int64_t n)
{
    const ivec begin = (ivec){ 0 } + (gr__lane)at_most(LANES, at_least(0, -j));
    const ivec end = (ivec){ 0 } + (gr__lane)at_least(0, at_most(LANES, n - j));
    ivec       lane;
    for (int l = 0; l < LANES; l++) lane[l] = (gr__lane)l;
    return (lane >= begin) & (lane < end);
}

/* Some vectors `apart` from each other, under each of some taps: which of them reach past the ends
   of a row. */
enum {
    FIRST = 1,
    LAST = 2,
    ALL = 4
}; /* the first vector under the first tap, the last one under the last tap */

static int edges_of(
    int64_t from, int vectors, int64_t apart, const int64_t *col, int taps, int64_t width)
{
    int     edges = 0;
    int64_t others = (vectors - 1) * apart;
    for (int i = 0; i < taps; i++) {
        int64_t j = from + col[i];
        if (j < 0) edges |= i == 0 && j + others >= 0 ? FIRST : ALL;
        if (j + others + LANES > width) edges |= i == taps - 1 && j + others <= width ? LAST : ALL;
    }
    return edges & ALL ? ALL : edges;
}

GR__INLINE bool at_edge(int tap, int taps, int vector, int vectors, int edges)
{
    return (edges & ALL) || ((edges & FIRST) && !tap && !vector) ||
           ((edges & LAST) && tap == taps - 1 && vector == vectors - 1);
}

/* f(args, edges), compiled for each kind of edges. */
#define FOR_EDGES(edges, f, ...)      \
    switch (edges) {                  \
    case 0:                           \
        f(__VA_ARGS__, 0);            \
        break;                        \
    case FIRST:                       \
        f(__VA_ARGS__, FIRST);        \
        break;                        \
    case LAST:                        \
        f(__VA_ARGS__, LAST);         \
        break;                        \
    case FIRST | LAST:                \
        f(__VA_ARGS__, FIRST | LAST); \
        break;                        \
    default:                          \
        f(__VA_ARGS__, ALL);          \
        break;                        \
    }

/* ---- outputs --------------------------------------------------------------------------------- */

/* The lanes of each vector under each tap, from column j on, that are columns of x. */
GR__INLINE void roll_edges(
    const gr__roll *r, int64_t j, ivec inside[ROLL_TAPS][WIDE], const int wide)
{
    GR__UNROLL
    for (int b = 0; b < ROLL_TAPS; b++) {
        GR__UNROLL
        for (int v = 0; v < wide; v++)
            inside[b][v] = lanes_inside(r->x.w + j + r->col[b] + v * r->apart, r->x.cols);
    }
}

/* What is under tap b of the vector v at x. */
GR__INLINE vec roll_load(const gr__roll *r, const gr_real *x, ivec inside[ROLL_TAPS][WIDE], int b,
    int v, const int wide, const int edges)
{
    vec of = load_once(x + r->col[b] + v * r->apart);
    return at_edge(b, ROLL_TAPS, v, wide, edges) ? (vec)((ivec)of & inside[b][v]) : of;
}

/* Some vectors from column j on, of all rows. Each line goes to as many rows of outputs as there
   are rows of taps, and completes one of them. Where two vectors overlap, the second, stored later,
   has the common lanes right; of the first they may be cut off by the row's edge. */
GR__INLINE void roll_columns(const gr__roll *r, const gr__roll_filter *f, gr_real *y, int64_t j,
    const int wide, const int edges)
{
    vec  weight[ROLL_TAPS][ROLL_TAPS], acc[ROLL_TAPS][WIDE], least = vec_all(f->least);
    ivec inside[ROLL_TAPS][WIDE];
    roll_edges(r, j, inside, wide);
    GR__UNROLL
    for (int b = 0; b < ROLL_TAPS; b++) {
        GR__UNROLL
        for (int p = 0; p < ROLL_TAPS; p++)
            weight[p][b] = vec_all(f->weight[p][b]), acc[p][b % WIDE] = vec_all(f->bias);
    }
    y += j;
    for (int64_t i = 0; i < r->rows + ROLL_TAPS - 1; i++) {
        const gr_real *x = roll_line_of(&r->x, i * r->step) + j;
        GR__UNROLL
        for (int b = 0; b < ROLL_TAPS; b++) {
            GR__UNROLL
            for (int v = 0; v < wide; v++) {
                vec of = roll_load(r, x, inside, b, v, wide, edges);
                GR__UNROLL
                for (int p = 0; p < ROLL_TAPS; p++) acc[p][v] += weight[p][b] * of;
            }
        }
        GR__UNROLL
        for (int v = 0; v < wide; v++) {
            vec done = acc[ROLL_TAPS - 1][v];
            if (i >= ROLL_TAPS - 1)
                vec_store(y + v * r->apart, vec_choose(done < least, least, done));
            GR__UNROLL
            for (int p = ROLL_TAPS - 1; p > 0; p--) acc[p][v] = acc[p - 1][v];
            acc[0][v] = vec_all(f->bias);
        }
        if (i >= ROLL_TAPS - 1) y += r->outs;
    }
}

/* How many vectors make the columns from j on, and from which on; r->apart is set. */
static int roll_at(gr__roll *r, int64_t j, int64_t *from)
{
    bool wide = r->outs - j > LANES;
    *from = wide ? j : r->outs - LANES;
    r->apart = wide ? at_most(LANES, r->outs - LANES - j) : 0;
    return wide ? WIDE : 1;
}

void depthwise_roll(gr__roll *r, const gr__roll_filter *f, gr_real *y)
{
    for (int64_t j = 0, at; j < r->outs; j += WIDE * LANES) {
        int wide = roll_at(r, j, &at),
            edges = edges_of(r->x.w + at, wide, r->apart, r->col, ROLL_TAPS, r->x.cols);
        if (wide == WIDE)
            FOR_EDGES(edges, roll_columns, r, f, y, at, WIDE)
        else
            FOR_EDGES(edges, roll_columns, r, f, y, at, 1)
    }
}

/* Some vectors of one row of g by those of the line x under one row of the taps; `new`: the lanes
   of g that are wanted of the last vector. */
GR__INLINE void roll_row_grad(const gr__roll *r, const gr_real *g, const gr_real *x,
    ivec inside[ROLL_TAPS][WIDE], ivec new, vec acc[ROLL_TAPS], const int wide, const int edges)
{
    GR__UNROLL
    for (int v = 0; v < wide; v++) {
        vec of = vec_load(g + v * r->apart);
        if ((edges & ALL) && v == wide - 1) of = (vec)((ivec)of & new);
        GR__UNROLL
        for (int b = 0; b < ROLL_TAPS; b++)
            acc[b] += of * roll_load(r, x, inside, b, v, wide, edges);
    }
}

/* Some vectors from column j on, of all rows. Each line meets the rows of g in which it has taps:
   at the ends fewer than it has otherwise. */
GR__INLINE void roll_grad_columns(const gr__roll *r, const gr_real *g, int64_t j, ivec new,
    vec acc[ROLL_TAPS][ROLL_TAPS], const int wide, const int edges)
{
    vec       rows[ROLL_TAPS][WIDE] = { { { 0 } } };
    ivec      inside[ROLL_TAPS][WIDE];
    const int last = ROLL_TAPS - 1;
    roll_edges(r, j, inside, wide);
    GR__UNROLL
    for (int b = 0; b < ROLL_TAPS; b++) inside[b][wide - 1] &= new;
    if (r->rows < last) {
        for (int64_t i = 0; i < r->rows; i++) {
            GR__UNROLL
            for (int p = 0; p < ROLL_TAPS; p++)
                roll_row_grad(r, g + i * r->outs + j, roll_line_of(&r->x, (i + p) * r->step) + j,
                    inside, new, acc[p], wide, edges);
        }
        return;
    }
    GR__UNROLL
    for (int i = 0; i < last; i++) {
        GR__UNROLL
        for (int p = 0; p < last - i; p++) {
            const int64_t below = r->rows - 1 - i;
            roll_row_grad(r, g + i * r->outs + j, roll_line_of(&r->x, (i + p) * r->step) + j,
                inside, new, acc[p], wide, edges);
            roll_row_grad(r, g + below * r->outs + j,
                roll_line_of(&r->x, (below + last - p) * r->step) + j, inside, new, acc[last - p],
                wide, edges);
        }
    }
    g += j;
    GR__UNROLL
    for (int p = 1; p < ROLL_TAPS; p++) {
        GR__UNROLL
        for (int v = 0; v < wide; v++) {
            if (r->rows > last) rows[p][v] = vec_load(g + (last - p) * r->outs + v * r->apart);
            if ((edges & ALL) && v == wide - 1) rows[p][v] = (vec)((ivec)rows[p][v] & new);
        }
    }
    g += last * r->outs;
    for (int64_t i = last; i < r->rows; i++, g += r->outs) {
        const gr_real *x = roll_line_of(&r->x, i * r->step) + j;
        GR__UNROLL
        for (int v = 0; v < wide; v++) {
            rows[0][v] = vec_load(g + v * r->apart);
            if ((edges & ALL) && v == wide - 1) rows[0][v] = (vec)((ivec)rows[0][v] & new);
            GR__UNROLL
            for (int b = 0; b < ROLL_TAPS; b++) {
                vec of = roll_load(r, x, inside, b, v, wide, edges);
                GR__UNROLL
                for (int p = 0; p < ROLL_TAPS; p++) acc[p][b] += rows[p][v] * of;
            }
            GR__UNROLL
            for (int p = ROLL_TAPS - 1; p > 0; p--) rows[p][v] = rows[p - 1][v];
        }
    }
}

/* sum: a vector for each tap, onto which the products go. */
void depthwise_roll_kernel_grad(gr__roll *r, const gr_real *g, gr_real *sum)
{
    vec acc[ROLL_TAPS][ROLL_TAPS];
    memcpy(acc, sum, sizeof acc);
    for (int64_t j = 0, at; j < r->outs; j += WIDE * LANES) {
        int wide = roll_at(r, j, &at),
            edges = edges_of(r->x.w + at, wide, r->apart, r->col, ROLL_TAPS, r->x.cols);
        int64_t old =
            wide == WIDE ? LANES - r->apart : j - at; /* lanes of the last vector that overlap */
        if (old) edges = ALL;
        if (wide == WIDE)
            FOR_EDGES(edges, roll_grad_columns, r, g, at, lanes_inside(-old, LANES), acc, WIDE)
        else
            FOR_EDGES(edges, roll_grad_columns, r, g, at, lanes_inside(-old, LANES), acc, 1)
    }
    memcpy(sum, acc, sizeof acc);
}
