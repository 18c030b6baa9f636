// rich_text.js: a finished reply with its formatting: wide parts scroll inside, code can be copied.

import { copyFrom } from "./copying.js";
import { h, iconButton } from "./dom.js";
import { icon } from "./icons.js";
import { sanitize } from "./sanitize.js";
import { TEXT } from "./strings.js";

/** Return an element that shows a text of HTML, as far as it is allowed. */
export function richText(html, announce) {
  const root = h("div", { class: "rich" });
  root.append(sanitize(html));
  for (const block of root.querySelectorAll("pre")) frameCode(block, announce);
  for (const table of root.querySelectorAll("table")) frameTable(table);
  return root;
}

function frameCode(block, announce) {
  const language = /language-(\S+)/.exec(block.querySelector("code")?.className ?? "")?.[1];
  const button = iconButton(TEXT.copyCode, icon("copy"), () =>
    copyFrom(button, block.textContent, announce),
  );
  const frame = h(
    "div",
    { class: "code" },
    h("div", { class: "code-head" }, h("span", {}, language ?? TEXT.code), button),
  );
  block.replaceWith(frame);
  makeScrollable(block, TEXT.code);
  frame.append(block);
}

function frameTable(table) {
  const frame = h("div", { class: "table" });
  makeScrollable(frame, TEXT.table);
  table.replaceWith(frame);
  frame.append(table);
}

/** What scrolls can be reached and scrolled with the keyboard. */
function makeScrollable(node, name) {
  node.setAttribute("tabindex", "0");
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", name);
}
