// Vectors and tokens from this server, by the API of text-embeddings-inference.
// Knows its bodies and the headers that tell times. Refuses to know the page.

import { api, send } from "../api.js";

const MOST_TOKENIZED = 50;

/** The body of `POST /embed`. What is as the server does it anyway is left out. */
export function embedBody({ texts, model, promptName, dimensions, normalize }) {
  const body = { inputs: texts, model: model.name };
  if (promptName) body.prompt_name = promptName;
  if (dimensions) body.dimensions = dimensions;
  if (!normalize) body.normalize = false;
  return body;
}

/** Vectors, tokens of the first texts, numbers of the texts that were cut, and milliseconds by what took them. */
export async function askServer(job, signal) {
  const began = performance.now();
  const response = await send("/embed", { json: embedBody(job), signal });
  const vectors = (await response.json()).map((vector) => Float32Array.from(vector));
  const roundTrip = performance.now() - began;
  const header = (name) => Number(response.headers.get(name) ?? 0);
  const { texts, model, promptName } = job;
  const inputs = texts.slice(0, MOST_TOKENIZED);
  const prompt = promptName || model.defaultPrompt;
  const tokens = await api("/tokenize", {
    json: { inputs, model: model.name, ...(prompt ? { prompt_name: prompt } : {}) },
    signal,
  });
  return {
    vectors,
    tokens,
    times: {
      "round trip": roundTrip,
      "on the server": header("x-total-time"),
      waiting: header("x-queue-time"),
      "reading tokens": header("x-tokenization-time"),
      computing: header("x-inference-time"),
    },
    remembered: header("x-cache-hits"),
  };
}
