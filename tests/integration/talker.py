"""A process of its own that holds conversations through a pooler; see its test.

May import: standard library, adapters, chatcore.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from uuid import uuid4

from adapters.postgres import Database, PostgresChatRepository
from chatcore import (
    Beat,
    ChatError,
    JournalPlace,
    MessageId,
    OnBusy,
    OwnerId,
    SessionId,
    TurnRef,
    TurnStatus,
)
from chatcore.testing.builders import NOW, TEMPLATE, an_owner, completed, failed, new_turn, ref_of

TALKS = 6
"""How many conversations go on at once in a process."""
PIECES = ("first ", "second ", "third")

Ending = Callable[[PostgresChatRepository, TurnRef], Awaitable[TurnStatus]]


async def main(url: str, schema: str, turns: int) -> None:
    """Hold all conversations, and print how many turns there were and how many went wrong."""
    database = Database(url, schema=schema, pool_size=TALKS, pooler=True)
    await database.open()
    repository = PostgresChatRepository(database)
    errors = await asyncio.gather(*[_talk(repository, turns) for _ in range(TALKS)])
    await database.close()
    sys.stdout.write(f"{TALKS * turns} {sum(errors)}\n")


async def _talk(repository: PostgresChatRepository, turns: int) -> int:
    owner, session_id, errors = an_owner(), None, 0
    for number in range(turns):
        try:
            ref = await _turn(repository, owner, session_id, ENDINGS[number % len(ENDINGS)])
            session_id = ref.session_id
        except (ChatError, AssertionError) as error:
            errors += 1
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
    return errors


async def _turn(
    repository: PostgresChatRepository, owner: OwnerId, session_id: SessionId | None, end: Ending
) -> TurnRef:
    new = new_turn(owner, session_id, key=str(uuid4()), on_busy=OnBusy.SUPERSEDE)
    ref = ref_of(await repository.admit(new))
    assert (await repository.admit(new)).turn.id == ref.turn_id
    start = 0
    for piece in PIECES:
        beat = Beat(ref, start, piece, request_digest="ab" * 32)
        assert await repository.beat([beat], lease_seconds=60) == {ref.turn_id}
        start += len(piece)
    place = JournalPlace(
        owner_id=owner,
        session_id=ref.session_id,
        turn_id=ref.turn_id,
        attempt=1,
        offset=len(PIECES[0]),
    )
    (entry,) = await repository.read([place])
    assert entry.text == "".join(PIECES[1:])
    status = await end(repository, ref)
    page = await repository.messages(owner, ref.session_id, limit=2)
    assert page.items[-1].turn_status is status
    return ref


async def _complete(repository: PostgresChatRepository, ref: TurnRef) -> TurnStatus:
    return (await repository.finish(ref, completed())).status


async def _fail(repository: PostgresChatRepository, ref: TurnRef) -> TurnStatus:
    second = await repository.next_attempt(
        ref,
        error_code="llm_timeout",
        request_digest="cd" * 32,
        template=TEMPLATE.digest,
        stream=True,
        now=NOW,
    )
    return (await repository.finish(second, failed())).status


async def _stop(repository: PostgresChatRepository, ref: TurnRef) -> TurnStatus:
    turn = await repository.stop(
        ref.owner_id, ref.session_id, ref.turn_id, reply_id=MessageId(uuid4()), now=NOW
    )
    assert turn.reply is not None
    assert turn.reply.content == "".join(PIECES)
    return turn.status


async def _leave_running(_: PostgresChatRepository, ref: TurnRef) -> TurnStatus:
    return TurnStatus.RUNNING


ENDINGS: tuple[Ending, ...] = (_complete, _fail, _stop, _leave_running)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
