"""Room 4, the door: what it means that a reader leaves.

May import: standard library, chatcore.

ChatKit's stop button closes the connection and says nothing, so that a stop, a reload and a lost
network look the same. As its own server does, a reply that nobody reads any more is stopped, and
what there is of it is kept; a grace gives whoever lost the connection time to come back.
"""

from __future__ import annotations

import asyncio

from chatcore import ChatError, ChatService, OwnerId, TurnReader

GRACE_SECONDS = 3.0
"""How long a reply goes on that nobody reads."""


async def stop_unless_read(
    service: ChatService, owner_id: OwnerId, reader: TurnReader, *, grace_seconds: float
) -> None:
    """Stop a turn whose reader has left, unless somebody else reads it here after the grace.

    The last one who leaves stops it; readers in other processes are not seen.
    """
    try:
        if await _ends_within(reader, grace_seconds):
            return
        is_last = reader.readers == 1
        # At once: of two who leave together, the second has to find itself alone.
        reader.close()
        if is_last:
            await service.stop(owner_id, reader.session_id, reader.turn_id)
    except ChatError:
        return  # erased, or to be gone on with elsewhere; there is nobody to tell


async def _ends_within(reader: TurnReader, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            async for _ in reader:
                pass
    except TimeoutError:
        return False
    return True
