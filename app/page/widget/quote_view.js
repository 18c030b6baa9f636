// quote_view.js: a passage that a question is about: above the question, and above the composer.

import { h, iconButton } from "./dom.js";
import { icon } from "./icons.js";
import { TEXT } from "./strings.js";

/** Return a passage as it stands above a question that was asked. */
export function quoteBlock(quote) {
  const source = sourceOf(quote);
  return h("blockquote", { class: "quote" }, h("p", {}, quote.text), source);
}

/** Return {node, update(quote)}: the passage that the next question will be about. */
export function pendingQuote({ store, focusComposer }) {
  const text = h("p", { class: "quote-text" });
  const remove = () => {
    store.dispatch("quoted", null);
    focusComposer();
  };
  const button = iconButton(TEXT.removeSelected, icon("close"), remove);
  const node = h(
    "section",
    { class: "pending-quote", "aria-label": TEXT.selected, hidden: true },
    icon("quote"),
    text,
    button,
  );
  return {
    node,
    update(quote) {
      node.hidden = quote === null;
      text.textContent = quote?.text ?? "";
    },
  };
}

/** Return the title of the page, as a link to the place where that is safe; or null. */
function sourceOf({ title, url, anchor }) {
  if (!title && !url) return null;
  const words = title || url;
  const isWeb = /^https?:\/\//i.test(url ?? "");
  if (!isWeb) return h("cite", {}, words);
  const address = anchor ? `${url}#${encodeURIComponent(anchor)}` : url;
  const isHere = url === location.origin + location.pathname + location.search;
  const elsewhere = isHere ? {} : { target: "_blank", rel: "noopener noreferrer" };
  return h("cite", {}, h("a", { href: address, ...elsewhere }, words));
}
