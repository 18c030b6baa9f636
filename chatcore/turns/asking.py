"""Room 1, the hexagon: asks the model for one turn, again where that can help.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import aclosing
from dataclasses import replace

from chatcore.errors import (
    TURN_INTERRUPTED,
    LLMError,
    LLMIncomplete,
    LLMTimeout,
    StorageUnavailable,
    TurnLost,
)
from chatcore.model.policy import ChatPolicy
from chatcore.ports.clock import Clock
from chatcore.ports.llm import LLMDelta, LLMEnded, LLMPort, LLMReply, PreparedRequest
from chatcore.ports.turn_observer import TurnObserver
from chatcore.ports.turn_repository import TurnRepository
from chatcore.turns.running import RunningTurn

_BACKOFF_SECONDS = 0.25


class Asking:
    """Calls the model, each call an attempt that is on record before it is sent.

    Args:
        llm: Who answers.
        repository: Where attempts are recorded.
        clock: Tells the time.
        observer: Is told of failed attempts.
        policy: The operator's choices.
    """

    def __init__(
        self,
        *,
        llm: LLMPort,
        repository: TurnRepository,
        clock: Clock,
        observer: TurnObserver,
        policy: ChatPolicy,
    ) -> None:
        self._llm = llm
        self._repository = repository
        self._clock = clock
        self._observer = observer
        self._policy = policy

    async def ask(self, turn: RunningTurn) -> LLMReply | str:
        """Return the answer, or the code of the failure after the last attempt.

        Only waiting for the model has a limit. Recording an attempt has none, so that what the
        store believes of the turn and what we believe stay the same.

        Raises:
            TurnLost: The turn is no longer ours.
        """
        while True:
            try:
                async with turn.limit(self._seconds_left(turn)):
                    return await self._attempt(turn)
            except TimeoutError:
                return self._ended_early(turn)
            except LLMError as error:
                wait_seconds = self._seconds_to_wait(turn, error)
                self._observer.attempt_failed(turn.ref, error, will_retry=wait_seconds is not None)
                if wait_seconds is None or not await self._try_again(turn, error, wait_seconds):
                    return error.code
            finally:
                turn.end_limit()

    async def _try_again(self, turn: RunningTurn, error: LLMError, wait_seconds: float) -> bool:
        """Wait, and record the next attempt; False if that is not to be."""
        try:
            async with turn.limit(wait_seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            turn.end_limit()
        if turn.is_interrupted or turn.is_lost:
            return False
        try:
            turn.ref = await self._repository.next_attempt(
                turn.ref,
                error_code=error.code,
                request_digest=turn.digest or "",
                now=self._clock.now(),
            )
        except StorageUnavailable:
            return False  # The turn can still be ended, which is tried for longer.
        return True

    def _ended_early(self, turn: RunningTurn) -> str:
        if turn.is_lost:
            raise TurnLost(turn.ref.turn_id)
        if turn.is_interrupted:
            return TURN_INTERRUPTED
        error = LLMTimeout("the turn's deadline has passed")
        self._observer.attempt_failed(turn.ref, error, will_retry=False)
        return error.code

    async def _attempt(self, turn: RunningTurn) -> LLMReply:
        # Nobody sees a part of a JSON answer, so the first attempt asks for a whole completion,
        # which costs a quarter. Its time limit covers the whole answer: a model that is slow but
        # alive gets its chance in the later attempts, where the limit counts between contents.
        is_whole = self._policy.whole_answers and turn.ref.attempt == 1
        request = self._llm.prepare(turn.prompt, stream=not is_whole)
        turn.digest = request.digest
        reply = await (self._llm.complete(request) if is_whole else self._collect(request))
        limit = self._policy.reply_max_chars
        return reply if len(reply.text) <= limit else replace(reply, text=reply.text[:limit])

    async def _collect(self, request: PreparedRequest) -> LLMReply:
        parts: list[str] = []
        async with aclosing(self._llm.stream(request)) as events:
            async for event in events:
                if isinstance(event, LLMDelta):
                    parts.append(event.text)
                elif isinstance(event, LLMEnded):
                    text = "".join(parts)
                    return LLMReply(text, event.finish_reason, event.model, event.usage)
        raise LLMIncomplete("the stream ended without saying so")

    def _seconds_to_wait(self, turn: RunningTurn, error: LLMError) -> float | None:
        """Return how long to wait before the next attempt, or None if there is to be none."""
        if not error.retryable or turn.ref.attempt >= self._policy.max_attempts:
            return None
        wish = error.retry_after_seconds
        # Jitter keeps many turns from coming back at the same moment.
        wait = wish if wish is not None else _BACKOFF_SECONDS * (1 + random.random())  # noqa: S311
        return wait if wait < self._seconds_left(turn) else None

    def _seconds_left(self, turn: RunningTurn) -> float:
        return turn.started + self._policy.deadline_seconds - time.monotonic()
