// Runs scripts of the page outside a browser: jobs as JSON on stdin, answers as JSON on stdout.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const { page, folder, jobs } = JSON.parse(fs.readFileSync(0, "utf8"));
const script = (name) => import(pathToFileURL(path.join(page, name)).href);
const read = (name) => fs.readFileSync(path.join(folder, name));
const files = {
  json: async (name) => JSON.parse(read(name)),
  text: async (name) => read(name).toString("utf8"),
  bytes: async (name) => Uint8Array.from(read(name)).buffer,
};
const { codePoints } = await script("places.js");
const plain = (value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);

const kinds = {
  async encoder({ told, texts }) {
    const reader = await (await script("encoders/open.js")).encoder(told, files);
    return texts.map((text) => {
      const at = codePoints(text);
      const { ids, words, cut } = reader.read(text);
      return { ids: plain(ids), words: words.map((one) => [one.token, at[one.start], at[one.end]]), cut };
    });
  },
  async runner({ told, texts }) {
    const run = await (await script(`runners/${told.kind}.js`)).open(told, files);
    return Promise.all(texts.map(async (text) => plain((await run(text)).values)));
  },
  /** Places in what was said, and in the prediction, are code points. */
  async task({ told, said }) {
    const decode = await (await script(`tasks/${told.kind}.js`)).open(told, files);
    return said.map(({ text, values, words }) => {
      const at = codePoints(text);
      const units = words?.map((place) => place.map((one) => at.indexOf(one)));
      const found = decode(text, { values: Float32Array.from(values), words: units });
      for (const one of found.spans ?? found.corrections ?? []) Object.assign(one, { start: at[one.start], end: at[one.end] });
      return found;
    });
  },
  async sentences({ texts }) {
    const { sentences } = await script("sentences.js");
    return texts.map((text) => sentences(text).map((place) => place.map((one) => codePoints(text)[one])));
  },
};

const answers = [];
for (const job of jobs) answers.push(await kinds[job.what](job));
process.stdout.write(JSON.stringify(answers));
