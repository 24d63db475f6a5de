#!/bin/sh
# check_docs.sh: no public name without its comment. A declaration with GR_API, or a macro called
# like a function, comes directly after a /** ... */ comment, or directly after another that does;
# what the comment says by a label comes in the one order.
set -eu
cd "${srcdir:-.}"
find include -name '*.h' -type f | sort | xargs awk '
function bad(line, why) { printf "%s:%d: %s\n", FILENAME, line, why; failed = 1 }
function rank(label) { return index("Shape   Gradient Default Errors  Lifetime Source", label) }
function check_order(text, line,    label, last, at) {
    last = 0
    while (match(text, /(Shape|Gradient|Default|Errors|Lifetime|Source)s?: /)) {
        label = substr(text, RSTART, RLENGTH)
        sub(/s?: $/, "", label)
        if (label == "Error") label = "Errors"
        at = rank(label)
        if (at < last)
            bad(line, "\"" label ":\" comes too late; the order is " \
                "shape, gradient, defaults, errors, lifetime, source")
        last = at
        text = substr(text, RSTART + RLENGTH)
    }
}
# documented: the line before ended a comment, or a declaration that had one.
FNR == 1 { documented = 0; inside = 0; continued = ""; depth = 0 }
inside || /^[ \t]*\/\*\*/ {
    if (!inside) { comment = ""; comment_line = FNR; inside = 1 }
    comment = comment " " $0
    if ($0 ~ /\*\//) { inside = 0; documented = 1; check_order(comment, comment_line) }
    next
}
continued == "macro" { if ($0 !~ /\\$/) continued = ""; next }
continued == "declaration" { if ($0 ~ /;/) continued = ""; next }
/^GR_API/ {
    if (!documented) bad(FNR, "no comment before: " $0)
    if ($0 !~ /;/) continued = "declaration"
    next
}
/^#define gr_[a-z0-9_]*\(/ && FILENAME !~ /types\.h$/ {
    if (!documented) bad(FNR, "no comment before: " $0)
    if ($0 ~ /\\$/) continued = "macro"
    next
}
{ documented = 0 }
END { exit failed }
'
