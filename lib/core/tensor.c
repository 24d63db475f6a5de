/* tensor.c: tensors and the storage they look into.

   Invariant: data points into storage, at count elements that lie inside it; storage is released
   with its last tensor.

   A name is the tensor's, not a table's: it moves with the tensor and is released with it.

   References are counted with locked instructions only if the process has a second thread
   (GR__ALONE), which the C library knows; none can start in between. */
#include "core/core.h"

#include <math.h>
#include <string.h>

/* ---- life ---- */

static size_t tensor_element_size(gr_dtype dtype)
{
    return dtype == GR_INT32 ? sizeof(int32_t) : sizeof(gr_real);
}

static void storage_unref(gr__storage *s)
{
    if (gr__count_down(&s->refs)) gr__release(s, s->bytes);
}

/* One field after another: zeros for all of them first, and then what some are, would take longer
   than a sum of four numbers. */
static void tensor_begin(
    gr_tensor *t, gr_dtype dtype, const gr_shape *shape, int64_t count, gr__storage *s, void *data)
{
    atomic_init(&t->refs, 1);
    t->dtype = (uint8_t)dtype;
    t->param = t->retain_grad = t->rectified = false;
    t->count = count;
    t->shape = *shape;
    t->storage = s;
    t->data = data;
    t->node = NULL;
    t->grad = NULL;
    t->hooks = NULL;
    t->name = NULL;
    t->owner = NULL;
    t->prev = t->next = NULL;
    t->thread = 0;
    t->pass = 0;
    t->slot = 0;
    t->gated_by = NULL;
}

gr_tensor *gr__tensor(gr_dtype dtype, const gr_shape *shape, const char *what)
{
    _Static_assert(sizeof(gr__storage) <= GR__BLOCK_HEAD, "the sizes of blocks are made for it");
    int64_t count = gr__count(shape);
    if (count < 0) {
        gr__fail(GR_ERR_ARGUMENT,
            "%s: shape %s: sizes must not be negative, nor their product too large", what,
            gr__shape_text(shape).s);
        return NULL;
    }
    size_t       bytes = sizeof(gr__storage) + (size_t)count * tensor_element_size(dtype);
    gr__storage *s = gr__alloc(bytes);
    if (!s) {
        gr__fail_memory(what, bytes - sizeof *s);
        return NULL;
    }
    atomic_init(&s->refs, 1);
    atomic_init(&s->version, 0);
    s->bytes = bytes;
    tensor_begin(&s->first, dtype, shape, count, s, s->data);
    return &s->first;
}

gr_tensor *gr__view(gr_tensor *t, const gr_shape *shape, int64_t offset, const char *what)
{
    gr_tensor *v = gr__alloc(sizeof *v);
    if (!v) {
        gr__fail_memory(what, sizeof *v);
        return NULL;
    }
    tensor_begin(v, t->dtype, shape, gr__count(shape), t->storage,
        (char *)t->data + (size_t)offset * tensor_element_size(t->dtype));
    gr__count_up(&t->storage->refs);
    return v;
}

static void hooks_release(gr__hook *h)
{
    for (gr__hook *next; h; h = next) {
        next = h->next;
        gr__release(h, sizeof *h);
    }
}

static void name_release(char *name)
{
    if (name) gr__release(name, strlen(name) + 1);
}

void gr__unref(gr_tensor *t)
{
    /* A gradient has no gradient of its own in this chain more than once: retain_grad ends it at
       the next link. */
    while (t && gr__count_down(&t->refs)) {
        gr_tensor   *grad = t->grad;
        gr__storage *s = t->storage;
        hooks_release(t->hooks);
        name_release(t->name);
        if (t != &s->first) gr__release(t, sizeof *t);
        storage_unref(s);
        t = grad;
    }
}

/* ---- in messages ---- */

gr__label gr__label_of(const gr_tensor *t)
{
    gr__label l;
    gr__text  shape = gr__shape_text(&t->shape);
    if (t->name)
        snprintf(l.s, sizeof l.s, "'%s' %s", gr__quoted(t->name).s, shape.s);
    else
        snprintf(l.s, sizeof l.s, "%s", shape.s);
    return l;
}

/* ---- guards ---- */

bool gr__is(gr_dtype wanted, const char *name, int i, const gr_tensor *t)
{
    static const char *const names[] = { [GR_REAL] = "real", [GR_INT32] = "int32" };
    return t->dtype == wanted || gr__fail(GR_ERR_ARGUMENT, "%s: input %d %s is %s, %s wanted", name,
                                     i + 1, GR__TEXT(t), names[t->dtype], names[wanted]);
}

bool gr__given(const char *name, int n, gr_tensor *const *in)
{
    for (int i = 0; i < n; i++)
        if (!in[i]) return gr__fail(GR_ERR_ARGUMENT, "%s: input %d is NULL", name, i + 1);
    return true;
}

bool gr__given_reals(const char *name, int n, gr_tensor *const *in)
{
    bool good = gr__given(name, n, in);
    for (int i = 0; good && i < n; i++) good = gr__is(GR_REAL, name, i, in[i]);
    return good;
}

/* ---- making ---- */

static void tensor_fill(gr_tensor *t, double value)
{
    gr_real *y = gr__reals(t);
    for (int64_t i = 0; i < t->count; i++) y[i] = (gr_real)value;
}

gr_tensor *gr_full(gr_shape shape, double value)
{
    gr_tensor *t = gr__tensor(GR_REAL, &shape, "full");
    if (t) tensor_fill(t, value);
    return gr__own_leaf(t);
}

gr_tensor *gr_zeros(gr_shape shape) { return gr_full(shape, 0); }

gr_tensor *gr_ones(gr_shape shape) { return gr_full(shape, 1); }

gr_tensor *gr_scalar(double value) { return gr_full((gr_shape){ .rank = 0 }, value); }

gr_tensor *gr_arange(int64_t n)
{
    gr_tensor *t = gr__tensor(GR_REAL, &gr_shape(n), "arange");
    for (int64_t i = 0; t && i < n; i++) gr__reals(t)[i] = (gr_real)i;
    return gr__own_leaf(t);
}

static gr_tensor *tensor_from(
    gr_dtype dtype, const gr_shape *shape, const void *values, const char *what)
{
    if (!values) {
        gr__fail(GR_ERR_ARGUMENT, "%s: values is NULL", what);
        return NULL;
    }
    gr_tensor *t = gr__tensor(dtype, shape, what);
    if (t && t->count) memcpy(t->data, values, (size_t)t->count * tensor_element_size(dtype));
    return gr__own_leaf(t);
}

gr_tensor *gr_from(gr_shape shape, const gr_real *values)
{
    return tensor_from(GR_REAL, &shape, values, "from");
}

gr_tensor *gr_from_ints(gr_shape shape, const int32_t *values)
{
    return tensor_from(GR_INT32, &shape, values, "from_ints");
}

/* NULL given to a reader: the failure that made it NULL is pending already, or this is the
   failure. */
static bool tensor_given(const gr_tensor *t, const char *what)
{
    return t || gr__fail(GR_ERR_ARGUMENT, "%s: the tensor is NULL", what);
}

gr_tensor *gr_copy(const gr_tensor *t)
{
    return tensor_given(t, "copy") ? tensor_from(t->dtype, &t->shape, t->data, "copy") : NULL;
}

gr_tensor *gr_detach(gr_tensor *t)
{
    return tensor_given(t, "detach") ? gr__own(gr__view(t, &t->shape, 0, "detach")) : NULL;
}

gr_tensor *gr_param(gr_tensor *t)
{
    if (!tensor_given(t, "param")) return NULL;
    if (t->dtype != GR_REAL || t->node) {
        gr__fail(GR_ERR_ARGUMENT, "param: %s is %s, a leaf of reals wanted", GR__TEXT(t),
            t->node ? "the result of an operation" : "int32");
        return NULL;
    }
    if (!gr__take_from_base(t, "param")) return NULL;
    t->param = true;
    return t;
}

gr_tensor *gr_named(gr_tensor *t, const char *name)
{
    if (!tensor_given(t, "named")) return NULL;
    if (!name || !*name) {
        gr__fail(
            GR_ERR_ARGUMENT, "named: the name of %s is %s", GR__TEXT(t), name ? "empty" : "NULL");
        return NULL;
    }
    size_t bytes = strlen(name) + 1;
    char  *copy = gr__alloc(bytes);
    if (!copy) {
        gr__fail_memory("named", bytes);
        return NULL;
    }
    memcpy(copy, name, bytes);
    name_release(t->name);
    t->name = copy;
    return t;
}

/* ---- reading ---- */

gr_shape gr_shape_of(const gr_tensor *t)
{
    return tensor_given(t, "shape_of") ? t->shape : (gr_shape){ .rank = 0 };
}

int64_t gr_size(const gr_tensor *t, int dim)
{
    if (!tensor_given(t, "size")) return -1;
    if (!gr__axis(&dim, t->shape.rank)) {
        gr__fail(GR_ERR_ARGUMENT, "size: %s has no dimension %d", GR__TEXT(t), dim);
        return -1;
    }
    return t->shape.dim[dim];
}

const char *gr_name_of(const gr_tensor *t) { return tensor_given(t, "name_of") ? t->name : NULL; }

int64_t gr_count(const gr_tensor *t) { return tensor_given(t, "count") ? t->count : -1; }

gr_dtype gr_dtype_of(const gr_tensor *t)
{
    return tensor_given(t, "dtype_of") ? t->dtype : GR_REAL;
}

bool gr_requires_grad(const gr_tensor *t)
{
    return tensor_given(t, "requires_grad") && gr__tracked(t);
}

static void *elements(const gr_tensor *t, gr_dtype dtype, const char *what)
{
    if (!tensor_given(t, what)) return NULL;
    if (t->dtype == dtype) return t->data;
    gr__fail(GR_ERR_ARGUMENT, "%s: the tensor %s holds %s", what, GR__TEXT(t),
        dtype == GR_REAL ? "int32, see gr_ints" : "reals, see gr_data");
    return NULL;
}

static void *elements_mut(gr_tensor *t, gr_dtype dtype, const char *what)
{
    void *p = elements(t, dtype, what);
    if (p) gr__touch(t);
    return p;
}

const gr_real *gr_data(const gr_tensor *t) { return elements(t, GR_REAL, "data"); }

gr_real *gr_data_mut(gr_tensor *t) { return elements_mut(t, GR_REAL, "data_mut"); }

const int32_t *gr_ints(const gr_tensor *t) { return elements(t, GR_INT32, "ints"); }

int32_t *gr_ints_mut(gr_tensor *t) { return elements_mut(t, GR_INT32, "ints_mut"); }

double gr_item(const gr_tensor *t)
{
    if (!tensor_given(t, "item")) return NAN;
    if (t->count != 1) {
        gr__fail(GR_ERR_ARGUMENT, "item: %s has %lld elements, one wanted", GR__TEXT(t),
            (long long)t->count);
        return NAN;
    }
    return t->dtype == GR_INT32 ? (double)gr__ints(t)[0] : (double)gr__reals(t)[0];
}
