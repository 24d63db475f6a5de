/* report.js: the page of a run of training.

   Invariant: all numbers are those of the run. A point that is the mean of several steps is marked
   as such, and what is left out is named. */
'use strict';

const at = (id) => document.getElementById(id);
const fixed = (x, n) => (Number.isFinite(x) ? x.toFixed(n).replace('-', '\u2212') : look.number(x));
/* 100 x as printf("%.2f") has it: x came as a float, of seven digits, and a half goes to the even
   side. */
const hundredths = (x) => {
  const v = Number((1e4 * x).toPrecision(7)), low = Math.floor(v);
  return ((v - low === 0.5 ? low + (low % 2) : Math.round(v)) / 100).toFixed(2);
};
const percent = (x, n = 2) =>
  (Number.isFinite(x) ? `${n === 2 ? hundredths(x) : (100 * x).toFixed(n)}%` : '\u2013');
/* percent, where there is little room */
const shortPercent = (x) => (x === 1 ? '100' : (100 * x).toFixed(1));
const plural = (n, what) => `${look.count(n)} ${what}${n === 1 ? '' : 's'}`;

for (const c of [run.loss, run.rate, ...run.values])
  for (const k of ['x', 'y', 'low', 'high']) c[k] = look.reals(c[k]);
for (const k of ['x', 'loss', 'test_loss', 'accuracy', 'seconds'])
  run.epochs[k] = look.reals(run.epochs[k]);
run.layers.x = look.reals(run.layers.x);
for (const l of run.layers.list) for (const k of ['gradient', 'update']) l[k] = look.reals(l[k]);

/* The reader's choices, which survive a reload. */
const keep = {
  get: (key, otherwise) => {
    try {
      return sessionStorage.getItem(`report.${key}`) ?? otherwise;
    } catch { return otherwise; }
  },
  set: (key, value) => {
    try {
      sessionStorage.setItem(`report.${key}`, value);
    } catch { /* no storage: the choice is lost */
    }
  },
};

function choice(key, options, otherwise, chosen) {
  let now = keep.get(key, otherwise);
  if (!options.includes(now)) now = otherwise;
  const buttons = options.map(
    (o) => el(
      'button', {type: 'button', 'aria-pressed': String(o === now), onclick: () => choose(o)}, o));
  const choose = (o) => {
    keep.set(key, o);
    buttons.forEach((b, i) => b.setAttribute('aria-pressed', String(options[i] === o)));
    chosen(o);
  };
  return [el('span', { class: 'switch', role: 'group' }, ...buttons), now];
}

function card(where, kind, title, note, ...tools) {
  const body = el('div');
  where.append(el('article', { class: `sheet card ${kind}` },
    el('header', {}, el('h2', {}, title), el('p', {}, note || ''), ...tools), body));
  return body;
}

/* ---- the top ---- */

/* "41.2" s, "18:41" min, "2:03:05" h. */
function clock(seconds) {
  const two = (n) => String(n).padStart(2, '0'), s = Math.round(seconds);
  if (seconds < 59.95) return [seconds.toFixed(1), 's'];
  const hours = Math.floor(s / 3600), minutes = Math.floor(s / 60) % 60;
  if (!hours) return [`${minutes}:${two(s % 60)}`, 'min'];
  return [`${hours}:${two(minutes)}:${two(s % 60)}`, 'h'];
}

const stepTime = (s) =>
  (s < 1 ? `${look.number(1000 * s, 3)} ms per step` : `${look.number(s, 3)} s per step`);

function drawTop() {
  const running = run.status === 'running', finished = run.status === 'finished';
  document.title = `${run.title} \u2013 training`;
  at('title').textContent = run.title;
  at('status').textContent = running || finished ? run.status : `failed: ${run.status}`;
  at('status').classList.add(running ? 'running' : finished ? 'finished' : 'failed');
  const parts = [plural(run.parameters, 'parameter')];
  if (run.optimiser) parts.push(run.optimiser);
  parts.push(`updated ${new Date(1000 * run.written).toLocaleString()}`);
  at('about').textContent = parts.join(' \u00b7 ');
  if (running) at('tools').append(follow());
  at('tools').append(look.themeButton());
}

/* While the run goes on the page reloads itself, unless the pointer or the keyboard focus is in a
   chart. */
function follow() {
  const box = el('input', { type: 'checkbox', checked: keep.get('follow', 'yes') === 'yes' });
  box.addEventListener('change', () => keep.set('follow', box.checked ? 'yes' : 'no'));
  setInterval(() => box.checked && !document.hidden &&
      !document.querySelector('.chart svg:hover, .chart svg:focus') && location.reload(),
    10000);
  return el('label', { title: 'reload the page every 10 seconds' }, box, 'refresh automatically');
}

function tile(title, big, unit, under) {
  const number = el('div', { class: 'big' }, big, unit ? el('small', {}, unit) : null);
  at('tiles').append(
    el('div', { class: 'sheet tile' }, el('h3', {}, title), number, el('p', {}, under || '')));
}

function best(values, better) {
  let k = -1;
  values.forEach((v, i) => { if (Number.isFinite(v) && (k < 0 || better(v, values[k]))) k = i; });
  return k;
}

const epochName = (i) => {
  const step = run.epochs.x[i];
  return run.batches ? `epoch ${look.number(epochOf(step), 4)}` : `step ${look.count(step)}`;
};

function drawTiles() {
  const e = run.epochs;
  if (e.loss.length) tile('training loss', fixed(last(e.loss), 4), '', 'mean over the last epoch');
  else if (run.loss.y.length) tile('training loss', fixed(last(run.loss.y), 4), '', 'last step');
  else tile('training loss', '\u2013', '', 'no step yet');
  if (some(e.accuracy)) {
    const k = best(e.accuracy, (a, b) => a > b);
    tile('test accuracy', hundredths(last(finite(e.accuracy))), '%',
      `best ${percent(e.accuracy[k])}, ${epochName(k)}`);
    const l = best(e.test_loss, (a, b) => a < b);
    if (l >= 0)
      tile('test loss', fixed(last(finite(e.test_loss)), 4), '',
        `lowest ${fixed(e.test_loss[l], 4)}, ${epochName(l)}`);
  }
  for (const v of run.values) if (some(v.y)) tile(v.name, look.number(last(finite(v.y))), '', '');
  if (some(run.rate.y))
    tile('learning rate', look.number(last(finite(run.rate.y)), 3), '',
      `initially ${look.number(finite(run.rate.y)[0], 3)}`);
  const epoch = run.batches ? `${look.count(run.batches)} per epoch` : '';
  tile('steps', look.count(run.step), '',
    run.first ? `resumed after step ${look.count(run.first)}` : epoch);
  tile('time', ...clock(run.seconds),
    run.step > run.first ? stepTime(run.seconds / (run.step - run.first)) : '');
}

/* ---- curves ---- */

const spans = (c, what) => (c.span > 1 ?
    `each point is the mean of ${look.count(c.span)} ${what}; the band spans minimum to maximum` :
    '');

function drawLoss(kind) {
  const c = run.loss, reach = c.y.length < 100 ? 0 : Math.round(c.y.length / 60), e = run.epochs;
  const lines = [];
  const wide = c.span > 1 ? { low: c.low, high: c.high } : {};
  if (reach > 0) {
    lines.push(
      { name: 'each', x: c.x, y: c.y, colour: 'var(--forward)', thin: true, quiet: true, ...wide });
    const name = `training, mean over ${look.count((2 * reach + 1) * c.span)} steps`;
    lines.push({ name, x: c.x, y: smooth(c.y, reach), colour: 'var(--forward)' });
  } else {
    lines.push({ name: 'training', x: c.x, y: c.y, colour: 'var(--forward)', dots: true, ...wide });
  }
  lines.push({ name: 'test', x: e.x, y: e.test_loss, colour: 'var(--warm)', dots: true });
  const options = { height: 352, label: 'loss by step', text: (v) => fixed(v, 4), zero: true };
  let drawn = null;
  const [toggle, now] = choice('loss', ['linear', 'log'], 'linear', (o) => {
    options.log = o === 'log';
    drawn.draw();
  });
  options.log = now === 'log';
  const bad = `${plural(run.not_finite, 'step')} had a loss that is not finite`;
  const note = run.not_finite ? bad : spans(c, 'steps');
  drawn = chart(card(at('curves'), kind, 'Loss', note, toggle), lines, options);
}

/* Two smaller charts stand beside the loss, all others below it. */
function drawCurves() {
  const e = run.epochs, small = [], stack = el('div', { class: 'stack' });
  if (some(e.accuracy))
    small.push([
      'Accuracy', 'on the test data, after each epoch',
      [{ name: 'test', x: e.x, y: e.accuracy, colour: 'var(--warm)', dots: true }], {
        label: 'test accuracy by step',
        text: (v) => percent(v),
        tick: (v) => `${Number((100 * v).toPrecision(4))}%`
      }
    ]);
  for (const v of run.values)
    small.push([
      v.name, spans(v, 'values'),
      [{ name: v.name, x: v.x, y: v.y, colour: 'var(--warm)', dots: true }],
      { label: `${v.name} by step` }
    ]);
  const rate = [
    'Learning rate', '',
    [{ name: run.optimiser, x: run.rate.x, y: run.rate.y, colour: 'var(--backward)' }],
    { zero: true, label: 'learning rate by step', text: (v) => look.number(v, 3) }
  ];
  if (run.optimiser) small.splice(Math.min(1, small.length), 0, rate);
  drawLoss(small.length ? 'wide' : '');
  if (small.length) at('curves').append(stack);
  const height = small.length === 1 && innerWidth >= 1000 ? 330 : 132;
  small.forEach(
    ([title, note, lines, options], k) =>
      chart(card(k < 2 ? stack : at('curves'), 'third', title, note), lines, {height, ...options}));
}

/* ---- layers ---- */

/* Few layers have colours that differ as much as possible (after Okabe and Ito), many a ramp from
   blue at the input to red at the output, on which neighbours differ in lightness. */
const LAYER_COLOURS =
  ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b58900', '#56b4e9', '#7a3fc4', '#8b9199'];
function layerColour(k, n) {
  if (n <= LAYER_COLOURS.length) return LAYER_COLOURS[k];
  return `hsl(${Math.round(225 - (215 * k) / (n - 1))} 62% calc(var(--layer) + ${
    k % 2 ? 12 : -6}%))`;
}

/* Positive numbers as colours, on a logarithmic scale between two bounds. */
function logMap(canvas, rows, low, high) {
  const cols = rows[0].length, values = new Float32Array(rows.length * cols);
  const whole = Math.log(high / low);
  const f = (v) => (v > 0 ? (2 * Math.log(v / low)) / whole - 1 : NaN);
  rows.forEach((row, r) => row.forEach((v, c) => { values[r * cols + c] = f(v); }));
  look.heat(canvas, values, rows.length, cols, 1);
}

function timeMap(host, key) {
  const list = run.layers.list, x = run.layers.x, rows = list.map((l) => l[key]);
  const positive = rows.flatMap((r) => Array.from(r)).filter((v) => v > 0 && v < Infinity);
  const sorted = positive.sort((a, b) => a - b);
  if (!sorted.length) return host.append(el('p', { class: 'none' }, 'no data yet'));
  const low = sorted[Math.floor(0.005 * sorted.length)];
  const high = sorted[Math.ceil(0.995 * sorted.length) - 1] * 1.0001;
  const canvas = el('canvas', { role: 'img', 'aria-label': `${key} by layer and step` });
  const small = list.length > 40;
  const column = (kind, text) =>
    el('div', { class: kind }, ...list.map((l) => el('span', {}, small ? '' : text(l))));
  const axis = el('div', { class: 'axis' },
    ...[x[0], last(x)].map((step) => el('span', {}, `step ${look.count(step)}`)));
  const map = el('div', { class: 'timemap' }, column('labels', (l) => l.name), canvas,
    column('labels last', (l) => look.number(last(l[key]), 3)), axis);
  map.style.setProperty('--row', small ? '8px' : list.length > 16 ? '15px' : '20px');
  const ramp = el('canvas');
  const draw = () => {
    logMap(canvas, rows, low, high);
    look.heat(ramp, Float32Array.from({ length: 161 }, (_, i) => i / 80 - 1), 1, 161, 1);
  };
  hoverCells(canvas, rows.length, x.length,
    (k, i) => `${list[k].name}\n${stepText(x[i])}\n${look.number(rows[k][i])}`);
  look.onTheme.push(draw);
  const note = small ? 'logarithmic scale' : 'logarithmic scale; last values on the right';
  host.append(map,
    el('div', { class: 'ramp' }, look.number(low, 2), ramp, look.number(high, 2),
      el('span', {}, note)));
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
    const lines =
      list.map((l, k) => ({ name: l.name, x: run.layers.x, y: l[key], colour: layerColour(k, n) }));
    return chart(inner, lines, {
      height: 260,
      log: true,
      label: `${title} of each layer by step`,
      text: (v) => look.number(v, 3)
    });
  };
  const [toggle, now] = choice(key, ['lines', 'map'], n > 9 ? 'map' : 'lines', show);
  body = card(at('layers'), 'half', title, note, toggle);
  show(now);
}

/* ---- predictions ---- */

/* One row per actual class, and the precision of each class below. Correct counts are teal, wrong
   ones red, stronger for a larger share of the row. */
function confusionTable(classes, counts) {
  const n = classes.length, row = (t) => counts.slice(t * n, (t + 1) * n);
  const total = (list) => list.reduce((s, v) => s + v, 0);
  const right = (k) => counts[k * n + k], part = (a, b) => (b ? shortPercent(a / b) : '\u2013');
  const cell = (v, of, name, t, g) => {
    if (!v) return el('td', { class: 'zero', title: name }, '\u00b7');
    const strength =
      Math.round(t === g ? 12 + (60 * v) / of : 22 + 68 * Math.min(1, 1.6 * Math.sqrt(v / of)));
    const background =
      `color-mix(in srgb, var(--${t === g ? 'forward' : 'bad'}) ${strength}%, var(--sheet))`;
    return el('td',
      {title: name, style: { background, color: strength > 55 ? 'var(--sheet)' : 'var(--ink)' }},
      look.count(v));
  };
  const rows = classes.map((c, t) => {
    const of = total(row(t));
    const cells = row(t).map(
      (v, g) => cell(
        v, of, `${c}, predicted as ${classes[g]}: ${look.count(v)} of ${look.count(of)}`, t, g));
    return el('tr', {}, el('th', { scope: 'row', title: c }, c), ...cells,
      el('td', { class: 'sum' }, part(right(t), of)));
  });
  const column = (g) => counts.filter((v, i) => i % n === g);
  const precision = classes.map((c, g) =>
    el('td', { class: 'precision' }, part(right(g), total(column(g)))));
  const all = el('td', {class: 'sum'}, part(total(classes.map((c, k) => right(k))), total(counts)));
  const head = [
    ...classes.map((c) => el('th', { scope: 'col', title: c }, c)),
    el('th', { scope: 'col', class: 'recall' }, 'recall %')
  ];
  const table = el('table', { class: 'confusion' },
    el('caption', {}, 'rows: actual class; columns: predicted class'),
    el('thead', {}, el('tr', {}, el('td', { class: 'zero' }), ...head)),
    el('tbody', {}, ...rows,
      el('tr', {}, el('th', { scope: 'row' }, 'precision %'), ...precision, all)));
  return el('div', { class: 'scroll' }, table);
}

/* Too many classes for a table: a map. */
function confusionMap(classes, counts) {
  const n = classes.length;
  const canvas =
    el('canvas', {class: 'cells', style: { width: '100%', maxWidth: '640px', aspectRatio: '1' }});
  const totals = classes.map((c, t) => counts.slice(t * n, (t + 1) * n).reduce((s, v) => s + v, 0));
  const values = Float32Array.from(counts, (v, i) => {
    const t = Math.floor(i / n), part = totals[t] ? v / totals[t] : 0;
    return t === i % n ? -part : Math.sqrt(part);
  });
  const draw = () => look.heat(canvas, values, n, n, 1);
  hoverCells(canvas, n, n,
    (t, g) => `${classes[t]}, predicted as ${classes[g]}\n${look.count(counts[t * n + g])} of ${
      look.count(totals[t])}`);
  look.onTheme.push(draw);
  draw();
  return el('div', {}, canvas,
    el('p', { class: 'note' }, 'rows: actual class; columns: predicted class; blue: correct'));
}

/* Bytes of a picture, grey or red, green and blue, on a canvas. */
function paint(canvas, picture) {
  const bytes = atob(picture.bytes), context = canvas.getContext('2d');
  canvas.width = picture.w;
  canvas.height = picture.h;
  const image = context.createImageData(picture.w, picture.h);
  for (let i = 0; i < picture.w * picture.h; i++) {
    for (let c = 0; c < 3; c++)
      image.data[4 * i + c] = bytes.charCodeAt(picture.c === 3 ? 3 * i + c : i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function drawMistakes() {
  const body = card(at('predictions'), 'half', 'Most confident mistakes',
    'predicted class with its probability, and below it the actual class');
  if (!run.mistakes.length)
    return body.append(el('p', {class: 'none'}, 'none: every test image was classified correctly'));
  const shots = run.mistakes.map((m) => {
    const label = run.classes[m.label], guess = run.classes[m.guess];
    return el('figure', {
      title: `${label}, predicted as ${guess}: probability ${percent(m.confidence)}, of ${label} ${
        percent(m.truth)}`
    },
      m.picture ?
        paint(el('canvas', { role: 'img', 'aria-label': `an image of ${label}` }), m.picture) :
        null,
      el('div', { class: 'confidence' }, el('i', {style: { width: `${100 * m.confidence}%`} })),
      el('figcaption', {}, el('span', { class: 'wrong' }, guess), ` ${percent(m.confidence, 1)}`,
        el('br'), 'actual: ', el('span', { class: 'actual' }, label)));
  });
  body.append(el('div', { class: 'shots' }, ...shots));
}

function drawPredictions() {
  if (!run.confusion) return;
  const all = run.confusion.reduce((s, v) => s + v, 0);
  const body = card(at('predictions'), 'half', 'Confusion matrix',
    `${plural(all, 'test image')}, after the last epoch`);
  body.append(
    (run.classes.length > 24 ? confusionMap : confusionTable)(run.classes, run.confusion));
  drawMistakes();
}

function drawAlbums() {
  for (const a of run.pictures) {
    const list = a.list.filter((p) => p), columns = Math.max(1, Math.min(a.columns, list.length));
    const style = {
      gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
      maxWidth: `${columns * 68}px`
    };
    const grid = el('div', { class: 'album', style }, ...list.map((p) => paint(el('canvas'), p)));
    card(at('pictures'), '', a.name, `after ${plural(a.step, 'step')}`).append(grid);
  }
}

/* ---- kernels and activations ---- */

/* Maps of h x w, side by side in rows, on one canvas; tipOf(tile, y, x, value) is the text of a
   tip. */
function tiles(values, count, h, w, columns, scale, limit, label, tipOf) {
  /* from one to the next */
  const gap = scale > 3 ? 3 : 2, right = w * scale + gap, down = h * scale + gap;
  const width = columns * right - gap, height = Math.ceil(count / columns) * down - gap;
  const style = { width: `${width}px`, aspectRatio: `${width} / ${height}` };
  const canvas = el('canvas', { class: 'cells', role: 'img', 'aria-label': label, style });
  const small = el('canvas');
  const draw = () => {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d');
    context.imageSmoothingEnabled = false;
    for (let k = 0; k < count; k++) {
      look.heat(small, values, h, w, limit, k * h * w);
      context.drawImage(
        small, (k % columns) * right, Math.floor(k / columns) * down, w * scale, h * scale);
    }
  };
  hoverCells(canvas, height, width, (Y, X) => {
    const c = Math.floor(X / right), r = Math.floor(Y / down);
    const x = Math.floor((X - c * right) / scale), y = Math.floor((Y - r * down) / scale);
    const k = r * columns + c;
    return k < count && x < w && y < h ? tipOf(k, y, x, values[(k * h + y) * w + x]) : '';
  });
  look.onTheme.push(draw);
  draw();
  return canvas;
}

const times = (shape) => shape.join('\u2009\u00d7\u2009');

function kernelFigure(k) {
  const [F, C, h, w] = k.shown, values = look.reals(k.v), limit = look.stats(values).limit;
  const size = h * w;
  /* one row per input channel, one column per filter */
  const byChannel = new Float32Array(values.length);
  for (let i = 0; i < F * C; i++)
    byChannel.set(
      values.subarray(i * size, (i + 1) * size), ((i % C) * F + Math.floor(i / C)) * size);
  const scale = Math.max(3, Math.min(C === 1 ? 12 : 6, Math.floor((560 / F - 3) / w)));
  const map = tiles(byChannel, F * C, h, w, F, scale, limit, `kernels of ${k.name}`,
    (t, y, x, v) =>
      `filter ${t % F}, channel ${Math.floor(t / F)}, (${y}, ${x})\n${look.number(v)}`);
  const part = F === k.shape[0] && C === k.shape[1] ? '' : `, ${times([F, C])} of them shown`;
  return el('figure', {}, el('figcaption', {}, el('b', {}, k.name), ` ${times(k.shape)}${part}`),
    map, look.bar(limit));
}

function drawKernels() {
  if (!run.kernels.length) return;
  const body = card(at('inside'), '', 'Kernels',
    'one column per filter, one row per input channel; each layer has its own scale');
  const fill = (list) => el('div', { class: 'maps' }, ...list.map(kernelFigure));
  const few = run.kernels.length <= 4 ? run.kernels.length : 3;
  body.append(fill(run.kernels.slice(0, few)));
  const rest = run.kernels.slice(few);
  if (!rest.length) return;
  const left = run.kernels_left_out ?
    ` (and ${look.count(run.kernels_left_out)} that are not in this file)` :
    '';
  const more = el('details', {}, el('summary', {}, `${plural(rest.length, 'more layer')}${left}`));
  more.addEventListener(
    'toggle', () => more.open && more.children.length === 1 && more.append(fill(rest)));
  body.append(more);
}

/* The probabilities of the sample's classes, if their names are known. */
function scoresFigure(a) {
  const x = look.reals(a.v), most = Math.max(...x), e = Array.from(x, (v) => Math.exp(v - most));
  const sum = e.reduce((s, v) => s + v, 0);
  const order = e.map((v, k) => [v / sum, k]).sort((p, q) => q[0] - p[0]).slice(0, 5);
  const bar = ([p, k]) => [el('span', {}, run.classes[k]), el('i', {style: {width: `${100 * p}%`}}),
    el('span', { class: 'number' }, percent(p, 1))];
  return el('figure', {}, el('figcaption', {}, el('b', {}, 'softmax'), ' of the scores'),
    el('div', { class: 'bars' }, ...order.flatMap(bar)));
}

function activationFigure(a) {
  const [C, h, w] = a.shown, values = look.reals(a.v), flat = a.shape.length === 2;
  const name = a.name || a.layer, label = `activations of ${name || a.op}`;
  const limit = Math.max(Math.abs(a.low), Math.abs(a.high));
  const count = a.shape.reduce((p, n) => p * n, 1), columns = Math.min(flat ? 28 : 8, flat ? w : C);
  const scale = Math.max(1, Math.min(6, Math.floor(440 / (columns * w)), Math.floor(62 / w)));
  const mean = a.block > 1 ? `, mean of ${a.block} \u00d7 ${a.block}` : '';
  const map = flat ?
    tiles(
      values, w, 1, 1, columns, 11, limit, label, (t, y, x, v) => `unit ${t}\n${look.number(v)}`) :
    tiles(values, C, h, w, columns, scale, limit, label,
      (t, y, x, v) => `channel ${t}, (${y * a.block}, ${x * a.block})${mean}\n${look.number(v)}`);
  const part = (flat ? w : C) < a.shape[1] ? `, ${flat ? w : C} shown` : '';
  const zeros = a.zeros ? `, ${percent(a.zeros / count, 0)} zero` : '';
  return el('figure', {},
    el('figcaption', {}, el('b', {}, name || a.op),
      `${name ? ` ${a.op}` : ''} ${times(a.shape.slice(1))}${part}`),
    map,
    el('div', { class: 'figures' },
      `${look.number(a.low, 3)} \u2026 ${look.number(a.high, 3)}, mean ${look.number(a.mean, 3)}${
        zeros}`));
}

function drawActivations() {
  const s = run.sample;
  if (!s || !s.list.length) return;
  const label = s.label !== undefined && run.classes ? `, ${run.classes[s.label]}` : '';
  const end = last(s.list);
  const part =
    s.operations > s.list.length ? `; ${s.list.length} of ${s.operations} are shown` : '';
  const figures = s.list.map(activationFigure);
  const when = s.step < run.step ? `, after ${plural(s.step, 'step')}` : '';
  const body = card(at('inside'), '', 'Activations',
    `of one sample${label}${when}, one map per operation; blue is negative${part}`);
  if (s.picture) {
    const caption =
      el('figcaption', {}, el('b', {}, 'sample'), ` ${times([s.picture.h, s.picture.w])}`);
    figures.unshift(el('figure', {}, caption, paint(el('canvas', { class: 'sample' }), s.picture)));
  }
  const scores = run.classes && end.shape.length === 2 && end.shape[1] === run.classes.length &&
    end.shown[2] === end.shape[1];
  body.append(el('div', { class: 'maps' }, ...figures, scores ? scoresFigure(end) : ''));
}

/* ---- the page ---- */

drawTop();
drawTiles();
drawCurves();
if (run.optimiser && some(run.layers.list.flatMap((l) => Array.from(l.gradient)))) {
  const span =
    run.layers.span > 1 ? `; each point is the mean of ${look.count(run.layers.span)} of them` : '';
  const each = `${run.every === 1 ? 'every step' : `one step in ${look.count(run.every)}`}${span}`;
  drawLayers('gradient', 'Gradient norm', each);
  drawLayers('update', 'Update / weight', `norm of the update / norm of the weights, ${each}`);
}
drawPredictions();
drawAlbums();
drawKernels();
drawActivations();
const without = run.layers.left_out ?
  ` ${plural(run.layers.left_out, 'parameter')} of further layers are not shown.` :
  '';
at('notes').textContent =
  `A curve has at most 1,000 points; a longer one merges neighbouring points.${without}`;
