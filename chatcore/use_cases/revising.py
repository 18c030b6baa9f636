"""Room 1, the hexagon: asking again, and asking something else instead.

May import: standard library, chatcore.model, chatcore.turns, chatcore.use_cases.
"""

from __future__ import annotations

from chatcore.model.admission import OnBusy
from chatcore.model.ids import MessageId, OwnerId, SessionId
from chatcore.model.message import Quote
from chatcore.model.metadata import Metadata
from chatcore.turns.admission import Asked, Replaced
from chatcore.turns.reader import TurnReader
from chatcore.use_cases.beginning import begin
from chatcore.use_cases.parts import Parts


class RevisingUseCases:
    """New turns that take the place of old ones. A question keeps its name unless it gets another.

    Args:
        parts: What it is put together from.
    """

    def __init__(self, parts: Parts) -> None:
        self._revising = parts

    async def regenerate(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        message_id: MessageId,
        *,
        idempotency_key: str | None = None,
        on_busy: OnBusy = OnBusy.REJECT,
        stream: bool = False,
        client_id: str | None = None,
        metadata: Metadata = (),
    ) -> TurnReader:
        """Ask a question again, in a new turn that takes the old one's place.

        That turn and all after it are superseded: they stay stored and leave the window.

        Args:
            owner_id: Whose conversation.
            session_id: Which one.
            message_id: The question, or its reply.
            idempotency_key: As in `send`.
            on_busy: As in `send`.
            stream: Whether parts are wanted: then the model is asked for them.
            client_id: What the caller calls the question from now on; None: as before.
            metadata: As in `send`.

        Returns:
            A reader; `await reader.answer()` waits for the whole reply.

        Raises:
            MessageNotFound: No such message in this session of this owner.
            MessageSuperseded: Another turn has taken its place already.
            SessionBusy: Another turn of the session is running.
            IdempotencyKeyReused: The key was used for something else.
            ServiceStopping: The process is shutting down.
            ServiceOverloaded: It runs as many turns as it may. Nothing was stored.
            StorageUnavailable: The store did not answer.
        """
        question = await self._revising.repository.question(owner_id, session_id, message_id)
        asked = Asked(
            owner_id=owner_id,
            session_id=session_id,
            text=question.text,
            quote=question.quote,
            idempotency_key=idempotency_key,
            on_busy=on_busy,
            stream=stream,
            client_id=question.client_id if client_id is None else client_id,
            metadata=metadata,
            replaces=Replaced("regenerate", message_id, question.turn_number),
        )
        return await begin(self._revising, asked)

    async def edit(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        message_id: MessageId,
        text: str,
        *,
        quote: Quote | None = None,
        keep_quote: bool = False,
        idempotency_key: str | None = None,
        on_busy: OnBusy = OnBusy.REJECT,
        stream: bool = False,
        client_id: str | None = None,
        metadata: Metadata = (),
    ) -> TurnReader:
        """Ask another question in the place of one; the rest as in `regenerate`.

        Args:
            owner_id: Whose conversation.
            session_id: Which one.
            message_id: The question, or its reply.
            text: The new question.
            quote: The passage it is about.
            keep_quote: Take the old question's passage instead.
            idempotency_key: As in `send`.
            on_busy: As in `send`.
            stream: Whether parts are wanted.
            client_id: As in `regenerate`.
            metadata: As in `send`.

        Raises:
            InvalidInput: A text is blank, too long, or cannot be stored. The rest: `regenerate`.
        """
        question = await self._revising.repository.question(owner_id, session_id, message_id)
        asked = Asked(
            owner_id=owner_id,
            session_id=session_id,
            text=text,
            quote=question.quote if keep_quote else quote,
            idempotency_key=idempotency_key,
            on_busy=on_busy,
            stream=stream,
            client_id=question.client_id if client_id is None else client_id,
            metadata=metadata,
            replaces=Replaced("edit", message_id, question.turn_number),
        )
        return await begin(self._revising, asked)
