#!/bin/sh
# test_browser.sh: the pages that the library writes, in a headless Chromium, by test_browser.py.
set -eu
src=$(cd "${srcdir:-.}" && pwd)
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || :)
chromedriver=$(command -v chromedriver || :)
python=$(command -v python3 || :)
if [ -z "$chromium" ] || [ -z "$chromedriver" ] || [ -z "$python" ]; then
    echo "skipped: there is no Chromium with chromedriver, or no Python 3" \
        "(Debian: apt install chromium chromium-driver python3)"
    exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests/pages "$work" >"$work/facts"
examples/lenet --epochs 1 --batch 500 --lr 0.05 --report "$work/run.html" >"$work/printed"
examples/autoencoder --epochs 1 --batch 500 --out "$work/drawn.png" >"$work/drawn"
for class in '<img src=x onerror=ran=1>' '<b class=name>x<!--'; do
    mkdir -p "$work/pets/$class"
    for i in 1 2 3 4 5; do cp "$work/drawn.png" "$work/pets/$class/$i.png"; done
done
examples/pictures "$work/pets" --size 16 --epochs 1 --batch 4 --report "$work/pets.html" \
    >"$work/pictures"
PYTHONDONTWRITEBYTECODE=1 timeout -k 10 240 "$python" "$src/tests/test_browser.py" \
    "$chromium" "$chromedriver" "$work"
