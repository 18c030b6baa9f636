"""Room 1, the hexagon: asking, and what becomes of it.

May import: standard library, chatcore.errors, chatcore.model, chatcore.turns,
chatcore.use_cases.
"""

from __future__ import annotations

import asyncio

from chatcore.errors import StorageUnavailable
from chatcore.model.admission import OnBusy
from chatcore.model.ids import MessageId, OwnerId, SessionId
from chatcore.model.message import Quote
from chatcore.model.turn import Answer
from chatcore.turns.admission import Asked, Replaced, new_turn
from chatcore.turns.reader import TurnReader
from chatcore.use_cases.following import open_reader
from chatcore.use_cases.parts import Parts


class TurnUseCases:
    """Everything that asks the model.

    Args:
        parts: What it is put together from.
    """

    def __init__(self, parts: Parts) -> None:
        self._turns = parts.repository
        self._runner = parts.runner
        self._clock = parts.clock
        self._ids = parts.ids
        self._policy = parts.policy

    async def send(
        self,
        owner_id: OwnerId,
        text: str,
        *,
        session_id: SessionId | None = None,
        quote: Quote | None = None,
        idempotency_key: str | None = None,
        on_busy: OnBusy = OnBusy.REJECT,
    ) -> Answer:
        """Ask a question and wait for the stored reply. Cancelling the wait stops nothing.

        Args:
            owner_id: Who asks, 1 to 128 characters.
            text: The question.
            session_id: Which conversation it continues; None begins a new one.
            quote: The passage it is about.
            idempotency_key: 1 to 255 printable ASCII characters. A repeat with the same key and
                the same contents gets the first call's turn, running or ended.
            on_busy: What to do while another turn of the session is running: reject this one, or
                stop that one, keeping its part.

        Returns:
            The completed (or stopped) turn and its reply.

        Raises:
            InvalidInput: A text is blank, too long, or cannot be stored.
            SessionNotFound: No such session of this owner.
            SessionBusy: Another turn of the session is running.
            IdempotencyKeyReused: The key was used for another question.
            TurnFailed: No whole reply came; the question is kept with its failed turn.
            TurnLost: The session was erased meanwhile.
            ServiceStopping: The process is shutting down.
            ServiceOverloaded: It runs as many turns as it may. Nothing was stored.
            StorageUnavailable: The store did not answer.
        """
        asked = Asked(
            owner_id=owner_id,
            session_id=session_id,
            text=text,
            quote=quote,
            idempotency_key=idempotency_key,
            on_busy=on_busy,
            stream=False,
        )
        reader = await self._begin(asked)
        return await reader.answer()

    async def stream(
        self,
        owner_id: OwnerId,
        text: str,
        *,
        session_id: SessionId | None = None,
        quote: Quote | None = None,
        idempotency_key: str | None = None,
        on_busy: OnBusy = OnBusy.REJECT,
    ) -> TurnReader:
        """Ask a question and read the reply while it is written; arguments and errors as `send`.

        Returns:
            A reader, as soon as the question is stored. Leaving it stops nothing; whoever comes
            back uses `follow`.
        """
        asked = Asked(
            owner_id=owner_id,
            session_id=session_id,
            text=text,
            quote=quote,
            idempotency_key=idempotency_key,
            on_busy=on_busy,
            stream=True,
        )
        return await self._begin(asked)

    async def regenerate(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        message_id: MessageId,
        *,
        idempotency_key: str | None = None,
        on_busy: OnBusy = OnBusy.REJECT,
        stream: bool = False,
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
        question = await self._turns.question(owner_id, session_id, message_id)
        asked = Asked(
            owner_id=owner_id,
            session_id=session_id,
            text=question.text,
            quote=question.quote,
            idempotency_key=idempotency_key,
            on_busy=on_busy,
            stream=stream,
            replaces=Replaced("regenerate", message_id, question.turn_number),
        )
        return await self._begin(asked)

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

        Raises:
            InvalidInput: A text is blank, too long, or cannot be stored. The rest: `regenerate`.
        """
        question = await self._turns.question(owner_id, session_id, message_id)
        asked = Asked(
            owner_id=owner_id,
            session_id=session_id,
            text=text,
            quote=question.quote if keep_quote else quote,
            idempotency_key=idempotency_key,
            on_busy=on_busy,
            stream=stream,
            replaces=Replaced("edit", message_id, question.turn_number),
        )
        return await self._begin(asked)

    async def _begin(self, asked: Asked) -> TurnReader:
        new = new_turn(
            asked,
            policy=self._policy,
            template=self._runner.template,
            ids=self._ids,
            now=self._clock.now(),
        )
        begun = await asyncio.shield(self._runner.begin(new))
        turn = begun.admission.turn
        if begun.live is None:
            return open_reader(self._runner, turn, repeated=begun.admission.repeated)
        return TurnReader(begun.live, session_id=turn.session_id, turn_id=turn.id)

    async def start(self) -> None:
        """Go on with turns that a dead process left running, now and from time to time.

        A store that does not answer now is asked again soon.
        """
        sweeper = self._runner.sweeper
        try:
            is_work_left = await sweeper.sweep() > 0
        except StorageUnavailable:
            is_work_left = True
        if is_work_left:
            # The rest in portions: other processes are starting too.
            sweeper.note_work()
        sweeper.start()

    async def close(self, *, timeout_seconds: float) -> None:
        """Admit nothing more; let running turns finish for a while, then hand the rest over.

        Whoever still reads meets `ServiceStopping`, and finds the turn in another process.
        """
        await self._runner.drain(timeout_seconds=timeout_seconds)
