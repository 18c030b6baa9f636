// Drives OpenAI's own client, as told by lines of JSON on standard input; answers each with a line
// on standard output.

import OpenAI from "openai";
import { createInterface } from "node:readline";

let client;
const streams = new Map();

const method = (path) => {
  const owner = path.slice(0, -1).reduce((object, name) => object[name], client);
  return owner[path.at(-1)].bind(owner);
};

const told = (error) => ({
  kind: error.constructor.name,
  message: error.message,
  status: error.status ?? null,
  code: error.code ?? null,
  param: error.param ?? null,
  requestId: error.requestID ?? null,
});

const settled = async (work) => {
  try {
    return { value: (await work()) ?? null };
  } catch (error) {
    return { raised: told(error) };
  }
};

const operations = {
  connect({ baseURL, apiKey, maxRetries }) {
    client = new OpenAI({ baseURL, apiKey, maxRetries });
    return {};
  },
  call({ path, args }) {
    return settled(() => method(path)(...args));
  },
  list({ path, args }) {
    return settled(async () => {
      const found = [];
      for await (const item of method(path)(...args)) found.push(item);
      return found;
    });
  },
  async open({ name, path, args }) {
    return settled(async () => {
      const stream = await method(path)(...args);
      streams.set(name, { stream, events: stream[Symbol.asyncIterator]() });
      return {};
    });
  },
  next({ name, count }) {
    return settled(async () => {
      const found = [];
      while (found.length < count) {
        const { value, done } = await streams.get(name).events.next();
        if (done) break;
        found.push(value);
      }
      return found;
    });
  },
  leave({ name }) {
    streams.get(name).stream.controller.abort();
    return {};
  },
  helper({ given }) {
    return settled(async () => {
      const events = [];
      const stream = client.responses.stream(given);
      for await (const event of stream) events.push(event);
      return { events, final: await stream.finalResponse() };
    });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { number, operation, ...given } = JSON.parse(line);
  Promise.resolve()
    .then(() => operations[operation](given))
    .then((result) => ({ number, result }))
    .catch((error) => ({ number, error: String(error.stack) }))
    .then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
