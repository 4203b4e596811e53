// The points of a map: how they come, which is nearest to a place, which lie within a line. Knows numbers only.

const HEAD_AT = 8;
const CELLS = 256;

/** Reads the format of `/api/datasets/…/map`: a head in JSON, then all x, all y, and the rows if some were left out. */
export function readPoints(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0, false) !== 0x454d4150) throw new Error("This is no map.");
  const length = view.getUint32(4, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, HEAD_AT, length)));
  const count = head.points;
  const begin = HEAD_AT + length;
  const x = new Float32Array(buffer, begin, count);
  const y = new Float32Array(buffer, begin + 4 * count, count);
  const rows = head.sampled ? new Uint32Array(buffer, begin + 8 * count, count) : undefined;
  return new Points(head, x, y, rows);
}

export class Points {
  #starts;
  #members;
  #places;

  constructor(head, x, y, rows) {
    this.head = head;
    this.count = x.length;
    this.x = x;
    this.y = y;
    this.rows = rows;
    this.#sort();
  }

  /** The number of the row that a point stands for. */
  row(point) {
    return this.rows ? this.rows[point] : point;
  }

  /** The point that stands for a row; undefined if it was left out. */
  point(row) {
    if (!this.rows) return row < this.count ? row : undefined;
    this.#places ??= new Map(Array.from(this.rows, (each, point) => [each, point]));
    return this.#places.get(row);
  }

  /** The point nearest to a place, no farther than `radius`; undefined if there is none. */
  nearest(x, y, radius) {
    let found;
    let best = radius * radius;
    for (const point of this.#around(x - radius, y - radius, x + radius, y + radius)) {
      const distance = (this.x[point] - x) ** 2 + (this.y[point] - y) ** 2;
      if (distance <= best) [found, best] = [point, distance];
    }
    return found;
  }

  /** The points inside a line of `[x, y]` that is thought closed. */
  within(line) {
    const xs = line.map(([x]) => x);
    const ys = line.map(([, y]) => y);
    const [left, right] = [Math.min(...xs), Math.max(...xs)];
    const [low, high] = [Math.min(...ys), Math.max(...ys)];
    const found = [];
    for (const point of this.#around(left, low, right, high)) {
      const [x, y] = [this.x[point], this.y[point]];
      if (x >= left && x <= right && y >= low && y <= high && isInside(x, y, line)) found.push(point);
    }
    return found.sort((one, other) => one - other);
  }

  *#around(left, low, right, high) {
    for (let row = cell(low); row <= cell(high); row++) {
      for (let column = cell(left); column <= cell(right); column++) {
        const at = row * CELLS + column;
        for (let place = this.#starts[at]; place < this.#starts[at + 1]; place++) yield this.#members[place];
      }
    }
  }

  /** Sorts points into cells, so that nobody has to look at all of them. */
  #sort() {
    const at = new Uint32Array(this.count);
    this.#starts = new Uint32Array(CELLS * CELLS + 1);
    for (let point = 0; point < this.count; point++) {
      at[point] = cell(this.y[point]) * CELLS + cell(this.x[point]);
      this.#starts[at[point] + 1]++;
    }
    for (let each = 0; each < CELLS * CELLS; each++) this.#starts[each + 1] += this.#starts[each];
    const next = this.#starts.slice();
    this.#members = new Uint32Array(this.count);
    for (let point = 0; point < this.count; point++) this.#members[next[at[point]]++] = point;
  }
}

function cell(place) {
  return Math.min(CELLS - 1, Math.max(0, Math.floor(((place + 1) / 2) * CELLS)));
}

// A line to the right crosses the border an odd number of times.
function isInside(x, y, line) {
  let inside = false;
  for (let here = 0, before = line.length - 1; here < line.length; before = here++) {
    const [x1, y1] = line[here];
    const [x2, y2] = line[before];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}
