/* look.js: what all pages share: the data, numbers, elements, colours of light and dark, heat maps,
   tips.

   Invariant: text from the data becomes text of the page (textContent or an attribute), never
   markup. */
'use strict';

const look = {};

/* ---- data and numbers ---- */

look.data = () => JSON.parse(document.getElementById('data').textContent);

/* Numbers as gr__json_reals puts them. */
look.reals = (base64) => {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  if (new Uint8Array(new Uint32Array([1]).buffer)[0] === 1) return new Float32Array(bytes.buffer);
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
};

/* A number as text: four significant digits, and a minus sign in place of a hyphen. */
look.number = (x, digits = 4) => {
  x = Number(x);
  if (Number.isNaN(x)) return 'NaN';
  if (!Number.isFinite(x)) return x < 0 ? '\u2212inf' : 'inf';
  const size = Math.abs(x);
  const power = x !== 0 && (size >= 1e5 || size < 1e-3);
  let text = x === 0 ? '0' : power ? x.toExponential(digits - 2) : x.toPrecision(digits);
  if (!text.includes('e') && text.includes('.')) text = text.replace(/\.?0+$/, '');
  return text.replace('e+', 'e').replace(/-/g, '\u2212');
};

/* Numbers that stand in cells next to each other, all in one form: integers as they are, others
   with so many decimals as leave about three digits of the largest, and with a common power of ten
   in front if it is very large or small: { power, text(x) }. */
look.cells = (values) => {
  const { limit } = look.stats(values);
  const integers = values.every((x) => Number.isInteger(x)) && limit < 1e4;
  const power =
    limit > 0 && !integers && (limit < 0.1 || limit >= 1000) ? Math.floor(Math.log10(limit)) : 0;
  const size = limit / 10 ** power, decimals = integers ? 0 : size < 10 ? 2 : size < 100 ? 1 : 0;
  const text = (x) => (Number.isFinite(x) ?
      (x / 10 ** power).toFixed(decimals).replace(/^-(?=[0.]*$)/, '').replace('-', '\u2212') :
      look.number(x));
  return { power, text };
};

const SUPERSCRIPT = {
  '-': '\u207b',
  0: '\u2070',
  1: '\u00b9',
  2: '\u00b2',
  3: '\u00b3',
  4: '\u2074',
  5: '\u2075',
  6: '\u2076',
  7: '\u2077',
  8: '\u2078',
  9: '\u2079'
};
look.powerOfTen = (k) => `10${[...String(k)].map((c) => SUPERSCRIPT[c]).join('')}`;

/* 61706 as 61,706. */
look.count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ',');

/* Minimum, mean and maximum of the finite ones of some numbers, and the largest magnitude. */
look.stats = (values) => {
  let min = Infinity, max = -Infinity, sum = 0, n = 0;
  for (const v of values) {
    if (!Number.isFinite(v)) continue;
    if (v < min) min = v;
    if (v > max) max = v;
    sum += v;
    n++;
  }
  return n ? { min, max, mean: sum / n, limit: Math.max(Math.abs(min), Math.abs(max)) } :
             { min: 0, max: 0, mean: 0, limit: 0 };
};

/* ---- elements ---- */

/* look.el('p', { class: 'soft', onclick: f }, 'text', element, ...) */
look.el = (tag, about = {}, ...inside) => {
  const e = tag === 'svg' || tag === 'path' || tag === 'g' || tag === 'rect' || tag === 'text' ||
      tag === 'line' || tag === 'circle' || tag === 'polyline' ?
    document.createElementNS('http://www.w3.org/2000/svg', tag) :
    document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on'))
      e.addEventListener(name.slice(2), value);
    else if (name === 'style')
      Object.assign(e.style, value);
    else
      e.setAttribute(name, value === true ? '' : value);
  }
  e.append(...inside.filter((x) => x !== null && x !== undefined && x !== false));
  return e;
};

/* ---- light and dark ---- */

look.onTheme = []; /* functions that draw a canvas again after a change of colours */

look.theme = (name) => {
  document.documentElement.dataset.theme = name;
  look.colours = null;
  for (const f of look.onTheme) f();
};

/* A button that changes between the two; until it is pressed, the system decides. */
look.themeButton = () => {
  const button = look.el('button', { id: 'theme', title: 'light or dark' }, '\u25d0');
  button.setAttribute('aria-label', 'light or dark');
  button.addEventListener('click', () => {
    look.chosen = true;
    look.theme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');
  });
  return button;
};

{
  const dark = matchMedia('(prefers-color-scheme: dark)');
  look.theme(dark.matches ? 'dark' : 'light');
  dark.addEventListener('change', () => look.chosen || look.theme(dark.matches ? 'dark' : 'light'));
}

/* ---- heat maps ---- */

look.variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const STEPS = 127; /* of a colour, on each side of the middle */

/* From --cold through --mid to --warm, as 2 STEPS + 1 pixels; the last is for NaN. */
function makeColours() {
  const rgb = (name) => look.variable(name).slice(1).match(/../g).map((h) => parseInt(h, 16));
  const cold = rgb('--cold'), mid = rgb('--mid'), warm = rgb('--warm');
  const table = new Uint8ClampedArray(4 * (2 * STEPS + 2));
  for (let i = 0; i <= 2 * STEPS; i++) {
    const end = i < STEPS ? cold : warm, t = Math.pow(Math.abs(i - STEPS) / STEPS, 0.75);
    for (let c = 0; c < 3; c++) table[4 * i + c] = mid[c] + (end[c] - mid[c]) * t;
    table[4 * i + 3] = 255;
  }
  table.set([255, 0, 200, 255], 4 * (2 * STEPS + 1));
  return table;
}

look.colourIndex = (v, limit) => Number.isNaN(v) ? 2 * STEPS + 1 :
  limit > 0 ? STEPS + Math.round(STEPS * Math.max(-1, Math.min(1, v / limit))) :
              STEPS;

look.colour = (v, limit) => {
  const table = (look.colours = look.colours || makeColours()), i = 4 * look.colourIndex(v, limit);
  return `rgb(${table[i]},${table[i + 1]},${table[i + 2]})`;
};

/* Draws rows x cols numbers, from offset on, a pixel each; the canvas is shown larger by style.
   -limit is cold, 0 the middle, limit warm. */
look.heat = (canvas, values, rows, cols, limit, offset = 0) => {
  const table = (look.colours = look.colours || makeColours());
  canvas.width = cols;
  canvas.height = rows;
  if (!rows || !cols) return;
  const context = canvas.getContext('2d'), image = context.createImageData(cols, rows);
  const to = new Uint32Array(image.data.buffer), from = new Uint32Array(table.buffer);
  for (let i = 0; i < rows * cols; i++) to[i] = from[look.colourIndex(values[offset + i], limit)];
  context.putImageData(image, 0, 0);
};

/* The scale under a map. */
look.bar = (limit) => look.el(
  'div', { class: 'bar number' }, look.number(-limit, 2), look.el('i'), look.number(limit, 2));

/* ---- tips ---- */

look.tip = (text, x, y) => {
  let tip = document.getElementById('tip');
  if (!tip) document.body.append((tip = look.el('div', { id: 'tip', role: 'status' })));
  tip.classList.toggle('shown', Boolean(text));
  if (!text) return;
  tip.textContent = text;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 6))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 10 : y + 18}px`;
};
