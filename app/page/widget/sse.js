// sse.js: server-sent events, read from the body of an answer.
//
// As the HTML standard has it (section 9.2): lines end with CR, LF or both, comments begin with a
// colon, several data lines are one text, an event without data is none.

const SILENCE_MILLISECONDS = 45_000; // The service says something every 15 seconds.
const SLEPT_MILLISECONDS = 20_000;

/** Yield {name, id, data} of each event until the body ends; `connection` tells when we wake up. */
export async function* eventsOf(body, connection) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  const guard = guardAgainstSilence(reader, connection);
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      guard.heard();
      yield* parser.feed(value);
    }
  } finally {
    guard.end();
    reader.cancel().catch(() => {});
  }
}

/** Give a stream up that is silent for too long, or that a sleeping machine has lost. */
function guardAgainstSilence(reader, connection) {
  let last = Date.now();
  const check = (limit) => {
    if (Date.now() - last >= limit) reader.cancel().catch(() => {});
  };
  const timer = setInterval(() => check(SILENCE_MILLISECONDS), SILENCE_MILLISECONDS / 3);
  const forget = connection.onWake(() => check(SLEPT_MILLISECONDS));
  return {
    heard() {
      last = Date.now();
    },
    end() {
      clearInterval(timer);
      forget();
    },
  };
}

export class EventParser {
  constructor() {
    this._rest = "";
    this._event = {};
  }

  /** Yield the events that a piece of the stream completes. */
  *feed(piece) {
    const text = this._rest + piece;
    // A CR at the end may be half of a line's end.
    const until = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, until).split(/\r\n|\n|\r/);
    this._rest = lines.pop() + text.slice(until);
    for (const line of lines) {
      if (line !== "") this._read(line);
      else if (this._event.data === undefined) this._event = {};
      else yield this._complete();
    }
  }

  _complete() {
    const { event, id, data } = this._event;
    this._event = {};
    return { name: event ?? "message", id: id ?? null, data };
  }

  _read(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    const before = name === "data" ? this._event.data : undefined;
    this._event[name] = before === undefined ? value : `${before}\n${value}`;
  }
}
