// The language of a proofreader: what a tag on a chunk of a text makes of it. Places are JavaScript's.

import { SPACES, spelled } from "../encoders/ngrams.js";

const SPACE = new RegExp(`^[${SPACES}]+$`, "u");
const AROUND = new RegExp(`^[${SPACES}]+|[${SPACES}]+$`, "gu");
const PARTED = new RegExp(`[${SPACES}][,.](?:[${SPACES}]|$)`, "u");
const first = (text) => String.fromCodePoint(...[text.codePointAt(0)].filter((one) => one !== undefined));
const upper = (text) => /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text);
const lower = (text) => /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text);
const count = (text) => [...text].length;

/** A word with the apostrophe of typewriters. */
export const plain = (word) => word.replaceAll("’", "'");

const capital = (word) => first(word).toUpperCase() + word.slice(first(word).length);

/** What finds the chunks of a text: words with their apostrophes and hyphens, and single signs. */
export function chunker(letters) {
  const inner = spelled(letters);
  const word = `(?:(?!_)[${inner}][\\u0300-\\u036f]*)+`;
  const found = new RegExp(`${word}(?:['’\\-]${word})*|[^${inner}${SPACES}]|_+`, "gu");
  return (text) => [...text.matchAll(found)].map((one) => ({ start: one.index, end: one.index + one[0].length, text: one[0] }));
}

/** The text with edits made, none of which overlap. */
export function applied(text, edits) {
  let [found, done] = ["", 0];
  for (const one of edits) {
    found += text.slice(done, one.start) + one.replacement;
    done = one.end;
  }
  return found + text.slice(done);
}

/** A word with the capitals of the one whose place it takes. */
function cased(found, like, atStart) {
  if (count(like) > 1 && upper(like)) return found.toUpperCase();
  if (found === "i" || found.startsWith("i'")) return capital(found);
  return upper(first(like)) && (like !== "I" || atStart) ? capital(found) : found;
}

function withEnding(low, old, ending) {
  if (!low.endsWith(old) || count(low) - count(old) < 2) return null;
  return low.slice(0, low.length - old.length) + ending;
}

/** What makes edits of tags: `edit(tag, chunks, at, text)`, and `topic(tag, word)`, what they are a matter of. */
export function language(told, meant) {
  const verbs = new Map();
  for (const line of told.verbs) for (const form of line) verbs.set(form, line);
  const numbers = new Map(Object.entries(told.numbers));
  const begins = (chunks, at) => at === 0 || told.stops.includes(chunks[at - 1].text);

  function instead(name, rest, chunks, at) {
    const word = chunks[at].text;
    const low = plain(word).toLowerCase();
    let found = null;
    if (name === "capital") return capital(word);
    if (name === "lower") return word === capital(word.toLowerCase()) ? word.toLowerCase() : null;
    if (name === "spell") found = lower(first(word)) || begins(chunks, at) ? meant(chunks, at) : null;
    else if (name === "ending") found = withEnding(low, ...rest.split(">"));
    else if (name === "form") found = verbs.has(low) ? verbs.get(low)[told.forms.indexOf(rest)] : null;
    else if (name === "number") found = numbers.get(low) ?? null;
    else if (name === "word") found = rest;
    return found === null ? null : cased(found, word, begins(chunks, at));
  }

  function after(sign, chunks, at, text) {
    const { end } = chunks[at];
    const heading = at === chunks.length - 1 && !chunks.some((one) => told.stops.includes(one.text));
    const behind = first([...text.slice(end, end + 4)].slice(0, 2).join("").replace(AROUND, ""));
    if (told.signs.includes(chunks[at].text) || told.signs.includes(behind) || (told.stops.includes(sign) && heading)) return null;
    return { start: end, end, replacement: (PARTED.test(text) ? " " : "") + sign };
  }

  function before(word, chunks, at) {
    const chunk = chunks[at];
    const written = word === "i" ? "I" : word;
    const start = begins(chunks, at);
    if (start && chunk.text === capital(chunk.text.toLowerCase()) && chunk.text !== "I") {
      return { start: chunk.start, end: chunk.end, replacement: `${capital(written)} ${chunk.text.toLowerCase()}` };
    }
    return { start: chunk.start, end: chunk.start, replacement: `${start ? capital(written) : written} ` };
  }

  function withNext(name, chunks, at, text) {
    if (at + 1 >= chunks.length) return null;
    const [one, other] = [chunks[at], chunks[at + 1]];
    const between = text.slice(one.end, other.start);
    if (name !== "exchange") {
      return SPACE.test(between) ? { start: one.end, end: other.start, replacement: name === "join" ? "" : "-" } : null;
    }
    let [left, right] = [other.text, one.text];
    if (at === 0 && one.text !== "I") [left, right] = [capital(left), right.toLowerCase()];
    return { start: one.start, end: other.end, replacement: left + between + right };
  }

  function without(chunks, at, text) {
    const chunk = chunks[at];
    if (at) {
      const last = chunks[at - 1].end;
      return { start: SPACE.test(text.slice(last, chunk.start)) ? last : chunk.start, end: chunk.end, replacement: "" };
    }
    if (chunks.length === 1) return { start: 0, end: text.length, replacement: "" };
    const follower = chunks[1];
    return { start: chunk.start, end: follower.end, replacement: upper(first(chunk.text)) ? capital(follower.text) : follower.text };
  }

  function edit(tag, chunks, at, text) {
    const chunk = chunks[at];
    const [name, ...more] = tag.split(":");
    const rest = more.join(":");
    if (name === "before") return before(rest, chunks, at);
    if (name === "after") return after(rest, chunks, at, text);
    if (["join", "hyphen", "exchange"].includes(name)) return withNext(name, chunks, at, text);
    if (name === "delete") return without(chunks, at, text);
    let found = instead(name, rest, chunks, at);
    if (found !== null && text.includes("’")) found = found.replaceAll("'", "’");
    return found === null || found === chunk.text ? null : { start: chunk.start, end: chunk.end, replacement: found };
  }

  function ending(rest) {
    const within = (some) => rest.split(">").every((one) => some.includes(one));
    if (within(told.of_nouns)) return "number";
    if (within(told.of_verbs)) return "verb form";
    return rest.includes("'") ? "punctuation" : "word form";
  }

  function topic(tag, word) {
    const [name, ...more] = tag.split(":");
    const rest = more.join(":");
    const low = word.toLowerCase();
    if (name === "before") return told.left_out.find(([, some]) => some.includes(rest))[0];
    if (name === "word") {
      const both = told.confused.find(([, some]) => some.includes(rest) && some.includes(low));
      return (both ?? told.confused.find(([, some]) => some.includes(rest)))[0];
    }
    if (name === "ending") return ending(rest);
    if (name === "delete" && !/^[\p{L}\p{N}]/u.test(word)) return "punctuation";
    if (name === "delete") return ["a", "an", "the"].includes(low) ? "article" : "extra word";
    return told.alone[name] ?? "confused words";
  }

  return { edit, topic };
}
