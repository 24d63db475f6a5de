/* report.h: a report of training: a page of HTML that is written again as the run goes on. */
#ifndef GRADUS_REPORT_H
#define GRADUS_REPORT_H

#include "data.h"
#include "optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/*     gr_report *r = gr_report_open("run.html", net, .optim = sgd, .loader = loader, .title = "LeNet-5");
       for (each epoch) {
           while (gr_next_batch(loader, &batch)) {
               GR_STEP;
               gr_report_step(r, gr_minimize(sgd, gr_cross_entropy(lenet(net, batch.images), batch.labels)));
           }
           for (each batch of the test) gr_report_scores(r, batch.images, lenet(net, batch.images), batch.labels);
           gr_report_epoch(r);
       }
       gr_report_close(r); */

/** A page about a run of training, written again as the run goes on. It is one thread's at a time, as the model is. */
typedef struct gr_report gr_report;

/** Options of gr_report_open. */
typedef struct gr_report_options {
    gr_model *model GR__OR(nullptr);
    GR__NAMED
    gr_optim *optim GR__OR(nullptr); /* of this model: for learning rate, gradients and updates */
    const gr_loader *loader GR__OR(nullptr); /* of the training data: for epochs, names of classes, a sample, and what pixels were */
    const char *title GR__OR(nullptr); /* "Training" */
    const gr_tensor *sample GR__OR(nullptr); /* input of the model, copied: of which activations are shown; the loader's first image */
    int64_t sample_every GR__OR(0); /* activations are taken after each so many epochs; 0: by gr_report_close alone */
    int64_t every GR__OR(0);       /* of so many steps one is looked at layer by layer: 10 */
    double seconds GR__OR(0);       /* the least time from one writing to the next: 5 */
    int64_t step GR__OR(0);       /* how many steps the run had before; the first one here counts as the next */
} gr_report_options;

/** gr_report_open(path, model, .optim, .loader, .title, .sample, .sample_every, .every, .seconds, .step): a page of HTML that shows how a run of training goes:
 *  curves of loss, accuracy and learning rate; of each layer (the parameters' names up to their last dot) the gradient's norm and
 *  |change of a step| / |weights|; kernels; activations of a sample, if the model was made by gr_model_build; what a classifier confuses,
 *  and its most confident mistakes. It needs no network, stays under 5 MB, and is replaced as a whole or not at all: now, as steps and
 *  epochs end (after .seconds, and so seldom that at most a fiftieth of the time goes into it), and by gr_report_close. The clock decides
 *  when the file is written, and nothing else. The model's forward function is called with the sample, in eval mode, by gr_report_close,
 *  and with .sample_every also by gr_report_epoch; never at other moments. So the run has the same bits as without a report, until it
 *  is closed, whatever forward does; with .sample_every, if forward keeps no state of its own between calls, such as a stream of random
 *  numbers or a count, which would see these calls (at the same moments in each run). The optimiser tells the report of its steps by itself, gr_minimize or gr_optim_step. A curve has at most 1,000
 *  points: one that is full merges its points two by two, to their mean, least and greatest. Memory: up to some 10 MB, and a copy of the
 *  largest parameter. Defaults: as the options say; without a loader pictures are shown from their least to their greatest number.
 *  Errors: NULL, a model that is not sealed, an optimiser of another model or with a report already, an int32 sample, negative
 *  numbers, no memory, a file that cannot be written. Lifetime: until gr_report_close; model and
 *  loader must live as long. */
#define gr_report_open(path, ...) gr_report_open_((path), GR__LITERAL(gr_report_options) { .model = __VA_ARGS__ })
/** gr_report_open as a function, for callers without macros. */
GR_API gr_report *gr_report_open_(const char *path, gr_report_options o);

/** Counts a step with its loss, after gr_minimize or gr_optim_step. A loss that is not finite is a gap in the curve, and counted. Errors: NULL,
 *  a failure is pending, no memory, a file that cannot be written. */
GR_API bool gr_report_step(gr_report *r, double loss);
/** Ends an epoch: the mean loss of its steps, and what gr_report_scores has counted since the last, become points of the curves. Errors: as
 *  gr_report_step; with .sample_every a forward that does not take the sample. */
GR_API bool gr_report_epoch(gr_report *r);
/** Counts a batch of a test, in eval mode, between the last step of an epoch and gr_report_epoch: scores are what gr_cross_entropy takes, the
 *  greatest of a row is its guess. Shapes: images (N,...), of which (N,C,H,W) and (N,H,W) can be shown; scores (N,classes), labels int32 (N).
 *  Errors: NULL, other shapes, over 256 classes, other classes than before, a label that is no class, a failure is pending, no memory. */
GR_API bool gr_report_scores(gr_report *r, const gr_tensor *images, const gr_tensor *scores, const gr_tensor *labels);
/** A curve of your own, of up to 8: a point of the curve called name, at the step that was counted last. Errors: NULL, an empty name, a ninth
 *  name, a failure is pending, no memory. */
GR_API bool gr_report_value(gr_report *r, const char *name, double value);

/** Options of gr_report_pictures. */
typedef struct gr_report_pictures_options {
    const gr_tensor *images GR__OR(nullptr);
    GR__NAMED
    int columns GR__OR(0); /* 12 */
} gr_report_pictures_options;

/** gr_report_pictures(r, name, images, .columns): pictures of your own under a name, of up to 4, in the place of those that it had: such as
 *  what a generator makes now. Shape: (N,C,H,W) or (N,H,W); of the first 96, those are shown that fit into 256 KiB; each is made smaller
 *  than 65 x 65. Errors: NULL, other shapes, an empty name, a fifth name, a failure is pending, no memory. */
#define gr_report_pictures(r, name, ...) gr_report_pictures_((r), (name), GR__LITERAL(gr_report_pictures_options) { .images = __VA_ARGS__ })
/** gr_report_pictures as a function, for callers without macros. */
GR_API bool gr_report_pictures_(gr_report *r, const char *name, gr_report_pictures_options o);

/** Writes the page for the last time (with the pending failure in it, if there is one) and releases the report. NULL is allowed. Returns whether all
 *  went well. Errors: no memory, a file that cannot be written, a forward that does not take the sample. */
GR_API bool gr_report_close(gr_report *r);

#ifdef __cplusplus
}
#endif

#endif
