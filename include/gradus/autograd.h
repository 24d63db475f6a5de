/* autograd.h: from a scalar loss to the gradient of everything it depends on. */
#ifndef GRADUS_AUTOGRAD_H
#define GRADUS_AUTOGRAD_H

#include "ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Options of gr_backward. */
typedef struct gr_backward_options {
    gr_tensor *loss GR__OR(nullptr);
    GR__NAMED
    bool retain_graph GR__OR(false); /* keep the history, for another backward */
} gr_backward_options;

/** gr_backward(loss, .retain_graph): adds d loss / d p to the gradient of every parameter p that loss depends on, in one scan down the
 *  tape; see gr_grad_of. Defaults: the history is used up. If it fails, no gradient has changed.
 *  Errors: a loss that is not one number or depends on no parameter, a history used up, a value changed since it was recorded. */
#define gr_backward(...) gr_backward_(GR__LITERAL(gr_backward_options) { .loss = __VA_ARGS__ })
/** gr_backward as a function, for callers without macros. */
GR_API bool gr_backward_(gr_backward_options o);

/** The gradient that gr_backward has left on a parameter (or on an intermediate, after gr_retain_grad); NULL if there is none yet.
 *  Lifetime: t's, until gr_clear_grad. */
GR_API gr_tensor *gr_grad_of(const gr_tensor *t);
/** Forgets the gradient of one tensor. NULL is allowed. */
GR_API void gr_clear_grad(gr_tensor *t);
/** Has backward leave the gradient of an intermediate, too, in gr_grad_of. Returns t. Errors: NULL, a tensor without a gradient. */
GR_API gr_tensor *gr_retain_grad(gr_tensor *t);

/** Options of gr_grad and gr_grads. */
typedef struct gr_grad_options {
    gr_tensor *x GR__OR(nullptr);
    GR__NAMED
    gr_tensor *grad_output GR__OR(nullptr); /* the gradient of y, of y's shape; none: 1, and y is one number */
    bool create_graph GR__OR(false); /* record, so that the gradient can be differentiated; keeps the history */
    bool retain_graph GR__OR(false); /* keep the history */
    bool allow_unused GR__OR(false); /* zeros where y does not depend on x, not an error */
} gr_grad_options;

/** gr_grad(y, x, .create_graph, ...): d y / d x as a tensor of x's shape; x is a parameter or an intermediate. The gradients that
 *  gr_grad_of gives stay as they are. Errors: as gr_backward; y does not depend on x. Lifetime: as an operation's result. */
#define gr_grad(y, ...) gr_grad_((y), GR__LITERAL(gr_grad_options) { .x = __VA_ARGS__ })
/** gr_grad as a function, for callers without macros. */
GR_API gr_tensor *gr_grad_(gr_tensor *y, gr_grad_options o);
/** The gradients for n tensors in one scan: gx[i] = d y / d x[i]; o.x is not used. Errors: as gr_grad; then no gx is set. */
GR_API bool gr_grads(gr_tensor *y, gr_tensor *const *x, int n, gr_tensor **gx, gr_grad_options o);

/** Sets whether this thread records operations (it does, at first). Returns what it was. */
GR_API bool gr_set_recording(bool on);
/** Ends a block without recording: see GR_NO_GRAD. */
GR_API void gr_restore_recording(const bool *was);
/** Declares that nothing is recorded until the enclosing block ends: GR_NO_GRAD; */
#define GR_NO_GRAD __attribute__((cleanup(gr_restore_recording), unused)) const bool GR__PASTE(gr__recording_, __LINE__) = gr_set_recording(false)

/** Has this thread look for the first NaN or Inf, forward or backward: an error that names the operation and the tensor. Slow. Default: off. */
GR_API void gr_detect_anomaly(bool on);

#ifdef __cplusplus
}
#endif

#endif
