// The sentences of a text, told by signs alone, as in Python: students that label words read one at a time.

import { SPACES } from "./encoders/ngrams.js";

const BEFORE = new RegExp(`^[${SPACES}]+`, "u");
const BEHIND = new RegExp(`[${SPACES}]+$`, "u");
const LINE = /[^\n\r]+/g;
const END = new RegExp(`[.!?…]["'”’)\\]]*[${SPACES}]+|[。！？]+[”’」』]*[${SPACES}]*`, "gu");
const SHORT = /(?<![^\s([])(?:[a-z]|al|approx|cf|dr|e\.g|eqs?|etc|figs?|i\.e|mrs?|ms|no|prof|resp|secs?|st|vs)$/i;

/** Where each sentence stands, without the white space around it. */
export function sentences(text) {
  const found = [];
  for (const line of text.matchAll(LINE)) {
    const ends = [];
    for (const one of line[0].matchAll(END)) {
      const past = one.index + one[0].length;
      const next = line[0].slice(past, past + 2).replace(/^["'“‘([]+/, "");
      const short = line[0][one.index] === "." && SHORT.test(line[0].slice(Math.max(0, one.index - 9), one.index));
      if (!/^\p{Lowercase}/u.test(next) && !short) ends.push(past);
    }
    let start = 0;
    for (const stop of [...ends, line[0].length]) {
      const piece = line[0].slice(start, stop);
      const behind = piece.replace(BEHIND, "").length;
      if (behind) found.push([line.index + start + piece.length - piece.replace(BEFORE, "").length, line.index + start + behind]);
      start = stop;
    }
  }
  return found;
}
