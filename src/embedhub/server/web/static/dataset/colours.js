// Colours of points by the values of a column, and what stands for what. Knows which colours people tell apart.

// Told apart without red and green, and by lightness too; each at least three to one against its background.
const LABELS = {
  light: ["#2458c6", "#c14d00", "#00806b", "#a8348c", "#8a6a00", "#1786b0", "#7d3c1d", "#5b2fa8"],
  dark: ["#7ea6ff", "#ff9a52", "#3fd0b0", "#f08ad2", "#e3c34b", "#62c8f0", "#d6a184", "#b79cff"],
};
const OTHERS = { light: "#7c8090", dark: "#8d91a5" };
// From few to much, in even steps of lightness away from the background.
const SCALE = {
  light: ["#f0b429", "#62a35a", "#1f8a8a", "#31629b", "#3d2b7a"],
  dark: ["#5a4fb0", "#3f7fbf", "#37a69b", "#8fcb6b", "#f7e04a"],
};

const STRONG = 225;
const FAINT = 38;

const isDark = matchMedia("(prefers-color-scheme: dark)");

/** Calls back when the reader changes between light and dark. */
export function onThemeChange(callback) {
  isDark.addEventListener("change", callback);
}

function theme() {
  return isDark.matches ? "dark" : "light";
}

/**
 * The colour of each point, four bytes each, and the legend.
 *
 * `column` is what `/map/column` says, or undefined; `lit` a set of points, or undefined: others are faint.
 */
export function coloursOf(count, column, lit) {
  const legend = legendOf(column);
  const bytes = new Uint8Array(4 * count);
  const colourAt = shader(column, legend);
  for (let point = 0; point < count; point++) {
    const [red, green, blue] = colourAt(point);
    bytes.set([red, green, blue, lit && !lit.has(point) ? FAINT : STRONG], 4 * point);
  }
  return { bytes, legend };
}

/** `{labels: [{code, label, colour}]}`, `{scale: […colours], low, high}` or nothing. */
function legendOf(column) {
  const now = theme();
  if (column?.kind === "category") {
    const labels = column.labels.map((label, code) => ({ code, label: label || "(empty)", colour: LABELS[now][code] }));
    if (column.others) {
      labels.push({ code: labels.length, label: `${column.others.toLocaleString("en")} others`, colour: OTHERS[now] });
    }
    if (column.codes.includes(null)) labels.push({ code: null, label: "(nothing)", colour: OTHERS[now] });
    return { labels };
  }
  if (column?.kind === "number") {
    let [low, high] = [Infinity, -Infinity];
    for (const value of column.values) {
      if (value === null) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low > high ? {} : { scale: SCALE[now], low, high };
  }
  return {};
}

function shader(column, legend) {
  const plain = bytesOf(LABELS[theme()][0]);
  const nothing = bytesOf(OTHERS[theme()]);
  if (legend.labels) {
    const colours = new Map(legend.labels.map((each) => [each.code, bytesOf(each.colour)]));
    return (point) => colours.get(column.codes[point]) ?? nothing;
  }
  if (legend.scale) {
    const stops = legend.scale.map(bytesOf);
    const span = legend.high - legend.low || 1;
    return (point) => {
      const value = column.values[point];
      return value === null ? nothing : between(stops, (value - legend.low) / span);
    };
  }
  return () => plain;
}

function between(stops, share) {
  const at = share * (stops.length - 1);
  const first = Math.min(stops.length - 2, Math.floor(at));
  return stops[first].map((byte, channel) => Math.round(byte + (stops[first + 1][channel] - byte) * (at - first)));
}

function bytesOf(hex) {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}
