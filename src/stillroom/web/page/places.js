// Places in a text: JavaScript counts UTF-16 units, bundles count code points.

/** For each unit of a text, and for its end, how many code points stand before it. */
export function codePoints(text) {
  const found = new Int32Array(text.length + 1);
  let count = 0;
  for (let unit = 0; unit < text.length; unit += 1) {
    found[unit] = count;
    if (text.codePointAt(unit) > 0xffff) {
      unit += 1;
      found[unit] = count;
    }
    count += 1;
  }
  found[text.length] = count;
  return found;
}

/** Where half a surrogate pair stands, which no student can read; -1 where there is none. */
export function unreadable(text) {
  return text.search(/\p{Surrogate}/u);
}
