/* shapes.c: coloured shapes on textured backgrounds, 32x32, from a seed.

   A class is a figure, given by how far a point is from its outline. It is turned, stretched, and
   put anywhere, in a colour that is far from the background's; the background is a texture of two
   colours with dots and lines on it; then noise is added. Only the figure determines the class.
   Invariant: image i depends on (seed, i) alone: its random numbers are numbers i * DRAWS, i *
   DRAWS + 1, ... of one stream. And it is the same everywhere, by what draw.h says. */
#include "data/draw.h"

enum {
    FIGURE_SIDE = 32,
    FIGURE_PIXELS = FIGURE_SIDE * FIGURE_SIDE,
    FIGURE_CHANNELS = 3,
    FIGURE_CLASSES = 10,
    FIGURE_DRAWS = 256,
    FIGURE_MOST_POINTS = 20,
    CELLS = 6
};

/* ---- figures ---- */

/* A polygon's corners, in hundredths of the figure's reach, x to the right and y down. */
typedef struct corner {
    signed char x, y;
} corner;

typedef struct figure {
    const char *name;
    float (*outside)(spot p); /* round ones: how far outside p is; negative inside */
    int    count;             /* all others: corners */
    corner at[FIGURE_MOST_POINTS];
} figure;

static float length(float x, float y) { return sqrtf(x * x + y * y); }

static float outside_disk(spot p) { return length(p.x, p.y) - 0.85f; }

static float outside_ring(spot p) { return fabsf(length(p.x, p.y) - 0.72f) - 0.22f; }

static float outside_crescent(spot p)
{
    return larger(length(p.x, p.y) - 0.95f, 0.80f - length(p.x - 0.5f, p.y));
}

static const figure figures[FIGURE_CLASSES] = {
    { "disk", outside_disk, 0, { { 0, 0 } } },
    { "ring", outside_ring, 0, { { 0, 0 } } },
    { "crescent", outside_crescent, 0, { { 0, 0 } } },
    { "triangle", NULL, 3, { { 0, -100 }, { 87, 50 }, { -87, 50 } } },
    { "square", NULL, 4, { { -74, -74 }, { 74, -74 }, { 74, 74 }, { -74, 74 } } },
    { "bar", NULL, 4, { { -98, -26 }, { 98, -26 }, { 98, 26 }, { -98, 26 } } },
    { "cross", NULL, 12,
        { { -27, -96 }, { 27, -96 }, { 27, -27 }, { 96, -27 }, { 96, 27 }, { 27, 27 }, { 27, 96 },
            { -27, 96 }, { -27, 27 }, { -96, 27 }, { -96, -27 }, { -27, -27 } } },
    { "star", NULL, 10,
        { { 0, -105 }, { 25, -34 }, { 100, -32 }, { 40, 13 }, { 62, 85 }, { 0, 42 }, { -62, 85 },
            { -40, 13 }, { -100, -32 }, { -25, -34 } } },
    { "heart", NULL, 16,
        { { 0, 98 }, { 36, 56 }, { 70, 18 }, { 90, -12 }, { 93, -42 }, { 77, -67 }, { 50, -76 },
            { 22, -64 }, { 0, -24 }, { -22, -64 }, { -50, -76 }, { -77, -67 }, { -93, -42 },
            { -90, -12 }, { -70, 18 }, { -36, 56 } } },
    { "arrow", NULL, 7,
        { { 0, -104 }, { 84, 0 }, { 22, 0 }, { 22, 92 }, { -22, 92 }, { -22, 0 }, { -84, 0 } } },
};

/* How far p is from the segment between two points, squared. */
static float distance2(spot p, spot a, spot b)
{
    float dx = b.x - a.x, dy = b.y - a.y, px = p.x - a.x, py = p.y - a.y;
    float t = smaller(1, larger(0, (px * dx + py * dy) / (dx * dx + dy * dy))), ex = px - t * dx,
          ey = py - t * dy;
    return ex * ex + ey * ey;
}

/* p is inside if a line from it to the right crosses the outline an odd number of times. */
static float outside_polygon(const figure *f, spot p)
{
    float nearest = 1e6f;
    bool  inside = false;
    spot  a = { (float)f->at[f->count - 1].x / 100, (float)f->at[f->count - 1].y / 100 };
    for (int i = 0; i < f->count; i++) {
        spot b = { (float)f->at[i].x / 100, (float)f->at[i].y / 100 };
        if ((a.y > p.y) != (b.y > p.y) && p.x < a.x + (p.y - a.y) * (b.x - a.x) / (b.y - a.y))
            inside = !inside;
        nearest = smaller(nearest, distance2(p, a, b));
        a = b;
    }
    return inside ? -sqrtf(nearest) : sqrtf(nearest);
}

/* ---- where the figure lies ---- */

typedef struct figure_place {
    float x, y;       /* the middle, in pixels */
    float c, s;       /* cosine and sine of its turn */
    float reach;      /* from the middle to the tips, in pixels */
    float wide, high; /* how much it is stretched before it is turned */
} figure_place;

static void some_turn(gr_rng *rng, float *c, float *s)
{
    float t = between(rng, 0, 1), x = wave(t + 0.25f), y = wave(t), l = length(x, y);
    *c = x / l;
    *s = y / l;
}

static figure_place some_place(gr_rng *rng)
{
    figure_place q = { .reach = between(rng, 8.5f, 13.5f), .wide = between(rng, 0.88f, 1.12f) };
    q.high = 2 - q.wide;
    q.x = 15.5f + between(rng, -1, 1) * (16 - q.reach);
    q.y = 15.5f + between(rng, -1, 1) * (16 - q.reach);
    some_turn(rng, &q.c, &q.s);
    return q;
}

/* How far a pixel is outside the figure, in pixels. */
static float outside(const figure *f, const figure_place *q, float x, float y)
{
    float dx = (x - q->x) / q->reach, dy = (y - q->y) / q->reach;
    spot  p = { (q->c * dx + q->s * dy) / q->wide, (q->c * dy - q->s * dx) / q->high };
    if (p.x * p.x + p.y * p.y > 2) return q->reach;
    return q->reach * (f->outside ? f->outside(p) : outside_polygon(f, p));
}

/* ---- colours and textures ---- */

typedef struct colour {
    float at[FIGURE_CHANNELS];
} colour;

static colour some_colour(gr_rng *rng)
{
    colour k;
    for (int c = 0; c < FIGURE_CHANNELS; c++) k.at[c] = between(rng, 10, 245);
    return k;
}

/* One not far from k. */
static colour near_colour(gr_rng *rng, const colour *k, float reach)
{
    colour near;
    for (int c = 0; c < FIGURE_CHANNELS; c++)
        near.at[c] = smaller(250, larger(5, k->at[c] + between(rng, -reach, reach)));
    return near;
}

static colour mixed(const colour *a, const colour *b, float t)
{
    colour k;
    for (int c = 0; c < FIGURE_CHANNELS; c++) k.at[c] = a->at[c] + t * (b->at[c] - a->at[c]);
    return k;
}

/* Squared; the eye tells green best, blue worst. */
static float contrast(const colour *a, const colour *b)
{
    float r = a->at[0] - b->at[0], g = a->at[1] - b->at[1], u = a->at[2] - b->at[2];
    return 0.9f * r * r + 1.5f * g * g + 0.6f * u * u;
}

/* Of a few colours the first that is far from both, and from what is between them; else the
   furthest. */
static colour far_colour(gr_rng *rng, const colour *a, const colour *b)
{
    enum { TRIES = 12, ENOUGH = 110 * 110 };
    colour best = { { 0 } }, middle = mixed(a, b, 0.5f);
    float  most = -1;
    for (int i = 0; i < TRIES; i++) {
        colour k = some_colour(rng);
        float  far = smaller(contrast(&k, &middle), smaller(contrast(&k, a), contrast(&k, b)));
        if (most < ENOUGH && far > most) {
            most = far;
            best = k;
        }
    }
    return best;
}

/* Something between 0 and 1 for each point of the plane: a slope, stripes, checks or blotches. */
typedef struct texture {
    int           kind;
    float         c, s, often, phase, other;
    unsigned char cells[CELLS * CELLS];
    colour        from, to;
} texture;

static texture some_texture(gr_rng *rng, const colour *from, const colour *to)
{
    texture t = { .kind = (int)gr_rng_below(rng, 4), .from = *from, .to = *to };
    some_turn(rng, &t.c, &t.s);
    t.often = between(rng, 0.06f, 0.22f);
    t.phase = between(rng, 0, 1);
    t.other = between(rng, 0, 1);
    for (int i = 0; i < CELLS * CELLS; i++) t.cells[i] = (unsigned char)between(rng, 0, 255);
    return t;
}

static float blotches(const texture *t, float x, float y)
{
    float u = x * (CELLS - 1) / FIGURE_SIDE, v = y * (CELLS - 1) / FIGURE_SIDE;
    int   i = (int)u, j = (int)v;
    u -= (float)i;
    v -= (float)j;
    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    const unsigned char *a = t->cells + j * CELLS + i, *b = a + CELLS;
    float                above = (float)a[0] + u * ((float)a[1] - (float)a[0]),
          below = (float)b[0] + u * ((float)b[1] - (float)b[0]);
    return (above + v * (below - above)) / 255;
}

static colour colour_at(const texture *t, float x, float y)
{
    enum { SLOPE, STRIPES, CHECKS };
    float u = t->c * (x - 16) + t->s * (y - 16), v = t->c * (y - 16) - t->s * (x - 16), k;
    if (t->kind == SLOPE)
        k = smaller(1, larger(0, 0.5f + u / FIGURE_SIDE));
    else if (t->kind == STRIPES)
        k = 0.5f + 0.5f * wave(u * t->often + t->phase);
    else if (t->kind == CHECKS)
        k = 0.5f + 0.5f * wave(u * t->often + t->phase) * wave(v * t->often + t->other);
    else
        k = blotches(t, x, y);
    return mixed(&t->from, &t->to, k);
}

/* ---- drawing ---- */

typedef struct figure_canvas {
    colour at[FIGURE_PIXELS];
} figure_canvas;

static void blend(colour *to, const colour *k, float cover)
{
    if (cover > 0) *to = mixed(to, k, smaller(1, cover));
}

static void draw_background(figure_canvas *v, const texture *t)
{
    for (int i = 0; i < FIGURE_PIXELS; i++)
        v->at[i] = colour_at(t, (float)(i % FIGURE_SIDE), (float)(i / FIGURE_SIDE));
}

/* A dot, or a line: what is nearer than half to a segment. */
static void draw_distractor(figure_canvas *v, gr_rng *rng)
{
    colour k = some_colour(rng);
    spot   a = { between(rng, -2, 34), between(rng, -2, 34) }, b;
    float  half = between(rng, 0.4f, 1.1f), c, s, l = between(rng, 0, 26);
    some_turn(rng, &c, &s);
    bool dot = gr_rng_below(rng, 2) == 0;
    if (dot) l = 0.01f, half += 0.8f;
    b = (spot){ a.x + c * l, a.y + s * l };
    for (int i = 0; i < FIGURE_PIXELS; i++) {
        spot p = { (float)(i % FIGURE_SIDE), (float)(i / FIGURE_SIDE) };
        blend(&v->at[i], &k, half + 0.5f - sqrtf(distance2(p, a, b)));
    }
}

static void draw_figure(
    figure_canvas *v, const figure *f, const figure_place *q, const texture *t, float soft)
{
    for (int i = 0; i < FIGURE_PIXELS; i++) {
        float x = (float)(i % FIGURE_SIDE), y = (float)(i / FIGURE_SIDE), out = outside(f, q, x, y);
        colour k = colour_at(t, x, y);
        blend(&v->at[i], &k, 0.5f - out / soft);
    }
}

/* Noise: the sum of two bytes a number. */
static void figure_develop(const figure_canvas *v, float noise, uint64_t key, unsigned char *image)
{
    for (int i = 0; i < FIGURE_PIXELS; i++) {
        uint64_t bits = noise_bytes(key, (uint64_t)i);
        for (int c = 0; c < FIGURE_CHANNELS; c++, bits >>= 16) {
            float grain = ((float)(bits & 255) + (float)(bits >> 8 & 255)) / 255 - 1;
            image[c * FIGURE_PIXELS + i] = to_byte(v->at[i].at[c] + noise * grain);
        }
    }
}

static unsigned char figure_draw(gr_rng rng, unsigned char *image)
{
    figure_canvas v;
    int           label = (int)gr_rng_below(&rng, FIGURE_CLASSES);
    figure_place  q = some_place(&rng);
    float         soft = between(&rng, 0.8f, 1.8f), noise = between(&rng, 2, 30);
    colour a = some_colour(&rng), b = near_colour(&rng, &a, 75), k = far_colour(&rng, &a, &b),
           l = near_colour(&rng, &k, 40);
    texture ground = some_texture(&rng, &a, &b), skin = some_texture(&rng, &k, &l);
    draw_background(&v, &ground);
    for (int64_t n = gr_rng_below(&rng, 5); n > 0; n--) draw_distractor(&v, &rng);
    draw_figure(&v, &figures[label], &q, &skin, soft);
    figure_develop(&v, noise, noise_key(&rng), image);
    return (unsigned char)label;
}

/* ---- the set ---- */

typedef struct figure_task {
    gr_dataset *set;
    gr_rng      rng;
} figure_task;

static void figure_draw_some(const void *arg, int64_t begin, int64_t end)
{
    const figure_task *t = arg;
    for (int64_t i = begin; i < end; i++)
        t->set->labels[i] = figure_draw(rng_of_image(t->rng, i, FIGURE_DRAWS),
            t->set->own + (size_t)i * FIGURE_PIXELS * FIGURE_CHANNELS);
}

gr_dataset *gr_shapes(int64_t count, uint64_t seed)
{
    gr_shape    all = gr_shape(count, FIGURE_CHANNELS, FIGURE_SIDE, FIGURE_SIDE);
    const char *names[FIGURE_CLASSES];
    if (count < 1 || gr__count(&all) < 0) {
        gr__fail(GR_ERR_ARGUMENT, "shapes: there cannot be %lld images", (long long)count);
        return NULL;
    }
    for (int i = 0; i < FIGURE_CLASSES; i++) names[i] = figures[i].name;
    gr_dataset *d = gr__dataset_new(
        gr_shape(FIGURE_CHANNELS, FIGURE_SIDE, FIGURE_SIDE), count, FIGURE_CLASSES, true, "shapes");
    if (!d || !gr__dataset_name(d, names, "shapes")) {
        gr_dataset_free(d);
        return NULL;
    }
    figure_task t = { .set = d, .rng = gr_rng_of(seed, "shapes") };
    gr__parallel(count, 16, figure_draw_some, &t);
    return d;
}
