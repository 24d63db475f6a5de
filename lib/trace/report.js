/* report.js: the page of a run of training.

   Invariant: numbers are the run's own: a point that stands for several steps says so, and what was left out is said where it is missing. */
'use strict';

const run = look.data(), el = look.el, at = (id) => document.getElementById(id);
const fixed = (x, n) => (Number.isFinite(x) ? x.toFixed(n).replace('-', '\u2212') : look.number(x));
const percent = (x, n = 2) => (Number.isFinite(x) ? `${(100 * x).toFixed(n)}\u202f%` : '\u2013');
const hundred = (x) => (x === 1 ? '100' : (100 * x).toFixed(1)); /* percent, where there is little room */
const last = (x) => (x.length ? x[x.length - 1] : NaN);
const finite = (x) => Array.from(x).filter(Number.isFinite);
const some = (x) => finite(x).length > 0;
const plural = (n, what) => `${look.count(n)} ${what}${n === 1 ? '' : 's'}`;

for (const c of [run.loss, run.rate, ...run.values]) for (const k of ['x', 'y', 'low', 'high']) c[k] = look.reals(c[k]);
for (const k of ['x', 'loss', 'test_loss', 'accuracy', 'seconds']) run.epochs[k] = look.reals(run.epochs[k]);
run.layers.x = look.reals(run.layers.x);
for (const l of run.layers.list) for (const k of ['gradient', 'update']) l[k] = look.reals(l[k]);

/* What the reader has chosen outlives a reload. */
const keep = {
  get: (key, otherwise) => {
    try { return sessionStorage.getItem(`report.${key}`) ?? otherwise; } catch { return otherwise; }
  },
  set: (key, value) => {
    try { sessionStorage.setItem(`report.${key}`, value); } catch { /* then it does not */ }
  },
};

function choice(key, options, otherwise, chosen) {
  let now = keep.get(key, otherwise);
  if (!options.includes(now)) now = otherwise;
  const buttons = options.map((o) => el('button', { type: 'button', 'aria-pressed': String(o === now), onclick: () => choose(o) }, o));
  const choose = (o) => {
    keep.set(key, o);
    buttons.forEach((b, i) => b.setAttribute('aria-pressed', String(options[i] === o)));
    chosen(o);
  };
  return [el('span', { class: 'switch', role: 'group' }, ...buttons), now];
}

function card(where, kind, title, note, ...tools) {
  const body = el('div');
  where.append(el('article', { class: `sheet card ${kind}` }, el('header', {}, el('h2', {}, title), el('p', {}, note || ''), ...tools), body));
  return body;
}

/* ---- the top ---- */

/* "41.2" s, "18:41" min, "2:03:05" h. */
function clock(seconds) {
  const two = (n) => String(n).padStart(2, '0'), s = Math.round(seconds);
  if (seconds < 59.95) return [seconds.toFixed(1), 's'];
  return s < 3600 ? [`${Math.floor(s / 60)}:${two(s % 60)}`, 'min'] : [`${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`, 'h'];
}

const stepTime = (s) => (s < 1 ? `${look.number(1000 * s, 3)} ms a step` : `${look.number(s, 3)} s a step`);

function drawTop() {
  const running = run.status === 'running', ended = run.status === 'ended';
  document.title = `${run.title} \u2013 training`;
  at('title').textContent = run.title;
  at('status').textContent = running || ended ? run.status : `stopped: ${run.status}`;
  at('status').classList.add(running ? 'running' : ended ? 'ended' : 'failed');
  const parts = [plural(run.parameters, 'parameter')];
  if (run.optimiser) parts.push(run.optimiser);
  parts.push(`written ${new Date(1000 * run.written).toLocaleString()}`);
  at('about').textContent = parts.join(' \u00b7 ');
  if (running) at('tools').append(follow());
  at('tools').append(look.themeButton());
}

/* While the run goes on the page loads itself again, unless somebody is reading with the pointer or the keyboard in a curve. */
function follow() {
  const box = el('input', { type: 'checkbox', checked: keep.get('follow', 'yes') === 'yes' });
  box.addEventListener('change', () => keep.set('follow', box.checked ? 'yes' : 'no'));
  setInterval(() => box.checked && !document.hidden && !document.querySelector('.chart svg:hover, .chart svg:focus') && location.reload(), 10000);
  return el('label', { title: 'loads the page again every 10 seconds' }, box, 'follow the run');
}

function tile(title, big, unit, under) {
  at('tiles').append(el('div', { class: 'sheet tile' }, el('h3', {}, title), el('div', { class: 'big' }, big, unit ? el('small', {}, unit) : null), el('p', {}, under || '')));
}

function best(values, better) {
  let k = -1;
  values.forEach((v, i) => { if (Number.isFinite(v) && (k < 0 || better(v, values[k]))) k = i; });
  return k;
}

const epochOf = (step) => (run.batches ? step / run.batches : NaN);
const epochName = (i) => (run.batches ? `epoch ${look.number(epochOf(run.epochs.x[i]), 4)}` : `step ${look.count(Math.round(run.epochs.x[i]))}`);

function drawTiles() {
  const e = run.epochs;
  const loss = e.loss.length ? last(e.loss) : last(run.loss.y);
  tile('training loss', run.loss.y.length ? fixed(loss, 4) : '\u2013', '', e.loss.length ? 'mean of the last epoch' : run.loss.y.length ? 'last step' : 'no step yet');
  if (some(e.accuracy)) {
    const k = best(e.accuracy, (a, b) => a > b);
    tile('test accuracy', (100 * last(finite(e.accuracy))).toFixed(2), '%', `best ${percent(e.accuracy[k])}, ${epochName(k)}`);
    const l = best(e.test_loss, (a, b) => a < b);
    if (l >= 0) tile('test loss', fixed(last(finite(e.test_loss)), 4), '', `least ${fixed(e.test_loss[l], 4)}, ${epochName(l)}`);
  }
  for (const v of run.values) if (some(v.y)) tile(v.name, look.number(last(finite(v.y))), '', '');
  if (some(run.rate.y)) tile('learning rate', look.number(last(finite(run.rate.y)), 3), '', `at first ${look.number(finite(run.rate.y)[0], 3)}`);
  tile('steps', look.count(run.step), '', run.first ? `from ${look.count(run.first)} on, where it went on` : run.batches ? `${look.count(run.batches)} an epoch` : '');
  tile('time', ...clock(run.seconds), run.step > run.first ? stepTime(run.seconds / (run.step - run.first)) : '');
}

/* ---- curves ---- */

const NS = { left: 52, right: 12, top: 8, bottom: 34 };

function ticks(low, high, want) {
  const raw = (high - low) / want, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].find((m) => m * power >= raw * 0.999) * power;
  const t = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) t.push(k * step);
  return t;
}

function logTicks(low, high) {
  const decades = Math.log10(high / low), t = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++)
    for (const m of decades < 1.5 ? [1, 2, 5] : decades < 3 ? [1, 3] : [1]) t.push(m * 10 ** p);
  const every = Math.ceil(decades / 6);
  return t.filter((v) => v >= low * 0.999 && v <= high * 1.001 && (decades < 6 || Math.round(Math.log10(v)) % every === 0));
}

const tickText = (v) => (v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5) ? v.toExponential(0).replace('e+', 'e') : String(Number(v.toPrecision(6)))).replace(/-/g, '\u2212');

/* The scale of y: from the lines' numbers, with a little room. */
function scaleOf(lines, log, zero) {
  let low = Infinity, high = -Infinity;
  for (const l of lines)
    for (const v of [l.y, l.low || [], l.high || []].flatMap((a) => Array.from(a)))
      if (Number.isFinite(v) && (!log || v > 0)) { low = Math.min(low, v); high = Math.max(high, v); }
  if (low > high) return null;
  if (log) return low === high ? [low / 2, high * 2] : [low / (high / low) ** 0.04, high * (high / low) ** 0.04];
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

const stepText = (step) => `step ${look.count(Math.round(step))}${run.batches ? `, epoch ${look.number(epochOf(step), 4)}` : ''}`;

/* A chart of lines { name, x, y, colour, low, high, thin, dots, quiet } over steps. options: height, log, zero, text, label. Its legend says the last
   numbers, or those under the cursor. draw() again after a change of options or width. */
function chart(host, lines, options) {
  lines = lines.filter((l) => some(l.y));
  if (!lines.length) return host.append(el('p', { class: 'none' }, 'nothing yet')), { draw() {} };
  const legend = el('div', { class: 'legend' }), svg = el('svg', { tabindex: 0, role: 'img', 'aria-label': options.label });
  const state = { cursor: null, focus: null };
  const text = options.text || ((v) => look.number(v));
  host.classList.add('chart');
  host.append(legend, svg);
  const told = lines.filter((l) => !l.quiet), ends = lines.map((l) => [l.x[0], last(l.x)]);
  const first = Math.min(run.first, ...ends.map((e) => e[0])), end = Math.max(...ends.map((e) => e[1]), first + 1);
  let px, width;

  function tellLegend() {
    const step = state.cursor;
    const items = told.map((l) => {
      const k = step === null ? l.y.length - 1 : nearest(l.x, step), inside = [el('i', { style: { background: l.colour } }), l.name, el('b', {}, text(l.y[k]))];
      if (told.length < 4) return el('span', {}, ...inside);
      const set = (on) => () => { state.focus = on ? l.name : null; draw(); };
      return el('button', { type: 'button', onpointerenter: set(true), onpointerleave: set(false), onfocus: set(true), onblur: set(false) }, ...inside);
    });
    return [el('span', { class: 'at' }, step === null ? stepText(end) : stepText(step)), ...items];
  }

  function drawAxes(low, high, py, height) {
    const put = (...e) => svg.append(...e);
    for (const v of options.log ? logTicks(low, high) : ticks(low, high, Math.max(3, height / 45)))
      put(el('line', { class: 'grid', x1: NS.left, x2: width - NS.right, y1: py(v), y2: py(v) }), el('text', { x: NS.left - 7, y: py(v) + 4, 'text-anchor': 'end' }, options.tick ? options.tick(v) : tickText(v)));
    const room = Math.max(2, width / 75);
    for (const v of ticks(first, end, room)) put(el('text', { x: px(v), y: height - NS.bottom + 17, 'text-anchor': 'middle' }, look.count(Math.round(v))));
    put(el('text', { x: width - NS.right, y: height - 2, 'text-anchor': 'end' }, 'step'));
    if (run.batches && (end - first) / run.batches <= 60)
      for (let e = Math.floor(first / run.batches) + 1; e * run.batches <= end; e++)
        put(el('line', { class: 'epoch', x1: px(e * run.batches), x2: px(e * run.batches), y1: NS.top, y2: height - NS.bottom }));
  }

  function drawLines(py) {
    for (const l of lines) {
      const dim = state.focus && state.focus !== l.name ? ' dim' : '';
      if (l.low) svg.append(el('path', { class: `band${dim}`, d: bandOf(l, px, py), style: { fill: l.colour } }));
      svg.append(el('path', { class: `line${l.thin ? ' thin' : ''}${lines.length > 4 ? ' many' : ''}${dim}`, d: pathOf(l.x, l.y, px, py), style: { stroke: l.colour } }));
      if (l.dots && l.x.length <= 60)
        l.x.forEach((x, i) => Number.isFinite(py(l.y[i])) && svg.append(el('circle', { class: dim, cx: px(x), cy: py(l.y[i]), r: 3, style: { fill: l.colour } })));
    }
  }

  function drawCursor(py, height) {
    if (state.cursor === null) return;
    svg.append(el('line', { class: 'cursor', x1: px(state.cursor), x2: px(state.cursor), y1: NS.top, y2: height - NS.bottom }));
    for (const l of told) {
      const k = nearest(l.x, state.cursor), y = py(l.y[k]);
      if (Number.isFinite(y)) svg.append(el('circle', { cx: px(l.x[k]), cy: y, r: 3.5, style: { fill: l.colour, stroke: 'var(--sheet)', strokeWidth: '1.5px' } }));
    }
  }

  function draw() {
    const height = options.height || 240, bounds = scaleOf(lines, options.log, options.zero);
    width = host.clientWidth || 600;
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.setAttribute('height', height);
    svg.replaceChildren();
    if (!document.activeElement || document.activeElement.parentNode !== legend) legend.replaceChildren(...tellLegend());
    if (!bounds) return svg.append(el('text', { x: NS.left, y: 40 }, 'nothing above 0 to show on this scale'));
    const [low, high] = bounds, f = options.log ? Math.log10 : (v) => v, inner = height - NS.top - NS.bottom;
    px = (v) => NS.left + ((v - first) / (end - first)) * (width - NS.left - NS.right);
    const py = (v) => (options.log && !(v > 0) ? NaN : NS.top + (1 - (f(v) - f(low)) / (f(high) - f(low))) * inner);
    drawAxes(low, high, py, height);
    drawLines(py);
    drawCursor(py, height);
  }

  const xs = [...new Set(told.flatMap((l) => Array.from(l.x)))].sort((a, b) => a - b);
  const set = (step) => { state.cursor = step; draw(); };
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect(), step = first + ((event.clientX - box.left - NS.left) / (width - NS.left - NS.right)) * (end - first);
    set(xs[nearest(xs, step)]);
  });
  svg.addEventListener('pointerleave', () => set(null));
  svg.addEventListener('blur', () => set(null));
  svg.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageDown: -20, PageUp: 20, Home: -xs.length, End: xs.length }[event.key];
    if (event.key === 'Escape') set(null);
    if (!by) return;
    event.preventDefault();
    const now = state.cursor === null ? xs.length - 1 : nearest(xs, state.cursor);
    set(xs[Math.max(0, Math.min(xs.length - 1, now + by))]);
  });
  new ResizeObserver(() => host.clientWidth !== width && draw()).observe(host);
  draw();
  return { draw };
}

/* The mean over so many points on both sides, near the ends over fewer; numbers that are none are left out. */
function smooth(y, reach) {
  return Float32Array.from(y, (_, i) => {
    let sum = 0, n = 0;
    const side = Math.min(reach, i, y.length - 1 - i);
    for (let k = i - side; k <= i + side; k++) if (Number.isFinite(y[k])) { sum += y[k]; n++; }
    return n ? sum / n : NaN;
  });
}

const spans = (c, what) => (c.span > 1 ? `each point is the mean of ${c.span} ${what}, the band from the least to the greatest` : '');

function drawLoss(kind) {
  const c = run.loss, reach = c.y.length < 100 ? 0 : Math.round(c.y.length / 60), e = run.epochs;
  const lines = [];
  const wide = c.span > 1 ? { low: c.low, high: c.high } : {};
  if (reach > 0) {
    lines.push({ name: 'each', x: c.x, y: c.y, colour: 'var(--forward)', thin: true, quiet: true, ...wide });
    lines.push({ name: `training, mean over ${look.count((2 * reach + 1) * c.span)} steps`, x: c.x, y: smooth(c.y, reach), colour: 'var(--forward)' });
  } else {
    lines.push({ name: 'training', x: c.x, y: c.y, colour: 'var(--forward)', dots: true, ...wide });
  }
  lines.push({ name: 'test', x: e.x, y: e.test_loss, colour: 'var(--warm)', dots: true });
  const options = { height: 352, label: 'loss by step', text: (v) => fixed(v, 4), zero: true };
  let drawn = null;
  const [toggle, now] = choice('loss', ['linear', 'log'], 'linear', (o) => { options.log = o === 'log'; drawn.draw(); });
  options.log = now === 'log';
  const note = run.not_finite ? `${plural(run.not_finite, 'step')} had a loss that is no number` : spans(c, 'steps');
  drawn = chart(card(at('curves'), kind, 'Loss', note, toggle), lines, options);
}

/* Beside the loss two smaller curves; what is more goes below. */
function drawCurves() {
  const e = run.epochs, small = [], stack = el('div', { class: 'stack' });
  if (some(e.accuracy))
    small.push(['Accuracy', 'of the test, after each epoch', [{ name: 'test', x: e.x, y: e.accuracy, colour: 'var(--warm)', dots: true }],
      { label: 'test accuracy by step', text: (v) => percent(v), tick: (v) => `${Number((100 * v).toPrecision(4))}%` }]);
  for (const v of run.values)
    small.push([v.name, spans(v, 'values'), [{ name: v.name, x: v.x, y: v.y, colour: 'var(--warm)', dots: true }], { label: `${v.name} by step` }]);
  const rate = ['Learning rate', '', [{ name: run.optimiser, x: run.rate.x, y: run.rate.y, colour: 'var(--backward)' }],
    { zero: true, label: 'learning rate by step', text: (v) => look.number(v, 3) }];
  if (run.optimiser) small.splice(Math.min(1, small.length), 0, rate);
  drawLoss(small.length ? 'wide' : '');
  if (small.length) at('curves').append(stack);
  small.forEach(([title, note, lines, options], k) => chart(card(k < 2 ? stack : at('curves'), 'third', title, note), lines, { height: small.length === 1 && innerWidth >= 1000 ? 330 : 132, ...options }));
}

/* ---- layers ---- */

/* From blue at the input to red at the output. */
const layerColour = (k, n) => `hsl(${Math.round(225 - 215 * (n > 1 ? k / (n - 1) : 0))} 62% var(--layer))`;

/* Numbers over 0 by their logarithm, between two bounds, as colours. */
function logMap(canvas, rows, low, high) {
  const cols = rows[0].length, values = new Float32Array(rows.length * cols), f = (v) => (v > 0 ? (2 * (Math.log(v) - Math.log(low))) / (Math.log(high) - Math.log(low)) - 1 : NaN);
  rows.forEach((row, r) => row.forEach((v, c) => { values[r * cols + c] = f(v); }));
  look.heat(canvas, values, rows.length, cols, 1);
}

function timeMap(host, key) {
  const list = run.layers.list, rows = list.map((l) => l[key]), all = rows.flatMap((r) => Array.from(r)).filter((v) => v > 0 && Number.isFinite(v));
  if (!all.length) return host.append(el('p', { class: 'none' }, 'nothing yet'));
  const sorted = all.sort((a, b) => a - b), low = sorted[Math.floor(0.005 * sorted.length)], high = sorted[Math.ceil(0.995 * sorted.length) - 1] * 1.0001;
  const row = list.length > 40 ? 8 : list.length > 16 ? 15 : 20, canvas = el('canvas', { tabindex: -1, 'aria-label': `${key} by layer and step`, role: 'img' });
  const names = el('div', { class: 'labels' }, ...list.map((l) => el('span', {}, row < 10 ? '' : l.name)));
  const lasts = el('div', { class: 'labels last' }, ...list.map((l) => el('span', {}, row < 10 ? '' : look.number(last(l[key]), 3))));
  const axis = el('div', { class: 'axis' }, el('span', {}, `step ${look.count(run.layers.x[0])}`), el('span', {}, `step ${look.count(last(run.layers.x))}`));
  const map = el('div', { class: 'timemap', style: {} }, names, canvas, lasts, axis);
  map.style.setProperty('--row', `${row}px`);
  const ramp = el('canvas');
  const draw = () => {
    logMap(canvas, rows, low, high);
    look.heat(ramp, Float32Array.from({ length: 161 }, (_, i) => i / 80 - 1), 1, 161, 1);
  };
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect(), k = Math.floor(((event.clientY - box.top) / box.height) * rows.length), i = Math.floor(((event.clientX - box.left) / box.width) * rows[0].length);
    if (rows[k] && i >= 0 && i < rows[0].length) look.tip(`${list[k].name}\n${stepText(run.layers.x[i])}\n${look.number(rows[k][i])}`, event.clientX, event.clientY);
  });
  canvas.addEventListener('pointerleave', () => look.tip(''));
  look.onTheme.push(draw);
  host.append(map, el('div', { class: 'ramp' }, look.number(low, 2), ramp, look.number(high, 2), el('span', {}, 'by the logarithm; on the right the last')));
  draw();
}

function drawLayers(key, title, note) {
  const list = run.layers.list, n = list.length;
  let body = null;
  const show = (how) => {
    body.replaceChildren();
    const inner = el('div');
    body.append(inner);
    if (how === 'map') return timeMap(inner, key);
    const lines = list.map((l, k) => ({ name: l.name, x: run.layers.x, y: l[key], colour: layerColour(k, n) }));
    return chart(inner, lines, { height: 260, log: true, label: `${title} of each layer by step`, text: (v) => look.number(v, 3) });
  };
  const [toggle, now] = choice(key, ['lines', 'map'], n > 9 ? 'map' : 'lines', show);
  body = card(at('layers'), 'half', title, note, toggle);
  show(now);
}

/* ---- what it confuses ---- */

function confusionTable(classes, counts) {
  const n = classes.length, sum = (k, step, from) => { let s = 0; for (let i = 0; i < n; i++) s += counts[from + i * step]; return s; };
  const head = el('tr', {}, el('th'), ...classes.map((c) => el('th', { scope: 'col', title: c }, c)), el('th', { scope: 'col', class: 'recall' }, 'recall %'));
  const rows = classes.map((c, t) => {
    const total = sum(t, 1, t * n);
    const cells = classes.map((g, k) => {
      const v = counts[t * n + k], part = total ? v / total : 0, right = k === t;
      const strength = v ? Math.round(right ? 12 + 60 * part : 22 + 68 * Math.min(1, Math.sqrt(part) * 1.6)) : 0;
      const style = v ? { background: `color-mix(in srgb, var(--${right ? 'forward' : 'bad'}) ${strength}%, var(--sheet))`, color: strength > 55 ? 'var(--sheet)' : 'var(--ink)' } : {};
      return el('td', { class: v ? '' : 'zero', style, title: `${c}, taken for ${g}: ${v} of ${total}` }, v ? look.count(v) : '\u00b7');
    });
    return el('tr', {}, el('th', { scope: 'row', title: c }, c), ...cells, el('td', { class: 'sum' }, hundred(total ? counts[t * n + t] / total : 0)));
  });
  const precision = classes.map((c, g) => { const total = sum(g, n, g); return el('td', { class: 'sum', style: { textAlign: 'center', padding: '0 2px', fontWeight: 500 } }, total ? hundred(counts[g * n + g] / total) : '\u2013'); });
  const right = classes.reduce((s, c, k) => s + counts[k * n + k], 0), all = counts.reduce((s, v) => s + v, 0);
  rows.push(el('tr', {}, el('th', { scope: 'row' }, 'precision %'), ...precision, el('td', { class: 'sum' }, hundred(all ? right / all : 0))));
  return el('div', { class: 'scroll' }, el('table', { class: 'confusion' }, el('caption', {}, 'a row what it is, a column what the network says'), el('thead', {}, head), el('tbody', {}, ...rows)));
}

/* Too many classes for a table: a map. */
function confusionMap(classes, counts) {
  const n = classes.length, canvas = el('canvas', { class: 'cells', style: { width: '100%', maxWidth: '640px', aspectRatio: '1' } });
  const totals = classes.map((c, t) => { let s = 0; for (let k = 0; k < n; k++) s += counts[t * n + k]; return s; });
  const values = Float32Array.from(counts, (v, i) => { const t = Math.floor(i / n), part = totals[t] ? v / totals[t] : 0; return t === i % n ? -part : Math.sqrt(part); });
  const draw = () => look.heat(canvas, values, n, n, 1);
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect(), t = Math.floor(((event.clientY - box.top) / box.height) * n), g = Math.floor(((event.clientX - box.left) / box.width) * n);
    if (classes[t] && classes[g]) look.tip(`${classes[t]}, taken for ${classes[g]}\n${counts[t * n + g]} of ${totals[t]}`, event.clientX, event.clientY);
  });
  canvas.addEventListener('pointerleave', () => look.tip(''));
  look.onTheme.push(draw);
  draw();
  return el('div', {}, canvas, el('p', { class: 'note' }, 'a row what it is, a column what the network says; blue: right'));
}

/* Bytes of a picture, grey or red, green and blue, on a canvas. */
function paint(canvas, picture) {
  const bytes = atob(picture.bytes), context = canvas.getContext('2d');
  canvas.width = picture.w;
  canvas.height = picture.h;
  const image = context.createImageData(picture.w, picture.h);
  for (let i = 0; i < picture.w * picture.h; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes.charCodeAt(picture.c === 3 ? 3 * i + c : i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function drawMistakes() {
  const body = card(at('answers'), 'half', 'Most confident mistakes', 'what the network says, and how sure it is; below what it is');
  if (!run.mistakes.length) return body.append(el('p', { class: 'none' }, 'none: every image of the test was put into its class'));
  const shots = run.mistakes.map((m) => {
    const label = run.classes[m.label], guess = run.classes[m.guess];
    return el('figure', { title: `${label}, taken for ${guess}: ${percent(m.confidence)} sure, ${percent(m.truth)} for ${label}` },
      m.picture ? paint(el('canvas', { role: 'img', 'aria-label': `an image of ${label}` }), m.picture) : null,
      el('div', { class: 'sure' }, el('i', { style: { width: `${100 * m.confidence}%` } })),
      el('figcaption', {}, el('span', { class: 'wrong' }, guess), ` ${percent(m.confidence, 1)}`, el('br'), 'is ', el('span', { class: 'right' }, label)));
  });
  body.append(el('div', { class: 'shots' }, ...shots));
}

function drawAnswers() {
  if (!run.confusion) return;
  const all = run.confusion.reduce((s, v) => s + v, 0);
  card(at('answers'), 'half', 'Confusion', `of ${look.count(all)} test images, after the last epoch`).append((run.classes.length > 24 ? confusionMap : confusionTable)(run.classes, run.confusion));
  drawMistakes();
}

function drawAlbums() {
  for (const a of run.pictures) {
    const list = a.list.filter((p) => p), columns = Math.max(1, Math.min(a.columns, list.length));
    const grid = el('div', { class: 'album', style: { gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`, maxWidth: `${columns * 68}px` } }, ...list.map((p) => paint(el('canvas'), p)));
    card(at('pictures'), '', a.name, `after ${plural(a.step, 'step')}`).append(grid);
  }
}

/* ---- kernels and activations ---- */

/* Maps of h x w beside and below each other in one canvas; tell(tile, y, x, value) is the tip. */
function tiles(values, count, h, w, columns, scale, limit, tell) {
  const gap = scale > 3 ? 3 : 2, rows = Math.ceil(count / columns), canvas = el('canvas', { class: 'cells' }), small = document.createElement('canvas');
  const width = columns * (w * scale + gap) - gap, height = rows * (h * scale + gap) - gap;
  const draw = () => {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d');
    context.imageSmoothingEnabled = false;
    for (let k = 0; k < count; k++) {
      look.heat(small, values, h, w, limit, k * h * w);
      context.drawImage(small, (k % columns) * (w * scale + gap), Math.floor(k / columns) * (h * scale + gap), w * scale, h * scale);
    }
  };
  canvas.style.width = `${width}px`;
  canvas.style.aspectRatio = `${width} / ${height}`;
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect(), X = ((event.clientX - box.left) * width) / box.width, Y = ((event.clientY - box.top) * height) / box.height;
    const c = Math.floor(X / (w * scale + gap)), r = Math.floor(Y / (h * scale + gap)), x = Math.floor((X - c * (w * scale + gap)) / scale), y = Math.floor((Y - r * (h * scale + gap)) / scale);
    const k = r * columns + c, inside = k < count && x >= 0 && y >= 0 && x < w && y < h;
    look.tip(inside ? tell(k, y, x, values[(k * h + y) * w + x]) : '', event.clientX, event.clientY);
  });
  canvas.addEventListener('pointerleave', () => look.tip(''));
  look.onTheme.push(draw);
  draw();
  return canvas;
}

const times = (shape) => shape.join('\u2009\u00d7\u2009');

function kernelFigure(k) {
  const [F, C, h, w] = k.shown, values = look.reals(k.v), s = look.stats(values);
  const byChannel = new Float32Array(values.length); /* a row an input channel, a column a filter */
  for (let f = 0; f < F; f++) for (let c = 0; c < C; c++) byChannel.set(values.subarray((f * C + c) * h * w, (f * C + c + 1) * h * w), (c * F + f) * h * w);
  const scale = Math.max(3, Math.min(C === 1 ? 12 : 6, Math.floor((560 / F - 3) / w)));
  const map = tiles(byChannel, F * C, h, w, F, scale, s.limit, (t, y, x, v) => `filter ${t % F}, channel ${Math.floor(t / F)}, (${y}, ${x})\n${look.number(v)}`);
  map.setAttribute('role', 'img');
  map.setAttribute('aria-label', `kernels of ${k.name}`);
  const whole = F === k.shape[0] && C === k.shape[1];
  return el('figure', {}, el('figcaption', {}, el('b', {}, k.name), ` ${times(k.shape)}${whole ? '' : `, of which ${times([F, C])} are shown`}`), map, look.bar(s.limit));
}

function drawKernels() {
  if (!run.kernels.length) return;
  const body = card(at('inside'), '', 'Kernels', 'a column a filter, a row an input channel; each layer has its own scale');
  const fill = (list) => el('div', { class: 'maps' }, ...list.map(kernelFigure));
  const few = run.kernels.length <= 4 ? run.kernels.length : 3;
  body.append(fill(run.kernels.slice(0, few)));
  const rest = run.kernels.slice(few);
  if (!rest.length) return;
  const more = el('details', {}, el('summary', {}, `${plural(rest.length, 'more layer')}${run.kernels_left_out ? ` (and ${run.kernels_left_out} that are not shown)` : ''}`));
  more.addEventListener('toggle', () => more.open && more.children.length === 1 && more.append(fill(rest)));
  body.append(more);
}

/* What the scores of the sample say, if the classes are known. */
function scoresFigure(a) {
  const x = look.reals(a.v), most = Math.max(...x), e = Array.from(x, (v) => Math.exp(v - most)), sum = e.reduce((s, v) => s + v, 0);
  const order = e.map((v, k) => [v / sum, k]).sort((p, q) => q[0] - p[0]).slice(0, 5);
  return el('figure', {}, el('figcaption', {}, el('b', {}, 'softmax'), ' of the scores'),
    el('div', { class: 'bars' }, ...order.flatMap(([p, k]) => [el('span', {}, run.classes[k]), el('i', { style: { width: `${Math.max(1, 100 * p)}%` } }), el('span', { class: 'number' }, percent(p, 1))])));
}

function activationFigure(a) {
  const [C, h, w] = a.shown, values = look.reals(a.v), flat = a.shape.length === 2;
  const columns = flat ? Math.min(w, 28) : Math.min(C, 8);
  const limit = Math.max(Math.abs(a.low), Math.abs(a.high)), count = a.shape.reduce((p, n) => p * n, 1);
  const name = a.name || a.layer;
  const map = flat ?
    tiles(values, w, 1, 1, columns, 11, limit, (t, y, x, v) => `unit ${t}\n${look.number(v)}`) :
    tiles(values, C, h, w, columns, Math.max(1, Math.min(6, Math.floor(440 / (columns * w)), Math.floor(62 / w) || 1)), limit,
      (t, y, x, v) => `channel ${t}, (${y * a.block}, ${x * a.block})${a.block > 1 ? `, mean of ${a.block} x ${a.block}` : ''}\n${look.number(v)}`);
  map.setAttribute('role', 'img');
  map.setAttribute('aria-label', `activations of ${name || a.op}`);
  const part = !flat && C < a.shape[1] ? `, ${C} channels shown` : flat && w < a.shape[1] ? `, ${w} shown` : '';
  return el('figure', {}, el('figcaption', {}, el('b', {}, name || a.op), `${name ? ` ${a.op}` : ''} ${times(a.shape.slice(1))}${part}`), map,
    el('div', { class: 'figures' }, `${look.number(a.low, 3)} \u2026 ${look.number(a.high, 3)}, mean ${look.number(a.mean, 3)}${a.zeros ? `, ${percent(a.zeros / count, 0)} zero` : ''}`));
}

function drawActivations() {
  const s = run.sample;
  if (!s || !s.list.length) return;
  const label = s.label !== undefined && run.classes ? `, ${run.classes[s.label]}` : '';
  const note = `of one sample${label}, operation by operation; blue is under 0, the other colour over it${s.operations > s.list.length ? `; ${s.list.length} of ${s.operations} are shown` : ''}`;
  const body = card(at('inside'), '', 'Activations', note), end = s.list[s.list.length - 1];
  const figures = s.list.map(activationFigure);
  if (s.picture) figures.unshift(el('figure', {}, el('figcaption', {}, el('b', {}, 'sample'), ` ${times([s.picture.h, s.picture.w])}`), paint(el('canvas', { class: 'sample' }), s.picture)));
  if (run.classes && end.shape.length === 2 && end.shape[1] === run.classes.length && end.shown[2] === end.shape[1]) figures.push(scoresFigure(end));
  body.append(el('div', { class: 'maps' }, ...figures));
}

/* ---- the page ---- */

drawTop();
drawTiles();
drawCurves();
if (run.optimiser && some(run.layers.list.flatMap((l) => Array.from(l.gradient)))) {
  const each = `every ${run.every === 1 ? 'step' : `${run.every}th step`}${run.layers.span > 1 ? `; a point is the mean of ${run.layers.span} of them` : ''}`;
  drawLayers('gradient', 'Gradient norm', each);
  drawLayers('update', 'Update / weight', `|change| / |weights| of a step, ${each}`);
}
drawAnswers();
drawAlbums();
drawKernels();
drawActivations();
at('notes').textContent = `Curves have at most 1000 points; one that would have more merges neighbours.${run.layers.left_out ? ` ${plural(run.layers.left_out, 'parameter')} of further layers are not shown.` : ''}`;
