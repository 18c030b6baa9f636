"""Wrappers around the ports: they keep a diary, and can end the process at a named place.

May import: standard library, chatcore, msgspec.

Nothing of this is in the product: the container is given these in place of the real parts, which
they stand in front of.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import msgspec

from chatcore.model.journal import Beat
from chatcore.model.prompt import Prompt
from chatcore.ports.llm import LLMDelta, LLMEnded, LLMEvent, LLMReply, PreparedRequest

FAILPOINTS = (
    "admit.before",
    "admit.after",
    "llm.before",
    "llm.first_delta",
    "llm.mid",
    "llm.ended",
    "beat.before",
    "beat.after",
    "next_attempt.before",
    "next_attempt.after",
    "finish.before",
    "finish.after",
    "stop.before",
    "stop.after",
    "take_over.before",
    "take_over.after",
    "give_up.before",
    "give_up.after",
    "release.before",
    "release.after",
)
"""Every place where a replica can be made to end."""
_MID = 4

HELD: ContextVar[str] = ContextVar("HELD", default="")
"""The turn and attempt on whose behalf this task runs: `<turn id>:<attempt>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """What is to happen, and when.

    Attributes:
        point: Where.
        nth: At which passage, from 1.
        action: `kill`, `freeze` (until somebody sends SIGCONT), `delay`, `block`, in which the
            event loop stands still, or `lose`: what the store answered never arrives.
        seconds: How long a delay or a block lasts, or how long an answer is missed in vain.
        every: Whether it happens at every later passage as well.
    """

    point: str
    nth: int = 1
    action: str = "kill"
    seconds: float = 0.0
    every: bool = False


class AnswerLost(Exception):
    """The store has done what it was asked for, and nobody was told."""


class Diary:
    """What a replica did, appended to a file that outlives it; one line is one system call."""

    def __init__(self, path: str, replica: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._replica = replica

    def note(self, do: str, **said: object) -> None:
        """Write one line."""
        line = {"do": do, "replica": self._replica, "at": time.monotonic(), **said}
        os.write(self._file, msgspec.json.encode(line) + b"\n")


class Failpoints:
    """Counts passages, and acts at the armed ones."""

    def __init__(self, diary: Diary, armed: list[Armed]) -> None:
        self._diary = diary
        self._armed = armed
        self._passages: dict[str, int] = {}

    async def reach(self, point: str) -> None:
        """Pass a place, or end there."""
        if not self._armed:
            return
        passage = self._passages[point] = self._passages.get(point, 0) + 1
        for armed in self._armed:
            is_due = passage == armed.nth or (armed.every and passage > armed.nth)
            if armed.point == point and is_due:
                await self._act(armed, passage)

    async def _act(self, armed: Armed, passage: int) -> None:
        self._diary.note("hit", point=armed.point, action=armed.action, passage=passage)
        if armed.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif armed.action == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif armed.action == "block":
            time.sleep(armed.seconds)  # noqa: ASYNC251  # that is the fault
        else:
            await asyncio.sleep(armed.seconds)
        if armed.action == "lose":
            raise AnswerLost


class WatchedRepository:
    """The real repository, behind failpoints and with a diary of every guarded write."""

    def __init__(self, inner: Any, failpoints: Failpoints, diary: Diary) -> None:
        self._inner = inner
        self._points = failpoints
        self._diary = diary

    def __getattr__(self, name: str) -> Any:
        """Return the real part's method, for those that nobody watches."""
        return getattr(self._inner, name)

    async def admit(self, new: Any) -> Any:
        """Watch; see the port."""
        try:
            admission = await self._watch("admit", self._inner.admit, new)
        except AnswerLost:  # and is asked for again, as the adapter does
            admission = await self._watch("admit", self._inner.admit, new)
        if not admission.repeated:
            self._hold(admission.turn.id, admission.turn.attempt)
        return admission

    async def next_attempt(self, ref: Any, **rest: Any) -> Any:
        """Watch; see the port."""
        held = await self._watch("next_attempt", self._inner.next_attempt, ref, **rest)
        self._hold(held.turn_id, held.attempt)
        return held

    async def take_over(self, ref: Any, **rest: Any) -> Any:
        """Watch; see the port."""
        taken = await self._watch("take_over", self._inner.take_over, ref, **rest)
        self._hold(taken.ref.turn_id, taken.ref.attempt)
        return taken

    async def finish(self, ref: Any, end: Any) -> Any:
        """Watch; see the port."""
        return await self._watch("finish", self._inner.finish, ref, end)

    async def stop(self, *place: Any, **rest: Any) -> Any:
        """Watch; see the port."""
        return await self._watch("stop", self._inner.stop, *place, **rest)

    async def give_up(self, ref: Any, **rest: Any) -> Any:
        """Watch; see the port."""
        return await self._watch("give_up", self._inner.give_up, ref, **rest)

    async def beat(self, beats: tuple[Beat, ...], *, lease_seconds: float) -> Any:
        """Watch; see the port. A beat that gives turns away is a place of its own."""
        name = "beat" if lease_seconds > 0 else "release"
        await self._points.reach(f"{name}.before")
        began = time.monotonic()
        held = await self._inner.beat(beats, lease_seconds=lease_seconds)
        stored = [
            [str(beat.ref.turn_id), beat.ref.attempt, beat.start + len(beat.text)]
            for beat in beats
            if beat.ref.turn_id in held
        ]
        if stored:
            self._diary.note(name, began=began, stored=stored)
        await self._points.reach(f"{name}.after")
        return held

    async def _watch(
        self, name: str, call: Callable[..., Any], *arguments: Any, **rest: Any
    ) -> Any:
        await self._points.reach(f"{name}.before")
        began = time.monotonic()
        result = await call(*arguments, **rest)
        self._diary.note(name, began=began, **_about(result))
        await self._points.reach(f"{name}.after")
        return result

    def _hold(self, turn_id: object, attempt: int) -> None:
        HELD.set(f"{turn_id}:{attempt}")


class WatchedModel:
    """The real model adapter, behind failpoints."""

    def __init__(self, inner: Any, failpoints: Failpoints) -> None:
        self._inner = inner
        self._points = failpoints

    def __getattr__(self, name: str) -> Any:
        """Return the real part's method, for those that nobody watches."""
        return getattr(self._inner, name)

    def prepare(self, prompt: Prompt, *, stream: bool) -> PreparedRequest:
        """Prepare; see the port."""
        prepared: PreparedRequest = self._inner.prepare(prompt, stream=stream)
        return prepared

    async def complete(self, request: PreparedRequest) -> LLMReply:
        """Watch; see the port."""
        await self._points.reach("llm.before")
        reply: LLMReply = await self._inner.complete(request)
        await self._points.reach("llm.ended")
        return reply

    async def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        """Watch; see the port."""
        await self._points.reach("llm.before")
        deltas = 0
        async with aclosing(self._inner.stream(request)) as events:
            async for event in events:
                if isinstance(event, LLMDelta):
                    deltas += 1
                    if deltas == 1:
                        await self._points.reach("llm.first_delta")
                    elif deltas == _MID:
                        await self._points.reach("llm.mid")
                elif isinstance(event, LLMEnded):
                    await self._points.reach("llm.ended")
                yield event


def _about(result: Any) -> dict[str, object]:
    """Return which turn a result is about: an admission, a taken turn, a turn or a hold on one."""
    if hasattr(result, "turn"):
        turn = result.turn
        known = {"turn": str(turn.id), "session": str(turn.session_id), "attempt": turn.attempt}
        return known | {"repeated": result.repeated, "number": turn.number}
    held = getattr(result, "ref", result)
    turn_id = getattr(held, "turn_id", None) or held.id
    about: dict[str, object] = {"turn": str(turn_id), "attempt": held.attempt}
    if (status := getattr(held, "status", None)) is not None:
        about["status"] = str(status)
    return about
