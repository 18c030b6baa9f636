// retrying.js: a call that is made until it gets an answer.

import { Problem } from "./problems.js";

/**
 * Return what a call returns; try again while the service cannot be reached.
 *
 * @param {(signal: AbortSignal) => Promise} call May be made any number of times.
 * @throws {Problem} The service says no, and will go on saying so.
 * @throws {DOMException} The signal ended it.
 */
export async function retrying(call, connection, signal) {
  const who = {};
  try {
    for (let tries = 0; ; tries += 1) {
      try {
        return await call(signal);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof Problem && !error.isRetryable) throw error;
        await connection.pause(who, tries, signal, error.retryAfterSeconds ?? 0);
        signal.throwIfAborted();
      }
    }
  } finally {
    connection.settle(who);
  }
}
