// What can be undone: writing in stretches, and each correction by itself.

const PAUSE = 800; // milliseconds of rest that end a stretch of writing
const MOST = 400;

export class History {
  constructor() {
    this.past = [];
    this.future = [];
    this.wrote = 0;
  }

  /** Remembers how it was before something was done. */
  mark(state) {
    this.past.push(state);
    if (this.past.length > MOST) this.past.shift();
    this.future.length = 0;
    this.wrote = 0;
  }

  /** Remembers how it was before a letter was written, unless that belongs to a stretch. */
  write(state) {
    const now = performance.now();
    if (now - this.wrote > PAUSE) this.mark(state);
    this.future.length = 0;
    this.wrote = now;
  }

  undo(state) {
    return this.#go(this.past, this.future, state);
  }

  redo(state) {
    return this.#go(this.future, this.past, state);
  }

  #go(from, to, state) {
    const found = from.pop();
    if (found) to.push(state);
    this.wrote = 0;
    return found;
  }
}
