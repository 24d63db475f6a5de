#!/bin/sh
# check_includes.sh: includes point downwards only. Each room may see what `knows` says, of the
# kernels only kernels.h, and a public header only other public headers; programs in examples and
# bench see the public headers and their own helpers, but for bench/algorithms.c, which asks the
# kernels.
set -eu
cd "${srcdir:-.}"
find include lib examples bench -name '*.[ch]' -type f | sort | xargs awk '
function exists(path,    line, found) {
    if (!(path in known)) {
        found = (getline line < path) >= 0
        close(path)
        known[path] = found
    }
    return known[path]
}
function directory(path) { return substr(path, 1, length(path) - length(base(path)) - 1) }
function base(path,    parts, n) { n = split(path, parts, "/"); return parts[n] }
# The room of a file: lib/ROOM/..., include/gradus/ROOM.h, include/gradus.h ("gradus"), examples,
# bench. checkpoint.h and optim.h are headers of nn.
function room(path,    parts, n) {
    n = split(path, parts, "/")
    if (parts[1] == "lib") return parts[2]
    if (path ~ /^include\/gradus\/(checkpoint|optim)\.h$/) return "nn"
    if (parts[1] == "include") return substr(parts[n], 1, length(parts[n]) - 2)
    return parts[1]
}
function resolve(name, quoted) {
    if (quoted && exists(directory(FILENAME) "/" name)) return directory(FILENAME) "/" name
    if (exists("lib/" name)) return "lib/" name
    if (exists("include/" name)) return "include/" name
    return ""
}
function bad(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; failed = 1 }
function check(name, quoted,    path, from, to, public_from, public_to) {
    path = resolve(name, quoted)
    if (path == "") {
        if (quoted) bad("there is no \"" name "\"")
        return
    }
    from = room(FILENAME); to = room(path)
    public_from = FILENAME ~ /^include\//; public_to = path ~ /^include\//
    if (FILENAME == "bench/algorithms.c" && path == "lib/kernels/kernels.h") return
    if (from == "examples" || from == "bench") {
        if (path != "include/gradus.h" && to != from)
            bad(from " sees the public header gradus.h only, not " name)
    } else if (FILENAME == "include/gradus.h") {
        if (!public_to) bad("a public header sees public headers only, not " name)
    } else if (public_from && !public_to)
        bad("a public header sees public headers only, not " name)
    else if (to != from && index(" " knows[from] " types ", " " to " ") == 0)
        bad(from " must not know " name)
    else if (to == "kernels" && from != to && base(path) != "kernels.h")
        bad("of the kernels, " from " knows kernels.h only, not " name)
}
BEGIN {
    knows["kernels"] = ""
    knows["core"] = "kernels"
    knows["ops"] = "core kernels"
    knows["autograd"] = "ops core"
    knows["io"] = "core"
    knows["data"] = "io core"
    knows["nn"] = "data autograd ops core io"
    knows["web"] = "io core"
    knows["inspect"] = "web autograd ops core"
    knows["report"] = "web nn data ops core"
}
/^[ \t]*#[ \t]*include/ {
    name = $0
    quoted = name ~ /include[ \t]*"/
    sub(/^[^"<]*["<]/, "", name); sub(/[">].*$/, "", name)
    check(name, quoted)
}
END { exit failed }
'
