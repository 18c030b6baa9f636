// widget.js: the one script that a page embeds; it loads the chat from where it came from itself.
//
//   <script src="https://chat.example/widget.js" data-title="Ask the book"></script>
//
// Options, all optional, as attributes of the script tag: data-title, data-open, data-theme,
// data-select, data-target, data-api (see widget/options.js).
(() => {
  "use strict";
  const script = document.currentScript;
  const main = new URL("widget/main.js", script.src);
  import(main.href).then(
    ({ start }) => start(script.src, { ...script.dataset }),
    (error) => console.warn(`The chat could not be loaded from ${main.origin}.`, error),
  );
})();
