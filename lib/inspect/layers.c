/* layers.c: the layer that an operation belongs to, by the names of its parameters.

   Invariant: a layer's name is the beginning of a parameter's, up to a dot. */
#include "inspect/inspect.h"

#include <string.h>

/* "block.conv1" of "block.conv1.weight", "block" of "block.conv1". */
static gr__layer_name above(const char *s, int length)
{
    while (length > 0 && s[--length] != '.') continue;
    return (gr__layer_name){ s, length, false };
}

gr__layer_name gr__layer_name_of_leaf(const gr__graph_tensor *s)
{
    const char *name = s->t->param || !s->t->node ? s->t->name : NULL;
    return name ? above(name, (int)strlen(name)) : (gr__layer_name){ "", 0, false };
}

/* An operation belongs to the layer of its parameters. One without parameters belongs to the layer
   of its input if it keeps the shape; among several such inputs to that of an operation with
   parameters, or of the last one. */
static gr__layer_name layer_of(
    const gr__graph *gr, const gr__layer_name *of, const gr__graph_operation *op)
{
    gr__layer_name from = { "", 0, false };
    int            last = 0;
    for (int i = 0; i < op->count; i++) {
        const gr__graph_tensor *s = &gr->tensors[gr->uses[op->uses + (size_t)i].tensor];
        gr__layer_name          l = s->number ? of[s->number - 1] : gr__layer_name_of_leaf(s);
        if (!s->number && l.length > 0) return (gr__layer_name){ l.s, l.length, true };
        if (!s->number || l.own < from.own || (l.own == from.own && s->number < last)) continue;
        if (!gr__same_shape(&s->t->shape, &op->nd->out->shape)) continue;
        last = s->number;
        from = l;
    }
    return from.own ? above(from.s, from.length) : from;
}

void gr__layer_names_of(const gr__graph *gr, gr__layer_name *of)
{
    for (size_t n = gr__array_length(gr->operations), k = n; k-- > 0;)
        of[n - 1 - k] = layer_of(gr, of, &gr->operations[k]);
}
