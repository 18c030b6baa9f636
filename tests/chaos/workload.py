"""What clients do all day: everything the service offers, at random, by seed.

May import: standard library, tests.chaos.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from tests.chaos.provider import FAULTS
from tests.chaos.rig import Rig
from tests.chaos.visitor import Outcome, Talk, Visitor

_TURNS_A_TALK = 12
_QUICK_FAULTS = tuple(f for f in FAULTS if f not in {"hang", "silent", "huge"})
_LEAVE_PAUSE_SECONDS = 0.3


class Client:
    """One visitor and the conversation it is in.

    Args:
        rig: Where.
        visitor: Who.
        counts: What was done, by kind; shared by all clients.
    """

    def __init__(self, rig: Rig, visitor: Visitor, counts: Counter[str]) -> None:
        self._rig = rig
        self._visitor = visitor
        self._rng = visitor.rng
        self._counts = counts
        self._talk = Talk()
        self._deeds: list[tuple[int, str, Callable[[], Awaitable[Any]]]] = [
            (16, "stream", self.stream),
            (10, "json", self.json),
            (6, "faulty", self.faulty),
            (4, "slow", self.slow),
            (5, "leave and come back", self.leave_and_come_back),
            (4, "stop", self.stop),
            (3, "supersede", self.supersede),
            (3, "one key many times", self.one_key_many_times),
            (2, "two at once", self.two_at_once),
            (3, "look back", self.look_back),
            (3, "revise", self.revise),
            (1, "other body", self.other_body),
            (1, "erase", self.erase),
        ]

    async def go_on(self, is_over: asyncio.Event) -> None:
        """Do one thing after the other until it is time."""
        weights = [weight for weight, _, _ in self._deeds]
        while not is_over.is_set():
            _, name, deed = self._rng.choices(self._deeds, weights)[0]
            if len(self._talk.turns) > _TURNS_A_TALK or not self._talk.is_certain:
                self._talk = Talk()
            self._counts[name] += 1
            await deed()

    async def stream(self) -> None:
        """Ask and read along; sometimes without a key, and then never twice."""
        if self._rng.random() < 0.2:
            await self._see_through(await self._visitor.ask(self._talk, self._question()))
        else:
            await self._ask(self._question())

    async def json(self) -> None:
        """Ask and wait."""
        await self._ask(self._question(), stream=False)

    async def faulty(self) -> None:
        """Ask what the model will choke on, once or always."""
        rare = self._rng.random() < 0.05
        fault = self._rng.choice(FAULTS if rare else _QUICK_FAULTS)
        on = "all" if self._rng.random() < 0.2 else "1"
        await self._ask(self._question(fault=fault, on=on), stream=self._rng.random() < 0.7)

    async def slow(self) -> None:
        """Ask for an answer that takes a while: most of what is killed meets one of these."""
        pace = self._rng.randint(40, 120)
        await self._ask(self._question(words=self._rng.randint(20, 60), pace=pace))

    async def leave_and_come_back(self) -> None:
        """Leave in the middle, and come back to any place read so far, several times."""
        question = self._question(words=40, pace=self._rng.randint(5, 40))
        outcome = await self._ask(question, leave_at=self._rng.randint(0, 300))
        for _ in range(self._rng.randint(1, 3)):
            if outcome.kind != "cut" or outcome.turn is None:
                return
            await asyncio.sleep(self._rng.random() * _LEAVE_PAUSE_SECONDS)
            reading = outcome.reading
            after = None
            if reading is not None and reading.runs and self._rng.random() < 0.8:
                attempt, start, text = reading.runs[-1]
                after = f"{attempt}.{self._rng.randint(0, start + len(text))}"
            leave_at = self._rng.randint(0, 600) if self._rng.random() < 0.3 else None
            found = await self._visitor.follow(
                self._talk, outcome.turn, after=after, leave_at=leave_at
            )
            outcome = Outcome("cut", turn=outcome.turn, reading=found or reading)
        await self._see_through(outcome)

    async def stop(self) -> None:
        """Stop a reply in the middle, from wherever, and go on at once."""
        question = self._question(words=60, pace=20)
        outcome = await self._ask(question, leave_at=self._rng.randint(0, 400))
        if outcome.kind != "cut" or outcome.turn is None:
            return
        again = self._rng.random() < 0.2
        for _ in range(2 if again else 1):
            if await self._until(lambda: self._visitor.stop(self._talk, outcome.turn or "")):
                # On record, so that the question after a stop is one that a stop was confirmed for.
                await self._visitor.look(self._talk, outcome.turn)
                self._talk.stopped = outcome.turn
        await self._ask(self._question())

    async def supersede(self) -> None:
        """Ask something else while the reply to the last question is being written."""
        await self._ask(self._question(words=60, pace=20), leave_at=self._rng.randint(0, 300))
        await self._ask(self._question(), on_busy="supersede")

    async def one_key_many_times(self) -> None:
        """Send one question several times at once, in both forms, to all replicas."""
        key, question = self._visitor.key(), self._question(words=30, pace=10)
        talk = await self._opened()
        if talk.session is None:
            return
        await asyncio.gather(
            *(
                self._visitor.ask_until_known(
                    talk, question, key=key, stream=self._rng.random() < 0.5
                )
                for _ in range(self._rng.randint(2, 5))
            )
        )
        await self._calm_down()

    async def two_at_once(self) -> None:
        """Send two questions at once: one of them is in the other's way, or they take turns."""
        talk = await self._opened()
        if talk.session is None:
            return
        await asyncio.gather(
            *(
                self._visitor.ask_until_known(talk, self._question(words=30, pace=5))
                for _ in range(2)
            )
        )
        await self._calm_down()

    async def look_back(self) -> None:
        """Read what was said, and an old turn again from any place."""
        if self._talk.session is None:
            return
        await self._visitor.messages(self._talk)
        if self._talk.turns:
            turn = self._rng.choice(self._talk.turns)
            await self._visitor.look(self._talk, turn)
            await self._visitor.follow(self._talk, turn)

    async def revise(self) -> None:
        """Ask a question again, or another in its place."""
        if self._talk.session is None:
            return
        items = await self._visitor.messages(self._talk)
        mine = [i for i in items if i["role"] == "user" and not i.get("superseded_by")]
        if not mine:
            return
        item = self._rng.choice(mine)
        verb = self._rng.choice(("edit", "regenerate"))
        text = self._question() if verb == "edit" else ""
        path = f"/sessions/{self._talk.session}/messages/{item['message_id']}/{verb}"
        outcome = await self._visitor.ask_until_known(
            self._talk, text, path=path, stream=self._rng.random() < 0.5
        )
        if outcome.kind != "refused" and outcome.turn:
            self._rig.history.add(
                "replaced",
                session=self._talk.session,
                turn=outcome.turn,
                old=item["turn_id"],
                verb=verb,
            )

    async def other_body(self) -> None:
        """Send another question with a key that is taken."""
        key = self._visitor.key()
        outcome = await self._ask(self._question(), key=key)
        if outcome.kind == "answer":
            await self._visitor.ask(self._talk, self._question(), key=key)

    async def erase(self) -> None:
        """Erase the session, sometimes in the middle of a reply, and begin another."""
        if self._talk.session is None:
            return
        if self._rng.random() < 0.5:
            await self._ask(self._question(words=60, pace=20), leave_at=100)
        await self._until(lambda: self._visitor.erase(self._talk))
        self._talk = Talk()

    def _question(self, **options: object) -> str:
        usual: dict[str, object] = {
            "words": self._rng.randint(4, 24),
            "pace": self._rng.randint(0, 4),
            "chunk": self._rng.randint(1, 5),
        }
        return self._visitor.question(**(usual | options))

    async def _ask(self, question: str, **options: Any) -> Outcome:
        """Ask until it is admitted: an earlier turn may have to be waited for."""
        give_up = time.monotonic() + 20
        while True:
            outcome = await self._visitor.ask_until_known(self._talk, question, **options)
            if outcome.kind != "refused" or outcome.code != "session_busy":
                return outcome
            if time.monotonic() > give_up:
                self._talk = Talk()
                return outcome
            await self._see_through(Outcome("cut", turn=outcome.turn))

    async def _opened(self) -> Talk:
        """Return a conversation that has begun, unless that cannot be had just now."""
        if self._talk.session is None:
            await self._ask(self._question())
        return self._talk

    async def _see_through(self, outcome: Outcome) -> None:
        if outcome.turn is not None and self._talk.session is not None:
            give_up = time.monotonic() + 20
            await self._visitor.see_through(self._talk, outcome, give_up=give_up)

    async def _calm_down(self) -> None:
        """See through whatever turn may still run."""
        if self._talk.turns:
            await self._see_through(Outcome("cut", turn=self._talk.turns[-1]))

    async def _until(self, deed: Callable[[], Awaitable[bool]]) -> bool:
        give_up = time.monotonic() + 10
        while time.monotonic() < give_up:
            if await deed():
                return True
            await asyncio.sleep(self._rng.uniform(0.05, 0.2))
        return False


async def crowd(rig: Rig, *, clients: int, is_over: asyncio.Event) -> Counter[str]:
    """Let many clients do as they like until it is time; return what they did."""
    counts: Counter[str] = Counter()
    random.seed(rig.rng.getrandbits(32))
    together = [Client(rig, rig.visitor(), counts) for _ in range(clients)]
    await asyncio.gather(*(client.go_on(is_over) for client in together))
    return counts
