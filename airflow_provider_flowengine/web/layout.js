// Where the nodes of a pipeline go: layer by layer, with few crossings and short edges (the layered layout of
// Sugiyama, Tagawa and Toda). Knows nothing of the page.

const SWEEPS = 12;
const isBend = (id) => typeof id === "object"; // where a long edge passes through a layer

/** Lay out a graph.
 *
 * @param nodes [{id, width, height}], in px.
 * @param edges [{from, to}], ids of nodes; those that lead to nowhere, or back, are left out.
 * @param options vertical: layers from top to bottom instead of left to right; along: gap between layers; across: gap
 *   between neighbours in a layer, px.
 * @returns {width, height, places: Map(id -> {x, y}), paths: [{from, to, d, end: [x, y]}]}: top left corners, and SVG
 *   paths with where they end.
 */
export function layout(nodes, edges, { vertical = false, along = 56, across = 20 } = {}) {
  // The sizes along the layers' direction and across it; "along" is x unless vertical.
  const size = new Map(nodes.map((n) => [n.id, vertical ? [n.height, n.width] : [n.width, n.height]]));
  const links = edges.filter(({ from, to }) => size.has(from) && size.has(to));
  const layerOf = layering(nodes, links);
  const { layers, chains } = fill(nodes, links, layerOf, size);
  const neighbours = adjacency(chains);
  order(layers, neighbours);
  const centre = place(layers, chains, neighbours, (id) => size.get(id)?.[1] ?? 0, across);
  return draw({ nodes, layers, chains, layerOf, centre, size, vertical, along });
}

/** Each node's layer: one after the last of those before it, or, where that makes the edges shorter, close to what follows. */
function layering(nodes, links) {
  const before = group(links, "to", "from");
  const after = group(links, "from", "to");
  const layer = new Map();
  const depth = (id, path) => {
    if (layer.has(id) || path.has(id)) return layer.get(id) ?? -1;
    path.add(id);
    const found = 1 + Math.max(-1, ...(before.get(id) ?? []).map((each) => depth(each, path)));
    layer.set(id, found);
    return found;
  };
  for (const { id } of nodes) depth(id, new Set());
  const last = (id) => layer.get(id);
  for (const { id } of [...nodes].sort((one, other) => last(other.id) - last(one.id))) {
    const next = after.get(id) ?? [];
    if (next.length > (before.get(id) ?? []).length) layer.set(id, Math.max(last(id), Math.min(...next.map(last)) - 1));
  }
  return layer;
}

function group(links, by, what) {
  const groups = new Map();
  for (const link of links) groups.set(link[by], [...(groups.get(link[by]) ?? []), link[what]]);
  return groups;
}

/** Layers of ids; an edge that passes through a layer has an id of its own there. */
function fill(nodes, links, layerOf, size) {
  const layers = Array.from({ length: 1 + Math.max(-1, ...layerOf.values()) }, () => []);
  for (const { id } of nodes) layers[layerOf.get(id)].push(id);
  const chains = [];
  for (const { from, to } of links) {
    const [first, last] = [layerOf.get(from), layerOf.get(to)];
    if (first >= last) continue;
    const chain = [from];
    for (let layer = first + 1; layer < last; layer += 1) {
      const bend = { from, to, layer }; // an id that no node has
      size.set(bend, [0, 10]);
      layers[layer].push(bend);
      chain.push(bend);
    }
    chains.push([...chain, to]);
  }
  return { layers, chains };
}

function adjacency(chains) {
  const up = new Map();
  const down = new Map();
  const add = (map, key, value) => map.set(key, [...(map.get(key) ?? []), value]);
  for (const chain of chains)
    for (let i = 1; i < chain.length; i += 1) {
      add(down, chain[i - 1], chain[i]);
      add(up, chain[i], chain[i - 1]);
    }
  return { up, down };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Order each layer by where its neighbours stand, there and back, and keep the order with the fewest crossings. */
function order(layers, { up, down }) {
  let best = layers.map((layer) => [...layer]);
  let fewest = crossings(layers, down);
  for (let sweep = 0; sweep < SWEEPS && fewest; sweep += 1) {
    const there = sweep % 2 === 0;
    const indices = layers.keys();
    for (const i of there ? indices : [...indices].reverse()) {
      const beside = new Map((layers[there ? i - 1 : i + 1] ?? []).map((id, index) => [id, index]));
      const links = there ? up : down;
      const at = new Map(layers[i].map((id, index) => [id, index]));
      const wish = (id) => (links.has(id) ? mean(links.get(id).map((each) => beside.get(each))) : at.get(id));
      const wishes = new Map(layers[i].map((id) => [id, wish(id)]));
      layers[i].sort((one, other) => wishes.get(one) - wishes.get(other) || at.get(one) - at.get(other));
    }
    const count = crossings(layers, down);
    if (count < fewest) [fewest, best] = [count, layers.map((layer) => [...layer])];
  }
  best.forEach((layer, i) => (layers[i] = layer));
}

function crossings(layers, down) {
  let count = 0;
  for (let i = 1; i < layers.length; i += 1) {
    const at = new Map(layers[i].map((id, index) => [id, index]));
    const ends = layers[i - 1].flatMap((id) => (down.get(id) ?? []).map((each) => at.get(each)).sort((a, b) => a - b));
    for (let a = 0; a < ends.length; a += 1) for (let b = a + 1; b < ends.length; b += 1) count += ends[a] > ends[b];
  }
  return count;
}

/** Where the middle of each id is across the layers: as near to its neighbours' mean as order and gaps allow. Long edges
 * weigh more, so that they run straight. */
function place(layers, chains, { up, down }, breadth, gap) {
  const centre = new Map();
  for (const layer of layers) {
    let edge = 0;
    for (const id of layer) {
      centre.set(id, edge + breadth(id) / 2);
      edge += breadth(id) + gap;
    }
  }
  for (let sweep = 0; sweep < SWEEPS * 5; sweep += 1) {
    const indices = [...layers.keys()];
    for (const i of sweep % 2 ? indices.reverse() : indices) {
      const layer = layers[i];
      const wishes = layer.map((id) => {
        // Both sides count in the end, one side at a time before.
        const side = sweep >= SWEEPS ? [...(up.get(id) ?? []), ...(down.get(id) ?? [])] : ((sweep % 2 ? down : up).get(id) ?? []);
        const weights = side.map((each) => (isBend(id) && isBend(each) ? 8 : 1));
        const weight = weights.reduce((sum, each) => sum + each, 0);
        if (!weight) return [centre.get(id), 0.1];
        return [side.reduce((sum, each, n) => sum + centre.get(each) * weights[n], 0) / weight, weight];
      });
      const room = layer.map((id, n) => (n ? (breadth(layer[n - 1]) + breadth(id)) / 2 + gap : 0));
      spread(wishes, room).forEach((at, n) => centre.set(layer[n], at));
    }
  }
  straighten(layers, chains, centre, breadth, gap);
  return centre;
}

/** Let a long edge run in one line where its neighbours leave the room for it. */
function straighten(layers, chains, centre, breadth, gap) {
  const between = new Map();
  for (const layer of layers)
    layer.forEach((id, n) => {
      const away = (other) => (breadth(id) + breadth(other)) / 2 + gap;
      const [above, below] = [layer[n - 1], layer[n + 1]];
      between.set(id, {
        low: () => (n ? centre.get(above) + away(above) : -Infinity),
        high: () => (n < layer.length - 1 ? centre.get(below) - away(below) : Infinity),
      });
    });
  for (const chain of chains) {
    const bends = chain.slice(1, -1);
    const low = Math.max(...bends.map((id) => between.get(id).low()));
    const high = Math.min(...bends.map((id) => between.get(id).high()));
    const at = Math.min(high, Math.max(low, mean(bends.map((id) => centre.get(id)))));
    if (low <= high) bends.forEach((id) => centre.set(id, at));
  }
}

/** The places nearest to the wishes ([place, weight], least squares) with `room` between neighbours: isotonic regression. */
function spread(wishes, room) {
  let offset = 0;
  const offsets = room.map((each) => (offset += each));
  const blocks = []; // what ends up side by side
  const at = ({ sum, weight }) => sum / weight;
  wishes.forEach(([wish, weight], n) => {
    blocks.push({ sum: (wish - offsets[n]) * weight, weight, count: 1 });
    while (blocks.length > 1 && at(blocks.at(-2)) > at(blocks.at(-1))) {
      const merged = blocks.pop();
      for (const [name, value] of Object.entries(merged)) blocks.at(-1)[name] += value;
    }
  });
  return blocks.flatMap((block) => Array(block.count).fill(at(block))).map((each, n) => each + offsets[n]);
}

function draw({ nodes, layers, chains, layerOf, centre, size, vertical, along }) {
  const half = (id, way) => size.get(id)[way] / 2;
  const lengths = layers.map((layer) => Math.max(0, ...layer.map((id) => size.get(id)[0])));
  let edge = -along;
  const middles = lengths.map((length) => (edge += along + length) - length / 2);
  const lowest = Math.min(...[...centre].map(([id, at]) => at - half(id, 1)));
  const highest = Math.max(...[...centre].map(([id, at]) => at + half(id, 1)));
  const across = (id) => centre.get(id) - lowest;
  const point = (a, b) => (vertical ? [b, a] : [a, b]).map((each) => Math.round(each * 10) / 10);

  const corner = (id) => point(middles[layerOf.get(id)] - half(id, 0), across(id) - half(id, 1));
  const places = new Map(nodes.map(({ id }) => [id, corner(id)]).map(([id, [x, y]]) => [id, { x, y }]));

  const paths = chains.map((chain) => {
    const [from, to] = [chain[0], chain.at(-1)];
    const first = layerOf.get(from);
    let at = middles[first] + half(from, 0);
    let d = `M${point(at, across(from)).join(" ")}`;
    for (let n = 1; n < chain.length; n += 1) {
      const [before, here] = [across(chain[n - 1]), across(chain[n])];
      // A bend runs straight through its layer, a node is entered at its edge.
      const reach = chain[n] === to ? half(to, 0) : lengths[first + n] / 2;
      const next = middles[first + n] - reach;
      const turn = (at + next) / 2;
      d += `C${[point(turn, before), point(turn, here), point(next, here)].flat().join(" ")}`;
      at = next + 2 * reach;
      if (chain[n] !== to) d += `L${point(at, here).join(" ")}`;
    }
    return { from, to, d, end: point(middles[first + chain.length - 1] - half(to, 0), across(to)) };
  });
  const [width, height] = nodes.length ? point(edge, highest - lowest) : [0, 0];
  return { width, height, places, paths };
}
