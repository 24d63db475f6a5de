/* init.c: initialisation, by torch.nn.init's definitions.

   Invariant: the initial value of a parameter depends on (the model's seed, its name) and the
   options alone; and all chosen parameters are initialised, or, after an error, none. */
#include "nn/nn.h"

#include <math.h>

enum { INIT_GRAIN = 32768 };

/* The weights that one output sums over, and the outputs that one input goes to: of (O,I,...), I
   and O times what follows. */
static void fans(const gr_tensor *t, double *in, double *out)
{
    double rest = 1;
    for (int i = 2; i < t->shape.rank; i++) rest *= (double)t->shape.dim[i];
    *in = (double)t->shape.dim[1] * rest;
    *out = (double)t->shape.dim[0] * rest;
}

static double gain_of(const gr_init_options *o)
{
    bool kaiming = o->how == GR_KAIMING_UNIFORM || o->how == GR_KAIMING_NORMAL;
    if (o->gain != 0) return o->gain;
    if (o->act == GR_TANH) return 5.0 / 3;
    if (o->act == GR_RELU) return sqrt(2);
    return kaiming && o->act == GR_NO_ACT ? sqrt(2 / (1 + o->a * o->a)) : 1;
}

/* The standard deviation by which the variance of what passes stays as it is. */
static double deviation(const gr_tensor *t, const gr_init_options *o)
{
    double in, out;
    fans(t, &in, &out);
    if (o->how == GR_XAVIER_UNIFORM || o->how == GR_XAVIER_NORMAL)
        return gain_of(o) * sqrt(2 / (in + out));
    return gain_of(o) / sqrt(o->fan_out ? out : in);
}

/* ---- orthogonal ------------------------------------------------------------------------------ */

static double dot(const double *a, const double *b, int64_t n)
{
    double  sum[4] = { 0 };
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) sum[k] += a[i + k] * b[i + k];
    for (; i < n; i++) sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

typedef struct later {
    double       *v; /* the vectors behind vk */
    const double *vk;
    int64_t       length;
} later;

/* Takes what lies along vk off the vectors begin .. end-1 behind it. */
static void take_off(const void *arg, int64_t begin, int64_t end)
{
    const later *l = arg;
    for (int64_t j = begin; j < end; j++) {
        double *vj = l->v + j * l->length, along = dot(l->vk, vj, l->length);
        for (int64_t i = 0; i < l->length; i++) vj[i] -= along * l->vk[i];
    }
}

/* Gram and Schmidt's, twice, since what one turn leaves along the others need not be small beside
   what it leaves of the vector. Lengths are positive: that is the Q of the QR whose R has a
   positive diagonal, and uniform among all if v was normal. */
static void orthonormalise(double *v, int64_t count, int64_t length)
{
    for (int turn = 0; turn < 2; turn++)
        for (int64_t k = 0; k < count; k++) {
            double *vk = v + k * length, norm = sqrt(dot(vk, vk, length));
            for (int64_t i = 0; i < length; i++) vk[i] /= norm;
            gr__parallel(count - k - 1, 1 + INIT_GRAIN / length, take_off,
                &(later){ vk + length, vk, length });
        }
}

/* Rows are made orthonormal, or columns if there are more rows than columns. */
static void fill_orthogonal(gr_tensor *t, gr_rng *rng, double gain, double *v)
{
    int64_t rows = t->shape.dim[0], columns = t->count / rows,
            count = rows < columns ? rows : columns, length = t->count / count;
    for (int64_t i = 0; i < t->count; i++) v[i] = gr_rng_normal(rng);
    orthonormalise(v, count, length);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            gr__reals(t)[r * columns + c] =
                (gr_real)(gain * (rows < columns ? v[r * length + c] : v[c * length + r]));
}

/* ---- any ------------------------------------------------------------------------------------- */

static bool may_fill(
    const gr_tensor *t, const char *name, const gr_init_options *o, const char *what)
{
    if (o->how < GR_KAIMING_UNIFORM || o->how > GR_CONSTANT)
        return gr__fail(GR_ERR_ARGUMENT, "%s: there is no initialisation %d", what, (int)o->how);
    if (!(o->gain >= 0))
        return gr__fail(GR_ERR_ARGUMENT, "%s: gain %g: 0 or more wanted", what, o->gain);
    return o->how == GR_CONSTANT || t->shape.rank >= 2 ||
           gr__fail(GR_ERR_ARGUMENT,
               "%s: %s%s %s: a weight (O,I,...) wanted, vectors take GR_CONSTANT only", what,
               name ? "" : "a tensor", name ? name : "", GR__TEXT(t));
}

static size_t work_bytes(const gr_tensor *t, const gr_init_options *o)
{
    return o->how == GR_ORTHOGONAL ? (size_t)t->count * sizeof(double) : 0;
}

static void init_fill(gr_tensor *t, gr_rng *rng, const gr_init_options *o, double *work)
{
    if (t->count == 0) return;
    gr__touch(t);
    gr_real *v = gr__reals(t);
    if (o->how == GR_CONSTANT) {
        for (int64_t i = 0; i < t->count; i++) v[i] = (gr_real)o->value;
    } else if (o->how == GR_ORTHOGONAL) {
        fill_orthogonal(t, rng, gain_of(o), work);
    } else if (o->how == GR_KAIMING_NORMAL || o->how == GR_XAVIER_NORMAL) {
        double std = deviation(t, o);
        for (int64_t i = 0; i < t->count; i++) v[i] = (gr_real)(std * gr_rng_normal(rng));
    } else {
        double bound = sqrt(3) * deviation(t, o);
        for (int64_t i = 0; i < t->count; i++)
            v[i] = (gr_real)(bound * (2 * gr_rng_uniform(rng) - 1));
    }
}

bool gr_tensor_init_(gr_tensor *t, gr_rng *rng, gr_init_options o)
{
    if (!t || (!rng && o.how != GR_CONSTANT))
        return gr__fail(
            GR_ERR_ARGUMENT, "tensor_init: %s is NULL", !t ? "the tensor" : "the stream");
    if (!gr__is(GR_REAL, "tensor_init", 0, t) || !may_fill(t, NULL, &o, "tensor_init"))
        return false;
    size_t  bytes = work_bytes(t, &o);
    double *work = bytes ? gr__alloc(bytes) : NULL;
    if (bytes && !work) return gr__fail_memory("tensor_init", bytes);
    init_fill(t, rng, &o, work);
    gr__release(work, bytes);
    return true;
}

bool gr_model_init_(gr_model *m, const char *pattern, gr_init_options o)
{
    if (!gr__model_built(m, "model_init") || !gr__pattern_good(m, pattern, "model_init"))
        return false;
    size_t most = 0;
    for (size_t i = 0; i < gr__array_length(m->params); i++) {
        const gr__slot *s = m->params[i];
        if (!gr__chosen(pattern, s)) continue;
        if (!may_fill(s->t, s->name, &o, "model_init")) return false;
        if (work_bytes(s->t, &o) > most) most = work_bytes(s->t, &o);
    }
    double *work = most ? gr__alloc(most) : NULL;
    if (most && !work) return gr__fail_memory("model_init", most);
    for (size_t i = 0; i < gr__array_length(m->params); i++) {
        const gr__slot *s = m->params[i];
        gr_rng          rng = gr_rng_of(m->seed, s->name);
        if (gr__chosen(pattern, s)) init_fill(s->t, &rng, &o, work);
    }
    gr__release(work, most);
    return true;
}
