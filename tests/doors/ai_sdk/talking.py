"""Requests as `useChat` and its applications make them, without it.

May import: standard library, httpx, tests.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.http.door import VISITOR_A, Door, bearer

CHAT = "a-chat-of-sixteen-characters"
STREAM = "text/event-stream; charset=utf-8"


def said(text: str, name: str | None = "m1", role: str = "user") -> dict[str, Any]:
    """Return a message as clients have it."""
    message: dict[str, Any] = {"role": role, "parts": [{"type": "text", "text": text}]}
    return message if name is None else {**message, "id": name}


def last(text: str, name: str | None = "m1", **more: Any) -> dict[str, Any]:
    """Return a body with the last message only."""
    return {"id": CHAT, "message": said(text, name), **more}


def whole(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a body with all messages."""
    return {"id": CHAT, "messages": list(messages), **more}


class Talker:
    """Somebody who talks to the door.

    Args:
        door: The door.
        token: Who it is; None: nobody in particular.
    """

    def __init__(self, door: Door, token: str | None = VISITOR_A) -> None:
        self._client = door.client
        self._headers = {} if token is None else bearer(token)

    async def post(self, body: Any, path: str = "", **headers: str) -> httpx.Response:
        """Send a body."""
        return await self._client.post(
            f"/api/chat{path}", json=body, headers=self._headers | headers
        )

    async def get(self, path: str) -> httpx.Response:
        """Get anything."""
        return await self._client.get(f"/api/chat{path}", headers=self._headers)

    async def ask(self, body: Any) -> Answered:
        """Send a body that is answered, and read the answer to its end."""
        answer = await self.post(body)
        assert (answer.status_code, answer.headers["content-type"]) == (200, STREAM), answer.text
        return Answered(answer)

    async def history(self, chat: str = CHAT) -> list[dict[str, Any]]:
        """Return what was said."""
        answer = await self.get(f"/{chat}")
        assert answer.status_code == 200
        found: list[dict[str, Any]] = answer.json()
        return found

    async def texts(self, chat: str = CHAT) -> list[str]:
        """Return the texts of what was said."""
        return [message["parts"][0]["text"] for message in await self.history(chat)]


class Answered:
    """An answer that was read to its end."""

    def __init__(self, answer: httpx.Response) -> None:
        blocks = answer.text.removesuffix("\n\n").split("\n\n")
        assert blocks[-1] == "data: [DONE]"
        self.headers = answer.headers
        self.parts = [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]

    @property
    def name(self) -> str:
        """What the answer is called."""
        name: str = self.parts[0]["messageId"]
        return name

    @property
    def text(self) -> str:
        """Its text."""
        return "".join(part["delta"] for part in self.parts if part["type"] == "text-delta")

    @property
    def session(self) -> str:
        """In which session it is."""
        session: str = self.parts[0]["messageMetadata"]["session_id"]
        return session
