// The page that takes a file: dropped or chosen, sent with a bar, and on to the choice of the texts.
// Without this script the form does the same, but for the bar.

import { sendFile } from "./upload.js";

const form = document.getElementById("upload");
const drop = document.getElementById("drop");
const field = document.getElementById("file");
const problem = document.getElementById("problem");
const sending = document.getElementById("sending");
const told = document.getElementById("told");
const bar = document.getElementById("bar");

document.body.classList.add("scripted");

async function take(file) {
  if (!sending.hidden) return;
  const stop = new AbortController();
  document.getElementById("stop").onclick = () => stop.abort();
  show(file, true);
  try {
    const job = await sendFile(file, (part) => progress(file, part), stop.signal);
    location.assign(`/jobs/${job.id}`);
  } catch (error) {
    show(file, false);
    if (error.name === "AbortError") return;
    problem.textContent = error.message;
    problem.hidden = false;
  }
}

function progress(file, part) {
  if (part < 1) bar.value = part;
  else bar.removeAttribute("value");
  told.textContent = part < 1 ? `Sending ${file.name}: ${Math.floor(100 * part)} %` : `Reading ${file.name}…`;
}

function show(file, busy) {
  sending.hidden = !busy;
  drop.hidden = busy;
  document.getElementById("send").hidden = busy;
  problem.hidden = true;
  if (busy) progress(file, 0);
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  if (field.files.length) take(field.files[0]);
});

for (const name of ["dragenter", "dragover"]) {
  drop?.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) drop?.addEventListener(name, () => drop.classList.remove("over"));
drop?.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
});
