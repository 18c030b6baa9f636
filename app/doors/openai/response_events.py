"""Room 4, the door: a response as the events of its stream, numbered by its text alone.

May import: standard library, app, msgspec.

Numbers begin at 0 and have no gaps. The text is cut into cells of a fixed length, one event each,
and the rest at the end; so the number of every event follows from the text, and whoever comes back
with the last number it saw goes on at the right place: on any process, whatever pieces the model
wrote in, now or long after the end (docs/adr/0021).

    0 created, 1 in_progress, 2 output_item.added, 3 content_part.added,
    4 … 3+n one delta for each of n cells,
    4+n output_text.done, 5+n content_part.done, 6+n output_item.done, 7+n the end

A response without any text has only 0, 1 and, as 2, its end.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from app.doors.openai.objects import Item, OutputText, ResponseObject

CELL_CHARS = 8
"""How much of the text one event carries, in code points: two tokens, or so."""
FIRST_TEXT = 4
"""Number of the first event that carries text."""

_ENDS = {"completed": "response.completed", "failed": "response.failed"}
_encode = msgspec.json.Encoder().encode


class _Lifecycle(Struct):
    type: str
    sequence_number: int
    response: ResponseObject


class _ItemEvent(Struct):
    type: str
    sequence_number: int
    item: Item
    output_index: int = 0


class _PartEvent(Struct):
    type: str
    sequence_number: int
    item_id: str
    part: OutputText
    output_index: int = 0
    content_index: int = 0


class _Delta(Struct):
    sequence_number: int
    item_id: str
    delta: str
    type: str = "response.output_text.delta"
    output_index: int = 0
    content_index: int = 0
    logprobs: list[Any] = field(default_factory=list)


class _TextDone(Struct):
    sequence_number: int
    item_id: str
    text: str
    type: str = "response.output_text.done"
    output_index: int = 0
    content_index: int = 0
    logprobs: list[Any] = field(default_factory=list)


class _Trouble(Struct):
    sequence_number: int
    code: str
    message: str
    param: None = None
    type: str = "error"


class ResponseEvents:
    """The events of one response, for one reader. Give it the text; it gives bytes.

    Args:
        begun: The response as it was at its beginning.
        item_id: Id of its one item.
        after: Number of the last event that the reader has seen; -1: none.
    """

    def __init__(self, begun: ResponseObject, *, item_id: str, after: int = -1) -> None:
        self._begun = begun
        self._item_id = item_id
        self._after = after
        self._number = 0
        self._is_opened = False
        self._cells_had = cells_seen(after)
        self._rest = ""

    @property
    def has_sent_text(self) -> bool:
        """Whether the reader has text that cannot be taken back."""
        return self._cells_had > 0

    def begin(self) -> bytes:
        """Return what comes before all text."""
        kinds = ("response.created", "response.in_progress")
        return b"".join([self._event(_Lifecycle(kind, 0, self._begun)) for kind in kinds])

    def add(self, text: str) -> bytes:
        """Return the events that the next piece of text makes possible."""
        blocks = [self._open_item()]
        self._rest += text
        whole = len(self._rest) - len(self._rest) % CELL_CHARS
        blocks += self._cells(self._rest[:whole])
        self._rest = self._rest[whole:]
        return b"".join(blocks)

    def start_over(self) -> None:
        """Forget text that no event has carried yet."""
        self._rest = ""

    def end(self, final: ResponseObject, text: str) -> bytes:
        """Return what comes after all text.

        Args:
            final: The response at its end.
            text: The whole of its text; of a response that was cut off possibly less than was sent.
        """
        blocks: list[bytes] = []
        if not self._is_opened:
            # Whoever has seen more events than there are cells has seen all of them.
            self._cells_had = min(self._cells_had, -(-len(text) // CELL_CHARS))
        if text or self._is_opened:
            blocks.append(self._open_item())
            blocks += self._cells(text[self._cells_had * CELL_CHARS :])
            blocks.append(self._close_item(text, is_whole=final.status == "completed"))
        kind = _ENDS.get(final.status, "response.incomplete")
        # Everybody is told how it ended, also who claims to have seen later events than there are.
        self._number = max(self._number, self._after + 1)
        blocks.append(self._event(_Lifecycle(kind, 0, final)))
        return b"".join(blocks)

    def break_off(self, code: str, message: str) -> bytes:
        """Return the last words of a stream that ends before its response.

        They carry the number of the event before: it is from there that a client goes on.
        """
        number = max(self._number - 1, self._after, 0)
        return _block(_Trouble(number, code, message))

    def _open_item(self) -> bytes:
        if self._is_opened:
            return b""
        self._is_opened = True
        bare = Item(id=self._item_id, role="assistant", content=[], status="in_progress")
        opened = self._event(_ItemEvent("response.output_item.added", 0, bare))
        part = _PartEvent("response.content_part.added", 0, self._item_id, OutputText(text=""))
        opened += self._event(part)
        self._number += self._cells_had
        return opened

    def _cells(self, text: str) -> list[bytes]:
        starts = range(0, len(text), CELL_CHARS)
        self._cells_had += len(starts)
        return [self._event(_Delta(0, self._item_id, text[at : at + CELL_CHARS])) for at in starts]

    def _close_item(self, text: str, *, is_whole: bool) -> bytes:
        part, status = OutputText(text=text), "completed" if is_whole else "incomplete"
        item = Item(id=self._item_id, role="assistant", content=[part], status=status)
        return (
            self._event(_TextDone(0, self._item_id, text))
            + self._event(_PartEvent("response.content_part.done", 0, self._item_id, part))
            + self._event(_ItemEvent("response.output_item.done", 0, item))
        )

    def _event(self, event: Any) -> bytes:
        """Give an event its number; what the reader has seen is counted, and not sent again."""
        event.sequence_number = self._number
        self._number += 1
        return b"" if event.sequence_number <= self._after else _block(event)


def cells_seen(after: int) -> int:
    """Return how many cells whoever saw the event of this number, and all before it, has seen."""
    return max(0, after - FIRST_TEXT + 1)


def _block(event: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.type.encode(), _encode(event))
