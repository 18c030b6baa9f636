// list_view.js: the list of this visitor's conversations, latest first.

import { h, textButton } from "./dom.js";
import { RowView } from "./row_view.js";
import { TEXT } from "./strings.js";

export class ListView {
  /** @param {object} means {sessions, store, openSession(sessionId), focusComposer} */
  constructor(means) {
    this._means = means;
    this._rows = new Map();
    this._list = h("ul", { class: "rows", role: "list", "aria-label": TEXT.conversations });
    this._nothing = h("p", { class: "loading" }, TEXT.noConversations);
    const more = () => means.sessions.more();
    this._more = textButton(TEXT.moreConversations, more, { class: "button older" });
    this.node = h("div", { class: "list", hidden: true }, this._list, this._nothing, this._more);
  }

  update(state, before) {
    this.node.hidden = !state.isListOpen;
    if (before && !CHANGES.some((name) => state[name] !== before[name])) return;
    const { items, cursor, isRead } = state.sessions;
    this._nothing.hidden = !isRead || items.length > 0;
    this._more.hidden = !cursor;
    this._list.hidden = items.length === 0;
    this._drop(new Set(items.map((session) => session.session_id)));
    items.forEach((session, at) => this._place(session, at, state));
  }

  /** Put the keyboard where the reader looks: on the open conversation, or the first. */
  focus() {
    const open = this._list.querySelector("[aria-current=true]");
    (open ?? this._list.querySelector("button"))?.focus();
  }

  _drop(wanted) {
    for (const [id, row] of this._rows) {
      if (wanted.has(id)) continue;
      const hadFocus = row.node.contains(row.node.getRootNode().activeElement);
      const next = row.node.nextElementSibling ?? row.node.previousElementSibling;
      row.node.remove();
      this._rows.delete(id);
      if (!hadFocus) continue;
      const title = next?.querySelector(".row-title");
      if (title) title.focus();
      else this._means.focusComposer();
    }
  }

  _place(session, at, state) {
    const id = session.session_id;
    const row = this._rows.get(id) ?? new RowView(this._means);
    this._rows.set(id, row);
    const now = this._list.children[at] ?? null;
    if (now !== row.node) this._list.insertBefore(row.node, now);
    row.update(session, {
      mode: state.row?.sessionId === id ? state.row.mode : null,
      isCurrent: state.sessionId === id,
    });
  }
}

const CHANGES = ["sessions", "row", "sessionId"];
