// A job that is being done: numbers as they come, and on to the dataset at the end.
// Without this script the page loads itself anew every other second.

const job = document.getElementById("job").dataset.job;
const words = { queued: "Waiting for its turn", publishing: "Almost there" };
const stages = { reading: "Reading the file", loading: "Loading the model", embedding: "Embedding" };
const number = new Intl.NumberFormat("en");

const put = (id, text) => {
  const place = document.getElementById(id);
  // A screen reader is told of what changes only.
  if (place.textContent !== text) place.textContent = text;
};

function show(told) {
  if (!told.progress) return leave(told);
  const { stage, rows, total, rows_per_second: rate, seconds_left: left } = told.progress;
  const ahead = told.ahead ? ` (${told.ahead} before it)` : "";
  put("words", told.cancelling ? "Being cancelled" : (words[told.state] ?? stages[stage] ?? "Embedding") + ahead);
  put("rows", total ? `${number.format(rows)} of ${number.format(total)}` : "…");
  put("rate", rate ? number.format(Math.round(rate)) : "…");
  put("left", left === null ? "…" : span(left));
  const bar = document.getElementById("bar");
  bar.max = total || 1;
  if (total) bar.value = rows;
  else bar.removeAttribute("value");
}

function span(seconds) {
  for (const [unit, size] of [["hour", 3600], ["minute", 60]]) {
    if (seconds >= 1.5 * size) return `about ${Math.round(seconds / size)} ${unit}s`;
  }
  const whole = Math.max(1, Math.round(seconds));
  return `about ${whole} second${whole === 1 ? "" : "s"}`;
}

function leave(told) {
  if (told.state === "done") location.replace(`/datasets/${told.dataset}`);
  else if (told.state === "forgotten") location.replace("/jobs");
  else location.reload();
}

function watch() {
  const events = new EventSource(`/api/jobs/${job}/events`);
  events.addEventListener("job", (event) => {
    const told = JSON.parse(event.data);
    if (!told.progress) events.close();
    show(told);
  });
  events.addEventListener("error", () => {
    // The browser tries again by itself, but not after an answer that says no, as of a server that has just begun.
    if (events.readyState === EventSource.CLOSED) setTimeout(watch, 2000);
  });
}

watch();
