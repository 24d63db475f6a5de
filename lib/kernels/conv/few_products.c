/* few_products.c: finds what has too few products, or too small ones. For outputs and input
   gradients, by the numbers that are not 0 in each window, less the zeros of the kernel: channels
   are counted until every window has enough, which is soon. For weights, by the sizes of the
   products of those that are small. */
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

/* Vectors of taps; those that many vectors apart are counted as one. */
enum { TAPS_APART = 256 / LANES };

/* Zeros of a row at each tap, over its channels. */
static int64_t zeros_of_row(const gr__correlation *s, const gr_real *k, int64_t taps)
{
    ivec    zeros[TAPS_APART] = { { 0 } }, lane;
    int64_t most = 0, all = 0;
    for (int l = 0; l < LANES; l++) lane[l] = (gr__lane)l;
    for (int64_t c = 0; c < s->in_channels; c++, k += s->k_channel)
        for (int64_t i = 0; i < taps; i += LANES) {
            int64_t some = at_most(LANES, taps - i);
            zeros[i / LANES % TAPS_APART] -=
                (vec_load_some(k + i, some) == 0) & (lane < (gr__lane)some - (ivec){ 0 });
        }
    for (int64_t i = 0; i < at_most(taps, TAPS_APART * LANES); i++) {
        most = at_least(most, zeros[i / LANES][i % LANES]);
        all += zeros[i / LANES][i % LANES];
    }
    return all < s->in_channels * taps ? most : 0;
}

int64_t zeros_of(const gr__correlation *s, const gr_real *k, int64_t begin, int64_t end)
{
    int64_t most = 0, taps = at_most(s->k_row, s->k_channel); /* of all residues */
    for (int64_t r = begin; r < end; r++)
        most = at_least(most, zeros_of_row(s, k + r * s->k_row, taps));
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

/* down[w]: the sum of column w, over the rows that output row t reads, of the numbers at each place
   that meet no zero of the kernel, in any of its rows. */
static void add_rows(
    gr__lane *down, const gr__correlation *s, int64_t t, const gr__lane *count, int64_t zeros)
{
    const gr__axis *h = &s->h;
    for (int64_t w = 0; w < s->w.in; w += LANES) {
        ivec sum = { 0 };
        for (int64_t a = 0, row = t * h->step + h->offset; a < h->taps; a++, row += h->offset_step)
            if (row >= 0 && row < h->in) {
                ivec met = few_load(count + row * s->w.in + w) - (gr__lane)zeros;
                sum += met & (met > 0);
            }
        few_store(down + w, sum);
    }
}

/* The least and the greatest sum of a window, in each lane. */
typedef struct few_range {
    ivec least, most;
} few_range;

/* That of no window. */
static few_range few_none(void)
{
    return (few_range){ .least = INT32_MAX - (ivec){ 0 }, .most = { 0 } };
}

static gr__lane few_window_at(const gr__axis *w, const gr__lane *row, int64_t u)
{
    gr__lane n = 0;
    for (int64_t b = 0; b < w->taps; b++) n += row[u * w->step + w->offset + b * w->offset_step];
    return n;
}

/* Takes in the windows along a row. */
static void few_take(few_range *r, const gr__axis *w, const gr__lane *row)
{
    ivec lane;
    for (int l = 0; l < LANES; l++) lane[l] = (gr__lane)l;
    for (int64_t t = 0; t < w->outs; t += LANES) {
        ivec sum = { 0 }, inside = lane < (gr__lane)at_most(LANES, w->outs - t) - (ivec){ 0 };
        if (w->step == 1)
            for (int64_t b = 0; b < w->taps; b++)
                sum += few_load(row + t + w->offset + b * w->offset_step);
        else
            for (int l = 0; l < at_most(LANES, w->outs - t); l++)
                sum[l] = few_window_at(w, row, t + l);
        ivec less = inside & (sum < r->least), more = inside & (sum > r->most);
        r->least = (sum & less) | (r->least & ~less);
        r->most = (sum & more) | (r->most & ~more);
    }
}

static gr__lane few_least(const few_range *r)
{
    gr__lane least = INT32_MAX;
    for (int l = 0; l < LANES; l++) least = r->least[l] < least ? r->least[l] : least;
    return least;
}

static gr__lane few_most(const few_range *r)
{
    gr__lane most = 0;
    for (int l = 0; l < LANES; l++) most = r->most[l] > most ? r->most[l] : most;
    return most;
}

/* row[left + w]: what add_rows() finds in column w; nothing around it. */
static const gr__lane *few_count_row(
    const gr__correlation *s, const gr__lane *count, int64_t zeros, int64_t t, gr__lane *row)
{
    int64_t left = left_of(&s->w), end = few_width_of(&s->w);
    memset(row, 0, (size_t)left * sizeof *row);
    add_rows(row + left, s, t, count, zeros);
    memset(row + left + s->w.in, 0, (size_t)(end - left - s->w.in) * sizeof *row);
    return row + left;
}

static few_range few_windows_of(
    const gr__correlation *s, const gr__lane *count, int64_t zeros, gr__lane *row)
{
    few_range r = few_none();
    for (int64_t t = 0; t < s->h.outs; t++)
        few_take(&r, &s->w, few_count_row(s, count, zeros, t, row));
    return r;
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
    few_range all = few_windows_of(s, count, zeros, row);
    gr__lane  least = (gr__lane)least_of_outputs(few_most(&all));
    for (int64_t t = 0; t < s->h.outs; t++) {
        const gr__lane *at = few_count_row(s, count, zeros, t, row);
        few_range       of_row = few_none();
        few_take(&of_row, &s->w, at);
        if (few_least(&of_row) >= least) continue;
        for (int64_t u = 0; u < s->w.outs; u++)
            if (few_window_at(&s->w, at, u) < least) few_sum_output(s, o, count, t, u, sum);
    }
}

few_shape few_shape_of(const gr__conv *c, gr__direction d, int64_t zeros)
{
    few_shape f = { c, d, correlation(c, d, 0), residues(c, d), zeros, 1, few_scratch(c, d) };
    for (int64_t residue = 0; residue < f.residues; residue++) {
        gr__correlation s = correlation(c, d, residue);
        int64_t         taps = at_least(1, least_seen(&s.h) * least_seen(&s.w));
        f.channels = at_least(f.channels, zeros + ceil_div(least_of_outputs(s.K), taps));
    }
    return f;
}

static gr__correlation few_residue(const few_shape *f, int64_t residue)
{
    return residue == 0 ? f->s : correlation(f->c, f->d, residue);
}

void sum_few_products(const few_shape *f, const gr__group *o, void *scratch)
{
    const gr__correlation *s = &f->s;
    gr__lane              *count = scratch, *row = count + s->x_plane + LANES;
    bool                   enough = false;
    memset(count, 0, (size_t)(s->x_plane + LANES) * sizeof *count);
    for (int64_t done = 0, next = f->channels; done < s->in_channels && !enough;
         done = next, next *= 2) {
        next = at_most(next, s->in_channels);
        count_planes(count, o->x + done * s->x_plane, o->x_end, next - done, s->x_plane);
        enough = true;
        for (int64_t residue = 0; residue < f->residues && enough; residue++) {
            gr__correlation p = few_residue(f, residue);
            few_range       r = few_windows_of(&p, count, f->zeros, row);
            enough = few_least(&r) >= least_of_outputs(p.K);
        }
    }
    gr_real *sum = (gr_real *)(void *)((char *)scratch + f->scratch - few_sums_bytes(s));
    for (int64_t residue = 0; residue < f->residues && !enough; residue++) {
        gr__correlation p = few_residue(f, residue);
        few_sum_few(&p, o, count, f->zeros, row, sum);
    }
}

/* ---- weights ------------------------------------------------------------------------------ */

enum { ROWS_BETWEEN = 8 }; /* between looks at the sum of sizes */

/* The places of the outputs, begin..end-1 of a row, at which tap b falls on the input. */
static gr__span row_met(const gr__conv *c, int64_t b)
{
    int64_t at = b * c->DW - c->PW, begin = at < 0 ? ceil_div(-at, c->SW) : 0;
    return (gr__span){ begin, at >= c->W ? 0 : at_most(c->OW, ceil_div(c->W - at, c->SW)) };
}

/* Sums of some products, and of their sizes, in each lane. */
typedef struct few_sum {
    vec sum, sizes;
} few_sum;

/* Adds those of g[j] and x[j step]. */
static void few_add(few_sum *s, const gr_real *g, const gr_real *x, int64_t step, int64_t n)
{
    for (int64_t j = 0; j < n; j += LANES) {
        int64_t some = at_most(LANES, n - j);
        vec     at_g = some < LANES ? vec_load_some(g + j, some) : vec_load(g + j), at_x = { 0 };
        if (step > 1)
            for (int l = 0; l < some; l++) at_x[l] = x[(j + l) * step];
        else
            at_x = some < LANES ? vec_load_some(x + j, some) : vec_load(x + j);
        vec product = at_g * at_x;
        s->sum += product;
        s->sizes += vec_choose(product < 0, -product, product);
    }
}

static gr_real few_all_lanes(vec v)
{
    gr_real sum = 0;
    for (int l = 0; l < LANES; l++) sum += v[l];
    return sum;
}

/* A weight's products, until their sizes sum to `enough`: row after row, from the middle of the
   first image, where it is soonest known. weight: of filter f, in its order. true: they do. */
static bool sum_weight(const gr__conv *c, const gr__operands *o, int64_t f, int64_t weight,
    gr_real enough, gr_real *sum)
{
    int64_t b = weight % c->KW, a = weight / c->KW % c->KH, rows = 0,
            channel = f / (c->F / c->G) * (c->C / c->G) + weight / c->KW / c->KH;
    gr__span met = row_met(c, b);
    few_sum  s = { { 0 }, { 0 } };
    for (int64_t n = 0; n < c->N && met.begin < met.end; n++) {
        const gr_real *x = o->a + (n * c->C + channel) * c->H * c->W,
                      *g = o->b + (n * c->F + f) * c->OH * c->OW;
        for (int64_t k = 0, i = c->OH / 2; k < c->OH; k++, i = i + 1 < c->OH ? i + 1 : 0) {
            int64_t h = i * c->SH + a * c->DH - c->PH;
            if (h < 0 || h >= c->H) continue;
            few_add(&s, g + i * c->OW + met.begin,
                x + h * c->W + met.begin * c->SW + b * c->DW - c->PW, c->SW, met.end - met.begin);
            if (++rows % ROWS_BETWEEN == 0 && few_all_lanes(s.sizes) >= enough) return true;
        }
    }
    *sum = few_all_lanes(s.sum);
    return few_all_lanes(s.sizes) >= enough;
}

/* What all weights of a filter have in common. */
typedef struct few_filter {
    const gr__conv     *c;
    const gr__operands *o;
    const gr_real      *scale; /* of its rows, `pieces` each */
    int64_t             f, pieces, begin, end;
} few_filter;

/* Sums those weights from `begin` on directly that are smaller than `small` of their points, and
   have too small products: how many. More than `most` are not summed. */
static int64_t mend_filter(const few_filter *w, gr_real small, int64_t most)
{
    const gr__conv *c = w->c;
    gr_real        *y = w->o->y + w->f * (c->C / c->G) * c->KH * c->KW, scale = 0, sum;
    int64_t         mended = 0;
    for (int64_t i = w->begin / c->KW * w->pieces; i < w->end / c->KW * w->pieces; i++)
        scale = w->scale[i] > scale ? w->scale[i] : scale;
    for (int64_t i = w->begin; i < w->end && mended <= most; i++) {
        gr_real size = y[i] < 0 ? -y[i] : y[i];
        if (!(size < scale * small)) continue;
        gr_real own = w->scale[i / c->KW * w->pieces + i % c->KW % w->pieces];
        if (!(size < own * small) || sum_weight(c, w->o, w->f, i, own * LEAST_SIZES, &sum))
            continue;
        y[i] = sum;
        mended++;
    }
    return mended;
}

bool mend_weights(const gr__conv *c, const gr__operands *o, const gr_real *scale, int64_t pieces,
    int64_t group, gr__span channels)
{
    int64_t filters = c->F / c->G, rows = c->C / c->G * c->KH, row = c->KH * c->KW,
            left = MOST_MENDED;
    for (int64_t f = group * filters; f < (group + 1) * filters && left >= 0; f++) {
        few_filter w = { c, o, scale + f * rows * pieces, f, pieces, channels.begin * row,
            channels.end * row };
        int64_t    some = mend_filter(&w, SMALL_WEIGHT, left);
        /* Numbers are sparse: others that are larger may have too few as well. */
        if (some) left -= some + mend_filter(&w, LEAST_SIZES, left - some);
    }
    return left >= 0;
}
