/* error.c: the first failure of a thread, kept until it is cleared.

   Invariant: message is the text of the failure that came first; later ones, which are its
   consequences, leave it alone. */
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

static _Atomic(void (*)(const char *)) handler;

const char *gr_error(void) { return gr__failed() ? gr__me->failure.message : NULL; }

gr_code gr_error_code(void) { return gr__me ? gr__me->failure.code : GR_OK; }

void gr_clear_error(void)
{
    if (gr__me) gr__me->failure.code = GR_OK;
}

void gr_on_error(void (*fn)(const char *message)) { atomic_store(&handler, fn); }

void gr_print_and_exit(const char *message)
{
    fflush(stdout);
    fprintf(stderr, "%s\n", message);
    exit(EXIT_FAILURE);
}

unsigned gr__failures(void) { return gr__self()->failures; }

bool gr__failed(void) { return gr_error_code() != GR_OK; }

bool gr__fail(gr_code code, const char *format, ...)
{
    gr__thread  *me = gr__self();
    gr__failure *pending = &me->failure;
    me->failures++;
    if (pending->code != GR_OK) return false;
    va_list ap;
    va_start(ap, format);
    vsnprintf(pending->message, sizeof pending->message, format, ap);
    va_end(ap);
    pending->code = code;
    void (*fn)(const char *) = atomic_load(&handler);
    if (fn && !me->for_another) fn(pending->message);
    return false;
}

void gr__fail_for_another(bool on) { gr__self()->for_another = on; }

gr__failure gr__take_failure(void)
{
    gr__failure *pending = &gr__self()->failure, taken = *pending;
    pending->code = GR_OK;
    return taken;
}

bool gr__fail_memory(const char *what, size_t bytes)
{
    return gr__fail(
        GR_ERR_MEMORY, "%s: out of memory: %zu bytes could not be allocated", what, bytes);
}

gr__text gr__shape_text(const gr_shape *s)
{
    gr__text t;
    int      rank = s->rank < 0 ? 0 : s->rank > GR_MAX_DIMS ? GR_MAX_DIMS : s->rank;
    size_t   at = 0;
    t.s[at++] = '(';
    for (int i = 0; i < rank; i++)
        at +=
            (size_t)snprintf(t.s + at, sizeof t.s - at, i ? ",%lld" : "%lld", (long long)s->dim[i]);
    snprintf(t.s + at, sizeof t.s - at, ")");
    return t;
}

gr__quote gr__quoted(const char *text)
{
    gr__quote q;
    size_t    n = 0;
    while (*text && n < sizeof q.s - 4) {
        unsigned char c = (unsigned char)*text++;
        q.s[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    /* in the middle of a character, which begins with the last byte that is no continuation */
    if ((*text & 0xc0) == 0x80) {
        while (n > 0 && (q.s[n - 1] & 0xc0) == 0x80) n--;
        n -= n > 0;
    }
    strcpy(q.s + n, *text ? "..." : "");
    return q;
}
