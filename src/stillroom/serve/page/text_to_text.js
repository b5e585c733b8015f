// A text for a text: its summary, or its translation.

import { Answer } from "/page/answer.js";
import { button, copier, counted, make, save } from "/page/elements.js";
import { field } from "/page/field.js";
import { words } from "/page/places.js";

export const title = "Summary or translation";
export const about = "A new text for a text: shorter, or in another language.";

export function mount({ model }) {
  const answer = new Answer({
    model, title: "What the student wrote", empty: "Its text stands here.",
    shown: (prediction, text) => {
      const [from, to] = [words(text).length, words(prediction.text).length];
      return make("div", {}, make("p.written", {}, prediction.text || "(nothing)"), make("p.small", {}, `${counted(to, "word")} from ${counted(from, "word")}${prediction.cut_short ? ", cut inside a sentence" : ""}`));
    },
    spoken: (one) => one.text,
    tools: [copier("Copy", () => answer.last.prediction.text), button("Save", () => save(answer.last.prediction.text, "written.txt"), { kind: "plain" })],
  });
  const length = make("input", { id: "length", type: "number", min: 1, step: 1, inputmode: "numeric", placeholder: "as it comes" });
  const go = () => answer.of(source.text, { now: true, ...(length.valueAsNumber >= 1 ? { length: Math.floor(length.valueAsNumber) } : {}) });
  const source = field({ label: "Text", hint: "Write or paste a text, or drop a file here …", rows: 9, hot: go, changed: () => answer.clear(), fail: (said) => answer.fail(said) });
  if (model.takes_length) source.row.before(make("div.row.length", {}, make("label", { for: "length" }, "Words, at most"), length));
  source.asks("Write", go);
  return { nodes: [source.card, answer.card], leave: () => answer.turn.stop(), focus: () => source.area.focus() };
}
