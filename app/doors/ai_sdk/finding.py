"""Room 4, the door: finds what a client names in what is stored.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from app.doors.ai_sdk.chats import latest_message
from app.doors.ai_sdk.schemas import SentMessage
from chatcore import (
    ChatService,
    InvalidInput,
    MessageId,
    NotFound,
    OwnerId,
    Question,
    SessionId,
    Turn,
    TurnId,
)

# How many of a client's messages are looked for: a screen without any of ours is not worth more.
_MOST_SHOWN = 4
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Finder:
    """Looks into one session. All of it may raise `StorageUnavailable`.

    Args:
        service: Where it is looked.
        owner_id: Whose session.
        session_id: Which one; it may not exist.
    """

    def __init__(self, service: ChatService, owner_id: OwnerId, session_id: SessionId) -> None:
        self._service = service
        self._place = owner_id, session_id

    async def question(self, name: str | None) -> Question | None:
        """Return the latest question that is called so, by the client or by us."""
        if name is None:
            return None
        try:
            return await self._service.question_named(*self._place, name)
        except (NotFound, InvalidInput):
            pass
        return await self._question_of(MessageId(UUID(name))) if _UUID.fullmatch(name) else None

    async def turn(self, name: str | None) -> Turn | None:
        """Return the turn whose reply is called so."""
        if name is None or not _UUID.fullmatch(name):
            return None
        try:
            return await self._service.turn(*self._place, TurnId(UUID(name)))
        except NotFound:
            return None

    async def either(self, name: str | None) -> Question | None:
        """Return the question that is called so, or whose reply is."""
        found = await self.question(name)
        if found is not None:
            return found
        turn = await self.turn(name)
        return None if turn is None else await self._question_of(turn.question_id)

    async def latest(self) -> Question | None:
        """Return the question of the latest turn."""
        message = await latest_message(self._service, *self._place)
        return None if message is None else await self._question_of(message.id)

    async def cut_after(self, shown: Sequence[SentMessage]) -> MessageId | None:
        """Return what was said after the messages that a client shows, if it shows an older end.

        Args:
            shown: What it shows, newest first.

        Returns:
            A message of the first turn that counts and is not shown. None: the client shows the
            end, or nothing that is known, or something that does not count any more.
        """
        for message in shown[:_MOST_SHOWN]:
            found = await self._turn_of(message)
            if found is not None:
                turn_id, superseded_by = found
                return None if superseded_by else await self._first_after(turn_id)
        return None

    async def _question_of(self, message_id: MessageId) -> Question | None:
        try:
            return await self._service.question(*self._place, message_id)
        except NotFound:
            return None

    async def _turn_of(self, message: SentMessage) -> tuple[TurnId, TurnId | None] | None:
        """Return the turn that a shown message belongs to, and what took its place."""
        if message.role == "user":
            question = await self.question(message.id)
            return None if question is None else (question.turn_id, question.superseded_by)
        turn = await self.turn(message.id)
        return None if turn is None else (turn.id, turn.superseded_by)

    async def _first_after(self, turn_id: TurnId) -> MessageId | None:
        question = await self._service.question_after(*self._place, turn_id)
        return None if question is None else question.message_id
