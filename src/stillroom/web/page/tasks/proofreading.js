// Corrections of a text: a tag for each word, and the edits that those make.

import { softmax } from "./classification.js";
import { applied, chunker, language } from "./edits.js";
import { dictionary } from "./spelling.js";

const apart = (one, other) => one.start !== other.start && (one.end <= other.start || other.end <= one.start);

function order(one, other) {
  return one.start - other.start || one.end - other.end || (one.replacement < other.replacement ? -1 : 1);
}

/** The corrections from left to right, none of which overlap, and the text with all of them made. */
export async function open(told, files) {
  const chunksOf = chunker(await files.json(told.letters));
  const { edit, topic } = language(told, await dictionary(told.spelling, files));
  const outputs = told.tags.length;

  /** The tag of a word that is sure enough, and how probable it is. */
  function mark(values) {
    const shares = softmax(values);
    let best = 1;
    for (let at = 2; at < outputs; at += 1) if (shares[at] > shares[best]) best = at;
    return shares[best] >= told.least_sure ? { tag: told.tags[best], score: shares[best] } : null;
  }

  /** Of a word that stands twice and is marked twice to be taken out, one is. */
  function twice(one, chunks, at, found) {
    const beside = [at - 1, at + 1].map((place) => chunks[place]).filter(Boolean);
    const same = beside.filter((other) => other.text.toLowerCase() === chunks[at].text.toLowerCase()).map((other) => other.start);
    return one.tag === "delete" && found.some((other) => other.tag === "delete" && same.includes(other.at));
  }

  return (text, said) => {
    const chunks = chunksOf(text);
    const number = new Map(chunks.map((one, at) => [one.start, at]));
    const marks = said.words
      .map(([at], word) => ({ at, ...mark(said.values.subarray(word * outputs, (word + 1) * outputs)) }))
      .filter((one) => one.tag && number.has(one.at))
      .sort((one, other) => other.score - one.score);
    const found = [];
    for (const one of marks) {
      const at = number.get(one.at);
      const made = edit(one.tag, chunks, at, text);
      if (made && found.every((other) => apart(made, other)) && !twice(one, chunks, at, found)) {
        found.push({ ...made, at: one.at, tag: one.tag, type: topic(one.tag, chunks[at].text), score: one.score });
      }
    }
    const corrections = found.sort(order).map(({ start, end, replacement, type, score }) => (
      { start, end, text: text.slice(start, end), replacement, type, score, explanation: told.why[type] }));
    return { corrections, corrected: applied(text, corrections) };
  };
}
