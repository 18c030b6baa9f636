// panel_view.js: the chat's frame: its head, the messages or the list, notices, and the composer.

import { ComposerView } from "./composer_view.js";
import { h, iconButton } from "./dom.js";
import { icon } from "./icons.js";
import { ListView } from "./list_view.js";
import { LogView } from "./log_view.js";
import { alertView, announcer, statusView } from "./notices_view.js";
import { TEXT } from "./strings.js";

export class PanelView {
  /** @param {object} means {options, conversation, sessions, store, live, openSession(id), closePanel()} */
  constructor(means) {
    const { options, store } = means;
    this._means = means;
    this.composer = new ComposerView(means);
    const focusComposer = () => this.composer.focus();
    const announce = (text) => store.dispatch("announced", text);
    const shared = { ...means, focusComposer, announce };
    this.log = new LogView(shared);
    this.list = new ListView(shared);
    this._notices = [alertView(shared), statusView(), announcer()];
    const role = options.isInline ? "region" : "dialog";
    this.node = h(
      "section",
      { class: "panel", role, "aria-label": TEXT.chat, "data-inline": options.isInline },
      this._head(options),
      h("div", { class: "middle" }, this.log.node, this.list.node),
      ...this._notices.map((notice) => notice.node),
      this.composer.node,
    );
  }

  update(state, before) {
    this.node.hidden = !state.isOpen;
    this._toggle.setAttribute("aria-expanded", String(state.isListOpen));
    this.log.node.inert = state.isListOpen;
    this._title.textContent = titleOf(state);
    this.log.update(state, before);
    this.list.update(state, before);
    this.composer.update(state, before);
    for (const notice of this._notices) notice.update(state, before);
    if (!before || state.isOpen === before.isOpen) return;
    this.log.shown();
    this.composer.shown();
  }

  toggleList() {
    const { store, sessions } = this._means;
    if (store.state.isListOpen) {
      store.dispatch("listClosed");
      return;
    }
    store.dispatch("listOpened");
    sessions.read();
  }

  /** Close the list, and put the keyboard back on what opened it. */
  closeList() {
    this._means.store.dispatch("listClosed");
    this._toggle.focus();
  }

  _head({ title, isInline }) {
    const { openSession, closePanel } = this._means;
    this._title = h("p", { class: "subtitle" });
    this._toggle = iconButton(TEXT.conversations, icon("list"), () => this.toggleList());
    const begin = () => {
      openSession(null);
      this.composer.focus();
    };
    return h(
      "div",
      { class: "head" },
      h("div", { class: "titles" }, h("h2", {}, title), this._title),
      this._toggle,
      iconButton(TEXT.newConversation, icon("plus"), begin),
      isInline ? null : iconButton(TEXT.close, icon("close"), closePanel),
    );
  }
}

/** Return the title of the open conversation, as far as it is known. */
function titleOf({ sessionId, sessions, messages }) {
  const known = sessions.items.find((one) => one.session_id === sessionId);
  if (known) return known.title;
  const first = messages[0];
  return first?.role === "user" && (first.position ?? 1) === 1 ? first.content.slice(0, 80) : "";
}
