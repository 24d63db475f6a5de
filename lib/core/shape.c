/* shape.c: sizes, broadcasting and strides.

   Invariant: a shape that gr__count accepts has a product, in elements and in bytes, that fits an
   int64_t and a size_t; every tensor's shape went through it, so nobody else checks for
   overflow. */
#include "core/core.h"

#include <string.h>

/* Elements of at most 8 bytes, and room for headers beside them. */
static const int64_t most_elements = PTRDIFF_MAX / 32;

int64_t gr__count(const gr_shape *s)
{
    if (s->rank < 0 || s->rank > GR_MAX_DIMS) return -1;
    int64_t count = 1;
    bool    empty = false;
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] < 0) return -1;
        if (s->dim[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(count, s->dim[i], &count) || count > most_elements)
            return -1;
    }
    return empty ? 0 : count;
}

bool gr__same_shape(const gr_shape *a, const gr_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

bool gr__broadcast(const gr_shape *a, const gr_shape *b, gr_shape *out)
{
    const gr_shape *wide = a->rank >= b->rank ? a : b, *thin = wide == a ? b : a;
    gr_shape        y = *wide;
    int             lead = wide->rank - thin->rank;
    for (int i = 0; i < thin->rank; i++) {
        int64_t m = wide->dim[lead + i], n = thin->dim[i];
        if (m != n && m != 1 && n != 1) return false;
        y.dim[lead + i] = m == 1 ? n : m;
    }
    *out = y;
    return true;
}

bool gr__axis(int *axis, int rank)
{
    int a = *axis < 0 ? *axis + rank : *axis;
    if (a < 0 || a >= rank) return false;
    *axis = a;
    return true;
}

void gr__strides(const gr_shape *s, int64_t *stride)
{
    int64_t step = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= s->dim[i];
    }
}

void gr__broadcast_strides(const gr_shape *s, const gr_shape *y, int64_t *stride)
{
    int64_t own[GR_MAX_DIMS];
    int     lead = y->rank - s->rank;
    gr__strides(s, own);
    for (int i = 0; i < y->rank; i++)
        stride[i] = i < lead || s->dim[i - lead] == 1 ? 0 : own[i - lead];
}

gr_shape gr__place(const gr_shape *s, int64_t element)
{
    gr_shape at = *s;
    for (int i = s->rank - 1; i >= 0; i--) {
        at.dim[i] = element % s->dim[i];
        element /= s->dim[i];
    }
    return at;
}
