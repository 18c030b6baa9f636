"""Room 1, the hexagon: runs admitted turns, each in a task of its own, never in a request's.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from chatcore.errors import (
    INTERNAL_ERROR,
    TURN_INTERRUPTED,
    LLMError,
    LLMTimeout,
    ServiceStopping,
    StorageUnavailable,
    TurnLost,
)
from chatcore.model.ids import MessageId, TurnId
from chatcore.model.message import TurnStatus
from chatcore.model.policy import ChatPolicy
from chatcore.model.prompt import Prompt
from chatcore.model.turn import Turn, TurnEnd, TurnRef
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.llm import LLMPort, LLMReply
from chatcore.ports.turn_observer import TurnObserver
from chatcore.ports.turn_repository import TurnRepository
from chatcore.turns.asking import Asking

_BACKOFF_SECONDS = 0.25
_FINISH_TRIES = 5


@dataclass(slots=True)
class RunningTurn:
    """One turn in flight: who holds it, what is asked, since when."""

    ref: TurnRef
    prompt: Prompt
    max_attempts: int
    started: float
    digest: str | None = None


class TurnRunner:
    """Runs turns to their end, whoever is or is not waiting for them (guarantee G5).

    Args:
        repository: Where turns live.
        llm: Who answers.
        clock: Tells the time.
        ids: Makes the replies' ids.
        observer: Is told what happens.
        policy: Deadlines and limits.
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
        self._repository = repository
        self._asking = Asking(llm, policy)
        self._clock = clock
        self._ids = ids
        self._observer = observer
        self._policy = policy
        self._tasks: dict[TurnId, asyncio.Task[Turn]] = {}
        self._stopping = False

    def require_open(self) -> None:
        """Refuse new work while shutting down.

        Raises:
            ServiceStopping: `drain` was called.
        """
        if self._stopping:
            raise ServiceStopping

    def start(self, ref: TurnRef, prompt: Prompt, *, max_attempts: int) -> asyncio.Task[Turn]:
        """Start a turn that was just admitted. Awaiting its task must be shielded."""
        turn = RunningTurn(ref, prompt, max_attempts, time.monotonic())
        task = asyncio.create_task(self._run(turn), name=f"turn {ref.turn_id}")
        self._tasks[ref.turn_id] = task
        task.add_done_callback(lambda done: self._forget(ref.turn_id, done))
        return task

    def running(self, turn_id: TurnId) -> asyncio.Task[Turn] | None:
        """Return the task of a turn that runs in this process."""
        return self._tasks.get(turn_id)

    async def drain(self, *, timeout_seconds: float) -> None:
        """Admit nothing more, let running turns finish, then end the rest as interrupted."""
        self._stopping = True
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _forget(self, turn_id: TurnId, task: asyncio.Task[Turn]) -> None:
        self._tasks.pop(turn_id, None)
        if not task.cancelled():
            task.exception()  # Whoever waits has it; nobody waiting is no fault.

    async def _run(self, turn: RunningTurn) -> Turn:
        try:
            end = await self._answer_in_time(turn)
        except asyncio.CancelledError:
            return await self._finish(turn, self._failure(turn, TURN_INTERRUPTED))
        except (TurnLost, StorageUnavailable) as error:
            self._tell_unwritten(turn, error)
            raise
        except Exception as error:  # noqa: BLE001  # whatever broke, the turn must end
            self._observer.turn_broken(turn.ref, error)
            return await self._finish(turn, self._failure(turn, INTERNAL_ERROR))
        return await self._finish(turn, end)

    async def _answer_in_time(self, turn: RunningTurn) -> TurnEnd:
        try:
            async with asyncio.timeout(self._policy.deadline_seconds):
                return await self._answer(turn)
        except TimeoutError:
            error = LLMTimeout("the turn's deadline has passed")
            self._observer.attempt_failed(turn.ref, error, will_retry=False)
            return self._failure(turn, error.code)

    async def _answer(self, turn: RunningTurn) -> TurnEnd:
        while True:
            try:
                return self._success(turn, await self._ask(turn))
            except LLMError as error:
                wait_seconds = self._seconds_to_wait(turn, error)
                self._observer.attempt_failed(turn.ref, error, will_retry=wait_seconds is not None)
                if wait_seconds is None:
                    return self._failure(turn, error.code)
                await asyncio.sleep(wait_seconds)
                turn.ref = await self._repository.next_attempt(
                    turn.ref,
                    error_code=error.code,
                    request_digest=turn.digest or "",
                    now=self._clock.now(),
                )

    async def _ask(self, turn: RunningTurn) -> LLMReply:
        request = self._asking.prepare(turn.prompt, attempt=turn.ref.attempt)
        turn.digest = request.digest
        return await self._asking.answer(request)

    def _seconds_to_wait(self, turn: RunningTurn, error: LLMError) -> float | None:
        """Return how long to wait before the next attempt, or None if there is to be none."""
        if not error.retryable or turn.ref.attempt >= turn.max_attempts:
            return None
        wish = error.retry_after_seconds
        # Jitter keeps many turns from coming back at the same moment.
        wait = wish if wish is not None else _BACKOFF_SECONDS * (1 + random.random())  # noqa: S311
        left = self._policy.deadline_seconds - (time.monotonic() - turn.started)
        return wait if wait < left else None

    def _success(self, turn: RunningTurn, reply: LLMReply) -> TurnEnd:
        return TurnEnd(
            status=TurnStatus.COMPLETED,
            reply_id=MessageId(self._ids.new_id()),
            text=reply.text,
            now=self._clock.now(),
            model=reply.model,
            request_digest=turn.digest,
            finish_reason=reply.finish_reason,
            usage=reply.usage,
        )

    def _failure(self, turn: RunningTurn, code: str) -> TurnEnd:
        return TurnEnd(
            status=TurnStatus.FAILED,
            reply_id=MessageId(self._ids.new_id()),
            text="",
            now=self._clock.now(),
            request_digest=turn.digest,
            error_code=code,
        )

    async def _finish(self, turn: RunningTurn, end: TurnEnd) -> Turn:
        for tries_left in reversed(range(_FINISH_TRIES)):
            try:
                stored = await self._repository.finish(turn.ref, end)
            except (TurnLost, StorageUnavailable) as error:
                if isinstance(error, StorageUnavailable) and tries_left:
                    await asyncio.sleep(_BACKOFF_SECONDS * 2 ** (_FINISH_TRIES - tries_left))
                    continue
                self._tell_unwritten(turn, error)
                raise
            seconds = time.monotonic() - turn.started
            self._observer.turn_ended(turn.ref, end, seconds=seconds)
            return stored
        raise AssertionError("unreachable: the last try returns or raises")

    def _tell_unwritten(self, turn: RunningTurn, error: TurnLost | StorageUnavailable) -> None:
        if isinstance(error, TurnLost):
            self._observer.turn_lost(turn.ref)
        else:
            self._observer.turn_broken(turn.ref, error)
