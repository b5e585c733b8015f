// A student's card: Markdown, made into elements whose words are text and nothing else.

import { make } from "/page/elements.js";

const INLINE = /(?<code>`+)(?<inside>.+?)\k<code>|\*\*(?<strong>.+?)\*\*|(?<![\w*])\*(?<em>[^*\s](?:[^*]*[^*\s])?)\*(?![\w*])|(?<image>!)?\[(?<label>(?:\\.|[^\]])*)\]\((?<link>[^)\s]*)\)|\\(?<escaped>[!-\/:-@[-`{-~])|&(?<entity>lt|gt|amp|quot|nbsp);/s;
const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"', nbsp: "\u00a0" };

/** Words of a line with what is emphasised, code and linked in them. */
function inline(text) {
  const made = [];
  for (let found; (found = INLINE.exec(text)); text = text.slice(found.index + found[0].length)) {
    const { inside, strong, em, image, label, link, escaped, entity } = found.groups;
    made.push(text.slice(0, found.index));
    if (inside !== undefined) made.push(make("code", {}, inside));
    else if (strong !== undefined) made.push(make("strong", {}, inline(strong)));
    else if (em !== undefined) made.push(make("em", {}, inline(em)));
    else if (escaped !== undefined) made.push(escaped);
    else if (entity !== undefined) made.push(ENTITIES[entity]);
    else if (!image && /^https?:\/\//i.test(link)) made.push(make("a", { href: link, rel: "noopener noreferrer", target: "_blank" }, inline(label)));
    else made.push(...inline(label));
  }
  made.push(text);
  return made.filter((one) => one !== "");
}

const cells = (line) => line.trim().replace(/^\||(?<!\\)\|$/g, "").split(/(?<!\\)\|/).map((one) => one.trim().replaceAll("\\|", "|"));

function table(lines) {
  const aligned = cells(lines[1]).map((one) => (one.endsWith(":") ? "number" : null));
  const row = (line, tag) => make("tr", {}, cells(line).map((one, place) => make(tag, { class: aligned[place], scope: tag === "th" ? "col" : null }, inline(one))));
  return make("div.scroll", { tabindex: "0", role: "region", "aria-label": "Table" }, make("table", {}, make("thead", {}, row(lines[0], "th")), make("tbody", {}, lines.slice(2).map((one) => row(one, "td")))));
}

/** The elements of a Markdown text. Its headings begin below `level`. */
export function render(markdown, { level = 2 } = {}) {
  const lines = markdown.replaceAll("\r\n", "\n").replace(/^---\n[\s\S]*?\n---\n/, "").split("\n");
  const made = [];
  const until = (at, test) => { let end = at; while (end < lines.length && test(lines[end])) end += 1; return end; };
  for (let at = 0; at < lines.length;) {
    const line = lines[at];
    let end = at + 1;
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    const fence = /^(```+|~~~+)/.exec(line);
    const item = /^\s*([-*+]|\d+[.)])\s+/;
    if (!line.trim()) { /* nothing */ }
    else if (fence) {
      end = until(at + 1, (one) => !one.startsWith(fence[1]));
      made.push(make("pre", { tabindex: "0" }, make("code", {}, lines.slice(at + 1, end).join("\n"))));
      end += 1;
    } else if (heading) made.push(make(`h${Math.min(heading[1].length + level, 6)}`, {}, inline(heading[2])));
    else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) made.push(make("hr"));
    else if (line.includes("|") && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[at + 1] ?? "")) {
      end = until(at, (one) => one.includes("|"));
      made.push(table(lines.slice(at, end)));
    } else if (line.startsWith(">")) {
      end = until(at, (one) => one.startsWith(">"));
      made.push(make("blockquote", {}, render(lines.slice(at, end).map((one) => one.replace(/^>\s?/, "")).join("\n"), { level })));
    } else if (item.test(line)) {
      end = until(at, (one) => item.test(one) || /^\s{2,}\S/.test(one));
      const items = [];
      for (const one of lines.slice(at, end)) {
        if (item.test(one)) items.push(one.replace(item, ""));
        else items[items.length - 1] += ` ${one.trim()}`;
      }
      made.push(make(/^\s*\d/.test(line) ? "ol" : "ul", {}, items.map((one) => make("li", {}, inline(one)))));
    } else {
      end = until(at + 1, (one) => one.trim() && !/^(#{1,6}\s|```|~~~|>)/.test(one) && !item.test(one));
      made.push(make("p", {}, inline(lines.slice(at, end).join(" "))));
    }
    at = end;
  }
  return made;
}
