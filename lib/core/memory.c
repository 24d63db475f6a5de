/* memory.c: blocks, 64-byte aligned, recycled by size class.

   A size class is a multiple of 64 bytes up to 1 KiB and a head, then the head (what stands before a tensor's numbers) and one of four sizes to each doubling. Blocks of up to 32 KiB wait in the thread
   that released them, without a lock, at most 1 MiB a class; the others in the process. Small blocks are cut from slabs.
   Invariant: what is asked again in the same size is found again; nothing goes back to the system before the process ends, so a
   loop that does the same things asks for nothing. From 2 MiB on, blocks lie in pages of that size, where the system has them.

   GRADUS_MEMORY=system takes every block from the system and gives it back, so that valgrind, the sanitizers and tests of failed
   allocations see each one; under the address sanitizer it is the default. */
#define _DEFAULT_SOURCE /* madvise */
#include "core/core.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum {
    UNIT = 64,
    FINE = 16,
    HEAD = GR__BLOCK_HEAD / UNIT,
    CLASSES = FINE + HEAD + 4 * 40,
    LOCAL_CLASSES = FINE + HEAD + 4 * 5,
    SLAB = 64 * 1024,
    HUGE_PAGE = 2 << 20,
    UNTOLD = 64 * 1024,
    LOCAL_MOST = 1 << 20
};

typedef gr__block block;
typedef gr__bin   bin;
typedef gr__cache cache;
_Static_assert((int)LOCAL_CLASSES == (int)GR__LOCAL_CLASSES, "a list for each");

static gr__mutex *const lock = &gr__locks[GR__LOCK_MEMORY];

static struct {
    block         *head[CLASSES];
    unsigned char *slab, *slab_end; /* the uncut rest of the newest slab */
} pool;

static atomic_size_t live, peak, system_bytes, system_calls;

/* A thread that only releases, too, hands over what it has when it ends. */
static cache *own_cache(void) { return &gr__self()->cache; }

/* The class of a size, and the size that its blocks have. */
static inline int class_of(size_t bytes, size_t *size)
{
    size_t units = bytes ? (bytes + UNIT - 1) / UNIT : 1;
    if (units <= FINE + HEAD) {
        *size = units * UNIT;
        return (int)units - 1;
    }
    units -= HEAD;
    int    octave = 63 - __builtin_clzll((unsigned long long)(units - 1)) - 4; /* units in (16, 32] have octave 0 */
    size_t quarter = (size_t)4 << octave;
    size_t part = (units - ((size_t)FINE << octave) + quarter - 1) / quarter; /* 1 .. 4 */
    *size = (((size_t)FINE << octave) + part * quarter + HEAD) * UNIT;
    return FINE + HEAD - 1 + 4 * octave + (int)part;
}

enum { UNKNOWN, RECYCLE, SYSTEM };

static int decide(void)
{
    const char *wish = getenv("GRADUS_MEMORY");
    return wish ? (strcmp(wish, "system") == 0 ? SYSTEM : RECYCLE) : SANITIZED ? SYSTEM : RECYCLE;
}

/* Decided once: blocks of one kind cannot be released as the other. */
static bool recycling(void)
{
    static atomic_int mode = UNKNOWN;
    int               now = atomic_load_explicit(&mode, memory_order_relaxed);
    if (now == UNKNOWN) atomic_store(&mode, now = decide());
    return now == RECYCLE;
}

#ifdef MADV_HUGEPAGE

/* A walk across the images or the channels of a batch steps over more small pages than the processor remembers. What is asked for beyond the
   size, for alignment, is never touched. */
static void *aligned_block(size_t size)
{
    if (size < HUGE_PAGE) return aligned_alloc(UNIT, size);
    void *p = aligned_alloc(HUGE_PAGE, (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (p) madvise(p, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return p;
}

#else

static void *aligned_block(size_t size) { return aligned_alloc(UNIT, size); }

#endif

static void *from_system(size_t size)
{
    void *p = recycling() ? aligned_block(size) : aligned_alloc(UNIT, size);
    if (p) {
        atomic_fetch_add(&system_bytes, size);
        atomic_fetch_add(&system_calls, 1);
    }
    return p;
}

/* With the lock held. */
static void *take_shared(int class, size_t size)
{
    block *b = pool.head[class];
    if (b) {
        pool.head[class] = b->next;
        return b;
    }
    if (size > SLAB / 8) return from_system(size);
    if ((size_t)(pool.slab_end - pool.slab) < size) {
        unsigned char *fresh = from_system(SLAB);
        if (!fresh) return NULL;
        pool.slab = fresh; /* the old slab's rest, under 8 KiB, is given up */
        pool.slab_end = fresh + SLAB;
    }
    void *p = pool.slab;
    pool.slab += size;
    return p;
}

static void tell(cache *c)
{
    size_t now = atomic_fetch_add_explicit(&live, (size_t)c->untold, memory_order_relaxed) + (size_t)c->untold;
    size_t most = atomic_load_explicit(&peak, memory_order_relaxed);
    c->untold = 0;
    while ((ptrdiff_t)now > (ptrdiff_t)most && !atomic_compare_exchange_weak(&peak, &most, now))
        ;
}

static void count_live(cache *c, ptrdiff_t size)
{
    c->untold += size;
    if (c->untold > UNTOLD || c->untold < -UNTOLD) tell(c);
}

void *gr__alloc(size_t bytes)
{
    if (bytes > (size_t)1 << 46) return NULL;
    cache *c = own_cache();
    size_t size;
    int class = class_of(bytes, &size);
    void *p;
    if (!recycling()) {
        p = from_system(size);
    } else if (class < LOCAL_CLASSES && c->bins[class].head) {
        bin *b = &c->bins[class];
        p = b->head;
        b->head = b->head->next;
        b->count--;
    } else {
        gr__lock(lock);
        p = take_shared(class, size);
        gr__unlock(lock);
    }
    if (p) count_live(c, (ptrdiff_t)size);
    return p;
}

/* Moves blocks of a class from this thread to the process until `left` are left. */
static void hand_over(bin *from, int class, int left)
{
    gr__lock(lock);
    while (from->count > left) {
        block *b = from->head;
        from->head = b->next;
        from->count--;
        b->next = pool.head[class];
        pool.head[class] = b;
    }
    gr__unlock(lock);
}

void gr__release(void *p, size_t bytes)
{
    if (!p) return;
    cache *c = own_cache();
    size_t size;
    int class = class_of(bytes, &size);
    count_live(c, -(ptrdiff_t)size);
    if (!recycling()) {
        free(p);
        atomic_fetch_sub(&system_bytes, size);
        return;
    }
    block *b = p;
    if (class < LOCAL_CLASSES) {
        bin *to = &c->bins[class];
        b->next = to->head;
        to->head = b;
        if ((size_t)++to->count * size > LOCAL_MOST) hand_over(to, class, to->count / 2);
        return;
    }
    gr__lock(lock);
    b->next = pool.head[class];
    pool.head[class] = b;
    gr__unlock(lock);
}

void gr__cache_end(cache *c)
{
    for (int class = 0; class < LOCAL_CLASSES; class ++) hand_over(&c->bins[class], class, 0);
    tell(c);
}

gr_memory_info gr_memory(void)
{
    tell(own_cache());
    ptrdiff_t now = (ptrdiff_t)atomic_load(&live); /* negative while one thread has told what it gave back, another not what it took */
    return (gr_memory_info){
        .live = now > 0 ? (size_t)now : 0,
        .peak = atomic_load(&peak),
        .system = atomic_load(&system_bytes),
        .system_calls = atomic_load(&system_calls),
    };
}
