/* graph.c: the part of the tape between a loss and the tensors it depends on, with all gradients.

   Invariant: the run is not changed: gr_grad_of returns the same gradients as before, the history
   is kept, and nothing is recorded. */
#include "inspect/inspect.h"
#include "ops/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- collecting ---------------------------------------------------------- */

static bool on_tape(const gr__pass *p, const gr__node *nd)
{
    return nd && nd->index >= p->root->reach && nd->index <= p->root->index &&
           p->me->tape[nd->index] == nd;
}

/* The place of t in tensors, which the map's goals have as well. */
static bool place_of(gr__graph *gr, gr_tensor *t, size_t *place)
{
    if (!gr__pass_goal(&gr->map, t)) {
        gr__graph_tensor new = { .t = t, .g = NULL };
        if (!gr__array_push(&gr->tensors, &new, sizeof new))
            return gr__fail_memory("graph", sizeof new);
        if (!gr__pass_add_goal(&gr->map, t)) return false;
    }
    *place = t->slot;
    return true;
}

static bool add_use(gr__graph *gr, gr__node *nd, int i, bool *reached)
{
    gr_tensor    *t = nd->in[i];
    gr__graph_use use = { .input = i,
        .flows = !gr__names(nd->op->constant, i) && (t->param || on_tape(&gr->map, t->node)) };
    if (!place_of(gr, t, &use.tensor)) return false;
    if (use.flows && on_tape(&gr->map, t->node))
        reached[t->node->index - gr->map.root->reach] = true;
    gr__graph_tensor *s = &gr->tensors[use.tensor];
    use.previous = s->last;
    if (!gr__array_push(&gr->uses, &use, sizeof use)) return gr__fail_memory("graph", sizeof use);
    s->last = gr__array_length(gr->uses);
    s->flows += use.flows;
    return true;
}

static bool add_operation(gr__graph *gr, gr__node *nd, bool *reached, const char *what)
{
    if (nd->used)
        return gr__fail(GR_ERR_GRAPH,
            "%s: the history of %s %s was used up by an earlier backward; keep it with "
            ".retain_graph",
            what, nd->name, GR__LABEL(nd->out));
    gr__graph_operation new = { .nd = nd, .uses = gr__array_length(gr->uses) };
    if (!place_of(gr, nd->out, &new.result)) return false;
    for (int i = 0; i < nd->n; i++)
        if ((nd->in[i]->name || !gr__names(nd->op->constant, i)) && !add_use(gr, nd, i, reached))
            return false;
    new.count = (int)(gr__array_length(gr->uses) - new.uses);
    return gr__array_push(&gr->operations, &new, sizeof new) ||
           gr__fail_memory("graph", sizeof new);
}

static void graph_number(gr__graph *gr)
{
    size_t n = gr__array_length(gr->operations);
    for (size_t k = 0; k < n; k++) {
        const gr__graph_operation *op = &gr->operations[k];
        gr->tensors[op->result].number = (int)(n - k);
        for (int i = 0; i < op->count; i++) gr->uses[op->uses + (size_t)i].number = (int)(n - k);
    }
}

static bool collect(gr__graph *gr, gr_tensor *loss, const char *what)
{
    size_t place;
    if (!loss->node) return place_of(gr, loss, &place); /* a parameter is its own loss */
    size_t nodes = gr->map.nodes;
    bool  *reached = gr__alloc(nodes);
    if (!reached) return gr__fail_memory(what, nodes);
    memset(reached, 0, nodes);
    reached[nodes - 1] = true;
    bool good = true;
    for (size_t i = nodes; good && i-- > 0;)
        if (reached[i])
            good = add_operation(gr, gr->map.me->tape[gr->map.root->reach + i], reached, what);
    gr__release(reached, nodes);
    if (good) graph_number(gr);
    return good;
}

/* ---- gradients ----------------------------------------------------------- */

static double norm_of(const gr_tensor *t)
{
    double sum = 0;
    for (int64_t i = 0; t->dtype == GR_REAL && i < t->count; i++)
        sum += (double)gr__reals(t)[i] * (double)gr__reals(t)[i];
    return sqrt(sum);
}

static bool find_gradients(gr__graph *gr, gr_tensor *loss, const char *what)
{
    size_t      n = gr__array_length(gr->tensors), bytes = 2 * n * sizeof(gr_tensor *);
    int         wanted = 0;
    gr_tensor **x = gr__alloc(bytes), **gx = x + n;
    if (!x) return gr__fail_memory(what, bytes);
    for (size_t i = 0; i < n; i++)
        if (gr->tensors[i].flows || gr->tensors[i].t == loss) x[wanted++] = gr->tensors[i].t;
    bool good = gr_grads(
        loss, x, wanted, gx, (gr_grad_options){ .retain_graph = true, .allow_unused = true });
    for (int i = 0, k = 0; good && k < wanted; i++)
        if (gr->tensors[i].t == x[k]) gr->tensors[i].g = gx[k++];
    gr__release(x, bytes);
    return good;
}

static void find_norms(gr__graph *gr)
{
    for (size_t i = 0; i < gr__array_length(gr->tensors); i++) {
        gr__graph_tensor *s = &gr->tensors[i];
        s->value_norm = norm_of(s->t);
        if (s->g) s->grad_norm = norm_of(s->g);
    }
}

gr_tensor *gr__graph_part(
    const gr__graph *gr, const gr__graph_operation *op, const gr__graph_use *use)
{
    gr__thread *me = gr__self();
    bool        no_grad = me->no_grad, in_vjp = me->in_vjp;
    gr_tensor  *g = gr__ref(
         gr->tensors[op->result].g); /* a second reference, so that no rule works in place on it */
    gr_shape shape = gr->tensors[use->tensor].t->shape;
    me->no_grad = me->in_vjp = true;
    op->nd->left = NULL;
    gr_tensor *gi = op->nd->op->vjp(op->nd, use->input, g);
    if (gi && op->nd->op->broadcasts && !gr__same_shape(&gi->shape, &shape))
        gi = gr__sum_to(gi, &shape);
    op->nd->left = NULL;
    me->no_grad = no_grad;
    me->in_vjp = in_vjp;
    gr__unref(g);
    return gi;
}

/* The gradient that flows back from one use of a tensor with several. */
static bool find_part(gr__graph *gr, const gr__graph_operation *op, gr__graph_use *use)
{
    const gr__graph_tensor *s = &gr->tensors[use->tensor];
    use->grad_norm = s->grad_norm;
    if (!use->flows || s->flows < 2) return true;
    gr_step    step = gr_step_begin();
    gr_tensor *gi = step.depth > 0 ? gr__graph_part(gr, op, use) : NULL;
    if (gi) use->grad_norm = norm_of(gi);
    gr_step_end(&step);
    return gi;
}

static bool find_parts(gr__graph *gr)
{
    bool good = true;
    for (size_t k = 0; good && k < gr__array_length(gr->operations); k++) {
        const gr__graph_operation *op = &gr->operations[k];
        for (int i = 0; good && i < op->count; i++)
            good = find_part(gr, op, &gr->uses[op->uses + (size_t)i]);
    }
    return good;
}

/* ---- the graph ----------------------------------------------------------- */

static bool is_loss(const gr_tensor *t, const char *what)
{
    if (!t) return gr__fail(GR_ERR_ARGUMENT, "%s: the loss is NULL", what);
    if (t->dtype != GR_REAL || !gr__tracked(t))
        return gr__fail(GR_ERR_GRAPH,
            "%s: the loss %s depends on no parameter, or was made without recording", what,
            GR__LABEL(t));
    if (t->count != 1)
        return gr__fail(
            GR_ERR_GRAPH, "%s: %s is not a scalar, as a loss must be", what, GR__LABEL(t));
    return gr__recorded_here(what, t);
}

bool gr__graph_make(gr__graph *gr, gr_tensor *loss, const char *what)
{
    *gr = (gr__graph){ .tensors = NULL };
    if (!is_loss(loss, what)) return false;
    gr->map = gr__pass_begin(loss);
    bool good = collect(gr, loss, what);
    gr__pass_end(&gr->map);
    if (!good || !find_gradients(gr, loss, what)) return false;
    find_norms(gr);
    return find_parts(gr);
}

void gr__graph_free(gr__graph *gr)
{
    gr__array_free(&gr->operations);
    gr__array_free(&gr->uses);
    gr__array_free(&gr->tensors);
}

/* ---- equations ----------------------------------------------------------- */
/* "y = a b; ga = g b, gb = g a": forward, then the rules of the inputs that have one, in their
   order. The rules may begin with a definition that they share: "with G = g act': ...". The last
   rule also serves all further inputs. */

static const char *rules_of(const gr__op *op)
{
    const char *s = strstr(op->equation, "; "), *shared;
    if (!s) return NULL;
    return strncmp(s, "; with ", 7) == 0 && (shared = strstr(s, ": ")) ? shared + 2 : s + 2;
}

gr__equation gr__equation_of_result(const gr__op *op)
{
    const char *rules = rules_of(op);
    return (gr__equation){ op->equation,
        rules ? (int)(rules - op->equation) - 2 : (int)strlen(op->equation) };
}

/* Where the rule that begins at s ends: before ", g" outside any bracket. */
static const char *rule_end(const char *s)
{
    for (int depth = 0; *s; s++) {
        depth += (*s == '(' || *s == '[') - (*s == ')' || *s == ']');
        if (depth == 0 && strncmp(s, ", g", 3) == 0) break;
    }
    return s;
}

gr__equation gr__equation_of_input(const gr__op *op, int i)
{
    const char *s = rules_of(op);
    if (!s || gr__names(op->constant, i)) return (gr__equation){ "", 0 };
    for (int k = 0; k < i; k++) {
        const char *end = rule_end(s);
        if (!gr__names(op->constant, k) && *end) s = end + 2;
    }
    return (gr__equation){ s, (int)(rule_end(s) - s) };
}
