// A text for a text: its summary, or its translation.

import { Answer } from "/page/answer.js";
import { button, copier, counted, make, save } from "/page/elements.js";
import { field } from "/page/field.js";
import { words } from "/page/places.js";
import { takes } from "/page/server.js";

export const title = "Summary or translation";
export const about = "A new text for a text: shorter, or in another language.";

export function mount({ model }) {
  const answer = new Answer({
    model, title: "What the student wrote", empty: "Its text stands here.",
    shown: (prediction, text) => {
      const [from, to] = [words(text).length, words(prediction.text).length];
      return make("div", {}, make("p.written", {}, prediction.text || "(nothing)"), make("p.small", {}, `${counted(to, "word")} from ${counted(from, "word")}`));
    },
    spoken: (one) => one.text,
    tools: [copier("Copy", () => answer.last.prediction.text), button("Save", () => save(answer.last.prediction.text, "written.txt"), { kind: "plain" })],
  });
  const length = make("div.row.length");
  const chosen = () => { const one = length.querySelector("select, input"); return one?.value ? { length: one.type === "range" ? Number(one.value) : one.value } : {}; };
  const go = () => answer.of(source.text, { now: true, ...chosen() });
  const source = field({ label: "Text", hint: "Write or paste a text, or drop a file here …", rows: 9, hot: go, changed: () => answer.clear(), fail: (said) => answer.fail(said) });
  source.row.before(length);
  source.asks("Write", go);
  takes().then(({ length: told }) => { if (told) length.append(...control(told)); });
  return { nodes: [source.card, answer.card], leave: () => answer.turn.stop(), focus: () => source.area.focus() };
}

/** How long the text is to be, where the server can be told: a choice of its words, or a number in its bounds. */
function control(told) {
  const forms = told.anyOf ?? [told];
  const words = forms.find((one) => one.enum)?.enum;
  const number = forms.find((one) => one.type === "integer" || one.type === "number");
  const label = make("label", { for: "length" }, "Length");
  if (words) return [label, make("select", { id: "length" }, make("option", { value: "" }, "as it comes"), words.map((one) => make("option", { value: one }, one)))];
  if (!number) return [];
  const low = number.minimum ?? (number.exclusiveMinimum ?? 0) + 1, high = number.maximum ?? 400;
  const shown = make("output", { for: "length" }, String(Math.round((low + high) / 4)));
  return [label, make("input", { id: "length", type: "range", min: low, max: high, value: shown.textContent, input: (event) => { shown.textContent = event.target.value; } }), shown];
}
