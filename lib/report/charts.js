/* charts.js: curves over the steps of a run, and their values at the pointer.

   Invariant: the numbers in a legend are values of the lines: the last ones, or those nearest to
   the cursor. */
'use strict';

const run = look.data(), el = look.el;
const last = (x) => (x.length ? x[x.length - 1] : NaN);
const finite = (x) => Array.from(x).filter(Number.isFinite);
const some = (x) => finite(x).length > 0;
const epochOf = (step) => (run.batches ? step / run.batches : NaN);

/* Shows text(row, column) as the tip of the cell under the pointer. */
function hoverCells(canvas, rows, cols, text) {
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect();
    const r = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const c = Math.floor(((event.clientX - box.left) / box.width) * cols);
    look.tip(
      r >= 0 && c >= 0 && r < rows && c < cols ? text(r, c) : '', event.clientX, event.clientY);
  });
  canvas.addEventListener('pointerleave', () => look.tip(''));
}

/* ---- axes ---- */

const PAD = { left: 52, right: 12, top: 8, bottom: 34 };

function ticks(low, high, want) {
  const raw = (high - low) / want, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((m) => m * power >= raw * 0.999) * power;
  const t = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) t.push(k * step);
  return t;
}

/* At least three ticks: powers of ten, or as many multiples of them as that takes; over less than
   an octave or so, as on a linear axis. */
function logTicks(low, high) {
  const every = Math.ceil(Math.log10(high / low) / 6);
  for (const multiples of [[1], [1, 3], [1, 2, 5], [1, 2, 3, 4, 5, 7]]) {
    const t = [];
    for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++)
      if (multiples.length > 1 || p % every === 0) t.push(...multiples.map((m) => m * 10 ** p));
    const inside = t.filter((v) => v >= low * 0.999 && v <= high * 1.001);
    if (inside.length >= 3) return inside;
  }
  return ticks(low, high, 4);
}

function tickText(v) {
  const short = v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5) ?
    v.toExponential(0).replace('e+', 'e') :
    String(Number(v.toPrecision(6)));
  return short.replace(/-/g, '\u2212');
}

/* The range of y: that of the lines, with a margin. */
function scaleOf(lines, log, zero) {
  let low = Infinity, high = -Infinity;
  for (const l of lines)
    for (const v of [l.y, l.low || [], l.high || []].flatMap((a) => Array.from(a)))
      if (Number.isFinite(v) && (!log || v > 0)) {
        low = Math.min(low, v);
        high = Math.max(high, v);
      }
  if (low > high) return null;
  if (log) {
    const margin = low === high ? 2 : (high / low) ** 0.04;
    return [low / margin, high * margin];
  }
  const room = high > low ? 0.05 * (high - low) : Math.abs(high) / 2 || 1;
  return [zero && low >= 0 && low < high / 2 ? 0 : low - room, high + room];
}

function pathOf(x, y, px, py) {
  let d = '', pen = false;
  for (let i = 0; i < x.length; i++) {
    const v = py(y[i]);
    if (!Number.isFinite(v)) { pen = false; continue; }
    d += `${pen ? 'L' : 'M'}${px(x[i]).toFixed(1)} ${v.toFixed(1)}`;
    pen = true;
  }
  return d;
}

function bandOf(l, px, py) {
  const up = [], down = [];
  for (let i = 0; i < l.x.length; i++) {
    const a = py(l.low[i]), b = py(l.high[i]);
    if (!Number.isFinite(a) || !Number.isFinite(b)) continue;
    up.push(`${px(l.x[i]).toFixed(1)} ${b.toFixed(1)}`);
    down.unshift(`${px(l.x[i]).toFixed(1)} ${a.toFixed(1)}`);
  }
  return up.length ? `M${up.join('L')}L${down.join('L')}Z` : '';
}

const nearest = (x, step) => {
  let k = 0;
  for (let i = 1; i < x.length; i++) if (Math.abs(x[i] - step) < Math.abs(x[k] - step)) k = i;
  return k;
};

const stepText = (step) => `step ${look.count(Math.round(step))}${
  run.batches ? `, epoch ${look.number(epochOf(step), 4)}` : ''}`;

/* ---- charts ---- */
/* A chart: lines { name, x, y, colour, low, high, thin, dots, quiet } over steps; options { height,
   log, zero, text, tick, label }; named, the lines that are not quiet; first and end, its range of
   steps; cursor, a step or null; focus, the name of a line or null; px(step), py(value). */

/* The last values of the lines, or those at the cursor. */
function legendItems(c) {
  const text = c.options.text || ((v) => look.number(v)), step = c.cursor;
  const items = c.named.map((l) => {
    const k = step === null ? l.y.length - 1 : nearest(l.x, step);
    const swatch = el('i', { style: { background: l.colour } });
    const inside = [swatch, l.name, el('b', {}, text(l.y[k]))];
    if (c.named.length < 4) return el('span', {}, ...inside);
    const on = () => { c.focus = l.name; c.draw(); };
    const off = () => { c.focus = null; c.draw(); };
    const events = { onpointerenter: on, onpointerleave: off, onfocus: on, onblur: off };
    return el('button', { type: 'button', ...events }, ...inside);
  });
  return [el('span', { class: 'at' }, stepText(step === null ? c.end : step)), ...items];
}

function drawAxes(c, low, high, height) {
  const put = (tag, about, ...inside) => c.svg.append(el(tag, about, ...inside));
  const bottom = height - PAD.bottom, right = c.width - PAD.right, { first, end, px, py } = c;
  const text = c.options.tick || tickText;
  const rows = c.options.log ? logTicks(low, high) : ticks(low, high, Math.max(3, height / 45));
  for (const v of rows) {
    put('line', { class: 'grid', x1: PAD.left, x2: right, y1: py(v), y2: py(v) });
    put('text', { x: PAD.left - 7, y: py(v) + 4, 'text-anchor': 'end' }, text(v));
  }
  for (const v of ticks(first, end, Math.max(2, c.width / 75)))
    put('text', { x: px(v), y: bottom + 17, 'text-anchor': 'middle' }, look.count(Math.round(v)));
  put('text', { x: right, y: height - 2, 'text-anchor': 'end' }, 'step');
  if (!run.batches || (end - first) / run.batches > 60) return;
  const n = run.batches;
  for (let step = n * (Math.floor(first / n) + 1); step <= end; step += n)
    put('line', { class: 'epoch', x1: px(step), x2: px(step), y1: PAD.top, y2: bottom });
}

function drawLines(c) {
  const { px, py } = c;
  for (const l of c.lines) {
    const dim = c.focus && c.focus !== l.name ? ' dim' : '';
    const stroke = { style: { stroke: l.colour } }, fill = { style: { fill: l.colour } };
    if (l.low) c.svg.append(el('path', { class: `band${dim}`, d: bandOf(l, px, py), ...fill }));
    const kind = `line${l.thin ? ' thin' : ''}${c.lines.length > 4 ? ' many' : ''}${dim}`;
    c.svg.append(el('path', { class: kind, d: pathOf(l.x, l.y, px, py), ...stroke }));
    if (!l.dots || l.x.length > 60) continue;
    for (let i = 0; i < l.x.length; i++)
      if (Number.isFinite(py(l.y[i])))
        c.svg.append(el('circle', { class: dim, cx: px(l.x[i]), cy: py(l.y[i]), r: 3, ...fill }));
  }
}

function drawCursor(c, height) {
  if (c.cursor === null) return;
  const x = c.px(c.cursor), ends = { y1: PAD.top, y2: height - PAD.bottom };
  c.svg.append(el('line', { class: 'cursor', x1: x, x2: x, ...ends }));
  for (const l of c.named) {
    const k = nearest(l.x, c.cursor), y = c.py(l.y[k]), fill = { style: { fill: l.colour } };
    if (Number.isFinite(y))
      c.svg.append(el('circle', { class: 'at', cx: c.px(l.x[k]), cy: y, r: 3.5, ...fill }));
  }
}

function drawChart(c) {
  const height = c.options.height || 240, { log, zero } = c.options;
  const bounds = scaleOf(c.lines, log, zero);
  c.width = c.host.clientWidth || 600;
  c.svg.setAttribute('viewBox', `0 0 ${c.width} ${height}`);
  c.svg.setAttribute('height', height);
  c.svg.replaceChildren();
  if (!document.activeElement || document.activeElement.parentNode !== c.legend)
    c.legend.replaceChildren(...legendItems(c));
  if (!bounds) {
    const text = 'no positive values to show on a logarithmic scale';
    return c.svg.append(el('text', { x: PAD.left, y: 40 }, text));
  }
  const [low, high] = bounds, f = log ? Math.log10 : (v) => v;
  const inner = c.width - PAD.left - PAD.right, tall = height - PAD.top - PAD.bottom;
  const part = (v) => (log && !(v > 0) ? NaN : (f(v) - f(low)) / (f(high) - f(low)));
  c.px = (step) => PAD.left + ((step - c.first) / (c.end - c.first)) * inner;
  c.py = (v) => PAD.top + (1 - part(v)) * tall;
  drawAxes(c, low, high, height);
  drawLines(c);
  drawCursor(c, height);
}

/* Moves the cursor by pointer and keys. */
function listenToChart(c) {
  const xs = [...new Set(c.named.flatMap((l) => Array.from(l.x)))].sort((a, b) => a - b);
  const set = (step) => { c.cursor = step; c.draw(); };
  c.svg.addEventListener('pointermove', (event) => {
    const x = event.clientX - c.svg.getBoundingClientRect().left - PAD.left;
    const part = x / (c.width - PAD.left - PAD.right);
    set(xs[nearest(xs, c.first + part * (c.end - c.first))]);
  });
  c.svg.addEventListener('pointerleave', () => set(null));
  c.svg.addEventListener('blur', () => set(null));
  const n = xs.length;
  const moves = { ArrowLeft: -1, ArrowRight: 1, PageDown: -20, PageUp: 20, Home: -n, End: n };
  c.svg.addEventListener('keydown', (event) => {
    const by = moves[event.key];
    if (event.key === 'Escape') set(null);
    if (!by) return;
    event.preventDefault();
    const now = c.cursor === null ? n - 1 : nearest(xs, c.cursor);
    set(xs[Math.max(0, Math.min(n - 1, now + by))]);
  });
}

/* Puts a chart into host. Call its draw() after a change of options. */
function chart(host, lines, options) {
  lines = lines.filter((l) => some(l.y));
  if (!lines.length) return host.append(el('p', { class: 'none' }, 'no data yet')), { draw() {} };
  const legend = el('div', { class: 'legend' });
  const svg = el('svg', { tabindex: 0, role: 'img', 'aria-label': options.label });
  const named = lines.filter((l) => !l.quiet);
  const first = Math.min(run.first, ...lines.map((l) => l.x[0]));
  const end = Math.max(...lines.map((l) => last(l.x)), first + 1);
  const c = { host, lines, options, legend, svg, named, first, end, cursor: null, focus: null };
  c.draw = () => drawChart(c);
  host.classList.add('chart');
  host.append(legend, svg);
  listenToChart(c);
  new ResizeObserver(() => host.clientWidth !== c.width && c.draw()).observe(host);
  c.draw();
  return c;
}

/* A moving average over reach points on both sides. Near the left end it takes fewer, as many on
   both sides, so that it begins at the first value. Near the right end it takes fewer on the right
   alone, so that no single value decides where it ends. NaN and infinities are left out. */
function smooth(y, reach) {
  return Float32Array.from(y, (_, i) => {
    let sum = 0, n = 0;
    const side = Math.min(reach, i), end = Math.min(i + side, y.length - 1);
    for (let k = i - side; k <= end; k++) if (Number.isFinite(y[k])) { sum += y[k]; n++; }
    return n ? sum / n : NaN;
  });
}
