"""Room 1, the hexagon: asks the model for one turn, again where that can help.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import aclosing
from dataclasses import replace

from chatcore.errors import LLMError, LLMIncomplete, LLMTimeout, StorageUnavailable, TurnLost
from chatcore.model.policy import ChatPolicy
from chatcore.model.text import repair_model_text
from chatcore.ports.clock import Clock
from chatcore.ports.llm import LLMDelta, LLMEnded, LLMPort, LLMReply, LLMStarted, PreparedRequest
from chatcore.ports.turn_observer import TurnObserver
from chatcore.ports.turn_repository import TurnRepository
from chatcore.turns.running import Cut, CutShort, RunningTurn

_BACKOFF_SECONDS = 0.25
_CUT_REASON = "length"


class Asking:
    """Calls the model, each call an attempt that is on record before it is sent.

    Args:
        llm: Who answers.
        repository: Where attempts are recorded.
        clock: Tells the time.
        observer: Is told of failed attempts.
        policy: The operator's choices.
        template: Digest of what requests are made with.
    """

    def __init__(
        self,
        *,
        llm: LLMPort,
        repository: TurnRepository,
        clock: Clock,
        observer: TurnObserver,
        policy: ChatPolicy,
        template: str,
    ) -> None:
        self._llm = llm
        self._repository = repository
        self._clock = clock
        self._observer = observer
        self._policy = policy
        self._template = template

    async def ask(self, turn: RunningTurn) -> LLMReply | str:
        """Return the answer, or the code of the failure after the last attempt.

        Only waiting for the model has a limit. Recording an attempt has none, so that what the
        store believes of the turn and what we believe stay the same.

        Raises:
            CutShort: It is to end now, for another reason than the model.
            TurnLost: The turn is no longer ours.
        """
        while True:
            if turn.cut_by:
                raise CutShort
            try:
                async with turn.limit(turn.deadline - time.monotonic()):
                    return await self._attempt(turn)
            except TimeoutError:
                return self._ended_early(turn)
            except LLMError as error:
                if turn.cut_by:
                    raise CutShort from None
                wait_seconds = self._seconds_to_wait(turn, error)
                self._observer.attempt_failed(turn.ref, error, will_retry=wait_seconds is not None)
                if wait_seconds is None or not await self._try_again(turn, error, wait_seconds):
                    return error.code
            finally:
                turn.end_limit()

    async def _try_again(self, turn: RunningTurn, error: LLMError, wait_seconds: float) -> bool:
        """Wait, and record the next attempt; False if the store does not answer."""
        try:
            async with turn.limit(wait_seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            turn.end_limit()
        if turn.cut_by:
            raise CutShort
        turn.is_moving_on = True
        try:
            following = await self._repository.next_attempt(
                turn.ref,
                error_code=error.code,
                request_digest=turn.digest or "",
                template=self._template,
                stream=True,
                now=self._clock.now(),
            )
        except StorageUnavailable:
            return False  # The turn can still be ended, which is tried for longer.
        finally:
            turn.is_moving_on = False
        if turn.cut_by is Cut.LOST:
            raise TurnLost(turn.ref.turn_id)  # What is read of it is somebody else's by now.
        turn.go_on_as(following, stream=True)
        return True

    def _ended_early(self, turn: RunningTurn) -> str:
        if turn.cut_by:
            raise CutShort
        error = LLMTimeout("the turn's deadline has passed")
        self._observer.attempt_failed(turn.ref, error, will_retry=False)
        return error.code

    async def _attempt(self, turn: RunningTurn) -> LLMReply:
        request = self._llm.prepare(turn.make_prompt(), stream=turn.stream)
        turn.digest = request.digest
        if turn.stream:
            return await self._stream(turn, request)
        # Its time limit covers the whole answer: a model that is slow but alive gets its chance in
        # the later attempts, where the limit counts between contents.
        reply = await self._llm.complete(request)
        text, limit = repair_model_text(reply.text), self._policy.reply_max_chars
        if len(text) <= limit:
            return replace(reply, text=text)
        return replace(reply, text=text[:limit], finish_reason=_CUT_REASON)

    async def _stream(self, turn: RunningTurn, request: PreparedRequest) -> LLMReply:
        model = ""
        async with aclosing(self._llm.stream(request)) as events:
            async for event in events:
                if isinstance(event, LLMStarted):
                    model = event.model
                elif isinstance(event, LLMDelta):
                    room = self._policy.reply_max_chars - turn.live.length
                    # Adapters promise this; one that does not must not spoil the heartbeat.
                    text = repair_model_text(event.text)
                    turn.append(text[:room])
                    if len(text) > room:
                        return LLMReply(turn.text, _CUT_REASON, model, None)
                elif isinstance(event, LLMEnded):
                    return LLMReply(turn.text, event.finish_reason, event.model, event.usage)
        raise LLMIncomplete("the stream ended without saying so")

    def _seconds_to_wait(self, turn: RunningTurn, error: LLMError) -> float | None:
        """Return how long to wait before the next attempt, or None if there is to be none."""
        if not error.retryable or turn.ref.attempt >= turn.max_attempts:
            return None
        wish = error.retry_after_seconds
        # Jitter keeps many turns from coming back at the same moment.
        wait = wish if wish is not None else _BACKOFF_SECONDS * (1 + random.random())  # noqa: S311
        return wait if wait < turn.deadline - time.monotonic() else None
