"""Room 1, the hexagon: what use cases are put together from.

May import: standard library, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

from dataclasses import dataclass

from chatcore.model.policy import ChatPolicy
from chatcore.ports.chat_repository import ChatRepository
from chatcore.ports.clock import Clock, IdSource
from chatcore.turns.runner import TurnRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one service.

    Attributes:
        repository: Where turns live.
        runner: Runs those of this process.
        clock: Tells the time.
        ids: Makes ids.
        policy: The operator's choices.
    """

    repository: ChatRepository
    runner: TurnRunner
    clock: Clock
    ids: IdSource
    policy: ChatPolicy
