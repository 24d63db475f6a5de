/* common.h: what the example programs share: reading the command line, showing how training goes,
   keeping it in a file, telling of it in another, and stopping with one clear line. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <gradus.h>

/* ---- the command line ---- */

/* One thing that may stand on the command line. Where its value goes says what it is: exactly one
   of text, integer, real and flag is set. What stands there before is the default. A table of
   options ends with an empty one. */
typedef struct option {
    const char  *name; /* "batch": written --batch 64 or --batch=64 */
    const char **text;
    int64_t     *integer;
    double      *real;
    bool        *flag;      /* needs no value */
    double       low, high; /* bounds of a number, both allowed */
    /* known by its place, not its name; may be left out if it has a default */
    bool         argument;
    const char  *help; /* what it is for; "FILE: what it is for" names its value */
} option;

/* Reads the command line into the table's values, and has failures of the library stop the program
   from here on. --help prints what the program does and its options, and ends it with status 0;
   what cannot be right ends it as quit does. */
void read_options(int argc, char **argv, const char *purpose, const option *table);

/* Ends the program with status 1 and one line on stderr: "lenet: MESSAGE". */
void quit(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Quits unless a file could be written at path, if it is not NULL; nothing stays behind. For
   finding out before the work, not after it. */
void check_writable(const char *path);

/* For what only uses weights, such as --eval: quits if anything is asked for (save, --checkpoint,
   --report) that a training would write. */
void trains_nothing(const char *why, const char *save);

/* ---- training ---- */

/* The option of a run with a training report. */
extern const char *report_file;
#define REPORT_OPTION                                                                            \
    {                                                                                            \
        "report", .text = &report_file,                                                          \
                  .help = "FILE: a training report, a page for a browser, updated as it runs"    \
    }

/* The option of a program that writes a page about one pass. */
extern const char *trace_file;
#define TRACE_OPTION                                                                             \
    {                                                                                            \
        "trace",                                                                                 \
            .text = &trace_file,                                                                 \
            .help = "FILE: at the end, a pass forward and backward, as a page for a browser"     \
    }

/* The options of a run that can be stopped. */
extern const char *checkpoint_file;
extern int64_t     checkpoint_steps;
#define CHECKPOINT_OPTIONS                                                                       \
    { "checkpoint", .text = &checkpoint_file,                                                    \
        .help = "FILE: checkpoint, after each epoch and on Ctrl-C; a run resumes from it" },     \
    {                                                                                            \
        "checkpoint-steps", .integer = &checkpoint_steps, .low = 0, .high = 1e9,                 \
                            .help = "also after so many steps"                                   \
    }

/* A run of training: how far it has come, on the terminal and in the checkpoint.

       run r = run_begin(
           epochs, images, (gr_checkpoint_options){ net, .optim = sgd, .loader = loader });
       while (run_epoch(&r))
           while (gr_next_batch(loader, &batch)) {
               ...
               run_step(&r, batch.count, gr_minimize(sgd, loss));
           }

   On a terminal the epoch is one line that changes; else nothing is shown until it ends. */
enum { MOST_VALUES = 16 };

typedef struct run {
    int64_t               epoch, epochs; /* the current one, from 1 */
    int64_t               done, images;  /* of this epoch */
    int64_t               before;        /* done when this program began with it */
    double                loss;          /* sum over the images done */
    int64_t               steps;         /* in all */
    gr_checkpoint_options parts;
    gr_report            *report;       /* with --report; else NULL */
    double                began, shown; /* in seconds */
    bool                  inside;       /* an epoch has begun and not ended */
} run;

/* Begins a run of so many epochs of so many images, or resumes the one in --checkpoint. All
   that changes while it lasts must be in parts. From here on the first Ctrl-C has run_step save it
   and end the program; the second ends it at once. */
run  run_begin(int64_t epochs, int64_t images, gr_checkpoint_options parts);
/* Ends the current epoch, if there is one, with a line: "epoch 1/3 loss 0.2345 12.3 s". Then
   begins the next; false: that was the last, and the report is closed. */
bool run_epoch(run *r);
/* Counts a step: a batch of images with this mean loss. */
void run_step(run *r, int64_t images, double loss);

/* Before an epoch ends, shows the report how the model does on an epoch of the loader's images;
   without a report, does nothing. The training does not notice. */
void run_test(run *r, gr_forward *forward, gr_loader *loader);

/* How many images of an epoch of the loader the model puts into the right class. The model is in
   eval mode meanwhile, then in train mode. */
int64_t evaluate(gr_model *m, gr_forward *forward, gr_loader *loader);

/* With --trace writes the page: of a pass over the loader's next batch, which is freed with it.
   Nothing is trained. */
void run_trace(gr_model *m, gr_forward *forward, gr_loader *loader);

#endif
