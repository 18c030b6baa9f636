"""Room 4, the door: a reply as the parts of a UI message stream.

May import: standard library, app, chatcore, msgspec.

Source: packages `ai` 6 and 7 (read and tried 2026-11). Whatever is no part of their schema, and
JSON of any other kind, breaks the client's stream; a comment must not be followed by an empty line
for others of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.doors.ai_sdk.chats import name_of_reply
from app.http.events import BARE_KEEP_ALIVE, Rendering
from app.http.problems import PROBLEMS
from chatcore import (
    ReplyDelta,
    ReplyRestarted,
    Turn,
    TurnEnded,
    TurnEvent,
    TurnFailed,
    TurnLost,
    TurnOpened,
    TurnStatus,
)

_DONE = b"data: [DONE]\n\n"
_COME_BACK = "The connection ended before the answer did. Reload the page to see the rest."
_FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
}
_encode = msgspec.json.Encoder().encode


class UIMessageStream(Rendering):
    """What one client gets of one reply."""

    headers: Mapping[str, str] = {"x-vercel-ai-ui-message-stream": "v1"}
    keep_alive = BARE_KEEP_ALIVE

    def __init__(self) -> None:
        self._texts = 0
        self._is_in_text = False
        self._restarts = 0

    def encode(self, event: TurnEvent) -> bytes:
        """Return an event in parts."""
        match event:
            case ReplyDelta():
                return self._begin_text() + self._delta(event.text)
            case TurnOpened():
                facts = {"session_id": event.session_id, "turn_id": event.turn_id}
                name = name_of_reply(event.turn_id)
                return _part("start", messageId=name, messageMetadata=facts)
            case ReplyRestarted():
                return self._restart()
            case TurnEnded():
                return self._end_text() + _end_of(event.turn) + _DONE

    def encode_lost(self, error: TurnLost) -> bytes:
        """Return an error: the chat was erased meanwhile."""
        return self._end_text() + _error(PROBLEMS[error.code].detail) + _DONE

    def come_back(self) -> bytes:
        """Return an error: a stream that just ends looks like the end of the answer."""
        return self._end_text() + _error(_COME_BACK) + _DONE

    @property
    def _text_id(self) -> str:
        return f"text-{self._texts}"

    def _begin_text(self) -> bytes:
        if self._is_in_text:
            return b""
        self._is_in_text = True
        self._texts += 1
        return _part("text-start", id=self._text_id)

    def _delta(self, text: str) -> bytes:
        return _part("text-delta", id=self._text_id, delta=text)

    def _end_text(self) -> bytes:
        if not self._is_in_text:
            return b""
        self._is_in_text = False
        return _part("text-end", id=self._text_id)

    def _restart(self) -> bytes:
        """Say that what came counts no more: the protocol cannot take it back."""
        if not self._is_in_text:
            return b""
        self._restarts += 1
        mark = {"text_parts_before": self._texts}
        end = self._end_text()
        return end + _part("data-restart", id=f"restart-{self._restarts}", data=mark)


def _end_of(turn: Turn) -> bytes:
    facts = {"status": turn.status, "created_at": _when(turn)}
    if turn.status is TurnStatus.COMPLETED:
        reason = _FINISH_REASONS.get(turn.finish_reason or "", "other")
        return _part("finish", finishReason=reason, messageMetadata=facts)
    if turn.status is TurnStatus.STOPPED:
        return _metadata(**facts) + _part("abort", reason="stopped")
    code = turn.error_code or TurnFailed.code
    code = code if code in PROBLEMS else TurnFailed.code
    return _metadata(**facts, error_code=code) + _error(PROBLEMS[code].detail)


def _when(turn: Turn) -> object:
    return (turn.ended_at or turn.created_at) if turn.reply is None else turn.reply.created_at


def _metadata(**facts: object) -> bytes:
    return _part("message-metadata", messageMetadata=facts)


def _error(text: str) -> bytes:
    return _part("error", errorText=text)


def _part(type_: str, **fields: Any) -> bytes:
    return b"data: %b\n\n" % _encode({"type": type_, **fields})
