"""Room 4, the door: `python -m app replay`, the exact requests that one turn sent to the model.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from app.container import AppContainer
from app.lifecycle import Model, StartFailed
from app.settings import Settings
from app.startup import database_trouble, probing
from chatcore import (
    ChatService,
    OwnerId,
    ReplayedAttempt,
    SessionId,
    StorageUnavailable,
    TurnId,
    TurnNotFound,
)

_UNKNOWN = "no such turn: it was never there, or it was erased"
_NOT_KEPT = "what it was made with is not kept (it is from before version 0002 of the tables)"


class Directory(Protocol):
    """Where turns are, whoever they belong to: for the operator alone."""

    @abstractmethod
    async def locate(self, turn_id: TurnId) -> list[tuple[OwnerId, SessionId]]:
        """Return owner and session of each turn with this id: none or one, as a rule."""
        ...


async def replayed(settings: Settings, turn_id: TurnId) -> tuple[ReplayedAttempt, ...]:
    """Make each request of one turn again, from what is stored. Asks no model.

    Args:
        settings: Naming a database.
        turn_id: The turn.

    Raises:
        StartFailed: No such turn, or the database cannot be used.
    """
    container = AppContainer(settings=settings)
    model: Model = container.llm()
    try:
        async with probing(settings, container) as store:
            await store.check()
            return await _replayed(container.repository(), container.chat_service(), turn_id)
    except StorageUnavailable as error:
        raise StartFailed(database_trouble(settings, error)) from error
    finally:
        await model.aclose()


def show(attempts: Sequence[ReplayedAttempt], *, only: int | None = None) -> bool:
    """Print requests, and tell whether every recorded digest is that of the request made again.

    Args:
        attempts: Of one turn.
        only: Print the exact bytes of this attempt's request and nothing else. None: of each
            attempt a line that begins with `#`, and its request as one line of JSON.

    Raises:
        StartFailed: There is no such attempt, or its request cannot be made again.
    """
    if only is not None:
        return _show_bytes(attempts, only)
    for replay in attempts:
        sys.stdout.write(_headline(replay) + "\n")
        if replay.request is not None:
            _write(replay.request.body + b"\n")
    return all(map(_is_well, attempts))


async def _replayed(
    directory: Directory, service: ChatService, turn_id: TurnId
) -> tuple[ReplayedAttempt, ...]:
    places = await directory.locate(turn_id)
    if len(places) > 1:
        raise StartFailed("more than one owner has a turn with this id")
    try:
        for owner_id, session_id in places:
            return await service.replay(owner_id, session_id, turn_id)
    except TurnNotFound:
        pass  # erased this very moment
    raise StartFailed(_UNKNOWN)


def _show_bytes(attempts: Sequence[ReplayedAttempt], number: int) -> bool:
    for replay in attempts:
        if replay.attempt.number == number:
            if replay.request is None:
                raise StartFailed(f"attempt {number} cannot be replayed: {_NOT_KEPT}")
            _write(replay.request.body)
            return _is_well(replay)
    raise StartFailed(f"the turn has no attempt {number}, only 1 to {len(attempts)}")


def _headline(replay: ReplayedAttempt) -> str:
    attempt = replay.attempt
    outcome = attempt.outcome.value
    if attempt.error_code is not None:
        outcome = f"{outcome} ({attempt.error_code})"
    way = "streamed" if attempt.stream else "whole"
    return f"# attempt {attempt.number}: {outcome}; {way}; {_verdict(replay)}"


def _verdict(replay: ReplayedAttempt) -> str:
    recorded = replay.attempt.request_digest
    told = "no digest recorded" if recorded is None else f"recorded {recorded}"
    if replay.request is None:
        return f"{told}; cannot be made again: {_NOT_KEPT}"
    if replay.matches is None:
        return f"{told}; made again {replay.request.digest}"
    return f"{told}; made again: {'the same' if replay.matches else replay.request.digest}"


def _is_well(replay: ReplayedAttempt) -> bool:
    return replay.attempt.request_digest is None or replay.matches is True


def _write(raw: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()
