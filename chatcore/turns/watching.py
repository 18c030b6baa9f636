"""Room 1, the hexagon: follows turns that run in other processes, for the readers here.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from chatcore.errors import ServiceStopping, StorageUnavailable, TurnLost, TurnNotFound
from chatcore.model.ids import OwnerId, SessionId, TurnId
from chatcore.model.journal import JournalEntry, JournalPlace
from chatcore.model.policy import ChatPolicy
from chatcore.ports.chat_repository import ChatRepository
from chatcore.ports.turn_observer import TurnObserver
from chatcore.turns.live_reply import LiveReply
from chatcore.turns.tasks import Tasks

OnAbandoned = Callable[[OwnerId, SessionId], Awaitable[object]]
_Key = tuple[OwnerId, TurnId]


@dataclass(slots=True, eq=False)
class _Watched:
    live: LiveReply
    owner_id: OwnerId
    session_id: SessionId
    turn_id: TurnId

    @property
    def place(self) -> JournalPlace:
        return JournalPlace(
            owner_id=self.owner_id,
            session_id=self.session_id,
            turn_id=self.turn_id,
            attempt=self.live.attempt,
            offset=self.live.length,
        )


class Watcher:
    """One loop a process: asks how all the watched turns stand, in one call.

    Polling, since notifications do not pass transaction poolers; and only while somebody reads.

    Args:
        repository: Where turns and their journals are kept.
        observer: Is told of faults.
        tasks: Where abandoned turns are seen to, so that the others need not wait.
        policy: How often to look.
        on_abandoned: Called when a watched turn is past its lease.
    """

    def __init__(
        self,
        repository: ChatRepository,
        *,
        observer: TurnObserver,
        tasks: Tasks,
        policy: ChatPolicy,
        on_abandoned: OnAbandoned,
    ) -> None:
        self._repository = repository
        self._observer = observer
        self._tasks = tasks
        self._sought: set[_Key] = set()
        self._policy = policy
        self._on_abandoned = on_abandoned
        self._watched: dict[_Key, _Watched] = {}
        self._loop: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._is_closed = False

    def watch(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        turn_id: TurnId,
        *,
        attempt: int,
        live: LiveReply | None = None,
    ) -> LiveReply:
        """Return the reply of a turn as it comes, shared by all who read it here.

        Args:
            owner_id: Whose turn.
            session_id: Of which session.
            turn_id: Which turn.
            attempt: Its latest attempt, as far as is known.
            live: What was known of it here before, with its readers.
        """
        known = self._watched.get((owner_id, turn_id))
        reply = known.live if known else live or LiveReply(attempt=attempt)
        if attempt > reply.attempt:
            reply.restart(attempt)
        if known is not None:
            return reply
        watched = _Watched(reply, owner_id, session_id, turn_id)
        if self._is_closed:
            watched.live.fail(ServiceStopping(session_id=session_id, turn_id=turn_id))
            return watched.live
        self._watched[owner_id, turn_id] = watched
        self._wake.set()
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._look_on(), name="watcher")
        return watched.live

    def find(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> LiveReply | None:
        """Return the reply of a turn that is watched already, so that nobody need ask the store."""
        known = self._watched.get((owner_id, turn_id))
        return known.live if known is not None and known.session_id == session_id else None

    def hand_out(self, owner_id: OwnerId, turn_id: TurnId) -> LiveReply | None:
        """Watch a turn no longer, and return what was known of it: it runs here now."""
        known = self._watched.pop((owner_id, turn_id), None)
        return None if known is None else known.live

    def close(self) -> None:
        """Watch nothing more, and tell the readers to come back elsewhere."""
        self._is_closed = True
        for watched in self._watched.values():
            error = ServiceStopping(session_id=watched.session_id, turn_id=watched.turn_id)
            watched.live.fail(error)
        self._watched.clear()
        self._wake.set()

    async def _look_on(self) -> None:
        answered = time.monotonic()
        while True:
            self._wake.clear()
            self._drop_unread()
            if not self._watched:
                return
            try:
                await self._look()
                answered = time.monotonic()
            except Exception as error:  # noqa: BLE001  # readers must not wait for a dead loop
                if not isinstance(error, StorageUnavailable):
                    self._observer.loop_broken("watcher", error)
                if time.monotonic() - answered > self._policy.storage_patience_seconds:
                    self._tell_all()
            try:
                async with asyncio.timeout(self._policy.pulse_seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _drop_unread(self) -> None:
        for key, watched in tuple(self._watched.items()):
            if not watched.live.readers:
                del self._watched[key]

    async def _look(self) -> None:
        asked = {(watched.owner_id, watched.turn_id): watched for watched in self._all()}
        entries = await self._repository.read([watched.place for watched in asked.values()])
        found = {entry.turn_id: entry for entry in entries}
        for key, watched in asked.items():
            if self._watched.get(key) is not watched:
                continue  # It runs here by now.
            # What cannot be had of one turn is asked for again; the others get theirs.
            with suppress(StorageUnavailable):
                await self._take_in(key, watched, found.get(watched.turn_id))

    def _all(self) -> tuple[_Watched, ...]:
        return tuple(self._watched.values())

    async def _take_in(self, key: _Key, watched: _Watched, entry: JournalEntry | None) -> None:
        if entry is None:
            del self._watched[key]
            watched.live.fail(TurnLost(watched.turn_id))
        elif entry.status.is_terminal:
            await self._end(key, watched)
        else:
            _add(watched.live, entry)
            if entry.is_abandoned:
                self._see_to(key, watched)

    def _see_to(self, key: _Key, watched: _Watched) -> None:
        if key not in self._sought:
            self._sought.add(key)
            _ = self._tasks.spawn(self._seek(key, watched), name=f"seeing to {watched.turn_id}")

    async def _seek(self, key: _Key, watched: _Watched) -> None:
        try:
            await self._on_abandoned(watched.owner_id, watched.session_id)
        except StorageUnavailable:
            pass  # It will be found abandoned again.
        except Exception as error:  # noqa: BLE001  # nobody waits for this task
            self._observer.loop_broken("sweeper", error)
        finally:
            self._sought.discard(key)

    async def _end(self, key: _Key, watched: _Watched) -> None:
        try:
            turn = await self._repository.turn(
                watched.owner_id, watched.session_id, watched.turn_id
            )
        except TurnNotFound:
            watched.live.fail(TurnLost(watched.turn_id))
        else:
            watched.live.finish(turn)
        self._watched.pop(key, None)

    def _tell_all(self) -> None:
        for watched in self._all():
            watched.live.fail(
                StorageUnavailable(session_id=watched.session_id, turn_id=watched.turn_id)
            )
        self._watched.clear()


def _add(live: LiveReply, entry: JournalEntry) -> None:
    if entry.attempt > live.attempt:
        live.restart(entry.attempt)
    if entry.attempt == live.attempt:
        live.append(entry.text)
