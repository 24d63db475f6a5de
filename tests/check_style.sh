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

# Functions, from the line that names them to the closing brace in the first column, and macros of several lines.
long=$(find lib -name '*.[ch]' -type f | sort | xargs awk '
    FNR == 1 { macro = 0 }
    /^\{/ { start = FNR - 1; name = before }
    /^\}/ && start { if (FNR - start + 1 > 60) printf "%s:%d: %d lines: %s\n", FILENAME, start, FNR - start + 1, name; start = 0 }
    /\\$/ && !macro { macro = FNR; macro_name = $0 }
    !/\\$/ && macro { if (FNR - macro + 1 > 60) printf "%s:%d: %d lines: %s\n", FILENAME, macro, FNR - macro + 1, macro_name; macro = 0 }
    { before = $0 }
')
[ -z "$long" ] || bad "$long"

# Nothing is left for later. (The words are split so that this file does not hold them.)
later=$(grep -rnE 'TO''DO|FIX''ME' lib include examples bench tests docs README.md --include='*.[ch]' --include='*.md' --include='*.sh' --include='*.py' || :)
[ -z "$later" ] || bad "$later"

# One file uses stb_ds.
stb=$(grep -rnE 'include.*stb_ds|STB_DS|stbds_|\<(arr|hm|sh)(put|get|len|free|del|ins|push|pop|set|add|last)[a-z]*\(' lib include --include='*.[ch]' |
    grep -v '^lib/core/containers\.c:' || :)
[ -z "$stb" ] || bad "$stb"

at_most()
{
    most=$1
    shift
    lines=$(cat "$@" | wc -l)
    [ "$lines" -le "$most" ] || bad "$* together have $lines lines, more than $most"
}
at_most 7100 $(find lib/core lib/ops lib/autograd -name '*.[ch]' -type f | sort)
at_most 399 lib/core/tape.c lib/autograd/scan.c

exit $failed
