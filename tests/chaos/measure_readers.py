"""Aimed measurement of readers that hardly read, or not at all, with what must hold.

May import: standard library, tests.chaos.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

from tests.chaos.findings import Findings, spread
from tests.chaos.rig import Rig, Slot
from tests.chaos.visitor import Outcome, Talk, Visitor

READERS = 500
"""Every second one reads a byte a second, the others nothing."""

_OK = b"HTTP/1.1 200"
_RECEIVE_BYTES = 4096
# More would wait for the database longer than anybody is to wait.
_AT_ONCE = 10
# Half a megabyte for each: a piece that came late, when the machine was busy, is held by all.
_MEGABYTES = 250.0
_LATER_SECONDS = 1.5
_QUESTION = {"words": 16_000, "chunk": 80, "pace": 40}
"""An answer of nearly as many characters as are kept of one, over eight seconds."""


async def slow_readers(rig: Rig, *, turns: int = 10) -> str:
    """Five hundred readers of one reply that hardly read it, and one that does."""
    findings, slot = Findings(), rig.slots[0]
    for _ in range(2):  # the first is to get used to it
        alone = await _answer(rig, slot)
    before = _megabytes(slot, "VmRSS")
    grown: list[float] = []
    took: list[float] = []
    gaps: list[float] = []
    for _ in range(turns):
        _forget_peak(slot)
        outcome, dripped = await _in_a_crowd(rig, slot)
        grown.append(_megabytes(slot, "VmHWM") - before)
        took.append(_seconds(outcome))
        gaps += _gaps(outcome)
        findings.require(outcome.kind == "answer", "who reads did not get it all")
        findings.require(dripped > 0, "nobody read a byte")
    left = _megabytes(slot, "VmRSS") - before
    findings.told += [
        f"{turns} replies of {len(outcome.text)} characters, {READERS} slow readers each",
        f"{before:.0f} MB before, at most {max(grown):.0f} MB more, {left:.0f} MB more afterwards",
        f"the reply took {max(took):.1f} s at most, {_seconds(alone):.1f} s alone",
        f"from piece to piece, sent every 0.04 s: {spread(gaps)}; alone {spread(_gaps(alone))}",
    ]
    findings.require(max(grown) < _MEGABYTES, "memory grew too much")
    findings.require(max(took) < _seconds(alone) + _LATER_SECONDS, "the reply took longer")
    return await findings.judge(rig)


async def slow_readers_of_a_stored_reply(rig: Rig, *, rounds: int = 5) -> str:
    """The same after the end: nothing of it is there any more but in the store."""
    findings, slot = Findings(), rig.slots[0]
    visitor, talk = rig.visitor(), Talk()
    outcome = await visitor.ask(talk, visitor.question(words=16_000, chunk=400), at=slot.address)
    findings.require(outcome.kind == "answer", "there is no reply")
    grown: list[float] = []
    for _ in range(rounds):
        _forget_peak(slot)
        before = _megabytes(slot, "VmRSS")
        async with _crowd(visitor, talk, slot) as readers:
            dripped = 0
            for _ in range(4):
                await asyncio.sleep(1)
                dripped += _drip(readers[::2])
            grown.append(_megabytes(slot, "VmHWM") - before)
        findings.require(dripped > 0, "nobody read a byte")
    size = len((outcome.text or "").encode())
    findings.told.append(
        f"{rounds} times {READERS} slow readers of {size} bytes: at most {max(grown):.0f} MB more"
    )
    findings.require(max(grown) < _MEGABYTES, "memory grew too much")
    return await findings.judge(rig)


async def _answer(rig: Rig, slot: Slot) -> Outcome:
    visitor = rig.visitor()
    return await visitor.ask(Talk(), visitor.question(**_QUESTION), at=slot.address)


async def _in_a_crowd(rig: Rig, slot: Slot) -> tuple[Outcome, int]:
    """Have an answer read by one who reads and by many who hardly do; tell how much those got."""
    visitor, talk = rig.visitor(), Talk()
    asking = asyncio.ensure_future(
        visitor.ask(talk, visitor.question(**_QUESTION), at=slot.address)
    )
    while not talk.turns and not asking.done():
        await asyncio.sleep(0.01)
    async with _crowd(visitor, talk, slot) as readers:
        dripped = 0
        while not asking.done():
            await asyncio.wait([asking], timeout=1)
            dripped += _drip(readers[::2])
        assert all(not _is_at_end(reader) for reader in readers), "a reader had all of it"
    return await asking, dripped


@asynccontextmanager
async def _crowd(visitor: Visitor, talk: Talk, slot: Slot) -> AsyncIterator[list[socket.socket]]:
    loop = asyncio.get_running_loop()
    request = (
        f"GET /sessions/{talk.session}/turns/{talk.turns[0]}/events HTTP/1.1\r\nHost: t\r\n"
        f"Authorization: {visitor.authorization}\r\n\r\n"
    ).encode()

    at_once = asyncio.Semaphore(_AT_ONCE)

    async def one() -> socket.socket:
        async with at_once:
            return await connect()

    async def connect() -> socket.socket:
        client = socket.socket()
        # Else the system would hold all of the reply for the client.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", slot.port))
        await loop.sock_sendall(client, request)
        answer = await loop.sock_recv(client, len(_OK))
        assert answer == _OK, answer
        return client

    readers = list(await asyncio.gather(*(one() for _ in range(READERS))))
    try:
        yield readers
    finally:
        for reader in readers:
            reader.close()


def _drip(readers: list[socket.socket]) -> int:
    """Read a byte from each that has one, and return how many had."""
    count = 0
    for reader in readers:
        with suppress(BlockingIOError):
            count += len(reader.recv(1))
    return count


def _is_at_end(reader: socket.socket) -> bool:
    """Whether the server has closed: it had sent all, or given the reader up."""
    with suppress(BlockingIOError):
        return reader.recv(1, socket.MSG_PEEK) == b""
    return False


def _seconds(outcome: Outcome) -> float:
    assert outcome.reading is not None
    timeline = outcome.reading.timeline
    return timeline[-1][2] - timeline[0][2]


def _gaps(outcome: Outcome) -> list[float]:
    assert outcome.reading is not None
    return [after[2] - before[2] for before, after in pairwise(outcome.reading.timeline)]


def _forget_peak(slot: Slot) -> None:
    """Have VmHWM begin anew."""
    Path(f"/proc/{slot.pid}/clear_refs").write_text("5", "ascii")


def _megabytes(slot: Slot, name: str) -> float:
    """Return what the kernel says of a replica's memory: VmRSS or VmHWM."""
    status = Path(f"/proc/{slot.pid}/status").read_text("ascii")
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) / 1024
