#!/bin/sh
# check_ops.sh: docs/ops.md is what the descriptors in lib/ops say, and how often tests/test_gradcheck has differentiated each. An op with a
# rule that no row of the gradcheck table comes by is an error. `srcdir=. tests/check_ops.sh update`, from the build directory, writes the table anew.
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
function code(s) {
    gsub(/\|/, "\\|", s)
    return s == "" ? "" : "`" s "`"
}
function row(name, equation, rule, torch,    half, at) {
    at = index(equation, "; ")
    half = at ? substr(equation, at + 2) : ""
    if (at) equation = substr(equation, 1, at - 1)
    if (rule && !(name in order)) {
        print FILENAME ": no row of the gradcheck table in tests/test_gradcheck.c comes by " name >"/dev/stderr"
        failed = 1
    }
    if (file != FILENAME) {
        file = FILENAME
        family = file
        sub(/.*\//, "", family); sub(/\.c$/, "", family)
        printf "\n## %s\n\n| op | y | gradient | orders | PyTorch |\n| --- | --- | --- | --- | --- |\n", family
    }
    times = !rule ? "none" : (order[name] >= 3 ? "any" : order[name])
    printf "| %s | %s | %s | %s | %s |\n", code(name), code(equation), code(half), times, code(torch)
}
BEGIN {
    while ((getline line < orders) > 0) {
        split(line, part, " ")
        order[part[1]] = part[2]
    }
    print "# The ops"
    print ""
    print "Each op is a descriptor beside its code ([adding-an-op.md](adding-an-op.md)), and this table is made of the descriptors by `tests/check_ops.sh update`: do"
    print "not edit it. What is not here is said in these, as `gr_var` or `gr_gelu` are."
    print ""
    print "y is the result and g its gradient; gx is that of the input x. [ ] is 1 where what stands in it holds, else 0. (33) is an equation of [convolution.md](convolution.md);"
    print "F is torch.nn.functional. Orders: how often the op can be differentiated; \"any\" where the test of gradients, which takes three, got through. Ops"
    print "without a name in PyTorch are for the gradients of others."
}
# A descriptor may go over several lines; so is it joined until its end.
/^static const gr__op [a-z0-9_]* = \{|^(UNARY|COMPARISON)_OP\(/ { text = ""; inside = 1 }
inside { text = text " " $0 }
inside && /(\};|\);?)$/ {
    inside = 0
    torch = ""
    rule = text ~ /UNARY_OP/ || text ~ /\.vjp = /
    if (match(text, /\.torch = "[^"]*"/)) {
        torch = substr(text, RSTART + 10, RLENGTH - 11)
        text = substr(text, 1, RSTART - 1)
    }
    if (text ~ /^ (UNARY|COMPARISON)_OP/) {
        name = text
        sub(/^ [A-Z]*_OP\(/, "", name); sub(/,.*/, "", name)
        equation = string(text)
        torch = string(rest)
    } else {
        name = string(text)
        equation = string(rest)
    }
    row(name, equation, rule, torch)
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
