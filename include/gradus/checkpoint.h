/* checkpoint.h: resumable training: the state of a run in a file, from which it
   continues with bit-identical results.

       double   best = 0;
       gr_value values[] = { { "best", .real = &best }, { 0 } };
       if (access("run.ckpt", F_OK) == 0)
           gr_checkpoint_load("run.ckpt", net, .optim = sgd, .loader = loader, .values = values);
       ...
       gr_checkpoint_save("run.ckpt", net, .optim = sgd, .loader = loader, .values = values);

   Create everything as for a new run first; loading then restores the state of the file. */
#ifndef GRADUS_CHECKPOINT_H
#define GRADUS_CHECKPOINT_H

#include "data.h"
#include "optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A number, text or random stream of the program's own that a checkpoint holds: { "best", .real =
 *  &best }. Exactly one of the pointers is set. A list of them ends with an empty one. */
typedef struct gr_value {
    const char *name GR__OR(nullptr); /* its name in the file, and in errors */
    int64_t *integer GR__OR(nullptr); /* a number */
    double *real GR__OR(nullptr);     /* a number */
    gr_rng *rng GR__OR(nullptr);      /* a random stream */
    char *text GR__OR(nullptr);       /* a text, in an array of the program's */
    size_t size GR__OR(0);            /* of that array */
    /* an option of the run: never changed, and refused if the file has another (not with .rng) */
    bool same GR__OR(false);
} gr_value;

/** Options of gr_checkpoint_save and gr_checkpoint_load: all that the run consists of. */
typedef struct gr_checkpoint_options {
    gr_model *model GR__OR(nullptr);
    GR__NAMED
    gr_optim *optim GR__OR(nullptr);         /* of this model */
    gr_schedule *schedule GR__OR(nullptr);   /* of this optimiser */
    gr_loader *loader GR__OR(nullptr);
    const gr_value *values GR__OR(nullptr);  /* the list's first */
    /* a second model with its optimiser, and so on */
    const struct gr_checkpoint_options *also GR__OR(nullptr);
} gr_checkpoint_options;

/** gr_checkpoint_save(path, model, .optim, .schedule, .loader, .values, .also): writes a run to a
 *  file: parameters and buffers, which parameters are frozen, how often layers with dropout have
 *  run; the optimiser's learning rate, moments and counts of steps; the schedule's count; the
 *  loader's place; the values. Besides, as facts, the options that the run's results depend on:
 *  seeds, kind and numbers of optimiser and schedule, size of the data and the batches,
 *  augmentation. The file is replaced as a whole or not at all, so that a killed program leaves the
 *  old one or the new one. Gradients are not part of it: save between gr_minimize and the next
 *  backward.
 *  Errors: NULL, a model that is not sealed or has gradients, an optimiser of another model, a
 *  schedule of another optimiser, a value without name or pointer or with the name of another, a
 *  failure is pending, no memory, a file that cannot be written. */
#define gr_checkpoint_save(path, ...) \
    gr_checkpoint_save_((path), GR__LITERAL(gr_checkpoint_options) { .model = __VA_ARGS__ })
/** gr_checkpoint_save as a function, for callers without macros. */
GR_API bool gr_checkpoint_save_(const char *path, gr_checkpoint_options o);

/** gr_checkpoint_load(path, model, .optim, .schedule, .loader, .values, .also): resumes a run,
 *  created anew with the same options, where gr_checkpoint_save left it. With the same build and
 *  instruction set the result is bit-identical to that of an uninterrupted run. Gradients are
 *  cleared. If it fails, nothing has changed.
 *  Errors: as gr_checkpoint_save; a file that cannot be read, is no checkpoint, is damaged, or was
 *  written by the library of another gr_real; facts that differ; what only one of file and run
 *  has. */
#define gr_checkpoint_load(path, ...) \
    gr_checkpoint_load_((path), GR__LITERAL(gr_checkpoint_options) { .model = __VA_ARGS__ })
/** gr_checkpoint_load as a function, for callers without macros. */
GR_API bool gr_checkpoint_load_(const char *path, gr_checkpoint_options o);

#ifdef __cplusplus
}
#endif

#endif
