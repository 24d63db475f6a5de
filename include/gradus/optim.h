/* optim.h: what trains a model: optimisers, clipping, groups of parameters, and schedules of the
   learning rate. Definitions and defaults are PyTorch's.

   A step of training is gr_minimize(optim, loss), or its parts, with clipping between them. */
#ifndef GRADUS_OPTIM_H
#define GRADUS_OPTIM_H

#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- optimisers ------------------------------------------------------------------------------ */
/* p is a parameter, g its gradient, t how many steps it has had. State begins at 0. */

/** An optimiser. It belongs to one model, and is released by gr_optim_free. */
typedef struct gr_optim gr_optim;

/** Options of gr_sgd. */
typedef struct gr_sgd_options {
    gr_model *model GR__OR(nullptr);
    GR__NAMED
    double lr GR__OR(0); /* 0.001 */
    double momentum GR__OR(0);
    double dampening GR__OR(0);
    double weight_decay GR__OR(0);
    bool nesterov GR__OR(false);
} gr_sgd_options;

/** gr_sgd(model, .lr, .momentum, .dampening, .weight_decay, .nesterov): stochastic gradient
 *  descent, PyTorch's: d = g + weight_decay p; v = momentum v + (1 - dampening) d, at first v = d;
 *  p -= lr (nesterov ? d + momentum v : v).
 *  Defaults: lr 0.001, the others 0.
 *  Errors: a model that is not sealed, negative numbers, nesterov without momentum or with
 *  dampening. */
#define gr_sgd(...) gr_sgd_(GR__LITERAL(gr_sgd_options) { .model = __VA_ARGS__ })
/** gr_sgd as a function, for callers without macros. */
GR_API gr_optim *gr_sgd_(gr_sgd_options o);

/** Options of gr_adam. */
typedef struct gr_adam_options {
    gr_model *model GR__OR(nullptr);
    GR__NAMED
    double lr GR__OR(0);    /* 0.001 */
    double beta1 GR__OR(0); /* 0.9 */
    double beta2 GR__OR(0); /* 0.999 */
    double eps GR__OR(0);   /* 1e-8 */
    double weight_decay GR__OR(0);
    bool no_beta1 GR__OR(false); /* beta1 = 0, which .beta1 cannot say */
} gr_adam_options;

/** gr_adam(model, .lr, .beta1, .beta2, .eps, .weight_decay): d = g + weight_decay p; m = beta1 m +
 *  (1 - beta1) d; v = beta2 v + (1 - beta2) d^2; p -= lr m' / (sqrt(v') + eps) with m' = m / (1 -
 *  beta1^t), v' = v / (1 - beta2^t).
 *  Defaults: 0.001, 0.9, 0.999, 1e-8, 0.
 *  Errors: a model that is not sealed, numbers out of range.
 *  Source: Kingma and Ba, Adam, ICLR 2015, algorithm 1. */
#define gr_adam(...) gr_adam_(GR__LITERAL(gr_adam_options) { .model = __VA_ARGS__ })
/** gr_adam as a function, for callers without macros. */
GR_API gr_optim *gr_adam_(gr_adam_options o);

/** Options of gr_adamw. */
typedef struct gr_adamw_options {
    gr_model *model GR__OR(nullptr);
    GR__NAMED
    double lr GR__OR(0);           /* 0.001 */
    double beta1 GR__OR(0);        /* 0.9 */
    double beta2 GR__OR(0);        /* 0.999 */
    double eps GR__OR(0);          /* 1e-8 */
    double weight_decay GR__OR(0); /* 0.01 */
    bool no_beta1 GR__OR(false);   /* beta1 = 0 */
    bool no_decay GR__OR(false);   /* weight_decay = 0 */
} gr_adamw_options;

/** gr_adamw(model, .lr, .beta1, .beta2, .eps, .weight_decay): gr_adam with the decay apart from the
 *  gradient: p -= lr weight_decay p, then Adam's step by d = g.
 *  Defaults: 0.001, 0.9, 0.999, 1e-8, 0.01.
 *  Errors: as gr_adam.
 *  Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019, algorithm 2. */
#define gr_adamw(...) gr_adamw_(GR__LITERAL(gr_adamw_options) { .model = __VA_ARGS__ })
/** gr_adamw as a function, for callers without macros. */
GR_API gr_optim *gr_adamw_(gr_adamw_options o);

/** Options of gr_rmsprop. */
typedef struct gr_rmsprop_options {
    gr_model *model GR__OR(nullptr);
    GR__NAMED
    double lr GR__OR(0);    /* 0.01 */
    double alpha GR__OR(0); /* 0.99 */
    double eps GR__OR(0);   /* 1e-8 */
    double momentum GR__OR(0);
    bool centered GR__OR(false);
    double weight_decay GR__OR(0);
    bool no_alpha GR__OR(false); /* alpha = 0 */
} gr_rmsprop_options;

/** gr_rmsprop(model, .lr, .alpha, .eps, .momentum, .centered, .weight_decay): d = g + weight_decay
 *  p; v = alpha v + (1 - alpha) d^2; centered also m = alpha m + (1 - alpha) d, else m = 0; d' = d
 *  / (sqrt(v - m^2) + eps); u = momentum u + d'; p -= lr u. A v - m^2 that rounding has made
 *  negative counts as 0.
 *  Defaults: 0.01, 0.99, 1e-8, 0, not centered, 0.
 *  Errors: a model that is not sealed, numbers out of range.
 *  Source: Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012; centered:
 *  Graves, arXiv:1308.0850, 2013, eqs. 38-45. */
#define gr_rmsprop(...) gr_rmsprop_(GR__LITERAL(gr_rmsprop_options) { .model = __VA_ARGS__ })
/** gr_rmsprop as a function, for callers without macros. */
GR_API gr_optim *gr_rmsprop_(gr_rmsprop_options o);

/** Releases an optimiser. NULL is allowed. */
GR_API void gr_optim_free(gr_optim *o);

/** Changes every parameter that has a gradient and is not frozen, by the optimiser's formula.
 *  Errors: a failure is pending (the gradients may be incomplete), no parameter has a gradient;
 *  then nothing has changed. */
GR_API bool gr_optim_step(gr_optim *o);
/** Releases the gradients of the optimiser's model. */
GR_API void gr_zero_grad(gr_optim *o);
/** gr_backward(loss), gr_optim_step, gr_zero_grad. Returns the loss; NaN when one of them
 *  failed. */
GR_API double gr_minimize(gr_optim *o, gr_tensor *loss);

/** The learning rate in use; NaN for NULL. */
GR_API double gr_optim_lr(const gr_optim *o);
/** Sets the learning rate, 0 included. Errors: NULL, a negative number. */
GR_API bool gr_optim_set_lr(gr_optim *o, double lr);
/** The momentum in use: of gr_sgd and gr_rmsprop, or beta1 of gr_adam and gr_adamw; NaN for
 *  NULL. */
GR_API double gr_optim_momentum(const gr_optim *o);

/* ---- clipping -------------------------------------------------------------------------------- */
/* Between backward and step, instead of gr_minimize:
       gr_backward(loss);
       gr_clip_grad_norm(net, 1);
       gr_optim_step(optim);
       gr_zero_grad(optim); */

/** Scales the gradients of all parameters by max_norm / (norm + 1e-6) if that is under 1, norm
 *  being that of all of them as one vector. Returns the norm that there was, summed in double.
 *  Errors: NULL, a negative number, no parameter has a gradient, a failure is pending, a norm that
 *  is not finite (as a pending failure, it also keeps gr_optim_step from stepping); then NaN, and
 *  nothing has changed.
 *  Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks,
 *  ICML 2013, algorithm 1. */
GR_API double gr_clip_grad_norm(gr_model *m, double max_norm);
/** Brings every element of the gradients into [-max_value, max_value]; NaN stays.
 *  Errors: as gr_clip_grad_norm, but for those of the norm. */
GR_API bool gr_clip_grad_value(gr_model *m, double max_value);

/* ---- groups of parameters -------------------------------------------------------------------- */

/** Options of gr_optim_group. */
typedef struct gr_optim_group_options {
    const char *pattern GR__OR(nullptr);
    GR__NAMED
    double lr_factor GR__OR(0);    /* 0: as it was, at first 1 */
    double weight_decay GR__OR(0); /* 0: as it was, at first the optimiser's */
    bool no_decay GR__OR(false);   /* weight_decay = 0 */
} gr_optim_group_options;

/** gr_optim_group(optim, pattern, .lr_factor, .weight_decay, .no_decay): gives the parameters of
 *  that name a weight decay of their own, and lr_factor times the optimiser's learning rate, also
 *  under a schedule. The pattern is a shell's (* ? [a-z]), or several with spaces or commas
 *  between, or GR_VECTORS: gr_optim_group(sgd, GR_VECTORS, .no_decay = true). A later call changes
 *  what it names and leaves the rest.
 *  Errors: NULL, a pattern (one of several) that fits no parameter, a negative number, .no_decay
 *  beside .weight_decay; then nothing has changed. */
#define gr_optim_group(optim, ...) \
    gr_optim_group_((optim), GR__LITERAL(gr_optim_group_options) { .pattern = __VA_ARGS__ })
/** gr_optim_group as a function, for callers without macros. */
GR_API bool gr_optim_group_(gr_optim *o, gr_optim_group_options g);

/* ---- schedules of the learning rate ---------------------------------------------------------- */
/* A schedule sets the rate when it is made, and again by each gr_schedule_next: once per epoch, or
   once per step of the optimiser, as the caller chooses. t is the number of these calls, from 0;
   lr0 the rate of the optimiser when the schedule was made. The rate at t is computed from t, not
   from the rate before, so a run that is resumed at t has the same rates; a rate set by
   gr_optim_set_lr is overwritten. Factors of groups multiply it. Each takes .warmup = w: for the
   first w counts the rate rises linearly from warmup_from (1/3) times the schedule's first rate,
   and the schedule's own t then begins at w: PyTorch's LinearLR and SequentialLR. */

/** A schedule of the learning rate. It belongs to one optimiser, and must be released, by
 *  gr_schedule_free, before that is. */
typedef struct gr_schedule gr_schedule;

#define GR__WARMUP_OPTIONS         \
    int64_t warmup GR__OR(0);      \
    double  warmup_from GR__OR(0); /* 1/3 */

/** Options of gr_step_lr. */
typedef struct gr_step_lr_options {
    int64_t every GR__OR(0);
    GR__NAMED
    double gamma GR__OR(0); /* 0.1 */
    GR__WARMUP_OPTIONS
} gr_step_lr_options;

/** gr_step_lr(optim, every, .gamma, .warmup): lr = lr0 gamma^(t / every), rounded down.
 *  Defaults: gamma 0.1.
 *  Errors: NULL, every under 1, negative numbers. */
#define gr_step_lr(optim, ...) \
    gr_step_lr_((optim), GR__LITERAL(gr_step_lr_options) { .every = __VA_ARGS__ })
/** gr_step_lr as a function, for callers without macros. */
GR_API gr_schedule *gr_step_lr_(gr_optim *o, gr_step_lr_options s);

/** Up to 12 counts, rising: GR_MILESTONES(80, 120). */
typedef struct gr_milestones {
    int count GR__OR(0);       /* how many */
    int64_t at[12] GR__OR({}); /* which */
} gr_milestones;

/** The milestones of gr_multistep_lr: GR_MILESTONES(80, 120). */
#define GR_MILESTONES(...) (GR__LITERAL(gr_milestones) { GR__COUNT(__VA_ARGS__), { __VA_ARGS__ } })

/** Options of gr_multistep_lr. */
typedef struct gr_multistep_lr_options {
    gr_milestones milestones GR__OR({});
    GR__NAMED
    double gamma GR__OR(0); /* 0.1 */
    GR__WARMUP_OPTIONS
} gr_multistep_lr_options;

/** gr_multistep_lr(optim, GR_MILESTONES(80, 120), .gamma, .warmup): lr = lr0 gamma^n, n the number
 *  of milestones that are t or less.
 *  Defaults: gamma 0.1.
 *  Errors: NULL, milestones that do not rise from 1 or more, negative numbers. */
#define gr_multistep_lr(optim, ...) \
    gr_multistep_lr_((optim), GR__LITERAL(gr_multistep_lr_options) { .milestones = __VA_ARGS__ })
/** gr_multistep_lr as a function, for callers without macros. */
GR_API gr_schedule *gr_multistep_lr_(gr_optim *o, gr_multistep_lr_options s);

/** Options of gr_exponential_lr. */
typedef struct gr_exponential_lr_options {
    double gamma GR__OR(0);
    GR__NAMED
    GR__WARMUP_OPTIONS
} gr_exponential_lr_options;

/** gr_exponential_lr(optim, gamma, .warmup): lr = lr0 gamma^t. A gamma of 1 is a warm-up only.
 *  Errors: NULL, gamma not over 0. */
#define gr_exponential_lr(optim, ...) \
    gr_exponential_lr_((optim), GR__LITERAL(gr_exponential_lr_options) { .gamma = __VA_ARGS__ })
/** gr_exponential_lr as a function, for callers without macros. */
GR_API gr_schedule *gr_exponential_lr_(gr_optim *o, gr_exponential_lr_options s);

/** Options of gr_cosine_lr. */
typedef struct gr_cosine_lr_options {
    int64_t steps GR__OR(0);
    GR__NAMED
    double min_lr GR__OR(0);
    GR__WARMUP_OPTIONS
} gr_cosine_lr_options;

/** gr_cosine_lr(optim, steps, .min_lr, .warmup): lr = min_lr + (lr0 - min_lr) (1 + cos(pi t /
 *  steps)) / 2, which rises again after so many.
 *  Defaults: min_lr 0.
 *  Errors: NULL, steps under 1, negative numbers.
 *  Source: Loshchilov and Hutter, SGDR, ICLR 2017, eq. 5. */
#define gr_cosine_lr(optim, ...) \
    gr_cosine_lr_((optim), GR__LITERAL(gr_cosine_lr_options) { .steps = __VA_ARGS__ })
/** gr_cosine_lr as a function, for callers without macros. */
GR_API gr_schedule *gr_cosine_lr_(gr_optim *o, gr_cosine_lr_options s);

/** Options of gr_one_cycle_lr. */
typedef struct gr_one_cycle_lr_options {
    int64_t steps GR__OR(0);
    GR__NAMED
    double pct_start GR__OR(0);        /* 0.3 */
    double div_factor GR__OR(0);       /* 25 */
    double final_div_factor GR__OR(0); /* 1e4 */
    double base_momentum GR__OR(0);    /* 0.85 */
    double max_momentum GR__OR(0);     /* 0.95 */
    bool linear GR__OR(false);         /* linear, not cosine */
    bool three_phase GR__OR(false);
    bool fixed_momentum GR__OR(false); /* does not change the momentum */
    GR__WARMUP_OPTIONS
} gr_one_cycle_lr_options;

/** gr_one_cycle_lr(optim, max_lr, steps, .pct_start, .div_factor, .final_div_factor, .linear,
 *  .three_phase, ...): from first = max_lr / div_factor up to max_lr at t = pct_start steps - 1,
 *  and down to first / final_div_factor at t = steps - 1, where it stays; with .three_phase down to
 *  first at 2 (pct_start steps - 1), then down to the last. Each along half a cosine, or a .linear
 *  line. The momentum (Adam's beta1) goes from max_momentum to base_momentum while the rate rises,
 *  and back while it falls, unless .fixed_momentum.
 *  Defaults: pct_start 0.3, div_factor 25, final_div_factor 1e4, momentum 0.85 to 0.95.
 *  Errors: NULL, steps under 1, numbers out of range, gr_sgd or gr_rmsprop without a momentum and
 *  without .fixed_momentum.
 *  Source: Smith and Topin, Super-Convergence, arXiv:1708.07120, 2017. */
#define gr_one_cycle_lr(optim, max_lr, ...) \
    gr_one_cycle_lr_((optim), (max_lr), GR__LITERAL(gr_one_cycle_lr_options) { \
        .steps = __VA_ARGS__ })
/** gr_one_cycle_lr as a function, for callers without macros. */
GR_API gr_schedule *gr_one_cycle_lr_(gr_optim *o, double max_lr, gr_one_cycle_lr_options s);

/** Options of gr_plateau_lr. */
typedef struct gr_plateau_lr_options {
    gr_optim *optim GR__OR(nullptr);
    GR__NAMED
    double factor GR__OR(0);    /* 0.1 */
    int64_t patience GR__OR(0); /* 10 */
    double threshold GR__OR(0); /* 1e-4 */
    bool maximise GR__OR(false);     /* the metric is to rise: an accuracy */
    bool absolute GR__OR(false);     /* the threshold is no fraction of the best */
    int64_t cooldown GR__OR(0);
    double min_lr GR__OR(0);
    double eps GR__OR(0);            /* 1e-8 */
    bool no_patience GR__OR(false);  /* patience = 0 */
    bool no_threshold GR__OR(false); /* threshold = 0 */
    GR__WARMUP_OPTIONS
} gr_plateau_lr_options;

/** gr_plateau_lr(optim, .factor, .patience, .threshold, .maximise, .absolute, .cooldown, .min_lr,
 *  .eps, .warmup): after more than patience reports in a row (gr_schedule_report) that were not
 *  better than the best, lr = max(factor lr, min_lr), unless that is under eps less; then cooldown
 *  reports are not counted. Better is under best (1 - threshold), .absolute best - threshold;
 *  .maximise over best (1 + threshold), best + threshold. gr_schedule_next counts for the warm-up
 *  only.
 *  Defaults: 0.1, 10, 1e-4, 0, 0, 1e-8.
 *  Errors: NULL, a factor not under 1, negative numbers. */
#define gr_plateau_lr(...) \
    gr_plateau_lr_(GR__LITERAL(gr_plateau_lr_options) { .optim = __VA_ARGS__ })
/** gr_plateau_lr as a function, for callers without macros. */
GR_API gr_schedule *gr_plateau_lr_(gr_plateau_lr_options s);

/** Increments the count, and sets the rate for it: after each epoch, or each step of the optimiser.
 *  Errors: NULL. */
GR_API bool gr_schedule_next(gr_schedule *s);
/** Reports a loss or an accuracy to a schedule of gr_plateau_lr. Errors: NULL, another schedule. */
GR_API bool gr_schedule_report(gr_schedule *s, double metric);
/** Releases a schedule; the rate stays as it is. NULL is allowed. */
GR_API void gr_schedule_free(gr_schedule *s);

#ifdef __cplusplus
}
#endif

#endif
