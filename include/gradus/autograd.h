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

/** gr_backward(loss, .retain_graph): adds d loss / d p to the gradient of every parameter p that
 *  loss depends on, in one traversal of the tape in reverse; see gr_grad_of.
 *  Defaults: the history is used up. If it fails, no gradient has changed.
 *  Errors: a loss that is not one number or depends on no parameter, a history used up, a value
 *  changed since it was recorded, a loss that another thread has recorded. */
#define gr_backward(...) gr_backward_(GR__LITERAL(gr_backward_options) { .loss = __VA_ARGS__ })
/** gr_backward as a function, for callers without macros. */
GR_API bool gr_backward_(gr_backward_options o);

/** The gradient that gr_backward has stored in a parameter (or in an intermediate, after
 *  gr_retain_grad); NULL if there is none yet.
 *  Lifetime: t's, until gr_clear_grad. */
GR_API gr_tensor *gr_grad_of(const gr_tensor *t);
/** Releases the gradient of one tensor. NULL is allowed. */
GR_API void gr_clear_grad(gr_tensor *t);
/** Makes backward store the gradient of an intermediate, too, for gr_grad_of. Returns t.
 *  Errors: NULL, a tensor without a gradient. */
GR_API gr_tensor *gr_retain_grad(gr_tensor *t);

/** Options of gr_grad and gr_grads. */
typedef struct gr_grad_options {
    gr_tensor *x GR__OR(nullptr);
    GR__NAMED
    /* the gradient of y, of y's shape; none: 1, and y is one number */
    gr_tensor *grad_output GR__OR(nullptr);
    /* record, so that the gradient can be differentiated; keeps the history */
    bool create_graph GR__OR(false);
    bool retain_graph GR__OR(false); /* keep the history */
    bool allow_unused GR__OR(false); /* zeros where y does not depend on x, not an error */
} gr_grad_options;

/** gr_grad(y, x, .create_graph, ...): d y / d x as a tensor of x's shape; x is a parameter or an
 *  intermediate. The gradients that gr_grad_of returns do not change.
 *  Errors: as gr_backward; y does not depend on x.
 *  Lifetime: as an operation's result. */
#define gr_grad(y, ...) gr_grad_((y), GR__LITERAL(gr_grad_options) { .x = __VA_ARGS__ })
/** gr_grad as a function, for callers without macros. */
GR_API gr_tensor *gr_grad_(gr_tensor *y, gr_grad_options o);
/** The gradients for n tensors in one traversal: gx[i] = d y / d x[i]; o.x is not used. gx may be
 *  the list x: it is written when all is computed. Errors: as gr_grad; then each gx[i] is NULL. */
GR_API bool gr_grads(gr_tensor *y, gr_tensor *const *x, int n, gr_tensor **gx, gr_grad_options o);

/** H v for the Hessian H of a loss with respect to n tensors together: hv[i] = sum over j of (d^2
 *  loss / d x[i] d x[j]) v[j], by the gradient of <gradient, v>. It takes two traversals; the
 *  history of loss is kept, so that more can follow, and afterwards only the results take memory.
 *  Zeros where the second derivative is zero. hv may be the list v, or x: it is written when all is
 *  computed.
 *  Shapes: v[i] and hv[i] are x[i]'s.
 *  Errors: as gr_grad; shapes; then each hv[i] is NULL.
 *  Lifetime: as an operation's result. */
GR_API bool gr_hvp(gr_tensor *loss, gr_tensor *const *x, int n, gr_tensor *const *v,
    gr_tensor **hv);

/** A gradient hook: a function that is called with the gradient of a tensor, and returns a
 *  replacement, or NULL for none. g and what it computes are released after it; gr_keep moves them
 *  to the step in which backward was called (in gr_hvp and gr_gradcheck one that ends with the
 *  call), or out of any. g is not to be changed in place, which fails the whole pass, as does a
 *  failure in it. */
typedef gr_tensor *gr_grad_hook(gr_tensor *g, void *ctx);

/** Registers a gradient hook: fn(g, ctx) is called with g = d loss / d t in every backward, gr_grad
 *  and gr_grads that reaches t, as soon as g is complete: for an intermediate before it is
 *  propagated further, for a leaf after the traversal. gr_grad_of and gr_grad return the gradient
 *  after the hooks. Several are called in the order in which they were registered; they may take
 *  gradients, and add and remove hooks. With .create_graph what they compute is recorded. Returns
 *  t.
 *  Errors: NULL, a tensor without a gradient.
 *  Lifetime: t's, or until gr_off_grad. */
GR_API gr_tensor *gr_on_grad(gr_tensor *t, gr_grad_hook *fn, void *ctx);
/** Removes the first hook of t with this fn and ctx. Errors: there is none. */
GR_API bool gr_off_grad(gr_tensor *t, gr_grad_hook *fn, void *ctx);

/** A function of n tensors, for gr_gradcheck: the same result for the same inputs. */
typedef gr_tensor *gr_function(gr_tensor *const *x, void *ctx);

/** Options of gr_gradcheck. */
typedef struct gr_gradcheck_options {
    int n GR__OR(0);
    GR__NAMED
    void *ctx GR__OR(nullptr); /* passed to fn */
    double eps GR__OR(0); /* how much an element is changed: 1e-2 in float, 1e-4 in double */
    /* 5e-3 in float, 1e-6 in double: of the element plus its input's mean gradient, as sizes */
    double tolerance GR__OR(0);
    bool second_order GR__OR(false); /* the second derivative, too */
    bool allow_zero GR__OR(false); /* accept that every derivative is zero */
} gr_gradcheck_options;

/** gr_gradcheck(fn, x, n, .ctx, .eps, .tolerance, .second_order): a gradient check: whether the
 *  gradient of y = fn(x, ctx) agrees with finite differences; y of any shape, its elements weighted
 *  at random. Each element of each real input is changed up and down by .eps and by half of it
 *  (central differences with Richardson's extrapolation), and by less where the function is not
 *  smooth there; beside the tolerance, rounding of y is allowed for. The inputs need not be
 *  parameters, and are restored afterwards. Slow: four calls of fn per element. gr_gradcheck(fn,
 *  GR_TENSORS(a, b), .eps = 1e-3).
 *  Errors: fn fails, or differs between two calls; an input that is the result of an operation; a
 *  gradient that differs, with the worst element: "gradcheck: input 1, element (0,2): 0.123 by
 *  backward, 0.456 by differences"; all of them zero. */
#define gr_gradcheck(fn, ...) GR__GRADCHECK(fn, __VA_ARGS__)
#define GR__GRADCHECK(fn, x, ...) \
    gr_gradcheck_((fn), (x), GR__LITERAL(gr_gradcheck_options) { .n = __VA_ARGS__ })
/** gr_gradcheck as a function, for callers without macros. */
GR_API bool gr_gradcheck_(gr_function *fn, gr_tensor *const *x, gr_gradcheck_options o);

/** The backward function of a custom operation, its vector-Jacobian product: the gradient of input
 *  i, of that input's shape, from the gradient g of the result y = f(x). It is called once per pass
 *  for each real input that needs a gradient. Where it is made of operations on g, x and y, it can
 *  be differentiated again; one that is filled in (gr_zeros, then gr_data_mut) is good for first
 *  derivatives. g is not to be changed in place. What it makes lasts until each input of the
 *  operation has its gradient. NULL fails the whole pass. */
typedef gr_tensor *gr_custom_backward(int i, gr_tensor *g, gr_tensor *const *x, gr_tensor *y,
    void *ctx);

/** Options of gr_custom. */
typedef struct gr_custom_options {
    int n GR__OR(0);
    GR__NAMED
    void *ctx GR__OR(nullptr);            /* passed to backward */
    /* for gr_explain, such as "y = a b; ga = g b, gb = g a": of it the first 96 bytes */
    const char *equation GR__OR(nullptr);
} gr_custom_options;

/** gr_custom(name, backward, y, x, n, .ctx, .equation): y, however it was computed from the n
 *  tensors at x, as the result of one operation with a backward function of your own:
 *  gr_custom("my_mul", my_backward, y, GR_TENSORS(a, b)). The numbers of y are copied, and no
 *  history of y counts. Integers may stand among x; they have no gradient. name and equation are
 *  copied. Check the backward function by gr_gradcheck.
 *  Shapes: the result's is y's.
 *  Gradient: backward(i, g, x, result, ctx) for x[i].
 *  Errors: y, backward or an input NULL; a name that is not 1 to 40 letters, digits and _; in
 *  backward, by that name: no gradient, one of another shape or of integers, g changed, and with
 *  .create_graph one that is not made of g by operations.
 *  Lifetime: as an operation's result; ctx must last until backward is done. */
#define gr_custom(name, backward, y, ...) GR__CUSTOM(name, backward, y, __VA_ARGS__)
#define GR__CUSTOM(name, backward, y, x, ...) \
    gr_custom_((name), (backward), (y), (x), GR__LITERAL(gr_custom_options) { .n = __VA_ARGS__ })
/** gr_custom as a function, for callers without macros. */
GR_API gr_tensor *gr_custom_(const char *name, gr_custom_backward *backward, gr_tensor *y,
    gr_tensor *const *x, gr_custom_options o);

/** Sets whether this thread records operations (it does, at first). Returns what it was. */
GR_API bool gr_set_recording(bool on);
/** Ends a block without recording: see GR_NO_GRAD. */
GR_API void gr_restore_recording(const bool *was);
/** Declares that nothing is recorded until the enclosing block ends: GR_NO_GRAD; */
#define GR_NO_GRAD \
    __attribute__((cleanup(gr_restore_recording), unused)) \
    const bool GR__PASTE(gr__recording_, __LINE__) = gr_set_recording(false)

/** Sets whether this thread searches for the first NaN or Inf, forward or backward, which is an
 *  error that names the operation and the tensor. Slow.
 *  Default: off. */
GR_API void gr_detect_anomaly(bool on);

#ifdef __cplusplus
}
#endif

#endif
