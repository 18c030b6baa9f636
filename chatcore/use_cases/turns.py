"""Room 1, the hexagon: asking, and what becomes of it.

May import: standard library, chatcore.errors, chatcore.model, chatcore.turns,
chatcore.use_cases.
"""

from __future__ import annotations

from chatcore.errors import StorageUnavailable
from chatcore.model.admission import OnBusy
from chatcore.model.ids import OwnerId, SessionId
from chatcore.model.message import Quote
from chatcore.model.metadata import Metadata
from chatcore.model.turn import Answer
from chatcore.turns.admission import Asked
from chatcore.turns.reader import TurnReader
from chatcore.use_cases.beginning import begin
from chatcore.use_cases.parts import Parts


class TurnUseCases:
    """Asking, and the life of what answers.

    Args:
        parts: What it is put together from.
    """

    def __init__(self, parts: Parts) -> None:
        self._asking = parts

    async def send(
        self,
        owner_id: OwnerId,
        text: str,
        *,
        session_id: SessionId | None = None,
        quote: Quote | None = None,
        idempotency_key: str | None = None,
        on_busy: OnBusy = OnBusy.REJECT,
        may_open: bool = False,
        client_id: str | None = None,
        metadata: Metadata = (),
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
            may_open: Begin the session under `session_id` if there is none.
            client_id: What the caller calls the question, 1 to 255 characters; `question_named`
                finds it by that.
            metadata: What the caller wants to find again with the turn.

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
            may_open=may_open,
            client_id=client_id,
            metadata=metadata,
        )
        reader = await begin(self._asking, asked)
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
        may_open: bool = False,
        client_id: str | None = None,
        metadata: Metadata = (),
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
            may_open=may_open,
            client_id=client_id,
            metadata=metadata,
        )
        return await begin(self._asking, asked)

    async def start(self) -> None:
        """Go on with turns that a dead process left running, now and from time to time.

        A store that does not answer now is asked again soon.
        """
        sweeper = self._asking.runner.sweeper
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
        await self._asking.runner.drain(timeout_seconds=timeout_seconds)
