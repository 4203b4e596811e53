// The text of the point under the mouse. Texts come by their rows' numbers, once each.

import { element, shortened } from "./hits.js";

const PAUSE_MILLISECONDS = 60;
const KEPT = 2000;
const SHOWN = 280;

export class Tip {
  #place;
  #view;
  #fetchTexts;
  #texts = new Map();
  #timer;
  #point;
  points;

  constructor(place, view, fetchTexts) {
    this.#place = place;
    this.#view = view;
    this.#fetchTexts = fetchTexts;
    view.addEventListener("hover", ({ detail }) => this.#over(detail));
  }

  #over(point) {
    clearTimeout(this.#timer);
    this.#point = point;
    if (point === undefined) {
      this.#place.hidden = true;
      return;
    }
    const row = this.points.row(point);
    if (this.#texts.has(row)) this.#show(point, row);
    // Whoever passes over a point does not wait for its text.
    else this.#timer = setTimeout(() => this.#fetch(point, row), PAUSE_MILLISECONDS);
  }

  async #fetch(point, row) {
    try {
      const [found] = await this.#fetchTexts([row]);
      if (this.#texts.size >= KEPT) this.#texts.clear();
      this.#texts.set(row, found.text);
    } catch (error) {
      if (this.#point === point) this.#put(point, row, error.message);
      return;
    }
    if (this.#point === point) this.#show(point, row);
  }

  #show(point, row) {
    const text = shortened(this.#texts.get(row));
    this.#put(point, row, text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);
  }

  #put(point, row, words) {
    this.#place.replaceChildren(element("strong", {}, `row ${row}`), words);
    this.#place.hidden = false;
    const [x, y] = this.#view.screen(point);
    const [width, height] = [this.#place.offsetWidth, this.#place.offsetHeight];
    const room = this.#place.parentElement.getBoundingClientRect();
    const left = Math.max(4, Math.min(room.width - width - 4, x + 14));
    const top = y + 14 + height > room.height ? Math.max(4, y - height - 14) : y + 14;
    this.#place.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }
}
