/* io.h: files of arrays. A file is hostile until proved good: a damaged one is an error, never a crash, and changes nothing. */
#ifndef GRADUS_IO_H
#define GRADUS_IO_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An array of bytes read from an IDX file: the images or labels of MNIST and its kin. */
typedef struct gr_idx gr_idx;

/** Reads an IDX file of unsigned bytes, plain or compressed by gzip. Shape: 1 to GR_MAX_DIMS dimensions. Errors: a file that cannot be
 *  read (GR_ERR_FILE); one that is no IDX file of bytes, is cut off, damaged, or longer than its sizes say (GR_ERR_FORMAT); no memory.
 *  Lifetime: until gr_idx_free. Source: the file format of Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits. */
GR_API gr_idx *gr_idx_read(const char *path);

/** The sizes of an IDX file; rank 0 for NULL. Errors: NULL. */
GR_API gr_shape gr_idx_shape(const gr_idx *idx);

/** The bytes of one item along the first dimension, such as one image, row by row. Errors: NULL, no such item. Lifetime: idx's. */
GR_API const unsigned char *gr_idx_bytes(const gr_idx *idx, int64_t item);

/** Releases what gr_idx_read returned. NULL is allowed. */
GR_API void gr_idx_free(gr_idx *idx);

#ifdef __cplusplus
}
#endif

#endif
