/* optim.h: what trains a model: optimisers and their groups of parameters. Definitions and defaults are PyTorch's.

   A step of training is gr_minimize(optim, loss), or its parts with what belongs between them. */
#ifndef GRADUS_OPTIM_H
#define GRADUS_OPTIM_H

#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- optimisers ------------------------------------------------------------------------------------------------------------------ */
/* p is a parameter, g its gradient, t how many steps it has had. State begins at 0. */

/** What turns gradients into better parameters. Belongs to one model; released by gr_optim_free. */
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

/** gr_sgd(model, .lr, .momentum, .dampening, .weight_decay, .nesterov): stochastic gradient descent, PyTorch's: d = g + weight_decay p;
 *  v = momentum v + (1 - dampening) d, at first v = d; p -= lr (nesterov ? d + momentum v : v). Defaults: lr 0.001, the others 0.
 *  Errors: a model that is not sealed, negative numbers, nesterov without momentum or with dampening. */
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

/** gr_adam(model, .lr, .beta1, .beta2, .eps, .weight_decay): d = g + weight_decay p; m = beta1 m + (1 - beta1) d; v = beta2 v + (1 - beta2) d^2;
 *  p -= lr m' / (sqrt(v') + eps) with m' = m / (1 - beta1^t), v' = v / (1 - beta2^t). Defaults: 0.001, 0.9, 0.999, 1e-8, 0.
 *  Errors: a model that is not sealed, numbers out of range. Source: Kingma and Ba, Adam, ICLR 2015, algorithm 1. */
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

/** gr_adamw(model, .lr, .beta1, .beta2, .eps, .weight_decay): gr_adam with the decay apart from the gradient: p -= lr weight_decay p, then
 *  Adam's step by d = g. Defaults: 0.001, 0.9, 0.999, 1e-8, 0.01. Errors: as gr_adam.
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
    double weight_decay GR__OR(0);
    bool centered GR__OR(false);
    bool no_alpha GR__OR(false); /* alpha = 0 */
} gr_rmsprop_options;

/** gr_rmsprop(model, .lr, .alpha, .eps, .momentum, .centered, .weight_decay): d = g + weight_decay p; v = alpha v + (1 - alpha) d^2; centered also
 *  m = alpha m + (1 - alpha) d, else m = 0; d' = d / (sqrt(v - m^2) + eps); u = momentum u + d'; p -= lr u. A v - m^2 that rounding has made
 *  negative counts as 0. Defaults: 0.01, 0.99, 1e-8, 0, not centered, 0. Errors: a model that is not sealed, numbers out of range.
 *  Source: Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012; centered: Graves, arXiv:1308.0850, 2013, eqs. 38-45. */
#define gr_rmsprop(...) gr_rmsprop_(GR__LITERAL(gr_rmsprop_options) { .model = __VA_ARGS__ })
/** gr_rmsprop as a function, for callers without macros. */
GR_API gr_optim *gr_rmsprop_(gr_rmsprop_options o);

/** Releases an optimiser. NULL is allowed. */
GR_API void gr_optim_free(gr_optim *o);

/** Changes every parameter that has a gradient and is not frozen, by the optimiser's rule.
 *  Errors: a failure is pending (the gradients may not be whole), no parameter has a gradient; then nothing has changed. */
GR_API bool gr_optim_step(gr_optim *o);
/** Forgets the gradients of the optimiser's model. */
GR_API void gr_zero_grad(gr_optim *o);
/** gr_backward(loss), gr_optim_step, gr_zero_grad. Returns the loss; NaN when one of them failed. */
GR_API double gr_minimize(gr_optim *o, gr_tensor *loss);

/** The learning rate in use; NaN for NULL. */
GR_API double gr_optim_lr(const gr_optim *o);
/** Sets the learning rate, 0 included. Errors: NULL, a negative number. */
GR_API bool gr_optim_set_lr(gr_optim *o, double lr);
/** The momentum in use: of gr_sgd and gr_rmsprop, or beta1 of gr_adam and gr_adamw; NaN for NULL. */
GR_API double gr_optim_momentum(const gr_optim *o);

/* ---- groups of parameters ---------------------------------------------------------------------------------------------------------- */

/** In a pattern's place, or as one of several: the parameters of at most one dimension, which norms' weights and all biases are. */
#define GR_VECTORS "<vectors>"

/** Options of gr_optim_group. */
typedef struct gr_optim_group_options {
    const char *pattern GR__OR(nullptr);
    GR__NAMED
    double lr_factor GR__OR(0);    /* 0: as it was, at first 1 */
    double weight_decay GR__OR(0); /* 0: as it was, at first the optimiser's */
    bool no_decay GR__OR(false);   /* weight_decay = 0 */
} gr_optim_group_options;

/** gr_optim_group(optim, pattern, .lr_factor, .weight_decay, .no_decay): gives the parameters of that name a weight decay of their own, and
 *  lr_factor times the optimiser's learning rate, whatever a schedule makes of that. The pattern is a shell's (* ? [a-z]), or several with spaces
 *  or commas between, or GR_VECTORS: gr_optim_group(sgd, GR_VECTORS, .no_decay = true). A later call changes what it names and leaves the rest.
 *  Errors: NULL, a pattern (one of several) that fits no parameter, a negative number, .no_decay beside .weight_decay; then nothing has changed. */
#define gr_optim_group(optim, ...) gr_optim_group_((optim), GR__LITERAL(gr_optim_group_options) { .pattern = __VA_ARGS__ })
/** gr_optim_group as a function, for callers without macros. */
GR_API bool gr_optim_group_(gr_optim *o, gr_optim_group_options g);

#ifdef __cplusplus
}
#endif

#endif
