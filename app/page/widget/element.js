// element.js: <chatcore-chat>, the chat as one element with everything inside its shadow root.

import { Api } from "./api.js";
import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { h, iconButton } from "./dom.js";
import { icon } from "./icons.js";
import { visitorToken } from "./identity.js";
import { Keep } from "./keep.js";
import { LiveReply } from "./live.js";
import { keepModal } from "./modal.js";
import { PanelView } from "./panel_view.js";
import { PageSelection } from "./selection.js";
import { askButton } from "./selection_view.js";
import { Sessions } from "./sessions.js";
import { INITIAL, TRANSITIONS } from "./state.js";
import { openStorage } from "./storage.js";
import { createStore } from "./store.js";
import { TEXT } from "./strings.js";
import { joinTabs } from "./tabs.js";

export const TAG = "chatcore-chat";
const KEPT = ["draft", "quote", "draftKey", "outbox", "editing", "sessionId"];

export class ChatElement extends HTMLElement {
  /** @param {object} options See options.js, and isInline: whether it is a part of the page. */
  constructor(options) {
    super();
    this._options = options;
    this._isStarted = false;
    this._leaving = null;
  }

  connectedCallback() {
    if (this._leaving) return; // It was moved.
    this._leaving = new AbortController();
    const { theme, isInline, isOpen } = this._options;
    this.setAttribute("theme", theme);
    this.toggleAttribute("inline", isInline);
    this._build();
    this._listen();
    if (isOpen || isInline) this._open({ isFocused: false });
    else if (this._means.keep.read(this._means.keep.lastSession()).outbox) this._start();
  }

  disconnectedCallback() {
    queueMicrotask(() => {
      if (!this.isConnected && this._leaving) this._leave();
    });
  }

  /** Taken out of the page: follow nothing and hear nothing any more. Put in again, it begins anew. */
  _leave() {
    this._leaving.abort();
    this._leaving = null;
    this._isStarted = false;
    this._selection.close();
    const { conversation, connection, tabs } = this._means;
    for (const one of [conversation, connection, tabs]) one.close();
  }

  _build() {
    const store = createStore(INITIAL, TRANSITIONS);
    const [storage, tab] = ["localStorage", "sessionStorage"].map(openStorage);
    const means = {
      options: this._options,
      store,
      keep: new Keep(storage, tab),
      live: new LiveReply(),
      api: new Api(this._options.api, visitorToken(storage, tab)),
      connection: new Connection((state) => store.dispatch("connected", state)),
      tabs: joinTabs((news) => this._heard(news)),
      openSession: (sessionId) => this._show(sessionId),
      closePanel: () => this._close(),
    };
    means.conversation = new Conversation(means);
    means.sessions = new Sessions(means);
    this._means = means;
    this._panel = new PanelView(means);
    this._opener = iconButton(TEXT.open, icon("chat"), () => this._open({ isFocused: true }), {
      class: "opener",
    });
    this._ask = askButton(() => this._takeSelection());
    this._selection = new PageSelection({
      scope: this._options.select,
      own: this,
      onChange: (box) => this._ask.place(box),
    });
    this._fill();
  }

  _fill() {
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    const frame = h("div", { class: "frame", hidden: true });
    frame.append(this._panel.node, this._opener, this._ask.node);
    const style = h("link", {
      rel: "stylesheet",
      href: new URL("widget.css", import.meta.url).href,
      onload: () => {
        frame.hidden = false;
        this._update(this._means.store.state, null);
        if (this._isFocusWanted) this._panel.composer.focus();
      },
    });
    root.replaceChildren(style, frame);
  }

  _listen() {
    const { store } = this._means;
    store.subscribe((state, before) => {
      this._update(state, before);
      this._keepTyped(state, before);
    });
    this._update(store.state, null);
    const { signal } = this._leaving;
    this.shadowRoot.addEventListener("keydown", (event) => this._escape(event), { signal });
    const takeByKey = (event) => {
      if (!event.altKey || event.code !== "KeyQ" || event.ctrlKey || event.metaKey) return;
      if (this._takeSelection()) event.preventDefault();
    };
    document.addEventListener("keydown", takeByKey, { signal });
    if (!this._options.isInline) keepModal(this._panel.node, signal);
  }

  _update(state, before) {
    this.toggleAttribute("open", state.isOpen);
    this._opener.hidden = state.isOpen;
    this._panel.update(state, before);
    const isTitleWanted = before && state.sessionId !== before.sessionId && state.turn;
    if (isTitleWanted || (before && state.isListOpen && before.turn && !state.turn)) {
      this._means.sessions.read();
    }
  }

  /** What was typed survives a reload. */
  _keepTyped(state, before) {
    if (KEPT.every((name) => state[name] === before[name])) return;
    this._means.keep.write(state.sessionId, state);
  }

  /** Show the last conversation, the first time the chat is opened. */
  _start() {
    if (this._isStarted) return;
    this._isStarted = true;
    const { conversation, sessions, keep } = this._means;
    conversation.show(keep.lastSession());
    sessions.read();
  }

  _open({ isFocused }) {
    this._means.store.dispatch("opened");
    this._start();
    this._isFocusWanted = isFocused;
    if (isFocused) this._panel.composer.focus();
  }

  _close() {
    this._means.store.dispatch("closed");
    this._opener.focus();
  }

  _show(sessionId) {
    this._means.conversation.show(sessionId);
    this._means.store.dispatch("listClosed");
    this._panel.composer.focus();
  }

  /** Ask about what is selected on the page; return whether there is something. */
  _takeSelection() {
    const quote = this._selection.take();
    if (!quote) return false;
    this._open({ isFocused: true });
    this._means.store.dispatch("quoted", quote);
    this._ask.place(null);
    return true;
  }

  /** Escape closes one thing at a time, the innermost first. */
  _escape(event) {
    if (event.key !== "Escape" || event.isComposing) return;
    const { store } = this._means;
    const { row, isListOpen, editing } = store.state;
    if (row) store.dispatch("rowChosen", null);
    else if (isListOpen) this._panel.closeList();
    else if (editing) store.dispatch("editEnded");
    else if (!this._options.isInline) this._close();
    else return;
    event.stopPropagation();
  }

  _heard({ type, sessionId }) {
    const { store, conversation, sessions, keep } = this._means;
    if (type === "erased") keep.erasedElsewhere(sessionId);
    if (!this._isStarted) return;
    if (store.state.sessions.isRead) sessions.read();
    if (sessionId === store.state.sessionId && type !== "renamed") conversation.lookAgain();
  }
}
