// A program written for the hosted Inference API: the token from `.env`, one text, the vector printed.
import { HfInference } from "@huggingface/inference";
import dotenv from "dotenv";

dotenv.config({ quiet: true });
if (!process.env.HF_TOKEN) throw new Error("no HF_TOKEN in .env");

const hf = new HfInference(process.env.HF_TOKEN);
const vector = await hf.featureExtraction({
  endpointUrl: process.env.ENDPOINT,
  inputs: "this is a huggingface test",
});
console.log(JSON.stringify(vector));
