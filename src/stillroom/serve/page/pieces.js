// A text in pieces that are asked for one by one, so that a long text is not read again for every letter.

const LONG = 700; // characters of a paragraph from which its sentences are pieces of their own
const END = /(?<=[.!?…]["'”’)\]]*\s+)(?=["'“‘([]?\p{Lu})/u;

/** The pieces of a text; together they are the text. A paragraph is one, with the line's end. */
export function split(text) {
  const found = [];
  for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    if (line.length <= LONG) { found.push(line); continue; }
    let part = "";
    for (const sentence of line.split(END)) {
      if (part && part.length + sentence.length > LONG) { found.push(part); part = ""; }
      part += sentence;
    }
    if (part) found.push(part);
  }
  return found;
}

function common(one, other) {
  const most = Math.min(one.length, other.length);
  let first = 0;
  while (first < most && one[first] === other[first]) first += 1;
  let last = 0;
  while (last < most - first && one[one.length - 1 - last] === other[other.length - 1 - last]) last += 1;
  return [first, last];
}

/** A piece as it is asked for: whether a line ends behind it says nothing about it. */
export const bare = (text) => text.replace(/\n$/, "");

const LETTER = /[\p{L}\p{N}]/u;

/** Findings of a text that a change has left alone, at their new places. */
export function carried(before, after, found) {
  const [first, last] = common(before, after);
  const joined = (text, at) => LETTER.test(text[at - 1] ?? "") && LETTER.test(text[at] ?? "");
  const shift = after.length - before.length;
  return found.flatMap((one) => {
    if (one.end <= first && !(one.end === first && joined(after, first))) return [one];
    if (one.start >= before.length - last && !(one.start === before.length - last && joined(after, after.length - last))) return [{ ...one, start: one.start + shift, end: one.end + shift }];
    return [];
  });
}

/** Pieces as they are after a change; those that the change left alone stay the same objects.
 *  A piece: `{text, found, settled}`; `known(text)` gives what is known of a text, or undefined. */
export function renewed(old, text, known) {
  const fresh = split(text);
  const [first, last] = common(old.map((one) => one.text), fresh);
  const gone = old.slice(first, old.length - last);
  const come = fresh.slice(first, fresh.length - last);
  const flat = [];
  let at = 0;
  for (const one of gone) {
    flat.push(...one.found.map((its) => ({ ...its, start: its.start + at, end: its.end + at })));
    at += one.text.length;
  }
  const stale = gone.length && come.length ? carried(gone.map((one) => one.text).join(""), come.join(""), flat) : [];
  at = 0;
  const made = come.map((its) => {
    const answer = its.trim() ? known(bare(its)) : [];
    const from = at;
    at += its.length;
    if (answer) return { text: its, found: answer.map((one) => ({ ...one })), settled: true };
    const kept = stale.filter((one) => one.start >= from && one.end <= at && (one.start < at || one.end > from));
    return { text: its, found: kept.map((one) => ({ ...one, start: one.start - from, end: one.end - from })), settled: false };
  });
  return [...old.slice(0, first), ...made, ...old.slice(old.length - last)];
}
