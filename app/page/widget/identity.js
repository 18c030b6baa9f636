// identity.js: random names that the browser makes: the visitor's token, and keys of questions.

const VISITOR = "chatcore.visitor";
const TOKEN = /^visitor-[A-Za-z0-9_-]{43}$/;

/** Return this visitor's token; the first time it is made, from 32 random bytes.
 *
 * The tab keeps it too: where the storage of all tabs is full or forbidden, a reload still finds it.
 * Where that was emptied somebody else may sit there now, and finds nothing in the tab either.
 */
export function visitorToken(storage, tab) {
  const [shared, own] = [storage, tab].map(tokenIn);
  const token = shared ?? `visitor-${base64url(randomBytes(32))}`;
  const isKept = shared !== null || storage.set(VISITOR, token);
  if (!isKept && own) return own;
  if (own !== token) for (const name of tab.names("chatcore.")) tab.remove(name);
  tab.set(VISITOR, token);
  return token;
}

function tokenIn(storage) {
  const kept = storage.get(VISITOR);
  return TOKEN.test(kept) ? kept : null;
}

/** Return a new key for a question: 128 bits that nobody guesses. */
export function newKey() {
  // Pages without TLS have no randomUUID.
  return crypto.randomUUID?.() ?? `key-${base64url(randomBytes(16))}`;
}

function randomBytes(count) {
  return crypto.getRandomValues(new Uint8Array(count));
}

function base64url(bytes) {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
