/* loader.c: batches, epoch after epoch, in tensors that are filled again and again, by the caller
   or by a thread that is one batch ahead.

   Invariant: the place (epoch, next) decides what comes, whoever prepares it; all memory is taken
   when the loader is opened. What is prepared ahead goes to the set of tensors that the caller has
   not got; the recipe belongs to whoever prepares. */
#include "data/data.h"

#include <stdlib.h>
#include <string.h>

/* The tensors of one batch. */
typedef struct tensors {
    gr_tensor *images, *labels;           /* of a full batch */
    gr_tensor *last_images, *last_labels; /* of a partial one: the beginning of the same storage */
} tensors;

struct gr_loader {
    gr__recipe recipe;
    int64_t    batch, batches; /* images a batch, batches an epoch */
    int64_t    epoch, next;    /* next: the batch that comes now */
    tensors    set[2];
    /* the set that the caller has; the other is for the batch that is prepared */
    int        current;
    bool       prefetch;
    gr__ahead  ahead;
    int64_t    ahead_epoch, ahead_number; /* the batch that is prepared; -1: none */
};

/* ---- opening and closing ---- */

/* Two tensors for batches of count images; views of a full batch's if there are any already. */
static bool make_pair(
    const gr_shape *image, const tensors *t, int64_t count, gr_tensor **images, gr_tensor **labels)
{
    gr_shape s = { .rank = image->rank + 1, .dim = { count } };
    memcpy(s.dim + 1, image->dim, sizeof s.dim[0] * (size_t)image->rank);
    *images = t->images ? gr__view(t->images, &s, 0, "loader_open")
                        : gr__tensor(GR_REAL, &s, "loader_open");
    *labels = t->labels ? gr__view(t->labels, &gr_shape(count), 0, "loader_open")
                        : gr__tensor(GR_INT32, &gr_shape(count), "loader_open");
    return *images && *labels;
}

static bool make_tensors(const gr_loader *l, tensors *t)
{
    const gr_shape *image = &l->recipe.data->shape;
    int64_t         count = l->recipe.data->count, full = count / l->batch, rest = count % l->batch;
    gr_tensor      *images, *labels;
    bool            good = make_pair(image, t, full ? l->batch : rest, &images, &labels);
    t->images = images;
    t->labels = labels;
    return good &&
           (rest == 0 || full == 0 || make_pair(image, t, rest, &t->last_images, &t->last_labels));
}

static void free_tensors(tensors *t)
{
    gr__unref(t->last_images);
    gr__unref(t->last_labels);
    gr__unref(t->images);
    gr__unref(t->labels);
}

static bool check_options(const gr_dataset *data, const gr_loader_options *o)
{
    if (!data) return gr__fail(GR_ERR_ARGUMENT, "loader_open: the data set is NULL");
    if (o->batch < 1)
        return gr__fail(GR_ERR_ARGUMENT, "loader_open: .batch %lld: at least 1 image wanted",
            (long long)o->batch);
    return !o->drop_last || o->batch <= data->count ||
           gr__fail(GR_ERR_ARGUMENT,
               "loader_open: .drop_last leaves no batch: %lld image%s, %lld per batch",
               (long long)data->count, gr__plural(data->count, "s"), (long long)o->batch);
}

static void prepare_ahead(void *arg);

gr_loader *gr_loader_open_(const gr_dataset *data, gr_loader_options o)
{
    if (!check_options(data, &o)) return NULL;
    gr_loader *l = calloc(1, sizeof *l);
    if (!l) {
        gr__fail_memory("loader_open", sizeof *l);
        return NULL;
    }
    l->batch = o.batch;
    l->batches = data->count / o.batch + (data->count % o.batch > 0 && !o.drop_last);
    l->prefetch = o.prefetch;
    l->ahead = (gr__ahead){ .work = prepare_ahead, .arg = l };
    l->ahead_epoch = -1;
    if (gr__recipe_make(&l->recipe, data, &o) && make_tensors(l, &l->set[0]) &&
        (!o.prefetch || make_tensors(l, &l->set[1])))
        return l;
    gr_loader_close(l);
    return NULL;
}

void gr_loader_close(gr_loader *l)
{
    if (!l) return;
    gr__ahead_end(&l->ahead);
    free_tensors(&l->set[0]);
    free_tensors(&l->set[1]);
    gr__recipe_empty(&l->recipe);
    free(l);
}

/* ---- a batch ---- */

static gr_batch batch_in(const gr_loader *l, int set, int64_t number)
{
    const tensors *t = &l->set[set];
    int64_t        left = l->recipe.data->count - number * l->batch;
    if (t->last_images && left < l->batch)
        return (gr_batch){ t->last_images, t->last_labels, left };
    return (gr_batch){ t->images, t->labels, left < l->batch ? left : l->batch };
}

static bool prepare(gr_loader *l, int set, int64_t epoch, int64_t number, bool alone)
{
    gr_batch b = batch_in(l, set, number);
    return gr__fill(&l->recipe, epoch, number * l->batch, b.count, gr__reals(b.inputs),
        gr__ints(b.targets), alone);
}

/* Old numbers are about to go: backward through a graph over them is refused from here on. */
static void give_up(gr_loader *l, int set)
{
    gr__touch(l->set[set].images);
    gr__touch(l->set[set].labels);
}

/* In the thread that prepares, which is not to keep the others' threads from the training. */
static void prepare_ahead(void *arg)
{
    gr_loader *l = arg;
    prepare(l, 1 - l->current, l->ahead_epoch, l->ahead_number, l->ahead.threaded);
}

static void begin_ahead(gr_loader *l, int64_t epoch, int64_t number)
{
    gr__ahead_finish(&l->ahead);
    l->ahead_epoch = epoch;
    l->ahead_number = number;
    give_up(l, 1 - l->current);
    gr__ahead_begin(&l->ahead);
}

static bool take_prepared(gr_loader *l)
{
    if (l->ahead_epoch != l->epoch || l->ahead_number != l->next) begin_ahead(l, l->epoch, l->next);
    const gr__failure *f = gr__ahead_finish(&l->ahead);
    l->ahead_epoch = -1;
    if (f->code != GR_OK) return gr__fail(f->code, "%s", f->message);
    l->current = 1 - l->current;
    bool last = l->next + 1 == l->batches;
    begin_ahead(l, l->epoch + last, last ? 0 : l->next + 1);
    return true;
}

bool gr_next_batch(gr_loader *l, gr_batch *batch)
{
    if (!l || !batch)
        return gr__fail(GR_ERR_ARGUMENT, "next_batch: the %s is NULL", l ? "batch" : "loader");
    if (gr__failed()) return false;
    if (l->next == l->batches) {
        l->next = 0;
        l->epoch++;
        return false;
    }
    if (!l->prefetch) give_up(l, l->current);
    if (!(l->prefetch ? take_prepared(l) : prepare(l, l->current, l->epoch, l->next, false)))
        return false;
    *batch = batch_in(l, l->current, l->next++);
    return true;
}

/* ---- the place ---- */

bool gr_loader_seek(gr_loader *l, int64_t epoch, int64_t batch)
{
    if (!l) return gr__fail(GR_ERR_ARGUMENT, "loader_seek: the loader is NULL");
    if (epoch < 0 || batch < 0 || batch > l->batches)
        return gr__fail(GR_ERR_ARGUMENT,
            "loader_seek: there is no batch %lld of epoch %lld: %lld batch%s per epoch",
            (long long)batch, (long long)epoch, (long long)l->batches,
            gr__plural(l->batches, "es"));
    l->epoch = epoch;
    l->next = batch;
    return true;
}

const gr__recipe *gr__loader_recipe(const gr_loader *l) { return &l->recipe; }

int64_t gr_loader_epoch(const gr_loader *l)
{
    if (l) return l->epoch;
    gr__fail(GR_ERR_ARGUMENT, "loader_epoch: the loader is NULL");
    return -1;
}

int64_t gr_loader_batch_index(const gr_loader *l)
{
    if (l) return l->next;
    gr__fail(GR_ERR_ARGUMENT, "loader_batch_index: the loader is NULL");
    return -1;
}

int64_t gr_loader_batches(const gr_loader *l)
{
    if (l) return l->batches;
    gr__fail(GR_ERR_ARGUMENT, "loader_batches: the loader is NULL");
    return -1;
}

/* Other data of the same size have other labels, or another order of them. FNV-1a. */
static int64_t hash_of_labels(const gr_dataset *d)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < d->count; i++) hash = (hash ^ d->labels[i]) * 0x100000001b3u;
    return (int64_t)hash;
}

void gr__list_loader(gr__state *s, const gr_loader *l)
{
    const gr__recipe *r = &l->recipe;
    gr__state_under(s, "loader.");
    gr__state_is_integer(s, "images", r->data->count);
    gr__state_is_text(s, "image", gr__shape_text(&r->data->shape).s);
    gr__state_is_integer(s, "hash_of_labels", hash_of_labels(r->data));
    gr__state_is_integer(s, "batch", l->batch);
    gr__state_is_integer(s, "batches", l->batches);
    gr__list_recipe(s, r);
}
