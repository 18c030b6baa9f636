// keep.js: what must survive a reload: the last open session, and in each session what was typed.
//
// A record is {draft, quote, draftKey, outbox, editing}; see state.js.

const SESSION = "chatcore.session";
const NOTHING = { draft: "", quote: null, draftKey: null, outbox: null, editing: null };

export class Keep {
  constructor(storage) {
    this._storage = storage;
  }

  /** Return the id of the session that was open last, or null. */
  lastSession() {
    return this._storage.get(SESSION);
  }

  rememberSession(sessionId) {
    if (sessionId) this._storage.set(SESSION, sessionId);
    else this._storage.remove(SESSION);
  }

  /** Return what was typed in a session; null is the one that has not begun. */
  read(sessionId) {
    try {
      return { ...NOTHING, ...JSON.parse(this._storage.get(nameOf(sessionId)) ?? "{}") };
    } catch {
      return { ...NOTHING };
    }
  }

  write(sessionId, { draft, quote, draftKey, outbox, editing }) {
    if (draft || quote || outbox || editing) {
      const record = { draft, quote, draftKey, outbox, editing };
      this._storage.set(nameOf(sessionId), JSON.stringify(record));
    } else {
      this.forget(sessionId);
    }
  }

  forget(sessionId) {
    this._storage.remove(nameOf(sessionId));
  }
}

function nameOf(sessionId) {
  return `chatcore.kept.${sessionId ?? "new"}`;
}
