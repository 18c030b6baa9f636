"""Room 3, the world: cuts a stream of server-sent events into the data of its events, byte by byte.

May import: standard library.

Only CR LF, LF and CR end a line. Text is left as bytes: U+2028, form feeds and characters split
between two reads are the business of whoever decodes a whole event.

Source: WHATWG HTML, sections 9.2.5 and 9.2.6 (edition of June 2025). One rule is ours: data that no
blank line closed still counts when the stream ends, since providers forget that line.
"""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """An event grew beyond the limit before it ended."""


class EventSplitter:
    """Collects bytes as they come and gives back the data of every event they complete.

    Args:
        max_event_bytes: How much of an unfinished event is held, about; beyond that it is refused.
    """

    __slots__ = ("_after_cr", "_at_start", "_data", "_data_bytes", "_line", "_line_bytes", "_max")

    def __init__(self, *, max_event_bytes: int) -> None:
        self._max = max_event_bytes
        self._at_start = True
        self._after_cr = False
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of the events that these bytes complete, in order.

        Raises:
            EventTooLarge: An unfinished event is larger than the limit.
        """
        if self._at_start:
            chunk = self._without_bom(chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_line_feeds(chunk)
        first, *more = chunk.split(b"\n")
        self._line.append(first)
        self._line_bytes += len(first)
        events: list[bytes] = []
        if more:
            whole_line = b"".join(self._line) if len(self._line) > 1 else first
            rest = more.pop()
            self._take_line(whole_line, events)
            for line in more:
                self._take_line(line, events)
            self._line = [rest]
            self._line_bytes = len(rest)
        if self._line_bytes + self._data_bytes > self._max:
            raise EventTooLarge(f"an event is larger than {self._max} bytes")
        return events

    def finish(self) -> list[bytes]:
        """Return the data of the event that the end of the stream completes, if there is one."""
        events: list[bytes] = []
        for line in (b"".join(self._line), b""):
            self._take_line(line, events)
        self._line, self._line_bytes = [], 0
        return events

    def _take_line(self, line: bytes, events: list[bytes]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            self._data_bytes += len(line) + 1
        elif not line:
            if self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
                self._data_bytes = 0
        elif line == b"data":
            self._data.append(b"")
            self._data_bytes += len(line) + 1

    def _without_bom(self, chunk: bytes) -> bytes:
        head = b"".join(self._line) + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._line, self._line_bytes = [head], len(head)
            return b""
        self._at_start = False
        self._line, self._line_bytes = [], 0
        return head.removeprefix(_BOM)

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        """A CR ends its line at once; an LF that follows it, even in the next read, is dropped."""
        if not chunk:
            return chunk
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
