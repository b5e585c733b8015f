// One label for a text: how probable each is, as bars.

import { Editor, bar, button, calm, card, element, percent, shortened, trouble, whileTyping } from "../parts.js";

export const heading = "Sort a text";
export const lead = "Write or paste a text. The student reads it here, on this device, while you type, and says which label fits and how sure it is.";
const FEW = 8;

export function show(root, { ask, say, told }) {
  const body = element("div", { class: "inner" });
  let all = false;

  function nothing() {
    body.replaceChildren(calm("No text yet", `It knows ${told.task.labels.length} labels: ${told.task.labels.slice(0, 6).join(", ")}${told.task.labels.length > 6 ? " …" : ""}`));
    say("");
  }

  function shown(text, answer) {
    if (!text.trim()) return nothing();
    const ordered = [...answer.scores].sort((one, other) => other[1] - one[1]);
    const some = all ? ordered : ordered.slice(0, FEW);
    const more = ordered.length > FEW && !all
      ? button(`Show all ${ordered.length}`, () => { all = true; shown(text, answer); }, { class: "bare" }) : null;
    const notice = shortened(text, answer.cut);
    body.replaceChildren(
      element("p", { class: "answer" }, element("span", { class: "figure", id: "label" }, answer.label), element("span", { class: "share" }, percent(answer.score))),
      element("ol", { class: "bars", "aria-label": "How probable each label is" }, ...some.map(([label, share], at) => bar(label, share, percent(share), at === 0))),
      ...[more, notice].filter(Boolean),
    );
    say(`${answer.label}, ${percent(answer.score)}`);
    return undefined;
  }

  const typed = whileTyping(async (text) => (await ask([text])).answers[0], { shown, failed: (error) => body.replaceChildren(trouble(error)) });
  const editor = new Editor({ label: "The text to sort", placeholder: "Write or paste a text, or drop a file here.", onchange: typed });
  root.replaceChildren(editor.card("Text"), card("Label", [], body, { class: "card results", "aria-label": "Label" }));
  nothing();
}
