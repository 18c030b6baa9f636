// message_view.js: one message: the quote, the text, how it ended, and what can be done with it.

import { copyFrom } from "./copying.js";
import { h, iconButton } from "./dom.js";
import { editForm } from "./edit_view.js";
import { icon } from "./icons.js";
import { quoteBlock } from "./quote_view.js";
import { richText } from "./rich_text.js";
import { TEXT } from "./strings.js";

export class MessageView {
  /**
   * @param {object} item What is shown; see messages.js.
   * @param {object} means {conversation, store, live, announce, focusComposer}
   */
  constructor(item, means) {
    Object.assign(this, means);
    this._item = null;
    this._isEdited = false;
    const name = item.role === "user" ? TEXT.youSaid : TEXT.assistantSaid;
    this._body = h("div", { class: "body" });
    this._mark = h("p", { class: "mark", hidden: true });
    this._actions = h("div", { class: "actions" });
    this.node = h("article", { class: `message ${item.role}`, "aria-label": name, tabindex: "-1" });
    this.node.dataset.role = item.role;
    this.node.append(this._body, this._mark, this._actions);
  }

  /** Show the message as it is now; `editing` is the question being changed, or null. */
  update(item, editing) {
    const before = this._item;
    const wasEdited = this._isEdited;
    const isEdited = item.messageId !== null && editing?.messageId === item.messageId;
    if (before && same(before, item) && isEdited === wasEdited) return;
    const isOther = (part) => !before || wasEdited !== isEdited || part(before) !== part(item);
    const isBodyOther = isOther(bodyOf);
    const areActionsOther = isOther(actionsOf);
    Object.assign(this, { _item: item, _isEdited: isEdited });
    this._setData(item);
    if (isBodyOther) this._showBody(item, isEdited ? editing : null);
    if (areActionsOther) this._showActions(item, isEdited);
    this._showMark(item);
    this._showRating(item);
    if (wasEdited && !isEdited) this.node.querySelector("[data-action=edit]")?.focus();
  }

  _setData(item) {
    const { dataset } = this.node;
    dataset.status = item.status;
    setOrDelete(dataset, "messageId", item.messageId);
    setOrDelete(dataset, "turnId", item.turnId);
    this.node.setAttribute("aria-busy", String(item.isLive));
  }

  _showBody(item, editing) {
    if (editing) {
      this._body.replaceChildren(editForm(editing, this));
      this._body.querySelector("textarea").focus();
      return;
    }
    const parts = item.quote ? [quoteBlock(item.quote)] : [];
    if (item.isLive) parts.push(this.live.node, thinking());
    else if (item.html !== null) parts.push(richText(item.html, this.announce));
    else if (item.text) parts.push(h("div", { class: "text" }, item.text));
    this._body.replaceChildren(...parts);
  }

  _showMark(item) {
    const words = [];
    if (item.note) words.push(item.note === "edited" ? TEXT.edited : TEXT.answeredAgain);
    if (item.role === "assistant" && item.status === "stopped") words.push(TEXT.stopped);
    if (item.role === "assistant" && item.status === "failed") words.push(TEXT.failed);
    this._mark.textContent = words.join(" · ");
    this._mark.hidden = words.length === 0;
  }

  _showActions(item, isEdited) {
    const isReply = item.role === "assistant";
    const buttons = isReply ? this._ofReply(item) : this._ofQuestion(item);
    this._actions.replaceChildren(...(isEdited || item.isLive ? [] : buttons));
    this._actions.hidden = this._actions.childElementCount === 0;
  }

  _ofReply(item) {
    const buttons = [];
    if (item.text) {
      const copy = iconButton(TEXT.copy, icon("copy"), () =>
        copyFrom(copy, this._item.text, this.announce),
      );
      buttons.push(copy);
    }
    if (item.messageId) buttons.push(this._rater("up", TEXT.good), this._rater("down", TEXT.bad));
    if (item.questionId) {
      const again = () => {
        this.focusComposer();
        this.conversation.regenerate(this._item.questionId);
      };
      buttons.push(iconButton(TEXT.again, icon("again"), again));
    }
    return buttons;
  }

  _ofQuestion(item) {
    if (!item.messageId) return [];
    const begin = () => {
      const { messageId, text } = this._item;
      this.store.dispatch("editBegan", { messageId, text });
    };
    return [iconButton(TEXT.edit, icon("pencil"), begin, { "data-action": "edit" })];
  }

  _rater(rating, label) {
    const rate = () => {
      const next = this._item.rating === rating ? null : rating;
      this.conversation.rate(this._item.messageId, next);
    };
    return iconButton(label, icon(rating), rate, { "data-rating": rating });
  }

  _showRating(item) {
    for (const button of this._actions.querySelectorAll("[data-rating]")) {
      button.setAttribute("aria-pressed", String(button.dataset.rating === item.rating));
    }
  }
}

function same(a, b) {
  return Object.keys(b).every((name) => a[name] === b[name]);
}

function bodyOf({ text, html, quote, isLive }) {
  return isLive ? "live" : JSON.stringify([html === null ? text : html, quote?.text ?? null]);
}

function actionsOf({ messageId, questionId, isLive, text }) {
  return `${messageId} ${questionId} ${isLive} ${text.length > 0}`;
}

function setOrDelete(dataset, name, value) {
  if (value) dataset[name] = value;
  else delete dataset[name];
}

/** Three dots while there is no word yet; a style hides them when the first one comes. */
function thinking() {
  const dots = [h("i"), h("i"), h("i")];
  return h("div", { class: "thinking", role: "img", "aria-label": TEXT.thinking }, ...dots);
}
