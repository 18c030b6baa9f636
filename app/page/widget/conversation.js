// conversation.js: what can be done in the shown conversation: ask, stop, ask again, edit, rate.

import { Following } from "./following.js";
import { newKey } from "./identity.js";
import { Problem, wordsOf } from "./problems.js";
import { Reading } from "./reading.js";
import { isBusy, questionOf } from "./state.js";

export class Conversation {
  /** @param {object} means {api, store, keep, tabs, connection, live} */
  constructor(means) {
    Object.assign(this, means);
    this._reading = new Reading(means);
    this._following = new Following({ ...means, reading: this._reading });
    this._shown = new AbortController();
  }

  /** Show a session, null: one that has not begun; and go on with what runs in it. */
  async show(sessionId) {
    this.close();
    this._shown = new AbortController();
    this.keep.rememberSession(sessionId);
    const record = this.keep.read(sessionId);
    this.store.dispatch("sessionShown", { sessionId, record });
    await this._guarded({ name: "show" }, async (signal) => {
      if (sessionId) await this._reading.newest(sessionId, signal);
      const { outbox } = this.store.state; // Not if it was taken back while that was read.
      const isWaiting = outbox !== null && outbox.key === record.outbox?.key;
      if (isWaiting) await this._following.send({ ...outbox, sessionId }, signal);
      else await this._following.goOn(signal);
      await this._tellOfFailure(signal);
    });
  }

  /** Ask what is in the composer. */
  ask(onBusy = "reject") {
    const { draft, quote, draftKey, sessionId } = this.store.state;
    const text = draft.trim();
    if (!text) return;
    const isSame = draftKey?.text === text && draftKey.quote?.text === quote?.text;
    const key = isSame ? draftKey.key : newKey();
    this._send({ kind: "ask", sessionId, messageId: null, key, text, quote, onBusy });
  }

  /** Put the text that was edited in the place of its question. */
  edit(onBusy = "reject") {
    const { editing } = this.store.state;
    if (editing?.text.trim()) this._replace("edit", editing.messageId, editing.text.trim(), onBusy);
  }

  /** Have a question answered again. */
  regenerate(messageId, onBusy = "reject") {
    this._replace("regenerate", messageId, null, onBusy);
  }

  /** Stop the reply; a question that cannot even be sent comes back. */
  async stop() {
    const { sessionId, turn, outbox } = this.store.state;
    if (turn) {
      this.store.dispatch("stopAsked");
      await this._tried({ name: "stop" }, "stopMissed", () =>
        this.api.stop(sessionId, turn.turnId),
      );
    } else if (outbox && (this.connection.isTroubled || !this.connection.isOnline)) {
      this._following.leave();
      this.store.dispatch("cameBack", { question: outbox, alert: null });
    } else if (outbox) {
      this._following.stopWhenBegun();
    }
  }

  /** Do again what went wrong; see `alert` in state.js. */
  async retry({ name, messageId, rating, turnId }, onBusy = "reject") {
    this.store.dispatch("alertClosed");
    if (name === "ask") this.ask(onBusy);
    else if (name === "edit") this.edit(onBusy);
    else if (name === "regenerate") this.regenerate(messageId, onBusy);
    else if (name === "turn") await this._answerAgain(turnId);
    else if (name === "rate") await this.rate(messageId, rating);
    else if (name === "stop") await this.stop();
    else if (name === "older") await this.older();
    else if (name === "show") await this.show(this.store.state.sessionId);
  }

  /** Rate a reply: "up", "down" or null. */
  async rate(messageId, rating) {
    const { sessionId, messages } = this.store.state;
    const before = messages.find((one) => one.message_id === messageId)?.feedback?.rating ?? null;
    this.store.dispatch("rated", { messageId, rating });
    const undo = () => this.store.dispatch("rated", { messageId, rating: before });
    await this._tried({ name: "rate", messageId, rating }, undo, async () => {
      await this.api.rate(sessionId, messageId, rating);
      this.tabs.tell({ type: "rated", sessionId });
    });
  }

  /** Read older messages. */
  async older() {
    const { sessionId } = this.store.state;
    await this._guarded({ name: "older" }, (signal) => this._reading.older(sessionId, signal));
  }

  /** Something happened to the shown session in another tab. */
  async lookAgain() {
    const { state } = this.store;
    if (isBusy(state) || state.isLoading) return; // What runs here looks again at its end.
    await this._guarded(null, async (signal) => {
      await this._reading.newest(state.sessionId, signal);
      await this._following.goOn(signal);
    });
  }

  /** End everything that is under way here; nothing at the service. */
  close() {
    this._shown.abort();
    this._following.leave();
  }

  _replace(kind, id, newText, onBusy) {
    const { sessionId, messages } = this.store.state;
    const message = messages.find((one) => one.message_id === id);
    if (!message) return;
    const { message_id: messageId, content, selected_text: quote } = message;
    const text = newText ?? content;
    this._send({ kind, sessionId, messageId, key: newKey(), text, quote, onBusy });
  }

  _send(question) {
    const { state } = this.store;
    if (isBusy(state) && (question.onBusy === "reject" || state.outbox)) {
      const { kind: name, messageId } = question;
      const text = wordsOf({ code: "session_busy" });
      this.store.dispatch("alerted", { text, code: "session_busy", retry: { name, messageId } });
      return;
    }
    if (state.turn) {
      const { turnId } = state.turn;
      const reply = this.live.text;
      this.store.dispatch("turnEnded", { turnId, status: "stopped", reply });
    }
    this._following.leave();
    this.store.dispatch("sent", question);
    this._guarded(null, (signal) => this._following.send(question, signal));
  }

  async _answerAgain(turnId) {
    await this._guarded({ name: "turn", turnId }, async (signal) => {
      const { sessionId } = this.store.state;
      if (!questionOf(this.store.state, turnId)) await this._reading.newer(sessionId, signal);
      const question = questionOf(this.store.state, turnId);
      if (question) this.regenerate(question.message_id);
    });
  }

  /** Say why the latest turn failed, to who comes back to it. */
  async _tellOfFailure(signal) {
    const { sessionId, messages, alert } = this.store.state;
    const latest = messages.at(-1);
    if (alert || isBusy(this.store.state) || latest?.turn_status !== "failed") return;
    const turnId = latest.turn_id;
    const turn = await this.api.turn(sessionId, turnId, signal).catch(() => null);
    if (signal.aborted || isBusy(this.store.state)) return;
    const code = turn?.error_code ?? "turn_failed";
    const text = wordsOf({ code });
    this.store.dispatch("alerted", { text, code, retry: { name: "turn", turnId } });
  }

  /** Do something for the shown session, until another one is shown. */
  async _guarded(retry, action) {
    const { signal } = this._shown;
    try {
      await action(signal);
    } catch (error) {
      if (!signal.aborted) this._following.fail(error, retry);
    }
  }

  /** Do something once; if it fails, undo what was shown, and say why. */
  async _tried(retry, undo, action) {
    const { signal } = this._shown;
    try {
      await action();
    } catch (error) {
      if (signal.aborted) return;
      if (typeof undo === "string") this.store.dispatch(undo);
      else undo();
      const problem = error instanceof Problem ? error : new Problem({ code: "unreachable" });
      this._following.fail(problem, retry);
    }
  }
}
