/* data.h (private): what the files of this module share. */
#ifndef GR_DATA_H
#define GR_DATA_H

#include "core/core.h"
#include "gradus/data.h"
#include "io/io.h"

struct gr_dataset {
    gr_shape             shape; /* of one image */
    int64_t              count;
    size_t               size; /* bytes of one image */
    int                  classes;
    const unsigned char *images;
    unsigned char       *labels;
    unsigned char       *own; /* images, unless they are idx's */
    gr_idx              *idx;
    char                *class_names; /* one behind the other, each with its end */
    char **skipped; /* stb_ds array of texts: broken pictures that were left out, and why */
    char **ignored; /* and what was taken for no picture or class */
};

enum { GR__MOST_CLASSES = 256 }; /* a label is a byte */

/* An empty data set with room for count images and labels of its own (room for images only if own).
   NULL: no memory, as `what`. */
gr_dataset *gr__dataset_new(gr_shape image, int64_t count, int classes, bool own, const char *what);

/* of the classes, copied */
bool gr__dataset_name(gr_dataset *d, const char *const *names, const char *what);

/* The number that each byte stands for: (byte / 255 - mean) / std. false: what is not possible. */
bool gr__byte_table(gr_real table[256], double mean, double std, const char *what);
void gr__numbers_of(gr_real *y, const unsigned char *bytes, size_t n, const gr_real table[256]);

/* An image as planes of rows: c of them, of h rows of w bytes. */
typedef struct gr__planes {
    int64_t  c, h, w;
    gr_shape shape; /* the image's own */
} gr__planes;

bool   gr__augment_asked(const gr_augment *a);
/* Checks the options for images of this shape, fills in defaults, and gives the planes. */
bool   gr__augment_check(gr_augment *a, const gr_shape *image, gr__planes *p, const char *what);
gr_rng gr__augment_rng(gr_rng of_epoch, int64_t image);
/* y: x, changed by these random numbers; turned: room for an image. false: the caller's change
   failed. */
bool   gr__augment(const gr_augment *a, const gr__planes *p, gr_rng rng, const unsigned char *x,
      unsigned char *turned, unsigned char *y);
/* y: x turned counter-clockwise about its centre, then shifted. */
void   gr__turn(const gr_augment *a, const gr__planes *p, double degrees, double down, double right,
      const unsigned char *x, unsigned char *y);

enum { GR__MOST_CHANNELS = 4 }; /* with a mean and std each */

/* What decides the contents of batches, and the room to make them; one thread at a time fills by
   it. */
typedef struct gr__recipe {
    const gr_dataset *data;
    int64_t           batch; /* at most so many images at once */
    uint64_t          seed;
    bool              in_order;
    int64_t          *order, ordered; /* the order of that epoch; -1: of none */
    unsigned          forks;          /* of the process that made it */
    /* that have numbers of their own; 1: all bytes have the same */
    int64_t           channels;
    gr_real           table[GR__MOST_CHANNELS][256];
    bool              changes;
    gr_augment        augment;
    gr__planes        planes;
    unsigned char    *bytes; /* if it changes: room for two images, for each of a batch */
} gr__recipe;

/* false: it cannot be, or there is no memory; to be emptied all the same. */
bool gr__recipe_make(gr__recipe *r, const gr_dataset *data, const gr_loader_options *o);
void gr__recipe_empty(gr__recipe *r);
/* Numbers and labels of count images, from place first on in the order of that epoch; alone:
   without other threads' help. */
bool gr__fill(
    gr__recipe *r, int64_t epoch, int64_t first, int64_t count, gr_real *x, int32_t *y, bool alone);

/* ---- ahead.c: a job that a thread does ahead ---- */

typedef struct gr__ahead {
    void (*work)(void *arg);
    void         *arg;
    gr__failure   failure; /* of the last job */
    int           state;   /* with the lock held, if there is a thread; so is stop */
    bool          stop, threaded, has_lock;
    unsigned      forks; /* of the process that has the thread */
    gr__fp        fp;    /* of the caller, when the job was begun */
    gr__os_thread thread;
    gr__mutex     lock;
} gr__ahead;

void               gr__ahead_begin(gr__ahead *a); /* work(arg) */
/* waits for it, and says how it ended; at once if nothing was begun */
const gr__failure *gr__ahead_finish(gr__ahead *a);
void               gr__ahead_end(gr__ahead *a); /* the thread ends, after the job it is in */

const gr__recipe *gr__loader_recipe(const gr_loader *l);
void              gr__confusion_clear(gr_confusion *c); /* back to zeros */

void gr__list_recipe(gr__state *s, const gr__recipe *r);
/* Lists, as facts, what the batches depend on; their place is what gr_loader_seek takes. */
void gr__list_loader(gr__state *s, const gr_loader *l);

#endif
