"""Room 3, the world: what the parts of the memory repository share.

May import: standard library, chatcore.
"""

from __future__ import annotations

from collections.abc import Callable

from chatcore import OwnerId, RequestTemplate, SessionId, SessionNotFound, TurnId, TurnRef

from .session_record import SessionRecord
from .turn_record import TurnRecord


class InMemoryStore:
    """Everything that is kept, and how it is found: by its owner or not at all.

    Args:
        monotonic: Seconds that only grow; decides about leases and deadlines.
    """

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: dict[tuple[OwnerId, SessionId], SessionRecord] = {}
        self._keys: dict[tuple[OwnerId, str], TurnRecord] = {}
        self._templates: dict[str, RequestTemplate] = {}

    def _require(self, owner_id: OwnerId, session_id: SessionId) -> SessionRecord:
        record = self._kept.get((owner_id, session_id))
        if record is None:
            raise SessionNotFound(session_id)
        return record

    def _find(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> TurnRecord | None:
        record = self._kept.get((owner_id, session_id))
        return None if record is None else record.find(turn_id)

    def _find_held(self, ref: TurnRef) -> TurnRecord | None:
        """Return the turn if this attempt still holds it."""
        kept = self._find(ref.owner_id, ref.session_id, ref.turn_id)
        return kept if kept is not None and kept.is_held_by(ref) else None
