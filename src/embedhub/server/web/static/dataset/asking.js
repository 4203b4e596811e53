// A search box that answers while somebody types. The newest question alone counts: an older one is given up.

import { api } from "../api.js";

const PAUSE_MILLISECONDS = 220;

/**
 * @param form with a field `q`.
 * @param request `(question) => ({path, json})`.
 * @param on `answered(answer, question)`, `emptied()`, `busy(isBusy)`, `failed(message)`.
 */
export function asking(form, request, on) {
  const field = form.elements.q;
  let timer;
  let before;
  let asked = field.value.trim();

  async function ask() {
    clearTimeout(timer);
    const question = field.value.trim();
    before?.abort();
    asked = question;
    if (!question) {
      on.busy(false);
      on.emptied();
      return;
    }
    const mine = (before = new AbortController());
    on.busy(true);
    try {
      const { path, json } = request(question);
      const answer = await api(path, { json, signal: mine.signal });
      if (before === mine) on.answered(answer, question);
    } catch (error) {
      if (error.name !== "AbortError" && before === mine) on.failed(error.message);
    } finally {
      if (before === mine) on.busy(false);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  field.addEventListener("input", () => {
    clearTimeout(timer);
    if (field.value.trim() !== asked) timer = setTimeout(ask, PAUSE_MILLISECONDS);
  });
  return { ask };
}
