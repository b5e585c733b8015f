// A static student: one vector a token, summed, through a small head; where it has them, scores of words and n-grams beside.

import { encoder } from "../encoders/open.js";
import { tensors } from "../safetensors.js";

/** The sum of a table's rows. */
export function sum(table, ids) {
  const found = new Float64Array(table.width);
  for (const id of ids) table.add(id, found);
  return found;
}

/** Logits, `head · relu(Σ rows / n + bias) + head_bias + Σ features / √m`. */
export async function open(told, files) {
  const { rows, features, bias, head, head_bias: last } = tensors(await files.bytes(told.file));
  const tokens = await encoder(told.encoder, files);
  const grams = told.features ? await encoder(told.features, files) : null;
  const [within, behind] = [bias.all(), last.all()];

  return (text) => {
    const { ids, cut } = tokens.read(text);
    const hidden = sum(rows, ids).map((one, at) => Math.max(one / ids.length + within[at], 0));
    const logits = Float32Array.from(head.times(hidden), (one, at) => one + behind[at]);
    if (grams !== null) {
      const buckets = grams.read(text).ids;
      sum(features, buckets).forEach((one, at) => (logits[at] += one / Math.sqrt(buckets.length)));
    }
    return { values: logits, cut };
  };
}
