// tabs.js: tells the other tabs of this browser what happened here.
//
// News: {type: "turn"|"rated"|"renamed"|"erased", sessionId}. A tab learns that something happened
// and asks the service what; the news carries no words of a conversation.

/** Return {tell(news), close()}; `onNews` gets what other tabs tell. */
export function joinTabs(onNews) {
  if (!("BroadcastChannel" in globalThis)) return { tell() {}, close() {} };
  const channel = new BroadcastChannel("chatcore");
  channel.addEventListener("message", ({ data }) => {
    if (data && typeof data.type === "string") onNews(data);
  });
  return {
    tell: (news) => channel.postMessage(news),
    close: () => channel.close(),
  };
}
