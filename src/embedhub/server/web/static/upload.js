// A file on its way to a job of this server, with news of how far it is.
// Knows the API of jobs. Refuses to know the page.

import { api, ApiError } from "./api.js";

const proof = document.querySelector('meta[name="csrf"]')?.content;

/** The job, once the file was sent and looked into. `onProgress` gets a number from 0 to 1. When `signal` stops it, or
 *  the file is no use, nothing is kept. */
export async function sendFile(file, onProgress, signal) {
  const job = await api("/api/jobs", { json: {}, signal });
  try {
    await put(`/api/jobs/${job.id}/input?filename=${encodeURIComponent(file.name)}`, file, onProgress, signal);
    // A long file takes a while; the page that shows it has it at once then.
    await api(`/api/jobs/${job.id}/preview`, { signal });
  } catch (error) {
    await api(`/api/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});
    throw error;
  }
  return job;
}

// fetch tells nothing of how far a body is.
function put(path, file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    request.setRequestHeader("content-type", "application/octet-stream");
    if (proof) request.setRequestHeader("x-csrf-token", proof);
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / (event.total || 1)));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve();
      else reject(new ApiError(words(request), request.status, request.getResponseHeader("x-error-code") ?? ""));
    });
    request.addEventListener("error", () => reject(new ApiError("The server cannot be reached, or refused the file.", 0, "unreachable")));
    request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

function words(request) {
  try {
    return JSON.parse(request.responseText).error;
  } catch {
    return `The server says ${request.status} ${request.statusText}`;
  }
}
