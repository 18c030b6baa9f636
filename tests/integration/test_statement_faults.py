"""What PostgreSQL may raise at any statement: each one of a turn's whole life, and every kind.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar
from uuid import uuid4

import pytest

from adapters.memory import ScriptedLLM
from adapters.memory.llm import ScriptedAnswer
from adapters.postgres import PostgresChatRepository, migrate
from chatcore import (
    Admission,
    ChatPolicy,
    Feedback,
    MessageId,
    Metadata,
    NewTurn,
    OnBusy,
    OwnerId,
    Rating,
    SessionId,
    StorageUnavailable,
    TakenTurn,
    TurnLost,
    TurnStatus,
)
from chatcore.testing.builders import EXPIRED, NOW, an_owner, completed, new_turn, ref_of
from chatcore.testing.steps import take_over, try_again, write
from tests.builders import bench
from tests.integration.failing import FailingDatabase
from tests.integration.server_side import drop_schema

pytestmark = pytest.mark.postgres

# A lost serialisation, a deadlock, a lock that was not to be had, a cancelled statement.
SQLSTATES = ("40001", "40P01", "55P03", "57014")
TRIES = 3
SCHEMA = "faulty"
AT_ONCE = 6
_T = TypeVar("_T")


@pytest.fixture(scope="module")
def faulty_schema(postgres_url: str) -> Iterator[str]:
    """Give a schema where nobody else's turns wait to be taken over."""
    asyncio.run(migrate(postgres_url, schema=SCHEMA))
    yield SCHEMA
    asyncio.run(drop_schema(postgres_url, SCHEMA))


@asynccontextmanager
async def failing(url: str, schema: str, *, pool_size: int = 1) -> AsyncIterator[FailingDatabase]:
    """Give an open pool that can fail."""
    database = FailingDatabase(url, schema=schema, pool_size=pool_size)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


class Caller:
    """Calls a repository as the service does: what the store did not answer is asked again.

    Attributes:
        told: How often the store was told as not answering.
    """

    def __init__(self) -> None:
        self.told = 0

    async def __call__(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Call, and once more with the very same arguments."""
        try:
            return await call()
        except StorageUnavailable:
            self.told += 1
            return await call()


@dataclass
class Life:
    """A session whose turns are admitted, written down, ended in all ways, and superseded."""

    repository: PostgresChatRepository
    call: Caller = field(default_factory=Caller)
    owner: OwnerId = field(default_factory=an_owner)
    was_taken_twice: bool = False

    async def live(self) -> SessionId:
        """Run it all, one turn after the other; return the session."""
        session = SessionId(uuid4())
        await self._begin(session)
        await self._stop(session)
        await self._take_over(session)
        await self._give_up(session)
        await self._supersede(session)
        await self._admit(new_turn(self.owner, session, text="last", replaces=6), ends=True)
        return session

    async def _begin(self, session: SessionId) -> None:
        """An empty session, noted down, is asked the first question by name, and rated."""
        repository, owner = self.repository, self.owner
        opened = partial(repository.open, owner, session, title="", metadata=(), now=NOW)
        assert (await self.call(opened)).title == ""
        await self.call(lambda: repository.note(owner, session, metadata=NOTED))
        new = new_turn(
            owner, session, text="completed", may_open=True, client_id="first", metadata=NOTED
        )
        await self._admit(new)
        for feedback in (None, VERDICT):
            rating = partial(repository.rate, owner, session, new.question_id, feedback=feedback)
            await self.call(partial(rating, now=NOW))
        found = await self.call(lambda: repository.question_named(owner, session, "first"))
        assert found.message_id == new.question_id
        later = await self.call(lambda: repository.question_after(owner, session, new.turn_id))
        assert later is None

    async def _admit(self, new: NewTurn, *, ends: bool | None = None) -> Admission:
        admission = await self.call(lambda: self.repository.admit(new))
        if ends or (ends is None and new.text == "completed"):
            ref, end = ref_of(admission), completed(f"reply to {new.text}")
            assert await self.call(lambda: write(self.repository, ref, "reply"))
            await self.call(lambda: self.repository.finish(ref, end))
        return admission

    async def _stop(self, session: SessionId) -> None:
        ref = ref_of(await self._admit(new_turn(self.owner, session, text="stopped"), ends=False))
        reply_id = MessageId(uuid4())
        assert await self.call(lambda: write(self.repository, ref, "a part"))
        turn = await self.call(
            lambda: self.repository.stop(
                self.owner, session, ref.turn_id, reply_id=reply_id, now=NOW
            )
        )
        assert turn.status is TurnStatus.STOPPED

    async def _take_over(self, session: SessionId) -> None:
        new = new_turn(
            self.owner, session, text="taken over", lease_seconds=EXPIRED, max_attempts=4
        )
        await self._admit(new, ends=False)
        try:
            taken = await self._take(session)
        except TurnLost:
            # It was taken, and the window could not be read: its lease runs out once more.
            assert self.call.told == 1
            self.was_taken_twice = True
            taken = await self._take(session)
        second = taken.ref
        third = await self.call(lambda: try_again(self.repository, second))
        assert await self.call(lambda: write(self.repository, third, "at last"))
        end = completed("at last")
        await self.call(lambda: self.repository.finish(third, end))

    async def _take(self, session: SessionId) -> TakenTurn:
        of_session = (self.owner, session)
        [left] = await self.call(lambda: self.repository.abandoned(limit=1, session=of_session))
        assert left.may_go_on
        return await self.call(lambda: take_over(self.repository, left.ref, lease_seconds=EXPIRED))

    async def _give_up(self, session: SessionId) -> None:
        new = new_turn(self.owner, session, text="given up", lease_seconds=EXPIRED)
        ref, reply_id = ref_of(await self._admit(new, ends=False)), MessageId(uuid4())
        assert await self.call(lambda: write(self.repository, ref, "half", lease_seconds=EXPIRED))
        give_up = partial(self.repository.give_up, ref, reply_id=reply_id, now=NOW)
        try:
            turn = await self.call(lambda: give_up(error_code="turn_interrupted"))
        except TurnLost:  # It was given up, and could not be read.
            assert self.call.told == 1
        else:
            assert turn.status is TurnStatus.FAILED

    async def _supersede(self, session: SessionId) -> None:
        """The fifth turn is stopped by the sixth, which the seventh takes the place of."""
        await self._admit(new_turn(self.owner, session, text="in the way"), ends=False)
        new = new_turn(self.owner, session, text="impatient", on_busy=OnBusy.SUPERSEDE)
        await self._admit(new, ends=True)


NOTED: Metadata = (("place", "chapter 3"),)
VERDICT = Feedback(rating=Rating.UP, comment="Clear.")
SAID = [
    ("completed", "completed"),
    ("reply to completed", "completed"),
    ("stopped", "stopped"),
    ("a part", "stopped"),
    ("taken over", "completed"),
    ("at last", "completed"),
    ("given up", "failed"),
    ("half", "failed"),
    ("in the way", "stopped"),
    ("impatient", "completed"),
    ("reply to impatient", "completed"),
    ("last", "completed"),
    ("reply to last", "completed"),
]


async def require_whole(life: Life) -> None:
    """Each question and each reply is there once, in order, without a gap; nothing runs."""
    repository, owner = life.repository, life.owner
    [session] = (await repository.sessions(owner, limit=10, after=None)).items
    page = await repository.messages(owner, session.id, limit=100)
    assert [(each.content, each.turn_status.value) for each in page.items] == SAID
    assert [each.feedback for each in page.items] == [VERDICT] + [None] * (len(SAID) - 1)
    assert (await repository.session(owner, session.id)).metadata == NOTED
    assert session.title == "A title"
    assert [each.position for each in page.items] == list(range(1, len(SAID) + 1))
    turns = [await repository.turn(owner, session.id, each.turn_id) for each in page.items]
    assert sorted({turn.number for turn in turns}) == list(range(1, 8))
    outcomes = {turn.number: [each.outcome.value for each in turn.attempts] for turn in turns}
    assert outcomes[3] == ["abandoned"] * (1 + life.was_taken_twice) + ["failed", "completed"]
    assert outcomes[4] == ["abandoned"]
    assert await repository.abandoned(limit=1, session=(owner, session.id)) == ()


async def statements_of_a_life(database: FailingDatabase) -> int:
    """Return how many statements there are that could fail."""
    life = Life(PostgresChatRepository(database))
    await life.live()
    count = database.statements
    assert (life.call.told, database.tries) == (0, 1)
    await require_whole(life)
    assert count > 30
    return count


async def live_failing(database: FailingDatabase, at: int, sqlstate: str, *, times: int) -> int:
    """Live with one statement that fails so many times; return how often that was told."""
    database.aim(at, sqlstate, times=times)
    life = Life(PostgresChatRepository(database))
    await life.live()
    assert database.raised == times, f"statement {at} never came"
    assert database.tries == min(times + 1, TRIES)
    await require_whole(life)
    return life.call.told


@pytest.mark.parametrize(("times", "told"), [(1, 0), (TRIES, 1)])
async def test_every_statement_may_fail(
    postgres_url: str, faulty_schema: str, times: int, told: int
) -> None:
    """G1, G3: once is never noticed; three times is told once, and the same call then succeeds."""
    async with failing(postgres_url, faulty_schema) as database:
        count = await statements_of_a_life(database)
    numbers = iter(range(1, count + 1))

    async def live_on() -> None:
        async with failing(postgres_url, faulty_schema) as database:
            for at in numbers:
                sqlstate = SQLSTATES[(at + times) % len(SQLSTATES)]
                assert await live_failing(database, at, sqlstate, times=times) == told

    await asyncio.gather(*[live_on() for _ in range(AT_ONCE)])


KINDS = {
    "admit": f"INSERT INTO {SCHEMA}.turns",
    "beat": "reply_journal (owner_id",
    "finish": "'assistant'",
}
QUICK = ChatPolicy(pulse_seconds=0.02, lease_seconds=2.0)
PIECES = ("an ", 0.3, "answer ", 0.3, "in parts")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sqlstate", SQLSTATES)
async def test_a_turn_ends_whatever_fails(
    postgres_url: str, faulty_schema: str, kind: str, sqlstate: str
) -> None:
    """G1, G2: only who asks is told, and may ask again; a turn that runs is stored all the same."""
    key, owner = "the key", an_owner()
    async with failing(postgres_url, faulty_schema, pool_size=3) as database:
        repository = PostgresChatRepository(database)
        llm = ScriptedLLM(lambda _: ScriptedAnswer(PIECES))
        made = bench(llm, repository=repository, policy=QUICK, first_id=random.getrandbits(40))
        database.aim(KINDS[kind], sqlstate, times=TRIES)
        if kind == "admit":
            with pytest.raises(StorageUnavailable):
                await made.service.stream(owner, "hello", idempotency_key=key)
        reader = await made.service.stream(owner, "hello", idempotency_key=key)
        answer = await reader.answer()
        assert (database.raised, database.tries, reader.repeated) == (TRIES, TRIES, False)
        assert answer.turn.status is TurnStatus.COMPLETED
        page = await repository.messages(owner, answer.turn.session_id, limit=10)
        assert [each.content for each in page.items] == ["hello", "an answer in parts"]
        turn = await repository.turn(owner, answer.turn.session_id, answer.turn.id)
        assert [each.outcome.value for each in turn.attempts] == ["completed"]
        await made.service.close(timeout_seconds=1)


async def test_a_broken_rule_is_not_tried_again(postgres_url: str, faulty_schema: str) -> None:
    """What cannot pass, a number out of range, is told after the first try, and nothing stays."""
    owner = an_owner()
    async with failing(postgres_url, faulty_schema) as database:
        repository = PostgresChatRepository(database)
        database.aim(KINDS["admit"], "22003", times=TRIES)
        with pytest.raises(StorageUnavailable):
            await repository.admit(replace(new_turn(owner), text="hello"))
        assert (database.raised, database.tries) == (1, 1)
        assert (await repository.sessions(owner, limit=10, after=None)).items == ()
