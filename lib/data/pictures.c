/* pictures.c: a folder of pictures, a sub-folder a class.

   Invariant: classes and pictures are in the order of their names, byte by byte, so that neither
   the file system nor the number of threads changes the set; of several pictures that fail, the
   first in this order is reported. */
#include "data/data.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "io/io.h"

enum { USUAL_SIDE = 32 };

/* ---- what is there: stb_ds arrays of texts ---- */

static void folder_drop(char ***texts)
{
    for (size_t i = 0; i < gr__array_length(*texts); i++) free((*texts)[i]);
    gr__array_free(texts);
}

/* Takes the text over. */
static bool push(char ***texts, char *text)
{
    if (text && gr__array_push(texts, &text, sizeof text)) return true;
    free(text);
    return gr__fail_memory("pictures", sizeof text);
}

static char *folder_path_of(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char  *path = malloc(size);
    if (path) snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* What an entry of a folder is taken for; of what is left out, why. */
typedef const char *folder_judge(const char *name, const struct stat *about);

/* Files of macOS and Windows and of unpacked archives, not of the set. */
static bool is_of_the_system(const char *name)
{
    static const char *const names[] = { "__MACOSX", "Thumbs.db", "desktop.ini", "lost+found",
        "@eaDir", "$RECYCLE.BIN", "System Volume Information" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0) return true;
    return false;
}

static const char *judge_class(const char *name, const struct stat *about)
{
    if (name[0] == '.') return "is hidden";
    if (is_of_the_system(name)) return "is no part of a set";
    return about && S_ISDIR(about->st_mode) ? NULL : "is no folder";
}

/* A link to nothing is a picture that cannot be read. */
static const char *judge_picture(const char *name, const struct stat *about)
{
    const char *dot = strrchr(name, '.');
    if (name[0] == '.') return "is hidden";
    if (is_of_the_system(name)) return "is no part of a set";
    if (about && !S_ISREG(about->st_mode))
        return S_ISDIR(about->st_mode) ? "is a folder further down" : "is no regular file";
    return dot && (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 ||
                      strcasecmp(dot, ".jpeg") == 0)
               ? NULL
               : "is not called .png, .jpg or .jpeg";
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *complaint(const char *path, const char *why)
{
    size_t size = strlen(path) + strlen(why) + 4;
    char  *text = malloc(size);
    if (text) snprintf(text, size, "'%s' %s", path, why);
    return text;
}

/* A folder's contents. */
typedef struct contents {
    char         **classes;
    char         **paths;   /* of the pictures */
    unsigned char *labels;  /* stb_ds array, as long */
    char         **ignored; /* what was left out, and why */
} contents;

static void drop_contents(contents *c)
{
    folder_drop(&c->classes);
    folder_drop(&c->paths);
    folder_drop(&c->ignored);
    gr__array_free(&c->labels);
}

static bool push_by_judgement(
    contents *c, char ***names, const char *folder, const char *name, folder_judge *fn)
{
    struct stat about;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return true;
    char *path = folder_path_of(folder, name);
    if (!path) return gr__fail_memory("pictures", strlen(folder) + strlen(name));
    const char *why = fn(name, stat(path, &about) == 0 ? &about : NULL);
    bool        good = why ? push(&c->ignored, complaint(path, why)) : push(names, strdup(name));
    free(path);
    return good;
}

/* The names in a folder that are wanted, sorted. */
static bool list(contents *c, const char *folder, folder_judge *fn, char ***names)
{
    DIR *dir = opendir(folder);
    if (!dir) return gr__fail(GR_ERR_FILE, "cannot open '%s': %s", folder, strerror(errno));
    bool           good = true;
    struct dirent *e;
    while (good && (errno = 0, e = readdir(dir)) != NULL)
        good = push_by_judgement(c, names, folder, e->d_name, fn);
    if (good && errno)
        good = gr__fail(GR_ERR_FILE, "cannot read '%s': %s", folder, strerror(errno));
    closedir(dir);
    if (good && *names) qsort(*names, gr__array_length(*names), sizeof **names, by_name);
    return good;
}

/* The pictures of a sub-folder; it is a class if it has any. */
static bool list_class(contents *c, const char *folder, char *name)
{
    char *path = folder_path_of(folder, name), **names = NULL;
    bool  good =
        path ? list(c, path, judge_picture, &names) : gr__fail_memory("pictures", strlen(folder));
    size_t n = gr__array_length(names);
    if (good && n == 0) good = push(&c->ignored, complaint(path, "holds no PNG or JPEG"));
    if (good && n > 0) good = push(&c->classes, strdup(name));
    unsigned char label =
        (unsigned char)(gr__array_length(c->classes) - 1); /* of too many, nobody will see it */
    for (size_t i = 0; good && i < n; i++) {
        good = push(&c->paths, folder_path_of(path, names[i]));
        if (good && !gr__array_push(&c->labels, &label, sizeof label))
            good = gr__fail_memory("pictures", n);
    }
    folder_drop(&names);
    free(path);
    return good;
}

static bool list_contents(contents *c, const char *folder)
{
    char **folders = NULL;
    bool   good = gr__folder_check(folder, "pictures") && list(c, folder, judge_class, &folders);
    size_t found = gr__array_length(folders);
    for (size_t i = 0; good && i < found; i++) good = list_class(c, folder, folders[i]);
    folder_drop(&folders);
    if (!good) return false;
    size_t n = gr__array_length(c->classes);
    if (n == 0 && found > 0)
        return gr__fail(GR_ERR_FILE, "'%s' holds no PNG or JPEG in its sub-folders", folder);
    if (c->ignored) qsort(c->ignored, gr__array_length(c->ignored), sizeof *c->ignored, by_name);
    return (n > 0 && n <= GR__MOST_CLASSES) ||
           gr__fail(GR_ERR_FILE,
               "'%s' holds %zu sub-folders of pictures, one a class; 1 to %d wanted", folder, n,
               GR__MOST_CLASSES);
}

/* ---- reading them ---- */

typedef struct folder_job {
    const contents     *c;
    gr_dataset         *set;
    gr__picture_options wanted;
    bool                skip_broken;
    gr__quote          *broken; /* of each picture; empty: it is not */
    atomic_llong        bad;    /* the first picture that fails the whole */
    gr__mutex           lock;
    gr__failure         failure; /* why */
} folder_job;

static void fail_with(folder_job *j, int64_t i, const gr__failure *f)
{
    gr__lock(&j->lock);
    if (i < atomic_load(&j->bad)) {
        atomic_store(&j->bad, i);
        j->failure = *f;
    }
    gr__unlock(&j->lock);
}

static void read_one(folder_job *j, int64_t i)
{
    gr__picture p;
    const char *path = j->c->paths[i];
    if (gr__picture_read(&p, path, &j->wanted, &j->broken[i])) {
        gr__planes_of(j->set->own + j->set->size * (size_t)i, &p);
        free(p.bytes);
        return;
    }
    if (j->broken[i].s[0] && !j->skip_broken)
        gr__fail(GR_ERR_FORMAT, "'%s' %s", path, j->broken[i].s);
    gr__failure f = gr__take_failure();
    if (f.code != GR_OK) fail_with(j, i, &f);
}

static void folder_read_some(const void *arg, int64_t begin, int64_t end)
{
    folder_job *j = *(folder_job *const *)arg;
    gr__fail_for_another(true);
    for (int64_t i = begin; i < end && i < atomic_load(&j->bad); i++) read_one(j, i);
    gr__fail_for_another(false);
}

/* Closes the gaps that broken pictures left, and notes them. */
static bool close_gaps(const folder_job *j)
{
    gr_dataset *d = j->set;
    int64_t     kept = 0;
    for (int64_t i = 0; i < d->count; i++) {
        if (j->broken[i].s[0]) {
            if (!push(&d->skipped, complaint(j->c->paths[i], j->broken[i].s))) return false;
            continue;
        }
        if (kept < i)
            memcpy(d->own + d->size * (size_t)kept, d->own + d->size * (size_t)i, d->size);
        d->labels[kept++] = j->c->labels[i];
    }
    d->count = kept;
    return kept > 0 || gr__fail(GR_ERR_FORMAT, "no picture is left: %zu are broken; the first: %s",
                           gr__array_length(d->skipped), d->skipped[0]);
}

static bool read_pictures(folder_job *j)
{
    gr__failure before = gr__take_failure();
    gr__parallel(j->set->count, 1, folder_read_some, &(folder_job *){ j });
    if (before.code != GR_OK) gr__fail(before.code, "%s", before.message);
    if (j->failure.code != GR_OK) return gr__fail(j->failure.code, "%s", j->failure.message);
    return close_gaps(j);
}

static gr_dataset *make_set(const contents *c, const gr__picture_options *wanted, bool skip_broken)
{
    int64_t    n = (int64_t)gr__array_length(c->paths);
    gr_shape   image = gr_shape(wanted->grey ? 1 : 3, wanted->height, wanted->width);
    folder_job j = { .c = c, .wanted = *wanted, .skip_broken = skip_broken, .bad = n };
    gr__mutex_begin(&j.lock);
    j.broken = calloc((size_t)n, sizeof *j.broken);
    j.set = j.broken
                ? gr__dataset_new(image, n, (int)gr__array_length(c->classes), true, "pictures")
                : NULL;
    if (!j.broken) gr__fail_memory("pictures", (size_t)n * sizeof *j.broken);
    bool good = j.set && gr__dataset_name(j.set, (const char *const *)c->classes, "pictures") &&
                read_pictures(&j);
    gr__mutex_end(&j.lock);
    free(j.broken);
    if (good) return j.set;
    gr_dataset_free(j.set);
    return NULL;
}

gr_dataset *gr_pictures_(gr_pictures_options o)
{
    gr__picture_options wanted = {
        .height = o.height, .width = o.width, .grey = o.grey, .squash = o.squash
    };
    contents c = { .classes = NULL };
    if (!gr__picture_check(&wanted, "pictures")) return NULL;
    if (!wanted.height) wanted.height = wanted.width ? wanted.width : USUAL_SIDE;
    if (!wanted.width) wanted.width = wanted.height;
    gr_dataset *d = list_contents(&c, o.folder) ? make_set(&c, &wanted, o.skip_broken) : NULL;
    if (d) {
        d->ignored = c.ignored;
        c.ignored = NULL;
    }
    drop_contents(&c);
    return d;
}
