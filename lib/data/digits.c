/* digits.c: digits as a hand might write them, 28x28, from a seed.

   A class has a few ways of being written, each a list of strokes through points. The points are
   moved by a smooth random warp and a random affine map, joined by a curve, and drawn with a pen of
   random width, softness and pressure; then noise is added. Invariant: image i depends on (seed, i)
   alone: its random numbers are numbers i * DRAWS, i * DRAWS + 1, ... of one stream. And it is the
   same everywhere: of floating point it uses only what IEEE 754 rounds in one way, no sine, no
   fused multiply-add. */
#include "data/draw.h"

enum {
    DIGIT_SIDE = 28,
    DIGIT_PIXELS = DIGIT_SIDE * DIGIT_SIDE,
    DIGIT_CLASSES = 10,
    DIGIT_DRAWS = 64,
    DIGIT_MOST_POINTS = 24,
    PIECES = 4
};

/* ---- the ways of writing ---- */

/* A point in hundredths of the digit's box, x to the right and y down; UP lifts the pen. */
typedef struct point {
    signed char x, y;
} point;

#define UP         \
    {              \
        -100, -100 \
    }

typedef struct glyph {
    int   digit, count;
    point at[DIGIT_MOST_POINTS];
} glyph;

static const glyph glyphs[] = {
    { 0, 9,
        { { 52, 0 }, { 22, 15 }, { 10, 50 }, { 22, 86 }, { 50, 100 }, { 80, 85 }, { 90, 50 },
            { 80, 14 }, { 52, 0 } } },
    { 0, 10,
        { { 66, 6 }, { 38, 3 }, { 14, 28 }, { 10, 62 }, { 28, 96 }, { 62, 97 }, { 87, 66 },
            { 85, 28 }, { 62, 4 }, { 44, 10 } } },
    { 1, 3, { { 52, 0 }, { 50, 50 }, { 49, 100 } } },
    { 1, 6, { { 30, 24 }, { 54, 0 }, UP, { 54, 0 }, { 52, 50 }, { 52, 100 } } },
    { 1, 9,
        { { 28, 22 }, { 52, 0 }, UP, { 52, 0 }, { 51, 50 }, { 51, 100 }, UP, { 24, 100 },
            { 78, 99 } } },
    { 2, 10,
        { { 16, 24 }, { 28, 5 }, { 55, 0 }, { 80, 14 }, { 78, 40 }, { 50, 70 }, { 14, 99 }, UP,
            { 14, 99 }, { 88, 97 } } },
    { 2, 10,
        { { 18, 18 }, { 45, 0 }, { 76, 12 }, { 74, 42 }, { 48, 76 }, { 22, 97 }, { 10, 86 },
            { 24, 77 }, { 52, 90 }, { 92, 92 } } },
    { 3, 11,
        { { 18, 12 }, { 46, 0 }, { 77, 12 }, { 72, 36 }, { 40, 47 }, UP, { 40, 47 }, { 78, 56 },
            { 84, 80 }, { 52, 100 }, { 14, 88 } } },
    { 3, 12,
        { { 18, 2 }, { 82, 2 }, UP, { 82, 2 }, { 44, 40 }, UP, { 44, 40 }, { 78, 50 }, { 86, 76 },
            { 64, 98 }, { 34, 99 }, { 12, 88 } } },
    { 4, 9,
        { { 56, 0 }, { 34, 34 }, { 8, 64 }, UP, { 8, 64 }, { 92, 61 }, UP, { 68, 34 },
            { 65, 100 } } },
    { 4, 8, { { 67, 0 }, { 8, 66 }, UP, { 8, 66 }, { 94, 66 }, UP, { 67, 0 }, { 67, 100 } } },
    { 4, 9,
        { { 20, 2 }, { 15, 34 }, { 28, 54 }, { 56, 53 }, { 78, 42 }, UP, { 82, 0 }, { 76, 50 },
            { 72, 100 } } },
    { 5, 12,
        { { 82, 2 }, { 26, 3 }, UP, { 26, 3 }, { 20, 46 }, UP, { 20, 46 }, { 52, 38 }, { 82, 56 },
            { 80, 84 }, { 50, 100 }, { 14, 90 } } },
    { 5, 10,
        { { 84, 4 }, { 50, 2 }, { 30, 8 }, { 22, 38 }, { 44, 46 }, { 74, 54 }, { 78, 76 },
            { 60, 96 }, { 34, 99 }, { 12, 90 } } },
    { 6, 10,
        { { 70, 0 }, { 38, 20 }, { 17, 56 }, { 20, 86 }, { 48, 100 }, { 78, 88 }, { 80, 64 },
            { 56, 52 }, { 30, 62 }, { 18, 80 } } },
    { 6, 9,
        { { 46, 0 }, { 26, 36 }, { 14, 74 }, { 34, 99 }, { 66, 96 }, { 80, 74 }, { 62, 56 },
            { 36, 62 }, { 18, 78 } } },
    { 7, 6, { { 12, 4 }, { 86, 3 }, UP, { 86, 3 }, { 58, 48 }, { 42, 100 } } },
    { 7, 9,
        { { 12, 5 }, { 86, 3 }, UP, { 86, 3 }, { 60, 44 }, { 46, 100 }, UP, { 28, 50 },
            { 78, 47 } } },
    { 7, 8, { { 12, 18 }, { 16, 4 }, UP, { 16, 4 }, { 84, 5 }, UP, { 84, 5 }, { 50, 100 } } },
    { 8, 12,
        { { 74, 14 }, { 48, 0 }, { 22, 16 }, { 34, 40 }, { 66, 58 }, { 80, 80 }, { 52, 100 },
            { 20, 82 }, { 34, 58 }, { 64, 40 }, { 78, 18 }, { 60, 2 } } },
    { 8, 15,
        { { 50, 0 }, { 26, 8 }, { 26, 34 }, { 50, 46 }, { 74, 34 }, { 74, 8 }, { 50, 0 }, UP,
            { 50, 46 }, { 20, 62 }, { 22, 92 }, { 50, 100 }, { 80, 90 }, { 80, 60 }, { 50, 46 } } },
    { 9, 11,
        { { 80, 20 }, { 56, 0 }, { 24, 10 }, { 20, 38 }, { 46, 52 }, { 72, 40 }, { 80, 20 }, UP,
            { 80, 20 }, { 78, 60 }, { 70, 100 } } },
    { 9, 10,
        { { 78, 12 }, { 46, 0 }, { 20, 20 }, { 32, 48 }, { 64, 46 }, { 80, 16 }, { 82, 50 },
            { 72, 84 }, { 46, 100 }, { 20, 92 } } },
};

enum { GLYPHS = sizeof glyphs / sizeof glyphs[0] };

static bool is_up(point p) { return p.x == -100; }

static const glyph *some_glyph(gr_rng *rng, int digit)
{
    int ways = 0, first = GLYPHS;
    for (int i = GLYPHS - 1; i >= 0; i--)
        if (glyphs[i].digit == digit) {
            first = i;
            ways++;
        }
    return &glyphs[first + (int)gr_rng_below(rng, ways)];
}

/* ---- where the strokes go ---- */

typedef struct warp {
    float xx, xy, yx, yy;    /* the affine map about the middle of the box */
    float x0, y0;            /* and where the middle goes, in pixels */
    float bend[4], phase[4]; /* of waves that bend the box before it is mapped; phases in turns */
} warp;

static warp some_warp(gr_rng *rng)
{
    warp  w;
    float turn = about(rng, 0, 0.38f), slant = about(rng, 0.08f, 0.38f);
    float height = about(rng, 18.5f, 4.5f), width = about(rng, 14.5f, 5.0f);
    /* h is nearly the tangent of half the angle */
    float h = turn / 2, c = (1 - h * h) / (1 + h * h), s = 2 * h / (1 + h * h);
    w.xx = c * width;
    w.yx = s * width;
    w.xy = -c * slant * height - s * height;
    w.yy = -s * slant * height + c * height;
    w.x0 = 13.5f + about(rng, 0, 3.5f);
    w.y0 = 13.5f + about(rng, 0, 3.5f);
    for (int i = 0; i < 4; i++) {
        w.bend[i] = about(rng, 0, 0.085f);
        w.phase[i] = between(rng, 0, 1);
    }
    return w;
}

static spot digit_place(const warp *w, point p)
{
    float x = (float)p.x / 100, y = (float)p.y / 100;
    float u = x + w->bend[0] * wave(0.64f * y + w->phase[0]) +
              w->bend[1] * wave(0.8f * x + w->phase[1]) - 0.5f;
    float v = y + w->bend[2] * wave(0.64f * x + w->phase[2]) +
              w->bend[3] * wave(0.8f * y + w->phase[3]) - 0.5f;
    return (spot){ w->x0 + w->xx * u + w->xy * v, w->y0 + w->yx * u + w->yy * v };
}

/* ---- drawing ---- */

typedef struct digit_canvas {
    /* squared distances to the nearest stroke, in units of the pen's half width there */
    float near[DIGIT_PIXELS];
    float half, swell, phase; /* the pen: half width, how much it swells along the way, and where */
    float reach;              /* further from the stroke than this there is no ink */
    int   drawn;              /* pieces so far */
} digit_canvas;

static int clamp(float x) { return x < 0 ? 0 : x > DIGIT_SIDE - 1 ? DIGIT_SIDE - 1 : (int)x; }

static void draw_piece(digit_canvas *c, spot a, spot b)
{
    float half = c->half * (1 + c->swell * wave(0.055f * (float)c->drawn++ + c->phase)),
          scale = 1 / (half * half);
    int   x0 = clamp(smaller(a.x, b.x) - c->reach), x1 = clamp(larger(a.x, b.x) + c->reach + 1);
    int   y0 = clamp(smaller(a.y, b.y) - c->reach), y1 = clamp(larger(a.y, b.y) + c->reach + 1);
    float dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy + 1e-12f, per = 1 / length2;
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++) {
            float  px = (float)x - a.x, py = (float)y - a.y;
            /* the nearest point of the piece */
            float  t = smaller(1, larger(0, (px * dx + py * dy) * per));
            float  ex = px - t * dx, ey = py - t * dy, d = (ex * ex + ey * ey) * scale;
            float *near = &c->near[y * DIGIT_SIDE + x];
            *near = smaller(*near, d);
        }
}

/* The point at t of the Catmull-Rom curve from b to c, whose neighbours are a and d. */
static spot on_curve(spot a, spot b, spot c, spot d, float t)
{
    float t2 = t * t, t3 = t2 * t;
    float ka = (-t3 + 2 * t2 - t) / 2, kb = (3 * t3 - 5 * t2 + 2) / 2,
          kc = (-3 * t3 + 4 * t2 + t) / 2, kd = (t3 - t2) / 2;
    return (spot){ ka * a.x + kb * b.x + kc * c.x + kd * d.x,
        ka * a.y + kb * b.y + kc * c.y + kd * d.y };
}

static void draw_stroke(digit_canvas *c, const spot *p, int n)
{
    for (int i = 0; i + 1 < n; i++) {
        spot before = i > 0 ? p[i - 1] : p[i], after = i + 2 < n ? p[i + 2] : p[i + 1], from = p[i];
        for (int k = 1; k <= PIECES; k++) {
            spot to = on_curve(before, p[i], p[i + 1], after, (float)k / PIECES);
            draw_piece(c, from, to);
            from = to;
        }
    }
}

static void draw_glyph(digit_canvas *c, const glyph *g, const warp *w)
{
    spot stroke[DIGIT_MOST_POINTS];
    int  n = 0;
    for (int i = 0; i < g->count; i++) {
        if (!is_up(g->at[i])) stroke[n++] = digit_place(w, g->at[i]);
        if (is_up(g->at[i]) || i == g->count - 1) {
            draw_stroke(c, stroke, n);
            n = 0;
        }
    }
}

/* Ink where the pen was, fading over the soft edge; and noise, the sum of two bytes a pixel. */
static void digit_develop(
    const digit_canvas *c, float soft, float ink, float noise, uint64_t key, unsigned char *image)
{
    float edge = c->half / soft;
    for (int i = 0; i < DIGIT_PIXELS; i += 4) {
        uint64_t bits = noise_bytes(key, (uint64_t)i);
        for (int k = 0; k < 4; k++, bits >>= 16) {
            float cover = smaller(1, larger(0, (1 - sqrtf(c->near[i + k])) * edge + 0.5f));
            float grain = ((float)(bits & 255) + (float)(bits >> 8 & 255)) / 255 - 1;
            image[i + k] = to_byte(ink * cover + noise * grain);
        }
    }
}

static unsigned char digit_draw(gr_rng rng, unsigned char *image)
{
    int          digit = (int)gr_rng_below(&rng, DIGIT_CLASSES);
    const glyph *g = some_glyph(&rng, digit);
    warp         w = some_warp(&rng);
    digit_canvas c = { .half = about(&rng, 1.3f, 0.65f),
        .swell = between(&rng, 0, 0.25f),
        .phase = between(&rng, 0, 1) };
    float        soft = between(&rng, 0.8f, 2.2f), ink = between(&rng, 190, 270),
          noise = between(&rng, 0, 40);
    c.reach = 1.25f * (c.half + soft / 2);
    for (int i = 0; i < DIGIT_PIXELS; i++) c.near[i] = 1e6f;
    draw_glyph(&c, g, &w);
    digit_develop(&c, soft, ink, noise, noise_key(&rng), image);
    return (unsigned char)digit;
}

/* ---- the set ---- */

typedef struct digit_task {
    gr_dataset *set;
    gr_rng      rng;
} digit_task;

static void digit_draw_some(const void *arg, int64_t begin, int64_t end)
{
    const digit_task *t = arg;
    for (int64_t i = begin; i < end; i++) {
        t->set->labels[i] = digit_draw(
            rng_of_image(t->rng, i, DIGIT_DRAWS), t->set->own + (size_t)i * DIGIT_PIXELS);
    }
}

gr_dataset *gr_digits(int64_t count, uint64_t seed)
{
    gr_shape all = gr_shape(count, DIGIT_SIDE, DIGIT_SIDE);
    if (count < 1 || gr__count(&all) < 0) {
        gr__fail(GR_ERR_ARGUMENT, "digits: there cannot be %lld images", (long long)count);
        return NULL;
    }
    gr_dataset *d =
        gr__dataset_new(gr_shape(1, DIGIT_SIDE, DIGIT_SIDE), count, DIGIT_CLASSES, true, "digits");
    if (!d) return NULL;
    digit_task t = { .set = d, .rng = gr_rng_of(seed, "digits") };
    gr__parallel(count, 64, digit_draw_some, &t);
    return d;
}
