"""Room 1, the hexagon: admits and runs turns, each in a task of its own, never in a request's.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports,
chatcore.prompt_builder, chatcore.turns.
"""

from __future__ import annotations

import asyncio
import time

from chatcore.errors import (
    INTERNAL_ERROR,
    ServiceStopping,
    TurnLost,
)
from chatcore.model.ids import MessageId, TurnId
from chatcore.model.policy import ChatPolicy
from chatcore.model.prompt import Prompt
from chatcore.model.turn import Admission, NewTurn, Turn, TurnEnd
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.llm import LLMPort, LLMReply
from chatcore.ports.turn_observer import TurnObserver
from chatcore.ports.turn_repository import TurnRepository
from chatcore.prompt_builder import build_prompt
from chatcore.turns.asking import Asking
from chatcore.turns.ending import Ending, ended_with
from chatcore.turns.pulse import Pulse
from chatcore.turns.running import RunningTurn, TurnHandle, ref_of

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
        self._ending = Ending(repository, observer=observer, policy=policy)
        self._pulse = Pulse(repository, lease_seconds=policy.lease_seconds)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: dict[TurnId, asyncio.Future[Turn]] = {}
        self._must_end = False
        self.is_closing = False

    def begin(self, new: NewTurn) -> TurnHandle:
        """Start a task that admits a turn and runs it to its end.

        Admitting is the task's too: a caller cancelled in the middle of it would otherwise leave a
        turn that nobody runs.

        Raises:
            ServiceStopping: `drain` was called.
        """
        if self.is_closing:
            raise ServiceStopping
        loop = asyncio.get_running_loop()
        handle = TurnHandle(loop.create_future(), loop.create_future())
        for future in (handle.admitted, handle.ended):
            # Whoever waits has the error; nobody waiting is no fault.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        task = asyncio.create_task(self._live(new, handle), name=f"turn {new.turn_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return handle

    def running(self, turn_id: TurnId) -> asyncio.Future[Turn] | None:
        """Return the end of a turn that runs in this process. Waiting for it must be shielded."""
        return self._ends.get(turn_id)

    async def drain(self, *, timeout_seconds: float) -> None:
        """Admit nothing more, let running turns finish, then end the rest as interrupted."""
        self.is_closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_seconds)
        self._must_end = self._ending.must_hurry = True
        self._pulse.interrupt_all()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_WRITES_SECONDS)
        await self._pulse.close()

    async def _live(self, new: NewTurn, handle: TurnHandle) -> None:
        try:
            admission = await self._repository.admit(new)
        except Exception as error:  # noqa: BLE001  # told to whoever began the turn
            handle.admitted.set_exception(error)
            return
        ref = ref_of(admission.turn)
        self._observer.turn_admitted(ref, repeated=admission.repeated)
        if admission.repeated:
            handle.admitted.set_result(admission)
            return
        self._ends[new.turn_id] = handle.ended
        handle.admitted.set_result(admission)
        turn = RunningTurn(ref=ref, prompt=self._prompt(new, admission), started=time.monotonic())
        turn.is_interrupted = self._must_end
        await self._live_on(turn, handle.ended)

    async def _live_on(self, turn: RunningTurn, ended: asyncio.Future[Turn]) -> None:
        self._pulse.add(turn)
        try:
            stored = await self._ending.store(turn, await self._run(turn), ended)
        except Exception as error:  # noqa: BLE001  # told to whoever waits
            self._tell(turn, error)
            if not ended.done():
                ended.set_exception(error)
        else:
            if not ended.done():
                ended.set_result(stored)
        finally:
            self._pulse.discard(turn)
            del self._ends[turn.ref.turn_id]

    def _prompt(self, new: NewTurn, admission: Admission) -> Prompt:
        return build_prompt(
            system_prompt=self._policy.system_prompt,
            window=admission.window,
            turn_id=new.turn_id,
            question=new.text,
            quote=new.quote,
            max_tokens=self._policy.max_tokens,
            history_max_chars=self._policy.history_max_chars,
        )

    async def _run(self, turn: RunningTurn) -> TurnEnd:
        """Get an answer, or find out why there is none."""
        result: LLMReply | str
        try:
            result = await self._asking.ask(turn)
        except TurnLost:
            raise
        except Exception as error:  # noqa: BLE001  # whatever broke, the turn must end
            self._observer.turn_broken(turn.ref, error)
            result = INTERNAL_ERROR
        return ended_with(
            result,
            digest=turn.digest,
            reply_id=MessageId(self._ids.new_id()),
            now=self._clock.now(),
        )

    def _tell(self, turn: RunningTurn, error: Exception) -> None:
        if isinstance(error, TurnLost):
            self._observer.turn_lost(turn.ref)
        else:
            self._observer.turn_broken(turn.ref, error)
