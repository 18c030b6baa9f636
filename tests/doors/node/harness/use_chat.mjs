// Drives the real hook `useChat` in a React tree that is drawn nowhere, as told by lines of JSON on
// standard input; answers each with a line on standard output.

import { createElement, useState } from "react";
import { create } from "react-test-renderer";
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { createInterface } from "node:readline";

const PATIENCE_MILLISECONDS = 15_000;

globalThis.IS_REACT_ACT_ENVIRONMENT = false;
const chats = new Map();

function Page({ chat, options }) {
  chat.hook = useChat(options);
  const { status, error, messages } = chat.hook;
  [chat.drawing, chat.draw] = useState(0);
  // A copy: the hook goes on writing into the message it has given, before it draws again.
  chat.drawn = structuredClone({ status, error: error?.message ?? null, messages });
  return null;
}

const lastOnly = ({ id, messages, trigger, messageId, body }) => ({
  body: { ...body, id, message: messages.at(-1), trigger, messageId },
});

function open({ name, api, id, token, shape, messages, resume, body }) {
  const chat = { hook: null, drawn: null, errors: [], finishes: [], data: [] };
  chats.set(name, chat);
  const options = {
    id,
    messages,
    resume,
    transport: new DefaultChatTransport({
      api,
      body,
      headers: token ? { authorization: `Bearer ${token}` } : undefined,
      prepareSendMessagesRequest: shape === "last" ? lastOnly : undefined,
    }),
    onError: (error) => chat.errors.push(error.message),
    onFinish: ({ message, isAbort, isError, isDisconnect, finishReason }) =>
      chat.finishes.push({ id: message.id, isAbort, isError, isDisconnect, finishReason }),
    onData: (part) => chat.data.push(part),
  };
  chat.tree = create(createElement(Page, { chat, options }));
}

function stateOf(chat) {
  const { drawn, errors, finishes, data } = chat;
  return { ...drawn, errors, finishes, data };
}

const textOf = (message) =>
  message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");

function isSo(state, { status, text, count, finishes }) {
  const last = state.messages.at(-1);
  return (
    (status === undefined || status === state.status) &&
    (text === undefined || (last?.role === "assistant" && textOf(last).includes(text))) &&
    (count === undefined || state.messages.length === count) &&
    (finishes === undefined || state.finishes.length >= finishes)
  );
}

// Returns when all that was to be drawn has been: React draws in the order in which it was asked.
async function drawingOf(chat) {
  const number = chat.drawing + 1;
  chat.draw(number);
  while (chat.drawing < number) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function until({ name, ...wanted }) {
  const giveUp = Date.now() + PATIENCE_MILLISECONDS;
  for (;;) {
    const chat = chats.get(name);
    if (chat.drawn && isSo(stateOf(chat), wanted)) {
      return stateOf(chat);
    }
    if (Date.now() > giveUp) {
      throw new Error(`not ${JSON.stringify(wanted)}: ${JSON.stringify(stateOf(chat))}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const operations = {
  async open(given) {
    open(given);
    return until({ name: given.name });
  },
  // Begins what the page's user does, and does not wait for what comes of it.
  async start({ name, method, given }) {
    const chat = chats.get(name);
    chat.running = chat.hook[method](...given);
    chat.running?.catch?.((error) => chat.errors.push(`thrown: ${error.message}`));
    return null;
  },
  // The same, to its end.
  async run(command) {
    await operations.start(command);
    const chat = chats.get(command.name);
    await chat.running;
    await drawingOf(chat);
    return stateOf(chat);
  },
  until,
  async close({ name }) {
    const chat = chats.get(name);
    chats.delete(name);
    await chat.hook.stop();
    chat.tree.unmount();
    return null;
  },
  async closeAll() {
    await Promise.all([...chats.keys()].map((name) => operations.close({ name })));
    return null;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { number, operation, ...given } = JSON.parse(line);
  operations[operation](given).then(
    (result) => console.log(JSON.stringify({ number, result })),
    (error) => console.log(JSON.stringify({ number, error: String(error?.stack ?? error) })),
  );
}
process.exit(0);
