// What of the plane is seen: moved, zoomed and drawn around by mouse, touch and keys. Knows no rows and no colours.
// Tells by events on its own: `hover` and `pick` (a point or null), `lasso` (points), `clear`.

import { painterFor } from "./painters.js";

const FILLED = 0.92;
const LEAST_ZOOM = 0.5;
const MOST_ZOOM = 400;
const REACH = 10;
const STEP = 60;
const CLICK = 4;
// So many rings are thin ones.
const CROWD = 20;

export class View extends EventTarget {
  #marks;
  #painter;
  #points;
  #zoom = 1;
  #x = 0;
  #y = 0;
  #pointers = new Map();
  #line;
  #moved = 0;
  #hovered;
  #rings = [];
  #waits = false;
  /** Whether dragging draws a line around points instead of moving the plane. */
  lassos = false;

  constructor(canvas, marks) {
    super();
    this.#marks = marks;
    this.#painter = painterFor(canvas);
    this.#painter.onrestored = () => this.redraw();
    new ResizeObserver(() => this.#resize()).observe(marks);
    this.#listen();
    this.#resize();
  }

  setPoints(points) {
    this.#points = points;
    this.#painter.setPoints(points);
    this.#hovered = undefined;
    this.reset();
  }

  setColours(colours) {
    this.#painter.setColours(colours);
    this.redraw();
  }

  /** Points that get a ring: `[{point, strong}]`. */
  setRings(rings) {
    this.#rings = rings;
    this.redraw();
  }

  reset() {
    [this.#zoom, this.#x, this.#y] = [1, 0, 0];
    this.redraw();
  }

  zoomBy(factor, at = [this.#marks.clientWidth / 2, this.#marks.clientHeight / 2]) {
    const [x, y] = this.#plane(at);
    this.#zoom = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, this.#zoom * factor));
    const [movedX, movedY] = this.#plane(at);
    this.#x += x - movedX;
    this.#y += y - movedY;
    this.redraw();
  }

  moveBy(right, down) {
    const { pixels } = this.#seen();
    this.#x = Math.min(1, Math.max(-1, this.#x - right / pixels));
    this.#y = Math.min(1, Math.max(-1, this.#y + down / pixels));
    this.redraw();
  }

  /** Bring a point into the middle if it is not seen. */
  show(point) {
    const [x, y] = this.screen(point);
    const isSeen = x > 0 && y > 0 && x < this.#marks.clientWidth && y < this.#marks.clientHeight;
    if (!isSeen) [this.#x, this.#y] = [this.#points.x[point], this.#points.y[point]];
    this.redraw();
  }

  /** Where a point is, in pixels from the upper left. */
  screen(point) {
    const seen = this.#seen();
    return [
      (this.#points.x[point] - seen.x) * seen.pixels + seen.width / 2,
      seen.height / 2 - (this.#points.y[point] - seen.y) * seen.pixels,
    ];
  }

  redraw() {
    if (this.#waits) return;
    this.#waits = true;
    requestAnimationFrame(() => {
      this.#waits = false;
      this.#painter.draw(this.#seen());
      this.#drawMarks();
    });
  }

  #seen() {
    const [width, height] = [this.#marks.clientWidth || 1, this.#marks.clientHeight || 1];
    const count = this.#points?.count ?? 1;
    const size = Math.min(11, Math.max(2.5, 420 / Math.sqrt(count))) * Math.min(3, Math.max(1, this.#zoom ** 0.4));
    return {
      x: this.#x,
      y: this.#y,
      width,
      height,
      pixels: (this.#zoom * FILLED * Math.min(width, height)) / 2,
      density: window.devicePixelRatio || 1,
      size,
    };
  }

  #plane([right, down]) {
    const seen = this.#seen();
    return [seen.x + (right - seen.width / 2) / seen.pixels, seen.y - (down - seen.height / 2) / seen.pixels];
  }

  #resize() {
    const density = window.devicePixelRatio || 1;
    for (const canvas of [this.#painter.canvas, this.#marks]) {
      canvas.width = Math.round(this.#marks.clientWidth * density);
      canvas.height = Math.round(this.#marks.clientHeight * density);
    }
    this.redraw();
  }

  #drawMarks() {
    const context = this.#marks.getContext("2d");
    const { width, height, density, size } = this.#seen();
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, width, height);
    const styles = getComputedStyle(this.#marks);
    const ring = (point, radius, line) => {
      const [x, y] = this.screen(point);
      for (const [colour, breadth] of [[styles.backgroundColor, line + 2], [styles.color, line]]) {
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.strokeStyle = colour;
        context.lineWidth = breadth;
        context.stroke();
      }
    };
    const breadth = this.#rings.length > CROWD ? 1.25 : 2;
    for (const { point, strong } of this.#rings) ring(point, size / 2 + (strong ? 7 : 1 + breadth), strong ? 3 : breadth);
    if (this.#hovered !== undefined) ring(this.#hovered, size / 2 + 3, 2);
    if (this.#line?.length > 1) {
      context.beginPath();
      this.#line.forEach(([x, y]) => context.lineTo(x, y));
      context.closePath();
      context.strokeStyle = styles.color;
      context.lineWidth = 2;
      context.setLineDash([6, 4]);
      context.stroke();
      context.setLineDash([]);
    }
  }

  #listen() {
    const marks = this.#marks;
    marks.addEventListener("pointerdown", (event) => this.#down(event));
    marks.addEventListener("pointermove", (event) => this.#move(event));
    marks.addEventListener("pointerup", (event) => this.#up(event));
    marks.addEventListener("pointercancel", (event) => this.#up(event));
    marks.addEventListener("pointerleave", () => this.#hover(undefined));
    marks.addEventListener("dblclick", (event) => this.zoomBy(2, place(event, marks)));
    marks.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      this.zoomBy(Math.exp(-Math.max(-200, Math.min(200, event.deltaY * lines)) / 300), place(event, marks));
    }, { passive: false });
    marks.addEventListener("keydown", (event) => {
      const deeds = {
        ArrowLeft: () => this.moveBy(STEP, 0),
        ArrowRight: () => this.moveBy(-STEP, 0),
        ArrowUp: () => this.moveBy(0, STEP),
        ArrowDown: () => this.moveBy(0, -STEP),
        "+": () => this.zoomBy(1.5),
        "=": () => this.zoomBy(1.5),
        "-": () => this.zoomBy(1 / 1.5),
        0: () => this.reset(),
        Escape: () => this.#tell("clear"),
      };
      if (event.ctrlKey || event.metaKey || event.altKey || !deeds[event.key]) return;
      event.preventDefault();
      deeds[event.key]();
    });
  }

  #down(event) {
    const at = place(event, this.#marks);
    this.#marks.setPointerCapture(event.pointerId);
    this.#hover(undefined);
    this.#pointers.set(event.pointerId, at);
    this.#moved = 0;
    const isAlone = this.#pointers.size === 1;
    this.#line = isAlone && (this.lassos || event.shiftKey) ? [at] : undefined;
  }

  #move(event) {
    const at = place(event, this.#marks);
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      this.#hover(this.#points?.nearest(...this.#plane(at), REACH / this.#seen().pixels));
      return;
    }
    this.#moved += Math.hypot(at[0] - before[0], at[1] - before[1]);
    if (this.#pointers.size === 2) {
      const other = [...this.#pointers].find(([id]) => id !== event.pointerId)[1];
      const distance = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
      this.zoomBy(distance(at) / Math.max(1, distance(before)), other);
    } else if (this.#line) {
      this.#line.push(at);
      this.redraw();
    } else {
      this.moveBy(at[0] - before[0], at[1] - before[1]);
    }
    this.#pointers.set(event.pointerId, at);
  }

  #up(event) {
    if (!this.#pointers.delete(event.pointerId) || this.#pointers.size) return;
    const line = this.#line;
    this.#line = undefined;
    if (this.#moved < CLICK) {
      const at = this.#plane(place(event, this.#marks));
      this.#tell("pick", this.#points?.nearest(...at, REACH / this.#seen().pixels));
    } else if (line?.length > 2 && this.#points) {
      this.#tell("lasso", this.#points.within(line.map((each) => this.#plane(each))));
    }
    this.redraw();
  }

  #hover(point) {
    if (point === this.#hovered) return;
    this.#hovered = point;
    this.#tell("hover", point);
    this.redraw();
  }

  #tell(name, detail = null) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function place(event, element) {
  const box = element.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}
