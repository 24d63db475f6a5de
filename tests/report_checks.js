/* report_checks.js: what test_browser.py looks at in the report of examples/lenet, as the body of a
   function: from the loss, the accuracy and the count of right ones that the program printed, a
   list of what is wrong in the page. */
const wrong = [];
const is = (what, good) => good || wrong.push(what);
const all = (selector) => [...document.querySelectorAll(selector)];
const same = (what, a, b) => is(`${what}: ${a}, not ${b}`, String(a) === String(b));
const tileOf = (name) => all(
  '.tile').find((t) => t.querySelector('h3').textContent === name)
                           ?.querySelector('.big')
                           .textContent;
const cardOf = (name) => all('.card').find((c) => c.querySelector('h2').textContent === name);
const point = (e, x, y) => {
  const b = e.getBoundingClientRect();
  e.dispatchEvent(new PointerEvent(
    'pointermove', {clientX: b.left + x * b.width, clientY: b.top + y * b.height, bubbles: true}));
};
const pixels = (canvas) => {
  const copy = document.createElement('canvas');
  const context = copy.getContext('2d', { willReadFrequently: true });
  copy.width = canvas.width;
  copy.height = canvas.height;
  context.drawImage(canvas, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height).data;
};
const ink = (canvas) => new Set(pixels(canvas)).size;

same('training loss', tileOf('training loss'), arguments[0]);
same('test accuracy', tileOf('test accuracy'), arguments[1]);
/* as printf */
same('halves', [0.66875, 0.66625, 0.9999, 1].map((x) => hundredths(Math.fround(x))).join(' '),
  '66.88 66.62 99.99 100.00');
same('status', document.getElementById('status').textContent, 'finished');
same('count', [7, 1000, 61706, 1234567].map(look.count).join(' '), '7 1,000 61,706 1,234,567');
const level = Array.from({ length: 40 }, (_, i) => (i < 39 ? 1 : 0)); /* one low value at the end */
same('right end of a smoothed curve',
  Array.from(smooth(level, 9)).slice(-2).map((v) => v.toFixed(4)).join(' '),
  `${(10 / 11).toFixed(4)} 0.9000`);
same('left end of a smoothed curve', smooth([4, 1, 1, 1], 2)[0], 4);
for (const [low, high] of [[0.03, 0.08], [0.9, 1.1], [2e-4, 3e-3], [1e-9, 1], [3, 4000]]) {
  const t = logTicks(low, high);
  is(`ticks of ${low} to ${high}: ${t}`,
    t.length >= 3 && t.length <= 10 && t.every((v) => v > 0.99 * low && v < 1.01 * high));
}
same('cells', look.cells([0.14, -0.4, 2, -0.007]).text(-0.4), '\u22120.40');
same('cells of small numbers',
  ((c) => [c.power, c.text(0.02), c.text(-3e-4)])(look.cells([0.02, -3e-4])).join(' '),
  '-2 2.00 \u22120.03');
same('cells of integers', [3, 0, 7].map(look.cells([3, 0, 7]).text).join(' '), '3 0 7');
same('capitals of titles',
  getComputedStyle(document.querySelector('.card h2'), '::first-letter').textTransform, 'none');
for (const name of ['Loss', 'Accuracy', 'Learning rate', 'Gradient norm', 'Update / weight']) {
  const paths = cardOf(name) ? [...cardOf(name).querySelectorAll('svg path.line')] : [];
  is(
    `no curve of ${name}`, paths.length > 0 && paths.every((p) => p.getAttribute('d').length > 10));
}
is('not five lines of layers',
  cardOf('Gradient norm').querySelectorAll('svg path.line').length === 5);

const loss = cardOf('Loss'), svg = loss.querySelector('svg');
const linear = svg.querySelector('path.line').getAttribute('d');
[...loss.querySelectorAll('.switch button')].find((b) => b.textContent === 'log').click();
is('the logarithm changes nothing', svg.querySelector('path.line').getAttribute('d') !== linear);
[...cardOf('Gradient norm').querySelectorAll('.switch button')]
  .find((b) => b.textContent === 'map')
  .click();
is('no map of the layers', ink(cardOf('Gradient norm').querySelector('canvas')) > 10);

/* The table says how many are right, as printed, and each recall is of its row. */
const rows = all('.confusion tbody tr')
               .slice(0, 10)
               .map((r) => [...r.querySelectorAll('td')].map(
                      (d) => Number(d.textContent.replace(/[^\d.]/g, '') || 0)));
const right = rows.reduce((s, r, k) => s + r[k], 0);
const count = rows.flatMap((r) => r.slice(0, 10)).reduce((s, v) => s + v, 0);
same('right in the table', `${right}/${count}`, arguments[2]);
rows.forEach((r, k) => same(`recall of ${k}`, r[10],
               Number(((100 * r[k]) / r.slice(0, 10).reduce((s, v) => s + v, 0)).toFixed(1))));
same('mistakes', all('.shots figure').length, Math.min(24, count - right));
is('blank mistakes', all('.shots canvas').every((c) => ink(c) > 10));
const probability = all('.shots figcaption').map((c) => parseFloat(c.textContent.match(/[\d.]+%/)));
is('mistakes are not in order', probability.every((p, i) => i === 0 || p <= probability[i - 1]));

is('blank kernels or activations',
  all('#inside canvas').length >= 9 && all('#inside canvas').every((c) => ink(c) > 2));
point(all('#inside canvas.cells')[0], 0.02, 0.1);
const tip = document.getElementById('tip').textContent;
is(`tip: ${tip}`,
  tip === `filter 0, channel 0, (0, 0)\n${look.number(look.reals(run.kernels[0].v)[0])}`);

const before = document.documentElement.dataset.theme, kernel = all('#inside canvas.cells')[0];
const colour = () => pixels(kernel).join();
const bright = colour();
document.getElementById('theme').click();
is('the theme stays', document.documentElement.dataset.theme !== before && colour() !== bright);
sessionStorage.clear(); /* what was chosen would outlive the page */
return wrong;
