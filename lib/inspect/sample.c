/* sample.c: which part of its tensors a page contains, so that it stays under 5 MB.

   Invariant: what is kept of a tensor is a box that begins at its first element, and tensors of one
   kind are limited alike, so that the parts of a layer's input and of its result belong
   together. */
#include "inspect/inspect.h"
#include "ops/ops.h"

enum { MOST_BYTES = 4800000, FOR_STYLE = 150000, AN_OPERATION = 900, A_TENSOR = 500 };

static int64_t sample_least(int64_t a, int64_t b) { return a < b ? a : b; }

gr_shape gr__sample_kept(const gr__sample *s, const gr_tensor *t)
{
    gr_shape kept = t->shape;
    bool     batch = !t->param && kept.rank > 1, planes = kept.rank > 2;
    for (int i = 0; i < kept.rank; i++) {
        int64_t most = planes && i >= kept.rank - 2 ? s->side
                       : i == 0 && batch            ? s->images
                       : planes                     ? s->channels
                                                    : s->length;
        kept.dim[i] = sample_least(kept.dim[i], most);
    }
    return kept;
}

/* Four bytes of a number are about 16/3 characters. */
static double characters(const gr__sample *s, const gr_tensor *t)
{
    gr_shape kept = gr__sample_kept(s, t);
    return (double)gr__count(&kept) * 16 / 3;
}

/* A convolution also has the rests of its sums, one for each element of input, kernel and result,
   and parts of gradients. */
static double sample_bytes_of(const gr__sample *s, const gr__graph *gr)
{
    double bytes = FOR_STYLE;
    for (size_t i = 0; i < gr__array_length(gr->tensors); i++)
        bytes += A_TENSOR + characters(s, gr->tensors[i].t) * (gr->tensors[i].g ? 2 : 1);
    for (size_t k = 0; k < gr__array_length(gr->operations); k++) {
        const gr__graph_operation *op = &gr->operations[k];
        gr__conv                   c;
        gr_act                     act;
        bytes += AN_OPERATION;
        if (!gr__conv_of(op->nd, &c, &act)) continue;
        bytes += characters(s, op->nd->out);
        for (int i = 0; i < 2; i++) {
            const gr__graph_tensor *in = &gr->tensors[gr->uses[op->uses + (size_t)i].tensor];
            bytes += characters(s, in->t) * (in->flows > 1 ? 2 : 1);
        }
    }
    return bytes;
}

/* Halves one limit until the page is smaller. Returns its size then; the size as before: no half
   above the floor makes it smaller. */
static double sample_halve(gr__sample *s, int64_t *at, int64_t floor, const gr__graph *gr)
{
    double before = sample_bytes_of(s, gr), bytes = before;
    while (bytes >= before && *at / 2 >= floor) {
        *at /= 2;
        bytes = sample_bytes_of(s, gr);
    }
    return bytes;
}

/* The next smaller sample: by fewer images if that helps, since one image shows most of what can be
   seen, or else by the limit that saves most. false: there is none. */
static bool shrink(gr__sample *s, const gr__graph *gr, const gr__sample *floor)
{
    double     fewest = sample_bytes_of(s, gr), before = fewest;
    gr__sample best = *s;
    for (int i = 0; i < 4; i++) {
        gr__sample try = *s;
        int64_t   *at[] = { &try.images, &try.channels, &try.side, &try.length };
        int64_t    low[] = { floor->images, floor->channels, floor->side, floor->length };
        double     bytes = sample_halve(&try, at[i], low[i], gr);
        if (bytes >= fewest) continue;
        fewest = bytes;
        best = try;
        if (i == 0) break;
    }
    *s = best;
    return fewest < before;
}

bool gr__sample_of(gr__sample *s, const gr__graph *gr, const char *what)
{
    /* Sides last, so that the planes that are shown are whole if they can be. */
    static const gr__sample floor[] = { { 1, 4, 256, 64 }, { 1, 4, 32, 64 }, { 1, 1, 1, 1 } };
    *s = (gr__sample){ .images = 8, .channels = 256, .side = 256, .length = 1024 };
    while (sample_bytes_of(s, gr) > MOST_BYTES)
        if (!shrink(s, gr, &floor[0]) && !shrink(s, gr, &floor[1]) && !shrink(s, gr, &floor[2]))
            return gr__fail(GR_ERR_GRAPH, "%s: %zu operations are too many for a page", what,
                gr__array_length(gr->operations));
    return true;
}
