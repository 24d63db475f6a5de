#!/bin/bash
# test_lessons.sh: the book, docs/book, and the lessons' programs, examples/lessons, are of one
# piece. Each chapter quotes its program's real output, all of it, in ```output blocks, and its
# code, line for line, in ```c blocks; it has three exercises, and the table of contents names it.
# Each lesson takes less than 10 seconds. Exercises know right from wrong: each says so of its
# solution, and of the blank and of each wrong answer in tests/lessons what is wrong. Runs in the
# build directory.
set -eu
src=$(cd "$srcdir" && pwd)
book=$src/docs/book
build=$PWD
lessons=$build/examples/lessons
dir=$(mktemp -d "${TMPDIR:-/tmp}/gradus-lessons.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
failures=0

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# quoted LANGUAGE CHAPTER FILE: the chapter's blocks in that language stand in the file, line for
# line, one after another. With "output" nothing but empty lines may be left out between them.
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
            bad("the program prints \"" text[next_line + i - 1] "\", " \
                "the chapter has \"" block[i] "\"")
        }
        NR == FNR { text[++total] = $0; next_line = 1; next }
        $0 == "```" language { inside = 1; lines = 0; blocks++; next }
        /^```/ && inside { inside = 0; find(); next }
        inside { block[++lines] = $0 }
        END {
            if (failed) exit 1
            if (!blocks) { print FILENAME ": no ```" language " block"; exit 1 }
            while (language == "output" && next_line <= total && text[next_line] == "") next_line++
            if (language == "output" && next_line <= total) {
                print FILENAME ": the program also prints \"" text[next_line] "\""
                exit 1
            }
        }
    ' "$3" "$2" || fail "$(basename "$2") and its program differ"
}

# Three exercises, numbered, under the last heading.
exercises()
{
    [ "$(awk '/^## /{ last = $0; n = 0 }
        last == "## Exercises" && $1 == n + 1 "." { n++ }
        END { print last == "## Exercises" ? n : 0 }' "$1")" = 3 ] ||
        fail "$(basename "$1") does not end with three exercises"
}

# run NAME: its output to NAME.out, in less than 10 seconds of the processors' time, but where a
# sanitizer slows it down.
run()
{
    local TIMEFORMAT='%U %S'
    { time timeout 300 "$lessons/$1" >"$1.out" 2>"$1.err" </dev/null ||
        fail "$1: status $?: $(cat "$1.err")"; } 2>time
    [ ! -s "$1.err" ] || fail "$1: on stderr: $(cat "$1.err")"
    [ -n "${SANITIZER_CFLAGS:-}" ] || awk '{ exit !($1 + $2 < 10) }' time ||
        fail "$1 takes $(cat time) s"
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
    grep -qF "[$title]($name.md)" "$book/README.md" ||
        fail "docs/book/README.md does not name [$title]($name.md)"
done

# Pictures in the book are a program's: of the same size, at least, for the last bit of a number may
# change a pixel.
for picture in "$book"/*.png; do
    cmp -n 24 "$picture" "$(basename "$picture")" || fail "no lesson writes $(basename "$picture")"
done

# Links to files that are not there.
for file in "$book"/*.md; do
    for link in $(grep -oE '\]\([^)#:]+' "$file" | sed 's/^](//'); do
        [ -e "$book/$link" ] || fail "$(basename "$file") links to $link"
    done
done

# answer EXERCISE FILE [FLAG...]: what the exercise says, in one line, with the file's text in place
# of its blank.
answer()
{
    local exercise=$src/examples/lessons/exercise-$1.c file=$2
    shift 2
    awk -v file="$file" '
        !inside { print }
        /^\/\* ---- your part ---- \*\/$/ {
            inside = 1
            while ((getline line < file) > 0) print line
        }
        /^\/\* ---- the grading ---- \*\/$/ { inside = 0; print }
    ' "$exercise" >answer.c
    grep -q '^/\* ---- the grading' answer.c ||
        { echo "no place for an answer in $exercise"; return; }
    $build/libtool --quiet --tag=CC --mode=link ${CC:-cc} -std=c11 \
        -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -O1 ${SANITIZER_CFLAGS:-} "$@" \
        -I"$src/include" -I"$src/examples/lessons" -no-install -o answer answer.c \
        "$build/libgradus.la" -lm >log 2>&1 || { cat log; return; }
    { ./answer || echo "status $?"; } 2>&1 | tr '\n' ' '
}

right='right: every element of every gradient is what differences say '
for exercise in "$src"/examples/lessons/exercise-*.c; do
    name=$(basename "$exercise" .c)
    name=${name#exercise-}
    solution=$src/examples/lessons/solutions/$name.c
    [ "$(answer "$name" "$solution")" = "$right" ] ||
        fail "the solution of $name: $(answer "$name" "$solution")"
    awk '/^\/\* ---- the grading/ { exit } inside { print } /^\/\* ---- your part/ { inside = 1 }' \
        "$exercise" >blank
    said=$(answer "$name" blank)
    echo "$name, blank: $said"
    [[ $said == 'not yet: element '*' off by '*' look at '*' status 1 ' ]] ||
        fail "$name, blank: $said"
    compgen -G "$src/tests/lessons/$name-*.c" >/dev/null || fail "there is no wrong answer to $name"
done

said=$(answer conv2d "$src/examples/lessons/solutions/conv2d.c" -DS=2 -DP=1)
[ "$said" = "$right" ] || fail "the solution of conv2d with stride and padding: $said"

# The first line of a wrong answer names its exercise, and a pattern for what it is told.
for wrong in "$src"/tests/lessons/*.c; do
    name=$(sed -n '1s,^/\* \([^:]*\): .* \*/$,\1,p' "$wrong")
    said=$(answer "$name" "$wrong")
    echo "$(basename "$wrong"): $said"
    [[ $said == 'not yet: element '*' status 1 ' ]] ||
        fail "$(basename "$wrong") passes for an answer"
    grep -q "$(sed -n '1s,^/\* [^:]*: \(.*\) \*/$,\1,p' "$wrong")" <<<"$said" ||
        fail "$(basename "$wrong"): $said"
done

[ $failures -eq 0 ] || echo "$failures failures"
[ $failures -eq 0 ]
