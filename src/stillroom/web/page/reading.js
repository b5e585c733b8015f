// Reads a long text sentence by sentence, and each sentence once: what is written on does not ask again what stands.

import { sentences } from "./sentences.js";

const KEPT = 3000;
const AT_ONCE = 8;

/**
 * `read(text, current, part)`: the answers to the sentences of a text, each with the place where it begins.
 * `part` is given those that there are so far, again and again.
 */
export function bySentence(ask) {
  const known = new Map();
  return async (text, current, part) => {
    const places = sentences(text);
    const written = places.map(([start, end]) => text.slice(start, end));
    const fresh = [...new Set(written)].filter((one) => !known.has(one));
    if (known.size > KEPT) known.clear();
    const answered = () => places.map(([start], at) => ({ start, answer: known.get(written[at]) })).filter((one) => one.answer);
    for (let at = 0; at < fresh.length; at += AT_ONCE) {
      if (!current()) return null; // somebody has written on: what is left would be for nothing
      const some = fresh.slice(at, at + AT_ONCE);
      const { answers } = await ask(some);
      some.forEach((one, number) => known.set(one, answers[number]));
      if (at + AT_ONCE < fresh.length) part(answered());
    }
    const missing = written.filter((one) => !known.has(one));
    if (missing.length) return bySentence(ask)(text, current, part); // it was cleared in between
    return answered();
  };
}

/** Whether any sentence was longer than its reader. */
export const cutShort = (read) => read.some(({ answer }) => answer.cut !== null && answer.cut !== undefined);
