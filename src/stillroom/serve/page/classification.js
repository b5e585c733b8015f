// One label out of several for a text, and on request which words led to it.

import { Answer } from "/page/answer.js";
import { button, make, percent, say } from "/page/elements.js";
import { field } from "/page/field.js";
import { failed, sidesOf } from "/page/notes.js";
import { words } from "/page/places.js";
import { ask } from "/page/server.js";

export const title = "Classification";
export const about = "One label for a text.";

const MOST_WORDS = 120; // each is one more text to read
const MOST_BARS = 8;
const LEAST = 0.01; // of a probability: less is not worth a colour

function bars(prediction) {
  const every = Object.entries(prediction.scores ?? { [prediction.label]: prediction.score }).sort((a, b) => b[1] - a[1]);
  const bar = ([label, score]) => {
    const inside = make("span.fill");
    inside.style.width = `${100 * score}%`;
    return make("li", { class: label === prediction.label ? "first" : null },
      make("span.name", {}, label), make("span.number", {}, percent(score)), make("span.track", { "aria-hidden": "true" }, inside));
  };
  const list = make("ul.bars", { "aria-label": "How probable each label is" }, every.slice(0, MOST_BARS).map(bar));
  const more = every.length > MOST_BARS && button(`All ${every.length} labels`, () => { list.append(...every.slice(MOST_BARS).map(bar)); more.remove(); });
  return make("div", {}, make("p.verdict", {}, make("strong", {}, prediction.label), make("span", {}, percent(prediction.score))), list, more);
}

export function mount({ model }) {
  const why = make("div.why");
  let turn = 0;
  const answer = new Answer({
    model, title: "Label", empty: "Write something, and its label stands here.", shown: bars,
    spoken: (one) => `${one.label}, ${percent(one.score)}`,
    tools: [button("Which words led to it?", reasons, { kind: "plain" })],
  });
  answer.card.append(why);
  const source = field({ label: "Text", hint: "Write or paste a text, or drop a file here …", changed, fail: (said) => answer.fail(said) });

  function changed() {
    turn += 1;
    why.replaceChildren();
    answer.of(source.text);
  }

  async function reasons() {
    if (!answer.last) return;
    const { text } = answer.last;
    const { student: prediction } = sidesOf(answer.last.prediction);
    const every = words(text);
    if (every.length > MOST_WORDS) {
      why.replaceChildren(make("p.notice.calm", {}, `Every word is left out once to see what it did, so this is for up to ${MOST_WORDS} words. This text has ${every.length.toLocaleString("en")}.`));
      return;
    }
    const mine = turn += 1;
    why.replaceChildren(make("p.empty", {}, "Leaving out each word once …"));
    try {
      const { predictions } = await ask(model, every.map((one) => text.slice(0, one.start) + text.slice(one.end)), { teacher: "never" });
      if (mine !== turn) return;
      why.replaceChildren(coloured(text, every, predictions.map((one) => prediction.score - (sidesOf(one).student.scores?.[prediction.label] ?? 0)), prediction.label));
    } catch (error) {
      if (mine === turn) why.replaceChildren(failed(error, reasons));
    }
  }

  return { nodes: [source.card, answer.card], leave: () => { turn += 1; answer.turn.stop(); }, focus: () => source.area.focus() };
}

/** The text, its words coloured by what the label's probability loses without them. */
function coloured(text, every, effects, label) {
  const largest = Math.max(...effects.map(Math.abs), LEAST);
  const inside = [];
  let last = 0;
  every.forEach((word, place) => {
    const effect = effects[place];
    inside.push(text.slice(last, word.start));
    last = word.end;
    if (Math.abs(effect) < LEAST) { inside.push(word.text); return; }
    const strength = Math.min(3, Math.ceil((3 * Math.abs(effect)) / largest));
    inside.push(make(`mark.${effect > 0 ? "for" : "against"}.s${strength}`, { title: `${effect > 0 ? "+" : "−"}${(100 * Math.abs(effect)).toFixed(1)} points for ${label}` },
      word.text, make("sup", {}, effect > 0 ? "+" : "−")));
  });
  inside.push(text.slice(last));
  const strongest = every.map((word, place) => [word.text, effects[place]]).filter((one) => one[1] >= LEAST).sort((a, b) => b[1] - a[1]).slice(0, 3);
  const said = strongest.length ? `Most for ${label}: ${strongest.map(([word, effect]) => `${word} (+${(100 * effect).toFixed(0)} points)`).join(", ")}.` : `No single word decides: without any one of them it is as much ${label}.`;
  say(said);
  return make("div", {}, make("h3", {}, `Words for and against ${label}`), make("p.words", {}, inside), make("p.small", {}, said),
    make("p.legend.small", {}, make("mark.for.s2", {}, "for", make("sup", {}, "+")), " it would be less probable without it  ", make("mark.against.s2", {}, "against", make("sup", {}, "−")), " it would be more probable"));
}
