"""The state machine drives both repositories, and finds a bug planted on purpose.

May import: standard library, adapters, chatcore, hypothesis, pytest.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from adapters.memory import InMemoryChatRepository
from adapters.postgres import Database, PostgresChatRepository
from chatcore import Admission, ChatRepository, NewTurn
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


class _Forgetful(InMemoryChatRepository):
    """Sends failed turns to the model as well: the bug that the machine must find."""

    async def admit(self, new: NewTurn) -> Admission:
        record = self._kept.get((new.owner_id, new.session_id))
        admission = await super().admit(new)
        if record is None or admission.repeated:
            return admission
        every = tuple(range(1, admission.turn.number))[-new.window_turns :]
        said = record.said_in(every if new.window_turns else ())
        return Admission(turn=admission.turn, window=said)


def test_machine_finds_a_planted_bug() -> None:
    """G8: a repository that puts failed turns into the window is caught."""

    class PlantedMachine(ChatRepositoryMachine):
        async def open_repository(self) -> ChatRepository:
            return _Forgetful()

    quick = settings(settings.default, max_examples=400, phases=[Phase.generate], print_blob=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(PlantedMachine, settings=quick)
