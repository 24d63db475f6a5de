/* pattern.c: parameters chosen by name.

   A pattern is one or more of the shell's, with spaces or commas between; GR_VECTORS among them
   chooses by rank instead. Invariant: a pattern is good only if every part of it fits some
   parameter, so that a misspelt name is an error: a weight decay that stays on by mistake would not
   show in the loss. */
#include "nn/nn.h"

#include <fnmatch.h>
#include <string.h>

enum { PART_MOST = 256 };

typedef struct pattern_part {
    char s[PART_MOST];
} pattern_part;

static const char *const separators = " ,";

/* Takes the next part off *pattern; empty at its end. A longer one is cut, and fits nothing: no
   such name can be asked for. */
static pattern_part next_part(const char **pattern)
{
    pattern_part p;
    size_t       length, kept;
    *pattern += strspn(*pattern, separators);
    length = strcspn(*pattern, separators);
    kept = length < PART_MOST ? length : PART_MOST - 1;
    memcpy(p.s, *pattern, kept);
    p.s[kept] = '\0';
    *pattern += length;
    return p;
}

static bool pattern_fits(const pattern_part *p, const gr__slot *s)
{
    return strcmp(p->s, GR_VECTORS) == 0 ? s->t->shape.rank <= 1 : fnmatch(p->s, s->name, 0) == 0;
}

bool gr__chosen(const char *pattern, const gr__slot *s)
{
    for (pattern_part p = next_part(&pattern); *p.s; p = next_part(&pattern))
        if (pattern_fits(&p, s)) return true;
    return false;
}

bool gr__pattern_good(const gr_model *m, const char *pattern, const char *what)
{
    bool any = false;
    if (!pattern) return gr__fail(GR_ERR_ARGUMENT, "%s: the pattern is NULL", what);
    for (pattern_part p = next_part(&pattern); *p.s; p = next_part(&pattern)) {
        bool found = false;
        for (size_t i = 0; i < gr__array_length(m->params) && !found; i++)
            found = pattern_fits(&p, m->params[i]);
        if (!found && strcmp(p.s, GR_VECTORS) == 0)
            return gr__fail(GR_ERR_ARGUMENT, "%s: no parameter is a vector", what);
        if (!found) return gr__fail(GR_ERR_ARGUMENT, "%s: no parameter fits '%s'", what, p.s);
        any = true;
    }
    return any || gr__fail(GR_ERR_ARGUMENT, "%s: the pattern is empty", what);
}
