#!/bin/bash
# test_install.sh: the installed library serves a stranger. Installs into an empty directory, then
# compiles and runs, with what pkg-config says and without a warning, a program of C11, the same as
# C++17, and the README's programs as both.
set -eu
unset MAKEFLAGS MFLAGS MAKELEVEL
root=$(mktemp -d "${TMPDIR:-/tmp}/gradus-install.XXXXXX")
trap 'rm -rf "$root"' EXIT
${MAKE:-make} install DESTDIR="$root" >"$root/log" 2>&1 </dev/null || { cat "$root/log"; exit 1; }

export PKG_CONFIG_PATH="$root$libdir/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
export LD_LIBRARY_PATH="$root$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

gradus()
{
    ${PKG_CONFIG:-pkg-config} --define-variable=libdir="$root$libdir" \
        --define-variable=includedir="$root$includedir" "$@" gradus
}

warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
passed=0

# as_c NAME, as_cxx NAME: compiles $root/NAME.c and runs it in an empty directory.
as_c()
{
    $CC -std=c11 $warnings -O1 $SANITIZER_CFLAGS $(gradus --cflags) -o "$root/$1" "$root/$1.c" \
        $(gradus --libs)
    run "$1" C11
}

as_cxx()
{
    if [ -z "$CXX" ]; then
        echo "$1 as C++17: there is no C++ compiler"
        return
    fi
    $CXX -std=c++17 $warnings -O1 $SANITIZER_CFLAGS $(gradus --cflags) -o "$root/$1" -x c++ \
        "$root/$1.c" -x none $(gradus --libs)
    run "$1" C++17
}

run()
{
    mkdir "$root/run"
    (cd "$root/run" && timeout 300 "$root/$1" >"$root/out" 2>&1 </dev/null) ||
        { cat "$root/out"; echo "$1 as $2: failed"; exit 1; }
    rm -rf "$root/run"
    echo "$1 as $2: ok"
    passed=$((passed + 1))
}

for file in gradus.h gradus/types.h gradus/core.h gradus/ops.h gradus/autograd.h gradus/io.h \
    gradus/data.h gradus/nn.h; do
    [ -f "$root$includedir/$file" ] || { echo "not installed: $file"; exit 1; }
done

# Each header is readable on its own.
for file in $(cd "$root$includedir" && ls gradus/*.h); do
    name=alone-$(basename "$file" .h)
    printf '#include <%s>\nint main(void) { return 0; }\n' "$file" >"$root/$name.c"
    as_c "$name"
    as_cxx "$name"
done

cat >"$root/square.c" <<'C'
#include <gradus.h>

#include <stdio.h>

int main(void)
{
    gr_tensor *x = gr_param(gr_scalar(3));
    gr_backward(gr_mul(x, x));
    printf("%g\n", gr_item(gr_grad_of(x)));
    gr_free(x);
    return gr_error() ? 1 : 0;
}
C
for language in c cxx; do
    as_$language square
    [ "$(cat "$root/out")" = 6 ] || { echo "square: printed $(cat "$root/out"), not 6"; exit 1; }
done

# The static library, with all that it needs in turn.
if [ -f "$root$libdir/libgradus.a" ]; then
    mkdir "$root/static"
    cp "$root$libdir/libgradus.a" "$root/static/"
    $CC -std=c11 $warnings $SANITIZER_CFLAGS $(gradus --cflags) -o "$root/square" "$root/square.c" \
        -L"$root/static" $(gradus --static --libs | sed "s|-L$root$libdir||")
    run square "C11, static"
fi

# The README's programs: every ```c block with a main in it.
awk -v root="$root" '
    /^```c$/ { inside = 1; text = ""; next }
    /^```/ && inside {
        inside = 0
        if (text ~ /int main/) {
            file = root "/readme" ++n ".c"
            printf "%s", text >file
            close(file)
        }
        next
    }
    inside { text = text $0 "\n" }
' "$srcdir/README.md"
for program in "$root"/readme*.c; do
    [ -f "$program" ] || { echo "README.md: no program found"; exit 1; }
    as_c "$(basename "$program" .c)"
    as_cxx "$(basename "$program" .c)"
done
echo "$passed programs"
