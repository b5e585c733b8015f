// What the views are made of: elements, a place to write with marks under the letters, and asking while somebody types.

/** An element with properties (`class`, `data-…`, `aria-…`, listeners as `onclick`) and what stands in it. */
export function element(name, told = {}, ...inside) {
  const found = document.createElement(name);
  for (const [key, value] of Object.entries(told)) {
    if (value === null || value === false) continue;
    if (key.startsWith("on")) found[key] = value;
    else found.setAttribute(key, value === true ? "" : value);
  }
  found.append(...inside.filter((one) => one !== null));
  return found;
}

export const button = (text, onclick, told = {}) => element("button", { type: "button", onclick, ...told }, text);
export const percent = (share) => `${share > 0.995 && share < 1 ? "> 99" : share < 0.005 && share > 0 ? "< 1" : Math.round(100 * share)} %`;
export const counted = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** A card with a headline, what can be done, and a body. */
export function card(title, acts, body, told = {}) {
  return element("section", { class: "card", ...told }, element("header", {}, element("h2", {}, title), ...acts), ...[].concat(body));
}

/** What stands where there is nothing to show yet. */
export const calm = (strong, text) => element("p", { class: "calm" }, element("strong", {}, strong), text);

/** A bar for a share, with its name and the share itself. */
export function bar(name, share, shown, first) {
  const full = element("i");
  full.style.transform = `scaleX(${Math.max(0, Math.min(1, share))})`;
  return element("li", { class: first ? "first" : null },
    element("span", { class: "named" }, element("span", {}, name), element("span", {}, shown)),
    element("span", { class: "track", "aria-hidden": "true" }, full));
}

/** A place to write: `text`, `marks(spans)` under its letters, `onchange(text)` and `onplace(unit)`. */
export class Editor {
  constructor({ label, placeholder, onchange, onplace = () => {} }) {
    this.onchange = onchange;
    this.under = element("div", { class: "under", "aria-hidden": "true" });
    this.area = element("textarea", { "aria-label": label, placeholder, spellcheck: "false", autocapitalize: "off", autocomplete: "off", autocorrect: "off" });
    this.foot = element("span");
    this.pick = element("input", { type: "file", accept: ".txt,.md,text/plain,text/markdown", class: "away", tabindex: "-1", "aria-hidden": "true" });
    this.box = element("div", { class: "editor" }, this.under, this.area);
    this.area.oninput = () => this.changed();
    for (const name of ["click", "keyup"]) this.area.addEventListener(name, () => onplace(this.area.selectionStart));
    this.pick.onchange = () => this.take(this.pick.files);
    this.box.addEventListener("dragover", (event) => { event.preventDefault(); this.box.classList.add("dropping"); });
    this.box.addEventListener("dragleave", () => this.box.classList.remove("dropping"));
    this.box.addEventListener("drop", (event) => {
      this.box.classList.remove("dropping");
      if (event.dataTransfer.files.length) {
        event.preventDefault();
        this.take(event.dataTransfer.files);
      }
    });
    this.opens = button("Open a file", () => this.pick.click(), { class: "bare" });
    this.clears = button("Clear", () => { this.text = ""; this.area.focus(); }, { class: "bare" });
    this.marks([]);
    this.count();
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.changed();
  }

  async take(files) {
    if (files.length) this.text = (await files[0].text()).replace(/^\ufeff/, "").toWellFormed?.() ?? "";
    this.pick.value = "";
  }

  changed() {
    this.marks([]);
    this.count();
    this.onchange(this.text);
  }

  count() {
    const words = this.text.match(/[\p{L}\p{N}]+/gu)?.length ?? 0;
    this.foot.textContent = counted(words, "word", "words");
    this.clears.disabled = !this.text;
  }

  /** Marks stretches of the text, from left to right: `{start, end, ...attributes}`. */
  marks(spans) {
    const parts = [];
    let done = 0;
    for (const { start, end, ...told } of spans) {
      if (start < done) continue;
      parts.push(this.text.slice(done, start), element("mark", told, this.text.slice(start, end)));
      done = end;
    }
    this.under.replaceChildren(...parts, `${this.text.slice(done)}\n`);
  }

  /** The editor as a card. */
  card(title, acts = []) {
    const foot = element("footer", {}, this.foot, element("span", {}, "Stays on this device"));
    return card(title, [...acts, this.opens, this.clears, this.pick], [this.box, foot]);
  }
}

/**
 * Asks what somebody writes a moment after the last letter; an answer to what has changed since is dropped.
 * `shown(told, answer, more)`: whether there is more to come.
 */
export function whileTyping(ask, { shown, failed, wait = 120 }) {
  let [timer, turn] = [null, 0];
  return (told) => {
    turn += 1;
    const own = turn;
    clearTimeout(timer);
    timer = setTimeout(async () => {
      try {
        const answer = await ask(told, () => own === turn, (some) => own === turn && shown(told, some, true));
        if (own === turn) shown(told, answer);
      } catch (error) {
        if (own === turn) failed(error);
      }
    }, wait);
  };
}

/** What to say of a text that was longer than its reader. */
export function shortened(text, cut) {
  if (cut === null || cut === undefined) return null;
  const left = Math.max(1, Math.round((100 * cut) / text.length));
  return element("p", { class: "notice" }, `The text is longer than this student reads: the first ${left} % of it were read.`);
}

export const trouble = (error) => element("p", { class: "notice bad", role: "alert" }, error.message);
