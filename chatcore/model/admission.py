"""Room 1, the hexagon: a question on its way in, and what the store makes of it.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chatcore.model.ids import MessageId, OwnerId, SessionId, TurnId
from chatcore.model.message import Quote, TurnStatus
from chatcore.model.metadata import Metadata
from chatcore.model.turn import Turn


class OnBusy(StrEnum):
    """What a question meets while another turn of its session runs (guarantee G3)."""

    REJECT = "reject"
    SUPERSEDE = "supersede"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked in one turn, for asking it again or putting another in its place.

    Attributes:
        message_id: Its message.
        position: Where that is in its session.
        client_id: What the caller calls it, if it gave it a name.
        superseded_by: The turn that took its turn's place; None while it counts.
    """

    turn_id: TurnId
    turn_number: int
    message_id: MessageId
    position: int
    text: str
    quote: Quote | None
    client_id: str | None = None
    superseded_by: TurnId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTurn:
    """Everything the store needs to admit a question, made before the first try.

    Because the ids are made by the caller, an admission whose answer was lost is repeated safely.

    Attributes:
        opens_session: True: `session_id` may be a new session, to be created with `title`; one that
            is there already is continued.
        question_id: Id for the question's message.
        idempotency_key: 1 to 255 printable ASCII characters, unique per owner; None for none.
        fingerprint: SHA-256 (32 bytes) of what a repeat must share.
        max_attempts: How often the model may be asked, at least 1.
        deadline_seconds: How long from its admission the turn may last.
        lease_seconds: How long the turn may stay silent before it counts as abandoned.
        template: Digest of the `RequestTemplate` of attempt 1, kept before.
        stream: Whether attempt 1 asks for the answer in parts.
        on_busy: What to do about a running turn of the session.
        part_id: Id for the reply of a running turn that is stopped for this one.
        replaces: Number of the turn whose place it takes: that one and all after it are superseded.
            None: it follows the latest.
        client_id: What the caller calls the question, 1 to 255 characters; a question that takes
            another's place may have its name. None for none.
        metadata: What the caller wants to find again with the turn.
        window_turns: How many earlier turns to return, at least 0.
        now: The caller's clock; informs, decides nothing.
    """

    owner_id: OwnerId
    session_id: SessionId
    opens_session: bool
    title: str
    turn_id: TurnId
    question_id: MessageId
    text: str
    quote: Quote | None
    idempotency_key: str | None
    fingerprint: bytes
    max_attempts: int
    deadline_seconds: float
    lease_seconds: float
    window_turns: int
    template: str
    stream: bool
    part_id: MessageId
    now: datetime
    on_busy: OnBusy = OnBusy.REJECT
    replaces: int | None = None
    client_id: str | None = None
    metadata: Metadata = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowMessage:
    """One earlier message as the model gets to see it."""

    turn_id: TurnId
    turn_number: int
    content: str
    quote: Quote | None
    from_user: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The answer of the store to a `NewTurn`.

    Attributes:
        turn: The turn as it now stands.
        window: Messages of earlier whole turns, oldest first; empty for a repeat.
        repeated: True: an earlier call with the same idempotency key had admitted it.
        superseded: The running turn that was stopped for it, if one was.
    """

    turn: Turn
    window: tuple[WindowMessage, ...] = ()
    repeated: bool = False
    superseded: TurnId | None = None

    @property
    def is_to_run(self) -> bool:
        """Whether whoever asked for it is to run the turn.

        Not if an earlier call does; nor if the store's answer got lost, was asked for again, and
        came when the lease was over and somebody else had taken the turn over, or ended it.
        """
        turn = self.turn
        return not self.repeated and turn.attempt == 1 and turn.status is TurnStatus.RUNNING
