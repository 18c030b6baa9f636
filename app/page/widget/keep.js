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
    this._shown = new Map(); // of each session what is typed, as this tab shows it
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
    const name = nameOf(sessionId);
    const record = { ...NOTHING, ...parsed(this._get(name)) };
    this._shown.set(name, typedIn(record));
    if (isEmpty(record)) this._tab.set(name, ""); // What others type there is not to appear here.
    return record;
  }

  write(sessionId, state = NOTHING) {
    this._keepSent(sessionId, state.outbox);
    const name = nameOf(sessionId);
    const record = typedIn(state);
    if (record === this._shown.get(name)) return; // Not typed here: it may be out of date.
    this._shown.set(name, record);
    this._tab.set(name, isEmpty(state) ? "" : record);
    if (isEmpty(state)) this._storage.remove(name);
    else this._storage.set(name, record);
  }

  /** Nothing is left of a session. */
  erase(sessionId) {
    this._forget(sessionId);
    for (const { key } of this._sentTo(sessionId)) this._removeSent(key);
  }

  /** A session is gone that another tab erased: nothing is left here, but where it is shown. */
  erasedElsewhere(sessionId) {
    if (sessionId !== this.lastSession()) this._tab.remove(nameOf(sessionId));
  }

  /** A session is gone: what other tabs could not send there waits to be the beginning of another. */
  leave(sessionId) {
    if (sessionId === null) return;
    this._forget(sessionId);
    this._tab.set(SESSION, "");
    if (this._storage.get(SESSION) === sessionId) this._storage.remove(SESSION);
    for (const question of this._sentTo(sessionId)) {
      if (question.kind === "regenerate") this._removeSent(question.key);
      else this._put(null, { ...question, kind: "ask", sessionId: null, messageId: null });
    }
  }

  _forget(sessionId) {
    this._keepSent(sessionId, null);
    const name = nameOf(sessionId);
    this._shown.delete(name);
    for (const storage of [this._tab, this._storage]) storage.remove(name);
  }

  _keepSent(sessionId, outbox) {
    const known = this._known.get(sessionId);
    if (known === outbox?.key) return; // Another tab may have found that it was taken.
    if (known) this._removeSent(known);
    this._known.delete(sessionId);
    if (!outbox) return;
    this._known.set(sessionId, outbox.key);
    this._put(sessionId, outbox);
  }

  _put(sessionId, question) {
    const entry = { sessionId, sentAt: Date.now(), question };
    const [name, value] = [SENT + question.key, JSON.stringify(entry)];
    if (this._storage.set(name, value)) this._tab.remove(name);
    else this._tab.set(name, value);
  }

  _removeSent(key) {
    for (const storage of [this._tab, this._storage]) storage.remove(SENT + key);
  }

  /** Return the questions on their way to a session, the oldest first. */
  _sentTo(sessionId) {
    const names = [this._storage, this._tab].flatMap((storage) => storage.names(SENT));
    return [...new Set(names)]
      .map((name) => parsed(this._get(name)))
      .filter((entry) => entry?.question && entry.sessionId === sessionId)
      .sort((one, other) => one.sentAt - other.sentAt)
      .map((entry) => entry.question);
  }

  /** Return what this tab remembers, or else what the last one to remember did. */
  _get(name) {
    return this._tab.get(name) ?? this._storage.get(name);
  }
}

function isEmpty({ draft, quote, editing }) {
  return !(draft || quote || editing);
}

function typedIn({ draft, quote, draftKey, editing }) {
  return JSON.stringify({ draft, quote, draftKey, editing });
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
