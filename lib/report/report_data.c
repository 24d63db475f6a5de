/* report_data.c: a report as JSON for its page.

   Invariant: the size is bounded for every model and every length of the run: layers, kernels,
   activations, pictures and points each have a limit, and the data have the total where something
   was left out. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KERNELS = 24,
    KERNEL_NUMBERS = 4096,
    KERNEL_FILTERS = 32,
    KERNEL_CHANNELS = 8,
    ACTIVATIONS = 32,
    ACTIVATION_NUMBERS = 6144
};
enum { ACTIVATION_CHANNELS = 16, ACTIVATION_SIDE = 32, ACTIVATION_UNITS = 512 };

static void put_name(gr__page *p, const char *key, const char *s)
{
    gr__json_text(p, key, s ? gr__display_of(s).s : NULL);
}

static void put_integer(gr__page *p, const char *key, int64_t n)
{
    gr__json_number(p, key, (double)n);
}

/* ---- curves -------------------------------------------------------------- */

typedef enum data_part { MEAN, LOW, HIGH, X } data_part;

static double data_part_of(const gr__series *s, int point, int number, data_part what)
{
    const gr__series_sum *at = &s->y[point * s->width + number];
    if (what == X) return s->x[point];
    if (at->count == 0) return NAN;
    return what == MEAN ? at->sum / (double)at->count : what == LOW ? at->low : at->high;
}

static void data_put_part(
    gr__page *p, const char *key, const gr__series *s, int number, data_part what)
{
    gr_real *v = gr__alloc(((size_t)s->count + 1) * sizeof *v);
    if (!v) {
        p->good = gr__fail_memory("report", (size_t)s->count * sizeof *v);
        return;
    }
    for (int i = 0; i < s->count; i++) v[i] = (gr_real)data_part_of(s, i, number, what);
    gr__json_reals(p, key, v, s->count);
    gr__release(v, ((size_t)s->count + 1) * sizeof *v);
}

/* A curve with the range of the values behind each point. */
static void put_curve(gr__page *p, const char *key, const char *name, const gr__series *s)
{
    gr__json_open(p, key, '{');
    if (name) put_name(p, "name", name);
    put_integer(p, "span", s->span);
    data_put_part(p, "x", s, 0, X);
    data_put_part(p, "y", s, 0, MEAN);
    data_put_part(p, "low", s, 0, LOW);
    data_put_part(p, "high", s, 0, HIGH);
    gr__json_close(p, '}');
}

static void put_epochs(gr__page *p, const gr__series *s)
{
    gr__json_open(p, "epochs", '{');
    put_integer(p, "span", s->span);
    data_put_part(p, "x", s, 0, X);
    data_put_part(p, "loss", s, GR__REPORT_LOSS, MEAN);
    data_put_part(p, "test_loss", s, GR__REPORT_TEST_LOSS, MEAN);
    data_put_part(p, "accuracy", s, GR__REPORT_ACCURACY, MEAN);
    data_put_part(p, "seconds", s, GR__REPORT_SECONDS, MEAN);
    gr__json_close(p, '}');
}

static void put_layers(gr__page *p, const gr__layer_norms *l)
{
    gr__json_open(p, "layers", '{');
    put_integer(p, "left_out", l->left_out);
    put_integer(p, "span", l->series.span);
    data_put_part(p, "x", &l->series, 0, X);
    gr__json_open(p, "list", '[');
    for (int k = 0; k < l->count && p->good; k++) {
        char name[256];
        snprintf(name, sizeof name, "%.*s", l->layer[k].length < 255 ? l->layer[k].length : 255,
            l->layer[k].name);
        gr__json_open(p, NULL, '{');
        put_name(p, "name", name);
        put_integer(p, "numbers", l->layer[k].numbers);
        data_put_part(p, "gradient", &l->series, 2 * k, MEAN);
        data_put_part(p, "update", &l->series, 2 * k + 1, MEAN);
        gr__json_close(p, '}');
    }
    gr__json_close(p, ']');
    gr__json_close(p, '}');
}

/* ---- kernels ------------------------------------------------------------- */

static int64_t data_least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The first kernels of a parameter (filters, channels, h, w), as many as there is room for. */
static void put_kernel(gr__page *p, const char *name, const gr_tensor *t)
{
    const int64_t *d = t->shape.dim;
    int64_t        size = d[2] * d[3], channels = data_least(d[1], KERNEL_CHANNELS),
            filters = data_least(d[0], KERNEL_FILTERS);
    if (size < 1 || size > KERNEL_NUMBERS) return;
    channels = data_least(channels, KERNEL_NUMBERS / size);
    filters = data_least(filters, KERNEL_NUMBERS / (size * channels));
    gr_real *v = gr__alloc(KERNEL_NUMBERS * sizeof *v);
    p->good = p->good && (v || gr__fail_memory("report", KERNEL_NUMBERS * sizeof *v));
    for (int64_t f = 0; p->good && f < filters; f++)
        memcpy(v + f * channels * size, gr__reals(t) + f * d[1] * size,
            (size_t)(channels * size) * sizeof *v);
    gr__json_open(p, NULL, '{');
    put_name(p, "name", name);
    gr__json_shape(p, "shape", &t->shape);
    gr__json_shape(p, "shown", &gr_shape(filters, channels, d[2], d[3]));
    if (p->good) gr__json_reals(p, "v", v, filters * channels * size);
    gr__json_close(p, '}');
    gr__release(v, KERNEL_NUMBERS * sizeof *v);
}

static void put_kernels(gr__page *p, const gr_model *m)
{
    int shown = 0, count = 0;
    gr__json_open(p, "kernels", '[');
    for (size_t i = 0; i < gr__array_length(m->params); i++) {
        const gr__slot *s = m->params[i];
        if (s->t->shape.rank != 4 || s->t->count == 0 ||
            s->t->shape.dim[2] * s->t->shape.dim[3] < 2)
            continue;
        count++;
        if (shown < KERNELS) {
            put_kernel(p, s->name, s->t);
            shown++;
        }
    }
    gr__json_close(p, ']');
    put_integer(p, "kernels_left_out", count - shown);
}

/* ---- pictures ------------------------------------------------------------ */

static void put_thumb(gr__page *p, const char *key, const gr__thumb *t)
{
    if (t->channels == 0) {
        gr__json_text(p, key, NULL);
        return;
    }
    gr__json_open(p, key, '{');
    put_integer(p, "h", t->height);
    put_integer(p, "w", t->width);
    put_integer(p, "c", t->channels);
    gr__json_bytes(
        p, "bytes", t->bytes, (size_t)t->height * (size_t)t->width * (size_t)t->channels);
    gr__json_close(p, '}');
}

static void put_albums(gr__page *p, const gr_report *r)
{
    gr__json_open(p, "pictures", '[');
    for (int i = 0; i < r->albums; i++) {
        const gr__report_album *a = &r->album[i];
        gr__json_open(p, NULL, '{');
        put_name(p, "name", a->title);
        put_integer(p, "step", a->step);
        put_integer(p, "columns", a->columns);
        gr__json_open(p, "list", '[');
        for (int k = 0; k < a->count; k++) put_thumb(p, NULL, &a->picture[k]);
        gr__json_close(p, ']');
        gr__json_close(p, '}');
    }
    gr__json_close(p, ']');
}

/* ---- scores -------------------------------------------------------------- */

/* Names from the loader's data, if it has as many classes; else numbers. */
static void put_classes(gr__page *p, const gr_report *r)
{
    const gr_dataset *d = r->recipe && gr_dataset_classes(r->recipe->data) == r->scores.classes
                              ? r->recipe->data
                              : NULL;
    gr__json_open(p, "classes", '[');
    for (int k = 0; k < r->scores.classes; k++) {
        char number[16];
        snprintf(number, sizeof number, "%d", k);
        put_name(p, NULL, d ? gr_dataset_class_name(d, k) : number);
    }
    gr__json_close(p, ']');
}

static void put_mistakes(gr__page *p, const gr__scores_tally *t)
{
    gr__json_open(p, "mistakes", '[');
    for (int i = 0; i < t->mistakes; i++) {
        const gr__scores_mistake *m = &t->mistake[i];
        gr__json_open(p, NULL, '{');
        put_integer(p, "label", m->label);
        put_integer(p, "guess", m->guess);
        gr__json_number(p, "confidence", (float)m->confidence);
        gr__json_number(p, "truth", (float)m->truth);
        put_thumb(p, "picture", &m->picture);
        gr__json_close(p, '}');
    }
    gr__json_close(p, ']');
}

static void put_scores(gr__page *p, const gr_report *r)
{
    const gr__scores_tally *t = &r->scores.last;
    if (!r->scores.classes || t->count == 0) return;
    put_classes(p, r);
    gr__json_open(p, "confusion", '[');
    for (int k = 0; k < r->scores.classes; k++)
        for (int g = 0; g < r->scores.classes; g++)
            gr__page_put(
                p, k || g ? ",%lld" : "%lld", (long long)gr_confusion_count(t->table, k, g));
    gr__json_close(p, ']');
    put_mistakes(p, t);
}

/* ---- activations of the sample ------------------------------------------- */

/* "conv1" of a parameter "conv1.weight" among the inputs. */
static void put_layer_of(gr__page *p, const gr__node *nd)
{
    for (int i = 0; i < nd->n; i++) {
        const char *name = nd->in[i]->param ? nd->in[i]->name : NULL,
                   *dot = name ? strrchr(name, '.') : NULL;
        if (!dot) continue;
        gr__display shown = gr__display_of(name);
        char       *end = strrchr(shown.s, '.');
        if (end && strlen(name) < 40) *end = '\0';
        gr__json_text(p, "layer", shown.s);
        return;
    }
}

static void put_statistics(gr__page *p, const gr_tensor *t)
{
    const gr_real *v = gr__reals(t);
    double         low = INFINITY, high = -INFINITY, sum = 0;
    int64_t        zeros = 0;
    for (int64_t i = 0; i < t->count; i++) {
        low = (double)v[i] < low ? (double)v[i] : low;
        high = (double)v[i] > high ? (double)v[i] : high;
        sum += (double)v[i];
        zeros += v[i] == 0;
    }
    gr__json_number(p, "low", (float)low);
    gr__json_number(p, "mean", (float)(sum / (double)t->count));
    gr__json_number(p, "high", (float)high);
    put_integer(p, "zeros", zeros);
}

/* The mean of a block of a plane. */
static gr_real data_block_mean(
    const gr_real *plane, int64_t h, int64_t w, int64_t block, int64_t y, int64_t x)
{
    double sum = 0;
    int    count = 0;
    for (int64_t i = y * block; i < (y + 1) * block && i < h; i++)
        for (int64_t j = x * block; j < (x + 1) * block && j < w; j++, count++)
            sum += (double)plane[i * w + j];
    return (gr_real)(sum / count);
}

/* Planes of (1,C,H,W), or the numbers of (1,units) as one row. */
static void put_planes(gr__page *p, const gr_tensor *t)
{
    bool           planes = t->shape.rank == 4;
    const int64_t *d = t->shape.dim;
    int64_t        c = planes ? d[1] : 1, h = planes ? d[2] : 1,
            w = planes ? d[3] : data_least(t->count, ACTIVATION_UNITS);
    int64_t longer = h > w ? h : w,
            block = planes ? (longer + ACTIVATION_SIDE - 1) / ACTIVATION_SIDE : 1;
    int64_t height = (h + block - 1) / block, width = (w + block - 1) / block;
    int64_t shown =
        data_least(data_least(c, ACTIVATION_CHANNELS), ACTIVATION_NUMBERS / (height * width));
    gr_real *v = gr__alloc(ACTIVATION_NUMBERS * sizeof *v);
    p->good = p->good && (v || gr__fail_memory("report", ACTIVATION_NUMBERS * sizeof *v));
    for (int64_t k = 0; p->good && k < shown * height * width; k++)
        v[k] = data_block_mean(gr__reals(t) + k / (height * width) * h * w, h, w, block,
            k / width % height, k % width);
    gr__json_shape(p, "shown", &gr_shape(shown, height, width));
    put_integer(p, "block", block);
    if (p->good) gr__json_reals(p, "v", v, shown * height * width);
    gr__release(v, ACTIVATION_NUMBERS * sizeof *v);
}

static bool is_shown(const gr__node *nd)
{
    const gr_tensor *t = nd->out;
    return !nd->used && !nd->op->moves && t->dtype == GR_REAL && t->count > 0 &&
           t->shape.dim[0] == 1 && (t->shape.rank == 4 || t->shape.rank == 2);
}

static void put_activation(gr__page *p, const gr__node *nd)
{
    gr__json_open(p, NULL, '{');
    gr__json_text(p, "op", nd->name);
    put_layer_of(p, nd);
    if (nd->out->name) put_name(p, "name", nd->out->name);
    gr__json_shape(p, "shape", &nd->out->shape);
    put_statistics(p, nd->out);
    put_planes(p, nd->out);
    gr__json_close(p, '}');
}

/* The results on the tape since place first; of too many, some at even distances, and the last. */
static void put_activations(gr__page *p, gr__node *const *tape, size_t first)
{
    size_t n = gr__array_length(tape), count = 0, k = 0;
    for (size_t i = first; i < n; i++) count += is_shown(tape[i]);
    size_t most = count < ACTIVATIONS ? count : ACTIVATIONS;
    gr__json_open(p, "list", '[');
    for (size_t i = first; i < n && p->good; i++) {
        if (!is_shown(tape[i])) continue;
        if ((k + 1) * most / count > k * most / count) put_activation(p, tape[i]);
        k++;
    }
    gr__json_close(p, ']');
    put_integer(p, "operations", (int64_t)count);
}

/* The sample and the results on the tape since place first, as JSON. */
static bool data_put_sample(
    gr__page *p, const gr_report *r, const gr_tensor *x, gr__node *const *tape, size_t first)
{
    gr__thumb *picture = gr__alloc(sizeof *picture);
    if (!picture) return gr__fail_memory("report", sizeof *picture);
    gr__json_open(p, NULL, '{');
    gr__json_number(p, "step", (double)r->step);
    if (gr__thumb_of(picture, x, 0, r->recipe)) put_thumb(p, "picture", picture);
    if (r->sample_label >= 0) put_integer(p, "label", r->sample_label);
    put_activations(p, tape, first);
    gr__json_close(p, '}');
    gr__release(picture, sizeof *picture);
    return p->good;
}

/* The input counts as a parameter, so that ops before the first layer are recorded too. */
static bool look_inside(gr__page *p, gr_report *r)
{
    gr_model   *m = r->model;
    bool        recorded = gr_set_recording(true), eval = m->eval;
    gr__thread *me = gr__self();
    size_t      first = gr__array_length(me->tape);
    gr_tensor  *x = gr_param(gr_copy(r->sample));
    m->eval = true;
    bool good = x && (m->forward(m, x) ||
                         gr__fail(GR_ERR_ARGUMENT, "report: the forward function returned NULL"));
    m->eval = eval;
    gr_set_recording(recorded);
    return good && data_put_sample(p, r, x, me->tape, first);
}

bool gr__report_take_activations(gr_report *r)
{
    if (!r->sample) return true;
    gr_step step = gr_step_begin();
    if (step.depth == 0) return false;
    gr__page p = gr__page_begin();
    bool     good = p.good && look_inside(&p, r);
    gr__page_end(good ? &r->activations : &p);
    if (good) r->activations = p;
    gr_step_end(&step);
    return good;
}

/* ---- the page ------------------------------------------------------------ */

static int64_t numbers_of(const gr_model *m)
{
    int64_t sum = 0;
    for (size_t i = 0; i < gr__array_length(m->params); i++) sum += m->params[i]->t->count;
    return sum;
}

static void put_run(gr__page *p, const gr_report *r, const char *status)
{
    put_name(p, "title", r->title);
    gr__json_text(p, "status", status);
    put_integer(p, "opened", r->since);
    put_integer(p, "written", (int64_t)time(NULL));
    gr__json_number(p, "seconds", (float)(gr__report_clock() - r->began));
    put_integer(p, "first", r->first);
    put_integer(p, "step", r->step);
    put_integer(p, "epochs_done", r->epochs);
    put_integer(p, "every", r->every);
    put_integer(p, "not_finite", r->bad);
    put_integer(p, "parameters", numbers_of(r->model));
    if (r->loader) put_integer(p, "batches", gr_loader_batches(r->loader));
    if (r->optim) gr__json_text(p, "optimiser", r->optim->rule->name);
}

static bool data_put_data(gr__page *p, const gr_report *r, const char *status)
{
    gr__json_open(p, NULL, '{');
    put_run(p, r, status);
    put_curve(p, "loss", NULL, &r->loss);
    put_curve(p, "rate", NULL, &r->rate);
    put_epochs(p, &r->epoch);
    gr__json_open(p, "values", '[');
    for (int i = 0; i < r->values; i++) put_curve(p, NULL, r->value[i].name, &r->value[i].series);
    gr__json_close(p, ']');
    put_layers(p, &r->layers);
    put_kernels(p, r->model);
    put_scores(p, r);
    put_albums(p, r);
    if (r->activations.length > 0) gr__json_raw(p, "sample", &r->activations);
    gr__json_close(p, '}');
    return p->good;
}

bool gr__report_write(const gr_report *r, const char *status)
{
    gr__page p = gr__page_begin();
    gr__html_begin(&p, "Training", gr__report_css, gr__report_html);
    bool good = data_put_data(&p, r, status);
    gr__html_end(&p, gr__report_js);
    good = good && gr__page_write(&p, r->path);
    gr__page_end(&p);
    return good;
}
