/* index.c: elements and rows picked by int32 indices.

   gather picks along one axis, embedding whole rows of a table. The gradient of each adds g back to
   where it was picked from, by an op of its own whose gradient picks again: two closed pairs.
   Invariant: an index is checked where it enters, and each sum is made by one task in the order of
   the index, so that the bits do not depend on the threads. */
#include "ops/ops.h"

#include <string.h>

static gr_tensor *scatter_add(const void *picked, gr_tensor *g, gr_tensor *index);
static gr_tensor *row_add(int64_t rows, gr_tensor *g, gr_tensor *index);

/* The first element of the index outside 0 .. limit-1, or -1; where it stands, as coordinates. */
static int64_t first_outside(const gr_tensor *index, int64_t limit, gr_shape *at)
{
    const int32_t *v = gr__ints(index);
    int64_t        e = 0;
    while (e < index->count && v[e] >= 0 && v[e] < limit) e++;
    if (e == index->count) return -1;
    *at = gr__place(&index->shape, e);
    return e;
}

/* ---- gather, and its inverse, scatter_add ---------------------------------------------------- */

typedef struct pick {
    int      axis;
    gr_shape x; /* what is picked from */
} pick;

/* A line is what of the index stands along the axis; no two lines meet in x. */
typedef struct lines {
    const pick     *p;
    const gr_shape *shape; /* of the index */
    const int32_t  *at;
    const gr_real  *from;
    gr_real        *to;
    int64_t         stride[GR_MAX_DIMS], x_stride[GR_MAX_DIMS];
} lines;

static void line_begin(const lines *l, int64_t line, int64_t *begin, int64_t *x_begin)
{
    *begin = *x_begin = 0;
    for (int d = l->shape->rank - 1; d >= 0; d--) {
        if (d == l->p->axis) continue;
        *begin += line % l->shape->dim[d] * l->stride[d];
        *x_begin += line % l->shape->dim[d] * l->x_stride[d];
        line /= l->shape->dim[d];
    }
}

static void index_gather_part(const void *arg, int64_t begin, int64_t end)
{
    const lines *l = arg;
    int          axis = l->p->axis;
    for (int64_t line = begin, i, x; line < end; line++) {
        line_begin(l, line, &i, &x);
        for (int64_t k = 0; k < l->shape->dim[axis]; k++, i += l->stride[axis])
            l->to[i] = l->from[x + l->at[i] * l->x_stride[axis]];
    }
}

static void index_scatter_part(const void *arg, int64_t begin, int64_t end)
{
    const lines *l = arg;
    int          axis = l->p->axis;
    for (int64_t line = begin, i, x; line < end; line++) {
        line_begin(l, line, &i, &x);
        for (int64_t k = 0; k < l->shape->dim[axis]; k++, i += l->stride[axis])
            l->to[x + l->at[i] * l->x_stride[axis]] += l->from[i];
    }
}

static void each_line(gr__node *nd, gr_tensor *y, void (*part)(const void *, int64_t, int64_t))
{
    const gr_tensor *index = nd->in[1];
    const pick      *p = nd->args;
    int64_t          n = index->shape.dim[p->axis];
    lines            l = { .p = p,
                   .shape = &index->shape,
                   .at = gr__ints(index),
                   .from = gr__reals(nd->in[0]),
                   .to = gr__reals(y) };
    gr__strides(&index->shape, l.stride);
    gr__strides(&p->x, l.x_stride);
    if (index->count > 0) gr__parallel(index->count / n, GR__GRAIN / 4 / n, part, &l);
}

static bool gather_shape(gr__node *nd, gr_shape *y)
{
    const pick      *p = nd->args;
    const gr_tensor *x = nd->in[0], *index = nd->in[1];
    gr_shape         at;
    bool             good = index->shape.rank == x->shape.rank;
    for (int d = 0; good && d < x->shape.rank; d++)
        good = d == p->axis || index->shape.dim[d] <= x->shape.dim[d];
    if (!good)
        return gr__fail(GR_ERR_ARGUMENT,
            "gather: the index %s is larger than the input %s beside axis %d, or of another rank",
            GR__TEXT(index), GR__TEXT(x), p->axis);
    int64_t bad = first_outside(index, x->shape.dim[p->axis], &at);
    *y = index->shape;
    return bad < 0 || gr__fail(GR_ERR_ARGUMENT,
                          "gather: index %d at %s is outside 0 .. %lld, axis %d of the input %s",
                          gr__ints(index)[bad], gr__shape_text(&at).s,
                          (long long)x->shape.dim[p->axis] - 1, p->axis, GR__TEXT(x));
}

static bool index_gather_forward(gr__node *nd, gr_tensor *y)
{
    each_line(nd, y, index_gather_part);
    return true;
}

static gr_tensor *index_gather_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return scatter_add(nd->args, g, nd->in[1]);
}

static bool index_scatter_shape(gr__node *nd, gr_shape *y)
{
    *y = ((const pick *)nd->args)->x;
    return true;
}

static bool index_scatter_forward(gr__node *nd, gr_tensor *y)
{
    memset(y->data, 0, (size_t)y->count * sizeof(gr_real));
    each_line(nd, y, index_scatter_part);
    return true;
}

static gr_tensor *index_scatter_vjp(gr__node *nd, int i, gr_tensor *u)
{
    const pick *p = nd->args;
    (void)i;
    return gr_gather(u, p->axis, nd->in[1]);
}

static const gr__attribute pick_attributes[] = {
    { "axis", GR__INT, .at = offsetof(pick, axis), .shown = GR__ALWAYS },
    { "size", GR__SHAPE, .at = offsetof(pick, x), .shown = GR__NEVER },
    { .name = NULL },
};
static const gr__op index_gather_op = { "gather", "y = x[index]; gx[index] = sum of g",
    gather_shape, index_gather_forward, .vjp = index_gather_vjp, .attributes = pick_attributes,
    .constant = 2, .ints = 2, .torch = "torch.gather" };
static const gr__op index_scatter_op = { "scatter_add", "x[index] = sum of g; gg = u[index]",
    index_scatter_shape, index_scatter_forward, .vjp = index_scatter_vjp,
    .attributes = pick_attributes, .constant = 2, .ints = 2, .torch = "Tensor.scatter_add" };

static gr_tensor *scatter_add(const void *picked, gr_tensor *g, gr_tensor *index)
{
    return gr__apply(&index_scatter_op, 2, (gr_tensor *[]){ g, index }, picked, sizeof(pick));
}

gr_tensor *gr_gather(gr_tensor *x, int axis, gr_tensor *index)
{
    pick p = { .axis = axis };
    if (x && !gr__want_axis_or_scalar(x, &p.axis, "gather")) return NULL;
    /* As in PyTorch, a scalar is a line of one number, and an index of nothing picks nothing,
       whatever its rank. */
    if (x && x->shape.rank == 0) x = gr_reshape(x, gr_shape(1));
    if (x && index && index->dtype == GR_INT32 && index->shape.rank == 0 && x->shape.rank == 1)
        return gr__shown_as("gather",
            gr_reshape(gr_gather(x, p.axis, gr_reshape(index, gr_shape(1))), index->shape));
    if (x && index && index->dtype == GR_INT32 && index->count == 0 &&
        index->shape.rank != x->shape.rank)
        return gr__shown_as("gather",
            gr_reshape(gr_slice(gr_reshape(x, gr_shape(x->count)), 0, 0, 0), index->shape));
    if (x) p.x = x->shape;
    return gr__apply(&index_gather_op, 2, (gr_tensor *[]){ x, index }, &p, sizeof p);
}

/* ---- embedding, and its inverse, row_add ----------------------------------------------------- */

typedef struct index_table {
    const gr_real *from;
    const int32_t *at;
    gr_real       *to;
    int64_t        count, width;
} index_table;

static void embedding_part(const void *arg, int64_t begin, int64_t end)
{
    const index_table *t = arg;
    size_t             bytes = (size_t)t->width * sizeof(gr_real);
    for (int64_t i = begin; i < end; i++)
        memcpy(t->to + i * t->width, t->from + t->at[i] * t->width, bytes);
}

/* Rows begin .. end-1 of the table. */
static void row_add_part(const void *arg, int64_t begin, int64_t end)
{
    const index_table *t = arg;
    memset(t->to + begin * t->width, 0, (size_t)((end - begin) * t->width) * sizeof(gr_real));
    for (int64_t i = 0; i < t->count; i++) {
        gr_real *row = t->to + t->at[i] * t->width;
        if (t->at[i] >= begin && t->at[i] < end)
            gr__kernel_table()->add(row, row, 1, t->from + i * t->width, 1, t->width);
    }
}

static bool embedding_shape(gr__node *nd, gr_shape *y)
{
    const gr_tensor *weight = nd->in[0], *index = nd->in[1];
    gr_shape         at;
    if (!gr__want_rank(weight, 2, "embedding", "weight")) return false;
    int64_t bad = first_outside(index, weight->shape.dim[0], &at);
    if (bad >= 0)
        return gr__fail(GR_ERR_ARGUMENT,
            "embedding: index %d at %s is outside 0 .. %lld, the rows of the weight %s",
            gr__ints(index)[bad], gr__shape_text(&at).s, (long long)weight->shape.dim[0] - 1,
            GR__TEXT(weight));
    *y = index->shape;
    if (y->rank == GR_MAX_DIMS)
        return gr__fail(GR_ERR_ARGUMENT, "embedding: no room for a dimension after the index %s",
            GR__TEXT(index));
    y->dim[y->rank++] = weight->shape.dim[1];
    return true;
}

static bool embedding_forward(gr__node *nd, gr_tensor *y)
{
    int64_t     width = nd->in[0]->shape.dim[1];
    index_table t = { gr__reals(nd->in[0]), gr__ints(nd->in[1]), gr__reals(y), nd->in[1]->count,
        width };
    if (y->count > 0) gr__parallel(t.count, GR__GRAIN / width, embedding_part, &t);
    return true;
}

static gr_tensor *embedding_vjp(gr__node *nd, int i, gr_tensor *g)
{
    (void)i;
    return row_add(nd->in[0]->shape.dim[0], g, nd->in[1]);
}

static bool row_add_shape(gr__node *nd, gr_shape *y)
{
    *y = gr_shape(*(const int64_t *)nd->args, nd->in[0]->shape.dim[nd->in[0]->shape.rank - 1]);
    return true;
}

/* Each task reads the whole index for its rows of the table, so there are few tasks. */
static bool row_add_forward(gr__node *nd, gr_tensor *y)
{
    int64_t     rows = y->shape.dim[0], width = y->shape.dim[1];
    index_table t = { gr__reals(nd->in[0]), gr__ints(nd->in[1]), gr__reals(y), nd->in[1]->count,
        width };
    if (y->count > 0)
        gr__parallel(rows, t.count * width < GR__GRAIN ? rows : (rows + 7) / 8, row_add_part, &t);
    return true;
}

static gr_tensor *row_add_vjp(gr__node *nd, int i, gr_tensor *u)
{
    (void)i;
    return gr_embedding(u, nd->in[1]);
}

static const gr__attribute row_add_attributes[] = {
    { "rows", GR__INT64, .shown = GR__NEVER },
    { .name = NULL },
};
static const gr__op embedding_op = { "embedding", "y = rows of w; gw[index] = sum of g",
    embedding_shape, embedding_forward, .vjp = embedding_vjp, .constant = 2, .ints = 2,
    .torch = "F.embedding" };
static const gr__op row_add_op = { "row_add", "w[index] = sum of g; gg = rows of u", row_add_shape,
    row_add_forward, .vjp = row_add_vjp, .attributes = row_add_attributes, .constant = 2, .ints = 2,
    .torch = "Tensor.index_add" };

static gr_tensor *row_add(int64_t rows, gr_tensor *g, gr_tensor *index)
{
    return gr__apply(&row_add_op, 2, (gr_tensor *[]){ g, index }, &rows, sizeof rows);
}

gr_tensor *gr_embedding(gr_tensor *weight, gr_tensor *index)
{
    return gr__apply(&embedding_op, 2, (gr_tensor *[]){ weight, index }, NULL, 0);
}

/* ---- one_hot --------------------------------------------------------------------------------- */

static bool one_hot_shape(gr__node *nd, gr_shape *y)
{
    const gr_tensor *index = nd->in[0];
    int64_t          classes = *(const int64_t *)nd->args;
    gr_shape         at;
    int64_t          bad = first_outside(index, classes, &at);
    if (bad >= 0)
        return gr__fail(GR_ERR_ARGUMENT, "one_hot: index %d at %s is outside 0 .. %lld",
            gr__ints(index)[bad], gr__shape_text(&at).s, (long long)classes - 1);
    *y = index->shape;
    if (classes < 1 || y->rank == GR_MAX_DIMS)
        return gr__fail(GR_ERR_ARGUMENT,
            "one_hot: classes %lld, index %s: 1 class or more wanted, and room for a dimension",
            (long long)classes, GR__TEXT(index));
    y->dim[y->rank++] = classes;
    return true;
}

static bool one_hot_forward(gr__node *nd, gr_tensor *y)
{
    int64_t classes = *(const int64_t *)nd->args;
    memset(y->data, 0, (size_t)y->count * sizeof(gr_real));
    for (int64_t i = 0; i < nd->in[0]->count; i++)
        gr__reals(y)[i * classes + gr__ints(nd->in[0])[i]] = 1;
    return true;
}

static const gr__attribute one_hot_attributes[] = {
    { "classes", GR__INT64, .shown = GR__ALWAYS },
    { .name = NULL },
};
static const gr__op one_hot_op = { .name = "one_hot",
    .equation = "y[..., c] = 1 if index is c, else 0",
    .shape = one_hot_shape,
    .forward = one_hot_forward,
    .attributes = one_hot_attributes,
    .ints = 1,
    .torch = "F.one_hot" };

gr_tensor *gr_one_hot(gr_tensor *index, int64_t classes)
{
    return gr__apply(&one_hot_op, 1, &index, &classes, sizeof classes);
}
