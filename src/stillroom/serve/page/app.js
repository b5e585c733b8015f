// The page: the students that are served, the playground of the one that is chosen, its papers, and the key.

import { button, make, save, say } from "/page/elements.js";
import { failed, perMillion } from "/page/notes.js";
import { render } from "/page/papers.js";
import * as server from "/page/server.js";

const at = (id) => document.getElementById(id);
const main = at("main"), nav = at("models");
let shown = null; // the playground that is open

// The key

server.onKeyNeeded((wrong) => new Promise((resolve) => {
  const dialog = at("asking"), secret = at("secret");
  at("asking-title").textContent = wrong ? "This key is not good for it" : "This server asks for a key";
  secret.value = "";
  server.key.forget();
  keyShown();
  dialog.returnValue = "";
  dialog.addEventListener("close", () => {
    const given = dialog.returnValue === "use" && secret.value.trim();
    if (given) server.key.set(given);
    secret.value = "";
    keyShown();
    resolve(given || null);
  }, { once: true });
  dialog.showModal();
  secret.focus();
}));
at("asking").querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); at("asking").close("use"); });
at("asking-no").addEventListener("click", () => at("asking").close(""));

function keyShown() {
  at("key").hidden = !server.key.get();
}
at("key").addEventListener("click", () => {
  server.key.forget();
  keyShown();
  say("The key is forgotten.");
  location.reload();
});

document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); shown?.focus(); });

// Its papers

at("paper-close").addEventListener("click", () => at("paper").close());
at("paper").addEventListener("click", (event) => { if (event.target === at("paper")) at("paper").close(); });

async function card(model) {
  at("paper-title").textContent = `Model card: ${model.name}`;
  const text = at("paper-text");
  text.replaceChildren(make("p.empty", {}, "One moment …"));
  at("paper").showModal();
  try {
    text.replaceChildren(...render(await server.card(model)));
  } catch (error) {
    text.replaceChildren(failed(error));
  }
  text.scrollTop = 0;
}

/** The report has a tab of its own. Where a key is needed a link can't bring it, and it comes as a file that opens anywhere. */
function report(model) {
  return make("a", { href: server.addressOfReport(model), target: "_blank", rel: "noopener", click: async (event) => {
    if (!server.key.get()) return;
    event.preventDefault();
    try {
      save(await server.report(model), `${model.name}-report.html`, "text/html");
      say("The report was saved as a file.");
    } catch (error) {
      shown?.place.prepend(failed(error));
    }
  } }, "Report");
}

// The students

const addressOf = (model) => `#${encodeURIComponent(model.name)}${model.versions > 1 ? `@${model.version}` : ""}`;
const playgrounds = new Map(); // task → its file, where there is one

/** What this page can do for a task; of one that it does not know it says so. */
function playground(task) {
  return playgrounds.get(task) ?? { title: task.replaceAll("_", " "), about: "", mount: () => ({ leave() {}, focus() {},
    nodes: [make("p.empty", {}, "This page has no playground for it. The server can be asked all the same: see API.")] }) };
}

async function load(task) {
  try {
    playgrounds.set(task, await import(`/page/${task}.js`));
  } catch { /* a stranger's task */ }
}

function chosen(models) {
  const wanted = location.hash;
  return models.find((one) => addressOf(one) === wanted) ?? shown?.model ?? models[0];
}

function listed(models, current) {
  nav.hidden = models.length < 2;
  at("frame").classList.toggle("alone", models.length < 2);
  nav.replaceChildren(make("p.small", { id: "models-title" }, "Students"), make("ul", { "aria-labelledby": "models-title" }, models.map((one) => make("li", {},
    make("a", { href: addressOf(one), "aria-current": one === current ? "page" : null }, make("span", {}, one.name), make("small", {}, playground(one.task).title, one.versions > 1 && ` · ${one.version}`))))));
  const link = nav.querySelector("[aria-current]");
  if (link && nav.scrollWidth > nav.clientWidth) nav.scrollLeft += link.getBoundingClientRect().left - nav.getBoundingClientRect().left - 16;
}

function head(model, task) {
  const facts = [["Version", make("code", { title: model.digest }, model.version)], ["Runs with", model.runner],
    typeof model.teacher === "string" && ["Teacher behind it", model.teacher], perMillion(model) && ["Price per million texts", perMillion(model)]].filter(Boolean);
  return make("header.head", {}, make("p.kicker", {}, task.title), make("h1", {}, model.name), make("p.about", {}, task.about),
    make("div.row.facts", {}, make("dl", {}, facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
      papers(model)));
}

/** What can be read of it, as soon as the server says that it is there. */
function papers(model) {
  const row = make("div.row.papers");
  const made = { card: button("Model card", () => card(model), { kind: "link" }), report: report(model) };
  server.papers(model).then((there) => row.append(...there.map((which) => made[which])), () => {});
  return row;
}

function open(models, { focus = false } = {}) {
  const model = chosen(models);
  if (shown?.model === model) return;
  shown?.leave();
  listed(models, model);
  document.title = `${model.name} · stillroom`;
  const task = playground(model.task);
  const mounted = task.mount({ model });
  const place = make(`div.bench${task.wide ? ".wide" : ""}`, {}, mounted.nodes);
  main.replaceChildren(head(model, task), place);
  main.setAttribute("aria-busy", "false");
  shown = { model, place, leave: mounted.leave, focus: mounted.focus };
  if (focus) { main.focus({ preventScroll: true }); scrollTo(0, 0); say(`${model.name}, ${task.title}`); }
}

async function begin() {
  keyShown();
  try {
    const models = await server.models();
    if (!models.length) throw new server.Trouble("The server has no student yet. Try again in a while.");
    for (const one of models) one.versions = models.filter((other) => other.name === one.name).length;
    await Promise.all([...new Set(models.map((one) => one.task))].map(load));
    addEventListener("hashchange", () => open(models, { focus: true }));
    open(models);
  } catch (error) {
    main.setAttribute("aria-busy", "false");
    main.replaceChildren(failed(error, begin));
  }
}

begin();
