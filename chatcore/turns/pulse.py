"""Room 1, the hexagon: shows that this process is alive, for all its running turns together.

May import: standard library, chatcore.errors, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio

from chatcore.errors import StorageUnavailable
from chatcore.ports.turn_repository import TurnRepository
from chatcore.turns.running import RunningTurn

_BEATS_A_LEASE = 5


class Pulse:
    """One loop a process: renews all leases in one call. Nothing running, nothing sent.

    Args:
        repository: Where turns live.
        lease_seconds: How long a lease lasts; it is renewed five times as often.
    """

    def __init__(self, repository: TurnRepository, *, lease_seconds: float) -> None:
        self._repository = repository
        self._lease_seconds = lease_seconds
        self._turns: set[RunningTurn] = set()
        self._loop: asyncio.Task[None] | None = None

    def add(self, turn: RunningTurn) -> None:
        """Renew this turn's lease from now on."""
        self._turns.add(turn)
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._beat(), name="pulse")

    def discard(self, turn: RunningTurn) -> None:
        """Renew it no longer."""
        self._turns.discard(turn)

    async def close(self) -> None:
        """Stop beating."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])

    def interrupt_all(self) -> None:
        """Have every running turn end now."""
        for turn in self._turns:
            turn.interrupt()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / _BEATS_A_LEASE)
            if not self._turns:
                return
            # Turns that end meanwhile are missing from the answer and are no longer ours to lose;
            # one that goes on to its next attempt is asked for again the next time.
            asked = {turn.ref: turn for turn in self._turns}
            try:
                held = await self._repository.renew(tuple(asked), lease_seconds=self._lease_seconds)
            except StorageUnavailable:
                continue
            for ref, turn in asked.items():
                if ref.turn_id not in held and turn in self._turns and turn.ref == ref:
                    turn.lose()
