// The playground: what the form says goes to the server, to this browser, or both; what comes back is shown.
// Knows the form and the order of things. Refuses to know how vectors are made or drawn.

import { askServer } from "./server.js";
import { BrowserModel } from "./browser.js";
import { showAlike, showDifference, showTiming, showTokens, showVectors } from "./show.js";
import { snippets } from "./snippets.js";

const form = document.getElementById("form");

/** What a text is, as the server reads the form. */
function textsOf(typed, split) {
  const parts = split === "blocks" ? typed.split(/\n[ \t]*\n\s*/) : typed.split("\n");
  return parts.map((part) => part.trim()).filter(Boolean);
}

function asked() {
  const said = new FormData(form);
  const model = JSON.parse(form.elements.model.selectedOptions[0].dataset.told);
  const dimensions = said.get("dimensions").trim();
  return {
    texts: textsOf(said.get("text"), said.get("split")),
    model,
    promptName: said.get("prompt_name").trim(),
    dimensions: dimensions ? Number(dimensions) : undefined,
    normalize: said.has("normalize"),
    where: said.get("where"),
    numbers: said.get("numbers"),
    metric: said.get("metric"),
  };
}

/** What is wrong with it, before anybody computes; nothing if it is good. */
function problemOf({ texts, model, promptName, dimensions }) {
  if (!texts.length) return "There is no text: type at least one.";
  if (dimensions !== undefined && !(dimensions >= 1 && dimensions <= model.dimensions)) {
    return `Dimensions: ${model.name} gives 1 to ${model.dimensions.toLocaleString()}.`;
  }
  if (promptName && !(promptName in model.prompts)) {
    const names = Object.keys(model.prompts);
    return `${model.name} has no prompt “${promptName}”; ${names.length ? `it has ${names.join(", ")}` : "it has none"}.`;
  }
  return "";
}

const byId = (id) => document.getElementById(id);
const address = (path) => path && new URL(path, location.href).href;
const browserModel = new BrowserModel(address(form.dataset.transformers), address(form.dataset.runtime));
let shown; // What was asked last, with the results by place.
let running; // Ends what is being computed.

function hint() {
  const { texts, model, promptName, where, numbers } = asked();
  byId("text-hint").textContent = `${texts.length.toLocaleString()} ${texts.length === 1 ? "text" : "texts"}`;
  byId("model-hint").textContent =
    `${model.dimensions.toLocaleString()} dimensions, reads ${model.maxTokens.toLocaleString()} tokens` +
    (model.dtype ? `, computes in ${model.dtype} here` : "");
  const name = promptName || model.defaultPrompt;
  byId("prompt-hint").textContent =
    name in model.prompts ? `Every text is read with “${model.prompts[name]}” before it.`
    : Object.keys(model.prompts).length ? "" : "This model has no prompts.";
  byId("prompts").replaceChildren(...Object.keys(model.prompts).map((each) => new Option(each, each)));
  form.elements.dimensions.placeholder = `all ${model.dimensions}`;

  const possible = browserModel.installed && Boolean(model.pooling);
  for (const radio of form.elements.where) radio.disabled = radio.value !== "server" && !possible;
  if (!possible && where !== "server") form.elements.where.value = "server";
  byId("numbers").hidden = form.elements.where.value === "server";
  byId("numbers-hint").textContent = `downloads ${megabytes(model.bytes * (numbers === "q8" ? 0.27 : 1))} once`;
  byId("where-hint").textContent =
    !browserModel.installed
      ? "Embedding in the browser is not installed here: whoever runs this server runs “make web” once, which needs npm."
    : !model.pooling ? "This model cannot be computed in a browser."
    : form.elements.where.value === "browser" ? "Your texts do not leave this browser." : "";
}

function megabytes(bytes) {
  return `${Math.max(1, Math.round(bytes / 1e6)).toLocaleString()} MB`;
}

function progress({ loaded, total, done, texts }) {
  const bar = byId("progress").firstElementChild;
  const [part, whole] = texts ? [done, texts] : [loaded, total];
  if (whole) {
    bar.max = whole;
    bar.value = part;
  } else bar.removeAttribute("value");
  byId("status").textContent = texts
    ? `Computing in this browser: ${done} of ${texts}`
    : whole ? `Loading the model: ${megabytes(loaded)} of ${megabytes(total)}` : "Getting ready …";
}

async function embed(event) {
  event.preventDefault();
  const job = asked();
  const problem = problemOf(job);
  running?.abort();
  tell(problem);
  if (problem) return;
  const mine = (running = new AbortController());
  form.setAttribute("aria-busy", "true");
  byId("progress").hidden = byId("stop").hidden = false;
  progress({});
  const asks = {
    server: (signal) => askServer(job, signal),
    browser: (signal) => browserModel.embed(job, progress, signal),
  };
  const places = job.where === "both" ? ["server", "browser"] : [job.where];
  try {
    const results = {};
    // One after the other: on one machine they would slow each other down.
    for (const place of places) results[place] = await asks[place](mine.signal);
    if (running === mine) show({ ...job, results });
  } catch (error) {
    if (running === mine && error.name !== "AbortError") tell(error.message);
  } finally {
    if (running === mine) {
      form.removeAttribute("aria-busy");
      byId("progress").hidden = byId("stop").hidden = true;
      if (byId("status").textContent.endsWith("…") || !byId("problem").hidden) byId("status").textContent = "";
    }
  }
}

function tell(problem) {
  byId("problem").textContent = problem;
  byId("problem").hidden = !problem;
}

function show(all) {
  shown = all;
  byId("plain")?.remove();
  byId("results").hidden = false;
  showDifference(byId("difference"), all);
  showTiming(byId("timing"), all);
  showAlike(byId("alike"), all);
  showTokens(byId("tokens"), all);
  showVectors(byId("vectors"), all);
  const { base, needsToken, transformers, runtime } = form.dataset;
  const written = snippets(all, { base, needsToken: needsToken !== undefined, transformers, runtime });
  written.forEach((text, number) => {
    document.querySelector(`#snippet-${number + 1} code`).textContent = text;
    byId(`tab-${number + 1}`).hidden = !text;
  });
  const { texts, model } = all;
  byId("status").textContent = `${texts.length.toLocaleString()} ${texts.length === 1 ? "vector" : "vectors"} by ${model.name}.`;
}

/** Tabs as people who use keys know them: arrows go from one to the next. */
function tabs(list) {
  const all = [...list.querySelectorAll('[role="tab"]')];
  const choose = (tab) => {
    for (const each of all) {
      each.setAttribute("aria-selected", String(each === tab));
      each.tabIndex = each === tab ? 0 : -1;
      byId(each.getAttribute("aria-controls")).hidden = each !== tab;
    }
  };
  list.addEventListener("click", ({ target }) => target.role === "tab" && choose(target));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const usable = all.filter((tab) => !tab.hidden);
    const next = usable[(usable.indexOf(event.target) + step + usable.length) % usable.length];
    choose(next);
    next.focus();
  });
}

byId("where").hidden = false;
tabs(document.querySelector("#code .tabs"));
form.addEventListener("submit", embed);
form.addEventListener("input", hint);
form.addEventListener("change", ({ target }) => {
  hint();
  if (target.name === "metric" && shown) {
    shown.metric = target.value;
    showAlike(byId("alike"), shown);
  }
});
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
byId("stop").addEventListener("click", () => {
  running.abort();
  byId("status").textContent = "Stopped.";
});
hint();
