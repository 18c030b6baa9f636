"""Room 4, the door: finds out what a client wants answered, and has it answered.

May import: standard library, app, chatcore.

A client tells what its screen shows, not what to do. What it wants follows from comparing that with
what is stored, by the names of messages; of its copies of answers nothing is believed.
"""

from __future__ import annotations

from app.doors.ai_sdk.chats import key_of, name_of_question
from app.doors.ai_sdk.finding import Finder
from app.doors.ai_sdk.reading import Said, Wanted
from app.http.problems import Refused
from app.http.schemas import FieldError
from chatcore import (
    ChatService,
    IdempotencyKeyReused,
    MessageSuperseded,
    OnBusy,
    OwnerId,
    Question,
    SessionId,
    TurnReader,
    TurnStatus,
)

_TRIES = 4


async def answer(
    service: ChatService, owner_id: OwnerId, session_id: SessionId, wanted: Wanted
) -> TurnReader:
    """Have a request answered, once however often it is sent.

    Raises:
        Refused: There is nothing to answer again.
        ChatError: As `ChatService.stream`, `regenerate` and `edit`.
    """
    asking = _Asking(service, owner_id, session_id)
    for _ in range(_TRIES - 1):
        try:
            return await asking.answer(wanted)
        except (IdempotencyKeyReused, MessageSuperseded):
            continue  # somebody else was faster: what is stored is not what it was
    return await asking.answer(wanted)


class _Asking:
    """Answers in one session. A running turn makes room for whatever comes."""

    def __init__(self, service: ChatService, owner_id: OwnerId, session_id: SessionId) -> None:
        self._service = service
        self._owner_id = owner_id
        self._session_id = session_id
        self._find = Finder(service, owner_id, session_id)

    async def answer(self, wanted: Wanted) -> TurnReader:
        """Compare, and do what follows."""
        said = wanted.said
        if said is None:
            return await self._again(await self._named(wanted))
        known = await self._known(said, wanted)
        if known is None:
            return await self._ask(said, wanted)
        if _is_other(said, known):
            if known.superseded_by is not None:
                return await self._ask(said, wanted, instead_of=known)
            return await self._edit(known, said)
        if wanted.again or (wanted.name == said.name and await self._has_ended(known)):
            return await self._again(known, said)
        return await self._service.follow(self._owner_id, self._session_id, known.turn_id)

    async def _known(self, said: Said, wanted: Wanted) -> Question | None:
        """Return the stored question that is meant: the one shown, or the one named."""
        if wanted.again and wanted.name is not None:
            named = await self._find.either(wanted.name)
            if named is not None:
                return named
        if wanted.again and said.name is None:
            return await self._find.latest()
        return await self._find.question(said.name)

    async def _named(self, wanted: Wanted) -> Question:
        """Return the question to answer again where the client shows none."""
        found = await self._find.either(wanted.name) if wanted.name else None
        found = found or await self._find.latest()
        if found is None:
            wrong = FieldError(field="messageId", reason="names nothing to answer again")
            raise Refused("invalid_request", errors=[wrong])
        return found

    async def _has_ended(self, question: Question) -> bool:
        turn = await self._service.turn(self._owner_id, self._session_id, question.turn_id)
        return turn.status is not TurnStatus.RUNNING

    async def _ask(
        self, said: Said, wanted: Wanted, *, instead_of: Question | None = None
    ) -> TurnReader:
        """Ask for the first time: at the end, or where the client's screen ends."""
        key = None
        if said.name is not None:
            lost = [] if instead_of is None else [str(instead_of.turn_id)]
            key = key_of(self._session_id, "ask", said.name, *lost)
        cut = await self._find.cut_after(wanted.before)
        if cut is not None:
            return await self._service.edit(
                self._owner_id,
                self._session_id,
                cut,
                said.text,
                quote=said.quote,
                idempotency_key=key,
                on_busy=OnBusy.SUPERSEDE,
                stream=True,
                client_id=said.name,
            )
        return await self._service.stream(
            self._owner_id,
            said.text,
            session_id=self._session_id,
            quote=said.quote,
            idempotency_key=key,
            on_busy=OnBusy.SUPERSEDE,
            may_open=True,
            client_id=said.name,
        )

    async def _edit(self, known: Question, said: Said) -> TurnReader:
        return await self._service.edit(
            self._owner_id,
            self._session_id,
            known.message_id,
            said.text,
            quote=said.quote,
            keep_quote=not said.names_quote,
            idempotency_key=key_of(self._session_id, "edit", str(known.turn_id)),
            on_busy=OnBusy.SUPERSEDE,
            stream=True,
            client_id=said.name or name_of_question(known),
        )

    async def _again(self, known: Question, said: Said | None = None) -> TurnReader:
        """Answer again, in the same place; or at the end, if that place was taken."""
        name = said.name if said and said.name else name_of_question(known)
        key = key_of(self._session_id, "again", str(known.turn_id))
        try:
            return await self._service.regenerate(
                self._owner_id,
                self._session_id,
                known.message_id,
                idempotency_key=key,
                on_busy=OnBusy.SUPERSEDE,
                stream=True,
                client_id=name,
            )
        except MessageSuperseded:
            return await self._service.stream(
                self._owner_id,
                known.text,
                session_id=self._session_id,
                quote=known.quote,
                idempotency_key=key_of(self._session_id, "again at the end", str(known.turn_id)),
                on_busy=OnBusy.SUPERSEDE,
                client_id=name,
            )


def _is_other(said: Said, known: Question) -> bool:
    """Whether a question is to be put in the place of the one that is known by its name."""
    return said.text != known.text or (said.names_quote and said.quote != known.quote)
