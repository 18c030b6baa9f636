// turn_stream.js: what happens to one turn, from the question to the last event, across reloads of
// the service and lost connections: nothing twice, nothing skipped.

import { Problem } from "./problems.js";
import { eventsOf } from "./sse.js";

const KNOWN = new Set(["turn", "delta", "restart", "done", "stopped", "error"]);
const LAST = new Set(["done", "stopped", "error"]);

/**
 * Yield {name, data} of a turn's events.
 *
 * Before the `turn` event the question is sent again with its key, as often as it takes; after it
 * the turn is followed from the last id. `over` is yielded where the end was read long ago.
 *
 * @param {object} means {api, connection}
 * @param {object} start {question} to send one, or {place: {sessionId, turnId}} to follow one.
 * @param {AbortSignal} signal Ends it; that stops nothing at the service.
 * @throws {Problem} The question was refused, or there is no such turn.
 */
export async function* eventsOfTurn({ api, connection }, { question, place }, signal) {
  const reading = { place: place ?? null, lastId: null, tries: 0, isOver: false };
  try {
    while (!reading.isOver && !signal.aborted) {
      let waitSeconds = 0;
      try {
        const { lastId } = reading;
        const answer = reading.place
          ? await api.follow(reading.place, lastId, signal)
          : await api.send(question, signal);
        connection.settle(reading);
        yield* readAnswer(answer, reading, connection);
      } catch (error) {
        if (signal.aborted) return;
        waitSeconds = whenToTryAgain(error, reading);
      }
      if (!reading.isOver) await connection.pause(reading, reading.tries++, signal, waitSeconds);
    }
  } finally {
    connection.settle(reading);
  }
}

async function* readAnswer(answer, reading, connection) {
  if (answer.status === 204) {
    reading.isOver = true;
    yield { name: "over", data: null };
    return;
  }
  for await (const { name, id, data } of eventsOf(answer.body, connection)) {
    if (id !== null) reading.lastId = id;
    if (!KNOWN.has(name)) continue;
    const event = { name, data: JSON.parse(data) };
    reading.tries = 0;
    if (name === "turn") reading.place = placeOf(event.data);
    // Without an id a stream begins at the beginning, whatever was read before.
    if (name === "turn" && reading.lastId === null) yield { name: "restart", data: {} };
    reading.isOver = LAST.has(name);
    yield event;
    if (reading.isOver) return;
  }
}

/** Return how many seconds to wait at least, or throw on what will not pass. */
function whenToTryAgain(error, reading) {
  if (!(error instanceof Problem)) return 0; // The connection broke.
  if (reading.place && error.code === "invalid_request" && reading.lastId !== null) {
    reading.lastId = null; // The service does not know the id: from the beginning.
    return 0;
  }
  if (!reading.place || !error.isRetryable) throw error;
  return error.retryAfterSeconds ?? 0;
}

function placeOf(data) {
  return { sessionId: data.session_id, turnId: data.turn_id };
}
