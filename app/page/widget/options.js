// options.js: what the script tag's data attributes mean.

import { TEXT } from "./strings.js";

const THEMES = new Set(["auto", "light", "dark"]);

/**
 * Read the options.
 *
 * title:    heading of the panel
 * isOpen:   whether the panel is open at first
 * theme:    "auto" (as the system says), "light" or "dark"
 * select:   CSS selector of where selected text can be asked about
 * target:   CSS selector of the element to put the chat into; null: it floats
 * api:      origin of the service
 */
export function readOptions(source, given) {
  return {
    title: given.title?.trim() || TEXT.title,
    isOpen: given.open !== undefined && given.open !== "false",
    theme: THEMES.has(given.theme) ? given.theme : "auto",
    select: given.select?.trim() || null,
    target: given.target?.trim() || null,
    api: new URL(given.api || source, document.baseURI).origin,
  };
}
