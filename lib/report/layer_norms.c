/* layer_norms.c: norms of each layer's gradient, and of its update relative to its weights.

   Norms are computed while the optimiser goes from one parameter to the next, so that only one
   parameter has to be copied. Invariant: what is watched is not changed. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LAYERS = 512, LAYER_NORMS_MOST_POINTS = 500, MOST_NUMBERS = 65536 };

static int length_of_layer(const char *name)
{
    const char *dot = strrchr(name, '.');
    return (int)(dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

/* The parameters of a layer are adjacent, in the order in which layers make them. */
static void find_layers(gr__layer_norms *l, const gr_model *m)
{
    for (int i = 0; i < l->params; i++) {
        const char       *name = m->params[i]->name;
        int               length = length_of_layer(name);
        gr__layer_params *last = l->count > 0 ? &l->layer[l->count - 1] : NULL;
        if (!last || last->length != length || strncmp(last->name, name, (size_t)length) != 0) {
            if (l->count == MOST_LAYERS) {
                l->left_out++;
                continue;
            }
            last = &l->layer[l->count++];
            *last = (gr__layer_params){ .name = name, .length = length, .first = i };
        }
        last->params = i + 1 - last->first;
        last->numbers += m->params[i]->t->count;
    }
}

bool gr__layer_norms_open(gr__layer_norms *l, const gr_model *m)
{
    l->params = (int)gr__array_length(m->params);
    size_t n = (size_t)l->params + 1;
    for (int i = 0; i < l->params; i++) {
        size_t bytes = (size_t)m->params[i]->t->count * sizeof(gr_real);
        l->room = bytes > l->room ? bytes : l->room;
    }
    l->layer = calloc(n < MOST_LAYERS ? n : MOST_LAYERS, sizeof *l->layer);
    l->norms = calloc(n, sizeof *l->norms);
    l->seen = calloc(n, sizeof *l->seen);
    l->row = calloc(2 * n, sizeof *l->row);
    l->before = malloc(l->room + 1);
    if (!l->layer || !l->norms || !l->seen || !l->row || !l->before)
        return gr__fail_memory("report_open", l->room);
    find_layers(l, m);
    int width = l->count > 0 ? 2 * l->count : 2, most = MOST_NUMBERS / width / 2 * 2;
    return gr__series_open(
        &l->series, width, most < LAYER_NORMS_MOST_POINTS ? most : LAYER_NORMS_MOST_POINTS);
}

void gr__layer_norms_close(gr__layer_norms *l)
{
    free(l->layer);
    free(l->norms);
    free(l->seen);
    free(l->row);
    free(l->before);
    gr__series_close(&l->series);
}

void gr__layer_norms_see(gr__layer_norms *l, size_t i, const gr_tensor *p, bool changed)
{
    const gr_real   *v = gr__reals(p);
    gr__param_norms *n = &l->norms[i];
    if (!changed) {
        n->gradient = gr__squares(gr__reals(p->grad), p->count);
        n->weight = gr__squares(v, p->count);
        memcpy(l->before, v, (size_t)p->count * sizeof *v);
        return;
    }
    for (int64_t k = 0; k < p->count; k++) l->before[k] = v[k] - l->before[k];
    n->update = gr__squares(l->before, p->count);
    l->seen[i] = true;
}

void gr__layer_norms_step(gr__layer_norms *l, double x)
{
    for (int k = 0; k < l->count; k++) {
        gr__param_norms sum = { 0 };
        bool            seen = false;
        for (int i = l->layer[k].first; i < l->layer[k].first + l->layer[k].params; i++) {
            if (!l->seen[i]) continue;
            seen = true;
            sum.gradient += l->norms[i].gradient;
            sum.update += l->norms[i].update;
            sum.weight += l->norms[i].weight;
        }
        l->row[2 * k] = seen ? sqrt(sum.gradient) : NAN;
        l->row[2 * k + 1] = seen && sum.weight > 0 ? sqrt(sum.update / sum.weight) : NAN;
    }
    gr__series_put(&l->series, x, l->row);
    memset(l->seen, 0, (size_t)l->params * sizeof *l->seen);
}
