// Token ids that also tell how each token is written: without capitals, with one at its start, in capitals, with some inside.

import { open as tokens } from "./tokens.js";

const UPPER = /\p{Uppercase}/u;
const LOWER = /\p{Lowercase}/u;
const TITLE = /\p{Lt}/u;

function way(written) {
  if (written === written.toLowerCase() || (LOWER.test(written) && !UPPER.test(written) && !TITLE.test(written))) return 0;
  const letters = [...written];
  if (letters.length > 1 && UPPER.test(written) && !LOWER.test(written) && !TITLE.test(written)) return 2;
  const rest = letters.slice(1).join("");
  return UPPER.test(letters[0]) && rest === rest.toLowerCase() ? 1 : 3;
}

/** The tokenizer of a student, with its ways to write a token. */
export async function open(told, files) {
  const plain = await tokens(told.tokens, files);
  return {
    read(text) {
      const found = plain.read(text);
      if (text === text.toLowerCase()) return found;
      const ids = found.ids.map((id, at) => id + told.size * way(text.slice(...found.places[at])));
      return { ...found, ids };
    },
  };
}
