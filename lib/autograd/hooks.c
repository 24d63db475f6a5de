/* hooks.c: gradient hooks, which backward calls with a tensor's gradient.

   A hook sees the complete gradient, and what it returns replaces it: for an intermediate before
   the vjp of its operation, for a leaf after the scan. As in PyTorch 2, hooks also run for a tensor
   that gr_grad is called for, where the scan ends. Invariant: hooks are found by their serial,
   never by a pointer kept over a call, so one may add and remove hooks. */
#include "autograd/autograd.h"
#include "ops/ops.h"

gr_tensor *gr_on_grad(gr_tensor *t, gr_grad_hook *fn, void *ctx)
{
    if (!t || !fn || !gr__tracked(t)) {
        gr__fail(GR_ERR_GRAPH, "on_grad: %s",
            !t    ? "the tensor is NULL"
            : !fn ? "the function is NULL"
                  : "the tensor has no gradient");
        return NULL;
    }
    if (!gr__recorded_here("on_grad", t)) return NULL;
    gr__hook *new = gr__alloc(sizeof *new), **end = &t->hooks;
    if (!new) {
        gr__fail_memory("on_grad", sizeof *new);
        return NULL;
    }
    *new = (gr__hook){ .fn = fn, .ctx = ctx, .serial = 1 };
    for (; *end; end = &(*end)->next) new->serial = (*end)->serial + 1;
    *end = new;
    return t;
}

bool gr_off_grad(gr_tensor *t, gr_grad_hook *fn, void *ctx)
{
    if (t && !gr__recorded_here("off_grad", t)) return false;
    gr__hook **at = t ? &t->hooks : NULL;
    while (at && *at && ((*at)->fn != fn || (*at)->ctx != ctx)) at = &(*at)->next;
    if (!at || !*at)
        return gr__fail(GR_ERR_ARGUMENT, "off_grad: %s",
            t ? "the tensor has no such hook" : "the tensor is NULL");
    gr__hook *gone = *at;
    *at = gone->next;
    gr__release(gone, sizeof *gone);
    return true;
}

/* Puts what a hook has answered in the gradient's place; the pass then holds a reference of its
   own. */
static bool replace(const gr_tensor *t, gr_tensor **g, gr_tensor *by, const gr__step *step)
{
    if (by->dtype != GR_REAL || !gr__same_shape(&by->shape, &t->shape))
        return gr__fail(GR_ERR_GRAPH, "backward: a hook gave %s%s for the gradient of %s",
            by->dtype == GR_REAL ? "" : "int32 ", GR__TEXT(by), GR__TEXT(t));
    if (step && by->owner == step)
        gr__disown(by);
    else
        gr__ref(by);
    gr__unref(*g);
    *g = by;
    return true;
}

/* The hook sees a tensor of its own, which it may keep: what a slot holds is the slot's, and what
   is recorded must not lose its history. */
static bool hooks_call(const gr__pass *p, gr__hook hook, const gr_tensor *t, gr_tensor **g)
{
    gr_step step = p->create ? (gr_step){ 0 } : gr_step_begin();
    if (!p->create && step.depth == 0) return false;
    const gr__step *inner = p->create ? NULL : p->me->step;
    gr_tensor      *seen = gr_reshape(*g, (*g)->shape);
    unsigned        failures = gr__failures(), version = gr__version_of(*g);
    gr_tensor      *by = seen ? hook.fn(seen, hook.ctx) : NULL;
    bool            good = seen && (gr__failures() == failures || !gr__failed());
    p->me->no_grad = !p->create; /* whatever it has been set to */
    if (good && gr__version_of(*g) != version)
        good = gr__fail(GR_ERR_GRAPH,
            "backward: a hook changed the gradient of %s that it was given", GR__LABEL(t));
    if (good && by && by != seen) good = replace(t, g, by, inner);
    gr_step_end(&step);
    return good;
}

static const gr__hook *first_after(const gr_tensor *t, uint64_t serial)
{
    const gr__hook *h = t->hooks;
    while (h && h->serial <= serial) h = h->next;
    return h;
}

bool gr__pass_hooks(const gr__pass *p, const gr_tensor *t, gr_tensor **g)
{
    uint64_t last = 0, at = 0;
    for (const gr__hook *h = t->hooks; h; h = h->next) last = h->serial;
    for (const gr__hook *h; (h = first_after(t, at)) && h->serial <= last;) {
        at = h->serial;
        if (!hooks_call(p, *h, t, g)) return false;
    }
    return true;
}
