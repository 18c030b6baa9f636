"""A store of an importer's own, for the type checker alone; see `public_api`.

May import: standard library, chatcore.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from chatcore import (
    AbandonedTurn,
    Admission,
    Beat,
    ChatRepository,
    ChatSession,
    Feedback,
    JournalEntry,
    JournalPlace,
    MessageId,
    MessageNotFound,
    MessagePage,
    Metadata,
    NewTurn,
    OwnerId,
    Question,
    RequestTemplate,
    SessionCursor,
    SessionId,
    SessionNotFound,
    SessionPage,
    StorageUnavailable,
    TakenTurn,
    Turn,
    TurnEnd,
    TurnId,
    TurnLost,
    TurnNotFound,
    TurnRef,
    TurnStatus,
    WindowMessage,
)


class OwnRepository(ChatRepository):
    """A store of the importer's own, with the least that type-checks."""

    def __init__(self) -> None:
        self._turns: dict[TurnId, Turn] = {}
        self._templates: dict[str, RequestTemplate] = {}

    async def admit(self, new: NewTurn) -> Admission:
        """Keep it."""
        turn = Turn(
            id=new.turn_id,
            session_id=new.session_id,
            owner_id=new.owner_id,
            number=1,
            status=TurnStatus.RUNNING,
            attempt=1,
            max_attempts=new.max_attempts,
            question_id=new.question_id,
            created_at=new.now,
        )
        self._turns[turn.id] = turn
        return Admission(turn=turn)

    async def next_attempt(
        self,
        ref: TurnRef,
        *,
        error_code: str,
        request_digest: str,
        template: str,
        stream: bool,
        now: datetime,
    ) -> TurnRef:
        """Give up."""
        raise StorageUnavailable

    async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
        """Look it up."""
        return await self.turn(ref.owner_id, ref.session_id, ref.turn_id)

    async def stop(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        turn_id: TurnId,
        *,
        reply_id: MessageId,
        now: datetime,
    ) -> Turn:
        """Look it up."""
        return await self.turn(owner_id, session_id, turn_id)

    async def turn(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> Turn:
        """Look it up."""
        if turn_id not in self._turns:
            raise TurnNotFound(turn_id)
        return self._turns[turn_id]

    async def window(
        self, owner_id: OwnerId, session_id: SessionId, numbers: tuple[int, ...]
    ) -> tuple[WindowMessage, ...]:
        """Remember nothing."""
        return ()

    async def question(
        self, owner_id: OwnerId, session_id: SessionId, message_id: MessageId
    ) -> Question:
        """Know none."""
        raise MessageNotFound(message_id)

    async def question_after(
        self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId
    ) -> Question | None:
        """Know none."""
        return None

    async def question_named(
        self, owner_id: OwnerId, session_id: SessionId, client_id: str
    ) -> Question:
        """Know none."""
        raise MessageNotFound

    async def rate(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        message_id: MessageId,
        *,
        feedback: Feedback | None,
        now: datetime,
    ) -> None:
        """Know none."""
        raise MessageNotFound(message_id)

    async def open(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        *,
        title: str,
        metadata: Metadata,
        now: datetime,
    ) -> ChatSession:
        """Return it."""
        return ChatSession(
            id=session_id,
            owner_id=owner_id,
            title=title,
            created_at=now,
            updated_at=now,
            metadata=metadata,
        )

    async def note(
        self, owner_id: OwnerId, session_id: SessionId, *, metadata: Metadata
    ) -> ChatSession:
        """Know none."""
        raise SessionNotFound(session_id)

    async def keep_template(self, template: RequestTemplate) -> None:
        """Keep it."""
        self._templates[template.digest] = template

    async def template(self, digest: str) -> RequestTemplate | None:
        """Look it up."""
        return self._templates.get(digest)

    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        """Hold them all."""
        return frozenset(beat.ref.turn_id for beat in beats if beat.start + len(beat.text) >= 0)

    async def read(self, places: Sequence[JournalPlace]) -> tuple[JournalEntry, ...]:
        """Have nothing written."""
        return tuple(
            JournalEntry(
                turn_id=place.turn_id,
                status=TurnStatus.RUNNING,
                attempt=place.attempt,
                is_abandoned=False,
                start=place.offset,
                text="",
            )
            for place in places
        )

    async def abandoned(
        self, *, limit: int, session: tuple[OwnerId, SessionId] | None = None
    ) -> tuple[AbandonedTurn, ...]:
        """Lose none."""
        return ()

    async def take_over(
        self, ref: TurnRef, *, template: str, stream: bool, lease_seconds: float, now: datetime
    ) -> TakenTurn:
        """Take it."""
        return TakenTurn(
            ref=ref, text="", quote=None, window=(), max_attempts=2, seconds_left=lease_seconds
        )

    async def give_up(
        self, ref: TurnRef, *, reply_id: MessageId, error_code: str, now: datetime
    ) -> Turn:
        """Have none."""
        raise TurnLost(ref.turn_id)

    async def session(self, owner_id: OwnerId, session_id: SessionId) -> ChatSession:
        """Know nobody."""
        raise SessionNotFound(session_id)

    async def sessions(
        self, owner_id: OwnerId, *, limit: int, after: SessionCursor | None
    ) -> SessionPage:
        """Have none."""
        return SessionPage(items=(), next_cursor=None)

    async def messages(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        counting: bool = False,
    ) -> MessagePage:
        """Have none."""
        return MessagePage(items=(), has_older=False, has_newer=False)

    async def rename(
        self, owner_id: OwnerId, session_id: SessionId, *, title: str, now: datetime
    ) -> ChatSession:
        """Know nobody."""
        raise SessionNotFound(session_id)

    async def erase(self, owner_id: OwnerId, session_id: SessionId, *, now: datetime) -> None:
        """Know nobody."""
        raise SessionNotFound(session_id)
