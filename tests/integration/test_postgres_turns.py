"""What only PostgreSQL has: real writers at once, constraints, statements that overlap.

May import: standard library, adapters, asyncpg, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import asyncpg
import pytest

from adapters.postgres import PostgresChatRepository
from adapters.postgres import turn_statements as sql
from adapters.postgres.statement import Statement
from adapters.postgres.values import end_values, ref_values
from chatcore import (
    Admission,
    Feedback,
    MessageId,
    OnBusy,
    Rating,
    SessionBusy,
    StorageUnavailable,
    Turn,
    TurnRef,
)
from chatcore.testing.builders import (
    NOW,
    an_owner,
    completed,
    failed,
    have_turn,
    new_turn,
    ref_of,
)
from chatcore.testing.steps import write
from tests.integration.server_side import deadlocks, until_waiting

pytestmark = pytest.mark.postgres


async def test_window_holds_a_reply_that_was_being_stored(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G8: a question admitted while the reply before it is being committed gets that reply."""
    first = await repository.admit(new_turn(an_owner(), text="asked before"))
    ref, end = ref_of(first), completed("committed meanwhile")
    finish = Statement(sql.FINISH_WITH_REPLY, "chatcore")
    new = new_turn(ref.owner_id, ref.session_id)
    async with connection.transaction():
        await connection.fetch(finish.sql, *finish.arguments(ref_values(ref) | end_values(end)))
        admitting = asyncio.create_task(repository.admit(new))
        await until_waiting(connection)
        assert not admitting.done()
    admission = await admitting
    said = [message.content for message in admission.window]
    assert said == ["asked before", "committed meanwhile"]
    turn = await repository.turn(ref.owner_id, ref.session_id, admission.turn.id)
    assert turn.attempts[0].window == (1,)


async def test_finish_and_admit_never_deadlock(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G3: turns that end or are stopped while the next questions arrive never block each other."""
    before = await deadlocks(connection)

    async def talk(number: int) -> None:
        owner = an_owner()
        session_id = (await have_turn(repository, owner)).session_id
        for turn in range(15):
            running = await repository.admit(new_turn(owner, session_id))
            ended, *rest = await asyncio.gather(
                _end(repository, ref_of(running), how=(number + turn) % 3),
                *[repository.admit(new_turn(owner, session_id)) for _ in range(3)],
                return_exceptions=True,
            )
            assert not isinstance(ended, BaseException), ended
            for result in rest:
                if isinstance(result, Admission):
                    await repository.finish(ref_of(result), failed())
                else:
                    assert isinstance(result, SessionBusy), result
        page = await repository.messages(owner, session_id, limit=1000)
        assert [message.position for message in page.items] == list(range(1, len(page.items) + 1))

    await asyncio.gather(*[talk(number) for number in range(6)])
    assert await deadlocks(connection) == before


async def test_fifty_senders_in_two_processes(
    repository: PostgresChatRepository, postgres_url: str, schema: str
) -> None:
    """G3, G4: fifty sends at once from two processes leave dense positions and no orphan."""
    owner = an_owner()
    session_id = (await have_turn(repository, owner)).session_id
    arguments = [postgres_url, schema, owner, str(session_id)]
    senders = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.sender",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    outputs = [(await sender.communicate())[0].decode().split() for sender in senders]
    assert [sender.returncode for sender in senders] == [0, 0]
    admitted = sum(int(output[0]) for output in outputs)
    busy = sum(int(output[1]) for output in outputs)
    assert (admitted + busy, admitted >= 2, busy >= 2) == (100, True, True)
    page = await repository.messages(owner, session_id, limit=1000)
    assert [message.position for message in page.items] == list(range(1, 2 * admitted + 3))
    for question, reply in zip(page.items[::2], page.items[1::2], strict=True):
        assert question.turn_id == reply.turn_id


async def test_tables_refuse_what_code_must_not_do(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G3, G4: the rules are constraints; breaking one by hand is refused by the database."""
    turn = await have_turn(repository, an_owner())
    running = await repository.admit(new_turn(turn.owner_id, turn.session_id))
    for start in (0, 5):
        assert await write(repository, ref_of(running), "piece", at=start)
    await repository.admit(new_turn(turn.owner_id))
    mine = f"owner_id = '{turn.owner_id}' AND session_id = '{turn.session_id}'"
    second = f"UPDATE turns SET {{}} WHERE {mine} AND number = 2"
    reopened = "status = 'running', lease_expires_at = now(), ended_at = NULL, reply_id = NULL"
    rated = f"messages WHERE id = '{turn.question_id}'"
    forbidden = (
        f"UPDATE turns SET {reopened} WHERE {mine} AND number = 1",
        second.format("lease_expires_at = NULL"),
        second.format("status = 'completed', lease_expires_at = NULL, ended_at = now()"),
        second.format("status = 'paused'"),
        second.format("attempt = 3"),
        second.format("number = 1"),
        second.format("owner_id = 'somebody else'"),
        second.format(f"id = '{turn.id}'"),
        f"UPDATE messages SET position = 1 WHERE {mine} AND position = 2",
        f"UPDATE messages SET position = 0 WHERE {mine} AND position = 1",
        f"UPDATE messages SET role = 'user', position = 9 WHERE {mine} AND position = 2",
        f"UPDATE messages SET role = 'system' WHERE {mine} AND position = 2",
        f"UPDATE messages SET content = '' WHERE {mine} AND position = 2",
        f"UPDATE messages SET turn_number = 7 WHERE {mine} AND position = 2",
        f"UPDATE attempts SET owner_id = 'x' WHERE turn_id = '{running.turn.id}'",
        f"UPDATE attempts SET template = NULL WHERE turn_id = '{running.turn.id}'",
        second.format("deadline = NULL"),
        f"UPDATE reply_journal SET text = '' WHERE turn_id = '{running.turn.id}'",
        f"UPDATE reply_journal SET start = -1 WHERE turn_id = '{running.turn.id}'",
        f"UPDATE reply_journal SET start = 0 WHERE turn_id = '{running.turn.id}'",
        f"UPDATE reply_journal SET owner_id = 'x' WHERE turn_id = '{running.turn.id}'",
        f"INSERT INTO message_feedback VALUES ('{turn.owner_id}', '{turn.id}', 'up', '', now())",
        f"INSERT INTO message_feedback VALUES ('x', '{turn.question_id}', 'up', NULL, now())",
        f"INSERT INTO message_feedback SELECT owner_id, id, 'so', '', now() FROM {rated}",
        f"UPDATE chat_sessions SET owner_id = repeat('x', 129) WHERE id = '{turn.session_id}'",
    )
    for statement in forbidden:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(statement)


async def test_erased_words_are_in_no_table(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G12: after erasing, no column of any table holds a word of it; counts and cost remain."""
    owner, nonce = an_owner(), "zyzzyva"
    turn = await have_turn(repository, owner, text=nonce, end=completed(f"{nonce} again"))
    await repository.rename(owner, turn.session_id, title=nonce, now=NOW)
    await repository.note(owner, turn.session_id, metadata=(("place", nonce),))
    assert turn.reply is not None
    thought = Feedback(rating=Rating.DOWN, comment=nonce)
    await repository.rate(owner, turn.session_id, turn.reply.id, feedback=thought, now=NOW)
    new = new_turn(owner, turn.session_id, client_id=nonce, metadata=((nonce, ""),))
    running = await repository.admit(new)
    assert await write(repository, ref_of(running), nonce)
    holding = {"chat_sessions", "messages", "message_feedback", "reply_journal", "turns"}
    assert await _tables_with(connection, nonce) == holding
    await repository.erase(owner, turn.session_id, now=NOW)
    assert await _tables_with(connection, nonce) == set()
    assert await _tables_with(connection, str(turn.session_id)) == {"erased_sessions"}
    row = await connection.fetchrow("SELECT * FROM erased_sessions WHERE owner_id = $1", owner)
    assert (row["turns"], row["prompt_tokens"], row["completion_tokens"]) == (2, 11, 7)


async def test_tombstone_of_a_session_that_came_back(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G12: a session of the same id that is erased again is added to what is left of the first."""
    turn = await have_turn(repository, an_owner())
    for rounds in (1, 2, 3):
        moment = NOW + timedelta(seconds=rounds)
        await repository.erase(turn.owner_id, turn.session_id, now=moment)
        kept = await connection.fetch(_TOMBSTONES, turn.owner_id)
        assert [tuple(row) for row in kept] == [(rounds, 11 * rounds, 7 * rounds, moment)]
        new = new_turn(turn.owner_id, turn.session_id, may_open=True)
        await repository.finish(ref_of(await repository.admit(new)), completed())


_TOMBSTONES = """
SELECT turns, prompt_tokens, completion_tokens, erased_at FROM erased_sessions WHERE owner_id = $1
"""


async def test_lost_commit_answers_are_harmless(
    repository: PostgresChatRepository, postgres_url: str, schema: str
) -> None:
    """G1: when the server drops every connection again and again, repeating loses nothing."""
    killer = await asyncpg.connect(postgres_url)

    async def kill() -> None:
        while True:
            await asyncio.sleep(0.005)
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
                "pg_backend_pid() AND datname = current_database() AND random() < 0.3"
            )

    killing = asyncio.create_task(kill())
    owner = an_owner()
    session_id, rounds = None, 40
    try:
        for number in range(rounds):
            # Every third one runs on until it is stopped for the next.
            new = new_turn(owner, session_id, text=f"q{number}", on_busy=OnBusy.SUPERSEDE)
            ref = ref_of(await _insist(partial(repository.admit, new)))
            for at, piece in enumerate(f"r{number}"):
                await _insist(partial(write, repository, ref, piece, at=at))
            end = completed(f"r{number}")
            if number % 3 == 0:
                await _insist(partial(repository.finish, ref, end))
            elif number % 3 == 1:
                await _insist(partial(_stop, repository, ref, MessageId(uuid4())))
            session_id = ref.session_id
    finally:
        killing.cancel()
        await killer.close()
    assert session_id is not None
    page = await _insist(partial(repository.messages, owner, session_id, limit=1000))
    assert [message.position for message in page.items] == list(range(1, 2 * rounds + 1))
    said = [f"{who}{number}" for number in range(rounds) for who in "qr"]
    assert [message.content for message in page.items] == said


async def test_nothing_is_held_between_calls(
    repository: PostgresChatRepository, connection: asyncpg.Connection
) -> None:
    """G10: while a turn runs, no connection is in a transaction and no lock is held."""
    await repository.admit(new_turn(an_owner()))
    busy = await connection.fetch(
        "SELECT state, query FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND pid <> pg_backend_pid() AND state <> 'idle'"
    )
    assert busy == []


async def _end(repository: PostgresChatRepository, ref: TurnRef, *, how: int) -> Turn:
    """End a turn well, badly, or from outside."""
    if how < 2:
        return await repository.finish(ref, completed() if how else failed())
    return await _stop(repository, ref, MessageId(uuid4()))


async def _stop(repository: PostgresChatRepository, ref: TurnRef, reply_id: MessageId) -> Turn:
    return await repository.stop(
        ref.owner_id, ref.session_id, ref.turn_id, reply_id=reply_id, now=NOW
    )


T = TypeVar("T")


async def _insist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat the very same call while the store does not answer, as a caller may."""
    for _ in range(50):
        try:
            return await call()
        except StorageUnavailable:
            await asyncio.sleep(0.01)
    raise AssertionError("the store never answered")


async def _tables_with(connection: asyncpg.Connection, word: str) -> set[str]:
    """Return the tables that hold the word in any column of any row."""
    tables = await connection.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    )
    found = set()
    for (table,) in tables:
        count = f'SELECT count(*) FROM "{table}" AS kept WHERE kept::text LIKE $1'
        if await connection.fetchval(count, f"%{word}%"):
            found.add(table)
    return found
