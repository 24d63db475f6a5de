/* concat.c: tensors joined along an axis, and cut apart. */
#include "ops/ops.h"

/* Of shape (0): it continues anything, as in PyTorch, and adds nothing. */
static bool is_nothing(const gr_tensor *x) { return x->shape.rank == 1 && x->count == 0; }

/* The tensor that says what shape the others must have. */
static gr_tensor *leading(gr_tensor *const *xs, int n)
{
    int i = 0;
    while (i < n && xs[i] && is_nothing(xs[i])) i++;
    return xs[i < n ? i : 0];
}

/* How far x reaches along the axis. */
static int64_t concat_share_of(const gr_tensor *x, int axis)
{
    return is_nothing(x) ? 0 : x->shape.dim[axis];
}

static bool concat_shape(gr__node *nd, gr_shape *y)
{
    const int       *axis = nd->args;
    const gr_tensor *first = leading(nd->in, nd->n);
    *y = first->shape;
    y->dim[*axis] = 0;
    for (int i = 0; i < nd->n; i++) {
        const gr_tensor *x = nd->in[i];
        gr_shape         like = x->shape;
        if (is_nothing(x) && first->shape.rank != 1 && x->dtype == first->dtype) continue;
        if (like.rank == first->shape.rank) like.dim[*axis] = first->shape.dim[*axis];
        if (!gr__same_shape(&like, &first->shape) || x->dtype != first->dtype)
            return gr__fail(GR_ERR_ARGUMENT, "%s: input %d %s does not continue %s along axis %d",
                nd->op->name, i + 1, GR__TEXT(x), GR__TEXT(first), *axis);
        y->dim[*axis] += x->shape.dim[*axis];
    }
    return true;
}

static bool concat_forward(gr__node *nd, gr_tensor *y)
{
    const int *axis = nd->args;
    int64_t    x_stride[GR_MAX_DIMS], y_stride[GR_MAX_DIMS], at = 0;
    gr__strides(&y->shape, y_stride);
    for (int i = 0; i < nd->n; i++) {
        if (is_nothing(nd->in[i])) continue;
        gr__strides(&nd->in[i]->shape, x_stride);
        gr__copy_box(y, at, y_stride, nd->in[i], 0, x_stride, &nd->in[i]->shape);
        at += nd->in[i]->shape.dim[*axis] * y_stride[*axis];
    }
    return true;
}

static gr_tensor *concat_vjp(gr__node *nd, int i, gr_tensor *g)
{
    const int *axis = nd->args;
    int64_t    start = 0;
    if (is_nothing(nd->in[i])) return gr__constant(&nd->in[i]->shape, 0);
    for (int before = 0; before < i; before++) start += concat_share_of(nd->in[before], *axis);
    return gr_slice(g, *axis, start, start + concat_share_of(nd->in[i], *axis));
}

static const gr__attribute concat_attributes[] = {
    { "axis", GR__INT, .shown = GR__ALWAYS },
    { .name = NULL },
};
static const gr__op concat_op = { "concat", "y = x1, x2, ...; gxi = g where xi is", concat_shape,
    concat_forward, .vjp = concat_vjp, .moves = true, .attributes = concat_attributes,
    .torch = "torch.cat" };
static const gr__op stack_op = { "stack",
    "y = x1, x2, ..., each with a size of 1; gxi = g where xi is", concat_shape, concat_forward,
    .vjp = concat_vjp, .moves = true, .attributes = concat_attributes, .torch = "torch.stack" };

gr_tensor *gr_concat(gr_tensor *const *xs, int n, int axis)
{
    if (!xs || n < 1) {
        gr__fail(GR_ERR_ARGUMENT, "concat: %d tensors, 1 or more wanted", xs ? n : 0);
        return NULL;
    }
    const gr_tensor *first = leading(xs, n);
    if (first && !gr__want_axis(first, &axis, "concat")) return NULL;
    return gr__apply(&concat_op, n, xs, &axis, sizeof axis);
}

/* ---- made of concat and slice ---------------------------------------------------------------- */

gr_tensor *gr_stack(gr_tensor *const *xs, int n, int axis)
{
    if (!xs || n < 1) {
        gr__fail(GR_ERR_ARGUMENT, "stack: %d tensors, 1 or more wanted", xs ? n : 0);
        return NULL;
    }
    if (!gr__given("stack", n, xs)) return NULL;
    for (int i = 1; i < n; i++)
        if (!gr__same_shape(&xs[i]->shape, &xs[0]->shape) || xs[i]->dtype != xs[0]->dtype) {
            gr__fail(GR_ERR_ARGUMENT, "stack: input %d %s differs from %s", i + 1, GR__TEXT(xs[i]),
                GR__TEXT(xs[0]));
            return NULL;
        }
    size_t      bytes = (size_t)n * sizeof(gr_tensor *);
    gr_tensor **wider = gr__alloc(bytes), *y = NULL;
    bool        good = wider || gr__fail_memory("stack", bytes);
    for (int i = 0; good && i < n; i++) good = (wider[i] = gr_unsqueeze(xs[i], axis)) != NULL;
    if (good && gr__axis(&axis, xs[0]->shape.rank + 1))
        y = gr__apply(&stack_op, n, wider, &axis, sizeof axis);
    gr__release(wider, bytes);
    return y;
}

bool gr_split(gr_tensor *x, int64_t size, int axis, gr_tensor **parts, int n)
{
    if (!gr__given("split", 1, &x) || !gr__want_axis(x, &axis, "split")) return false;
    int64_t whole = x->shape.dim[axis];
    bool fits = parts && size > 0 && (whole == 0 ? n == 0 || n == 1 : n == (whole - 1) / size + 1);
    if (!fits)
        return gr__fail(GR_ERR_ARGUMENT,
            "split: %s along axis %d in parts of %lld does not give %d", GR__TEXT(x), axis,
            (long long)size, n);
    if (size > whole) size = whole; /* one part: no product of this may leave its type */
    bool good = true;
    for (int i = 0; i < n; i++) {
        parts[i] = good ? gr__shown_as("split", gr_slice(x, axis, i * size, (i + 1) * size)) : NULL;
        good = parts[i] != NULL;
    }
    return good;
}

gr_tensor *gr_roll(gr_tensor *x, int64_t shift, int axis)
{
    if (!gr__given("roll", 1, &x) || !gr__want_axis(x, &axis, "roll")) return NULL;
    int64_t size = x->shape.dim[axis], by = size > 0 ? (shift % size + size) % size : 0;
    if (by == 0) return gr__shown_as("roll", gr_reshape(x, x->shape));
    gr_tensor *parts[] = { gr_slice(x, axis, size - by, size), gr_slice(x, axis, 0, size - by) };
    return gr__shown_as("roll", gr_concat(parts, 2, axis));
}
