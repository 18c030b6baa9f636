"""Room 1, the hexagon: a question is checked and made ready to be admitted.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from hashlib import sha256

from chatcore.errors import InvalidInput
from chatcore.model.ids import OWNER_MAX_CHARS, MessageId, OwnerId, SessionId, TurnId
from chatcore.model.message import Quote
from chatcore.model.policy import ChatPolicy
from chatcore.model.text import derive_title, optional_text, require_text
from chatcore.model.turn import NewTurn
from chatcore.ports.clock import IdSource

SOURCE_MAX_CHARS = 2048
"""Longest title, URL or anchor of a passage, in code points."""
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def new_turn(
    *,
    owner_id: OwnerId,
    session_id: SessionId | None,
    text: str,
    quote: Quote | None,
    idempotency_key: str | None,
    policy: ChatPolicy,
    ids: IdSource,
    now: datetime,
) -> NewTurn:
    """Return a question ready to be admitted, with every id it will need.

    Raises:
        InvalidInput: A value cannot be accepted.
    """
    require_text(owner_id, field="owner_id", max_chars=OWNER_MAX_CHARS)
    require_text(text, field="message", max_chars=policy.message_max_chars)
    _require_quote(quote, max_chars=policy.quote_max_chars)
    if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
        raise InvalidInput("idempotency_key", "is not 1 to 255 printable ASCII characters")
    return NewTurn(
        owner_id=owner_id,
        session_id=session_id or SessionId(ids.new_id()),
        opens_session=session_id is None,
        title=derive_title(text),
        turn_id=TurnId(ids.new_id()),
        question_id=MessageId(ids.new_id()),
        text=text,
        quote=quote,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint(session_id, text, quote),
        max_attempts=policy.max_attempts,
        lease_seconds=policy.lease_seconds,
        window_turns=policy.window_turns,
        now=now,
    )


def fingerprint(session_id: SessionId | None, text: str, quote: Quote | None) -> bytes:
    """Return the SHA-256 over what a repeat with the same idempotency key must share.

    Over the parsed values, not the bytes of a request, and not over how the answer is delivered.
    """
    passage = None if quote is None else [quote.text, quote.title, quote.url, quote.anchor]
    canonical = json.dumps([str(session_id) if session_id else None, text, passage])
    return sha256(canonical.encode()).digest()


def _require_quote(quote: Quote | None, *, max_chars: int) -> None:
    if quote is None:
        return
    require_text(quote.text, field="selected_text", max_chars=max_chars)
    for field, value in (("title", quote.title), ("url", quote.url), ("anchor", quote.anchor)):
        optional_text(value, field=f"selected_text.{field}", max_chars=SOURCE_MAX_CHARS)
