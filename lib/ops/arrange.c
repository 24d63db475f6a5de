/* arrange.c: dimensions taken out, put in, exchanged; tensors stacked, split and rolled. Made of
   the moves of move.c, which have the rules. */
#include "ops/ops.h"

#include <string.h>

gr_tensor *gr_transpose(gr_tensor *x, int a, int b)
{
    if (!gr__given("transpose", 1, &x)) return NULL;
    if (!gr__want_axis_or_scalar(x, &a, "transpose") ||
        !gr__want_axis_or_scalar(x, &b, "transpose"))
        return NULL;
    gr_dims order = { .count = x->shape.rank };
    for (int i = 0; i < order.count; i++) order.at[i] = i == a ? b : i == b ? a : i;
    return gr_permute(x, order);
}

gr_tensor *gr_unsqueeze(gr_tensor *x, int axis)
{
    if (!gr__given("unsqueeze", 1, &x)) return NULL;
    gr_shape y = { .rank = x->shape.rank + 1 };
    int      at = axis;
    if (y.rank > GR_MAX_DIMS || !gr__axis(&at, y.rank)) {
        gr__fail(GR_ERR_ARGUMENT, "unsqueeze: %s has no room for an axis %d", GR__TEXT(x), axis);
        return NULL;
    }
    for (int i = 0, from = 0; i < y.rank; i++) y.dim[i] = i == at ? 1 : x->shape.dim[from++];
    return gr_reshape(x, y);
}

gr_tensor *gr_squeeze_(gr_squeeze_options o)
{
    if (!gr__given("squeeze", 1, &o.x)) return NULL;
    bool out[GR_MAX_DIMS];
    for (int i = 0; i < GR_MAX_DIMS; i++) out[i] = o.axes.count == 0;
    for (int i = 0; i < o.axes.count && i < GR_MAX_DIMS; i++) {
        int axis = o.axes.at[i];
        if (!gr__want_axis_or_scalar(o.x, &axis, "squeeze")) return NULL;
        out[axis] = true;
    }
    gr_shape y = { .rank = 0 };
    for (int i = 0; i < o.x->shape.rank; i++)
        if (!out[i] || o.x->shape.dim[i] != 1) y.dim[y.rank++] = o.x->shape.dim[i];
    return gr_reshape(o.x, y);
}

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
    if (good) y = gr_concat(wider, n, axis);
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
        parts[i] = good ? gr_slice(x, axis, i * size, (i + 1) * size) : NULL;
        good = parts[i] != NULL;
    }
    return good;
}

gr_tensor *gr_roll(gr_tensor *x, int64_t shift, int axis)
{
    if (!gr__given("roll", 1, &x) || !gr__want_axis(x, &axis, "roll")) return NULL;
    int64_t size = x->shape.dim[axis], by = size > 0 ? (shift % size + size) % size : 0;
    if (by == 0) return gr_reshape(x, x->shape);
    return gr_concat(
        (gr_tensor *[]){ gr_slice(x, axis, size - by, size), gr_slice(x, axis, 0, size - by) }, 2,
        axis);
}
