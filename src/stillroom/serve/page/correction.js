// A correction as it is seen and said.

import { make } from "/page/elements.js";

/** Its words without the blanks about them, which go unsaid where there is something else to see. */
const shown = (text) => text.trim() || (text.includes("\n") ? "¶" : "␣");

export function change(one) {
  const old = one.text && make("del", {}, make("span.away", {}, "instead of "), shown(one.text));
  const made = one.replacement ? make("ins", {}, make("span.away", {}, one.text ? " write " : "put in "), shown(one.replacement)) : make("ins.nothing", {}, "take it out");
  return [old, one.text && make("span.arrow", { "aria-hidden": "true" }, one.replacement ? " → " : "  "), made];
}

export function spoken(one) {
  if (!one.text) return `put in ${shown(one.replacement)}`;
  return one.replacement ? `${shown(one.text)}, ${shown(one.replacement)}` : `take out ${shown(one.text)}`;
}
