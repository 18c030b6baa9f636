"""Room 4, the door: a response is asked for, at its place in a conversation that is kept.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from uuid import UUID

from app.doors.openai.errors import AfterWriting, unsupported
from app.doors.openai.ids import Place
from app.doors.openai.keeping import check_pairs, keep_pairs
from app.doors.openai.views import KEY, REPLACED
from app.doors.openai.wanted import Wanted, key_digest, no_previous
from chatcore import (
    Answer,
    ChatError,
    ChatService,
    InvalidInput,
    MessageId,
    OwnerId,
    SessionId,
    StorageUnavailable,
    TurnNotFound,
    TurnReader,
    make_metadata,
)


async def ask(
    service: ChatService, owner_id: OwnerId, wanted: Wanted, *, parts: bool
) -> Answer | TurnReader:
    """Ask for a response.

    Args:
        service: Whom to ask.
        owner_id: Who asks.
        wanted: What for.
        parts: Whether it is to be read while it is written; else wait for the end.

    Raises:
        Wrong: There is no such place.
        AfterWriting: Pairs were kept, but not the question, or not its answer; or nobody knows.
        ChatError: As `ChatService.send`.
    """
    session_id, replaced = wanted.session_id, None
    if wanted.previous is not None:
        session_id, replaced = await _place_after(service, owner_id, wanted.previous, wanted)
    if wanted.pairs:
        check_pairs(service, wanted.pairs, question=wanted.question)
        session_id = await keep_pairs(service, owner_id, wanted.pairs, session_id)
    try:
        return await _ask_there(service, owner_id, wanted, session_id, replaced, parts=parts)
    except InvalidInput as error:
        raise _as_asked(error) from None
    except ChatError as error:
        # A store that does not answer may have kept the question; with a key it is known again.
        is_in_doubt = isinstance(error, StorageUnavailable) and wanted.key is None
        if wanted.pairs or is_in_doubt:
            raise AfterWriting(error) from None
        raise


async def _ask_there(
    service: ChatService,
    owner_id: OwnerId,
    wanted: Wanted,
    session_id: SessionId | None,
    replaced: MessageId | None,
    *,
    parts: bool,
) -> Answer | TurnReader:
    question, key, noted = wanted.question, wanted.key, wanted.metadata
    if session_id is not None and replaced is not None:
        noted = make_metadata({**dict(noted), REPLACED: replaced.hex})
        reader = await service.edit(
            owner_id,
            session_id,
            replaced,
            question,
            idempotency_key=key,
            stream=parts,
            metadata=noted,
        )
        return reader if parts else await reader.answer()
    if parts:
        return await service.stream(
            owner_id, question, session_id=session_id, idempotency_key=key, metadata=noted
        )
    return await service.send(
        owner_id, question, session_id=session_id, idempotency_key=key, metadata=noted
    )


def _as_asked(error: InvalidInput) -> InvalidInput:
    """Return a complaint about the question in this protocol's words."""
    return InvalidInput("input", error.reason) if error.field == "message" else error


async def _place_after(
    service: ChatService, owner_id: OwnerId, previous: Place, wanted: Wanted
) -> tuple[SessionId, MessageId | None]:
    """Return where the question after a response belongs, and whose place it takes, if anybody's.

    Raises:
        Wrong: Nothing can come after that response.
    """
    session_id, turn_id = previous
    try:
        turn = await service.turn(owner_id, session_id, turn_id)
    except TurnNotFound:
        raise no_previous("There is no such response.") from None
    if turn.superseded_by is not None:
        raise no_previous(
            "Another response has taken this one's place: a question after an earlier response "
            "replaces what followed."
        )
    following = await service.question_after(owner_id, session_id, turn_id)
    if following is None:
        return session_id, None
    if wanted.pairs:
        raise unsupported("input", "after an earlier response send the new message alone")
    if wanted.key is None:
        return session_id, following.message_id
    # A repeat finds its own question there, and must ask exactly as before to be known again.
    own = dict((await service.turn(owner_id, session_id, following.turn_id)).metadata)
    if own.get(KEY) != key_digest(wanted.key):
        return session_id, following.message_id
    return session_id, MessageId(UUID(own[REPLACED])) if REPLACED in own else None
