// Spans of a text with a label each: the likeliest tags that make sense together.

import { highest, softmax } from "./classification.js";

const inside = (tag) => tag > 0 && tag % 2 === 0;
const senseless = (tags) => tags.map((tag, at) => inside(tag) && !(at && (tags[at - 1] === tag || tags[at - 1] === tag - 1)));

/** The best path through the words: `I-x` only after `B-x` or `I-x`. */
function path(tables, outputs) {
  let reached = tables[0].map((one, tag) => (inside(tag) ? -1e30 : one));
  const came = [];
  for (const table of tables.slice(1)) {
    const best = highest(reached);
    const from = new Int32Array(outputs).fill(best);
    const now = table.map((one) => reached[best] + one);
    for (let tag = 2; tag < outputs; tag += 2) {
      from[tag] = reached[tag - 1] >= reached[tag] ? tag - 1 : tag;
      now[tag] = Math.max(reached[tag - 1], reached[tag]) + table[tag];
    }
    came.push(from);
    reached = now;
  }
  const found = [highest(reached)];
  for (const from of came.reverse()) found.push(from[found.at(-1)]);
  return found.reverse();
}

/** The logarithm of how probable each is, also of what is next to impossible. */
function logarithms(logits) {
  const most = logits.reduce((one, other) => Math.max(one, other), -Infinity);
  const sum = logits.reduce((so, one) => so + Math.exp(one - most), 0);
  return Float64Array.from(logits, (one) => one - most - Math.log(sum));
}

/** The tag of each word, from their logits. */
function best(rows, outputs) {
  const found = rows.map(highest);
  if (!senseless(found).includes(true)) return found;
  return path(rows.map(logarithms), outputs);
}

/** The spans from left to right, each with how probable its label is on the least sure of its words. */
export async function open(told) {
  const outputs = 1 + 2 * told.labels.length;
  return (text, said) => {
    const rows = said.words.map((_, at) => said.values.subarray(at * outputs, (at + 1) * outputs));
    const tags = best(rows, outputs);
    const odd = senseless(tags);
    const spans = [];
    tags.forEach((tag, at) => {
      if (!tag) return;
      const begin = tag - (1 - (tag % 2));
      const shares = softmax(rows[at]);
      const sure = shares[begin] + shares[begin + 1];
      const [start, end] = said.words[at];
      if (tag % 2 || odd[at]) spans.push({ start, end, label: told.labels[(tag - 1) >> 1], score: sure });
      else {
        const last = spans.at(-1);
        last.end = end;
        last.score = Math.min(last.score, sure);
      }
    });
    return { spans: spans.map((one) => ({ ...one, text: text.slice(one.start, one.end) })) };
  };
}
