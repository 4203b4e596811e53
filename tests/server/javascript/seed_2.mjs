// The same with version 2, which takes an address for a model.
import { HfInference } from "huggingface-inference-2";
import dotenv from "dotenv";

dotenv.config({ quiet: true });
if (!process.env.HF_TOKEN) throw new Error("no HF_TOKEN in .env");

const hf = new HfInference(process.env.HF_TOKEN);
const vector = await hf.featureExtraction({
  model: process.env.ENDPOINT,
  inputs: "this is a huggingface test",
});
console.log(JSON.stringify(vector));
