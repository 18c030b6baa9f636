"""Room 1, the hexagon: all turns that run in this process.

May import: standard library, chatcore.model, chatcore.turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import WeakValueDictionary

from chatcore.model.ids import OwnerId, SessionId, TurnId
from chatcore.model.prompt import Prompt
from chatcore.model.turn import Turn, TurnRef
from chatcore.turns.live_reply import LiveReply
from chatcore.turns.places import Places
from chatcore.turns.pulse import Pulse
from chatcore.turns.running import Cut, RunningTurn


class RunningTurns:
    """Knows them, and has the pulse keep them alive.

    Args:
        pulse: The heartbeat of this process.
        most: How many there may be at a time; None: as many as come.

    Attributes:
        places: Who wants to run a turn here takes one first, and gives it back afterwards.
    """

    def __init__(self, pulse: Pulse, *, most: int | None) -> None:
        self.places = Places(most)
        self._pulse = pulse
        self._by_id: dict[tuple[OwnerId, TurnId], RunningTurn] = {}
        self._ended: WeakValueDictionary[TurnId, LiveReply] = WeakValueDictionary()
        self._must_end = False

    def find(self, owner_id: OwnerId, turn_id: TurnId) -> RunningTurn | None:
        """Return a turn that runs here."""
        return self._by_id.get((owner_id, turn_id))

    def of_session(self, owner_id: OwnerId, session_id: SessionId) -> list[RunningTurn]:
        """Return the turns of a session that run here: one, or those we have yet to notice lost."""
        place = (owner_id, session_id)
        found = self._by_id.values()
        return [turn for turn in found if (turn.ref.owner_id, turn.ref.session_id) == place]

    def enter(
        self,
        ref: TurnRef,
        *,
        live: LiveReply,
        make_prompt: Callable[[], Prompt],
        stream: bool,
        max_attempts: int,
        seconds_left: float,
    ) -> RunningTurn:
        """Note that a turn runs here; once the process is closing it is handed over at once.

        Args:
            ref: The turn as its attempt holds it.
            live: Its reply.
            make_prompt: Makes what the model is asked.
            stream: Whether it is asked for parts.
            max_attempts: How often.
            seconds_left: Until its deadline.
        """
        now = time.monotonic()
        turn = RunningTurn(
            ref=ref,
            make_prompt=make_prompt,
            live=live,
            max_attempts=max_attempts,
            stream=stream,
            started=now,
            deadline=now + seconds_left,
            renewed=now,
        )
        self._by_id[ref.owner_id, ref.turn_id] = turn
        self._pulse.add(turn)
        if self._must_end:
            turn.cut(Cut.HANDED_OVER)
        return turn

    def leave(self, turn: RunningTurn) -> None:
        """Note that it runs here no longer."""
        self._pulse.discard(turn)
        key = (turn.ref.owner_id, turn.ref.turn_id)
        # It may have been taken over by ourselves: then that attempt is who is here.
        if self._by_id.get(key) is turn:
            del self._by_id[key]

    def lose(self, owner_id: OwnerId, turn_id: TurnId | None) -> None:
        """Have a turn end without an end, if it runs here: somebody else has stopped it."""
        turn = None if turn_id is None else self.find(owner_id, turn_id)
        if turn is not None:
            turn.cut(Cut.LOST)

    def ended(self, turn: Turn) -> LiveReply:
        """Return the reply of a turn that has ended; all who read it meanwhile share it."""
        live = self._ended.get(turn.id)
        if live is None or live.end != turn:
            live = self._ended[turn.id] = LiveReply(attempt=turn.attempt)
            live.finish(turn)
        return live

    def hand_over(self) -> None:
        """Have all of them end without an end, now and from now on: others go on with them."""
        self._must_end = True
        for turn in self._by_id.values():
            turn.cut(Cut.HANDED_OVER)
