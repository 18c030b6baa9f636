// empty_view.js: what stands in a conversation that has not begun.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { SHORTCUT, TEXT } from "./strings.js";

export function emptyState() {
  return h(
    "div",
    { class: "empty" },
    h("div", { class: "empty-picture" }, icon("chat")),
    h("p", { class: "empty-title" }, TEXT.emptyTitle),
    h("p", { class: "empty-hint" }, TEXT.emptyHint),
    h("p", { class: "keys" }, h("kbd", {}, SHORTCUT), ` ${TEXT.shortcutHint}`),
  );
}
