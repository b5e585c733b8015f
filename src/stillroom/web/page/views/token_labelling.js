// Spans of a text with a label each, marked where they stand.

import { Editor, calm, card, counted, element, percent, trouble, whileTyping } from "../parts.js";
import { bySentence, cutShort } from "../reading.js";

export const heading = "Find what is named";
export const lead = "Write or paste a text. The student marks what it finds, sentence by sentence, here on this device, while you type.";
const SHADES = 6;

export function show(root, { ask, say, told }) {
  const { labels } = told.task;
  const shade = (label) => String(1 + (labels.indexOf(label) % SHADES));
  const body = element("div", { class: "inner scrolls" });

  function nothing(strong = "No text yet") {
    body.replaceChildren(
      element("ul", { class: "chips", "aria-label": "What it looks for" }, ...labels.map((label) => element("li", { "data-shade": shade(label) }, label))),
      calm(strong, strong === "Nothing found" ? "Nothing of what it looks for stands in this text." : "What is found is listed here."),
    );
  }

  function shown(text, read, more = false) {
    if (read === null) return;
    const spans = read.flatMap(({ start, answer }) => answer.spans.map((one) => ({ ...one, start: one.start + start, end: one.end + start })));
    editor.marks(spans.map(({ start, end, label }) => ({ start, end, "data-shade": shade(label) })));
    if (!text.trim()) {
      nothing();
      say("");
      return;
    }
    if (!more) say(counted(spans.length, "span found", "spans found"));
    if (!spans.length) {
      nothing(more ? "Reading …" : "Nothing found");
      return;
    }
    const count = (label) => spans.filter((one) => one.label === label).length;
    body.replaceChildren(
      element("ul", { class: "chips", "aria-label": "How many of each" }, ...labels.map((label) => element("li", { "data-shade": shade(label) }, `${label} ${count(label)}`))),
      element("ol", { class: "spans", "aria-label": "What was found" }, ...spans.map((one) => element("li", {},
        element("span", {}, one.text),
        element("span", { class: "tag", "data-shade": shade(one.label) }, one.label),
        element("span", { class: "share" }, percent(one.score))))),
      ...(cutShort(read) ? [element("p", { class: "notice" }, "A sentence is longer than this student reads: its end was not read.")] : []),
    );
  }

  const typed = whileTyping(bySentence(ask), { shown, failed: (error) => body.replaceChildren(trouble(error)) });
  const editor = new Editor({ label: "The text to look through", placeholder: "Write or paste a text, or drop a file here.", onchange: typed });
  root.replaceChildren(editor.card("Text"), card("Found", [], body, { class: "card results", "aria-label": "Found" }));
  nothing();
}
