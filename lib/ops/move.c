/* move.c: the same elements in another shape or order.

   Each is one copy of a box, with a stride of 0 where elements repeat and a negative one where they
   run backwards; or, where the order in memory stays as it is, a view. Backward moves g back, by an
   op of this file. */
#include "ops/ops.h"

#include <string.h>

static size_t element(const gr_tensor *t)
{
    return t->dtype == GR_INT32 ? sizeof(int32_t) : sizeof(gr_real);
}

void gr__copy_box(gr_tensor *y, int64_t y_at, const int64_t *y_stride, const gr_tensor *x,
    int64_t x_at, const int64_t *x_stride, const gr_shape *dim)
{
    gr__box box = { .rank = dim->rank };
    memcpy(box.dim, dim->dim, sizeof box.dim);
    memcpy(box.to, y_stride, sizeof(int64_t) * (size_t)dim->rank);
    memcpy(box.from, x_stride, sizeof(int64_t) * (size_t)dim->rank);
    size_t size = element(y);
    if (gr__count(dim) > 0)
        gr__kernel_table()->copy_box((char *)y->data + y_at * (int64_t)size,
            (const char *)x->data + x_at * (int64_t)size, size, &box);
}

/* ---- constants ------------------------------------------------------------------------------- */

gr_tensor *gr__constant(const gr_shape *shape, double value)
{
    gr_tensor *t = gr__tensor(GR_REAL, shape, "constant");
    for (int64_t i = 0; t && i < t->count; i++) gr__reals(t)[i] = (gr_real)value;
    return gr__own(t);
}

gr_tensor *gr__number(double value) { return gr__constant(&(gr_shape){ .rank = 0 }, value); }

/* ---- reshape --------------------------------------------------------------------------------- */

/* The size that stands for -1. */
static bool fill_in(gr_shape *y, int64_t count)
{
    int     open = -1;
    int64_t known = 1;
    for (int i = 0; i < y->rank; i++) {
        if (y->dim[i] == -1 && open < 0)
            open = i;
        else if (y->dim[i] < 0 || (y->dim[i] > 0 && known > INT64_MAX / y->dim[i]))
            return false;
        else
            known *= y->dim[i];
    }
    if (open >= 0 && known > 0) y->dim[open] = count / known;
    return open < 0 || known > 0;
}

static bool reshape_shape(gr__node *nd, gr_shape *y)
{
    const gr_tensor *x = nd->in[0];
    *y = *(const gr_shape *)nd->args;
    if (y->rank < 0 || y->rank > GR_MAX_DIMS || !fill_in(y, x->count) || gr__count(y) != x->count)
        return gr__fail(GR_ERR_ARGUMENT, "%s: %s has %lld element%s, shape %s wanted", nd->op->name,
            GR__TEXT(x), (long long)x->count, gr__plural(x->count, "s"),
            gr__shape_text(nd->args).s);
    nd->offset = 0;
    return true;
}

static gr_tensor *reshape_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return gr_reshape(g, nd->in[0]->shape);
}

/* The result's shape says what the argument does. */
static const gr__attribute shape_attributes[] = {
    { "shape", GR__SHAPE, .shown = GR__NEVER },
    { .name = NULL },
};

#define RESHAPE_OP(f, equation, pytorch)                                                           \
    static const gr__op f##_op = { #f, equation, reshape_shape, .vjp = reshape_vjp, .moves = true, \
        .attributes = shape_attributes, .torch = pytorch }
RESHAPE_OP(reshape, "y = x, in another shape; gx = g, in x's", "torch.reshape");
RESHAPE_OP(flatten, "y = x, in rows; gx = g, in x's shape", "torch.flatten");
RESHAPE_OP(squeeze, "y = x, without sizes of 1; gx = g, in x's shape", "torch.squeeze");
RESHAPE_OP(unsqueeze, "y = x, with a size of 1; gx = g, in x's shape", "torch.unsqueeze");

static gr_tensor *reshape_as(const gr__op *op, gr_tensor *x, gr_shape shape)
{
    return gr__apply(op, 1, &x, &shape, sizeof shape);
}

gr_tensor *gr_reshape(gr_tensor *x, gr_shape shape) { return reshape_as(&reshape_op, x, shape); }

gr_tensor *gr_flatten(gr_tensor *x)
{
    if (!gr__given("flatten", 1, &x)) return NULL;
    if (x->shape.rank == 0) {
        gr__fail(GR_ERR_ARGUMENT, "flatten: () has no dimension to keep");
        return NULL;
    }
    int64_t rest = 1;
    for (int i = 1; i < x->shape.rank; i++) rest *= x->shape.dim[i];
    return reshape_as(&flatten_op, x, gr_shape(x->shape.dim[0], rest));
}

/* ---- permute --------------------------------------------------------------------------------- */

static bool permute_shape(gr__node *nd, gr_shape *y)
{
    const gr_dims  *order = nd->args;
    const gr_shape *x = &nd->in[0]->shape;
    bool            seen[GR_MAX_DIMS] = { false }, good = order->count == x->rank;
    y->rank = x->rank;
    for (int i = 0; good && i < x->rank; i++) {
        int from = order->at[i];
        good = gr__axis(&from, x->rank) && !seen[from];
        if (good) {
            seen[from] = true;
            y->dim[i] = x->dim[from];
        }
    }
    return good || gr__fail(GR_ERR_ARGUMENT, "%s: %s wants each dimension named once", nd->op->name,
                       GR__TEXT(nd->in[0]));
}

static bool permute_forward(gr__node *nd, gr_tensor *y)
{
    const gr_dims *order = nd->args;
    int64_t        x_stride[GR_MAX_DIMS], stride[GR_MAX_DIMS], y_stride[GR_MAX_DIMS];
    gr__strides(&nd->in[0]->shape, x_stride);
    gr__strides(&y->shape, y_stride);
    for (int i = 0; i < y->shape.rank; i++)
        stride[i] = x_stride[order->at[i] < 0 ? order->at[i] + y->shape.rank : order->at[i]];
    gr__copy_box(y, 0, y_stride, nd->in[0], 0, stride, &y->shape);
    return true;
}

static gr_tensor *permute_vjp(gr__node *nd, int i, gr_tensor *g)
{
    const gr_dims *order = nd->args;
    gr_dims        back = { .count = order->count };
    (void)i;
    for (int d = 0; d < order->count; d++)
        back.at[order->at[d] < 0 ? order->at[d] + order->count : order->at[d]] = d;
    return gr_permute(g, back);
}

static const gr__attribute permute_attributes[] = {
    { "order", GR__DIMS, .shown = GR__ALWAYS },
    { .name = NULL },
};
static const gr__op permute_op = { "permute", "y = x, dimensions reordered; gx = g, put back",
    permute_shape, permute_forward, .vjp = permute_vjp, .moves = true,
    .attributes = permute_attributes, .torch = "torch.permute" };
static const gr__op move_transpose_op = { "transpose",
    "y = x, two dimensions exchanged; gx = g, put back", permute_shape, permute_forward,
    .vjp = permute_vjp, .moves = true, .attributes = permute_attributes,
    .torch = "torch.transpose" };

gr_tensor *gr_permute(gr_tensor *x, gr_dims order)
{
    return gr__apply(&permute_op, 1, &x, &order, sizeof order);
}

/* ---- expand ---------------------------------------------------------------------------------- */

static bool expand_shape(gr__node *nd, gr_shape *y)
{
    const gr_shape *to = nd->args, *x = &nd->in[0]->shape;
    if (gr__count(to) < 0 || !gr__broadcast(x, to, y) || !gr__same_shape(y, to))
        return gr__fail(GR_ERR_ARGUMENT, "expand: %s does not repeat to %s", gr__shape_text(x).s,
            gr__shape_text(to).s);
    return true;
}

static bool expand_forward(gr__node *nd, gr_tensor *y)
{
    const gr_tensor *x = nd->in[0];
    int64_t          x_stride[GR_MAX_DIMS], y_stride[GR_MAX_DIMS];
    gr__broadcast_strides(&x->shape, &y->shape, x_stride);
    gr__strides(&y->shape, y_stride);
    gr__copy_box(y, 0, y_stride, x, 0, x_stride, &y->shape);
    return true;
}

static gr_tensor *expand_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return gr__sum_to(g, &nd->in[0]->shape);
}

static const gr__op expand_op = { "expand", "y = x, repeated; gx = g summed over the repeats",
    expand_shape, expand_forward, .vjp = expand_vjp, .moves = true, .attributes = shape_attributes,
    .torch = "Tensor.expand" };

gr_tensor *gr_expand(gr_tensor *x, gr_shape shape)
{
    int lead = x ? shape.rank - x->shape.rank : 0;
    for (int i = lead > 0 ? lead : 0; x && i < shape.rank && i < GR_MAX_DIMS; i++)
        if (shape.dim[i] == -1 && i - lead < GR_MAX_DIMS) shape.dim[i] = x->shape.dim[i - lead];
    return gr__apply(&expand_op, 1, &x, &shape, sizeof shape);
}

/* ---- flip ------------------------------------------------------------------------------------ */

static bool flip_shape(gr__node *nd, gr_shape *y)
{
    const gr_dims *dims = nd->args;
    *y = nd->in[0]->shape;
    for (int i = 0; i < dims->count && i < GR_MAX_DIMS; i++) {
        int axis = dims->at[i];
        if (!gr__axis(&axis, y->rank > 0 ? y->rank : 1))
            return gr__fail(
                GR_ERR_ARGUMENT, "flip: %s has no dimension %d", GR__TEXT(nd->in[0]), axis);
    }
    return true;
}

static bool flip_forward(gr__node *nd, gr_tensor *y)
{
    const gr_dims *dims = nd->args;
    int64_t        x_stride[GR_MAX_DIMS], y_stride[GR_MAX_DIMS], start = 0;
    gr__strides(&y->shape, y_stride);
    memcpy(x_stride, y_stride, sizeof x_stride);
    for (int i = 0; i < dims->count && i < GR_MAX_DIMS; i++) {
        int axis = dims->at[i];
        if (gr__axis(&axis, y->shape.rank) && x_stride[axis] > 0) {
            start += (y->shape.dim[axis] - 1) * x_stride[axis];
            x_stride[axis] = -x_stride[axis];
        }
    }
    gr__copy_box(y, 0, y_stride, nd->in[0], start, x_stride, &y->shape);
    return true;
}

static gr_tensor *flip_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return gr_flip(g, *(const gr_dims *)nd->args);
}

static const gr__attribute flip_attributes[] = {
    { "axes", GR__DIMS, .shown = GR__ALWAYS },
    { .name = NULL },
};
static const gr__op flip_op = { "flip", "y = x, reversed; gx = g, reversed", flip_shape,
    flip_forward, .vjp = flip_vjp, .moves = true, .attributes = flip_attributes,
    .torch = "torch.flip" };

gr_tensor *gr_flip(gr_tensor *x, gr_dims dims)
{
    return gr__apply(&flip_op, 1, &x, &dims, sizeof dims);
}

/* ---- slice, and its inverse, spread ---------------------------------------------------------- */

/* Indices start, start + step, ... (count of them) along axis, of a tensor with `size` there. */
typedef struct move_range {
    int     axis;
    int64_t start, step, count, size;
} move_range;

static gr_tensor *slice_range(gr_tensor *x, const move_range *r);
static gr_tensor *spread_range(gr_tensor *x, const move_range *r);

static bool slice_shape(gr__node *nd, gr_shape *y)
{
    const move_range *r = nd->args;
    const gr_tensor  *x = nd->in[0];
    *y = x->shape;
    y->dim[r->axis] = r->count;
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < x->shape.rank; i++)
        *(i < r->axis ? &outer : &inner) *= i == r->axis ? 1 : x->shape.dim[i];
    if (r->step == 1 && outer == 1) nd->offset = r->start * inner; /* one run of memory: a view */
    return true;
}

static bool slice_forward(gr__node *nd, gr_tensor *y)
{
    const move_range *r = nd->args;
    int64_t           x_stride[GR_MAX_DIMS], y_stride[GR_MAX_DIMS];
    gr__strides(&nd->in[0]->shape, x_stride);
    gr__strides(&y->shape, y_stride);
    int64_t start = r->start * x_stride[r->axis];
    x_stride[r->axis] *= r->step;
    gr__copy_box(y, 0, y_stride, nd->in[0], start, x_stride, &y->shape);
    return true;
}

static gr_tensor *slice_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return spread_range(g, nd->args);
}

static bool spread_shape(gr__node *nd, gr_shape *y)
{
    const move_range *r = nd->args;
    *y = nd->in[0]->shape;
    y->dim[r->axis] = r->size;
    return true;
}

static bool spread_forward(gr__node *nd, gr_tensor *y)
{
    const move_range *r = nd->args;
    int64_t           x_stride[GR_MAX_DIMS], y_stride[GR_MAX_DIMS];
    gr__strides(&nd->in[0]->shape, x_stride);
    gr__strides(&y->shape, y_stride);
    int64_t start = r->start * y_stride[r->axis];
    y_stride[r->axis] *= r->step;
    memset(y->data, 0, (size_t)y->count * element(y));
    gr__copy_box(y, start, y_stride, nd->in[0], 0, x_stride, &nd->in[0]->shape);
    return true;
}

static gr_tensor *move_spread_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return slice_range(g, nd->args);
}

static const gr__attribute range_attributes[] = {
    { "axis", GR__INT, .at = offsetof(move_range, axis), .shown = GR__ALWAYS },
    { "start", GR__INT64, .at = offsetof(move_range, start) },
    { "step", GR__INT64, .at = offsetof(move_range, step), .usual = 1 },
    { "count", GR__INT64, .at = offsetof(move_range, count), .shown = GR__NEVER },
    { "size", GR__INT64, .at = offsetof(move_range, size), .shown = GR__NEVER },
    { .name = NULL },
};
static const gr__op slice_op = { "slice", "y = x at some indices; gx = g there, else 0",
    slice_shape, slice_forward, .vjp = slice_vjp, .moves = true, .attributes = range_attributes,
    .torch = "x[a:b:step]" };
static const gr__op move_spread_op = { "spread", "y = x at some indices, else 0; gx = g there",
    spread_shape, spread_forward, .vjp = move_spread_vjp, .moves = true,
    .attributes = range_attributes };

static gr_tensor *slice_range(gr_tensor *x, const move_range *r)
{
    return gr__apply(&slice_op, 1, &x, r, sizeof *r);
}

static gr_tensor *spread_range(gr_tensor *x, const move_range *r)
{
    return gr__apply(&move_spread_op, 1, &x, r, sizeof *r);
}

/* Python's rule: negative from the end, then held within 0 .. size. */
static int64_t hold(int64_t index, int64_t size)
{
    if (index < 0) index += size;
    return index < 0 ? 0 : index > size ? size : index;
}

gr_tensor *gr_slice_(gr_slice_options o)
{
    if (!o.x) return slice_range(NULL, &(move_range){ 0 });
    move_range r = { .step = o.step == 0 ? 1 : o.step };
    if (r.step < 1) {
        gr__fail(GR_ERR_ARGUMENT, "slice: step %lld, 1 or more wanted", (long long)r.step);
        return NULL;
    }
    if (!gr__want_axis(o.x, &o.axis, "slice")) return NULL;
    r.axis = o.axis;
    r.size = o.x->shape.dim[o.axis];
    /* one index at most: no product of this may leave its type */
    if (r.step > r.size) r.step = r.size > 0 ? r.size : 1;
    r.start = hold(o.start, r.size);
    int64_t stop = hold(o.stop, r.size);
    r.count = stop > r.start ? (stop - r.start - 1) / r.step + 1 : 0;
    return slice_range(o.x, &r);
}

/* ---- pad: its gradient is a pad by the negative amounts -------------------------------------- */

typedef struct border {
    gr_shape before, after;
    double   value;
} border;

static gr_tensor *pad_border(gr_tensor *x, const border *b);

static bool pad_shape(gr__node *nd, gr_shape *y)
{
    const border *b = nd->args;
    *y = nd->in[0]->shape;
    if (nd->in[0]->dtype == GR_INT32 && !(b->value > INT32_MIN - 1.0 && b->value < INT32_MAX + 1.0))
        return gr__fail(GR_ERR_ARGUMENT, "pad: %s of int32 cannot hold the value %g",
            GR__TEXT(nd->in[0]), b->value);
    for (int i = 0; i < y->rank; i++) {
        int64_t size = y->dim[i] + b->before.dim[i] + b->after.dim[i];
        /* Taking away at one end what was added at the other would leave nothing of x, and a
           gradient that cannot be a pad. */
        if (size < 0 || y->dim[i] + b->before.dim[i] < 0 || y->dim[i] + b->after.dim[i] < 0)
            return gr__fail(GR_ERR_ARGUMENT, "pad: dimension %d of %s cannot lose %lld and %lld", i,
                GR__TEXT(nd->in[0]), (long long)-b->before.dim[i], (long long)-b->after.dim[i]);
        y->dim[i] = size;
    }
    return true;
}

static void move_fill(gr_tensor *y, double value)
{
    if (y->dtype == GR_INT32)
        for (int64_t i = 0; i < y->count; i++) gr__ints(y)[i] = (int32_t)value;
    else
        for (int64_t i = 0; i < y->count; i++) gr__reals(y)[i] = (gr_real)value;
}

static bool pad_forward(gr__node *nd, gr_tensor *y)
{
    const border    *b = nd->args;
    const gr_tensor *x = nd->in[0];
    int64_t          x_stride[GR_MAX_DIMS], y_stride[GR_MAX_DIMS], x_at = 0, y_at = 0;
    gr__strides(&x->shape, x_stride);
    gr__strides(&y->shape, y_stride);
    gr_shape both = x->shape;
    for (int i = 0; i < both.rank; i++) {
        int64_t lost = b->before.dim[i] < 0 ? -b->before.dim[i] : 0,
                gone = b->after.dim[i] < 0 ? -b->after.dim[i] : 0;
        both.dim[i] = both.dim[i] > lost + gone ? both.dim[i] - lost - gone : 0;
        x_at += lost * x_stride[i];
        y_at += (b->before.dim[i] > 0 ? b->before.dim[i] : 0) * y_stride[i];
    }
    if (y->count != gr__count(&both)) move_fill(y, b->value);
    gr__copy_box(y, y_at, y_stride, x, x_at, x_stride, &both);
    return true;
}

static gr_tensor *pad_vjp(gr__node *nd, int i, gr_tensor *g)
{
    border back = *(const border *)nd->args;
    (void)i;
    for (int d = 0; d < GR_MAX_DIMS; d++) {
        back.before.dim[d] = -back.before.dim[d];
        back.after.dim[d] = -back.after.dim[d];
    }
    back.value = 0;
    return pad_border(g, &back);
}

static const gr__attribute pad_attributes[] = {
    { "before", GR__SHAPE, .at = offsetof(border, before) },
    { "after", GR__SHAPE, .at = offsetof(border, after) },
    { "value", GR__DOUBLE, .at = offsetof(border, value) },
    { .name = NULL },
};
static const gr__op pad_op = { "pad",
    "y = x in a border, read as (1) where that is 0; gx = g without it", pad_shape, pad_forward,
    .vjp = pad_vjp, .moves = true, .attributes = pad_attributes, .torch = "F.pad" };

static gr_tensor *pad_border(gr_tensor *x, const border *b)
{
    return gr__apply(&pad_op, 1, &x, b, sizeof *b);
}

gr_tensor *gr_pad_(gr_pad_options o)
{
    gr_shape after = o.after.rank > 0 ? o.after : o.before;
    if (o.x && (o.before.rank != o.x->shape.rank || after.rank != o.x->shape.rank)) {
        gr__fail(GR_ERR_ARGUMENT, "pad: %s has rank %d, and .before has %d, .after %d",
            GR__TEXT(o.x), o.x->shape.rank, o.before.rank, after.rank);
        return NULL;
    }
    return pad_border(o.x, &(border){ o.before, after, o.value });
}

/* ---- arranging: made of the moves above, which have the rules -------------------------------- */

gr_tensor *gr_transpose(gr_tensor *x, int a, int b)
{
    if (!gr__given("transpose", 1, &x)) return NULL;
    if (!gr__want_axis_or_scalar(x, &a, "transpose") ||
        !gr__want_axis_or_scalar(x, &b, "transpose"))
        return NULL;
    gr_dims order = { .count = x->shape.rank };
    for (int i = 0; i < order.count; i++) order.at[i] = i == a ? b : i == b ? a : i;
    return gr__apply(&move_transpose_op, 1, &x, &order, sizeof order);
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
    return reshape_as(&unsqueeze_op, x, y);
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
    return reshape_as(&squeeze_op, o.x, y);
}
