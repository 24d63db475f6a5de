/* graph.js: the layout of the graph: which boxes are visible while some layers are folded, and
   their positions, from top to bottom.

   Invariant: an edge leads from a box to one that comes later in the pass, so that ranks are found
   in one traversal; an edge that leads back, as folding may produce, does not count for ranks.
   Nothing here touches the page. */
'use strict';

/* ---- operations, leaves, layers ---- */

/* The operations with their numbers, the leaves that are boxes of their own, and the layers that
   can be folded. */
function makeGraph(data) {
  const tensors = data.tensors.map((t, index) => ({ ...t, index, uses: [] }));
  const inputs = (op) => op.in.map((use) => ({ ...use, t: tensors[use.t] }));
  const ops = data.operations.map((op, i) =>
    ({ ...op, number: i + 1, y: tensors[op.y], in: inputs(op) }));
  for (const op of ops) for (const use of op.in) use.t.uses.push({ ...use, op });
  const leaves = tensors.filter((t) => !t.number);
  for (const t of leaves) {
    const layer = t.name && t.name.includes('.') ? t.name.slice(0, t.name.lastIndexOf('.')) : '';
    t.chip = t.uses.length === 1 && Boolean(t.param && layer) ||
      (!t.param && !t.name && elements(t.shape) === 1 && t.uses.length > 0);
    t.short =
      t.chip && layer && layer === t.uses[0].op.layer ? t.name.slice(layer.length + 1) : t.name;
  }
  const graph = { tensors, ops, leaves: leaves.filter((t) => !t.chip), groups: new Map() };
  adoptLayers(graph);
  makeGroups(graph);
  return graph;
}

const elements = (shape) => shape.reduce((n, size) => n * size, 1);

const above = (path) => (path.includes('.') ? path.slice(0, path.lastIndexOf('.')) : '');

/* An operation without a layer of its own, such as the addition of a shortcut, belongs to a block
   if everything that uses its result does. */
function adoptLayers(graph) {
  const blocks = new Set(graph.ops.map((op) => above(op.layer)).filter(Boolean));
  for (const op of [...graph.ops].reverse()) {
    if (op.layer || !op.y.uses.length) continue;
    let path = op.y.uses[0].op.layer;
    while (path &&
      !(blocks.has(path) && op.y.uses.every((use) => `${use.op.layer}.`.startsWith(`${path}.`))))
      path = above(path);
    op.layer = path;
  }
}

function makeGroups(graph) {
  for (const op of graph.ops)
    for (let path = op.layer; path; path = above(path)) {
      if (!graph.groups.has(path)) graph.groups.set(path, { path, ops: new Set(), folded: false });
      graph.groups.get(path).ops.add(op);
    }
  for (const [path, group] of [...graph.groups]) if (group.ops.size < 2) graph.groups.delete(path);
  for (const group of graph.groups.values()) {
    let path = above(group.path);
    while (path && !graph.groups.has(path)) path = above(path);
    group.parent = graph.groups.get(path) || null;
    group.depth = 1;
    for (let g = group.parent; g; g = g.parent) group.depth++;
    group.name = group.parent ? group.path.slice(group.parent.path.length + 1) : group.path;
  }
}

/* The innermost layer that can be folded around an operation. */
function groupOf(graph, op) {
  let path = op.layer;
  while (path && !graph.groups.has(path)) path = above(path);
  return graph.groups.get(path) || null;
}

/* ---- visible boxes ---- */

/* The box that shows an operation: its own, or that of the outermost folded layer around it. */
function boxKey(graph, op) {
  let key = `o${op.number}`;
  for (let group = groupOf(graph, op); group; group = group.parent)
    if (group.folded) key = `g${group.path}`;
  return key;
}

function visible(graph) {
  const boxes = new Map(), edges = new Map();
  const add = (key, about) => {
    if (!boxes.has(key)) boxes.set(key, { key, ops: [], ...about });
    return boxes.get(key);
  };
  const connect = (from, to, use) => {
    if (from === to) return;
    const key = `${from.key}>${to.key}`;
    if (!edges.has(key)) edges.set(key, { key, from, to, uses: [] });
    edges.get(key).uses.push(use);
  };
  for (const op of graph.ops) {
    const key = boxKey(graph, op);
    op.box = add(key, key[0] === 'g' ? { group: graph.groups.get(key.slice(1)) } : { op });
    op.box.ops.push(op);
    for (const use of op.in) {
      if (use.t.number) connect(graph.ops[use.t.number - 1].box, op.box, { op, ...use });
      else if (!use.t.chip)
        connect((use.t.box = add(`t${use.t.index}`, { leaf: use.t })), op.box, { op, ...use });
    }
  }
  for (const t of graph.leaves) if (!t.uses.length) t.box = add(`t${t.index}`, { leaf: t });
  return { boxes: [...boxes.values()], edges: [...edges.values()] };
}

/* ---- positions ---- */

const BOX = { width: 218, op: 54, chips: 20, leaf: 40, gap: 26, between: 30, label: 20, pad: 10 };

function boxHeight(box) {
  if (box.leaf) return BOX.leaf;
  return BOX.op + (box.op && box.op.in.some((use) => use.t.chip) ? BOX.chips : 0);
}

function findRanks(boxes, edges) {
  boxes.forEach(
    (box, order) => Object.assign(box,
      {order: box.leaf ? -1 : order, rank: 0, ins: [], outs: [], w: BOX.width, h: boxHeight(box)}));
  for (const e of edges) {
    e.back = e.from.order >= e.to.order;
    if (!e.back) {
      e.from.outs.push(e);
      e.to.ins.push(e);
    }
  }
  for (const box of boxes) for (const e of box.ins) box.rank = Math.max(box.rank, e.from.rank + 1);
  for (const box of boxes)
    if (box.leaf && box.outs.length) box.rank = Math.min(...box.outs.map((e) => e.to.rank)) - 1;
}

/* An edge over several ranks passes through a point in each of them, beside the boxes. */
function fillRanks(boxes, edges) {
  const ranks = [];
  const put = (node) => ((ranks[node.rank] = ranks[node.rank] || []).push(node), node);
  const link = (a, b, weight) => {
    a.down.push({ node: b, weight });
    b.up.push({ node: a, weight });
  };
  for (const box of boxes) put(Object.assign(box, { up: [], down: [] }));
  const long = edges.reduce((n, e) => n + Math.max(0, e.to.rank - e.from.rank - 1), 0);
  for (const e of edges) {
    e.points = [];
    if (e.back) continue;
    let last = e.from;
    for (let rank = e.from.rank + 1; rank < e.to.rank && long < 20000; rank++) {
      const point = put({ rank, w: 14, h: 0, up: [], down: [], order: e.from.order });
      link(last, point, last === e.from ? 1 : 6);
      e.points.push((last = point));
    }
    link(last, e.to, 2);
  }
  return ranks;
}

const mean = (links) => links.reduce((sum, l) => sum + l.weight * l.node.x, 0) /
  links.reduce((sum, l) => sum + l.weight, 0);

/* One box per rank, along the longest path to the last: they are vertically aligned, and the others
   stand around them. */
function findTrunk(ranks) {
  const inRank = (links, rank) =>
    links.map((l) => l.node).filter((node) => node.rank === rank && node.key);
  let node =
    ranks[ranks.length - 1].reduce((a, b) => (b.key && (!a || b.order > a.order) ? b : a), null);
  while (node) {
    node.trunk = true;
    node = inRank(node.up, node.rank - 1).reduce((a, b) => (!a || b.order > a.order ? b : a), null);
  }
}

/* Moves each node of a rank to its preferred position, or as near to it as its neighbours on the
   side of the trunk allow. */
function settle(rank, wish) {
  const fixed = Math.max(0, rank.findIndex((node) => node.trunk));
  const apart = (i) => (rank[i - 1].w + rank[i].w) / 2 + BOX.gap;
  rank[fixed].x = rank[fixed].trunk ? 0 : wish(rank[fixed]);
  for (let i = fixed + 1; i < rank.length; i++)
    rank[i].x = Math.max(wish(rank[i]), rank[i - 1].x + apart(i));
  for (let i = fixed - 1; i >= 0; i--)
    rank[i].x = Math.min(wish(rank[i]), rank[i + 1].x - apart(i + 1));
}

function findColumns(ranks) {
  findTrunk(ranks);
  for (const rank of ranks) {
    rank.sort((a, b) => a.order - b.order);
    settle(rank, () => 0);
  }
  for (let sweep = 0; sweep < 12; sweep++) {
    const down = sweep % 2 === 0;
    for (const rank of down ? ranks : [...ranks].reverse()) {
      const wish = (node) => {
        if (sweep > 7 && !node.key && !node.up[0].node.trunk) return node.up[0].node.x;
        const links = sweep > 7 ? [...node.up, ...node.down] : down ? node.up : node.down;
        return links.length ? mean(links) : node.x;
      };
      if (sweep < 6) {
        for (const node of rank) node.wish = node.trunk ? 0 : wish(node);
        rank.sort((a, b) => a.wish - b.wish || a.order - b.order);
      }
      settle(rank, wish);
    }
  }
}

/* The open layers with their boxes, outermost first; each needs space for its name above its first
   rank, and a margin below its last. */
function findFrames(graph, boxes) {
  const frames = [];
  for (const group of graph.groups.values()) {
    const inside = boxes.filter((box) => !box.leaf && (box.op || box.group !== group) &&
        box.ops.every((op) => group.ops.has(op)));
    let open = !group.folded;
    for (let g = group.parent; g; g = g.parent) open = open && !g.folded;
    if (!open || !inside.length) continue;
    const edges = new Set(inside.flatMap((box) => box.ins));
    frames.push({
      group,
      inside,
      edges,
      first: Math.min(...inside.map((b) => b.rank)),
      last: Math.max(...inside.map((b) => b.rank))
    });
  }
  for (const f of frames)
    f.height = 1 +
      Math.max(0, ...frames.filter((g) => inFrame(g, f)).map((g) => g.group.depth - f.group.depth));
  return frames.sort((a, b) => a.group.depth - b.group.depth);
}

function inFrame(inner, outer) {
  for (let g = inner.group.parent; g; g = g.parent) if (g === outer.group) return true;
  return false;
}

function placeRows(ranks, frames) {
  let y = 0;
  ranks.forEach((rank, r) => {
    const starting = frames.filter((f) => f.first === r);
    const ending = frames.filter((f) => f.last === r);
    y += Math.max(0, ...starting.map((f) => f.height)) * (BOX.label + 4);
    const h = Math.max(...rank.map((node) => node.h));
    for (const node of rank) node.y = y + (h - node.h) / 2;
    y += h + BOX.between + Math.max(0, ...ending.map((f) => f.height)) * 8;
  });
  return y - BOX.between;
}

function frameBox(f) {
  const pad = BOX.pad * f.height, top = Math.min(...f.inside.map((b) => b.y));
  const bottom = Math.max(...f.inside.map((b) => b.y + b.h));
  const points =
    [...f.edges].flatMap((e) => e.points).filter((p) => p.rank >= f.first && p.rank <= f.last);
  const wide = [...f.inside, ...points];
  const left = Math.min(...wide.map((b) => b.x - b.w / 2));
  const right = Math.max(...wide.map((b) => b.x + b.w / 2));
  Object.assign(
    f, { x: left - pad, y: top - f.height * (BOX.label + 4) + 4, w: right - left + 2 * pad, h: 0 });
  f.h = bottom + f.height * 8 - f.y;
}

/* A line through the points of an edge: straight along its ranks, curved between them. */
function edgePath(e) {
  const points = [[e.from.x, e.from.y + e.from.h]];
  for (const p of e.points) points.push([p.x, p.y - 8], [p.x, p.y + p.h + 8]);
  points.push([e.to.x, e.to.y - 5]);
  let d = `M${points[0].map(Math.round)}`;
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1], [x1, y1] = points[i], bend = (y1 - y0) / 2;
    const curve = [[x0, y0 + bend], [x1, y1 - bend], [x1, y1]].map((p) => p.map(Math.round));
    d += x0 === x1 ? `L${curve[2]}` : `C${curve.join(' ')}`;
  }
  return d;
}

/* Boxes with x (middle), y (top), w, h; edges with their path; frames; and the size of it all, from
   0 on. */
function layOut(graph) {
  const { boxes, edges } = visible(graph);
  findRanks(boxes, edges);
  const ranks = fillRanks(boxes, edges).filter(Boolean);
  findColumns(ranks);
  const frames = findFrames(graph, boxes), height = placeRows(ranks, frames);
  frames.forEach(frameBox);
  const left = Math.min(...boxes.map((b) => b.x - b.w / 2), ...frames.map((f) => f.x));
  const right = Math.max(...boxes.map((b) => b.x + b.w / 2), ...frames.map((f) => f.x + f.w));
  for (const node of ranks.flat()) node.x -= left;
  for (const f of frames) f.x -= left;
  for (const e of edges) e.path = edgePath(e);
  return {
    boxes,
    edges,
    frames,
    width: right - left,
    height: Math.max(height, ...frames.map((f) => f.y + f.h))
  };
}
