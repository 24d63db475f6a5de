/* augment.c: images changed at random, as bytes: turned and shifted, cropped, flipped, erased.

   Invariant: what becomes of an image depends on the options and on its own random numbers alone;
   each kind of change has numbers of its own, so that asking for one more leaves the others as they
   were. N C H W are as everywhere; i is a row, j a column. */
#include "data/data.h"

#include <math.h>
#include <string.h>

/* ---- the options ---- */

static bool check_number(const char *name, double value, double most, const char *what)
{
    return (value >= 0 && value <= most) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: .%s of %g: 0 to %g wanted", what, name, value, most);
}

static bool augment_check_range(const char *name, const double *v, double most, const char *what)
{
    return (v[0] > 0 && v[1] >= v[0] && v[1] <= most) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: .%s from %g to %g: over 0, rising, up to %g wanted", what,
               name, v[0], v[1], most);
}

bool gr__augment_asked(const gr_augment *a)
{
    return a->crop_padding != 0 || a->flip || a->shift != 0 || a->rotation != 0 || a->erase != 0 ||
           a->change;
}

bool gr__augment_check(gr_augment *a, const gr_shape *image, gr__planes *p, const char *what)
{
    int rank = image->rank;
    if (rank < 2)
        return gr__fail(GR_ERR_ARGUMENT, "%s: .augment wants images (C,H,W), these are %s", what,
            gr__shape_text(image).s);
    *p = (gr__planes){ .h = image->dim[rank - 2], .w = image->dim[rank - 1], .shape = *image };
    p->c = gr__count(image) / (p->h * p->w);
    if (a->erase_scale[0] == 0 && a->erase_scale[1] == 0)
        memcpy(a->erase_scale, (double[]){ 0.02, 0.33 }, sizeof a->erase_scale);
    if (a->erase_ratio[0] == 0 && a->erase_ratio[1] == 0)
        memcpy(a->erase_ratio, (double[]){ 0.3, 3.3 }, sizeof a->erase_ratio);
    double side = (double)(p->h < p->w ? p->h : p->w);
    return check_number("crop_padding", (double)a->crop_padding, side, what) &&
           check_number("shift", a->shift, side, what) &&
           check_number("rotation", a->rotation, 180, what) &&
           check_number("erase", a->erase, 1, what) && check_number("fill", a->fill, 255, what) &&
           augment_check_range("erase_scale", a->erase_scale, 1, what) &&
           augment_check_range("erase_ratio", a->erase_ratio, 1000, what);
}

/* ---- chance ---- */

typedef enum use { TURN, CROP, FLIP, ERASE, CALLERS } use;

static gr_rng numbers_for(gr_rng of_image, use u)
{
    of_image.counter += (uint64_t)u << 16;
    return of_image;
}

gr_rng gr__augment_rng(gr_rng of_epoch, int64_t image)
{
    return (gr_rng){ of_epoch.key, (uint64_t)image << 32 };
}

static double between(gr_rng *rng, double low, double high)
{
    return low + (high - low) * gr_rng_uniform(rng);
}

/* ---- what lies outside an image ---- */

/* Mirrored at the centres of the first and last pixel, as often as it takes. */
static int64_t mirrored(int64_t i, int64_t n)
{
    int64_t period = 2 * (n - 1);
    if (period == 0) return 0;
    i %= period;
    if (i < 0) i += period;
    return i < n ? i : period - i;
}

static int pixel(
    const gr_augment *a, const gr__planes *p, const unsigned char *x, int64_t i, int64_t j)
{
    if (a->reflect) return x[mirrored(i, p->h) * p->w + mirrored(j, p->w)];
    return i >= 0 && i < p->h && j >= 0 && j < p->w ? x[i * p->w + j] : a->fill;
}

/* ---- turning and shifting: one bilinear reading of the image ---- */

/* Places are integers with 24 bits behind the point, weights have 11: four times a byte stays in 31
   bits, and whole places read exactly. */
enum { POINT = 24, WEIGHT = 11, ONE = 1 << WEIGHT, HALF = 1 << (2 * WEIGHT - 1) };

static unsigned char mix(int a, int b, int c, int d, int fi, int fj)
{
    return (unsigned char)(((ONE - fi) * ((ONE - fj) * a + fj * b) +
                               fi * ((ONE - fj) * c + fj * d) + HALF) >>
                           (2 * WEIGHT));
}

/* The pixel of every channel at place (si, sj). */
static void read_pixel(const gr_augment *a, const gr__planes *p, const unsigned char *x,
    unsigned char *y, int64_t si, int64_t sj)
{
    int64_t i = si >> POINT, j = sj >> POINT, w = p->w, plane = p->h * w;
    int     fi = (int)(si >> (POINT - WEIGHT)) & (ONE - 1),
        fj = (int)(sj >> (POINT - WEIGHT)) & (ONE - 1);
    bool inside = i >= 0 && i < p->h - 1 && j >= 0 && j < w - 1;
    for (int64_t c = 0; c < p->c; c++, x += plane, y += plane) {
        if (inside) {
            const unsigned char *at = x + i * w + j;
            *y = mix(at[0], at[1], at[w], at[w + 1], fi, fj);
        } else {
            *y = mix(pixel(a, p, x, i, j), pixel(a, p, x, i, j + 1), pixel(a, p, x, i + 1, j),
                pixel(a, p, x, i + 1, j + 1), fi, fj);
        }
    }
}

void gr__turn(const gr_augment *a, const gr__planes *p, double degrees, double down, double right,
    const unsigned char *x, unsigned char *y)
{
    double angle = degrees * 0.017453292519943295769, cosine = cos(angle), sine = sin(angle),
           one = (double)(1 << POINT);
    double  ci = (double)(p->h - 1) / 2, cj = (double)(p->w - 1) / 2;
    int64_t step_i = llrint(sine * one), step_j = llrint(cosine * one);
    for (int64_t i = 0; i < p->h; i++) {
        double  u = (double)i - ci - down, v = -cj - right;
        int64_t si = llrint((cosine * u + sine * v + ci) * one),
                sj = llrint((cosine * v - sine * u + cj) * one);
        for (int64_t j = 0; j < p->w; j++, si += step_i, sj += step_j)
            read_pixel(a, p, x, y++, si, sj);
    }
}

/* ---- cropping, flipping ---- */

static void crop_row(
    const gr_augment *a, int64_t w, int64_t right, const unsigned char *x, unsigned char *y)
{
    int64_t begin = right < 0 ? -right : 0, end = right > 0 ? w - right : w;
    for (int64_t j = 0; j < begin; j++)
        y[j] = a->reflect ? x[mirrored(j + right, w)] : (unsigned char)a->fill;
    memcpy(y + begin, x + begin + right, (size_t)(end - begin));
    for (int64_t j = end; j < w; j++)
        y[j] = a->reflect ? x[mirrored(j + right, w)] : (unsigned char)a->fill;
}

/* y is the part of x, as large as x, that begins at (down, right). */
static void crop(const gr_augment *a, const gr__planes *p, int64_t down, int64_t right,
    const unsigned char *x, unsigned char *y)
{
    for (int64_t c = 0; c < p->c; c++, x += p->h * p->w)
        for (int64_t i = 0; i < p->h; i++, y += p->w) {
            bool inside = i + down >= 0 && i + down < p->h;
            if (inside || a->reflect)
                crop_row(
                    a, p->w, right, x + (inside ? i + down : mirrored(i + down, p->h)) * p->w, y);
            else
                memset(y, a->fill, (size_t)p->w);
        }
}

static void flip(const gr__planes *p, unsigned char *y)
{
    for (int64_t row = 0; row < p->c * p->h; row++, y += p->w)
        for (int64_t j = 0, k = p->w - 1; j < k; j++, k--) {
            unsigned char swap = y[j];
            y[j] = y[k];
            y[k] = swap;
        }
}

/* ---- erasing (Zhong et al., Random Erasing Data Augmentation, AAAI 2020) ---- */

static void erase(const gr_augment *a, const gr__planes *p, gr_rng rng, unsigned char *y)
{
    if (gr_rng_uniform(&rng) >= a->erase) return;
    double area = (double)(p->h * p->w), low = log(a->erase_ratio[0]),
           high = log(a->erase_ratio[1]);
    for (int attempt = 0; attempt < 10; attempt++) {
        double part = area * between(&rng, a->erase_scale[0], a->erase_scale[1]),
               ratio = exp(between(&rng, low, high));
        int64_t h = llrint(sqrt(part * ratio)), w = llrint(sqrt(part / ratio));
        if (h >= p->h || w >= p->w) continue;
        int64_t i = gr_rng_below(&rng, p->h - h + 1), j = gr_rng_below(&rng, p->w - w + 1);
        for (int64_t c = 0; c < p->c; c++)
            for (int64_t row = i; row < i + h; row++)
                memset(y + (c * p->h + row) * p->w + j, a->fill, (size_t)w);
        return;
    }
}

/* ---- all of it ---- */

bool gr__augment(const gr_augment *a, const gr__planes *p, gr_rng rng, const unsigned char *x,
    unsigned char *turned, unsigned char *y)
{
    gr_rng turns = numbers_for(rng, TURN), crops = numbers_for(rng, CROP),
           flips = numbers_for(rng, FLIP), rest = numbers_for(rng, CALLERS);
    if (a->rotation > 0 || a->shift > 0) {
        double degrees = between(&turns, -a->rotation, a->rotation);
        double down = between(&turns, -a->shift, a->shift),
               right = between(&turns, -a->shift, a->shift);
        gr__turn(a, p, degrees, down, right, x, turned);
        x = turned;
    }
    int64_t down = gr_rng_below(&crops, 2 * a->crop_padding + 1) - a->crop_padding;
    int64_t right = gr_rng_below(&crops, 2 * a->crop_padding + 1) - a->crop_padding;
    crop(a, p, down, right, x, y);
    if (a->flip && gr_rng_below(&flips, 2)) flip(p, y);
    if (a->erase > 0) erase(a, p, numbers_for(rng, ERASE), y);
    return !a->change || (a->change(y, p->shape, &rest, a->arg) && !gr__failed());
}
