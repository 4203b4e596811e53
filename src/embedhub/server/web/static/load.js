// What the server is doing now, on the front page: read from its metrics every few seconds while somebody looks.
// Knows the names of four of them. Without it the place for them stays hidden.

import { send } from "./api.js";

const EVERY_MILLISECONDS = 4000;
const SAMPLE = /^(\w+)(?:\{(.*)\})? (\S+)$/;

const place = document.getElementById("load");
const fields = Object.fromEntries([...place.querySelectorAll("[data-load]")].map((each) => [each.dataset.load, each]));
let before;

/** The sum of a metric's samples; those of which `leaveOut` is a part are left out, such as our own looks. */
function sum(text, name, leaveOut) {
  let found = 0;
  for (const line of text.split("\n")) {
    const sample = SAMPLE.exec(line);
    if (sample?.[1] === name && !(leaveOut && sample[2]?.includes(leaveOut))) found += Number(sample[3]);
  }
  return found;
}

function bytes(size) {
  return size < 1e9 ? `${Math.round(size / 1e6)} MB` : `${(size / 1e9).toFixed(1)} GB`;
}

async function look() {
  if (document.hidden) return;
  const text = await (await send("/metrics")).text();
  const now = { at: performance.now(), requests: sum(text, "embedhub_requests_total", 'route="/metrics"') };
  if (before) fields.rate.textContent = ((now.requests - before.requests) / ((now.at - before.at) / 1000)).toFixed(1);
  before = now;
  // This one request is not counted.
  fields.busy.textContent = Math.max(0, sum(text, "embedhub_requests_in_flight") - 1);
  fields.waiting.textContent = sum(text, "embedhub_queue_texts");
  fields.memory.textContent = bytes(sum(text, "process_resident_memory_bytes"));
  place.hidden = false;
}

async function keepLooking() {
  try {
    await look();
  } catch {
    // The server is away for a moment; what is shown is of before.
  }
  setTimeout(keepLooking, EVERY_MILLISECONDS);
}

keepLooking();
