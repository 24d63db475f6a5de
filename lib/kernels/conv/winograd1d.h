/* winograd1d.h: convolution by Winograd's algorithm along rows alone: F(m, r), m outputs by r taps
   of a row, takes m + r - 1 multiplications, where the sums as they stand take m r. Down the
   columns, the sum goes tap by tap. For a row d of m + r - 1 inputs, a row k of r taps and a row y
   of m outputs,
       y = A^T [(G k) * (B^T d)],   dd = B [(G k) * (A dy)],   dk = G^T [(A dy) * (B^T d)],
   with * element by element, summed over channels, filters or places, and over the rows of the
   kernel, before the last transform: a product of matrices for each point. Where a stride S skips
   columns, each S-th input and each S-th tap make a piece: S pieces, as if there were S times as
   many channels. Forward there are eight points, 0, +-1/2, +-1, +-2 and infinity: 4 outputs by 5
   taps. Its rounding decides which ReLU is open and which maximum wins, and is two to three times
   that of direct sums. Backward there are nine, 0, +-3/8, +-7/8, +-11/8 and +-2: 5 gradients by 5
   taps, rounding twice as coarsely. Both sets were found by trying; all coefficients of B are exact
   in float. Source: S. Winograd, Arithmetic Complexity of Computations, SIAM 1980; A. Lavin and S.
   Gray, CVPR 2016, for convolutional layers. Invariant: for float alone, as in winograd2d.h. */
#ifndef GR_KERNELS_WINOGRAD_ROWS_H
#define GR_KERNELS_WINOGRAD_ROWS_H

#include "geometry.h"

enum {
    WINOGRAD1D_MOST_POINTS = 9,
    WINOGRAD1D_MOST_PAIRS = 4,
    WINOGRAD1D_MOST_TAPS = 5,
    WINOGRAD1D_MOST_OUTS = 7
};

/* A set of points: zero, pairs, and infinity perhaps. */
typedef struct winograd1d_points {
    int     points, pairs;
    bool    infinity;
    gr_real power[WINOGRAD1D_MOST_PAIRS][WINOGRAD1D_MOST_OUTS]; /* of each pair */
    gr_real
        others[WINOGRAD1D_MOST_PAIRS]
              /* coefficients of the product of x^2 - square over the other pairs: of 1, x^2, ... */
              [WINOGRAD1D_MOST_PAIRS];
    gr_real all[WINOGRAD1D_MOST_PAIRS + 1]; /* the same over all pairs */
    gr_real weight
        [WINOGRAD1D_MOST_PAIRS]; /* one over the product of a point's distances from all others */
} winograd1d_points;

#define POWERS(p)                                                                     \
    {                                                                                 \
        1, (gr_real)(p), (gr_real)((p) * (p)), (gr_real)((p) * (p) * (p)),            \
            (gr_real)((p) * (p) * (p) * (p)), (gr_real)((p) * (p) * (p) * (p) * (p)), \
            (gr_real)((p) * (p) * (p) * (p) * (p) * (p))                              \
    }
#define OF_TWO(a, b)                                     \
    {                                                    \
        (gr_real)((a) * (b)), (gr_real)(-((a) + (b))), 1 \
    }
#define OF_THREE(a, b, c)                                                          \
    {                                                                              \
        (gr_real)(-(a) * (b) * (c)), (gr_real)((a) * (b) + (a) * (c) + (b) * (c)), \
            (gr_real)(-((a) + (b) + (c))), 1                                       \
    }
#define OF_FOUR(a, b, c, d)                                                            \
    {                                                                                  \
        (gr_real)((a) * (b) * (c) * (d)),                                              \
            (gr_real)(-((a) * (b) * (c) + (d) * ((a) * (b) + (a) * (c) + (b) * (c)))), \
            (gr_real)((a) * (b) + (a) * (c) + (b) * (c) + (d) * ((a) + (b) + (c))),    \
            (gr_real)(-((a) + (b) + (c) + (d))), 1                                     \
    }
#define WINOGRAD1D_WEIGHT(s, a, b) (gr_real)(1 / (2 * (s) * ((s) - (a)) * ((s) - (b))))
#define WINOGRAD1D_WEIGHT_OF_FOUR(s, a, b, c) \
    (gr_real)(1 / (2 * (s) * ((s) - (a)) * ((s) - (b)) * ((s) - (c))))

/* Squares of the points. */
#define E1 (1 / 4.)
#define E2 1.
#define E3 4.
#define N1 (9 / 64.)
#define N2 (49 / 64.)
#define N3 (121 / 64.)
#define N4 4.

static const winograd1d_points winograd1d_eight = { .points = 8,
    .pairs = 3,
    .infinity = true,
    .power = { POWERS(.5), POWERS(1.), POWERS(2.) },
    .others = { OF_TWO(E2, E3), OF_TWO(E1, E3), OF_TWO(E1, E2) },
    .all = OF_THREE(E1, E2, E3),
    .weight = { WINOGRAD1D_WEIGHT(E1, E2, E3), WINOGRAD1D_WEIGHT(E2, E1, E3),
        WINOGRAD1D_WEIGHT(E3, E1, E2) } };
static const winograd1d_points winograd1d_nine = { .points = 9,
    .pairs = 4,
    .power = { POWERS(3 / 8.), POWERS(7 / 8.), POWERS(11 / 8.), POWERS(2.) },
    .others = { OF_THREE(N2, N3, N4), OF_THREE(N1, N3, N4), OF_THREE(N1, N2, N4),
        OF_THREE(N1, N2, N3) },
    .all = OF_FOUR(N1, N2, N3, N4),
    .weight = { WINOGRAD1D_WEIGHT_OF_FOUR(N1, N2, N3, N4),
        WINOGRAD1D_WEIGHT_OF_FOUR(N2, N1, N3, N4), WINOGRAD1D_WEIGHT_OF_FOUR(N3, N1, N2, N4),
        WINOGRAD1D_WEIGHT_OF_FOUR(N4, N1, N2, N3) } };

/* Those of outputs and input gradients; kernel gradients have those of input gradients. */
GR__INLINE const winograd1d_points *winograd1d_points_of(gr__direction d)
{
    return d == GR__FORWARD ? &winograd1d_eight : &winograd1d_nine;
}

/* Points stand in the order zero, each pair, + before -, infinity. `set` is known where these are
   compiled. */

/* B^T: inputs to points. */
GR__INLINE void winograd1d_input(vec to[], const vec d[], const winograd1d_points *set)
{
    to[0] = set->all[0] * d[0];
    GR__UNROLL
    for (int k = 1; k <= set->pairs; k++) to[0] += set->all[k] * d[2 * k];
    GR__UNROLL
    for (int i = 0; i < set->pairs; i++) {
        vec even = set->others[i][0] * d[2], odd = set->others[i][0] * d[1];
        GR__UNROLL
        for (int k = 1; k < set->pairs; k++) {
            even += set->others[i][k] * d[2 * k + 2];
            odd += set->others[i][k] * d[2 * k + 1];
        }
        to[2 * i + 1] = even + set->power[i][1] * odd;
        to[2 * i + 2] = even - set->power[i][1] * odd;
    }
    if (!set->infinity) return;
    vec last = set->all[0] * d[1];
    GR__UNROLL
    for (int k = 1; k <= set->pairs; k++) last += set->all[k] * d[2 * k + 1];
    to[2 * set->pairs + 1] = last;
}

/* B, of nine points: to what they add to 9 gradients of inputs. */
GR__INLINE void winograd1d_input_grad(vec to[9], const vec m[9])
{
    const winograd1d_points *set = &winograd1d_nine;
    GR__UNROLL
    for (int k = 0; k <= set->pairs; k++) to[2 * k] = set->all[k] * m[0];
    GR__UNROLL
    for (int i = 0; i < set->pairs; i++) {
        vec sum = m[2 * i + 1] + m[2 * i + 2],
            less = set->power[i][1] * (m[2 * i + 1] - m[2 * i + 2]);
        GR__UNROLL
        for (int k = 0; k < set->pairs; k++) {
            to[2 * k + 2] += set->others[i][k] * sum;
            to[2 * k + 1] = (i ? to[2 * k + 1] : (vec){ 0 }) + set->others[i][k] * less;
        }
    }
}

/* A^T, of eight points: to `outs` outputs. */
GR__INLINE void winograd1d_output(vec to[], const vec m[8], const int outs)
{
    const winograd1d_points *set = &winograd1d_eight;
    to[0] = m[0];
    GR__UNROLL
    for (int i = 0; i < set->pairs; i++) {
        vec sum = m[2 * i + 1] + m[2 * i + 2], less = m[2 * i + 1] - m[2 * i + 2];
        GR__UNROLL
        for (int k = 0; k < outs; k++)
            to[k] = (k == 0 || i ? to[k] : (vec){ 0 }) + set->power[i][k] * (k % 2 ? less : sum);
    }
    to[outs - 1] += m[7];
}

/* A: the gradients of `outs` outputs to nine points. */
GR__INLINE void winograd1d_output_grad(vec to[9], const vec g[], const int outs)
{
    const winograd1d_points *set = &winograd1d_nine;
    const int                last_even = (outs - 1) / 2 * 2, last_odd = outs / 2 * 2 - 1;
    to[0] = g[0];
    GR__UNROLL
    for (int i = 0; i < set->pairs; i++) {
        vec even = g[last_even], odd = g[last_odd];
        GR__UNROLL
        for (int k = last_even - 2; k >= 0; k -= 2) even = g[k] + set->power[i][2] * even;
        GR__UNROLL
        for (int k = last_odd - 2; k >= 0; k -= 2) odd = g[k] + set->power[i][2] * odd;
        to[2 * i + 1] = even + set->power[i][1] * odd;
        to[2 * i + 2] = even - set->power[i][1] * odd;
    }
}

/* G: 5 taps, of which the last may be zero, to points; the last of `taps` weighs at infinity. */
GR__INLINE void winograd1d_kernel(
    vec to[], const vec k[WINOGRAD1D_MOST_TAPS], int64_t taps, const winograd1d_points *set)
{
    to[0] = k[0] * (1 / set->all[0]);
    GR__UNROLL
    for (int i = 0; i < set->pairs; i++) {
        vec even = set->weight[i] * (k[0] + set->power[i][2] * (k[2] + set->power[i][2] * k[4]));
        vec odd = set->weight[i] * set->power[i][1] * (k[1] + set->power[i][2] * k[3]);
        to[2 * i + 1] = even + odd;
        to[2 * i + 2] = even - odd;
    }
    if (set->infinity) to[2 * set->pairs + 1] = k[taps - 1];
}

/* G^T, of nine points: to the gradients of 5 taps. */
GR__INLINE void winograd1d_kernel_grad(vec to[WINOGRAD1D_MOST_TAPS], const vec m[9])
{
    const winograd1d_points *set = &winograd1d_nine;
    to[0] = m[0] * (1 / set->all[0]);
    GR__UNROLL
    for (int i = 0; i < set->pairs; i++) {
        vec sum = set->weight[i] * (m[2 * i + 1] + m[2 * i + 2]),
            less = set->weight[i] * (m[2 * i + 1] - m[2 * i + 2]);
        GR__UNROLL
        for (int k = 0; k < WINOGRAD1D_MOST_TAPS; k++)
            to[k] = (k == 0 || i ? to[k] : (vec){ 0 }) + set->power[i][k] * (k % 2 ? less : sum);
    }
}

/* How a convolution is cut into tiles and pieces, for one group. */
typedef struct gr__winograd1d {
    int64_t lines,
        filters;    /* planes of the input: the pieces of each channel; planes of the output */
    int64_t points; /* of a tile */
    int64_t pieces, taps; /* of a channel; of a piece, at most */
    int64_t outs;         /* of a tile */
    int64_t across;       /* tiles of a row of the outputs */
    int64_t point; /* elements of one point of the kernel: [filter of any group][line][tap down] */
} gr__winograd1d;

gr__winograd1d winograd1d_of(const gr__conv *c, const winograd1d_points *set);

/* `count` tiles of one interleaved row, the next of which begins outs * pieces vectors later, to
   points[point][..][tile], `point` vectors apart. */
void winograd1d_inputs(
    gr_real *to, int64_t point, const gr_real *from, const gr__winograd1d *r, int64_t count);
void winograd1d_grads(
    gr_real *to, int64_t point, const gr_real *from, const gr__winograd1d *r, int64_t count);

/* What it is made for; outputs that see no input at all, only padding, would not be exactly 0. */
GR__INLINE bool winograd1d_fits(const gr__conv *c)
{
    int64_t taps = ceil_div(c->KW, c->SW);
    bool    empty = !c->G || !c->C || !c->F || !c->H || !c->W || !c->OH || !c->OW;
    return sizeof(gr_real) == 4 && c->DW == 1 && taps >= 3 && taps <= WINOGRAD1D_MOST_TAPS &&
           c->PW < c->KW && !empty;
}

/* Vector operations by the sums as they stand, and by the points: products, and for each tile that
   is brought to them or back, `inputs` of each line and `grads` of each filter, its transform and
   its share of laying out or dealing. */
GR__INLINE bool winograd1d_is_cheaper(
    const gr__conv *c, const gr__winograd1d *r, int64_t inputs, int64_t grads)
{
    int64_t direct = c->OH * c->OW * c->KH * c->KW * (c->C / c->G) * r->filters;
    int64_t products = c->OH * r->across * r->points * c->KH * r->lines * r->filters;
    return (products + (45 + 6 * r->outs) * (inputs * r->lines + grads * r->filters)) * 9 <
           direct * 8;
}

#endif
