/* dot.c: the graph as a file for Graphviz.

   Invariant: text from the user (names) is put between quotes by put_text alone; identifiers are
   numbers. */
#include "inspect/inspect.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct drawing {
    gr__page         page;
    const gr__graph *gr;
    gr__map         *clusters; /* a layer's name to its number */
    uintptr_t        count;
    gr__layer_name  *of;     /* of operation number i + 1 */
    int              beside; /* the last operation that a parameter stands beside */
} drawing;

/* ---- text ---------------------------------------------------------------- */

/* Between quotes: a backslash begins an escape there, an ampersand an HTML entity. */
static void put_text(gr__page *p, const char *s)
{
    for (; *s; s++) {
        if (*s == '&')
            gr__page_put(p, "&amp;");
        else
            gr__page_put(p, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
    }
}

/* ---- layers -------------------------------------------------------------- */

/* Opens the clusters of a layer and of the layers around it. Returns how many; below 0: no memory.
   A cluster may be opened several times. */
static int open_layers(drawing *d, const gr__layer_name *l)
{
    int depth = 0;
    gr__page_put(&d->page, "  ");
    for (int n = 1; n <= l->length; n++) {
        if (n < l->length && l->s[n] != '.') continue;
        const char *name = gr_name("%.*s", n, l->s);
        if (!name) return -1;
        uintptr_t id = (uintptr_t)gr__map_get(d->clusters, name);
        if (!id && !gr__map_put(d->clusters, name, (void *)(id = ++d->count)))
            return gr__fail_memory("trace_dot", (size_t)n) - 1;
        gr__page_put(&d->page, "subgraph cluster_%zu { label=\"", (size_t)id);
        put_text(&d->page, gr__display_of(name).s);
        gr__page_put(&d->page, "\"; ");
        depth++;
    }
    return depth;
}

static void close_layers(drawing *d, int depth)
{
    while (depth-- > 0) gr__page_put(&d->page, " }");
    gr__page_put(&d->page, "\n");
}

/* ---- nodes and edges ----------------------------------------------------- */

static bool dot_put_operation(drawing *d, const gr__graph_operation *op)
{
    const gr__graph_tensor *s = &d->gr->tensors[op->result];
    int                     depth = open_layers(d, &d->of[s->number - 1]);
    if (depth < 0) return false;
    gr__page_put(&d->page, "o%d [label=\"", s->number);
    put_text(&d->page, op->nd->name);
    if (s->t->name) {
        gr__page_put(&d->page, "\\n");
        put_text(&d->page, gr__display_of(s->t->name).s);
    }
    gr__page_put(&d->page, "\\n|g| %.3g\", tooltip=\"#%d: ", s->grad_norm, s->number);
    put_text(&d->page, op->nd->op->equation);
    gr__page_put(&d->page, "\"%s];",
        s->number == (int)gr__array_length(d->gr->operations) ? ", penwidth=2" : "");
    close_layers(d, depth);
    return true;
}

static bool dot_put_leaf(drawing *d, size_t at)
{
    const gr__graph_tensor *s = &d->gr->tensors[at];
    gr__layer_name          l = gr__layer_name_of_leaf(s);
    int                     depth = open_layers(d, &l);
    if (depth < 0) return false;
    gr__page_put(&d->page, "t%zu [label=\"", at);
    if (s->t->name)
        put_text(&d->page, gr__display_of(s->t->name + l.length + (l.length > 0)).s);
    else if (s->t->count == 1 && s->t->dtype == GR_REAL)
        gr__page_put(&d->page, "%.4g", (double)gr__reals(s->t)[0]);
    else
        gr__page_put(&d->page, "%s", s->g ? "parameter" : "constant");
    if (s->g)
        gr__page_put(&d->page, "\\n|g| %.3g\", style=\"filled,rounded\", fillcolor=\"#dcefdc\"];",
            s->grad_norm);
    else
        gr__page_put(&d->page, "\", shape=plaintext, style=\"\"];");
    close_layers(d, depth);
    return true;
}

/* A parameter of one operation stands beside it, in the same cluster, so that edges between
   clusters run straight down. */
static bool stands_beside(const drawing *d, const gr__graph_use *use)
{
    const gr__graph_tensor *s = &d->gr->tensors[use->tensor];
    gr__layer_name          l = gr__layer_name_of_leaf(s), of = d->of[use->number - 1];
    return !s->number && s->flows == 1 && l.length > 0 && of.own && of.length == l.length &&
           strncmp(of.s, l.s, (size_t)l.length) == 0;
}

/* The edge of a use. If the tensor has several uses, its label has the norm of the gradient of this
   one. A reversed edge has its operation on the left. */
static bool put_edge(drawing *d, const gr__graph_use *use)
{
    const gr__graph_tensor *s = &d->gr->tensors[use->tensor];
    bool beside = stands_beside(d, use), backwards = beside && d->beside == use->number;
    char from[32];
    if (beside) {
        int depth = open_layers(d, &d->of[use->number - 1]);
        if (depth < 0) return false;
        gr__page_put(&d->page, "{ rank=same; t%zu; o%d; }", use->tensor, use->number);
        close_layers(d, depth);
        d->beside = use->number;
    }
    snprintf(from, sizeof from, s->number ? "o%zu" : "t%zu",
        s->number ? (size_t)s->number : use->tensor);
    if (backwards)
        gr__page_put(
            &d->page, "  o%d -> %s [dir=back, label=\" %s", use->number, from, GR__TEXT(s->t));
    else
        gr__page_put(&d->page, "  %s -> o%d [label=\" %s", from, use->number, GR__TEXT(s->t));
    if (use->flows && s->flows > 1) gr__page_put(&d->page, "\\n |g| %.3g", use->grad_norm);
    gr__page_put(
        &d->page, "\"%s%s];\n", use->flows ? "" : ", style=dashed", s->number ? ", weight=9" : "");
    return true;
}

static bool draw(drawing *d, bool sideways)
{
    const gr__graph *gr = d->gr;
    bool             good = true;
    gr__page_put(&d->page,
        "digraph backward {\n"
        "  graph [rankdir=%s, fontname=\"Helvetica\", fontsize=11, color=\"#8899aa\", "
        "style=rounded, labeljust=l];\n"
        "  node [shape=box, style=filled, fillcolor=\"#e8eef8\", color=\"#556677\", "
        "fontname=\"Helvetica\", fontsize=11, height=0.3];\n"
        "  edge [color=\"#556677\", fontname=\"Helvetica\", fontsize=9, arrowsize=0.6];\n",
        sideways ? "LR" : "TB");
    for (size_t k = gr__array_length(gr->operations); good && k-- > 0;)
        good = dot_put_operation(d, &gr->operations[k]);
    for (size_t i = 0; good && i < gr__array_length(gr->tensors); i++)
        good = gr->tensors[i].number || dot_put_leaf(d, i);
    for (size_t i = 0; good && i < gr__array_length(gr->uses); i++)
        good = put_edge(d, &gr->uses[i]);
    gr__page_put(&d->page, "}\n");
    return good && d->page.good;
}

static bool trace(const gr__graph *gr, const gr_trace_dot_options *o)
{
    size_t  bytes = gr__array_length(gr->operations) * sizeof(gr__layer_name);
    drawing d = {
        .gr = gr, .clusters = gr__map_new(), .of = gr__alloc(bytes + 1), .page = gr__page_begin()
    };
    bool good = (d.clusters && d.of) || gr__fail_memory("trace_dot", bytes);
    if (good) gr__layer_names_of(gr, d.of);
    good = good && d.page.good && draw(&d, o->sideways) && gr__page_write(&d.page, o->path);
    gr__page_end(&d.page);
    gr__release(d.of, bytes + 1);
    gr__map_free(d.clusters);
    return good;
}

bool gr_trace_dot_(gr_tensor *loss, gr_trace_dot_options o)
{
    gr_step   step = gr_step_begin();
    gr__graph gr = { .tensors = NULL };
    bool      good = step.depth > 0 && gr__graph_make(&gr, loss, "trace_dot") && trace(&gr, &o);
    gr__graph_free(&gr);
    gr_step_end(&step);
    return good;
}
