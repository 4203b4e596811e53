// Requests to this server: JSON out, JSON in, and errors with the words that the server has for them.
// Knows what proves that a request comes from a page of ours. Refuses to know what is asked.

const proof = document.querySelector('meta[name="csrf"]')?.content;

/** An answer that says no: `message` is for people, `code` for programs, `retryAfter` in seconds if it is worth it. */
export class ApiError extends Error {
  constructor(message, status, code, retryAfter) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** The response to a request, once it is known to be a good one. Options as of `fetch`; `json` is sent as such. */
export async function send(path, { json, headers, ...options } = {}) {
  const sent = new Headers(headers);
  if (proof) sent.set("x-csrf-token", proof);
  if (json !== undefined) {
    sent.set("content-type", "application/json");
    options = { method: "POST", body: JSON.stringify(json), ...options };
  }
  let response;
  try {
    response = await fetch(path, { ...options, headers: sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached.", 0, "unreachable");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** The body of the response, read as JSON; nothing if there is none. */
export async function api(path, options) {
  const text = await (await send(path, options)).text();
  return text ? JSON.parse(text) : undefined;
}

async function refusal(response) {
  let told;
  try {
    const body = await response.json();
    told = body.error?.message ?? body.error ?? body.message;
  } catch {
    // No JSON: the status has to do.
  }
  const message = typeof told === "string" ? told : `The server says ${response.status} ${response.statusText}`.trim();
  const seconds = Number(response.headers.get("retry-after"));
  return new ApiError(message, response.status, response.headers.get("x-error-code") ?? "", seconds || undefined);
}
