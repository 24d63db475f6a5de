/* optim.c: the steps of the optimisers, by PyTorch's definitions. Invariant: g is read only, and
   whole vectors are used throughout, the last one filled up with zeros, so that an element's bits
   do not depend on where it stands. */
#include "table.h"
#include "vmath.h"

/* A vector of n elements; n is LANES, known when compiled, in all but the last. */
GR__INLINE vec optim_load(const gr_real *p, int64_t n)
{
    return n == LANES ? vec_load(p) : vec_load_some(p, n);
}

GR__INLINE void optim_store(gr_real *p, vec v, int64_t n)
{
    if (n == LANES)
        vec_store(p, v);
    else
        vec_store_some(p, v, n);
}

GR__INLINE vec vec_sqrt(vec x)
{
    for (int l = 0; l < LANES; l++) x[l] = real_(sqrt)(x[l]);
    return x;
}

/* ---- sgd ------------------------------------------------------------------------------------- */

typedef struct sgd_step {
    gr_real lr, momentum, fresh,
        weight_decay;           /* fresh: the gradient's share of the velocity, 1 - dampening */
    bool nesterov, first, keep; /* keep: is there a velocity */
} sgd_step;

GR__INLINE void sgd_vector(
    gr_real *p, const gr_real *g, gr_real *velocity, const sgd_step *s, int64_t n)
{
    vec x = optim_load(p, n), d = optim_load(g, n) + s->weight_decay * x;
    if (s->keep) {
        vec v = s->first ? d : s->momentum * optim_load(velocity, n) + s->fresh * d;
        optim_store(velocity, v, n);
        d = s->nesterov ? d + s->momentum * v : v;
    }
    optim_store(p, x - s->lr * d, n);
}

void GR__NAME(sgd)(gr_real *p, const gr_real *g, gr_real *velocity, const gr__sgd *o, int64_t n)
{
    sgd_step s = { (gr_real)o->lr, (gr_real)o->momentum, (gr_real)(1 - o->dampening),
        (gr_real)o->weight_decay, o->nesterov, o->first, velocity != NULL };
    int64_t  i = 0;
    for (; i + LANES <= n; i += LANES)
        sgd_vector(p + i, g + i, velocity ? velocity + i : NULL, &s, LANES);
    if (i < n) sgd_vector(p + i, g + i, velocity ? velocity + i : NULL, &s, n - i);
}

/* ---- adam and adamw -------------------------------------------------------------------------- */

typedef struct adam_step {
    gr_real rate, beta1, rest1, beta2, rest2, eps, weight_decay, keep,
        root2; /* rest: 1 - beta; root2: sqrt(correction2) */
} adam_step;

GR__INLINE void adam_vector(
    gr_real *p, const gr_real *g, gr_real *m, gr_real *v, const adam_step *s, int64_t n)
{
    vec x = optim_load(p, n), d = optim_load(g, n) + s->weight_decay * x;
    vec first = s->beta1 * optim_load(m, n) + s->rest1 * d,
        second = s->beta2 * optim_load(v, n) + s->rest2 * (d * d);
    optim_store(m, first, n);
    optim_store(v, second, n);
    optim_store(p, s->keep * x - s->rate * (first / (vec_sqrt(second) / s->root2 + s->eps)), n);
}

void GR__NAME(adam)(
    gr_real *p, const gr_real *g, gr_real *m, gr_real *v, const gr__adam *a, int64_t n)
{
    adam_step s = { (gr_real)(a->lr / a->correction1), (gr_real)a->beta1, (gr_real)(1 - a->beta1),
        (gr_real)a->beta2, (gr_real)(1 - a->beta2), (gr_real)a->eps,
        (gr_real)(a->decoupled ? 0 : a->weight_decay),
        (gr_real)(a->decoupled ? 1 - a->lr * a->weight_decay : 1), (gr_real)sqrt(a->correction2) };
    int64_t   i = 0;
    for (; i + LANES <= n; i += LANES) adam_vector(p + i, g + i, m + i, v + i, &s, LANES);
    if (i < n) adam_vector(p + i, g + i, m + i, v + i, &s, n - i);
}

/* ---- rmsprop --------------------------------------------------------------------------------- */

typedef struct rmsprop_step {
    gr_real lr, alpha, rest, eps, momentum, weight_decay; /* rest: 1 - alpha */
} rmsprop_step;

/* mean and velocity are NULL where they are not kept. */
GR__INLINE void rmsprop_vector(gr_real *p, const gr_real *g, gr_real *square, gr_real *velocity,
    gr_real *mean, const rmsprop_step *s, int64_t n)
{
    vec x = optim_load(p, n), d = optim_load(g, n) + s->weight_decay * x;
    vec v = s->alpha * optim_load(square, n) + s->rest * (d * d);
    optim_store(square, v, n);
    if (mean) {
        vec m = s->alpha * optim_load(mean, n) + s->rest * d;
        optim_store(mean, m, n);
        v -= m * m;
        v = vec_choose(v < vec_all(0), vec_all(0), v); /* a variance, but for rounding */
    }
    d /= vec_sqrt(v) + s->eps;
    if (velocity) {
        d += s->momentum * optim_load(velocity, n);
        optim_store(velocity, d, n);
    }
    optim_store(p, x - s->lr * d, n);
}

void GR__NAME(rmsprop)(gr_real *p, const gr_real *g, gr_real *square, gr_real *velocity,
    gr_real *mean, const gr__rmsprop *r, int64_t n)
{
    rmsprop_step s = { (gr_real)r->lr, (gr_real)r->alpha, (gr_real)(1 - r->alpha), (gr_real)r->eps,
        (gr_real)r->momentum, (gr_real)r->weight_decay };
    for (int64_t i = 0; i < n; i += LANES) {
        gr_real *u = velocity ? velocity + i : NULL, *m = mean ? mean + i : NULL;
        if (i + LANES <= n)
            rmsprop_vector(p + i, g + i, square + i, u, m, &s, LANES);
        else
            rmsprop_vector(p + i, g + i, square + i, u, m, &s, n - i);
    }
}
