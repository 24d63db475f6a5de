/* pass.c: the whole pass, forward and backward, as a page of HTML.

   The page's data are one object: the tensors of the graph, and its operations in the order they
   ran, which refer to tensors by their index. pass.js displays them. */
#include "inspect/inspect.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

static const char what[] = "trace_html";

typedef struct passage {
    gr__page         page;
    const gr__graph *gr;
    gr__sample       sample;
    gr__layer_name  *of; /* of operation number i + 1 */
} passage;

/* ---- tensors ------------------------------------------------------------- */

static double at(const gr_tensor *t, int64_t i)
{
    return t->dtype == GR_REAL ? (double)gr__reals(t)[i] : gr__ints(t)[i];
}

/* Statistics of all elements, not of those alone that are kept. */
static void put_stats(gr__page *p, const gr_tensor *t)
{
    double low = INFINITY, high = -INFINITY, sum = 0;
    for (int64_t i = 0; i < t->count; i++) {
        double x = at(t, i);
        low = x < low ? x : low;
        high = x > high ? x : high;
        sum += x;
    }
    gr__json_number(p, "min", low);
    gr__json_number(p, "mean", sum / (double)t->count);
    gr__json_number(p, "max", high);
}

/* The elements of the box that is kept. */
static bool put_kept(gr__page *p, const char *key, const gr_tensor *t, const gr_shape *kept)
{
    int64_t  n = gr__count(kept), stride[GR_MAX_DIMS];
    size_t   bytes = (size_t)n * sizeof(gr_real);
    gr_real *x = gr__alloc(bytes + 1);
    if (!x) return gr__fail_memory(what, bytes);
    gr__strides(&t->shape, stride);
    for (int64_t i = 0; i < n; i++) {
        int64_t from = 0;
        for (int64_t d = kept->rank, rest = i; d-- > 0; rest /= kept->dim[d])
            from += rest % kept->dim[d] * stride[d];
        x[i] = (gr_real)at(t, from);
    }
    gr__json_reals(p, key, x, n);
    gr__release(x, bytes + 1);
    return p->good;
}

static bool put_numbers(
    passage *d, const char *key, const gr_tensor *t, const gr_shape *kept, double norm)
{
    gr__json_open(&d->page, key, '{');
    gr__json_number(&d->page, "norm", norm);
    put_stats(&d->page, t);
    bool good = put_kept(&d->page, "x", t, kept);
    gr__json_close(&d->page, '}');
    return good;
}

static bool pass_put_tensor(passage *d, const gr__graph_tensor *s)
{
    gr__page *p = &d->page;
    gr_shape  kept = gr__sample_kept(&d->sample, s->t);
    gr__json_open(p, NULL, '{');
    gr__json_text(p, "name", s->t->name ? gr__display_of(s->t->name).s : NULL);
    gr__json_shape(p, "shape", &s->t->shape);
    gr__json_shape(p, "kept", &kept);
    gr__json_number(p, "number", s->number);
    gr__json_number(p, "param", s->t->param);
    gr__json_number(p, "ints", s->t->dtype == GR_INT32);
    gr__json_number(p, "flows", s->flows);
    bool good = put_numbers(d, "v", s->t, &kept, s->value_norm) &&
                (!s->g || put_numbers(d, "g", s->g, &kept, s->grad_norm));
    gr__json_close(p, '}');
    return good;
}

/* ---- convolutions -------------------------------------------------------- */

static bool put_rest(gr__page *p, const char *key, const gr__terms *t, gr__terms_target of)
{
    if (gr__terms_whole(t, of)) return true;
    int64_t  n = gr__count(&t->kept[of]);
    size_t   bytes = (size_t)n * (sizeof(double) + sizeof(gr_real));
    double  *rest = gr__alloc(bytes + 1);
    gr_real *x = (gr_real *)(rest + n);
    if (!rest) return gr__fail_memory(what, bytes);
    gr__terms_rest(t, of, rest);
    for (int64_t i = 0; i < n; i++) x[i] = (gr_real)rest[i];
    gr__json_reals(p, key, x, n);
    gr__release(rest, bytes + 1);
    return true;
}

/* The gradient that flows back from this use, of an input that has several. */
static bool pass_put_part(passage *d, const char *key, const gr__graph_operation *op, int i)
{
    const gr__graph_use    *use = &d->gr->uses[op->uses + (size_t)i];
    const gr__graph_tensor *s = &d->gr->tensors[use->tensor];
    if (!use->flows || s->flows < 2) return true;
    gr_shape   kept = gr__sample_kept(&d->sample, s->t);
    gr_tensor *g = gr__graph_part(d->gr, op, use);
    return g && put_kept(&d->page, key, g, &kept);
}

/* The gradient of the sums, before the activation. */
static gr_tensor *gradient_of_sums(const gr__graph_operation *op, gr_act act, gr_tensor *g)
{
    gr__thread *me = gr__self();
    bool        no_grad = me->no_grad;
    me->no_grad = true;
    gr_tensor *u = gr__act_grad(act, op->nd->out, g);
    me->no_grad = no_grad;
    return u;
}

static bool put_conv(passage *d, const gr__graph_operation *op, const gr__conv *c, gr_act act)
{
    gr__page  *p = &d->page;
    gr_tensor *u = gradient_of_sums(op, act, d->gr->tensors[op->result].g);
    if (!u) return false;
    gr__terms t = {
        .c = *c, .x = gr__reals(op->nd->in[0]), .k = gr__reals(op->nd->in[1]), .u = gr__reals(u)
    };
    t.kept[GR__TERMS_OF_X] = gr__sample_kept(&d->sample, op->nd->in[0]);
    t.kept[GR__TERMS_OF_K] = gr__sample_kept(&d->sample, op->nd->in[1]);
    t.kept[GR__TERMS_OF_Y] = gr__sample_kept(&d->sample, op->nd->out);
    gr__json_open(p, "conv", '{');
    bool good = pass_put_part(d, "gx", op, 0) && pass_put_part(d, "gk", op, 1) &&
                put_rest(p, "restX", &t, GR__TERMS_OF_X) &&
                put_rest(p, "restK", &t, GR__TERMS_OF_K) &&
                put_rest(p, "restY", &t, GR__TERMS_OF_Y);
    gr__json_close(p, '}');
    return good;
}

/* ---- operations ---------------------------------------------------------- */

static void pass_put_piece(passage *d, const char *key, gr__equation piece)
{
    const char *s = gr_name("%.*s", piece.length, piece.s);
    if (!s) d->page.good = false;
    if (s) gr__json_text(&d->page, key, s);
}

static void pass_put_use(passage *d, const gr__graph_operation *op, const gr__graph_use *use)
{
    gr__json_open(&d->page, NULL, '{');
    gr__json_number(&d->page, "t", (double)use->tensor);
    gr__json_number(&d->page, "flows", use->flows);
    if (use->flows) {
        gr__json_number(&d->page, "norm", use->grad_norm);
        pass_put_piece(d, "rule", gr__equation_of_input(op->nd->op, use->input));
    }
    gr__json_close(&d->page, '}');
}

/* As numbers, lists and names; and the unusual ones as text. */
static void put_attributes(gr__page *p, const gr__node *nd)
{
    double v[GR_MAX_DIMS];
    gr__json_open(p, "attributes", '{');
    for (const gr__attribute *a = nd->op->attributes; a && a->name; a++) {
        int      n = gr__attribute_values(nd, a, v);
        gr_shape list = { .rank = n };
        for (int i = 0; i < n && a->kind >= GR__HW; i++) list.dim[i] = (int64_t)v[i];
        if (a->kind == GR__CHOICE)
            gr__json_text(p, a->name, a->choices[(unsigned)v[0]]);
        else if (a->kind >= GR__HW)
            gr__json_shape(p, a->name, &list);
        else
            gr__json_number(p, a->name, v[0]);
    }
    gr__json_close(p, '}');
    gr__json_text(p, "settings", gr__attributes_of(nd).s);
}

static bool pass_put_operation(passage *d, const gr__graph_operation *op)
{
    gr__page       *p = &d->page;
    gr__layer_name *l = &d->of[d->gr->tensors[op->result].number - 1];
    gr_step         step = gr_step_begin();
    gr__conv        c;
    gr_act          act;
    bool            good = step.depth > 0;
    gr__json_open(p, NULL, '{');
    gr__json_text(p, "op", op->nd->name);
    const char *layer = gr_name("%.*s", l->length, l->s);
    good = good && layer;
    gr__json_text(p, "layer", layer ? gr__display_of(layer).s : NULL);
    put_attributes(p, op->nd);
    gr__json_number(p, "y", (double)op->result);
    pass_put_piece(d, "forward", gr__equation_of_result(op->nd->op));
    gr__json_open(p, "in", '[');
    for (int i = 0; i < op->count; i++) pass_put_use(d, op, &d->gr->uses[op->uses + (size_t)i]);
    gr__json_close(p, ']');
    if (good && gr__conv_of(op->nd, &c, &act)) good = put_conv(d, op, &c, act);
    gr__json_close(p, '}');
    gr_step_end(&step);
    return good;
}

/* ---- the page ------------------------------------------------------------ */

static void pass_put_sample(passage *d)
{
    gr__page *p = &d->page;
    gr__json_open(p, "sample", '{');
    gr__json_number(p, "images", (double)d->sample.images);
    gr__json_number(p, "channels", (double)d->sample.channels);
    gr__json_number(p, "side", (double)d->sample.side);
    gr__json_number(p, "length", (double)d->sample.length);
    gr__json_close(p, '}');
}

static bool pass_put_data(passage *d)
{
    const gr__graph *gr = d->gr;
    bool             good = true;
    gr__json_open(&d->page, NULL, '{');
    pass_put_sample(d);
    gr__json_open(&d->page, "tensors", '[');
    for (size_t i = 0; good && i < gr__array_length(gr->tensors); i++)
        good = pass_put_tensor(d, &gr->tensors[i]);
    gr__json_close(&d->page, ']');
    gr__json_open(&d->page, "operations", '[');
    for (size_t k = gr__array_length(gr->operations); good && k-- > 0;)
        good = pass_put_operation(d, &gr->operations[k]);
    gr__json_close(&d->page, ']');
    gr__json_close(&d->page, '}');
    return good;
}

static bool write_pass(const gr__graph *gr, const char *path)
{
    size_t  bytes = gr__array_length(gr->operations) * sizeof(gr__layer_name);
    passage d = { .gr = gr, .of = gr__alloc(bytes + 1), .page = gr__page_begin() };
    bool    good =
        (d.of || gr__fail_memory(what, bytes)) && d.page.good && gr__sample_of(&d.sample, gr, what);
    if (good) gr__layer_names_of(gr, d.of);
    if (good) gr__html_begin(&d.page, "Gradus: forward and backward", gr__pass_css, gr__pass_html);
    good = good && pass_put_data(&d);
    if (good) gr__html_end(&d.page, gr__pass_js);
    good = good && gr__page_write(&d.page, path);
    gr__page_end(&d.page);
    gr__release(d.of, bytes + 1);
    return good;
}

bool gr_trace_html(gr_tensor *loss, const char *path)
{
    gr_step   step = gr_step_begin();
    gr__graph gr = { .tensors = NULL };
    bool      good = step.depth > 0 && gr__graph_make(&gr, loss, what) && write_pass(&gr, path);
    gr__graph_free(&gr);
    gr_step_end(&step);
    return good;
}
