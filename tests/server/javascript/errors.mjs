// What a program sees of errors. Prints their messages.
import { InferenceClient as Version4 } from "@huggingface/inference";
import { HfInference as Version2 } from "huggingface-inference-2";

const message = (promise) =>
  promise.then(
    () => "no error",
    (error) => error.message,
  );
const at = (path) => new Version4("hf_token").endpoint(process.env.SERVER + path);

console.log(
  JSON.stringify({
    unknown: await message(at("/models/nobody/nothing").featureExtraction({ inputs: "a" })),
    empty: await message(at("/").featureExtraction({ inputs: [] })),
    wide: await message(at("/").featureExtraction({ inputs: "a", dimensions: 1000 })),
    labels: await message(at("/").textClassification({ inputs: { text: "a" } })),
    version2: await message(
      new Version2("hf_token").featureExtraction({ model: `${process.env.SERVER}/models/nobody/nothing`, inputs: "a" }),
    ),
  }),
);
