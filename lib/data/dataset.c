/* dataset.c: images and labels as bytes: made, read and handed out.

   Invariant: a data set that a caller holds has at least one image, a label for each, and no label that is not under classes. */
#include "data/data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_CLASSES = 256 };

gr_dataset *gr__dataset_new(gr_shape image, int64_t count, int classes, bool own, const char *what)
{
    size_t      size = (size_t)gr__count(&image), bytes = own ? size * (size_t)count : 0;
    gr_dataset *d = calloc(1, sizeof *d);
    if (d) {
        *d = (gr_dataset){ .shape = image, .count = count, .size = size, .classes = classes };
        d->labels = malloc((size_t)count);
        d->own = own ? malloc(bytes) : NULL;
        d->images = d->own;
        if (d->labels && (d->own || !own)) return d;
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
    gr_idx_free(d->idx);
    free(d);
}

/* ---- from the caller ---- */

static bool check_labels(const unsigned char *labels, int64_t count, int classes, const char *where, const char *quote)
{
    for (int64_t i = 0; i < count; i++)
        if (labels[i] >= classes)
            return gr__fail(
                GR_ERR_FORMAT, "%s%s%s: label %lld is %d, more than %d", quote, where, quote, (long long)i, labels[i], classes - 1);
    return true;
}

gr_dataset *gr_dataset_from(gr_shape image, int64_t count, const unsigned char *images, const unsigned char *labels, int classes)
{
    gr_shape all = image;
    int64_t  size = gr__count(&image);
    bool     good = true;
    if (size > 0 && image.rank < GR_MAX_DIMS) all.dim[all.rank++] = count;
    if (!images || !labels)
        good = gr__fail(GR_ERR_ARGUMENT, "dataset_from: %s is NULL", images ? "labels" : "images");
    else if (size < 1 || image.rank >= GR_MAX_DIMS)
        good = gr__fail(GR_ERR_ARGUMENT, "dataset_from: %s is no shape of an image", gr__shape_text(&image).s);
    else if (count < 1 || gr__count(&all) < 0)
        good = gr__fail(GR_ERR_ARGUMENT, "dataset_from: there cannot be %lld images", (long long)count);
    else if (classes < 1 || classes > MOST_CLASSES)
        good = gr__fail(GR_ERR_ARGUMENT, "dataset_from: there cannot be %d classes, only 1 to %d", classes, MOST_CLASSES);
    if (!good || !check_labels(labels, count, classes, "dataset_from", "")) return NULL;
    gr_dataset *d = gr__dataset_new(image, count, classes, true, "dataset_from");
    if (d) {
        memcpy(d->own, images, d->size * (size_t)count);
        memcpy(d->labels, labels, (size_t)count);
    }
    return d;
}

/* ---- from files ---- */

static bool check_folder(const char *folder)
{
    struct stat about;
    if (!folder) return gr__fail(GR_ERR_ARGUMENT, "mnist: the folder is NULL");
    if (stat(folder, &about)) return gr__fail(GR_ERR_FILE, "cannot open '%s': %s", folder, strerror(errno));
    return S_ISDIR(about.st_mode) || gr__fail(GR_ERR_FILE, "cannot open '%s': %s", folder, strerror(ENOTDIR));
}

/* Reads folder/name, or folder/name.gz if only that is there. */
static gr_idx *read_one(const char *folder, const char *name)
{
    size_t  size = strlen(folder) + strlen(name) + 5;
    char   *path = malloc(size);
    gr_idx *idx = NULL;
    if (!path) {
        gr__fail_memory("mnist", size);
        return NULL;
    }
    snprintf(path, size, "%s/%s", folder, name);
    bool plain = access(path, F_OK) == 0;
    if (!plain) strcat(path, ".gz");
    if (plain || access(path, F_OK) == 0)
        idx = gr_idx_read(path);
    else
        gr__fail(GR_ERR_FILE, "'%s' holds neither %s nor %s.gz", folder, name, name);
    free(path);
    return idx;
}

static bool check_pair(const char *folder, const char *which, const gr_shape *images, const gr_shape *labels)
{
    if (images->rank != 3 || gr__count(images) < 1)
        return gr__fail(GR_ERR_FORMAT, "'%s': %s-images have sizes %s, not (N,H,W)", folder, which, gr__shape_text(images).s);
    if (labels->rank != 1)
        return gr__fail(GR_ERR_FORMAT, "'%s': %s-labels have sizes %s, not (N)", folder, which, gr__shape_text(labels).s);
    if (images->dim[0] != labels->dim[0])
        return gr__fail(
            GR_ERR_FORMAT, "'%s': %lld %s-images, but %lld labels", folder, (long long)images->dim[0], which, (long long)labels->dim[0]);
    return true;
}

/* The data set of both files; images become its own. */
static gr_dataset *join(const char *folder, const char *which, gr_idx *images, const gr_idx *labels)
{
    gr_shape is = gr_idx_shape(images), ls = gr_idx_shape(labels);
    if (!check_pair(folder, which, &is, &ls)) return NULL;
    const unsigned char *l = gr_idx_bytes(labels, 0);
    if (!check_labels(l, ls.dim[0], 10, folder, "'")) return NULL;
    gr_dataset *d = gr__dataset_new(gr_shape(1, is.dim[1], is.dim[2]), is.dim[0], 10, false, "mnist");
    if (d) {
        memcpy(d->labels, l, (size_t)d->count);
        d->idx = images;
        d->images = gr_idx_bytes(images, 0);
    }
    return d;
}

gr_dataset *gr_mnist(const char *folder, bool train)
{
    if (!check_folder(folder)) return NULL;
    gr_idx     *images = read_one(folder, train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte");
    gr_idx     *labels = images ? read_one(folder, train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte") : NULL;
    gr_dataset *d = labels ? join(folder, train ? "train" : "t10k", images, labels) : NULL;
    gr_idx_free(labels);
    if (!d) gr_idx_free(images);
    return d;
}

/* ---- reading ---- */

static bool given(const gr_dataset *d, const char *what) { return d || gr__fail(GR_ERR_ARGUMENT, "%s: the data set is NULL", what); }

static bool there(const gr_dataset *d, int64_t i, const char *what)
{
    return given(d, what) && ((i >= 0 && i < d->count) || gr__fail(GR_ERR_ARGUMENT, "%s: there is no image %lld among %lld", what,
                                                              (long long)i, (long long)d->count));
}

int64_t gr_dataset_count(const gr_dataset *d) { return given(d, "dataset_count") ? d->count : -1; }

int gr_dataset_classes(const gr_dataset *d) { return given(d, "dataset_classes") ? d->classes : -1; }

gr_shape gr_dataset_shape(const gr_dataset *d) { return given(d, "dataset_shape") ? d->shape : (gr_shape){ .rank = 0 }; }

const unsigned char *gr_dataset_image(const gr_dataset *d, int64_t i)
{
    return there(d, i, "dataset_image") ? d->images + d->size * (size_t)i : NULL;
}

int gr_dataset_label(const gr_dataset *d, int64_t i) { return there(d, i, "dataset_label") ? d->labels[i] : -1; }
