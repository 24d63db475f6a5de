/* maps.js: tensors as pictures: a plane of one as a heat map with a cursor, its scale and figures,
   and the choice of image and channel.

   Invariant: what is shown of a tensor is the part that is in the page, the box t.kept; a position
   in it is a list of indices. */
'use strict';

/* The numbers of t.v or t.g, decoded when they are first needed. */
function numbers(part) {
  if (typeof part.x === 'string') part.x = look.reals(part.x);
  return part.x;
}

const offsetIn = (kept, place) => place.reduce((at, index, d) => at * kept[d] + index, 0);

const isSampled = (t) => t.kept.some((n, d) => n < t.shape[d]);

const shapeText = (shape) => (shape.length ? shape.join('\u00d7') : 'scalar');

/* The name of dimension d of a tensor, for the control that selects its index. */
function dimensionName(t, d) {
  const rank = t.shape.length;
  if (rank === 4 && t.param) return d === 0 ? 'filter' : 'channel';
  if (d === 0 && !t.param) return 'image';
  return d === 1 && rank === 4 ? 'channel' : `dim ${d}`;
}

/* ---- planes ---- */

/* The last two dimensions of what is kept, at the given indices of those before; a vector is one
   row, or several rows if it is long. */
function planeOf(t, lead) {
  const kept = t.kept, rank = kept.length;
  if (rank < 2) {
    const n = elements(kept), cols = n <= 24 ? n : Math.ceil(Math.sqrt(n * 2));
    return {
      rows: Math.ceil(n / cols) || 1,
      cols: cols || 1,
      n,
      start: 0,
      place: (i) => (rank ? [i] : [])
    };
  }
  const rows = kept[rank - 2], cols = kept[rank - 1], start = offsetIn(kept, [...lead, 0, 0]);
  return {
    rows,
    cols,
    n: rows * cols,
    start,
    place: (i) => [...lead, Math.floor(i / cols), i % cols]
  };
}

/* The size of a cell, so that the map is about width wide: images have square cells, matrices may
   have flat ones. */
function cellSize(plane, width, rank) {
  const whole = (size) => (size >= 2 ? Math.floor(size) : size);
  const w = whole(Math.min(rank > 2 ? 20 : 26, width / plane.cols));
  if (rank > 2) {
    const both = Math.min(w, whole(width / plane.rows));
    return [both, both];
  }
  const flat = Math.min(10, whole((width * 0.6) / plane.rows));
  return [w, Math.max(Math.min(w, whole(width / plane.rows)), flat)];
}

/* ---- a heat map ---- */

/* Has map.point called by the pointer, and by arrow keys. */
function listenToMap(map, canvas) {
  const index = (part, n) => Math.min(n - 1, Math.max(0, Math.floor(part * n)));
  canvas.addEventListener('pointermove', (e) => {
    const box = canvas.getBoundingClientRect(), { rows, cols, n } = map.plane;
    const row = index((e.clientY - box.top) / box.height, rows);
    const i = row * cols + index((e.clientX - box.left) / box.width, cols);
    if (i < n) map.point(i, e.clientX, e.clientY);
  });
  canvas.addEventListener('pointerleave', () => map.point(null));
  canvas.addEventListener('blur', () => map.point(null));
  canvas.addEventListener('keydown', (e) => {
    const { rows, cols, n } = map.plane, box = canvas.getBoundingClientRect();
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -cols, ArrowDown: cols }[e.key];
    if (!step || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    e.stopPropagation();
    const i = map.at === null ? 0 : map.at + step;
    const x = box.left + ((i % cols + 1) * box.width) / cols;
    const y = box.top + ((Math.floor(i / cols) + 1) * box.height) / rows;
    if (i >= 0 && i < n) map.point(i, x, y);
  });
}

/* A map of values (a list as long as the plane, from start on) that can be pointed at by mouse, and
   by arrow keys when it has the focus. about: { label, width, rank, tip(i), point(i) }. It has:
   element; draw(values, plane), by a limit of the plane's own; mark(list of [row, col, kind]). */
function heatMap(about) {
  const canvas =
    look.el('canvas', { class: 'cells', tabindex: '0', role: 'img', 'aria-label': about.label });
  const marks =
    look.el('svg', { class: 'marks', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  const bar = look.el('div', { class: 'scale' });
  const map = {
    element: look.el('div', {}, look.el('div', { class: 'heat' }, canvas, marks), bar),
    canvas,
    at: null
  };
  map.draw = (values, plane) => {
    const { start } = plane, { limit } = look.stats(values.subarray(start, start + plane.n));
    const [w, h] = cellSize(plane, about.width, about.rank), all = plane.rows * plane.cols;
    Object.assign(map, { plane, values });
    bar.replaceChildren(look.bar(limit));
    bar.style.width = `${Math.max(96, Math.round(w * plane.cols))}px`;
    const shown = plane.n === all ?
      values :
      Float32Array.from({ length: all }, (_, i) => (i < plane.n ? values[start + i] : 0));
    map.redraw = () =>
      look.heat(canvas, shown, plane.rows, plane.cols, limit, plane.n === all ? start : 0);
    map.redraw();
    canvas.style.width = `${Math.round(w * plane.cols)}px`;
    canvas.style.height = `${Math.round(h * plane.rows)}px`;
    marks.setAttribute('viewBox', `0 0 ${plane.cols} ${plane.rows}`);
  };
  map.mark = (list) => marks.replaceChildren(...list.map(([row, col, kind, rows = 1, cols = 1]) =>
    look.el('rect', { x: col, y: row, width: cols, height: rows, class: kind || 'cell' })));
  map.point = (i, x, y) => {
    map.at = i;
    if (!about.point)
      map.mark(i === null ? [] : [[Math.floor(i / map.plane.cols), i % map.plane.cols]]);
    look.tip(i === null ? '' : about.tip(i), x, y);
    if (about.point && i !== null) about.point(i);
  };
  listenToMap(map, canvas);
  return map;
}

/* ---- small matrices of numbers ---- */

/* Values by (row, col); the other cells are blank. Small matrices show their numbers, large ones
   are heat maps. */
function smallMatrix(caption, entries, rows, cols, redraws) {
  const limit = Math.max(...entries.map((e) => Math.abs(e.v)), 0);
  const figure = look.el('figure', { class: 'small' });
  if (rows > 7 || cols > 7) {
    const values = new Float32Array(rows * cols);
    for (const e of entries) values[e.row * cols + e.col] = e.v;
    const map = heatMap({
      label: caption,
      width: 132,
      rank: 3,
      tip: (i) => `[${Math.floor(i / cols)}, ${i % cols}]\n${look.number(values[i], 7)}`
    });
    map.draw(values, { rows, cols, n: rows * cols, start: 0 });
    redraws.push(() => map.redraw());
    figure.append(look.el('figcaption', {}, caption), map.element);
    return figure;
  }
  const single = rows * cols === 1, { power, text } = look.cells(entries.map((e) => e.v));
  const heading =
    [caption, power && !single && `\u00d7\u2009${look.powerOfTen(power)}`].filter(Boolean).join(
      ', ');
  if (heading) figure.prepend(look.el('figcaption', {}, heading));
  const grid =
    look.el('div', {class: 'grid number', style: { gridTemplateColumns: `repeat(${cols}, auto)`} });
  const cells =
    Array.from({ length: rows * cols }, () => look.el('span', { class: 'blank' }, '\u00b7'));
  const paint = () => entries.forEach((e) => {
    const cell = cells[e.row * cols + e.col];
    cell.style.background = look.colour(e.v, limit);
    cell.classList.toggle('strong', limit > 0 && Math.abs(e.v) / limit > 0.55);
  });
  for (const e of entries) {
    const cell = cells[e.row * cols + e.col];
    cell.className = '';
    cell.textContent = single ? look.number(e.v, 4) : text(e.v);
    cell.title = `${e.title} = ${look.number(e.v, 7)}`;
    cell.dataset.v = e.v;
  }
  paint();
  redraws.push(paint);
  grid.append(...cells);
  figure.append(grid);
  return figure;
}

/* ---- statistics ---- */

function figuresOf(part) {
  const line = (name, x) =>
    look.el('span', {}, look.el('span', { class: 'soft' }, name), `\u00a0${look.number(x, 3)}`);
  return look.el('div', { class: 'figures' }, line('min', part.min), line('mean', part.mean),
    line('max', part.max));
}

function placeText(place) { return place.length ? `[${place.join(', ')}]` : ''; }

/* ---- value and gradient side by side ---- */

/* Controls for the indices of all dimensions before the last two; change(lead) is called after each
   change. */
function picker(t, lead, change) {
  const row = look.el('div', { class: 'picker' });
  for (let d = 0; d < t.kept.length - 2; d++) {
    if (t.shape[d] === 1) continue;
    const select = look.el('select', { 'aria-label': dimensionName(t, d) });
    for (let i = 0; i < t.kept[d]; i++) select.append(look.el('option', { value: i }, String(i)));
    select.value = lead[d];
    select.addEventListener('change', () => {
      lead[d] = Number(select.value);
      change();
    });
    row.append(look.el('label', {}, dimensionName(t, d), ' ', select,
      look.el('span', { class: 'soft' }, ` of ${look.count(t.shape[d])}`)));
  }
  return row;
}

/* A plane as a matrix of numbers. */
function matrixOf(part, plane, redraws) {
  const entries = Array.from({ length: plane.n }, (_, i) => ({
    row: Math.floor(i / plane.cols),
    col: i % plane.cols,
    v: numbers(part)[plane.start + i],
    title: placeText(plane.place(i))
  }));
  return smallMatrix('', entries, plane.rows, plane.cols, redraws);
}

function partFigure(t, which, lead, width, redraws) {
  const part = t[which], name = which === 'v' ? 'value' : 'gradient';
  const figure = look.el('figure', { class: `map ${which === 'v' ? 'value' : 'gradient'}` },
    look.el('figcaption', {}, name));
  if (!part) {
    figure.append(
      look.el('div', { class: 'none soft' }, t.ints ? 'integers have no gradient' : 'no gradient'));
    return { figure, draw: () => {} };
  }
  const small = planeOf(t, lead);
  if (small.rows < 8 && small.cols < 8 && small.n === small.rows * small.cols) {
    const place = look.el('div', {});
    figure.append(place, ...(elements(t.shape) > 1 ? [figuresOf(part)] : []));
    return { figure, draw: (to) => place.replaceChildren(matrixOf(part, planeOf(t, to), redraws)) };
  }
  const map = heatMap({
    label: `${name} of ${t.name || 'a tensor'}`,
    width,
    rank: t.kept.length,
    tip: (i) => `${name} ${placeText(map.plane.place(i))}\n${
      look.number(numbers(part)[map.plane.start + i], 7)}`,
  });
  figure.append(map.element, figuresOf(part));
  redraws.push(() => map.redraw());
  return { figure, draw: (to) => map.draw(numbers(part), planeOf(t, to)) };
}

function sampleText(t) {
  const parts = t.shape.map(
    (n, d) => (t.kept[d] < n ? `${look.count(t.kept[d])} of ${look.count(n)}` : look.count(n)));
  return `in this file: ${parts.join(' \u00d7 ')}`;
}

/* A tensor: the controls that select a plane, its value and its gradient. redraws: functions to
   call after a change of colours. */
function tensorFigure(t, width, redraws) {
  const lead = t.kept.slice(0, -2).map(() => 0);
  const parts = ['v', 'g'].map((which) => partFigure(t, which, lead, width, redraws));
  const draw = () => parts.forEach((p) => p.draw(lead));
  const choice = picker(t, lead, draw);
  draw();
  return look.el('div', { class: 'tensor' }, choice.childElementCount ? choice : null,
    look.el('div', { class: 'pair' }, ...parts.map((p) => p.figure)),
    isSampled(t) ? look.el('p', { class: 'note' }, sampleText(t)) : null);
}

/* ---- thumbnails ---- */

const THUMB = 48; /* pixels on a side, at most */

/* The first planes of a tensor, up to nine, as one small picture; large ones are subsampled. */
function drawThumb(canvas, t, part) {
  const x = numbers(part), rank = t.kept.length;
  const plane = planeOf(t, t.kept.slice(0, -2).map(() => 0));
  const several = rank < 3 ?
    1 :
    Math.max(1, Math.min(9, elements(t.kept.slice(rank === 4 && !t.param ? 1 : 0, -2))));
  const side = Math.ceil(Math.sqrt(several));
  const rows = Math.min(side * plane.rows, THUMB), cols = Math.min(side * plane.cols, THUMB);
  const values = new Float32Array(rows * cols);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) {
      const r = Math.floor(i * side * plane.rows / rows);
      const c = Math.floor(j * side * plane.cols / cols);
      const at = Math.floor(r / plane.rows) * side + Math.floor(c / plane.cols);
      const inside = r % plane.rows * plane.cols + c % plane.cols;
      if (at < several && inside < plane.n) values[i * cols + j] = x[at * plane.n + inside];
    }
  look.heat(canvas, values, rows, cols, look.stats(values).limit);
}
