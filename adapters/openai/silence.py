"""Room 3, the world: a timer for silence that costs next to nothing per piece of content.

May import: standard library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_SECOND_LOOK_SECONDS = 0.02


class Silence:
    """Calls back once when no content came for too long.

    Content only writes down a new deadline; the one timer of the loop finds it when it rings, and
    sets itself again. While paused (content is in the reader's hands) nothing counts as silence.

    Args:
        seconds: The limit.
        since: Loop time from which the first limit counts.
        on_silence: Called in the loop, once.
    """

    __slots__ = ("_deadline", "_loop", "_on_silence", "_paused", "_seconds", "_timer", "is_over")

    def __init__(self, seconds: float, *, since: float, on_silence: Callable[[], None]) -> None:
        self._seconds = seconds
        self._on_silence = on_silence
        self._loop = asyncio.get_running_loop()
        self._deadline = since + seconds
        self._paused = False
        self.is_over = False
        self._timer = self._loop.call_at(self._deadline, self._look, False)

    def pause(self) -> None:
        """Stop counting."""
        self._paused = True

    def restart(self) -> None:
        """Count anew from now."""
        self._paused = False
        self._deadline = self._loop.time() + self._seconds

    def shorten(self, seconds: float) -> None:
        """From now on, wait no longer than this."""
        self._seconds = min(self._seconds, seconds)
        self._deadline = self._loop.time() + self._seconds
        self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._look, False)

    def stop(self) -> None:
        """Never call back any more."""
        self._timer.cancel()

    def _look(self, second_look: bool) -> None:
        now = self._loop.time()
        if self._paused:
            self._timer = self._loop.call_at(now + self._seconds, self._look, False)
        elif now < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look, False)
        elif not second_look:
            # After a loop that stood still, bytes may lie unread: give their reader its turn first.
            self._timer = self._loop.call_later(_SECOND_LOOK_SECONDS, self._look, True)
        else:
            self.is_over = True
            self._on_silence()
