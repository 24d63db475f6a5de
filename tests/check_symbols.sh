#!/bin/sh
# check_symbols.sh: the shared library exports the names of symbols.txt and no others.
# `srcdir=. tests/check_symbols.sh update`, from the build directory, writes the list anew.
set -eu
list=${srcdir:-.}/tests/symbols.txt
library=.libs/libgradus.so
if [ ! -f $library ]; then
    echo "there is no $library"
    exit 77
fi

# Names that the linker and the sanitizers add are not ours.
exported=$(nm -D --defined-only $library | awk '{ print $NF }' |
    grep -vE '^(_init|_fini|_edata|_end|__bss_start|__odr_asan.*|__asan.*|___asan.*)$' |
    LC_ALL=C sort)
if [ "${1:-}" = update ]; then
    printf '%s\n' "$exported" >"$list"
    exit
fi
if ! printf '%s\n' "$exported" | diff "$list" -; then
    echo "< is in tests/symbols.txt alone, > is exported by the library alone"
    exit 1
fi
