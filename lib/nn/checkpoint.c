/* checkpoint.c: a run of training to a file, and back.

   Invariant: what a run is made of is listed once (list_run), for saving and for loading alike, so
   that the two cannot differ; io's state.c changes nothing unless all of the file fits the list.
   What is not simply memory (the loader's place, what is frozen) stands in a `part` meanwhile.

   Each owner adds its own part (gr__list_optim, gr__list_loader). The list separates values,
   which are restored from the file, from facts (seeds, options, sizes), which must be equal,
   since a run with other options would continue silently with other results. */
#include "nn/nn.h"
#include "data/data.h"
#include "gradus/checkpoint.h"
#include "io/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, MOST_PARTS = 16 };

/* A model with what trains it. */
typedef struct checkpoint_part {
    gr_checkpoint_options o;
    unsigned char        *frozen; /* of each parameter, 0 or 1 */
    int64_t               epoch, batch;
} checkpoint_part;

typedef struct checkpoint_run {
    const char     *what; /* "checkpoint_save" */
    gr__state      *state;
    int             parts;
    checkpoint_part part[MOST_PARTS];
} checkpoint_run;

/* ---- what may be saved ---- */

static bool check_part(const checkpoint_run *r, const gr_checkpoint_options *o)
{
    if (!gr__model_built(o->model, r->what)) return false;
    if (o->optim && o->optim->model != o->model)
        return gr__fail(GR_ERR_ARGUMENT, "%s: the optimiser is of another model", r->what);
    return !o->schedule || o->schedule->optim == o->optim ||
           gr__fail(GR_ERR_ARGUMENT, "%s: the schedule is of another optimiser", r->what);
}

static bool check_value(const checkpoint_run *r, const gr_value *v)
{
    int given = (v->integer != NULL) + (v->real != NULL) + (v->rng != NULL) + (v->text != NULL);
    if (!*v->name || given != 1)
        return gr__fail(GR_ERR_ARGUMENT, "%s: the value '%s' %s", r->what, gr__quoted(v->name).s,
            !*v->name ? "has no name" : "wants one of .integer, .real, .rng and .text");
    if (v->rng && v->same)
        return gr__fail(GR_ERR_ARGUMENT, "%s: the value '%s': .same is not for .rng", r->what,
            gr__quoted(v->name).s);
    return !v->text || memchr(v->text, 0, v->size) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: the value '%s': .size %zu holds no text that ends",
               r->what, gr__quoted(v->name).s, v->size);
}

static bool no_gradients(const checkpoint_run *r)
{
    for (int k = 0; k < r->parts; k++) {
        const gr_model *m = r->part[k].o.model;
        for (size_t i = 0; i < gr__array_length(m->params); i++)
            if (m->params[i]->t->grad)
                return gr__fail(GR_ERR_ARGUMENT,
                    "checkpoint_save: '%s' has a gradient, which a checkpoint does not hold: "
                    "gr_zero_grad first",
                    m->params[i]->name);
    }
    return true;
}

/* ---- the list ---- */

static bool list_model(gr__state *s, checkpoint_part *p)
{
    gr_model *m = p->o.model;
    size_t    n = gr__array_length(m->params);
    p->frozen = malloc(n + 1);
    if (!p->frozen) return gr__fail_memory("checkpoint", n);
    for (size_t i = 0; i < n; i++) p->frozen[i] = !m->params[i]->t->param;
    gr__state_under(s, "model.");
    gr__state_is_integer(s, "seed", (int64_t)m->seed);
    gr__state_bytes(s, "frozen", p->frozen, (int64_t)n);
    for (size_t i = 0; i < gr__array_length(m->slots); i++) {
        gr__slot *slot = m->slots[i];
        gr__state_under(s, slot->t ? "weights." : "runs.");
        if (slot->kind == GR__LAYER)
            gr__state_words(s, slot->name, &slot->runs, 1);
        else if (slot->kind == GR__COUNTER)
            gr__state_count(s, slot->name, slot->t);
        else
            gr__state_tensor(s, slot->name, slot->t);
    }
    return true;
}

static void list_loader(gr__state *s, checkpoint_part *p)
{
    gr__list_loader(s, p->o.loader);
    p->epoch = gr_loader_epoch(p->o.loader);
    p->batch = gr_loader_batch_index(p->o.loader);
    gr__state_integer(s, "epoch", &p->epoch, 0, INT64_MAX - 1);
    gr__state_integer(s, "next", &p->batch, 0, gr_loader_batches(p->o.loader));
}

static void list_value(gr__state *s, const gr_value *v)
{
    if (v->integer && v->same) gr__state_is_integer(s, v->name, *v->integer);
    if (v->integer && !v->same) gr__state_integer(s, v->name, v->integer, INT64_MIN, INT64_MAX);
    if (v->real && v->same) gr__state_is_number(s, v->name, *v->real);
    if (v->real && !v->same) gr__state_number(s, v->name, v->real, NAN, NAN);
    if (v->text && v->same) gr__state_is_text(s, v->name, v->text);
    if (v->text && !v->same) gr__state_text(s, v->name, v->text, v->size);
    if (v->rng) gr__state_words(s, v->name, (uint64_t *)v->rng, 2);
}

static bool list_part(checkpoint_run *r, checkpoint_part *p)
{
    gr__state *s = r->state;
    if (!check_part(r, &p->o) || !list_model(s, p)) return false;
    if (p->o.optim) gr__list_optim(s, p->o.optim);
    if (p->o.schedule) gr__list_schedule(s, p->o.schedule);
    if (p->o.loader) list_loader(s, p);
    gr__state_under(s, "values.");
    for (const gr_value *v = p->o.values; v && v->name; v++) {
        if (!check_value(r, v)) return false;
        list_value(s, v);
    }
    return true;
}

static bool list_run(checkpoint_run *r, const gr_checkpoint_options *o)
{
    r->state = gr__state_new();
    if (!r->state) return false;
    gr__state_is_integer(r->state, "gradus.checkpoint", VERSION);
    gr__state_is_text(r->state, "gradus.real", sizeof(gr_real) == 4 ? "float" : "double");
    for (; o; o = o->also) {
        if (r->parts == MOST_PARTS)
            return gr__fail(
                GR_ERR_ARGUMENT, "%s: .also lists more than %d models", r->what, MOST_PARTS);
        checkpoint_part *p = &r->part[r->parts++];
        p->o = *o;
        gr__state_part(r->state, r->parts);
        if (!list_part(r, p)) return false;
    }
    return true;
}

static void run_close(checkpoint_run *r)
{
    for (int k = 0; k < r->parts; k++) free(r->part[k].frozen);
    gr__state_free(r->state);
}

/* ---- saving and loading ---- */

static bool may_begin(const char *path, const char *what)
{
    if (gr__failed()) return false;
    return path || gr__fail(GR_ERR_ARGUMENT, "%s: the path is NULL", what);
}

bool gr_checkpoint_save_(const char *path, gr_checkpoint_options o)
{
    checkpoint_run r = { .what = "checkpoint_save" };
    if (!may_begin(path, r.what)) return false;
    bool good = list_run(&r, &o) && no_gradients(&r) && gr__state_write(r.state, path);
    run_close(&r);
    return good;
}

/* What is left to do when memory is filled. */
static bool put_in_place(const checkpoint_part *p)
{
    gr_model *m = p->o.model;
    for (size_t i = 0; i < gr__array_length(m->params); i++) {
        gr_clear_grad(m->params[i]->t);
        m->params[i]->t->param = !p->frozen[i];
    }
    return !p->o.loader || gr_loader_seek(p->o.loader, p->epoch, p->batch);
}

bool gr_checkpoint_load_(const char *path, gr_checkpoint_options o)
{
    checkpoint_run r = { .what = "checkpoint_load" };
    if (!may_begin(path, r.what)) return false;
    bool good = list_run(&r, &o) && gr__state_read(r.state, path);
    for (int k = 0; k < r.parts && good; k++) good = put_in_place(&r.part[k]);
    run_close(&r);
    return good;
}
