// dom.js: makes elements. No text is ever read as HTML here.

/**
 * Return an element.
 *
 * @param {string} tag
 * @param {object} properties Attributes; `on…` names are listeners; false, null and undefined are
 *   left out, true is an attribute without a value.
 * @param {...(Node|string|null)} children Null and false are left out.
 */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) setProperty(node, name, value);
  node.append(...children.filter((child) => child !== null && child !== false));
  return node;
}

/** Return a button with words on it. */
export function textButton(label, onclick, properties = {}) {
  return h("button", { type: "button", class: "button", onclick, ...properties }, label);
}

/** Return a button with a picture on it; its name is said and shown as a hint. */
export function iconButton(label, picture, onclick, properties = {}) {
  const named = { type: "button", "aria-label": label, title: label };
  return h("button", { ...named, class: "icon-button", onclick, ...properties }, picture);
}

/** Give an element another name, as it is said and shown as a hint. */
export function rename(node, label) {
  node.setAttribute("aria-label", label);
  node.setAttribute("title", label);
}

function setProperty(node, name, value) {
  if (value === false || value === null || value === undefined) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else node.setAttribute(name, value === true ? "" : value);
}
