/* backward.c: the public calls. gr_backward stores gradients in the parameters; gr_grad returns
   them as tensors.

   Invariant: nobody's gradient changes unless the whole pass has succeeded, and what a leaf holds
   as its gradient is its own.

   gr_hvp opens a step of its own and takes its history back with it, so that an iteration over
   many vectors grows by its results alone. */
#include "autograd/autograd.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- gradients left on the leaves ------------------------------------------------------------ */

static gr_tensor *copy_of(const gr_tensor *g)
{
    gr_tensor *copy = gr__tensor(GR_REAL, &g->shape, "backward");
    if (copy) memcpy(copy->data, g->data, (size_t)copy->count * sizeof(gr_real));
    return copy;
}

/* A gradient that the leaf can call its own: not shared with a slot, the user, or another leaf. */
static bool make_own(gr__goal *go)
{
    if (!go->g || go->t->grad || gr__sole(go->g)) return true;
    gr_tensor *copy = copy_of(go->g);
    if (!copy) return false;
    gr__unref(go->g);
    go->g = copy;
    return true;
}

static bool commit(gr__pass *p)
{
    size_t n = gr__array_length(p->goals);
    for (size_t i = 0; i < n; i++)
        if (!make_own(&p->goals[i])) return false;
    for (size_t i = 0; i < n; i++) {
        gr__goal *go = &p->goals[i];
        if (go->t->grad && go->g) {
            gr__add_in_place(go->t->grad, go->g);
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
    if (!loss) return gr__fail(GR_ERR_ARGUMENT, "backward: the loss is NULL");
    if (loss->dtype != GR_REAL || !gr__tracked(loss))
        return gr__fail(GR_ERR_GRAPH,
            "backward: the loss %s depends on no parameter, or was made without recording",
            GR__TEXT(loss));
    if (!gr__recorded_here("backward", loss)) return false;
    gr__pass p = gr__pass_begin(loss);
    p.leaves = true;
    p.retain = o.retain_graph;
    bool good = gr__pass_run(&p, loss, NULL) && commit(&p);
    gr__pass_end(&p);
    return good;
}

gr_tensor *gr_grad_of(const gr_tensor *t) { return t ? t->grad : NULL; }

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
        gr__fail(GR_ERR_GRAPH, "retain_grad: %s",
            t ? "the tensor has no gradient to retain" : "the tensor is NULL");
        return NULL;
    }
    if (!gr__recorded_here("retain_grad", t)) return NULL;
    t->retain_grad = true;
    return t;
}

/* ---- gradients as tensors -------------------------------------------------------------------- */

/* A tensor of its own in the user's step, though a rule may have handed the same gradient on to
   several, or the user's grad_output. */
static gr_tensor *fresh(const gr__pass *p, gr_tensor *g)
{
    if (!p->create) return gr__own(gr__sole(g) ? gr__view(g, &g->shape, 0, "grad") : copy_of(g));
    bool       was = gr_set_recording(true);
    gr_tensor *gx = gr_reshape(g, g->shape);
    gr_set_recording(was);
    return gx;
}

static bool hand_out(
    const gr__pass *p, gr_tensor *const *x, int n, gr_tensor **gx, bool allow_unused)
{
    for (int i = 0; i < n; i++)
        if (!gr__pass_goal(p, x[i])->g && !allow_unused)
            return gr__fail(GR_ERR_GRAPH,
                "grad: the result does not depend on tensor %d %s; .allow_unused gives zeros",
                i + 1, GR__TEXT(x[i]));
    for (int i = 0; i < n; i++) {
        gr_tensor *g = gr__pass_goal(p, x[i])->g;
        gx[i] = !g ? gr__constant(&x[i]->shape, 0) : fresh(p, g);
        if (!gx[i]) return false;
    }
    return true;
}

static bool backward_check(
    const char *name, gr_tensor *y, gr_tensor *const *x, int n, gr_tensor *const *gx)
{
    if (!y || !x || !gx || n < 1)
        return gr__fail(GR_ERR_ARGUMENT, "%s: %s", name,
            !y ? "the result is NULL" : "no tensor to differentiate by");
    for (int i = 0; i < n; i++) {
        if (!x[i]) return gr__fail(GR_ERR_ARGUMENT, "%s: tensor %d is NULL", name, i + 1);
        if (!gr__recorded_here(name, x[i])) return false;
    }
    if (y->dtype != GR_REAL || !gr__tracked(y))
        return gr__fail(GR_ERR_GRAPH,
            "%s: the result %s depends on no parameter, or was made without recording", name,
            GR__TEXT(y));
    return gr__recorded_here(name, y);
}

/* gx is not x, nor a part of it. */
static bool backward_gradients(
    gr_tensor *y, gr_tensor *const *x, int n, gr_tensor **gx, gr_grad_options o)
{
    gr__pass p = gr__pass_begin(y);
    p.create = o.create_graph;
    p.retain = o.retain_graph || o.create_graph;
    bool good = true;
    for (int i = 0; good && i < n; i++)
        good = gr__pass_goal(&p, x[i]) || gr__pass_add_goal(&p, x[i]);
    good = good && gr__pass_run(&p, y, o.grad_output) && hand_out(&p, x, n, gx, o.allow_unused);
    gr__pass_end(&p);
    return good;
}

/* The results stand in a block of their own until all are there, since the caller's list of them
   may be the list of what went in. */
static gr_tensor **results_begin(int n, const char *what)
{
    size_t      bytes = (size_t)n * sizeof(gr_tensor *);
    gr_tensor **results = gr__alloc(bytes);
    if (!results) gr__fail_memory(what, bytes);
    return results;
}

static bool results_end(gr_tensor **results, int n, gr_tensor **to, bool good)
{
    for (int i = 0; i < n; i++) to[i] = good ? results[i] : NULL;
    gr__release(results, (size_t)n * sizeof(gr_tensor *));
    return good;
}

bool gr_grads(gr_tensor *y, gr_tensor *const *x, int n, gr_tensor **gx, gr_grad_options o)
{
    if (!backward_check("grad", y, x, n, gx)) return false;
    gr_tensor **results = results_begin(n, "grad");
    return results_end(results, n, gx, results && backward_gradients(y, x, n, results, o));
}

gr_tensor *gr_grad_(gr_tensor *y, gr_grad_options o)
{
    gr_tensor *gx = NULL;
    return gr_grads(y, &o.x, 1, &gx, o) ? gx : NULL;
}

/* ---- Hessian times vectors ------------------------------------------------------------------- */

/* Sum of <gx, v>, recorded; NULL with no failure where no gx depends on any x. */
static gr_tensor *directional(gr_tensor *const *gx, int n, gr_tensor *const *v)
{
    gr_tensor *sum = NULL;
    for (int i = 0; i < n; i++) {
        gr_tensor *part = gr_sum(gr_mul(gx[i], gr_detach(v[i])));
        sum = sum ? gr_add(sum, part) : part;
    }
    return sum;
}

/* From the gradients, which have just been recorded, to hv, in their place. */
static bool differentiate(gr_tensor **g, gr_tensor *const *x, int n, gr_tensor *const *v)
{
    gr_tensor *d = directional(g, n, v);
    if (!d) return false;
    if (gr__tracked(d))
        return backward_gradients(
            d, x, n, g, (gr_grad_options){ .retain_graph = true, .allow_unused = true });
    for (int i = 0; i < n; i++)
        if (!(g[i] = gr__constant(&x[i]->shape, 0))) return false;
    return true;
}

/* The gradients' history belongs to a step of this call alone; what comes out, to the caller's. */
static bool hessian_times(
    gr_tensor *loss, gr_tensor *const *x, int n, gr_tensor *const *v, gr_tensor **hv)
{
    gr_step step = gr_step_begin();
    if (step.depth == 0) return false;
    bool was = gr_set_recording(true);
    bool good = backward_gradients(loss, x, n, hv,
                    (gr_grad_options){ .create_graph = true, .allow_unused = true }) &&
                differentiate(hv, x, n, v);
    gr_set_recording(was);
    for (int i = 0; good && i < n; i++) gr__disown(hv[i]);
    gr_step_end(&step);
    for (int i = 0; good && i < n; i++) gr__own(hv[i]);
    return good;
}

bool gr_hvp(gr_tensor *loss, gr_tensor *const *x, int n, gr_tensor *const *v, gr_tensor **hv)
{
    if (!backward_check("hvp", loss, x, n, hv)) return false;
    for (int i = 0; i < n; i++)
        if (!v || !v[i] || v[i]->dtype != GR_REAL || !gr__same_shape(&v[i]->shape, &x[i]->shape))
            return gr__fail(GR_ERR_ARGUMENT,
                "hvp: vector %d %s does not have the shape of tensor %d %s", i + 1,
                v && v[i] ? GR__TEXT(v[i]) : "NULL", i + 1, GR__TEXT(x[i]));
    gr_tensor **results = results_begin(n, "hvp");
    return results_end(results, n, hv, results && hessian_times(loss, x, n, v, results));
}

/* ---- recording ------------------------------------------------------------------------------- */

bool gr_set_recording(bool on)
{
    gr__thread *me = gr__self();
    bool        was = !me->no_grad;
    me->no_grad = !on;
    return was;
}

void gr_restore_recording(const bool *was) { gr_set_recording(*was); }

void gr_detect_anomaly(bool on) { gr__self()->anomaly = on; }
