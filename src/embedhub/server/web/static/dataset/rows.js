// Has the columns of a large table counted while somebody reads it, and shows what came of it.

import { send } from "../api.js";

const note = document.getElementById("counting");
note.textContent = "What the columns hold is being counted…";
try {
  await send(note.dataset.statistics);
  const page = new DOMParser().parseFromString(await (await send(location.href)).text(), "text/html");
  document.querySelector("#rows thead").replaceWith(page.querySelector("#rows thead"));
  note.remove();
} catch (error) {
  note.textContent = `What the columns hold could not be counted: ${error.message}`;
}
