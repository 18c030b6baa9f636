// scroll.js: keeps the end of the conversation in view, as long as the reader is there.

const NEAR_PIXELS = 60;

export class Scroll {
  /**
   * @param {HTMLElement} node What scrolls.
   * @param {(isAway: boolean) => void} onAway Told when the reader leaves the end or is back.
   */
  constructor(node, onAway) {
    this._node = node;
    this._isAtEnd = true;
    this._onAway = onAway;
    node.addEventListener("scroll", () => this._look(), { passive: true });
    new ResizeObserver(() => this.follow()).observe(node);
  }

  /** More is there: go along, if the reader is at the end. */
  follow() {
    if (this._isAtEnd) this._node.scrollTop = this._node.scrollHeight;
    else this._look();
  }

  toEnd() {
    this._isAtEnd = true;
    this.follow();
    this._onAway(false);
  }

  /** Do something that changes what is shown; what the reader sees stays where it is. */
  keepPlace(items, change) {
    const top = this._node.getBoundingClientRect().top;
    const isSeen = (item) => item.getBoundingClientRect().bottom > top;
    const first = this._isAtEnd ? null : [...items.children].find(isSeen);
    const before = first?.getBoundingClientRect().top;
    change();
    if (first?.isConnected) this._node.scrollTop += first.getBoundingClientRect().top - before;
    this.follow();
  }

  _look() {
    const { scrollHeight, scrollTop, clientHeight } = this._node;
    this._isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_PIXELS;
    this._onAway(!this._isAtEnd);
  }
}
