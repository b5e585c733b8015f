// Token ids of a word-piece tokenizer with BERT's rules, with the places that they were read from.
//
// The package that reads such tokenizers in JavaScript tells no places, joins unknown words that stand side by side and
// lowers a sigma by its neighbours. Which characters are signs and which are dropped differs between versions of Unicode,
// so that is not asked of the browser: the export wrote it down, from the tokenizer itself (`characters.json`).

const CHINESE = [
  [0x4e00, 0x9fff], [0x3400, 0x4dbf], [0x20000, 0x2a6df], [0x2a700, 0x2b73f], [0x2b740, 0x2b81f], [0x2b920, 0x2ceaf],
  [0xf900, 0xfaff], [0x2f800, 0x2fa1f],
];
const SPACE = /\p{White_Space}/u;
const KEPT = 50000; // words whose pieces are remembered

/** Whether a code point lies in one of some ranges, which stand in order. */
export function inside(ranges, code) {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (code < ranges[middle][0]) high = middle - 1;
    else if (code > ranges[middle][1]) low = middle + 1;
    else return true;
  }
  return false;
}

class Tokens {
  constructor(told, tokenizer, characters) {
    const { model, normalizer, post_processor: around } = tokenizer;
    this.told = told;
    this.characters = characters;
    this.vocabulary = new Map(Object.entries(model.vocab));
    this.longest = Math.max(...[...this.vocabulary.keys()].map((piece) => piece.length));
    this.unknown = this.vocabulary.get(model.unk_token);
    this.prefix = model.continuing_subword_prefix;
    this.most = model.max_input_chars_per_word;
    this.clean = normalizer.clean_text;
    this.chinese = normalizer.handle_chinese_chars;
    this.lower = normalizer.lowercase;
    this.strip = normalizer.strip_accents ?? normalizer.lowercase;
    this.added = new Map(tokenizer.added_tokens.map((one) => [one.content, one.id]));
    const names = [...this.added.keys()].sort((one, other) => other.length - one.length);
    const spelled = names.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    this.names = names.length ? new RegExp(spelled.join("|"), "gu") : null;
    [this.before, this.after] = [[], []];
    let seen = false;
    for (const part of told.special && around ? around.single : []) {
      if (part.Sequence) seen = true;
      else (seen ? this.after : this.before).push(...around.special_tokens[part.SpecialToken.id].ids);
    }
    this.known = new Map();
    this.normal = new Map();
  }

  /** Ids, the place of each token (none of those that are added around a text), and the words that they make. */
  read(text) {
    let tokens = [];
    const words = [];
    for (const [start, end, whole] of this.parts(text)) {
      if (whole !== null) {
        words.push(tokens.length);
        tokens.push([whole, start, end]);
      } else this.cut(text, start, end, tokens, words);
    }
    const room = this.told.max_tokens === null ? Infinity : this.told.max_tokens - this.before.length - this.after.length;
    const cut = tokens.length > room ? tokens[room][1] : null;
    tokens = tokens.slice(0, room);
    const ids = [...this.before, ...tokens.map((one) => one[0]), ...this.after];
    const places = [...this.before.map(() => [0, 0]), ...tokens.map((one) => [one[1], one[2]]), ...this.after.map(() => [0, 0])];
    const found = words.filter((first) => first < tokens.length).map((first, number) => {
      const last = Math.min(words[number + 1] ?? tokens.length, tokens.length) - 1;
      return { token: first + this.before.length, start: tokens[first][1], end: tokens[last][2] };
    });
    if (!ids.length) return { ids: [this.told.unknown], places: [[0, 0]], words: [], cut };
    return { ids, places, words: found.filter((one) => one.end > one.start), cut };
  }

  /** The parts of a text that are tokens as they stand, and what is between them. */
  *parts(text) {
    let done = 0;
    for (const match of this.names === null ? [] : text.matchAll(this.names)) {
      if (match.index > done) yield [done, match.index, null];
      done = match.index + match[0].length;
      yield [match.index, done, this.added.get(match[0])];
    }
    if (done < text.length) yield [done, text.length, null];
  }

  /** What becomes of a character: some characters, none where it is dropped. */
  changed(character) {
    let found = this.normal.get(character);
    if (found === undefined) {
      const code = character.codePointAt(0);
      const dropped = (one) => inside(this.characters.dropped, one.codePointAt(0));
      if (dropped(character)) found = [];
      else if (this.clean && SPACE.test(character)) found = [" "];
      else {
        found = this.strip ? [...character.normalize("NFD")].filter((one) => !dropped(one)) : [character];
        if (this.lower) found = found.flatMap((one) => [...one.toLowerCase()]);
        if (this.chinese && CHINESE.some(([first, last]) => code >= first && code <= last)) found = [" ", ...found, " "];
      }
      this.normal.set(character, found);
    }
    return found;
  }

  /** Cuts a stretch of a text into words, and those into tokens. */
  cut(text, start, end, tokens, words) {
    let word = [];
    const finish = () => {
      if (word.length) {
        words.push(tokens.length);
        this.pieces(word, tokens);
        word = [];
      }
    };
    for (let at = start; at < end; ) {
      const character = String.fromCodePoint(text.codePointAt(at));
      const next = at + character.length;
      for (const one of this.changed(character)) {
        if (SPACE.test(one)) finish();
        else if (inside(this.characters.signs, one.codePointAt(0))) {
          finish();
          word.push([one, at, next]);
          finish();
        } else word.push([one, at, next]);
      }
      at = next;
    }
    finish();
  }

  /** The tokens of a word: again and again the longest that it begins with. */
  pieces(word, tokens) {
    const written = word.map((one) => one[0]).join("");
    let found = this.known.get(written);
    if (found === undefined) {
      found = this.split(word.map((one) => one[0]));
      if (this.known.size > KEPT) this.known.clear();
      this.known.set(written, found);
    }
    for (const [id, first, past] of found) tokens.push([id, word[first][1], word[past - 1][2]]);
  }

  split(word) {
    const whole = [[this.unknown, 0, word.length]];
    if (word.length > this.most) return whole;
    const found = [];
    for (let first = 0; first < word.length; ) {
      const prefix = first ? this.prefix : "";
      let past = Math.min(word.length, first + this.longest);
      let id;
      for (; past > first; past -= 1) {
        id = this.vocabulary.get(prefix + word.slice(first, past).join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) return whole;
      found.push([id, first, past]);
      first = past;
    }
    return found;
  }
}

/** The tokenizer of a student. */
export async function open(told, files) {
  return new Tokens(told, await files.json(told.file), await files.json(told.characters));
}
