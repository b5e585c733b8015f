// Runs the student beside the page, so that writing never waits for it.

import { open } from "./student.js";

async function get(name) {
  const found = await fetch(new URL(`student/${name}`, import.meta.url));
  if (!found.ok) throw new Error(`The file ${name} of the student is not there (${found.status}).`);
  return found;
}

const files = {
  json: async (name) => (await get(name)).json(),
  text: async (name) => (await get(name)).text(),
  bytes: async (name) => (await get(name)).arrayBuffer(),
};

const student = open(files);
const checked = student.then((one) => one.verify());
checked.then(
  (verified) => postMessage({ verified }),
  (error) => postMessage({ failed: String(error.message ?? error) }),
);

let turn = Promise.resolve();

/** Answers in the order of what is asked: `predict` or `outputs` of each of some texts. */
onmessage = ({ data: { id, what, texts } }) => {
  turn = turn.then(async () => {
    try {
      await checked; // a student that is not what it was answers nothing
      const one = await student;
      const started = performance.now();
      const answers = [];
      for (const text of texts) answers.push(await one[what](text));
      postMessage({ id, answers, milliseconds: performance.now() - started });
    } catch (error) {
      postMessage({ id, error: String(error.message ?? error) });
    }
  });
};
