"""Room 4, the door: asking over ChatKit, once, however often it is sent.

May import: standard library, app, chatcore.

The frontend sends a request again, up to five times, when the answer is a 5xx or no event stream,
and has no key to tell that from a second question. So we look first: a question that is being
answered, or was a moment ago, is joined. For what looks before it can be seen there is an
idempotency key, made of the question and of what was found: two at once find the same.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from app.doors.chatkit import ids
from app.doors.chatkit.finding import find_question
from app.doors.chatkit.params import UserInput
from app.http.auth import PUBLIC_OWNER
from chatcore import (
    ChatService,
    Clock,
    Message,
    MessageSuperseded,
    OnBusy,
    OwnerId,
    Question,
    Quote,
    SessionId,
    StorageUnavailable,
    TurnReader,
    TurnStatus,
)

MOMENT = timedelta(seconds=5)
"""How long after its answer the same question is taken for a repeat."""
_SESSIONS_LOOKED_AT = 3
_LAST_TURN = 2  # messages
_MOST_TIMES = 20
"""How often a question of another door may have been asked and still be found by its first id."""


class InDoubt(Exception):
    """The store did not answer when a question was put: it may be there."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What somebody asks; two are equal if one may be the repeat of the other."""

    text: str
    quote: Quote | None


class Asking:
    """Asks, and joins what was asked before.

    Besides what it names, everything raises what the service does: then nothing was asked. What
    may have been is `InDoubt`.

    Args:
        service: Asks.
        clock: Tells how long ago an answer was.
    """

    def __init__(self, service: ChatService, clock: Clock) -> None:
        self._service = service
        self._clock = clock

    async def create(self, owner_id: OwnerId, given: UserInput) -> TurnReader:
        """Begin a thread with a question.

        Of the shared owner nothing is joined: two strangers may ask the same, and whoever is led
        into a thread has the right to it.
        """
        asked, key = _read(given), None
        if owner_id != PUBLIC_OWNER:
            page = await self._service.sessions(owner_id, limit=_SESSIONS_LOOKED_AT)
            for session in page.items:
                # Later questions and a new title count as activity: then it is no repeat.
                if session.updated_at == session.created_at:
                    said = await self._last_turn(owner_id, session.id)
                    if said and said[0].position == 1 and self._is_repeat(asked, said):
                        return await self._service.follow(owner_id, session.id, said[0].turn_id)
            latest = [(str(found.id), str(found.updated_at)) for found in page.items[:1]]
            key = _make_key("create", latest, asked)
        return await self._ask(owner_id, None, asked, key)

    async def add(self, owner_id: OwnerId, session_id: SessionId, given: UserInput) -> TurnReader:
        """Ask the next question; an answer that is still being written is stopped for it."""
        asked = _read(given)
        said = await self._last_turn(owner_id, session_id)
        if self._is_repeat(asked, said):
            return await self._service.follow(owner_id, session_id, said[0].turn_id)
        latest = [str(message.id) for message in said[-1:]]
        key = _make_key("add", [str(session_id), *latest], asked)
        return await self._ask(owner_id, session_id, asked, key)

    async def retry(self, owner_id: OwnerId, thread_id: str, item_id: str) -> TurnReader:
        """Ask a question again; everything after it is gone. One being answered is joined.

        Raises:
            MessageNotFound: No such question. The rest: `ChatService.regenerate`.
        """
        session_id, _ = ids.read_item_place(thread_id, item_id)
        question = await find_question(self._service, owner_id, session_id, item_id)
        question = await self._follow_up(owner_id, session_id, question)
        turn = await self._service.turn(owner_id, session_id, question.turn_id)
        if turn.status is TurnStatus.RUNNING:
            return await self._service.follow(owner_id, session_id, turn.id)
        asking = self._service.regenerate(
            owner_id,
            session_id,
            question.message_id,
            # Each time it is asked it is another message, so this is one key for each time.
            idempotency_key=_make_key("retry", [str(question.message_id)]),
            on_busy=OnBusy.SUPERSEDE,
            stream=True,
        )
        return await _put(asking)

    async def _ask(
        self, owner_id: OwnerId, session_id: SessionId | None, asked: _Asked, key: str | None
    ) -> TurnReader:
        asking = self._service.stream(
            owner_id,
            asked.text,
            session_id=session_id,
            quote=asked.quote,
            idempotency_key=key,
            on_busy=OnBusy.SUPERSEDE,
            client_id=ids.new_item_id(),
        )
        return await _put(asking)

    async def _last_turn(self, owner_id: OwnerId, session_id: SessionId) -> list[Message]:
        """Return the last question and its answer, as far as there are any."""
        page = await self._service.messages(owner_id, session_id, limit=_LAST_TURN)
        return [m for m in page.items if m.turn_id == page.items[-1].turn_id]

    def _is_repeat(self, asked: _Asked, said: Sequence[Message]) -> bool:
        """Tell whether the last question may be this one, sent before."""
        if not said or asked != _Asked(said[0].content, said[0].quote):
            return False
        if said[0].turn_status is TurnStatus.RUNNING:
            return True
        # One that was stopped or failed has no answer that anybody would wait for.
        is_answered = said[0].turn_status is TurnStatus.COMPLETED
        return is_answered and self._is_recent(said[-1].created_at)

    def _is_recent(self, ended_at: datetime) -> bool:
        return abs(self._clock.now() - ended_at) <= MOMENT

    async def _follow_up(
        self, owner_id: OwnerId, session_id: SessionId, question: Question
    ) -> Question:
        """Return a question as it was asked last: one from elsewhere gets another id each time.

        If something else has taken its place it is returned as it is, and cannot be asked again.

        Raises:
            MessageSuperseded: It was asked again so often that nobody looks further.
        """
        for _ in range(_MOST_TIMES):
            if question.superseded_by is None:
                return question
            turn = await self._service.turn(owner_id, session_id, question.superseded_by)
            later = await self._service.question(owner_id, session_id, turn.question_id)
            if (later.text, later.quote) != (question.text, question.quote):
                return question
            question = later
        raise MessageSuperseded


async def _put(asking: Awaitable[TurnReader]) -> TurnReader:
    try:
        return await asking
    except StorageUnavailable as error:
        raise InDoubt from error


def _read(given: UserInput) -> _Asked:
    quoted = given.quoted_text
    return _Asked(given.text, Quote(text=quoted) if quoted else None)


def _make_key(kind: str, place: object, asked: _Asked | None = None) -> str:
    words = asked and [asked.text, asked.quote and asked.quote.text]
    return f"chatkit:{kind}:{sha256(json.dumps([place, words]).encode()).hexdigest()}"
