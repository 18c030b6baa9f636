// reading.js: brings the messages of the shown conversation here, page by page.

import { retrying } from "./retrying.js";

export class Reading {
  /** @param {object} means {api, store, connection} */
  constructor({ api, store, connection }) {
    this._api = api;
    this._store = store;
    this._connection = connection;
  }

  /** Read the newest page. */
  async newest(sessionId, signal) {
    this._store.dispatch("newestRead", await this._page(sessionId, {}, signal));
  }

  /** Read what came after the last message that is known. */
  async newer(sessionId, signal) {
    if (!this._store.state.newerCursor) return this.newest(sessionId, signal);
    for (;;) {
      const after = this._store.state.newerCursor;
      const page = await this._page(sessionId, { after }, signal);
      this._store.dispatch("newerRead", page);
      if (!page.has_newer) return undefined;
    }
  }

  /** Read the page before the first message that is known. */
  async older(sessionId, signal) {
    const before = this._store.state.olderCursor;
    if (before) this._store.dispatch("olderRead", await this._page(sessionId, { before }, signal));
  }

  async _page(sessionId, place, signal) {
    const call = (limited) => this._api.messages(sessionId, place, limited);
    const page = await retrying(call, this._connection, signal);
    signal.throwIfAborted();
    return page;
  }
}
