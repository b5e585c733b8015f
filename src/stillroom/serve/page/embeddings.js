// Which of some lines mean most nearly the same as a query.

import { button, counted, make, say } from "/page/elements.js";
import { field } from "/page/field.js";
import { failed, notices, timing } from "/page/notes.js";
import { ask } from "/page/server.js";
import { Turn } from "/page/turn.js";

export const title = "Similar sentences";
export const about = "The lines that mean most nearly what you ask for.";

const LINES = `How do I change my password?
Where can I see last month’s invoice?
The parcel never arrived.
I would like my money back.
Can two people use the same account?
The app closes by itself when I open a photo.
Which cards do you take?
I can’t log in any more.`;
const QUERY = "I forgot my login";
const AT_ONCE = 256;
const KEPT = 5000;

const cosine = (one, other) => {
  let product = 0, a = 0, b = 0;
  for (let place = 0; place < one.length; place += 1) {
    product += one[place] * other[place];
    a += one[place] ** 2;
    b += other[place] ** 2;
  }
  return a && b ? product / Math.sqrt(a * b) : 0;
};

export function mount({ model }) {
  const known = new Map(); // text → its vector
  const turn = new Turn();
  const query = make("input.text", { id: "query", type: "text", spellcheck: "false", autocomplete: "off", placeholder: "What do you look for?", input: look });
  const lines = field({ label: "Lines", hint: "A sentence a line, or drop a file here …", rows: 9, changed: look, fail: (said) => fail(new Error(said)) });
  lines.row.append(button("Example", () => { query.value = QUERY; lines.put(LINES); }));
  lines.card.prepend(make("label", { for: "query" }, "Query"), query);
  const list = make("ol.ranked", { "aria-label": "Lines, the nearest first" });
  const foot = make("div");
  const empty = make("p.empty", {}, "The nearest line stands on top here.");
  const card = make("section.card.answer", { "aria-label": "Nearest lines", "aria-busy": "false" }, make("h2", {}, "Nearest lines"), empty, list, foot);

  function fail(error) {
    list.replaceChildren();
    empty.hidden = true;
    foot.replaceChildren(failed(error, look));
  }

  function look() {
    const wanted = query.value.trim();
    const every = [...new Set(lines.text.split("\n").map((one) => one.trim()).filter(Boolean))];
    if (!wanted || !every.length) {
      turn.stop();
      list.replaceChildren();
      foot.replaceChildren();
      empty.hidden = false;
      return;
    }
    turn.take(async (signal) => {
      card.setAttribute("aria-busy", "true");
      try {
        if (known.size > KEPT) known.clear();
        const missing = [wanted, ...every].filter((one) => !known.has(one));
        let told = null;
        const notes = [];
        for (let at = 0; at < missing.length; at += AT_ONCE) {
          const some = missing.slice(at, at + AT_ONCE);
          const { predictions, timing: took } = await ask(model, some, { signal });
          some.forEach((one, place) => { known.set(one, predictions[place].vector); notes.push(...notices(predictions[place], one)); });
          told = told ? { queue: (told.queue ?? 0) + (took.queue ?? 0), answer: (told.answer ?? 0) + (took.answer ?? 0), trip: told.trip + took.trip } : took;
        }
        const vector = known.get(wanted);
        const ranked = every.map((line) => [line, cosine(vector, known.get(line))]).sort((a, b) => b[1] - a[1]);
        empty.hidden = true;
        list.replaceChildren(...ranked.slice(0, 100).map(([line, near]) => {
          const fill = make("span.fill");
          fill.style.width = `${Math.max(0, 100 * near)}%`;
          return make("li", {}, make("span.name", {}, line), make("span.number", {}, near.toFixed(2)), make("span.track", { "aria-hidden": "true" }, fill));
        }));
        if (told) foot.replaceChildren(...notes.slice(0, 5), timing(told, model, missing.length));
        say(`Nearest of ${counted(every.length, "line")}: ${ranked[0][0]}`);
      } catch (error) {
        if (error.name === "AbortError") throw error;
        fail(error);
      } finally {
        card.setAttribute("aria-busy", "false");
      }
    });
  }

  return { nodes: [lines.card, card], leave: () => turn.stop(), focus: () => query.focus() };
}
