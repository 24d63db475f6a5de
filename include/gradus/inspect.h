/* inspect.h: the computational graph of a loss and its backward pass: as text, for Graphviz,
   and as a page of HTML. */
#ifndef GRADUS_INSPECT_H
#define GRADUS_INSPECT_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The backward pass from a loss as text: its operations in the order of backward, last first, each
 *  with its equation, and below it one line per input with the formula of that input's gradient. #3
 *  is the third operation; |t| is the norm of t, the square root of the sum of its squares. Where a
 *  tensor is used several times, each use shows the gradient that flows back from it, and "g = #5 +
 *  #3" is their sum. A number in parentheses is that of an equation of docs/convolution.md. Names
 *  are those of gr_named and of the model. Hooks are called, as by gr_grad; the history is kept,
 *  and no gradient that gr_grad_of returns changes. Errors: as gr_backward. Lifetime: the step's
 *  (outside any step: until gr_reset). */
GR_API const char *gr_explain_format(gr_tensor *loss);
/** Writes the text of gr_explain to standard output. */
GR_API void        gr_explain_print(gr_tensor *loss);

/** Options of gr_trace_dot. */
typedef struct gr_trace_dot_options {
    const char *path GR__OR(nullptr);
    GR__NAMED
    bool sideways GR__OR(false); /* from left to right instead of from top to bottom */
} gr_trace_dot_options;

/** gr_trace_dot(loss, path, .sideways): the computational graph of a loss as a file for Graphviz
 *  (dot -Tsvg). Operations are boxes, parameters rounded boxes, other leaves plain text; shapes
 *  stand at the edges, norms of gradients in the nodes, an operation's equation in its tooltip.
 *  Layers (the names of parameters up to their last dot) are clusters. The file is replaced as a
 *  whole or not at all. Hooks and history: as gr_explain. Errors: as gr_backward; a file that
 *  cannot be written. */
#define gr_trace_dot(loss, ...) \
    gr_trace_dot_((loss), GR__LITERAL(gr_trace_dot_options){ .path = __VA_ARGS__ })
/** gr_trace_dot as a function, for callers without macros. */
GR_API bool gr_trace_dot_(gr_tensor *loss, gr_trace_dot_options o);

/** Writes the whole pass behind a loss, forward and backward, as one file of HTML that opens from
 *  disk and makes no network request. It shows the graph, layer by layer and step by step; value
 *  and gradient of every tensor as heat maps; the equation and the vector-Jacobian products of
 *  every operation; and the three convolutions (33), (34), (35) of every conv2d, product by
 *  product. The file stays under 5 MB: of larger tensors it has the first images, channels and
 *  pixels, and says so, and each sum includes the products that are not in the file as one number.
 *  It is replaced as a whole or not at all. Hooks and history: as gr_explain. Errors: as
 *  gr_backward; a graph of too many operations (about 3,000); a file that cannot be written. */
GR_API bool gr_trace_html(gr_tensor *loss, const char *path);

#ifdef __cplusplus
}
#endif

#endif
