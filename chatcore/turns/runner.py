"""Room 1, the hexagon: admits and runs turns, each in a task of its own, never in a request's.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports,
chatcore.prompt_builder, chatcore.turns.
"""

from __future__ import annotations

import asyncio
import time

from chatcore.errors import (
    INTERNAL_ERROR,
    TURN_INTERRUPTED,
    LLMTimeout,
    ServiceStopping,
    StorageUnavailable,
    TurnLost,
)
from chatcore.model.ids import MessageId, TurnId
from chatcore.model.message import TurnStatus
from chatcore.model.policy import ChatPolicy
from chatcore.model.turn import Admission, NewTurn, Turn, TurnEnd
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.llm import LLMPort
from chatcore.ports.turn_observer import TurnObserver
from chatcore.ports.turn_repository import TurnRepository
from chatcore.prompt_builder import build_prompt
from chatcore.turns.asking import Asking
from chatcore.turns.running import RunningTurn, TurnHandle, ref_of

_FINISH_TRIES = 5
_FINISH_BACKOFF_SECONDS = 0.5
_LAST_WRITES_SECONDS = 2.0


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
        self._asking = Asking(
            llm=llm, repository=repository, clock=clock, observer=observer, policy=policy
        )
        self._clock = clock
        self._ids = ids
        self._observer = observer
        self._policy = policy
        self._tasks: dict[TurnId, asyncio.Task[Turn | None]] = {}
        self._running: set[RunningTurn] = set()
        self._is_closing = False
        self._must_end = False

    def begin(self, new: NewTurn) -> TurnHandle:
        """Start a task that admits a turn and runs it to its end.

        Admitting is the task's too: a caller cancelled in the middle of it would otherwise leave a
        turn that nobody runs.

        Raises:
            ServiceStopping: `drain` was called.
        """
        if self._is_closing:
            raise ServiceStopping
        admitted: asyncio.Future[Admission] = asyncio.get_running_loop().create_future()
        # Whoever waits has the error; nobody waiting is no fault.
        admitted.add_done_callback(lambda done: done.cancelled() or done.exception())
        task = asyncio.create_task(self._live(new, admitted), name=f"turn {new.turn_id}")
        self._tasks[new.turn_id] = task
        task.add_done_callback(lambda done: self._forget(new.turn_id, done))
        return TurnHandle(admitted, task)

    def running(self, turn_id: TurnId) -> asyncio.Task[Turn | None] | None:
        """Return the task of a turn that runs in this process."""
        return self._tasks.get(turn_id)

    async def drain(self, *, timeout_seconds: float) -> None:
        """Admit nothing more, let running turns finish, then end the rest as interrupted."""
        self._is_closing = True
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_seconds)
        self._must_end = True
        for turn in self._running:
            turn.interrupt()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_LAST_WRITES_SECONDS)

    def _forget(self, turn_id: TurnId, task: asyncio.Task[Turn | None]) -> None:
        self._tasks.pop(turn_id, None)
        if not task.cancelled():
            task.exception()  # As above.

    async def _live(self, new: NewTurn, admitted: asyncio.Future[Admission]) -> Turn | None:
        try:
            admission = await self._repository.admit(new)
        except Exception as error:  # noqa: BLE001  # told to whoever began the turn
            admitted.set_exception(error)
            return None
        admitted.set_result(admission)
        ref = ref_of(admission.turn)
        self._observer.turn_admitted(ref, repeated=admission.repeated)
        if admission.repeated:
            return None
        prompt = build_prompt(
            system_prompt=self._policy.system_prompt,
            window=admission.window,
            turn_id=new.turn_id,
            question=new.text,
            quote=new.quote,
            max_tokens=self._policy.max_tokens,
        )
        turn = RunningTurn(
            ref=ref,
            prompt=prompt,
            started=time.monotonic(),
            is_interrupted=self._must_end,
        )
        self._running.add(turn)
        try:
            return await self._finish(turn, await self._run(turn))
        finally:
            self._running.discard(turn)

    async def _run(self, turn: RunningTurn) -> TurnEnd:
        """Get an answer, or find out why there is none."""
        try:
            async with turn.limit(self._policy.deadline_seconds):
                result = await self._asking.ask(turn)
        except TimeoutError:
            result = TURN_INTERRUPTED if turn.is_interrupted else self._too_late(turn)
        except (TurnLost, StorageUnavailable) as error:
            self._tell_unwritten(turn, error)
            raise
        except Exception as error:  # noqa: BLE001  # whatever broke, the turn must end
            self._observer.turn_broken(turn.ref, error)
            result = INTERNAL_ERROR
        finally:
            turn.end_limit()
        reply = None if isinstance(result, str) else result
        return TurnEnd(
            status=TurnStatus.COMPLETED if reply else TurnStatus.FAILED,
            reply_id=MessageId(self._ids.new_id()),
            text=reply.text if reply else "",
            now=self._clock.now(),
            model=reply.model if reply else None,
            request_digest=turn.digest,
            finish_reason=reply.finish_reason if reply else None,
            error_code=result if isinstance(result, str) else None,
            usage=reply.usage if reply else None,
        )

    def _too_late(self, turn: RunningTurn) -> str:
        error = LLMTimeout("the turn's deadline has passed")
        self._observer.attempt_failed(turn.ref, error, will_retry=False)
        return error.code

    async def _finish(self, turn: RunningTurn, end: TurnEnd) -> Turn:
        for tries_left in reversed(range(_FINISH_TRIES)):
            try:
                stored = await self._repository.finish(turn.ref, end)
            except (TurnLost, StorageUnavailable) as error:
                if isinstance(error, StorageUnavailable) and tries_left:
                    tries = _FINISH_TRIES - 1 - tries_left
                    await asyncio.sleep(_FINISH_BACKOFF_SECONDS * 2**tries)
                    continue
                self._tell_unwritten(turn, error)
                raise
            self._observer.turn_ended(turn.ref, end, seconds=time.monotonic() - turn.started)
            return stored
        raise AssertionError("unreachable: the last try returns or raises")

    def _tell_unwritten(self, turn: RunningTurn, error: TurnLost | StorageUnavailable) -> None:
        if isinstance(error, TurnLost):
            self._observer.turn_lost(turn.ref)
        else:
            self._observer.turn_broken(turn.ref, error)
