// log_view.js: the messages, from the oldest that were read to the latest.

import { h, textButton } from "./dom.js";
import { emptyState } from "./empty_view.js";
import { icon } from "./icons.js";
import { MessageView } from "./message_view.js";
import { itemsOf } from "./messages.js";
import { Scroll } from "./scroll.js";
import { TEXT } from "./strings.js";

export class LogView {
  /** @param {object} means {conversation, store, live, announce, focusComposer} */
  constructor(means) {
    this._means = means;
    this._views = new Map();
    this._items = h("div", { class: "items" });
    this._older = textButton(TEXT.older, () => this._readOlder(), { class: "button older" });
    this._loading = h("p", { class: "loading" }, TEXT.loading);
    this._empty = emptyState();
    this.log = h(
      "div",
      { class: "log", role: "log", "aria-label": TEXT.messages, "aria-live": "off", tabindex: "0" },
      this._older,
      this._loading,
      this._empty,
      this._items,
    );
    const jump = () => this._scroll.toEnd();
    this._jump = textButton(TEXT.jump, jump, { class: "button jump", hidden: true });
    this._jump.prepend(icon("arrowDown"));
    this.node = h("div", { class: "log-frame" }, this.log, this._jump);
    this._scroll = new Scroll(this.log, (isAway) => {
      this._jump.hidden = !isAway;
    });
    means.live.onText(() => this._scroll.follow());
  }

  update(state, before) {
    if (before && !CHANGES.some((name) => state[name] !== before[name])) return;
    this._scroll.keepPlace(this._items, () => this._show(state));
    const isShownAnew = before?.sessionId !== state.sessionId;
    if (isShownAnew || (state.outbox && !before.outbox)) this._scroll.toEnd();
  }

  /** The panel was hidden, and can be measured again. */
  shown() {
    this._scroll.follow();
  }

  _show(state) {
    const items = itemsOf(state);
    this._older.hidden = !state.olderCursor;
    this._loading.hidden = !state.isLoading;
    this._empty.hidden = state.isLoading || items.length > 0 || Boolean(state.olderCursor);
    this._drop(new Set(items.map((item) => item.key)));
    let next = this._items.firstChild;
    for (const item of items) {
      const view = this._viewOf(item);
      if (view.node === next) next = next.nextSibling;
      else this._items.insertBefore(view.node, next);
      view.update(item, state.editing);
    }
  }

  _drop(wanted) {
    for (const [key, view] of this._views) {
      if (wanted.has(key)) continue;
      view.node.remove();
      this._views.delete(key);
    }
  }

  _viewOf(item) {
    let view = this._views.get(item.key);
    if (!view) {
      view = new MessageView(item, this._means);
      this._views.set(item.key, view);
    }
    return view;
  }

  async _readOlder() {
    const first = this._items.firstChild;
    this._older.disabled = true;
    await this._means.conversation.older();
    this._older.disabled = false;
    const before = first?.previousSibling;
    if (before) before.focus({ preventScroll: true });
  }
}

const CHANGES = ["messages", "outbox", "editing", "isLoading", "olderCursor", "sessionId"];
