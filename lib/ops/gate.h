/* gate.h (private): a ReLU's gradient stopped early, by the max pooling that read its result.

   max(relu(x)) = relu(max(x)), so where a max pooling reads what a ReLU made, g [y > 0] can be
   taken of the pooled y, a quarter of the numbers, before g is scattered to x. The protocol:
   1. An op whose rule begins with gr__act_back marks its result: gr__gate_mark, at its ReLU.
   2. The rule of the pooling asks gr__gate_is_near: x is marked, and nobody but x's own rule will
      see the gradient. Then it stops g itself, scatters it, and notes that in the result:
      gr__gate_note.
   3. gr__act_back takes the note off, gr__gate_take, and if it is y's has nothing left to do.
   A gradient whose values change otherwise loses its note in gr__touch. */
#ifndef GR_OPS_GATE_H
#define GR_OPS_GATE_H

#include "core/core.h"
#include "gradus/ops.h"

static inline void gr__gate_mark(gr_tensor *y, gr_act act) { y->rectified = act == GR_RELU; }

static inline bool gr__gate_is_near(const gr_tensor *x, const gr_tensor *g)
{
    return x->rectified && x->node && !x->hooks && !x->retain_grad && !x->pass && gr__spare(g);
}

static inline gr_tensor *gr__gate_note(gr_tensor *gx, gr_tensor *x)
{
    if (gx) gx->gated_by = x;
    return gx;
}

/* Whether g was stopped where y is not positive. Its note is gone afterwards: y may be gone, and
   another in its place, before g is. */
static inline bool gr__gate_take(gr_tensor *g, const gr_tensor *y)
{
    bool stopped = g->gated_by == y;
    if (g->gated_by) g->gated_by = NULL;
    return stopped;
}

#endif
