/* statistics.c: min, var, std, norm and logsumexp over dimensions, made of the reductions and
   element-wise ops, which have the rules. */
#include "ops/ops.h"

#include <float.h>
#include <math.h>

/* The axes are good, in the name of the call; how many elements go into one result. */
static bool look(const char *name, const gr_reduce_options *o, int64_t *reduced)
{
    bool over[GR_MAX_DIMS];
    if (!gr__given_reals(name, 1, &o->x) || !gr__mark_axes(o->x, &o->axes, over, name))
        return false;
    *reduced = 1;
    for (int i = 0; i < o->x->shape.rank; i++) *reduced *= over[i] ? o->x->shape.dim[i] : 1;
    return true;
}

static bool look_for_some(const char *name, const gr_reduce_options *o)
{
    int64_t reduced;
    if (!look(name, o, &reduced)) return false;
    return reduced > 0 ||
           gr__fail(GR_ERR_ARGUMENT, "%s: %s has nothing along its axes", name, GR__TEXT(o->x));
}

gr_tensor *gr_min_(gr_reduce_options o)
{
    if (!look_for_some("min", &o)) return NULL;
    return gr_neg(gr_max(gr_neg(o.x), .axes = o.axes, .keepdim = o.keepdim));
}

/* sqrt, with the gradient 0 at 0: what is not chosen is replaced first, so that no infinity comes
   in. */
static gr_tensor *root(gr_tensor *s)
{
    gr_tensor *flat = s ? gr_eq(s, gr__number(0)) : NULL;
    return gr_where(flat, gr__number(0), gr_sqrt(gr_where(flat, gr__number(1), s)));
}

static gr_tensor *variance(const char *name, const gr_var_options *o)
{
    int64_t n;
    if (!look(name, &(gr_reduce_options){ .x = o->x, .axes = o->axes }, &n)) return NULL;
    gr_tensor *d = gr_sub(o->x, gr_mean(o->x, .axes = o->axes, .keepdim = true));
    gr_tensor *squares = gr_sum(gr_mul(d, d), .axes = o->axes, .keepdim = o->keepdim);
    double     freedom = (double)(o->biased ? n : n - 1);
    return gr_scale(squares, freedom > 0 ? 1 / freedom : NAN);
}

gr_tensor *gr_var_(gr_var_options o) { return variance("var", &o); }

gr_tensor *gr_std_(gr_var_options o)
{
    gr_tensor *v = variance("std", &o);
    return v ? root(v) : NULL;
}

gr_tensor *gr_norm_(gr_reduce_options o)
{
    int64_t reduced;
    if (!look("norm", &o, &reduced)) return NULL;
    return root(gr_sum(gr_mul(o.x, o.x), .axes = o.axes, .keepdim = o.keepdim));
}

/* The largest is taken out, as a constant: it cancels. Infinity less itself is no number, and so,
   of an infinite one, the largest finite number is: what stands beside infinity then counts for
   nothing. Of nothing, the sum is 0. */
gr_tensor *gr_logsumexp_(gr_reduce_options o)
{
    int64_t reduced;
    if (!look("logsumexp", &o, &reduced)) return NULL;
    if (reduced == 0) return gr_log(gr_sum(gr_exp(o.x), .axes = o.axes, .keepdim = o.keepdim));
    gr_tensor *most = gr_max(gr_detach(o.x), .axes = o.axes, .keepdim = true);
    most = most ? gr_where(gr_eq(most, gr__number(-INFINITY)), gr__number(0), most) : NULL;
    const double finite = sizeof(gr_real) == 4 ? (double)FLT_MAX : DBL_MAX;
    most = most ? gr_minimum(most, gr__number(finite)) : NULL;
    /* What lies so far below that e^(x - most) is 0 is lifted, since x - most might overflow. */
    gr_tensor *floor =
        most ? gr_where(gr_ge(most, gr__number(0)), gr__number(-1000), gr__number(-finite)) : NULL;
    gr_tensor *sum =
        gr_sum(gr_exp(gr_sub(gr_maximum(o.x, floor), most)), .axes = o.axes, .keepdim = o.keepdim);
    return sum ? gr_add(gr_log(sum), gr_reshape(most, sum->shape)) : NULL;
}
