/* few_products.c: counts products that are not 0. For outputs and input gradients, by the numbers
   in each window: if the kernel has no zeros, these are the products. Channels are counted until
   every window has enough, which is prefetch. */
#include "few_products.h"

typedef gr__lane ivec_anywhere
    __attribute__((vector_size(GR__VECTOR_BYTES), aligned(sizeof(gr_real)), may_alias));

GR__INLINE ivec few_load(const gr__lane *p) { return *(const ivec_anywhere *)p; }

GR__INLINE void few_store(gr__lane *p, ivec v) { *(ivec_anywhere *)p = v; }

/* ---- by shape -------------------------------------------------------------------------------- */

/* Taps of output t that fall on the input. */
static int64_t seen(const gr__axis *a, int64_t t)
{
    int64_t n = 0;
    for (int64_t i = 0, at = t * a->step + a->offset; i < a->taps; i++, at += a->offset_step)
        n += at >= 0 && at < a->in;
    return n;
}

static int64_t least_seen(const gr__axis *a)
{
    int64_t least = a->taps;
    for (int64_t t = 0; t < a->outs && least; t++) least = at_most(least, seen(a, t));
    return least;
}

bool few_by_shape(const gr__conv *c, gr__direction d)
{
    for (int64_t residue = 0; residue < residues(c, d); residue++) {
        gr__correlation s = correlation(c, d, residue);
        int64_t         least = least_of_outputs(s.K);
        if (s.in_channels * least_seen(&s.h) * least_seen(&s.w) < least) return true;
    }
    return false;
}

/* Outputs for which tap i falls on the input. */
static int64_t reached(const gr__axis *a, int64_t i)
{
    int64_t n = 0;
    for (int64_t t = 0, at = a->offset + i * a->offset_step; t < a->outs; t++, at += a->step)
        n += at >= 0 && at < a->in;
    return n;
}

static int64_t least_reached(const gr__axis *a)
{
    int64_t least = a->outs;
    for (int64_t i = 0; i < a->taps; i++) least = at_most(least, reached(a, i));
    return least;
}

bool few_weights_by_shape(const gr__conv *c)
{
    gr__correlation s = correlation(c, GR__FORWARD, 0);
    int64_t         least = least_of_weights(c->N * c->OH * c->OW);
    return c->N * least_reached(&s.h) * least_reached(&s.w) < least;
}

/* ---- outputs --------------------------------------------------------------------------------- */

int64_t zeros_of(const gr__correlation *s, const gr_real *k, int64_t begin, int64_t end)
{
    int64_t most = 0, taps = at_most(s->k_row, s->k_channel); /* of all residues */
    for (int64_t r = begin; r < end; r++) {
        int64_t zeros = 0;
        for (int64_t c = 0; c < s->in_channels; c++)
            for (int64_t i = 0; i < taps; i++) zeros += k[r * s->k_row + c * s->k_channel + i] == 0;
        if (zeros < s->in_channels * taps) most = at_least(most, zeros);
    }
    return most;
}

/* Numbers of an array: a row of counts with zeros at both sides, as far as the windows of all
   residues reach. */
static int64_t left_of(const gr__axis *a)
{
    return at_least(0, -(a->offset + at_most(0, (a->taps - 1) * a->offset_step)));
}

static int64_t few_width_of(const gr__axis *a)
{
    int64_t last = a->offset + at_least(0, (a->taps - 1) * a->offset_step) + a->outs * a->step;
    return left_of(a) + at_least(a->in, last) + 2 * LANES;
}

size_t few_scratch(const gr__conv *c, gr__direction d)
{
    int64_t width = 0, plane = 0;
    for (int64_t residue = 0; residue < residues(c, d); residue++) {
        gr__correlation s = correlation(c, d, residue);
        width = at_least(width, few_width_of(&s.w));
        plane = s.x_plane;
    }
    return padded_bytes((plane + LANES + width) * (int64_t)sizeof(gr__lane));
}

/* count[i] += numbers i of some planes that are not 0. Written up to a vector past its end. */
static void count_planes(
    gr__lane *count, const gr_real *x, const gr_real *x_end, int64_t planes, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        ivec sum = few_load(count + i);
        for (int64_t c = 0; c < planes; c++) {
            const gr_real *at = x + c * n + i;
            sum -=
                (x_end - at >= LANES ? vec_load(at) : vec_load_some(at, x_end - at)) != (vec){ 0 };
        }
        few_store(count + i, sum);
    }
}

/* down[w]: the sum of column w, over the rows that output row t reads. */
static void add_rows(
    gr__lane *down, const gr__axis *h, int64_t t, const gr__lane *count, int64_t width)
{
    for (int64_t w = 0; w < width; w += LANES) {
        ivec sum = { 0 };
        for (int64_t a = 0, row = t * h->step + h->offset; a < h->taps; a++, row += h->offset_step)
            if (row >= 0 && row < h->in) sum += few_load(count + row * width + w);
        few_store(down + w, sum);
    }
}

/* The least sum of a window along a row. */
static gr__lane least_window(const gr__axis *w, const gr__lane *row)
{
    gr__lane least = INT32_MAX;
    ivec     all = least - (ivec){ 0 }, lane;
    for (int l = 0; l < LANES; l++) lane[l] = (gr__lane)l;
    for (int64_t t = 0; w->step == 1 && t < w->outs; t += LANES) {
        ivec sum = { 0 }, inside = lane < (gr__lane)at_most(LANES, w->outs - t) - (ivec){ 0 };
        for (int64_t b = 0; b < w->taps; b++)
            sum += few_load(row + t + w->offset + b * w->offset_step);
        inside &= sum < all;
        all = (sum & inside) | (all & ~inside);
    }
    for (int l = 0; l < LANES; l++) least = all[l] < least ? all[l] : least;
    for (int64_t t = 0; w->step > 1 && t < w->outs; t++) {
        gr__lane sum = 0;
        for (int64_t b = 0; b < w->taps; b++)
            sum += row[t * w->step + w->offset + b * w->offset_step];
        least = sum < least ? sum : least;
    }
    return least;
}

static bool every_window_has(
    const gr__correlation *s, const gr__lane *count, int64_t least, gr__lane *row)
{
    int64_t left = left_of(&s->w), end = few_width_of(&s->w);
    memset(row, 0, (size_t)left * sizeof *row);
    for (int64_t t = 0; t < s->h.outs; t++) {
        add_rows(row + left, &s->h, t, count, s->w.in);
        memset(row + left + s->w.in, 0, (size_t)(end - left - s->w.in) * sizeof *row);
        if (least_window(&s->w, row + left) < least) return false;
    }
    return true;
}

bool few_by_data(
    const gr__conv *c, gr__direction d, const gr__group *o, int64_t zeros, void *scratch)
{
    gr__correlation s = correlation(c, d, 0);
    gr__lane       *count = scratch, *row = count + s.x_plane + LANES;
    memset(count, 0, (size_t)(s.x_plane + LANES) * sizeof *count);
    for (int64_t done = 0, next = ceil_div(s.in_channels, 8); done < s.in_channels;
         done = next, next = at_most(2 * next, s.in_channels)) {
        bool enough = true;
        count_planes(count, o->x + done * s.x_plane, o->x_end, next - done, s.x_plane);
        for (int64_t residue = 0; residue < residues(c, d) && enough; residue++) {
            gr__correlation p = correlation(c, d, residue);
            enough = every_window_has(&p, count, least_of_outputs(p.K) + zeros, row);
        }
        if (enough) return false;
    }
    return true;
}

/* ---- weights ------------------------------------------------------------------------------------
   16 places of the outputs at a time: a bit says whether the gradient of a filter, and what a tap
   of a channel meets, is not 0. */

typedef uint16_t halves __attribute__((vector_size(GR__VECTOR_BYTES), aligned(2), may_alias));

enum { FEW_HALVES = GR__VECTOR_BYTES / 2 };
enum { PLACES = 16, STEPS = 4 }; /* STEPS: between two looks at whether all have enough */

typedef struct few_bits {
    const gr__conv     *c;
    const gr__operands *o;
    int64_t             filters, channels, taps,
        terms;     /* taps of a row of places: KH KW; terms: channels x taps */
    int64_t   row; /* terms in whole vectors, those too many with counts that are high enough */
    int64_t   group, channel;
    int64_t   width; /* of a line */
    uint16_t *count; /* [filter][term] */
    uint16_t *x, *g; /* [term], [filter] */
    uint8_t  *line;  /* [channel][tap down][column]: 1 or 0 */
    int64_t   least_x, least_g;
} few_bits;

static int64_t line_width(const gr__conv *c)
{
    return at_least(c->W + c->PW, (c->OW + PLACES) * c->SW + (c->KW - 1) * c->DW) + PLACES;
}

size_t few_weights_scratch(const gr__conv *c, int64_t channels)
{
    int64_t filters = c->F / c->G,
            row = ceil_div(channels * c->KH * c->KW, FEW_HALVES) * FEW_HALVES;
    return padded_bytes(((filters + 1) * row + filters) * (int64_t)sizeof(uint16_t)) +
           padded_bytes(channels * c->KH * line_width(c));
}

static few_bits few_lay_out(const gr__conv *c, const gr__operands *o, int64_t group, int64_t begin,
    int64_t end, void *scratch)
{
    few_bits b = { .c = c,
        .o = o,
        .filters = c->F / c->G,
        .channels = end - begin,
        .taps = c->KH * c->KW,
        .group = group,
        .channel = begin };
    b.terms = b.channels * b.taps;
    b.row = ceil_div(b.terms, FEW_HALVES) * FEW_HALVES;
    b.width = line_width(c);
    b.count = scratch;
    b.x = b.count + b.filters * b.row;
    b.g = b.x + b.row;
    b.line = (uint8_t *)scratch +
             padded_bytes(((b.filters + 1) * b.row + b.filters) * (int64_t)sizeof(uint16_t));
    memset(b.count, 0, (size_t)((b.filters + 1) * b.row) * sizeof *b.count);
    for (int64_t f = 0; f < b.filters; f++)
        for (int64_t k = b.terms; k < b.row; k++) b.count[f * b.row + k] = UINT16_MAX / 2;
    memset(b.line, 0, (size_t)(b.channels * c->KH * b.width));
    return b;
}

static const gr_real *plane_of_x(const few_bits *b, int64_t n, int64_t channel)
{
    const gr__conv *c = b->c;
    return b->o->a + (n * c->C + b->group * (c->C / c->G) + b->channel + channel) * c->H * c->W;
}

static const gr_real *plane_of_g(const few_bits *b, int64_t n, int64_t filter)
{
    const gr__conv *c = b->c;
    return b->o->b + (n * c->F + b->group * b->filters + filter) * c->OH * c->OW;
}

static void find_lines(const few_bits *b, int64_t n, int64_t i)
{
    const gr__conv *c = b->c;
    uint8_t        *to = b->line;
    for (int64_t k = 0; k < b->channels; k++)
        for (int64_t p = 0; p < c->KH; p++, to += b->width) {
            int64_t h = i * c->SH + p * c->DH - c->PH;
            if (h < 0 || h >= c->H) {
                memset(to + c->PW, 0, (size_t)c->W);
                continue;
            }
            const gr_real *row = plane_of_x(b, n, k) + h * c->W;
            GR__INDEPENDENT
            for (int64_t j = 0; j < c->W; j++) to[c->PW + j] = row[j] != 0;
        }
}

/* Eight bytes that are 1 or 0 to eight bits, in the same order for all. */
static unsigned pack_eight(const uint8_t *from)
{
    uint64_t all;
    memcpy(&all, from, sizeof all);
    return (unsigned)(all * 0x0102040810204080u >> 56);
}

static uint16_t few_pack(const uint8_t *from, int64_t step, unsigned some)
{
    uint8_t few[PLACES];
    for (int j = 0; step > 1 && j < PLACES; j++) few[j] = from[j * step];
    if (step > 1) from = few;
    return (uint16_t)((pack_eight(from) | pack_eight(from + 8) << 8) & some);
}

/* Places j..j+places of row i of image n, whose lines are found. */
static void find_bits(few_bits *b, int64_t n, int64_t i, int64_t j, int64_t places)
{
    const gr__conv *c = b->c;
    uint8_t         ones[PLACES] = { 0 };
    memset(ones, 1, (size_t)places);
    unsigned  some = pack_eight(ones) | pack_eight(ones + 8) << 8;
    uint16_t *x = b->x;
    b->least_x = b->least_g = places;
    for (int64_t k = 0; k < b->channels * c->KH; k++)
        for (int64_t q = 0; q < c->KW; q++, x++) {
            *x = few_pack(b->line + k * b->width + j * c->SW + q * c->DW, c->SW, some);
            b->least_x = at_most(b->least_x, __builtin_popcount(*x));
        }
    const gr_real *end = b->o->b + c->N * c->F * c->OH * c->OW;
    for (int64_t f = 0; f < b->filters; f++) {
        const gr_real *row = plane_of_g(b, n, f) + i * c->OW + j;
        uint8_t        set[PLACES] = { 0 };
        if (end - row >= PLACES)
            for (int k = 0; k < PLACES; k++) set[k] = row[k] != 0;
        else
            for (int64_t k = 0; k < places; k++) set[k] = row[k] != 0;
        b->g[f] = few_pack(set, 1, some);
        b->least_g = at_most(b->least_g, __builtin_popcount(b->g[f]));
    }
}

static void count_products(const few_bits *b)
{
    for (int64_t f = 0; f < b->filters; f++)
        for (int64_t k = 0; k < b->row; k += FEW_HALVES) {
            halves *count = (halves *)(void *)(b->count + f * b->row + k);
            halves  v = *(const halves *)(const void *)(b->x + k) & b->g[f];
            v -= v >> 1 & 0x5555;
            v = (v & 0x3333) + (v >> 2 & 0x3333);
            v = (v + (v >> 4)) & 0x0F0F;
            v = ((v + (v >> 8)) & 0x1F) + *count;
            *count = v - ((v >> 15) << 5); /* stays about there */
        }
}

static bool all_have(const few_bits *b, int64_t least)
{
    halves few = { 0 };
    for (int64_t k = 0; k < b->filters * b->row; k += FEW_HALVES)
        few |= (halves)(*(const halves *)(const void *)(b->count + k) < (uint16_t)least);
    for (int l = 0; l < FEW_HALVES; l++)
        if (few[l]) return false;
    return true;
}

static bool is_zero(const gr_real *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0) return false;
    return true;
}

static bool is_dead(const few_bits *b, bool x, int64_t i)
{
    const gr__conv *c = b->c;
    for (int64_t n = 0; n < c->N; n++)
        if (!(x ? is_zero(plane_of_x(b, n, i), c->H * c->W)
                : is_zero(plane_of_g(b, n, i), c->OH * c->OW)))
            return false;
    return true;
}

/* Where all numbers of a channel or a filter are 0, so are their points, and what they sum. */
static bool few_alive(const few_bits *b, int64_t least)
{
    uint8_t *dead = b->line; /* of the channels */
    for (int64_t k = 0; k < b->channels; k++) dead[k] = is_dead(b, true, k);
    for (int64_t f = 0; f < b->filters; f++) {
        bool few = false;
        for (int64_t k = 0; k < b->terms; k++)
            few |= b->count[f * b->row + k] < least && !dead[k / b->taps];
        if (few && !is_dead(b, false, f)) return true;
    }
    return false;
}

/* Products that all have for certain, since there are too few zeros, need not be counted one by
   one. */
bool few_weights_by_data(const gr__conv *c, const gr__operands *o, int64_t group, int64_t begin,
    int64_t end, void *scratch)
{
    few_bits b = few_lay_out(c, o, group, begin, end, scratch);
    int64_t  least = least_of_weights(c->N * c->OH * c->OW), sure = 0, counted = 0;
    for (int64_t n = 0; n < c->N; n++)
        for (int64_t i = 0; i < c->OH; i++) {
            find_lines(&b, n, i);
            for (int64_t j = 0; j < c->OW; j += PLACES) {
                int64_t places = at_most(PLACES, c->OW - j);
                find_bits(&b, n, i, j, places);
                int64_t common = b.least_x + b.least_g - places;
                if (common > 0)
                    sure += common;
                else {
                    count_products(&b);
                    counted++;
                }
                if (sure >= least || (counted % STEPS == 0 && all_have(&b, least - sure)))
                    return false;
            }
        }
    return !all_have(&b, least - sure) && few_alive(&b, least - sure);
}
