// Has the pieces of a text read: what is wanted and not yet known, a few at a time. What nobody wants any more is given up.

import { placed } from "/page/places.js";
import { ask } from "/page/server.js";

const AT_ONCE = 16;
const CHARACTERS = 6000;
const SIDE_BY_SIDE = 2;
const KEPT = 4000;

export class Checker {
  /** `told()` when something has come, or gone wrong. */
  constructor(model, told) {
    Object.assign(this, { model, told });
    this.known = new Map(); // text → what was found in it
    this.notes = new Map(); // text → its prediction, where something is said beside
    this.running = new Set();
    this.wanted = [];
    this.trouble = null;
    this.timing = null;
    this.timer = 0;
  }

  get(text) {
    return this.known.get(text);
  }

  get busy() {
    return this.running.size > 0 || (this.wanted.length > 0 && !this.trouble);
  }

  /** From now on these texts are wanted, each once. */
  want(texts) {
    clearTimeout(this.timer);
    this.trouble = null;
    this.wanted = [...new Set(texts)];
    const all = new Set(this.wanted);
    for (const one of this.running) {
      if (one.texts.some((text) => all.has(text))) one.texts.forEach((text) => all.delete(text));
      else { one.controller.abort(); this.running.delete(one); }
    }
    this.wanted = this.wanted.filter((text) => all.has(text) && !this.known.has(text));
    this.#next();
  }

  stop() {
    clearTimeout(this.timer);
    this.wanted = [];
    this.running.forEach((one) => one.controller.abort());
    this.running.clear();
  }

  #next() {
    while (this.wanted.length && this.running.size < SIDE_BY_SIDE && !this.trouble) {
      const texts = [];
      let size = 0;
      while (this.wanted.length && texts.length < AT_ONCE && size < CHARACTERS) {
        texts.push(this.wanted.shift());
        size += texts.at(-1).length;
      }
      this.#run({ texts, controller: new AbortController() });
    }
  }

  async #run(one) {
    this.running.add(one);
    try {
      const { predictions, timing } = await ask(this.model, one.texts, { signal: one.controller.signal });
      if (this.known.size > KEPT) this.known.clear();
      one.texts.forEach((text, place) => {
        const said = predictions[place];
        this.known.set(text, placed(text, said.corrections));
        if (said.flags?.length || said.cuts?.length || said.escalated || said.sure === false) this.notes.set(text, said);
      });
      this.timing = { ...timing, texts: one.texts.length };
    } catch (error) {
      if (error.name === "AbortError") return;
      this.trouble = error;
      this.wanted.unshift(...one.texts);
      if (error.again) this.timer = setTimeout(() => this.want(this.wanted), 1000 * error.again);
    } finally {
      this.running.delete(one);
    }
    this.#next();
    this.told();
  }
}
