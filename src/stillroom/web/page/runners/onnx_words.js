// An exported student that labels words: the answer at each word's first token.

import { graph } from "./onnx.js";

/** The logits of each word, end to end, and where the words stand. */
export async function open(told, files) {
  const ask = await graph(told, files);
  return async (text) => {
    const { values, ids, words, cut } = await ask(text);
    const tags = values.length / ids.length;
    const found = new Float32Array(words.length * tags);
    words.forEach((word, at) => found.set(values.subarray(word.token * tags, (word.token + 1) * tags), at * tags));
    return { values: found, words: words.map(({ start, end }) => [start, end]), cut };
  };
}
