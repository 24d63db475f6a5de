/* matmul.c: y = a b, products of dense matrices. Four algorithms: panels of b, COLS vectors wide,
   times rows of a where they stand; for large ones the same, with all of b packed once, before, and
   a packed as it is needed; for few rows of a, where b is transposed and so both run along the
   summed index, dots, with nothing copied, or a row, if it is one; and for a handful of numbers,
   plain loops, since looking for anything better would take longer. Invariant: a task owns a
   rectangle of y, and the rectangles depend on shapes alone. */
#include "matmul.h"
#include "micro.h"

#include "table.h"

enum { MATMUL_OUTER, PACKED, MATMUL_DOTS, MATMUL_ROW, SMALL }; /* variants */
enum { FEW_TERMS = 16, FEW_SCALARS = 512 }; /* small: of whole vectors; otherwise, products */
enum { DOT_TERMS = 1024 }; /* terms of a sum taken at once: few enough for the nearest cache */
enum { DOT_WIDTH = 48 };   /* columns of a task */
enum { IN_PLACE_BYTES = 1 << 18 }; /* a b so small is read where it stands */
enum {
    MATMUL_MOST_ROWS = 96,
    MANY_ROWS = 512
}; /* rows of a task that pay for the panel they share; if there are tasks enough */
enum { MATMUL_FEW_PRODUCTS = 1 << 16 }; /* a task as small is not split */
enum { FEW_FACTORS = 1 << 16 };         /* an a as small is one task for each panel of b */
enum { FEW_ROWS = 8 };                  /* too few to pay for packing what stands transposed */
enum { MOST_PACKED = 1 << 28 };         /* bytes of b that may be packed at once */
enum {
    TERMS = 512,
    PREFETCH_ROWS = 16
}; /* of a sum at once; rows of a transposed a that are asked for upcoming */
enum { A_ROW = TERMS + 16 }; /* from row to row of a packed a: no power of two */
enum {
    MATMUL_TASKS = 12,
    MOST_PANELS = 16
};                                   /* large: worth splitting for more threads; panels of a task */
enum { PREFETCHED_BYTES = 1 << 19 }; /* a y so large is out of the nearer caches */
enum {
    PREFETCHED_PANELS_BYTES = 1 << 21
}; /* packed panels are read in order, and have to be asked for from so many on */
enum { PANELS_AT_ONCE = 8, PACKED_TERMS = 128 }; /* packing: of a task */
enum {
    WHOLE_LINES = GR__PANEL % CACHE_LINE == 0
}; /* are panels; with narrower vectors, the requests would cost more than they save */
enum { MATMUL_TERMS_AT_ONCE = 32 }; /* that are copied to one panel before the next */

typedef struct matmul_grid {
    int64_t down, across; /* tasks of one product */
    int64_t width;        /* columns of a task, but for the last */
} matmul_grid;

/* One row or one column is the same, transposed or not; each is taken as what runs along the
   sum. */
static gr__matmul plainest(const gr__matmul *m)
{
    gr__matmul p = *m;
    p.transpose_a = m->transpose_a && m->M > 1 && m->K > 1;
    p.transpose_b = (m->transpose_b || m->N == 1) && m->K > 1;
    return p;
}

static bool is_small(const gr__matmul *m)
{
    if (m->batch != 1 || m->M * m->N > GR__FEW_SUMS || m->K > FEW_TERMS) return false;
    return m->N % LANES == 0 || m->M * m->N * m->K <= FEW_SCALARS;
}

static bool stays_in_place(const gr__matmul *m)
{
    return !m->transpose_b && m->K * m->N * (int64_t)sizeof(gr_real) <= IN_PLACE_BYTES;
}

/* Rows of b that begin with a line and fall into all sets of a cache may be read where they stand,
   too. */
static bool rows_spread(const gr__matmul *m)
{
    return WHOLE_LINES && m->N % CACHE_LINE == 0 && m->N % (8 * CACHE_LINE) != 0;
}

/* So many products leave tasks enough, even if none is split. */
static bool are_many(const gr__matmul *m)
{
    return m->batch > 1 && m->batch * ceil_div(m->N, GR__PANEL) >= MATMUL_TASKS * 4;
}

/* Rows of a task. What stands transposed takes longer to pack than a second task for the panel
   would be worth, as long as the task is a short one. */
static int64_t rows_of(const gr__matmul *m)
{
    return are_many(m) || (m->transpose_b && m->M * m->K <= FEW_FACTORS) ? MANY_ROWS
                                                                         : MATMUL_MOST_ROWS;
}

static matmul_grid grid_of(const gr__matmul *m, int variant)
{
    matmul_grid g = { .down = ceil_div(m->M, rows_of(m)),
        .width = variant == MATMUL_DOTS || variant == MATMUL_ROW ? DOT_WIDTH : GR__PANEL };
    int64_t     block = variant == MATMUL_DOTS ? DOT_ROWS : ROWS, panels = ceil_div(m->N, g.width);
    bool        split = !are_many(m) && g.down == 1 && m->M * m->N * m->K > MATMUL_FEW_PRODUCTS;
    if (variant == MATMUL_ROW)
        g.width *= at_least(1, MATMUL_FEW_PRODUCTS / (g.width * at_least(1, m->K)));
    if (split && variant == MATMUL_OUTER && !stays_in_place(m) && m->N >= 2 * LANES)
        g.width = at_most(
            g.width, ceil_div(m->N, 2 * LANES) * LANES); /* by columns, so that b is packed once */
    else if (split && m->M > 2 * block)
        g.down = 2;
    if (variant == PACKED) {
        g.across = ceil_div(
            panels, at_least(1, at_most(MOST_PANELS, m->batch * g.down * panels / MATMUL_TASKS)));
        g.width *= ceil_div(panels, g.across);
    }
    g.across = ceil_div(m->N, g.width);
    return g;
}

/* The numbers of one b when it is packed, in whole panels. */
static int64_t packed_size(const gr__matmul *m)
{
    return ceil_div(m->N, GR__PANEL) * GR__PANEL * ceil_div(m->K, LANES) * LANES;
}

static int variant_of(const gr__matmul *m)
{
    if (m->transpose_b && !m->transpose_a && (m->M < FEW_ROWS || m->N == 1))
        return m->M == 1 ? MATMUL_ROW : MATMUL_DOTS;
    bool large = m->M > rows_of(m) && !stays_in_place(m) && m->K > 0;
    return large && packed_size(m) <= MOST_PACKED / (int64_t)sizeof(gr_real) / m->batch
               ? PACKED
               : MATMUL_OUTER;
}

typedef struct matmul_workspace {
    gr__offsets *step;
    gr_real     *panel, *tile; /* panel: of b, or the packed a */
} matmul_workspace;

/* From term to term of a packed transposed a: an odd number of lines, so that they fall into all
   sets. */
static int64_t transposed_row(int64_t rows)
{
    return (ceil_div(rows, CACHE_LINE) | 1) * CACHE_LINE;
}

static size_t panel_bytes(int64_t rows, int variant)
{
    int64_t a = variant == PACKED ? at_least(rows * A_ROW, TERMS * transposed_row(rows)) : 0;
    return padded_bytes((variant == PACKED ? a : TERMS * GR__PANEL) * (int64_t)sizeof(gr_real));
}

static size_t scratch_bytes(int64_t rows, int variant)
{
    return padded_bytes(TERMS * (int64_t)sizeof(gr__offsets)) + panel_bytes(rows, variant) +
           padded_bytes(rows * GR__PANEL * (int64_t)sizeof(gr_real));
}

static matmul_workspace matmul_lay_out(int64_t rows, int variant, void *scratch)
{
    matmul_workspace w = { .step = scratch,
        .panel = (gr_real *)(void *)((char *)scratch +
                                     padded_bytes(TERMS * (int64_t)sizeof(gr__offsets))) };
    w.tile = (gr_real *)(void *)((char *)w.panel + panel_bytes(rows, variant));
    return w;
}

void matmul_plan(const gr__matmul *given, gr__plan *plan)
{
    *plan = (gr__plan){ .stages = 1 };
    if (!given->M || !given->N || !given->batch) return;
    if (is_small(given)) {
        plan->variant = SMALL;
        plan->tasks[0] = 1;
        return;
    }
    gr__matmul m = plainest(given);
    plan->variant = variant_of(&m);
    matmul_grid g = grid_of(&m, plan->variant);
    plan->tasks[0] = m.batch * g.down * g.across;
    if (plan->variant == MATMUL_ROW) return;
    if (plan->variant == MATMUL_DOTS) {
        plan->scratch = padded_bytes((DOT_TERMS / LANES + 1) * (int64_t)sizeof(int64_t));
        return;
    }
    plan->scratch = scratch_bytes(ceil_div(m.M, g.down), plan->variant);
    if (plan->variant == MATMUL_OUTER) return;
    plan->stages = 2;
    plan->tasks[1] = plan->tasks[0];
    plan->tasks[0] =
        m.batch * ceil_div(m.K, PACKED_TERMS) * ceil_div(m.N, PANELS_AT_ONCE * GR__PANEL);
    plan->shared = padded_bytes(m.batch * packed_size(&m) * (int64_t)sizeof(gr_real));
}

/* From one row of a to the next, and from one term to the next. */
GR__INLINE int64_t small_row(const gr__matmul *m) { return m->transpose_a ? 1 : m->K; }

GR__INLINE int64_t small_term(const gr__matmul *m) { return m->transpose_a ? m->M : 1; }

/* Four rows of y at most, LANES columns, all terms. */
GR__INLINE void small_rows(const gr__matmul *m, const gr_real *a, const gr_real *b, vec start,
    vec least, gr_real *y, const int rows)
{
    const int64_t a_row = small_row(m), a_term = small_term(m), K = m->K, N = m->N;
    vec           acc[4];
    GR__UNROLL
    for (int i = 0; i < rows; i++) acc[i] = start;
    for (int64_t k = 0; k < K; k++) {
        vec term = vec_load(b + k * N);
        GR__UNROLL
        for (int i = 0; i < rows; i++) acc[i] += a[i * a_row + k * a_term] * term;
    }
    GR__UNROLL
    for (int i = 0; i < rows; i++) vec_store(y + i * N, vec_choose(acc[i] < least, least, acc[i]));
}

/* b, which stands transposed, as it would stand if it did not. */
static void turn(const gr__matmul *m, const gr_real *b, gr_real *turned)
{
    for (int64_t j = 0; j < m->N; j += LANES) {
        if (m->K == LANES) {
            vec v[LANES];
            GR__UNROLL
            for (int l = 0; l < LANES; l++) v[l] = vec_load(b + (j + l) * LANES);
            vec_transpose(v);
            GR__UNROLL
            for (int l = 0; l < LANES; l++) vec_store(turned + l * m->N + j, v[l]);
        } else {
            for (int64_t k = 0; k < m->K; k++)
                for (int64_t l = j; l < j + LANES; l++) turned[k * m->N + l] = b[l * m->K + k];
        }
    }
}

static void small_vectors(const gr__matmul *m, const gr__operands *o, gr_real least)
{
    gr_real        turned[GR__FEW_SUMS * FEW_TERMS];
    const gr_real *b = o->b;
    int64_t        a_row = small_row(m), i = 0;
    if (m->transpose_b) {
        turn(m, o->b, turned);
        b = turned;
    }
    for (int64_t j = 0; j < m->N; j += LANES) {
        vec start = o->bias ? vec_load(o->bias + j) : (vec){ 0 };
        for (i = 0; i + 4 <= m->M; i += 4)
            small_rows(m, o->a + i * a_row, b + j, start, vec_all(least), o->y + i * m->N + j, 4);
        for (; i < m->M; i++)
            small_rows(m, o->a + i * a_row, b + j, start, vec_all(least), o->y + i * m->N + j, 1);
    }
}

static void small(const gr__matmul *m, const gr__operands *o)
{
    gr_real least = least_of(o->act);
    if (m->N % LANES == 0) {
        small_vectors(m, o, least);
    } else {
        int64_t a_row = small_row(m), a_term = small_term(m);
        int64_t b_term = m->transpose_b ? 1 : m->N, b_col = m->transpose_b ? m->K : 1;
        for (int64_t i = 0; i < m->M; i++)
            for (int64_t j = 0; j < m->N; j++) {
                gr_real sum = o->bias ? o->bias[j] : 0;
                for (int64_t k = 0; k < m->K; k++)
                    sum += o->a[i * a_row + k * a_term] * o->b[k * b_term + j * b_col];
                o->y[i * m->N + j] = sum < least ? least : sum;
            }
    }
    activate(o->y, m->M * m->N, o->act);
}

/* The rectangle of one task; a and b begin at its product, y at the rectangle. */
typedef struct matmul_block {
    const gr_real *a, *b;
    const gr_real *bias, *row_bias; /* one a column, or one a row, or none */
    gr_real       *y;
    int64_t        y_row, row, rows, col, cols;
    gr_act         act;
    bool           onto;                               /* y holds what the sums are added to */
    bool           prefetch_y, prefetch_a, prefetch_b; /* y has to be asked for; a; b */
    const gr_real *next; /* where the panel of b for the next task begins, or NULL */
} matmul_block;

/* What the sums are added to: the bias, one a column. */
static void write_bias(matmul_block *t)
{
    for (int64_t i = 0; i < t->rows && t->bias; i++)
        memcpy(t->y + i * t->y_row, t->bias + t->col, (size_t)t->cols * sizeof *t->y);
    t->onto |= t->bias != NULL;
}

static void matmul_dots_of_size(const gr__matmul *m, matmul_block *t, int64_t *offset)
{
    for (int64_t i = 0; i <= DOT_TERMS / LANES; i++) offset[i] = i * LANES;
    write_bias(t);
    int64_t across = ceil_div(t->cols, DOT_COLS), down = ceil_div(t->rows, DOT_ROWS), k = 0;
    do {
        int64_t       terms = at_most(DOT_TERMS, m->K - k);
        gr__dot_block d = { .offset = offset,
            .T = terms / LANES,
            .tail = (int)(terms % LANES),
            .onto = k > 0 || t->onto,
            .y_row = t->y_row };
        for (int64_t i = 0; i < down; i++) {
            int64_t r = even_part(t->rows, down, i), rows = even_part(t->rows, down, i + 1) - r;
            for (int64_t a = 0; a < rows; a++) d.a[a] = t->a + (t->row + r + a) * m->K + k;
            for (int64_t j = 0; j < across; j++) {
                int64_t c = even_part(t->cols, across, j),
                        cols = even_part(t->cols, across, j + 1) - c;
                for (int64_t b = 0; b < cols; b++) d.b[b] = t->b + (t->col + c + b) * m->K + k;
                d.y = t->y + r * t->y_row + c;
                dot_block(&d, (int)rows, (int)cols);
            }
        }
        k += terms;
    } while (k < m->K);
    for (int64_t i = 0; i < t->rows && t->act == GR_RELU; i++)
        GR__NAME(relu)(t->y + i * t->y_row, t->y + i * t->y_row, t->cols);
}

/* One row of a. */
static void matmul_row_of_size(const gr__matmul *m, const matmul_block *t)
{
    int64_t     blocks = ceil_div(t->cols, ROW_COLS);
    gr__dot_row r = { .a = t->a, .b_row = m->K, .K = m->K, .least = least_of(t->act) };
    for (int64_t i = 0; i < blocks; i++) {
        int64_t c = even_part(t->cols, blocks, i), cols = even_part(t->cols, blocks, i + 1) - c;
        r.b = t->b + (t->col + c) * m->K;
        r.bias = t->bias ? t->bias + t->col + c : NULL;
        r.y = t->y + c;
        dot_row(&r, (int)cols);
    }
}

/* A vector that begins `at` numbers into b, of which `wanted` are; what comes after them is not
   used, but must not lie outside b. */
GR__INLINE vec load_within(const gr__matmul *m, const gr_real *b, int64_t at, int64_t wanted)
{
    return at + LANES <= m->N * m->K ? vec_load(b + at)
                                     : vec_load_some(b + at, at_most(wanted, LANES));
}

/* Of LANES columns of b, which are rows in memory, terms k..k+terms: read along the rows, written
   across. */
GR__INLINE void pack_square(
    const gr__matmul *m, const matmul_block *t, int64_t j, int64_t k, int64_t terms, gr_real *panel)
{
    const int64_t at = (t->col + j) * m->K + k, row = m->K;
    vec           v[LANES];
    if (t->cols - j >= LANES && at + (LANES - 1) * row + LANES <= m->N * row) {
        GR__UNROLL
        for (int l = 0; l < LANES; l++) v[l] = vec_load(t->b + at + l * row);
    } else {
        for (int l = 0; l < LANES; l++)
            v[l] = j + l < t->cols ? load_within(m, t->b, at + l * row, terms) : (vec){ 0 };
    }
    vec_transpose(v);
    GR__UNROLL
    for (int l = 0; l < LANES; l++) vec_store(panel + l * GR__PANEL + j, v[l]);
}

/* Terms k..k+terms of the columns of b, at most a panel, filled up to whole vectors with anything;
   the panel has room for whole squares. */
static void matmul_pack(
    const gr__matmul *m, const matmul_block *t, int64_t k, int64_t terms, gr_real *panel)
{
    if (m->transpose_b) {
        for (int64_t i = 0; i < terms; i += LANES)
            for (int64_t j = 0; j < t->cols; j += LANES)
                pack_square(m, t, j, k + i, terms - i, panel + i * GR__PANEL);
        return;
    }
    int64_t whole = t->cols / LANES * LANES;
    for (int64_t i = 0; i < terms; i++, panel += GR__PANEL) {
        int64_t at = (k + i) * m->N + t->col;
        for (int64_t j = 0; j < whole; j += LANES) vec_store(panel + j, vec_load(t->b + at + j));
        if (whole < t->cols)
            vec_store(panel + whole, load_within(m, t->b, at + whole, t->cols - whole));
    }
}

/* Rows of a factor: row r of the task begins at a + r row. */
typedef struct factor {
    const gr_real *a;
    int64_t        row;
} factor;

/* What of b will be read after a block of terms: rows of so many runs, of which each block of rows
   asks for its share. */
typedef struct upcoming {
    const gr_real *at;
    int64_t        rows, row, runs;
    int64_t share, next; /* next: the row from which the next share begins, in the runs at `at` */
} upcoming;

/* What a block asks for: the rows of y and of a after its own, which end before `end`, and a share
   of b. */
static void find_prefetch(const matmul_block *t, const factor *f, upcoming *b, int64_t terms,
    int64_t end, gr__prefetch *prefetch)
{
    int64_t last = at_most(end + ROWS, t->rows);
    int     n = 0;
    for (int64_t r = end; t->prefetch_y && r < last; r++) prefetch->run[n++] = t->y + r * t->y_row;
    for (int64_t j = 0; t->prefetch_a && j < terms; j += GR__PANEL)
        for (int64_t r = end; r < last && n < GR__MOST_RUNS; r++)
            prefetch->run[n++] = f->a + r * f->row + j;
    for (int64_t i = 0; i < b->share && b->runs && n < GR__MOST_RUNS; i++) {
        prefetch->run[n++] = b->at + b->next * b->row;
        if (++b->next == b->rows) b->next = 0, b->runs--, b->at += GR__PANEL;
    }
    prefetch->runs = n;
}

/* Some terms of the sum, the first or the last, for all rows of the task and up to a panel of
   columns. */
static void matmul_multiply(const matmul_block *t, const factor *f, const gr_real *b,
    upcoming *next, const gr__offsets *step, int64_t terms, bool first, bool last)
{
    gr__prefetch    prefetch;
    gr__outer_block o = { .a_row = f->row,
        .step = step,
        .K = terms,
        .onto = !first || t->onto,
        .y_row = t->y_row,
        .prefetch = &prefetch };
    int64_t down = ceil_div(t->rows, ROWS), height = t->rows / down, higher = t->rows % down;
    o.least = last ? least_of(t->act) : least_of(GR_NO_ACT);
    for (int j = 0; j < COLS && j * LANES < t->cols; j++) o.b[j] = b + j * LANES;
    next->share = ceil_div(next->rows * next->runs, down);
    for (int64_t r = 0, end; r < t->rows; r = end) {
        end = r + height + (higher-- > 0);
        o.a = f->a + r * f->row;
        o.y = t->y + r * t->y_row;
        o.bias = t->row_bias ? t->row_bias + t->row + r : NULL;
        find_prefetch(t, f, next, terms, end, &prefetch);
        outer_block(&o, (int)(end - r), (int)ceil_div(t->cols, LANES));
    }
}

/* Where term k of the columns from col on begins. */
static int64_t matmul_place_of(const gr__matmul *m, int64_t k, int64_t col)
{
    return m->transpose_b ? col * m->K + k : k * m->N + col;
}

/* The next terms of b, from k on, or the first ones for the next task. */
static upcoming after(const gr__matmul *m, const matmul_block *t, int64_t k)
{
    const gr_real *at = k < m->K ? t->b + matmul_place_of(m, k, t->col) : t->next;
    int64_t        terms = at_most(TERMS, k < m->K ? m->K - k : m->K);
    if (!t->prefetch_b || !at) return (upcoming){ 0 };
    if (m->transpose_b)
        return (
            upcoming){ .at = at, .rows = t->cols, .row = m->K, .runs = ceil_div(terms, GR__PANEL) };
    return (upcoming){ .at = at, .rows = terms, .row = m->N, .runs = 1 };
}

static void matmul_outer_of_size(const gr__matmul *m, matmul_block *t, matmul_workspace *w)
{
    bool in_place = !m->transpose_b && t->cols % LANES == 0 &&
                    (stays_in_place(m) || rows_spread(m) || t->rows <= ROWS);
    int64_t b_row = in_place ? m->N : GR__PANEL, blocks = at_least(1, ceil_div(m->K, TERMS));
    for (int64_t i = 0; i < at_most(TERMS, m->K); i++)
        w->step[i] = (gr__offsets){ .a = m->transpose_a ? i * m->M : i, .b = i * b_row };
    write_bias(t);
    for (int64_t i = 0; i < blocks; i++) {
        int64_t k = even_part(m->K, blocks, i), terms = even_part(m->K, blocks, i + 1) - k;
        factor  f = { .row = m->transpose_a ? 1 : m->K };
        f.a = t->a + (m->transpose_a ? k * m->M + t->row : t->row * m->K + k);
        if (!in_place) matmul_pack(m, t, k, terms, w->panel);
        upcoming next = after(m, t, k + terms);
        matmul_multiply(t, &f, in_place ? t->b + k * m->N + t->col : w->panel, &next, w->step,
            terms, i == 0, i == blocks - 1);
    }
}

static void copy_rows(
    gr_real *to, int64_t to_row, const gr_real *from, int64_t from_row, int64_t rows, int64_t cols)
{
    for (int64_t i = 0; i < rows; i++) copy_exactly(to + i * to_row, from + i * from_row, cols);
}

/* A panel that does not fill whole vectors is made in a tile of full width, and copied from
   there. */
static void outer_task(const gr__matmul *m, const matmul_block *t, matmul_workspace *w)
{
    matmul_block tile = *t;
    if (t->cols % LANES) {
        tile.y = w->tile, tile.y_row = GR__PANEL, tile.prefetch_y = false;
        if (t->onto) copy_rows(tile.y, tile.y_row, t->y, t->y_row, t->rows, t->cols);
    }
    matmul_outer_of_size(m, &tile, w);
    if (tile.y != t->y) copy_rows(t->y, t->y_row, tile.y, tile.y_row, t->rows, t->cols);
}

size_t matmul_sum_scratch(const gr__matmul *m) { return scratch_bytes(m->M, MATMUL_OUTER); }

void matmul_sum(const gr__matmul *m, const gr_real *a, const gr_real *b, int64_t col, int64_t cols,
    gr_real *y, void *scratch)
{
    matmul_workspace w = matmul_lay_out(m->M, MATMUL_OUTER, scratch);
    for (int64_t i = 0; i < m->batch; i++, a += m->a_step, b += m->b_step)
        for (int64_t j = col; j < col + cols; j += GR__PANEL) {
            matmul_block t = { .a = a,
                .b = b,
                .y = y + j,
                .y_row = m->N,
                .rows = m->M,
                .col = j,
                .onto = i > 0,
                .prefetch_a = WHOLE_LINES,
                .prefetch_b = WHOLE_LINES };
            t.cols = at_most(GR__PANEL, col + cols - j);
            t.next = j + GR__PANEL < col + cols ? b + matmul_place_of(m, 0, j + GR__PANEL)
                     : i + 1 < m->batch         ? b + m->b_step + matmul_place_of(m, 0, col)
                                                : NULL;
            outer_task(m, &t, &w);
        }
}

/* ---- large products -------------------------------------------------------------------------- */

/* Phase 0: some terms of some columns of b, panel after panel: [panel][term][column]. */
static void pack_task(const gr__matmul *m, const gr_real *b, int64_t task, gr_real *packed)
{
    int64_t across = ceil_div(m->N, PANELS_AT_ONCE * GR__PANEL),
            blocks = ceil_div(m->K, PACKED_TERMS), part = task / across % blocks;
    int64_t product = task / across / blocks, col = task % across * PANELS_AT_ONCE * GR__PANEL;
    int64_t end = at_most(m->N, col + PANELS_AT_ONCE * GR__PANEL),
            last = at_most(m->K, (part + 1) * PACKED_TERMS);
    int64_t size = ceil_div(m->K, LANES) * LANES * GR__PANEL;
    packed += product * packed_size(m);
    for (int64_t k = part * PACKED_TERMS; k < last; k += MATMUL_TERMS_AT_ONCE)
        for (int64_t j = col; j < end; j += GR__PANEL) {
            matmul_block t = {
                .b = b + product * m->b_step, .col = j, .cols = at_most(GR__PANEL, end - j)
            };
            matmul_pack(m, &t, k, at_most(MATMUL_TERMS_AT_ONCE, last - k),
                packed + j / GR__PANEL * size + k * GR__PANEL);
        }
}

/* The rows of a task, terms k..k+terms of a, as they stand in a. */
static factor pack_a(
    const gr__matmul *m, const matmul_block *t, int64_t k, int64_t terms, gr_real *to)
{
    const int64_t row = m->transpose_a ? transposed_row(t->rows) : A_ROW;
    const int64_t from_row = m->transpose_a ? m->M : m->K, rows = m->transpose_a ? terms : t->rows,
                  cols = m->transpose_a ? t->rows : terms;
    const gr_real *from = t->a + (m->transpose_a ? k * m->M + t->row : t->row * m->K + k);
    for (int64_t i = 0; i < rows; i++, from += from_row) {
        for (int64_t j = 0; m->transpose_a && j < cols; j += CACHE_LINE)
            __builtin_prefetch(from + PREFETCH_ROWS * m->M + j);
        copy_exactly(to + i * row, from, cols);
    }
    return (factor){ .a = to, .row = m->transpose_a ? 1 : row };
}

/* Columns j.. of a task, up to a panel of them; in the tile, if they do not fill whole vectors. */
static matmul_block panel_of(const matmul_block *t, int64_t j, const matmul_workspace *w)
{
    matmul_block p = *t;
    p.col = t->col + j;
    p.cols = at_most(GR__PANEL, t->cols - j);
    p.y = t->y + j;
    p.onto = t->bias != NULL;
    if (p.cols % LANES) p.y = w->tile, p.y_row = GR__PANEL, p.prefetch_y = false;
    return p;
}

/* Phase 1. */
static void packed_task(
    const gr__matmul *m, const matmul_block *t, const gr_real *packed, matmul_workspace *w)
{
    int64_t blocks = ceil_div(m->K, TERMS), size = ceil_div(m->K, LANES) * LANES * GR__PANEL,
            ragged = t->cols % GR__PANEL;
    bool prefetch_y =
        WHOLE_LINES && packed_size(m) * (int64_t)sizeof(gr_real) > PREFETCHED_PANELS_BYTES;
    for (int64_t i = 0; i < TERMS; i++)
        w->step[i] = (gr__offsets){ .a = m->transpose_a ? i * transposed_row(t->rows) : i,
            .b = i * GR__PANEL };
    for (int64_t i = 0; i < blocks; i++) {
        int64_t k = even_part(m->K, blocks, i), terms = even_part(m->K, blocks, i + 1) - k;
        factor  f = pack_a(m, t, k, terms, w->panel);
        for (int64_t j = 0; j < t->cols; j += GR__PANEL) {
            matmul_block p = panel_of(t, j, w);
            if (i == 0) write_bias(&p);
            const gr_real *panel = packed + p.col / GR__PANEL * size + k * GR__PANEL;
            upcoming       next = { .at = panel + size,
                      .rows = terms,
                      .row = GR__PANEL,
                      .runs = prefetch_y && j + GR__PANEL < t->cols };
            matmul_multiply(&p, &f, panel, &next, w->step, terms, i == 0, i == blocks - 1);
        }
    }
    if (ragged % LANES)
        copy_rows(t->y + t->cols - ragged, t->y_row, w->tile, GR__PANEL, t->rows, ragged);
}

static void matmul_task(const gr__matmul *given, const gr__plan *plan, const gr__operands *o,
    bool by_row, int stage, int64_t task, void *shared, void *scratch)
{
    if (plan->variant == SMALL) {
        small(given, o);
        return;
    }
    gr__matmul m = plainest(given);
    if (stage + 1 < plan->stages) {
        pack_task(&m, o->b, task, shared);
        return;
    }
    matmul_grid      g = grid_of(&m, plan->variant);
    matmul_workspace w = matmul_lay_out(ceil_div(m.M, g.down), plan->variant, scratch);
    int64_t          col = task % g.across, row = task / g.across % g.down,
            product = task / g.across / g.down;
    matmul_block t = {
        .a = o->a + product * m.a_step, .b = o->b + product * m.b_step, .act = o->act, .y_row = m.N
    };
    *(by_row ? &t.row_bias : &t.bias) = o->bias;
    t.row = even_part(m.M, g.down, row);
    t.rows = even_part(m.M, g.down, row + 1) - t.row;
    t.col = col * g.width;
    t.cols = at_most(g.width, m.N - t.col);
    t.y = o->y + (product * m.M + t.row) * m.N + t.col;
    t.prefetch_y = m.batch * m.M * m.N * (int64_t)sizeof(gr_real) > PREFETCHED_BYTES;
    t.prefetch_b = m.batch * m.K * m.N * (int64_t)sizeof(gr_real) > PREFETCHED_BYTES;
    if (t.prefetch_b && task + 1 < plan->tasks[stage]) {
        int64_t n = (task + 1) / g.across / g.down;
        t.next = o->b + n * m.b_step + matmul_place_of(&m, 0, (task + 1) % g.across * g.width);
    }
    if (plan->variant == MATMUL_ROW)
        matmul_row_of_size(&m, &t);
    else if (plan->variant == MATMUL_DOTS)
        matmul_dots_of_size(&m, &t, scratch);
    else if (plan->variant == MATMUL_OUTER)
        outer_task(&m, &t, &w);
    else
        packed_task(&m, &t, (const gr_real *)shared + product * packed_size(&m), &w);
    bool bounded = o->act == GR_NO_ACT || o->act == GR_RELU;
    for (int64_t i = 0; i < t.rows && !bounded; i++) activate(t.y + i * t.y_row, t.cols, t.act);
}

void matmul_run(const gr__matmul *m, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch)
{
    matmul_task(m, plan, o, false, stage, task, shared, scratch);
}

void matmul_by_rows_run(const gr__matmul *m, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch)
{
    matmul_task(m, plan, o, true, stage, task, shared, scratch);
}
