// notices_view.js: what went wrong and what to do about it, how the connection is, and what is said
// to those who listen.

import { h, iconButton, textButton } from "./dom.js";
import { icon } from "./icons.js";
import { TEXT } from "./strings.js";

const STATES = { fine: "", offline: TEXT.offline, reconnecting: TEXT.reconnecting };

/** Return {node, update}: the latest thing that went wrong. */
export function alertView(means) {
  const node = h("div", { class: "alert-place" });
  return {
    node,
    update({ alert }, before) {
      if (alert === (before?.alert ?? null)) return;
      node.replaceChildren(...(alert ? [alertBox(alert, means)] : []));
    },
  };
}

/** Return the words and what can be done. `means`: {conversation, store, focusComposer}. */
function alertBox({ text, code, retry }, { conversation, store, focusComposer }) {
  const isBusy = code === "session_busy";
  const again = () => {
    focusComposer();
    conversation.retry(retry, isBusy ? "supersede" : "reject");
  };
  const dismiss = () => {
    focusComposer();
    store.dispatch("alertClosed");
  };
  return h(
    "div",
    { class: "alert", role: "alert" },
    icon("warning"),
    h("p", {}, text),
    retry ? textButton(isBusy ? TEXT.stopAndAsk : TEXT.tryAgain, again) : null,
    iconButton(TEXT.dismiss, icon("close"), dismiss),
  );
}

/** Return {node, update}: how the connection is; empty while it is fine. */
export function statusView() {
  const node = h("div", { class: "status", role: "status" });
  return {
    node,
    update({ connection }, before) {
      if (connection === before?.connection) return;
      node.textContent = STATES[connection];
      node.dataset.state = connection;
    },
  };
}

/** Return {node, update}: what listeners are told, politely, once a reply is whole. */
export function announcer() {
  const node = h("div", { class: "unseen", "aria-live": "polite" });
  return {
    node,
    update({ announcement }, before) {
      if (announcement && announcement !== before?.announcement) {
        node.replaceChildren(announcement.text);
      }
    },
  };
}
