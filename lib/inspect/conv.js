/* conv.js: the three convolutions of a conv2d, product by product.

   All three sum products of T(x, k, G) = sum of G[n,f,i,j] x[n,c,h,w] k[f,c,p,q] with h = S i + D p
   - P: (33) those of an output, (34) those of an input, (35) those of a kernel entry. Invariant: a
   sum consists of the products of which the page holds both factors, and of one rest, which the
   library added up from the others; the value that the run computed stands beside the sum and is
   never used for it. */
'use strict';

/* ---- the sums ---- */

const acts = {
  relu: { of: (z) => Math.max(z, 0), gate: (y) => (y > 0 ? 1 : 0) },
  sigmoid: { of: (z) => 1 / (1 + Math.exp(-z)), gate: (y) => y * (1 - y) },
  tanh: { of: Math.tanh, gate: (y) => 1 - y * y },
};

/* A convolution with what its sums need; sizes by the letters of docs/convolution.md. */
function makeConv(op) {
  const about = Object.assign(op.conv, op.attributes), act = acts[about.act];
  const [x, k, b] = op.in.map((use) => use.t), y = op.y;
  const [, C, H, W] = x.shape, [F, CG, KH, KW] = k.shape, [, , OH, OW] = y.shape;
  const [SH, SW] = about.stride, [DH, DW] = about.dilation, [PH, PW] = about.padding;
  const lazy = (name) => {
    if (typeof about[name] === 'string') about[name] = look.reals(about[name]);
    return about[name];
  };
  const X = numbers(x.v), K = numbers(k.v), Y = numbers(y.v), FG = F / about.groups;
  const conv = { op, about, x, k, b, y, act, C, H, W, F, CG, FG, KH, KW, OH, OW, X, K, Y };
  conv.G = Float32Array.from(numbers(y.g), (g, i) => (act ? g * act.gate(Y[i]) : g));
  conv.gX = lazy('gx') || (x.g && numbers(x.g)) || null;
  conv.gK = lazy('gk') || (k.g && numbers(k.g)) || null;
  conv.group = (f) => Math.floor(f / FG);
  conv.row = (i, p) => SH * i + DH * p - PH;
  conv.col = (j, q) => SW * j + DW * q - PW;
  conv.outRow = (h, p) => (h + PH - DH * p) / SH; /* an integer where there is one */
  conv.outCol = (w, q) => (w + PW - DW * q) / SW;
  conv.rest = (of, t, place) => {
    const rest = lazy(`rest${of}`);
    return rest ? rest[offsetIn(t.kept, place)] : null;
  };
  return conv;
}

const isHeld = (t, place) => place.every((index, d) => index < t.kept[d]);

const isInside = (h, w, H, W) => h >= 0 && h < H && w >= 0 && w < W;

const beginSum = (conv, of, t, place) => ({ of, place, groups: [], rest: conv.rest(of, t, place) });

/* Completes a sum whose products are grouped by channel, filter or image. */
function finishSum(sum, value) {
  const magnitude = (g) => g.terms.reduce((m, t) => m + Math.abs(t.a * t.b), 0);
  sum.groups = sum.groups.filter((g) => g.terms.length);
  for (const g of sum.groups) g.sum = g.terms.reduce((s, t) => s + t.a * t.b, 0);
  sum.count = sum.groups.reduce((n, g) => n + g.terms.length, 0);
  sum.products = sum.groups.reduce((s, g) => s + g.sum, 0);
  sum.size = sum.groups.reduce((s, g) => s + magnitude(g), 0) + Math.abs(sum.rest || 0);
  sum.total = sum.products + (sum.rest || 0);
  sum.value = value;
  return sum;
}

/* An output (33). */
function sumY(conv, n, f, i, j) {
  const { x, k, y, b: bias, act, CG, KH, KW } = conv;
  const sum = beginSum(conv, 'Y', y, [n, f, i, j]);
  for (let c = 0; c < CG; c++) {
    const g = { index: conv.group(f) * CG + c, terms: [] };
    for (let p = 0; p < KH; p++)
      for (let q = 0; q < KW; q++) {
        const h = conv.row(i, p), w = conv.col(j, q), from = [n, g.index, h, w];
        const entry = [f, c, p, q];
        if (!isInside(h, w, conv.H, conv.W) || !isHeld(x, from) || !isHeld(k, entry)) continue;
        const a = conv.X[offsetIn(x.kept, from)], b = conv.K[offsetIn(k.kept, entry)];
        g.terms.push({ p, q, h, w, a, b });
      }
    sum.groups.push(g);
  }
  finishSum(sum, conv.Y[offsetIn(y.kept, sum.place)]);
  sum.bias = bias ? (f < bias.kept[0] ? numbers(bias.v)[f] : NaN) : null;
  sum.before = sum.total + (sum.bias || 0);
  sum.size += Math.abs(sum.bias || 0);
  sum.total = act ? act.of(sum.before) : sum.before;
  return sum;
}

/* The gradient of an input (34). */
function sumX(conv, n, c, h, w) {
  const { x, k, y, CG, FG, KH, KW } = conv, sum = beginSum(conv, 'X', x, [n, c, h, w]);
  const group = Math.floor(c / CG);
  for (let f = group * FG; f < (group + 1) * FG; f++) {
    const g = { index: f, terms: [] };
    for (let p = 0; p < KH; p++)
      for (let q = 0; q < KW; q++) {
        const i = conv.outRow(h, p), j = conv.outCol(w, q), to = [n, f, i, j];
        const entry = [f, c % CG, p, q];
        if (!Number.isInteger(i) || !Number.isInteger(j)) continue;
        if (!isInside(i, j, conv.OH, conv.OW) || !isHeld(y, to) || !isHeld(k, entry)) continue;
        const a = conv.K[offsetIn(k.kept, entry)], b = conv.G[offsetIn(y.kept, to)];
        g.terms.push({ p, q, i, j, a, b });
      }
    sum.groups.push(g);
  }
  return finishSum(sum, conv.gX ? conv.gX[offsetIn(x.kept, sum.place)] : null);
}

/* The gradient of a kernel entry (35). */
function sumK(conv, f, c, p, q) {
  const { x, k, y, OH, OW } = conv, sum = beginSum(conv, 'K', k, [f, c, p, q]);
  const channel = conv.group(f) * conv.CG + c;
  for (let n = 0; n < Math.min(x.kept[0], y.kept[0]); n++) {
    const g = { index: n, terms: [] };
    for (let i = 0; i < OH; i++)
      for (let j = 0; j < OW; j++) {
        const h = conv.row(i, p), w = conv.col(j, q), from = [n, channel, h, w];
        const to = [n, f, i, j];
        if (!isInside(h, w, conv.H, conv.W) || !isHeld(x, from) || !isHeld(y, to)) continue;
        const a = conv.X[offsetIn(x.kept, from)], b = conv.G[offsetIn(y.kept, to)];
        g.terms.push({ i, j, h, w, a, b });
      }
    sum.groups.push(g);
  }
  return finishSum(sum, conv.gK ? conv.gK[offsetIn(k.kept, sum.place)] : null);
}

/* ---- a sum as text and matrices ---- */

const words = {
  Y: {
    number: '(33)', name: 'Y', group: 'channel', key: 'c', a: 'X, input patch', b: 'K, kernel',
    what: 'an output is the sum of the products of an input patch and the kernel, over all ' +
      'channels (cross-correlation)',
  },
  X: {
    number: '(34)', name: 'gX', group: 'filter', key: 'f', a: 'K, kernel', b: 'G, output gradient',
    what: 'an input contributes to several outputs; its gradient is the sum of their gradients ' +
      'times the kernel entries that lead there, over all filters',
  },
  K: {
    number: '(35)', name: 'gK', group: 'image', key: 'n', a: 'X, input', b: 'G, output gradient',
    what: 'a kernel entry is multiplied by one input for every output; its gradient is the sum ' +
      'of these inputs times the output gradients, over all images',
  },
};

function sumMatrices(conv, sum, group, redraws) {
  const large = sum.of === 'K', rows = large ? conv.OH : conv.KH, cols = large ? conv.OW : conv.KW;
  const w = words[sum.of];
  const at = (t) => (large ? { row: t.i, col: t.j } : { row: t.p, col: t.q });
  const terms = group ? group.terms : [];
  const name = {
    Y: (t) => [`x[${t.h}, ${t.w}]`, `k[${t.p}, ${t.q}]`],
    X: (t) => [`k[${t.p}, ${t.q}]`, `G[${t.i}, ${t.j}]`],
    K: (t) => [`x[${t.h}, ${t.w}]`, `G[${t.i}, ${t.j}]`]
  }[sum.of];
  const list = (v, title) => terms.map((t) => ({ ...at(t), v: v(t), title: title(t) }));
  const sign = (s) => look.el('span', { class: 'sign' }, s);
  const products =
    smallMatrix('products', list((t) => t.a * t.b, (t) => name(t).join(' ')), rows, cols, redraws);
  products.classList.add('products');
  return [
    look.el('div', { class: 'smalls' },
      smallMatrix(w.a, list((t) => t.a, (t) => name(t)[0]), rows, cols, redraws), sign('\u00d7'),
      smallMatrix(w.b, list((t) => t.b, (t) => name(t)[1]), rows, cols, redraws)),
    look.el('div', { class: 'smalls' }, sign('='), products)
  ];
}

function sumGroups(sum, group, choose) {
  const w = words[sum.of], limit = Math.max(...sum.groups.map((g) => Math.abs(g.sum)), 0);
  const list = look.el('div', { class: 'groups number' });
  for (const g of sum.groups) {
    const button = look.el('button', {
      class: g === group ? 'chosen' : null,
      title: `${w.group} ${g.index}: ${look.number(g.sum, 7)}`,
      onclick: () => choose(g.index)
    },
      look.el('i', { style: { background: look.colour(g.sum, limit) } }),
      look.el('span', { class: 'soft' }, `${w.key}\u2009=\u2009${g.index}`),
      look.el('span', {}, look.number(g.sum, 3)));
    button.dataset.v = g.sum;
    list.append(button);
  }
  return list;
}

/* What of a sum is not in the page, in words. */
function restText(conv, sum) {
  const missing = (name, all, ...held) =>
    (Math.min(...held) < all ? `${look.count(all - Math.min(...held))} more ${name}` : null);
  const { x, k, y } = conv;
  const parts = {
    Y: [conv.about.groups === 1 ?
        missing('channels', conv.CG, x.kept[1], k.kept[1]) :
        sum.groups.length < conv.CG && `${conv.CG - sum.groups.length} more channels`],
    X: [conv.about.groups === 1 ?
        missing('filters', conv.F, y.kept[1], k.kept[0]) :
        sum.groups.length < conv.FG && `${conv.FG - sum.groups.length} more filters`],
    K: [missing('images', x.shape[0], x.kept[0], y.kept[0])],
  }[sum.of];
  if (x.kept[2] < x.shape[2] || x.kept[3] < x.shape[3] || y.kept[2] < y.shape[2] ||
    k.kept[2] < k.shape[2])
    parts.push('pixels outside the sample');
  return parts.filter(Boolean).join(', ') || 'values that are not in this file';
}

function sumTotals(conv, sum) {
  const table = look.el('div', { class: 'totals number' }), w = words[sum.of];
  const line = (name, x, about = '') => table.append(look.el('span', { class: about }, name),
    look.el('span', { class: `${about} x` }, look.number(x, 6)));
  line(`${look.count(sum.count)} product${sum.count === 1 ? '' : 's'}`, sum.products);
  if (sum.rest !== null) line(`+ ${restText(conv, sum)}, summed by the library`, sum.rest);
  if (sum.of === 'Y' && sum.bias !== null) line(`+ bias b[${sum.place[1]}]`, sum.bias);
  if (sum.of === 'Y' && conv.act) line('= before the activation', sum.before);
  line(sum.of === 'Y' && conv.act ? `${conv.about.act} of that` : '= total', sum.total, 'all');
  if (sum.value === null) {
    table.append(
      look.el('span', { class: 'soft wide' }, `the run did not compute ${w.name}: not needed`));
    return table;
  }
  const good = Math.abs(sum.total - sum.value) <= 2e-5 * sum.size + 1e-30 ||
    (Number.isNaN(sum.total) && Number.isNaN(sum.value));
  table.append(look.el('span', { class: 'run' }, `${w.name} of the run`),
    look.el('span', { class: 'run x' }, look.number(sum.value, 6)),
    look.el('span', { class: `wide ${good ? 'good' : 'bad'}` },
      good ? '\u2713 equal, up to rounding' :
             `differs by ${look.number(sum.total - sum.value, 3)}`));
  return table;
}

/* One line per tensor. */
function factsOf(parts) {
  const row = (name, about, ...cells) => look.el(
    'tr', { class: about }, look.el('th', {}, name), ...cells.map((c) => look.el('td', {}, c)));
  return look.el('table', { class: 'facts' }, row('', '', 'min', 'mean', 'max', 'norm'),
    ...parts.filter(([, part]) => part)
      .map(([name, part, about]) => row(
             name, about, ...['min', 'mean', 'max', 'norm'].map((key) => look.number(part[key])))));
}

/* ---- the six maps and the sum under them ---- */

/* at: the chosen image n, filter f and channel c. The positions of elements of the planes they
   choose, and the group of a sum's products that is shown. */
const placeX = (at, h, w) => [at.n, at.c, h, w];
const placeK = (conv, at, p, q) => [at.f, at.c % conv.CG, p, q];
const placeY = (at, i, j) => [at.n, at.f, i, j];
const groupAt = (at, sum) => {
  const index = { Y: at.c, X: at.f, K: at.n }[sum.of];
  return sum.groups.find((g) => g.index === index);
};

/* The six maps; point(of, row, col) and pin() are called as the pointer says. */
function sixMaps(conv, at, width, redraws, { point, pin }) {
  const { x, k, y } = conv, maps = {};
  const value = (name, array, t, place) => `${name}[${place.join(', ')}]\n${
    array ? look.number(array[offsetIn(t.kept, place)], 7) : 'not computed'}`;
  const map = (key, of, label, tip) => {
    const cell = (f) => (i) => f(Math.floor(i / m.plane.cols), i % m.plane.cols);
    const onPoint = cell((row, col) => point(of, row, col));
    const m = heatMap({ label, width, rank: 4, tip: cell(tip), point: onPoint });
    m.canvas.dataset.map = key;
    m.canvas.addEventListener('click', pin);
    redraws.push(() => m.redraw && m.redraw());
    maps[key] = m;
  };
  map('X', 'X', 'input X', (h, w) => value('X', conv.X, x, placeX(at, h, w)));
  map('gX', 'X', 'gradient of the input', (h, w) => value('gX', conv.gX, x, placeX(at, h, w)));
  map('K', 'K', 'kernel K', (p, q) => value('K', conv.K, k, placeK(conv, at, p, q)));
  map('gK', 'K', 'gradient of the kernel',
    (p, q) => value('gK', conv.gK, k, placeK(conv, at, p, q)));
  map('Y', 'Y', 'output Y', (i, j) => value('Y', conv.Y, y, placeY(at, i, j)));
  map('G', 'Y', 'gradient G of the sums', (i, j) => {
    const place = placeY(at, i, j), G = value('G', conv.G, y, place);
    return conv.act ? `${G}\n${value('gY', numbers(y.g), y, place)}` : G;
  });
  return maps;
}

function drawPlanes(conv, at, maps) {
  const draw = (key, array, t, lead) => {
    const m = maps[key], plane = planeOf(t, lead);
    m.element.parentElement.classList.toggle('missing', !array);
    m.draw(array || new Float32Array(plane.start + plane.n), plane);
  };
  const { x, k, y } = conv, ofX = [at.n, at.c], ofK = [at.f, at.c % conv.CG], ofY = [at.n, at.f];
  draw('X', conv.X, x, ofX);
  draw('gX', conv.gX, x, ofX);
  draw('K', conv.K, k, ofK);
  draw('gK', conv.gK, k, ofK);
  draw('Y', conv.Y, y, ofY);
  draw('G', conv.G, y, ofY);
}

/* Marks, in the six maps, the number itself and everything that takes part in its sum. */
function markSum(maps, sum, group) {
  const marks = { X: [], gX: [], K: [], gK: [], Y: [], G: [] }, [row, col] = sum.place.slice(2);
  const own = { Y: ['Y', 'G'], X: ['X', 'gX'], K: ['K', 'gK'] }[sum.of];
  for (const key of own) marks[key].push([row, col, 'own']);
  for (const t of sum.of === 'K' || !group ? [] : group.terms) {
    if (sum.of === 'Y') marks.X.push([t.h, t.w]);
    else marks.G.push([t.i, t.j]);
    marks.K.push([t.p, t.q]);
  }
  if (sum.of === 'K' && group && group.terms.length) {
    const first = group.terms[0], last = group.terms[group.terms.length - 1];
    marks.X.push([first.h, first.w, 'area', last.h - first.h + 1, last.w - first.w + 1]);
    marks.G.push([first.i, first.j, 'area', last.i - first.i + 1, last.j - first.j + 1]);
  }
  for (const key of Object.keys(marks)) maps[key].mark(marks[key]);
}

const pinText = (pinned) => (pinned ? 'Pinned. Click a map to unpin.' : 'Click to pin.');

/* The text and the matrices of a sum; choose(index) selects another group of its products. */
function sumParts(conv, sum, group, pinned, choose) {
  const w = words[sum.of], name = { Y: 'n,f,i,j', X: 'n,c,h,w', K: 'f,c,p,q' }[sum.of];
  const count = group && `${w.group} ${group.index}, one of ${sum.groups.length}`;
  return [
    look.el('h3', {}, look.el('b', { class: 'badge' }, w.number),
      ` ${w.name}[${sum.place.join(', ')}]`,
      look.el('span', { class: 'soft' }, ` = ${w.name}[${name}]: ${w.what}`)),
    ...sumMatrices(conv, sum, group, []),
    look.el('p', { class: 'note' },
      group ? `${count}; the contribution of each:` : 'no product of this sum is in this file'),
    sumGroups(sum, group, choose),
    sumTotals(conv, sum),
    look.el('p', { class: 'note pin' }, pinText(pinned)),
  ];
}

/* Controls for the indices of planes that are in the page; with groups, channel and filter depend
   on each other. */
function planePicker(conv, at, change) {
  const { x, k, y } = conv, selects = {};
  const fitChannel = () => {
    const inGroup = Math.min(at.c % conv.CG, k.kept[1] - 1);
    at.c = Math.min(conv.group(at.f) * conv.CG + inGroup, x.kept[1] - 1);
  };
  const fitFilter = () => {
    const group = Math.floor(at.c / conv.CG);
    if (conv.group(at.f) !== group) at.f = Math.min(group * conv.FG, k.kept[0] - 1, y.kept[1] - 1);
    fitChannel();
  };
  const choose = (key, name, n, of, fit) => {
    const select = look.el('select', { 'aria-label': name });
    for (let i = 0; i < n; i++) select.append(look.el('option', { value: i }, String(i)));
    select.addEventListener('change', () => {
      at[key] = Number(select.value);
      fit();
      change();
    });
    selects[key] = select;
    return look.el('label', {}, `${name} ${key} `, select,
      look.el('span', { class: 'soft' }, ` of ${look.count(of)}`));
  };
  const element = look.el('div', { class: 'picker' },
    choose('n', 'image', Math.min(x.kept[0], y.kept[0]), x.shape[0], () => {}),
    choose('f', 'filter', Math.min(k.kept[0], y.kept[1]), conv.F, fitChannel),
    choose('c', 'channel', x.kept[1], conv.C, fitFilter));
  const show = () => { for (const key of Object.keys(selects)) selects[key].value = at[key]; };
  fitChannel();
  return { element, show };
}

function sixFigures(conv, maps) {
  const number = (text) => look.el('b', { class: 'badge' }, text);
  const gate = conv.act ? ` \u00b7 ${conv.about.act}\u2032` : '';
  const cell = (key, about, ...caption) => {
    const heading = look.el('figcaption', {}, ...caption);
    const figure = look.el('figure', { class: `map ${about}` }, heading, maps[key].element);
    if (key === 'gX' || key === 'gK')
      figure.append(look.el('p', { class: 'none soft' }, 'not computed: not needed'));
    return figure;
  };
  return look.el('div', { class: 'six' },
    cell('X', 'value', 'X, the input'), cell('gX', 'gradient', 'gX ', number('(34)')),
    cell('K', 'value', 'K, the kernel'), cell('gK', 'gradient', 'gK ', number('(35)')),
    cell('Y', 'value', 'Y ', number('(33)')), cell('G', 'gradient', `G = gY${gate}`));
}

/* The place in a plane of the largest of the outputs whose patch is in the page. */
function largestOutput(conv, plane) {
  const size = (i) => Math.abs(conv.Y[plane.start + i]);
  let best = 0;
  for (let i = 0; i < plane.n; i++) {
    const h = conv.row(Math.floor(i / plane.cols), conv.KH - 1);
    const w = conv.col(i % plane.cols, conv.KW - 1);
    if (h < conv.x.kept[2] && w < conv.x.kept[3] && size(i) > size(best)) best = i;
  }
  return best;
}

function convSection(op, redraws, width) {
  const conv = makeConv(op), { x, k, y } = conv, at = { n: 0, f: 0, c: 0 };
  const pane = look.el('div', { id: 'sum', class: 'sum' });
  let shown = null, pinned = false;

  function point(of, row, col) {
    shown = { of, row, col };
    const sum = of === 'Y' ? sumY(conv, ...placeY(at, row, col)) :
      of === 'X' ? sumX(conv, ...placeX(at, row, col)) :
      sumK(conv, ...placeK(conv, at, row, col));
    const group = groupAt(at, sum), open = group || sum.groups[0];
    const choose = (index) => {
      at[words[of].key] = index;
      change();
    };
    pane.replaceChildren(...sumParts(conv, sum, open, pinned, choose));
    Object.assign(pane, { sum, group: open });
    markSum(maps, sum, group);
  }

  const maps = sixMaps(conv, at, width, redraws, {
    point: (of, row, col) => pinned || point(of, row, col),
    pin: () => {
      pinned = !pinned;
      pane.classList.toggle('pinned', pinned);
      pane.querySelector('.pin').textContent = pinText(pinned);
    },
  });
  const picker = planePicker(conv, at, () => change());
  function change() {
    picker.show();
    drawPlanes(conv, at, maps);
    if (shown) point(shown.of, shown.row, shown.col);
  }

  const section = look.el('div', { class: 'conv' }, picker.element,
    look.el('div', { class: 'work' }, sixFigures(conv, maps), pane),
    factsOf([
      ['X', x.v, 'value'], ['gX', x.g, 'gradient'], ['K', k.v, 'value'], ['gK', k.g, 'gradient'],
      ['Y', y.v, 'value'], ['gY', y.g, 'gradient'],
    ]));
  change();
  redraws.push(() => point(shown.of, shown.row, shown.col));
  const { plane } = maps.Y, best = largestOutput(conv, plane);
  point('Y', Math.floor(best / plane.cols), best % plane.cols);
  return section;
}
