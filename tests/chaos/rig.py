"""Everything together: replicas, proxies, a model, a database, clients; and how to end them.

May import: standard library, aiohttp, tests.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.forkserver import ForkServer
from tests.chaos.history import History
from tests.chaos.postgres import Postgres
from tests.chaos.provider import Provider
from tests.chaos.proxy import Proxy
from tests.chaos.visitor import Visitor
from tests.ports import kept_port

POLICY: dict[str, Any] = {
    "lease_seconds": 2.0,
    "pulse_seconds": 0.1,
    "sweep_seconds": 0.4,
    "idle_sweep_seconds": 0.4,
    "deadline_seconds": 25.0,
    "storage_patience_seconds": 6.0,
}
"""What makes time pass quicker than in production, where a lease lasts 15 seconds."""
_READY_SECONDS = 20.0
_START_FAILED = 3
_SECRETS = {"LLM_TIMEOUT_SECONDS": "2", "LOG_LEVEL": "warning"}


@dataclass(eq=False)
class Slot:
    """A place for one replica, which lives there many times.

    Attributes:
        state: `down`, `starting`, `up`, `frozen` or `leaving`.
        name: Of its present life.
        doomed_by: The failpoint it was started with, if any.
    """

    index: int
    proxy: Proxy
    port: int
    policy: dict[str, Any] = field(default_factory=dict)
    state: str = "down"
    pid: int = 0
    lives: int = 0
    doomed_by: str | None = None
    since: float = 0.0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    exit_status: int | None = None

    @property
    def name(self) -> str:
        """Which life of which replica."""
        return f"r{self.index}.{self.lives}"

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def signal(self, number: int) -> None:
        """Send its process a signal, if there still is one."""
        if self.state != "down":
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Rig:
    """One database and all that runs on it.

    Args:
        folder: Where everything is written down.
        postgres: Where the database is made.
        forks: Who starts replicas.
        database: Its name.
        replicas: How many.
        mutant: A bug that all replicas have.
        policy: Fields of `ChatPolicy`, over `POLICY`.
        settings: Settings to change, by their variables' names.
        drain_seconds: How long running turns may go on after SIGTERM.
        skews: By how many seconds each replica's clock is wrong.
        send_bytes: How much the system keeps of what a client of a replica does not read; None: as
            much as it likes.

    Attributes:
        counts: What was done to it, by kind.
        exits: How replicas ended that nobody had asked to: there should be none.
    """

    def __init__(
        self,
        folder: Path,
        *,
        postgres: Postgres,
        forks: ForkServer,
        database: str,
        replicas: int = 2,
        seed: int = 1,
        mutant: str | None = None,
        policy: dict[str, Any] | None = None,
        settings: dict[str, str] | None = None,
        drain_seconds: float = 0.5,
        skews: tuple[float, ...] = (),
        send_bytes: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.postgres = postgres
        self.database = database
        self.rng = random.Random(seed)
        self.history = History(folder / "history.jsonl")
        self.provider = Provider(folder / "provider.jsonl")
        self.counts: Counter[str] = Counter()
        self.exits: list[str] = []
        self.slots: list[Slot] = []
        self.on_down: Callable[[Slot], None] | None = None
        self._forks = forks
        self._size = replicas
        self._mutant = mutant
        self._drain_seconds = drain_seconds
        self._send_bytes = send_bytes
        self._skews = (*skews, *[0.0] * replicas)
        self.policy = POLICY | (policy or {})
        self._settings = _SECRETS | (settings or {})
        self._base_url = ""
        self._http: aiohttp.ClientSession | None = None
        self._visitors = 0
        # Kept while a replica is down: else another rig's might get it, and with it our clients.
        self._ports = ExitStack()

    async def open(self, *, start: bool = True) -> Rig:
        """Make the database and start everything."""
        await self.postgres.make_database(self.database)
        self._base_url = await self.provider.start()
        connector = aiohttp.TCPConnector(limit=0)
        self._http = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=2**20
        )
        for index in range(self._size):
            proxy = Proxy(self.postgres.socket_path)
            await proxy.start()
            self.slots.append(Slot(index, proxy, self._ports.enter_context(kept_port())))
        if start:
            await asyncio.gather(*(self.start(slot) for slot in self.slots))
        return self

    async def close(self, *, keep_database: bool = False) -> None:
        """End everything; what was written down stays."""
        self.on_down = None
        for slot in self.slots:
            slot.signal(signal.SIGCONT)
            slot.signal(signal.SIGKILL)
        for slot in self.slots:
            if slot.state != "down":
                with suppress(TimeoutError):
                    await asyncio.wait_for(slot.ended.wait(), 5)
            await slot.proxy.stop()
        self._ports.close()
        await self.provider.stop()
        assert self._http is not None
        await self._http.close()
        self.history.flush()
        if not keep_database:
            await self.postgres.drop_database(self.database)

    async def start(
        self, slot: Slot, *failpoints: dict[str, Any], wait: bool = True, **policy: Any
    ) -> None:
        """Begin another life of a replica."""
        assert slot.state == "down", slot
        slot.lives += 1
        slot.state = "starting"
        slot.doomed_by = failpoints[0]["point"] if failpoints else None
        slot.ended = asyncio.Event()
        slot.exit_status = None
        config = {
            "name": slot.name,
            "port": slot.port,
            "dsn": slot.proxy.dsn(self.database),
            "provider": self._base_url,
            "diary": str(self.folder / "replicas.jsonl"),
            "stderr": str(self.folder / "stderr.log"),
            "policy": self.policy | slot.policy | policy,
            "settings": self._settings,
            "drain_seconds": self._drain_seconds,
            "failpoints": list(failpoints),
            "mutant": self._mutant,
            "clock_skew_seconds": self._skews[slot.index],
            "send_bytes": self._send_bytes,
        }
        life = slot.lives
        slot.pid = await self._forks.fork(config, lambda code: self._ended(slot, life, code))
        slot.since = time.monotonic()
        if wait:
            await self.until_up(slot)

    async def until_up(self, slot: Slot) -> bool:
        """Wait until it answers; False if it ended instead."""
        give_up = time.monotonic() + _READY_SECONDS
        life = slot.lives
        while slot.state == "starting" and slot.lives == life and time.monotonic() < give_up:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", slot.port)
                writer.close()
                if slot.lives == life and slot.state == "starting":
                    slot.state = "up"
                return True
            await asyncio.sleep(0.02)
        return False

    async def end(self, slot: Slot, number: int = signal.SIGKILL, *, within: float = 10) -> None:
        """Send a signal and wait until it is gone."""
        if slot.state == "down":
            return
        if number == signal.SIGTERM:
            slot.state = "leaving"
        ended = slot.ended
        slot.signal(number)
        await asyncio.wait_for(ended.wait(), within)

    def route(self) -> str:
        """Pick a replica as a load balancer would, which does not know yet who is frozen."""
        ready = [slot for slot in self.slots if slot.state in {"up", "frozen"}]
        return self.rng.choice(ready or self.slots).address

    def visitor(self, route: Callable[[], str] | None = None) -> Visitor:
        """Return a new client with an owner of its own."""
        self._visitors += 1
        assert self._http is not None
        return Visitor(
            f"v{self._visitors}",
            http=self._http,
            history=self.history,
            route=route or self.route,
            rng=random.Random(self.rng.getrandbits(64)),
        )

    async def settle(self, *, within: float = 30.0) -> bool:
        """Wait until no turn runs; False if some still do."""
        give_up = time.monotonic() + within
        query = (
            "SELECT count(*) AS n FROM chatcore.turns WHERE status = 'running'",
            "SELECT (SELECT count(*) FROM chatcore.turns WHERE status = 'running') AS n",
        )
        while True:
            rows = await self.postgres.execute(self.database, query)
            if rows[0]["n"] == 0:
                return True
            if time.monotonic() > give_up:
                return False
            await asyncio.sleep(0.1)

    def _ended(self, slot: Slot, life: int, status: int) -> None:
        """Note how a replica ended."""
        if slot.lives != life:
            return
        by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if by == signal.SIGKILL:
            if slot.doomed_by is not None:
                slot.doomed_by = f"{slot.doomed_by}!"
        elif slot.state == "starting" and os.waitstatus_to_exitcode(status) == _START_FAILED:
            self.counts["starts refused"] += 1  # the database was away; a supervisor tries again
        elif slot.state != "leaving" or (status != 0 and by != signal.SIGTERM):
            self.exits.append(f"{slot.name}: status {status} while {slot.state}")
        slot.state = "down"
        slot.exit_status = status
        slot.ended.set()
        if self.on_down is not None:
            self.on_down(slot)
