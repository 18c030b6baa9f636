"""Beside the rooms: the kinds of load.

May import: standard library.
"""

from __future__ import annotations

from dataclasses import dataclass

LATENCY_MS = 500
"""What a model takes to its first token, where it is not told to answer at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is asked, how often, and how the provider answers.

    Attributes:
        provider: Its settings, as a query.
        is_stream: Whether replies are streamed.
        load: Options of the load generator.
        seconds: How long is measured unless something else is asked for.
        latency_ms: What the provider takes to the first token.
    """

    name: str
    provider: str
    is_stream: bool
    load: tuple[str, ...]
    seconds: float = 4.0
    latency_ms: float = 0.0


TURN = Profile(
    name="turn",
    provider="latency=0&tokens=100",
    is_stream=False,
    load=("-c", "32", "-w", "0.5"),
)
STREAM = Profile(
    name="stream",
    provider="latency=0&token=0&tokens=100&burst=10",
    is_stream=True,
    load=("-c", "16", "-w", "0.5"),
)
TURN100 = Profile(
    name="turn100",
    provider=f"latency={LATENCY_MS}&tokens=100",
    is_stream=False,
    load=("-c", "100", "-w", "1.5"),
    latency_ms=LATENCY_MS,
)


def slow_streams(streams: int) -> Profile:
    """Return so many streams of a token each 20 ms, begun one after the other."""
    return Profile(
        name=f"slow:{streams}",
        provider=f"latency={LATENCY_MS}&token=20&tokens=100",
        is_stream=True,
        load=("-c", str(streams), "-r", "2.5", "-w", "3"),
        latency_ms=LATENCY_MS,
    )


def open_streams(streams: int) -> Profile:
    """Return so many streams that are all open from the second second to the fourth."""
    return Profile(
        name=f"open:{streams}",
        provider="latency=0&token=100&tokens=40",
        is_stream=True,
        load=("-c", str(streams), "-r", "1"),
        seconds=2.5,
    )
