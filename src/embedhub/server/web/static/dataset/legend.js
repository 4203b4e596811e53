// What the colours of a map stand for. A label can be pressed: then its points alone are lit.

import { element } from "./hits.js";

const SVG = "http://www.w3.org/2000/svg";

function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/**
 * Shows a legend of `colours.js` in a place. `pressed` is the code of the label whose points alone are lit;
 * `light(code)` is called with one that is to be, or with nothing.
 */
export function showLegend(place, legend, pressed, light) {
  if (legend.labels) place.replaceChildren(labels(place, legend.labels, pressed, light));
  else if (legend.scale) place.replaceChildren(scale(legend));
  else place.replaceChildren();
}

function labels(place, all, pressed, light) {
  const items = all.map(({ code, label, colour }) => {
    const spot = drawn("svg", { width: 12, height: 12, viewBox: "0 0 12 12", "aria-hidden": "true" },
      drawn("circle", { cx: 6, cy: 6, r: 6, fill: colour }));
    const isPressed = code === pressed;
    const button = element("button", { type: "button", "aria-pressed": String(isPressed), "data-label": label }, spot, label);
    button.addEventListener("click", () => {
      light(isPressed ? undefined : code);
      // The legend was made anew by this.
      place.querySelector(`[data-label="${CSS.escape(label)}"]`)?.focus();
    });
    return element("li", {}, button);
  });
  return element("ul", { class: "legend", "aria-label": "Colours" }, ...items);
}

function scale({ scale: colours, low, high }) {
  const stops = colours.map((colour, place) =>
    drawn("stop", { offset: place / (colours.length - 1), "stop-color": colour }));
  const picture = drawn("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawn("defs", {}, drawn("linearGradient", { id: "scale" }, ...stops)),
    drawn("rect", { width: 100, height: 10, fill: "url(#scale)" }));
  return element("div", { class: "scale" }, shown(low), picture, shown(high));
}

function shown(number) {
  return Number(number.toPrecision(6)).toLocaleString("en", { maximumFractionDigits: 6, useGrouping: Math.abs(number) >= 10000 });
}
