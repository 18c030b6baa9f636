"""Room 1, the hexagon: finds turns whose process is gone, and sees that they end.

May import: standard library, chatcore.errors, chatcore.failure_codes,
chatcore.model, chatcore.ports.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from typing import Protocol

from chatcore.errors import StorageUnavailable, TurnLost
from chatcore.failure_codes import TURN_INTERRUPTED
from chatcore.model.ids import MessageId, OwnerId, SessionId
from chatcore.model.journal import TakenTurn
from chatcore.model.policy import ChatPolicy
from chatcore.model.turn import TurnRef
from chatcore.ports.chat_repository import ChatRepository
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.turn_observer import TurnObserver

_BUSY_SECONDS = 60.0
# So that the turns of a dead process are shared among those that are left.
_MOST_AT_ONCE = 25


class Successor(Protocol):
    """Who goes on with turns that are taken over."""

    @abstractmethod
    def runs(self, ref: TurnRef) -> bool:
        """Whether this very attempt is running here: late with its heartbeat, but alive."""
        ...

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether it can go on with one more."""
        ...

    @abstractmethod
    def keep_room(self, count: int) -> None:
        """Have it make room for so many, before it does anything new; 0: for none any more."""
        ...

    @abstractmethod
    async def take_over(self, ref: TurnRef) -> TakenTurn:
        """Make the turn ours and go on with it.

        Raises:
            TurnLost: Somebody else was quicker.
            StorageUnavailable: The store did not answer.
        """
        ...


class Sweeper:
    """One loop a process: often while there is work, rarely or never while there is none.

    Args:
        repository: Where turns live.
        successor: Who goes on with them.
        clock: Tells the time.
        ids: Makes the ids of parts that are kept.
        observer: Is told what happens.
        policy: How often to look.
    """

    def __init__(
        self,
        repository: ChatRepository,
        *,
        successor: Successor,
        clock: Clock,
        ids: IdSource,
        observer: TurnObserver,
        policy: ChatPolicy,
    ) -> None:
        self._repository = repository
        self._successor = successor
        self._clock = clock
        self._ids = ids
        self._observer = observer
        self._policy = policy
        self._busy_until = 0.0
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._is_closed = False

    def start(self) -> None:
        """Look from time to time from now on."""
        if self._is_closed or (self._loop is not None and not self._loop.done()):
            return
        self._loop = asyncio.create_task(self._sweep_on(), name="sweeper")

    def note_work(self) -> None:
        """Look often for the next minute: where one turn runs, others of its kind may have died."""
        was_idle = time.monotonic() >= self._busy_until
        self._busy_until = time.monotonic() + _BUSY_SECONDS
        if was_idle:
            self._wake.set()
            self.start()

    def stop(self) -> None:
        """Take over nothing more."""
        self._is_closed = True
        self._wake.set()

    async def sweep(self, session: tuple[OwnerId, SessionId] | None = None) -> int:
        """Go on with abandoned turns, or end those that cannot go on.

        Those there is no room for are left: to other processes, or to the next look.

        Args:
            session: Only the turn of this session; None: of all owners.

        Returns:
            How many turns were taken over or ended.

        Raises:
            StorageUnavailable: The store did not answer.
        """
        handled = left = 0
        try:
            found = await self._repository.abandoned(limit=_MOST_AT_ONCE, session=session)
            # Several processes find the same turns at the same time: each begins with another.
            for turn in random.sample(found, len(found)):
                if self._is_closed:
                    break
                if self._successor.runs(turn.ref):
                    continue
                if turn.may_go_on and not self._successor.has_room:
                    left += 1
                else:
                    handled += await self._see_to(turn.ref, may_go_on=turn.may_go_on)
        finally:
            if session is None:
                self._successor.keep_room(left)
        return handled

    async def _see_to(self, ref: TurnRef, *, may_go_on: bool) -> bool:
        try:
            if self._is_closed:
                return False
            if may_go_on:
                taken = await self._successor.take_over(ref)
                self._observer.turn_taken_over(taken.ref)
                self.note_work()
            else:
                await self._repository.give_up(
                    ref,
                    reply_id=MessageId(self._ids.new_id()),
                    error_code=TURN_INTERRUPTED,
                    now=self._clock.now(),
                )
                self._observer.turn_given_up(ref, TURN_INTERRUPTED)
        except TurnLost:
            return False
        return True

    async def _sweep_on(self) -> None:
        while not self._is_closed:
            is_busy = time.monotonic() < self._busy_until
            pause = self._policy.sweep_seconds if is_busy else self._policy.idle_sweep_seconds
            if pause is None:
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):  # noqa: S311
                    await self._wake.wait()
                continue
            except TimeoutError:
                pass
            try:
                await self.sweep()
            except StorageUnavailable:
                continue
            except Exception as error:  # noqa: BLE001  # the next look may go well
                self._observer.loop_broken("sweeper", error)
