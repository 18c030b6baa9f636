"""Room 1, the hexagon: the heartbeat of this process, for all its running turns together.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from chatcore.errors import StorageUnavailable
from chatcore.model.journal import Beat
from chatcore.model.policy import ChatPolicy
from chatcore.ports.reply_journal import ReplyJournal
from chatcore.ports.turn_observer import TurnObserver
from chatcore.turns.running import Cut, RunningTurn

_BEATS_A_LEASE = 10
_LONGEST_SILENCE_SECONDS = 1.5
_LAST_BEAT_SECONDS = 1.0


class Pulse:
    """One loop a process: writes down new text and renews leases, in one call for all turns.

    What does not come back from that call was stopped, taken over or erased: its turn is cut off
    from the model, and writes nothing more. Nothing running, nothing sent.

    Args:
        journal: Where text and leases are kept.
        observer: Is told of faults.
        policy: How often, and how long a lease lasts.
    """

    def __init__(
        self, journal: ReplyJournal, *, observer: TurnObserver, policy: ChatPolicy
    ) -> None:
        self._journal = journal
        self._observer = observer
        self._policy = policy
        # So that a turn ended elsewhere is cut off within two seconds, whatever the lease.
        self._silence_seconds = min(policy.lease_seconds / _BEATS_A_LEASE, _LONGEST_SILENCE_SECONDS)
        self._turns: set[RunningTurn] = set()
        self._loop: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._is_closed = False

    def add(self, turn: RunningTurn) -> None:
        """Keep this turn alive from now on."""
        self._turns.add(turn)
        if self._is_closed:
            return
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._beat_on(), name="pulse")

    def discard(self, turn: RunningTurn) -> None:
        """Keep it alive no longer."""
        self._turns.discard(turn)

    async def flush(self, turns: Collection[RunningTurn]) -> None:
        """Write down what has come of these turns by now.

        Raises:
            StorageUnavailable: The store did not answer.
        """
        await self._write(turns, self._policy.lease_seconds)

    async def release(self, turns: Collection[RunningTurn]) -> None:
        """Write down what has come of these turns, and give them away.

        Raises:
            StorageUnavailable: The store did not answer: their leases will run out.
        """
        self._turns.difference_update(turns)
        if any(turn.has_pending for turn in turns):
            # What is in doubt goes first and alone; the rest follows.
            await self._write(turns, self._policy.lease_seconds)
        await self._write(turns, 0.0)

    async def close(self) -> None:
        """Stop beating. A call that is on its way is waited for, not cut off."""
        self._is_closed = True
        self._turns.clear()
        if self._loop is not None:
            await asyncio.wait([self._loop], timeout=_LAST_BEAT_SECONDS)
            self._loop.cancel()

    async def _beat_on(self) -> None:
        while self._turns:
            await asyncio.sleep(self._policy.pulse_seconds)
            try:
                await self._write(self._turns, self._policy.lease_seconds, only_news=True)
            except StorageUnavailable:
                continue
            except Exception as error:  # noqa: BLE001  # the others must go on living
                self._observer.loop_broken("pulse", error)
                await self._write_each()

    async def _write_each(self) -> None:
        """Find out whose news the store cannot take, and let those go: their leases will end.

        If it takes nobody's, the fault is not theirs, and will pass or not.
        """
        broken: list[tuple[RunningTurn, Exception]] = []
        turns = tuple(self._turns)
        for turn in turns:
            try:
                await self._write([turn], self._policy.lease_seconds)
            except StorageUnavailable:
                return
            except Exception as error:  # noqa: BLE001  # told with the turn it is about
                broken.append((turn, error))
        for turn, fault in broken if len(broken) < len(turns) else ():
            self._observer.turn_broken(turn.ref, fault)
            turn.cut(Cut.LOST)

    async def _write(
        self, turns: Collection[RunningTurn], lease_seconds: float, *, only_news: bool = False
    ) -> None:
        async with self._one_at_a_time:
            sent = time.monotonic()
            beats: dict[RunningTurn, Beat] = {}
            for turn in turns:
                if turn.is_moving_on:
                    continue  # Which attempt to speak for will be known in a moment.
                is_fresh = only_news and sent - turn.renewed < self._silence_seconds
                beat = turn.next_beat(only_news=is_fresh)
                if beat is not None:
                    beats[turn] = beat
            if not beats:
                return
            held = await self._journal.beat(tuple(beats.values()), lease_seconds=lease_seconds)
            for turn, beat in beats.items():
                if beat.ref.turn_id in held:
                    turn.acknowledge(beat, sent=sent)
                # One that ended meanwhile is not ours to lose; one that went on to its next attempt
                # is asked for again the next time.
                elif turn in self._turns and turn.ref == beat.ref and not turn.is_moving_on:
                    turn.cut(Cut.LOST)
