#!/bin/sh
# test_browser.sh: the pages that the library writes, in a headless Chromium; what is checked is in test_browser.py.
set -eu
src=$(cd "${srcdir:-.}" && pwd)
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || :)
chromedriver=$(command -v chromedriver || :)
python=$(command -v python3 || :)
if [ -z "$chromium" ] || [ -z "$chromedriver" ] || [ -z "$python" ]; then
    echo "skipped: there is no Chromium with chromedriver, or no Python 3 (Debian: apt install chromium chromium-driver python3)"
    exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests/pages "$work" >"$work/facts"
PYTHONDONTWRITEBYTECODE=1 timeout -k 10 240 "$python" "$src/tests/test_browser.py" "$chromium" "$chromedriver" "$work"
