// connection.js: whether the service can be reached, and when to try again.

const FIRST_MILLISECONDS = 500;
const MOST_MILLISECONDS = 8000;

export class Connection {
  /** @param {(state: "fine"|"reconnecting"|"offline") => void} onState */
  constructor(onState) {
    this._onState = onState;
    this._troubled = new Set();
    this._sleepers = new Set();
    this._leaving = new AbortController();
    const { signal } = this._leaving;
    addEventListener("online", () => this.wake(), { signal });
    addEventListener("offline", () => this._tell(), { signal });
    document.addEventListener(
      "visibilitychange",
      () => document.visibilityState === "visible" && this.wake(),
      { signal },
    );
    this._tell();
  }

  get isOnline() {
    return navigator.onLine !== false;
  }

  /** Whether somebody waits to try again. */
  get isTroubled() {
    return this._troubled.size > 0;
  }

  /**
   * Wait before another try: longer each time, not at all once the network or the reader is back.
   *
   * @param {object} who Whose trouble it is, until `settle` is called with it.
   */
  async pause(who, tries, signal, atLeastSeconds = 0) {
    this._troubled.add(who);
    this._tell();
    const grown = Math.min(FIRST_MILLISECONDS * 2 ** tries, MOST_MILLISECONDS);
    const spread = grown * (0.8 + 0.4 * Math.random());
    await this._sleep(Math.max(spread, atLeastSeconds * 1000), signal);
  }

  /** Somebody's trouble is over, one way or the other. */
  settle(who) {
    if (this._troubled.delete(who)) this._tell();
  }

  /** Call `check` whenever the network or the reader comes back; return what ends that. */
  onWake(check) {
    this._sleepers.add(check);
    return () => this._sleepers.delete(check);
  }

  wake() {
    this._tell();
    for (const sleeper of [...this._sleepers]) sleeper();
  }

  close() {
    this._leaving.abort();
  }

  _sleep(milliseconds, signal) {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        forget();
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      const forget = this.onWake(end);
      signal.addEventListener("abort", end);
      if (signal.aborted) end();
    });
  }

  _tell() {
    if (!this.isOnline) this._onState("offline");
    else this._onState(this._troubled.size > 0 ? "reconnecting" : "fine");
  }
}
