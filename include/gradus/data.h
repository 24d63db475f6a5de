/* data.h: data sets of labelled images, kept as bytes, and the batches that a training loop takes
   from them. */
#ifndef GRADUS_DATA_H
#define GRADUS_DATA_H

#include "io.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- data sets ------------------------------------------------------------------------------- */

/** Images of one shape, one byte per element, each with a label. It does not change, so that
 *  threads may share it. */
typedef struct gr_dataset gr_dataset;

/** The digits of MNIST, or any set in its files, from a folder that holds train-images-idx3-ubyte
 *  and train-labels-idx1-ubyte (or t10k-..., if not train), each plain or with .gz. Shape of an
 *  image: (1, H, W).
 *  Errors: no such folder or file; as gr_idx_read; counts that differ; a label over 9; no images;
 *  no memory.
 *  Lifetime: until gr_dataset_free. */
GR_API gr_dataset *gr_mnist(const char *folder, bool train);

/** CIFAR-10 in its binary files, from a folder, or from cifar-10-batches-bin in it: as many of
 *  data_batch_1.bin to data_batch_5.bin as there are, in this order (or test_batch.bin, if not
 *  train). The names of the classes are those of batches.meta.txt, if it exists. Shape of an image:
 *  (3, 32, 32), red, green, blue.
 *  Errors: no such folder, none of the files, one that does not consist of records of 3073 bytes, a
 *  label over 9, fewer than ten names, no memory.
 *  Lifetime: until gr_dataset_free.
 *  Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. */
GR_API gr_dataset *gr_cifar10(const char *folder, bool train);

/** Options of gr_pictures. */
typedef struct gr_pictures_options {
    const char *folder GR__OR(nullptr);
    GR__NAMED
    int64_t height GR__OR(0);
    int64_t width GR__OR(0);
    bool grey GR__OR(false);        /* one channel, not three */
    bool squash GR__OR(false);      /* change the proportions, cut nothing off */
    bool skip_broken GR__OR(false); /* skip broken pictures; see gr_dataset_skipped */
} gr_pictures_options;

/** gr_pictures(folder, .height, .width, .grey, .squash, .skip_broken): the PNG and JPEG pictures in
 *  the sub-folders of a folder, each sub-folder a class of that name, in the order of their names.
 *  Hidden files and folders, files of other endings than png, jpg and jpeg, folders further down,
 *  what macOS, Windows and archives leave behind (__MACOSX, Thumbs.db and the like), and
 *  sub-folders without a picture are ignored, so that they do not change the labels of others;
 *  gr_dataset_ignored lists them. Each picture is resized: the largest part of its middle that has
 *  the wanted proportions, or all of it if .squash. Shape of an image: (3, H, W), or (1, H, W) if
 *  .grey.
 *  Defaults: 32 x 32; with one of height and width, a square; a broken picture, one that
 *  gr_picture_load would call damaged, is an error.
 *  Errors: no such folder, no sub-folder in it or more than 256 with pictures, no picture, or none
 *  that is not broken, as gr_picture_load, no memory.
 *  Lifetime: until gr_dataset_free. */
#define gr_pictures(...) gr_pictures_(GR__LITERAL(gr_pictures_options) { .folder = __VA_ARGS__ })
/** gr_pictures as a function, for callers without macros. */
GR_API gr_dataset *gr_pictures_(gr_pictures_options o);

/** Handwritten-looking digits, drawn: strokes of ten classes under random affine maps, with random
 *  thickness, waviness, softness and noise. Image i depends on seed and i alone, so that a longer
 *  set begins with the shorter one, and other seeds give other images. Shape of an image: (1, 28,
 *  28), 0 for paper to 255 for ink.
 *  Errors: count under 1, no memory.
 *  Lifetime: until gr_dataset_free. */
GR_API gr_dataset *gr_digits(int64_t count, uint64_t seed);

/** Coloured shapes on textured backgrounds, drawn: disk, ring, crescent, triangle, square, bar,
 *  cross, star, heart and arrow, each anywhere, at any angle and in any colour, over stripes,
 *  checks or blotches with dots and lines among them, and noise. Only the shape determines the
 *  class: a linear model of the pixels does little better than guessing, a small residual network
 *  gets nearly all right. Image i depends on seed and i alone, as in gr_digits. Shape of an image:
 *  (3, 32, 32), red, green, blue.
 *  Errors: count under 1, no memory.
 *  Lifetime: until gr_dataset_free. */
GR_API gr_dataset *gr_shapes(int64_t count, uint64_t seed);

/** A data set of the caller's bytes, copied: count images of the given shape, one behind the other,
 *  and their labels.
 *  Shape: (C, H, W), or any other without empty dimensions.
 *  Errors: NULL, count or classes under 1, a label that is not under classes, no memory.
 *  Lifetime: until gr_dataset_free. */
GR_API gr_dataset *gr_dataset_from(gr_shape image, int64_t count, const unsigned char *images,
    const unsigned char *labels, int classes);

/** A data set of some images of another, copied: image k is number index[k] of d; one may come more
 *  than once. Classes and their names stay.
 *  Errors: NULL, count under 1, no such image, no memory.
 *  Lifetime: until gr_dataset_free; d may go before. */
GR_API gr_dataset *gr_dataset_subset(const gr_dataset *d, const int64_t *index, int64_t count);

/** Splits a data set in two, copied: *validation gets that part of the images, a fraction (under 1)
 *  or a number of them, *train all others. Which ones depends on seed; each class is split in this
 *  proportion, as far as whole images allow; in both parts they keep d's order.
 *  Errors: NULL, one place for both, a part that leaves none on one side or is 1.5, no memory; then
 *  neither is set.
 *  Lifetime: each until gr_dataset_free; d may go before. */
GR_API bool gr_dataset_split(const gr_dataset *d, double part, uint64_t seed, gr_dataset **train,
    gr_dataset **validation);

/** The number of images; -1 for NULL. Errors: NULL. */
GR_API int64_t gr_dataset_count(const gr_dataset *d);
/** The number of classes, one more than the largest label there may be; -1 for NULL.
 *  Errors: NULL. */
GR_API int gr_dataset_classes(const gr_dataset *d);
/** The shape of one image, (1, 28, 28) for digits; rank 0 for NULL. Errors: NULL. */
GR_API gr_shape gr_dataset_shape(const gr_dataset *d);
/** The bytes of image i, row by row. Errors: NULL, no such image. Lifetime: the data set's. */
GR_API const unsigned char *gr_dataset_image(const gr_dataset *d, int64_t i);
/** The label of image i; -1 if there is none. Errors: NULL, no such image. */
GR_API int gr_dataset_label(const gr_dataset *d, int64_t i);
/** The name of class i: "airplane"; its number as text, "0", where no names are known.
 *  Errors: NULL, no such class.
 *  Lifetime: the data set's. */
GR_API const char *gr_dataset_class_name(const gr_dataset *d, int i);
/** How many broken pictures gr_pictures left out; -1 for NULL. Errors: NULL. */
GR_API int64_t gr_dataset_skipped(const gr_dataset *d);
/** Which picture was left out, number i of those, and why: "'pets/cat/3.jpg' is cut off".
 *  Errors: NULL, no such number.
 *  Lifetime: the data set's. */
GR_API const char *gr_dataset_skipped_why(const gr_dataset *d, int64_t i);
/** How many files and folders gr_pictures ignored; -1 for NULL. Errors: NULL. */
GR_API int64_t gr_dataset_ignored(const gr_dataset *d);
/** What was ignored, number i of those in the order of their names, and why: "'pets/fish' holds no
 *  PNG or JPEG".
 *  Errors: NULL, no such number.
 *  Lifetime: the data set's. */
GR_API const char *gr_dataset_ignored_why(const gr_dataset *d, int64_t i);
/** Releases a data set; no loader may use it any more. NULL is allowed. */
GR_API void gr_dataset_free(gr_dataset *d);

/* ---- batches --------------------------------------------------------------------------------- */

/** A loader: mini-batches of a data set, epoch after epoch. */
typedef struct gr_loader gr_loader;

/** A mini-batch: some items of a data set, as inputs and targets of a network. */
typedef struct gr_batch {
    gr_tensor *inputs;  /* images (count, C, H, W) */
    gr_tensor *targets; /* labels (count), int32 */
    int64_t    count;  /* how many there are */
} gr_batch;

/** A custom augmentation of one image: its bytes, one behind the other, in place, with random
 *  numbers that are this image's alone. false is a failure. It is called for one image after
 *  another, from one thread at a time. */
typedef bool gr_change(unsigned char *image, gr_shape shape, gr_rng *rng, void *arg);

/** Seeded augmentation: random changes of images, those whose fields are set, in this order:
 *  rotation and shift in one step, crop, flip, erasing, the caller's change. They apply to the
 *  bytes, before normalisation. The result depends on seed, epoch and the image's number alone;
 *  setting another field does not alter what the others do. What lies outside an image, and what is
 *  erased, has the byte .fill. Sources: Zhong et al., Random Erasing Data Augmentation, AAAI 2020;
 *  crop and rectangle as in torchvision. */
typedef struct gr_augment {
    /* rotation by up to so many degrees in both directions, at most 180; bilinear */
    double     rotation GR__OR(0);
    /* shifted by up to so many pixels, and parts of pixels, each way; bilinear */
    double     shift GR__OR(0);
    /* padded by so many pixels on each side, and a part of the old size taken, anywhere */
    int64_t    crop_padding GR__OR(0);
    bool       flip GR__OR(false);        /* left and right exchanged, in one of two cases */
    double     erase GR__OR(0);           /* the probability that a rectangle is erased */
    double     erase_scale[2] GR__OR({}); /* its part of the area, from and to: {0.02, 0.33} */
    double     erase_ratio[2] GR__OR({}); /* its height by its width: {0.3, 3.3} */
    int        fill GR__OR(0);            /* 0 to 255 */
    /* what lies outside is the image, mirrored at its first and last pixels, instead of .fill */
    bool       reflect GR__OR(false);
    gr_change *change GR__OR(nullptr);    /* the caller's change */
    void      *arg GR__OR(nullptr);       /* which gets this */
} gr_augment;

/** Options of gr_loader_open. */
typedef struct gr_loader_options {
    int64_t  batch GR__OR(0);
    GR__NAMED
    uint64_t seed GR__OR(0);         /* of the order */
    bool     in_order GR__OR(false); /* do not shuffle */
    bool     drop_last GR__OR(false); /* leave out the last batch of an epoch if it is not full */
    double   mean GR__OR(0);         /* subtracted from byte / 255 */
    double   std GR__OR(0);          /* and then divided by: 1 */
    double   channel_mean[4] GR__OR({}); /* instead of .mean, of each channel: {0.49, 0.48, 0.45} */
    double   channel_std[4] GR__OR({});  /* instead of .std: 1 for all */
    gr_augment augment GR__OR({});       /* {.crop_padding = 4, .flip = true}: none */
    /* background prefetching: a thread prepares the next batch while this one is used */
    bool     prefetch GR__OR(false);
} gr_loader_options;

/** gr_loader_open(data, batch, .seed, .in_order, .drop_last, .mean, .std, .channel_mean,
 *  .channel_std, .augment, .prefetch): a loader of batches of that many images, whose numbers are
 *  (byte / 255 - mean) / std, with one mean and std or with those of each channel. Each epoch takes
 *  every image once, in an order that depends on seed and epoch alone, with the augmentation of
 *  .augment; .prefetch changes the time alone.
 *  Shape: .channel_mean and .channel_std want images (C, H, W), C up to 4; .augment (..., H, W).
 *  Defaults: shuffled from seed 0, the partial last batch included, mean 0, std 1 (numbers from 0
 *  to 1), no image changed.
 *  Errors: NULL, a batch under 1, .drop_last with a batch larger than the set, a std under 0, means
 *  or stds of other channels than there are, a change that cannot be, no memory.
 *  Lifetime: until gr_loader_close; data must live as long. */
#define gr_loader_open(data, ...) \
    gr_loader_open_((data), GR__LITERAL(gr_loader_options) { .batch = __VA_ARGS__ })
/** gr_loader_open as a function, for callers without macros. */
GR_API gr_loader *gr_loader_open_(const gr_dataset *data, gr_loader_options o);

/** Fills batch with the next images and labels. False at the end of the epoch (the call after that
 *  begins the next one), and on failure, with the error set; a failure that is pending already ends
 *  the loop too, so that no loop runs on after one.
 *  Errors: NULL; a .change that fails, also in the thread of .prefetch: the next call tries the
 *  same batch again.
 *  Lifetime: the tensors are the loader's, until gr_loader_close (never gr_free them); the next
 *  call writes over them, and backward through a graph over the old numbers is refused. */
GR_API bool gr_next_batch(gr_loader *loader, gr_batch *batch);

/** Sets the position: the next batch is number batch, counted from 0, of that epoch, and all that
 *  comes after it, just as if every batch before it had been taken. gr_loader_seek(l, epoch,
 *  index), with the values of gr_loader_epoch and gr_loader_batch_index of another loader with the
 *  same data and options, continues at its position. With batch = gr_loader_batches the epoch's end
 *  comes next.
 *  Errors: NULL, a negative epoch, no such batch. */
GR_API bool gr_loader_seek(gr_loader *loader, int64_t epoch, int64_t batch);

/** How many epochs have ended; -1 for NULL. Errors: NULL. */
GR_API int64_t gr_loader_epoch(const gr_loader *loader);
/** How many batches of this epoch have been taken: the number of the next one; -1 for NULL.
 *  Errors: NULL. */
GR_API int64_t gr_loader_batch_index(const gr_loader *loader);
/** How many batches an epoch has; -1 for NULL. Errors: NULL. */
GR_API int64_t gr_loader_batches(const gr_loader *loader);
/** Releases a loader and its batches' tensors. NULL is allowed. */
GR_API void gr_loader_close(gr_loader *loader);

/* ---- confusion matrix ------------------------------------------------------------------------ */

/** A confusion matrix: counts of images, one row per label, one column per predicted class. */
typedef struct gr_confusion gr_confusion;

/** The scores of one class, from 0 to 1; 0 where there is nothing to count. */
typedef struct gr_class_scores {
    double  precision; /* of the images predicted to be of this class, the part that is */
    double  recall;    /* of the images of this class, the part predicted to be */
    double  f1;        /* their harmonic mean */
    int64_t count;     /* how many are of this class */
} gr_class_scores;

/** A matrix of zeros.
 *  Errors: classes under 1 or over 10,000, no memory.
 *  Lifetime: until gr_confusion_free. */
GR_API gr_confusion *gr_confusion_new(int classes);
/** Counts a batch: guess is a model's output, whose largest element in a row is the prediction (as
 *  gr_argmax), or the predicted classes themselves.
 *  Shapes: guess (N, classes), or int32 (N); labels int32 (N).
 *  Errors: NULL, other shapes, a label or a guess that is no class; then nothing is counted. */
GR_API bool gr_confusion_add(gr_confusion *c, const gr_tensor *guess, const gr_tensor *labels);
/** How many images of one class were predicted to be of another, or of the same; -1 if there is no
 *  such class.
 *  Errors: NULL, no such class. */
GR_API int64_t gr_confusion_count(const gr_confusion *c, int label, int guess);
/** The accuracy: the part that was predicted correctly, from 0 to 1; 0 if nothing was counted, NaN
 *  for NULL.
 *  Errors: NULL. */
GR_API double gr_confusion_accuracy(const gr_confusion *c);
/** Precision, recall and F1 of one class; NaN if there is no such class.
 *  Errors: NULL, no such class. */
GR_API gr_class_scores gr_confusion_scores(const gr_confusion *c, int label);
/** The matrix as a table: one row per label with its recall, one column per prediction with its
 *  precision, the accuracy in the corner. names: a text for each class, or NULL for numbers.
 *  Errors: NULL, a name that is NULL.
 *  Lifetime: as gr_format. */
GR_API const char *gr_confusion_format(const gr_confusion *c, const char *const *names);
/** Writes gr_confusion_format and a newline to standard output. Errors: as gr_confusion_format. */
GR_API void gr_confusion_print(const gr_confusion *c, const char *const *names);
/** Releases a matrix. NULL is allowed. */
GR_API void gr_confusion_free(gr_confusion *c);

/* ---- single images --------------------------------------------------------------------------- */

/** Options of gr_images. */
typedef struct gr_images_options {
    int64_t first GR__OR(0);
    GR__NAMED
    int64_t count GR__OR(0); /* 1 */
    double  mean GR__OR(0);
    double  std GR__OR(0);   /* 1 */
} gr_images_options;

/** gr_images(idx, first, .count, .mean, .std): images of an IDX file as a tensor of (byte / 255 -
 *  mean) / std.
 *  Shape: idx (N, H, W) gives (count, 1, H, W).
 *  Defaults: count 1, mean 0, std 1.
 *  Errors: NULL, an IDX file without three dimensions, no such images, a negative std, no memory.
 *  Lifetime: as gr_from. */
#define gr_images(idx, ...) \
    gr_images_((idx), GR__LITERAL(gr_images_options) { .first = __VA_ARGS__ })
/** gr_images as a function, for callers without macros. */
GR_API gr_tensor *gr_images_(const gr_idx *idx, gr_images_options o);

#ifdef __cplusplus
}
#endif

#endif
