// Lists of rows, as the server writes them too. Text becomes text: nothing in it is ever read as markup.

/** Makes an element. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const SIDE_COLUMNS = 4;
const LONGEST_SIDE = 80;
const LONGEST_TEXT = 600;

/** The text of a row, short enough for a list. */
export function shortened(text) {
  if (text === null || text === undefined) return "(no text)";
  const words = String(text);
  return words.length > LONGEST_TEXT ? `${words.slice(0, LONGEST_TEXT)}…` : words;
}

/** A hit: a bar for its score, its text (what `textOf` makes of it), its row and a few more columns. */
export function hitItem(hit, { text, rows, textOf = (words) => element("span", { class: "hit-text" }, words) }) {
  const score = hit.score.toFixed(3);
  const meter = element("meter", { min: 0, max: 1, value: Math.max(0, Math.min(1, hit.score)) }, score);
  const others = Object.entries(hit)
    .filter(([name, value]) => !["row", "score", text].includes(name) && ["string", "number", "boolean"].includes(typeof value))
    .slice(0, SIDE_COLUMNS)
    .map(([name, value]) => ` · ${name}: ${String(value).slice(0, LONGEST_SIDE)}`);
  return element(
    "li", {},
    element("span", { class: "score" }, meter, score),
    textOf(shortened(hit[text]), hit),
    element("span", { class: "hint" }, rowLink(hit.row, rows), ...others),
  );
}

/** A link to a row in the table of rows. */
export function rowLink(row, rows) {
  const address = new URL(rows, location.href);
  address.searchParams.set("offset", row);
  return element("a", { href: `${address.pathname}${address.search}#row-${row}` }, `row ${row}`);
}
