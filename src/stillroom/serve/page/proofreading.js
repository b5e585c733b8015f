// Corrections while somebody writes: underlined in the text, listed beside it, accepted or ignored one by one or at once.

import { Checker } from "/page/checker.js";
import { change, spoken } from "/page/correction.js";
import { button, copier, counted, make, percent, save, say } from "/page/elements.js";
import { takesFiles } from "/page/field.js";
import { History } from "/page/history.js";
import { failed, notices, timing } from "/page/notes.js";
import { opinion } from "/page/opinion.js";
import { bare, renewed } from "/page/pieces.js";
import { words } from "/page/places.js";

export const title = "Proofreading";
export const about = "Write, and what could be better is underlined.";
export const wide = true;

const WAIT = 300; // milliseconds that the hand rests before the server is asked
const MOST_LISTED = 60;
const EXAMPLE = `Dear Ms Olsen,

thank you for you're letter. I has read it with great intrest, and I am glad that the the first chapter was to your liking.

There is alot of things that we should of discussed before the book goes into print. Could you recieve me on friday, or is an other day better?

Kind regards
Ada Lindqvist`;

let views = 0;

class Proof {
  constructor(model) {
    this.model = model;
    this.id = `proof-${views += 1}`;
    this.pieces = [];
    this.ignored = new Set();
    this.history = new History();
    this.checker = new Checker(model, () => this.#arrived());
    this.timer = 0;
    this.here = null; // the finding that is looked at
    this.spans = new Map(); // piece → its element under the text
    this.cards = new Map(); // finding → its card
    this.announced = 0;
    this.#build();
  }

  // What is seen

  #build() {
    this.under = make("div.under", { "aria-hidden": "true" });
    this.area = make("textarea.over", {
      id: this.id, spellcheck: "false", autocapitalize: "sentences", rows: 10,
      placeholder: "Write or paste a text, or drop a file here …", "aria-describedby": `${this.id}-keys`,
      input: () => this.#written(), beforeinput: (event) => this.#before(event), keydown: (event) => this.#pressed(event),
      click: () => this.#clicked(), scroll: () => { this.area.scrollTop = 0; },
    });
    this.pop = make("div.pop", { role: "dialog", "aria-label": "Suggestion", hidden: true, keydown: (event) => this.#inPop(event) });
    this.sheet = make("div.sheet", {}, this.under, this.area, this.pop);
    this.undoing = button("Undo", () => this.#back("undo"), { disabled: true });
    this.redoing = button("Redo", () => this.#back("redo"), { disabled: true });
    const files = takesFiles(this.area, (text) => this.#set(text), (words) => this.#fail(new Error(words)));
    this.count = make("span.small");
    this.state = make("span.state.small");
    const writing = make("div.card.writing", {},
      make("div.row.spread", {}, make("label", { for: this.id }, "Your text"), make("div.row", {}, this.undoing, this.redoing)),
      this.sheet,
      make("div.row.spread.foot", {}, make("div.row", {}, this.count, this.state),
        make("div.row", {}, button("Save", () => save(this.area.value, "text.txt")), copier("Copy text", () => this.area.value))),
      make("div.row.flush", {}, ...files, button("Example", () => this.#set(EXAMPLE))),
      make("p.small.keys", { id: `${this.id}-keys` }, make("kbd", {}, "F8"), " next suggestion ", make("kbd", {}, "Shift"), " ", make("kbd", {}, "F8"), " the one before ", make("kbd", {}, "Ctrl"), " ", make("kbd", {}, "Z"), " undo"));
    this.all = button("Accept all", () => this.acceptAll(), { kind: "main", disabled: true });
    this.heading = make("h2", {}, "Suggestions");
    this.empty = make("p.empty", {}, "They stand here as you write.");
    this.list = make("ol.findings", { "aria-label": "Suggestions" });
    this.more = make("p.small", { hidden: true });
    this.foot = make("div.after");
    const findings = make("section.card.answer.side-list", { "aria-label": "Suggestions" }, make("div.row.spread", {}, this.heading, this.all), this.empty, this.list, this.more, this.foot);
    this.nodes = [writing, findings];
    this.#changed();
  }

  /** Draws what has changed: pieces under the text whose findings are others, the list, the counts. */
  #draw() {
    const open = this.open();
    const kept = new Map();
    const spans = this.pieces.map((piece, place) => {
      const old = this.spans.get(piece);
      const looks = this.#looks(piece);
      const span = old && old.looks === looks ? old : { element: this.#marked(piece), looks };
      // A line by itself is laid out by itself: a letter in it moves nothing else.
      const before = this.pieces[place - 1];
      span.element.classList.toggle("line", (!before || before.text.endsWith("\n")) && (piece.text.endsWith("\n") || place === this.pieces.length - 1));
      kept.set(piece, span);
      return span.element;
    });
    this.spans = kept;
    // Only what is out of place is moved: a long text has many pieces, and one of them changes.
    let at = this.under.firstChild;
    for (const span of spans) {
      if (span === at) at = at.nextSibling;
      else this.under.insertBefore(span, at);
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
    // The line on which nothing stands yet.
    if (!this.pieces.length || this.pieces.at(-1).text.endsWith("\n")) this.under.append(make("span", {}, "\u200b"));
    this.#drawList(open);
    this.#drawCounts(open);
  }

  #looks(piece) {
    return piece.found.map((one) => `${one.start}-${one.end}${this.ignored.has(one.key ??= keyOf(piece.text, one)) ? "x" : ""}${this.here && this.here.finding === one ? "!" : ""}`).join();
  }

  #marked(piece) {
    const inside = [];
    let last = 0;
    for (const one of piece.found) {
      if (this.ignored.has(one.key ??= keyOf(piece.text, one))) continue;
      // What is to be put in has no length: the letter beside it is underlined.
      const [start, end] = one.start === one.end ? [Math.max(0, one.start - 1), Math.min(piece.text.length, Math.max(one.end, 1))] : trimmed(piece.text, one);
      if (start < last) continue;
      const mark = make(`span.finding${one.type === "spelling" ? ".spelling" : ""}${this.here?.finding === one ? ".here" : ""}`, {}, piece.text.slice(start, end));
      one.mark = mark;
      inside.push(piece.text.slice(last, start), mark);
      last = end;
    }
    inside.push(piece.text.slice(last));
    return make("span", {}, inside);
  }

  #drawList(open) {
    const shown = open.slice(0, MOST_LISTED);
    const kept = new Map();
    const cards = shown.map((one) => {
      const card = this.cards.get(one.finding) ?? this.#card(one);
      kept.set(one.finding, card);
      return card;
    });
    this.cards = kept;
    let at = this.list.firstChild;
    for (const card of cards) {
      if (card === at) at = at.nextSibling;
      else this.list.insertBefore(card, at);
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
    this.more.hidden = open.length <= MOST_LISTED;
    this.more.textContent = `and ${counted(open.length - MOST_LISTED, "more", "more")} further down`;
  }

  #card({ finding }) {
    const find = () => this.open().find((one) => one.finding === finding);
    const act = (then) => () => { const one = find(); if (one) then(one); };
    const card = make("li", { mouseenter: () => finding.mark?.classList.add("here"), mouseleave: () => { if (this.here?.finding !== finding) finding.mark?.classList.remove("here"); } },
      make("div.what", {}, make("span.type", {}, finding.type), make("span.small", { title: "How probable the correction is" }, percent(finding.score))),
      make("button.change", { type: "button", title: "Show it in the text", click: act((one) => this.look(one, { quiet: true })) }, change(finding)),
      make("p.small", {}, finding.explanation),
      make("div.row", {}, button("Accept", act((one) => this.accept(one, "list")), { kind: "small.yes", "aria-label": `Accept: ${spoken(finding)}` }),
        button("Ignore", act((one) => this.ignore(one, "list")), { kind: "small", "aria-label": `Ignore: ${spoken(finding)}` })));
    return card;
  }

  #drawCounts(open) {
    const text = this.area.value;
    const n = words(text).length;
    this.count.textContent = counted(n, "word");
    this.heading.textContent = open.length ? counted(open.length, "suggestion") : "Suggestions";
    this.all.disabled = !open.length;
    this.undoing.disabled = !this.history.past.length;
    this.redoing.disabled = !this.history.future.length;
    const waits = this.pieces.some((one) => !one.settled);
    const trouble = this.checker.trouble;
    const state = !text.trim() ? "" : trouble ? "not checked" : waits ? "checking" : open.length ? "checked" : "nothing to correct";
    this.state.textContent = state;
    this.state.dataset.state = state;
    this.empty.hidden = open.length > 0 || Boolean(trouble);
    this.empty.textContent = !text.trim() ? "They stand here as you write." : waits ? "Reading …" : "Nothing to correct.";
    const noted = [...new Set(this.pieces.map((one) => bare(one.text)))].filter((one) => this.checker.notes.has(one));
    const told = this.checker.timing;
    this.foot.replaceChildren(
      ...(trouble ? [failed(trouble, () => this.#ask())] : []),
      ...noted.slice(0, 4).flatMap((one) => notices(this.checker.notes.get(one), one)),
      ...(told && text.trim() ? [timing(told, this.model, told.texts)] : []));
    if (!waits && this.announced !== open.length) {
      this.announced = open.length;
      if (document.activeElement === this.area) say(open.length ? counted(open.length, "suggestion") : "Nothing to correct.");
    }
  }

  // The text and what is found in it

  /** What is found and not ignored, from the beginning to the end, with places in the whole text. */
  open() {
    const found = [];
    let at = 0;
    for (const piece of this.pieces) {
      for (const one of piece.found) {
        one.key ??= keyOf(piece.text, one);
        if (!this.ignored.has(one.key)) found.push({ finding: one, start: at + one.start, end: at + one.end });
      }
      at += piece.text.length;
    }
    return found;
  }

  #changed({ now = false } = {}) {
    this.pieces = renewed(this.pieces, this.area.value, (text) => this.checker.get(text));
    if (this.here && !this.pieces.some((piece) => piece.found.includes(this.here.finding))) this.leave();
    this.#draw();
    clearTimeout(this.timer);
    const missing = this.pieces.filter((one) => !one.settled);
    // What runs for a text that is no longer there is given up at once, and what is new is asked after a rest.
    const there = new Set(missing.map((one) => bare(one.text)));
    for (const one of this.checker.running) {
      if (!one.texts.some((text) => there.has(text))) { one.controller.abort(); this.checker.running.delete(one); }
    }
    if (missing.length) this.timer = setTimeout(() => this.#ask(), now ? 0 : WAIT);
  }

  #ask() {
    this.checker.want(this.pieces.filter((one) => !one.settled).map((one) => bare(one.text)));
    this.#drawCounts(this.open());
  }

  #arrived() {
    for (const piece of this.pieces) {
      const found = piece.settled ? null : this.checker.get(bare(piece.text));
      if (!found) continue;
      // A finding that was there stays the same one: whoever looks at it goes on looking.
      piece.found = found.map((one) => piece.found.find((old) => old.start === one.start && old.end === one.end && old.replacement === one.replacement) ?? { ...one });
      piece.settled = true;
    }
    if (this.here && !this.pieces.some((piece) => piece.found.includes(this.here.finding))) this.leave();
    this.#draw();
  }

  #fail(error) {
    this.foot.prepend(failed(error));
  }

  // What is done

  #state() {
    return { text: this.area.value, ignored: new Set(this.ignored), start: this.area.selectionStart, end: this.area.selectionEnd };
  }

  #before(event) {
    if (event.inputType === "historyUndo" || event.inputType === "historyRedo") {
      event.preventDefault();
      this.#back(event.inputType === "historyUndo" ? "undo" : "redo");
    } else if (event.inputType === "insertText" || event.inputType === "deleteContentBackward" || event.inputType === "insertCompositionText") this.history.write(this.#state());
    else this.history.mark(this.#state());
  }

  #written() {
    this.leave();
    this.#changed();
  }

  #set(text) {
    this.history.mark(this.#state());
    this.area.value = text;
    this.leave();
    this.#changed({ now: true });
    this.area.focus({ preventScroll: true });
    this.area.setSelectionRange(0, 0);
  }

  #back(which) {
    const found = this.history[which](this.#state());
    if (!found) return;
    this.ignored = found.ignored;
    this.area.value = found.text;
    this.leave();
    this.#changed({ now: true });
    this.area.focus({ preventScroll: true });
    this.area.setSelectionRange(found.start, found.end);
    say(which === "undo" ? "Undone." : "Done again.");
  }

  /** `from`: where it was said, and where the hand stays: "list", "keys" or "text". */
  accept(one, from) {
    const next = this.#after(one);
    this.history.mark(this.#state());
    const text = this.area.value;
    this.area.value = text.slice(0, one.start) + one.finding.replacement + text.slice(one.end);
    this.area.setSelectionRange(one.start + one.finding.replacement.length, one.start + one.finding.replacement.length);
    this.leave();
    this.#changed({ now: true });
    this.#went(`Accepted: ${spoken(one.finding)}.`, next, from);
  }

  ignore(one, from) {
    const next = this.#after(one);
    this.history.mark(this.#state());
    this.ignored.add(one.finding.key);
    this.area.setSelectionRange(one.end, one.end);
    this.leave();
    this.#draw();
    this.#went(`Ignored: ${spoken(one.finding)}.`, next, from);
  }

  acceptAll() {
    const open = this.open();
    if (!open.length) return;
    this.history.mark(this.#state());
    let text = this.area.value, last = Infinity, n = 0;
    for (const one of open.toReversed()) {
      if (one.end > last) continue;
      text = text.slice(0, one.start) + one.finding.replacement + text.slice(one.end);
      last = one.start;
      n += 1;
    }
    this.area.value = text;
    this.leave();
    this.#changed({ now: true });
    this.area.focus({ preventScroll: true });
    this.area.setSelectionRange(text.length, text.length);
    say(`${counted(n, "correction")} made. Undo takes all of them back.`);
  }

  /** Which of the findings comes after one, by its place in the order. */
  #after(one) {
    return this.open().findIndex((other) => other.finding === one.finding);
  }

  #went(words, place, from) {
    const open = this.open();
    say(`${words} ${open.length ? `${open.length.toLocaleString("en")} left.` : "None left."}`);
    const next = open[Math.min(place, open.length - 1)];
    if (from === "list" && next) (this.cards.get(next.finding) ?? this.list.lastChild)?.querySelector(".yes")?.focus({ preventScroll: false });
    else if (from === "keys" && open[place]) this.look(open[place]);
    else this.area.focus({ preventScroll: true });
  }

  // What is looked at

  /** Shows a finding at its place. `quiet`: the hand stays in the text. */
  look(one, { quiet = false } = {}) {
    this.leave();
    this.here = one;
    this.#draw();
    const { finding } = one;
    const again = () => this.open().find((other) => other.finding === finding);
    const act = (then) => () => { const found = again(); if (found) then(found); };
    const from = quiet ? "text" : "keys";
    this.pop.replaceChildren(
      make("div.what", {}, make("span.type", {}, finding.type), make("span.small", {}, percent(finding.score))),
      make("p.change", {}, change(finding)), make("p.small", {}, finding.explanation),
      make("div.row", {}, button("Accept", act((found) => this.accept(found, from)), { kind: "small.yes" }), button("Ignore", act((found) => this.ignore(found, from)), { kind: "small" }),
        button("Next", () => this.step(1, one), { kind: "small", "aria-label": "Next suggestion" })));
    this.pop.hidden = false;
    const at = finding.mark?.getClientRects()[0];
    if (at) {
      const sheet = this.sheet.getBoundingClientRect();
      const width = this.pop.offsetWidth;
      this.pop.style.left = `${Math.max(0, Math.min(at.left - sheet.left - 12, sheet.width - width))}px`;
      this.pop.style.top = `${at.bottom - sheet.top + 8}px`;
      if (at.top < 70 || at.bottom > innerHeight - 190) finding.mark.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    }
    if (quiet) { this.area.focus({ preventScroll: true }); this.area.setSelectionRange(one.start, one.end); }
    else this.pop.querySelector(".yes").focus({ preventScroll: true });
    say(`${finding.type}: ${spoken(finding)}. ${finding.explanation}`);
  }

  leave() {
    const inside = this.pop.contains(document.activeElement);
    this.pop.hidden = true;
    if (!this.here) return;
    this.here.finding.mark?.classList.remove("here");
    this.here = null;
    if (inside) this.area.focus({ preventScroll: true });
  }

  /** The next finding after the one that is looked at, or after the hand's place; round and round. */
  step(by, from = this.here) {
    const open = this.open();
    if (!open.length) { say("No suggestions."); return; }
    const held = from ? open.findIndex((one) => one.finding === from.finding) : -1;
    const hand = this.area.selectionStart;
    let place;
    if (held >= 0) place = held + by;
    else if (by > 0) { place = open.findIndex((one) => one.end >= hand); if (place < 0) place = 0; }
    else place = open.findLastIndex((one) => one.start < hand);
    this.look(open[(place + open.length) % open.length]);
  }

  #clicked() {
    const { selectionStart: at, selectionEnd: end } = this.area;
    const one = at === end && this.open().find((its) => its.start <= at && at <= Math.max(its.end, its.start + 1));
    if (!one) { this.leave(); return; }
    this.look(one, { quiet: true });
    this.area.setSelectionRange(at, at);
  }

  #pressed(event) {
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (event.key === "F8") this.step(event.shiftKey ? -1 : 1);
    else if (command && !event.altKey && (key === "y" || (key === "z" && event.shiftKey))) this.#back("redo");
    else if (command && !event.altKey && key === "z") this.#back("undo");
    else if (event.key === "Escape" && this.here) this.leave();
    else return;
    event.preventDefault();
  }

  #inPop(event) {
    if (event.key === "Escape") this.leave();
    else if (event.key === "F8") this.step(event.shiftKey ? -1 : 1);
    else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") this.#back(event.shiftKey ? "redo" : "undo");
    else return;
    event.preventDefault();
    if (this.pop.hidden) this.area.focus({ preventScroll: true });
  }

  gone() {
    clearTimeout(this.timer);
    this.checker.stop();
  }
}

/** What a finding is known by when the text about it changes: itself and the words beside it. */
function keyOf(text, one) {
  const before = text.slice(0, one.start).match(/\S+\s*$/)?.[0].trim() ?? "";
  const after = text.slice(one.end).match(/^\s*\S+/)?.[0].trim() ?? "";
  return [before, text.slice(one.start, one.end), one.replacement, after].join("\u0000");
}

/** The places of a finding without the blanks about it. */
function trimmed(text, { start, end }) {
  const inside = text.slice(start, end);
  if (!inside.trim()) return [start, end];
  return [start + inside.length - inside.trimStart().length, end - inside.length + inside.trimEnd().length];
}

export function mount({ model }) {
  const proof = new Proof(model);
  const second = model.teacher ? opinion(model, () => proof.area.value) : null;
  const leave = () => { proof.gone(); second?.leave(); };
  return { nodes: [...proof.nodes, ...(second ? [second.card] : [])], leave, focus: () => proof.area.focus() };
}
