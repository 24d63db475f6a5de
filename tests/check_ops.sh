#!/bin/sh
# check_ops.sh: docs/ops.md is what the descriptors in lib/ops say, and how often
# tests/test_gradcheck has differentiated each. An op with a vjp that no row of the gradcheck table
# comes by is an error. `srcdir=. tests/check_ops.sh update`, from the build directory, writes the
# list anew.
set -eu
src=${srcdir:-.}
table=$src/docs/ops.md
if [ ! -x tests/test_gradcheck ]; then
    echo "there is no tests/test_gradcheck"
    exit 77
fi
orders=$(mktemp)
made=$(mktemp)
trap 'rm -f "$orders" "$made"' EXIT
tests/test_gradcheck --orders >"$orders"

LC_ALL=C awk -v orders="$orders" '
# The text of all string literals of s, joined; a rest, where the next begins.
function string(s,    text) {
    text = ""
    while (match(s, /^[^"]*"([^"\\]|\\.)*"/)) {
        piece = substr(s, RSTART, RLENGTH)
        sub(/^[^"]*"/, "", piece); sub(/"$/, "", piece)
        text = text piece
        s = substr(s, RSTART + RLENGTH)
        if (s !~ /^[ \t]*"/) break
    }
    rest = s
    return text
}
function code(s) { return "`" s "`" }
# The text in lines of at most 100 columns, as an item of a list. No line begins with an operator,
# which Markdown would take for a list of its own.
function put(text,    word, n, i, line) {
    n = split(text, word, " ")
    line = "-"
    for (i = 1; i <= n; i++) {
        while (i < n && word[i + 1] ~ /^[-+*=>]$/) {
            word[i + 1] = word[i] " " word[i + 1]
            i++
        }
        if (length(line " " word[i]) > 100) {
            print line
            line = " "
        }
        line = line " " word[i]
    }
    print line
}
function item(name, equation, rule, torch, about,    text, half, at, why) {
    at = index(equation, "; ")
    half = at ? substr(equation, at + 2) : ""
    if (at) equation = substr(equation, 1, at - 1)
    if (rule && !(name in order)) {
        why = ": no row of the gradcheck table in tests/test_gradcheck.c comes by "
        print FILENAME why name >"/dev/stderr"
        failed = 1
    }
    if (file != FILENAME) {
        file = FILENAME
        family = file
        sub(/.*\//, "", family); sub(/\.c$/, "", family)
        printf "\n## %s\n\n", family
    }
    text = "**" code(name) "**: " code(equation) "."
    if (half != "") text = text " Gradient: " code(half) "."
    times = !rule ? "none" : (order[name] >= 3 ? "any" : order[name])
    text = text " Orders: " times "."
    if (about != "") text = text " Attributes: " about "."
    if (torch != "") text = text " PyTorch: " code(torch) "."
    put(text)
}
BEGIN {
    while ((getline line < orders) > 0) {
        split(line, part, " ")
        order[part[1]] = part[2]
    }
    print "# The ops"
    print ""
    print "Each op is a descriptor beside its code ([adding-an-op.md](adding-an-op.md)), and"
    print "this list is made of the descriptors by `tests/check_ops.sh update`: do not edit it."
    print "What is not here is made of these, as `gr_var` or `gr_gelu` are; the last op of such a"
    print "call is shown by the name of the call."
    print ""
    print "y is the result and g its gradient; gx is that of the input x. [ ] is 1 where what"
    print "stands in it holds, else 0. (33) is an equation of [convolution.md](convolution.md); F"
    print "is torch.nn.functional. Orders: how often the op can be differentiated; \"any\" where"
    print "the test of gradients, which takes three, got through. Ops without a name in PyTorch"
    print "are for the gradients of others."
}
# A macro that makes descriptors: what it says in all of them.
/^#define [A-Z]*_OP\(/ { macro = $2; sub(/\(.*/, "", macro) }
macro != "" {
    body[macro] = body[macro] $0
    if ($0 !~ /\\$/) macro = ""
    next
}
/^static const gr__attribute [a-z0-9_]*\[\] = \{/ {
    list = $4
    sub(/\[.*/, "", list)
    attributes[list] = ""
    next
}
list != "" && /^\};/ { list = "" }
list != "" && match($0, /^    \{ "[^"]*"/) {
    comma = attributes[list] == "" ? "" : ", "
    attributes[list] = attributes[list] comma code(substr($0, 8, RLENGTH - 8))
}
# A descriptor may go over several lines; so is it joined until its end.
/^static const gr__op [a-z0-9_]* = \{|^[A-Z]*_OP\(/ { text = ""; inside = 1 }
inside { text = text " " $0 }
inside && /(\};|\);?)$/ {
    inside = 0
    whole = text
    torch = ""
    if (match(text, /^ [A-Z]*_OP\(/)) {
        macro_name = substr(text, 2, RLENGTH - 2)
        whole = text body[macro_name]
        name = text
        sub(/^ [A-Z]*_OP\( */, "", name); sub(/,.*/, "", name)
        equation = string(text)
        torch = string(rest)
    } else {
        if (match(text, /\.torch = "[^"]*"/)) torch = substr(text, RSTART + 10, RLENGTH - 11)
        name = string(text)
        equation = string(rest)
    }
    about = match(whole, /[a-z0-9_]*_attributes/) ? attributes[substr(whole, RSTART, RLENGTH)] : ""
    if (whole ~ /_attributes \+ 1/) sub(/^[^,]*, /, "", about)
    item(name, equation, whole ~ /\.vjp = /, torch, about)
}
END { exit failed }
' "$src"/lib/ops/*.c >"$made"

if [ "${1:-}" = update ]; then
    cat "$made" >"$table"
    exit
fi
if ! diff "$table" "$made"; then
    echo "docs/ops.md (<) is not what the descriptors say (>): srcdir=. tests/check_ops.sh update"
    exit 1
fi
