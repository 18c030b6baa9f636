// live.js: the text of the reply that is being written, on the page as it comes.
//
// Deltas are collected and put in once a frame, into text nodes of bounded size: nothing is parsed,
// nothing is copied twice, however long the reply.

const NODE_CHARACTERS = 2000;

export class LiveReply {
  constructor() {
    this.node = document.createElement("div");
    this.node.className = "text live";
    this._pieces = [];
    this._new = [];
    this._frame = 0;
    this._onText = () => {};
  }

  /** Call this after text was put in. */
  onText(listener) {
    this._onText = listener;
  }

  /** The text so far. */
  get text() {
    if (this._pieces.length > 1) this._pieces = [this._pieces.join("")];
    return this._pieces[0] ?? "";
  }

  append(piece) {
    this._pieces.push(piece);
    this._new.push(piece);
    // Hidden pages get no frames: their text is put in when they are seen again.
    this._frame ||= requestAnimationFrame(() => this._flush());
  }

  clear() {
    if (this._frame) cancelAnimationFrame(this._frame);
    this._frame = 0;
    this._pieces = [];
    this._new = [];
    this.node.replaceChildren();
  }

  _flush() {
    this._frame = 0;
    const text = this._new.join("");
    this._new = [];
    const last = this.node.lastChild;
    if (last && last.length < NODE_CHARACTERS) last.appendData(text);
    else this.node.append(document.createTextNode(text));
    this._onText();
  }
}
