// Draws many points: with WebGL, or without it on a plain canvas. Knows numbers and colours, no rows.
//
// WebGL is used directly: libraries for it build their code from strings, which a strict policy forbids.

/** Whatever this browser has. The painter's `canvas` may be another one, in the place of the one that was given. */
export function painterFor(canvas) {
  const context = canvas.getContext("webgl", { antialias: false, premultipliedAlpha: true });
  if (!context) return new CanvasPainter(canvas);
  try {
    return new WebglPainter(canvas, context);
  } catch {
    // What had one kind of context gets no other.
    const other = canvas.cloneNode();
    canvas.replaceWith(other);
    return new CanvasPainter(other);
  }
}

const VERTEX = `
attribute vec2 place;
attribute vec4 colour;
uniform vec2 centre;
uniform vec2 zoom;
uniform mediump float size;
varying vec4 shown;
void main() {
  gl_Position = vec4((place - centre) * zoom, 0.0, 1.0);
  gl_PointSize = size;
  shown = colour;
}`;

const FRAGMENT = `
precision mediump float;
uniform float size;
varying vec4 shown;
void main() {
  float inside = (0.5 - length(gl_PointCoord - 0.5)) * size;
  float alpha = shown.a * clamp(inside, 0.0, 1.0);
  gl_FragColor = vec4(shown.rgb * alpha, alpha);
}`;

class WebglPainter {
  canvas;
  #gl;
  #program;
  #buffers;
  #points;
  #colours;
  onrestored = () => {};

  constructor(canvas, context) {
    this.canvas = canvas;
    this.#gl = context;
    this.#begin();
    // The system may take a graphics card's memory away, and give it back.
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.#begin();
      if (this.#points) this.setPoints(this.#points);
      if (this.#colours) this.setColours(this.#colours);
      this.onrestored();
    });
  }

  setPoints(points) {
    this.#points = points;
    const places = new Float32Array(2 * points.count);
    for (let point = 0; point < points.count; point++) {
      places[2 * point] = points.x[point];
      places[2 * point + 1] = points.y[point];
    }
    this.#fill("place", places);
  }

  /** Four bytes a point: red, green, blue, how much it covers. */
  setColours(colours) {
    this.#colours = colours;
    this.#fill("colour", colours);
  }

  draw(view) {
    const gl = this.#gl;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!this.#points || !this.#colours) return;
    gl.useProgram(this.#program);
    gl.uniform2f(gl.getUniformLocation(this.#program, "centre"), view.x, view.y);
    gl.uniform2f(
      gl.getUniformLocation(this.#program, "zoom"), (2 * view.pixels) / view.width, (2 * view.pixels) / view.height,
    );
    gl.uniform1f(gl.getUniformLocation(this.#program, "size"), view.size * view.density);
    this.#bind("place", 2, gl.FLOAT, false);
    this.#bind("colour", 4, gl.UNSIGNED_BYTE, true);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArrays(gl.POINTS, 0, this.#points.count);
  }

  #begin() {
    const gl = this.#gl;
    this.#program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(this.#program, shader);
    }
    gl.linkProgram(this.#program);
    if (!gl.getProgramParameter(this.#program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getProgramInfoLog(this.#program));
    }
    this.#buffers = { place: gl.createBuffer(), colour: gl.createBuffer() };
  }

  #fill(name, numbers) {
    const gl = this.#gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, numbers, gl.DYNAMIC_DRAW);
  }

  #bind(name, width, type, normalised) {
    const gl = this.#gl;
    const at = gl.getAttribLocation(this.#program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffers[name]);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, width, type, normalised, 0, 0);
  }
}

class CanvasPainter {
  canvas;
  #context;
  #points;
  #colours;
  #order;
  onrestored = () => {};

  constructor(canvas) {
    this.canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  setPoints(points) {
    this.#points = points;
  }

  setColours(colours) {
    this.#colours = new Uint32Array(colours.buffer, colours.byteOffset, colours.length / 4);
    // A change of colour costs more than a point: those of one colour are drawn together, the faint ones first.
    this.#order = Uint32Array.from(this.#colours.keys()).sort(
      (one, other) => this.#colours[one] - this.#colours[other] || one - other,
    );
  }

  draw(view) {
    const context = this.#context;
    context.setTransform(view.density, 0, 0, view.density, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    if (!this.#points || !this.#colours) return;
    const size = Math.max(1.5, view.size * 0.85);
    let before;
    for (const point of this.#order) {
      const x = (this.#points.x[point] - view.x) * view.pixels + view.width / 2;
      const y = view.height / 2 - (this.#points.y[point] - view.y) * view.pixels;
      if (x < -size || y < -size || x > view.width + size || y > view.height + size) continue;
      const colour = this.#colours[point];
      if (colour !== before) {
        before = colour;
        context.fillStyle = `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255} / ${(colour >>> 24) / 255})`;
      }
      context.fillRect(x - size / 2, y - size / 2, size, size);
    }
  }
}
