"""Room 4, the door: bounds on how long and how much a connection may keep the server busy.

May import: standard library, app, uvicorn.

uvicorn lets a client send a head of any length, as slowly as it likes, and keeps the rest of an
answer for ever if it is not read. The body of a request is none of this: its length is Litestar's
business, its time the Edge's.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.http.edge import EVERYWHERE, LAST_ANSWER
from app.http.problems import bare_problem
from app.http.request_context import REQUEST_ID, request_id_from
from app.logs import get_logger

HEAD_MAX_BYTES = 65_536
HEAD_SECONDS = 10.0
WRITE_SECONDS = 30.0
LAST_SECONDS = 1.0
"""Instead of these two, once the server is shutting down: nobody is to hold it up."""

_log = get_logger("http")


class BoundedProtocol(HttpToolsProtocol):
    """One connection. While no answer is under way, it gives the client so long to send a head.

    Attributes:
        head_max_bytes: Most bytes of address, headers and trailers, and of the framing of chunks.
        head_seconds: Longest wait for a whole head, from the connection, the last answer or the
            head's first byte on; also for the rest of a body that was answered before its end.
        write_seconds: How long a client may read nothing at all of an answer that waits for it.
    """

    head_max_bytes = HEAD_MAX_BYTES
    head_seconds = HEAD_SECONDS
    write_seconds = WRITE_SECONDS

    _alarm: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _unsent_bytes = 0  # when the stall timer was set
    _raw_bytes = 0  # received since the head began and not part of a body
    _named_bytes = 0  # of the address and of whole headers: exact, however reads are cut

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to read on, but not for ever."""
        super().pause_writing()
        self._set_stall_timer()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_stall_timer()

    def shutdown(self) -> None:
        """Be in a hurry with clients that do not read, now that the server is shutting down."""
        super().shutdown()
        self.head_seconds = self.write_seconds = LAST_SECONDS
        self._stop_stall_timer()
        if self.transport.is_closing() or self.flow.write_paused:
            self._set_stall_timer()

    def data_received(self, data: bytes) -> None:
        """Read on, unless what is no body is too long by now."""
        self._raw_bytes += len(data)
        super().data_received(data)
        if self._raw_bytes > self.head_max_bytes and not self.transport.is_closing():
            self._refuse("headers_too_large")

    def on_message_begin(self) -> None:
        """Begin to measure a head. The rest of the same read is counted by its headers only."""
        super().on_message_begin()
        self._raw_bytes = self._named_bytes = 0
        self._wait()

    def on_url(self, url: bytes) -> None:
        """Count the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or a trailer."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a body out of the count."""
        self._raw_bytes -= len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Begin to wait for the next head."""
        super().on_response_complete()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser gave up on."""
        is_long = self._named_bytes > self.head_max_bytes
        self._refuse("headers_too_large" if is_long else "bad_request")

    def _count(self, size: int) -> None:
        self._named_bytes += size
        if self._named_bytes > self.head_max_bytes:
            raise ValueError  # the parser gives up

    def _wait(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self.loop.call_later(self.head_seconds, self._ring)

    def _ring(self) -> None:
        """Leave a client that let us wait, but never one that waits for us."""
        if self._is_answering():
            self._wait()
        else:
            self.transport.close()
            self._set_stall_timer()  # the end of an answer may still wait for the client

    def _set_stall_timer(self) -> None:
        if self._stall is None:
            self._unsent_bytes = self.transport.get_write_buffer_size()
            self._stall = self.loop.call_later(self.write_seconds, self._look_for_progress)

    def _stop_stall_timer(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _look_for_progress(self) -> None:
        """Leave a client that has read nothing meanwhile; nothing is written while we wait."""
        self._stall = None
        if self.transport.get_write_buffer_size() < self._unsent_bytes:
            self._set_stall_timer()
        else:
            _log.info("client_stalled")
            self.transport.abort()

    def _refuse(self, code: str) -> None:
        """Answer what never became a request, and close."""
        if not self._is_answering():
            self.transport.write(_answer(code))
        self.transport.close()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete


def _answer(code: str) -> bytes:
    request_id = request_id_from(None)
    token = REQUEST_ID.set(request_id)
    status, headers, body = bare_problem(code)
    REQUEST_ID.reset(token)
    _log.info("request_refused", code=code, status=status, request_id=request_id)
    lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
    more = [*headers, *EVERYWHERE, (b"x-request-id", request_id.encode())]
    more += [(b"content-length", b"%d" % len(body)), LAST_ANSWER]
    lines += [b"%b: %b" % header for header in more]
    return b"\r\n".join([*lines, b"", body])
