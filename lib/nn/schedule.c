/* schedule.c: schedules of the learning rate.

   Invariant: the rate is a function of the state alone, never of the rate before; so a resumed
   schedule has the same bits. t is the count since the warm-up, lr0 the rate that the optimiser had
   when the schedule was made.

   A schedule sets the optimiser's one rate; a group of parameters (gr_optim_group) is a factor
   on it and a weight decay, kept with each parameter. So there are no lists of groups, and
   schedules do not know them. */
#include "nn/nn.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static const double pi = 3.14159265358979323846;

static double schedule_or_else(double value, double otherwise)
{
    return value != 0 ? value : otherwise;
}

/* ---- curves ---------------------------------------------------------------------------------- */

static double step_at(const gr_schedule *s, int64_t t)
{
    return s->state.lr0 * pow(s->o.step.gamma, (double)(t / s->o.step.every));
}

static double multistep_at(const gr_schedule *s, int64_t t)
{
    const gr_milestones *m = &s->o.multistep.milestones;
    int                  passed = 0;
    while (passed < m->count && m->at[passed] <= t) passed++;
    return s->state.lr0 * pow(s->o.multistep.gamma, passed);
}

static double exponential_at(const gr_schedule *s, int64_t t)
{
    return s->state.lr0 * pow(s->o.exponential.gamma, (double)t);
}

static double cosine_at(const gr_schedule *s, int64_t t)
{
    double low = s->o.cosine.min_lr;
    return low + (s->state.lr0 - low) * (1 + cos(pi * (double)t / (double)s->o.cosine.steps)) / 2;
}

/* The value at t of a curve that is value[0], value[1], ... at 0, end[0], end[1], ... */
static double anneal(
    const gr_one_cycle_lr_options *o, const double *end, const double *value, double t)
{
    double start = 0;
    int    phase = 0;
    while (t > end[phase]) start = end[phase++];
    double from = value[phase], to = value[phase + 1],
           part = end[phase] > start ? (t - start) / (end[phase] - start) : 1;
    return o->linear ? from + (to - from) * part : to + (from - to) / 2 * (1 + cos(pi * part));
}

static double one_cycle(const gr_schedule *s, int64_t t, const double three[4], const double two[3])
{
    const gr_one_cycle_lr_options *o = &s->o.one_cycle;
    double rise = o->pct_start * (double)o->steps, last = (double)(o->steps - 1);
    double now = (double)t < last ? (double)t : last;
    if (o->three_phase) return anneal(o, (double[]){ rise - 1, 2 * rise - 2, last }, three, now);
    return anneal(o, (double[]){ rise - 1, last }, two, now);
}

static double one_cycle_at(const gr_schedule *s, int64_t t)
{
    double first = s->max_lr / s->o.one_cycle.div_factor,
           last = first / s->o.one_cycle.final_div_factor;
    return one_cycle(
        s, t, (double[]){ first, s->max_lr, first, last }, (double[]){ first, s->max_lr, last });
}

static double one_cycle_momentum_at(const gr_schedule *s, int64_t t)
{
    double low = s->o.one_cycle.base_momentum, high = s->o.one_cycle.max_momentum;
    return one_cycle(s, t, (double[]){ high, low, high, high }, (double[]){ high, low, high });
}

static double plateau_at(const gr_schedule *s, int64_t t) { return (void)t, s->state.lr; }

/* ---- their options, which a run that goes on must have too ----------------------------------- */

static void step_facts(gr__state *s, const gr_schedule *x)
{
    gr__state_is_integer(s, "every", x->o.step.every);
    gr__state_is_number(s, "gamma", x->o.step.gamma);
}

static void multistep_facts(gr__state *s, const gr_schedule *x)
{
    const gr_milestones *m = &x->o.multistep.milestones;
    for (int i = 0; i < m->count; i++) {
        char name[24];
        snprintf(name, sizeof name, "milestone%d", i);
        gr__state_is_integer(s, name, m->at[i]);
    }
    gr__state_is_number(s, "gamma", x->o.multistep.gamma);
}

static void exponential_facts(gr__state *s, const gr_schedule *x)
{
    gr__state_is_number(s, "gamma", x->o.exponential.gamma);
}

static void cosine_facts(gr__state *s, const gr_schedule *x)
{
    gr__state_is_integer(s, "steps", x->o.cosine.steps);
    gr__state_is_number(s, "min_lr", x->o.cosine.min_lr);
}

static void one_cycle_facts(gr__state *s, const gr_schedule *x)
{
    const gr_one_cycle_lr_options *o = &x->o.one_cycle;
    gr__state_is_number(s, "max_lr", x->max_lr);
    gr__state_is_integer(s, "steps", o->steps);
    gr__state_is_number(s, "pct_start", o->pct_start);
    gr__state_is_number(s, "div_factor", o->div_factor);
    gr__state_is_number(s, "final_div_factor", o->final_div_factor);
    gr__state_is_number(s, "base_momentum", o->base_momentum);
    gr__state_is_number(s, "max_momentum", o->max_momentum);
    gr__state_is_integer(s, "linear", o->linear);
    gr__state_is_integer(s, "three_phase", o->three_phase);
    gr__state_is_integer(s, "fixed_momentum", o->fixed_momentum);
}

static void plateau_facts(gr__state *s, const gr_schedule *x)
{
    const gr_plateau_lr_options *o = &x->o.plateau;
    gr__state_is_number(s, "factor", o->factor);
    gr__state_is_integer(s, "patience", o->patience);
    gr__state_is_number(s, "threshold", o->threshold);
    gr__state_is_integer(s, "cooldown", o->cooldown);
    gr__state_is_number(s, "min_lr", o->min_lr);
    gr__state_is_number(s, "eps", o->eps);
    gr__state_is_integer(s, "maximise", o->maximise);
    gr__state_is_integer(s, "absolute", o->absolute);
}

static const gr__curve step_curve = { "step_lr", step_at, NULL, step_facts };
static const gr__curve multistep_curve = { "multistep_lr", multistep_at, NULL, multistep_facts };
static const gr__curve exponential_curve = { "exponential_lr", exponential_at, NULL,
    exponential_facts };
static const gr__curve cosine_curve = { "cosine_lr", cosine_at, NULL, cosine_facts };
static const gr__curve one_cycle_curve = { "one_cycle_lr", one_cycle_at, one_cycle_momentum_at,
    one_cycle_facts };
static const gr__curve one_cycle_lr_curve = { "one_cycle_lr", one_cycle_at, NULL, one_cycle_facts };
static const gr__curve plateau_curve = { "plateau_lr", plateau_at, NULL, plateau_facts };

/* ---- life ------------------------------------------------------------------------------------ */

void gr__schedule_apply(gr_schedule *s)
{
    int64_t t = s->state.count - s->warmup;
    double  lr = s->curve->lr(s, t > 0 ? t : 0), from = s->warmup_from;
    if (t < 0) lr *= from + (1 - from) * (double)s->state.count / (double)s->warmup;
    s->optim->lr = lr;
    if (s->curve->momentum) s->optim->momentum = s->curve->momentum(s, t > 0 ? t : 0);
}

/* A schedule like this one, at its beginning. */
static gr_schedule *schedule_open(gr_schedule like, int64_t warmup, double warmup_from)
{
    if (!(warmup >= 0 && warmup_from >= 0 && warmup_from <= 1)) {
        gr__fail(GR_ERR_ARGUMENT,
            "%s: warmup %lld, warmup_from %g: 0 or more wanted, and warmup_from at most 1",
            like.curve->name, (long long)warmup, warmup_from);
        return NULL;
    }
    gr_schedule *s = malloc(sizeof *s);
    if (!s) {
        gr__fail_memory(like.curve->name, sizeof *s);
        return NULL;
    }
    *s = like;
    s->warmup = warmup;
    s->warmup_from = schedule_or_else(warmup_from, 1.0 / 3);
    s->state.lr0 = s->state.lr = s->optim->lr;
    gr__schedule_apply(s);
    return s;
}

void gr_schedule_free(gr_schedule *s) { free(s); }

static bool schedule_given(const gr_optim *o, const gr__curve *c)
{
    return o || gr__fail(GR_ERR_ARGUMENT, "%s: the optimiser is NULL", c->name);
}

gr_schedule *gr_step_lr_(gr_optim *optim, gr_step_lr_options o)
{
    o.gamma = schedule_or_else(o.gamma, 0.1);
    if (!schedule_given(optim, &step_curve)) return NULL;
    if (o.every >= 1 && o.gamma > 0)
        return schedule_open(
            (gr_schedule){ &step_curve, optim, .o.step = o }, o.warmup, o.warmup_from);
    gr__fail(GR_ERR_ARGUMENT, "step_lr: every %lld, gamma %g: 1 or more and a gamma over 0 wanted",
        (long long)o.every, o.gamma);
    return NULL;
}

gr_schedule *gr_multistep_lr_(gr_optim *optim, gr_multistep_lr_options o)
{
    const gr_milestones *m = &o.milestones;
    bool rising = m->count >= 1 && m->count <= (int)(sizeof m->at / sizeof *m->at) && m->at[0] >= 1;
    for (int i = 1; rising && i < m->count; i++) rising = m->at[i] > m->at[i - 1];
    o.gamma = schedule_or_else(o.gamma, 0.1);
    if (!schedule_given(optim, &multistep_curve)) return NULL;
    if (rising && o.gamma > 0)
        return schedule_open(
            (gr_schedule){ &multistep_curve, optim, .o.multistep = o }, o.warmup, o.warmup_from);
    gr__fail(GR_ERR_ARGUMENT,
        "multistep_lr: count %d, gamma %g: milestones that rise from 1 or more and a gamma over 0 "
        "wanted",
        m->count, o.gamma);
    return NULL;
}

gr_schedule *gr_exponential_lr_(gr_optim *optim, gr_exponential_lr_options o)
{
    if (!schedule_given(optim, &exponential_curve)) return NULL;
    if (o.gamma > 0)
        return schedule_open((gr_schedule){ &exponential_curve, optim, .o.exponential = o },
            o.warmup, o.warmup_from);
    gr__fail(GR_ERR_ARGUMENT, "exponential_lr: gamma %g: over 0 wanted", o.gamma);
    return NULL;
}

gr_schedule *gr_cosine_lr_(gr_optim *optim, gr_cosine_lr_options o)
{
    if (!schedule_given(optim, &cosine_curve)) return NULL;
    if (o.steps >= 1 && o.min_lr >= 0)
        return schedule_open(
            (gr_schedule){ &cosine_curve, optim, .o.cosine = o }, o.warmup, o.warmup_from);
    gr__fail(GR_ERR_ARGUMENT,
        "cosine_lr: steps %lld, min_lr %g: 1 step or more and a min_lr of 0 or more wanted",
        (long long)o.steps, o.min_lr);
    return NULL;
}

static bool one_cycle_good(const gr_optim *optim, double max_lr, const gr_one_cycle_lr_options *o)
{
    if (!(o->steps >= 1 && max_lr > 0 && o->pct_start > 0 && o->pct_start <= 1 &&
            o->div_factor > 0 && o->final_div_factor > 0))
        return gr__fail(GR_ERR_ARGUMENT,
            "one_cycle_lr: max_lr %g, steps %lld, pct_start %g, div_factor %g, final_div_factor "
            "%g: all over 0, pct_start at most 1 wanted",
            max_lr, (long long)o->steps, o->pct_start, o->div_factor, o->final_div_factor);
    if (!(o->base_momentum >= 0 && o->base_momentum <= o->max_momentum && o->max_momentum < 1))
        return gr__fail(GR_ERR_ARGUMENT,
            "one_cycle_lr: momentum %g to %g: from 0 or more to under 1 wanted", o->base_momentum,
            o->max_momentum);
    return o->fixed_momentum || optim->momentum > 0 || optim->rule->beta1 ||
           gr__fail(GR_ERR_ARGUMENT,
               "one_cycle_lr: %s has no momentum to move; make it with one, or say .fixed_momentum",
               optim->rule->name);
}

gr_schedule *gr_one_cycle_lr_(gr_optim *optim, double max_lr, gr_one_cycle_lr_options o)
{
    o.pct_start = schedule_or_else(o.pct_start, 0.3);
    o.div_factor = schedule_or_else(o.div_factor, 25);
    o.final_div_factor = schedule_or_else(o.final_div_factor, 1e4);
    o.base_momentum = schedule_or_else(o.base_momentum, 0.85);
    o.max_momentum = schedule_or_else(o.max_momentum, 0.95);
    if (!schedule_given(optim, &one_cycle_curve) || !one_cycle_good(optim, max_lr, &o)) return NULL;
    const gr__curve *curve = o.fixed_momentum ? &one_cycle_lr_curve : &one_cycle_curve;
    return schedule_open(
        (gr_schedule){ curve, optim, .max_lr = max_lr, .o.one_cycle = o }, o.warmup, o.warmup_from);
}

gr_schedule *gr_plateau_lr_(gr_plateau_lr_options o)
{
    o.factor = schedule_or_else(o.factor, 0.1);
    o.patience = o.no_patience ? 0 : o.patience ? o.patience : 10;
    o.threshold = o.no_threshold ? 0 : schedule_or_else(o.threshold, 1e-4);
    o.eps = schedule_or_else(o.eps, 1e-8);
    if (!schedule_given(o.optim, &plateau_curve)) return NULL;
    if (o.factor > 0 && o.factor < 1 && o.patience >= 0 && o.threshold >= 0 && o.cooldown >= 0 &&
        o.min_lr >= 0 && o.eps >= 0)
        return schedule_open((gr_schedule){ &plateau_curve, o.optim, .o.plateau = o,
                                 .state.best = o.maximise ? -INFINITY : INFINITY },
            o.warmup, o.warmup_from);
    gr__fail(GR_ERR_ARGUMENT,
        "plateau_lr: factor %g, patience %lld, threshold %g, cooldown %lld, min_lr %g, eps %g: "
        "none may be negative, factor is under 1",
        o.factor, (long long)o.patience, o.threshold, (long long)o.cooldown, o.min_lr, o.eps);
    return NULL;
}

/* ---- going on -------------------------------------------------------------------------------- */

bool gr_schedule_next(gr_schedule *s)
{
    if (!s) return gr__fail(GR_ERR_ARGUMENT, "schedule_next: the schedule is NULL");
    s->state.count++;
    gr__schedule_apply(s);
    return true;
}

static bool better(const gr_plateau_lr_options *o, double metric, double best)
{
    double by = o->maximise ? o->threshold : -o->threshold,
           line = o->absolute ? best + by : best * (1 + by);
    return o->maximise ? metric > line : metric < line;
}

bool gr_schedule_report(gr_schedule *s, double metric)
{
    if (!s) return gr__fail(GR_ERR_ARGUMENT, "schedule_report: the schedule is NULL");
    if (s->curve != &plateau_curve)
        return gr__fail(
            GR_ERR_ARGUMENT, "schedule_report: a schedule of %s takes no reports", s->curve->name);
    const gr_plateau_lr_options *o = &s->o.plateau;
    gr__schedule_state          *now = &s->state;
    bool                         good = better(o, metric, now->best);
    if (good) now->best = metric;
    now->bad = good ? 0 : now->bad + 1;
    if (now->cooling > 0) {
        now->cooling--;
        now->bad = 0;
    }
    if (now->bad > o->patience) {
        double lr = fmax(now->lr * o->factor, o->min_lr);
        if (now->lr - lr > o->eps) now->lr = lr;
        now->cooling = o->cooldown;
        now->bad = 0;
    }
    gr__schedule_apply(s);
    return true;
}

/* ---- state ----------------------------------------------------------------------------------- */

void gr__list_schedule(gr__state *s, gr_schedule *x)
{
    gr__schedule_state *now = &x->state;
    gr__state_under(s, "schedule.");
    gr__state_is_text(s, "curve", x->curve->name);
    gr__state_is_number(s, "lr0", now->lr0);
    gr__state_is_integer(s, "warmup", x->warmup);
    gr__state_is_number(s, "warmup_from", x->warmup_from);
    x->curve->facts(s, x);
    gr__state_integer(s, "count", &now->count, 0, INT64_MAX - 1);
    gr__state_number(s, "lr", &now->lr, 0, DBL_MAX);
    gr__state_number(s, "best", &now->best, NAN, NAN);
    gr__state_integer(s, "bad", &now->bad, 0, INT64_MAX - 1);
    gr__state_integer(s, "cooling", &now->cooling, 0, INT64_MAX - 1);
}
