/* loader.c: batches, epoch after epoch, in tensors that are filled again and again.

   Invariant: all memory is taken when the loader is opened; the place (epoch, next) decides what comes. */
#include "data/data.h"

#include <stdlib.h>
#include <string.h>

struct gr_loader {
    gr__recipe recipe;
    int64_t    batch, batches;            /* images a batch, batches an epoch */
    gr_tensor *images, *labels;           /* of a full batch */
    gr_tensor *last_images, *last_labels; /* of a partial one: the beginning of the same storage */
    int64_t    epoch, next;               /* next: the batch that comes now */
};

/* Two tensors for batches of count images; views of images and labels if there are any already. */
static bool make_pair(const gr_loader *l, int64_t count, gr_tensor **images, gr_tensor **labels)
{
    const gr_shape *image = &l->recipe.data->shape;
    gr_shape        s = { .rank = image->rank + 1, .dim = { count } };
    memcpy(s.dim + 1, image->dim, sizeof s.dim[0] * (size_t)image->rank);
    *images = l->images ? gr__view(l->images, &s, 0, "loader_open") : gr__tensor(GR_REAL, &s, "loader_open");
    *labels = l->labels ? gr__view(l->labels, &gr_shape(count), 0, "loader_open") : gr__tensor(GR_INT32, &gr_shape(count), "loader_open");
    return *images && *labels;
}

static bool make_tensors(gr_loader *l, bool drop_last)
{
    int64_t count = l->recipe.data->count, full = count / l->batch, rest = count % l->batch;
    l->batches = full + (rest > 0 && !drop_last);
    gr_tensor *images, *labels;
    bool       good = make_pair(l, full ? l->batch : rest, &images, &labels);
    l->images = images;
    l->labels = labels;
    return good && (rest == 0 || full == 0 || make_pair(l, rest, &l->last_images, &l->last_labels));
}

static bool check_options(const gr_dataset *data, const gr_loader_options *o)
{
    if (!data) return gr__fail(GR_ERR_ARGUMENT, "loader_open: the data set is NULL");
    if (o->batch < 1) return gr__fail(GR_ERR_ARGUMENT, "loader_open: a batch of %lld images, at least 1 wanted", (long long)o->batch);
    return !o->drop_last || o->batch <= data->count ||
           gr__fail(GR_ERR_ARGUMENT, "loader_open: .drop_last leaves no batch: %lld images, %lld a batch", (long long)data->count,
               (long long)o->batch);
}

gr_loader *gr_loader_open_(const gr_dataset *data, gr_loader_options o)
{
    if (!check_options(data, &o)) return NULL;
    gr_loader *l = calloc(1, sizeof *l);
    if (!l) {
        gr__fail_memory("loader_open", sizeof *l);
        return NULL;
    }
    l->batch = o.batch;
    if (gr__recipe_make(&l->recipe, data, &o) && make_tensors(l, o.drop_last)) return l;
    gr_loader_free(l);
    return NULL;
}

bool gr_next_batch(gr_loader *l, gr_batch *batch)
{
    if (!l || !batch) return gr__fail(GR_ERR_ARGUMENT, "next_batch: the %s is NULL", l ? "batch" : "loader");
    if (gr__failed()) return false;
    if (l->next == l->batches) {
        l->next = 0;
        l->epoch++;
        return false;
    }
    int64_t first = l->next++ * l->batch, left = l->recipe.data->count - first;
    bool    whole = !l->last_images || left >= l->batch;
    *batch = (gr_batch){ whole ? l->images : l->last_images, whole ? l->labels : l->last_labels, left < l->batch ? left : l->batch };
    gr__fill(&l->recipe, l->epoch, first, batch->count, gr_data_mut(batch->images), gr_ints_mut(batch->labels));
    return true;
}

bool gr_loader_seek(gr_loader *l, int64_t epoch, int64_t batch)
{
    if (!l) return gr__fail(GR_ERR_ARGUMENT, "loader_seek: the loader is NULL");
    if (epoch < 0 || batch < 0 || batch > l->batches)
        return gr__fail(GR_ERR_ARGUMENT, "loader_seek: there is no batch %lld of epoch %lld: %lld batches an epoch", (long long)batch,
            (long long)epoch, (long long)l->batches);
    l->epoch = epoch;
    l->next = batch;
    return true;
}

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

void gr_loader_free(gr_loader *l)
{
    if (!l) return;
    gr__unref(l->last_images);
    gr__unref(l->last_labels);
    gr__unref(l->images);
    gr__unref(l->labels);
    gr__recipe_empty(&l->recipe);
    free(l);
}
