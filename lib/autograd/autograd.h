/* autograd.h (private): a backward pass, as the calls built on it see it. */
#ifndef GR_AUTOGRAD_H
#define GR_AUTOGRAD_H

#include "core/core.h"
#include "gradus/autograd.h"

/* A tensor whose gradient the pass was started for, or a leaf that it came by. */
typedef struct gr__goal {
    gr_tensor *t;
    gr_tensor *g;        /* the gradient so far, or NULL */
    uint64_t   was_pass; /* what t said before: a pass may nest in another */
    size_t     was_slot;
} gr__goal;

typedef struct gr__pass {
    gr__thread *me;
    uint64_t    id;
    gr__node   *root;
    size_t      nodes;     /* from the root down to the lowest it can reach */
    gr_tensor **slot;      /* of node i: slot[i - root->reach] */
    bool       *wanted;    /* of node i: on a path to a goal; NULL: every node is */
    gr__goal   *goals;     /* stb_ds array */
    gr__step   *node_step; /* the step of the node being visited; NULL with create */
    bool        leaves;    /* every parameter met is a goal */
    bool        create, retain;
} gr__pass;

gr__pass  gr__pass_begin(const gr_tensor *y);
bool      gr__pass_add_goal(gr__pass *p, gr_tensor *t);
gr__goal *gr__pass_goal(const gr__pass *p, const gr_tensor *t);
/* leaves the gradients with the goals */
bool      gr__pass_run(gr__pass *p, gr_tensor *y, gr_tensor *grad_output);
void      gr__pass_end(gr__pass *p);
/* hooks.c: t's, called with *g, which they may replace */
bool      gr__pass_hooks(const gr__pass *p, const gr_tensor *t, gr_tensor **g);
void      gr__add_in_place(gr_tensor *to, const gr_tensor *g);

#endif
