"""Room 1, the hexagon: goes on with turns whose process is gone.

May import: standard library, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio

from chatcore.model.journal import TakenTurn
from chatcore.model.policy import ChatPolicy
from chatcore.model.turn import Turn, TurnRef
from chatcore.ports.clock import Clock
from chatcore.ports.reply_journal import ReplyJournal
from chatcore.turns.life import Life
from chatcore.turns.live_reply import LiveReply
from chatcore.turns.running import Cut
from chatcore.turns.running_turns import RunningTurns
from chatcore.turns.sweeping import Successor
from chatcore.turns.tasks import Tasks
from chatcore.turns.template import TemplateKeeper
from chatcore.turns.watching import Watcher


class TakingOver(Successor):
    """Makes an abandoned turn ours, with the readers it has here already.

    Args:
        journal: Where turns are taken over.
        turns: Those that run here.
        life: What they go on to live.
        watcher: Has been following some of them for their readers.
        template: What requests are made with.
        tasks: Where they live.
        clock: Tells the time.
        policy: How long a lease lasts.
    """

    def __init__(
        self,
        journal: ReplyJournal,
        *,
        turns: RunningTurns,
        life: Life,
        watcher: Watcher,
        template: TemplateKeeper,
        tasks: Tasks,
        clock: Clock,
        policy: ChatPolicy,
    ) -> None:
        self._journal = journal
        self._turns = turns
        self._life = life
        self._watcher = watcher
        self._template = template
        self._tasks = tasks
        self._clock = clock
        self._policy = policy

    def runs(self, ref: TurnRef) -> bool:
        """Whether this very attempt is running here, or about to."""
        turn = self._turns.find(ref.owner_id, ref.turn_id)
        if turn is None or (turn.task is not None and turn.task.done()):
            return False
        return turn.is_moving_on or turn.ref.attempt == ref.attempt

    @property
    def has_room(self) -> bool:
        """Whether one more turn may run here."""
        return self._turns.places.is_any_free

    def keep_room(self, count: int) -> None:
        """Let abandoned turns have the next places, before new questions do."""
        self._turns.places.keep(count)

    async def take_over(self, ref: TurnRef) -> TakenTurn:
        """Make an abandoned turn ours, and go on with it in a task of its own."""
        self._turns.places.take_kept()
        try:
            taken = await self._take(ref)
            task = self._go_on(taken)
        except BaseException:
            self._turns.places.give_back()
            raise
        task.add_done_callback(self._turns.places.give_back)
        return taken

    async def _take(self, ref: TurnRef) -> TakenTurn:
        await self._template.keep()
        return await self._journal.take_over(
            ref,
            template=self._template.digest,
            stream=True,
            lease_seconds=self._policy.lease_seconds,
            now=self._clock.now(),
        )

    def _go_on(self, taken: TakenTurn) -> asyncio.Task[None]:
        ref = taken.ref
        live = self.known_reply(ref)
        live.restart(ref.attempt)
        turn = self._turns.enter(
            ref,
            live=live,
            make_prompt=self._template.prompt(ref.turn_id, taken.text, taken.quote, taken.window),
            stream=True,
            max_attempts=taken.max_attempts,
            seconds_left=taken.seconds_left,
        )
        turn.task = self._tasks.spawn(self._life.run(turn), name=f"turn {ref.turn_id}")
        return turn.task

    def known_reply(self, ref: TurnRef) -> LiveReply:
        """Return the reply, which readers here may hold already, of a turn that was not ours."""
        live = self._watcher.hand_out(ref.owner_id, ref.turn_id)
        older = self._turns.find(ref.owner_id, ref.turn_id)
        if older is not None:
            older.cut(Cut.LOST)
        return live or (older.live if older else LiveReply())

    def reply_of(self, turn: Turn) -> LiveReply:
        """Return the reply of a turn that the store says is running, wherever it runs."""
        running = self._turns.find(turn.owner_id, turn.id)
        if running and (running.is_moving_on or running.ref.attempt >= turn.attempt):
            return running.live
        if running is not None:
            # Somebody else has it by now, and the next heartbeat would tell us.
            running.cut(Cut.LOST)
            self._turns.leave(running)
        return self._watcher.watch(
            turn.owner_id,
            turn.session_id,
            turn.id,
            attempt=turn.attempt,
            live=None if running is None else running.live,
        )
