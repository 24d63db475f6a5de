/* report_checks.js: what test_browser.py looks at in the report of examples/lenet, as the body of a function: from the loss, the accuracy and
   the count of right ones that the program printed, a list of what is wrong in the page. */
const wrong = [];
const is = (what, good) => good || wrong.push(what);
const all = (selector) => [...document.querySelectorAll(selector)];
const same = (what, a, b) => is(`${what}: ${a}, not ${b}`, String(a) === String(b));
const tileOf = (name) => all('.tile').find((t) => t.querySelector('h3').textContent === name)?.querySelector('.big').textContent;
const cardOf = (name) => all('.card').find((c) => c.querySelector('h2').textContent === name);
const point = (e, x, y) => {
  const b = e.getBoundingClientRect();
  e.dispatchEvent(new PointerEvent('pointermove', { clientX: b.left + x * b.width, clientY: b.top + y * b.height, bubbles: true }));
};
const pixels = (canvas) => {
  const copy = document.createElement('canvas'), context = copy.getContext('2d', { willReadFrequently: true });
  copy.width = canvas.width;
  copy.height = canvas.height;
  context.drawImage(canvas, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height).data;
};
const ink = (canvas) => new Set(pixels(canvas)).size;

same('training loss', tileOf('training loss'), arguments[0]);
same('test accuracy', tileOf('test accuracy'), arguments[1]);
same('halves', [0.66875, 0.66625, 0.9999, 1].map((x) => hundredths(Math.fround(x))).join(' '), '66.88 66.62 99.99 100.00'); /* as printf */
same('status', document.getElementById('status').textContent, 'ended');
for (const name of ['Loss', 'Accuracy', 'Learning rate', 'Gradient norm', 'Update / weight']) {
  const paths = cardOf(name) ? [...cardOf(name).querySelectorAll('svg path.line')] : [];
  is(`no curve of ${name}`, paths.length > 0 && paths.every((p) => p.getAttribute('d').length > 10));
}
is('not five lines of layers', cardOf('Gradient norm').querySelectorAll('svg path.line').length === 5);

const loss = cardOf('Loss'), svg = loss.querySelector('svg');
const linear = svg.querySelector('path.line').getAttribute('d');
[...loss.querySelectorAll('.switch button')].find((b) => b.textContent === 'log').click();
is('the logarithm changes nothing', svg.querySelector('path.line').getAttribute('d') !== linear);
[...cardOf('Gradient norm').querySelectorAll('.switch button')].find((b) => b.textContent === 'map').click();
is('no map of the layers', ink(cardOf('Gradient norm').querySelector('canvas')) > 10);

/* The table says how many are right, as printed, and each recall is of its row. */
const rows = all('.confusion tbody tr').slice(0, 10).map((r) => [...r.querySelectorAll('td')].map((d) => Number(d.textContent.replace(/[^\d.]/g, '') || 0)));
const right = rows.reduce((s, r, k) => s + r[k], 0), count = rows.flatMap((r) => r.slice(0, 10)).reduce((s, v) => s + v, 0);
same('right in the table', `${right}/${count}`, arguments[2]);
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
sessionStorage.clear(); /* what was chosen would outlive the page */
return wrong;
