/* optim.c: optimisers.

   Invariant: a step changes every parameter that has a gradient, or none: what can fail (state, guards) comes before the first change. */
#include "nn/nn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GRAIN = 32768 };

/* What an optimiser remembers of one parameter. */
typedef struct memory {
    gr_tensor *p, *first, *second; /* momentum, and Adam's second moment; NULL where the rule has none */
    uint64_t   steps;
} memory;

typedef struct rule {
    const char *name;
    int         moments; /* how many tensors it keeps of each parameter */
    void (*update)(const void *arg, int64_t begin, int64_t end);
} rule;

struct gr_optim {
    const rule     *rule;
    gr_model       *model;
    gr_sgd_options  sgd;
    gr_adam_options adam;
    double          lr;
    memory         *memories;
    size_t          count;
};

/* ---- rules ------------------------------------------------------------------------------------------------------------------------ */

typedef struct update {
    const gr_optim *o;
    const memory   *m;
    const gr_real  *g;
} update;

static gr_real *from(const gr_tensor *t, int64_t begin) { return t ? gr__reals(t) + begin : NULL; }

static void sgd_update(const void *arg, int64_t begin, int64_t end)
{
    const update         *u = arg;
    const gr_sgd_options *s = &u->o->sgd;
    gr__k()->sgd(from(u->m->p, begin), u->g + begin, from(u->m->first, begin), u->o->lr, s->momentum, s->dampening, s->weight_decay,
        s->nesterov, u->m->steps == 1, end - begin);
}

static void adam_update(const void *arg, int64_t begin, int64_t end)
{
    const update          *u = arg;
    const gr_adam_options *s = &u->o->adam;
    gr__adam               a = {
                      .lr = u->o->lr,
                      .beta1 = s->beta1,
                      .beta2 = s->beta2,
                      .eps = s->eps,
                      .weight_decay = s->weight_decay,
                      .correction1 = 1 - pow(s->beta1, (double)u->m->steps),
                      .correction2 = 1 - pow(s->beta2, (double)u->m->steps),
    };
    gr__k()->adam(from(u->m->p, begin), u->g + begin, from(u->m->first, begin), from(u->m->second, begin), &a, end - begin);
}

static const rule plain_rule = { "sgd", 0, sgd_update };
static const rule momentum_rule = { "sgd", 1, sgd_update };
static const rule adam_rule = { "adam", 2, adam_update };

/* ---- life ------------------------------------------------------------------------------------------------------------------------ */

void gr_optim_free(gr_optim *o)
{
    if (!o) return;
    for (size_t i = 0; i < o->count; i++) {
        gr__unref(o->memories[i].p);
        gr__unref(o->memories[i].first);
        gr__unref(o->memories[i].second);
    }
    free(o->memories);
    free(o);
}

static gr_tensor *zeros_like(const gr_tensor *p, const char *what)
{
    gr_tensor *t = gr__tensor(GR_REAL, &p->shape, what);
    if (t) memset(t->data, 0, (size_t)t->count * sizeof(gr_real));
    return t;
}

static bool remember(memory *m, gr_tensor *p, const rule *r)
{
    m->p = gr__ref(p);
    if (r->moments > 0 && !(m->first = zeros_like(p, r->name))) return false;
    return r->moments < 2 || (m->second = zeros_like(p, r->name));
}

static gr_optim *optim_open(gr_model *model, const rule *r, double lr)
{
    if (!gr__model_built(model, r->name)) return NULL;
    size_t    n = gr__length(model->params);
    gr_optim *o = calloc(1, sizeof *o);
    if (!o || !(o->memories = calloc(n + 1, sizeof *o->memories))) {
        free(o);
        gr__fail_memory(r->name, n * sizeof *o->memories);
        return NULL;
    }
    o->rule = r;
    o->model = model;
    o->lr = lr;
    o->count = n;
    for (size_t i = 0; i < n; i++)
        if (!remember(&o->memories[i], model->params[i]->t, r)) {
            gr_optim_free(o);
            return NULL;
        }
    return o;
}

gr_optim *gr_sgd_(gr_sgd_options s)
{
    double lr = s.lr != 0 ? s.lr : 0.001;
    if (!(lr >= 0 && s.momentum >= 0 && s.weight_decay >= 0)) {
        gr__fail(GR_ERR_ARGUMENT, "sgd: lr %g, momentum %g, weight_decay %g: none may be negative", lr, s.momentum, s.weight_decay);
        return NULL;
    }
    if (s.nesterov && (s.momentum == 0 || s.dampening != 0)) {
        gr__fail(GR_ERR_ARGUMENT, "sgd: nesterov wants a momentum and no dampening, %g and %g given", s.momentum, s.dampening);
        return NULL;
    }
    gr_optim *o = optim_open(s.model, s.momentum > 0 ? &momentum_rule : &plain_rule, lr);
    if (o) o->sgd = s;
    return o;
}

gr_optim *gr_adam_(gr_adam_options s)
{
    double lr = s.lr != 0 ? s.lr : 0.001;
    s.beta1 = s.no_beta1 ? 0 : s.beta1 != 0 ? s.beta1 : 0.9;
    s.beta2 = s.beta2 != 0 ? s.beta2 : 0.999;
    s.eps = s.eps != 0 ? s.eps : 1e-8;
    if (!(lr >= 0 && s.beta1 >= 0 && s.beta1 < 1 && s.beta2 >= 0 && s.beta2 < 1 && s.eps >= 0 && s.weight_decay >= 0)) {
        gr__fail(GR_ERR_ARGUMENT, "adam: lr %g, beta1 %g, beta2 %g, eps %g, weight_decay %g: none may be negative, betas are under 1", lr,
            s.beta1, s.beta2, s.eps, s.weight_decay);
        return NULL;
    }
    gr_optim *o = optim_open(s.model, &adam_rule, lr);
    if (o) o->adam = s;
    return o;
}

/* ---- steps ------------------------------------------------------------------------------------------------------------------------- */

static bool may_step(const gr_optim *o)
{
    if (!o) return gr__fail(GR_ERR_ARGUMENT, "optim_step: the optimiser is NULL");
    if (gr__failed() || !gr__k()) return false;
    for (size_t i = 0; i < o->count; i++)
        if (o->memories[i].p->grad) return true;
    return gr__fail(GR_ERR_GRAPH, "optim_step: no parameter has a gradient; gr_backward comes first");
}

bool gr_optim_step(gr_optim *o)
{
    if (!may_step(o)) return false;
    for (size_t i = 0; i < o->count; i++) {
        memory *m = &o->memories[i];
        if (!m->p->grad || !m->p->param) continue;
        m->steps++;
        gr__touch(m->p);
        gr__parallel(m->p->count, GRAIN, o->rule->update, &(update){ o, m, gr__reals(m->p->grad) });
    }
    return true;
}

void gr_zero_grad(gr_optim *o)
{
    for (size_t i = 0; o && i < o->count; i++) gr_clear_grad(o->memories[i].p);
}

double gr_minimize(gr_optim *o, gr_tensor *loss)
{
    bool good = o && gr_backward(loss) && gr_optim_step(o);
    if (!o) gr__fail(GR_ERR_ARGUMENT, "minimize: the optimiser is NULL");
    gr_zero_grad(o);
    return good ? gr_item(loss) : NAN;
}

double gr_optim_lr(const gr_optim *o) { return o ? o->lr : NAN; }

bool gr_optim_set_lr(gr_optim *o, double lr)
{
    if (!o || !(lr >= 0))
        return gr__fail(GR_ERR_ARGUMENT, o ? "optim_set_lr: %g is no learning rate" : "optim_set_lr: the optimiser is NULL", lr);
    o->lr = lr;
    return true;
}
