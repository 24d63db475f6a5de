/* prefix.c: which layer an operation belongs to, by the names of its parameters.

   Invariant: a layer's name is the beginning of a parameter's, up to a dot. */
#include "inspect/inspect.h"

#include <string.h>

/* "block.conv1" of "block.conv1.weight", "block" of "block.conv1". */
static gr__prefix above(const char *s, int length)
{
    while (length > 0 && s[--length] != '.') continue;
    return (gr__prefix){ s, length, false };
}

gr__prefix gr__prefix_of_leaf(const gr__seen *s)
{
    const char *name = s->t->param || !s->t->node ? s->t->name : NULL;
    return name ? above(name, (int)strlen(name)) : (gr__prefix){ "", 0, false };
}

/* An operation belongs to the layer of its parameters. One without stands by the layer whose result it takes, if it leaves its shape as it is; of
   several such results by a layer's own, or the last. */
static gr__prefix layer_of(const gr__graph *gr, const gr__prefix *of, const gr__operation *op)
{
    gr__prefix from = { "", 0, false };
    int        last = 0;
    for (int i = 0; i < op->count; i++) {
        const gr__seen *s = &gr->seen[gr->uses[op->uses + (size_t)i].tensor];
        gr__prefix      l = s->number ? of[s->number - 1] : gr__prefix_of_leaf(s);
        if (!s->number && l.length > 0) return (gr__prefix){ l.s, l.length, true };
        if (!s->number || l.own < from.own || (l.own == from.own && s->number < last)) continue;
        if (!gr__same_shape(&s->t->shape, &op->nd->out->shape)) continue;
        last = s->number;
        from = l;
    }
    return from.own ? above(from.s, from.length) : from;
}

void gr__prefixes(const gr__graph *gr, gr__prefix *of)
{
    for (size_t n = gr__length(gr->operations), k = n; k-- > 0;) of[n - 1 - k] = layer_of(gr, of, &gr->operations[k]);
}
