// composer_view.js: where questions are typed.

import { h, iconButton } from "./dom.js";
import { icon } from "./icons.js";
import { pendingQuote } from "./quote_view.js";
import { isBusy } from "./state.js";
import { TEXT } from "./strings.js";
import { fitHeight, isEnter } from "./text_field.js";

export class ComposerView {
  /** @param {object} means {conversation, store} */
  constructor({ conversation, store }) {
    this._store = store;
    this._conversation = conversation;
    this._field = this._makeField();
    this._quote = pendingQuote({ store, focusComposer: () => this.focus() });
    this._send = iconButton(TEXT.send, icon("send"), () => this._ask(), {
      class: "icon-button primary",
    });
    this._stop = iconButton(TEXT.stop, icon("stop"), () => this._stopReply(), {
      class: "icon-button primary",
    });
    const line = h("div", { class: "composer-line" }, this._field, this._send, this._stop);
    const box = h("div", { class: "composer-box" }, this._quote.node, line);
    this.node = h("div", { class: "composer" }, box, h("p", { class: "hint" }, TEXT.composerHint));
  }

  focus() {
    this._field.focus();
  }

  update(state, before) {
    if (!before || state.quote !== before.quote) this._quote.update(state.quote);
    if (this._field.value !== state.draft) this._field.value = state.draft;
    if (!before || state.draft !== before.draft) fitHeight(this._field);
    const isRunning = isBusy(state);
    this._send.hidden = isRunning;
    this._stop.hidden = !isRunning;
    this._send.disabled = state.draft.trim() === "";
    this._stop.disabled = state.turn?.isStopping ?? false;
  }

  /** The panel was hidden, and can be measured again. */
  shown() {
    fitHeight(this._field);
  }

  _makeField() {
    return h("textarea", {
      "aria-label": TEXT.composer,
      placeholder: TEXT.placeholder,
      rows: "1",
      enterkeyhint: "send",
      oninput: () => this._store.dispatch("typed", this._field.value),
      onkeydown: (event) => {
        if (!isEnter(event)) return;
        event.preventDefault();
        this._ask();
      },
    });
  }

  _ask() {
    this._conversation.ask();
    this.focus();
  }

  _stopReply() {
    this.focus();
    this._conversation.stop();
  }
}
