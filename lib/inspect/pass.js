/* pass.js: the page of a whole pass: its steps, the graph as it fills in, and the details of one
   operation.

   With n operations there are 2 n steps: operation k computes its value in step k, and its gradient
   is complete in step 2 n - k + 1. Invariant: the page depends on three things alone: the step, the
   layers that are folded, and the operation or leaf that is open. */
'use strict';

const $ = (id) => document.getElementById(id);
const plural = (n, what) => `${look.count(n)} ${what}${n === 1 ? '' : 's'}`;

const data = look.data(), graph = makeGraph(data), last = graph.ops.length, steps = 2 * last;
const state = { step: steps, open: null, view: { x: 0, y: 0, zoom: 1 }, playing: 0 };
let seen = null; /* the layout, with the elements of its boxes and edges */

/* ---- steps ---- */

const stepOf = (number) => 2 * last - number + 1; /* backward's */

const isForward = (step) => step <= last;

/* The operation of a step; before the first there is none. */
const opAt = (step) => (step < 1 ? null : graph.ops[(isForward(step) ? step : stepOf(step)) - 1]);

/* The step in which a tensor's gradient is complete: that of its own operation, or for a leaf of
   the first operation that uses it. */
function gradientStep(t) {
  if (!t.g) return Infinity;
  if (t.number) return stepOf(t.number);
  const flows = t.uses.filter((use) => use.flows);
  return flows.length ? stepOf(Math.min(...flows.map((use) => use.op.number))) : 0;
}

for (const t of graph.tensors) t.gradientStep = gradientStep(t);

const titleOf = (op) => [op.op, op.y.name || op.layer].filter(Boolean).join(' ');

function showLabel() {
  const op = opAt(state.step), n = isForward(state.step) ? state.step : state.step - last;
  const way = isForward(state.step) ? 'forward' : 'backward';
  const parts = op && [
    look.el('b', { class: way }, way), ` ${n} of ${last}: `, look.el('bdi', {}, titleOf(op)),
  ];
  $('said').replaceChildren(...(parts || ['before the first operation']));
  $('step').value = state.step;
}

function goTo(step, follow = true) {
  step = Math.max(0, Math.min(steps, step));
  const from = state.step;
  state.step = step;
  showLabel();
  showStep(from);
  const op = opAt(step);
  if (op && follow) reveal(op.box);
  if (op || state.open) open(op ? { op } : state.open, false);
}

/* ---- the graph: boxes ---- */

/* The tensor that a box shows: the result of its operation, or of the last operation of a folded
   layer. */
const resultOf = (box) => box.leaf || box.ops[box.ops.length - 1].y;

function nameOf(box) {
  if (box.leaf) {
    const { name, param, shape, v } = box.leaf;
    const constant = elements(shape) === 1 ? look.number(v.mean) : 'constant';
    return [look.el('bdi', {}, name || (param ? 'parameter' : constant))];
  }
  if (box.group) return [look.el('bdi', {}, box.group.name)];
  return [
    box.op.op,
    look.el('span', { class: 'name' }, ' ', look.el('bdi', {}, box.op.y.name || lastPart(box.op)))
  ];
}

/* The part of a layer's name that is not in the title of a frame around the box. */
function lastPart(op) {
  const group = groupOf(graph, op);
  return group ? op.layer.slice(group.path.length + 1) : op.layer;
}

function makeBox(box) {
  const t = resultOf(box);
  const about = box.group ? plural(box.ops.length, 'operation') : shapeText(t.shape);
  const canvases = ['v', 'g'].map((which) => look.el('canvas', { 'aria-hidden': 'true' }));
  const kind = box.leaf ? 'leaf' : box.group ? 'group' : 'op';
  const e = look.el('button', {
    class: `box ${kind}`,
    'data-key': box.key,
    onclick: () => activate(box),
    style: {
      left: `${box.x - box.w / 2}px`,
      top: `${box.y}px`,
      width: `${box.w}px`,
      height: `${box.h}px`
    },
  });
  const words = look.el('span', {class: 'words'}, look.el('span', {class: 'title'}, ...nameOf(box)),
    look.el('span', { class: 'about' }, about));
  e.append(words);
  if (!box.leaf)
    ['v', 'g'].forEach((which, i) => {
      const single = elements(t.shape) === 1 && t[which];
      const inside = single ? look.el('b', {}, look.number(single.mean, 3)) : canvases[i];
      e.append(look.el('span', { class: `slot ${which}` }, inside));
    });
  const chips = box.op ? box.op.in.filter((use) => use.t.chip) : [];
  box.chips = chips.map((use) => ({
    t: use.t,
    element:
      look.el('span', {class: 'chip'}, look.el('bdi', {}, use.t.short || look.number(use.t.v.mean)))
  }));
  if (chips.length)
    words.append(look.el('span', { class: 'chips' }, ...box.chips.map((c) => c.element)));
  Object.assign(box, { element: e, canvases, drawn: {} });
  return e;
}

function activate(box) {
  if (box.group) fold(box.group, false);
  else open(box.leaf ? { leaf: box.leaf } : { op: box.op }, true);
}

/* ---- the graph: edges and frames ---- */

function makeEdge(e) {
  const x = Math.round(e.to.x), y = Math.round(e.to.y), fx = Math.round(e.from.x);
  const fy = Math.round(e.from.y + e.from.h);
  e.element = look.el('g', { class: e.uses.some((use) => use.flows) ? null : 'const' },
    look.el('path', { d: e.path }),
    look.el('path', {class: 'head', d: `M${x - 4.5},${y - 8}L${x + 4.5},${y - 8}L${x},${y - 1}Z`}),
    look.el('path',
      { class: 'head up', d: `M${fx - 4.5},${fy + 8}L${fx + 4.5},${fy + 8}L${fx},${fy + 1}Z` }));
  return e.element;
}

function makeFrame(f) {
  const button = look.el('button', { title: 'collapse', onclick: () => fold(f.group, true) },
    '\u25be ', look.el('bdi', {}, f.group.name));
  return look.el('div', {
    class: 'frame',
    style: { left: `${f.x}px`, top: `${f.y}px`, width: `${f.w}px`, height: `${f.h}px` }
  },
    button);
}

function draw() {
  seen = layOut(graph);
  $('frames').replaceChildren(...seen.frames.map(makeFrame));
  $('boxes').replaceChildren(
    ...[...seen.boxes].sort((a, b) => a.y - b.y || a.x - b.x).map(makeBox));
  $('edges').replaceChildren(
    look.el('svg', { width: seen.width, height: seen.height }, ...seen.edges.map(makeEdge)));
  for (const box of seen.boxes) Object.assign(box, { edges: [] });
  for (const e of seen.edges) {
    e.to.edges.push(e);
    e.from.edges.push(e);
  }
  showStep(null);
  markOpen();
}

function fold(group, folded) {
  const first = [...group.ops][0];
  group.folded = folded;
  draw();
  reveal(first.box);
  first.box.element.focus({ preventScroll: true });
}

function foldAll(folded) {
  for (const group of graph.groups.values()) group.folded = folded;
  draw();
  fit();
}

/* ---- the graph as it fills in ---- */

function showThumb(box, which) {
  const t = resultOf(box);
  if (box.leaf || box.drawn[which] || !t[which]) return;
  drawThumb(box.canvases[which === 'v' ? 0 : 1], t, t[which]);
  box.drawn[which] = true;
}

function showBox(box) {
  const t = resultOf(box), op = opAt(state.step), hasV = state.step >= t.number;
  const hasG = state.step >= t.gradientStep, now = Boolean(op && box.ops.includes(op));
  const list = box.element.classList;
  list.toggle('has-v', hasV);
  list.toggle('has-g', hasG);
  list.toggle('waiting', !hasV);
  list.toggle('now-f', now && isForward(state.step));
  list.toggle('now-b', now && !isForward(state.step));
  if (hasV) showThumb(box, 'v');
  if (hasG) showThumb(box, 'g');
  for (const chip of box.chips)
    chip.element.classList.toggle('has-g', state.step >= chip.t.gradientStep);
}

function showEdge(e) {
  const op = opAt(state.step), now = op && e.uses.some((use) => use.op === op);
  const list = e.element.classList;
  list.toggle('on', state.step >= resultOf(e.from).number);
  list.toggle('now-f', Boolean(now && isForward(state.step)));
  list.toggle('now-b',
    Boolean(now && !isForward(state.step) && e.uses.some((use) => use.op === op && use.flows)));
}

/* After a single step only the boxes of the two steps have changed; from null: everything is
   drawn. */
function showStep(from) {
  let boxes = seen.boxes;
  if (from !== null && Math.abs(from - state.step) <= 1) {
    const near = [from, state.step].map(opAt).filter(Boolean).flatMap(
      (op) => [op.box, ...op.in.filter((use) => use.t.box).map((use) => use.t.box)]);
    boxes = [...new Set(near)];
  }
  boxes.forEach(showBox);
  new Set(boxes.flatMap((box) => box.edges)).forEach(showEdge);
}

/* ---- pan and zoom ---- */

function applyView() {
  const v = state.view;
  $('stage').style.transform =
    `translate(${Math.round(v.x)}px, ${Math.round(v.y)}px) scale(${v.zoom})`;
}

function fit() {
  const box = $('graph').getBoundingClientRect(), margin = 22;
  const zoom = Math.max(0.08, Math.min(1.15, (box.width - 2 * margin) / seen.width));
  const tall = seen.height * zoom > box.height - 70;
  state.view = {
    zoom,
    x: (box.width - seen.width * zoom) / 2,
    y: tall ? margin : Math.max(margin, (box.height - 50 - seen.height * zoom) / 2)
  };
  applyView();
}

function zoomBy(factor, x, y) {
  const v = state.view, box = $('graph').getBoundingClientRect();
  const zoom = Math.max(0.05, Math.min(4, v.zoom * factor));
  const cx = x === undefined ? box.width / 2 : x - box.left;
  const cy = y === undefined ? box.height / 2 : y - box.top;
  v.x = cx - (cx - v.x) * zoom / v.zoom;
  v.y = cy - (cy - v.y) * zoom / v.zoom;
  v.zoom = zoom;
  applyView();
}

/* Moves the graph by as little as makes the box visible. */
function reveal(box) {
  const v = state.view, all = $('graph').getBoundingClientRect();
  const inside = (from, to, low, high) => {
    if (to - from > high - low || from < low) return low - from;
    return to > high ? high - to : 0;
  };
  v.x += inside(
    v.x + (box.x - box.w / 2) * v.zoom, v.x + (box.x + box.w / 2) * v.zoom, 14, all.width - 14);
  v.y += inside(v.y + box.y * v.zoom, v.y + (box.y + box.h) * v.zoom, Math.min(90, all.height / 5),
    all.height - Math.min(130, all.height / 4));
  applyView();
}

function dragGraph() {
  const e = $('graph');
  let from = null;
  e.addEventListener('pointerdown', (event) => {
    if (event.button === 0 && !event.target.closest('button'))
      from = { x: event.clientX - state.view.x, y: event.clientY - state.view.y };
    if (from) e.setPointerCapture(event.pointerId);
    e.classList.toggle('dragged', Boolean(from));
  });
  e.addEventListener('pointermove', (event) => {
    if (!from) return;
    Object.assign(state.view, { x: event.clientX - from.x, y: event.clientY - from.y });
    applyView();
  });
  for (const end of ['pointerup', 'pointercancel']) e.addEventListener(end, () => {
    from = null;
    e.classList.remove('dragged');
  });
  e.addEventListener('wheel', (event) => {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey)
      zoomBy(Math.exp(-event.deltaY / 240), event.clientX, event.clientY);
    else
      Object.assign(state.view, { x: state.view.x - event.deltaX, y: state.view.y - event.deltaY });
    applyView();
  }, { passive: false });
}

/* ---- details ---- */

let redraws = []; /* functions that draw the panel's maps again after a change of colours */

/* An equation with subscripts, superscripts and symbols: "K_fc *full G_nf (34)". */
function mathOf(text) {
  const parts = [];
  const piece =
    /\((\d\d)\)|\*(filt|full|valid)\b|\bsum_([a-z,]+)|([A-Za-z]+|\))_([a-z]+)|\^([A-Za-z0-9]+)/g;
  let at = 0;
  for (let m; (m = piece.exec(text)); at = piece.lastIndex) {
    parts.push(text.slice(at, m.index));
    if (m[1]) parts.push(look.el('b', { class: 'badge' }, `(${m[1]})`));
    else if (m[2]) parts.push('\u2217', look.el('sub', {}, m[2]));
    else if (m[3]) parts.push('\u03a3', look.el('sub', {}, m[3]));
    else if (m[4])
      parts.push(m[4] === ')' ? ')' : look.el('i', {}, m[4]), look.el('sub', {}, m[5]));
    else parts.push(look.el('sup', {}, m[6]));
  }
  return look.el('span', { class: 'math' }, ...parts, text.slice(at));
}

const tensorName = (t) => t.name ||
  (t.number ? `#${t.number} ${graph.ops[t.number - 1].op}` :
      t.param ? 'a parameter' :
                'a constant');

const linkTo = (op) => look.el('button', {
  class: 'link',
  onclick: () => {
    open({ op }, true);
    reveal(op.box);
  }
},
  `#${op.number} `, look.el('bdi', {}, titleOf(op)));

const ruleLine = (of, ...inside) => look.el('div', { class: 'rule' },
  look.el('span', { class: 'of' }, look.el('bdi', {}, of)), look.el('span', {}, ...inside));

/* The uses that a gradient is the sum of, if there are several. */
function sumLine(t) {
  const flows = t.uses.filter((use) => use.flows);
  if (flows.length < 2) return null;
  const parts = flows.slice(0, 8).flatMap(
    (use, i) => [i ? ' + ' : '', linkTo(use.op),
      look.el('span', { class: 'soft' }, ` |g| ${look.number(use.norm, 3)}`)]);
  return ruleLine(
    'g, accumulated', `from ${flows.length} uses: `, ...parts, flows.length > 8 ? ' + \u2026' : '');
}

function rulesOf(op) {
  const now = opAt(state.step) === op, forward = now && isForward(state.step);
  const rules =
    op.in.filter((use) => use.flows).map((use) => ruleLine(tensorName(use.t), mathOf(use.rule)));
  const sum = sumLine(op.y);
  const [value, shared] = op.forward.split('; with ');
  return look.el('div', { class: 'rulepair' },
    look.el('div', { class: `rules forward-rules${forward ? ' now' : ''}` },
      ruleLine('value', mathOf(value))),
    look.el('div', { class: `rules backward-rules${now && !forward ? ' now' : ''}` }, sum,
      shared ? ruleLine('with', mathOf(shared)) : null, ...rules));
}

function headOf(title, name, t, number, settings) {
  return look.el('div', { class: 'head' }, look.el('h2', {}, title),
    name ? look.el('span', {}, look.el('bdi', {}, name)) : null,
    number ? look.el('code', {}, `#${number}`) : null, look.el('code', {}, shapeText(t.shape)),
    settings ? look.el('span', {}, settings) : null,
    look.el('code', {}, `|value| ${look.number(t.v.norm)}`),
    t.g ? look.el('code', {}, `|gradient| ${look.number(t.g.norm)}`) : null);
}

function tensorBlock(title, t, width) {
  return look.el('div', {},
    look.el('h3', {}, title, ' ', t.name ? look.el('bdi', {}, t.name) : null, ' ',
      look.el('code', {}, shapeText(t.shape))),
    tensorFigure(t, width, redraws));
}

/* The text of a leaf and of an operation, and the maps below it. */
function leafWords(t) {
  return [
    headOf(t.param ? 'parameter' : 'constant', t.name, t),
    look.el('div', { class: 'rules' },
      ruleLine(
        'used by', ...t.uses.slice(0, 8).flatMap((use, i) => [i ? ', ' : '', linkTo(use.op)])),
      sumLine(t))
  ];
}

const leafMaps = (t) => [look.el('div', { class: 'tensors' }, tensorBlock('', t, 300))];

const opWords = (op) => [
  headOf(op.op, op.y.name || op.layer, op.y, op.number, op.settings), rulesOf(op)
];

function opMaps(op) {
  const inner = $('panel').clientWidth - 40, width = Math.max(90, Math.min(440, (inner - 60) / 2));
  const others = op.conv ? op.in.slice(2) : op.in;
  const parts = [];
  if (op.conv) {
    const third = inner > 640 ? Math.max(140, Math.min(220, Math.floor(inner * 0.16))) : 100;
    parts.push(convSection(op, redraws, third));
    if ([...op.in.map((use) => use.t), op.y].some(isSampled))
      parts.push(look.el('p', { class: 'note' },
        'Sampled: products of values that are not in this file enter each sum as one number, ' +
          'computed by the library.'));
  }
  const blocks = op.conv ? [] : [tensorBlock('result', op.y, width)];
  for (const use of others) blocks.push(tensorBlock('input', use.t, op.conv ? 150 : width));
  parts.push(look.el('div', { class: 'tensors' }, ...blocks));
  return parts;
}

function markOpen() {
  for (const box of seen.boxes)
    box.element.classList.toggle('open',
      Boolean(
        state.open && (box.leaf ? box.leaf === state.open.leaf : box.ops.includes(state.open.op))));
}

/* Shows an operation or a leaf. While steps follow each other (byReader is false) its maps wait
   until the steps pause, so that these stay smooth. */
function open(what, byReader) {
  const same = state.open && state.open.op === what.op && state.open.leaf === what.leaf;
  state.open = what;
  look.tip('');
  $('words').replaceChildren(...(what.op ? opWords(what.op) : leafWords(what.leaf)));
  if (byReader || !same) $('panel').scrollTop = 0;
  clearTimeout(state.waiting);
  if (byReader) drawMaps();
  else state.waiting = setTimeout(drawMaps, PAUSE);
  $('maps').classList.toggle('stale', !byReader && !same);
  markOpen();
}

const PAUSE = 90; /* milliseconds without a step */

function drawMaps() {
  const { op, leaf } = state.open;
  redraws = [];
  $('maps').replaceChildren(...(op ? opMaps(op) : leafMaps(leaf)));
  $('maps').classList.remove('stale');
  showLater();
}

/* Gradients that backward has not computed yet are pale. */
function showLater() {
  const t = state.open.op ? state.open.op.y : state.open.leaf;
  for (const e of $('panel').querySelectorAll('.gradient'))
    e.classList.toggle('later', state.step < t.gradientStep);
}

/* ---- keys and buttons ---- */

function play(on) {
  clearInterval(state.playing);
  state.playing =
    on ? setInterval(() => (state.step < steps ? goTo(state.step + 1) : play(false)), 600) : 0;
  $('play').textContent = on ? '\u2016' : '\u25b6';
  if (on && state.step === steps) goTo(0);
}

const keys = {
  ArrowRight: () => goTo(state.step + 1),
  ArrowLeft: () => goTo(state.step - 1),
  Home: () => goTo(0),
  End: () => goTo(steps),
  '+': () => zoomBy(1.2),
  '=': () => zoomBy(1.2),
  '-': () => zoomBy(1 / 1.2),
  0: fit,
  f: () => foldAll(true),
  u: () => foldAll(false),
  Escape: () => {
    const box = state.open && (state.open.op || state.open.leaf).box;
    if (box) box.element.focus();
  },
};

function listen() {
  const click = {
    first: () => goTo(0),
    back: () => goTo(state.step - 1),
    next: () => goTo(state.step + 1),
    last: () => goTo(steps),
    play: () => play(!state.playing),
    fold: () => foldAll(true),
    unfold: () => foldAll(false),
    smaller: () => zoomBy(1 / 1.25),
    larger: () => zoomBy(1.25),
    fit
  };
  for (const [id, f] of Object.entries(click)) $(id).addEventListener('click', f);
  $('step').max = steps;
  $('step').addEventListener('input', () => goTo(Number($('step').value)));
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches('select, input')) return;
    if (e.key === ' ' && !e.target.closest('button')) {
      e.preventDefault();
      play(!state.playing);
    } else if (keys[e.key]) {
      e.preventDefault();
      keys[e.key]();
    }
  });
  document.addEventListener('focusin', (e) => {
    const box = seen.boxes.find((b) => b.element === e.target);
    if (box && e.target.matches(':focus-visible')) reveal(box);
  });
  look.onTheme.push(() => {
    for (const f of redraws) f();
    for (const box of seen.boxes) box.drawn = {};
    showStep(null);
  });
  let width = innerWidth;
  addEventListener('resize', () => {
    if (width !== innerWidth) fit();
    if (width !== innerWidth && state.open) open(state.open, false);
    width = innerWidth;
  });
}

/* ---- the beginning ---- */

function foot() {
  const s = data.sample, cuts = new Set();
  for (const t of graph.tensors)
    t.kept.forEach((n, d) => n < t.shape[d] &&
        cuts.add(t.shape.length > 2 && d >= t.shape.length - 2 ? 'side' : dimensionName(t, d)));
  const kept = [
    cuts.has('image') && (s.images === 1 ? 'image' : `${s.images} images`),
    (cuts.has('channel') || cuts.has('filter')) && `${s.channels} channels`,
    cuts.has('side') && `${s.side} rows and columns`,
    [...cuts].some((c) => c.startsWith('dim')) && `${s.length} numbers`
  ].filter(Boolean);
  const loss = graph.ops.length ? graph.ops[last - 1].y : graph.tensors[0];
  const params = graph.tensors.filter((t) => t.param).length;
  const counts = `${plural(last, 'operation')}, ${plural(params, 'parameter')}`;
  const sampled = 'Sampled, to keep this file small: of larger tensors it has the first ' +
    `${kept.join(', ')}; statistics are of all values.`;
  $('foot').textContent = `${tensorName(loss)} = ${look.number(loss.v.mean, 6)}; ${counts}. ` +
    (kept.length ? sampled : 'All values are in this file.');
}

$('top').append(look.themeButton());
if (graph.ops.length > 40)
  for (const group of graph.groups.values())
    group.folded = ![...graph.groups.values()].some((g) => g.parent === group);
draw();
fit();
listen();
foot();
showLabel();
if (last) open({ op: graph.ops.find((op) => op.conv) || graph.ops[last - 1] }, true);
else if (graph.tensors.length) open({ leaf: graph.tensors[0] }, true);
if (state.view.zoom < 0.5) { /* too small to read: show a part at first */
  zoomBy(0.5 / state.view.zoom);
  reveal((state.open.op || state.open.leaf).box);
}
document.documentElement.dataset.drawn = Math.round(performance.now());
