// The search box on a dataset's first page.

import { asking } from "./asking.js";
import { element, hitItem } from "./hits.js";

const form = document.getElementById("search");
const [told, problem, hits] = ["told", "problem", "hits"].map((id) => document.getElementById(id));
const { api: path, revision, text, rows } = form.dataset;
const TOP = 10;

asking(form, (query) => ({ path, json: { query, revision, top_k: TOP } }), {
  answered({ hits: found }, question) {
    problem.hidden = true;
    hits.replaceChildren(element("ol", { class: "list hits" }, ...found.map((hit) => hitItem(hit, { text, rows }))));
    told.textContent = found.length ? `The ${found.length} nearest rows` : "There are no rows to find.";
    // So that the page can be shared and comes back as it is.
    const here = new URL(location.href);
    here.searchParams.set("q", question);
    history.replaceState(null, "", here);
  },
  emptied() {
    hits.replaceChildren();
    told.textContent = "";
    problem.hidden = true;
  },
  busy(isBusy) {
    hits.setAttribute("aria-busy", isBusy);
  },
  failed(message) {
    problem.textContent = message;
    problem.hidden = false;
  },
});
