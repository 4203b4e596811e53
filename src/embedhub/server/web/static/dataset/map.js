// The map of a dataset: fetches points, colours and texts, and joins the view, the search box and the list beside it.

import { api, send } from "../api.js";
import { asking } from "./asking.js";
import { coloursOf, onThemeChange } from "./colours.js";
import { element, hitItem, rowLink, shortened } from "./hits.js";
import { showLegend } from "./legend.js";
import { readPoints } from "./points.js";
import { Tip } from "./tip.js";
import { View } from "./view.js";

const AGAIN_MILLISECONDS = 3000;
const LISTED = 50;
const TOP = 50;

const root = document.getElementById("map");
const find = (id) => document.getElementById(id);
const { api: base, revision, text, rows: rowsPage } = root.dataset;
const [marks, state, told, problem, list, more, clear] =
  ["marks", "state", "told", "problem", "hits", "more", "clear"].map(find);

const view = new View(find("points"), marks);
const tip = new Tip(find("tip"), view, fetchTexts);

let points;
let method = "pca";
let column;
// What is lit: points of a selection, of hits or of a label; undefined are all.
let lit;
let rings = [];
// The label whose points alone are lit.
let litCode;
// Rows that are selected, and how many of them are listed.
let selected = [];
let listed = 0;

function address(part, query = {}) {
  return `${base}/map${part}?${new URLSearchParams({ revision, ...query })}`;
}

async function fetchTexts(rows) {
  return (await api(address("/texts", { rows: rows.join(",") }))).rows;
}

// -- points

/** The points of a method; nothing if another was chosen meanwhile. */
async function fetchPoints(wanted) {
  for (;;) {
    const response = await send(address("", { method: wanted }));
    if (method !== wanted) return undefined;
    if (response.status === 200) return readPoints(await response.arrayBuffer());
    state.textContent = "UMAP is being computed in the background: minutes for many rows. PCA is shown until then.";
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MILLISECONDS));
    if (method !== wanted) return undefined;
  }
}

async function choose(wanted) {
  method = wanted;
  try {
    const found = await fetchPoints(wanted);
    if (!found) return;
    const rowsOf = (these) => these && [...these].map((point) => points.row(point));
    const [litRows, ringRows] = [rowsOf(lit), rings.map((ring) => ({ ...ring, row: points.row(ring.point) }))];
    points = found;
    tip.points = points;
    column = undefined;
    view.setPoints(points);
    lit = litRows && new Set(litRows.map((row) => points.point(row)).filter((point) => point !== undefined));
    rings = ringRows.map(({ row, strong }) => ({ point: points.point(row), strong })).filter(({ point }) => point !== undefined);
    state.textContent = described(points.head);
    await colour();
  } catch (error) {
    if (method === wanted) state.textContent = `There is no map: ${error.message}`;
  }
}

function described(head) {
  const count = head.points.toLocaleString("en");
  const rows = head.rows.toLocaleString("en");
  if (!head.points) return "There is nothing to show: no row has a vector.";
  const shown = head.sampled ? `${count} of ${rows} rows are shown, chosen by chance or because they have a vector.` : `${count} rows.`;
  const kind = head.method === "pca"
    ? `The two directions in which they differ most hold ${Math.round(100 * head.share)} % of their differences.`
    : "Texts that mean alike lie together; distances between groups say little.";
  return `${shown} ${kind}`;
}

// -- colours

async function colour() {
  const name = find("colour")?.value ?? "";
  const of = points;
  try {
    const made = name ? await api(address("/column", { name, method: of.head.method })) : undefined;
    if (of !== points || name !== (find("colour")?.value ?? "")) return;
    column = made;
  } catch (error) {
    state.textContent = error.message;
  }
  paint();
}

function paint() {
  if (!points) return;
  const made = coloursOf(points.count, column, lit);
  view.setColours(made.bytes);
  view.setRings(rings);
  showLegend(find("legend"), made.legend, litCode, (code) => {
    const found = [];
    column.codes.forEach((each, point) => each === code && found.push(point));
    [litCode, lit, rings] = [code, code === undefined ? undefined : new Set(found), []];
    paint();
  });
}

// -- what is lit, and the list beside the map

function light(rows, isSelection) {
  const found = rows.map((row) => points?.point(row)).filter((point) => point !== undefined);
  litCode = undefined;
  lit = found.length ? new Set(found) : undefined;
  rings = isSelection ? [] : found.map((point, place) => ({ point, strong: place === 0 }));
  clear.hidden = !rows.length;
  paint();
}

/** A button that shows a row's place on the map. */
function finder(words, row) {
  const button = element("button", { type: "button", class: "find" }, words);
  const point = points?.point(row);
  if (point === undefined) button.disabled = true;
  const ring = (isOn) => view.setRings(isOn ? [...rings, { point, strong: true }] : rings);
  if (point !== undefined) {
    for (const name of ["focus", "pointerenter"]) button.addEventListener(name, () => ring(true));
    for (const name of ["blur", "pointerleave"]) button.addEventListener(name, () => ring(false));
    button.addEventListener("click", () => view.show(point));
  }
  return button;
}

async function listMore() {
  const part = selected.slice(listed, listed + LISTED);
  const of = selected;
  more.hidden = true;
  try {
    const texts = part.length ? await fetchTexts(part) : [];
    if (of !== selected) return;
    listed += part.length;
    const items = texts.map(({ row, text: words }) => element(
      "li", {}, finder(shortened(words), row), element("span", { class: "hint" }, rowLink(row, rowsPage)),
    ));
    list.querySelector("ul")?.append(...items);
    more.hidden = listed >= selected.length;
  } catch (error) {
    fail(error.message);
  }
}

function select(rows) {
  selected = rows;
  listed = 0;
  problem.hidden = true;
  list.replaceChildren(element("ul", { class: "list" }));
  told.textContent = rows.length === 1 ? "1 row is selected" : `${rows.length.toLocaleString("en")} rows are selected`;
  light(rows, true);
  listMore();
}

function unselect() {
  selected = [];
  more.hidden = clear.hidden = problem.hidden = true;
  list.replaceChildren();
  told.textContent = "";
  [litCode, lit, rings] = [undefined, undefined, []];
  paint();
}

function fail(message) {
  problem.textContent = message;
  problem.hidden = false;
}

// -- joined

const search = asking(find("search"), (query) => ({
  path: `${base}/search`,
  json: { query, revision, top_k: TOP },
}), {
  answered({ hits }) {
    problem.hidden = more.hidden = true;
    selected = [];
    light(hits.map((hit) => hit.row), false);
    const items = hits.map((hit) => hitItem(hit, { text, rows: rowsPage, textOf: (words) => finder(words, hit.row) }));
    list.replaceChildren(element("ol", { class: "list hits" }, ...items));
    told.textContent = `The ${hits.length} nearest rows`;
  },
  emptied: unselect,
  busy: (isBusy) => list.setAttribute("aria-busy", isBusy),
  failed: fail,
});

view.addEventListener("lasso", ({ detail }) => select(detail.map((point) => points.row(point))));
view.addEventListener("pick", ({ detail }) => (detail === undefined ? undefined : select([points.row(detail)])));
view.addEventListener("clear", unselect);
clear.addEventListener("click", () => {
  unselect();
  marks.focus();
});
more.addEventListener("click", listMore);
find("zoom-in").addEventListener("click", () => view.zoomBy(1.6));
find("zoom-out").addEventListener("click", () => view.zoomBy(1 / 1.6));
find("reset").addEventListener("click", () => view.reset());
find("colour")?.addEventListener("change", colour);
for (const radio of root.querySelectorAll("input[name=method]")) radio.addEventListener("change", () => choose(radio.value));
for (const radio of root.querySelectorAll("input[name=drag]")) {
  radio.addEventListener("change", () => {
    view.lassos = radio.value === "lasso";
    marks.classList.toggle("lassos", view.lassos);
  });
}
onThemeChange(paint);

await choose("pca");
if (find("q").value.trim()) search.ask();
root.dataset.ready = "yes";
