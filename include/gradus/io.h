/* io.h: tensors as text, and files of arrays. A file is hostile until proved good: a damaged one is
   an error, never a crash, and changes nothing. */
#ifndef GRADUS_IO_H
#define GRADUS_IO_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- text ------------------------------------------------------------------------------------ */

/** The tensor as text, as NumPy prints an array: rows in brackets, the fewest digits that tell the
 *  numbers apart (at most 8 after the point), long ones summarised.
 *  Lifetime: the step's (outside any step: until gr_reset). */
GR_API const char *gr_format(const gr_tensor *t);
/** Writes gr_format and a newline to standard output. */
GR_API void gr_print(const gr_tensor *t);

/* ---- IDX files ------------------------------------------------------------------------------- */

/** An array of bytes read from an IDX file: the images or labels of MNIST and similar sets. */
typedef struct gr_idx gr_idx;

/** Reads an IDX file of unsigned bytes, plain or compressed by gzip.
 *  Shape: 1 to GR_MAX_DIMS dimensions.
 *  Errors: a file that cannot be read (GR_ERR_FILE); one that is no IDX file of bytes, is cut off,
 *  damaged, or longer than its sizes say (GR_ERR_FORMAT); no memory.
 *  Lifetime: until gr_idx_free.
 *  Source: the file format of Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten
 *  digits. */
GR_API gr_idx *gr_idx_read(const char *path);

/** The sizes of an IDX file; rank 0 for NULL. Errors: NULL. */
GR_API gr_shape gr_idx_shape(const gr_idx *idx);

/** The bytes of one item along the first dimension, such as one image, row by row.
 *  Errors: NULL, no such item.
 *  Lifetime: idx's. */
GR_API const unsigned char *gr_idx_bytes(const gr_idx *idx, int64_t item);

/** Releases what gr_idx_read returned. NULL is allowed. */
GR_API void gr_idx_free(gr_idx *idx);

/* ---- NumPy's arrays -------------------------------------------------------------------------- */

/** Writes a tensor of any shape as a file that numpy.load reads: little-endian f4 (f8 in the double
 *  build) or i4, in C order. The file appears whole, or not at all.
 *  Errors: NULL, a file that cannot be written, no memory.
 *  Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
GR_API bool gr_npy_save(const char *path, const gr_tensor *t);

/** Reads an array that numpy.save wrote, versions 1.0 to 3.0, also under Python 2: f4, f8 and bool
 *  become reals (f8 rounded), integers of 1 to 8 bytes, with and without sign, int32, in either
 *  order of bytes; Fortran's order becomes C's.
 *  Shape: up to GR_MAX_DIMS dimensions, none and empty ones too.
 *  Errors: a file that cannot be read (GR_ERR_FILE); one that is no npy file, is cut off or too
 *  long, holds other elements, or an integer that does not fit into int32 (GR_ERR_FORMAT); no
 *  memory.
 *  Lifetime: as gr_from. */
GR_API gr_tensor *gr_npy_load(const char *path);

/* ---- pictures -------------------------------------------------------------------------------- */

/** Options of gr_picture_load. */
typedef struct gr_picture_load_options {
    const char *path GR__OR(nullptr);
    GR__NAMED
    int64_t height GR__OR(0);
    int64_t width GR__OR(0);
    bool grey GR__OR(false);   /* one channel, not three */
    bool squash GR__OR(false); /* change the proportions, cut nothing off */
} gr_picture_load_options;

/** gr_picture_load(path, .height, .width, .grey, .squash): a PNG or JPEG file as numbers from 0 to
 *  1, byte / 255. Transparency and the orientation that a camera noted are ignored.
 *  Shape: (3, H, W), or (1, H, W) if .grey.
 *  Defaults: the file's own size; with one of height and width, in proportion; with both, the
 *  largest part of the picture's middle that has these proportions, or all of it if .squash. What
 *  other decoders pass over is passed over: stray bytes and markers, also behind the end; chunks of
 *  a PNG that are not needed; a missing end, if all else is there. Four channels of a JPEG are
 *  CMYK, inverted as Adobe has them, if nothing says YCCK.
 *  Errors: no such file; one that is damaged, cut off, neither PNG nor JPEG (or a JPEG of a rare
 *  kind: arithmetic, lossless, of 12 bits), or larger than 16384 on a side or 2^26 pixels
 *  (GR_ERR_FORMAT); a height or width under 0 or over 16384; no memory.
 *  Lifetime: as gr_from. */
#define gr_picture_load(...) \
    gr_picture_load_(GR__LITERAL(gr_picture_load_options) { .path = __VA_ARGS__ })
/** gr_picture_load as a function, for callers without macros. */
GR_API gr_tensor *gr_picture_load_(gr_picture_load_options o);

/** Options of gr_picture_save. */
typedef struct gr_picture_save_options {
    gr_tensor *picture GR__OR(nullptr);
    GR__NAMED
    double  low GR__OR(0);  /* what is black */
    double  high GR__OR(0); /* what is white: 1 */
    int64_t columns GR__OR(0);
} gr_picture_save_options;

/** gr_picture_save(path, picture, .low, .high, .columns): writes a tensor as a PNG file, byte = 255
 *  (x - low) / (high - low), rounded; numbers beyond are black or white, NaN is black. A batch
 *  becomes a grid, row by row, with grey between its images. The file appears whole, or not at all.
 *  Shape: (H, W), (C, H, W) or (N, C, H, W), C 1 or 3.
 *  Defaults: from 0 to 1, so .low = -1 is from -1 to 1; as many columns as rows.
 *  Errors: NULL, int32, another shape, low not under high, a picture over 2 GB, a file that cannot
 *  be written, no memory. */
#define gr_picture_save(path, ...) \
    gr_picture_save_((path), GR__LITERAL(gr_picture_save_options) { .picture = __VA_ARGS__ })
/** gr_picture_save as a function, for callers without macros. */
GR_API bool gr_picture_save_(const char *path, gr_picture_save_options o);

#ifdef __cplusplus
}
#endif

#endif
