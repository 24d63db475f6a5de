#!/bin/sh
# run.sh: make docs. Pages of the public headers, the README and docs/ by Doxygen, in docs/html of
# the build directory. Anything that Doxygen complains of is an error: a public name without its
# comment, a link to a name or a page that is not there.
set -eu
if ! doxygen -v >/dev/null 2>&1 || ! perl -v >/dev/null 2>&1; then
    echo "docs: skipped: wants doxygen and perl"
    exit
fi
SRC=$(cd "$srcdir" && pwd)
PAGES=$(echo "$SRC"/docs/*.md "$SRC"/docs/book/*.md "$SRC"/bench/*.md)
MATHJAX=/usr/share/javascript/mathjax # Debian's libjs-mathjax; else the reader's browser fetches it
[ -f $MATHJAX/MathJax.js ] || MATHJAX=https://cdn.jsdelivr.net/npm/mathjax@2
export SRC PAGES MATHJAX

mkdir -p docs
rm -rf docs/html
doxygen "$SRC/docs/doxygen/Doxyfile"
cat docs/doxygen.log
[ ! -s docs/doxygen.log ] || exit 1
echo "docs: docs/html/index.html"
