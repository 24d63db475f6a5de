/* clip.c: gradient clipping.

   Invariant: the gradients of a model are all changed, or none; and the norm is summed in one
   order, in double.

   A norm that is not finite is an error. (PyTorch scales by it, which makes every gradient NaN,
   unless an option forbids it.) The failure stays pending, so the next step does not happen. */
#include "nn/nn.h"

#include <math.h>

/* Whether there are gradients to clip, and nothing has failed that should have made more of
   them. */
static bool may_clip(const gr_model *m, double most, const char *what)
{
    if (!m) return gr__fail(GR_ERR_ARGUMENT, "%s: the model is NULL", what);
    if (!(most >= 0))
        return gr__fail(GR_ERR_ARGUMENT, "%s: a limit of %g: 0 or more wanted", what, most);
    if (gr__failed() || !gr__kernel_table()) return false;
    for (size_t i = 0; i < gr__array_length(m->params); i++)
        if (m->params[i]->t->grad) return true;
    return gr__fail(GR_ERR_GRAPH, "%s: no parameter has a gradient; gr_backward comes first", what);
}

/* In four sums, which need not wait for one another. */
double gr__squares(const gr_real *x, int64_t n)
{
    double  sum[4] = { 0 };
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) sum[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++) sum[0] += (double)x[i] * (double)x[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

double gr_clip_grad_norm(gr_model *m, double max_norm)
{
    if (!may_clip(m, max_norm, "clip_grad_norm")) return NAN;
    size_t n = gr__array_length(m->params);
    double square = 0;
    for (size_t i = 0; i < n; i++) {
        const gr_tensor *g = m->params[i]->t->grad;
        double           of_g = g ? gr__squares(gr__reals(g), g->count) : 0;
        if (!isfinite(of_g)) {
            gr__fail(GR_ERR_NUMBER, "clip_grad_norm: the gradient of '%s' %s has the norm %s",
                m->params[i]->name, GR__TEXT(g), isnan(of_g) ? "nan" : "inf");
            return NAN;
        }
        square += of_g;
    }
    double norm = sqrt(square), factor = max_norm / (norm + 1e-6);
    for (size_t i = 0; factor < 1 && i < n; i++) {
        gr_tensor *g = m->params[i]->t->grad;
        if (!g) continue;
        gr__touch(g);
        gr__kernel_table()->scale(gr__reals(g), gr__reals(g), factor, g->count);
    }
    return norm;
}

bool gr_clip_grad_value(gr_model *m, double max_value)
{
    if (!may_clip(m, max_value, "clip_grad_value")) return false;
    gr_real most = (gr_real)max_value;
    for (size_t i = 0; i < gr__array_length(m->params); i++) {
        gr_tensor *g = m->params[i]->t->grad;
        gr_real   *v = g ? gr__reals(g) : NULL;
        if (g) gr__touch(g);
        for (int64_t k = 0; g && k < g->count; k++)
            v[k] = v[k] > most ? most : v[k] < -most ? -most : v[k];
    }
    return true;
}
