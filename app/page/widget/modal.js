// modal.js: while the panel covers the page, as on a phone, the keyboard stays in the panel.

const COVERING = "(max-width: 480px)"; // As in widget.css.
const FOCUSABLE = 'a[href], button, input, textarea, summary, [tabindex="0"]';
const OTHER_MODAL = 'dialog[open], [aria-modal="true"]';

/** Keep the keyboard in a panel for as long as it covers the page, until `signal`. */
export function keepModal(panel, signal) {
  const covering = matchMedia(COVERING);
  const tell = () => {
    if (covering.matches) panel.setAttribute("aria-modal", "true");
    else panel.removeAttribute("aria-modal");
  };
  const goOn = (event) => {
    if (event.key !== "Tab" || event.defaultPrevented || !covering.matches || panel.hidden) return;
    if (document.activeElement?.closest(OTHER_MODAL)) return; // The page has covered the panel.
    const all = [...panel.querySelectorAll(FOCUSABLE)].filter(canTakeFocus);
    const at = all.indexOf(panel.getRootNode().activeElement);
    event.preventDefault();
    if (event.shiftKey) all.at(at < 0 ? -1 : at - 1)?.focus();
    else all[(at + 1) % all.length]?.focus();
  };
  tell();
  covering.addEventListener("change", tell, { signal });
  document.addEventListener("keydown", goOn, { signal });
}

function canTakeFocus(node) {
  return !node.disabled && !node.closest("[inert]") && node.checkVisibility();
}
