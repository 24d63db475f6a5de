/* common.h: what the example programs share: reading the command line, showing how training goes, and stopping with one clear line. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <gradus.h>

/* ---- the command line ---- */

/* One thing that may stand on the command line. Where its value goes says what it is: exactly one of text, integer, real and flag
   is set. What stands there before is the default. A table of options ends with an empty one. */
typedef struct option {
    const char  *name; /* "batch": written --batch 64 or --batch=64 */
    const char **text;
    int64_t     *integer;
    double      *real;
    bool        *flag;      /* needs no value */
    double       low, high; /* bounds of a number, both allowed */
    bool         argument;  /* known by its place, not its name; may be left out if it has a default */
    const char  *help;      /* what it is for; "FILE: what it is for" names its value */
} option;

/* Reads the command line into the table's values, and has failures of the library stop the program from here on.
   --help prints what the program does and its options, and ends it with status 0; what cannot be right ends it as quit does. */
void read_options(int argc, char **argv, const char *purpose, const option *table);

/* Ends the program with status 1 and one line on stderr: "lenet: MESSAGE". */
void quit(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Quits unless a file could be written at path, if it is not NULL; nothing stays behind. For finding out before the work, not after it. */
void check_writable(const char *path);

/* ---- training ---- */

/* How far an epoch has come. On a terminal it is one line that changes; else nothing is shown until the epoch ends. */
typedef struct progress {
    char    label[32];
    int64_t total, done;  /* images */
    double  loss;         /* sum over the images done */
    double  began, shown; /* in seconds */
} progress;

/* Begins an epoch of so many images. */
progress progress_begin(int64_t epoch, int64_t epochs, int64_t images);
/* Counts a batch of images with this mean loss. */
void     progress_add(progress *p, int64_t images, double loss);
/* Ends an epoch with one line: "epoch 1/3  loss 0.2345  12.3 s". */
void     progress_end(progress *p);

/* How many images of an epoch of the loader the model puts into the right class. The model is in eval mode meanwhile, then in train mode. */
int64_t evaluate(gr_model *m, gr_forward *forward, gr_loader *loader);

#endif
