// What the teacher behind a proofreader would correct, beside what the student does: asked for, not while one writes.

import { Answer } from "/page/answer.js";
import { change, spoken } from "/page/correction.js";
import { button, counted, make } from "/page/elements.js";

const corrections = ({ corrections: every = [] }) => (every.length
  ? make("ol.opinion", {}, every.map((one) => make("li", {}, make("span.type", {}, one.type), " ", make("span.change", {}, change(one)))))
  : make("p.empty", {}, "Nothing to correct."));

/** `text()` is what stands there when the teacher is asked. */
export function opinion(model, text) {
  const answer = new Answer({
    model, title: "Student and teacher", empty: "Ask, and what its teacher would correct stands here, with what it takes and costs.", shown: corrections,
    spoken: ({ corrections: every = [] }) => (every.length ? `${counted(every.length, "correction")}: ${every.slice(0, 3).map(spoken).join("; ")}.` : "Nothing to correct."),
  });
  const asking = make("div.row", {}, button("Ask its teacher too", () => answer.of(text(), { now: true })));
  answer.card.append(asking);
  return { card: answer.card, leave: () => answer.turn.stop() };
}
