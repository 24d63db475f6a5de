/* mnist.c: MNIST, and other sets in its four files.

   Invariant: both files have been read whole, and agree, before there is a data set. */
#include "data/data.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/io.h"

enum { MNIST_CLASSES = 10 };

/* An IDX file and its name. */
typedef struct mnist_part {
    char   *path;
    gr_idx *idx;
} mnist_part;

/* Reads folder/name, or folder/name.gz if only that is there. */
static bool read_part(mnist_part *p, const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 5;
    p->path = malloc(size);
    if (!p->path) return gr__fail_memory("mnist", size);
    snprintf(p->path, size, "%s/%s", folder, name);
    bool plain = access(p->path, F_OK) == 0;
    if (!plain) strcat(p->path, ".gz");
    if (!plain && access(p->path, F_OK))
        return gr__fail(GR_ERR_FILE, "'%s' holds neither %s nor %s.gz", folder, name, name);
    p->idx = gr_idx_read(p->path);
    return p->idx != NULL;
}

static bool mnist_check_pair(const mnist_part *images, const mnist_part *labels)
{
    gr_shape is = gr_idx_shape(images->idx), ls = gr_idx_shape(labels->idx);
    if (is.rank != 3 || gr__count(&is) < 1)
        return gr__fail(
            GR_ERR_FORMAT, "'%s' has sizes %s, not (N,H,W)", images->path, gr__shape_text(&is).s);
    if (ls.rank != 1)
        return gr__fail(
            GR_ERR_FORMAT, "'%s' has sizes %s, not (N)", labels->path, gr__shape_text(&ls).s);
    if (is.dim[0] != ls.dim[0])
        return gr__fail(GR_ERR_FORMAT, "'%s' holds %lld image%s, but '%s' %lld label%s",
            images->path, (long long)is.dim[0], gr__plural(is.dim[0], "s"), labels->path,
            (long long)ls.dim[0], gr__plural(ls.dim[0], "s"));
    const unsigned char *l = gr_idx_bytes(labels->idx, 0);
    for (int64_t i = 0; i < ls.dim[0]; i++)
        if (l[i] >= MNIST_CLASSES)
            return gr__fail(GR_ERR_FORMAT, "'%s': label %lld is %d, more than %d", labels->path,
                (long long)i, l[i], MNIST_CLASSES - 1);
    return true;
}

/* The data set of both files; the images become its own. */
static gr_dataset *join(mnist_part *images, const mnist_part *labels)
{
    gr_shape    s = gr_idx_shape(images->idx);
    gr_dataset *d =
        gr__dataset_new(gr_shape(1, s.dim[1], s.dim[2]), s.dim[0], MNIST_CLASSES, false, "mnist");
    if (!d) return NULL;
    memcpy(d->labels, gr_idx_bytes(labels->idx, 0), (size_t)d->count);
    d->images = gr_idx_bytes(images->idx, 0);
    d->idx = images->idx;
    images->idx = NULL;
    return d;
}

gr_dataset *gr_mnist(const char *folder, bool train)
{
    mnist_part images = { .path = NULL }, labels = { .path = NULL };
    bool       good =
        gr__folder_check(folder, "mnist") &&
        read_part(&images, folder, train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte") &&
        read_part(&labels, folder, train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte") &&
        mnist_check_pair(&images, &labels);
    gr_dataset *d = good ? join(&images, &labels) : NULL;
    gr_idx_free(images.idx);
    gr_idx_free(labels.idx);
    free(images.path);
    free(labels.path);
    return d;
}
