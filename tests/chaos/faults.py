"""What goes wrong, and how often: replicas, the database and the lines between are broken by seed.

May import: standard library, asyncpg, tests.chaos.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg

from tests.chaos.failpoints import FAILPOINTS
from tests.chaos.proxy import KINDS
from tests.chaos.rig import Rig, Slot

WEIGHTS: dict[str, float] = {
    "sigkill": 1000,
    "failpoint": 750,
    "zombie": 310,
    "stall": 150,
    "sigterm": 120,
    "postgres crash": 510,
    "backend kill": 60,
    "backends terminated": 300,
    "connections cut": 200,
    "aimed cut": 400,
    "black hole": 100,
    "delay": 60,
}
"""How many of each a long run is to see, and their proportions in a short one."""
VARIETY: tuple[dict[str, Any], ...] = (
    {"max_attempts": 2},
    {"max_attempts": 3, "whole_answers": False},
    {"max_attempts": 2},
    {"max_attempts": 1},
)
"""How replicas differ from each other: turns carry their limits with them wherever they go."""
_RARE = {"stop", "give_up", "next_attempt", "take_over", "release"}
_RESCUE_SECONDS = 8.0


class Nemesis:
    """Breaks things until it is time.

    Args:
        rig: What to break.
        quotas: How many of each, spread evenly over the time.

    Attributes:
        done: How many of each were done.
        hits: Failpoints at which a replica has ended.
        outages: How long PostgreSQL was away each time, in seconds.
        kills: Which life of which replica was killed, and when.
    """

    def __init__(self, rig: Rig, quotas: dict[str, float]) -> None:
        self._rig = rig
        self._quotas = quotas
        self._rng = random.Random(rig.rng.getrandbits(64))
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._arms: Counter[str] = Counter()
        self._crashing = False
        self._share = 0.0
        self._not_before: dict[str, float] = {}
        self.done: Counter[str] = Counter()
        self.hits: Counter[str] = Counter()
        self._read_to = 0
        self.kills: list[tuple[str, float]] = []
        self.outages: list[float] = []
        self._deeds: dict[str, Callable[[], Awaitable[bool]]] = {
            "sigkill": self._sigkill,
            "zombie": self._zombie,
            "stall": self._stall,
            "sigterm": self._sigterm,
            "postgres crash": self._crash_postgres,
            "backend kill": self._kill_backend,
            "backends terminated": self._terminate_backends,
            "connections cut": self._cut,
            "aimed cut": self._aim,
            "black hole": self._black_hole,
            "delay": self._delay,
        }

    async def rage(self, *, seconds: float) -> None:
        """Do what the quotas say, one after the other, whatever is most behind first."""
        self._rig.on_down = self._gone
        began = time.monotonic()
        deeds = {name: quota for name, quota in self._quotas.items() if name in self._deeds}
        pause = seconds / max(1.0, sum(deeds.values()))
        while (elapsed := time.monotonic() - began) < seconds:
            self._share = share = elapsed / seconds
            now = time.monotonic()
            due = [
                name
                for name, quota in deeds.items()
                if quota * share > self.done[name] and self._not_before.get(name, 0) < now
            ]
            if due:
                name = self._rng.choices(due, [deeds[name] for name in due])[0]
                self.done[name] += 1
                self._spawn(self._do(name))
            await asyncio.sleep(pause * self._rng.uniform(0.2, 0.9))

    async def complete(self, *, times: int, within: float) -> None:
        """Go on with failpoints alone until each was met so often, or it takes too long."""
        give_up = time.monotonic() + within
        while time.monotonic() < give_up:
            self._count_hits()
            missing = [point for point in FAILPOINTS if self.hits[point] < times]
            if not missing:
                return
            self._quotas = {"failpoint": 1e9}
            idle = [s for s in self._rig.slots if s.state == "up" and s.doomed_by not in missing]
            if idle and self._victim() is not None:
                idle[0].doomed_by = None
                idle[0].signal(signal.SIGKILL)
            await asyncio.sleep(0.5)

    async def calm(self) -> None:
        """Break nothing more, and have every replica back."""
        self._is_over = True
        for slot in self._rig.slots:
            slot.proxy.delay_seconds = 0.0
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=30)
        for slot in self._rig.slots:
            if slot.doomed_by and slot.state == "up":
                await self._rig.end(slot)
            if slot.state == "down":
                await self._rig.start(slot, **VARIETY[slot.index % len(VARIETY)])
        self._count_hits()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, name: str) -> None:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if await self._deeds[name]():
                return
        self.done[name] -= 1
        self._not_before[name] = time.monotonic() + 0.3

    def _gone(self, slot: Slot) -> None:
        """Begin another life at once, with another end in store."""
        if not self._is_over:
            self._spawn(self._begin_again(slot))

    async def _begin_again(self, slot: Slot) -> None:
        await asyncio.sleep(self._rng.random() * 0.1)
        if slot.state != "down":
            return
        armed = self._choose_end()
        policy = VARIETY[slot.index % len(VARIETY)]
        await self._rig.start(slot, *armed, **policy)
        if not armed:
            return
        life = slot.lives
        if armed[0]["point"].startswith("release"):
            await asyncio.sleep(self._rng.uniform(0.6, 1.5))
            if slot.lives == life and slot.state == "up":
                slot.state = "leaving"
                slot.signal(signal.SIGTERM)

    def _choose_end(self) -> list[dict[str, Any]]:
        """Return the failpoint of a new life: one of those that were met least; or none."""
        if self._rng.random() > self._share_of_failpoints():
            return []
        self._count_hits()
        fewest = sorted(FAILPOINTS, key=lambda p: (self.hits[p], self._arms[p], p))
        point = self._rng.choice(fewest[:4])
        self._arms[point] += 1
        nth = 1 if point.split(".")[0] in _RARE else self._rng.randint(1, 6)
        return [{"point": point, "nth": nth}]

    def _share_of_failpoints(self) -> float:
        """Return how many lives are to end at a failpoint, so that the quota is met in time."""
        quota = self._quotas.get("failpoint", 0.0)
        behind = quota * self._share - sum(self.hits.values())
        return 1.0 if behind > 0 else 0.25 if quota else 0.0

    def _count_hits(self) -> None:
        """Read on in the diary of the replicas, which have no time to say goodbye."""
        path = self._rig.folder / "replicas.jsonl"
        if not path.exists():
            return
        with path.open("rb") as diary:
            diary.seek(self._read_to)
            lines, ended, _ = diary.read().rpartition(b"\n")
        self._read_to += len(lines) + len(ended)
        for line in lines.split(b"\n"):
            if b'"do":"hit"' in line:
                self.hits[json.loads(line)["point"]] += 1

    def _victim(self, *, states: tuple[str, ...] = ("up",)) -> Slot | None:
        """Return a replica that may be hurt: at least one other is left."""
        fit = [slot for slot in self._rig.slots if slot.state in states]
        healthy = [slot for slot in self._rig.slots if slot.state == "up"]
        if not fit or len(healthy) < 2:
            return None
        return self._rng.choice(fit)

    async def _sigkill(self) -> bool:
        slot = self._victim(states=("up", "frozen"))
        if slot is None:
            return False
        self.kills.append((slot.name, time.monotonic()))
        slot.doomed_by = None
        slot.signal(signal.SIGKILL)
        return True

    async def _zombie(self) -> bool:
        lease = float(self._rig.policy["lease_seconds"])
        frozen = await self._freeze(lease + self._rng.uniform(0, 2))
        if frozen and self._rng.random() < 0.3:
            # Whoever took its turns over shall not live long either.
            await self._sigkill()
        return frozen

    async def _stall(self) -> bool:
        return await self._freeze(self._rng.uniform(0.2, 1.2))

    async def _freeze(self, seconds: float) -> bool:
        slot = self._victim()
        if slot is None:
            return False
        life = slot.lives
        slot.signal(signal.SIGSTOP)
        slot.state = "frozen"
        await asyncio.sleep(seconds)
        if slot.lives != life or slot.state != "frozen":
            return False
        slot.state = "up"
        slot.signal(signal.SIGCONT)
        return True

    async def _sigterm(self) -> bool:
        slot = self._victim()
        if slot is None:
            return False
        life, began = slot.lives, time.monotonic()
        try:
            await self._rig.end(slot, signal.SIGTERM, within=_RESCUE_SECONDS)
        except TimeoutError:
            if slot.lives == life and self._rig.postgres.is_up:
                waited = time.monotonic() - began
                self._rig.exits.append(f"{slot.name}: still there {waited:.1f} s after SIGTERM")
            slot.signal(signal.SIGKILL)
        return True

    async def _crash_postgres(self) -> bool:
        if self._crashing:
            return False
        self._crashing = True
        try:
            down = await self._rig.postgres.crash(down_seconds=self._rng.random() * 0.2)
            self.outages.append(down)
        finally:
            self._crashing = False
        return True

    async def _kill_backend(self) -> bool:
        """SIGKILL one of the server's processes: PostgreSQL then restarts all of them itself."""
        if self._crashing:
            return False
        rows = await self._backends(limit=1)
        if not rows:
            return False
        with suppress(ProcessLookupError):
            os.kill(rows[0]["pid"], signal.SIGKILL)
        return True

    async def _terminate_backends(self) -> bool:
        if self._crashing:
            return False
        return bool(await self._backends(limit=3, column="pg_terminate_backend(pid)"))

    async def _backends(self, *, limit: int, column: str = "pid") -> list[Any]:
        query = (
            f"SELECT {column} AS pid FROM (SELECT pid FROM pg_stat_activity"
            f" WHERE datname = '{self._rig.database}' AND pid <> pg_backend_pid()"
            f" ORDER BY random() LIMIT {limit}) AS chosen"
        )
        return await self._rig.postgres.execute("postgres", [query])

    async def _cut(self) -> bool:
        return self._rng.choice(self._rig.slots).proxy.cut_all() > 0

    async def _aim(self) -> bool:
        slot = self._victim()
        if slot is None:
            return False
        before = slot.proxy.cuts
        slot.proxy.aim(self._rng.choice(KINDS), after=self._rng.random() < 0.6)
        for _ in range(40):
            await asyncio.sleep(0.05)
            if slot.proxy.cuts > before:
                return True
        return False

    async def _black_hole(self) -> bool:
        slot = self._victim()
        if slot is None:
            return False
        await slot.proxy.black_hole(self._rng.uniform(0.3, 4.0))
        return True

    async def _delay(self) -> bool:
        proxy = self._rng.choice(self._rig.slots).proxy
        proxy.delay_seconds = self._rng.uniform(0.02, 0.2)
        await asyncio.sleep(self._rng.uniform(0.5, 2))
        proxy.delay_seconds = 0.0
        return True
