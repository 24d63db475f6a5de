#!/bin/sh
# check_style.sh: small is a feature, and what else of the style a script can see.
set -eu
cd "${srcdir:-.}"
failed=0

bad()
{
    printf '%s\n' "$1"
    failed=1
}

# files PLACE... -- PATTERN...: those of the names, but for generated ones; each ends with a zero.
files()
{
    places= patterns=
    while [ "$1" != -- ]; do
        [ ! -e "$1" ] || places="$places $1"
        shift
    done
    shift
    for pattern in "$@"; do patterns="$patterns${patterns:+ -o }-name $pattern"; done
    set -f
    find $places -type f ! -name assets.c ! -name 'l*t*.m4' ! -path 'docs/html/*' \
        ! -path bench/result.md \( $patterns \) -print0 | sort -z
    set +f
}

# Functions, from the line that names them to the closing brace in the first column, and macros of
# several lines.
long=$(files lib -- '*.[ch]' | xargs -0 awk '
    function check(start, name) {
        if (FNR - start + 1 > 60)
            printf "%s:%d: %d lines: %s\n", FILENAME, start, FNR - start + 1, name
    }
    FNR == 1 { macro = 0 }
    /^\{/ { start = FNR - 1; name = before }
    /^\}/ && start { check(start, name); start = 0 }
    /\\$/ && !macro { macro = FNR; macro_name = $0 }
    !/\\$/ && macro { check(macro, macro_name); macro = 0 }
    { before = $0 }
')
[ -z "$long" ] || bad "$long"

# A function has at most 8 parameters: more go into a struct. Definitions, in macros too.
many=$(files lib -- '*.[ch]' | xargs -0 perl -0777 -ne '
    s{/\*.*?\*/}{$& =~ s/[^\n]//gr}gse;
    s/ *\\$//mg;
    while (/^[ \t]*(?:\w+[ \t*]+)+(\w+|GR__NAME\(\w+\))(\((?:[^(){};#]|(?2))*\))\s*\{/mg) {
        my ($name, $list, $line) = ($1, substr($2, 1, -1), 1 + (substr($_, 0, $-[1]) =~ tr/\n//));
        next if $name =~ /^(if|for|while|switch)$/;
        1 while $list =~ s/\([^()]*\)//;
        my $n = 1 + ($list =~ tr/,//);
        print "$ARGV:$line: $n parameters: $name\n" if $n > 8;
    }
')
[ -z "$many" ] || bad "$many"

# No line is wider than 100 columns, but for one with a link and for a row of a table in a page.
wide=$(files lib include examples bench tests docs README.md bootstrap configure.ac Makefile.am \
    .ci m4 -- '*.[ch]' '*.md' '*.sh' '*.py' '*.js' '*.css' '*.html' '*.pl' '*.inc' '*.ac' '*.am' \
    '*.m4' bootstrap run | xargs -0 perl -CSDA -MText::Tabs -ne '
    chomp;
    print "$ARGV:$.: ", length expand($_), " columns\n" if length expand($_) > 100 &&
        !m{://|\]\(} && !($ARGV =~ /\.md$/ && /^\|/);
    close ARGV if eof;
')
[ -z "$wide" ] || bad "$wide"

# Nothing is left for later. (The words are split so that this file does not hold them.)
later=$(grep -rnE 'TO''DO|FIX''ME' lib include examples bench tests docs README.md \
    --include='*.[ch]' --include='*.md' --include='*.sh' --include='*.py' || :)
[ -z "$later" ] || bad "$later"

# Words and phrases that a reader with English as a second language stumbles over: one extended
# regular expression a line in tests/banned-words.txt.
if [ -f tests/banned-words.txt ]; then
    sed '/^#/d; /^ *$/d' tests/banned-words.txt >"${TMPDIR:-/tmp}/gradus-style.$$"
    trap 'rm -f "${TMPDIR:-/tmp}/gradus-style.$$"' EXIT
    banned=$(files lib include examples docs README.md -- \
        '*.[ch]' '*.md' '*.js' '*.css' '*.html' |
        xargs -0 grep -HniE -f "${TMPDIR:-/tmp}/gradus-style.$$" || :)
    [ -z "$banned" ] || bad "$banned"
fi

# One file uses stb_ds.
operations='(put|get|len|free|del|ins|push|pop|set|add|last)[a-z]*'
stb=$(grep -rnE "include.*stb_ds|STB_DS|stbds_|\<(arr|hm|sh)$operations\(" lib include \
    --include='*.[ch]' | grep -v '^lib/core/containers\.c:' || :)
[ -z "$stb" ] || bad "$stb"

# No part is larger than tests/sizes.txt says, and each room of lib is in a part.
while read -r most part folders; do
    case $most in '' | '#'*) continue ;; esac
    case $folders in
    assets:*) size=$(files ${folders#assets:} -- '*.js' '*.css' '*.html' | xargs -0 cat | wc -c) ;;
    *) size=$(files $folders -- '*.[ch]' | xargs -0 cat | wc -c) ;;
    esac
    [ "$size" -le $((most * 1024)) ] ||
        bad "$part ($folders): $(((size + 1023) / 1024)) KB, more than the $most of tests/sizes.txt"
done <tests/sizes.txt
for room in lib/*/; do
    grep -qE "^[0-9]+ [a-z]+ (.* )?${room%/}( |$)" tests/sizes.txt ||
        bad "$room is in no part of tests/sizes.txt"
done

exit $failed
