/* matmul.c: y = a b, products of dense matrices. Three algorithms: panels of b, COLS vectors wide, times rows of a where they stand;
   for few rows of a, where b is transposed and so both run along the summed index, dots, with nothing copied; and for a handful of
   numbers, plain loops, since looking for anything better would take longer.
   Invariant: a task owns a rectangle of y, and the rectangles depend on shapes alone. */
#include "conv.h"
#include "table.h"

enum { OUTER, DOTS, SMALL };                                /* variants */
enum { FEW_SUMS = 256, FEW_TERMS = 16, FEW_SCALARS = 512 }; /* small: of whole vectors; otherwise, products */
enum { DOT_TERMS = 1024 };                                  /* terms of a sum taken at once: few enough for the nearest cache */
enum { DOT_WIDTH = 48 };                                    /* columns of a task */
enum { IN_PLACE_BYTES = 1 << 18 };                          /* a b so small is read where it stands */
enum { MOST_ROWS = 96 };                                    /* rows of a task: as many as pay for the panel they share */
enum { FEW_PRODUCTS = 1 << 16 };                            /* a task as small is not split */
enum { FEW_ROWS = 8 };                                      /* too few to pay for packing what stands transposed */

typedef struct grid {
    int64_t down, across; /* tasks of one product */
    int64_t width;        /* columns of a task */
} grid;

/* One row or one column is the same, transposed or not; each is taken as what runs along the sum. */
static gr__matmul plainest(const gr__matmul *m)
{
    gr__matmul p = *m;
    p.transpose_a = m->transpose_a && m->M > 1 && m->K > 1;
    p.transpose_b = (m->transpose_b || m->N == 1) && m->K > 1;
    return p;
}

static bool is_small(const gr__matmul *m)
{
    if (m->batch != 1 || m->M * m->N > FEW_SUMS || m->K > FEW_TERMS) return false;
    return m->N % LANES == 0 || m->M * m->N * m->K <= FEW_SCALARS;
}

static grid grid_of(const gr__matmul *m, int variant)
{
    grid    g = { .width = variant == DOTS ? DOT_WIDTH : GR__PANEL };
    int64_t block = variant == DOTS ? DOT_ROWS : ROWS;
    g.across = ceil_div(m->N, g.width);
    g.down = ceil_div(m->M, MOST_ROWS);
    if (g.down == 1 && m->M > 2 * block && m->M * m->N * m->K > FEW_PRODUCTS) g.down = 2;
    return g;
}

void GR__NAME(matmul_plan)(const gr__matmul *given, gr__plan *plan)
{
    gr__matmul m = plainest(given);
    *plan = (gr__plan){ .phases = 1 };
    if (!m.M || !m.N || !m.batch) return;
    if (is_small(given)) {
        plan->variant = SMALL;
        plan->tasks[0] = 1;
        return;
    }
    plan->variant = m.transpose_b && !m.transpose_a && (m.M < FEW_ROWS || m.N == 1) ? DOTS : OUTER;
    grid g = grid_of(&m, plan->variant);
    plan->tasks[0] = m.batch * g.down * g.across;
    if (plan->variant == DOTS)
        plan->scratch = padded_bytes((DOT_TERMS / LANES + 1) * (int64_t)sizeof(int64_t));
    else
        plan->scratch = padded_bytes(GR__TERMS * (int64_t)sizeof(gr__step)) +
                        padded_bytes(GR__TERMS * GR__PANEL * (int64_t)sizeof(gr_real)) +
                        padded_bytes((ceil_div(m.M, g.down) + 1) * GR__PANEL * (int64_t)sizeof(gr_real));
}

/* Four rows of y at most, LANES columns, all terms. */
GR__INLINE void small_rows(const gr_real *a, int64_t a_row, int64_t a_term, const gr_real *b, int64_t b_row, int64_t K, vec start,
    vec least, gr_real *y, int64_t y_row, const int rows)
{
    vec acc[4];
    GR__UNROLL
    for (int i = 0; i < rows; i++) acc[i] = start;
    for (int64_t k = 0; k < K; k++) {
        vec term = vec_load(b + k * b_row);
        GR__UNROLL
        for (int i = 0; i < rows; i++) acc[i] += a[i * a_row + k * a_term] * term;
    }
    GR__UNROLL
    for (int i = 0; i < rows; i++) vec_store(y + i * y_row, vec_choose(acc[i] < least, least, acc[i]));
}

static void small_vectors(const gr__matmul *m, const gr__operands *o, gr_real least)
{
    gr_real        turned[FEW_SUMS * FEW_TERMS];
    const gr_real *b = o->b;
    int64_t        a_row = m->transpose_a ? 1 : m->K, a_term = m->transpose_a ? m->M : 1, i = 0;
    if (m->transpose_b) {
        for (int64_t k = 0; k < m->K; k++)
            for (int64_t j = 0; j < m->N; j++) turned[k * m->N + j] = b[j * m->K + k];
        b = turned;
    }
    for (int64_t j = 0; j < m->N; j += LANES) {
        vec start = o->bias ? vec_load(o->bias + j) : (vec){ 0 };
        for (i = 0; i + 4 <= m->M; i += 4)
            small_rows(o->a + i * a_row, a_row, a_term, b + j, m->N, m->K, start, vec_all(least), o->y + i * m->N + j, m->N, 4);
        for (; i < m->M; i++)
            small_rows(o->a + i * a_row, a_row, a_term, b + j, m->N, m->K, start, vec_all(least), o->y + i * m->N + j, m->N, 1);
    }
}

static void small(const gr__matmul *m, const gr__operands *o)
{
    gr_real least = GR__NAME(least_of)(o->act);
    if (m->N % LANES == 0) {
        small_vectors(m, o, least);
    } else {
        int64_t a_row = m->transpose_a ? 1 : m->K, a_term = m->transpose_a ? m->M : 1;
        int64_t b_term = m->transpose_b ? 1 : m->N, b_col = m->transpose_b ? m->K : 1;
        for (int64_t i = 0; i < m->M; i++)
            for (int64_t j = 0; j < m->N; j++) {
                gr_real sum = o->bias ? o->bias[j] : 0;
                for (int64_t k = 0; k < m->K; k++) sum += o->a[i * a_row + k * a_term] * o->b[k * b_term + j * b_col];
                o->y[i * m->N + j] = sum < least ? least : sum;
            }
    }
    GR__NAME(activate)(o->y, m->M * m->N, o->act);
}

/* The rectangle of one task; a, b and y begin at its product. */
typedef struct block {
    const gr_real *a, *b, *bias;
    gr_real       *y;
    int64_t        y_row, row, rows, col, cols;
    gr_act         act;
} block;

/* What the sums are added to: the bias, one a column. */
static void write_bias(const block *t)
{
    for (int64_t i = 0; i < t->rows && t->bias; i++) memcpy(t->y + i * t->y_row, t->bias + t->col, (size_t)t->cols * sizeof *t->y);
}

static void dots_block(const gr__matmul *m, const block *t, int64_t *offset)
{
    for (int64_t i = 0; i <= DOT_TERMS / LANES; i++) offset[i] = i * LANES;
    write_bias(t);
    int64_t across = ceil_div(t->cols, DOT_COLS), down = ceil_div(t->rows, DOT_ROWS), k = 0;
    do {
        int64_t  terms = at_most(DOT_TERMS, m->K - k);
        gr__dots d = { .offset = offset, .T = terms / LANES, .tail = (int)(terms % LANES), .onto = k > 0 || t->bias, .y_row = t->y_row };
        for (int64_t i = 0; i < down; i++) {
            int64_t r = part_of(t->rows, down, i), rows = part_of(t->rows, down, i + 1) - r;
            for (int64_t a = 0; a < rows; a++) d.a[a] = t->a + (t->row + r + a) * m->K + k;
            for (int64_t j = 0; j < across; j++) {
                int64_t c = part_of(t->cols, across, j), cols = part_of(t->cols, across, j + 1) - c;
                for (int64_t b = 0; b < cols; b++) d.b[b] = t->b + (t->col + c + b) * m->K + k;
                d.y = t->y + r * t->y_row + c;
                GR__NAME(dots)(&d, (int)rows, (int)cols);
            }
        }
        k += terms;
    } while (k < m->K);
    for (int64_t i = 0; i < t->rows && t->act == GR_RELU; i++) GR__NAME(relu)(t->y + i * t->y_row, t->y + i * t->y_row, t->cols);
}

/* Of LANES columns of b, which are rows in memory, terms k..k+terms: read along the rows, written across. */
GR__INLINE void pack_square(const gr__matmul *m, const block *t, int64_t j, int64_t k, int64_t terms, gr_real *panel)
{
    const gr_real *b = t->b + (t->col + j) * m->K + k;
    vec            v[LANES];
    if (terms == LANES && t->cols - j >= LANES) {
        GR__UNROLL
        for (int l = 0; l < LANES; l++) v[l] = vec_load(b + l * m->K);
    } else {
        for (int l = 0; l < LANES; l++) v[l] = j + l < t->cols ? vec_load_some(b + l * m->K, terms) : (vec){ 0 };
    }
    vec_transpose(v);
    GR__UNROLL
    for (int l = 0; l < LANES; l++) vec_store(panel + l * GR__PANEL + j, v[l]);
}

/* Terms k..k+terms of the columns of b, filled up to whole vectors with zeros; the panel has room for GR__TERMS, whole squares. */
static void pack(const gr__matmul *m, const block *t, int64_t k, int64_t terms, gr_real *panel)
{
    if (m->transpose_b) {
        for (int64_t i = 0; i < terms; i += LANES)
            for (int64_t j = 0; j < t->cols; j += LANES) pack_square(m, t, j, k + i, at_most(LANES, terms - i), panel + i * GR__PANEL);
        return;
    }
    int64_t whole = t->cols / LANES * LANES;
    for (int64_t i = 0; i < terms; i++, panel += GR__PANEL) {
        const gr_real *b = t->b + (k + i) * m->N + t->col;
        for (int64_t j = 0; j < whole; j += LANES) vec_store(panel + j, vec_load(b + j));
        if (whole < t->cols) vec_store(panel + whole, vec_load_some(b + whole, t->cols - whole));
    }
}

/* Terms k..k+terms of the sum, for all rows of the task. */
static void multiply(const gr__matmul *m, const block *t, int64_t k, int64_t terms, const gr_real *b, const gr__step *step)
{
    gr__outer o = { .a_row = m->transpose_a ? 1 : m->K, .step = step, .K = terms, .onto = k > 0 || t->bias, .y_row = t->y_row };
    o.least = k + terms == m->K ? GR__NAME(least_of)(t->act) : GR__NAME(least_of)(GR_NO_ACT);
    for (int j = 0; j < COLS && j * LANES < t->cols; j++) o.b[j] = b + j * LANES;
    int64_t down = ceil_div(t->rows, ROWS);
    for (int64_t i = 0; i < down; i++) {
        int64_t r = part_of(t->rows, down, i);
        o.a = m->transpose_a ? t->a + k * m->M + t->row + r : t->a + (t->row + r) * m->K + k;
        o.y = t->y + r * t->y_row;
        GR__NAME(outer)(&o, (int)(part_of(t->rows, down, i + 1) - r), (int)ceil_div(t->cols, LANES));
    }
}

static void outer_block(const gr__matmul *m, const block *t, gr__step *step, gr_real *panel)
{
    bool in_place =
        !m->transpose_b && t->cols % LANES == 0 && (m->K * m->N * (int64_t)sizeof(gr_real) <= IN_PLACE_BYTES || t->rows <= ROWS);
    int64_t b_row = in_place ? m->N : GR__PANEL, k = 0;
    for (int64_t i = 0; i < at_most(GR__TERMS, m->K); i++) step[i] = (gr__step){ .a = m->transpose_a ? i * m->M : i, .b = i * b_row };
    write_bias(t);
    do {
        int64_t terms = at_most(GR__TERMS, m->K - k);
        if (!in_place) pack(m, t, k, terms, panel);
        multiply(m, t, k, terms, in_place ? t->b + k * m->N + t->col : panel, step);
        k += terms;
    } while (k < m->K);
}

/* A panel that does not fill whole vectors is made in a tile of full width, and copied from there. */
static void outer_task(const gr__matmul *m, const block *t, void *scratch)
{
    gr__step *step = scratch;
    gr_real  *panel = (gr_real *)(void *)((char *)scratch + padded_bytes(GR__TERMS * (int64_t)sizeof *step));
    block     tile = *t;
    if (t->cols % LANES) {
        tile.y = panel + GR__TERMS * GR__PANEL;
        tile.y_row = GR__PANEL;
    }
    outer_block(m, &tile, step, panel);
    for (int64_t i = 0; i < t->rows && tile.y != t->y; i++)
        memcpy(t->y + i * t->y_row, tile.y + i * tile.y_row, (size_t)t->cols * sizeof *t->y);
}

void GR__NAME(matmul_run)(
    const gr__matmul *given, const gr__plan *plan, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch)
{
    (void)phase, (void)shared;
    if (plan->variant == SMALL) {
        small(given, o);
        return;
    }
    gr__matmul m = plainest(given);
    grid       g = grid_of(&m, plan->variant);
    int64_t    col = task % g.across, row = task / g.across % g.down, product = task / g.across / g.down;
    block      t = { .a = o->a + product * m.a_step, .b = o->b + product * m.b_step, .bias = o->bias, .act = o->act, .y_row = m.N };
    t.row = part_of(m.M, g.down, row);
    t.rows = part_of(m.M, g.down, row + 1) - t.row;
    t.col = col * g.width;
    t.cols = at_most(g.width, m.N - t.col);
    t.y = o->y + (product * m.M + t.row) * m.N + t.col;
    if (plan->variant == DOTS)
        dots_block(&m, &t, scratch);
    else
        outer_task(&m, &t, scratch);
    for (int64_t i = 0; i < t.rows; i++) GR__NAME(activate)(t.y + i * t.y_row, t.cols, t.act);
}
