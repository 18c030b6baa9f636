// main.js: puts the chat into the page, once.

import { ChatElement, TAG } from "./element.js";
import { readOptions } from "./options.js";

/**
 * Start the chat.
 *
 * @param {string} source Address of widget.js; its origin is the service unless data-api says else.
 * @param {DOMStringMap|object} given The data attributes of the script tag.
 */
export async function start(source, given) {
  await documentIsThere();
  if (document.querySelector(TAG)) return; // The script is in the page twice.
  if (!customElements.get(TAG)) customElements.define(TAG, ChatElement);
  const options = readOptions(source, given);
  const target = options.target ? document.querySelector(options.target) : null;
  const chat = new ChatElement({ ...options, isInline: target !== null });
  (target ?? document.body).append(chat);
}

function documentIsThere() {
  if (document.readyState !== "loading") return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("DOMContentLoaded", resolve, { once: true });
  });
}
