"""Room 4, the door: what was said elsewhere is kept, without asking the model.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.doors.openai.content import Pair
from app.doors.openai.errors import AfterWriting
from app.doors.openai.objects import Item
from app.doors.openai.views import question_item, view_answer
from chatcore import ChatError, ChatService, InvalidInput, OwnerId, SessionId


async def keep_pairs(
    service: ChatService,
    owner_id: OwnerId,
    pairs: Sequence[Pair],
    session_id: SessionId | None,
    *,
    param: str = "input",
    added: list[Item] | None = None,
) -> SessionId:
    """Keep what was said elsewhere, and return the session it is in.

    Args:
        service: Where to keep it.
        owner_id: Whose conversation.
        pairs: What was said.
        session_id: Where; None begins a session.
        param: What the client calls it.
        added: Gets the items that come of it.

    Raises:
        AfterWriting: Some of it was kept, and then something went wrong.
        ChatError: As `ChatService.record`; nothing was kept.
    """
    if session_id is None:
        session_id = (await service.open_session(owner_id)).id
    kept: list[Item] = [] if added is None else added
    for pair in pairs:
        try:
            turn = await service.record(owner_id, session_id, pair.question, pair.answer)
        except ChatError as error:
            named = InvalidInput(param, error.reason) if isinstance(error, InvalidInput) else error
            raise (AfterWriting(named) if kept else named) from None
        kept += [question_item(turn.question_id, pair.question), view_answer(turn)]
    return session_id
