// api.js: the calls of the service's HTTP interface, and nothing else.

import { Problem } from "./problems.js";

const ANSWER_MILLISECONDS = 30_000;

export class Api {
  /**
   * @param {string} origin Where the service is.
   * @param {string} token The visitor's.
   */
  constructor(origin, token) {
    this._origin = origin;
    this._token = token;
  }

  sessions(after, signal) {
    return this._json("GET", `/sessions${query({ limit: 30, after })}`, { signal });
  }

  session(sessionId, signal) {
    return this._json("GET", `/sessions/${sessionId}`, { signal });
  }

  rename(sessionId, title) {
    return this._json("PATCH", `/sessions/${sessionId}`, { body: { title } });
  }

  erase(sessionId) {
    return this._json("DELETE", `/sessions/${sessionId}`);
  }

  /** Read a page of messages, replies also as HTML. `place`: {before?} or {after?}. */
  messages(sessionId, place, signal) {
    const path = `/sessions/${sessionId}/messages${query({ render: "html", ...place })}`;
    return this._json("GET", path, { signal });
  }

  turn(sessionId, turnId, signal) {
    return this._json("GET", `/sessions/${sessionId}/turns/${turnId}`, { signal });
  }

  stop(sessionId, turnId) {
    return this._json("POST", `/sessions/${sessionId}/turns/${turnId}/stop`);
  }

  rate(sessionId, messageId, rating) {
    const path = `/sessions/${sessionId}/messages/${messageId}/feedback`;
    return this._json("PUT", path, { body: { rating } });
  }

  /** Send a question (see state.js, `outbox`) and return the answer, a stream of events. */
  send(question, signal) {
    const { kind, sessionId, messageId, key, text, quote, onBusy } = question;
    const how = { stream: true, on_busy: onBusy };
    const headers = { "Idempotency-Key": key };
    if (kind === "ask") {
      const body = { message: text, session_id: sessionId, selected_text: quote, ...how };
      return this._call("POST", "/chat", { body, headers, signal });
    }
    const path = `/sessions/${sessionId}/messages/${messageId}/${kind}`;
    const body = kind === "edit" ? { message: text, ...how } : how;
    return this._call("POST", path, { body, headers, signal });
  }

  /** Follow a turn from a place on; the answer is a stream of events, or 204 at the end. */
  follow({ sessionId, turnId }, lastId, signal) {
    const path = `/sessions/${sessionId}/turns/${turnId}/events${query({ after: lastId })}`;
    return this._call("GET", path, { signal });
  }

  async _json(method, path, { body, signal } = {}) {
    const limit = AbortSignal.timeout(ANSWER_MILLISECONDS);
    const both = signal ? AbortSignal.any([signal, limit]) : limit;
    const answer = await this._call(method, path, { body, signal: both });
    return answer.status === 204 ? null : answer.json();
  }

  async _call(method, path, { body, headers, signal }) {
    const sent = { Authorization: `Bearer ${this._token}`, ...headers };
    if (body !== undefined) sent["Content-Type"] = "application/json";
    const answer = await fetch(this._origin + path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
      signal,
    });
    if (!answer.ok) throw await problemOf(answer);
    return answer;
  }
}

/** Return the problem that an answer is; what stands between us and the service answers too. */
async function problemOf(answer) {
  const seconds = Number(answer.headers.get("Retry-After")) || null;
  const document = await answer.json().catch(() => null);
  if (document?.code) return new Problem(document, seconds);
  return new Problem({ code: `http_${answer.status}`, retryable: answer.status >= 500 }, seconds);
}

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
