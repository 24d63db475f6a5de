/* data.h (private): what the files of this room share. */
#ifndef GR_DATA_H
#define GR_DATA_H

#include "core/core.h"
#include "gradus/data.h"

struct gr_dataset {
    gr_shape             shape; /* of one image */
    int64_t              count;
    size_t               size; /* bytes of one image */
    int                  classes;
    const unsigned char *images;
    unsigned char       *labels;
    unsigned char       *own; /* images, unless they are idx's */
    gr_idx              *idx;
};

/* An empty data set with room for count images and labels of its own (room for images only if own). NULL: no memory, as `what`. */
gr_dataset *gr__dataset_new(gr_shape image, int64_t count, int classes, bool own, const char *what);

/* The number that each byte stands for: (byte / 255 - mean) / std. false: what is not possible. */
bool gr__byte_table(gr_real table[256], double mean, double std, const char *what);
void gr__numbers_of(gr_real *y, const unsigned char *bytes, size_t n, const gr_real table[256]);

#endif
