/* gradcheck.c: the gradient of a user's function against finite differences.

   First order, the quantity is <w, y> for random weights w; second order, <u, gx> for random u, gx
   the gradient of <w, y>. Its derivative by each element comes once from backward and once from
   central differences at h and h / 2, joined after Richardson: (4 d(h/2) - d(h)) / 3. Where the
   function is not smooth, such as relu at 0, one-sided differences are tried, and a smaller h.
   Invariant: inputs get back the bits that they had, however the check ends.

   It works in float, too, and allows for the rounding of the result besides a relative
   tolerance. */
#include "autograd/autograd.h"
#include "ops/ops.h"

#include <float.h>
#include <math.h>

#define SINGLE (sizeof(gr_real) == sizeof(float))

/* how often h is tried, smaller each time: all where the function bends, two where it does not seem
   to */
enum { TURNS = 3 };

/* A quantity, and the sum of the sizes of its terms, of which its rounding is a share. */
typedef struct amount {
    double value, size;
} amount;

typedef struct gradcheck_check {
    gr_function      *fn;
    gr_tensor *const *x;
    gr_tensor       **given, **gx; /* by backward; of the moment */
    bool             *was_param;
    int               n;
    void             *ctx;
    double            h, tolerance;
    bool              second;
    amount            here; /* the quantity at the inputs as they are */
} gradcheck_check;

typedef struct worst {
    double  excess, given, wanted; /* excess: the error over what is allowed */
    int     input;
    int64_t element;
    bool    lively; /* a derivative that is not zero has been seen */
} worst;

/* ---- the quantity, and its derivative by backward -------------------------------------------- */

/* The same each time. */
static gr_tensor *weights(const gr_tensor *like, int number)
{
    gr_rng rng = gr_rng_of((uint64_t)number, "gradcheck");
    return gr_uniform(like->shape, &rng, 0.5, 1.5);
}

static gr_tensor *evaluate(const gradcheck_check *c)
{
    gr_tensor *y = c->fn(c->x, c->ctx);
    if (!y || y->dtype != GR_REAL) {
        gr__fail(
            GR_ERR_ARGUMENT, "gradcheck: the function gave %s", y ? "int32, reals wanted" : "NULL");
        return NULL;
    }
    return y;
}

/* Of y, or zeros where it does not depend on x at all. */
static bool gradcheck_gradients(
    const gradcheck_check *c, gr_tensor *y, gr_tensor *g, bool create, gr_tensor **gx)
{
    if (!y || !g) return false;
    if (gr__tracked(y))
        return gr_grads(y, c->x, c->n, gx,
            (gr_grad_options){ .grad_output = g, .create_graph = create, .allow_unused = true });
    for (int i = 0; i < c->n; i++)
        if (!(gx[i] = gr__constant(&c->x[i]->shape, 0))) return false;
    return true;
}

static bool add_up(amount *a, const gr_tensor *t, const gr_tensor *w)
{
    for (int64_t i = 0; w && i < t->count; i++) {
        double term = (double)gr__reals(t)[i] * (double)gr__reals(w)[i];
        a->value += term;
        a->size += fabs(term);
    }
    return w != NULL;
}

static bool gradcheck_measure(const gradcheck_check *c, amount *a)
{
    GR_STEP;
    *a = (amount){ 0, 0 };
    gr_tensor *y = evaluate(c), *w = y ? weights(y, 0) : NULL;
    if (!c->second) return y && add_up(a, y, w);
    bool good = gradcheck_gradients(c, y, w, false, c->gx);
    for (int i = 0; good && i < c->n; i++) good = add_up(a, c->gx[i], weights(c->x[i], i + 1));
    return good;
}

static bool by_backward(const gradcheck_check *c)
{
    gr_tensor *y = evaluate(c), *m = NULL;
    if (!gradcheck_gradients(c, y, y ? weights(y, 0) : NULL, c->second, c->given)) return false;
    for (int i = 0; c->second && i < c->n; i++) {
        gr_tensor *part = gr_sum(gr_mul(c->given[i], weights(c->x[i], i + 1)));
        m = m ? gr_add(m, part) : part;
    }
    return !c->second ||
           (m && gradcheck_gradients(c, m, gr__constant(&m->shape, 1), false, c->given));
}

/* ---- by differences -------------------------------------------------------------------------- */

/* The quantity at x - h, x - h/2, x + h/2, x + h for one element of x. */
static bool around(const gradcheck_check *c, gr_real *v, double h, double f[4])
{
    static const double at[4] = { -1, -0.5, 0.5, 1 };
    gr_real             was = *v;
    bool                good = true;
    for (int i = 0; good && i < 4; i++) {
        amount a;
        *v = (gr_real)((double)was + at[i] * h);
        good = gradcheck_measure(c, &a);
        f[i] = a.value;
    }
    *v = was;
    return good;
}

/* The derivative from both sides; or, where the function bends within reach (by more than allowed),
   the one-sided derivative that is nearer to what backward gave: on the side of x where the bend is
   not, that is the true one. */
static double difference(
    const double f[4], double f0, double h, double given, double allowed, bool *bends)
{
    double whole = (f[3] - f[0]) / (2 * h), half = (f[2] - f[1]) / h;
    double left = (3 * f0 - 4 * f[1] + f[0]) / h, right = (4 * f[2] - f[3] - 3 * f0) / h;
    *bends = !(fabs(whole - half) <= allowed && fabs(left - right) <= allowed);
    if (!*bends) return (4 * half - whole) / 3;
    return fabs(left - given) < fabs(right - given) ? left : right;
}

/* One element; mean: the mean size of its input's derivatives. */
static bool compare(const gradcheck_check *c, int input, int64_t element, double mean, worst *w)
{
    gr_real *v = gr__reals(c->x[input]) + element;
    double   given = (double)gr__reals(c->given[input])[element], size = fmax(1, fabs((double)*v)),
           f[4];
    const double rounding = 2 * (SINGLE ? (double)FLT_EPSILON : DBL_EPSILON);
    worst        here = { .excess = INFINITY };
    bool         bends = true;
    for (int turn = 0; turn < (bends ? TURNS : 2) && !(here.excess <= 1); turn++) {
        double h = c->h * size * pow(0.125, turn);
        if (!around(c, v, h, f)) return false;
        double noise = rounding * (3 * c->here.size + fabs(given * (double)*v)) / h;
        double wanted = difference(
            f, c->here.value, h, given, c->tolerance * (fabs(given) + mean) + noise, &bends);
        double error = fabs(given - wanted),
               excess = error == 0 ? 0 : error / (c->tolerance * (fabs(wanted) + mean) + noise);
        if (excess < here.excess || turn == 0)
            here = (worst){ isnan(excess) ? INFINITY : excess, given, wanted, input, element,
                fabs(wanted) > noise };
    }
    here.lively = here.lively || w->lively;
    if (here.excess > w->excess)
        *w = here;
    else
        w->lively = here.lively;
    return true;
}

static double mean_size(const gr_tensor *t)
{
    double sum = 0;
    for (int64_t e = 0; e < t->count; e++) sum += fabs((double)gr__reals(t)[e]);
    return t->count > 0 ? sum / (double)t->count : 0;
}

/* ---- the check ------------------------------------------------------------------------------- */

static bool gradcheck_judge(const gradcheck_check *c, const worst *w, bool allow_zero)
{
    const char *order = c->second ? "second order, " : "";
    if (w->excess > 1) {
        gr_shape at = gr__place(&c->x[w->input]->shape, w->element);
        return gr__fail(GR_ERR_NUMBER,
            "gradcheck: %sinput %d, element %s: %g by backward, %g by differences", order,
            w->input + 1, gr__shape_text(&at).s, w->given, w->wanted);
    }
    return w->lively || allow_zero ||
           gr__fail(GR_ERR_NUMBER,
               "gradcheck: %severy derivative is zero, which proves nothing; .allow_zero says that "
               "it is meant",
               order);
}

static bool check_order(gradcheck_check *c, bool allow_zero)
{
    GR_STEP;
    amount again;
    worst  w = { 0 };
    if (!gradcheck_measure(c, &c->here) || !gradcheck_measure(c, &again)) return false;
    if (!(c->here.value == again.value))
        return gr__fail(GR_ERR_NUMBER,
            "gradcheck: the function gives %g, and then %g for the same inputs", c->here.value,
            again.value);
    if (!by_backward(c)) return false;
    for (int i = 0; i < c->n; i++) {
        double mean = mean_size(c->given[i]);
        for (int64_t e = 0; c->x[i]->dtype == GR_REAL && e < c->x[i]->count; e++)
            if (!compare(c, i, e, mean, &w)) return false;
    }
    return gradcheck_judge(c, &w, allow_zero);
}

/* Inputs are parameters for the time of the check; put back last first, for one may be named
   twice. */
static bool check_orders(gradcheck_check *c, bool second_order, bool allow_zero)
{
    bool was = gr_set_recording(true);
    for (int i = 0; i < c->n; i++) {
        c->was_param[i] = c->x[i]->param;
        c->x[i]->param = c->x[i]->dtype == GR_REAL;
    }
    bool good = check_order(c, allow_zero);
    c->second = true;
    good = good && (!second_order || check_order(c, allow_zero));
    for (int i = c->n; i-- > 0;) c->x[i]->param = c->was_param[i];
    gr_set_recording(was);
    return good;
}

bool gr_gradcheck_(gr_function *fn, gr_tensor *const *x, gr_gradcheck_options o)
{
    if (!fn || !x || o.n < 1)
        return gr__fail(
            GR_ERR_ARGUMENT, "gradcheck: %s", !fn ? "the function is NULL" : "there is no input");
    if (!gr__given("gradcheck", o.n, x)) return false;
    for (int i = 0; i < o.n; i++)
        if (x[i]->node)
            return gr__fail(GR_ERR_ARGUMENT,
                "gradcheck: input %d %s is the result of an operation, a leaf wanted", i + 1,
                GR__TEXT(x[i]));
    size_t      n = (size_t)o.n, bytes = n * (2 * sizeof(gr_tensor *) + sizeof(bool));
    gr_tensor **block = gr__alloc(bytes);
    if (!block) return gr__fail_memory("gradcheck", bytes);
    gradcheck_check c = {
        .fn = fn,
        .x = x,
        .given = block,
        .gx = block + n,
        .was_param = (bool *)(block + 2 * n),
        .n = o.n,
        .ctx = o.ctx,
        .h = o.eps > 0 ? o.eps
             : SINGLE  ? 1e-2
                       : 1e-4,
        .tolerance = o.tolerance > 0 ? o.tolerance
                     : SINGLE        ? 5e-3
                                     : 1e-6,
    };
    bool good = check_orders(&c, o.second_order, o.allow_zero);
    gr__release(block, bytes);
    return good;
}
