// The page: it opens the student in a worker, shows how things stand, and gives the task's view what was asked.

const $ = (id) => document.getElementById(id);
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let asked = 0;

function state(text, kind) {
  $("state").textContent = text;
  $("state").className = `state ${kind}`;
}

function failed(why) {
  state("Not usable", "bad");
  $("failed").textContent = why;
  $("failed").hidden = false;
}

/** What the student says of some texts: a list of predictions, and how many milliseconds it took. */
function ask(texts, what = "predict") {
  return new Promise((resolve, reject) => {
    asked += 1;
    waiting.set(asked, { resolve, reject });
    worker.postMessage({ id: asked, what, texts });
  });
}

worker.onmessage = ({ data }) => {
  if (data.verified) {
    const { count, gap } = data.verified;
    state("Ready", "good");
    const told = count === 1 ? "The golden answer agrees" : `All ${count} golden answers agree`;
    $("verified").textContent = `${told} with those it was shipped with. Largest difference: ${gap < 1e-5 ? "under 0.00001" : gap.toPrecision(1)}.`;
    document.documentElement.dataset.ready = "";
  } else if (data.failed) failed(data.failed);
  else {
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error) reject(new Error(data.error));
    else resolve(data);
  }
};
worker.onerror = (event) => failed(event.message || "The student could not be started in this browser.");

/** Says something to who hears the page, and not twice the same. */
function say(text) {
  if ($("said").textContent !== text) $("said").textContent = text;
}

async function keepOffline() {
  if (!navigator.serviceWorker) {
    $("offline").textContent = "Open it over https, and it is kept for use without a network.";
    return;
  }
  const kept = () => {
    $("offline").textContent = "Kept on this device: it opens and answers without a network.";
    document.documentElement.dataset.offline = "";
  };
  try {
    $("offline").textContent = "Being kept on this device …";
    const found = await navigator.serviceWorker.register(new URL("sw.js", import.meta.url));
    const newer = () => { $("newer").hidden = !(found.waiting && navigator.serviceWorker.controller); };
    found.addEventListener("updatefound", () => found.installing?.addEventListener("statechange", newer));
    $("take").onclick = () => {
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
      found.waiting?.postMessage("take over");
    };
    newer();
    (found.installing ?? found).addEventListener?.("statechange", ({ target }) => {
      if (target.state === "redundant" && !found.active) $("offline").textContent = "It could not be kept: a file was not what was exported.";
    });
    await navigator.serviceWorker.ready;
    kept();
  } catch {
    $("offline").textContent = "This browser does not keep it.";
  }
}

async function start() {
  const told = await (await fetch("student/student.json")).json();
  document.title = `${told.title} · stillroom`;
  $("run").textContent = told.title;
  $("made").textContent = `Runner ${told.runner_name}, bundle ${told.digest.slice(0, 12)}`;
  state("Fetching the student", "busy");
  const view = await import(`./views/${told.task.kind}.js`);
  $("heading").textContent = view.heading;
  $("lead").textContent = view.lead;
  view.show($("bench"), { ask, say, told });
  // Only now: what is kept for later should not stand in the way of what is needed first.
  keepOffline();
}

window.stillroom = { ask };
start().catch((error) => failed(`The student could not be opened: ${error.message}`));
