/* tape.c: running an op, and recording it.

   Invariant: a node stands on the tape after everything its inputs were made by, so a traversal in
   reverse meets every use of a value before the node that made it. An op is recorded if one of its
   inputs is tracked and the thread records; else its node lives on the stack, for the time of the
   call alone. */
#include "core/core.h"

#include <math.h>
#include <string.h>

/* ---- guards ---- */

static gr_dtype wanted(const gr__op *op, int i)
{
    return gr__names(op->ints, i) ? GR_INT32 : GR_REAL;
}

/* Whether the inputs are there and of the types the op takes; *tracked: whether one has a gradient
   to be given. */
static bool check_inputs(const gr__op *op, int n, gr_tensor *const *in, bool *tracked)
{
    bool good = true;
    for (int i = 0; good && i < n; i++) {
        good = in[i] && (op->moves || in[i]->dtype == wanted(op, i));
        *tracked |= good && gr__tracked(in[i]) && !gr__names(op->constant, i);
    }
    if (good || !gr__given(op->name, n, in)) return good;
    for (int i = 0; i < n; i++)
        if (!gr__is(wanted(op, i), op->name, i, in[i])) return false;
    return true;
}

static bool tape_all_finite(const gr__node *nd, const gr_tensor *y)
{
    if (y->dtype != GR_REAL) return true;
    const gr_real *v = gr__reals(y);
    int64_t        i = 0;
    while (i < y->count && isfinite(v[i])) i++;
    if (i == y->count) return true;
    int named = 0; /* the result is too young for a name, an input may have one */
    while (named < nd->n && !nd->in[named]->name) named++;
    return gr__fail(GR_ERR_NUMBER, "%s: forward gave %g at element %lld of %s%s%s", nd->op->name,
        (double)v[i], (long long)i, GR__TEXT(y), named < nd->n ? ", from " : "",
        named < nd->n ? GR__LABEL(nd->in[named]) : "");
}

/* ---- recording ---- */

/* The node's lasting copy: its arrays and arguments behind it in one block. */
static gr__node *lasting(const gr__node *nd, size_t args_size)
{
    size_t n = (size_t)nd->n, pointers = n * sizeof *nd->in,
           versions = (n + 2) / 2 * 2 * sizeof *nd->version;
    size_t    bytes = sizeof *nd + pointers + versions + args_size;
    gr__node *copy = gr__alloc(bytes);
    if (!copy) {
        gr__fail_memory(nd->op->name, bytes);
        return NULL;
    }
    *copy = *nd;
    copy->bytes = bytes;
    copy->in = (gr_tensor **)(copy + 1);
    copy->version = (unsigned *)(copy->in + n);
    void *args = (char *)copy->version + versions;
    memcpy(copy->in, nd->in, pointers);
    if (args_size) copy->args = memcpy(args, nd->args, args_size);
    return copy;
}

static bool record(gr__thread *me, const gr__node *nd, gr_tensor *y, size_t args_size)
{
    gr__node *kept = lasting(nd, args_size);
    if (!kept) return false;
    kept->index = kept->reach = gr__array_length(me->tape);
    if (!gr__array_push(&me->tape, &kept, sizeof kept)) {
        gr__release(kept, kept->bytes);
        return gr__fail_memory(nd->op->name, sizeof kept);
    }
    for (int i = 0; i < kept->n; i++) {
        const gr__node *from = gr__ref(kept->in[i])->node;
        if (from && from->reach < kept->reach) kept->reach = from->reach;
        kept->version[i] = gr__version_of(kept->in[i]);
    }
    kept->out = gr__ref(y);
    kept->version[kept->n] = gr__version_of(y);
    y->node = kept;
    return true;
}

static gr_tensor *result_of(gr__node *nd, const gr_shape *shape)
{
    if (nd->offset >= 0) return gr__view(nd->in[0], shape, nd->offset, nd->op->name);
    gr_tensor *y = gr__tensor(nd->dtype, shape, nd->op->name);
    if (y && !nd->op->forward(nd, y)) {
        gr__unref(y);
        y = NULL;
    }
    return y;
}

static gr_tensor *compute(gr__thread *me, gr__node *nd, size_t args_size)
{
    gr_shape   shape = { .rank = 0 };
    gr_tensor *y = nd->op->shape(nd, &shape) ? result_of(nd, &shape) : NULL;
    bool       good = y && (!me->anomaly || me->in_vjp || tape_all_finite(nd, y)) &&
                (!nd->record || record(me, nd, y, args_size));
    if (good) return gr__own(y);
    gr__unref(y);
    gr__unref(nd->saved);
    return NULL;
}

/* A tape can lead to what is on it, not to what is on another thread's. */
static bool all_here(const gr__thread *me, const gr__node *nd)
{
    for (int i = 0; i < nd->n; i++)
        if (gr__foreign(me, nd->in[i])) return gr__recorded_here(nd->op->name, nd->in[i]);
    return true;
}

gr_tensor *gr__apply(
    const gr__op *op, int n, gr_tensor *const *in, const void *args, size_t args_size)
{
    bool tracked = false;
    if (!gr__kernel_table() || !check_inputs(op, n, in, &tracked)) return NULL;
    gr__thread *me = gr__self();
    gr__node    nd = {
           .op = op,
           .name = op->name,
           .args = args,
           .in = (gr_tensor **)in,
           .n = n,
           .offset = -1,
           .dtype = op->moves ? in[0]->dtype : GR_REAL,
           .record = tracked && op->vjp && !me->no_grad,
    };
    return !nd.record || all_here(me, &nd) ? compute(me, &nd, args_size) : NULL;
}

gr_tensor *gr__shown_as(const char *call, gr_tensor *y)
{
    if (y && y->node) y->node->name = call;
    return y;
}

/* ---- forgetting ---- */

void gr__node_use_up(gr__node *nd)
{
    for (int i = 0; i < nd->n; i++) gr__unref(nd->in[i]);
    gr__unref(nd->saved);
    nd->saved = NULL;
    nd->n = 0;
    nd->used = true;
}

void gr__tape_cut(gr__thread *me, size_t length)
{
    size_t n = gr__array_length(me->tape);
    while (n > length) {
        gr__node *nd = me->tape[--n];
        if (nd->out->node == nd) nd->out->node = NULL;
        gr__unref(nd->out);
        gr__node_use_up(nd);
        gr__release(nd, nd->bytes);
    }
    gr__array_truncate(me->tape, length);
}
