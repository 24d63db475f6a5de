/* winograd_rows.h: convolution by Winograd's algorithm along rows alone, F(m, r) with m + r = 10: nine multiplications for m outputs by r taps
   of a row, where the sums as they stand take m r; 5 outputs by 5 taps, 6 by 4, 7 by 3. Down the columns, the sum goes tap by tap. For a row d of
   9 inputs, a row k of r taps and a row y of m outputs,
       y = A^T [(G k) * (B^T d)],   dd = B [(G k) * (A dy)],   dk = G^T [(A dy) * (B^T d)],      * element by element,
   summed over channels, filters or places, and over the rows of the kernel, before the last transform: nine products of matrices.
   Where a stride S skips columns, each S-th input and each S-th tap make a piece: S pieces, as if there were S times as many channels.
   The points are 0, +-3/8, +-7/8, +-11/8, +-2, found by trying: all coefficients of B are exact in float, and the error is that of direct sums.
   Source: S. Winograd, Arithmetic Complexity of Computations, SIAM 1980; A. Lavin and S. Gray, CVPR 2016, for convolutional layers.
   Invariant: for float alone, as in winograd.h. */
#ifndef GR_KERNELS_WINOGRAD_ROWS_H
#define GR_KERNELS_WINOGRAD_ROWS_H

#include "geometry.h"

enum { ROW_POINTS = 9, ROW_PAIRS = 4, ROW_MOST_TAPS = 5, ROW_MOST_OUTS = 7 };

/* The points' sizes and squares; for each pair, the coefficients of the product of x^2 - square over the other pairs, and of all. */
#define POINT_1 (3 / 8.)
#define POINT_2 (7 / 8.)
#define POINT_3 (11 / 8.)
#define POINT_4 2.
#define SQUARE_1 (POINT_1 * POINT_1)
#define SQUARE_2 (POINT_2 * POINT_2)
#define SQUARE_3 (POINT_3 * POINT_3)
#define SQUARE_4 (POINT_4 * POINT_4)
#define OTHERS(a, b, c)                                                                                                      \
    {                                                                                                                        \
        (gr_real)(-(a) * (b) * (c)), (gr_real)((a) * (b) + (a) * (c) + (b) * (c)), (gr_real)(-((a) + (b) + (c))), (gr_real)1 \
    }
/* One over the product of a point's distances from all others. */
#define WEIGHT(s, a, b, c) ((gr_real)(1 / (2 * (s) * ((s) - (a)) * ((s) - (b)) * ((s) - (c)))))

#define POWERS(p)                                                                                            \
    {                                                                                                        \
        1, (gr_real)(p), (gr_real)((p) * (p)), (gr_real)((p) * (p) * (p)), (gr_real)((p) * (p) * (p) * (p)), \
            (gr_real)((p) * (p) * (p) * (p) * (p)), (gr_real)((p) * (p) * (p) * (p) * (p) * (p))             \
    }

static const gr_real row_power[ROW_PAIRS][ROW_MOST_OUTS] = { POWERS(POINT_1), POWERS(POINT_2), POWERS(POINT_3), POWERS(POINT_4) };
static const gr_real row_others[ROW_PAIRS][4] = { OTHERS(SQUARE_2, SQUARE_3, SQUARE_4), OTHERS(SQUARE_1, SQUARE_3, SQUARE_4),
    OTHERS(SQUARE_1, SQUARE_2, SQUARE_4), OTHERS(SQUARE_1, SQUARE_2, SQUARE_3) };
static const gr_real row_all[ROW_PAIRS + 1] = { (gr_real)(SQUARE_1 * SQUARE_2 * SQUARE_3 * SQUARE_4),
    (gr_real) - (SQUARE_1 * SQUARE_2 * SQUARE_3 + SQUARE_4 * (SQUARE_1 * SQUARE_2 + SQUARE_1 * SQUARE_3 + SQUARE_2 * SQUARE_3)),
    (gr_real)(SQUARE_1 *SQUARE_2 + SQUARE_1 * SQUARE_3 + SQUARE_2 * SQUARE_3 + SQUARE_4 * (SQUARE_1 + SQUARE_2 + SQUARE_3)),
    (gr_real) - (SQUARE_1 + SQUARE_2 + SQUARE_3 + SQUARE_4), (gr_real)1 };
static const gr_real row_weight[ROW_PAIRS] = { WEIGHT(SQUARE_1, SQUARE_2, SQUARE_3, SQUARE_4),
    WEIGHT(SQUARE_2, SQUARE_1, SQUARE_3, SQUARE_4), WEIGHT(SQUARE_3, SQUARE_1, SQUARE_2, SQUARE_4),
    WEIGHT(SQUARE_4, SQUARE_1, SQUARE_2, SQUARE_3) };
#define ROW_WEIGHT_OF_ZERO (1 / row_all[0])

/* Points: zero first, then each pair, + before -. */

/* B^T: 9 inputs to points. */
GR__INLINE void row_input(vec to[9], const vec d[9])
{
    to[0] = row_all[0] * d[0];
    GR__UNROLL
    for (int k = 1; k <= ROW_PAIRS; k++) to[0] += row_all[k] * d[2 * k];
    GR__UNROLL
    for (int i = 0; i < ROW_PAIRS; i++) {
        vec even = row_others[i][0] * d[2], odd = row_others[i][0] * d[1];
        GR__UNROLL
        for (int k = 1; k < ROW_PAIRS; k++) {
            even += row_others[i][k] * d[2 * k + 2];
            odd += row_others[i][k] * d[2 * k + 1];
        }
        to[2 * i + 1] = even + row_power[i][1] * odd;
        to[2 * i + 2] = even - row_power[i][1] * odd;
    }
}

/* B: points to what they add to 9 gradients of inputs. */
GR__INLINE void row_input_grad(vec to[9], const vec m[9])
{
    GR__UNROLL
    for (int k = 0; k <= ROW_PAIRS; k++) to[2 * k] = row_all[k] * m[0];
    GR__UNROLL
    for (int i = 0; i < ROW_PAIRS; i++) {
        vec sum = m[2 * i + 1] + m[2 * i + 2], less = row_power[i][1] * (m[2 * i + 1] - m[2 * i + 2]);
        GR__UNROLL
        for (int k = 0; k < ROW_PAIRS; k++) {
            to[2 * k + 2] += row_others[i][k] * sum;
            to[2 * k + 1] = (i ? to[2 * k + 1] : (vec){ 0 }) + row_others[i][k] * less;
        }
    }
}

/* A^T: points to `outs` outputs. */
GR__INLINE void row_output(vec to[], const vec m[9], const int outs)
{
    to[0] = m[0];
    GR__UNROLL
    for (int i = 0; i < ROW_PAIRS; i++) {
        vec sum = m[2 * i + 1] + m[2 * i + 2], less = m[2 * i + 1] - m[2 * i + 2];
        GR__UNROLL
        for (int k = 0; k < outs; k++) to[k] = (k == 0 || i ? to[k] : (vec){ 0 }) + row_power[i][k] * (k % 2 ? less : sum);
    }
}

/* A: the gradients of `outs` outputs to points. */
GR__INLINE void row_output_grad(vec to[9], const vec g[], const int outs)
{
    const int last_even = (outs - 1) / 2 * 2, last_odd = outs / 2 * 2 - 1;
    to[0] = g[0];
    GR__UNROLL
    for (int i = 0; i < ROW_PAIRS; i++) {
        vec even = g[last_even], odd = g[last_odd];
        GR__UNROLL
        for (int k = last_even - 2; k >= 0; k -= 2) even = g[k] + row_power[i][2] * even;
        GR__UNROLL
        for (int k = last_odd - 2; k >= 0; k -= 2) odd = g[k] + row_power[i][2] * odd;
        to[2 * i + 1] = even + row_power[i][1] * odd;
        to[2 * i + 2] = even - row_power[i][1] * odd;
    }
}

/* G: 5 taps, of which the last may be zero, to points. */
GR__INLINE void row_kernel(vec to[9], const vec k[ROW_MOST_TAPS])
{
    to[0] = ROW_WEIGHT_OF_ZERO * k[0];
    GR__UNROLL
    for (int i = 0; i < ROW_PAIRS; i++) {
        vec even = row_weight[i] * (k[0] + row_power[i][2] * (k[2] + row_power[i][2] * k[4]));
        vec odd = row_weight[i] * row_power[i][1] * (k[1] + row_power[i][2] * k[3]);
        to[2 * i + 1] = even + odd;
        to[2 * i + 2] = even - odd;
    }
}

/* G^T: points to the gradients of 5 taps. */
GR__INLINE void row_kernel_grad(vec to[ROW_MOST_TAPS], const vec m[9])
{
    to[0] = ROW_WEIGHT_OF_ZERO * m[0];
    GR__UNROLL
    for (int i = 0; i < ROW_PAIRS; i++) {
        vec sum = row_weight[i] * (m[2 * i + 1] + m[2 * i + 2]), less = row_weight[i] * (m[2 * i + 1] - m[2 * i + 2]);
        GR__UNROLL
        for (int k = 0; k < ROW_MOST_TAPS; k++) to[k] = (k == 0 || i ? to[k] : (vec){ 0 }) + row_power[i][k] * (k % 2 ? less : sum);
    }
}

/* How a convolution is cut into tiles and pieces, for one group. */
typedef struct gr__rows {
    int64_t lines, filters; /* planes of the input: the pieces of each channel; planes of the output */
    int64_t pieces, outs;   /* of a channel; of a tile */
    int64_t across;         /* tiles of a row of the outputs */
    int64_t point;          /* elements of one point of the kernel: [filter of any group][line][tap down] */
} gr__rows;

gr__rows GR__NAME(winograd_rows)(const gr__conv *c);

/* `count` tiles of one interleaved row, the next of which begins outs * pieces vectors later, to points[point][..][tile], `point` vectors apart. */
void GR__NAME(winograd_row_inputs)(gr_real *to, int64_t point, const gr_real *from, const gr__rows *r, int64_t count);
void GR__NAME(winograd_row_grads)(gr_real *to, int64_t point, const gr_real *from, const gr__rows *r, int64_t count);

/* Whether it is worth its while, and how it is done: the convolution (33) and the gradient by the input (34), and (35). */
bool GR__NAME(winograd_rows_pay)(const gr__conv *c);
void GR__NAME(winograd_rows_plan)(const gr__conv *c, gr__direction d, gr__plan *plan);
void GR__NAME(winograd_rows_run)(
    const gr__conv *c, gr__direction d, const gr__operands *o, int phase, int64_t task, gr_real *weights, void *scratch);
void GR__NAME(winograd_rows_kernel_grad_plan)(const gr__conv *c, gr__plan *plan);
void GR__NAME(winograd_rows_kernel_grad_run)(
    const gr__conv *c, const gr__operands *o, int phase, int64_t task, gr_real *parts, void *scratch);

#endif
