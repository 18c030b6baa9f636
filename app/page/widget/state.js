// state.js: what the chat knows, and every transition of it.
//
// A transition takes the state and a payload and returns what changes, or null. Words used here:
//
// outbox   the question that was sent and not yet taken:
//          {kind: "ask"|"edit"|"regenerate", sessionId, messageId, key, text, quote, onBusy}
// turn     the turn that is followed: {turnId, isStopping}; null while nothing runs
// editing  the question that is being changed: {messageId, text}
// draftKey the key of a question that came back: {key, text, quote}; sent again unchanged, it is
//          the same question
// alert    what went wrong: {text, code, retry: {name, ...}}; see conversation.js, `retry`
// announcement  what listeners are told: {text}; a new object is told anew
// row      what is done in the list: {sessionId, mode: "rename"|"erase"}

import { afterEnd, asTaken, firstOfTurn, merged, overlaps, superseded } from "./messages.js";

const NO_CONVERSATION = {
  sessionId: null,
  isLoading: false,
  messages: [],
  olderCursor: null,
  newerCursor: null,
  outbox: null,
  turn: null,
  draft: "",
  quote: null,
  draftKey: null,
  editing: null,
  alert: null,
};

// What is said about a question that was refused stays until it is sent again.
const QUESTIONS = new Set(["ask", "edit", "regenerate"]);

export const INITIAL = {
  ...NO_CONVERSATION,
  isOpen: false,
  isListOpen: false,
  connection: "fine",
  announcement: null,
  sessions: { items: [], cursor: null, isRead: false },
  row: null,
};

const panel = {
  opened: () => ({ isOpen: true }),
  closed: () => ({ isOpen: false, isListOpen: false, row: null }),
  listOpened: () => ({ isListOpen: true }),
  listClosed: () => ({ isListOpen: false, row: null }),
  connected: (state, connection) => (connection === state.connection ? null : { connection }),
  announced: (_, text) => ({ announcement: { text } }),
  alerted: (_, alert) => ({ alert }),
  alertClosed: (state) => (state.alert ? { alert: null } : null),
};

const reading = {
  sessionShown: (_, { sessionId, record }) => ({
    ...NO_CONVERSATION,
    ...record,
    sessionId,
    isLoading: sessionId !== null,
  }),

  /** The newest page was read: it goes on from what is known, or takes its place. */
  newestRead(state, page) {
    const goesOn = overlaps(state.messages, page);
    return {
      isLoading: false,
      messages: goesOn ? merged(state.messages, page.items) : page.items,
      olderCursor: goesOn ? state.olderCursor : page.older_cursor,
      newerCursor: page.newer_cursor ?? state.newerCursor,
    };
  },

  newerRead: (state, page) => ({
    messages: merged(state.messages, page.items),
    newerCursor: page.newer_cursor ?? state.newerCursor,
  }),

  olderRead: (state, page) => ({
    messages: merged(state.messages, page.items),
    olderCursor: page.older_cursor,
  }),

  rated: (state, { messageId, rating }) => ({
    messages: state.messages.map((message) =>
      message.message_id === messageId
        ? { ...message, feedback: rating ? { rating, comment: null } : null }
        : message,
    ),
  }),
};

const typing = {
  typed: (_, draft) => ({ draft }),
  quoted: (_, quote) => ({ quote }),
  editBegan: (_, { messageId, text }) => ({ editing: { messageId, text } }),
  editTyped: (state, text) => (state.editing ? { editing: { ...state.editing, text } } : null),
  editEnded: () => ({ editing: null }),
};

const turns = {
  /** A question is on its way. */
  sent: (_, question) => ({
    outbox: question,
    alert: null,
    isListOpen: false,
    ...(question.kind === "ask" ? { draft: "", quote: null, draftKey: null } : {}),
    ...(question.kind === "edit" ? { editing: null } : {}),
  }),

  /** The service has taken the question: it is stored, and its turn runs. */
  turnBegan: (state, { sessionId, turnId, question }) => ({
    sessionId,
    outbox: null,
    turn: { turnId, isStopping: false },
    messages: asTaken(state.messages, { turnId, question }),
  }),

  /** A turn that began elsewhere runs. */
  turnFound: (state, turnId) => ({
    turn: { turnId, isStopping: false },
    alert: QUESTIONS.has(state.alert?.retry?.name) ? state.alert : null,
  }),

  stopAsked: (state) => (state.turn ? { turn: { ...state.turn, isStopping: true } } : null),
  stopMissed: (state) => (state.turn ? { turn: { ...state.turn, isStopping: false } } : null),

  /** The question was not taken, and comes back to where it was typed. */
  cameBack: (state, { question, alert }) => ({
    outbox: null,
    alert,
    ...(question.kind === "ask" ? backInComposer(state, question) : {}),
    ...(alert?.code === "idempotency_key_reused" ? { draftKey: null } : {}),
    ...(question.kind === "edit"
      ? { editing: { messageId: question.messageId, text: question.text } }
      : {}),
  }),

  turnEnded: (state, { turnId, status, reply, alert }) => ({
    turn: state.turn?.turnId === turnId ? null : state.turn,
    alert: alert ?? (state.alert?.code === "session_busy" ? null : state.alert),
    messages: afterEnd(state.messages, { turnId, status, reply }),
  }),

  /** The session is gone; what was typed goes to the next one, where `record` waits already. */
  sessionLost: (state, { alert, record }) => {
    const [ours, theirs] = [inComposer(state), inComposer(record)];
    const drafts = new Set([ours, theirs].map(({ draft }) => draft.trim()).filter(Boolean));
    const isMixed = drafts.size === 2; // What two tabs show alike is put there once.
    return {
      ...NO_CONVERSATION,
      draft: isMixed ? `${ours.draft}\n\n${theirs.draft}` : ours.draft || theirs.draft,
      quote: ours.quote ?? theirs.quote,
      draftKey: ours.draft.trim() ? ours.draftKey : theirs.draftKey,
      alert: isMixed ? { ...alert, retry: null } : alert,
    };
  },
};

const list = {
  listRead: (state, { page, isMore }) => ({
    sessions: {
      items: isMore ? [...state.sessions.items, ...notIn(state.sessions.items, page)] : page.items,
      cursor: page.next_cursor,
      isRead: true,
    },
  }),
  rowChosen: (_, row) => ({ row }),
  renamed: (state, { sessionId, title }) => ({
    row: null,
    sessions: {
      ...state.sessions,
      items: state.sessions.items.map((one) =>
        one.session_id === sessionId ? { ...one, title } : one,
      ),
    },
  }),
  erased: (state, sessionId) => ({
    row: null,
    sessions: {
      ...state.sessions,
      items: state.sessions.items.filter((one) => one.session_id !== sessionId),
    },
  }),
};

export const TRANSITIONS = { ...panel, ...reading, ...typing, ...turns, ...list };

/** Return whether a reply is on its way. */
export function isBusy(state) {
  return state.outbox !== null || state.turn !== null;
}

/** Return the id of the turn that a session's stored messages say is running, or null. */
export function runningTurn(state) {
  const latest = state.messages.findLast((message) => !superseded(message));
  return latest?.turn_status === "running" ? latest.turn_id : null;
}

/** Return the stored question of a turn, or null. */
export function questionOf(state, turnId) {
  const found = firstOfTurn(state.messages, turnId);
  return found?.role === "user" && found.message_id ? found : null;
}

function inComposer({ draft, quote, draftKey, outbox, editing }) {
  if (outbox?.kind === "ask") return backInComposer({ draft, quote }, outbox);
  const edited = outbox?.kind === "edit" ? outbox.text : (editing?.text ?? "");
  return { draft: [edited, draft].filter((text) => text.trim()).join("\n\n"), quote, draftKey };
}

function backInComposer(state, { text, quote, key }) {
  const draft = state.draft.trim() ? `${text}\n\n${state.draft}` : text;
  return { draft, quote: state.quote ?? quote, draftKey: { key, text, quote } };
}

function notIn(known, page) {
  const ids = new Set(known.map((one) => one.session_id));
  return page.items.filter((one) => !ids.has(one.session_id));
}
