// The student of a bundle: the same answers as in Python, and its golden answers to prove it.

import { codePoints, unreadable } from "./places.js";

/** What was said, as the bundle's golden answers have it: places in code points. */
function counted(text, said) {
  if (!said.words) return said;
  const at = codePoints(text);
  return { ...said, words: said.words.map(([start, end]) => [at[start], at[end]]) };
}

/** By how much a number differs between two answers; without end where other words were read. */
function gap(said, golden) {
  const values = golden[golden.logits ? "logits" : "embedding"].flat();
  const words = JSON.stringify(said.words ?? null) === JSON.stringify(golden.words ?? null);
  if (!words || values.length !== said.values.length) return Infinity;
  return values.reduce((most, one, at) => {
    const off = Math.abs(one - said.values[at]);
    return off <= most ? most : Number.isNaN(off) ? Infinity : off;
  }, 0);
}

class Student {
  constructor(told, run, task) {
    this.told = told;
    this.run = run;
    this.task = task;
  }

  /** The raw outputs for a text, places in code points. */
  async outputs(text) {
    return counted(text, await this.said(text));
  }

  async said(text) {
    const half = unreadable(text);
    if (half >= 0) throw new Error(`Half a character stands at place ${half + 1}: no student can read it.`);
    return this.run(text);
  }

  /** The prediction for a text; places in it are JavaScript's. */
  async predict(text) {
    const said = await this.said(text);
    const { temperature } = this.told;
    const values = temperature === 1 ? said.values : said.values.map((one) => one / temperature);
    return { ...this.task(text, { ...said, values }), cut: said.cut };
  }

  /** Checks its answers here against those that it was shipped with: how many, and by how much they differ at most. */
  async verify() {
    let most = 0;
    for (const { text, ...golden } of this.told.golden) most = Math.max(most, gap(await this.outputs(text), golden));
    if (!(most <= this.told.parity)) {
      throw new Error(`Its answers on this device differ from those it was shipped with: by ${most.toPrecision(3)}, and at most ${this.told.parity.toPrecision(3)} is fine.`);
    }
    return { count: this.told.golden.length, gap: most };
  }
}

/** The student whose files these are (`files.json(name)`, `files.text(name)`, `files.bytes(name)`). */
export async function open(files) {
  const told = await files.json("student.json");
  const [runner, task] = await Promise.all([
    import(`./runners/${told.runner.kind}.js`).then((one) => one.open(told.runner, files)),
    import(`./tasks/${told.task.kind}.js`).then((one) => one.open(told.task, files)),
  ]);
  return new Student(told, runner, task);
}
