// icons.js: the pictures on buttons, as lines on a field of 24 by 24.

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  chat: "M20 12a7.5 7 0 0 1-10.6 6.4L5 20l1.2-3.7A7 7 0 1 1 20 12Z M9 10.5h6.5 M9 13.5h4",
  close: "M6.5 6.5l11 11 M17.5 6.5l-11 11",
  plus: "M12 5.5v13 M5.5 12h13",
  list: "M5 7h14 M5 12h14 M5 17h9",
  send: "M12 19V5.5 M6 11.5l6-6 6 6",
  stop: "M8 8h8v8H8Z",
  copy: "M9 9h10v10H9Z M6 15H5V5h10v1",
  check: "M5.5 12.5l4.5 4.5 8.5-10",
  up:
    "M8 11v8H5v-8Z M8 11l4-7c1.6 0 2.3 1.1 2 2.6L13.4 10H18a1.6 1.6 0 0 1 1.6 2l-1.4 5.6" +
    "A2 2 0 0 1 16.3 19H8",
  down:
    "M16 13V5h3v8Z M16 13l-4 7c-1.6 0-2.3-1.1-2-2.6L10.6 14H6a1.6 1.6 0 0 1-1.6-2l1.4-5.6" +
    "A2 2 0 0 1 7.7 5H16",
  again: "M19 12a7 7 0 1 1-2.2-5.1 M19 4.5V8.5H15",
  pencil: "M5 19l1-4L16 5l3 3L9 18Z",
  trash: "M5 7.5h14 M9.5 7V5h5v2 M7 7.5l.8 11.5h8.4L17 7.5",
  quote: "M6 16c2.5-1 3.5-2.8 3.5-5H5.5V7H10 M14.5 16c2.5-1 3.5-2.8 3.5-5h-4V7h4.5",
  arrowDown: "M12 5v13.5 M6 13l6 6 6-6",
  warning: "M12 4.5l8.5 15h-17Z M12 10v4.5 M12 17v.2",
};

/** Return a picture by its name; readers of the screen do not hear of it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
