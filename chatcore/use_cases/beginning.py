"""Room 1, the hexagon: how every turn begins.

May import: standard library, chatcore.errors, chatcore.model, chatcore.turns,
chatcore.use_cases.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from chatcore.errors import SessionNotFound
from chatcore.model.admission import NewTurn
from chatcore.turns.admission import Asked, new_turn
from chatcore.turns.reader import TurnReader
from chatcore.turns.running import Begun
from chatcore.use_cases.following import open_reader
from chatcore.use_cases.parts import Parts


async def begin(parts: Parts, asked: Asked) -> TurnReader:
    """Check a question, have it admitted, and return a reader of its reply.

    Raises:
        InvalidInput: A value cannot be accepted.
        ChatError: It was not admitted; see `ChatService.send`.
    """
    new = make_turn(parts, asked)
    begun = await _begin(parts, new, may_open=asked.may_open)
    turn = begun.admission.turn
    if begun.live is None:
        return open_reader(parts.runner, turn, repeated=begun.admission.repeated)
    return TurnReader(begun.live, session_id=turn.session_id, turn_id=turn.id)


def make_turn(parts: Parts, asked: Asked) -> NewTurn:
    """Return a question ready to be admitted.

    Raises:
        InvalidInput: A value cannot be accepted.
    """
    return new_turn(
        asked,
        policy=parts.policy,
        template=parts.runner.template,
        ids=parts.ids,
        now=parts.clock.now(),
    )


async def _begin(parts: Parts, new: NewTurn, *, may_open: bool) -> Begun:
    # Cancelling whoever waits must not leave half of it done.
    try:
        return await asyncio.shield(parts.runner.begin(new))
    except SessionNotFound:
        if not may_open:
            raise
    return await asyncio.shield(parts.runner.begin(replace(new, opens_session=True)))
