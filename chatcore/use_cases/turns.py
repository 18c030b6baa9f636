"""Room 1, the hexagon: asking, and what becomes of it.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio

from chatcore.errors import RETRYABLE_TURN_CODES, ServiceStopping, TurnFailed
from chatcore.model.ids import OwnerId, SessionId, TurnId
from chatcore.model.message import Quote, TurnStatus
from chatcore.model.policy import ChatPolicy
from chatcore.model.turn import Answer, Turn
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.llm import LLMPort
from chatcore.ports.turn_observer import TurnObserver
from chatcore.ports.turn_repository import TurnRepository
from chatcore.turns.admission import new_turn
from chatcore.turns.runner import TurnRunner

_POLL_SECONDS = 0.25
_POLLS_A_SWEEP = 20


class TurnUseCases:
    """Everything that asks the model.

    Args:
        repository: Where turns live.
        llm: Who answers.
        clock: Tells the time.
        ids: Makes ids.
        observer: Is told what happens to turns.
        policy: The operator's choices.
    """

    def __init__(
        self,
        *,
        repository: TurnRepository,
        llm: LLMPort,
        clock: Clock,
        ids: IdSource,
        observer: TurnObserver,
        policy: ChatPolicy,
    ) -> None:
        self._turns = repository
        self._clock = clock
        self._ids = ids
        self._policy = policy
        self._runner = TurnRunner(
            repository=repository, llm=llm, clock=clock, ids=ids, observer=observer, policy=policy
        )

    async def send(
        self,
        owner_id: OwnerId,
        text: str,
        *,
        session_id: SessionId | None = None,
        quote: Quote | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Ask a question and wait for the stored reply. Cancelling the wait stops nothing.

        Args:
            owner_id: Who asks, 1 to 128 characters.
            text: The question.
            session_id: Which conversation it continues; None begins a new one.
            quote: The passage it is about.
            idempotency_key: 1 to 255 printable ASCII characters. A repeat with the same key and
                the same contents gets the first call's turn, running or ended.

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
            StorageUnavailable: The store did not answer.
        """
        new = new_turn(
            owner_id=owner_id,
            session_id=session_id,
            text=text,
            quote=quote,
            idempotency_key=idempotency_key,
            policy=self._policy,
            ids=self._ids,
            now=self._clock.now(),
        )
        handle = self._runner.begin(new)
        admission = await asyncio.shield(handle.admitted)
        if admission.repeated:
            turn = await self._wait_for(admission.turn)
        else:
            turn = await asyncio.shield(handle.ended)
        return _answer(turn, repeated=admission.repeated)

    async def turn(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> Turn:
        """Return one turn with its reply and its attempts.

        Raises:
            TurnNotFound: No such turn in this session of this owner.
            StorageUnavailable: The store did not answer.
        """
        return await self._turns.turn(owner_id, session_id, turn_id)

    async def recover(self) -> int:
        """End turns that a dead process left running. Returns how many, at most 1,000."""
        return await self._turns.end_abandoned(limit=1000, now=self._clock.now())

    async def close(self, *, timeout_seconds: float) -> None:
        """Admit nothing more; let running turns finish for a while, then end the rest."""
        await self._runner.drain(timeout_seconds=timeout_seconds)

    async def _wait_for(self, turn: Turn) -> Turn:
        """Wait until a turn has ended, in this process or in another."""
        polls = 0
        while not turn.status.is_terminal:
            ended = self._runner.running(turn.id)
            if ended is not None:
                return await asyncio.shield(ended)
            if self._runner.is_closing:
                raise ServiceStopping
            await asyncio.sleep(_POLL_SECONDS)
            polls += 1
            if polls % _POLLS_A_SWEEP == 0:
                # Its process may be gone; then nobody else would end it while we wait.
                await self.recover()
            turn = await self._turns.turn(turn.owner_id, turn.session_id, turn.id)
        return turn


def _answer(turn: Turn, *, repeated: bool) -> Answer:
    if turn.status is TurnStatus.FAILED or turn.reply is None:
        code = turn.error_code or TurnFailed.code
        raise TurnFailed(
            session_id=turn.session_id,
            turn_id=turn.id,
            code=code,
            retryable=code in RETRYABLE_TURN_CODES,
            repeated=repeated,
        )
    return Answer(turn=turn, reply=turn.reply, repeated=repeated)
