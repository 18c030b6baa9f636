"""Room 1, the hexagon: asks the model for one turn, again where that can help.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import aclosing
from dataclasses import replace

from chatcore.errors import LLMError, LLMIncomplete
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

        Raises:
            TurnLost: The turn is no longer ours.
            StorageUnavailable: A further attempt could not be recorded.
        """
        while True:
            try:
                return await self._attempt(turn)
            except LLMError as error:
                wait_seconds = self._seconds_to_wait(turn, error)
                self._observer.attempt_failed(turn.ref, error, will_retry=wait_seconds is not None)
                if wait_seconds is None:
                    return error.code
                await asyncio.sleep(wait_seconds)
                turn.ref = await self._repository.next_attempt(
                    turn.ref,
                    error_code=error.code,
                    request_digest=turn.digest or "",
                    now=self._clock.now(),
                )

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
        left = self._policy.deadline_seconds - (time.monotonic() - turn.started)
        return wait if wait < left else None
