// Makes what stands in the page. Texts become text nodes and nothing else, whoever wrote them.

/** An element: `make("p.small", {title: "…"}, "text", another)`. Functions among the properties listen to events. */
export function make(told, properties = {}, ...inside) {
  const [name, ...classes] = told.split(".");
  const made = document.createElement(name || "div");
  if (classes.length) made.classList.add(...classes);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") made.classList.add(...value.split(" "));
    else if (typeof value === "function") made.addEventListener(key, value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...inside.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

export function button(label, then, { kind = "quiet", ...properties } = {}) {
  return make(`button.${kind}`, { type: "button", click: then, ...properties }, label);
}

/** Says it to whoever listens to the page. The same words twice are said twice. */
export function say(words) {
  const place = document.getElementById("said");
  place.textContent = "";
  setTimeout(() => { place.textContent = words; }, 40);
}

/** Puts a text where other programs find it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not allowed, or a page that came over plain http: the old way
    const before = document.activeElement;
    const field = make("textarea.away", { "aria-hidden": "true", readonly: true });
    field.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    before?.focus({ preventScroll: true });
    if (!done) return false;
  }
  return true;
}

export function copier(label, text) {
  const made = button(label, async () => {
    const done = await copy(text());
    made.textContent = done ? "Copied" : "Copying is not allowed here";
    say(made.textContent);
    setTimeout(() => { made.textContent = label; }, 1600);
  }, { kind: "plain" });
  return made;
}

/** Hands a text over as a file. */
export function save(text, name, type = "text/plain") {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

export const counted = (n, one, more = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : more}`;
export const percent = (share) => `${(100 * share).toFixed(share >= 0.1 && share < 0.995 ? 0 : 1)} %`;
export const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms).toLocaleString("en")} ms`;
