/* save.c: a model's parameters to a file of weights, and back.

   Invariant: loading is strict, and in two passes: every entry is matched with a parameter first, and nothing is copied unless all are. */
#include "nn/nn.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

bool gr_save(const gr_model *m, const char *path)
{
    if (!gr__model_built(m, "save")) return false;
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "save: the path is NULL");
    size_t     n = gr__length(m->params);
    gr__entry *e = calloc(n + 1, sizeof *e);
    if (!e) return gr__fail_memory("save", n * sizeof *e);
    for (size_t i = 0; i < n; i++) {
        const gr_tensor *t = m->params[i]->t;
        e[i] = (gr__entry){ m->params[i]->name, gr__type_of(t), t->shape, t->data };
    }
    bool good = gr__safetensors_write(path, e, (int)n);
    free(e);
    return good;
}

static bool fits(const gr_model *m, const gr__entry *e, const char *path)
{
    const gr__slot *s = gr__map_get(m->by_name, e->name);
    const char     *name = s ? s->name : gr__quoted(e->name).s;
    if (!s || !s->t) return gr__fail(GR_ERR_FORMAT, "load: '%s' has '%s', which the model lacks", path, name);
    if (e->type != gr__type_of(s->t))
        return gr__fail(GR_ERR_FORMAT, "load: '%s': '%s' holds %s, the model's holds %s", path, name, gr__type_name(e->type),
            gr__type_name(gr__type_of(s->t)));
    return gr__same_shape(&e->shape, &s->t->shape) ||
           gr__fail(GR_ERR_FORMAT, "load: '%s': '%s' is %s, the model's is %s", path, name, gr__shape_text(&e->shape).s, GR__TEXT(s->t));
}

static bool all_fit(const gr_model *m, const gr__safetensors *f, const char *path)
{
    int n = gr__safetensors_count(f);
    for (int i = 0; i < n; i++)
        if (!fits(m, gr__safetensors_entry(f, i), path)) return false;
    for (size_t p = 0; p < gr__length(m->params); p++) {
        bool found = false;
        for (int i = 0; i < n && !found; i++) found = strcmp(gr__safetensors_entry(f, i)->name, m->params[p]->name) == 0;
        if (!found) return gr__fail(GR_ERR_FORMAT, "load: '%s' lacks '%s' %s", path, m->params[p]->name, GR__TEXT(m->params[p]->t));
    }
    return true;
}

bool gr_load(gr_model *m, const char *path)
{
    if (!gr__model_built(m, "load")) return false;
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "load: the path is NULL");
    gr__safetensors *f = gr__safetensors_read(path);
    bool             good = f && all_fit(m, f, path);
    for (int i = 0; good && i < gr__safetensors_count(f); i++) {
        const gr__entry *e = gr__safetensors_entry(f, i);
        const gr__slot  *s = gr__map_get(m->by_name, e->name);
        gr__touch(s->t);
        if (s->t->count) memcpy(s->t->data, e->data, (size_t)s->t->count * sizeof(gr_real));
    }
    gr__safetensors_free(f);
    return good;
}
