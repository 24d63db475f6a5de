/* report.c: training reports: the calls of the user, and when the page is written.

   Invariant: nothing of the run is changed, and nothing that a result depends on is read from a
   clock. The clock decides when the page is written, and nothing else; the user's forward function
   is called at the ends of epochs, if the user asks for it, and of the run. */
#define _POSIX_C_SOURCE 200809L

#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* SPARE: of so many seconds at most one is spent on writing. */
enum { EVERY = 10, SECONDS = 5, SPARE = 50, VALUE_POINTS = 500 };

double gr__report_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static char *copy(const char *s)
{
    size_t size = strlen(s) + 1;
    char  *to = malloc(size);
    if (!to) gr__fail_memory("report", size);
    return to ? memcpy(to, s, size) : NULL;
}

/* ---- life ---------------------------------------------------------------- */

static void watch(void *arg, size_t i, bool changed)
{
    gr_report *r = arg;
    if (i == r->optim->count) {
        r->optim = NULL;
        return;
    }
    r->rate_now = r->optim->lr;
    if (r->layers.watching) gr__layer_norms_see(&r->layers, i, r->optim->memories[i].p, changed);
}

static void release(gr_report *r)
{
    if (r->optim && r->optim->watch_arg == r) r->optim->watch = NULL;
    for (int i = 0; i < r->values; i++) {
        free(r->value[i].name);
        gr__series_close(&r->value[i].series);
    }
    for (int i = 0; i < r->albums; i++) {
        free(r->album[i].title);
        free(r->album[i].picture);
    }
    gr__series_close(&r->loss);
    gr__series_close(&r->rate);
    gr__series_close(&r->epoch);
    gr__layer_norms_close(&r->layers);
    gr__scores_close(&r->scores);
    gr__unref(r->sample);
    gr__page_end(&r->activations);
    free(r->path);
    free(r->title);
    free(r);
}

static bool report_check(const char *path, const gr_report_options *o)
{
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "report_open: the path is NULL");
    if (!gr__model_built(o->model, "report_open")) return false;
    if (o->optim && o->optim->model != o->model)
        return gr__fail(GR_ERR_ARGUMENT, "report_open: the optimiser belongs to another model");
    if (o->optim && o->optim->watch)
        return gr__fail(GR_ERR_ARGUMENT, "report_open: the optimiser has a report already");
    if (o->every < 0 || o->step < 0 || !(o->seconds >= 0))
        return gr__fail(GR_ERR_ARGUMENT,
            "report_open: every %lld, step %lld, seconds %g: none may be negative",
            (long long)o->every, (long long)o->step, o->seconds);
    if (o->sample_every < 0)
        return gr__fail(GR_ERR_ARGUMENT,
            "report_open: sample_every is %lld; it may not be negative",
            (long long)o->sample_every);
    return !o->sample || o->sample->dtype == GR_REAL ||
           gr__fail(GR_ERR_ARGUMENT, "report_open: the sample %s is int32", GR__TEXT(o->sample));
}

/* The first image of the data, if the model takes images of this shape. */
static bool take_first(gr_report *r)
{
    const gr_dataset *d = r->recipe->data;
    gr_shape          s = r->model->input, image = d->shape;
    if (s.rank != image.rank + 1 ||
        memcmp(s.dim + 1, image.dim, sizeof image.dim[0] * (size_t)image.rank) != 0)
        return true;
    s.dim[0] = 1;
    r->sample = gr__tensor(GR_REAL, &s, "report_open");
    if (!r->sample) return false;
    size_t plane = d->size / (size_t)r->recipe->channels;
    for (int64_t c = 0; c < r->recipe->channels; c++)
        gr__numbers_of(gr__reals(r->sample) + (size_t)c * plane, d->images + (size_t)c * plane,
            plane, r->recipe->table[c]);
    r->sample_label = d->labels[0];
    return true;
}

static bool take_sample(gr_report *r, const gr_tensor *t)
{
    r->sample_label = -1;
    if (!r->model->forward) return true;
    if (!t) return !r->recipe || take_first(r);
    r->sample = gr__tensor(GR_REAL, &t->shape, "report_open");
    if (r->sample) memcpy(gr__reals(r->sample), gr__reals(t), (size_t)t->count * sizeof(gr_real));
    return r->sample;
}

static bool report_fill(gr_report *r, const char *path, const gr_report_options *o)
{
    r->model = o->model;
    r->optim = o->optim;
    r->loader = o->loader;
    r->recipe = o->loader ? gr__loader_recipe(o->loader) : NULL;
    r->sample_every = o->sample_every;
    r->every = o->every ? o->every : EVERY;
    r->seconds = o->seconds != 0 ? o->seconds : SECONDS;
    r->first = r->step = o->step;
    r->since = (int64_t)time(NULL);
    r->began = r->epoch_began = gr__report_clock();
    r->layers.watching = true;
    if (!(r->path = copy(path)) || !(r->title = copy(o->title ? o->title : "Training")))
        return false;
    return gr__series_open(&r->loss, 1, GR__REPORT_POINTS) &&
           gr__series_open(&r->rate, 1, GR__REPORT_POINTS) &&
           gr__series_open(&r->epoch, GR__REPORT_EPOCH_NUMBERS, GR__REPORT_POINTS) &&
           gr__layer_norms_open(&r->layers, o->model) && take_sample(r, o->sample);
}

static bool write_page(gr_report *r, const char *status)
{
    double before = gr__report_clock();
    bool   good = gr__report_write(r, status);
    r->written = gr__report_clock();
    r->cost = r->written - before;
    return good;
}

gr_report *gr_report_open_(const char *path, gr_report_options o)
{
    if (!report_check(path, &o)) return NULL;
    gr_report *r = calloc(1, sizeof *r);
    if (!r) {
        gr__fail_memory("report_open", sizeof *r);
        return NULL;
    }
    if (!report_fill(r, path, &o) || !write_page(r, "running")) {
        release(r);
        return NULL;
    }
    if (r->optim) {
        r->optim->watch = watch;
        r->optim->watch_arg = r;
    }
    return r;
}

bool gr_report_close(gr_report *r)
{
    if (!r) return true;
    if (!gr__failed()) gr__report_take_activations(r);
    const char *failure = gr_error();
    bool        good = write_page(r, failure ? failure : "finished") && !failure;
    release(r);
    return good;
}

/* ---- steps and epochs ---------------------------------------------------- */

/* Whether there is a report to add to, and no failure is pending. */
static bool report_given(const gr_report *r, const char *what)
{
    return r ? !gr__failed() : gr__fail(GR_ERR_ARGUMENT, "%s: the report is NULL", what);
}

static bool write_again(gr_report *r, double seconds)
{
    double since = gr__report_clock() - r->written;
    return since < seconds || since < SPARE * r->cost || write_page(r, "running");
}

bool gr_report_step(gr_report *r, double loss)
{
    if (!report_given(r, "report_step")) return false;
    double x = (double)++r->step;
    gr__series_put(&r->loss, x, &loss);
    if (r->optim) gr__series_put(&r->rate, x, &r->rate_now);
    if (r->optim && r->layers.watching) gr__layer_norms_step(&r->layers, x);
    r->layers.watching = (r->step - r->first) % r->every == 0;
    if (isfinite(loss)) {
        r->loss_sum += loss;
        r->loss_count++;
    } else {
        r->bad++;
    }
    return write_again(r, r->seconds);
}

bool gr_report_epoch(gr_report *r)
{
    if (!report_given(r, "report_epoch")) return false;
    double                  at = gr__report_clock(), numbers[GR__REPORT_EPOCH_NUMBERS];
    const gr__scores_tally *t = &r->scores.now;
    numbers[GR__REPORT_LOSS] = r->loss_count ? r->loss_sum / (double)r->loss_count : (double)NAN;
    numbers[GR__REPORT_TEST_LOSS] = t->count ? t->loss / (double)t->count : (double)NAN;
    numbers[GR__REPORT_ACCURACY] = t->count ? gr_confusion_accuracy(t->table) : (double)NAN;
    numbers[GR__REPORT_SECONDS] = at - r->epoch_began;
    gr__series_put(&r->epoch, (double)r->step, numbers);
    gr__scores_epoch(&r->scores);
    r->epochs++;
    r->loss_sum = 0;
    r->loss_count = 0;
    r->epoch_began = at;
    if (r->sample_every && r->epochs % r->sample_every == 0 && !gr__report_take_activations(r))
        return false;
    return write_again(r, 0);
}

bool gr_report_scores(
    gr_report *r, const gr_tensor *images, const gr_tensor *scores, const gr_tensor *labels)
{
    return report_given(r, "report_scores") &&
           gr__scores_add(&r->scores, images, scores, labels, r->recipe);
}

/* ---- curves and pictures of the caller ----------------------------------- */

static bool named(const char *name, const char *what)
{
    return (name && *name) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: the name is %s", what, name ? "empty" : "NULL");
}

static gr__report_curve *value_of(gr_report *r, const char *name)
{
    for (int i = 0; i < r->values; i++)
        if (strcmp(r->value[i].name, name) == 0) return &r->value[i];
    if (r->values == GR__REPORT_CURVES) {
        gr__fail(GR_ERR_ARGUMENT,
            "report_value: '%s' is a new name, but there are %d curves already", gr__quoted(name).s,
            GR__REPORT_CURVES);
        return NULL;
    }
    gr__report_curve new = { .name = copy(name) };
    if (new.name && gr__series_open(&new.series, 1, VALUE_POINTS))
        return r->value[r->values] = new, &r->value[r->values++];
    free(new.name);
    gr__series_close(&new.series);
    return NULL;
}

bool gr_report_value(gr_report *r, const char *name, double value)
{
    if (!report_given(r, "report_value") || !named(name, "report_value")) return false;
    gr__report_curve *v = value_of(r, name);
    if (v) gr__series_put(&v->series, (double)r->step, &value);
    return v;
}

static gr__report_album *album_of(gr_report *r, const char *title)
{
    for (int i = 0; i < r->albums; i++)
        if (strcmp(r->album[i].title, title) == 0) return &r->album[i];
    if (r->albums == GR__REPORT_ALBUMS) {
        gr__fail(GR_ERR_ARGUMENT, "report_pictures: '%s' is a new name, but there are %d already",
            gr__quoted(title).s, GR__REPORT_ALBUMS);
        return NULL;
    }
    gr__report_album new = { .title = copy(title),
        .picture = malloc(GR__REPORT_ALBUM * sizeof *new.picture) };
    if (new.title &&new.picture) return r->album[r->albums] = new, &r->album[r->albums++];
    if (new.title) gr__fail_memory("report_pictures", GR__REPORT_ALBUM * sizeof *new.picture);
    free(new.title);
    free(new.picture);
    return NULL;
}

bool gr_report_pictures_(gr_report *r, const char *name, gr_report_pictures_options o)
{
    const gr_tensor *t = o.images;
    if (!report_given(r, "report_pictures") || !named(name, "report_pictures")) return false;
    if (!t || t->dtype != GR_REAL || (t->shape.rank != 4 && t->shape.rank != 3) || t->count == 0)
        return gr__fail(GR_ERR_ARGUMENT, "report_pictures: images %s: (N,C,H,W) or (N,H,W) wanted",
            t ? GR__TEXT(t) : "NULL");
    if (o.columns < 0)
        return gr__fail(GR_ERR_ARGUMENT, "report_pictures: %lld columns", (long long)o.columns);
    gr__report_album *a = album_of(r, name);
    if (!a) return false;
    a->count = 0;
    a->columns = o.columns ? o.columns : 12;
    a->step = r->step;
    for (int64_t i = 0, bytes = 0; i < t->shape.dim[0] && a->count < GR__REPORT_ALBUM;
         i++, a->count++) {
        gr__thumb *p = &a->picture[a->count];
        gr__thumb_of(p, t, i, r->recipe);
        bytes += p->height * p->width * p->channels;
        if (bytes > GR__REPORT_ALBUM_BYTES) break;
    }
    return true;
}
