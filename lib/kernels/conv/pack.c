/* pack.c: the two ways in which a convolution's input is laid out for the register blocks: as a
   panel, whose columns are those of the outputs (P), or with the images of a batch side by side
   (N). Invariant: nothing is read outside x; both write in order of address, a little past what
   they mean to, and mend that with what comes next. */
#include "geometry.h"

/* n elements, rounded up to whole vectors where what is read past them still lies in the array. */
static void pack_copy(gr_real *to, const gr_real *from, int64_t n, const gr_real *end)
{
    int64_t i = 0, whole = end - from >= n + LANES ? n : n - LANES + 1;
    for (; i < whole; i += LANES) vec_store(to + i, vec_load(from + i));
    for (; i < n; i++) to[i] = from[i];
}

/* Every step-th of the elements: n of them, rounded up as in copy. */
static void copy_some(gr_real *to, const gr_real *from, int64_t step, int64_t n, const gr_real *end)
{
    int64_t t = 0;
    for (; step == 2 && t < n && end - from - 2 * t >= 2 * LANES; t += LANES)
        vec_store(to + t, vec_even(vec_load(from + 2 * t), vec_load(from + 2 * t + LANES)));
    for (; t < n; t++) to[t] = from[t * step];
}

/* The t of 0..n-1 for which 0 <= start + t step < size. */
static gr__span pack_inside(int64_t start, int64_t step, int64_t size, int64_t n)
{
    int64_t begin = start >= 0 ? 0 : step == 1 ? -start : ceil_div(-start, step);
    int64_t end = start >= size ? 0 : step == 1 ? size - start : ceil_div(size - start, step);
    begin = at_most(begin, n);
    return (gr__span){ begin, at_least(begin, at_most(end, n)) };
}

void pack_rows(const gr__correlation *s, const gr_real *plane, const gr_real *x_end, int64_t h,
    int64_t w, int64_t rows, int64_t width, gr_real *to)
{
    const int64_t  step = s->w.step, x_row = s->h.step * s->w.in;
    const gr__span in = pack_inside(w, step, s->w.in, width),
                   down = pack_inside(h, s->h.step, s->h.in, in.begin < in.end ? rows : 0);
    const gr_real *from = plane + h * s->w.in + w + down.begin * x_row;
    int64_t        i = down.begin;
    clear(to, i * width);
    to += i * width;
    if (step == 1 && in.end - in.begin == width && width <= LANES) /* a row is a vector */
        for (; i < down.end && x_end - from >= LANES; i++, from += x_row, to += width)
            vec_store(to, vec_load(from));
    for (; i < down.end; i++, from += x_row, to += width) {
        clear(to, in.begin);
        if (step == 1)
            pack_copy(to + in.begin, from + in.begin, in.end - in.begin, x_end);
        else
            copy_some(to + in.begin, from + in.begin * step, step, in.end - in.begin, x_end);
        clear(to + in.end, width - in.end);
    }
    clear(to, (rows - i) * width);
}

/* Columns w..w+LANES of a row of each image, one image a lane; `some` of them are wanted and lie in
   the row. */
GR__INLINE void interleave_square(gr_real *to, const gr_real *x, const gr_real *x_end,
    int64_t image_step, int images, int64_t some)
{
    vec v[LANES];
    if (x_end - x >= (LANES - 1) * image_step + LANES && images == LANES) {
        GR__UNROLL
        for (int n = 0; n < LANES; n++) v[n] = vec_load(x + n * image_step);
    } else {
        for (int n = 0; n < LANES; n++)
            v[n] = n < images ? vec_load_some(x + n * image_step, some) : (vec){ 0 };
    }
    vec_transpose(v);
    GR__UNROLL
    for (int i = 0; i < LANES; i++) vec_store(to + i * LANES, v[i]);
}

/* The same of so few columns that a transposition would mostly move what nobody wants. */
GR__INLINE void interleave_few(
    gr_real *to, const gr_real *x, int64_t image_step, int images, int64_t some)
{
    for (int64_t j = 0; j < some; j++) {
        vec_store(to + j * LANES, (vec){ 0 });
        for (int n = 0; n < images; n++) to[j * LANES + n] = x[n * image_step + j];
    }
}

/* Columns w..w+n of one row. */
static void interleave_run(
    gr_real *to, const gr_real *x, const gr_real *x_end, int64_t image_step, int images, int64_t n)
{
    for (int64_t j = 0; j < n; j += LANES)
        if (n - j <= LANES / 4)
            interleave_few(to + j * LANES, x + j, image_step, images, n - j);
        else
            interleave_square(
                to + j * LANES, x + j, x_end, image_step, images, at_most(LANES, n - j));
}

/* Whole rows of W, of which `many` fill a square. */
static void interleave_rows(gr_real *to, const gr__border *b, gr__span in, const gr_real *x,
    const gr_real *x_end, int64_t image_step, int images, int64_t many)
{
    const int64_t W = in.end - in.begin;
    gr_real       square[LANES * LANES];
    interleave_square(square, x, x_end, image_step, images, many * W);
    for (int64_t i = 0; i < many; i++, to += b->cols * LANES) {
        clear(to, in.begin * LANES);
        memcpy(to + in.begin * LANES, square + i * W * LANES, (size_t)(W * LANES) * sizeof *to);
        clear(to + in.end * LANES, (b->cols - in.end) * LANES);
    }
}

void interleave(gr_real *to, const gr__border *b, const gr_real *x, const gr_real *x_end,
    int64_t image_step, int images, int64_t channels, gr__plane_size size)
{
    const int64_t H = size.H, W = size.W;
    gr__span      in = pack_inside(b->w, 1, W, b->cols);
    int64_t       many =
        W > 0 && in.end - in.begin == W ? LANES / W : 1; /* rows that lie in one vector */
    for (int64_t c = 0; c < channels; c++, x += H * W)
        for (int64_t i = 0, rows; i < b->rows; i += rows, to += rows * b->cols * LANES) {
            int64_t h = b->h + i;
            rows = h < 0 ? at_most(-h, b->rows - i) : h >= H ? b->rows - i : 1;
            if (h < 0 || h >= H) {
                clear(to, rows * b->cols * LANES);
                continue;
            }
            if (b->cols == W && b->w == 0) { /* no border: the rows are one */
                rows = at_most(H - h, b->rows - i);
                interleave_run(to, x + h * W, x_end, image_step, images, rows * W);
                continue;
            }
            int64_t whole = at_most(many, at_most(H - h, b->rows - i));
            if (whole > 1) {
                rows = whole;
                interleave_rows(to, b, in, x + h * W, x_end, image_step, images, rows);
                continue;
            }
            clear(to, in.begin * LANES);
            interleave_run(to + in.begin * LANES, x + h * W + b->w + in.begin, x_end, image_step,
                images, in.end - in.begin);
            clear(to + in.end * LANES, (b->cols - in.end) * LANES);
        }
}

/* A square of vectors, one image a lane, to n <= LANES numbers in each image. */
GR__INLINE void deinterleave_square(
    gr_real *y, int64_t image_step, int images, vec v[LANES], int64_t n)
{
    vec_transpose(v);
    if (images == LANES && n == LANES) {
        GR__UNROLL
        for (int i = 0; i < LANES; i++) vec_store(y + i * image_step, v[i]);
    } else {
        for (int i = 0; i < images; i++) vec_store_some(y + i * image_step, v[i], n);
    }
}

void deinterleave(gr_real *y, int64_t image_step, int images, const gr_real *from, int64_t n)
{
    for (int64_t j = 0; j < n; j += LANES, from += LANES * LANES) {
        vec v[LANES];
        GR__UNROLL
        for (int i = 0; i < LANES; i++) v[i] = vec_load(from + i * LANES);
        deinterleave_square(y + j, image_step, images, v, at_most(LANES, n - j));
    }
}

void deinterleave_ordered(
    gr_real *y, int64_t image_step, int images, const gr_real *from, const int *place, int64_t n)
{
    for (int64_t j = 0; j < n; j += LANES, place += LANES) {
        vec v[LANES];
        GR__UNROLL
        for (int i = 0; i < LANES; i++) v[i] = vec_load(from + place[i] * LANES);
        deinterleave_square(y + j, image_step, images, v, at_most(LANES, n - j));
    }
}
