"""Beside the hexagon: what tests of repositories do over and over.

May import: standard library, chatcore.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from chatcore import (
    Beat,
    ChatRepository,
    JournalEntry,
    JournalPlace,
    Message,
    OwnerId,
    SessionId,
    TakenTurn,
    Turn,
    TurnRef,
)

from .builders import EXPIRED, NOW, TEMPLATE, new_turn, ref_of

LATER = NOW + timedelta(seconds=3)
"""A moment after `NOW`."""


async def start(
    repository: ChatRepository,
    owner_id: OwnerId,
    session_id: SessionId | None = None,
    *,
    written: str = "",
    lease_seconds: float = 60.0,
    max_attempts: int = 2,
) -> TurnRef:
    """Admit a question and write the beginning of its reply."""
    new = new_turn(owner_id, session_id, lease_seconds=lease_seconds, max_attempts=max_attempts)
    ref = ref_of(await repository.admit(new))
    if written:
        await write(repository, ref, written, lease_seconds=lease_seconds)
    return ref


async def abandon(
    repository: ChatRepository, owner_id: OwnerId, *, written: str = "", max_attempts: int = 2
) -> TurnRef:
    """Leave behind a running turn past its lease."""
    return await start(
        repository,
        owner_id,
        written=written,
        lease_seconds=EXPIRED,
        max_attempts=max_attempts,
    )


async def write(
    repository: ChatRepository,
    ref: TurnRef,
    text: str,
    *,
    at: int = 0,
    lease_seconds: float = 60.0,
    digest: str | None = None,
) -> bool:
    """Append a piece; tell whether the turn is still held."""
    beat = Beat(ref, at, text, digest)
    return ref.turn_id in await repository.beat([beat], lease_seconds=lease_seconds)


async def write_until_lost(
    repository: ChatRepository, ref: TurnRef, *, lease_seconds: float = 60.0
) -> str:
    """Append pieces until somebody ends the turn; return the text that was acknowledged."""
    acknowledged = ""
    while True:
        piece = f"{len(acknowledged)} 🤖 "
        if not await write(
            repository, ref, piece, at=len(acknowledged), lease_seconds=lease_seconds
        ):
            return acknowledged
        acknowledged += piece
        # What lives in memory never waits: let the others have a turn.
        await asyncio.sleep(0)


async def try_again(
    repository: ChatRepository,
    ref: TurnRef,
    *,
    request_digest: str = "d1",
    template: str = TEMPLATE.digest,
    stream: bool = False,
    now: datetime = LATER,
) -> TurnRef:
    """Close the attempt as timed out and go on with the next."""
    return await repository.next_attempt(
        ref,
        error_code="llm_timeout",
        request_digest=request_digest,
        template=template,
        stream=stream,
        now=now,
    )


async def take_over(
    repository: ChatRepository,
    ref: TurnRef,
    *,
    template: str = TEMPLATE.digest,
    stream: bool = False,
    lease_seconds: float = 60.0,
    now: datetime = LATER,
) -> TakenTurn:
    """Take the turn over."""
    return await repository.take_over(
        ref, template=template, stream=stream, lease_seconds=lease_seconds, now=now
    )


def place_in(ref: TurnRef, offset: int = 0) -> JournalPlace:
    """Return how far somebody has followed a turn."""
    return JournalPlace(
        owner_id=ref.owner_id,
        session_id=ref.session_id,
        turn_id=ref.turn_id,
        attempt=ref.attempt,
        offset=offset,
    )


async def look(repository: ChatRepository, ref: TurnRef, offset: int = 0) -> JournalEntry:
    """Read one turn's journal from there on."""
    [entry] = await repository.read([place_in(ref, offset)])
    return entry


async def stored(repository: ChatRepository, ref: TurnRef) -> Turn:
    """Return the turn with everything that is stored of it."""
    return await repository.turn(ref.owner_id, ref.session_id, ref.turn_id)


async def until_written(repository: ChatRepository, ref: TurnRef, chars: int) -> None:
    """Wait until the journal holds that much text."""
    entry = await look(repository, ref)
    while len(entry.text) < chars:
        await asyncio.sleep(0)
        entry = await look(repository, ref)


async def state_of(
    repository: ChatRepository, ref: TurnRef
) -> tuple[list[tuple[Message, Turn]], JournalEntry]:
    """Return what can be seen of the turn's session, to be compared with what it was before.

    A read that comes later may find a lease run out, so that is left out.
    """
    page = await repository.messages(ref.owner_id, ref.session_id, limit=100)
    said = [
        (message, await repository.turn(ref.owner_id, ref.session_id, message.turn_id))
        for message in page.items
    ]
    entry = await look(repository, ref)
    return said, replace(entry, is_abandoned=False)
