// sessions.js: what can be done with the list of conversations: read, rename, delete.

import { Problem, wordsOf } from "./problems.js";

export class Sessions {
  /** @param {object} means {api, store, keep, tabs, conversation} */
  constructor(means) {
    Object.assign(this, means);
    this._reads = 0;
    this._changes = 0;
  }

  /** Read the first page again; nobody is told of a failure who does not look at the list. */
  async read() {
    const number = ++this._reads;
    try {
      const page = await this._page(null);
      if (number === this._reads) this.store.dispatch("listRead", { page, isMore: false });
    } catch (error) {
      if (this.store.state.isListOpen) this._tell(error);
    }
  }

  /** Read the next page. */
  async more() {
    await this._tried(async () => {
      const page = await this._page(this.store.state.sessions.cursor);
      this.store.dispatch("listRead", { page, isMore: true });
    });
  }

  async rename(sessionId, title) {
    await this._tried(async () => {
      const session = await this.api.rename(sessionId, title);
      this._changes += 1;
      this.store.dispatch("renamed", { sessionId, title: session.title });
      this.tabs.tell({ type: "renamed", sessionId });
    });
  }

  /** Delete a conversation for good; the shown one makes room for a new one. */
  async erase(sessionId) {
    await this._tried(async () => {
      await this.api.erase(sessionId).catch((error) => {
        if (error.code !== "session_not_found") throw error;
      });
      this._changes += 1;
      this.keep.erase(sessionId);
      this.tabs.tell({ type: "erased", sessionId });
      this.store.dispatch("erased", sessionId);
      if (this.store.state.sessionId === sessionId) this.conversation.show(null);
    });
  }

  /** What was read while something was changed here may be older than the change: read again. */
  async _page(cursor) {
    for (;;) {
      const changes = this._changes;
      const page = await this.api.sessions(cursor);
      if (changes === this._changes) return page;
    }
  }

  async _tried(action) {
    try {
      await action();
    } catch (error) {
      this._tell(error);
    }
  }

  _tell(error) {
    const problem = error instanceof Problem ? error : new Problem({ code: "unreachable" });
    const alert = { text: wordsOf(problem), code: problem.code, retry: null };
    this.store.dispatch("alerted", alert);
  }
}
