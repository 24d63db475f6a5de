/* optim.c: optimisers.

   Invariant: a step changes every parameter that has a gradient, or none: what can fail (state,
   guards) comes before the first change.

   An optimiser notifies one watcher of its steps (gr__watch), parameter by parameter, before
   and after. So a report sees gradients and updates whether the loop calls gr_minimize or its
   parts, and has to copy one parameter at a time. */
#include "nn/nn.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIM_GRAIN = 32768 };

/* ---- rules ----------------------------------------------------------------------------------- */

typedef struct update {
    const gr_optim   *o;
    const gr__memory *m;
    const gr_real    *g;
} update;

static gr_real *optim_from(const gr_tensor *t, int64_t begin)
{
    return t ? gr__reals(t) + begin : NULL;
}

static void sgd_update(const void *arg, int64_t begin, int64_t end)
{
    const update     *u = arg;
    const gr_optim   *o = u->o;
    const gr__memory *m = u->m;
    gr__sgd s = { o->lr * m->lr_factor, o->momentum, o->dampening, m->weight_decay, o->nesterov,
        m->steps == 1 };
    gr__kernel_table()->sgd(
        optim_from(m->p, begin), u->g + begin, optim_from(m->moment[0], begin), &s, end - begin);
}

static void adam_update(const void *arg, int64_t begin, int64_t end)
{
    const update     *u = arg;
    const gr_optim   *o = u->o;
    const gr__memory *m = u->m;
    gr__adam          a = {
                 .lr = o->lr * m->lr_factor,
                 .beta1 = o->momentum,
                 .beta2 = o->beta2,
                 .eps = o->eps,
                 .weight_decay = m->weight_decay,
                 .correction1 = 1 - pow(o->momentum, (double)m->steps),
                 .correction2 = 1 - pow(o->beta2, (double)m->steps),
                 .decoupled = o->decoupled,
    };
    gr__kernel_table()->adam(optim_from(m->p, begin), u->g + begin, optim_from(m->moment[0], begin),
        optim_from(m->moment[1], begin), &a, end - begin);
}

static void rmsprop_update(const void *arg, int64_t begin, int64_t end)
{
    const update     *u = arg;
    const gr_optim   *o = u->o;
    const gr__memory *m = u->m;
    gr__rmsprop       r = { o->lr * m->lr_factor, o->beta2, o->eps, o->momentum, m->weight_decay };
    gr__kernel_table()->rmsprop(optim_from(m->p, begin), u->g + begin,
        optim_from(m->moment[0], begin), optim_from(m->moment[1], begin),
        optim_from(m->moment[2], begin), &r, end - begin);
}

static const gr__rule sgd_rule = { "sgd", { "momentum_buffer" }, sgd_update, .beta1 = false };
static const gr__rule adam_rule = { "adam", { "exp_avg", "exp_avg_sq" }, adam_update,
    .beta1 = true };
static const gr__rule adamw_rule = { "adamw", { "exp_avg", "exp_avg_sq" }, adam_update,
    .beta1 = true };
static const gr__rule rmsprop_rule = { "rmsprop", { "square_avg", "momentum_buffer", "grad_avg" },
    rmsprop_update, .beta1 = false };

/* ---- life ------------------------------------------------------------------------------------ */

void gr_optim_free(gr_optim *o)
{
    if (!o) return;
    if (o->watch) o->watch(o->watch_arg, o->count, false);
    for (size_t i = 0; i < o->count; i++) {
        gr__unref(o->memories[i].p);
        for (int k = 0; k < GR__MOMENTS; k++) gr__unref(o->memories[i].moment[k]);
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

static bool remember(gr__memory *m, const gr__slot *s, const bool *keep, const char *what)
{
    m->name = s->name;
    m->p = gr__ref(s->t);
    for (int k = 0; k < GR__MOMENTS; k++)
        if (keep[k] && !(m->moment[k] = zeros_like(m->p, what))) return false;
    return true;
}

/* The optimiser like this one, with its memories: of each parameter the decay, and the moments that
   are kept. */
static gr_optim *optim_open(gr_optim like, double weight_decay, const bool keep[GR__MOMENTS])
{
    if (!gr__model_built(like.model, like.rule->name)) return NULL;
    size_t    n = gr__array_length(like.model->params);
    gr_optim *o = malloc(sizeof *o);
    like.memories = calloc(n + 1, sizeof *like.memories);
    if (!o || !like.memories) {
        free(o);
        free(like.memories);
        gr__fail_memory(like.rule->name, n * sizeof *like.memories);
        return NULL;
    }
    *o = like;
    o->first_lr = like.lr;
    o->first_momentum = like.momentum;
    for (o->count = 0; o->count < n; o->count++) {
        gr__memory *m = &o->memories[o->count];
        m->lr_factor = 1;
        m->weight_decay = weight_decay;
        if (!remember(m, o->model->params[o->count], keep, o->rule->name)) {
            o->count++;
            gr_optim_free(o);
            return NULL;
        }
    }
    return o;
}

static double optim_or_else(double value, double otherwise)
{
    return value != 0 ? value : otherwise;
}

gr_optim *gr_sgd_(gr_sgd_options s)
{
    double lr = optim_or_else(s.lr, 0.001);
    if (!(lr >= 0 && s.momentum >= 0 && s.weight_decay >= 0)) {
        gr__fail(GR_ERR_ARGUMENT, "sgd: lr %g, momentum %g, weight_decay %g: none may be negative",
            lr, s.momentum, s.weight_decay);
        return NULL;
    }
    if (s.nesterov && (s.momentum == 0 || s.dampening != 0)) {
        gr__fail(GR_ERR_ARGUMENT,
            "sgd: nesterov wants a momentum and no dampening, %g and %g given", s.momentum,
            s.dampening);
        return NULL;
    }
    gr_optim o = { &sgd_rule, s.model, lr, .momentum = s.momentum, .dampening = s.dampening,
        .nesterov = s.nesterov };
    return optim_open(o, s.weight_decay, (bool[GR__MOMENTS]){ s.momentum > 0 });
}

static gr_optim *adam(const gr__rule *rule, gr_adam_options s)
{
    gr_optim o = { rule, s.model, optim_or_else(s.lr, 0.001),
        .momentum = s.no_beta1 ? 0 : optim_or_else(s.beta1, 0.9),
        .beta2 = optim_or_else(s.beta2, 0.999), .eps = optim_or_else(s.eps, 1e-8),
        .decoupled = rule == &adamw_rule };
    if (o.lr >= 0 && o.momentum >= 0 && o.momentum < 1 && o.beta2 >= 0 && o.beta2 < 1 &&
        o.eps >= 0 && s.weight_decay >= 0)
        return optim_open(o, s.weight_decay, (bool[GR__MOMENTS]){ true, true });
    gr__fail(GR_ERR_ARGUMENT,
        "%s: lr %g, beta1 %g, beta2 %g, eps %g, weight_decay %g: none may be negative, betas are "
        "under 1",
        rule->name, o.lr, o.momentum, o.beta2, o.eps, s.weight_decay);
    return NULL;
}

gr_optim *gr_adam_(gr_adam_options s) { return adam(&adam_rule, s); }

gr_optim *gr_adamw_(gr_adamw_options s)
{
    return adam(
        &adamw_rule, (gr_adam_options){ s.model, NULL, s.lr, s.beta1, s.beta2, s.eps,
                         s.no_decay ? 0 : optim_or_else(s.weight_decay, 0.01), s.no_beta1 });
}

gr_optim *gr_rmsprop_(gr_rmsprop_options s)
{
    gr_optim o = { &rmsprop_rule, s.model, optim_or_else(s.lr, 0.01), .momentum = s.momentum,
        .beta2 = s.no_alpha ? 0 : optim_or_else(s.alpha, 0.99), .eps = optim_or_else(s.eps, 1e-8) };
    if (o.lr >= 0 && o.beta2 >= 0 && o.beta2 < 1 && o.eps >= 0 && o.momentum >= 0 &&
        s.weight_decay >= 0)
        return optim_open(
            o, s.weight_decay, (bool[GR__MOMENTS]){ true, s.momentum > 0, s.centered });
    gr__fail(GR_ERR_ARGUMENT,
        "rmsprop: lr %g, alpha %g, eps %g, momentum %g, weight_decay %g: none may be negative, "
        "alpha is under 1",
        o.lr, o.beta2, o.eps, o.momentum, s.weight_decay);
    return NULL;
}

/* ---- groups ---------------------------------------------------------------------------------- */

bool gr_optim_group_(gr_optim *o, gr_optim_group_options g)
{
    if (!o) return gr__fail(GR_ERR_ARGUMENT, "optim_group: the optimiser is NULL");
    if (!(g.lr_factor >= 0 && g.weight_decay >= 0))
        return gr__fail(GR_ERR_ARGUMENT,
            "optim_group: lr_factor %g, weight_decay %g: none may be negative", g.lr_factor,
            g.weight_decay);
    if (g.no_decay && g.weight_decay != 0)
        return gr__fail(GR_ERR_ARGUMENT, "optim_group: .no_decay and .weight_decay %g: one of them",
            g.weight_decay);
    if (!gr__pattern_good(o->model, g.pattern, "optim_group")) return false;
    for (size_t i = 0; i < o->count; i++) {
        gr__memory *m = &o->memories[i];
        if (!gr__chosen(g.pattern, o->model->params[i])) continue;
        m->lr_factor = optim_or_else(g.lr_factor, m->lr_factor);
        m->weight_decay = g.no_decay ? 0 : optim_or_else(g.weight_decay, m->weight_decay);
    }
    return true;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool may_step(const gr_optim *o)
{
    if (!o) return gr__fail(GR_ERR_ARGUMENT, "optim_step: the optimiser is NULL");
    if (gr__failed() || !gr__kernel_table()) return false;
    for (size_t i = 0; i < o->count; i++)
        if (o->memories[i].p->grad) return true;
    return gr__fail(
        GR_ERR_GRAPH, "optim_step: no parameter has a gradient; gr_backward comes first");
}

bool gr_optim_step(gr_optim *o)
{
    if (!may_step(o)) return false;
    for (size_t i = 0; i < o->count; i++) {
        gr__memory *m = &o->memories[i];
        if (!m->p->grad) continue;
        m->steps++;
        gr__touch(m->p);
        if (o->watch) o->watch(o->watch_arg, i, false);
        gr__parallel(
            m->p->count, OPTIM_GRAIN, o->rule->update, &(update){ o, m, gr__reals(m->p->grad) });
        if (o->watch) o->watch(o->watch_arg, i, true);
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

double gr_optim_momentum(const gr_optim *o) { return o ? o->momentum : NAN; }

bool gr_optim_set_lr(gr_optim *o, double lr)
{
    if (!o || !(lr >= 0))
        return gr__fail(GR_ERR_ARGUMENT,
            o ? "optim_set_lr: %g is no learning rate" : "optim_set_lr: the optimiser is NULL", lr);
    o->lr = lr;
    return true;
}

/* ---- state ----------------------------------------------------------------------------------- */

/* Learning rate and momentum may be changed while a run lasts. */
void gr__list_optim(gr__state *s, gr_optim *o)
{
    gr__state_under(s, "optim.");
    gr__state_is_text(s, "rule", o->rule->name);
    gr__state_is_number(s, "first_lr", o->first_lr);
    gr__state_is_number(s, "first_momentum", o->first_momentum);
    gr__state_is_number(s, "beta2", o->beta2);
    gr__state_is_number(s, "dampening", o->dampening);
    gr__state_is_number(s, "eps", o->eps);
    gr__state_is_integer(s, "nesterov", o->nesterov);
    gr__state_number(s, "lr", &o->lr, 0, DBL_MAX);
    gr__state_number(s, "momentum", &o->momentum, 0, DBL_MAX);
    for (size_t i = 0; i < o->count; i++) {
        gr__memory *m = &o->memories[i];
        gr__state_under(s, "optim.lr_factor.");
        gr__state_is_number(s, m->name, m->lr_factor);
        gr__state_under(s, "optim.weight_decay.");
        gr__state_is_number(s, m->name, m->weight_decay);
        gr__state_under(s, "optim.steps.");
        gr__state_words(s, m->name, &m->steps, 1);
        for (int k = 0; k < GR__MOMENTS; k++) {
            char section[48];
            snprintf(section, sizeof section, "optim.%s.", m->moment[k] ? o->rule->moment[k] : "");
            gr__state_under(s, section);
            if (m->moment[k]) gr__state_tensor(s, m->name, m->moment[k]);
        }
    }
}
