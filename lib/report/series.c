/* series.c: curves of bounded length. A series that is full merges its points two by two, so that
   each stands for twice as many steps.

   Invariant: every point but the last stands for span neighbouring values; sums, extremes and
   counts include everything that was put there. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>

/* most is even, so that all points have a partner. */
bool gr__series_open(gr__series *s, int width, int most)
{
    size_t points = (size_t)most, numbers = points * (size_t)width;
    *s = (gr__series){ .width = width,
        .most = most,
        .span = 1,
        .x = calloc(points, sizeof *s->x),
        .y = calloc(numbers, sizeof *s->y) };
    return (s->x && s->y) || gr__fail_memory("report_open", numbers * sizeof *s->y);
}

void gr__series_close(gr__series *s)
{
    free(s->x);
    free(s->y);
}

static void series_merge(gr__series_sum *to, const gr__series_sum *from)
{
    if (from->count > 0 && (to->count == 0 || from->low < to->low)) to->low = from->low;
    if (from->count > 0 && (to->count == 0 || from->high > to->high)) to->high = from->high;
    to->sum += from->sum;
    to->count += from->count;
}

static void series_halve(gr__series *s)
{
    for (int i = 0; i < s->most / 2; i++) {
        s->x[i] = s->x[2 * i + 1];
        for (int k = 0; k < s->width; k++) {
            gr__series_sum both = s->y[(2 * i) * s->width + k];
            series_merge(&both, &s->y[(2 * i + 1) * s->width + k]);
            s->y[i * s->width + k] = both;
        }
    }
    s->count = s->most / 2;
    s->span *= 2;
    s->held = s->span;
}

void gr__series_put(gr__series *s, double x, const double *y)
{
    if (s->count == s->most && s->held == s->span) series_halve(s);
    bool fresh = s->count == 0 || s->held == s->span;
    if (fresh) {
        s->count++;
        s->held = 0;
    }
    s->held++;
    s->x[s->count - 1] = x;
    for (int k = 0; k < s->width; k++) {
        gr__series_sum *at = &s->y[(s->count - 1) * s->width + k], one = { y[k], y[k], y[k], 1 };
        if (fresh) *at = (gr__series_sum){ .count = 0 };
        if (isfinite(y[k])) series_merge(at, &one);
    }
}

double gr__series_mean(const gr__series *s, int point, int number)
{
    const gr__series_sum *at = &s->y[point * s->width + number];
    return at->count ? at->sum / (double)at->count : NAN;
}
