/* common.c: the command line, the progress line, the checkpoint, the report and the one line of
   failure that all examples share.

   Invariant: nothing but quit and an interruption end a program early, and while a progress line
   stands unfinished on the terminal, it is ended first. */
#define _XOPEN_SOURCE 700 /* realpath too */

#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *program = "example";
static bool        line_open; /* a progress line stands on the terminal, without its end */
static gr_report  *report;    /* the one that is open */

/* ---- stopping ---- */

/* Ends the program with this status, and one line on stderr. */
__attribute__((format(printf, 2, 0), noreturn)) static void stop(
    int status, const char *format, va_list ap)
{
    if (line_open) putchar('\n');
    fflush(stdout);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    exit(status);
}

void quit(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    stop(EXIT_FAILURE, format, ap);
}

__attribute__((format(printf, 2, 3), noreturn)) static void stop_with(
    int status, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    stop(status, format, ap);
}

/* The report says what ended the run, unless that was the report. */
static void on_error(const char *message)
{
    gr_report *r = report;
    report = NULL;
    gr_report_close(r);
    quit("%s", message);
}

/* ---- numbers ---- */

static void refuse(const option *o, const char *value)
{
    const char *dashes = o->argument ? "" : "--";
    if (o->integer)
        quit("%s%s %s: a whole number from %.0f to %.0f wanted", dashes, o->name, value, o->low,
            o->high);
    quit("%s%s %s: a number from %g to %g wanted", dashes, o->name, value, o->low, o->high);
}

static void read_integer(const option *o, const char *value)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end || isspace((unsigned char)*value) || errno || (double)n < o->low ||
        (double)n > o->high)
        refuse(o, value);
    *o->integer = n;
}

static void read_real(const option *o, const char *value)
{
    char  *end;
    double x = strtod(value, &end);
    if (end == value || *end || isspace((unsigned char)*value) || !(x >= o->low && x <= o->high))
        refuse(o, value);
    *o->real = x;
}

static void read_value(const option *o, const char *value)
{
    if (!*value) quit("%s%s: its value is empty", o->argument ? "" : "--", o->name);
    if (o->integer)
        read_integer(o, value);
    else if (o->real)
        read_real(o, value);
    else
        *o->text = value;
}

/* ---- help ---- */

/* "FILE: where to" names the value; returns what follows, with the length of the name. Without a
   name: the kind of number. */
static const char *split_help(const option *o, const char **value, int *length)
{
    const char *colon = isupper((unsigned char)o->help[0]) ? strstr(o->help, ": ") : NULL;
    *value = colon ? o->help : o->flag ? "" : "N";
    *length = colon ? (int)(colon - o->help) : (int)strlen(*value);
    return colon ? colon + 2 : o->help;
}

static void print_option(const option *o)
{
    char        left[64];
    const char *value, *help;
    int         length;
    help = split_help(o, &value, &length);
    if (o->argument)
        snprintf(left, sizeof left, "%s", o->name);
    else
        snprintf(left, sizeof left, "--%s %.*s", o->name, length, value);
    printf("  %-20s %s", left, help);
    if (o->integer && !o->argument) printf(" (%lld)", (long long)*o->integer);
    if (o->real) printf(" (%g)", *o->real);
    putchar('\n');
}

static bool optional(const option *o) { return !o->text || *o->text; }

static void print_help(const char *purpose, const option *table)
{
    printf("usage: %s", program);
    for (const option *o = table; o->name; o++)
        if (o->argument) printf(optional(o) ? " [%s]" : " %s", o->name);
    printf(" [options]\n%s\n\n", purpose);
    for (const option *o = table; o->name; o++) print_option(o);
    printf("  %-20s %s\n", "--help", "print this");
    if (fflush(stdout)) quit("cannot write to standard output: %s", strerror(errno));
    exit(EXIT_SUCCESS);
}

/* ---- the command line ---- */

static const option *find(const option *table, const char *name, size_t length)
{
    for (const option *o = table; o->name; o++)
        if (!o->argument && strlen(o->name) == length && strncmp(o->name, name, length) == 0)
            return o;
    return NULL;
}

/* Reads the option at argv[0]; returns how many words it took. */
static int read_named(char **argv, const option *table)
{
    const char   *name = argv[0] + 2, *equals = strchr(name, '=');
    size_t        length = equals ? (size_t)(equals - name) : strlen(name);
    const option *o = find(table, name, length);
    if (!o) quit("--%.*s: there is no such option; --help lists the options", (int)length, name);
    if (o->flag && equals) quit("--%s: it takes no value", o->name);
    if (o->flag)
        *o->flag = true;
    else if (equals)
        read_value(o, equals + 1);
    else if (argv[1])
        read_value(o, argv[1]);
    else
        quit("--%s: its value is missing", o->name);
    return o->flag || equals ? 1 : 2;
}

static const option *next_argument(const option *o)
{
    while (o->name && !o->argument) o++;
    return o;
}

void read_options(int argc, char **argv, const char *purpose, const option *table)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    program = slash ? slash + 1 : argc > 0 ? argv[0] : program;
    gr_on_error(on_error);
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) print_help(purpose, table);
    const option *place = next_argument(table);
    for (int i = 1; i < argc;) {
        if (strncmp(argv[i], "--", 2) == 0) {
            i += read_named(argv + i, table);
        } else if (place->name) {
            read_value(place, argv[i++]);
            place = next_argument(place + 1);
        } else {
            quit("%s: unexpected argument; --help lists the options", argv[i]);
        }
    }
    if (place->name && !optional(place))
        quit("%s is missing; see --help", place->name);
}

void check_writable(const char *path)
{
    struct stat about;
    if (!path) return;
    bool there = stat(path, &about) == 0;
    if (there && !S_ISREG(about.st_mode)) quit("cannot write '%s': it is not a regular file", path);
    int   file = open(path, O_WRONLY | O_CREAT, 0666);
    char *at = file >= 0 ? realpath(path, NULL) : NULL; /* where links lead to */
    if (!at) quit("cannot write '%s': %s", path, strerror(errno));
    close(file);
    if (!there) unlink(at);
    char *slash = strrchr(at, '/'); /* a new file is made beside it */
    slash[slash == at] = 0;
    if (access(at, W_OK | X_OK)) quit("cannot write '%s': %s", path, strerror(errno));
    free(at);
}

void trains_nothing(const char *why, const char *save)
{
    const char *lost = save              ? "--save"
                       : checkpoint_file ? "--checkpoint"
                       : report_file     ? "--report"
                                         : NULL;
    if (lost) quit("%s does not train, so there is nothing to %s", why, lost);
}

/* ---- progress ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int columns(void)
{
#ifdef TIOCGWINSZ
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col < 80 ? size.ws_col : 80;
#endif
    return 80;
}

/* Puts text behind what stands in the line, if both leave the last column free: a full line would
   break. */
static void append(char *line, size_t room, const char *text)
{
    size_t length = strlen(line);
    if (length + strlen(text) < room) strcpy(line + length, text);
}

/* A bar as wide as what the other parts leave, at most 30; none if that is under 5. */
static void append_bar(char *line, size_t room, size_t others, double part)
{
    size_t used = strlen(line) + others + strlen("  []") + 1;
    size_t width = room > used ? room - used : 0;
    char   bar[48] = "  [";
    width = width > 30 ? 30 : width;
    if (width < 5) return;
    size_t full = (size_t)(part * (double)width);
    memset(bar + 3, '#', full);
    memset(bar + 3 + full, '.', width - full);
    strcpy(bar + 3 + width, "]");
    append(line, room, bar);
}

static const char *label_of(const run *r)
{
    static char label[48];
    snprintf(label, sizeof label, "epoch %lld/%lld", (long long)r->epoch, (long long)r->epochs);
    return label;
}

static void redraw(run *r, double at)
{
    char   line[128], percent[16], loss[32], left[32], rate[32];
    size_t room = (size_t)columns();
    double part = r->images > 0 ? (double)r->done / (double)r->images : 1, seconds = at - r->began;
    double fresh = (double)(r->done - r->before);
    long   wait = fresh > 0 ? lround(seconds * (double)(r->images - r->done) / fresh) : 0;
    snprintf(line, sizeof line, "%s", label_of(r));
    snprintf(percent, sizeof percent, " %3d%%", (int)(100 * part));
    snprintf(loss, sizeof loss, "  loss %.4f", r->loss / (double)r->done);
    snprintf(left, sizeof left, "  %ld:%02ld left", wait / 60, wait % 60);
    snprintf(rate, sizeof rate, "  %.0f images/s", seconds > 0 ? fresh / seconds : 0);
    append_bar(line, room, strlen(percent) + strlen(loss) + strlen(left) + strlen(rate), part);
    append(line, room, percent);
    append(line, room, loss);
    append(line, room, left);
    append(line, room, rate);
    printf("\r%s\033[K", line);
    fflush(stdout);
    line_open = true;
    r->shown = at;
}

static void end_line(const run *r)
{
    if (line_open) printf("\r\033[K");
    line_open = false;
    printf("%s  loss %.4f  %.1f s\n", label_of(r), r->loss / (double)r->done, now() - r->began);
    fflush(stdout);
}

/* ---- the run, its checkpoint and its report ---- */

const char *checkpoint_file, *report_file, *trace_file;
int64_t     checkpoint_steps;

static volatile sig_atomic_t interruption; /* the signal, when there was one */

static void on_signal(int signal) { interruption = signal; }

/* The second signal of the kind does what it does without us. */
static void catch_signals(bool on)
{
    struct sigaction act = { .sa_flags = (int)SA_RESETHAND | SA_RESTART };
    act.sa_handler = on ? on_signal : SIG_DFL;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

/* Calls gr_checkpoint_save or gr_checkpoint_load with the parts, and the place in the run among
   their values. */
static void checkpoint(run *r, bool (*save_or_load)(const char *, gr_checkpoint_options))
{
    gr_value values[MOST_VALUES + 5] = {
        { "run.epoch", .integer = &r->epoch },
        { "run.images", .integer = &r->done },
        { "run.loss", .real = &r->loss },
        { "run.steps", .integer = &r->steps },
    };
    gr_checkpoint_options parts = r->parts;
    int                   n = 4;
    for (const gr_value *v = parts.values; v && v->name; v++)
        if (n < MOST_VALUES + 4) values[n++] = *v;
    parts.values = values;
    save_or_load(checkpoint_file, parts);
}

static void end_report(run *r)
{
    report = NULL;
    gr_report_close(r->report);
    r->report = NULL;
}

static void interrupted(run *r)
{
    checkpoint(r, gr_checkpoint_save_);
    end_report(r);
    stop_with(128 + interruption, "interrupted: saved to %s; run the same command to go on",
        checkpoint_file);
}

static void begin_checkpoint(run *r)
{
    check_writable(checkpoint_file);
    if (access(checkpoint_file, F_OK) == 0) {
        checkpoint(r, gr_checkpoint_load_);
        if (r->epoch < 0 || r->epoch > r->epochs || r->done < 0 || r->done > r->images)
            quit("%s: epoch %lld of a run that has %lld", checkpoint_file, (long long)r->epoch,
                (long long)r->epochs);
        printf("%s resumes from %s: %s, %.0f %%\n", program, checkpoint_file, label_of(r),
            r->done ? 100.0 * (double)r->done / (double)r->images : 100.0);
    }
    catch_signals(true);
}

run run_begin(int64_t epochs, int64_t images, gr_checkpoint_options parts)
{
    run r = { .epochs = epochs, .images = images, .parts = parts };
    if (checkpoint_file) begin_checkpoint(&r);
    if (report_file)
        report = r.report = gr_report_open(report_file, parts.model, .optim = parts.optim,
            .loader = parts.loader, .title = program, .sample_every = 1, .step = r.steps);
    return r;
}

bool run_epoch(run *r)
{
    if (r->inside) {
        end_line(r);
        if (r->report) gr_report_epoch(r->report);
        r->done = r->before = 0;
        r->loss = 0;
        if (checkpoint_file) checkpoint(r, gr_checkpoint_save_);
    }
    if (interruption) interrupted(r);
    /* done > 0: in the middle of one that the checkpoint began */
    r->inside = r->done > 0 || r->epoch < r->epochs;
    if (r->inside && r->done == 0) r->epoch++;
    r->before = r->done;
    r->began = now();
    if (!r->inside && checkpoint_file) catch_signals(false);
    if (!r->inside) end_report(r);
    return r->inside;
}

void run_step(run *r, int64_t images, double loss)
{
    r->done += images;
    r->loss += (double)images * loss;
    r->steps++;
    if (r->report) gr_report_step(r->report, loss);
    double at = now();
    if (at - r->shown >= 0.1 && isatty(STDOUT_FILENO)) redraw(r, at);
    if (interruption) interrupted(r);
    if (checkpoint_file && checkpoint_steps > 0 && r->steps % checkpoint_steps == 0)
        checkpoint(r, gr_checkpoint_save_);
}

/* ---- accuracy ---- */

/* Counts those that the model puts into the right class; r: and reports each, unless it
   is NULL. */
static int64_t count_correct(gr_report *r, gr_model *m, gr_forward *forward, gr_loader *loader)
{
    GR_NO_GRAD;
    int64_t  correct = 0;
    gr_batch batch;
    gr_model_eval(m);
    while (gr_next_batch(loader, &batch)) {
        GR_STEP;
        gr_tensor     *scores = forward(m, batch.inputs);
        const int32_t *guess = gr_ints(gr_argmax(scores, 1)), *label = gr_ints(batch.targets);
        for (int64_t i = 0; i < batch.count; i++) correct += guess[i] == label[i];
        if (r) gr_report_scores(r, batch.inputs, scores, batch.targets);
    }
    gr_model_train(m);
    return correct;
}

int64_t evaluate(gr_model *m, gr_forward *forward, gr_loader *loader)
{
    return count_correct(NULL, m, forward, loader);
}

void run_test(run *r, gr_forward *forward, gr_loader *loader)
{
    double before = now();
    if (r->report) count_correct(r->report, r->parts.model, forward, loader);
    r->began += now() - before;
}

/* ---- one pass ---- */

void run_trace(gr_model *m, gr_forward *forward, gr_loader *loader)
{
    gr_batch batch;
    if (trace_file && gr_next_batch(loader, &batch)) {
        GR_STEP;
        gr_tensor *scores = gr_named(forward(m, gr_named(batch.inputs, "images")), "scores");
        gr_trace_html(gr_named(gr_cross_entropy(scores, batch.targets), "loss"), trace_file);
    }
    gr_loader_close(loader);
}
