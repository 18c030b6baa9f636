// identity.js: random names that the browser makes: the visitor's token, and keys of questions.

const VISITOR = "chatcore.visitor";
const TOKEN = /^visitor-[A-Za-z0-9_-]{43}$/;

/** Return this visitor's token; the first time it is made, from 32 random bytes. */
export function visitorToken(storage) {
  const kept = storage.get(VISITOR);
  if (kept && TOKEN.test(kept)) return kept;
  const token = `visitor-${base64url(randomBytes(32))}`;
  storage.set(VISITOR, token);
  return token;
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
