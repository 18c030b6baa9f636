// store.js: holds the state. It changes in one way only: by a transition of state.js.

/** Return {state, dispatch(name, payload), subscribe(listener)}. Listeners get (state, before). */
export function createStore(initial, transitions) {
  const listeners = new Set();
  let state = initial;
  return {
    get state() {
      return state;
    },
    dispatch(name, payload) {
      const before = state;
      const change = transitions[name](before, payload);
      if (!change) return;
      state = { ...before, ...change };
      for (const listener of listeners) listener(state, before);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
