// The card in which an answer stands, for the tasks that ask of one text and show what was said.

import { make, say } from "/page/elements.js";
import { beside, failed } from "/page/notes.js";
import { ask } from "/page/server.js";
import { Turn } from "/page/turn.js";

export class Answer {
  /** `shown(prediction, text)` makes what is seen; `spoken(prediction)` says it in a sentence. */
  constructor({ model, title, empty, shown, spoken, tools = [] }) {
    Object.assign(this, { model, shown, spoken, empty });
    this.turn = new Turn();
    this.body = make("div.body", {}, make("p.empty", {}, empty));
    this.tools = make("div.row", { hidden: true }, tools);
    this.card = make("section.card.answer", { "aria-label": title, "aria-busy": "false" }, make("h2", {}, title), this.body, this.tools);
    this.last = null;
  }

  clear() {
    this.turn.stop();
    this.last = null;
    this.busy(false);
    this.tools.hidden = true;
    this.body.replaceChildren(make("p.empty", {}, this.empty));
  }

  busy(on) {
    this.card.setAttribute("aria-busy", String(on));
  }

  /** Asks of a text; what was asked before is given up. */
  of(text, { now = false, ...more } = {}) {
    if (!text.trim()) return this.clear();
    return this.turn.take(async (signal) => {
      this.busy(true);
      try {
        const { predictions: [prediction], timing } = await ask(this.model, [text], { signal, ...(this.model.teacher ? { teacher: "beside" } : {}), ...more });
        this.last = { prediction, text };
        this.body.replaceChildren(...beside(prediction, (one) => this.shown(one, text), { text, told: timing, model: this.model }));
        this.tools.hidden = false;
        say(this.spoken(prediction));
      } catch (error) {
        if (error.name === "AbortError") throw error;
        this.last = null;
        this.tools.hidden = true;
        this.body.replaceChildren(failed(error, () => this.of(text, { now: true, ...more })));
      }
      this.busy(false);
    }, { now });
  }

  fail(words) {
    this.clear();
    this.body.replaceChildren(failed(new Error(words)));
  }
}
