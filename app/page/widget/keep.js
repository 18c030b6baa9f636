// keep.js: what must survive a reload: the last open session, what was typed in each, and questions
// that are on their way.
//
// A record is {draft, quote, draftKey, outbox, editing}; see state.js. Each tab comes back to what it
// showed and to what was typed in it, whatever others do meanwhile; a new tab goes on with what the
// last one did. A question on its way, the outbox, is no tab's to overwrite: it lies under its own
// key as {sessionId, sentAt, question}, and goes when a tab that knows it says so.

const SESSION = "chatcore.session";
const TYPED = "chatcore.kept.";
const SENT = "chatcore.sent.";
const NOTHING = { draft: "", quote: null, draftKey: null, outbox: null, editing: null };

export class Keep {
  /** @param storage of all tabs. @param tab of this one. */
  constructor(storage, tab) {
    this._storage = storage;
    this._tab = tab;
    this._known = new Map(); // of each session the key of the question that this tab sends
  }

  /** Return the id of the session that was open last, or null. */
  lastSession() {
    return this._get(SESSION) || null;
  }

  rememberSession(sessionId) {
    this._tab.set(SESSION, sessionId ?? ""); // Not to be asked of others: it has not begun here.
    if (sessionId) this._storage.set(SESSION, sessionId);
    else this._storage.remove(SESSION);
  }

  /** Return the record of a session, to go on with; null is the one that has not begun. */
  read(sessionId) {
    const sent = this._sentTo(sessionId);
    const known = this._known.get(sessionId);
    const outbox = sent.find((question) => question.key === known) ?? sent[0] ?? null;
    if (outbox) this._known.set(sessionId, outbox.key);
    return { ...this.typed(sessionId), outbox };
  }

  /** Return the record of a session without what is on its way. */
  typed(sessionId) {
    return { ...NOTHING, ...parsed(this._get(nameOf(sessionId))) };
  }

  write(sessionId, { draft, quote, draftKey, outbox, editing } = NOTHING) {
    this._keepSent(sessionId, outbox);
    const name = nameOf(sessionId);
    const record = JSON.stringify({ draft, quote, draftKey, editing });
    if (record === this._get(name)) return; // Shown here; whoever typed it may send it meanwhile.
    for (const storage of [this._tab, this._storage]) {
      if (draft || quote || editing) storage.set(name, record);
      else storage.remove(name);
    }
  }

  /** Nothing is left of a session. */
  erase(sessionId) {
    this.write(sessionId);
    for (const { key } of this._sentTo(sessionId)) this._storage.remove(SENT + key);
  }

  /** A session is gone: what other tabs could not send there waits to be the beginning of another. */
  leave(sessionId) {
    this.write(sessionId);
    if (sessionId === null) return;
    for (const question of this._sentTo(sessionId)) {
      if (question.kind === "regenerate") this._storage.remove(SENT + question.key);
      else this._put(null, { ...question, kind: "ask", sessionId: null, messageId: null });
    }
  }

  _keepSent(sessionId, outbox) {
    const known = this._known.get(sessionId);
    if (known === outbox?.key) return; // Another tab may have found that it was taken.
    if (known) this._storage.remove(SENT + known);
    this._known.delete(sessionId);
    if (!outbox) return;
    this._known.set(sessionId, outbox.key);
    this._put(sessionId, outbox);
  }

  _put(sessionId, question) {
    const entry = { sessionId, sentAt: Date.now(), question };
    this._storage.set(SENT + question.key, JSON.stringify(entry));
  }

  /** Return the questions on their way to a session, the oldest first. */
  _sentTo(sessionId) {
    return this._storage
      .names(SENT)
      .map((name) => parsed(this._storage.get(name)))
      .filter((entry) => entry?.question && entry.sessionId === sessionId)
      .sort((one, other) => one.sentAt - other.sentAt)
      .map((entry) => entry.question);
  }

  /** Return what this tab remembers, or else what the last one to remember did. */
  _get(name) {
    return this._tab.get(name) ?? this._storage.get(name);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function nameOf(sessionId) {
  return `${TYPED}${sessionId ?? "new"}`;
}
