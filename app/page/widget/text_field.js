// text_field.js: what the fields for longer text have in common.

const MOST_PIXELS = 220;

/** Make a text field as high as its text, up to a limit; then it scrolls. */
export function fitHeight(field) {
  field.style.height = "auto";
  const wanted = field.scrollHeight + field.offsetHeight - field.clientHeight;
  field.style.height = `${Math.min(wanted, MOST_PIXELS)}px`;
}

/** Return whether a key means "send": Enter alone, and not to choose a word of an input method. */
export function isEnter(event) {
  const isComposing = event.isComposing || event.keyCode === 229;
  const hasModifier = event.shiftKey || event.ctrlKey || event.metaKey || event.altKey;
  return event.key === "Enter" && !isComposing && !hasModifier;
}
