"""The state machine drives both repositories, and finds bugs planted on purpose.

May import: standard library, adapters, chatcore, hypothesis, pytest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from adapters.memory import InMemoryChatRepository
from adapters.postgres import Database, PostgresChatRepository
from chatcore import (
    Admission,
    Beat,
    ChatRepository,
    ChatSession,
    Feedback,
    MessageId,
    Metadata,
    NewTurn,
    OwnerId,
    SessionId,
    TakenTurn,
    Turn,
    TurnId,
    TurnRef,
)
from chatcore.testing.chat_repository_machine import ChatRepositoryMachine


class MemoryMachine(ChatRepositoryMachine):
    """Drives the memory repository."""

    async def open_repository(self) -> ChatRepository:
        """Open an empty one."""
        return InMemoryChatRepository()


TestMemoryMachine = MemoryMachine.TestCase


@pytest.mark.postgres
@pytest.mark.timeout(300)
def test_postgres_machine(postgres_url: str, schema: str) -> None:
    """The PostgreSQL repository answers like the plain model, whatever is done in which order."""

    class PostgresMachine(ChatRepositoryMachine):
        async def open_repository(self) -> ChatRepository:
            self.database = Database(postgres_url, schema=schema, pool_size=1)
            await self.database.open()
            return PostgresChatRepository(self.database)

        async def close_repository(self) -> None:
            await self.database.close()

    run_state_machine_as_test(
        PostgresMachine,
        settings=settings(settings.default, max_examples=25, stateful_step_count=40),
    )


class _Indiscriminate(InMemoryChatRepository):
    """Sends failed and superseded turns to the model as well."""

    async def admit(self, new: NewTurn) -> Admission:
        record = self._kept.get((new.owner_id, new.session_id))
        admission = await super().admit(new)
        if record is None or admission.repeated:
            return admission
        every = tuple(range(1, admission.turn.number))[-new.window_turns :]
        said = record.said_in(every if new.window_turns else ())
        return replace(admission, window=said)


class _Stammering(InMemoryChatRepository):
    """Stores a piece again that was sent again."""

    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        found = [self._find_held(beat.ref) for beat in beats]
        again = [
            kept
            for beat, kept in zip(beats, found, strict=True)
            if kept is not None and beat.text and beat.start in kept.journal
        ]
        held = await super().beat(beats, lease_seconds=lease_seconds)
        for kept in again:
            kept.journal[max(kept.journal)] += "again"
        return held


class _Careless(InMemoryChatRepository):
    """Stops without looking at what was written."""

    async def stop(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        turn_id: TurnId,
        *,
        reply_id: MessageId,
        now: datetime,
    ) -> Turn:
        kept = self._find(owner_id, session_id, turn_id)
        if kept is not None:
            kept.journal.clear()
        return await super().stop(owner_id, session_id, turn_id, reply_id=reply_id, now=now)


class _Hasty(InMemoryChatRepository):
    """Takes turns over whose process is alive."""

    async def take_over(
        self, ref: TurnRef, *, template: str, stream: bool, lease_seconds: float, now: datetime
    ) -> TakenTurn:
        kept = self._find_held(ref)
        if kept is not None:
            kept.lease_until = -math.inf
        return await super().take_over(
            ref, template=template, stream=stream, lease_seconds=lease_seconds, now=now
        )


class _Unfenced(InMemoryChatRepository):
    """Lets whoever lost a turn go on writing."""

    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        found = [self._find(*_named(beat.ref)) for beat in beats]
        return await super().beat(
            [
                replace(beat, ref=kept.ref if kept else beat.ref)
                for beat, kept in zip(beats, found, strict=True)
            ],
            lease_seconds=lease_seconds,
        )


class _Overbearing(InMemoryChatRepository):
    """Opens a session as if it had not been there."""

    async def open(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        *,
        title: str,
        metadata: Metadata,
        now: datetime,
    ) -> ChatSession:
        if (owner_id, session_id) in self._kept:
            await self.rename(owner_id, session_id, title=title, now=now)
        return await super().open(owner_id, session_id, title=title, metadata=metadata, now=now)


class _Nameless(InMemoryChatRepository):
    """Never gives an empty session the title of its first question."""

    async def admit(self, new: NewTurn) -> Admission:
        record = self._kept.get((new.owner_id, new.session_id))
        return await super().admit(new if record is None else replace(new, title=""))


class _Stubborn(InMemoryChatRepository):
    """Does not forget feedback."""

    async def rate(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        message_id: MessageId,
        *,
        feedback: Feedback | None,
        now: datetime,
    ) -> None:
        record = self._kept.get((owner_id, session_id))
        before = None if record is None else record.feedback.get(message_id)
        await super().rate(owner_id, session_id, message_id, feedback=feedback or before, now=now)


PLANTED = (
    _Indiscriminate,
    _Stammering,
    _Careless,
    _Hasty,
    _Unfenced,
    _Overbearing,
    _Nameless,
    _Stubborn,
)


def _named(ref: TurnRef) -> tuple[OwnerId, SessionId, TurnId]:
    return ref.owner_id, ref.session_id, ref.turn_id


@pytest.mark.parametrize("planted", PLANTED)
def test_machine_finds_a_planted_bug(planted: type[InMemoryChatRepository]) -> None:
    """G5, G7, G8: a repository that breaks one promise is caught."""

    class PlantedMachine(ChatRepositoryMachine):
        async def open_repository(self) -> ChatRepository:
            return planted()

    quick = settings(settings.default, max_examples=2000, phases=[Phase.generate], print_blob=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(PlantedMachine, settings=quick)
