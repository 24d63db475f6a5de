/* loader.c: batches, epoch after epoch, in tensors that are filled again and again.

   Invariant: the order of an epoch is a function of (seed, epoch) alone, a Fisher-Yates shuffle of 0 .. N-1 by the stream "epoch E";
   all memory is taken when the loader is opened. */
#include "data/data.h"

#include <stdlib.h>
#include <string.h>

struct gr_loader {
    const gr_dataset *data;
    int64_t           batch, batches; /* images a batch, batches an epoch */
    uint64_t          seed;
    bool              in_order;
    gr_tensor        *images, *labels;           /* of a full batch */
    gr_tensor        *last_images, *last_labels; /* of a partial one: the beginning of the same storage */
    int64_t          *order;
    int64_t           epoch, next;   /* next: the batch that comes now */
    int64_t           ordered;       /* the epoch that order is of; -1: none */
    int64_t           channels;      /* that have numbers of their own; 1: all bytes have the same */
    gr_real           table[4][256]; /* of each channel */
};

/* Two tensors for batches of count images; views of images and labels if there are any already. */
static bool make_pair(const gr_loader *l, int64_t count, gr_tensor **images, gr_tensor **labels)
{
    gr_shape s = { .rank = l->data->shape.rank + 1, .dim = { count } };
    memcpy(s.dim + 1, l->data->shape.dim, sizeof s.dim[0] * (size_t)l->data->shape.rank);
    *images = l->images ? gr__view(l->images, &s, 0, "loader_open") : gr__tensor(GR_REAL, &s, "loader_open");
    *labels = l->labels ? gr__view(l->labels, &gr_shape(count), 0, "loader_open") : gr__tensor(GR_INT32, &gr_shape(count), "loader_open");
    return *images && *labels;
}

static bool make_tensors(gr_loader *l, bool drop_last)
{
    int64_t full = l->data->count / l->batch, rest = l->data->count % l->batch;
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

/* ---- the numbers of the bytes ---- */

enum { MOST_CHANNELS = 4 };

/* How many of four numbers are there, up to the last that is not 0. */
static int given(const double v[MOST_CHANNELS])
{
    int n = MOST_CHANNELS;
    while (n > 0 && v[n - 1] == 0) n--;
    return n;
}

static bool check_channels(const gr_shape *image, const gr_loader_options *o)
{
    int means = given(o->channel_mean), stds = given(o->channel_std);
    if (o->mean != 0 || o->std != 0)
        return gr__fail(
            GR_ERR_ARGUMENT, "loader_open: .mean and .std are of all channels, .channel_mean and .channel_std of each: not both");
    if (image->rank != 3 || image->dim[0] > MOST_CHANNELS)
        return gr__fail(GR_ERR_ARGUMENT, "loader_open: images %s: .channel_mean and .channel_std want (C,H,W) with up to %d channels",
            gr__shape_text(image).s, MOST_CHANNELS);
    if (means <= image->dim[0] && (stds == 0 || stds == image->dim[0])) return true;
    return gr__fail(GR_ERR_ARGUMENT, "loader_open: images %s have %lld channels, .channel_%s is given for %d", gr__shape_text(image).s,
        (long long)image->dim[0], means > image->dim[0] ? "mean" : "std", means > image->dim[0] ? means : stds);
}

static bool make_tables(gr_loader *l, const gr_loader_options *o)
{
    l->channels = 1;
    if (given(o->channel_mean) == 0 && given(o->channel_std) == 0) return gr__byte_table(l->table[0], o->mean, o->std, "loader_open");
    if (!check_channels(&l->data->shape, o)) return false;
    l->channels = l->data->shape.dim[0];
    for (int c = 0; c < l->channels; c++) {
        bool hole = o->channel_std[c] == 0 && given(o->channel_std) > 0;
        if (hole) return gr__fail(GR_ERR_ARGUMENT, "loader_open: .channel_std of channel %d is 0", c);
        if (!gr__byte_table(l->table[c], o->channel_mean[c], o->channel_std[c], "loader_open")) return false;
    }
    return true;
}

/* ---- opening ---- */

static bool set_up(gr_loader *l, const gr_loader_options *o)
{
    size_t order_size = sizeof *l->order * (size_t)l->data->count;
    l->order = malloc(order_size);
    if (!l->order) return gr__fail_memory("loader_open", order_size);
    return make_tables(l, o) && make_tensors(l, o->drop_last);
}

gr_loader *gr_loader_open_(const gr_dataset *data, gr_loader_options o)
{
    if (!check_options(data, &o)) return NULL;
    gr_loader *l = calloc(1, sizeof *l);
    if (!l) {
        gr__fail_memory("loader_open", sizeof *l);
        return NULL;
    }
    l->data = data;
    l->batch = o.batch;
    l->seed = o.seed;
    l->in_order = o.in_order;
    l->ordered = -1;
    if (set_up(l, &o)) return l;
    gr_loader_free(l);
    return NULL;
}

/* ---- an epoch ---- */

static void put_in_order(gr_loader *l)
{
    char name[40];
    if (l->ordered == l->epoch) return;
    snprintf(name, sizeof name, "epoch %lld", (long long)l->epoch);
    gr_rng rng = gr_rng_of(l->seed, name);
    for (int64_t i = 0; i < l->data->count; i++) l->order[i] = i;
    for (int64_t i = l->data->count - 1; i > 0 && !l->in_order; i--) {
        int64_t j = gr_rng_below(&rng, i + 1), swap = l->order[i];
        l->order[i] = l->order[j];
        l->order[j] = swap;
    }
    l->ordered = l->epoch;
}

static void fill(const gr_loader *l, const int64_t *order, const gr_batch *b)
{
    const gr_dataset *d = l->data;
    size_t            plane = d->size / (size_t)l->channels;
    gr_real          *x = gr_data_mut(b->images);
    int32_t          *y = gr_ints_mut(b->labels);
    for (int64_t i = 0; i < b->count; i++) {
        const unsigned char *image = d->images + d->size * (size_t)order[i];
        for (int64_t c = 0; c < l->channels; c++, x += plane, image += plane) gr__numbers_of(x, image, plane, l->table[c]);
        y[i] = d->labels[order[i]];
    }
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
    put_in_order(l);
    int64_t first = l->next++ * l->batch, left = l->data->count - first;
    bool    whole = !l->last_images || left >= l->batch;
    *batch = (gr_batch){ whole ? l->images : l->last_images, whole ? l->labels : l->last_labels, left < l->batch ? left : l->batch };
    fill(l, l->order + first, batch);
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
    free(l->order);
    free(l);
}
