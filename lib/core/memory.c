/* memory.c: blocks, 64-byte aligned, recycled by size class.

   A size class is a multiple of 64 bytes up to 1 KiB and a head, then the head (what stands before
   a tensor's numbers) and one of four sizes to each doubling. Blocks of up to 32 KiB wait in the
   thread that released them, without a lock, at most 1 MiB a class; the others in the process.
   Blocks of up to 8 KiB are cut from slabs of 64 KiB; a slab goes back when all of it waits in the
   process. From 2 MiB on, blocks are mappings, in pages of that size where the system has them.

   What is asked again in the same size is found again, so a loop that does the same things asks the
   system for nothing. What waits in the process, in blocks of their own and in slabs, is bounded by
   twice the recent need each: the most that was in use at once, in this window of traffic or in the
   one before. A window ends when 64 times the need have been handed out, so that the clock decides
   nothing. What is over the bound goes back, the size that was asked for least recently first. When
   the system refuses, all that waits goes back and it is asked again.

   GRADUS_MEMORY=system takes every block from the system and gives it back, so that valgrind, the
   sanitizers and tests of failed allocations see each one; under the address sanitizer it is the
   default. */
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
    MEMORY_CLASSES = FINE + HEAD + 4 * 40,
    LOCAL_CLASSES = FINE + HEAD + 4 * 5,
    SLAB = 64 * 1024,
    HUGE_PAGE = 2 << 20,
    UNREPORTED = 64 * 1024,
    LOCAL_MOST = 1 << 20,
    FLOOR = 4 << 20, /* so much may always wait */
    PATIENCE = 64    /* a window of traffic, in needs */
};

/* The most that one block may have: far under what sums of sizes could overflow. */
#define LARGEST (SIZE_MAX / 2 < (1ULL << 46) ? SIZE_MAX / 2 : (size_t)(1ULL << 46))

typedef gr__block memory_block;
typedef gr__bin   bin;
typedef gr__cache cache;
_Static_assert((int)LOCAL_CLASSES == (int)GR__LOCAL_CLASSES, "a list for each");

static gr__mutex *const memory_lock = &gr__locks[GR__LOCK_MEMORY];

/* The head of a slab, which begins at a multiple of its size. */
typedef struct slab {
    struct slab *next;
    size_t       cut, idle; /* bytes in blocks; of these, what a sweep has found waiting */
} slab;

static struct {
    memory_block *head[MEMORY_CLASSES];
    uint64_t asked[MEMORY_CLASSES], asks; /* when a class was last asked for, counted in requests */
    slab    *slabs;                       /* newest first: blocks are cut from that one */
    /* bytes in the lists: in blocks of their own, in pieces of slabs */
    size_t   waiting, crumbs;
    size_t   swept; /* the crumbs that the last sweep left */
    /* in use at once, in this window and the one before; bytes handed out in this one */
    size_t   most, before, traffic;
} memory_pool;

static atomic_uint trims; /* how often all threads were asked to hand over what waits with them */

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
    /* units in (16, 32] have octave 0 */
    int    octave = 63 - __builtin_clzll((unsigned long long)(units - 1)) - 4;
    size_t quarter = (size_t)4 << octave;
    size_t part = (units - ((size_t)FINE << octave) + quarter - 1) / quarter; /* 1 .. 4 */
    *size = (((size_t)FINE << octave) + part * quarter + HEAD) * UNIT;
    return FINE + HEAD - 1 + 4 * octave + (int)part;
}

static size_t size_of(int class)
{
    int k = class - (FINE + HEAD);
    if (k < 0) return (size_t)(class + 1) * UNIT;
    return (((size_t)FINE << k / 4) + (size_t)(k % 4 + 1) * ((size_t)4 << k / 4) + HEAD) * UNIT;
}

static bool of_slabs(size_t size) { return size <= SLAB / 8; }

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

/* ---- from the system, and back to it --------------------------------------------------------- */

/* To a multiple of every usual size of page. */
static size_t whole_pages(size_t size) { return (size + SLAB - 1) / SLAB * SLAB; }

/* A mapping of its own can be given back whatever lies beside it. */
static void *map(size_t size, size_t alignment)
{
    size_t         pages = whole_pages(size), more = pages + alignment;
    unsigned char *p = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    size_t lead = (alignment - (uintptr_t)p % alignment) % alignment;
    if (lead > 0) munmap(p, lead);
    munmap(p + lead + pages, alignment - lead);
    return p + lead;
}

/* A walk across the images or the channels of a batch steps over more small pages than the
   processor remembers. */
static void *map_huge(size_t size)
{
    void *p = map(size, HUGE_PAGE);
#ifdef MADV_HUGEPAGE
    if (p) madvise(p, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return p;
}

static void *memory_counted(void *p, size_t size)
{
    if (p) {
        atomic_fetch_add(&system_bytes, size);
        atomic_fetch_add(&system_calls, 1);
    }
    return p;
}

static bool mapped(size_t size) { return size >= HUGE_PAGE && recycling(); }

static void *from_system(size_t size)
{
    return memory_counted(mapped(size) ? map_huge(size) : aligned_alloc(UNIT, size), size);
}

static void to_system(void *p, size_t size)
{
    if (mapped(size))
        munmap(p, whole_pages(size));
    else
        free(p);
    atomic_fetch_sub(&system_bytes, size);
}

/* ---- giving back; all with the lock held ----------------------------------------------------- */

static slab *slab_of(memory_block *b) { return (slab *)((uintptr_t)b & ~(uintptr_t)(SLAB - 1)); }

static void put_shared(memory_block *b, int class, size_t size)
{
    b->next = memory_pool.head[class];
    memory_pool.head[class] = b;
    *(of_slabs(size) ? &memory_pool.crumbs : &memory_pool.waiting) += size;
}

static memory_block *take_waiting(int class, size_t size)
{
    memory_block *b = memory_pool.head[class];
    if (!b) return NULL;
    memory_pool.head[class] = b->next;
    *(of_slabs(size) ? &memory_pool.crumbs : &memory_pool.waiting) -= size;
    return b;
}

static void drop_idle_blocks(int class)
{
    for (memory_block **at = &memory_pool.head[class]; *at;) {
        const slab *s = slab_of(*at);
        if (s->idle == s->cut) {
            *at = (*at)->next;
            memory_pool.crumbs -= size_of(class);
        } else {
            at = &(*at)->next;
        }
    }
}

/* Gives back the slabs of which every block waits here. */
static void sweep(void)
{
    int classes = 0;
    for (slab *s = memory_pool.slabs; s; s = s->next) s->idle = 0;
    for (; of_slabs(size_of(classes)); classes++)
        for (memory_block *b = memory_pool.head[classes]; b; b = b->next)
            slab_of(b)->idle += size_of(classes);
    for (int class = 0; class < classes; class ++) drop_idle_blocks(class);
    for (slab **at = &memory_pool.slabs, *s; (s = *at);) {
        if (s->idle == s->cut) {
            *at = s->next;
            munmap(s, SLAB);
            atomic_fetch_sub(&system_bytes, SLAB);
        } else {
            at = &s->next;
        }
    }
    memory_pool.swept = memory_pool.crumbs;
}

static size_t memory_bound(void)
{
    size_t need = memory_pool.most > memory_pool.before ? memory_pool.most : memory_pool.before;
    return need > FLOOR / 2 ? 2 * need : FLOOR;
}

/* The class of blocks of their own that waits and was asked for least recently; -1: none waits. */
static int stalest(void)
{
    int at = -1;
    for (int class = 0; class < MEMORY_CLASSES; class ++)
        if (memory_pool.head[class] && !of_slabs(size_of(class)) &&
            (at < 0 || memory_pool.asked[class] < memory_pool.asked[at]))
            at = class;
    return at;
}

/* Until at most so much waits; of slabs not before twice as much waits as the last sweep had to
   leave. */
static void give_back(size_t most)
{
    for (int class; memory_pool.waiting > most && (class = stalest()) >= 0;)
        to_system(take_waiting(class, size_of(class)), size_of(class));
    if (memory_pool.crumbs > most && (most == 0 || memory_pool.crumbs / 2 > memory_pool.swept))
        sweep();
}

static void note_need(const cache *c, int class, size_t size)
{
    ptrdiff_t now =
        (ptrdiff_t)atomic_load_explicit(&live, memory_order_relaxed) + c->unreported +
        (ptrdiff_t)size;
    memory_pool.asked[class] = ++memory_pool.asks;
    memory_pool.traffic += size;
    if (now > (ptrdiff_t)memory_pool.most) memory_pool.most = (size_t)now;
    if (memory_pool.traffic / PATIENCE <= memory_bound() / 2) return;
    memory_pool.before = memory_pool.most;
    memory_pool.most = now > 0 ? (size_t)now : 0;
    memory_pool.traffic = 0;
}

/* What waits with a thread, or all that does but `left` of a class. */
static void hand_over(bin *from, int class, int left)
{
    while (from->count > left) {
        memory_block *b = from->head;
        from->head = b->next;
        from->count--;
        put_shared(b, class, size_of(class));
    }
}

static void hand_over_all(cache *c)
{
    for (int class = 0; class < LOCAL_CLASSES; class ++) hand_over(&c->bins[class], class, 0);
    c->trims = atomic_load(&trims);
}

/* All that waits, but with other threads, which hand over theirs when they next tell what they
   have. */
static void give_back_all(cache *c)
{
    gr__thread *me = gr__self();
    atomic_fetch_add(&trims, 1);
    hand_over_all(c);
    give_back(0);
    gr__array_free(&me->spare);
    if (gr__array_length(me->tape) == 0) gr__array_free(&me->tape);
}

bool gr__memory_give_back(void)
{
    if (!recycling()) return false;
    cache *c = own_cache();
    gr__lock(memory_lock);
    give_back_all(c);
    gr__unlock(memory_lock);
    return true;
}

void gr_memory_trim(void) { gr__memory_give_back(); }

/* ---- blocks ---------------------------------------------------------------------------------- */

static void *cut_from_slab(size_t size)
{
    slab *s = memory_pool.slabs;
    if (!s || SLAB - UNIT - s->cut < size) { /* the old slab's rest, under 8 KiB, is given up */
        s = memory_counted(map(SLAB, SLAB), SLAB);
        if (!s) return NULL;
        *s = (slab){ .next = memory_pool.slabs };
        memory_pool.slabs = s;
    }
    s->cut += size;
    return (unsigned char *)s + UNIT + s->cut - size;
}

/* With the lock held. */
static void *take_shared(cache *c, int class, size_t size)
{
    note_need(c, class, size);
    void *p = take_waiting(class, size);
    for (int ask = 0; !p && ask < 2; ask++) {
        if (ask > 0) give_back_all(c);
        p = of_slabs(size) ? cut_from_slab(size) : from_system(size);
    }
    return p;
}

static void tell(cache *c)
{
    size_t now = atomic_fetch_add_explicit(&live, (size_t)c->unreported, memory_order_relaxed) +
                 (size_t)c->unreported;
    size_t most = atomic_load_explicit(&peak, memory_order_relaxed);
    c->unreported = 0;
    while ((ptrdiff_t)now > (ptrdiff_t)most && !atomic_compare_exchange_weak(&peak, &most, now))
        ;
}

/* Follows what gr_memory_trim has asked for in another thread, too. */
static void report_and_follow(cache *c)
{
    tell(c);
    if (c->trims == atomic_load_explicit(&trims, memory_order_relaxed)) return;
    gr__lock(memory_lock);
    hand_over_all(c);
    give_back(memory_bound());
    gr__unlock(memory_lock);
}

static void count_live(cache *c, ptrdiff_t size)
{
    c->unreported += size;
    if (c->unreported > UNREPORTED || c->unreported < -UNREPORTED) report_and_follow(c);
}

void *gr__alloc(size_t bytes)
{
    if (bytes > LARGEST) return NULL;
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
        gr__lock(memory_lock);
        p = take_shared(c, class, size);
        gr__unlock(memory_lock);
    }
    if (p) count_live(c, (ptrdiff_t)size);
    return p;
}

/* Half of what waits with this thread in a class goes to the process. */
static void memory_share(bin *from, int class)
{
    gr__lock(memory_lock);
    hand_over(from, class, from->count / 2);
    give_back(memory_bound());
    gr__unlock(memory_lock);
}

void gr__release(void *p, size_t bytes)
{
    if (!p) return;
    cache *c = own_cache();
    size_t size;
    int class = class_of(bytes, &size);
    count_live(c, -(ptrdiff_t)size);
    if (!recycling()) {
        to_system(p, size);
        return;
    }
    memory_block *b = p;
    if (class < LOCAL_CLASSES) {
        bin *to = &c->bins[class];
        b->next = to->head;
        to->head = b;
        if ((size_t)++to->count * size > LOCAL_MOST) memory_share(to, class);
        return;
    }
    gr__lock(memory_lock);
    put_shared(b, class, size);
    give_back(memory_bound());
    gr__unlock(memory_lock);
}

void gr__cache_end(cache *c)
{
    gr__lock(memory_lock);
    hand_over_all(c);
    give_back(memory_bound());
    gr__unlock(memory_lock);
    tell(c);
}

/* Of the C library's memory, for what is as large as a user's data; released by free. */
void *gr__malloc(size_t size)
{
    void *p = malloc(size);
    return p || !gr__memory_give_back() ? p : malloc(size);
}

void *gr__realloc(void *old, size_t size)
{
    void *p = realloc(old, size);
    return p || !gr__memory_give_back() ? p : realloc(old, size);
}

gr_memory_info gr_memory(void)
{
    tell(own_cache());
    /* negative while one thread has told what it gave back, another not what it took */
    ptrdiff_t now = (ptrdiff_t)atomic_load(&live);
    return (gr_memory_info){
        .live = now > 0 ? (size_t)now : 0,
        .peak = atomic_load(&peak),
        .system = atomic_load(&system_bytes),
        .system_calls = atomic_load(&system_calls),
    };
}
