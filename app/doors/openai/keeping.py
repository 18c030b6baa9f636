"""Room 4, the door: what was said elsewhere is kept, without asking the model.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.doors.openai.content import Pair
from app.doors.openai.errors import AfterWriting
from app.doors.openai.objects import Item
from app.doors.openai.views import question_item, view_answer
from chatcore import (
    ChatError,
    ChatService,
    InvalidInput,
    OwnerId,
    SessionId,
    StorageUnavailable,
)


def check_pairs(
    service: ChatService,
    pairs: Sequence[Pair],
    *,
    param: str = "input",
    question: str | None = None,
) -> None:
    """Refuse what cannot be kept, before anything is.

    Args:
        service: Where it is to be kept.
        pairs: What was said.
        param: What the client calls it.
        question: What is to be asked then.

    Raises:
        InvalidInput: A text is blank, too long, or cannot be stored.
    """
    try:
        for pair in pairs:
            service.require_recordable(pair.question, pair.answer)
        if question is not None:
            service.require_recordable(question)
    except InvalidInput as error:
        raise InvalidInput(param, error.reason) from None


async def keep_pairs(
    service: ChatService,
    owner_id: OwnerId,
    pairs: Sequence[Pair],
    session_id: SessionId | None,
    *,
    added: list[Item] | None = None,
) -> SessionId:
    """Keep what was said elsewhere, and was checked, and return the session it is in.

    Args:
        service: Where to keep it.
        owner_id: Whose conversation.
        pairs: What was said.
        session_id: Where; None begins a session.
        added: Gets the items that come of it.

    Raises:
        AfterWriting: Some of it was kept, or may have been, and then something went wrong.
        ChatError: As `ChatService.record`; nothing was kept.
    """
    if session_id is None:
        session_id = (await service.open_session(owner_id)).id
    kept: list[Item] = [] if added is None else added
    for pair in pairs:
        try:
            turn = await service.record(owner_id, session_id, pair.question, pair.answer)
        except ChatError as error:
            is_in_doubt = isinstance(error, StorageUnavailable)
            raise (AfterWriting(error) if kept or is_in_doubt else error) from None
        kept += [question_item(turn.question_id, pair.question), view_answer(turn)]
    return session_id
