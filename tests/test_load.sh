#!/bin/bash
# test_load.sh: the library can be loaded late, also after twenty others with thread variables. Its
# own stay within 64 bytes. The shared library, a plug-in that needs it and a plug-in that contains
# the static one are opened, compute on two threads, and are closed, forty times in one process.
# libgradus.so then stays mapped; what contains libgradus.a is unloaded, and its threads have ended.
set -eu
unset MAKEFLAGS MFLAGS MAKELEVEL
work=$(mktemp -d "${TMPDIR:-/tmp}/gradus-load.XXXXXX")
trap 'rm -rf "$work"' EXIT
here=$(pwd)
include=$(cd "$srcdir" && pwd)/include

case "$SANITIZER_CFLAGS" in
*thread*)
    echo "skipped: the thread sanitizer does not follow a library that is unloaded"
    exit 77
    ;;
esac
# What a thread that outlives the library has kept is lost, and its memory with it.
export ASAN_OPTIONS="detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"

cat >"$work/plug.c" <<'C'
#include <gradus.h>
#include <pthread.h>

/* The sum of w x, and its derivative. */
static void *learn(void *arg)
{
    GR_STEP;
    gr_tensor *w = gr_param(gr_full(gr_shape(90, 70), 2)), *x = gr_ones(gr_shape(70, 80));
    gr_tensor *loss = gr_sum(gr_matmul(w, x));
    gr_backward(loss);
    gr_tensor *g = gr_grad_of(w);
    int good = gr_item(loss) == 2.0 * 90 * 70 * 80 && g && !gr_error();
    *(int *)arg = good && gr_data(g)[0] == 80 && gr_data(g)[90 * 70 - 1] == 80;
    return 0;
}

/* In two threads, each with two of the library's; 0: right. */
int compute(void);
int compute(void)
{
    pthread_t t[2];
    int       good[3] = { 0, 0, 0 };
    gr_set_threads(2);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&t[i], 0, learn, &good[i])) return 1;
    for (int i = 0; i < 2; i++) pthread_join(t[i], 0);
    learn(&good[2]);
    return !(good[0] && good[1] && good[2]);
}

/* In the calling thread, which keeps what it has. */
int learn_here(void);
int learn_here(void)
{
    int good = 0;
    learn(&good);
    return !good;
}
C
cat >"$work/host.c" <<'C'
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failed(const char *what)
{
    printf("%s\n", what);
    exit(1);
}

static int (*function(void *h, const char *name))(void)
{
    int (*fn)(void) = 0;
    void *p = dlsym(h, name);
    memcpy(&fn, &p, sizeof p);
    return fn;
}

static int threads(void)
{
    int  n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

/* A thread that is there before the library, uses it each time, and outlives it. */
static pthread_barrier_t barrier;
static int (*wanted)(void);
static int good;

static void *outlive(void *arg)
{
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (!wanted) return arg;
        good = wanted() == 0;
        pthread_barrier_wait(&barrier);
    }
}

static void in_the_other_thread(int (*fn)(void))
{
    wanted = fn;
    pthread_barrier_wait(&barrier);
    if (!fn) return;
    pthread_barrier_wait(&barrier);
    if (!good) failed("the thread that was there before failed");
}

int main(int n, char **v)
{
    pthread_t t;
    int       unloads = !strcmp(v[2], "unloads"), before;
    for (int i = 3; i < n; i++)
        if (!dlopen(v[i], RTLD_NOW)) failed(dlerror());
    pthread_barrier_init(&barrier, 0, 2);
    pthread_create(&t, 0, outlive, 0);
    before = threads();
    for (int k = 0; k < 40; k++) {
        void *h = dlopen(v[1], RTLD_NOW | RTLD_LOCAL);
        if (!h) failed(dlerror());
        if (function(h, "compute")) {
            if (function(h, "compute")()) failed("the computation failed");
            in_the_other_thread(function(h, "learn_here"));
        } else if (!function(h, "gr_threads") || function(h, "gr_threads")() < 1)
            failed("no function of the library");
        if (dlclose(h)) failed(dlerror());
        void *left = dlopen(v[1], RTLD_NOW | RTLD_NOLOAD);
        if (!strcmp(v[2], "stays") && !left) failed("it was unloaded");
        if (unloads && left) failed("it was not unloaded");
        if (unloads && threads() != before) failed("threads are left");
        if (left) dlclose(left);
    }
    in_the_other_thread(0);
    pthread_join(t, 0);
    printf("%s: 40 times\n", v[1]);
    return 0;
}
C
flags="-O1 -pthread $SANITIZER_CFLAGS"
$CC $flags -rdynamic -o "$work/host" "$work/host.c" -ldl

# Thread variables of other libraries, which take from the same room.
others=
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    echo "static __thread long v[3] __attribute__((tls_model(\"initial-exec\")));" >"$work/other.c"
    echo "long *f$i(void); long *f$i(void) { return v; }" >>"$work/other.c"
    $CC -shared -fPIC -o "$work/other$i.so" "$work/other.c"
    others="$others $work/other$i.so"
done

# runs LIBRARY unloads|stays|goes: what closing does; "unloads" ends its threads, too
runs()
{
    for first in "" "$others"; do
        timeout 300 "$work/host" "$1" "$2" $first >"$work/out" 2>&1 && continue
        cat "$work/out"
        echo "$1: failed${first:+ after 20 others}"
        exit 1
    done
    echo "$(basename "$1") $2: ok"
}

# small LIBRARY: at most 64 bytes of thread variables
small()
{
    command -v readelf >/dev/null || return 0
    bytes=$((0x$(readelf -lW "$1" | awk '$1 == "TLS" { print substr($6, 3) }' | grep . || echo 0)))
    echo "$(basename "$1"): $bytes bytes of thread variables"
    [ "$bytes" -le 64 ] || { echo "at most 64 wanted"; exit 1; }
}

shared=$here/.libs/libgradus.so
static=$here/.libs/libgradus.a
libraries="$(${PKG_CONFIG:-pkg-config} --libs zlib jansson) -lm -lpthread"
ran=0
if [ -f "$shared" ]; then
    small "$shared"
    export LD_LIBRARY_PATH="$here/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    $CC $flags -shared -fPIC -I"$include" -o "$work/needs.so" "$work/plug.c" \
        -L"$here/.libs" -lgradus
    runs "$shared" stays
    runs "$work/needs.so" goes
    ran=1
fi
if [ -f "$static" ]; then
    $CC $flags -shared -fPIC -I"$include" -o "$work/contains.so" "$work/plug.c" "$static" $libraries
    small "$work/contains.so"
    runs "$work/contains.so" unloads
    ran=1
fi
[ $ran = 1 ] || { echo "skipped: there is no library"; exit 77; }
