// copying.js: puts text into the clipboard, and says on the button that it is there.

import { rename } from "./dom.js";
import { icon } from "./icons.js";
import { TEXT } from "./strings.js";

const SHOWN_MILLISECONDS = 1800;

/** Copy a text; `announce` says what came of it. The button keeps its name. */
export async function copyFrom(button, text, announce) {
  const isCopied = (await overClipboard(text)) || overSelection(button, text);
  announce(isCopied ? TEXT.copied : TEXT.copyFailed);
  if (isCopied) showCheck(button);
}

async function overClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // No permission, or a page without TLS.
  }
}

function overSelection(button, text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  button.parentNode.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  button.focus();
  return isCopied;
}

function showCheck(button) {
  const picture = button.querySelector(".icon");
  if (!picture || button.classList.contains("is-done")) return;
  const name = button.getAttribute("aria-label");
  const check = icon("check");
  picture.replaceWith(check);
  button.classList.add("is-done");
  setTimeout(() => {
    check.replaceWith(picture);
    button.classList.remove("is-done");
    rename(button, name);
  }, SHOWN_MILLISECONDS);
}
