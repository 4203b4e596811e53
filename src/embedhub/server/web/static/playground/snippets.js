// The same call as code that can be run: Python and curl, JavaScript, and Transformers.js where that is possible.
// Knows how each language writes a text. Pure.

import { embedBody } from "./server.js";

/** Four texts; the last is empty where the model is not computed in browsers. */
export function snippets(job, { base, needsToken, transformers, runtime }) {
  const body = embedBody(job);
  return [python(body, base, needsToken), javascript(body, base, needsToken), curl(body, base, needsToken),
    transformers && job.model.pooling ? inBrowser(job, base, transformers, runtime) : ""];
}

function python(body, base, needsToken) {
  const token = needsToken ? ', "authorization": f"Bearer {os.environ[\'HF_TOKEN\']}"' : "";
  return `import json
${needsToken ? "import os\n" : ""}import urllib.request

body = ${literal(body, { true: "True", false: "False" })}
headers = {"content-type": "application/json"${token}}
request = urllib.request.Request(${JSON.stringify(`${base}/embed`)}, json.dumps(body).encode(), headers)
with urllib.request.urlopen(request) as response:
    vectors = json.load(response)
print(len(vectors), "vectors of", len(vectors[0]), "numbers")
`;
}

function javascript(body, base, needsToken) {
  const token = needsToken ? ", authorization: `Bearer ${process.env.HF_TOKEN}`" : "";
  return `const response = await fetch(${JSON.stringify(`${base}/embed`)}, {
  method: "POST",
  headers: { "content-type": "application/json"${token} },
  body: JSON.stringify(${literal(body).replaceAll("\n", "\n  ")}),
});
if (!response.ok) throw new Error(await response.text());
const vectors = await response.json();
console.log(vectors.length, "vectors of", vectors[0].length, "numbers");
`;
}

function curl(body, base, needsToken) {
  const token = needsToken ? ' \\\n  -H "authorization: Bearer $HF_TOKEN"' : "";
  // In single quotes a shell reads everything as it is, but for the quote itself.
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl ${base}/embed${token} \\\n  -H "content-type: application/json" \\\n  -d '${quoted}'\n`;
}

function inBrowser({ texts, model, promptName, dimensions, normalize, numbers }, base, transformers, runtime) {
  const at = (path) => JSON.stringify(base + path);
  const prompt = model.prompts[promptName || model.defaultPrompt] ?? "";
  const inputs = literal(texts.map((text) => prompt + text));
  const scale = normalize && !dimensions;
  const cut = dimensions ? `.slice(null, [0, ${dimensions}])${normalize ? ".normalize(2, -1)" : ""}` : "";
  return `import { env, pipeline } from ${at(`${transformers}transformers.min.js`)};

env.remoteHost = ${JSON.stringify(base)};
env.remotePathTemplate = "{model}/resolve/{revision}/";
env.allowLocalModels = false;
env.backends.onnx.wasm.wasmPaths = {
  mjs: ${at(`${runtime}ort-wasm-simd-threaded.mjs`)},
  wasm: ${at(`${runtime}ort-wasm-simd-threaded.wasm`)},
};
const extractor = await pipeline("feature-extraction", ${JSON.stringify(model.name)}, { dtype: "${numbers}" });
const output = await extractor(${inputs}, { pooling: "${model.pooling}", normalize: ${scale} });
const vectors = output${cut}.tolist();
`;
}

/** A value as Python and JavaScript both read it, but for their words for true and false. */
function literal(value, words = {}) {
  if (typeof value === "boolean") return words[value] ?? String(value);
  if (Array.isArray(value)) return `[\n${value.map((each) => `    ${literal(each, words)},\n`).join("")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const fields = Object.entries(value).map(([name, each]) => `    "${name}": ${indented(literal(each, words))},\n`);
  return `{\n${fields.join("")}}`;
}

function indented(text) {
  return text.replaceAll("\n", "\n    ");
}
