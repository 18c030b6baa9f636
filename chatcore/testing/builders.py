"""Beside the hexagon: values for tests of repositories, valid unless told otherwise.

May import: standard library, chatcore.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from chatcore import (
    Admission,
    MessageId,
    Metadata,
    NewTurn,
    OnBusy,
    OwnerId,
    Quote,
    RequestTemplate,
    SessionId,
    Turn,
    TurnEnd,
    TurnId,
    TurnRef,
    TurnStatus,
    Usage,
)
from chatcore.ports.turn_repository import TurnRepository
from chatcore.turns.admission import fingerprint

NOW = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=UTC)
EXPIRED = -1.0
"""A lease, or a deadline, that has already run out when it is given."""
TEMPLATE = RequestTemplate(
    system_prompt="You are a helpful assistant.",
    max_tokens=1024,
    history_max_chars=32_000,
    options=(("model", "test-model"),),
)
"""What the requests of `new_turn` are made with, unless told otherwise."""


def an_owner() -> OwnerId:
    """Return an owner nobody has seen."""
    return OwnerId(f"owner-{uuid4()}")


def new_turn(
    owner_id: OwnerId,
    session_id: SessionId | None = None,
    *,
    text: str = "What is a servo?",
    quote: Quote | None = None,
    key: str | None = None,
    lease_seconds: float = 60.0,
    deadline_seconds: float = 300.0,
    window_turns: int = 5,
    max_attempts: int = 2,
    template: str = TEMPLATE.digest,
    stream: bool = False,
    on_busy: OnBusy = OnBusy.REJECT,
    replaces: int | None = None,
    may_open: bool = False,
    title: str = "A title",
    client_id: str | None = None,
    metadata: Metadata = (),
    now: datetime = NOW,
) -> NewTurn:
    """Return a question for a session, or one that opens a session; every id in it is fresh."""
    return NewTurn(
        owner_id=owner_id,
        session_id=session_id or SessionId(uuid4()),
        opens_session=may_open or session_id is None,
        title=title,
        turn_id=TurnId(uuid4()),
        question_id=MessageId(uuid4()),
        text=text,
        quote=quote,
        idempotency_key=key,
        fingerprint=fingerprint(session_id, text, quote),
        max_attempts=max_attempts,
        deadline_seconds=deadline_seconds,
        lease_seconds=lease_seconds,
        window_turns=window_turns,
        template=template,
        stream=stream,
        part_id=MessageId(uuid4()),
        now=now,
        on_busy=on_busy,
        replaces=replaces,
        client_id=client_id,
        metadata=metadata,
    )


def ref_of(admission: Admission) -> TurnRef:
    """Return the turn as its first attempt holds it."""
    return ref_to(admission.turn)


def ref_to(turn: Turn) -> TurnRef:
    """Return the turn as its latest attempt holds it."""
    return TurnRef(
        owner_id=turn.owner_id,
        session_id=turn.session_id,
        turn_id=turn.id,
        number=turn.number,
        attempt=turn.attempt,
    )


def completed(text: str = "A motor with feedback.", *, now: datetime = NOW) -> TurnEnd:
    """Return a good end."""
    return TurnEnd(
        status=TurnStatus.COMPLETED,
        reply_id=MessageId(uuid4()),
        text=text,
        now=now,
        model="test-model",
        request_digest="ab" * 32,
        finish_reason="stop",
        usage=Usage(prompt_tokens=11, completion_tokens=7),
    )


def stopped(text: str, *, now: datetime = NOW) -> TurnEnd:
    """Return an end by somebody's wish, with the part that had come."""
    return TurnEnd(status=TurnStatus.STOPPED, reply_id=MessageId(uuid4()), text=text, now=now)


def failed(text: str = "", *, code: str = "llm_unavailable", now: datetime = NOW) -> TurnEnd:
    """Return a bad end, with the part that had come."""
    return TurnEnd(
        status=TurnStatus.FAILED,
        reply_id=MessageId(uuid4()),
        text=text,
        now=now,
        error_code=code,
    )


async def have_turn(
    repository: TurnRepository,
    owner_id: OwnerId,
    session_id: SessionId | None = None,
    *,
    text: str = "What is a servo?",
    end: TurnEnd | None = None,
    now: datetime = NOW,
) -> Turn:
    """Admit a question and end its turn, well unless told otherwise."""
    admission = await repository.admit(new_turn(owner_id, session_id, text=text, now=now))
    return await repository.finish(ref_of(admission), end or completed(now=now))
