/* scan.c: backward is one traversal of the tape in reverse, called a scan.

   Append order is topological order: every use of a value stands above what made it. So a scan from
   the root down meets each node when its gradient is complete: it computes the vjp of each input
   that needs a gradient, and adds it to that input's slot.

   Invariants. Slots belong to the pass, so that passes may nest. A slot holds one reference; what
   it holds alone may be added to in place. Leaves are changed only after the whole scan has
   succeeded. Without create_graph nothing is recorded, and the intermediate results of a vjp are
   released before the next node. Without retain_graph a node releases what it held as soon as it
   has been visited. */
#include "autograd/autograd.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- goals ----------------------------------------------------------------------------------- */

gr__goal *gr__pass_goal(const gr__pass *p, const gr_tensor *t)
{
    return t->pass == p->id ? &p->goals[t->slot] : NULL;
}

bool gr__pass_add_goal(gr__pass *p, gr_tensor *t)
{
    gr__goal new = { .t = t, .was_pass = t->pass, .was_slot = t->slot };
    size_t at = gr__array_length(p->goals);
    if (!gr__array_push(&p->goals, &new, sizeof new))
        return gr__fail_memory("backward", sizeof new);
    gr__ref(t);
    t->pass = p->id;
    t->slot = at;
    return true;
}

/* Newest first, so that a tensor named twice gets back what it said at first. */
void gr__pass_end(gr__pass *p)
{
    for (size_t i = gr__array_length(p->goals); i-- > 0;) {
        gr__goal *go = &p->goals[i];
        go->t->pass = go->was_pass;
        go->t->slot = go->was_slot;
        gr__unref(go->g);
        gr__unref(go->t);
    }
    gr__array_truncate(p->goals, 0);
    if (p->me->spare)
        gr__array_free(&p->goals);
    else
        p->me->spare = p->goals;
}

/* ---- adding up ------------------------------------------------------------------------------- */

void gr__add_in_place(gr_tensor *to, const gr_tensor *g)
{
    gr__touch(to);
    gr__kernel_table()->add(gr__reals(to), gr__reals(to), 1, gr__reals(g), 1, to->count);
}

/* Puts g into an empty slot. What the rule has just made is taken from its step, so that the slot
   alone holds it. */
static void put_in(const gr__pass *p, gr_tensor **slot, gr_tensor *g)
{
    if (p->node_step && g->owner == p->node_step)
        gr__disown(g);
    else
        gr__ref(g);
    *slot = g;
}

/* Adds g to a slot, which then holds a reference of its own. */
static bool add_to(const gr__pass *p, gr_tensor **slot, gr_tensor *g)
{
    if (!*slot) {
        put_in(p, slot, g);
        return true;
    }
    if (!p->create && gr__sole(*slot)) {
        gr__add_in_place(*slot, g);
        return true;
    }
    gr_tensor *sum = gr_add(*slot, g);
    if (!sum) return false;
    gr__unref(*slot);
    put_in(p, slot, sum);
    return true;
}

static bool reachable(const gr__pass *p, const gr__node *nd)
{
    return nd && nd->index >= p->root->reach && nd->index <= p->root->index &&
           p->me->tape[nd->index] == nd;
}

/* Whether input i of a node wants a gradient in this pass. */
static bool wants(const gr__pass *p, const gr__node *nd, int i)
{
    const gr_tensor *t = nd->in[i];
    if (gr__names(nd->op->constant, i)) return false;
    if (reachable(p, t->node) && (!p->wanted || p->wanted[t->node->index - p->root->reach]))
        return true;
    return gr__pass_goal(p, t) || (p->leaves && t->param);
}

static bool deliver(gr__pass *p, gr_tensor *t, gr_tensor *g)
{
    if (reachable(p, t->node) && (!p->wanted || p->wanted[t->node->index - p->root->reach]))
        return add_to(p, &p->slot[t->node->index - p->root->reach], g);
    if (!gr__pass_goal(p, t) && !gr__pass_add_goal(p, t)) return false;
    return add_to(p, &gr__pass_goal(p, t)->g, g);
}

/* ---- one node -------------------------------------------------------------------------------- */

static bool unchanged(const gr__node *nd)
{
    for (int i = 0; i <= nd->n; i++) {
        const gr_tensor *t = i < nd->n ? nd->in[i] : nd->out;
        if (gr__version_of(t) != nd->version[i])
            return gr__fail(GR_ERR_GRAPH, "backward: %s %s of %s was changed after it was recorded",
                i < nd->n ? "an input" : "the result", GR__TEXT(t), nd->name);
    }
    return true;
}

static bool scan_all_finite(const gr__node *nd, int i, const gr_tensor *g)
{
    const gr_real *v = gr__reals(g);
    for (int64_t e = 0; e < g->count; e++)
        if (!isfinite(v[e]))
            return gr__fail(GR_ERR_NUMBER,
                "%s: backward gave %g at element %lld of the gradient of input %d %s", nd->name,
                (double)v[e], (long long)e, i + 1, GR__LABEL(nd->in[i]));
    return true;
}

static bool input_gradient(gr__pass *p, gr__node *nd, int i, gr_tensor *g)
{
    const gr_shape *shape = &nd->in[i]->shape;
    gr_tensor      *gi = nd->op->vjp(nd, i, g);
    if (gi && nd->op->broadcasts && !gr__same_shape(&gi->shape, shape)) gi = gr__sum_to(gi, shape);
    if (!gi)
        return gr__fail(
            GR_ERR_GRAPH, "backward: %s gave no gradient for input %d", nd->name, i + 1);
    if (!gr__same_shape(&gi->shape, shape))
        return gr__fail(GR_ERR_GRAPH, "backward: %s gave a gradient %s for input %d %s", nd->name,
            GR__TEXT(gi), i + 1, gr__shape_text(shape).s);
    return (!p->me->anomaly || scan_all_finite(nd, i, gi)) && deliver(p, nd->in[i], gi);
}

static bool visit(gr__pass *p, gr__node *nd, gr_tensor *g)
{
    gr__goal *asked = gr__pass_goal(p, nd->out);
    if (asked || (p->leaves && nd->out->retain_grad)) {
        if (!asked && !gr__pass_add_goal(p, nd->out)) return false;
        if (!add_to(p, &gr__pass_goal(p, nd->out)->g, g)) return false;
    }
    if (asked && !p->leaves && gr__array_length(p->goals) == 1)
        return true; /* nothing below is asked for, so what has become of it does not matter */
    if (nd->used)
        return gr__fail(GR_ERR_GRAPH,
            "backward: the history of %s %s was used up by an earlier backward; keep it with "
            ".retain_graph",
            nd->name, GR__TEXT(nd->out));
    if (!unchanged(nd)) return false;
    gr_step step = p->create ? (gr_step){ 0 } : gr_step_begin();
    bool    good = p->create || step.depth > 0;
    p->node_step = p->create ? NULL : p->me->step;
    nd->left = NULL;
    for (int i = 0; good && i < nd->n; i++) good = !wants(p, nd, i) || input_gradient(p, nd, i, g);
    nd->left = NULL;
    p->node_step = NULL;
    gr_step_end(&step);
    if (good && !p->retain) gr__node_use_up(nd);
    return good;
}

static bool scan_scan(gr__pass *p)
{
    bool recording = p->me->no_grad, in_vjp = p->me->in_vjp, good = true;
    p->me->no_grad = !p->create;
    p->me->in_vjp = true;
    for (size_t i = p->nodes; good && i-- > 0;) {
        gr_tensor *g = p->slot[i];
        gr__node  *nd = p->me->tape[p->root->reach + i];
        p->slot[i] = NULL;
        if (g) good = gr__pass_hooks(p, nd->out, &g) && visit(p, nd, g);
        gr__unref(g);
    }
    for (size_t i = 0; good && i < gr__array_length(p->goals); i++) {
        gr__goal *go = &p->goals[i];
        if (go->g && !reachable(p, go->t->node)) good = gr__pass_hooks(p, go->t, &go->g);
    }
    p->me->no_grad = recording;
    p->me->in_vjp = in_vjp;
    return good;
}

/* ---- a pass ---------------------------------------------------------------------------------- */

static void mark_wanted(gr__pass *p)
{
    for (size_t i = 0; i < p->nodes; i++) {
        const gr__node *nd = p->me->tape[p->root->reach + i];
        /* used: no longer known whether on a path, an error if it is met */
        p->wanted[i] = gr__pass_goal(p, nd->out) || nd->used;
        for (int k = 0; k < nd->n && !p->wanted[i]; k++) p->wanted[i] = wants(p, nd, k);
    }
}

static bool scan_seed(gr__pass *p, gr_tensor *y, gr_tensor *grad_output)
{
    if (!grad_output && y->count != 1)
        return gr__fail(GR_ERR_GRAPH,
            "backward: %s is not one number; a loss is, or give its gradient as .grad_output",
            GR__TEXT(y));
    if (grad_output &&
        (grad_output->dtype != GR_REAL || !gr__same_shape(&grad_output->shape, &y->shape)))
        return gr__fail(GR_ERR_GRAPH, "backward: the result is %s, .grad_output %s", GR__TEXT(y),
            GR__TEXT(grad_output));
    gr_tensor *g = grad_output ? gr__ref(grad_output) : gr__tensor(GR_REAL, &y->shape, "backward");
    if (!g) return false;
    if (!grad_output) gr__reals(g)[0] = 1;
    /* a rule may record it, or hand it on as it is */
    if (p->create && !grad_output) gr__own(gr__ref(g));
    bool good = deliver(p, y, g);
    gr__unref(g);
    return good;
}

/* Slots, marks, the scan. */
bool gr__pass_run(gr__pass *p, gr_tensor *y, gr_tensor *grad_output)
{
    bool   marks = !p->leaves;
    size_t bytes = p->nodes * sizeof *p->slot, mark_bytes = marks ? p->nodes : 0;
    if (p->nodes > 0) {
        p->slot = gr__alloc(bytes);
        p->wanted = marks ? gr__alloc(mark_bytes) : NULL;
        if (!p->slot || (marks && !p->wanted)) {
            gr__release(p->slot, bytes);
            gr__release(p->wanted, mark_bytes);
            return gr__fail_memory("backward", bytes);
        }
        memset(p->slot, 0, bytes);
        if (marks) mark_wanted(p);
    }
    bool good = scan_seed(p, y, grad_output) && scan_scan(p);
    for (size_t i = 0; i < p->nodes; i++) gr__unref(p->slot[i]);
    gr__release(p->slot, bytes);
    gr__release(p->wanted, mark_bytes);
    return good;
}

gr__pass gr__pass_begin(const gr_tensor *y)
{
    gr__thread                 *me = gr__self();
    /* tensors that threads share must not take one's pass for another's */
    static atomic_uint_fast64_t passes;
    static gr__node             none = { .index = 0, .reach = 1 };
    gr__pass                    p = { .me = me, .root = y->node ? y->node : &none };
    p.id = atomic_fetch_add(&passes, 1) + 1;
    p.goals = me->spare;
    me->spare = NULL;
    p.nodes = y->node ? y->node->index - y->node->reach + 1 : 0;
    return p;
}
