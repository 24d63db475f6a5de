/* containers.c: arrays and string maps, by stb_ds, the only file that includes it.

   stb_ds cannot report a failed allocation. Here its realloc hook jumps back to the wrapper that
   was about to grow something. Invariant: a jump leaves the container as it was, because nothing
   has changed yet when it happens. An array grows by one realloc. A map's array is made with the
   map and grown before stb_ds's put, and its keys are copied here, so that the one allocation left
   inside the put, a new index, comes before the entry is added.

   What a container holds may move, so nodes and tensors are never inside one, only pointers to
   them. */
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

static void *grow(void *p, size_t size)
{
    void *q = gr__realloc(p, size);
    if (!q && gr__me && gr__me->when_full) longjmp(*gr__me->when_full, 1);
    return q;
}

/* Renamed, so that a program that compiles stb_ds itself can link us statically. */
#define stbds_arrgrowf gr__stbds_arrgrowf
#define stbds_arrfreef gr__stbds_arrfreef
#define stbds_hash_bytes gr__stbds_hash_bytes
#define stbds_hash_string gr__stbds_hash_string
#define stbds_rand_seed gr__stbds_rand_seed
#define stbds_hmfree_func gr__stbds_hmfree_func
#define stbds_hmget_key gr__stbds_hmget_key
#define stbds_hmget_key_ts gr__stbds_hmget_key_ts
#define stbds_hmput_default gr__stbds_hmput_default
#define stbds_hmput_key gr__stbds_hmput_key
#define stbds_hmdel_key gr__stbds_hmdel_key
#define stbds_shmode_func gr__stbds_shmode_func
#define stbds_stralloc gr__stbds_stralloc
#define stbds_strreset gr__stbds_strreset
#define stbds_unit_tests gr__stbds_unit_tests
#define STBDS_REALLOC(context, p, size) grow((p), (size))
#define STBDS_FREE(context, p) free(p)
#define STB_DS_IMPLEMENTATION
#include <stb_ds.h>

/* ---- arrays: of any item, by its size ---- */

/* Makes room for one more item behind the array's own start; false and unchanged when there is none
   to be had. */
static bool make_room(void **start, size_t size)
{
    jmp_buf here;
    if (setjmp(here)) {
        gr__self()->when_full = NULL;
        return false;
    }
    gr__self()->when_full = &here;
    *start = stbds_arrgrowf(*start, size, 1, 0);
    gr__self()->when_full = NULL;
    return true;
}

bool gr__array_push(void *array, const void *item, size_t size)
{
    void *a;
    memcpy(&a, array, sizeof a);
    if (!a || stbds_header(a)->length == stbds_header(a)->capacity) {
        if (!make_room(&a, size)) return false;
        memcpy(array, &a, sizeof a);
    }
    memcpy((char *)a + size * stbds_header(a)->length++, item, size);
    return true;
}

size_t gr__array_length(const void *array) { return array ? stbds_header(array)->length : 0; }

void gr__array_truncate(void *array, size_t length)
{
    if (array) stbds_header(array)->length = length;
}

void gr__array_free(void *array)
{
    void *a;
    memcpy(&a, array, sizeof a);
    arrfree(a);
    memcpy(array, &a, sizeof a);
}

/* ---- maps from strings to pointers ---- */

typedef struct entry {
    char *key;
    void *value;
} entry;

struct gr__map {
    entry *entries;
};

/* stb_ds draws the seed of each new index from one static number. */
static gr__mutex *const seed = &gr__locks[GR__LOCK_MAPS];

static bool put(gr__map *m, char *key, void *value)
{
    jmp_buf here;
    gr__lock(seed);
    bool room = !setjmp(here);
    gr__self()->when_full = room ? &here : NULL;
    if (room) shput(m->entries, key, value);
    gr__self()->when_full = NULL;
    gr__unlock(seed);
    return room;
}

/* The item array begins one before what stb_ds calls the map: place 0 is its default entry. */
static bool reserve(gr__map *m)
{
    void *items = m->entries - 1;
    if (stbds_header(items)->length < stbds_header(items)->capacity) return true;
    if (!make_room(&items, sizeof(entry))) return false;
    m->entries = (entry *)items + 1;
    return true;
}

static bool make_default(gr__map *m)
{
    jmp_buf here;
    if (setjmp(here)) {
        gr__self()->when_full = NULL;
        return false;
    }
    gr__self()->when_full = &here;
    shdefault(m->entries, NULL);
    gr__self()->when_full = NULL;
    return true;
}

gr__map *gr__map_new(void)
{
    gr__map *m = calloc(1, sizeof *m);
    if (m && !make_default(m)) {
        free(m);
        m = NULL;
    }
    return m;
}

static entry *find(const gr__map *m, const char *key)
{
    union {
        const char *in;
        void       *out;
    } name = { .in = key };
    ptrdiff_t at;
    entry    *e =
        stbds_hmget_key_ts(m->entries, sizeof *e, name.out, sizeof name.out, &at, STBDS_HM_STRING);
    return at < 0 ? NULL : &e[at];
}

bool gr__map_put(gr__map *m, const char *key, void *value)
{
    entry *old = find(m, key);
    if (old) {
        old->value = value;
        return true;
    }
    size_t size = strlen(key) + 1;
    char  *copy = malloc(size);
    if (!copy) return false;
    memcpy(copy, key, size);
    if (reserve(m) && put(m, copy, value)) return true;
    free(copy);
    return false;
}

void *gr__map_get(const gr__map *m, const char *key)
{
    const entry *e = find(m, key);
    return e ? e->value : NULL;
}

void gr__map_free(gr__map *m)
{
    if (!m) return;
    for (ptrdiff_t i = 0; i < shlen(m->entries); i++) free(m->entries[i].key);
    shfree(m->entries);
    free(m);
}
