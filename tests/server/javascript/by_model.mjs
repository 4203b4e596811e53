// Models by name: a `fetch` that goes to another host is all that is changed. Prints every address asked, and answers.
import { HfInference as Version2 } from "huggingface-inference-2";
import { InferenceClient as Version4 } from "@huggingface/inference";

const model = process.env.MODEL;
const asked = [];
const hosts = /^https:\/\/((router|api-inference)\.)?huggingface\.co/;
const elsewhere = (url, init) => {
  const address = String(url).replace(hosts, process.env.SERVER);
  asked.push(new URL(address).pathname);
  return fetch(address, init);
};

const clients = {
  4: [new Version4("hf_token", { fetch: elsewhere }), { model, provider: "hf-inference" }],
  auto: [new Version4("hf_token", { fetch: elsewhere }), { model }],
  2: [new Version2("hf_token", { fetch: elsewhere }), { model }],
};
const [client, chosen] = clients[process.env.VERSION];
const compared = { source_sentence: "one text", sentences: ["one text", "another"] };
const similarities = await client.sentenceSimilarity({ ...chosen, inputs: compared });
const text = await client.featureExtraction({ ...chosen, inputs: "one text" });
const texts = await client.featureExtraction({ ...chosen, inputs: ["one text", "another"] });
console.log(JSON.stringify({ asked, similarities, text, texts }));
