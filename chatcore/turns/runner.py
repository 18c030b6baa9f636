"""Room 1, the hexagon: admits and runs turns, each in a task of its own, never in a request's.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio

from chatcore.errors import ServiceStopping, SessionBusy
from chatcore.model.admission import Admission, NewTurn, OnBusy
from chatcore.model.policy import ChatPolicy
from chatcore.model.turn import Turn
from chatcore.ports.chat_repository import ChatRepository
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.llm import LLMPort
from chatcore.ports.turn_observer import TurnObserver
from chatcore.turns.asking import Asking
from chatcore.turns.ending import Ending
from chatcore.turns.handing_over import HandingOver
from chatcore.turns.life import Life
from chatcore.turns.live_reply import LiveReply
from chatcore.turns.pulse import Pulse
from chatcore.turns.quiet_observer import QuietObserver
from chatcore.turns.running import Begun, RunningTurn, ref_of
from chatcore.turns.running_turns import RunningTurns
from chatcore.turns.sweeping import Sweeper
from chatcore.turns.taking_over import TakingOver
from chatcore.turns.tasks import Tasks
from chatcore.turns.template import TemplateKeeper
from chatcore.turns.watching import Watcher

_LAST_WORDS_SECONDS = 2.0


class TurnRunner:
    """Runs turns to their end, whoever is or is not reading them (guarantee G5).

    Args:
        repository: Where turns live.
        llm: Who answers.
        clock: Tells the time.
        ids: Makes the replies' ids.
        observer: Is told what happens.
        policy: Deadlines and limits.

    Attributes:
        template: Digest of what this process makes its requests with.
        turns: Those that run here.
        sweeper: Finds the turns of dead processes.
        watcher: Follows the turns of other processes.
    """

    def __init__(
        self,
        *,
        repository: ChatRepository,
        llm: LLMPort,
        clock: Clock,
        ids: IdSource,
        observer: TurnObserver,
        policy: ChatPolicy,
    ) -> None:
        self._repository = repository
        self._template = TemplateKeeper(repository, llm=llm, policy=policy)
        self.template = self._template.digest
        self._observer = observer = QuietObserver(observer)
        self._ending = Ending(repository, observer=observer, policy=policy)
        self._pulse = Pulse(repository, observer=observer, policy=policy)
        self._tasks = Tasks()
        self.is_closing = False
        self.turns = RunningTurns(self._pulse, most=policy.max_running_turns)
        self._handing_over = HandingOver(self.turns, pulse=self._pulse, observer=observer)
        self.watcher = self._make_watcher(policy)
        self._life = self._make_life(self._make_asking(llm, clock, policy), clock, ids)
        self._taking_over = self._make_successor(clock, policy)
        self.sweeper = self._make_sweeper(clock, ids, policy)

    def _make_watcher(self, policy: ChatPolicy) -> Watcher:
        return Watcher(
            self._repository,
            observer=self._observer,
            tasks=self._tasks,
            policy=policy,
            on_abandoned=lambda *session: self.sweeper.sweep(session),
        )

    def _make_asking(self, llm: LLMPort, clock: Clock, policy: ChatPolicy) -> Asking:
        return Asking(
            llm=llm,
            repository=self._repository,
            clock=clock,
            observer=self._observer,
            policy=policy,
            template=self._template.digest,
        )

    def _make_life(self, asking: Asking, clock: Clock, ids: IdSource) -> Life:
        return Life(
            self.turns,
            asking=asking,
            ending=self._ending,
            watcher=self.watcher,
            handing_over=self._handing_over,
            clock=clock,
            ids=ids,
            observer=self._observer,
        )

    def _make_sweeper(self, clock: Clock, ids: IdSource, policy: ChatPolicy) -> Sweeper:
        return Sweeper(
            self._repository,
            successor=self._taking_over,
            clock=clock,
            ids=ids,
            observer=self._observer,
            policy=policy,
        )

    def _make_successor(self, clock: Clock, policy: ChatPolicy) -> TakingOver:
        return TakingOver(
            self._repository,
            turns=self.turns,
            life=self._life,
            watcher=self.watcher,
            template=self._template,
            tasks=self._tasks,
            clock=clock,
            policy=policy,
        )

    def begin(self, new: NewTurn) -> asyncio.Future[Begun]:
        """Start a task that admits a turn and runs it to its end.

        Admitting is the task's too: a caller cancelled in the middle of it would otherwise leave a
        turn that nobody runs.

        Returns:
            Done when the turn is admitted or refused. Waiting for it must be shielded.

        Raises:
            ServiceStopping: `drain` was called.
            ServiceOverloaded: As many turns as may are running here, or being admitted.
        """
        if self.is_closing:
            raise ServiceStopping
        self.sweeper.note_work()
        self.turns.places.take()
        begun: asyncio.Future[Begun] = asyncio.get_running_loop().create_future()
        # Whoever waits has the error; nobody waiting is no fault.
        begun.add_done_callback(lambda done: done.cancelled() or done.exception())
        task = self._tasks.spawn(self._live(new, begun), name=f"turn {new.turn_id.hex}")
        task.add_done_callback(self.turns.places.give_back)
        return begun

    def live_of(self, turn: Turn) -> LiveReply:
        """Return the reply of a turn that the store says is running, wherever it runs."""
        self.sweeper.note_work()
        return self._taking_over.reply_of(turn)

    async def admit(self, new: NewTurn) -> Admission:
        """Admit a turn, with all that comes before; whoever calls this runs it.

        Raises:
            SessionBusy: A turn of the session is running, and the caller rejects.
            ChatError: See `TurnRepository.admit`.
        """
        await self._template.keep()
        if new.on_busy is OnBusy.SUPERSEDE:
            await self._pulse.flush(self.turns.of_session(new.owner_id, new.session_id))
        try:
            admission = await self._repository.admit(new)
        except SessionBusy as busy:
            if not busy.is_abandoned:
                raise
            # Nobody may have noticed yet; then it goes on here, or is out of the way.
            await self.sweeper.sweep((new.owner_id, new.session_id))
            admission = await self._repository.admit(new)
        self.turns.lose(new.owner_id, admission.superseded)
        return admission

    async def drain(self, *, timeout_seconds: float) -> None:
        """Admit nothing more, let running turns finish, then hand the rest over to others."""
        self.is_closing = True
        self.sweeper.stop()
        self.watcher.close()
        # What is kept nowhere has a place but no task here; nobody else can go on with it.
        ends = (self._tasks.wait, self.turns.places.wait)
        await asyncio.gather(*[wait(timeout_seconds=timeout_seconds) for wait in ends])
        self._ending.must_hurry = True
        self.turns.hand_over()
        await self._tasks.wait(timeout_seconds=_LAST_WORDS_SECONDS)
        await self._handing_over.finish()
        await self._pulse.close()

    async def _live(self, new: NewTurn, begun: asyncio.Future[Begun]) -> None:
        try:
            admission = await self.admit(new)
            turn = self._enter(new, admission) if admission.is_to_run else None
        except BaseException as error:
            begun.set_exception(error if isinstance(error, Exception) else ServiceStopping())
            if not isinstance(error, Exception):
                raise
            return
        self._observer.turn_admitted(ref_of(admission.turn), repeated=admission.repeated)
        begun.set_result(Begun(admission, None if turn is None else turn.live))
        if turn is not None:
            await self._life.run(turn)

    def _enter(self, new: NewTurn, admission: Admission) -> RunningTurn:
        ref = ref_of(admission.turn)
        turn = self.turns.enter(
            ref,
            live=self._taking_over.known_reply(ref),
            make_prompt=self._template.prompt(new.turn_id, new.text, new.quote, admission.window),
            stream=new.stream,
            max_attempts=new.max_attempts,
            seconds_left=new.deadline_seconds,
        )
        turn.task = asyncio.current_task()
        return turn
