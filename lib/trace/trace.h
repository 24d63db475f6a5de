/* trace.h (private): the graph behind a loss as plain data, and pages of text, for what tells people of it. */
#ifndef GR_TRACE_H
#define GR_TRACE_H

#include "autograd/autograd.h"
#include "gradus/trace.h"

/* ---- graph.c ---------------------------------------------------------------------------------------------------------------------- */

/* A tensor of the graph: the result of one of its operations, or a leaf. */
typedef struct gr__seen {
    gr_tensor *t;
    gr_tensor *g;      /* its gradient; NULL: none flows to it */
    int        number; /* of the operation that made it, from 1 up in the order they ran; 0: a leaf */
    int        flows;  /* how many uses a gradient flows back from */
    size_t     last;   /* the last of its uses in the order of backward */
    double     value_norm, grad_norm;
} gr__seen;

/* Input i of an operation; but nothing is told of a nameless one that can have no gradient, such as labels. */
typedef struct gr__use {
    size_t tensor;
    int    number, input; /* the operation's, and i */
    bool   flows;         /* whether a gradient flows back from it */
    double grad_norm;     /* what flows back */
    size_t previous;      /* use of the same tensor plus 1; 0: this is the first */
} gr__use;

typedef struct gr__operation {
    gr__node *nd;
    size_t    result, uses; /* its uses: count of them from there on */
    int       count;
} gr__operation;

/* All arrays are stb_ds's. Operations stand in the order of backward: number n first, then n - 1, down to 1. */
typedef struct gr__graph {
    gr__operation *operations;
    gr__use       *uses;
    gr__seen      *seen;
    gr__pass       map; /* while the graph is collected: tensor to place in seen */
} gr__graph;

/* The graph with gradients and norms; tensors made for it belong to the innermost step. false: the error, in the name of what; and the
   graph is to be freed all the same. */
bool gr__graph_make(gr__graph *gr, gr_tensor *loss, const char *what);
void gr__graph_free(gr__graph *gr);

/* A piece of an operation's equation. */
typedef struct gr__piece {
    const char *s;
    int         length;
} gr__piece;
gr__piece gr__equation_forward(const gr__op *op);
gr__piece gr__equation_of_input(const gr__op *op, int i); /* the rule for its gradient; empty: it has none */

/* ---- page.c ----------------------------------------------------------------------------------------------------------------------- */

/* Text that grows. Once memory has run out it stays as it is, and good is false. */
typedef struct gr__page {
    char  *s;
    size_t length, room;
    bool   good;
} gr__page;

gr__page gr__page_begin(void);
void     gr__put(gr__page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void     gr__put_spaces(gr__page *p, int n);
void     gr__page_end(gr__page *p);

/* A name as anyone may see it: valid UTF-8, nothing that moves a cursor, and not too long. */
typedef struct gr__shown {
    char s[200];
    int  width; /* in characters */
} gr__shown;
gr__shown gr__show(const char *name);

#endif
