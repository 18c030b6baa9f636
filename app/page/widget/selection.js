// selection.js: the passage that the reader has selected on the page, and where it is from.

const DEFAULT_SCOPE = "main, article";
const MOST_CHARACTERS = 16000; // In code points, as the service counts.
const MOST_SOURCE_CHARACTERS = 2048;
const SETTLE_MILLISECONDS = 200;
const HEADINGS = "h1[id], h2[id], h3[id], h4[id], h5[id], h6[id]";

export class PageSelection {
  /**
   * @param {object} options
   * @param {string|null} options.scope CSS selector of where selections count.
   * @param {Element} options.own The chat's own element, where they do not.
   * @param {(box: DOMRect|null) => void} options.onChange Told where the selection ends, null: none.
   */
  constructor({ scope, own, onChange }) {
    Object.assign(this, { _scope: scope, _own: own, _onChange: onChange });
    this._leaving = new AbortController();
    const { signal } = this._leaving;
    let timer = 0;
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this._look(), SETTLE_MILLISECONDS);
    };
    document.addEventListener("selectionchange", later, { signal });
    addEventListener("resize", later, { signal });
    addEventListener("scroll", later, { signal, passive: true, capture: true });
  }

  /** Return {text, title, url, anchor} of what is selected, or null. */
  take() {
    const range = this._range();
    if (!range) return null;
    const { origin, pathname, search } = location;
    return {
      text: cut(textOf(range), MOST_CHARACTERS),
      title: cut(document.title.trim(), MOST_SOURCE_CHARACTERS) || null,
      url: [origin + pathname + search, origin + pathname].find(isShort) ?? null,
      anchor: anchorOf(range, this._scopeOf(range.startContainer)),
    };
  }

  close() {
    this._leaving.abort();
  }

  _look() {
    const range = this._range();
    const boxes = range ? [...range.getClientRects()].filter((box) => box.width > 0) : [];
    this._onChange(boxes.at(-1) ?? null);
  }

  _range() {
    const selection = document.getSelection();
    if (!selection || selection.isCollapsed || selection.rangeCount === 0) return null;
    const range = selection.getRangeAt(0);
    if (this._own.contains(range.startContainer) || isField(document.activeElement)) return null;
    return this._scopeOf(range.startContainer) && textOf(range) ? range : null;
  }

  /** Return the element around a place in which selections count, or null. */
  _scopeOf(node) {
    const element = node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement;
    if (this._scope) return element?.closest(this._scope) ?? null;
    if (!document.querySelector(DEFAULT_SCOPE)) return document.body;
    return element?.closest(DEFAULT_SCOPE) ?? null;
  }
}

function textOf(range) {
  return range.toString().trim() && document.getSelection().toString().trim();
}

function cut(text, most) {
  return [...text].slice(0, most).join("");
}

function isShort(text) {
  return text.length <= MOST_SOURCE_CHARACTERS;
}

function isField(element) {
  return element?.matches?.("input, textarea, [contenteditable]") ?? false;
}

/** Return the id of the last heading that begins before the selection does, or null. */
function anchorOf(range, scope) {
  const isBefore = (heading) => {
    const place = document.createRange();
    place.selectNode(heading);
    return place.compareBoundaryPoints(Range.START_TO_START, range) <= 0;
  };
  const last = [...scope.querySelectorAll(HEADINGS)].findLast(isBefore);
  return last?.id.trim() && isShort(last.id) ? last.id : null;
}
