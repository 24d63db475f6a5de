/* scores.c: accuracy, confusion matrix and most confident mistakes from the scores of test images.

   Invariant: a batch is counted completely or, if it is refused, not at all. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>

static void tally_close(gr__scores_tally *t)
{
    gr_confusion_free(t->table);
    free(t->mistake);
}

void gr__scores_close(gr__scores *s)
{
    tally_close(&s->now);
    tally_close(&s->last);
}

static bool tally_open(gr__scores_tally *t, int classes)
{
    t->table = gr_confusion_new(classes);
    t->mistake = malloc(GR__SCORES_MISTAKES * sizeof *t->mistake);
    return t->table && (t->mistake || gr__fail_memory("report_scores",
                                          GR__SCORES_MISTAKES * sizeof *t->mistake));
}

static bool scores_check(
    const gr__scores *s, const gr_tensor *images, const gr_tensor *scores, const gr_tensor *labels)
{
    if (!images || !scores || !labels)
        return gr__fail(GR_ERR_ARGUMENT, "report_scores: the %s are NULL",
            !images   ? "images"
            : !scores ? "scores"
                      : "labels");
    bool fit = scores->dtype == GR_REAL && scores->shape.rank == 2 && labels->dtype == GR_INT32 &&
               labels->shape.rank == 1;
    if (!fit || scores->shape.dim[0] != labels->count || images->shape.rank < 1 ||
        images->shape.dim[0] != labels->count)
        return gr__fail(GR_ERR_ARGUMENT,
            "report_scores: images %s, scores %s, labels %s: (N,...), (N,classes) and int32 (N) "
            "wanted",
            GR__TEXT(images), GR__TEXT(scores), GR__TEXT(labels));
    int64_t classes = scores->shape.dim[1];
    if (classes < 1 || classes > GR__MOST_CLASSES)
        return gr__fail(GR_ERR_ARGUMENT, "report_scores: scores %s: 1 to %d classes wanted",
            GR__TEXT(scores), GR__MOST_CLASSES);
    return !s->classes || classes == s->classes ||
           gr__fail(GR_ERR_ARGUMENT, "report_scores: scores %s, the report has %d classes",
               GR__TEXT(scores), s->classes);
}

static bool scores_make_room(gr__scores *s, int classes)
{
    gr__scores new = { .classes = classes };
    if (s->classes) return true;
    if (tally_open(&new.now, classes) && tally_open(&new.last, classes)) {
        *s = new;
        return true;
    }
    gr__scores_close(&new);
    return false;
}

/* logsumexp, without overflow. */
static double log_sum(const gr_real *x, int n)
{
    double most = -INFINITY, sum = 0;
    for (int k = 0; k < n; k++) most = (double)x[k] > most ? (double)x[k] : most;
    for (int k = 0; k < n; k++) sum += exp((double)x[k] - most);
    return most + log(sum);
}

/* Inserts a mistake, sorted by confidence, if it is among the most confident. */
static void keep(gr__scores_tally *t, double confidence, double truth, int label, int guess,
    const gr_tensor *images, int64_t i, const gr__recipe *recipe)
{
    int at = t->mistakes;
    while (at > 0 && t->mistake[at - 1].confidence < confidence) at--;
    if (at == GR__SCORES_MISTAKES) return;
    int last = t->mistakes < GR__SCORES_MISTAKES ? t->mistakes++ : GR__SCORES_MISTAKES - 1;
    for (int k = last; k > at; k--) t->mistake[k] = t->mistake[k - 1];
    t->mistake[at] = (gr__scores_mistake){
        .confidence = confidence, .truth = truth, .label = label, .guess = guess
    };
    gr__thumb_of(&t->mistake[at].picture, images, i, recipe);
}

static int best_of(const gr_real *x, int n)
{
    int best = 0;
    for (int k = 1; k < n; k++)
        if (x[k] > x[best]) best = k;
    return best;
}

bool gr__scores_add(gr__scores *s, const gr_tensor *images, const gr_tensor *scores,
    const gr_tensor *labels, const gr__recipe *recipe)
{
    if (!scores_check(s, images, scores, labels) || !scores_make_room(s, (int)scores->shape.dim[1]))
        return false;
    gr__scores_tally *t = &s->now;
    if (!gr_confusion_add(t->table, scores, labels)) return false;
    for (int64_t i = 0; i < labels->count; i++) {
        const gr_real *x = gr__reals(scores) + i * s->classes;
        int            label = gr__ints(labels)[i], guess = best_of(x, s->classes);
        double         norm = log_sum(x, s->classes), confidence = exp((double)x[guess] - norm);
        t->loss += norm - (double)x[label];
        t->count++;
        if (guess != label && isfinite(confidence))
            keep(t, confidence, exp((double)x[label] - norm), label, guess, images, i, recipe);
    }
    return true;
}

void gr__scores_epoch(gr__scores *s)
{
    if (s->now.count == 0) return;
    gr__scores_tally done = s->now;
    s->now = s->last;
    s->last = done;
    if (s->now.table) gr__confusion_clear(s->now.table);
    s->now.loss = 0;
    s->now.count = s->now.mistakes = 0;
}
