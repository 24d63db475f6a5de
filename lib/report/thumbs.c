/* thumbs.c: thumbnails of the images of a batch.

   Invariant: a picture is at most GR__THUMB_SIDE wide and high, whatever the image. */
#include "report/report.h"

#include <math.h>

/* One image as planes: (C,H,W), of which the first 1 or 3 are shown. */
typedef struct image {
    const gr_real *v;
    int64_t        c, h, w;
    int64_t        block; /* side of the square of pixels that becomes one pixel */
} image;

static bool thumb_image_of(image *im, const gr_tensor *t, int64_t i)
{
    const gr_shape *s = &t->shape;
    if (t->dtype != GR_REAL || (s->rank != 4 && s->rank != 3)) return false;
    bool    planes = s->rank == 4;
    int64_t longer;
    *im =
        (image){ .c = planes ? s->dim[1] : 1, .h = s->dim[s->rank - 2], .w = s->dim[s->rank - 1] };
    if (im->c < 1 || im->h < 1 || im->w < 1) return false;
    im->v = gr__reals(t) + i * im->c * im->h * im->w;
    longer = im->h > im->w ? im->h : im->w;
    im->block = (longer + GR__THUMB_SIDE - 1) / GR__THUMB_SIDE;
    return true;
}

/* The numbers that are shown as 0 and as 255: by the recipe, or the minimum and maximum of the
   image. */
static void ends_of(
    const image *im, const gr__recipe *recipe, int64_t channel, double *zero, double *full)
{
    if (recipe && (recipe->channels == 1 || recipe->channels == im->c)) {
        const gr_real *table = recipe->table[recipe->channels == 1 ? 0 : channel];
        *zero = (double)table[0];
        *full = (double)table[255];
        return;
    }
    *zero = INFINITY;
    *full = -INFINITY;
    for (int64_t k = 0; k < im->c * im->h * im->w; k++) {
        double v = (double)im->v[k];
        if (v < *zero) *zero = v;
        if (v > *full && v < INFINITY) *full = v;
    }
}

static double thumb_block_mean(const image *im, int64_t channel, int64_t y, int64_t x)
{
    double sum = 0;
    int    count = 0;
    for (int64_t i = y * im->block; i < (y + 1) * im->block && i < im->h; i++)
        for (int64_t j = x * im->block; j < (x + 1) * im->block && j < im->w; j++) {
            sum += (double)im->v[(channel * im->h + i) * im->w + j];
            count++;
        }
    return sum / count;
}

static unsigned char thumb_byte_of(double v, double zero, double full)
{
    double part = full > zero ? 255 * (v - zero) / (full - zero) : 0;
    return (unsigned char)(part > 0 ? part < 255 ? lround(part) : 255 : 0); /* NaN is 0 */
}

bool gr__thumb_of(gr__thumb *to, const gr_tensor *images, int64_t i, const gr__recipe *recipe)
{
    image im;
    to->channels = 0;
    if (!thumb_image_of(&im, images, i)) return false;
    to->channels = im.c == 3 ? 3 : 1;
    to->height = (int)((im.h + im.block - 1) / im.block);
    to->width = (int)((im.w + im.block - 1) / im.block);
    for (int c = 0; c < to->channels; c++) {
        double zero, full;
        ends_of(&im, recipe, c, &zero, &full);
        for (int y = 0; y < to->height; y++)
            for (int x = 0; x < to->width; x++)
                to->bytes[(y * to->width + x) * to->channels + c] =
                    thumb_byte_of(thumb_block_mean(&im, c, y, x), zero, full);
    }
    return true;
}
