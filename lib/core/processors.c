/* processors.c: how many processors the process may use, and on which its threads may run.

   A thread that is bound to one processor says nothing about the process. So the set that counts is
   what the main thread may use when the library is loaded, and what it or the caller may use
   whenever they are counted: it only grows. The CPU quota of a control group of Linux bounds the
   number, too. Groups are nested, and the lowest quota holds. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "core/core.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__

static cpu_set_t        allowed; /* with the lock held */
static gr__mutex *const processors_lock = &gr__locks[GR__LOCK_PROCESSORS];

void gr__processors_look(void)
{
    cpu_set_t of_main, mine;
    CPU_ZERO(&of_main);
    CPU_ZERO(&mine);
    sched_getaffinity(getpid(), sizeof of_main, &of_main);
    sched_getaffinity(0, sizeof mine, &mine);
    gr__lock(processors_lock);
    CPU_OR(&allowed, &allowed, &of_main);
    CPU_OR(&allowed, &allowed, &mine);
    gr__unlock(processors_lock);
}

void gr__processors_allow(gr__os_thread t, int but)
{
    gr__lock(processors_lock);
    cpu_set_t set = allowed;
    gr__unlock(processors_lock);
    if (but >= 0) CPU_CLR((size_t)but, &set);
    if (CPU_COUNT(&set) > 0) pthread_setaffinity_np(t, sizeof set, &set);
}

static int count_allowed(void)
{
    gr__processors_look();
    gr__lock(processors_lock);
    int n = CPU_COUNT(&allowed);
    gr__unlock(processors_lock);
    return n;
}

#else

void gr__processors_look(void) {}

void gr__processors_allow(gr__os_thread t, int but) { (void)t, (void)but; }

static int count_allowed(void) { return 0; }

#endif

/* ---- control groups -------------------------------------------------------------------------- */

enum { PROCESSORS_LINE = 4096 };

static bool read_line(const char *folder, const char *name, char *line)
{
    char path[4 * PROCESSORS_LINE];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "re");
    bool  good = f && fgets(line, PROCESSORS_LINE, f);
    if (f) fclose(f);
    return good;
}

/* The quota of the group of this folder, in processors; infinite: it has none of its own. */
static double processors_share_of(const char *folder)
{
    char      line[PROCESSORS_LINE];
    long long quota, period;
    if (read_line(folder, "cpu.max", line)) { /* "max 100000" or "150000 100000" */
        if (sscanf(line, "%lld %lld", &quota, &period) != 2) return INFINITY;
    } else {
        if (!read_line(folder, "cpu.cfs_quota_us", line) || sscanf(line, "%lld", &quota) != 1)
            return INFINITY;
        if (!read_line(folder, "cpu.cfs_period_us", line) || sscanf(line, "%lld", &period) != 1)
            return INFINITY;
    }
    return quota > 0 && period > 0 ? (double)quota / (double)period : INFINITY;
}

/* The lowest of a group's and its parents', up to the folder whose name has `top` characters. */
static double least_share(char *folder, size_t top)
{
    double least = INFINITY;
    for (;;) {
        double share = processors_share_of(folder);
        if (share < least) least = share;
        char *last = strrchr(folder, '/');
        if (strlen(folder) <= top || !last) return least;
        *last = '\0';
        if (strlen(folder) < top) return least;
    }
}

/* Whether a list such as "rw,cpu,cpuacct" names cpu. */
static bool names_cpu(const char *list)
{
    for (const char *at = list; (at = strstr(at, "cpu")); at += 3)
        if ((at == list || at[-1] == ',') && (at[3] == '\0' || at[3] == ',')) return true;
    return false;
}

/* The process's group in the hierarchy of version 2, or of the cpu controller of version 1:
   "0::/a/b", "4:cpu,cpuacct:/a/b". */
static bool own_group(const char *root, bool second, char *group)
{
    char path[PROCESSORS_LINE], line[PROCESSORS_LINE];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    bool  found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        char *list = strchr(line, ':'), *name = list ? strchr(list + 1, ':') : NULL;
        if (!name) continue;
        *name++ = '\0';
        name[strcspn(name, "\n")] = '\0';
        found = second ? list[1] == '\0' : names_cpu(list + 1);
        if (found) strcpy(group, strcmp(name, "/") == 0 || strstr(name, "/..") ? "" : name);
    }
    if (f) fclose(f);
    return found;
}

/* By a line of mountinfo: "ID PARENT DEVICE ROOT POINT OPTIONS ... - TYPE SOURCE OPTIONS". */
static double share_by_mount(const char *root, const char *line)
{
    char top[PROCESSORS_LINE], point[PROCESSORS_LINE], type[16], options[PROCESSORS_LINE],
        group[PROCESSORS_LINE], folder[3 * PROCESSORS_LINE];
    const char *rest = strstr(line, " - ");
    if (!rest || sscanf(line, "%*s %*s %*s %4095s %4095s", top, point) != 2) return INFINITY;
    if (sscanf(rest, " - %15s %*s %4095s", type, options) != 2) return INFINITY;
    bool second = strcmp(type, "cgroup2") == 0;
    if (!second && (strcmp(type, "cgroup") != 0 || !names_cpu(options))) return INFINITY;
    if (!own_group(root, second, group)) return INFINITY;
    size_t above =
        strcmp(top, "/") == 0 ? 0 : strlen(top); /* of the group's name, what is not mounted */
    bool below = strncmp(group, top, above) == 0 && (group[above] == '/' || group[above] == '\0');
    snprintf(folder, sizeof folder, "%s%s%s", root, point, below ? group + above : "");
    return least_share(folder, strlen(root) + strlen(point));
}

int gr__processors_quota(const char *root)
{
    char path[PROCESSORS_LINE], line[PROCESSORS_LINE];
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    FILE  *f = fopen(path, "re");
    double least = INFINITY;
    while (f && fgets(line, sizeof line, f)) {
        double share = share_by_mount(root, line);
        if (share < least) least = share;
    }
    if (f) fclose(f);
    return least < GR__MOST_THREADS ? (int)ceil(least) : 0;
}

int gr__processors(void)
{
    int  n = count_allowed(), quota = gr__processors_quota("");
    long online = n > 0 ? n : sysconf(_SC_NPROCESSORS_ONLN);
    n = online > 0 ? (int)online : 1;
    return quota > 0 && quota < n ? quota : n;
}
