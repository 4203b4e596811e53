// Computes vectors with Transformers.js, beside the page. Everything it loads comes from this server.
// Knows what the server does with texts, and does the same: prompt, tokens, cut, pooling, dimensions, length.

let ready; // { key, extractor }

onmessage = async ({ data: job }) => {
  try {
    const result = await embed(job, (progress) => postMessage({ id: job.id, progress }));
    postMessage({ id: job.id, result }, result.vectors.map((vector) => vector.buffer));
  } catch (error) {
    postMessage({ id: job.id, error: told(error, job) });
  }
};

async function embed(job, progress) {
  const began = performance.now();
  const { extractor, Tensor } = await load(job, progress);
  const loaded = performance.now();
  const { model, promptName, dimensions, normalize } = job;
  const prompt = model.prompts[promptName || model.defaultPrompt] ?? "";
  const vectors = [];
  const tokens = [];
  for (const [number, text] of job.texts.entries()) {
    const read = tokenize(extractor.tokenizer, prompt + text, model.maxTokens);
    const states = await run(extractor.model, read.ids, Tensor);
    vectors.push(scaled(pooled(states, model.pooling).slice(0, dimensions), normalize));
    tokens.push(read.tokens);
    progress({ done: number + 1, texts: job.texts.length });
  }
  const ended = performance.now();
  return {
    vectors,
    tokens,
    times: { loading: loaded - began, computing: ended - loaded },
  };
}

async function load({ model, numbers, transformers, runtime, origin }, progress) {
  const { env, pipeline, Tensor } = await import(`${transformers}transformers.min.js`);
  const key = `${model.name} ${model.mark} ${numbers}`;
  if (ready?.key === key) return { ...ready, Tensor };
  await ready?.extractor.dispose();
  ready = undefined;
  env.allowLocalModels = false;
  env.remoteHost = origin;
  env.remotePathTemplate = "{model}/resolve/{revision}/";
  // It would run the runtime from a blob, which the page's policy forbids.
  env.useWasmCache = false;
  env.backends.onnx.wasm.numThreads = 1;
  env.backends.onnx.wasm.wasmPaths = {
    mjs: `${runtime}ort-wasm-simd-threaded.mjs`,
    wasm: `${runtime}ort-wasm-simd-threaded.wasm`,
  };
  // What is kept is never looked at again by the library: a model that was changed here has another name there.
  env.cacheKey = `embedhub:${model.name}:${model.mark}`;
  await forgetOthers(model, env.cacheKey);
  const extractor = await pipeline("feature-extraction", model.name, {
    dtype: numbers,
    progress_callback: ({ status, loaded, total }) => status === "progress_total" && progress({ loaded, total }),
  });
  ready = { key, extractor };
  return { ...ready, Tensor };
}

async function forgetOthers(model, kept) {
  // Not there where a page came without encryption from another machine.
  if (!globalThis.caches) return;
  for (const name of await caches.keys()) {
    if (name.startsWith(`embedhub:${model.name}:`) && name !== kept) await caches.delete(name);
  }
}

/** Every token of a text, and the ids that are read: of a long text its beginning, with the special tokens around it. */
function tokenize(tokenizer, text, most) {
  const bare = tokenizer.encode(text, { add_special_tokens: false });
  const whole = tokenizer.encode(text);
  const before = whole.findIndex((_, at) => bare.every((id, number) => whole[at + number] === id));
  const after = whole.length - bare.length - before;
  const ids = whole.length > most ? [...whole.slice(0, most - after), ...whole.slice(whole.length - after)] : whole;
  const tokens = whole.map((id, place) => {
    const special = place < before || place >= before + bare.length;
    return { id, text: tokenizer.decode([id], { clean_up_tokenization_spaces: false }), special };
  });
  return { ids, tokens };
}

/** Vectors of one text's tokens, [tokens, width]. */
async function run(model, ids, Tensor) {
  const shape = [1, ids.length];
  const whole = (numbers) => new Tensor("int64", BigInt64Array.from(numbers, BigInt), shape);
  const output = await model({ input_ids: whole(ids), attention_mask: whole(ids.map(() => 1)) });
  const states = output.last_hidden_state ?? output.token_embeddings;
  const { data, dims } = states;
  const width = dims.at(-1);
  return Array.from({ length: ids.length }, (_, place) => data.subarray(place * width, (place + 1) * width));
}

function pooled(states, pooling) {
  if (pooling === "cls") return Float32Array.from(states[0]);
  return Float32Array.from(states[0], (_, axis) => states.reduce((sum, state) => sum + state[axis], 0) / states.length);
}

function scaled(vector, normalize) {
  const length = normalize ? Math.max(Math.hypot(...vector), 1e-12) : 1;
  return vector.map((value) => value / length);
}

function told(error, { model }) {
  const message = String(error?.message ?? error);
  if (/Could not locate file|status 404|Unauthorized|status 401/.test(message)) {
    return `${model.name} cannot be loaded into a browser: this server has no ONNX files of it.`;
  }
  return `In this browser: ${message}`;
}
