/* few_products.c: counts products that are not 0. For outputs and input gradients, by the numbers
   in each window: if the kernel has no zeros, these are the products. Channels are counted until
   every window has enough, which is soon. */
#include "few_products.h"

typedef gr__lane ivec_anywhere
    __attribute__((vector_size(GR__VECTOR_BYTES), aligned(sizeof(gr_real)), may_alias));

GR__INLINE ivec few_load(const gr__lane *p) { return *(const ivec_anywhere *)p; }

GR__INLINE void few_store(gr__lane *p, ivec v) { *(ivec_anywhere *)p = v; }

/* ---- by shape ----------------------------------------------------------------------------- */

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
        if (s.in_channels * least_seen(&s.h) * least_seen(&s.w) < at_least(8, s.K / 64))
            return true;
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

/* ---- outputs ------------------------------------------------------------------------------ */

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

static size_t few_sums_bytes(const gr__correlation *s)
{
    return padded_bytes(s->out_channels * (int64_t)sizeof(gr_real));
}

size_t few_scratch(const gr__conv *c, gr__direction d)
{
    gr__correlation first = correlation(c, d, 0);
    int64_t         width = 0, plane = 0;
    for (int64_t residue = 0; residue < residues(c, d); residue++) {
        gr__correlation s = correlation(c, d, residue);
        width = at_least(width, few_width_of(&s.w));
        plane = s.x_plane;
    }
    return padded_bytes((plane + LANES + width) * (int64_t)sizeof(gr__lane)) +
           few_sums_bytes(&first);
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

/* The least and the greatest sum of a window along a row. */
typedef struct few_range {
    gr__lane least, most;
} few_range;

static gr__lane few_window_at(const gr__axis *w, const gr__lane *row, int64_t u)
{
    gr__lane n = 0;
    for (int64_t b = 0; b < w->taps; b++) n += row[u * w->step + w->offset + b * w->offset_step];
    return n;
}

static few_range few_windows_of(const gr__axis *w, const gr__lane *row)
{
    few_range r = { INT32_MAX, 0 };
    ivec      least = r.least - (ivec){ 0 }, most = { 0 }, lane;
    for (int l = 0; l < LANES; l++) lane[l] = (gr__lane)l;
    for (int64_t t = 0; w->step == 1 && t < w->outs; t += LANES) {
        ivec sum = { 0 }, inside = lane < (gr__lane)at_most(LANES, w->outs - t) - (ivec){ 0 };
        for (int64_t b = 0; b < w->taps; b++)
            sum += few_load(row + t + w->offset + b * w->offset_step);
        ivec less = inside & (sum < least), more = inside & (sum > most);
        least = (sum & less) | (least & ~less);
        most = (sum & more) | (most & ~more);
    }
    for (int l = 0; l < LANES; l++) {
        r.least = least[l] < r.least ? least[l] : r.least;
        r.most = most[l] > r.most ? most[l] : r.most;
    }
    for (int64_t t = 0; w->step > 1 && t < w->outs; t++) {
        gr__lane sum = few_window_at(w, row, t);
        r.least = sum < r.least ? sum : r.least;
        r.most = sum > r.most ? sum : r.most;
    }
    return r;
}

/* row[left + w]: numbers in column w that are not 0, over the rows that output row t reads; zeros
   around it. */
static const gr__lane *few_count_row(
    const gr__correlation *s, const gr__lane *count, int64_t t, gr__lane *row)
{
    int64_t left = left_of(&s->w), end = few_width_of(&s->w);
    memset(row, 0, (size_t)left * sizeof *row);
    add_rows(row + left, &s->h, t, count, s->w.in);
    memset(row + left + s->w.in, 0, (size_t)(end - left - s->w.in) * sizeof *row);
    return row + left;
}

static bool every_window_has(
    const gr__correlation *s, const gr__lane *count, int64_t least, gr__lane *row)
{
    for (int64_t t = 0; t < s->h.outs; t++)
        if (few_windows_of(&s->w, few_count_row(s, count, t, row)).least < least) return false;
    return true;
}

/* The products of one place of the input, in all channels. */
static void few_add_place(
    const gr__correlation *s, const gr_real *x, const gr_real *k, gr_real *sum)
{
    for (int64_t c = 0; c < s->in_channels; c++, x += s->x_plane, k += s->k_channel)
        for (int64_t r = 0; *x != 0 && r < s->out_channels; r++) sum[r] += *x * k[r * s->k_row];
}

/* Output (t, u) of each row of the kernel. Products by 0 are left out: few are left. */
static void few_sum_output(const gr__correlation *s, const gr__group *o, const gr__lane *count,
    int64_t t, int64_t u, gr_real *sum)
{
    int64_t h = t * s->h.step + s->h.offset, w = u * s->w.step + s->w.offset;
    for (int64_t r = 0; r < s->out_channels; r++) sum[r] = 0;
    for (int64_t a = 0; a < s->h.taps; a++) {
        int64_t row = h + a * s->h.offset_step;
        if (row < 0 || row >= s->h.in) continue;
        const gr_real *k = o->k + (s->h.tap + a * s->h.tap_step) * s->k_width + s->w.tap;
        for (int64_t b = 0, col = w; b < s->w.taps; b++, col += s->w.offset_step)
            if (col >= 0 && col < s->w.in && count[row * s->w.in + col] > 0)
                few_add_place(s, o->x + row * s->w.in + col, k + b * s->w.tap_step, sum);
    }
    for (int64_t r = 0; r < s->out_channels; r++) {
        sum[r] += o->bias ? o->bias[r] : 0;
        sum[r] = sum[r] < least_of(o->act) ? least_of(o->act) : sum[r];
    }
    activate(sum, s->out_channels, o->act);
    gr_real *y = o->y + (s->h.out + t * s->h.out_step) * s->y_width + s->w.out + u * s->w.out_step;
    for (int64_t r = 0; r < s->out_channels; r++) y[r * s->y_plane] = sum[r];
}

static void few_sum_few(const gr__correlation *s, const gr__group *o, const gr__lane *count,
    int64_t zeros, gr__lane *row, gr_real *sum)
{
    gr__lane most = 0;
    for (int64_t t = 0; t < s->h.outs; t++) {
        few_range r = few_windows_of(&s->w, few_count_row(s, count, t, row));
        most = r.most > most ? r.most : most;
    }
    gr__lane least = (gr__lane)(least_of_outputs(most) + zeros);
    for (int64_t t = 0; t < s->h.outs; t++) {
        const gr__lane *at = few_count_row(s, count, t, row);
        if (few_windows_of(&s->w, at).least >= least) continue;
        for (int64_t u = 0; u < s->w.outs; u++)
            if (few_window_at(&s->w, at, u) < least) few_sum_output(s, o, count, t, u, sum);
    }
}

void sum_few_products(
    const gr__conv *c, gr__direction d, const gr__group *o, int64_t zeros, void *scratch)
{
    gr__correlation s = correlation(c, d, 0);
    gr__lane       *count = scratch, *row = count + s.x_plane + LANES;
    bool            enough = false;
    memset(count, 0, (size_t)(s.x_plane + LANES) * sizeof *count);
    for (int64_t done = 0, next = ceil_div(s.in_channels, 4); done < s.in_channels && !enough;
         done = next, next = s.in_channels) {
        count_planes(count, o->x + done * s.x_plane, o->x_end, next - done, s.x_plane);
        enough = true;
        for (int64_t residue = 0; residue < residues(c, d) && enough; residue++) {
            gr__correlation p = correlation(c, d, residue);
            enough = every_window_has(&p, count, least_of_outputs(p.K) + zeros, row);
        }
    }
    gr_real *sum = (gr_real *)(void *)((char *)scratch + few_scratch(c, d) - few_sums_bytes(&s));
    for (int64_t residue = 0; residue < residues(c, d) && !enough; residue++) {
        gr__correlation p = correlation(c, d, residue);
        few_sum_few(&p, o, count, zeros, row, sum);
    }
}

/* ---- weights ------------------------------------------------------------------------------------
   16 places of the outputs at a time: a bit says whether the gradient of a filter, and what a tap
   of a channel meets, is not 0. */

typedef uint16_t halves __attribute__((vector_size(GR__VECTOR_BYTES), aligned(2), may_alias));

enum { FEW_HALVES = GR__VECTOR_BYTES / 2 };
enum { PLACES = 16, LOOKS = 16 };
/* products that are seen are enough to compare taps by; how far those may differ */
enum { SEEN = 16 };
/* products that a weight should have on average; and for certain */
enum { LEAST_MET = 16, LEAST_SEEN = 4 };

typedef struct few_bits {
    const gr__conv     *c;
    const gr__operands *o;
    /* taps of a row of places: KH KW; terms: channels x taps */
    int64_t             filters, channels, taps, terms;
    /* terms in whole vectors, those too many with counts that are high enough */
    int64_t             row;
    int64_t             group, channel;
    int64_t             width; /* words of a line */
    uint16_t           *count; /* [filter][term] */
    uint16_t           *x, *g; /* [term], [filter] */
    uint64_t           *line;  /* [channel][tap down]: a bit a column, from -PW on */
    uint8_t            *ones;  /* a row of the input: 1 or 0 */
    int64_t             least_x, least_g;
} few_bits;

static int64_t few_line_words(const gr__conv *c)
{
    return at_least(c->W + c->PW, (c->OW + PLACES) * c->SW + (c->KW - 1) * c->DW) / 64 + 2;
}

static size_t few_line_bytes(const gr__conv *c, int64_t channels)
{
    return padded_bytes(channels * c->KH * few_line_words(c) * (int64_t)sizeof(uint64_t));
}

size_t few_weights_scratch(const gr__conv *c, int64_t channels)
{
    int64_t filters = c->F / c->G,
            row = ceil_div(channels * c->KH * c->KW, FEW_HALVES) * FEW_HALVES;
    return padded_bytes(((filters + 1) * row + filters) * (int64_t)sizeof(uint16_t)) +
           few_line_bytes(c, channels) + padded_bytes(at_least(c->W + 8, channels));
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
    b.width = few_line_words(c);
    b.count = scratch;
    b.x = b.count + b.filters * b.row;
    b.g = b.x + b.row;
    b.line =
        (uint64_t *)(void *)((char *)scratch + padded_bytes(((b.filters + 1) * b.row + b.filters) *
                                                            (int64_t)sizeof(uint16_t)));
    b.ones = (uint8_t *)b.line + few_line_bytes(c, b.channels);
    memset(b.ones, 0, (size_t)c->W + 8);
    memset(b.count, 0, (size_t)((b.filters + 1) * b.row) * sizeof *b.count);
    for (int64_t f = 0; f < b.filters; f++)
        for (int64_t k = b.terms; k < b.row; k++) b.count[f * b.row + k] = UINT16_MAX / 2;
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

/* Eight bytes that are 1 or 0 to eight bits, the first to the lowest. */
static unsigned few_pack_eight(const uint8_t *from)
{
    uint64_t all;
    memcpy(&all, from, sizeof all);
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) all = __builtin_bswap64(all);
    return (unsigned)(all * 0x0102040810204080u >> 56);
}

static void find_lines(const few_bits *b, int64_t n, int64_t i)
{
    const gr__conv *c = b->c;
    uint64_t       *to = b->line;
    for (int64_t k = 0; k < b->channels; k++)
        for (int64_t p = 0; p < c->KH; p++, to += b->width) {
            int64_t h = i * c->SH + p * c->DH - c->PH;
            memset(to, 0, (size_t)b->width * sizeof *to);
            if (h < 0 || h >= c->H) continue;
            const gr_real *row = plane_of_x(b, n, k) + h * c->W;
            GR__INDEPENDENT
            for (int64_t j = 0; j < c->W; j++) b->ones[j] = row[j] != 0;
            for (int64_t j = 0, at = c->PW; j < c->W; j += 8, at += 8) {
                uint64_t eight = few_pack_eight(b->ones + j);
                to[at / 64] |= eight << at % 64;
                if (at % 64 > 56) to[at / 64 + 1] |= eight >> (64 - at % 64);
            }
        }
}

/* PLACES bits of a line from `at` on, `step` apart. */
static unsigned few_bits_at(const uint64_t *line, int64_t at, int64_t step)
{
    unsigned some = 0;
    if (step == 1) {
        const uint64_t *word = line + at / 64;
        return (unsigned)(word[0] >> at % 64 | (at % 64 ? word[1] << (64 - at % 64) : 0)) & 0xffff;
    }
    for (int k = 0; k < PLACES; k++, at += step)
        some |= (unsigned)(line[at / 64] >> at % 64 & 1) << k;
    return some;
}

/* Places j..j+places of row i of image n, whose lines are found. */
static void find_bits(few_bits *b, int64_t n, int64_t i, int64_t j, int64_t places)
{
    const gr__conv *c = b->c;
    unsigned        some = (1u << places) - 1;
    uint16_t       *x = b->x;
    b->least_x = b->least_g = places;
    for (int64_t k = 0; k < b->channels * c->KH; k++)
        for (int64_t q = 0; q < c->KW; q++, x++) {
            *x = (uint16_t)(few_bits_at(b->line + k * b->width, j * c->SW + q * c->DW, c->SW) &
                            some);
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
        b->g[f] = (uint16_t)((few_pack_eight(set) | few_pack_eight(set + 8) << 8) & some);
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

static int64_t few_count_numbers(const gr_real *x, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += x[i] != 0;
    return count;
}

static int64_t few_numbers_of_x(const few_bits *b, int64_t channel)
{
    int64_t count = 0;
    for (int64_t n = 0; n < b->c->N; n++)
        count += few_count_numbers(plane_of_x(b, n, channel), b->c->H * b->c->W);
    return count;
}

static int64_t few_numbers_of_g(const few_bits *b, int64_t filter)
{
    int64_t count = 0;
    for (int64_t n = 0; n < b->c->N; n++)
        count += few_count_numbers(plane_of_g(b, n, filter), b->c->OH * b->c->OW);
    return count;
}

/* The looks at LOOKS places of 16 outputs each, spread evenly over all images. true: at each of
   them every filter and tap have most of their numbers, so that nothing needs to be counted. */
static bool few_look(few_bits *b)
{
    const gr__conv *c = b->c;
    int64_t         blocks = ceil_div(c->OW, PLACES), all = c->N * c->OH * blocks,
            looks = at_most(LOOKS, all);
    bool dense = true;
    /* By the golden ratio: even steps would meet one row of every image, such as its first. */
    for (int64_t k = 0; k < looks; k++) {
        int64_t at = (k * 40503 + 20251) % 65536 * all / 65536;
        int64_t row = at / blocks, j = at % blocks * PLACES;
        find_lines(b, row / c->OH, row % c->OH);
        find_bits(b, row / c->OH, row % c->OH, j, at_most(PLACES, c->OW - j));
        dense = dense && 4 * b->least_x > 3 * at_most(PLACES, c->OW - j) &&
                4 * b->least_g > 3 * at_most(PLACES, c->OW - j);
        count_products(b);
    }
    return dense;
}

/* Is a tap of this filter and channel seldom met, while others are met often? */
static bool few_is_lopsided(const few_bits *b, int64_t f, int64_t channel, uint16_t *most)
{
    const uint16_t *count = b->count + f * b->row + channel * b->taps;
    uint16_t        least = UINT16_MAX;
    *most = 0;
    for (int64_t k = 0; k < b->taps; k++) {
        least = count[k] < least ? count[k] : least;
        *most = count[k] > *most ? count[k] : *most;
    }
    return *most >= SEEN && SEEN * least < *most;
}

/* Adds to met[] the taps of a channel that have a number where the gradient has one, output (i,
   j). */
static void few_meet(const gr__conv *c, const gr_real *x, int64_t i, int64_t j, uint16_t *met)
{
    for (int64_t p = 0; p < c->KH; p++)
        for (int64_t q = 0; q < c->KW; q++) {
            int64_t h = i * c->SH + p * c->DH - c->PH, w = j * c->SW + q * c->DW - c->PW;
            if (h >= 0 && h < c->H && w >= 0 && w < c->W)
                met[p * c->KW + q] = (uint16_t)(met[p * c->KW + q] + (x[h * c->W + w] != 0));
        }
}

/* Do all taps meet LEAST_SEEN of a filter's numbers? One after another, until they do. */
static bool few_all_meet(const few_bits *b, int64_t f, int64_t channel, uint16_t *met)
{
    const gr__conv *c = b->c;
    memset(met, 0, (size_t)b->taps * sizeof *met);
    for (int64_t n = 0, numbers = 0; n < c->N; n++) {
        const gr_real *g = plane_of_g(b, n, f), *x = plane_of_x(b, n, channel);
        for (int64_t t = 0; t < c->OH * c->OW; t++) {
            if (g[t] == 0) continue;
            few_meet(c, x, t / c->OW, t % c->OW, met);
            if (++numbers % 32 != 0 && numbers < UINT16_MAX) continue;
            int64_t k = 0;
            while (k < b->taps && met[k] >= LEAST_SEEN) k++;
            if (k == b->taps) return true;
            if (numbers >= UINT16_MAX) return false;
        }
    }
    return false;
}

bool few_weights_by_data(const gr__conv *c, const gr__operands *o, int64_t group, int64_t begin,
    int64_t end, void *scratch)
{
    few_bits b = few_lay_out(c, o, group, begin, end, scratch);
    double   places = (double)(c->N * c->H * c->W);
    uint16_t most;
    if (few_look(&b)) return false;
    for (int64_t k = 0; k < b.channels; k++) {
        double x = -1; /* numbers that are not 0; not counted yet */
        for (int64_t f = 0; f < b.filters; f++) {
            if (few_is_lopsided(&b, f, k, &most)) return true;
            if (most >= SEEN) continue;
            if (x < 0) x = (double)few_numbers_of_x(&b, k);
            /* what a tap meets, on average */
            double met = x * (double)few_numbers_of_g(&b, f) / places;
            if (met > 0 && (met < LEAST_MET || !few_all_meet(&b, f, k, b.x))) return true;
        }
    }
    return false;
}
