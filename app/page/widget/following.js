// following.js: follows the turn that runs in the shown conversation, and says what became of it.

import { Problem, wordsOf } from "./problems.js";
import { isBusy, runningTurn } from "./state.js";
import { TEXT } from "./strings.js";
import { eventsOfTurn } from "./turn_stream.js";

const GONE = new Set(["session_not_found", "turn_lost", "unauthorized"]);
const MOVED_ON = new Set(["session_busy", "message_superseded", "message_not_found"]);
const SPOKEN_CHARACTERS = 1500;

export class Following {
  /** @param {object} means {api, store, keep, tabs, connection, live, reading} */
  constructor(means) {
    Object.assign(this, means);
    this._means = means;
    this._run = new AbortController();
    this._isStopWanted = false;
    this._turnId = null;
  }

  /** Send a question, follow its turn to the end, and read it as it is stored. */
  async send(question, shown) {
    await this._follow({ question }, shown);
  }

  /** Follow what runs in the shown session, if anything does. */
  async goOn(shown) {
    const { state } = this.store;
    const turnId = runningTurn(state);
    if (!turnId || isBusy(state)) return;
    this._turnId = turnId;
    this.store.dispatch("turnFound", turnId);
    await this._follow({ place: { sessionId: state.sessionId, turnId } }, shown);
  }

  /** Stop the turn as soon as it has begun. */
  stopWhenBegun() {
    this._isStopWanted = true;
  }

  /** Follow no more; the turn goes on. */
  leave() {
    this._isStopWanted = false;
    this._runNothing();
  }

  /** Tell why something failed. A session that is gone is left, what was typed is kept. */
  fail(error, retry) {
    if (!(error instanceof Problem)) throw error;
    const alert = { text: wordsOf(error), code: error.code, retry };
    if (GONE.has(error.code)) this._lose({ ...alert, retry: null });
    else this.store.dispatch("alerted", alert);
  }

  async _follow(start, shown) {
    this._runNothing();
    this._run = new AbortController();
    const signal = AbortSignal.any([this._run.signal, shown]);
    try {
      for await (const event of eventsOfTurn(this._means, start, signal)) {
        if (signal.aborted) return;
        this._take(event, start.question);
      }
    } catch (error) {
      if (signal.aborted) return;
      await this._refused(error, start.question, shown);
      return;
    }
    if (!signal.aborted) await this._settle(start, shown);
  }

  _runNothing() {
    this._run.abort();
    this.live.clear();
  }

  _take({ name, data }, question) {
    if (name === "delta") this.live.append(data.text);
    else if (name === "restart") this.live.clear();
    else if (name === "turn") this._began(data, question);
    else if (name === "error") this._failed(data);
    else if (name !== "over") this._ended(data.status, data.response);
  }

  _began({ session_id: sessionId, turn_id: turnId }, question) {
    const { state } = this.store;
    if (state.turn?.turnId === turnId) return; // Told again to a reader that came back.
    this._turnId = turnId;
    if (state.sessionId === null) {
      this.keep.write(null);
      this.keep.rememberSession(sessionId);
    }
    this.store.dispatch("turnBegan", { sessionId, turnId, question });
    this.tabs.tell({ type: "turn", sessionId });
    if (this._isStopWanted) {
      this.store.dispatch("stopAsked");
      this.api.stop(sessionId, turnId).catch((error) => this._stopMissed(error));
    }
  }

  _stopMissed(error) {
    this.store.dispatch("stopMissed");
    const problem = error instanceof Problem ? error : new Problem({ code: "unreachable" });
    this.fail(problem, { name: "stop" });
  }

  _ended(status, reply) {
    const { turnId } = this.store.state.turn;
    this.store.dispatch("turnEnded", { turnId, status, reply });
    this.store.dispatch("announced", spoken(status, reply));
  }

  _failed(document) {
    const { turnId } = this.store.state.turn;
    const problem = new Problem(document);
    const alert = {
      text: wordsOf(problem),
      code: problem.code,
      retry: { name: "turn", turnId },
    };
    this.store.dispatch("turnEnded", { turnId, status: "failed", reply: this.live.text, alert });
    if (GONE.has(problem.code)) this._lose({ ...alert, retry: null });
  }

  /** Read the turn as it is stored, and go on with what may have begun elsewhere meanwhile. */
  async _settle({ place }, shown) {
    const { sessionId } = this.store.state;
    if (!sessionId) return;
    if (this.store.state.turn?.turnId === place?.turnId && place) {
      // Its end was read by another reader of ours: only the stored messages tell it.
      this.store.dispatch("turnEnded", { turnId: place.turnId, status: "completed", reply: "" });
    }
    await this.reading.newer(sessionId, shown);
    if (isBusy(this.store.state)) return;
    this.live.clear();
    if (this.store.state.messages.at(-1)?.turn_id === this._turnId) return;
    await this.reading.newest(sessionId, shown); // Another reader may have replaced messages.
    await this.goOn(shown);
  }

  async _refused(error, question, shown) {
    if (!(error instanceof Problem)) throw error;
    if (!question) {
      await this._lostTurn(error, shown);
      return;
    }
    const retry = { name: question.kind, messageId: question.messageId };
    const alert = { text: wordsOf(error), code: error.code, retry };
    if (GONE.has(error.code)) {
      this._lose(question.kind === "ask" ? alert : { ...alert, retry: null });
      return;
    }
    this.store.dispatch("cameBack", { question, alert });
    // The reply that was to be stopped may go on.
    const mayRun = MOVED_ON.has(error.code) || question.onBusy === "supersede";
    if (!mayRun || !question.sessionId) return;
    await this.reading.newest(question.sessionId, shown);
    await this.goOn(shown);
  }

  /** A turn that was followed is not there any more. */
  async _lostTurn(error, shown) {
    const { turn, sessionId } = this.store.state;
    this.store.dispatch("turnEnded", { turnId: turn.turnId, status: "failed", reply: "" });
    this.fail(error, null);
    if (this.store.state.sessionId === sessionId) await this.reading.newest(sessionId, shown);
  }

  _lose(alert) {
    this.keep.leave(this.store.state.sessionId);
    this.store.dispatch("sessionLost", { alert, record: this.keep.typed(null) });
  }
}

function spoken(status, reply) {
  const text = reply.slice(0, SPOKEN_CHARACTERS);
  return status === "stopped" ? TEXT.stopped : `${TEXT.assistantSaid}: ${text}`;
}
