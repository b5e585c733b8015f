// How near lines are to another: the cosine of their vectors.

import { Editor, bar, calm, card, element, trouble, whileTyping } from "../parts.js";
import { cosine } from "../tasks/embeddings.js";

export const heading = "Find what means the same";
export const lead = "Write what you look for, and a text a line below. The student puts the lines in order by what they mean, here on this device.";
const KEPT = 5000;

export function show(root, { ask, say }) {
  const body = element("div", { class: "inner scrolls" });
  const known = new Map();
  const looked = element("input", { type: "text", id: "looked", autocomplete: "off", spellcheck: "false", placeholder: "What you look for" });

  async function vectors(texts) {
    if (known.size > KEPT) known.clear();
    const fresh = [...new Set(texts)].filter((one) => !known.has(one));
    const { answers } = fresh.length ? await ask(fresh) : { answers: [] };
    fresh.forEach((one, at) => known.set(one, answers[at]));
    return texts.map((one) => known.get(one));
  }

  async function near({ wanted, lines }) {
    if (!wanted || !lines.length) return [];
    const [own, ...others] = await vectors([wanted, ...lines]);
    return lines.map((line, at) => [line, cosine(own.vector, others[at].vector)]).sort((one, other) => other[1] - one[1]);
  }

  function shown(_, ordered) {
    if (!ordered.length) {
      body.replaceChildren(calm("Nothing to compare yet", "The lines are listed here, the nearest first."));
      say("");
      return;
    }
    body.replaceChildren(element("ol", { class: "bars near", "aria-label": "The lines, the nearest first" },
      ...ordered.map(([line, share], at) => bar(line, share, share.toFixed(2), at === 0))));
    say(`Nearest: ${ordered[0][0]}`);
  }

  const typed = whileTyping(near, { shown, failed: (error) => body.replaceChildren(trouble(error)) });
  const changed = () => typed({ wanted: looked.value.trim(), lines: editor.text.split("\n").map((one) => one.trim()).filter(Boolean) });
  const editor = new Editor({ label: "The lines to compare, a text a line", placeholder: "A text a line, or drop a file here.", onchange: () => changed() });
  looked.oninput = changed;
  const left = editor.card("Lines");
  left.querySelector("header").after(element("div", { class: "inner" }, element("label", { class: "line", for: "looked" }, "Look for"), looked));
  root.replaceChildren(left, card("Nearest first", [], body, { class: "card results", "aria-label": "Nearest first" }));
  shown(null, []);
}
