/* explain.c: the backward pass as a table.

   One row per operation, below it one row per input, and one more where the gradient of a leaf is
   complete. Invariant: the same code goes through all rows twice, first to measure the columns,
   then to write them. */
#include "inspect/inspect.h"
#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

enum { EXPLAIN_NUMBER, OPERATION, TENSOR, SHAPE, VALUE, GRADIENT, COLUMNS, MOST_SHOWN = 6 };

typedef struct explain_table {
    gr__page *page; /* NULL: measure */
    int       width[COLUMNS];
    char      number[24], value[32], gradient[32];
} explain_table;

typedef struct explain_row {
    const char *cell[COLUMNS];
    int         width[COLUMNS];
} explain_row;

static void set(explain_row *r, int column, const char *text, int width)
{
    r->cell[column] = text;
    r->width[column] = width;
}

static bool right_aligned(int column)
{
    return column == EXPLAIN_NUMBER || column == VALUE || column == GRADIENT;
}

/* The caller puts the text after the columns and ends the line. */
static void explain_put_row(explain_table *t, const explain_row *r)
{
    for (int c = 0; c < COLUMNS; c++) {
        if (!t->page) {
            if (r->width[c] > t->width[c]) t->width[c] = r->width[c];
            continue;
        }
        int spaces = t->width[c] - r->width[c];
        if (right_aligned(c)) gr__page_put_spaces(t->page, spaces);
        gr__page_put(t->page, "%s", r->cell[c] ? r->cell[c] : "");
        if (!right_aligned(c)) gr__page_put_spaces(t->page, spaces);
        gr__page_put(t->page, "  ");
    }
}

/* The end of a line, without the spaces of empty columns. */
static void end_row(explain_table *t)
{
    if (!t->page || !t->page->good) return;
    while (t->page->s[t->page->length - 1] == ' ') t->page->length--;
    gr__page_put(t->page, "\n");
}

static void explain_put_piece(explain_table *t, gr__equation piece)
{
    if (t->page) gr__page_put(t->page, "%.*s", piece.length, piece.s);
}

static void set_norm(explain_row *r, int column, char *to, size_t room, double norm)
{
    set(r, column, to, snprintf(to, room, "%.4g", norm));
}

static void set_shape(explain_row *r, gr__text *to, const gr_tensor *t)
{
    *to = gr__shape_text(&t->shape);
    set(r, SHAPE, to->s, (int)strlen(to->s));
}

/* "g = #5 + #3": the operations that a tensor's gradient comes from, in the order of backward. */
static void put_sum(explain_table *t, const gr__graph *gr, const gr__graph_tensor *s)
{
    if (!t->page) return;
    int number[MOST_SHOWN], first = 0, last = 0, k = 0;
    for (size_t at = s->last; at; at = gr->uses[at - 1].previous) {
        const gr__graph_use *use = &gr->uses[at - 1];
        if (!use->flows) continue;
        first = use->number;
        last = last ? last : first;
        number[k++ % MOST_SHOWN] = first;
    }
    gr__page_put(t->page, "g = #%d", first);
    if (k > MOST_SHOWN) gr__page_put(t->page, " + ... + #%d, from %d uses", last, k);
    while (k <= MOST_SHOWN && --k > 0) gr__page_put(t->page, " + #%d", number[k - 1]);
}

static void explain_put_operation(
    explain_table *t, const gr__graph *gr, const gr__graph_operation *op)
{
    const gr__graph_tensor *s = &gr->tensors[op->result];
    gr__display             name = gr__display_of(s->t->name ? s->t->name : "");
    gr__text                shape;
    explain_row             r = { .width = { 0 } };
    set(&r, EXPLAIN_NUMBER, t->number, snprintf(t->number, sizeof t->number, "%d", s->number));
    set(&r, OPERATION, op->nd->name, (int)strlen(op->nd->name));
    set(&r, TENSOR, name.s, name.width);
    set_shape(&r, &shape, s->t);
    set_norm(&r, VALUE, t->value, sizeof t->value, s->value_norm);
    set_norm(&r, GRADIENT, t->gradient, sizeof t->gradient, s->grad_norm);
    explain_put_row(t, &r);
    explain_put_piece(t, gr__equation_of_result(op->nd->op));
    gr__attributes_text settings = gr__attributes_of(op->nd);
    if (t->page && settings.s[0]) gr__page_put(t->page, ";  %s", settings.s);
    if (s->flows > 1) {
        if (t->page) gr__page_put(t->page, ";  ");
        put_sum(t, gr, s);
    }
    end_row(t);
}

/* "  fc1.weight" of a leaf, "  #7 logits" of a result. */
static void set_name(explain_row *r, char *to, size_t room, const gr__graph_tensor *s)
{
    gr__display name = gr__display_of(s->t->name  ? s->t->name
                                      : s->number ? ""
                                      : s->g      ? "(parameter)"
                                                  : "(constant)");
    int n = s->number ? snprintf(to, room, "  #%d%s%s", s->number, s->t->name ? " " : "", name.s)
                      : snprintf(to, room, "  %s", name.s);
    set(r, TENSOR, to, n - (int)strlen(name.s) + name.width);
}

/* A leaf's row; g: its gradient's norm, below 0: none. */
static void explain_put_leaf(explain_table *t, const gr__graph_tensor *s, double g)
{
    char        name[sizeof(gr__display) + 24];
    gr__text    shape;
    explain_row r = { .width = { 0 } };
    set_name(&r, name, sizeof name, s);
    if (!s->number) {
        set_shape(&r, &shape, s->t);
        if (s->t->dtype == GR_REAL) set_norm(&r, VALUE, t->value, sizeof t->value, s->value_norm);
    }
    if (g >= 0 || g != g) set_norm(&r, GRADIENT, t->gradient, sizeof t->gradient, g);
    explain_put_row(t, &r);
}

static void explain_put_use(
    explain_table *t, const gr__graph *gr, const gr__graph_operation *op, const gr__graph_use *use)
{
    const gr__graph_tensor *s = &gr->tensors[use->tensor];
    explain_put_leaf(t, s, use->flows ? use->grad_norm : -1);
    if (use->flows)
        explain_put_piece(t, gr__equation_of_input(op->nd->op, use->input));
    else if (t->page)
        gr__page_put(t->page, "no gradient");
    end_row(t);
    if (s->number || s->flows < 2 || &gr->uses[s->last - 1] != use) return;
    explain_put_leaf(t, s, s->grad_norm);
    put_sum(t, gr, s);
    end_row(t);
}

static void put_head(explain_table *t)
{
    static const char *const heads[COLUMNS] = { "#", "operation", "tensor", "shape", "|value|",
        "|gradient|" };
    explain_row              r = { .width = { 0 } };
    for (int c = 0; c < COLUMNS; c++) set(&r, c, heads[c], (int)strlen(heads[c]));
    explain_put_row(t, &r);
    if (t->page) gr__page_put(t->page, "rule\n");
}

static void put_table(explain_table *t, const gr__graph *gr)
{
    size_t n = gr__array_length(gr->operations);
    put_head(t);
    for (size_t k = 0; k < n; k++) {
        const gr__graph_operation *op = &gr->operations[k];
        explain_put_operation(t, gr, op);
        for (int i = 0; i < op->count; i++)
            explain_put_use(t, gr, op, &gr->uses[op->uses + (size_t)i]);
    }
    if (n == 0) {
        explain_put_leaf(t, &gr->tensors[0], gr->tensors[0].grad_norm);
        end_row(t);
    }
}

static void put_summary(gr__page *p, const gr__graph *gr, const gr_tensor *loss)
{
    size_t params = 0, operations = gr__array_length(gr->operations);
    for (size_t i = 0; i < gr__array_length(gr->tensors); i++)
        params += gr->tensors[i].g && !gr->tensors[i].number;
    gr__page_put(p, "backward from %.6g, through %zu operation%s, to %zu parameter%s\n\n",
        (double)gr__reals(loss)[0], operations, operations == 1 ? "" : "s", params,
        params == 1 ? "" : "s");
}

static const char *step_string(const gr__page *p)
{
    char *s = p->good ? gr__string(p->length + 1) : NULL;
    if (s) {
        memcpy(s, p->s, p->length);
        s[p->length] = '\0';
    }
    return s;
}

const char *gr_explain_format(gr_tensor *loss)
{
    gr_step   step = gr_step_begin();
    gr__graph gr = { .tensors = NULL };
    gr__page  page = { .good = false };
    if (step.depth > 0 && gr__graph_make(&gr, loss, "explain")) page = gr__page_begin();
    if (page.good) {
        explain_table t = { .page = NULL };
        put_summary(&page, &gr, loss);
        put_table(&t, &gr);
        t.page = &page;
        put_table(&t, &gr);
    }
    gr__graph_free(&gr);
    gr_step_end(&step);
    const char *text = step_string(&page);
    gr__page_end(&page);
    return text;
}

void gr_explain_print(gr_tensor *loss)
{
    GR_STEP;
    const char *text = gr_explain_format(loss);
    if (text) fputs(text, stdout);
}
