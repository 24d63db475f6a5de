/* micro.c: the two register blocks, one instance for each size of block, so that ragged edges waste
   no multiply. Invariant: the size of a block is a constant where it is compiled; its accumulators
   never leave the registers. */
#include "micro.h"
#include "table.h"

#include <math.h>

GR__INLINE int64_t micro_place_of(const gr__outer_block *s, const int j)
{
    return s->to ? s->to[j] : j * LANES;
}

GR__INLINE void outer_begin(
    const gr__outer_block *s, vec acc[ROWS][COLS], const int rows, const int cols)
{
    const gr_real *y = s->y;
    const int64_t  y_row = s->y_row;
    GR__UNROLL
    for (int i = 0; i < rows; i++) {
        vec start = s->bias ? vec_all(s->bias[i]) : (vec){ 0 };
        GR__UNROLL
        for (int j = 0; j < cols; j++)
            acc[i][j] = s->onto ? vec_load(y + i * y_row + micro_place_of(s, j)) : start;
    }
}

GR__INLINE void outer_end(
    const gr__outer_block *s, vec acc[ROWS][COLS], const int rows, const int cols)
{
    vec           least = vec_all(s->least);
    gr_real      *y = s->y;
    const int64_t y_row = s->y_row;
    GR__UNROLL
    for (int i = 0; i < rows; i++) {
        GR__UNROLL
        for (int j = 0; j < cols; j++)
            vec_store(y + i * y_row + micro_place_of(s, j),
                vec_choose(acc[i][j] < least, least, acc[i][j]));
    }
}

enum { LINES = (COLS * LANES + CACHE_LINE - 1) / CACHE_LINE }; /* of a run */
/* A step of narrower vectors is over before it has asked for a line: there all are asked for
   before, into the second cache. */
enum { PREFETCH_IN_STEPS = GR__VECTOR_BYTES >= 64 };

GR__INLINE void prefetch_line(const gr__prefetch *prefetch, uint64_t line)
{
    __builtin_prefetch(
        prefetch->run[line / LINES] + line % LINES * CACHE_LINE, 0, PREFETCH_IN_STEPS ? 3 : 2);
}

GR__INLINE void micro_outer_of_size(
    const gr__outer_block *s, const int rows, const int cols, const bool prefetching)
{
    vec            acc[ROWS][COLS], b[COLS];
    const gr_real *from[COLS];
    const uint64_t lines = prefetching ? (uint64_t)s->prefetch->runs * LINES : 0;
    /* The next line to ask for, and how far a step goes on, in 65536ths of a line. */
    uint64_t at = 0, pace = prefetching && PREFETCH_IN_STEPS ? (lines << 16) / (uint64_t)s->K : 0;
    for (uint64_t i = 0; !PREFETCH_IN_STEPS && i < lines; i++) prefetch_line(s->prefetch, i);
    GR__UNROLL
    for (int j = 0; j < cols; j++) from[j] = s->b[j];
    outer_begin(s, acc, rows, cols);
    const int64_t a_row = s->a_row;
    for (const gr__offsets *k = s->step, *end = k + s->K; k < end; k++) {
        if (prefetching && PREFETCH_IN_STEPS) {
            prefetch_line(s->prefetch, at >> 16);
            at += pace;
        }
        const gr_real *a = s->a + k->a;
        GR__UNROLL
        for (int j = 0; j < cols; j++) b[j] = load_once(from[j] + k->b);
        GR__UNROLL
        for (int i = 0; i < rows; i++) {
            vec w = vec_all(a[i * a_row]);
            GR__UNROLL
            for (int j = 0; j < cols; j++) acc[i][j] += w * b[j];
        }
    }
    outer_end(s, acc, rows, cols);
}

#define LEAST(a, b) ((a) < (b) ? (a) : (b))
#define MICRO_OUTER(r, c)                                              \
    static void outer_##r##_##c(const gr__outer_block *s)              \
    {                                                                  \
        micro_outer_of_size(s, LEAST(r, ROWS), LEAST(c, COLS), false); \
    }                                                                  \
    static void prefetching_##r##_##c(const gr__outer_block *s)        \
    {                                                                  \
        micro_outer_of_size(s, LEAST(r, ROWS), LEAST(c, COLS), true);  \
    }
#define OUTER_ROW(r) MICRO_OUTER(r, 1) MICRO_OUTER(r, 2) MICRO_OUTER(r, 3) MICRO_OUTER(r, 4)
/* clang-format off */
OUTER_ROW(1) OUTER_ROW(2) OUTER_ROW(3) OUTER_ROW(4) OUTER_ROW(5) OUTER_ROW(6)
    /* clang-format on */

    void outer_block(const gr__outer_block *s, int rows, int cols)
{
#define OUTERS(name, r)                                                \
    {                                                                  \
        name##_##r##_1, name##_##r##_2, name##_##r##_3, name##_##r##_4 \
    }
#define ALL_OUTERS(name)                                                                     \
    {                                                                                        \
        OUTERS(name, 1), OUTERS(name, 2), OUTERS(name, 3), OUTERS(name, 4), OUTERS(name, 5), \
            OUTERS(name, 6)                                                                  \
    }
    static void (*const block[2][6][4])(
        const gr__outer_block *) = { ALL_OUTERS(outer), ALL_OUTERS(prefetching) };
    block[s->prefetch && s->prefetch->runs && s->K][rows - 1][cols - 1](s);
}

/* The sums of LANES vectors, in the lanes of one: pairs are deinterleaved together and added, until
   one vector is left. The deal leaves the sums in the bit-reversed order of the vectors, so they
   are handed in so reversed. */
GR__INLINE vec sums_of(vec v[LANES])
{
    GR__UNROLL
    for (int n = LANES / 2; n > 0; n /= 2) {
        GR__UNROLL
        for (int i = 0; i < n; i++)
            v[i] = vec_lower(v[2 * i], v[2 * i + 1]) + vec_upper(v[2 * i], v[2 * i + 1]);
    }
    return v[0];
}

enum { DOT_SUMS = (DOT_ROWS * DOT_COLS + LANES - 1) / LANES * LANES };

static const int reversed[LANES] = { GR__REVERSED };

GR__INLINE void dots_end(
    const gr__dot_block *s, vec acc[DOT_ROWS][DOT_COLS], const int rows, const int cols)
{
    gr_real sum[DOT_SUMS];
    GR__UNROLL
    for (int first = 0; first < rows * cols; first += LANES) {
        vec v[LANES];
        GR__UNROLL
        for (int l = 0; l < LANES; l++) {
            int at = first + reversed[l];
            v[l] = at < rows * cols ? acc[at / cols][at % cols] : (vec){ 0 };
        }
        vec_store(sum + first, sums_of(v));
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
            s->y[i * s->y_row + j] = (s->onto ? s->y[i * s->y_row + j] : 0) + sum[i * cols + j];
}

/* The accumulators start from the products of the tail, if there is one, so that the loop has whole
   vectors alone. */
GR__INLINE void dots_begin(
    const gr__dot_block *s, vec acc[DOT_ROWS][DOT_COLS], const int rows, const int cols)
{
    GR__UNROLL
    for (int i = 0; i < rows; i++) {
        GR__UNROLL
        for (int j = 0; j < cols; j++) acc[i][j] = (vec){ 0 };
    }
    if (!s->tail) return;
    vec a[DOT_ROWS], b[DOT_COLS];
    for (int i = 0; i < rows; i++) a[i] = vec_load_some(s->a[i] + s->T * LANES, s->tail);
    for (int j = 0; j < cols; j++) b[j] = vec_load_some(s->b[j] + s->offset[s->T], s->tail);
    GR__UNROLL
    for (int i = 0; i < rows; i++) {
        GR__UNROLL
        for (int j = 0; j < cols; j++) acc[i][j] = a[i] * b[j];
    }
}

GR__INLINE void micro_dots_of_size(const gr__dot_block *s, const int rows, const int cols)
{
    vec            acc[DOT_ROWS][DOT_COLS], b[DOT_COLS];
    const gr_real *from_a[DOT_ROWS], *from_b[DOT_COLS];
    GR__UNROLL
    for (int i = 0; i < rows; i++) from_a[i] = s->a[i];
    GR__UNROLL
    for (int j = 0; j < cols; j++) from_b[j] = s->b[j];
    dots_begin(s, acc, rows, cols);
    const int64_t *offset = s->offset, *along = s->along;
    for (int64_t t = 0; t < s->T; t++) {
        GR__UNROLL
        for (int j = 0; j < cols; j++) b[j] = load_once(from_b[j] + offset[t]);
        int64_t at = along ? along[t] : t * LANES;
        GR__UNROLL
        for (int i = 0; i < rows; i++) {
            vec a = load_once(from_a[i] + at);
            GR__UNROLL
            for (int j = 0; j < cols; j++) acc[i][j] += a * b[j];
        }
    }
    dots_end(s, acc, rows, cols);
}

#define MICRO_DOTS(r, c)                                               \
    static void dots_##r##_##c(const gr__dot_block *s)                 \
    {                                                                  \
        micro_dots_of_size(s, LEAST(r, DOT_ROWS), LEAST(c, DOT_COLS)); \
    }
#define DOTS_ROW(r)  \
    MICRO_DOTS(r, 1) \
    MICRO_DOTS(r, 2) MICRO_DOTS(r, 3) MICRO_DOTS(r, 4) MICRO_DOTS(r, 5) MICRO_DOTS(r, 6)
/* clang-format off */
DOTS_ROW(1) DOTS_ROW(2) DOTS_ROW(3) DOTS_ROW(4)
    /* clang-format on */

    void dot_block(const gr__dot_block *s, int rows, int cols)
{
#define DOTSES(r)                                                                          \
    {                                                                                      \
        dots_##r##_1, dots_##r##_2, dots_##r##_3, dots_##r##_4, dots_##r##_5, dots_##r##_6 \
    }
    static void (*const block[4][6])(
        const gr__dot_block *) = { DOTSES(1), DOTSES(2), DOTSES(3), DOTSES(4) };
    block[rows - 1][cols - 1](s);
}

GR__INLINE void micro_row_of_size(const gr__dot_row *s, const int cols)
{
    vec            acc[ROW_COLS], v[LANES];
    const gr_real *a = s->a, *b = s->b;
    const int64_t  b_row = s->b_row, K = s->K, whole = K / LANES * LANES;
    GR__UNROLL
    for (int j = 0; j < cols; j++) acc[j] = (vec){ 0 };
    for (int64_t k = 0; k < whole; k += LANES) {
        vec x = vec_load(a + k);
        GR__UNROLL
        for (int j = 0; j < cols; j++) acc[j] += x * vec_load(b + j * b_row + k);
    }
    if (whole < K) {
        vec x = vec_load_some(a + whole, K - whole);
        GR__UNROLL
        for (int j = 0; j < cols; j++)
            acc[j] += x * vec_load_some(b + j * b_row + whole, K - whole);
    }
    GR__UNROLL
    for (int l = 0; l < LANES; l++)
        v[l] = reversed[l] < cols ? acc[reversed[l] % ROW_COLS] : (vec){ 0 };
    vec y = sums_of(v), least = vec_all(s->least);
    if (s->bias) y += vec_load_some(s->bias, cols);
    vec_store_some(s->y, vec_choose(y < least, least, y), cols);
}

#define MICRO_ROW(c) \
    static void row_##c(const gr__dot_row *s) { micro_row_of_size(s, LEAST(c, ROW_COLS)); }
/* clang-format off */
MICRO_ROW(1) MICRO_ROW(2) MICRO_ROW(3) MICRO_ROW(4)
MICRO_ROW(5) MICRO_ROW(6) MICRO_ROW(7) MICRO_ROW(8)
    /* clang-format on */

    void dot_row(const gr__dot_row *s, int cols)
{
    static void (*const block[8])(
        const gr__dot_row *) = { row_1, row_2, row_3, row_4, row_5, row_6, row_7, row_8 };
    block[cols - 1](s);
}

gr_real least_of(gr_act act) { return act == GR_RELU ? 0 : -(gr_real)INFINITY; }

void activate(gr_real *y, int64_t n, gr_act act)
{
    if (act == GR_SIGMOID)
        GR__NAME(sigmoid)(y, y, n);
    else if (act == GR_TANH)
        GR__NAME(tanh)(y, y, n);
}
