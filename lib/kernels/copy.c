/* copy.c: boxes copied element by element. Invariant: the box is first brought to its plainest form
   (no dimension of one, no two neighbours that are one run in both arrays), which changes the order
   of the copying but not what goes where. */
#include "table.h"

/* Dimensions of one go; two neighbours that step through memory as one become one. Returns false
   for an empty box. */
static bool simplify(gr__box *b)
{
    int rank = 0;
    for (int d = 0; d < b->rank; d++) {
        if (b->dim[d] == 0) return false;
        if (b->dim[d] == 1) continue;
        bool merges = rank > 0 && b->to[rank - 1] == b->to[d] * b->dim[d] &&
                      b->from[rank - 1] == b->from[d] * b->dim[d];
        int into = merges ? rank - 1 : rank++;
        b->dim[into] = merges ? b->dim[into] * b->dim[d] : b->dim[d];
        b->to[into] = b->to[d];
        b->from[into] = b->from[d];
    }
    b->rank = rank;
    return true;
}

/* Brings the dimension along which `from` is contiguous next to the innermost, along which `to` is:
   a transposition. */
static void pair_up(gr__box *b)
{
    int last = b->rank - 1, d = 0;
    while (d < last && b->from[d] != 1) d++;
    if (d >= last || b->to[last] != 1 || b->from[last] == 1) return;
    int64_t dim = b->dim[d], to = b->to[d];
    for (; d < last - 1; d++) {
        b->dim[d] = b->dim[d + 1];
        b->to[d] = b->to[d + 1];
        b->from[d] = b->from[d + 1];
    }
    b->dim[d] = dim;
    b->to[d] = to;
    b->from[d] = 1;
}

/* Tiles small enough that the lines read and the lines written stay in the nearest cache
   together. */
enum { COPY_TILE = 16 };

#define COPY_PLANE(type)                                                                          \
    static void plane_##type(                                                                     \
        type *to, const type *from, const int64_t dim[2], const int64_t t[2], const int64_t f[2]) \
    {                                                                                             \
        for (int64_t i0 = 0; i0 < dim[0]; i0 += COPY_TILE)                                        \
            for (int64_t j0 = 0; j0 < dim[1]; j0 += COPY_TILE)                                    \
                for (int64_t i = i0; i < at_most(i0 + COPY_TILE, dim[0]); i++)                    \
                    for (int64_t j = j0; j < at_most(j0 + COPY_TILE, dim[1]); j++)                \
                        to[i * t[0] + j * t[1]] = from[i * f[0] + j * f[1]];                      \
    }

COPY_PLANE(uint32_t)
COPY_PLANE(uint64_t)

/* The two innermost dimensions; offsets in elements. */
static void copy_plane(char *to, const char *from, size_t element, const int64_t dim[2],
    const int64_t t[2], const int64_t f[2])
{
    if (t[1] == 1 && f[1] == 1) {
        for (int64_t i = 0; i < dim[0]; i++)
            memcpy(to + i * t[0] * (int64_t)element, from + i * f[0] * (int64_t)element,
                (size_t)dim[1] * element);
    } else if (element == sizeof(uint32_t)) {
        plane_uint32_t((uint32_t *)(void *)to, (const uint32_t *)(const void *)from, dim, t, f);
    } else {
        plane_uint64_t((uint64_t *)(void *)to, (const uint64_t *)(const void *)from, dim, t, f);
    }
}

void GR__NAME(copy_box)(void *to, const void *from, size_t element, const gr__box *box)
{
    gr__box b = *box;
    if (!simplify(&b)) return;
    pair_up(&b);
    int     outer = b.rank > 2 ? b.rank - 2 : 0, inner = b.rank - outer;
    int64_t dim[2] = { 1, 1 }, t[2] = { 0, 1 }, f[2] = { 0, 1 };
    for (int d = 0; d < inner; d++) {
        dim[2 - inner + d] = b.dim[outer + d];
        t[2 - inner + d] = b.to[outer + d];
        f[2 - inner + d] = b.from[outer + d];
    }
    int64_t index[GR_MAX_DIMS] = { 0 }, at = 0, by = 0;
    for (int d = 0; d >= 0;) {
        copy_plane((char *)to + at * (int64_t)element, (const char *)from + by * (int64_t)element,
            element, dim, t, f);
        for (d = outer - 1; d >= 0;
             d--) { /* the next place of the outer dimensions, last one fastest */
            at += b.to[d];
            by += b.from[d];
            if (++index[d] < b.dim[d]) break;
            at -= b.to[d] * b.dim[d];
            by -= b.from[d] * b.dim[d];
            index[d] = 0;
        }
    }
}
