// Buckets of words, of pairs of neighbouring words and of n-grams inside words: the same hashes as in Python.

const WORD_SALT = 0x5eed;
const GRAM_SALT = 0xc4a2;
const MIX = 0x9e3779b97f4a7c15n; // 2^64 over the golden ratio
const CRC = new Uint32Array(256).map((_, byte) => {
  let found = byte;
  for (let step = 0; step < 8; step += 1) found = found & 1 ? 0xedb88320 ^ (found >>> 1) : found >>> 1;
  return found;
});

/** CRC-32 of some bytes, as `zlib.crc32(bytes, salt)` has it. */
function crc(bytes, salt) {
  let state = ~salt;
  for (const byte of bytes) state = CRC[(state ^ byte) & 255] ^ (state >>> 8);
  return ~state >>> 0;
}

const hex = (code) => `\\u{${code.toString(16)}}`;

/** The inside of a class of regular expressions for ranges of code points. */
export function spelled(ranges) {
  return ranges.map(([first, last]) => (first === last ? hex(first) : `${hex(first)}-${hex(last)}`)).join("");
}

/** White space as Python's regular expressions have it. */
export const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

/** The buckets of a text; `letters` are those characters that words are made of. */
export async function open(told, files) {
  const letters = spelled(await files.json(told.letters));
  const words = new RegExp(`[${letters}]+|[^${letters}${SPACES}]`, "gu");
  const mask = 2 ** told.bits - 1;
  const shift = BigInt(64 - told.bits);
  const utf8 = new TextEncoder();

  function pair(left, right) {
    let mixed = BigInt.asUintN(64, BigInt(left) * MIX + BigInt(right));
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 29n)) * MIX);
    return Number(mixed >> shift);
  }

  return {
    read(text) {
      const ids = [];
      let before = null;
      const pairs = [];
      for (const [word] of text.toLowerCase().matchAll(words)) {
        const bytes = utf8.encode(`<${word}>`);
        const own = crc(bytes.subarray(1, bytes.length - 1), WORD_SALT);
        ids.push(own & mask);
        for (let first = 0; first < bytes.length; first += 1) {
          let state = ~GRAM_SALT;
          const most = Math.min(told.longest, bytes.length - first);
          for (let length = 1; length <= most; length += 1) {
            state = CRC[(state ^ bytes[first + length - 1]) & 255] ^ (state >>> 8);
            if (length >= told.shortest) ids.push(~state & mask);
          }
        }
        if (told.word_pairs && before !== null) pairs.push(pair(before, own));
        before = own;
      }
      for (const one of pairs) ids.push(one);
      return { ids: ids.length ? ids : [0], words: [], cut: null };
    },
  };
}
