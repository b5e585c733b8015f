// Where a text is written, or a file is dropped.

import { button, make, say } from "/page/elements.js";

const LARGEST = 4_000_000;
const KINDS = ".txt,.md,.markdown,.jsonl,text/plain,text/markdown";

/** The text of a file; of JSON lines the texts of its rows, a line each. */
async function read(file) {
  if (file.size > LARGEST) throw new Error(`${file.name} is larger than ${LARGEST / 1e6} MB. Take a part of it.`);
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} is no text in UTF-8. Save it as plain text first.`);
  }
  text = text.replace(/^\ufeff/, "").replaceAll("\r\n", "\n").replaceAll("\r", "\n");
  if (text.includes("\0")) throw new Error(`${file.name} is no text.`);
  if (!file.name.endsWith(".jsonl")) return text;
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    try {
      const row = JSON.parse(line);
      return String(row.text ?? row).replaceAll("\n", " ");
    } catch {
      return line;
    }
  }).join("\n");
}

/** Makes a field take dropped files; `then(text, name)`, or `fail(words)`. */
export function takesFiles(zone, then, fail) {
  const over = (on) => zone.classList.toggle("dropping", on);
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const take = async (file) => {
    try {
      const text = await read(file);
      then(text, file.name);
      say(`${file.name} was read.`);
    } catch (error) {
      fail(error.message);
    }
  };
  zone.addEventListener("dragover", (event) => { if (carries(event)) { event.preventDefault(); over(true); } });
  zone.addEventListener("dragleave", () => over(false));
  zone.addEventListener("drop", (event) => {
    over(false);
    const [file] = event.dataTransfer?.files ?? [];
    if (file) { event.preventDefault(); take(file); }
  });
  const chooser = make("input", { type: "file", accept: KINDS, hidden: true, tabindex: "-1",
    change: () => { const [file] = chooser.files; if (file) take(file); chooser.value = ""; } });
  return [chooser, button("Open a file", () => chooser.click(), { title: "Text, Markdown, or JSON lines; or drop it on the text" })];
}

/** A field in a card: a label, the field, its tools. `changed()` when there is another text. */
export function field({ label, hint, changed, example, rows = 7, hot, large = true, fail }) {
  const id = `field-${label.toLowerCase().replace(/\W+/g, "-")}`;
  const area = make("textarea.text", { id, rows, spellcheck: "false", placeholder: hint, autocapitalize: "sentences",
    input: changed,
    keydown: (event) => { if (hot && event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); hot(); } } });
  const put = (text) => { area.value = text; changed(); };
  const [chooser, open] = large ? takesFiles(area, put, fail) : [null, null];
  const wipe = button("Clear", () => { put(""); area.focus(); });
  const row = make("div.row.flush", {}, chooser, open, example && button("Example", () => put(example)), wipe);
  const card = make("div.card.writing", {}, make("label", { for: id }, label), area, row);
  /** A button that asks, where that is not done while somebody writes. */
  const asks = (words, then) => row.append(make("span.small.keys.rest", {}, make("kbd", {}, "Ctrl"), " ", make("kbd", {}, "Enter")), button(words, then, { kind: "main" }));
  return { card, area, row, put, asks, get text() { return area.value; } };
}
