/* inspect.h (private): the graph behind a loss as plain data, and its visualisation. */
#ifndef GR_INSPECT_H
#define GR_INSPECT_H

#include "autograd/autograd.h"
#include "gradus/inspect.h"
#include "web/web.h"

/* ---- graph.c ------------------------------------------------------------- */

/* A tensor of the graph: the result of one of its operations, or a leaf. */
typedef struct gr__graph_tensor {
    gr_tensor *t;
    gr_tensor *g;      /* its gradient; NULL: none */
    int        number; /* of its operation, from 1 in the order they ran; 0: a leaf */
    int        flows;  /* how many uses a gradient flows back from */
    size_t     last;   /* the last of its uses in the order of backward */
    double     value_norm, grad_norm;
} gr__graph_tensor;

/* Input i of an operation. Inputs without a name that can have no gradient, such as statistics, are
   left out. */
typedef struct gr__graph_use {
    size_t tensor;
    int    number, input; /* the operation's, and i */
    bool   flows;         /* whether a gradient flows back from it */
    double grad_norm;     /* what flows back */
    size_t previous;      /* use of the same tensor plus 1; 0: this is the first */
} gr__graph_use;

typedef struct gr__graph_operation {
    gr__node *nd;
    size_t    result, uses; /* its uses: count of them from there on */
    int       count;
} gr__graph_operation;

/* All arrays are stb_ds's. Operations stand in the order of backward: number n first, then n - 1,
   down to 1. */
typedef struct gr__graph {
    gr__graph_operation *operations;
    gr__graph_use       *uses;
    gr__graph_tensor    *tensors;
    gr__pass             map; /* while the graph is collected: tensor to place in tensors */
} gr__graph;

/* The graph with gradients and norms; tensors made for it belong to the innermost step. false: the
   error, in the name of what; and the graph is to be freed all the same. */
bool gr__graph_make(gr__graph *gr, gr_tensor *loss, const char *what);
void gr__graph_free(gr__graph *gr);

/* A piece of an operation's equation. */
typedef struct gr__equation {
    const char *s;
    int         length;
} gr__equation;
gr__equation gr__equation_of_result(const gr__op *op);
gr__equation gr__equation_of_input(
    const gr__op *op, int i); /* the rule for its gradient; empty: it has none */

/* The gradient that flows back from one use alone. NULL: it failed. The innermost step's. */
gr_tensor *gr__graph_part(
    const gr__graph *gr, const gr__graph_operation *op, const gr__graph_use *use);

/* ---- layers.c ------------------------------------------------------------ */

/* A layer's name: the first length bytes of a parameter's name; 0: none. */
typedef struct gr__layer_name {
    const char *s;
    int         length;
    bool        own; /* the operation itself uses the layer's parameters */
} gr__layer_name;

gr__layer_name gr__layer_name_of_leaf(const gr__graph_tensor *s);
void           gr__layer_names_of(
              const gr__graph *gr, gr__layer_name *of); /* of every operation: of[number - 1] */

/* ---- sample.c: which part of its tensors a page contains ----------------- */

/* How many indices are kept, by the kind of dimension. */
typedef struct gr__sample {
    int64_t images, channels, side, length;
} gr__sample;

/* The largest that keeps the page of a graph under 5 MB. false: there is none; an error in the name
   of what. */
bool     gr__sample_of(gr__sample *s, const gr__graph *gr, const char *what);
gr_shape gr__sample_kept(const gr__sample *s, const gr_tensor *t);

/* ---- terms.c: the sums of the three convolutions, of whose products a page shows some ---- */

/* A convolution y = conv(x, k) with G, the gradient of its sums, and how much of x, k and G is
   shown. */
typedef struct gr__terms {
    gr__conv       c;
    const gr_real *x, *k, *u;
    gr_shape       kept[3]; /* of x, k, G */
} gr__terms;

typedef enum gr__terms_target {
    GR__TERMS_OF_X,
    GR__TERMS_OF_K,
    GR__TERMS_OF_Y
} gr__terms_target; /* an element of gX (34), of gK (35), of the output (33) */

/* Whether a page that shows these shows every product. */
bool gr__terms_whole(const gr__terms *t, gr__terms_target of);
/* rest: for each element that is kept, the sum of its products that are not shown. */
void gr__terms_rest(const gr__terms *t, gr__terms_target of, double *rest);

/* ---- pass.c -------------------------------------------------------------- */

/* Made of pass.css, pass.html and the scripts by lib/inspect/Makefile.inc. */
extern const unsigned char gr__pass_css[], gr__pass_html[], gr__pass_js[];

#endif
