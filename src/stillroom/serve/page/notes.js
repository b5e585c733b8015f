// What the server says beside an answer: how long, for how much, how sure, what was found in a text, what was not read.

import { button, counted, make, milliseconds } from "/page/elements.js";
import { places } from "/page/places.js";

const amount = (value) => (value === 0 ? "0" : value >= 1 ? value.toFixed(2) : String(Number(value.toPrecision(2))));
export const price = (value, currency) => `${amount(value)}${currency ? ` ${currency}` : ""}`;

/** How long an answer took, where the time went, and what a thousand cost. */
export function timing(told, model, texts = 1) {
  const parts = [["Student", told.answer === undefined ? null : milliseconds(told.answer - (told.queue ?? 0))],
    ["in the queue", told.queue === undefined ? null : milliseconds(told.queue)],
    ["there and back", milliseconds(told.trip)],
    ["texts", texts > 1 ? String(texts) : null],
    ["per 1,000 texts", model.price_per_1000 === undefined || model.price_per_1000 === null ? null : price(model.price_per_1000, model.currency)]];
  return make("dl.timing", {}, parts.filter(([, value]) => value !== null).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

const flagged = (flag) => {
  if (typeof flag === "string") return flag;
  const names = (flag.names ?? []).join(", ");
  return [flag.detector ?? flag.kind ?? "flag", names && `found ${names}`, flag.action && `action: ${flag.action}`].filter(Boolean).join(" · ");
};

function cut(text, one) {
  const at = places(text);
  const part = text.slice(at(one.start), at(one.end)).replace(/\s+/g, " ").trim();
  const where = one.end > one.start ? `Characters ${one.start.toLocaleString("en")} to ${one.end.toLocaleString("en")}` : `At character ${one.start.toLocaleString("en")}`;
  return make("li", {}, `${where}: ${one.why}`, part && make("q", {}, part.length > 90 ? `${part.slice(0, 90)} …` : part));
}

/** Notices under an answer; nothing where there is nothing to say. */
export function notices(prediction, text = "") {
  const found = [];
  if (prediction.escalated) found.push(make("p.notice.calm", {}, make("strong", {}, "The teacher was asked. "), "The student was not sure enough of this text."));
  else if (prediction.sure === false) found.push(make("p.notice.unsure", {}, make("strong", {}, "Not sure. "), "The student’s confidence is below what was certified, and its answer stands all the same."));
  else if (prediction.sure === true) found.push(make("p.notice.good", {}, make("strong", {}, "Sure. "), "The student’s confidence is above what was certified."));
  const flags = prediction.flags ?? [];
  if (flags.length) found.push(make("div.notice.unsure", {}, make("strong", {}, counted(flags.length, "flag")), make("ul", {}, flags.map((one) => make("li", {}, flagged(one))))));
  const cuts = prediction.cuts ?? [];
  if (cuts.length) found.push(make("div.notice.unsure", {}, make("strong", {}, "Not all of it was read as one"), make("ul", {}, cuts.map((one) => cut(text, one)))));
  return found;
}

/** An answer, beside its teacher's where the server says that too. `shown(prediction)` makes what is seen of one. */
export function beside(prediction, shown, { text, told, model, texts }) {
  const own = make("section.side", {}, prediction.teacher && make("h3", {}, "Student"), shown(prediction), timing(told, model, texts));
  const other = prediction.teacher;
  const sides = other
    ? make("div.sides", {}, own, make("section.side", {}, make("h3", {}, "Teacher"), shown(other.prediction),
      make("dl.timing", {}, other.ms !== undefined && make("div", {}, make("dt", {}, "Teacher"), make("dd", {}, milliseconds(other.ms))),
        other.price !== undefined && other.price !== null && make("div", {}, make("dt", {}, "this answer"), make("dd", {}, price(other.price, model.currency))))))
    : own;
  return [...notices(prediction, text), sides];
}

/** What went wrong, with another try. */
export function failed(error, again) {
  return make("div.notice.bad", { role: "alert" }, make("p", {}, error.message), again && button("Try again", again));
}
