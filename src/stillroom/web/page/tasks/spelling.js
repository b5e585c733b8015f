// The word of a dictionary that was meant: near in letters, and at home between its neighbours.

import { plain } from "./edits.js";

/** A list of words, or of pairs, each with how often it stands in books. */
function table(text) {
  const found = new Map();
  for (const line of text.replace(/^\ufeff/, "").split(/\r?\n/)) {
    const at = line.lastIndexOf(" ");
    if (at > 0) found.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return found;
}

/** Which letters a word has, as bits: two words that are near have nearly the same. */
function letters(word) {
  let found = 0;
  for (const one of word) found |= 1 << one.codePointAt(0) % 31;
  return found;
}

function bits(number) {
  let [left, found] = [number >>> 0, 0];
  for (; left; left = (left & (left - 1)) >>> 0) found += 1;
  return found;
}

/** Optimal string alignment: letters that are put in, left out, exchanged with their neighbours or replaced. */
function distance(one, other, most) {
  let [two, last, row] = [null, Array.from({ length: other.length + 1 }, (_, at) => at), null];
  for (let i = 1; i <= one.length; i += 1) {
    row = [i];
    let least = i;
    for (let j = 1; j <= other.length; j += 1) {
      const same = one[i - 1] === other[j - 1] ? 0 : 1;
      let cost = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + same);
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) cost = Math.min(cost, two[j - 2] + 1);
      row.push(cost);
      least = Math.min(least, cost);
    }
    if (least > most) return most + 1;
    [two, last] = [last, row];
  }
  return last[other.length];
}

const single = (word) => word.replace(/(.)\1+/gsu, "$1");
const bones = (word) => single(word.slice(1).replace(/[aeiouy]/g, ""));
const sorted = (word) => [...word].sort().join("");

/** Whether a word has these letters in this order, and perhaps others between them. */
function within(some, word) {
  let at = 0;
  for (const one of word) if (one === some[at]) at += 1;
  return at >= some.length;
}

/** `meant(chunks, at)`: the word that was meant by a chunk between its neighbours, in lower case; null: none is near. */
export async function dictionary(told, files) {
  const [counts, pairs] = [table(await files.text(told.words)), table(await files.text(told.pairs))];
  for (const one of ["a", "i"]) counts.set(one, counts.get(one) ?? 1e10);
  const lengths = new Map();
  for (const word of counts.keys()) {
    const size = [...word].length;
    if (!lengths.has(size)) lengths.set(size, []);
    lengths.get(size).push([word, letters(word)]);
  }
  const not = new RegExp(`^(?:${told.not})$`);
  const cost = told.weights;
  const known = new Map();

  function isWord(word) {
    const low = plain(word).toLowerCase();
    if (counts.has(low) || !/\p{L}/u.test(low)) return true;
    if (/\p{N}/u.test(low) || not.test(low)) return true;
    if (told.endings.some((one) => low.endsWith(one) && counts.has(low.slice(0, low.length - one.length)))) return true;
    return low.includes("-") && low.split("-").filter(Boolean).every(isWord);
  }

  /** The words that are at most two steps away (of short words one), each with its steps. */
  function near(word) {
    const size = [...word].length;
    const most = size < 4 ? 1 : 2;
    const own = letters(word);
    const spelled = [...word];
    const found = [];
    for (let length = size - most; length <= size + most; length += 1) {
      for (const [one, theirs] of lengths.get(length) ?? []) {
        if (one === word || bits(own ^ theirs) > 2 * most) continue;
        const steps = distance(spelled, one, most);
        if (steps <= most) found.push([one, steps]);
      }
    }
    return found;
  }

  function unlike(one, other, steps) {
    let against = cost.step * steps + (one[0] === other[0] ? 0 : cost.other_first);
    if (sorted(one) === sorted(other)) against -= cost.same_letters;
    if (within(other, one)) against -= cost.left_out;
    if (single(one) === single(other)) against -= cost.doubled;
    return bones(one) === bones(other) ? against - cost.same_bones : against;
  }

  function worth(word, before, after) {
    let beside = 0;
    for (const pair of [`${before} ${word}`, `${word} ${after}`]) {
      beside += Math.log(Math.max(pairs.get(pair) ?? 0, cost.unseen) / cost.unseen);
    }
    return cost.often * Math.log(counts.get(word)) + cost.pair * beside;
  }

  function best(word, before, after) {
    const bare = told.bare[word] ?? `${word.slice(0, -1)}'t`;
    if (word in told.bare || not.test(bare)) return bare;
    if (!known.has(word)) {
      if (known.size > 20000) known.clear();
      known.set(word, near(word));
    }
    let found = null;
    const offer = (score, one) => {
      if (found === null || score > found[0] || (score === found[0] && one > found[1])) found = [score, one];
    };
    for (const [one, steps] of known.get(word)) offer(worth(one, before, after) - unlike(one, word, steps), one);
    for (let place = 1; place < word.length; place += 1) {
      const pair = `${word.slice(0, place)} ${word.slice(place)}`;
      if (pairs.has(pair)) offer(cost.often * Math.log(pairs.get(pair)) - cost.parted, pair);
    }
    return found === null ? null : found[1];
  }

  return (chunks, at) => {
    const { text } = chunks[at];
    if (plain(text).includes("'") && isWord(text)) return null;
    const [before, after] = [at - 1, at + 1].map((one) => (chunks[one]?.text ?? "").toLowerCase());
    return best(plain(text).toLowerCase(), before, after);
  };
}
