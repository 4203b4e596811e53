// Vectors of a model that a server of files has, computed by Transformers.js as browsers compute them.
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web/wasm";

// Under Node the library wants native code, half a gigabyte of it; what is to be tested is what browsers run.
const here = new URL(".", import.meta.resolve("onnxruntime-web/wasm"));
const create = (place, options) =>
  ort.InferenceSession.create(typeof place === "string" ? readFileSync(place) : place, options);
globalThis[Symbol.for("onnxruntime")] = { ...ort, InferenceSession: { create } };

const { AutoModelForSequenceClassification, AutoTokenizer, env, pipeline } = await import("@huggingface/transformers");
env.backends.onnx.wasm.numThreads = 1;
env.backends.onnx.wasm.wasmPaths = Object.fromEntries(
  ["mjs", "wasm"].map((kind) => [kind, new URL(`ort-wasm-simd-threaded.${kind}`, here).href]),
);
env.useWasmCache = false;
env.allowLocalModels = false;
env.cacheDir = "cache";
env.remoteHost = process.env.SERVER;
env.remotePathTemplate = "{model}/";

const { model, inputs, pooling, normalize } = JSON.parse(process.env.ASK);
const found = {};
for (const dtype of ["fp32", "q8"]) {
  const options = { dtype, device: "auto" };
  if (pooling) {
    const extractor = await pipeline("feature-extraction", model, options);
    // The last one is long: beside it all others would be computed at its length.
    const batches = [inputs.slice(0, -1), inputs.slice(-1)];
    found[dtype] = [];
    for (const batch of batches) found[dtype].push(...(await extractor(batch, { pooling, normalize })).tolist());
    found.longest = extractor.tokenizer.model_max_length;
  } else {
    const tokenizer = await AutoTokenizer.from_pretrained(model);
    const classifier = await AutoModelForSequenceClassification.from_pretrained(model, options);
    const [texts, text_pair] = inputs;
    const read = tokenizer(texts, { text_pair, padding: true, truncation: true, return_token_type_ids: true });
    found[dtype] = (await classifier(read)).logits.tolist();
  }
}
console.log(JSON.stringify(found));
