#!/bin/sh
# check_unique.sh: no two files of lib, outside lib/kernels, give one name at file scope to two
# things: so all of them could be one translation unit. Functions and variables by the symbols of
# the objects, where there are any; types, enumerators, macros and what was inlined by the sources,
# as clang-format leaves them: what is at file scope begins in the first column.
set -eu
src=${srcdir:-.}
names=$(mktemp)
trap 'rm -f "$names"' EXIT

find "$src/lib" -name '*.c' -type f | grep -v -e /kernels/ -e /io/stb.c | sort |
    LC_ALL=C xargs awk '
function say(name) {
    if (name ~ /^[A-Za-z_]/ && name !~ /^(struct|union|enum)$/) print name, FILENAME
}
function last(s) { sub(/[ \t]*$/, "", s); sub(/.*[^A-Za-z0-9_]/, "", s); return s }
function enumerators(s,    part, n, i) {
    sub(/^[^{]*\{/, "", s); sub(/\}.*/, "", s)
    gsub(/\/\*[^*]*\*\//, "", s); gsub(/\([^()]*\)/, "", s)
    n = split(s, part, ",")
    for (i = 1; i <= n; i++) {
        sub(/=.*/, "", part[i])
        say(last(part[i]))
    }
}
FNR == 1 { list = "" }
list != "" { list = list " " $0 }
list != "" && /^\}|\};?$|\} [a-z0-9_]*;$/ { enumerators(list); list = "" }
/^(typedef |static |const )*enum[^;{]*\{/ {
    if ($0 ~ /\}/) enumerators($0)
    else list = $0
}
/^#define / { name = $2; sub(/\(.*/, "", name); if (name !~ /_SOURCE$/) say(name) }
/^(typedef |static |const )*(struct|union|enum) [A-Za-z0-9_]+ \{/ {
    name = $0
    sub(/ \{.*/, "", name)
    say(last(name))
}
/^\} [A-Za-z0-9_]+;/ { name = $2; sub(/;.*/, "", name); say(name) }
/^typedef .*\(/ { name = $0; sub(/\(.*/, "", name); say(last(name)) }
/^typedef .*[^)];$/ && !/\(/ { name = $0; sub(/;$/, "", name); say(last(name)) }
/^static / && !/^static (struct|union|enum)? *[A-Za-z0-9_]* *\{/ {
    name = $0
    sub(/[=;{].*/, "", name); sub(/\[.*/, "", name)
    sub(/\(.*/, "", name)
    say(last(name))
}
/^[A-Z_]+_OP\([a-z0-9_]+,/ {
    name = $0
    sub(/^[A-Z_]+_OP\(/, "", name); sub(/,.*/, "", name)
    say(name "_op")
}
' >"$names"

# A symbol with a dot is of a variable inside a function; one that begins with _ is the compiler's,
# as the sanitizers' are.
for object in lib/*/.libs/libgradus_float_la-*.o; do
    case $object in lib/kernels/* | */libgradus_float_la-stb.o) continue ;; esac
    file=$src/${object%%/.libs*}/${object##*_la-}
    file=${file%.o}.c
    [ -e "$object" ] && [ -e "$file" ] || continue
    nm "$object" | awk -v file="$file" \
        'NF == 3 && $2 ~ /[TtDdBbRr]/ && $3 !~ /\.|^_/ { print $3, file }'
done >>"$names"

twice=$(sort -u "$names" | awk '
    { files[$1] = files[$1] " " $2; count[$1]++ }
    END { for (name in count) if (count[name] > 1) print name ":" files[name] }' | sort)
if [ -n "$twice" ]; then
    echo "names at file scope that are in several files:"
    echo "$twice"
    exit 1
fi
