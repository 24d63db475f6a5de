/* report.h: training reports: a page of HTML about a run of training, which is written again as the
   run goes on. */
#ifndef GRADUS_REPORT_H
#define GRADUS_REPORT_H

#include "data.h"
#include "optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/*  gr_report *r = gr_report_open("run.html", net, .optim = sgd, .loader = loader);
    for (each epoch) {
        while (gr_next_batch(loader, &batch)) {
            GR_STEP;
            gr_tensor *loss = gr_cross_entropy(lenet(net, batch.inputs), batch.targets);
            gr_report_step(r, gr_minimize(sgd, loss));
        }
        for (each batch of the test data)
            gr_report_scores(r, batch.inputs, lenet(net, batch.inputs), batch.targets);
        gr_report_epoch(r);
    }
    gr_report_close(r); */

/** A page about a run of training. Only one thread may use it at a time, as the model. */
typedef struct gr_report gr_report;

/** Options of gr_report_open. */
typedef struct gr_report_options {
    gr_model *model GR__OR(nullptr);
    GR__NAMED
    gr_optim *optim GR__OR(nullptr); /* of this model: for learning rate, gradients and updates */
    const gr_loader *loader GR__OR(nullptr); /* of the training data: epochs, classes, a sample */
    const char *title GR__OR(nullptr); /* "Training" */
    const gr_tensor *sample GR__OR(nullptr); /* input to show, copied; the loader's first image */
    int64_t sample_every GR__OR(0); /* calls forward after every so many epochs; 0: at the end */
    int64_t every GR__OR(0);       /* steps from one with norms of layers to the next: 10 */
    double seconds GR__OR(0);       /* minimum time between two writes of the file: 5 */
    int64_t step GR__OR(0);       /* steps before this report, of a run that is resumed */
} gr_report_options;

/** gr_report_open(path, model, .optim, .loader, .title, .sample, .sample_every, .every, .seconds,
 *  .step): a page of HTML about a run of training: curves of loss, accuracy and learning rate; for
 *  each layer (the names of parameters up to their last dot) the norm of the gradient and the ratio
 *  |update| / |weights| of a step; kernels; activations of a sample, if the model was made by
 *  gr_model_build; a classifier's confusion matrix and its most confident mistakes. It makes no
 *  network request, stays under 5 MB, and is replaced as a whole or not at all: now, when steps and
 *  epochs end (after .seconds, and so rarely that writing takes at most a fiftieth of the time),
 *  and by gr_report_close. The clock decides when the file is written, and nothing else. The
 *  model's forward function is called with the sample, in eval mode, by gr_report_close, and with
 *  .sample_every also by gr_report_epoch; at no other moments. The run has therefore the same bits
 *  as without a report until the report is closed, also if forward has state of its own, such as a
 *  stream of random numbers or a counter. With .sample_every this holds only if forward has no such
 *  state: its calls by gr_report_epoch are at the same moments in every run, but they are
 *  additional calls. The optimiser notifies the report of its steps by itself, in gr_minimize and
 *  gr_optim_step. A curve has at most 1,000 points: a longer one merges its points in pairs, to
 *  their mean, minimum and maximum. Memory: up to about 10 MB, and a copy of the largest parameter.
 *  Defaults: as the options say; without a loader images are shown from their minimum to their
 *  maximum. Errors: NULL, a model that is not sealed, an optimiser of another model or with a
 *  report already, an int32 sample, negative numbers, no memory, a file that cannot be written.
 *  Lifetime: until gr_report_close; model and loader must live as long. */
#define gr_report_open(path, ...) \
    gr_report_open_((path), GR__LITERAL(gr_report_options){ .model = __VA_ARGS__ })
/** gr_report_open as a function, for callers without macros. */
GR_API gr_report *gr_report_open_(const char *path, gr_report_options o);

/** Counts a step and its loss, after gr_minimize or gr_optim_step. A loss that is not finite is a
 *  gap in the curve, and is counted. Errors: NULL, a failure is pending, no memory, a file that
 *  cannot be written. */
GR_API bool gr_report_step(gr_report *r, double loss);
/** Ends an epoch: the mean loss of its steps, and what gr_report_scores has counted since the last
 *  epoch, become points of the curves. Errors: as gr_report_step; with .sample_every a sample that
 *  forward does not accept. */
GR_API bool gr_report_epoch(gr_report *r);
/** Counts a batch of test data, in eval mode, between the last step of an epoch and
 *  gr_report_epoch. scores are what gr_cross_entropy takes; the predicted class is that of the
 *  largest in a row. Shapes: images (N,...), of which (N,C,H,W) and (N,H,W) can be shown; scores
 *  (N,classes), labels int32 (N). Errors: NULL, other shapes, over 256 classes, another number of
 *  classes than before, a label that is no class, a failure is pending, no memory. */
GR_API bool gr_report_scores(
    gr_report *r, const gr_tensor *images, const gr_tensor *scores, const gr_tensor *labels);
/** Adds a point to a curve of your own, at the step that was counted last. A report has at most 8
 *  of these curves, by name. Errors: NULL, an empty name, a ninth name, a failure is pending, no
 *  memory. */
GR_API bool gr_report_value(gr_report *r, const char *name, double value);

/** Options of gr_report_pictures. */
typedef struct gr_report_pictures_options {
    const gr_tensor *images GR__OR(nullptr);
    GR__NAMED
    int64_t columns GR__OR(0); /* 12 */
} gr_report_pictures_options;

/** gr_report_pictures(r, name, images, .columns): pictures of your own, such as samples of a
 *  generator, under a name; they replace the pictures that had this name before. A report has at
 *  most 4 names. Shape: (N,C,H,W) or (N,H,W); of the first 96, those are shown that fit into
 *  256 KiB; each is reduced to at most 64 x 64. Errors: NULL, other shapes, an empty name, a fifth
 *  name, a failure is pending, no memory. */
#define gr_report_pictures(r, name, ...) \
    gr_report_pictures_( \
        (r), (name), GR__LITERAL(gr_report_pictures_options){ .images = __VA_ARGS__ })
/** gr_report_pictures as a function, for callers without macros. */
GR_API bool gr_report_pictures_(gr_report *r, const char *name, gr_report_pictures_options o);

/** Calls forward with the sample, writes the page for the last time (with the pending failure, if
 *  there is one, and then without calling forward) and releases the report. NULL is allowed.
 *  Returns whether all of this succeeded and no failure was pending. Errors: no memory, a file that
 *  cannot be written, a sample that forward does not accept. */
GR_API bool gr_report_close(gr_report *r);

#ifdef __cplusplus
}
#endif

#endif
