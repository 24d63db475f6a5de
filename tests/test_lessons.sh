#!/bin/bash
# test_lessons.sh: the book, docs/book, and the lessons' programs, examples/lessons, are of one piece. Each chapter quotes its program's
# real output, all of it, in ```output blocks, and its code, line for line, in ```c blocks; it has three exercises, and the table of contents names it.
# Each lesson takes less than 10 seconds. Runs in the build directory.
set -eu
src=$(cd "$srcdir" && pwd)
book=$src/docs/book
lessons=$PWD/examples/lessons
dir=$(mktemp -d "${TMPDIR:-/tmp}/gradus-lessons.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
failures=0

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# quoted LANGUAGE CHAPTER FILE: the chapter's blocks in that language stand in the file, line for line, one after another. With
# "output" nothing but empty lines may be left out between them.
quoted()
{
    awk -v language="$1" '
        function bad(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; failed = 1; exit }
        function matches(at,    i) {
            for (i = 1; i <= lines && block[i] == text[at + i - 1]; i++);
            return i > lines
        }
        function find(    at, i) {
            while (language == "output" && next_line <= total && text[next_line] == "") next_line++
            for (at = language == "output" ? next_line : 1; at <= total; at++) {
                if (at + lines - 1 <= total && matches(at)) { next_line = at + lines; return }
                if (language == "output") break
            }
            if (language != "output") bad("this code does not stand in the program: " block[1])
            for (i = 1; i <= lines && block[i] == text[next_line + i - 1]; i++);
            bad("the program prints \"" text[next_line + i - 1] "\", the chapter has \"" block[i] "\"")
        }
        NR == FNR { text[++total] = $0; next_line = 1; next }
        $0 == "```" language { inside = 1; lines = 0; blocks++; next }
        /^```/ && inside { inside = 0; find(); next }
        inside { block[++lines] = $0 }
        END {
            if (failed) exit 1
            if (!blocks) { print FILENAME ": no ```" language " block"; exit 1 }
            while (language == "output" && next_line <= total && text[next_line] == "") next_line++
            if (language == "output" && next_line <= total) { print FILENAME ": the program also prints \"" text[next_line] "\""; exit 1 }
        }
    ' "$3" "$2" || fail "$(basename "$2") and its program differ"
}

# Three exercises, numbered, under the last heading.
exercises()
{
    [ "$(awk '/^## /{ last = $0; n = 0 } last == "## Exercises" && $1 == n + 1 "." { n++ } END { print last == "## Exercises" ? n : 0 }' "$1")" = 3 ] ||
        fail "$(basename "$1") does not end with three exercises"
}

# run NAME: its output to NAME.out, in less than 10 seconds of the processors' time, but where a sanitizer slows it down.
run()
{
    local TIMEFORMAT='%U %S'
    { time timeout 300 "$lessons/$1" >"$1.out" 2>"$1.err" </dev/null || fail "$1: status $?: $(cat "$1.err")"; } 2>time
    [ ! -s "$1.err" ] || fail "$1: on stderr: $(cat "$1.err")"
    [ -n "${SANITIZER_CFLAGS:-}" ] || awk '{ exit !($1 + $2 < 10) }' time || fail "$1 takes $(cat time) s"
    echo "$1: $(cat time) s"
}

for program in "$src"/examples/lessons/[0-9][0-9]-*.c; do
    name=$(basename "$program" .c)
    chapter=$book/$name.md
    [ -f "$chapter" ] || { fail "$name has no chapter"; continue; }
    run "$name"
    quoted output "$chapter" "$name.out"
    quoted c "$chapter" "$program"
    exercises "$chapter"
done

for chapter in "$book"/[0-9][0-9]-*.md; do
    name=$(basename "$chapter" .md)
    [ -f "$src/examples/lessons/$name.c" ] || fail "$name.md has no program"
    title=$(sed -n '1s/^# [0-9]*\. //p' "$chapter")
    grep -qF "[$title]($name.md)" "$book/README.md" || fail "docs/book/README.md does not name [$title]($name.md)"
done

# Pictures in the book are a program's: of the same size, at least, for the last bit of a number may change a pixel.
for picture in "$book"/*.png; do
    cmp -n 24 "$picture" "$(basename "$picture")" || fail "no lesson writes $(basename "$picture")"
done

# Links to files that are not there.
for file in "$book"/*.md; do
    for link in $(grep -oE '\]\([^)#:]+' "$file" | sed 's/^](//'); do
        [ -e "$book/$link" ] || fail "$(basename "$file") links to $link"
    done
done

[ $failures -eq 0 ] || echo "$failures failures"
[ $failures -eq 0 ]
