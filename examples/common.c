/* common.c: the command line, the progress line and the one line of failure that all examples share.

   Invariant: nothing but quit ends a program early, and while a progress line stands unfinished on the terminal, it is ended first. */
#define _POSIX_C_SOURCE 200809L

#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *program = "example";
static bool        line_open; /* a progress line stands on the terminal, without its end */

/* ---- stopping ---- */

void quit(const char *format, ...)
{
    va_list ap;
    if (line_open) putchar('\n');
    fflush(stdout);
    fprintf(stderr, "%s: ", program);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

static void on_error(const char *message) { quit("%s", message); }

/* ---- numbers ---- */

static void refuse(const option *o, const char *value)
{
    const char *dashes = o->argument ? "" : "--";
    if (o->integer) quit("%s%s %s: a whole number from %.0f to %.0f wanted", dashes, o->name, value, o->low, o->high);
    quit("%s%s %s: a number from %g to %g wanted", dashes, o->name, value, o->low, o->high);
}

static void read_integer(const option *o, const char *value)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end || isspace((unsigned char)*value) || errno || (double)n < o->low || (double)n > o->high) refuse(o, value);
    *o->integer = n;
}

static void read_real(const option *o, const char *value)
{
    char  *end;
    double x = strtod(value, &end);
    if (end == value || *end || isspace((unsigned char)*value) || !(x >= o->low && x <= o->high)) refuse(o, value);
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

/* "FILE: where to" names the value; returns what follows, with the length of the name. Without a name: the kind of number. */
static const char *split_help(const option *o, const char **value, int *length)
{
    const char *colon = strstr(o->help, ": ");
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
    printf("  %-17s %s", left, help);
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
    printf("  %-17s %s\n", "--help", "print this");
    if (fflush(stdout)) quit("cannot write to standard output: %s", strerror(errno));
    exit(EXIT_SUCCESS);
}

/* ---- the command line ---- */

static const option *find(const option *table, const char *name, size_t length)
{
    for (const option *o = table; o->name; o++)
        if (!o->argument && strlen(o->name) == length && strncmp(o->name, name, length) == 0) return o;
    return NULL;
}

/* Reads the option at argv[0]; returns how many words it took. */
static int read_named(char **argv, const option *table)
{
    const char   *name = argv[0] + 2, *equals = strchr(name, '=');
    size_t        length = equals ? (size_t)(equals - name) : strlen(name);
    const option *o = find(table, name, length);
    if (!o) quit("--%.*s: there is no such option; --help lists what there is", (int)length, name);
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
            quit("%s: nothing is wanted there; --help lists what there is", argv[i]);
        }
    }
    if (place->name && !optional(place)) quit("%s is missing; --help tells what it is", place->name);
}

void check_writable(const char *path)
{
    struct stat there;
    char        trial[PATH_MAX];
    if (!path) return;
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) quit("cannot write '%s': it is not a regular file", path);
    int length = snprintf(trial, sizeof trial, "%s.XXXXXX", path);
    int file = length < (int)sizeof trial ? mkstemp(trial) : (errno = ENAMETOOLONG, -1);
    if (file < 0) quit("cannot write '%s': %s", path, strerror(errno));
    close(file);
    unlink(trial);
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
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col < 80 ? size.ws_col : 80;
#endif
    return 80;
}

/* Puts text behind what stands in the line, if both leave the last column free: a full line would break. */
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

static void redraw(progress *p, double at)
{
    char   line[128], percent[16], loss[32], left[32], rate[32];
    size_t room = (size_t)columns();
    double part = p->total > 0 ? (double)p->done / (double)p->total : 1, seconds = at - p->began;
    long   wait = part > 0 ? lround(seconds / part - seconds) : 0;
    snprintf(line, sizeof line, "%s", p->label);
    snprintf(percent, sizeof percent, " %3d%%", (int)(100 * part));
    snprintf(loss, sizeof loss, "  loss %.4f", p->loss / (double)p->done);
    snprintf(left, sizeof left, "  %ld:%02ld left", wait / 60, wait % 60);
    snprintf(rate, sizeof rate, "  %.0f images/s", seconds > 0 ? (double)p->done / seconds : 0);
    append_bar(line, room, strlen(percent) + strlen(loss) + strlen(left) + strlen(rate), part);
    append(line, room, percent);
    append(line, room, loss);
    append(line, room, left);
    append(line, room, rate);
    printf("\r%s\033[K", line);
    fflush(stdout);
    line_open = true;
    p->shown = at;
}

progress progress_begin(int64_t epoch, int64_t epochs, int64_t images)
{
    progress p = { .total = images, .began = now() };
    snprintf(p.label, sizeof p.label, "epoch %lld/%lld", (long long)epoch, (long long)epochs);
    return p;
}

void progress_add(progress *p, int64_t images, double loss)
{
    p->done += images;
    p->loss += (double)images * loss;
    double at = now();
    if (at - p->shown >= 0.1 && isatty(STDOUT_FILENO)) redraw(p, at);
}

void progress_end(progress *p)
{
    if (line_open) printf("\r\033[K");
    line_open = false;
    printf("%s  loss %.4f  %.1f s\n", p->label, p->loss / (double)p->done, now() - p->began);
    fflush(stdout);
}

/* ---- accuracy ---- */

int64_t evaluate(gr_model *m, gr_forward *forward, gr_loader *loader)
{
    GR_NO_GRAD;
    int64_t  correct = 0;
    gr_batch batch;
    gr_model_eval(m);
    while (gr_next_batch(loader, &batch)) {
        GR_STEP;
        const int32_t *guess = gr_ints(gr_argmax(forward(m, batch.images), 1)), *label = gr_ints(batch.labels);
        for (int64_t i = 0; i < batch.count; i++) correct += guess[i] == label[i];
    }
    gr_model_train(m);
    return correct;
}
