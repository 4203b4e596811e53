// What came back, on the page: times, likeness, tokens, vectors, and how far server and browser are apart.
// Knows the sections of the page. Refuses to know who computed.

import { element } from "./element.js";
import { heatmap } from "./heatmap.js";
import { difference, matrix, warmth } from "./maths.js";

const PLACES = { server: "On this server", browser: "In this browser" };
const SHOWN_VALUES = 8;
const SHOWN_TEXTS = 200;
const SHOWN_TEXTS_OF_TOKENS = 50;
const SHOWN_TOKENS = 1000;
const MOST_COMPARED = 500;
const TONES = 5;

const short = (text, length = 60) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
const milliseconds = (value) => (value < 1 ? "< 1 ms" : `${Math.round(value).toLocaleString()} ms`);
const plural = (count, word) => `${count.toLocaleString()} ${word}${count === 1 ? "" : "s"}`;

/** How far two results are apart; hidden where there is one only. */
export function showDifference(section, { results, model, numbers }) {
  section.hidden = !(results.server && results.browser);
  if (section.hidden) return;
  const { largest, cosine } = difference(results.server.vectors, results.browser.vectors);
  const same = numbers === "fp32" && largest < 1e-3;
  const why =
    same ? "They are the same vectors, but for rounding."
    : numbers !== "fp32" ? "The browser computes with weights of 8 bits, so its vectors are near, not the same."
    : model.dtype && model.dtype !== "f32" ? `The server computes in ${model.dtype}, so its vectors are near, not the same.`
    : "That is more than rounding explains.";
  section.querySelector("p").replaceChildren(
    "The largest difference of any two numbers is ",
    element("strong", { id: "largest" }, [largest.toExponential(1)]),
    ", the lowest cosine of a text's two vectors ",
    element("strong", { id: "lowest" }, [cosine.toFixed(6)]),
    `. ${why}`,
  );
}

/** What took how long, by place. */
export function showTiming(section, { results }) {
  const lists = Object.entries(results).map(([place, { times, remembered }]) => {
    const told = Object.entries(times).map(([what, value]) => [what, milliseconds(value)]);
    if (remembered) told.push(["remembered, not computed", plural(remembered, "text")]);
    const entries = told.map(([what, value]) =>
      element("div", {}, [element("dt", {}, [what]), element("dd", {}, [value])]),
    );
    return element("div", { "data-place": place }, [
      element("h3", {}, [PLACES[place]]), element("dl", {}, entries),
    ]);
  });
  section.querySelector(".play-times").replaceChildren(...lists);
}

/** A heat map for each place. */
export function showAlike(section, { results, texts, metric }) {
  const name = metric === "euclidean" ? "Euclidean distance" : metric === "dot" ? "Dot product" : "Cosine";
  const figures = Object.entries(results).map(([place, { vectors }]) => {
    const rows = matrix(vectors.slice(0, MOST_COMPARED), metric);
    const caption = element("figcaption", {}, [`${name}, ${PLACES[place].toLowerCase()}`]);
    const figure = element("figure", { "data-place": place }, [
      caption, heatmap(rows, texts.map((text) => short(text)), warmth(rows, metric), caption.textContent),
    ]);
    if (vectors.length > MOST_COMPARED) {
      figure.append(element("p", { class: "hint" }, [`The first ${MOST_COMPARED} texts are compared.`]));
    }
    return figure;
  });
  section.querySelector(".columns").replaceChildren(...figures);
}

/** The tokens of each text as pieces; the server's, where both places have some. */
export function showTokens(section, { results, texts, model }) {
  const { tokens } = results.server ?? results.browser;
  const items = tokens.slice(0, SHOWN_TEXTS_OF_TOKENS).map((all, number) => {
    const cut = Math.max(0, all.length - model.maxTokens);
    const told = element("span", { class: "hint" }, [`${plural(all.length, "token")} of ${model.maxTokens.toLocaleString()}`]);
    const head = [element("span", {}, [short(texts[number], 100), " "]), told];
    if (cut) head.push(" ", element("span", { class: "badge" }, [`${cut.toLocaleString()} not read`]));
    return element("li", {}, [...head, pieces(all, cut)]);
  });
  const left = texts.length - items.length;
  if (left > 0) items.push(element("li", { class: "hint" }, [`… and ${plural(left, "text")} more.`]));
  section.querySelector("ol").replaceChildren(...items);
}

function pieces(tokens, cut) {
  // What is not read is the end of the text; the special tokens behind it are.
  const ordinary = tokens.flatMap((token, place) => (token.special ? [] : [place]));
  const first = cut ? ordinary[ordinary.length - cut] : Infinity;
  const shown = tokens.slice(0, SHOWN_TOKENS).map((token, place) => {
    const kind = token.special ? "special" : place >= first ? "cut" : `tone-${place % TONES}`;
    return element("span", { class: `token ${kind}` }, [
      token.text || "\u200b", element("small", {}, [String(token.id)]),
    ]);
  });
  if (tokens.length > SHOWN_TOKENS) shown.push(`… ${(tokens.length - SHOWN_TOKENS).toLocaleString()} more`);
  return element("div", { class: "tokens" }, shown);
}

/** The first numbers of each vector, and buttons that take all of them. */
export function showVectors(section, { results, texts }) {
  const places = Object.entries(results);
  const rows = texts.slice(0, SHOWN_TEXTS).flatMap((text, number) =>
    places.map(([place, { vectors }]) => {
      const first = Array.from(vectors[number].subarray(0, SHOWN_VALUES), (value) => value.toFixed(4)).join(" ");
      return element("tr", {}, [
        element("th", { scope: "row", title: text.slice(0, 500) }, [`${number + 1} ${short(text)}`]),
        ...(places.length > 1 ? [element("td", {}, [PLACES[place]])] : []),
        element("td", { class: "mono" }, [first, vectors[number].length > SHOWN_VALUES ? " …" : ""]),
      ]);
    }),
  );
  const length = places[0][1].vectors[0].length;
  fill(section, ["Text", ...(places.length > 1 ? ["Where"] : []), `First of ${plural(length, "number")}`], rows);
  const told = section.querySelector(".play-take .hint");
  told.textContent = texts.length > SHOWN_TEXTS ? `The first ${SHOWN_TEXTS} are shown; all of them are taken.` : "";
  const { vectors } = (results.server ?? results.browser);
  for (const button of section.querySelectorAll("[data-take]")) {
    button.onclick = () => take(button.dataset.take, texts, vectors, told);
  }
}

async function take(how, texts, vectors, told) {
  const plain = texts.map((text, number) => ({ text, embedding: Array.from(vectors[number]) }));
  if (how === "copy") {
    await navigator.clipboard.writeText(JSON.stringify(plain));
    told.textContent = "Copied.";
    return;
  }
  const content = how === "json" ? JSON.stringify(plain) : csv(plain);
  const link = element("a", { download: `vectors.${how}` });
  link.href = URL.createObjectURL(new Blob([content], { type: how === "json" ? "application/json" : "text/csv" }));
  link.click();
  URL.revokeObjectURL(link.href);
}

function csv(rows) {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const head = ["text", ...rows[0].embedding.map((_, axis) => `d${axis}`)];
  return [head, ...rows.map(({ text, embedding }) => [quoted(text), ...embedding])].map((row) => row.join(",")).join("\r\n") + "\r\n";
}

function fill(section, heads, rows) {
  const head = element("tr", {}, heads.map((head) => element("th", { scope: "col" }, [head])));
  section.querySelector("thead").replaceChildren(head);
  section.querySelector("tbody").replaceChildren(...rows);
}
