"""A process of its own that sends fifty questions at once into one session; see its test.

May import: standard library, adapters, chatcore.
"""

from __future__ import annotations

import asyncio
import sys
from uuid import UUID

from adapters.postgres import Database, PostgresChatRepository
from chatcore import Admission, OwnerId, SessionBusy, SessionId
from chatcore.testing.builders import completed, new_turn, ref_of

SENDS = 50


async def main(url: str, schema: str, owner: OwnerId, session_id: SessionId) -> None:
    """Send, finish what was admitted, and print how many were admitted and how many refused."""
    database = Database(url, schema=schema, pool_size=5)
    await database.open()
    repository = PostgresChatRepository(database)

    async def send() -> Admission | SessionBusy:
        try:
            admission = await repository.admit(new_turn(owner, session_id))
        except SessionBusy as busy:
            return busy
        await repository.finish(ref_of(admission), completed())
        return admission

    results = await asyncio.gather(*[send() for _ in range(SENDS)])
    admitted = sum(isinstance(result, Admission) for result in results)
    sys.stdout.write(f"{admitted} {SENDS - admitted}\n")
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], OwnerId(sys.argv[3]), SessionId(UUID(sys.argv[4]))))
