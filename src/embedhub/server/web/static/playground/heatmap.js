// A square of numbers in colours: a table while it can be read, a picture that keys and pointer move in when not.
// Knows rows of numbers and names. Refuses to know what they measure.

import { element } from "./element.js";

const MOST_IN_A_TABLE = 24;
const MOST_VALUES_TOLD = 100;
const STEPS = 10;

/** The heat map of `rows`. `warm` gives a value's warmth, 0 to 1; `name` what the values are. */
export function heatmap(rows, names, warm, name) {
  if (rows.length <= MOST_IN_A_TABLE) {
    return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, [
      table(rows, names, warm, name),
    ]);
  }
  const parts = picture(rows, names, warm, name);
  if (rows.length <= MOST_VALUES_TOLD) {
    const details = element("details", {}, [element("summary", {}, ["All values, as a table"])]);
    details.addEventListener("toggle", () => {
      if (details.children.length > 1) return;
      details.append(element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, [
        table(rows, names, warm, name),
      ]));
    });
    parts.push(details);
  }
  return element("div", {}, parts);
}

function table(rows, names, warm, name) {
  const head = element("tr", {}, [
    element("td", {}, []),
    ...rows.map((_, number) => element("th", { scope: "col", title: names[number] }, [String(number + 1)])),
  ]);
  head.firstElementChild.className = "heat-0";
  const body = rows.map((row, number) =>
    element("tr", {}, [
      element("th", { scope: "row", title: names[number] }, [`${number + 1} ${names[number]}`]),
      ...row.map((value) => element("td", { class: `heat-${Math.round(warm(value) * STEPS)}` }, [value.toFixed(3)])),
    ]),
  );
  return element("table", { class: "heat" }, [
    element("caption", { class: "hidden" }, [name]),
    element("thead", {}, [head]),
    element("tbody", {}, body),
  ]);
}

function picture(rows, names, warm, name) {
  const size = Math.max(1, Math.min(16, Math.floor(720 / rows.length)));
  const canvas = element("canvas", {
    class: "heat-picture", width: rows.length * size, height: rows.length * size, tabindex: 0, role: "img",
    "aria-label": `${name}: ${rows.length} times ${rows.length} values. Arrow keys go from value to value.`,
  });
  const told = element("p", { class: "heat-told hint", "aria-live": "polite" }, ["Point at a value, or use the arrow keys."]);
  let place;
  const draw = () => {
    const context = canvas.getContext("2d");
    const colours = getComputedStyle(document.documentElement);
    context.globalAlpha = 1;
    context.fillStyle = colours.getPropertyValue("--surface");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = colours.getPropertyValue("--accent");
    rows.forEach((row, y) => row.forEach((value, x) => {
      context.globalAlpha = warm(value);
      context.fillRect(x * size, y * size, size, size);
    }));
    context.globalAlpha = 1;
    if (place) {
      context.strokeStyle = colours.getPropertyValue("--ink");
      context.lineWidth = 2;
      context.strokeRect(place.x * size, place.y * size, size, size);
    }
  };
  const go = (x, y) => {
    const inside = (number) => Math.max(0, Math.min(rows.length - 1, number));
    place = { x: inside(x), y: inside(y) };
    told.textContent =
      `${rows[place.y][place.x].toFixed(3)}: ${place.y + 1} ${names[place.y]} — ${place.x + 1} ${names[place.x]}`;
    draw();
  };
  canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => {
    const scale = rows.length / canvas.clientWidth;
    go(Math.floor(offsetX * scale), Math.floor(offsetY * scale));
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    go((place?.x ?? 0) + step[0], (place?.y ?? 0) + step[1]);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
  return [canvas, told];
}
