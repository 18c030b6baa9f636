"""Room 1, the hexagon: a reply as far as this process knows it.

May import: standard library, chatcore.errors, chatcore.model.

One side writes: the turn's own task, or whoever watches a turn that runs in another process. Any
number of readers hold an offset and nothing else, so that a slow one costs nothing and delays
nobody.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from contextlib import suppress

from chatcore.errors import ChatError
from chatcore.model.turn import Turn


class LiveReply:
    """The text of a running reply, its attempt and, in the end, its turn.

    Args:
        attempt: Whose text it is to begin with.

    Attributes:
        attempt: Whose text it is now.
        length: Code points so far.
        end: The turn as its end was stored; None until then.
        trouble: Why nothing more can be learned here, for the time being or for good. Readers meet
            it after all text; an end counts more.
        readers: How many are reading.
    """

    __slots__ = (
        "__weakref__",
        "_pieces",
        "_starts",
        "_waiting",
        "attempt",
        "end",
        "length",
        "readers",
        "trouble",
    )

    def __init__(self, *, attempt: int = 1) -> None:
        self.attempt = attempt
        self.length = 0
        self.end: Turn | None = None
        self.trouble: ChatError | None = None
        self.readers = 0
        self._pieces: list[str] = []
        self._starts: list[int] = []
        self._waiting: list[asyncio.Future[None]] = []

    def append(self, text: str) -> None:
        """Add the next piece."""
        if not text:
            return
        self._starts.append(self.length)
        self._pieces.append(text)
        self.length += len(text)
        self._tell()

    def restart(self, attempt: int) -> None:
        """Begin anew with another attempt; what was there counts no more."""
        self.attempt = attempt
        self.length = 0
        self._pieces.clear()
        self._starts.clear()
        self.trouble = None
        self._tell()

    def finish(self, turn: Turn) -> None:
        """Announce the end, which is stored by now, and carries the text that counts."""
        self.attempt = turn.attempt
        self.end = turn
        self._tell()

    def fail(self, error: ChatError) -> None:
        """Announce that nothing more can be learned here."""
        self.trouble = error
        self._tell()

    def since(self, offset: int, *, limit: int | None = None) -> str:
        """Return the text from an offset on, of at most so many code points."""
        if offset >= self.length:
            return ""
        first = bisect_right(self._starts, offset) - 1
        if limit is None or offset + limit >= self.length:
            last = len(self._pieces)
        else:
            last = bisect_left(self._starts, offset + limit)
        begins = offset - self._starts[first]
        begun = self._pieces[first][begins : None if limit is None else begins + limit]
        return "".join([begun, *self._pieces[first + 1 : last]])[:limit]

    async def changed(self, *, within_seconds: float | None = None) -> None:
        """Wait until anything is different. Look first, then wait, with nothing awaited between.

        Done for each token and each reader: a future and a timer cost half of what an event and
        `asyncio.timeout` do.

        Args:
            within_seconds: Longest wait; None: for as long as it takes.

        Raises:
            TimeoutError: Nothing was in that time.
        """
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting.append(waiter)
        timer = None
        if within_seconds is not None:
            timer = loop.call_later(within_seconds, _give_up, waiter)
        try:
            await waiter
        except BaseException:
            with suppress(ValueError):
                self._waiting.remove(waiter)
            raise
        finally:
            if timer:
                timer.cancel()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
