// Spans of a text with a label each: names, places, slots.

import { Answer } from "/page/answer.js";
import { counted, make, percent } from "/page/elements.js";
import { field } from "/page/field.js";
import { placed } from "/page/places.js";

export const title = "Entities";
export const about = "What is named in a text, with a label each.";

const SHADES = 6;
const EXAMPLE = "On Monday the engineer Ada Lindqvist flew from Oslo to Lisbon to meet the board of Northwind Energy. In Porto she had been told that Siemens and the University of Turin would join them.";

export function mount({ model }) {
  const order = new Map((model.labels ?? []).map((label, place) => [label, 1 + (place % SHADES)]));
  const shade = (label) => order.get(label) ?? order.set(label, 1 + (order.size % SHADES)).get(label);

  function shown(prediction, text) {
    const spans = placed(text, prediction.spans);
    const inside = [];
    let last = 0;
    for (const one of spans) {
      inside.push(text.slice(last, one.start), make(`mark.entity.shade-${shade(one.label)}`, { title: `${one.label}, ${percent(one.score)}` }, text.slice(one.start, one.end), make("span.tag", {}, one.label)));
      last = one.end;
    }
    inside.push(text.slice(last));
    const counts = Map.groupBy ? Map.groupBy(spans, (one) => one.label) : spans.reduce((all, one) => all.set(one.label, [...(all.get(one.label) ?? []), one]), new Map());
    const legend = make("ul.labels", { "aria-label": "Labels" }, [...new Set([...order.keys(), ...counts.keys()])].map((label) => {
      const n = counts.get(label)?.length ?? 0;
      return make(`li.shade-${shade(label)}`, { class: n ? null : "none" }, make("span.dot", { "aria-hidden": "true" }), make("span", {}, label), make("span.number", {}, String(n)));
    }));
    const table = spans.length > 0 && make("details", {}, make("summary", {}, "As a list"), make("div.scroll", {}, make("table", {},
      make("thead", {}, make("tr", {}, ["Text", "Label", "Sure", "From – to"].map((one) => make("th", { scope: "col" }, one)))),
      make("tbody", {}, prediction.spans.map((one) => make("tr", {}, make("td", {}, one.text), make("td", {}, one.label), make("td", {}, percent(one.score)), make("td", {}, `${one.start} – ${one.end}`)))))));
    return make("div", {}, legend, make("p.marked", {}, inside), spans.length === 0 && make("p.small", {}, "Nothing is named here."), table);
  }

  const answer = new Answer({
    model, title: "What is named", empty: "Write something, and what is named in it is marked here.", shown,
    spoken: (one) => (one.spans.length ? `${counted(one.spans.length, "entity", "entities")}: ${one.spans.slice(0, 5).map((span) => `${span.text}, ${span.label}`).join("; ")}` : "Nothing is named here."),
  });
  const source = field({ label: "Text", hint: "Write or paste a text, or drop a file here …", example: EXAMPLE, changed: () => answer.of(source.text), fail: (said) => answer.fail(said) });
  return { nodes: [source.card, answer.card], leave: () => answer.turn.stop(), focus: () => source.area.focus() };
}
