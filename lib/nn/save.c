/* save.c: a model's parameters and buffers to a file of weights, and back.

   Invariant: loading is strict, and in two passes: every entry is matched with a parameter or
   buffer first, and nothing is copied unless all are. A counter is an int64 in the file, as
   PyTorch's are; one that the file lacks (PyTorch had none before 0.4.1) becomes 0, as there. */
#include "nn/nn.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

/* What the slot is in a file; a counter's number is at *wide. */
static gr__entry entry_of(const gr__slot *s, int64_t *wide)
{
    if (s->kind != GR__COUNTER) return (gr__entry){ s->name, GR__REALS, s->t->shape, s->t->data };
    *wide = gr__ints(s->t)[0];
    return (gr__entry){ s->name, GR__I64, s->t->shape, wide };
}

bool gr_save(const gr_model *m, const char *path)
{
    if (!gr__model_built(m, "save")) return false;
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "save: the path is NULL");
    size_t slots = gr__array_length(m->slots),
           size = (slots + 1) * (sizeof(gr__entry) + sizeof(int64_t));
    gr__entry *e = malloc(size);
    if (!e) return gr__fail_memory("save", size);
    int64_t *wide = (int64_t *)(e + slots + 1);
    int      n = 0;
    for (size_t i = 0; i < slots; i++)
        if (m->slots[i]->t) e[n++] = entry_of(m->slots[i], &wide[i]);
    bool good = gr__safetensors_write(path, e, n);
    free(e);
    return good;
}

static int64_t save_counted(const gr__entry *e)
{
    int64_t n;
    memcpy(&n, e->data, sizeof n);
    return n;
}

static bool save_fits(const gr_model *m, const gr__entry *e, const char *path)
{
    const gr__slot *s = gr__map_get(m->by_name, e->name);
    gr__quote       quote = gr__quoted(e->name);
    const char     *name = quote.s;
    if (!s || !s->t)
        return gr__fail(GR_ERR_FORMAT, "load: '%s' has '%s', which the model lacks", path, name);
    gr__type wanted = s->kind == GR__COUNTER ? GR__I64 : GR__REALS;
    if (e->type != wanted)
        return gr__fail(GR_ERR_FORMAT, "load: '%s': '%s' holds %s, the model's holds %s", path,
            name, gr__type_name(e->type), gr__type_name(wanted));
    if (!gr__same_shape(&e->shape, &s->t->shape))
        return gr__fail(GR_ERR_FORMAT, "load: '%s': '%s' is %s, the model's is %s", path, name,
            gr__shape_text(&e->shape).s, GR__TEXT(s->t));
    return s->kind != GR__COUNTER || (save_counted(e) >= 0 && save_counted(e) <= INT32_MAX) ||
           gr__fail(GR_ERR_FORMAT, "load: '%s': '%s' is %lld, 0 to %d wanted", path, name,
               (long long)save_counted(e), INT32_MAX);
}

static bool all_fit(const gr_model *m, const gr__safetensors *f, const char *path)
{
    int n = gr__safetensors_count(f);
    for (int i = 0; i < n; i++)
        if (!save_fits(m, gr__safetensors_entry(f, i), path)) return false;
    for (size_t p = 0; p < gr__array_length(m->slots); p++) {
        const gr__slot *s = m->slots[p];
        bool            found = !s->t || s->kind == GR__COUNTER;
        for (int i = 0; i < n && !found; i++)
            found = strcmp(gr__safetensors_entry(f, i)->name, s->name) == 0;
        if (!found)
            return gr__fail(
                GR_ERR_FORMAT, "load: '%s' lacks '%s' %s", path, s->name, GR__TEXT(s->t));
    }
    return true;
}

static void save_take(const gr__slot *s, const gr__entry *e)
{
    gr__touch(s->t);
    if (s->kind == GR__COUNTER)
        gr__ints(s->t)[0] = (int32_t)save_counted(e);
    else if (s->t->count)
        memcpy(s->t->data, e->data, (size_t)s->t->count * sizeof(gr_real));
}

bool gr_load(gr_model *m, const char *path)
{
    if (!gr__model_built(m, "load")) return false;
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "load: the path is NULL");
    gr__safetensors *f = gr__safetensors_read(path);
    bool             good = f && all_fit(m, f, path);
    for (size_t p = 0; good && p < gr__array_length(m->buffers); p++)
        if (m->buffers[p]->kind == GR__COUNTER) {
            gr__touch(m->buffers[p]->t);
            gr__ints(m->buffers[p]->t)[0] = 0; /* unless the file says more */
        }
    for (int i = 0; good && i < gr__safetensors_count(f); i++) {
        const gr__entry *e = gr__safetensors_entry(f, i);
        save_take(gr__map_get(m->by_name, e->name), e);
    }
    gr__safetensors_free(f);
    return good;
}
