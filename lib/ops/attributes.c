/* attributes.c: the arguments of a node as numbers and as text, from what its op's descriptor says
   of them. */
#include "ops/ops.h"

#include <stdio.h>

const char *const gr__act_names[] = { "none", "relu", "sigmoid", "tanh" };
const char *const gr__reduction_names[] = { "mean", "sum", "none" };

int gr__attribute_values(const gr__node *nd, const gr__attribute *a, double v[GR_MAX_DIMS])
{
    const char     *args = nd->args;
    const void     *at = args + a->at;
    const gr_dims  *dims = at;
    const gr_shape *shape = at;
    switch (a->kind) {
    case GR__BOOL:
        v[0] = *(const bool *)at;
        break;
    case GR__INT:
        v[0] = *(const int *)at;
        break;
    case GR__INT64:
        v[0] = (double)*(const int64_t *)at;
        break;
    case GR__DOUBLE:
        v[0] = *(const double *)at;
        break;
    case GR__CHOICE:
        v[0] = (double)*(const unsigned *)at;
        break;
    case GR__HW:
        v[0] = (double)*(const int64_t *)at;
        v[1] = (double)*(const int64_t *)(const void *)(args + a->at_w);
        return 2;
    case GR__DIMS:
        for (int i = 0; i < dims->count; i++) v[i] = dims->at[i];
        return dims->count;
    case GR__SHAPE:
        for (int i = 0; i < shape->rank; i++) v[i] = (double)shape->dim[i];
        return shape->rank;
    }
    return 1;
}

static bool attribute_is_shown(const gr__attribute *a, const double *v, int n)
{
    bool usual = true;
    for (int i = 0; i < n; i++) usual = usual && v[i] == a->usual;
    return a->shown == GR__ALWAYS || (a->shown == GR__UNLESS_USUAL && !usual);
}

/* A list of equal numbers, such as the stride of rows and of columns, is one number. */
static int print_attribute(char *to, size_t room, const gr__attribute *a, const double *v, int n)
{
    if (a->kind == GR__BOOL) return snprintf(to, room, "%s", a->name);
    if (a->kind == GR__CHOICE)
        return snprintf(to, room, "%s %s", a->name, a->choices[(unsigned)v[0]]);
    if (n == 1 || (a->kind == GR__HW && v[0] == v[1]))
        return snprintf(to, room, "%s %.6g", a->name, v[0]);
    int length = snprintf(to, room, "%s (", a->name);
    for (int i = 0; i < n && (size_t)length < room; i++)
        length += snprintf(to + length, room - (size_t)length, i ? ",%.6g" : "%.6g", v[i]);
    return (size_t)length < room ? length + snprintf(to + length, room - (size_t)length, ")")
                                 : length;
}

gr__attributes_text gr__attributes_of(const gr__node *nd)
{
    gr__attributes_text text = { "" };
    size_t              length = 0;
    double              v[GR_MAX_DIMS];
    for (const gr__attribute *a = nd->op->attributes; a && a->name; a++) {
        int n = gr__attribute_values(nd, a, v);
        if (!attribute_is_shown(a, v, n) || length + 3 >= sizeof text.s) continue;
        if (length) length += (size_t)snprintf(text.s + length, sizeof text.s - length, ", ");
        length += (size_t)print_attribute(text.s + length, sizeof text.s - length, a, v, n);
    }
    return text;
}
