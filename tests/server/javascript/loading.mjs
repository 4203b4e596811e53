// Asks for a model that is being loaded. Prints how often the client asked in all, and the vector's length.
import { InferenceClient } from "@huggingface/inference";

let requests = 0;
const counting = (url, init) => {
  requests += 1;
  // The test sees this line and lets the load go on some requests later.
  console.error(`request ${requests}`);
  return fetch(url, init);
};
const client = new InferenceClient("hf_token", { fetch: counting });
const options = process.env.WAIT ? { options: { wait_for_model: process.env.WAIT === "true" } } : {};
const start = performance.now();
const vector = await client.featureExtraction({ endpointUrl: process.env.ENDPOINT, inputs: "the one", ...options });
const seconds = (performance.now() - start) / 1000;
console.log(JSON.stringify({ requests, seconds, width: vector.length }));
