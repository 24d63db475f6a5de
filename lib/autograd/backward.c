/* backward.c: one scan down the tape.

   Append order is topological order: every use of a value stands above what made it. So a scan from the root down meets each node when
   its gradient is complete: it asks the node's rule for the gradient of each input that wants one, and adds it to that input's slot.

   Invariants. Slots belong to the pass, so that passes may nest. A slot holds one reference; what it holds alone may be added to in
   place. Leaves are changed only after the whole scan has succeeded. Without create_graph nothing is recorded, and what a rule makes on
   its way is released before the next node. Without retain_graph a node lets go of what it held as soon as it has been visited. */
#include "core/core.h"
#include "ops/ops.h"
#include "gradus/autograd.h"

#include <math.h>
#include <string.h>

/* A tensor whose gradient the pass was started for, or a leaf that it came by. */
typedef struct goal {
    gr_tensor *t;
    gr_tensor *g;        /* the gradient so far, or NULL */
    uint64_t   was_pass; /* what t said before: a pass may nest in another */
    size_t     was_slot;
} goal;

typedef struct pass {
    gr__thread *me;
    uint64_t    id;
    gr__node   *root;
    gr_tensor **slot;   /* of node i: slot[i - root->reach] */
    bool       *wanted; /* of node i, for gr_grads: on a path to a goal; NULL: every node */
    size_t      nodes;
    goal       *goals;  /* stb_ds array */
    gr__step   *node_step; /* the step of the node being visited; NULL with create_graph */
    bool        leaves; /* every parameter met is a goal */
    bool        create, retain;
} pass;

/* ---- goals --------------------------------------------------------------------------------------------------------------------- */

static goal *goal_of(const pass *p, const gr_tensor *t)
{
    return t->pass == p->id ? &p->goals[t->slot] : NULL;
}

static bool add_goal(pass *p, gr_tensor *t)
{
    goal new = { .t = t, .was_pass = t->pass, .was_slot = t->slot };
    size_t at = gr__length(p->goals);
    if (!gr__push(&p->goals, &new, sizeof new))
        return gr__fail_memory("backward", sizeof new);
    gr__ref(t);
    t->pass = p->id;
    t->slot = at;
    return true;
}

/* Newest first, so that a tensor named twice gets back what it said at first. */
static void forget_goals(pass *p)
{
    for (size_t i = gr__length(p->goals); i-- > 0;) {
        goal *go = &p->goals[i];
        go->t->pass = go->was_pass;
        go->t->slot = go->was_slot;
        gr__unref(go->g);
        gr__unref(go->t);
    }
    gr__drop(&p->goals);
}

/* ---- adding up ------------------------------------------------------------------------------------------------------------------- */

static void add_in_place(gr_tensor *to, const gr_tensor *g)
{
    gr__touch(to);
    gr__k()->add(gr__reals(to), gr__reals(to), 1, gr__reals(g), 1, to->count);
}

/* Puts g into an empty slot. What the rule has just made is taken from its step, so that the slot alone holds it. */
static void put_in(const pass *p, gr_tensor **slot, gr_tensor *g)
{
    if (p->node_step && g->owner == p->node_step)
        gr__disown(g);
    else
        gr__ref(g);
    *slot = g;
}

/* Adds g to a slot, which then holds a reference of its own. */
static bool add_to(const pass *p, gr_tensor **slot, gr_tensor *g)
{
    if (!*slot) {
        put_in(p, slot, g);
        return true;
    }
    if (!p->create && gr__sole(*slot)) {
        add_in_place(*slot, g);
        return true;
    }
    gr_tensor *sum = gr_add(*slot, g);
    if (!sum)
        return false;
    gr__unref(*slot);
    put_in(p, slot, sum);
    return true;
}

static bool reachable(const pass *p, const gr__node *nd)
{
    return nd && nd->index >= p->root->reach && nd->index <= p->root->index && p->me->tape[nd->index] == nd;
}

/* Whether input i of a node wants a gradient in this pass. */
static bool wants(const pass *p, const gr__node *nd, int i)
{
    const gr_tensor *t = nd->in[i];
    if (nd->op->constant >> i & 1)
        return false;
    if (reachable(p, t->node) && (!p->wanted || p->wanted[t->node->index - p->root->reach]))
        return true;
    return goal_of(p, t) || (p->leaves && t->param);
}

static bool deliver(pass *p, gr_tensor *t, gr_tensor *g)
{
    if (reachable(p, t->node) && (!p->wanted || p->wanted[t->node->index - p->root->reach]))
        return add_to(p, &p->slot[t->node->index - p->root->reach], g);
    if (!goal_of(p, t) && !add_goal(p, t))
        return false;
    return add_to(p, &goal_of(p, t)->g, g);
}

/* ---- one node ------------------------------------------------------------------------------------------------------------------------ */

static bool unchanged(const gr__node *nd)
{
    for (int i = 0; i <= nd->n; i++) {
        const gr_tensor *t = i < nd->n ? nd->in[i] : nd->out;
        if (gr__version_of(t) != nd->version[i])
            return gr__fail(GR_ERR_GRAPH, "backward: %s %s of %s was changed after it was recorded", i < nd->n ? "an input" : "the result", GR__TEXT(t),
                            nd->op->name);
    }
    return true;
}

static bool all_finite(const gr__node *nd, int i, const gr_tensor *g)
{
    const gr_real *v = gr__reals(g);
    for (int64_t e = 0; e < g->count; e++)
        if (!isfinite(v[e]))
            return gr__fail(GR_ERR_NUMBER, "%s: backward gave %g at element %lld of the gradient of input %d %s", nd->op->name, (double)v[e], (long long)e, i + 1,
                            GR__TEXT(g));
    return true;
}

static bool input_gradient(pass *p, gr__node *nd, int i, gr_tensor *g)
{
    const gr_shape *shape = &nd->in[i]->shape;
    gr_tensor *gi = nd->op->vjp(nd, i, g);
    if (gi && nd->op->broadcasts && !gr__same_shape(&gi->shape, shape))
        gi = gr__sum_to(gi, shape);
    if (!gi)
        return gr__fail(GR_ERR_GRAPH, "backward: %s gave no gradient for input %d", nd->op->name, i + 1);
    if (!gr__same_shape(&gi->shape, shape))
        return gr__fail(GR_ERR_GRAPH, "backward: %s gave a gradient %s for input %d %s", nd->op->name, GR__TEXT(gi), i + 1, gr__shape_text(shape).s);
    return (!p->me->anomaly || all_finite(nd, i, gi)) && deliver(p, nd->in[i], gi);
}

static bool visit(pass *p, gr__node *nd, gr_tensor *g)
{
    if (nd->used)
        return gr__fail(GR_ERR_GRAPH, "backward: the history of %s %s was used up by an earlier backward; keep it with .retain_graph", nd->op->name,
                        GR__TEXT(nd->out));
    if (!unchanged(nd))
        return false;
    goal *asked = goal_of(p, nd->out);
    if (asked || (p->leaves && nd->out->retain_grad)) {
        if (!asked && !add_goal(p, nd->out))
            return false;
        if (!add_to(p, &goal_of(p, nd->out)->g, g))
            return false;
    }
    gr_step step = p->create ? (gr_step){ 0 } : gr_step_begin();
    bool good = p->create || step.depth > 0;
    p->node_step = p->create ? NULL : p->me->step;
    nd->left = NULL;
    for (int i = 0; good && i < nd->n; i++)
        good = !wants(p, nd, i) || input_gradient(p, nd, i, g);
    nd->left = NULL;
    p->node_step = NULL;
    gr_step_end(&step);
    if (good && !p->retain)
        gr__node_use_up(nd);
    return good;
}

static bool scan(pass *p)
{
    bool recording = p->me->no_grad, in_vjp = p->me->in_vjp, good = true;
    p->me->no_grad = !p->create;
    p->me->in_vjp = true;
    for (size_t i = p->nodes; good && i-- > 0;) {
        gr_tensor *g = p->slot[i];
        gr__node *nd = p->me->tape[p->root->reach + i];
        p->slot[i] = NULL;
        if (g)
            good = visit(p, nd, g);
        gr__unref(g);
    }
    p->me->no_grad = recording;
    p->me->in_vjp = in_vjp;
    return good;
}

/* ---- a pass ------------------------------------------------------------------------------------------------------------------------------ */

static void mark_wanted(pass *p)
{
    for (size_t i = 0; i < p->nodes; i++) {
        const gr__node *nd = p->me->tape[p->root->reach + i];
        p->wanted[i] = goal_of(p, nd->out) != NULL;
        for (int k = 0; k < nd->n && !p->wanted[i]; k++)
            p->wanted[i] = wants(p, nd, k);
    }
}

static bool seed(pass *p, gr_tensor *y, gr_tensor *grad_output)
{
    if (!grad_output && y->count != 1)
        return gr__fail(GR_ERR_GRAPH, "backward: %s is not one number; a loss is, or give its gradient as .grad_output", GR__TEXT(y));
    if (grad_output && (grad_output->dtype != GR_REAL || !gr__same_shape(&grad_output->shape, &y->shape)))
        return gr__fail(GR_ERR_GRAPH, "backward: the result is %s, .grad_output %s", GR__TEXT(y), GR__TEXT(grad_output));
    gr_tensor *g = grad_output ? gr__ref(grad_output) : gr__tensor(GR_REAL, &y->shape, "backward");
    if (!g)
        return false;
    if (!grad_output)
        gr__reals(g)[0] = 1;
    bool good = deliver(p, y, g);
    gr__unref(g);
    return good;
}

/* Slots, marks, the scan. */
static bool run(pass *p, gr_tensor *y, gr_tensor *grad_output, bool marks)
{
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
        if (marks)
            mark_wanted(p);
    }
    bool good = seed(p, y, grad_output) && scan(p);
    for (size_t i = 0; i < p->nodes; i++)
        gr__unref(p->slot[i]);
    gr__release(p->slot, bytes);
    gr__release(p->wanted, mark_bytes);
    return good;
}

static pass begin(gr_tensor *y)
{
    gr__thread *me = gr__self();
    static atomic_uint_fast64_t passes; /* tensors that threads share must not take one's pass for another's */
    static gr__node none = { .index = 0, .reach = 1 };
    pass p = { .me = me, .id = atomic_fetch_add(&passes, 1) + 1, .root = y->node ? y->node : &none };
    p.nodes = y->node ? y->node->index - y->node->reach + 1 : 0;
    return p;
}

/* ---- gr_backward: gradients left on the leaves --------------------------------------------------------------------------------------------- */

/* A gradient that the leaf can call its own: not shared with a slot, the user, or another leaf. */
static bool make_own(goal *go)
{
    if (!go->g || go->t->grad)
        return true;
    if (!gr__sole(go->g)) {
        gr_tensor *copy = gr__tensor(GR_REAL, &go->g->shape, "backward");
        if (!copy)
            return false;
        memcpy(copy->data, go->g->data, (size_t)copy->count * sizeof(gr_real));
        gr__unref(go->g);
        go->g = copy;
    }
    return true;
}

static bool commit(pass *p)
{
    size_t n = gr__length(p->goals);
    for (size_t i = 0; i < n; i++)
        if (!make_own(&p->goals[i]))
            return false;
    for (size_t i = 0; i < n; i++) {
        goal *go = &p->goals[i];
        if (go->t->grad && go->g) {
            add_in_place(go->t->grad, go->g);
        } else if (go->g) {
            gr__disown(go->g);
            go->t->grad = go->g;
            go->g = NULL;
        }
    }
    return true;
}

bool gr_backward_(gr_backward_options o)
{
    gr_tensor *loss = o.loss;
    if (!loss)
        return gr__fail(GR_ERR_ARGUMENT, "backward: the loss is NULL");
    if (loss->dtype != GR_REAL || !gr__tracked(loss))
        return gr__fail(GR_ERR_GRAPH, "backward: the loss %s depends on no parameter, or was made without recording", GR__TEXT(loss));
    gr_step step = gr_step_begin();
    if (step.depth == 0)
        return false;
    pass p = begin(loss);
    p.leaves = true;
    p.retain = o.retain_graph;
    bool good = run(&p, loss, NULL, false) && commit(&p);
    forget_goals(&p);
    gr_step_end(&step);
    return good;
}

gr_tensor *gr_grad_of(const gr_tensor *t)
{
    return t ? t->grad : NULL;
}

void gr_clear_grad(gr_tensor *t)
{
    if (t) {
        gr__unref(t->grad);
        t->grad = NULL;
    }
}

gr_tensor *gr_retain_grad(gr_tensor *t)
{
    if (!t || !gr__tracked(t)) {
        gr__fail(GR_ERR_GRAPH, "retain_grad: %s", t ? "the tensor has no gradient to retain" : "the tensor is NULL");
        return NULL;
    }
    t->retain_grad = true;
    return t;
}

/* ---- gr_grad: gradients as tensors ----------------------------------------------------------------------------------------------------------- */

static bool hand_out(const pass *p, gr_tensor *const *x, int n, gr_tensor **gx, bool allow_unused)
{
    for (int i = 0; i < n; i++)
        if (!goal_of(p, x[i])->g && !allow_unused)
            return gr__fail(GR_ERR_GRAPH, "grad: the result does not depend on tensor %d %s; .allow_unused gives zeros", i + 1, GR__TEXT(x[i]));
    for (int i = 0; i < n; i++) {
        gr_tensor *g = goal_of(p, x[i])->g;
        /* What a rule made in a step that has ended is nobody's: a view of it belongs to the user's step. */
        gx[i] = !g ? gr__constant(&x[i]->shape, 0) : p->create ? g : gr__own(gr__view(g, &g->shape, 0, "grad"));
        if (!gx[i])
            return false;
    }
    return true;
}

static bool check(gr_tensor *y, gr_tensor *const *x, int n, gr_tensor *const *gx)
{
    if (!y || !x || !gx || n < 1)
        return gr__fail(GR_ERR_ARGUMENT, "grad: %s", !y ? "the result is NULL" : "no tensor to differentiate by");
    for (int i = 0; i < n; i++)
        if (!x[i])
            return gr__fail(GR_ERR_ARGUMENT, "grad: tensor %d is NULL", i + 1);
    if (y->dtype != GR_REAL || !gr__tracked(y))
        return gr__fail(GR_ERR_GRAPH, "grad: the result %s depends on no parameter, or was made without recording", GR__TEXT(y));
    return true;
}

bool gr_grads(gr_tensor *y, gr_tensor *const *x, int n, gr_tensor **gx, gr_grad_options o)
{
    if (!check(y, x, n, gx))
        return false;
    pass p = begin(y);
    p.create = o.create_graph;
    p.retain = o.retain_graph || o.create_graph;
    bool good = true;
    for (int i = 0; good && i < n; i++)
        good = goal_of(&p, x[i]) || add_goal(&p, x[i]);
    good = good && run(&p, y, o.grad_output, true) && hand_out(&p, x, n, gx, o.allow_unused);
    forget_goals(&p);
    for (int i = 0; !good && i < n; i++)
        gx[i] = NULL;
    return good;
}

gr_tensor *gr_grad_(gr_tensor *y, gr_grad_options o)
{
    gr_tensor *gx = NULL;
    return gr_grads(y, &o.x, 1, &gx, o) ? gx : NULL;
}

/* ---- recording -------------------------------------------------------------------------------------------------------------------------------- */

bool gr_set_recording(bool on)
{
    gr__thread *me = gr__self();
    bool was = !me->no_grad;
    me->no_grad = !on;
    return was;
}

void gr_restore_recording(const bool *was)
{
    gr_set_recording(*was);
}

void gr_detect_anomaly(bool on)
{
    gr__self()->anomaly = on;
}
