/* fill.c: what a batch holds: which images, changed how, as which numbers.

   Invariant: it depends on the recipe and on the epoch alone, never on what was filled before or on
   the number of threads. The order of an epoch is a Fisher-Yates shuffle of 0 .. N-1 by the stream
   "epoch E"; the changes are drawn from the stream "augment epoch E", which has numbers for each
   image. */
#include "data/data.h"

#include <stdlib.h>
#include <string.h>

/* ---- the numbers of the bytes ---- */

/* How many numbers are there, up to the last that is not 0. */
static int fill_given(const double v[GR__MOST_CHANNELS])
{
    int n = GR__MOST_CHANNELS;
    while (n > 0 && v[n - 1] == 0) n--;
    return n;
}

static bool check_channels(const gr_shape *image, const gr_loader_options *o)
{
    int means = fill_given(o->channel_mean), stds = fill_given(o->channel_std);
    if (o->mean != 0 || o->std != 0)
        return gr__fail(GR_ERR_ARGUMENT, "loader_open: .mean and .std are of all channels, "
                                         ".channel_mean and .channel_std of each: not both");
    if (image->rank != 3 || image->dim[0] > GR__MOST_CHANNELS)
        return gr__fail(GR_ERR_ARGUMENT,
            "loader_open: images %s: .channel_mean and .channel_std want (C,H,W) with up to %d "
            "channels",
            gr__shape_text(image).s, GR__MOST_CHANNELS);
    if (means <= image->dim[0] && (stds == 0 || stds == image->dim[0])) return true;
    return gr__fail(GR_ERR_ARGUMENT,
        "loader_open: images %s have %lld channel%s, .channel_%s is given for %d",
        gr__shape_text(image).s, (long long)image->dim[0], gr__plural(image->dim[0], "s"),
        means > image->dim[0] ? "mean" : "std", means > image->dim[0] ? means : stds);
}

static bool make_tables(gr__recipe *r, const gr_loader_options *o)
{
    r->channels = 1;
    if (fill_given(o->channel_mean) == 0 && fill_given(o->channel_std) == 0)
        return gr__byte_table(r->table[0], o->mean, o->std, "loader_open");
    if (!check_channels(&r->data->shape, o)) return false;
    r->channels = r->data->shape.dim[0];
    for (int c = 0; c < r->channels; c++) {
        bool hole = o->channel_std[c] == 0 && fill_given(o->channel_std) > 0;
        if (hole)
            return gr__fail(GR_ERR_ARGUMENT, "loader_open: .channel_std of channel %d is 0", c);
        if (!gr__byte_table(r->table[c], o->channel_mean[c], o->channel_std[c], "loader_open"))
            return false;
    }
    return true;
}

/* ---- the recipe ---- */

static void *room(size_t bytes)
{
    void *p = gr__malloc(bytes);
    if (!p) gr__fail_memory("loader_open", bytes);
    return p;
}

bool gr__recipe_make(gr__recipe *r, const gr_dataset *data, const gr_loader_options *o)
{
    *r = (gr__recipe){ .data = data,
        .batch = o->batch < data->count ? o->batch : data->count,
        .seed = o->seed,
        .in_order = o->in_order };
    r->ordered = -1;
    r->augment = o->augment;
    r->changes = gr__augment_asked(&r->augment);
    if (!make_tables(r, o)) return false;
    if (r->changes && !gr__augment_check(&r->augment, &data->shape, &r->planes, "loader_open"))
        return false;
    r->order = room(sizeof *r->order * (size_t)data->count);
    r->bytes = r->order && r->changes ? room(2 * data->size * (size_t)r->batch) : NULL;
    return r->order && (r->bytes || !r->changes);
}

void gr__recipe_empty(gr__recipe *r)
{
    free(r->order);
    free(r->bytes);
}

/* ---- filling ---- */

static gr_rng stream(const gr__recipe *r, const char *what, int64_t epoch)
{
    char name[40];
    snprintf(name, sizeof name, "%s %lld", what, (long long)epoch);
    return gr_rng_of(r->seed, name);
}

static void put_in_order(gr__recipe *r, int64_t epoch)
{
    /* In a child process: a thread that is not there any more may have been in the middle of it. */
    if (r->ordered == epoch && r->forks == gr__forks()) return;
    r->forks = gr__forks();
    gr_rng rng = stream(r, "epoch", epoch);
    for (int64_t i = 0; i < r->data->count; i++) r->order[i] = i;
    for (int64_t i = r->data->count - 1; i > 0 && !r->in_order; i--) {
        int64_t j = gr_rng_below(&rng, i + 1), swap = r->order[i];
        r->order[i] = r->order[j];
        r->order[j] = swap;
    }
    r->ordered = epoch;
}

typedef struct fill_job {
    const gr__recipe *r;
    const int64_t    *order;
    gr_rng            rng;
    gr_real          *x;
    int32_t          *y;
    bool             *good;
} fill_job;

/* Image number i of the batch as it shall be: the data set's, or what has been made of it. NULL: a
   failure. */
static const unsigned char *fill_image_of(const fill_job *j, int64_t i)
{
    const gr__recipe    *r = j->r;
    const unsigned char *x = r->data->images + r->data->size * (size_t)j->order[i];
    if (!r->changes) return x;
    unsigned char *y = r->bytes + 2 * r->data->size * (size_t)i, *turned = y + r->data->size;
    if (gr__augment(&r->augment, &r->planes, gr__augment_rng(j->rng, j->order[i]), x, turned, y))
        return y;
    gr__fail(GR_ERR_ARGUMENT, "next_batch: .change refuses image %lld", (long long)j->order[i]);
    return NULL;
}

static void fill_range(const void *arg, int64_t begin, int64_t end)
{
    const fill_job   *j = arg;
    const gr__recipe *r = j->r;
    size_t            size = r->data->size, plane = size / (size_t)r->channels;
    for (int64_t i = begin; i < end && *j->good; i++) {
        const unsigned char *image = fill_image_of(j, i);
        gr_real             *x = j->x + size * (size_t)i;
        if (!image) {
            /* only a change of the caller's can fail, and that happens in one thread */
            *j->good = false;
            return;
        }
        for (int64_t c = 0; c < r->channels; c++, x += plane, image += plane)
            gr__numbers_of(x, image, plane, r->table[c]);
        j->y[i] = r->data->labels[j->order[i]];
    }
}

/* Bytes that are worth a thread's waking; those that are changed cost some ten times as much. */
enum { FILL_GRAIN = 65536, GRAIN_CHANGED = 8192 };

bool gr__fill(
    gr__recipe *r, int64_t epoch, int64_t first, int64_t count, gr_real *x, int32_t *y, bool alone)
{
    put_in_order(r, epoch);
    bool     good = true;
    fill_job j = { r, r->order + first, stream(r, "augment epoch", epoch), x, y, &good };
    int64_t  grain = (r->changes ? GRAIN_CHANGED : FILL_GRAIN) / (int64_t)r->data->size;
    if (alone || r->augment.change)
        fill_range(&j, 0, count);
    else
        gr__parallel(count, grain, fill_range, &j);
    return good;
}

static void augment_state(gr__state *s, const gr_augment *a)
{
    gr__state_is_number(s, "augment.rotation", a->rotation);
    gr__state_is_number(s, "augment.shift", a->shift);
    gr__state_is_integer(s, "augment.crop_padding", a->crop_padding);
    gr__state_is_integer(s, "augment.flip", a->flip);
    gr__state_is_number(s, "augment.erase", a->erase);
    gr__state_is_number(s, "augment.erase_scale0", a->erase_scale[0]);
    gr__state_is_number(s, "augment.erase_scale1", a->erase_scale[1]);
    gr__state_is_number(s, "augment.erase_ratio0", a->erase_ratio[0]);
    gr__state_is_number(s, "augment.erase_ratio1", a->erase_ratio[1]);
    gr__state_is_integer(s, "augment.fill", a->fill);
    gr__state_is_integer(s, "augment.reflect", a->reflect);
    gr__state_is_integer(s, "augment.change", a->change != NULL);
}

void gr__list_recipe(gr__state *s, const gr__recipe *r)
{
    char name[32];
    gr__state_is_integer(s, "seed", (int64_t)r->seed);
    gr__state_is_integer(s, "in_order", r->in_order);
    for (int c = 0; c < (int)r->channels; c++) {
        snprintf(name, sizeof name, "channel%d.byte0", c);
        gr__state_is_number(s, name, (double)r->table[c][0]);
        snprintf(name, sizeof name, "channel%d.byte255", c);
        gr__state_is_number(s, name, (double)r->table[c][255]);
    }
    if (r->changes) augment_state(s, &r->augment);
}
