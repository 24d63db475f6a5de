/* summary.c: the model summary: a table of layers.

   The forward function is run once, recorded, in a step of its own; the tape then says what was
   computed, in which order, and by which parameters. Invariant: the run changes nothing in the
   model, and the lines outlive it, since they hold no tensor.

   So layers need no code for it, nor do those that a user writes. */
#include "nn/nn.h"
#include "ops/ops.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_OPS = 3, SUMMARY_NUMBER = 32 };

/* One layer, or an op between layers. */
typedef struct line {
    const char         *name; /* the layer's, name_length of it; of none: 0 */
    int                 name_length;
    const char         *op[MOST_OPS]; /* what it is made of, in order */
    /* how, for each of them */
    gr__attributes_text settings[MOST_OPS];
    int                 ops;
    gr_shape            shape; /* the result's */
    int64_t             params, flops;
} line;

typedef struct summary {
    const gr_model  *m;
    line            *lines; /* stb_ds array */
    /* of each node: the parameter that its result is made of alone, or NULL */
    const gr__slot **of;
    bool            *counted; /* of each parameter: whether a line has it */
} summary;

/* ---- what a node costs ----------------------------------------------------------------------- */

static int64_t conv_flops(const gr__node *nd)
{
    const gr_tensor *k = nd->in[1];
    return k->shape.dim[0] > 0 ? 2 * nd->out->count * (k->count / k->shape.dim[0]) : 0;
}

static int64_t conv_transpose_flops(const gr__node *nd)
{
    const gr_tensor *u = nd->in[0], *k = nd->in[1];
    return k->shape.dim[0] > 0 ? 2 * u->count * (k->count / k->shape.dim[0]) : 0;
}

static int64_t linear_flops(const gr__node *nd)
{
    return 2 * nd->out->count * nd->in[1]->shape.dim[1];
}

/* The first operand's matrices are M x K or its transpose. */
static int64_t matmul_flops(const gr__node *nd)
{
    const gr_shape *a = &nd->in[0]->shape, *y = &nd->out->shape;
    int64_t         M = y->dim[y->rank - 2];
    return M > 0 ? 2 * nd->out->count * (a->dim[a->rank - 1] * a->dim[a->rank - 2] / M) : 0;
}

/* Ops of multiply-adds. */
static const struct {
    const char *name;
    int64_t (*flops)(const gr__node *nd);
} products[] = {
    { "conv2d", conv_flops },
    { "conv_transpose2d", conv_transpose_flops },
    { "conv2d_input_grad", conv_transpose_flops },
    { "linear", linear_flops },
    { "matmul", matmul_flops },
};

static bool is_product(const char *name)
{
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        if (strcmp(products[i].name, name) == 0) return true;
    return false;
}

/* Of the others, one for each number read or made, whichever are more; none where numbers are only
   moved. */
static int64_t flops_of(const gr__node *nd)
{
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        if (strcmp(products[i].name, nd->op->name) == 0) return products[i].flops(nd);
    if (nd->op->moves) return 0;
    return nd->in[0]->count > nd->out->count ? nd->in[0]->count : nd->out->count;
}

/* ---- whose a node is ------------------------------------------------------------------------- */

static const gr__slot *slot_of(gr__slot *const *slots, const gr_tensor *t)
{
    for (size_t i = 0; i < gr__array_length(slots); i++)
        if (slots[i]->t == t) return slots[i];
    return NULL;
}

/* "block.conv1" of "block.conv1.weight". */
static int layer_length(const char *name)
{
    const char *dot = strrchr(name, '.');
    return (int)(dot ? (size_t)(dot - name) : strlen(name));
}

static bool same_layer(const char *name, const char *layer, int length)
{
    return layer_length(name) == length && strncmp(name, layer, (size_t)length) == 0;
}

/* The parameter or buffer that a node computes with. *alone: with those of one layer and single
   numbers alone, so that its result, a weight in another shape or scaled, still stands for the
   layer's weights. */
static const gr__slot *owner(const summary *s, const gr__node *nd, size_t first, bool *alone)
{
    const gr__slot *found = NULL;
    *alone = true;
    for (int i = 0; i < nd->n; i++) {
        const gr_tensor *t = nd->in[i];
        /* else a leaf, or older than the run */
        bool             made = t->node && t->node->index >= first;
        const gr__slot  *by = made ? s->of[t->node->index - first] : slot_of(s->m->params, t);
        if (!by && !made) by = slot_of(s->m->buffers, t);
        if (by && !found) found = by;
        if (by ? !same_layer(by->name, found->name, layer_length(found->name))
               : gr__tracked(t) || t->count != 1)
            *alone = false;
    }
    return found;
}

/* The numbers in a layer's parameters that no line has yet. */
static int64_t take_params(const summary *s, const char *layer, int length)
{
    int64_t sum = 0;
    for (size_t i = 0; i < gr__array_length(s->m->params); i++) {
        if (s->counted[i] || !same_layer(s->m->params[i]->name, layer, length)) continue;
        s->counted[i] = true;
        sum += s->m->params[i]->t->count;
    }
    return sum;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool same_line(const line *a, const line *b)
{
    return a->name && b->name && a->name_length == b->name_length &&
           strncmp(a->name, b->name, (size_t)a->name_length) == 0;
}

/* What layer norm and group norm do without their weights comes before what they do by them, and
   the last of it has the name of the call. */
static void adopt(line *last, const line *l)
{
    bool norm = strcmp(last->op[0], "layer_norm") == 0 || strcmp(last->op[0], "group_norm") == 0;
    bool more = strcmp(l->op[0], "mul") == 0 || strcmp(l->op[0], last->op[0]) == 0;
    if (last->name || !l->name || !norm || !more) return;
    last->name = l->name;
    last->name_length = l->name_length;
    last->params = l->params;
}

/* A node of the layer that the last line is about adds to it. */
static bool add_node(summary *s, const gr__node *nd, const gr__slot *by)
{
    line   l = { .op = { nd->name },
          .settings = { gr__attributes_of(nd) },
          .shape = nd->out->shape,
          .ops = 1,
          .flops = flops_of(nd) };
    size_t n = gr__array_length(s->lines);
    if (!by && l.flops == 0) return true;
    if (by) {
        l.name = by->name;
        l.name_length = layer_length(by->name);
        l.params = take_params(s, l.name, l.name_length);
    }
    line *last = n > 0 ? &s->lines[n - 1] : NULL;
    if (last) adopt(last, &l);
    if (!last || !same_line(last, &l))
        return gr__array_push(&s->lines, &l, sizeof l) || gr__fail_memory("model_format", sizeof l);
    last->shape = l.shape;
    /* a bias that the product does not add itself */
    if (strcmp(l.op[0], "add") == 0 && is_product(last->op[last->ops - 1])) return true;
    last->flops += l.flops;
    if (strcmp(last->op[0], nd->name) == 0 && nd->name != nd->op->name) {
        last->ops = 1;
    } else if (last->ops < MOST_OPS) {
        last->settings[last->ops] = l.settings[0];
        last->op[last->ops++] = l.op[0];
    }
    return true;
}

static bool add_tape(summary *s, gr__node *const *tape, size_t first)
{
    for (size_t i = first; i < gr__array_length(tape); i++) {
        if (tape[i]->used) continue; /* forward went backward itself: what the node read is gone */
        bool            alone;
        const gr__slot *by = owner(s, tape[i], first, &alone);
        s->of[i - first] = alone ? by : NULL;
        if (!s->of[i - first] && !add_node(s, tape[i], by)) return false;
    }
    return true;
}

/* Parameters that the run did not come by. */
static bool add_unused(summary *s)
{
    for (size_t i = 0; i < gr__array_length(s->m->params); i++) {
        const char *name = s->m->params[i]->name;
        if (s->counted[i]) continue;
        line l = { .name = name,
            .name_length = layer_length(name),
            .op = { "(not used)" },
            .ops = 1,
            .shape.rank = -1 };
        l.params = take_params(s, name, l.name_length);
        if (!gr__array_push(&s->lines, &l, sizeof l))
            return gr__fail_memory("model_format", sizeof l);
    }
    return true;
}

/* The input counts as a parameter, so that ops before the first layer are recorded too. */
static bool summary_run(summary *s, gr_model *m, gr_forward *forward, const gr_shape *input)
{
    gr_step step = gr_step_begin();
    if (step.depth == 0) return false;
    bool        recorded = gr_set_recording(true), eval = m->eval;
    gr__thread *me = gr__self();
    size_t      first = gr__array_length(me->tape);
    gr_tensor  *x = gr_param(gr_zeros(*input));
    m->eval = true;
    bool good = x && (forward(m, x) ||
                         gr__fail(GR_ERR_ARGUMENT, "model_format: the forward function gave NULL"));
    m->eval = eval;
    gr_set_recording(recorded);
    if (good) {
        s->of = calloc(gr__array_length(me->tape) - first + 1, sizeof *s->of);
        s->counted = calloc(gr__array_length(m->params) + 1, sizeof *s->counted);
        good = (s->of && s->counted) || gr__fail_memory("model_format", sizeof *s->of);
    }
    good = good && add_tape(s, me->tape, first) && add_unused(s);
    free(s->of);
    free(s->counted);
    gr_step_end(&step);
    return good;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* 61706 as "61,706". */
static const char *grouped(char to[SUMMARY_NUMBER], int64_t n)
{
    char digits[SUMMARY_NUMBER];
    int  length = snprintf(digits, sizeof digits, "%lld", (long long)n), k = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) to[k++] = ',';
        to[k++] = digits[i];
    }
    to[k] = '\0';
    return to;
}

typedef struct cells {
    char op[MOST_OPS * (40 + sizeof(gr__attributes_text))], params[SUMMARY_NUMBER],
        flops[SUMMARY_NUMBER];
    char shape[sizeof(gr__text)];
} cells;

static cells cells_of(const line *l)
{
    cells c = { "", "", "", "" };
    int   n = 0;
    for (int i = 0; i < l->ops; i++)
        n += snprintf(c.op + n, sizeof c.op - (size_t)n,
            l->settings[i].s[0] ? "%s%.30s (%s)" : "%s%.30s", i ? ", " : "", l->op[i],
            l->settings[i].s);
    if (l->shape.rank >= 0) memcpy(c.shape, gr__shape_text(&l->shape).s, sizeof c.shape);
    if (l->params > 0) grouped(c.params, l->params);
    grouped(c.flops, l->flops);
    return c;
}

/* A page that is measured first (to NULL) and then written. */
typedef struct summary_page {
    char  *to;
    size_t length, size;
    int    name, op, shape, params, flops; /* the columns' widths */
} summary_page;

__attribute__((format(printf, 2, 3))) static void summary_put(
    summary_page *p, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(p->to ? p->to + p->length : NULL, p->size - p->length * !!p->to, format, ap);
    va_end(ap);
    p->length += n > 0 ? (size_t)n : 0;
}

static void summary_put_row(summary_page *p, const char *name, int name_length, const char *op,
    const char *shape, const char *params, const char *flops)
{
    summary_put(p, "%-*.*s  %-*s  %-*s  %*s  %*s\n", p->name, name_length, name, p->op, op,
        p->shape, shape, p->params, params, p->flops, flops);
}

static void put_rule(summary_page *p)
{
    for (int i = p->name + p->op + p->shape + p->params + p->flops + 8; i > 0; i--)
        summary_put(p, "-");
    summary_put(p, "\n");
}

static int wider(int width, size_t other) { return (int)other > width ? (int)other : width; }

static void measure_columns(summary_page *p, const summary *s, const cells *total)
{
    *p = (summary_page){ .name = 5,
        .op = 5,
        .shape = 6,
        .params = wider(10, strlen(total->params)),
        .flops = wider(5, strlen(total->flops)) };
    for (size_t i = 0; i < gr__array_length(s->lines); i++) {
        cells c = cells_of(&s->lines[i]);
        p->name = wider(p->name, (size_t)s->lines[i].name_length);
        p->op = wider(p->op, strlen(c.op));
        p->shape = wider(p->shape, strlen(c.shape));
    }
}

static void put_notes(summary_page *p, const summary *s)
{
    int64_t params = 0, frozen = 0, buffers = 0;
    char    text[SUMMARY_NUMBER];
    for (size_t i = 0; i < gr__array_length(s->m->params); i++) {
        const gr_tensor *t = s->m->params[i]->t;
        params += t->count;
        frozen += t->param ? 0 : t->count;
    }
    for (size_t i = 0; i < gr__array_length(s->m->buffers); i++)
        buffers += s->m->buffers[i]->t->count;
    double kib = (double)params * sizeof(gr_real) / 1024;
    summary_put(p, "%s parameter%s, %.1f %s", grouped(text, params), params == 1 ? "" : "s",
        kib < 1024 ? kib : kib / 1024, kib < 1024 ? "KiB" : "MiB");
    if (frozen) summary_put(p, "; %s frozen", grouped(text, frozen));
    if (buffers) summary_put(p, "; %s in buffers", grouped(text, buffers));
    summary_put(p,
        "\nFLOPs: 2 per multiply-add, without bias and activation; other ops: 1 per number read "
        "or written\n");
}

static void put_page(summary_page *p, const summary *s, const cells *total, const gr_shape *input)
{
    summary_put_row(p, "layer", 5, "op", "output", "parameters", "FLOPs");
    put_rule(p);
    summary_put(p, "%*s  %-*s  %s\n", p->name, "", p->op, "input", gr__shape_text(input).s);
    for (size_t i = 0; i < gr__array_length(s->lines); i++) {
        const line *l = &s->lines[i];
        cells       c = cells_of(l);
        summary_put_row(p, l->name, l->name_length, c.op, c.shape, c.params, c.flops);
    }
    put_rule(p);
    summary_put_row(p, "total", 5, "", "", total->params, total->flops);
    put_notes(p, s);
}

static const char *text_of(const summary *s, const gr_shape *input)
{
    line         all = { .shape.rank = -1 };
    summary_page p;
    for (size_t i = 0; i < gr__array_length(s->lines); i++) {
        all.params += s->lines[i].params;
        all.flops += s->lines[i].flops;
    }
    cells total = cells_of(&all);
    measure_columns(&p, s, &total);
    p.shape = wider(p.shape, strlen(gr__shape_text(input).s));
    put_page(&p, s, &total, input);
    p.size = p.length + 1;
    p.to = gr__string(p.size);
    p.length = 0;
    if (p.to) put_page(&p, s, &total, input);
    return p.to;
}

const char *gr_model_format_(gr_model_format_options o)
{
    gr_model *m = o.model;
    if (!gr__model_built(m, "model_format")) return NULL;
    gr_forward *forward = o.forward ? o.forward : m->forward;
    gr_shape    input = o.forward || o.input.rank ? o.input : m->input;
    if (!forward) {
        gr__fail(GR_ERR_ARGUMENT,
            "model_format: the model is of gr_model_new: .forward and .input wanted");
        return NULL;
    }
    summary     s = { .m = m };
    const char *text = summary_run(&s, m, forward, &input) ? text_of(&s, &input) : NULL;
    gr__array_free(&s.lines);
    return text;
}

void gr_model_print_(gr_model_format_options o)
{
    GR_STEP;
    const char *text = gr_model_format_(o);
    if (text) fputs(text, stdout);
}
