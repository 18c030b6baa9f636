"""Room 4, the door: what happens to a reply, as server-sent events in bytes.

May import: standard library, app, chatcore, msgspec.

Source: the HTML standard, section 9.2 (read 2026-01). Data is one line of JSON, which escapes line
breaks: no text whatever can end a line, an event or the stream.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Protocol
from uuid import UUID

import msgspec

from app.http import wire
from app.http.problems import problem_of, problem_of_failed
from chatcore import (
    Answer,
    ReplyDelta,
    ReplyRestarted,
    Turn,
    TurnEnded,
    TurnEvent,
    TurnLost,
    TurnOpened,
    TurnStatus,
)

MEDIA_TYPE = "text/event-stream"
BARE_KEEP_ALIVE = b": ka\n"
"""A comment without the empty line that ends an event: the only form that the parsers of all other
protocols' clients let pass."""
_RETRY_MILLISECONDS = 1000


class _Opened(msgspec.Struct):
    session_id: UUID
    turn_id: UUID


class _Delta(msgspec.Struct):
    text: str


class Rendering(Protocol):
    """How a protocol tells what happens to a reply. It may remember: one object a stream."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer, besides those of every stream."""
        ...

    @property
    def keep_alive(self) -> bytes:
        """What is sent after a while of silence."""
        ...

    @abstractmethod
    def encode(self, event: TurnEvent) -> bytes:
        """Return an event as the client gets it; empty: it gets nothing of it."""
        ...

    @abstractmethod
    def encode_lost(self, error: TurnLost) -> bytes:
        """Return the last words about a turn that is gone."""
        ...

    @abstractmethod
    def come_back(self) -> bytes:
        """Return the last words of a stream that ends before its turn: it can be joined again."""
        ...


class NativeRendering(Rendering):
    """The protocol of this service's own door; it remembers nothing."""

    headers: Mapping[str, str] = {}
    keep_alive = b": keep-alive\n\n"

    def encode(self, event: TurnEvent) -> bytes:
        """Return an event.

        Everything but the first has an id: the place to go on from, `ReplyPosition` as text.
        """
        match event:
            case ReplyDelta():  # each token, for each reader
                data = msgspec.json.encode(_Delta(event.text))
                return b"event: delta\nid: %b\ndata: %b\n\n" % (str(event.position).encode(), data)
            case TurnOpened():
                data = msgspec.json.encode(_Opened(event.session_id, event.turn_id))
                return _block("turn", data, retry=_RETRY_MILLISECONDS)
            case ReplyRestarted():
                return _block("restart", b"{}", place=event.position)
            case TurnEnded():
                name, data = _end_of(event.turn)
                return _block(name, data, place=event.position)

    def encode_lost(self, error: TurnLost) -> bytes:
        """Return a problem: there is no place to come back to."""
        return _block("error", problem_of(error))

    def come_back(self) -> bytes:
        """Return a comment, and when to be back."""
        return b": come back with the last id\nretry: 500\n\n"


NATIVE = NativeRendering()


def _end_of(turn: Turn) -> tuple[str, bytes]:
    """Return the name and the data of a turn's last event."""
    if turn.status is TurnStatus.FAILED:
        return "error", problem_of_failed(turn)
    answer = Answer(turn=turn, reply=turn.reply, repeated=False)
    name = "done" if turn.status is TurnStatus.COMPLETED else "stopped"
    return name, msgspec.json.encode(wire.view_reply(answer))


def _block(name: str, data: bytes, *, place: object = None, retry: int | None = None) -> bytes:
    return b"".join(_lines(name, data, place, retry))


def _lines(name: str, data: bytes, place: object, retry: int | None) -> Iterator[bytes]:
    yield b"event: %b\n" % name.encode()
    if retry is not None:
        yield b"retry: %d\n" % retry
    if place is not None:
        yield b"id: %b\n" % str(place).encode()
    yield b"data: %b\n\n" % data
