/* images.c: bytes become numbers, (byte / 255 - mean) / std.

   Invariant: a byte gives the same number everywhere, because all go through one table of 256. */
#include "data/data.h"

#include <math.h>

bool gr__byte_table(gr_real table[256], double mean, double std, const char *what)
{
    double by = std == 0 ? 1 : std;
    if (!(by > 0) || !isfinite(by) || !isfinite(mean))
        return gr__fail(GR_ERR_ARGUMENT,
            "%s: mean %g and std %g: both must be finite, and std over 0", what, mean, std);
    for (int i = 0; i < 256; i++) table[i] = (gr_real)((i / 255.0 - mean) / by);
    return true;
}

void gr__numbers_of(gr_real *y, const unsigned char *bytes, size_t n, const gr_real table[256])
{
    for (size_t i = 0; i < n; i++) y[i] = table[bytes[i]];
}

static bool images_check(const gr_shape *s, int64_t first, int64_t count)
{
    if (s->rank != 3)
        return gr__fail(
            GR_ERR_ARGUMENT, "images: the IDX file has sizes %s, not (N,H,W)", gr__shape_text(s).s);
    if (first >= 0 && count >= 1 && first < s->dim[0] && count <= s->dim[0] - first) return true;
    return gr__fail(GR_ERR_ARGUMENT, "images: %lld image%s from index %lld on: %s has %lld",
        (long long)count, gr__plural(count, "s"), (long long)first, gr__shape_text(s).s,
        (long long)s->dim[0]);
}

gr_tensor *gr_images_(const gr_idx *idx, gr_images_options o)
{
    if (!idx) {
        gr__fail(GR_ERR_ARGUMENT, "images: the IDX file is NULL");
        return NULL;
    }
    gr_shape s = gr_idx_shape(idx);
    gr_real  table[256];
    int64_t  count = o.count ? o.count : 1;
    if (!images_check(&s, o.first, count) || !gr__byte_table(table, o.mean, o.std, "images"))
        return NULL;
    gr_tensor *t = gr__tensor(GR_REAL, &gr_shape(count, 1, s.dim[1], s.dim[2]), "images");
    if (t) gr__numbers_of(gr__reals(t), gr_idx_bytes(idx, o.first), (size_t)t->count, table);
    return gr__own_leaf(t);
}
