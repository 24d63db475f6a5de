/* model.c: a model is a set of named slots.

   Invariant: until it is sealed a model only grows, and a name is given out once; from then on its
   slots are fixed, and looking one up writes nothing, so threads may share it.

   Its first run is in eval mode, without recording, in a step of its own: it creates
   parameters, and does not change what layers count. Buffers are saved and loaded with the
   parameters, in the order in which layers made them, which is that of PyTorch's state_dict;
   optimisers do not know them. A counter is a buffer of one int32, int64 in files.

   Names in loops are formatted by gr_name, not by a prefix that the model keeps nor by printf
   arguments in every layer: layers keep their arguments for options, and there is no state that
   an early return could leave behind. */
#include "nn/nn.h"

#include <stdlib.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------ */

gr_model *gr_model_new(uint64_t seed)
{
    gr_model *m = calloc(1, sizeof *m);
    if (m && (m->by_name = gr__map_new())) {
        m->seed = seed;
        return m;
    }
    free(m);
    gr__fail_memory("model", sizeof *m);
    return NULL;
}

static void slot_free(gr__slot *s)
{
    if (s) {
        gr__unref(s->t);
        free(s->name);
        free(s);
    }
}

void gr_model_free(gr_model *m)
{
    if (!m) return;
    for (size_t i = 0; i < gr__array_length(m->slots); i++) slot_free(m->slots[i]);
    gr__array_free(&m->slots);
    gr__array_free(&m->params);
    gr__array_free(&m->buffers);
    gr__map_free(m->by_name);
    free(m);
}

void *gr_model_ctx(const gr_model *m) { return m ? m->ctx : NULL; }

bool gr_model_seal(gr_model *m)
{
    if (!m) return gr__fail(GR_ERR_ARGUMENT, "model_seal: the model is NULL");
    if (m->sealed) return gr__fail(GR_ERR_ARGUMENT, "model_seal: the model is sealed already");
    m->sealed = true;
    return true;
}

gr_model *gr_model_build_(gr_forward *forward, gr_model_options o)
{
    if (!forward) {
        gr__fail(GR_ERR_ARGUMENT, "model_build: the forward function is NULL");
        return NULL;
    }
    gr_model *m = gr_model_new(o.seed);
    if (!m) return NULL;
    m->forward = forward;
    m->ctx = o.ctx;
    m->input = o.input;
    bool    recorded = gr_set_recording(false);
    gr_step step = gr_step_begin();
    /* the run is for the parameters: layers that count their runs begin with the first real one */
    m->eval = true;
    gr_tensor *x = step.depth > 0 ? gr_zeros(o.input) : NULL;
    bool       good = x && forward(m, x);
    m->eval = false;
    gr_step_end(&step);
    gr_set_recording(recorded);
    if (good && gr_model_seal(m)) return m;
    gr__fail(GR_ERR_ARGUMENT, "model_build: the forward function gave NULL");
    gr_model_free(m);
    return NULL;
}

bool gr__model_built(const gr_model *m, const char *what)
{
    if (!m) return gr__fail(GR_ERR_ARGUMENT, "%s: the model is NULL", what);
    return m->sealed || gr__fail(GR_ERR_ARGUMENT,
                            "%s: the model is still being built; gr_model_seal ends that", what);
}

/* ---- names ----------------------------------------------------------------------------------- */

static gr__slot *new_slot(const char *name, gr__kind kind, const gr_shape *shape)
{
    gr__slot *s = calloc(1, sizeof *s);
    size_t    size = strlen(name) + 1;
    if (!s || !(s->name = malloc(size))) {
        free(s);
        gr__fail_memory("model", size);
        return NULL;
    }
    memcpy(s->name, name, size);
    s->kind = kind;
    if (shape && (!(s->t = gr__tensor(kind == GR__COUNTER ? GR_INT32 : GR_REAL, shape, name)) ||
                     !gr_named(s->t, name))) {
        slot_free(s);
        return NULL;
    }
    return s;
}

/* The map comes last: it has no way back. */
static gr__slot *add_slot(gr_model *m, const char *name, gr__kind kind, const gr_shape *shape)
{
    gr__slot *s = new_slot(name, kind, shape);
    if (!s) return NULL;
    gr__slot ***of_kind = kind == GR__PARAM ? &m->params : kind == GR__LAYER ? NULL : &m->buffers;
    size_t slots = gr__array_length(m->slots), others = of_kind ? gr__array_length(*of_kind) : 0;
    s->place = slots;
    if (gr__array_push(&m->slots, &s, sizeof s) &&
        (!of_kind || gr__array_push(of_kind, &s, sizeof s)) && gr__map_put(m->by_name, name, s))
        return s;
    gr__array_truncate(m->slots, slots);
    if (of_kind) gr__array_truncate(*of_kind, others);
    slot_free(s);
    gr__fail_memory("model", sizeof *s);
    return NULL;
}

static bool same_kind(const gr__slot *s, gr__kind kind, const gr_shape *shape)
{
    static const char *const names[] = { "a parameter", "a buffer", "a counter", "a layer" };
    if (s->kind != kind)
        return gr__fail(
            GR_ERR_ARGUMENT, "model: '%s' is %s, not %s", s->name, names[s->kind], names[kind]);
    if (shape && !gr__same_shape(&s->t->shape, shape))
        return gr__fail(GR_ERR_ARGUMENT, "model: '%s' is %s, %s wanted", s->name, GR__TEXT(s->t),
            gr__shape_text(shape).s);
    return true;
}

/* A name that no file of weights can hold is refused where it is given, not when a trained model is
   saved. */
static bool may_name(const char *name)
{
    return gr__safetensors_may_name(name) || gr__fail(GR_ERR_ARGUMENT,
                                                 "model: '%s' cannot be a name: files of weights "
                                                 "take valid UTF-8 only, and not __metadata__",
                                                 gr__quoted(name).s);
}

/* A forward function asks for its slots in the order in which it made them, so the one after the
   thread's last is looked at first. */
static gr__slot *model_find(const gr_model *m, const char *name)
{
    size_t   *last = &gr__self()->last_slot, slots = gr__array_length(m->slots);
    size_t    next = *last + 1 < slots ? *last + 1 : 0;
    gr__slot *s = slots > 0 && strcmp(m->slots[next]->name, name) == 0
                      ? m->slots[next]
                      : gr__map_get(m->by_name, name);
    if (s) *last = s->place;
    return s;
}

gr__slot *gr__model_slot(
    gr_model *m, const char *name, gr__kind kind, const gr_shape *shape, bool shared)
{
    if (!m || !name || !*name) {
        gr__fail(
            GR_ERR_ARGUMENT, "model: %s", !m ? "the model is NULL" : "a name is NULL or empty");
        return NULL;
    }
    gr__slot *s = model_find(m, name);
    if (s && !m->sealed && !shared) {
        gr__fail(GR_ERR_ARGUMENT,
            "model: '%s' was made already; layers that mean to share it say .shared", name);
        return NULL;
    }
    if (!s && m->sealed) {
        gr__fail(GR_ERR_ARGUMENT, "model: there is no '%s', and the model is sealed", name);
        return NULL;
    }
    if (!s) return may_name(name) ? add_slot(m, name, kind, shape) : NULL;
    return same_kind(s, kind, shape) ? s : NULL;
}

/* ---- modes and parameters -------------------------------------------------------------------- */

static bool model_given(const gr_model *m, const char *what)
{
    return m || gr__fail(GR_ERR_ARGUMENT, "%s: the model is NULL", what);
}

void gr_model_train(gr_model *m)
{
    if (model_given(m, "model_train")) m->eval = false;
}

void gr_model_eval(gr_model *m)
{
    if (model_given(m, "model_eval")) m->eval = true;
}

static bool below(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    return n == 0 || (strncmp(name, prefix, n) == 0 && (name[n] == '\0' || name[n] == '.'));
}

static bool set_frozen(gr_model *m, const char *name, bool frozen, const char *what)
{
    if (!model_given(m, what) || !name)
        return gr__fail(GR_ERR_ARGUMENT, "%s: the name is NULL", what);
    bool found = false;
    for (size_t i = 0; i < gr__array_length(m->params); i++) {
        if (!below(m->params[i]->name, name)) continue;
        found = true;
        m->params[i]->t->param = !frozen;
        if (frozen) gr_clear_grad(m->params[i]->t);
    }
    return found || gr__fail(GR_ERR_ARGUMENT, "%s: there is no parameter '%s'", what, name);
}

bool gr_model_freeze(gr_model *m, const char *name)
{
    return set_frozen(m, name, true, "model_freeze");
}

bool gr_model_unfreeze(gr_model *m, const char *name)
{
    return set_frozen(m, name, false, "model_unfreeze");
}

int gr_model_count(const gr_model *m)
{
    return model_given(m, "model_count") ? (int)gr__array_length(m->params) : -1;
}

static gr__slot *slot_at(gr__slot *const *slots, int i, const char *what, const char *kind)
{
    if (i >= 0 && (size_t)i < gr__array_length(slots)) return slots[i];
    gr__fail(GR_ERR_ARGUMENT, "%s: %s %d of %zu", what, kind, i, gr__array_length(slots));
    return NULL;
}

static gr__slot *param_at(const gr_model *m, int i, const char *what)
{
    return model_given(m, what) ? slot_at(m->params, i, what, "parameter") : NULL;
}

static gr__slot *buffer_at(const gr_model *m, int i, const char *what)
{
    return model_given(m, what) ? slot_at(m->buffers, i, what, "buffer") : NULL;
}

const char *gr_model_name(const gr_model *m, int i)
{
    gr__slot *s = param_at(m, i, "model_name");
    return s ? s->name : NULL;
}

gr_tensor *gr_model_at(const gr_model *m, int i)
{
    gr__slot *s = param_at(m, i, "model_at");
    return s ? s->t : NULL;
}

int gr_model_buffer_count(const gr_model *m)
{
    return model_given(m, "model_buffer_count") ? (int)gr__array_length(m->buffers) : -1;
}

const char *gr_model_buffer_name(const gr_model *m, int i)
{
    gr__slot *s = buffer_at(m, i, "model_buffer_name");
    return s ? s->name : NULL;
}

gr_tensor *gr_model_buffer_at(const gr_model *m, int i)
{
    gr__slot *s = buffer_at(m, i, "model_buffer_at");
    return s ? s->t : NULL;
}

gr_tensor *gr_model_get(const gr_model *m, const char *name)
{
    if (!model_given(m, "model_get")) return NULL;
    gr__slot *s = name ? gr__map_get(m->by_name, name) : NULL;
    if (s && s->t) return s->t;
    gr__fail(
        GR_ERR_ARGUMENT, "model_get: there is no parameter or buffer '%s'", name ? name : "(NULL)");
    return NULL;
}
