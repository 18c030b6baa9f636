// problems.js: what went wrong, in plain words. One row for each code of the service's problems.

const WORDS = {
  session_busy: "The previous answer is still being written.",
  session_not_found: "This conversation no longer exists. What you typed is kept.",
  turn_not_found: "This answer no longer exists.",
  message_not_found: "This message no longer exists.",
  message_superseded: "This message has been replaced meanwhile.",
  turn_lost: "This conversation was deleted while the answer was written.",
  unauthorized: "The service does not accept this browser. What you typed is kept.",
  body_too_large: "This is too long to send. Please shorten it.",
  idempotency_key_reused: "This question changed while it was sent. Please send it again.",
  llm_error: "The answer could not be written.",
  llm_unavailable: "The assistant cannot be reached at the moment.",
  llm_incomplete: "The answer broke off.",
  llm_rejected: "The assistant does not take this question.",
  llm_rate_limited: "The assistant is very busy. Please try again in a moment.",
  llm_timeout: "The assistant took too long to answer.",
  turn_failed: "The answer could not be finished.",
  turn_interrupted: "The answer was interrupted.",
  storage_unavailable: "The service cannot store anything at the moment.",
  schema_outdated: "The service is being updated. Please try again in a minute.",
  service_overloaded: "The service is very busy. Please try again in a moment.",
  service_stopping: "The service is restarting. Please try again in a moment.",
  request_timeout: "Sending took too long. Please try again.",
  unreachable: "The service cannot be reached at the moment.",
  chat_error: "Something went wrong on our side.",
  internal_error: "Something went wrong on our side.",
};

const FIELDS = {
  message: "Your question",
  selected_text: "The selected text",
  title: "The title",
};

const UNKNOWN = "Something went wrong. Please try again.";

/** An answer of the service that says no: its problem document, and how long to wait. */
export class Problem extends Error {
  constructor(document, retryAfterSeconds = null) {
    super(document.detail ?? UNKNOWN);
    this.code = document.code ?? "unknown";
    this.detail = document.detail ?? "";
    this.isRetryable = document.retryable === true;
    this.turnId = document.turn_id ?? null;
    this.errors = document.errors ?? [];
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Return what to tell people about a problem. */
export function wordsOf(problem) {
  if (problem.code === "invalid_request") return wordsOfFields(problem);
  if (problem.code.startsWith("http_5")) return WORDS.unreachable;
  return WORDS[problem.code] ?? (problem.detail || UNKNOWN);
}

function wordsOfFields(problem) {
  const first = problem.errors?.[0];
  if (!first) return problem.detail || UNKNOWN;
  const field = FIELDS[first.field.split(".")[0]];
  return field ? `${field} ${first.reason}.` : problem.detail || UNKNOWN;
}
