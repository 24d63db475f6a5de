/* ops.h (private): what the families of ops share. */
#ifndef GR_OPS_H
#define GR_OPS_H

#include "core/core.h"
#include "gradus/ops.h"

/* How many elements are worth waking a thread for. */
enum { GR__GRAIN = 32768 };

/* A constant inside a rule or a composed op: belongs to the step even outside any step, unlike what
   the user makes. */
gr_tensor *gr__constant(const gr_shape *shape, double value);
gr_tensor *gr__number(double value); /* one without dimensions */
/* The shape rule of an op whose result is as its first input. */
bool       gr__shape_of_first(gr__node *nd, gr_shape *y);
/* g summed over what broadcasting repeated, to give the shape back. */
gr_tensor *gr__sum_to(gr_tensor *g, const gr_shape *shape);
/* Whether act is one of the activations, or the error. */
bool       gr__want_act(gr_act act, const char *op);
/* act(x), for an op in which it does not ride along. */
gr_tensor *gr__act(gr_act act, gr_tensor *x);
/* g act'(x), from the result y = act(x). */
gr_tensor *gr__act_grad(gr_act act, gr_tensor *y, gr_tensor *g);
/* The same for a rule that has no other use for its g: in place, if nobody else has either. */
gr_tensor *gr__act_back(gr_act act, gr_tensor *y, gr_tensor *g);

/* attributes.c: an attribute's numbers, how many they are. */
int gr__attribute_values(const gr__node *nd, const gr__attribute *a, double v[GR_MAX_DIMS]);
/* Those of a node, as "stride 2, padding 1". */
typedef struct gr__attributes_text {
    char s[160];
} gr__attributes_text;
gr__attributes_text      gr__attributes_of(const gr__node *nd);
extern const char *const gr__act_names[], *const gr__reduction_names[];

/* Whether r is one of the reductions, or the error. */
bool gr__want_reduction(gr_reduction r, const char *op);

/* Whether x has that axis, which is counted from the first afterwards, or the error. */
bool gr__want_axis(const gr_tensor *x, int *axis, const char *op);
/* The same for an op that takes a scalar as PyTorch does: as if it had one dimension of size 1,
   whose axis is 0 or -1. */
bool gr__want_axis_or_scalar(const gr_tensor *x, int *axis, const char *op);
/* Marks the axes, all where none is named; or the error: one that x lacks, or that is named
   twice. */
bool gr__mark_axes(const gr_tensor *x, const gr_dims *axes, bool over[GR_MAX_DIMS], const char *op);
/* The rank that an op wants of its input, or the error. */
bool gr__want_rank(const gr_tensor *t, int rank, const char *op, const char *role);
/* A pair of options, plain and _hw, with its default where both are 0. */
void gr__pair(int64_t both, gr_hw hw, int64_t otherwise, int64_t *h, int64_t *w);

/* move.c: copies the box of shape dim between y, from element y_at on, and x, from x_at on. */
void gr__copy_box(gr_tensor *y, int64_t y_at, const int64_t *y_stride, const gr_tensor *x,
    int64_t x_at, const int64_t *x_stride, const gr_shape *dim);

/* conv.c: what a node of conv2d was told. false: it is a node of another op. */
bool gr__conv_of(const gr__node *nd, gr__conv *c, gr_act *act);

/* pool.c: the windows of a pooling, or the error. */
bool gr__pool_geometry(const char *name, const gr_pool_options *o, gr__window2d *p);

/* avg_pool.c: ops over windows, whose args is a gr__cover2d. */
typedef struct gr__cover {
    /* count spans of 0 .. size-1, in rising order */
    void (*rule)(const struct gr__cover *v, gr__span *spans);
    int64_t size, count, K, S, P;
    double  scale;
} gr__cover;

typedef struct gr__cover2d {
    int64_t   planes;
    gr__cover rows, columns;
    double    divisor; /* of a sum; 0: how many numbers its window has */
} gr__cover2d;

/* y = divided sums over windows: from rows.size x columns.size to rows.count x columns.count; and
   the transpose. */
bool gr__sums_shape(gr__node *nd, gr_shape *y);
bool gr__sums_forward(gr__node *nd, gr_tensor *y);
bool gr__spread_shape(gr__node *nd, gr_shape *y);
bool gr__spread_forward(gr__node *nd, gr_tensor *y);

#endif
