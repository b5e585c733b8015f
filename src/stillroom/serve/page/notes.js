// What the server says beside an answer: how long, for how much, how sure, what was found in a text, what was not read.

import { button, counted, make, milliseconds } from "/page/elements.js";
import { places } from "/page/places.js";

const amount = (value) => (value === 0 ? "0" : value >= 1 ? value.toFixed(2) : value.toLocaleString("en", { maximumSignificantDigits: 2 }));
export const price = (value, currency) => `${amount(value)}${currency ? ` ${currency}` : ""}`;

const there = (value) => value !== undefined && value !== null;
const facts = (...pairs) => make("dl.timing", {}, pairs.filter(([, value]) => there(value)).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));

/** What a million texts cost on a side, in words; null where nobody measured it. */
export function perMillion(model, side = "student") {
  const told = model.price_per_1000;
  return there(told?.[side]) ? price(told[side] * 1000, told.currency) : null;
}

/** How long an answer took, where the time went, and what a million cost. */
export function timing(told, model, texts = 1) {
  return facts(["Server", there(told.answer) ? milliseconds(told.answer) : null], ["of it in the queue", there(told.queue) ? milliseconds(told.queue) : null],
    ["there and back", milliseconds(told.trip)], ["texts", texts > 1 ? String(texts) : null], ["per million texts", perMillion(model)]);
}

/** Both answers where the teacher was asked too: `{student, teacher, ms, price}`. */
export function sidesOf(prediction) {
  if (prediction.student) return { student: prediction.student, teacher: prediction, ms: prediction.teacher_ms, price: prediction.teacher?.price };
  if (prediction.teacher?.prediction) return { student: prediction, teacher: prediction.teacher.prediction, ms: prediction.teacher.ms, price: prediction.teacher.price };
  return { student: prediction, teacher: null };
}

const flagged = (flag) => {
  if (typeof flag === "string") return flag;
  const names = (flag.names ?? []).join(", ");
  return [(flag.detector ?? flag.kind ?? "flag").replaceAll("_", " "), names && `found ${names}`, flag.action && `action: ${flag.action}`].filter(Boolean).join(" · ");
};

function cut(text, one) {
  const at = places(text);
  const part = text.slice(at(one.start), at(one.end)).replace(/\s+/g, " ").trim();
  const where = one.end > one.start ? `Characters ${one.start.toLocaleString("en")} to ${one.end.toLocaleString("en")}` : `At character ${one.start.toLocaleString("en")}`;
  return make("li", {}, `${where}: ${one.why}`, part && make("q", {}, part.length > 90 ? `${part.slice(0, 90)} …` : part));
}

const WHY = { down: "it does not answer", late: "it took too long", silent: "it said nothing", budget: "what may be spent is spent" };

/** Notices under an answer; nothing where there is nothing to say. */
export function notices(prediction, text = "") {
  const found = [];
  const silent = typeof prediction.teacher_silent === "string" ? ` The teacher could not be asked: ${WHY[prediction.teacher_silent] ?? prediction.teacher_silent}.` : "";
  if (prediction.escalated) found.push(make("p.notice.calm", {}, make("strong", {}, "The teacher was asked. "), "The student was not sure enough of this text."));
  else if (prediction.sure === false) found.push(make("p.notice.unsure", {}, make("strong", {}, "Not sure. "), "The student’s confidence is below what was certified, and its answer stands all the same.", silent));
  else if (prediction.sure === true) found.push(make("p.notice.good", {}, make("strong", {}, "Sure. "), "The student’s confidence is above what was certified."));
  const flags = prediction.flags ?? [];
  if (flags.length) found.push(make("div.notice.unsure", {}, make("strong", {}, counted(flags.length, "flag")), make("ul", {}, flags.map((one) => make("li", {}, flagged(one))))));
  const cuts = prediction.cuts ?? [];
  if (cuts.length) found.push(make("div.notice.unsure", {}, make("strong", {}, "Not all of it was read as one"), make("ul", {}, cuts.map((one) => cut(text, one)))));
  return found;
}

/** An answer, beside its teacher's where the server says that too. `shown(prediction)` makes what is seen of one. */
export function beside(prediction, shown, { text, told, model, texts }) {
  const { student, teacher, ms, price: paid } = sidesOf(prediction);
  const own = make("section.side", {}, teacher && make("h3", {}, "Student"), shown(student), timing(told, model, texts));
  const sides = teacher ? make("div.sides", {}, own, make("section.side", {}, make("h3", {}, "Teacher"), shown(teacher),
    facts(["Teacher", there(ms) ? milliseconds(ms) : null], ["this answer", there(paid) ? price(paid, model.price_per_1000?.currency) : null], ["per million texts", perMillion(model, "teacher")]))) : own;
  return [sides, ...notices(prediction, text)];
}

/** What went wrong, with another try. */
export function failed(error, again) {
  return make("div.notice.bad", { role: "alert" }, make("p", {}, error.message), again && button("Try again", again));
}
