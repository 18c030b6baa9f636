// storage.js: what the browser keeps for us; where it keeps nothing, memory does until the page goes.

/** Return localStorage, or what behaves like it where that is not allowed. */
export function openStorage() {
  const memory = new Map();
  const inMemory = {
    get: (name) => memory.get(name) ?? null,
    set: (name, value) => memory.set(name, value),
    remove: (name) => memory.delete(name),
    names: (prefix) => [...memory.keys()].filter((name) => name.startsWith(prefix)),
  };
  return isAllowed() ? overLocalStorage(inMemory) : inMemory;
}

function isAllowed() {
  try {
    localStorage.getItem("chatcore.probe"); // What is full can still be read.
    return true;
  } catch {
    return false;
  }
}

function overLocalStorage(inMemory) {
  return {
    get: (name) => inMemory.get(name) ?? localStorage.getItem(name),
    set(name, value) {
      try {
        localStorage.setItem(name, value);
        inMemory.remove(name);
      } catch {
        inMemory.set(name, value); // The quota is used up.
      }
    },
    remove(name) {
      inMemory.remove(name);
      localStorage.removeItem(name);
    },
    names(prefix) {
      const kept = Object.keys(localStorage).filter((name) => name.startsWith(prefix));
      return [...new Set([...inMemory.names(prefix), ...kept])];
    },
  };
}
