/* optim.c: the steps of the optimisers, by PyTorch's definitions. Invariant: g is read only, and whole vectors are used
   throughout, the last one filled up with zeros, so that an element's bits do not depend on where it stands. */
#include "table.h"
#include "vmath.h"

typedef struct sgd_step {
    gr_real lr, momentum, fresh, weight_decay; /* fresh: the gradient's share of the velocity, 1 - dampening */
    bool    nesterov, first;
} sgd_step;

GR__INLINE vec sgd_vector(vec p, vec g, vec *velocity, const sgd_step *s)
{
    g += s->weight_decay * p;
    if (s->momentum != 0) {
        *velocity = s->first ? g : s->momentum * *velocity + s->fresh * g;
        g = s->nesterov ? g + s->momentum * *velocity : *velocity;
    }
    return p - s->lr * g;
}

void GR__NAME(sgd)(gr_real *p, const gr_real *g, gr_real *velocity, double lr, double momentum, double dampening, double weight_decay,
    bool nesterov, bool first, int64_t n)
{
    sgd_step s = { (gr_real)lr, (gr_real)momentum, (gr_real)(1 - dampening), (gr_real)weight_decay, nesterov, first };
    bool     old = momentum != 0 && !first, keep = momentum != 0; /* is velocity read, is it written */
    vec      u = { 0 };
    int64_t  i = 0;
    for (; i + LANES <= n; i += LANES) {
        if (old) u = vec_load(velocity + i);
        vec_store(p + i, sgd_vector(vec_load(p + i), vec_load(g + i), &u, &s));
        if (keep) vec_store(velocity + i, u);
    }
    if (i == n) return;
    if (old) u = vec_load_some(velocity + i, n - i);
    vec_store_some(p + i, sgd_vector(vec_load_some(p + i, n - i), vec_load_some(g + i, n - i), &u, &s), n - i);
    if (keep) vec_store_some(velocity + i, u, n - i);
}

typedef struct adam_step {
    gr_real rate, beta1, rest1, beta2, rest2, eps, weight_decay, root2; /* rest: 1 - beta; root2: sqrt(correction2) */
} adam_step;

GR__INLINE vec vec_sqrt(vec x)
{
    for (int l = 0; l < LANES; l++) x[l] = real_(sqrt)(x[l]);
    return x;
}

GR__INLINE vec adam_vector(vec p, vec g, vec *m, vec *v, const adam_step *s)
{
    g += s->weight_decay * p;
    *m = s->beta1 * *m + s->rest1 * g;
    *v = s->beta2 * *v + s->rest2 * (g * g);
    return p - s->rate * (*m / (vec_sqrt(*v) / s->root2 + s->eps));
}

void GR__NAME(adam)(gr_real *p, const gr_real *g, gr_real *m, gr_real *v, const gr__adam *a, int64_t n)
{
    adam_step s = { (gr_real)(a->lr / a->correction1), (gr_real)a->beta1, (gr_real)(1 - a->beta1), (gr_real)a->beta2,
        (gr_real)(1 - a->beta2), (gr_real)a->eps, (gr_real)a->weight_decay, (gr_real)sqrt(a->correction2) };
    vec       mv, vv;
    int64_t   i = 0;
    for (; i + LANES <= n; i += LANES) {
        mv = vec_load(m + i);
        vv = vec_load(v + i);
        vec_store(p + i, adam_vector(vec_load(p + i), vec_load(g + i), &mv, &vv, &s));
        vec_store(m + i, mv);
        vec_store(v + i, vv);
    }
    if (i == n) return;
    mv = vec_load_some(m + i, n - i);
    vv = vec_load_some(v + i, n - i);
    vec_store_some(p + i, adam_vector(vec_load_some(p + i, n - i), vec_load_some(g + i, n - i), &mv, &vv, &s), n - i);
    vec_store_some(m + i, mv, n - i);
    vec_store_some(v + i, vv, n - i);
}
