#!/bin/bash
# test_browser_report.sh: the page of a run of training in a browser: it draws what the run printed, answers the pointer and the keyboard, fits, asks
# nobody for anything and logs no error; and no name gets out of its text. Runs in the build directory; skipped where there is no Chromium.
set -eu
examples=$PWD/examples
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || :)
[ -n "$browser" ] || { echo "skipped: no Chromium"; exit 77; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/gradus-browser.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
failures=0

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# What the scripts below check with: is(what, good). They are put behind the page's own, and leave their result in its title.
cat >checks.js <<'JS'
const wrong = [];
const is = (what, good) => good || wrong.push(what);
const all = (selector) => [...document.querySelectorAll(selector)];
const same = (what, a, b) => is(`${what}: ${a}, not ${b}`, String(a) === String(b));
const tileOf = (name) => all('.tile').find((t) => t.querySelector('h3').textContent === name)?.querySelector('.big').textContent;
const cardOf = (name) => all('.card').find((c) => c.querySelector('h2').textContent === name);
const point = (e, x, y) => { const b = e.getBoundingClientRect(); e.dispatchEvent(new PointerEvent('pointermove', { clientX: b.left + x * b.width, clientY: b.top + y * b.height, bubbles: true })); };
const press = (e, key) => e.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
const pixels = (canvas) => {
  const copy = document.createElement('canvas'), context = copy.getContext('2d', { willReadFrequently: true });
  copy.width = canvas.width;
  copy.height = canvas.height;
  context.drawImage(canvas, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height).data;
};
const ink = (canvas) => new Set(pixels(canvas)).size;
const fits = () => is(`${document.documentElement.scrollWidth} pixels wide in ${innerWidth}`, document.documentElement.scrollWidth <= innerWidth);
addEventListener('error', (e) => wrong.push(e.message));
JS

cat >classifier.js <<'JS'
same('training loss', tileOf('training loss'), printed.loss);
same('test accuracy', tileOf('test accuracy'), printed.accuracy);
same('status', document.getElementById('status').textContent, 'ended');
for (const name of ['Loss', 'Accuracy', 'Learning rate', 'Gradient norm', 'Update / weight']) {
  const paths = cardOf(name) ? [...cardOf(name).querySelectorAll('svg path.line')] : [];
  is(`no curve of ${name}`, paths.length > 0 && paths.every((p) => p.getAttribute('d').length > 10));
}
is('not five lines of layers', cardOf('Gradient norm').querySelectorAll('svg path.line').length === 5);

/* The pointer in the middle, then the keyboard: the legend says the run's numbers there. */
const loss = cardOf('Loss'), svg = loss.querySelector('svg'), told = () => [...loss.querySelectorAll('.legend > span')].map((s) => s.textContent);
point(svg, 0.5, 0.5);
is(`under the pointer: ${told()}`, /^step (1[5-9]|2[0-5]), epoch 0\.\d+$/.test(told()[0]));
press(svg, 'Home');
is(`at the first step: ${told()}`, told()[0].startsWith('step 1,') && told()[1].endsWith(run.loss.y[0].toFixed(4)));
press(svg, 'ArrowRight');
press(svg, 'ArrowRight');
is(`at the third step: ${told()}`, told()[0].startsWith('step 3,') && told()[1].endsWith(run.loss.y[2].toFixed(4)));
press(svg, 'Escape');
is(`at the end: ${told()}`, told()[0].startsWith('step 40,'));

const linear = svg.querySelector('path.line').getAttribute('d');
[...loss.querySelectorAll('.switch button')].find((b) => b.textContent === 'log').click();
is('the logarithm changes nothing', svg.querySelector('path.line').getAttribute('d') !== linear);
[...cardOf('Gradient norm').querySelectorAll('.switch button')].find((b) => b.textContent === 'map').click();
is('no map of the layers', ink(cardOf('Gradient norm').querySelector('canvas')) > 10);

/* The table says how many are right, as printed, and each recall is of its row. */
const rows = all('.confusion tbody tr').slice(0, 10).map((r) => [...r.querySelectorAll('td')].map((d) => Number(d.textContent.replace(/[^\d.]/g, '') || 0)));
const right = rows.reduce((s, r, k) => s + r[k], 0), count = rows.flatMap((r) => r.slice(0, 10)).reduce((s, v) => s + v, 0);
same('right in the table', `${right}/${count}`, printed.right);
rows.forEach((r, k) => same(`recall of ${k}`, r[10], Number(((100 * r[k]) / r.slice(0, 10).reduce((s, v) => s + v, 0)).toFixed(1))));
same('mistakes', all('.shots figure').length, Math.min(24, count - right));
is('blank mistakes', all('.shots canvas').every((c) => ink(c) > 10));
const sure = all('.shots figcaption').map((c) => parseFloat(c.textContent.match(/[\d.]+\u202f%/)));
is('mistakes are not in order', sure.every((p, i) => i === 0 || p <= sure[i - 1]));

is('blank kernels or activations', all('#inside canvas').length >= 9 && all('#inside canvas').every((c) => ink(c) > 2));
point(all('#inside canvas.cells')[0], 0.02, 0.1);
const tip = document.getElementById('tip').textContent;
is(`tip: ${tip}`, tip === `filter 0, channel 0, (0, 0)\n${look.number(look.reals(run.kernels[0].v)[0])}`);

const before = document.documentElement.dataset.theme, kernel = all('#inside canvas.cells')[0], colour = () => pixels(kernel).join();
const bright = colour();
document.getElementById('theme').click();
is('the theme stays', document.documentElement.dataset.theme !== before && colour() !== bright);
fits();
same('asked for', performance.getEntriesByType('resource').map((e) => e.name), '');
JS

cat >hostile.js <<'JS'
is('a name ran', !window.ran);
same('pictures of names', all('img, b.name').length, 0);
is('the names are not shown', all('.confusion th').some((t) => t.textContent === '<img src=x onerror=ran=1>'));
same('asked for', performance.getEntriesByType('resource').map((e) => e.name), '');
JS

# opens PAGE WIDTH SCRIPT...: with these scripts behind its own.
opens()
{
    local page=$1 width=$2
    shift 2
    {
        sed '/^<\/body>$/,$d' "$page"
        echo '<script>'
        cat checks.js "$@"
        echo "document.title = wrong.length ? 'WRONG ' + wrong.join('; ') : 'ALL GOOD';"
        printf '</script>\n</body>\n</html>\n'
    } >checked.html
    "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$dir/profile" --enable-logging=stderr --window-size="$width,900" \
        --virtual-time-budget=2000 --dump-dom "file://$dir/checked.html" >dom 2>log || fail "$page: the browser's status is $?"
    grep -q '<title>ALL GOOD</title>' dom || fail "$page, $width wide: $(grep -o '<title>.*' dom | head -c 2000)"
    ! grep 'CONSOLE' log || fail "$page, $width wide: the console is not silent"
}

"$examples/lenet" --epochs 1 --batch 500 --lr 0.05 --report run.html >printed || fail "lenet: status $?"
sed -n 's|^epoch 1/1  loss \([0-9.]*\) .*|const printed = { loss: "\1",|p
    s|^test accuracy \([0-9.]*\)% (\([0-9/]*\))$|accuracy: "\1%", right: "\2" };|p' printed >printed.js
for width in 1280 800; do opens run.html $width printed.js classifier.js; done

"$examples/autoencoder" --epochs 1 --batch 500 --out drawn.png >/dev/null || fail "autoencoder: status $?"
mkdir -p "pets/<img src=x onerror=ran=1>" 'pets/<b class=name>x<!--'
for i in 1 2 3 4 5; do
    for class in pets/*; do cp drawn.png "$class/$i.png"; done
done
"$examples/pictures" pets --size 16 --epochs 1 --batch 4 --report pets.html >/dev/null || fail "pictures: status $?"
opens pets.html 1000 hostile.js

[ $failures = 0 ]
