// The same for programs: a line for curl, and the JSON that the service answered.

import { element, size } from "./dom.js";
import { hasKey } from "./key.js";

/** JSON beyond this is saved to a file, not laid out on the page. */
const MOST_SHOWN = 200_000;

/** A query with its commas, which need no escape. */
const readable = (query) => query.replaceAll("%2C", ",");

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** A line that has curl ask the same. */
export function curlLine(query, name) {
  const url = new URL(`v1/predict?${readable(query)}`, document.baseURI);
  url.hash = "";
  const key = hasKey() ? ' -H "Authorization: Bearer $UNSCENE_KEY"' : "";
  return `curl${key} --data-binary ${quoted(`@${name}`)} ${quoted(url.href)}`;
}

/** A line with a button that copies it. */
export function copyable(text) {
  const code = element("code", { tabindex: "0" }, text);
  const said = element("span", { role: "status", class: "small" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "copied";
    } catch {
      // Without HTTPS a page may not copy; the user may.
      getSelection().selectAllChildren(code);
      said.textContent = "selected; copy it by keyboard";
    }
  };
  const button = element("button", { type: "button", on: { click: copy } }, "Copy");
  return element("div", { class: "copyable" }, code, button, said);
}

/** An answer that folds out, laid out when it does; a long one is cut, and can be saved. */
export function foldedJson(title, answer) {
  const pre = element("pre", { tabindex: "0" });
  const more = element("p", { class: "small" });
  const details = element("details", {}, element("summary", {}, title), pre, more);
  details.addEventListener("toggle", () => {
    if (!details.open || pre.textContent) return;
    const text = JSON.stringify(answer, null, 1);
    pre.textContent = text.slice(0, MOST_SHOWN);
    const cut = text.length > MOST_SHOWN ? `These are the first ${size(MOST_SHOWN)}. ` : "";
    const href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    more.append(cut, element("a", { href, download: "answer.json" }, `Save all of it (${size(text.length)})`));
  });
  return details;
}
