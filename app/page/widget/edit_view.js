// edit_view.js: the form in a question's place, to ask something else instead.

import { h, textButton } from "./dom.js";
import { TEXT } from "./strings.js";
import { fitHeight, isEnter } from "./text_field.js";

/** Return the form. `means`: {conversation, store, focusComposer}. */
export function editForm({ text }, means) {
  const { conversation, store, focusComposer } = means;
  const save = () => {
    if (!field.value.trim()) return;
    focusComposer();
    conversation.edit();
  };
  const field = editField(text, save, store);
  const cancel = () => store.dispatch("editEnded");
  const buttons = h(
    "div",
    { class: "edit-buttons" },
    textButton(TEXT.cancel, cancel, { class: "button quiet" }),
    textButton(TEXT.save, save, { class: "button primary" }),
  );
  return h("div", { class: "edit" }, field, buttons);
}

function editField(text, save, store) {
  const field = h("textarea", {
    "aria-label": TEXT.editField,
    rows: "2",
    oninput: () => {
      fitHeight(field);
      store.dispatch("editTyped", field.value);
    },
    onkeydown: (event) => {
      if (!isEnter(event)) return;
      event.preventDefault();
      save();
    },
  });
  field.value = text;
  requestAnimationFrame(() => {
    fitHeight(field);
    field.scrollIntoView({ block: "nearest" });
  });
  return field;
}
