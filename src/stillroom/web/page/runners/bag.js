// A bag student: a row of scores for each word, pair of words and n-gram.

import { encoder } from "../encoders/open.js";
import { tensors } from "../safetensors.js";
import { sum } from "./static.js";

/** Logits, `Σ table / √n + bias`. */
export async function open(told, files) {
  const { table, bias } = tensors(await files.bytes(told.file));
  const grams = await encoder(told.encoder, files);
  const within = bias.all();
  return (text) => {
    const { ids, cut } = grams.read(text);
    return { values: Float32Array.from(sum(table, ids), (one, at) => one / Math.sqrt(ids.length) + within[at]), cut };
  };
}
