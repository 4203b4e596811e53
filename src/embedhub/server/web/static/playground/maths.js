// Arithmetic on vectors (Float32Array): how alike they are. Knows no page.

const dot = (a, b) => a.reduce((sum, value, axis) => sum + value * b[axis], 0);

const MEASURES = {
  cosine: (a, b) => dot(a, b) / Math.max(Math.sqrt(dot(a, a)) * Math.sqrt(dot(b, b)), 1e-12),
  dot,
  euclidean: (a, b) => Math.sqrt(a.reduce((sum, value, axis) => sum + (value - b[axis]) ** 2, 0)),
};

/** Every vector against every other: rows of numbers. Of euclidean, distances. */
export function matrix(vectors, metric) {
  return vectors.map((a) => vectors.map((b) => MEASURES[metric](a, b)));
}

/** How far two lists of vectors are apart: the largest difference of any two numbers, the lowest cosine of a pair. */
export function difference(left, right) {
  let largest = 0;
  let cosine = 1;
  left.forEach((a, number) => {
    const b = right[number];
    a.forEach((value, axis) => { largest = Math.max(largest, Math.abs(value - b[axis])); });
    cosine = Math.min(cosine, MEASURES.cosine(a, b));
  });
  return { largest, cosine };
}

/** A function from a value of the matrix to its warmth, 0 to 1: the most alike are the warmest. */
export function warmth(rows, metric) {
  const values = rows.flat();
  const least = values.reduce((a, b) => Math.min(a, b), metric === "cosine" ? 0 : Infinity);
  const most = values.reduce((a, b) => Math.max(a, b), metric === "cosine" ? 1 : -Infinity);
  const span = most - least || 1;
  return metric === "euclidean" ? (value) => 1 - (value - least) / span : (value) => (value - least) / span;
}
