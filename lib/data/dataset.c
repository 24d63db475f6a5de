/* dataset.c: images and labels as bytes: made, split and handed out.

   Invariant: a data set that a caller holds has at least one image, a label for each, and no label
   that is not under classes. */
#include "data/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Texts one behind the other, each with its end. */
static char *joined(const char *const *texts, int n, size_t *size)
{
    *size = 0;
    for (int i = 0; i < n; i++) *size += strlen(texts[i]) + 1;
    char *all = malloc(*size), *at = all;
    for (int i = 0; all && i < n; i++) at = strchr(strcpy(at, texts[i]), 0) + 1;
    return all;
}

bool gr__dataset_name(gr_dataset *d, const char *const *names, const char *what)
{
    size_t size;
    char  *all = joined(names, d->classes, &size);
    if (!all) return gr__fail_memory(what, size);
    free(d->class_names);
    d->class_names = all;
    return true;
}

/* The classes are called 0, 1, ... until somebody knows better. */
static bool number_classes(gr_dataset *d)
{
    enum { ROOM = 4 };
    char *at = d->class_names = malloc(ROOM * (size_t)d->classes);
    for (int i = 0; at && i < d->classes; i++) at += snprintf(at, ROOM, "%d", i) + 1;
    return at != NULL;
}

gr_dataset *gr__dataset_new(gr_shape image, int64_t count, int classes, bool own, const char *what)
{
    size_t      size = (size_t)gr__count(&image), bytes = own ? size * (size_t)count : 0;
    gr_dataset *d = calloc(1, sizeof *d);
    if (d) {
        *d = (gr_dataset){ .shape = image, .count = count, .size = size, .classes = classes };
        d->labels = gr__malloc((size_t)count);
        d->own = own ? gr__malloc(bytes) : NULL;
        d->images = d->own;
        if (number_classes(d) && d->labels && (d->own || !own)) return d;
    }
    gr_dataset_free(d);
    gr__fail_memory(what, bytes + (size_t)count);
    return NULL;
}

void gr_dataset_free(gr_dataset *d)
{
    if (!d) return;
    free(d->own);
    free(d->labels);
    free(d->class_names);
    for (size_t i = 0; i < gr__array_length(d->skipped); i++) free(d->skipped[i]);
    for (size_t i = 0; i < gr__array_length(d->ignored); i++) free(d->ignored[i]);
    gr__array_free(&d->skipped);
    gr__array_free(&d->ignored);
    gr_idx_free(d->idx);
    free(d);
}

/* ---- from the caller ---- */

static bool check_labels(const unsigned char *labels, int64_t count, int classes)
{
    for (int64_t i = 0; i < count; i++)
        if (labels[i] >= classes)
            return gr__fail(GR_ERR_FORMAT, "dataset_from: label %lld is %d, more than %d",
                (long long)i, labels[i], classes - 1);
    return true;
}

gr_dataset *gr_dataset_from(gr_shape image, int64_t count, const unsigned char *images,
    const unsigned char *labels, int classes)
{
    gr_shape all = image;
    int64_t  size = gr__count(&image);
    bool     good = true;
    if (size > 0 && image.rank < GR_MAX_DIMS) all.dim[all.rank++] = count;
    if (!images || !labels)
        good = gr__fail(GR_ERR_ARGUMENT, "dataset_from: %s is NULL", images ? "labels" : "images");
    else if (size < 1 || image.rank >= GR_MAX_DIMS)
        good = gr__fail(
            GR_ERR_ARGUMENT, "dataset_from: %s is no shape of an image", gr__shape_text(&image).s);
    else if (count < 1 || gr__count(&all) < 0)
        good = gr__fail(
            GR_ERR_ARGUMENT, "dataset_from: there cannot be %lld images", (long long)count);
    else if (classes < 1 || classes > GR__MOST_CLASSES)
        good = gr__fail(GR_ERR_ARGUMENT, "dataset_from: there cannot be %d classes, only 1 to %d",
            classes, GR__MOST_CLASSES);
    if (!good || !check_labels(labels, count, classes)) return NULL;
    gr_dataset *d = gr__dataset_new(image, count, classes, true, "dataset_from");
    if (d) {
        memcpy(d->own, images, d->size * (size_t)count);
        memcpy(d->labels, labels, (size_t)count);
    }
    return d;
}

/* ---- from another ---- */

static gr_dataset *images_of(
    const gr_dataset *d, const int64_t *index, int64_t count, const char *what)
{
    gr_dataset *part = gr__dataset_new(d->shape, count, d->classes, true, what);
    if (!part) return NULL;
    for (int64_t i = 0; i < count; i++) {
        memcpy(part->own + d->size * (size_t)i, d->images + d->size * (size_t)index[i], d->size);
        part->labels[i] = d->labels[index[i]];
    }
    const char *names[GR__MOST_CLASSES];
    for (int i = 0; i < d->classes; i++) names[i] = gr_dataset_class_name(d, i);
    if (gr__dataset_name(part, names, what)) return part;
    gr_dataset_free(part);
    return NULL;
}

static bool dataset_given(const gr_dataset *d, const char *what)
{
    return d || gr__fail(GR_ERR_ARGUMENT, "%s: the data set is NULL", what);
}

static bool dataset_there(const gr_dataset *d, int64_t i, const char *what)
{
    return dataset_given(d, what) &&
           ((i >= 0 && i < d->count) ||
               gr__fail(GR_ERR_ARGUMENT, "%s: there is no image %lld among %lld", what,
                   (long long)i, (long long)d->count));
}

gr_dataset *gr_dataset_subset(const gr_dataset *d, const int64_t *index, int64_t count)
{
    bool good = dataset_given(d, "dataset_subset");
    if (good && !index)
        good = gr__fail(GR_ERR_ARGUMENT, "dataset_subset: the list of images is NULL");
    if (good && count < 1)
        good = gr__fail(
            GR_ERR_ARGUMENT, "dataset_subset: there cannot be %lld images", (long long)count);
    for (int64_t i = 0; good && i < count; i++) good = dataset_there(d, index[i], "dataset_subset");
    return good ? images_of(d, index, count, "dataset_subset") : NULL;
}

/* The images in a random order, class by class. */
static void shuffle_classes(const gr_dataset *d, gr_rng rng, int64_t *index)
{
    int64_t at[GR__MOST_CLASSES + 1] = { 0 };
    for (int64_t i = 0; i < d->count; i++) at[d->labels[i] + 1]++;
    for (int c = 0; c < d->classes; c++) at[c + 1] += at[c];
    /* at[c] becomes the end of class c */
    for (int64_t i = 0; i < d->count; i++) index[at[d->labels[i]]++] = i;
    for (int64_t i = d->count - 1, first = 0; i >= 0; i--) {
        int c = d->labels[index[i]];
        first = c > 0 ? at[c - 1] : 0;
        int64_t j = first + gr_rng_below(&rng, i - first + 1), swap = index[i];
        index[i] = index[j];
        index[j] = swap;
    }
}

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of each class its share of n goes to the end of index: of the first images of all classes
   together, always the share that is theirs. */
static void part_off(const gr_dataset *d, int64_t n, int64_t *index, int64_t *rest)
{
    int64_t kept = 0, parted = 0;
    for (int64_t i = 0; i < d->count; i++) {
        int64_t share = (int64_t)((double)n * (double)(i + 1) / (double)d->count + 0.5);
        if (share > parted)
            rest[parted++] = index[i];
        else
            index[kept++] = index[i];
    }
    qsort(index, (size_t)kept, sizeof *index, by_number);
    qsort(rest, (size_t)parted, sizeof *rest, by_number);
}

bool gr_dataset_split(
    const gr_dataset *d, double part, uint64_t seed, gr_dataset **train, gr_dataset **validation)
{
    if (!dataset_given(d, "dataset_split")) return false;
    if (!train || !validation)
        return gr__fail(GR_ERR_ARGUMENT, "dataset_split: the pointer to the %s set is NULL",
            train ? "validation" : "train");
    if (train == validation)
        return gr__fail(GR_ERR_ARGUMENT, "dataset_split: both pointers are the same");
    double n = part > 0 && part < 1 ? floor((double)d->count * part + 0.5) : part;
    if (n != floor(n))
        return gr__fail(GR_ERR_ARGUMENT, "dataset_split: there cannot be %g images", part);
    if (!(n >= 1 && n < (double)d->count))
        return gr__fail(GR_ERR_ARGUMENT,
            "dataset_split: %g of %lld image%s: each part must have some", part,
            (long long)d->count, gr__plural(d->count, "s"));
    int64_t parted = (int64_t)n, kept = d->count - parted,
            *index = gr__malloc(2 * sizeof *index * (size_t)d->count), *rest;
    if (!index) return gr__fail_memory("dataset_split", 2 * sizeof *index * (size_t)d->count);
    rest = index + d->count;
    shuffle_classes(d, gr_rng_of(seed, "split"), index);
    part_off(d, parted, index, rest);
    gr_dataset *t = images_of(d, index, kept, "dataset_split"),
               *v = t ? images_of(d, rest, parted, "dataset_split") : NULL;
    free(index);
    if (v) {
        *train = t;
        *validation = v;
        return true;
    }
    gr_dataset_free(t);
    return false;
}

/* ---- reading ---- */

int64_t gr_dataset_count(const gr_dataset *d)
{
    return dataset_given(d, "dataset_count") ? d->count : -1;
}

int gr_dataset_classes(const gr_dataset *d)
{
    return dataset_given(d, "dataset_classes") ? d->classes : -1;
}

gr_shape gr_dataset_shape(const gr_dataset *d)
{
    return dataset_given(d, "dataset_shape") ? d->shape : (gr_shape){ .rank = 0 };
}

const unsigned char *gr_dataset_image(const gr_dataset *d, int64_t i)
{
    return dataset_there(d, i, "dataset_image") ? d->images + d->size * (size_t)i : NULL;
}

int gr_dataset_label(const gr_dataset *d, int64_t i)
{
    return dataset_there(d, i, "dataset_label") ? d->labels[i] : -1;
}

const char *gr_dataset_class_name(const gr_dataset *d, int i)
{
    if (!dataset_given(d, "dataset_class_name")) return NULL;
    if (i < 0 || i >= d->classes) {
        gr__fail(
            GR_ERR_ARGUMENT, "dataset_class_name: there is no class %d among %d", i, d->classes);
        return NULL;
    }
    const char *name = d->class_names;
    while (i-- > 0) name = strchr(name, 0) + 1;
    return name;
}

int64_t gr_dataset_skipped(const gr_dataset *d)
{
    return dataset_given(d, "dataset_skipped") ? (int64_t)gr__array_length(d->skipped) : -1;
}

const char *gr_dataset_skipped_why(const gr_dataset *d, int64_t i)
{
    if (!dataset_given(d, "dataset_skipped_why")) return NULL;
    if (i >= 0 && i < (int64_t)gr__array_length(d->skipped)) return d->skipped[i];
    gr__fail(GR_ERR_ARGUMENT,
        "dataset_skipped_why: there is no picture %lld among %zu that were skipped", (long long)i,
        gr__array_length(d->skipped));
    return NULL;
}

int64_t gr_dataset_ignored(const gr_dataset *d)
{
    return dataset_given(d, "dataset_ignored") ? (int64_t)gr__array_length(d->ignored) : -1;
}

const char *gr_dataset_ignored_why(const gr_dataset *d, int64_t i)
{
    if (!dataset_given(d, "dataset_ignored_why")) return NULL;
    if (i >= 0 && i < (int64_t)gr__array_length(d->ignored)) return d->ignored[i];
    gr__fail(GR_ERR_ARGUMENT,
        "dataset_ignored_why: there is no entry %lld among %zu that were ignored", (long long)i,
        gr__array_length(d->ignored));
    return NULL;
}
