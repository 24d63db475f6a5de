/* conv_panels.c: a correlation of one image as a product of matrices, kernel times panel, the panels gathered as they are needed.
   Invariant: outputs that stand side by side and fill whole vectors are written in place; all others go through a tile. */
#include "conv.h"
#include "table.h"

#include <math.h>

typedef struct workspace {
    gr__step *step;
    gr_real  *panel, *tile;
} workspace;

static size_t steps_bytes(int64_t K) { return padded_bytes(K * (int64_t)sizeof(gr__step)); }

static size_t panel_bytes(int64_t K) { return padded_bytes((at_most(K, GR__TERMS) * GR__PANEL + LANES) * (int64_t)sizeof(gr_real)); }

size_t GR__NAME(panels_scratch)(const gr__correlation *s, int64_t K)
{
    return steps_bytes(K) + panel_bytes(K) + padded_bytes(s->rows * GR__PANEL * (int64_t)sizeof(gr_real));
}

static workspace lay_out(const gr__correlation *s, void *scratch)
{
    char     *at = scratch;
    workspace w = { .step = scratch, .panel = (gr_real *)(void *)(at + steps_bytes(s->K)) };
    w.tile = (gr_real *)(void *)(at + steps_bytes(s->K) + panel_bytes(s->K));
    GR__NAME(kernel_steps)(s, w.step);
    for (int64_t k = 0; k < s->K; k++) w.step[k].b = k % GR__TERMS * GR__PANEL;
    return w;
}

gr_real GR__NAME(least_of)(gr_act act) { return act == GR_RELU ? 0 : -(gr_real)INFINITY; }

void GR__NAME(activate)(gr_real *y, int64_t n, gr_act act)
{
    if (act == GR_SIGMOID)
        GR__NAME(sigmoid)(y, y, n);
    else if (act == GR_TANH)
        GR__NAME(tanh)(y, y, n);
}

/* Terms k..k+terms of a panel that lies gathered, times all rows of the kernel. */
static void multiply(
    const gr__correlation *s, const gr__group *o, const workspace *w, int64_t k, int64_t terms, int cols, gr_real *y, int64_t y_row)
{
    gr__outer m = { .a_row = s->k_row, .step = w->step + k, .K = terms, .onto = k > 0, .y_row = y_row };
    m.least = k + terms == s->K ? GR__NAME(least_of)(o->act) : -(gr_real)INFINITY;
    for (int j = 0; j < cols; j++) m.b[j] = w->panel + j * LANES;
    int64_t blocks = ceil_div(s->rows, ROWS);
    for (int64_t i = 0; i < blocks; i++) {
        int64_t r = part_of(s->rows, blocks, i);
        m.a = o->k + r * s->k_row;
        m.bias = o->bias ? o->bias + r : NULL;
        m.y = y + r * y_row;
        GR__NAME(outer)(&m, (int)(part_of(s->rows, blocks, i + 1) - r), cols);
    }
}

static void write_tile(const gr__correlation *s, const gr_real *tile, gr_real *y, int64_t j, int64_t n)
{
    int64_t place[GR__PANEL];
    for (int64_t i = 0; i < n; i++) place[i] = place_of(s, j + i);
    for (int64_t r = 0; r < s->rows; r++, tile += GR__PANEL, y += s->y_plane)
        if (is_dense(s))
            memcpy(y + j, tile, (size_t)n * sizeof *y);
        else
            for (int64_t i = 0; i < n; i++) y[place[i]] = tile[i];
}

static void one_panel(const gr__correlation *s, const gr__group *o, const workspace *w, int64_t j, int64_t n)
{
    bool     in_place = is_dense(s) && n % LANES == 0;
    gr_real *y = in_place ? o->y + j : w->tile;
    int64_t  y_row = in_place ? s->y_plane : GR__PANEL, k = 0;
    do {
        int64_t terms = at_most(GR__TERMS, s->K - k);
        GR__NAME(gather)(s, o, k, terms, j, n, w->panel, GR__PANEL);
        multiply(s, o, w, k, terms, (int)ceil_div(n, LANES), y, y_row);
        k += terms;
    } while (k < s->K);
    for (int64_t r = 0; r < s->rows; r++) GR__NAME(activate)(y + r * y_row, n, o->act);
    if (!in_place) write_tile(s, w->tile, o->y, j, n);
}

void GR__NAME(panels_run)(const gr__correlation *s, const gr__group *o, int64_t begin, int64_t end, void *scratch)
{
    workspace w = lay_out(s, scratch);
    for (int64_t j = begin; j < end; j += GR__PANEL) one_panel(s, o, &w, j, at_most(GR__PANEL, end - j));
}
