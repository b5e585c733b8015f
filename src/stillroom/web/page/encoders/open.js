// A student's reading of texts, by its name.

/** `read(text)` gives ids, the words that they make with their places, and from where on a text was not read (or null). */
export async function encoder(told, files) {
  return (await import(`./${told.kind}.js`)).open(told, files);
}
