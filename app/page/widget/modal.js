// modal.js: while the panel covers the page, as on a phone, the keyboard stays in the panel.

const COVERING = "(max-width: 480px)"; // As in widget.css.
const FOCUSABLE = 'a[href], button, input, textarea, summary, [tabindex="0"]';

/** Keep the keyboard in a panel for as long as it covers the page, until `signal`. */
export function keepModal(panel, signal) {
  const covering = matchMedia(COVERING);
  const tell = () => {
    if (covering.matches) panel.setAttribute("aria-modal", "true");
    else panel.removeAttribute("aria-modal");
  };
  const turnBack = (event) => {
    if (event.key !== "Tab" || !covering.matches) return;
    const all = [...panel.querySelectorAll(FOCUSABLE)].filter(canTakeFocus);
    const [from, to] = event.shiftKey ? [all[0], all.at(-1)] : [all.at(-1), all[0]];
    if (panel.getRootNode().activeElement !== from) return;
    event.preventDefault();
    to.focus();
  };
  tell();
  covering.addEventListener("change", tell, { signal });
  panel.addEventListener("keydown", turnBack, { signal });
}

function canTakeFocus(node) {
  return !node.disabled && !node.closest("[inert]") && node.checkVisibility();
}
