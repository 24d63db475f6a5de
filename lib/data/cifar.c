/* cifar.c: CIFAR-10 in its binary files. A record is a label and an image, 32 x 32 bytes of red,
   then of green, then of blue.

   Invariant: a file holds whole records, at least one; its size is known before room is made. */
#include "data/data.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/io.h"

enum {
    CIFAR_SIDE = 32,
    CIFAR_CHANNELS = 3,
    CIFAR_PIXELS = CIFAR_CHANNELS * CIFAR_SIDE * CIFAR_SIDE,
    RECORD = 1 + CIFAR_PIXELS,
    CIFAR_CLASSES = 10,
    BATCHES = 5,
    MOST_NAMES = 4096
};

static const char *const usual_names[CIFAR_CLASSES] = { "airplane", "automobile", "bird", "cat",
    "deer", "dog", "frog", "horse", "ship", "truck" };

/* The files to read, and their records together. */
typedef struct plan {
    const char *folder, *within; /* within: a part of the path between folder and file */
    bool        train;
    int64_t     count;
} plan;

static char *cifar_path_of(const plan *p, const char *name)
{
    size_t size = strlen(p->folder) + strlen(p->within) + strlen(name) + 3;
    char  *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s%s", p->folder, p->within, name);
    else
        gr__fail_memory("cifar10", size);
    return path;
}

static const char *file_name(const plan *p, int i, char name[24])
{
    snprintf(name, 24, p->train ? "data_batch_%d.bin" : "test_batch.bin", i + 1);
    return name;
}

/* Does something for each file that is there: -1 on failure, else how many there are. */
static int for_each_file(
    plan *p, gr_dataset *d, bool (*act)(plan *p, gr_dataset *d, const char *path))
{
    int files = 0;
    for (int i = 0; i < (p->train ? BATCHES : 1); i++) {
        char  name[24];
        char *path = cifar_path_of(p, file_name(p, i, name));
        bool  there = path && access(path, F_OK) == 0, good = path && (!there || act(p, d, path));
        free(path);
        if (!good) return -1;
        files += there;
    }
    return files;
}

static bool count_records(plan *p, gr_dataset *d, const char *path)
{
    gr__file f;
    (void)d;
    if (!gr__file_open(&f, path)) return false;
    gr__file_close(&f);
    p->count += (int64_t)(f.size / RECORD);
    return (f.size && f.size % RECORD == 0) ||
           gr__fail(GR_ERR_FORMAT, "'%s' has %llu byte%s, not records of %d", path,
               (unsigned long long)f.size, gr__plural((int64_t)f.size, "s"), RECORD);
}

/* Appends a file's records; d->count counts them. */
static bool read_records(plan *p, gr_dataset *d, const char *path)
{
    gr__file      f;
    unsigned char record[RECORD];
    if (!gr__file_open(&f, path)) return false;
    int64_t records = (int64_t)(f.size / RECORD);
    bool    good = records <= p->count - d->count ||
                gr__fail(GR_ERR_FILE, "cannot read '%s': it became longer meanwhile", path);
    for (int64_t i = 0; good && i < records; i++, d->count += good) {
        good = gr__file_get(&f, record, RECORD);
        if (good && record[0] >= CIFAR_CLASSES)
            good = gr__fail(GR_ERR_FORMAT, "'%s': label %lld is %d, more than %d", path,
                (long long)i, record[0], CIFAR_CLASSES - 1);
        d->labels[d->count] = record[0];
        memcpy(d->own + CIFAR_PIXELS * d->count, record + 1, CIFAR_PIXELS);
    }
    gr__file_close(&f);
    return good;
}

/* Cuts a text into lines; 0-terminated ones that are not empty, at most CLASSES. */
static int lines_of(char *text, const char *names[CIFAR_CLASSES])
{
    int n = 0;
    for (char *line = strtok_r(text, "\r\n", &text); line && n < CIFAR_CLASSES;
         line = strtok_r(NULL, "\r\n", &text))
        names[n++] = line;
    return n;
}

/* The names that a file has beside the batches, if it is there. */
static bool read_names(gr_dataset *d, const char *path)
{
    gr__file    f;
    char        text[MOST_NAMES + 1];
    const char *names[CIFAR_CLASSES];
    if (access(path, F_OK)) return gr__dataset_name(d, usual_names, "cifar10");
    if (!gr__file_open(&f, path)) return false;
    size_t size = f.size < MOST_NAMES ? (size_t)f.size : MOST_NAMES;
    bool   good = gr__file_get(&f, text, size);
    gr__file_close(&f);
    text[size] = 0;
    int lines = good ? lines_of(text, names) : 0;
    if (good && lines < CIFAR_CLASSES)
        good = gr__fail(GR_ERR_FORMAT, "'%s' names %d class%s, not %d", path, lines,
            gr__plural(lines, "es"), CIFAR_CLASSES);
    return good && gr__dataset_name(d, names, "cifar10");
}

static gr_dataset *read_all(plan *p)
{
    gr_shape    all = gr_shape(p->count, CIFAR_CHANNELS, CIFAR_SIDE, CIFAR_SIDE);
    gr_dataset *d = NULL;
    if (gr__count(&all) < 0)
        gr__fail_memory("cifar10", SIZE_MAX);
    else
        d = gr__dataset_new(gr_shape(CIFAR_CHANNELS, CIFAR_SIDE, CIFAR_SIDE), p->count,
            CIFAR_CLASSES, true, "cifar10");
    if (!d) return NULL;
    d->count = 0;
    char *names = cifar_path_of(p, "batches.meta.txt");
    bool  good = names && for_each_file(p, d, read_records) > 0 && read_names(d, names);
    free(names);
    if (good && d->count < p->count)
        good =
            gr__fail(GR_ERR_FILE, "cannot read '%s': it holds fewer images than before", p->folder);
    if (good) return d;
    gr_dataset_free(d);
    return NULL;
}

gr_dataset *gr_cifar10(const char *folder, bool train)
{
    plan p = { .folder = folder, .within = "", .train = train };
    if (!gr__folder_check(folder, "cifar10")) return NULL;
    int files = for_each_file(&p, NULL, count_records);
    if (files == 0) {
        p.within = "cifar-10-batches-bin/";
        files = for_each_file(&p, NULL, count_records);
    }
    if (files == 0)
        gr__fail(GR_ERR_FILE, "'%s' holds no %s, nor does cifar-10-batches-bin in it", folder,
            train ? "data_batch_1.bin to data_batch_5.bin" : "test_batch.bin");
    return files > 0 ? read_all(&p) : NULL;
}
