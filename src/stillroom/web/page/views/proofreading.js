// Corrections: underlined where they stand, each to be accepted or ignored.

import { Editor, button, calm, card, counted, element, trouble, whileTyping } from "../parts.js";
import { bySentence, cutShort } from "../reading.js";

export const heading = "Proofread your text";
export const lead = "Write or paste English text. What looks wrong is underlined while you type; you decide about each suggestion. Everything happens on this device.";

const LISTED = 50; // as many as anybody goes through at once

export function show(root, { ask, say }) {
  const list = element("ol", { class: "found", "aria-label": "Suggestions" });
  const body = element("div", { class: "scrolls" });
  const ignored = new Set();
  const before = [];
  let [open, chosen, long, reading, most] = [[], null, false, false, LISTED];

  const all = button("Accept all", () => accept(open), { class: "main" });
  const undo = button("Undo", back);
  const copy = button("Copy text", async () => {
    try {
      await navigator.clipboard.writeText(editor.text);
      say("Copied");
      copy.textContent = "Copied";
    } catch {
      editor.area.select();
      copy.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { copy.textContent = "Copy text"; }, 1600);
  });

  const key = (one) => JSON.stringify([one.text, one.replacement]);

  function accept(some) {
    before.push(editor.text);
    let [text, done] = ["", 0];
    for (const one of some) {
      text += editor.text.slice(done, one.start) + one.replacement;
      done = one.end;
    }
    text += editor.text.slice(done);
    // What is left stands elsewhere now; it is shown there at once, and asked about again.
    const moved = (unit) => unit + some.filter((one) => one.end <= unit).reduce((sum, one) => sum + one.replacement.length - (one.end - one.start), 0);
    open = open.filter((one) => !some.includes(one)).map((one) => ({ ...one, start: moved(one.start), end: moved(one.end) }));
    const left = open;
    editor.text = text;
    [open, reading] = [left, false];
    draw();
    say(`${counted(some.length, "suggestion", "suggestions")} accepted, ${open.length} left`);
  }

  function ignore(one) {
    ignored.add(key(one));
    open = open.filter((other) => key(other) !== key(one));
    draw();
    say(`Ignored, ${open.length} left`);
  }

  function back() {
    if (before.length) editor.text = before.pop();
    say("Undone");
  }

  /** What is underlined: where something is to be put in, what stands around it. */
  function stretch({ start, end }) {
    return start < end ? { start, end } : { start: Math.max(0, start - 1), end: start + 1 };
  }

  /** Keeps who works with the keys at the list, when what they pressed is gone. */
  function then(act, at) {
    act();
    (list.querySelectorAll("button.yes")[Math.min(at, open.length - 1)] ?? editor.area).focus();
  }

  function line(one, at) {
    const change = element("p", { class: "change" },
      one.text ? element("del", {}, one.text) : element("span", {}, "add"), one.replacement ? " → " : "",
      one.replacement ? element("ins", {}, one.replacement.trim() || "␣") : element("span", { class: "why" }, " take out"));
    const name = `${one.text || "nothing"} to ${one.replacement || "nothing"}`;
    return element("li", { class: at === chosen ? "chosen" : null, "aria-current": at === chosen ? "true" : null },
      element("p", { class: "kind" }, one.type), change, element("p", { class: "why" }, one.explanation),
      element("div", { class: "acts" },
        button("Accept", () => then(() => accept([one]), at), { class: "yes", "aria-label": `Accept: ${name}` }),
        button("Ignore", () => then(() => ignore(one), at), { class: "bare", "aria-label": `Ignore: ${name}` })));
  }

  function draw() {
    editor.marks(open.map((one, at) => ({ ...stretch(one), class: at === chosen ? "wrong chosen" : "wrong" })));
    all.disabled = !open.length;
    undo.disabled = !before.length;
    copy.disabled = !editor.text;
    count.textContent = (open.length ? counted(open.length, "suggestion", "suggestions") : "Suggestions") + (reading ? " so far" : "");
    const listed = open.slice(0, Math.max(most, (chosen ?? -1) + 1));
    if (open.length) list.replaceChildren(...listed.map(line));
    const left = open.length - listed.length;
    const rest = left ? [button(`Show ${left.toLocaleString("en")} more`, () => { most = Infinity; draw(); }, { class: "bare" })] : [];
    const none = reading ? calm("Reading …", "What is found is listed here.") : editor.text.trim() ? calm("Nothing to correct", "As far as this student can tell.") : calm("No text yet", "Suggestions are listed here.");
    body.replaceChildren(open.length ? list : none, ...rest, ...(long ? [element("p", { class: "notice" }, "A sentence is longer than this student reads: its end was not read.")] : []));
  }

  function shown(text, read, more = false) {
    if (read === null) return;
    reading = more;
    long = cutShort(read);
    open = read.flatMap(({ start, answer }) => answer.corrections.map((one) => ({ ...one, start: one.start + start, end: one.end + start })))
      .filter((one) => !ignored.has(key(one)));
    chosen = null;
    draw();
    if (text.trim() && !more) say(open.length ? counted(open.length, "suggestion", "suggestions") : "Nothing to correct");
  }

  /** The suggestion at the caret is shown in the list. */
  function placed(unit) {
    const at = open.findIndex((one) => one.start <= unit && unit <= one.end);
    if (at === (chosen ?? -1)) return;
    chosen = at < 0 ? null : at;
    draw();
    if (chosen !== null) list.children[chosen].scrollIntoView({ block: "nearest" });
  }

  const read = bySentence(ask);
  const typed = whileTyping(read, { shown, failed: (error) => body.replaceChildren(trouble(error)), wait: 200 });
  const editor = new Editor({
    label: "The text to proofread",
    placeholder: "Write or paste English text, or drop a file here.",
    onchange: (text) => { [open, reading] = [[], Boolean(text.trim())]; typed(text); if (!text) draw(); },
    onplace: placed,
  });
  const results = card("Suggestions", [undo, copy, all], body, { class: "card results", "aria-label": "Suggestions" });
  const count = results.querySelector("h2");
  root.replaceChildren(editor.card("Your text"), results);
  draw();
}
