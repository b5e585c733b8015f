// The server counts characters as code points, JavaScript as halves of UTF-16: here one becomes the other.

const PAIR = /[\ud800-\udbff][\udc00-\udfff]/;

/** A function from code points to places in the string. */
export function places(text) {
  if (!PAIR.test(text)) return (point) => Math.min(point, text.length);
  const starts = [];
  for (let at = 0; at < text.length; at += text.codePointAt(at) > 0xffff ? 2 : 1) starts.push(at);
  starts.push(text.length);
  return (point) => starts[Math.min(point, starts.length - 1)];
}

/** The same findings with places in the string. */
export function placed(text, found) {
  const at = places(text);
  return found.map((one) => ({ ...one, start: at(one.start), end: at(one.end) }));
}

/** Half a pair, which no server can read, becomes the sign for what can't be shown; every place stays. */
export const readable = (text) => text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");

/** The words of a text with their places. */
export const words = (text) => [...text.matchAll(/\S+/gu)].map((one) => ({ text: one[0], start: one.index, end: one.index + one[0].length }));
