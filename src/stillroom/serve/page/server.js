// Asks the server, and says in words what went wrong.

import { readable } from "/page/places.js";

const KEPT = "stillroom-key";
const PATIENCE_MS = 20_000; // whoever looks at a page would rather wait than be refused

export class Trouble extends Error {
  constructor(words, { code = "", again = 0 } = {}) {
    super(words);
    this.code = code;
    this.again = again; // seconds after which it may be asked again; 0: not by itself
  }
}

/** The key, of this tab alone. */
export const key = {
  get: () => sessionStorage.getItem(KEPT),
  set: (secret) => sessionStorage.setItem(KEPT, secret),
  forget: () => sessionStorage.removeItem(KEPT),
};

let keyAsked = async () => null;
/** Who is asked for a key, once at a time. `ask(wrong)` gives the key, or null. */
export function onKeyNeeded(ask) {
  let running = null;
  keyAsked = (wrong) => (running ??= ask(wrong).finally(() => { running = null; }));
}

const seconds = (n) => `${n} ${n === 1 ? "second" : "seconds"}`;
const WORDS = {
  overloaded: (again) => `The server has more to do than it can do in time. Try again in ${seconds(again)}.`,
  rate: (again) => `That is more than may be asked. Try again in ${seconds(again)}.`,
  deadline: () => "The answer took longer than it may. Try again, or with a shorter text.",
  body_too_large: (again, one) => `That is too much at once: the server takes ${one.expected}.`,
  text_too_long: (again, one) => `This text is too long: ${one.found}, and the server takes ${one.expected}.`,
  too_many_texts: (again, one) => `These are too many texts at once: the server takes ${one.expected}.`,
  unknown_model: () => "The server does not have this student any more. Load the page again.",
  no_key: () => "The server asks for a key.",
  no_paper: () => "There is none: this student came without the folder of its run.",
  internal: (again, one) => `The server made a mistake. ${one.todo ?? ""}`,
};

async function trouble(response) {
  const again = Number(response.headers.get("retry-after")) || 0;
  let told = {};
  try { told = (await response.json()).error ?? {}; } catch { /* no JSON: a proxy's page */ }
  const [first = {}] = told.problems ?? [];
  const known = WORDS[told.code];
  const words = known ? known(again || 1, first)
    : first.found ? `${first.where}: ${first.found}; expected ${first.expected}. ${first.todo}`
    : `The server answered with ${response.status}. Try again in a while.`;
  return new Trouble(words.trim(), { code: told.code, again });
}

async function request(address, options = {}) {
  for (let wrong = false; ; wrong = true) {
    const secret = key.get();
    const headers = { ...options.headers, ...(secret ? { authorization: `Bearer ${secret}` } : {}) };
    let response;
    try {
      response = await fetch(address, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Trouble("The server can’t be reached. Is it running, and are you online?", { code: "unreachable" });
    }
    if (response.ok) return response;
    if (response.status !== 401) throw await trouble(response);
    if (secret && secret !== key.get()) continue; // another request has brought a key meanwhile
    if ((await keyAsked(wrong || Boolean(secret))) === null) throw await trouble(response);
  }
}

/** The students that are served. */
export const models = async () => (await (await request("/models")).json()).models;

// Where a student is served in one version alone the newest is meant, also after it was renewed.
const version = (model) => (model.versions > 1 ? model.version : undefined);
const paper = (model, which) => `/models/${encodeURIComponent(model.name)}/${which}${version(model) ? `?version=${model.version}` : ""}`;
export const addressOfReport = (model) => paper(model, "report");
/** Which papers there are of a student. */
export const papers = async (model) => (await (await request(paper(model, "papers"))).json()).papers;
export const card = async (model) => (await request(paper(model, "card"))).text();
export const report = async (model) => (await request(paper(model, "report"))).text();

function timing(header) {
  const found = {};
  for (const part of (header ?? "").split(",")) {
    const [name, ...rest] = part.trim().split(";");
    const dur = rest.map((one) => one.trim()).find((one) => one.startsWith("dur="));
    if (dur) found[name] = Number(dur.slice(4));
  }
  return found;
}

/** What a student says of texts, and how long it took: `{predictions, timing}`. */
export async function ask(model, texts, { signal, ...more } = {}) {
  const begun = performance.now();
  const body = JSON.stringify({ model: model.name, version: version(model), texts: texts.map(readable), deadline_ms: PATIENCE_MS, ...more });
  const response = await request("/predict", { method: "POST", headers: { "content-type": "application/json" }, body, signal });
  const answer = await response.json();
  return { predictions: answer.predictions, timing: { ...timing(response.headers.get("server-timing")), trip: performance.now() - begun } };
}
