// messages.js: the messages of a conversation as a list, and what is shown of it.
//
// Messages are the service's own (message_id, position, role, content, html, turn_id, turn_status,
// superseded_by, feedback, …). Until the service has told them, a question that it took and a reply
// that ended stand in without id and position. A turn has at most one message of each role.

/** Return the list with these messages put in, by position; stand-ins make way. */
export function merged(known, read) {
  const all = new Map(known.map((message) => [keyOf(message), message]));
  for (const message of read) all.set(keyOf(message), message);
  return [...all.values()].sort((a, b) => placeOf(a) - placeOf(b));
}

/** Return whether the newest page leaves no gap after what is known, and says all that changed. */
export function overlaps(known, page) {
  const last = known.findLast((message) => message.position !== undefined);
  const first = page.items[0];
  if (!last || !first) return false;
  // If its first message was superseded, so may be some before it that it does not show.
  return first.position <= last.position + 1 && !superseded(first);
}

/** Return the list after the service has taken a question. */
export function asTaken(known, { turnId, question }) {
  if (firstOfTurn(known, turnId)) return known; // It was taken before, and has been read.
  const replaced = cutAt(known, question.messageId);
  const rest = known.map((message, at) =>
    at >= replaced && !superseded(message) ? { ...message, superseded_by: turnId } : message,
  );
  const standIn = {
    message_id: null,
    role: "user",
    content: question.text,
    selected_text: question.quote,
    turn_id: turnId,
    turn_status: "running",
    superseded_by: null,
  };
  return [...rest, standIn];
}

/** Return the list after a turn ended; `reply` is its text as far as it is known. */
export function afterEnd(known, { turnId, status, reply }) {
  const ended = known.map((message) =>
    message.turn_id === turnId ? { ...message, turn_status: status } : message,
  );
  if (!reply || ended.some((one) => one.turn_id === turnId && one.role === "assistant")) {
    return ended;
  }
  const standIn = {
    message_id: null,
    role: "assistant",
    content: reply,
    selected_text: null,
    turn_id: turnId,
    turn_status: status,
    superseded_by: null,
  };
  return [...ended, standIn];
}

/**
 * Return what is shown, from top to bottom.
 *
 * Items: {key, role, status, turnId, messageId, questionId, text, html, quote, rating, note,
 * isLive}. An item whose message did not change is the same object as before.
 */
export function itemsOf({ messages, outbox }) {
  const cut = outbox ? cutAt(messages, outbox.messageId) : messages.length;
  const shown = messages.slice(0, cut).filter((message) => !superseded(message));
  const replied = new Set(shown.filter((m) => m.role === "assistant").map((m) => m.turn_id));
  const items = [];
  for (const message of shown) {
    items.push(itemOf(message, messages));
    if (message.role === "user" && !replied.has(message.turn_id)) {
      items.push(emptyReply(message.turn_id, message.turn_status, message));
    }
  }
  if (outbox) items.push(pendingQuestion(outbox), emptyReply(outbox.key, "running", null));
  return items;
}

/** Return the first message of a turn. */
export function firstOfTurn(messages, turnId) {
  return messages.find((message) => message.turn_id === turnId) ?? null;
}

/** Return whether another turn has taken the message's place. */
export function superseded(message) {
  return Boolean(message.superseded_by);
}

function itemOf(message, messages) {
  const question = message.role === "user" ? message : firstOfTurn(messages, message.turn_id);
  return {
    key: keyOf(message),
    role: message.role,
    status: message.turn_status,
    turnId: message.turn_id,
    messageId: message.message_id,
    questionId: question?.message_id ?? null,
    text: message.content,
    html: message.html ?? null,
    quote: message.selected_text,
    rating: message.feedback?.rating ?? null,
    note: noteOf(message, messages),
    isLive: false,
  };
}

/** Return "edited" or "again" where the message took the place of another, on one of the two. */
function noteOf(message, messages) {
  const replaced = messages.find(
    (one) => one.superseded_by === message.turn_id && one.role === "user",
  );
  if (!replaced) return null;
  const question = firstOfTurn(messages, message.turn_id);
  const note = question?.content === replaced.content ? "again" : "edited";
  return (note === "edited") === (message.role === "user") ? note : null;
}

function emptyReply(name, status, question) {
  return {
    ...{ key: `${name}:assistant`, role: "assistant", status, turnId: question?.turn_id ?? null },
    ...{ questionId: question?.message_id ?? null, messageId: null, quote: null, rating: null },
    ...{ text: "", html: null, note: null },
    isLive: status === "running",
  };
}

function pendingQuestion({ key, text, quote }) {
  return {
    ...{ key: `${key}:user`, role: "user", status: "running", turnId: null, questionId: null },
    ...{ messageId: null, text, html: null, quote, rating: null, note: null, isLive: false },
  };
}

/** Return where a message's turn begins in the list: what an edit of it replaces. */
function cutAt(messages, messageId) {
  const target = messageId && messages.find((message) => message.message_id === messageId);
  if (!target) return messages.length;
  return messages.findIndex((message) => message.turn_id === target.turn_id);
}

function keyOf(message) {
  return `${message.turn_id}:${message.role}`;
}

function placeOf(message) {
  return message.position ?? Number.MAX_SAFE_INTEGER;
}
