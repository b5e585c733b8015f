// What comes next.

import { Answer } from "/page/answer.js";
import { button, copier, make } from "/page/elements.js";
import { field } from "/page/field.js";

export const title = "Continuation";
export const about = "How a text goes on.";

export function mount({ model }) {
  const answer = new Answer({
    model, title: "How it goes on", empty: "Your beginning and what the student makes of it stand here.",
    shown: (prediction, text) => make("div", {},
      make("p.written", {}, make("span.begun", {}, text), make("span.new", {}, prediction.text)),
      typeof prediction.bits_per_byte === "number" && make("p.small", {}, `The beginning was worth ${prediction.bits_per_byte.toFixed(2)} bits per byte to the student: the fewer, the more it was what it expects.`)),
    spoken: (one) => one.text,
    tools: [button("Go on from there", further, { kind: "plain" }), copier("Copy", () => answer.last.text + answer.last.prediction.text)],
  });
  const go = () => answer.of(source.text, { now: true });
  const source = field({ label: "Beginning", hint: "How does it begin?", rows: 6, hot: go, changed: () => answer.clear(), fail: (said) => answer.fail(said) });
  source.asks("Continue", go);

  function further() {
    const text = answer.last.text + answer.last.prediction.text;
    source.area.value = text;
    answer.of(text, { now: true });
  }

  return { nodes: [source.card, answer.card], leave: () => answer.turn.stop(), focus: () => source.area.focus() };
}
