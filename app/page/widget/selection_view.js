// selection_view.js: the button next to a selected passage.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { SHORTCUT, TEXT } from "./strings.js";

const GAP = 8;

/** Return {node, place(box)}: the button; `onTake` is called when it is pressed. */
export function askButton(onTake) {
  // The selection stays while the button is pressed.
  const keep = (event) => event.preventDefault();
  const node = h(
    "button",
    {
      ...{ type: "button", class: "ask", hidden: true, "aria-keyshortcuts": SHORTCUT },
      ...{ onclick: onTake, onpointerdown: keep, onmousedown: keep },
    },
    icon("quote"),
    TEXT.askAboutThis,
    h("kbd", { "aria-hidden": "true" }, SHORTCUT),
  );
  return { node, place: (box) => place(node, box) };
}

/** Show the button below the end of a selection, inside the window; null: hide it. */
function place(node, box) {
  const isSeen = box !== null && box.bottom > 0 && box.top < innerHeight;
  node.hidden = !isSeen;
  if (!isSeen) return;
  const { offsetWidth: width, offsetHeight: height } = node;
  const left = Math.min(Math.max(box.right - width / 2, GAP), innerWidth - width - GAP);
  const below = box.bottom + GAP;
  const top = below + height > innerHeight ? box.top - height - GAP : below;
  node.style.left = `${Math.max(left, GAP)}px`;
  node.style.top = `${Math.max(top, GAP)}px`;
}
