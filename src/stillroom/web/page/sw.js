// Keeps every file of this folder, so that the page works offline: each is checked by its digest before it is kept.

const DIGEST = "{{digest}}"; // of files.json; where it differs, this is another version
const KEPT = `stillroom-${new URL("./", location).pathname}-`;
const CACHE = KEPT + DIGEST;

async function digest(bytes) {
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function fetched(name, sha256) {
  const found = await fetch(name, { cache: "no-cache" });
  const bytes = await found.clone().arrayBuffer();
  if (!found.ok || (await digest(bytes)) !== sha256) throw new Error(`${name} is not the file that was exported`);
  return found;
}

async function keep() {
  const listed = await fetched("files.json", DIGEST);
  const { files } = await listed.clone().json();
  const cache = await caches.open(CACHE);
  try {
    await cache.put("files.json", listed);
    for (const [name, told] of Object.entries(files)) await cache.put(name, await fetched(name, told.sha256));
  } catch (error) {
    await caches.delete(CACHE); // all or nothing
    throw error;
  }
}

async function forget() {
  for (const name of await caches.keys()) if (name.startsWith(KEPT) && name !== CACHE) await caches.delete(name);
}

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(forget().then(() => self.clients.claim())));
self.addEventListener("message", ({ data }) => data === "take over" && self.skipWaiting());

self.addEventListener("fetch", (event) => {
  const asked = new URL(event.request.url);
  const here = new URL("./", location);
  if (event.request.method !== "GET" || asked.origin !== here.origin) return;
  const name = asked.pathname === here.pathname ? new URL("index.html", here) : asked.origin + asked.pathname;
  event.respondWith(
    caches.open(CACHE).then((cache) => cache.match(name)).then((found) => found ?? fetch(event.request)),
  );
});
