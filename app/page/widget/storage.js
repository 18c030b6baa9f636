// storage.js: what the browser keeps for us; where it keeps nothing, memory does until the page goes.

/** Return an area of the browser's, or what behaves like it where that is not allowed.
 *
 * `set` returns whether the value will outlive the page.
 * @param {"localStorage"|"sessionStorage"} name Of all tabs, or of this one: that outlives a reload.
 */
export function openStorage(name) {
  const memory = new Map();
  const inMemory = {
    get: (key) => memory.get(key) ?? null,
    set(key, value) {
      memory.set(key, value);
      return false;
    },
    remove: (key) => memory.delete(key),
    names: (prefix) => [...memory.keys()].filter((key) => key.startsWith(prefix)),
  };
  const area = areaOf(name);
  return area ? over(area, inMemory) : inMemory;
}

function areaOf(name) {
  try {
    const area = globalThis[name];
    area.getItem("chatcore.probe"); // What is full can still be read.
    return area;
  } catch {
    return null;
  }
}

function over(area, inMemory) {
  return {
    get: (key) => inMemory.get(key) ?? area.getItem(key),
    set(key, value) {
      try {
        area.setItem(key, value);
        inMemory.remove(key);
        return true;
      } catch {
        area.removeItem(key); // The quota is used up; what is out of date helps nobody.
        return inMemory.set(key, value);
      }
    },
    remove(key) {
      inMemory.remove(key);
      area.removeItem(key);
    },
    names(prefix) {
      const kept = Object.keys(area).filter((key) => key.startsWith(prefix));
      return [...new Set([...inMemory.names(prefix), ...kept])];
    },
  };
}
