/* custom.c: an operation of the user's own: a result that they have computed, and a backward
   function.

   Its descriptor is made for the call and travels with the node, as the first of its arguments.
   Invariant: whatever the backward function does wrong is an error that names the operation, and
   the pass fails as a whole.

   There is no forward to register: how the result was computed does not concern the tape. Where
   a gradient is to be differentiated again, g is a parameter while the backward function runs,
   so that a gradient made of it by operations can be told from one that was filled in. */
#include "autograd/autograd.h"
#include "ops/ops.h"

#include <string.h>

enum { LONGEST_NAME = 40 };

typedef struct custom {
    gr__op              op;
    char                name[LONGEST_NAME + 1];
    gr__quote           equation;
    gr_custom_backward *backward;
    void               *ctx;
    const gr_tensor    *y; /* what the user has computed; NULL once it is copied */
} custom;

/* ---- forward --------------------------------------------------------------------------------- */

static bool custom_shape(gr__node *nd, gr_shape *y)
{
    *y = ((const custom *)nd->args)->y->shape;
    return true;
}

static bool custom_forward(gr__node *nd, gr_tensor *y)
{
    memcpy(y->data, ((const custom *)nd->args)->y->data, (size_t)y->count * sizeof(gr_real));
    return true;
}

/* ---- backward -------------------------------------------------------------------------------- */

static bool good_gradient(const gr__node *nd, int i, const gr_tensor *gi, bool recording)
{
    if (gi->dtype != GR_REAL)
        return gr__fail(GR_ERR_GRAPH, "backward: %s gave an int32 gradient %s for input %d",
            nd->name, GR__TEXT(gi), i + 1);
    return !recording || gr__tracked(gi) ||
           gr__fail(GR_ERR_GRAPH,
               "backward: %s's gradient for input %d is not made of g by operations, so it cannot "
               "be differentiated again",
               nd->name, i + 1);
}

static gr_tensor *custom_vjp(gr__node *nd, int i, gr_tensor *g)
{
    const custom *c = nd->args;
    gr__thread   *me = gr__self();
    bool          no_grad = me->no_grad, was_param = g->param;
    unsigned      version = gr__version_of(g);
    /* what is made of g by operations is tracked, then, and known by it */
    g->param = was_param || !gr__tracked(g);
    gr_tensor *gi = c->backward(i, g, nd->in, nd->out, c->ctx);
    g->param = was_param;
    me->no_grad = no_grad; /* whatever it has been set to */
    if (gr__version_of(g) != version) {
        gr__fail(GR_ERR_GRAPH, "backward: %s changed the gradient %s that it was given",
            nd->name, GR__TEXT(g));
        return NULL;
    }
    return gi && good_gradient(nd, i, gi, !no_grad) ? gi : NULL;
}

/* ---- the call -------------------------------------------------------------------------------- */

/* A name stands in messages and drawings as it is. */
static bool good_name(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    size_t            length = name ? strspn(name, allowed) : 0;
    return (length > 0 && length <= LONGEST_NAME && !name[length]) ||
           gr__fail(GR_ERR_ARGUMENT, "custom: the name '%s' is not 1 to %d letters, digits and _",
               name ? gr__quoted(name).s : "NULL", LONGEST_NAME);
}

static bool good_call(
    const char *name, gr_custom_backward *backward, const gr_tensor *y, gr_tensor *const *x, int n)
{
    if (!good_name(name)) return false;
    if (!backward) return gr__fail(GR_ERR_ARGUMENT, "%s: the backward function is NULL", name);
    if (!y) return gr__fail(GR_ERR_ARGUMENT, "%s: the result is NULL", name);
    if (y->dtype != GR_REAL)
        return gr__fail(
            GR_ERR_ARGUMENT, "%s: the result %s is int32, real wanted", name, GR__TEXT(y));
    return (x && n > 0) || gr__fail(GR_ERR_ARGUMENT, "%s: there is no input", name);
}

/* Points the descriptor to the texts beside it. */
static const gr__op *settle(custom *c)
{
    c->op.name = c->name;
    c->op.equation = c->equation.s;
    return &c->op;
}

gr_tensor *gr_custom_(const char *name, gr_custom_backward *backward, gr_tensor *y,
    gr_tensor *const *x, gr_custom_options o)
{
    if (!good_call(name, backward, y, x, o.n)) return NULL;
    custom c = { .op = { .shape = custom_shape, .forward = custom_forward, .vjp = custom_vjp },
        .backward = backward,
        .ctx = o.ctx,
        .y = y };
    strcpy(c.name, name);
    c.equation = gr__quoted(o.equation ? o.equation : "");
    for (int i = 0; i < o.n && i < 32; i++)
        if (x[i] && x[i]->dtype == GR_INT32) c.op.ints = c.op.constant |= 1U << i;
    gr_tensor *out = gr__apply(settle(&c), o.n, x, &c, sizeof c);
    if (out && out->node) {
        custom *kept = (custom *)out->node->args;
        kept->y = NULL;
        out->node->op = settle(kept);
        out->node->name = kept->name;
    }
    return out;
}
