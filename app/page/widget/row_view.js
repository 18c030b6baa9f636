// row_view.js: one conversation in the list: open it, give it another title, delete it.

import { h, iconButton, textButton } from "./dom.js";
import { icon } from "./icons.js";
import { TEXT } from "./strings.js";

export class RowView {
  /** @param {object} means {sessions, store, openSession(sessionId)} */
  constructor(means) {
    Object.assign(this, means);
    this.node = h("li", { class: "row" });
    this._seen = null;
  }

  /** @param {object} session As the service tells it. */
  update(session, { mode, isCurrent }) {
    const title = session.title || TEXT.untitled;
    const seen = JSON.stringify([title, session.updated_at, mode, isCurrent]);
    const modeBefore = this._mode;
    // A form in which somebody types stays as it is.
    if (seen === this._seen || (mode && mode === modeBefore)) return;
    Object.assign(this, { _seen: seen, _mode: mode, _id: session.session_id });
    if (mode === "rename") this.node.replaceChildren(this._renameForm(session.title));
    else if (mode === "erase") this.node.replaceChildren(this._question());
    else this.node.replaceChildren(...this._line(session, title, isCurrent));
    if (mode !== modeBefore) this._moveFocus(mode, modeBefore);
  }

  _line(session, title, isCurrent) {
    const open = () => this.openSession(session.session_id);
    const choose = (mode) => () =>
      this.store.dispatch("rowChosen", { sessionId: session.session_id, mode });
    const current = { "aria-current": isCurrent ? "true" : null };
    return [
      h("button", { type: "button", class: "row-title", title, onclick: open, ...current }, title),
      h("time", { datetime: session.updated_at, "aria-hidden": "true" }, when(session.updated_at)),
      iconButton(TEXT.rename(title), icon("pencil"), choose("rename"), { "data-mode": "rename" }),
      iconButton(TEXT.erase(title), icon("trash"), choose("erase"), { "data-mode": "erase" }),
    ];
  }

  _renameForm(title) {
    const end = () => this.store.dispatch("rowChosen", null);
    const save = () => {
      const wanted = field.value.trim();
      if (!wanted || wanted === title) end();
      else this.sessions.rename(this._id, wanted);
    };
    const field = h("input", {
      "aria-label": TEXT.titleField,
      maxlength: "200",
      onkeydown: (event) => {
        if (event.key !== "Enter" || event.isComposing) return;
        event.preventDefault();
        save();
      },
    });
    field.value = title;
    return h(
      "div",
      { class: "row-form" },
      field,
      iconButton(TEXT.save, icon("check"), save),
      iconButton(TEXT.cancel, icon("close"), end),
    );
  }

  _question() {
    const keep = () => this.store.dispatch("rowChosen", null);
    const erase = () => this.sessions.erase(this._id);
    return h(
      "div",
      { class: "row-form", role: "group", "aria-label": TEXT.eraseQuestion },
      h("span", { class: "row-question" }, TEXT.eraseQuestion),
      textButton(TEXT.eraseNo, keep, { class: "button quiet" }),
      textButton(TEXT.eraseYes, erase, { class: "button danger" }),
    );
  }

  _moveFocus(mode, modeBefore) {
    if (mode === "rename") this.node.querySelector("input").select();
    else if (mode === "erase") this.node.querySelector("button").focus();
    else if (modeBefore) this.node.querySelector(`[data-mode=${modeBefore}]`)?.focus();
  }
}

/** Return when something was, as short as it can be said. */
function when(text) {
  const date = new Date(text);
  const isToday = date.toDateString() === new Date().toDateString();
  const form = isToday
    ? { hour: "numeric", minute: "2-digit" }
    : { day: "numeric", month: "short" };
  return new Intl.DateTimeFormat(undefined, form).format(date);
}
