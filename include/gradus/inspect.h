/* inspect.h: the graph behind a loss, and its backward pass: as text, for Graphviz, and as a page of HTML. */
#ifndef GRADUS_INSPECT_H
#define GRADUS_INSPECT_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The backward pass from a loss as text: its operations, last first, each with its equation, and under it a line an input, with the rule
 *  for that input's gradient. #3 is the third operation; |t| is the norm of t, the square root of the sum of its squares. Where a tensor is
 *  used several times, each use shows the gradient that comes from there, and "g = #5 + #3" adds them up. A number in brackets is an
 *  equation's, of docs/convolution.md. Names are those of gr_named and of the model. Hooks are called, as by gr_grad; the history is
 *  kept, and no gradient that gr_grad_of gives changes. Errors: as gr_backward. Lifetime: the step's (outside any step: until gr_reset). */
GR_API const char *gr_explain(gr_tensor *loss);
/** Writes gr_explain to standard output. */
GR_API void        gr_explain_print(gr_tensor *loss);

/** Options of gr_trace_dot. */
typedef struct gr_trace_dot_options {
    const char *path GR__OR(nullptr);
    GR__NAMED
    bool sideways GR__OR(false); /* from left to right, not from top to bottom */
} gr_trace_dot_options;

/** gr_trace_dot(loss, path, .sideways): the graph behind a loss as a file for Graphviz (dot -Tsvg): operations as boxes, parameters as rounded
 *  ones, other leaves without a frame, shapes on the arrows, norms of gradients, an operation's equation as its tooltip, and layers
 *  (the parameters' names up to their last dot) as frames. The file is replaced as a whole or not at all. Otherwise as gr_explain.
 *  Errors: as gr_backward; a file that cannot be written. */
#define gr_trace_dot(loss, ...) gr_trace_dot_((loss), GR__LITERAL(gr_trace_dot_options){ .path = __VA_ARGS__ })
/** gr_trace_dot as a function, for callers without macros. */
GR_API bool gr_trace_dot_(gr_tensor *loss, gr_trace_dot_options o);

/** Writes the whole pass behind a loss, forward and backward, as one file of HTML that opens from disk and asks no network for anything: the graph, layer by layer, which
 *  can be stepped through; of every tensor, value and gradient as pictures; of every operation, its equation and rules; and of every conv2d its
 *  three convolutions (33), (34), (35), product by product. The file stays under 5 MB: of larger tensors it holds the first images, channels and pixels, and says so, and what
 *  the rest adds to a sum. It is replaced as a whole or not at all. Otherwise as gr_explain. Errors: as gr_backward; a graph of too many operations (some 3,000);
 *  a file that cannot be written. */
GR_API bool gr_trace_html(gr_tensor *loss, const char *path);

#ifdef __cplusplus
}
#endif

#endif
