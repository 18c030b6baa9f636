"""Beats, ends and stops of one turn that overlap in the server: nothing lost, nothing left behind.

May import: standard library, adapters, asyncpg, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TypeVar
from uuid import uuid4

import asyncpg
import pytest

from adapters.postgres import PostgresChatRepository
from adapters.postgres import journal_statements as sql
from adapters.postgres import stop_statements as stop_sql
from adapters.postgres.statement import Statement
from adapters.postgres.values import beat_values, turn_values
from chatcore import (
    Beat,
    MessageId,
    MessageSuperseded,
    OnBusy,
    SessionBusy,
    Turn,
    TurnEnd,
    TurnLost,
    TurnRef,
    TurnStatus,
)
from chatcore.failure_codes import TURN_INTERRUPTED
from chatcore.testing.builders import EXPIRED, NOW, an_owner, completed, failed, new_turn, ref_of
from chatcore.testing.steps import (
    abandon,
    start,
    stored,
    take_over,
    until_written,
    write,
    write_until_lost,
)
from tests.integration.server_side import deadlocks, until_waiting

pytestmark = pytest.mark.postgres

T = TypeVar("T")


def _message_id() -> MessageId:
    return MessageId(uuid4())


async def _stop(repository: PostgresChatRepository, ref: TurnRef) -> Turn:
    return await repository.stop(
        ref.owner_id, ref.session_id, ref.turn_id, reply_id=_message_id(), now=NOW
    )


@asynccontextmanager
async def _being_stored(
    connection: asyncpg.Connection, ref: TurnRef, text: str, at: int = 0
) -> AsyncIterator[None]:
    """Store a piece, and commit it only at the end."""
    beat = Statement(sql.BEAT, "chatcore")
    async with connection.transaction():
        values = beat_values([Beat(ref, at, text)], 60.0)
        held = await connection.fetch(beat.sql, *beat.arguments(values))
        assert [row["turn_id"] for row in held] == [ref.turn_id]
        yield


async def _meanwhile(
    connection: asyncpg.Connection, ref: TurnRef, call: Awaitable[T], *, text: str = "late"
) -> T:
    """Make a call that must wait for a piece which is being stored; return its result."""
    async with _being_stored(connection, ref, text, at=len("early ")):
        waiting = asyncio.ensure_future(call)
        await until_waiting(connection)
        assert not waiting.done()
    return await waiting


async def _left_behind(connection: asyncpg.Connection, ref: TurnRef) -> int:
    count = "SELECT count(*) FROM reply_journal WHERE turn_id = $1"
    found: int = await connection.fetchval(count, ref.turn_id)
    return found


async def test_a_stop_waits_for_text_that_is_being_stored(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G5: what a beat stores while a stop waits for it is part of the reply."""
    ref = await start(repository, an_owner(), written="early ")
    turn = await _meanwhile(connection, ref, _stop(repository, ref))
    assert turn.reply is not None
    assert (turn.status, turn.reply.content) == (TurnStatus.STOPPED, "early late")
    assert await _left_behind(connection, ref) == 0


async def test_a_supersede_waits_for_text_that_is_being_stored(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G3: the same for a turn that is stopped for another question, whose window has it all."""
    ref = await start(repository, an_owner(), written="early ")
    new = new_turn(ref.owner_id, ref.session_id, on_busy=OnBusy.SUPERSEDE)
    admission = await _meanwhile(connection, ref, repository.admit(new))
    assert [said.content for said in admission.window][1:] == ["early late"]
    assert await _left_behind(connection, ref) == 0


@pytest.mark.parametrize("end", [completed("early late, and all"), failed("early"), failed()])
async def test_an_end_leaves_no_text_behind(
    repository: PostgresChatRepository, connection: asyncpg.Connection, end: TurnEnd
) -> None:
    """G12: an end that had to wait for a beat drops what that beat stored, too."""
    ref = await start(repository, an_owner(), written="early ")
    turn = await _meanwhile(connection, ref, repository.finish(ref, end))
    assert turn.status.is_terminal
    assert await _left_behind(connection, ref) == 0
    assert replace(await stored(repository, ref), attempts=()) == turn


async def test_a_sign_of_life_saves_a_turn(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G7: who wants to take over or give up waits for a beat, and then finds the turn alive."""
    ref = await abandon(repository, an_owner(), written="early ")
    with pytest.raises(TurnLost):
        await _meanwhile(connection, ref, take_over(repository, ref))
    await write(repository, ref, "", lease_seconds=EXPIRED)
    giving_up = repository.give_up(
        ref, reply_id=_message_id(), error_code=TURN_INTERRUPTED, now=NOW
    )
    with pytest.raises(TurnLost):
        await _meanwhile(connection, ref, giving_up, text=" again")
    assert (await stored(repository, ref)).status is TurnStatus.RUNNING


async def test_a_beat_that_waits_for_a_stop_stores_nothing(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G7: a beat that comes while the turn is being stopped finds that it is lost."""
    ref = await start(repository, an_owner(), written="early ")
    stop, keep = Statement(stop_sql.STOP, "chatcore"), Statement(stop_sql.KEEP_PART, "chatcore")
    values = turn_values(ref.owner_id, ref.session_id, ref.turn_id)
    values |= {"reply_id": _message_id(), "now": NOW, "error_code": None, "outcome": "stopped"}
    async with connection.transaction():
        row = await connection.fetchrow(stop.sql, *stop.arguments(values))
        beating = asyncio.create_task(write(repository, ref, "late", at=len("early ")))
        await until_waiting(connection)
        await connection.fetch(keep.sql, *keep.arguments(values | dict(row)))
    assert not await beating
    assert await _left_behind(connection, ref) == 0
    turn = await stored(repository, ref)
    assert turn.reply is not None
    assert turn.reply.content == "early "


async def test_hundreds_of_stops_lose_no_text(repository: PostgresChatRepository) -> None:
    """G5: whenever a stop comes, all text that a beat had acknowledged before is in the reply."""
    with_text = 0
    for number in range(100):
        ref = await start(repository, an_owner())
        writing = asyncio.create_task(write_until_lost(repository, ref))
        if number % 3:
            await until_written(repository, ref, number % 20)
        turn = await _stop(repository, ref)
        kept = turn.reply.content if turn.reply else ""
        assert kept == await writing
        with_text += bool(kept)
    assert with_text > 50


async def test_whatever_happens_at_once_never_deadlocks(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G3: all that moves turns at the same time waits in one order, and leaves sessions dense."""
    before = await deadlocks(connection)
    owner = an_owner()
    sessions = [(await start(repository, owner)).session_id for _ in range(3)]
    refs: dict[object, TurnRef] = {}

    async def ask(random_: random.Random) -> None:
        session_id = random_.choice(sessions)
        replaces = random_.choice([None, None, None, 1])
        on_busy = random_.choice(list(OnBusy))
        new = new_turn(owner, session_id, on_busy=on_busy, replaces=replaces)
        refs[session_id] = ref_of(await repository.admit(new))

    async def end(random_: random.Random) -> None:
        ref = random_.choice(list(refs.values()))
        how = random_.choice([completed(), failed(), None])
        await (repository.finish(ref, how) if how else _stop(repository, ref))

    async def beat(random_: random.Random) -> None:
        some = list(refs.values())
        random_.shuffle(some)
        lease, text = random_.choice([(60.0, ""), (60.0, "text"), (EXPIRED, "")])
        await repository.beat([Beat(ref, 0, text) for ref in some], lease_seconds=lease)

    async def sweep(_: random.Random) -> None:
        for found in await repository.abandoned(limit=3, session=(owner, sessions[0])):
            await take_over(repository, found.ref)

    async def keep_doing(seed: int) -> None:
        random_ = random.Random(seed)
        for _ in range(40):
            act = random_.choice([ask, ask, end, beat, beat, sweep])
            with suppress(TurnLost, SessionBusy, MessageSuperseded):
                await act(random_)

    for session_id in sessions:
        new = new_turn(owner, session_id, on_busy=OnBusy.SUPERSEDE)
        refs[session_id] = ref_of(await repository.admit(new))
    await asyncio.gather(*[keep_doing(seed) for seed in range(8)])
    assert await deadlocks(connection) == before
    for session_id in sessions:
        new = new_turn(owner, session_id, on_busy=OnBusy.SUPERSEDE)
        await repository.finish(ref_of(await repository.admit(new)), failed())
        page = await repository.messages(owner, session_id, limit=1000)
        assert [said.position for said in page.items] == list(range(1, len(page.items) + 1))
    left = await connection.fetchval(
        "SELECT count(*) FROM reply_journal WHERE owner_id = $1", owner
    )
    assert left == 0
