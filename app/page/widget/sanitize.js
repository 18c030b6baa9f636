// sanitize.js: lets of an HTML text through what a reply may look like, and nothing else.
//
// The service renders Markdown with raw HTML off; this does not rely on it. The text is parsed into
// a document of its own, in which nothing runs and nothing loads, and what is listed here is built
// anew from it. Elements that are not listed give way to their text.

const ELEMENTS = words(`
  p br strong em s code pre ul ol li blockquote h1 h2 h3 h4 h5 h6 hr a
  table thead tbody tr th td
`);
const DROPPED = words(`
  script style template noscript iframe object embed svg math title head textarea select
`);
const SCHEMES = new Set(["http:", "https:", "mailto:"]);
const LANGUAGE = /^language-[\w+#.-]{1,40}$/;
const ALIGNMENTS = new Set(["left", "center", "right"]);
const DEEPEST = 200;

function words(text) {
  return new Set(text.trim().split(/\s+/));
}

/** Return a fragment with what is allowed of a text of HTML. */
export function sanitize(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const fragment = document.createDocumentFragment();
  copyChildren(parsed.body, fragment, 0);
  return fragment;
}

function copyChildren(from, to, depth) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) to.append(node.data);
    else if (node.nodeType === Node.ELEMENT_NODE) copyElement(node, to, depth + 1);
  }
}

function copyElement(node, to, depth) {
  const name = node.localName;
  if (DROPPED.has(name)) return;
  if (depth > DEEPEST) {
    to.append(node.textContent);
  } else if (ELEMENTS.has(name)) {
    const copy = document.createElement(name);
    copyAttributes(node, copy);
    copyChildren(node, copy, depth);
    to.append(copy);
  } else {
    copyChildren(node, to, depth);
  }
}

function copyAttributes(from, to) {
  const name = from.localName;
  if (name === "a") copyLink(from, to);
  if (name === "code" && LANGUAGE.test(from.className)) to.className = from.className;
  if (name === "ol" && /^\d{1,9}$/.test(from.getAttribute("start") ?? "")) {
    to.setAttribute("start", from.getAttribute("start"));
  }
  if (name === "th" || name === "td") {
    // Not as a style attribute, which a page's policy may forbid.
    const side = from.style?.textAlign || from.getAttribute("align");
    if (ALIGNMENTS.has(side)) to.className = `align-${side}`;
  }
}

function copyLink(from, to) {
  const address = safeAddress(from.getAttribute("href"));
  if (address === null) return;
  to.setAttribute("href", address);
  to.setAttribute("target", "_blank");
  to.setAttribute("rel", "noopener noreferrer nofollow");
}

/** Return a link's address as the browser reads it, or null for any scheme but the listed ones. */
function safeAddress(text) {
  try {
    const address = new URL(text ?? "", "about:invalid");
    return SCHEMES.has(address.protocol) ? address.href : null;
  } catch {
    return null;
  }
}
