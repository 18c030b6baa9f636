"""Room 1, the hexagon: a question is checked and made ready to be admitted.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from chatcore.errors import InvalidInput
from chatcore.model.admission import NewTurn, OnBusy
from chatcore.model.ids import OWNER_MAX_CHARS, MessageId, OwnerId, SessionId, TurnId
from chatcore.model.message import Quote
from chatcore.model.metadata import Metadata, make_metadata
from chatcore.model.policy import ChatPolicy
from chatcore.model.text import derive_title, optional_text, require_text
from chatcore.ports.clock import IdSource

SOURCE_MAX_CHARS = 2048
"""Longest title, URL or anchor of a passage, in code points."""
CLIENT_ID_MAX_CHARS = 255
"""Longest name of a question, in code points."""
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question as its owner asks it.

    Attributes:
        session_id: Which session it continues; None begins a new one.
        replaces: The message and turn whose place it takes; None: it follows the latest.
        stream: Whether somebody wants to see parts.
        may_open: Whether to begin that session if there is none.
        client_id: What the caller calls the question.
        metadata: What the caller wants to find again.
    """

    owner_id: OwnerId
    session_id: SessionId | None
    text: str
    quote: Quote | None
    idempotency_key: str | None
    on_busy: OnBusy
    stream: bool
    replaces: Replaced | None = None
    may_open: bool = False
    client_id: str | None = None
    metadata: Metadata = ()


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a question takes the place of.

    Attributes:
        how: `edit` or `regenerate`.
        message_id: The message that was named.
        turn_number: Number of its turn.
    """

    how: str
    message_id: MessageId
    turn_number: int


def new_turn(
    asked: Asked, *, policy: ChatPolicy, template: str, ids: IdSource, now: datetime
) -> NewTurn:
    """Return a question ready to be admitted, with every id it will need.

    Raises:
        InvalidInput: A value cannot be accepted.
    """
    _require_valid(asked, policy)
    return NewTurn(
        owner_id=asked.owner_id,
        session_id=asked.session_id or SessionId(ids.new_id()),
        opens_session=asked.session_id is None,
        title=derive_title(asked.text),
        turn_id=TurnId(ids.new_id()),
        question_id=MessageId(ids.new_id()),
        text=asked.text,
        quote=asked.quote,
        idempotency_key=asked.idempotency_key,
        fingerprint=_fingerprint_of(asked),
        max_attempts=policy.max_attempts,
        deadline_seconds=policy.deadline_seconds,
        lease_seconds=policy.lease_seconds,
        window_turns=policy.window_turns,
        template=template,
        # Nobody sees a part of a JSON answer, so it is asked for whole, which costs a quarter.
        stream=asked.stream or not policy.whole_answers,
        part_id=MessageId(ids.new_id()),
        now=now,
        on_busy=asked.on_busy,
        replaces=asked.replaces.turn_number if asked.replaces else None,
        client_id=asked.client_id,
        metadata=make_metadata(dict(asked.metadata)),
    )


def fingerprint(
    session_id: SessionId | None,
    text: str,
    quote: Quote | None,
    *,
    how: str | None = None,
    message_id: MessageId | None = None,
) -> bytes:
    """Return the SHA-256 over what a repeat with the same idempotency key must share.

    Over the parsed values, not the bytes of a request, and not over how the answer is delivered.
    """
    passage = None if quote is None else [quote.text, quote.title, quote.url, quote.anchor]
    parts = [str(session_id) if session_id else None, text, passage]
    if how is not None:
        parts += [how, str(message_id)]
    return sha256(json.dumps(parts).encode()).digest()


def _fingerprint_of(asked: Asked) -> bytes:
    if asked.replaces is None:
        return fingerprint(asked.session_id, asked.text, asked.quote)
    return fingerprint(
        asked.session_id,
        asked.text,
        asked.quote,
        how=asked.replaces.how,
        message_id=asked.replaces.message_id,
    )


def require_client_id(value: str) -> str:
    """Return a caller's name of a question if it can be one.

    Raises:
        InvalidInput: It is blank, too long, or cannot be stored.
    """
    return require_text(value, field="client_id", max_chars=CLIENT_ID_MAX_CHARS)


def _require_valid(asked: Asked, policy: ChatPolicy) -> None:
    key = asked.idempotency_key
    require_text(asked.owner_id, field="owner_id", max_chars=OWNER_MAX_CHARS)
    require_text(asked.text, field="message", max_chars=policy.message_max_chars)
    _require_quote(asked.quote, max_chars=policy.quote_max_chars)
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidInput("idempotency_key", "is not 1 to 255 printable ASCII characters")
    if asked.client_id is not None:
        require_client_id(asked.client_id)


def _require_quote(quote: Quote | None, *, max_chars: int) -> None:
    if quote is None:
        return
    require_text(quote.text, field="selected_text", max_chars=max_chars)
    for field, value in (("title", quote.title), ("url", quote.url), ("anchor", quote.anchor)):
        optional_text(value, field=f"selected_text.{field}", max_chars=SOURCE_MAX_CHARS)
