// Token ids, and after them the buckets of words and n-grams.

import { open as ngrams } from "./ngrams.js";
import { open as tokens } from "./tokens.js";

/** Both, the buckets' ids beginning where those of tokens end. */
export async function open(told, files) {
  const [first, second] = [await tokens(told.tokens, files), await ngrams(told.ngrams, files)];
  return {
    read(text) {
      const found = first.read(text);
      return { ...found, ids: found.ids.concat(second.read(text).ids.map((bucket) => bucket + told.first)) };
    },
  };
}
