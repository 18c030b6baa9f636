// keep.js: what must survive a reload: the last open session, and in each session what was typed.
//
// A record is {draft, quote, draftKey, outbox, editing}; see state.js. Tabs share it: what one types
// takes the place of what another typed, but a question that is on its way is removed only by a tab
// that knows of it.

const SESSION = "chatcore.session";
const NOTHING = { draft: "", quote: null, draftKey: null, outbox: null, editing: null };

export class Keep {
  constructor(storage) {
    this._storage = storage;
    this._known = new Set(); // keys of questions
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
    const record = this._stored(sessionId);
    if (record.outbox) this._known.add(record.outbox.key);
    return record;
  }

  write(sessionId, { draft, quote, draftKey, outbox: own, editing } = NOTHING) {
    if (own) this._known.add(own.key);
    const outbox = own ?? this._ofAnotherTab(sessionId);
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

  /** Return the question of another tab that is on its way, or null. */
  _ofAnotherTab(sessionId) {
    const { outbox } = this._stored(sessionId);
    return outbox && !this._known.has(outbox.key) ? outbox : null;
  }

  _stored(sessionId) {
    try {
      return { ...NOTHING, ...JSON.parse(this._storage.get(nameOf(sessionId)) ?? "{}") };
    } catch {
      return { ...NOTHING };
    }
  }
}

function nameOf(sessionId) {
  return `chatcore.kept.${sessionId ?? "new"}`;
}
