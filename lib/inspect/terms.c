/* terms.c: the part of the sums of the three convolutions that a page does not show.

   All three sum products of the trilinear form T(x, k, G) in conv.c, each over the indices that its
   elements do not have; a product is shown if both its factors are. The others are summed here from
   the products themselves, so that a page's sums are independent of the results that it compares
   them with. */
#include "inspect/inspect.h"

/* One plane of the sum: image n, filter f, channel c of the filter's group. */
typedef struct plane {
    int64_t n, f, c;
    int64_t place[3]; /* of its first number in x, k and G */
    bool    shown[3]; /* of x, k and G, whether the plane is */
} plane;

static bool inside(const gr_shape *kept, int64_t a, int64_t b)
{
    return a < kept->dim[0] && b < kept->dim[1];
}

static plane plane_at(const gr__terms *t, int64_t n, int64_t f, int64_t c)
{
    const gr__conv *v = &t->c;
    int64_t         channels = v->C / v->G, channel = f / (v->F / v->G) * channels + c;
    plane           p = { .n = n, .f = f, .c = c };
    p.place[GR__TERMS_OF_X] = (n * v->C + channel) * v->H * v->W;
    p.place[GR__TERMS_OF_K] = (f * channels + c) * v->KH * v->KW;
    p.place[GR__TERMS_OF_Y] = (n * v->F + f) * v->OH * v->OW;
    p.shown[GR__TERMS_OF_X] = inside(&t->kept[GR__TERMS_OF_X], n, channel);
    p.shown[GR__TERMS_OF_K] = inside(&t->kept[GR__TERMS_OF_K], f, c);
    p.shown[GR__TERMS_OF_Y] = inside(&t->kept[GR__TERMS_OF_Y], n, f);
    return p;
}

/* The place of (row, column) of a plane among what is kept of the tensor. */
static int64_t kept_place(
    const gr__terms *t, gr__terms_target of, const plane *p, int64_t row, int64_t column)
{
    const gr__conv *v = &t->c;
    const gr_shape *kept = &t->kept[of];
    int64_t         a = of == GR__TERMS_OF_K ? p->f : p->n;
    int64_t         b = of == GR__TERMS_OF_K   ? p->c
                        : of == GR__TERMS_OF_Y ? p->f
                                               : p->f / (v->F / v->G) * (v->C / v->G) + p->c;
    return ((a * kept->dim[1] + b) * kept->dim[2] + row) * kept->dim[3] + column;
}

/* The products of one kernel entry (p, q) in a plane whose elements are shown. */
static void add_entry(
    const gr__terms *t, gr__terms_target of, const plane *at, int64_t p, int64_t q, double *rest)
{
    const gr__conv *v = &t->c;
    double          k = (double)t->k[at->place[GR__TERMS_OF_K] + p * v->KW + q];
    bool            k_shown = at->shown[GR__TERMS_OF_K] && p < t->kept[GR__TERMS_OF_K].dim[2] &&
                   q < t->kept[GR__TERMS_OF_K].dim[3];
    for (int64_t i = 0; i < v->OH; i++) {
        int64_t h = v->SH * i + v->DH * p - v->PH;
        for (int64_t j = 0; h >= 0 && h < v->H && j < v->OW; j++) {
            int64_t w = v->SW * j + v->DW * q - v->PW;
            if (w < 0 || w >= v->W) continue;
            bool x_shown = at->shown[GR__TERMS_OF_X] && h < t->kept[GR__TERMS_OF_X].dim[2] &&
                           w < t->kept[GR__TERMS_OF_X].dim[3];
            bool u_shown = at->shown[GR__TERMS_OF_Y] && i < t->kept[GR__TERMS_OF_Y].dim[2] &&
                           j < t->kept[GR__TERMS_OF_Y].dim[3];
            if (x_shown && k_shown && u_shown) continue;
            double x = (double)t->x[at->place[GR__TERMS_OF_X] + h * v->W + w];
            double u = t->u ? (double)t->u[at->place[GR__TERMS_OF_Y] + i * v->OW + j] : 0;
            if (of == GR__TERMS_OF_X && x_shown && !(k_shown && u_shown))
                rest[kept_place(t, of, at, h, w)] += k * u;
            if (of == GR__TERMS_OF_K && k_shown && !(x_shown && u_shown))
                rest[kept_place(t, of, at, p, q)] += x * u;
            if (of == GR__TERMS_OF_Y && u_shown && !(x_shown && k_shown))
                rest[kept_place(t, of, at, i, j)] += x * k;
        }
    }
}

/* Whether the planes of a tensor that are shown are shown whole. */
static bool whole(const gr__terms *t, gr__terms_target of)
{
    const gr__conv *v = &t->c;
    int64_t         h = of == GR__TERMS_OF_X   ? v->H
                        : of == GR__TERMS_OF_K ? v->KH
                                               : v->OH,
            w = of == GR__TERMS_OF_X   ? v->W
                : of == GR__TERMS_OF_K ? v->KW
                                       : v->OW;
    return t->kept[of].dim[2] == h && t->kept[of].dim[3] == w;
}

bool gr__terms_whole(const gr__terms *t, gr__terms_target of)
{
    const gr__conv *v = &t->c;
    const gr_shape *x = &t->kept[GR__TERMS_OF_X], *k = &t->kept[GR__TERMS_OF_K],
                   *u = &t->kept[GR__TERMS_OF_Y];
    bool planes = whole(t, GR__TERMS_OF_X) && whole(t, GR__TERMS_OF_K) && whole(t, GR__TERMS_OF_Y),
         channels = x->dim[1] == v->C && k->dim[1] == v->C / v->G;
    bool filters = k->dim[0] == v->F && u->dim[1] == v->F,
         images = x->dim[0] == v->N && u->dim[0] == v->N;
    if (!planes) return false;
    return of == GR__TERMS_OF_X   ? filters && u->dim[0] >= x->dim[0] && k->dim[1] == v->C / v->G
           : of == GR__TERMS_OF_K ? images && x->dim[1] == v->C && u->dim[1] >= k->dim[0]
                                  : channels && x->dim[0] >= u->dim[0] && k->dim[0] >= u->dim[1];
}

void gr__terms_rest(const gr__terms *t, gr__terms_target of, double *rest)
{
    const gr__conv *v = &t->c;
    bool planes = whole(t, GR__TERMS_OF_X) && whole(t, GR__TERMS_OF_K) && whole(t, GR__TERMS_OF_Y);
    for (int64_t i = gr__count(&t->kept[of]); i-- > 0;) rest[i] = 0;
    for (int64_t n = 0; n < v->N; n++)
        for (int64_t f = 0; f < v->F; f++)
            for (int64_t c = 0; c < v->C / v->G; c++) {
                plane at = plane_at(t, n, f, c);
                if (!at.shown[of] || (planes && at.shown[0] && at.shown[1] && at.shown[2]))
                    continue;
                for (int64_t p = 0; p < v->KH; p++)
                    for (int64_t q = 0; q < v->KW; q++) add_entry(t, of, &at, p, q, rest);
            }
}
