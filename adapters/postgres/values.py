"""Room 3, the world: entities become values of statements, here and nowhere else.

May import: standard library, chatcore, msgspec.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chatcore import (
    Beat,
    JournalPlace,
    Metadata,
    NewTurn,
    OwnerId,
    Quote,
    SessionId,
    TurnEnd,
    TurnId,
    TurnRef,
)

_encode = msgspec.json.Encoder().encode


def quote_value(quote: Quote | None) -> str | None:
    """Return a passage as JSON text, without the parts that are not known."""
    if quote is None:
        return None
    known = {
        "text": quote.text,
        "title": quote.title,
        "url": quote.url,
        "anchor": quote.anchor,
    }
    return _encode({name: value for name, value in known.items() if value is not None}).decode()


def new_turn_values(new: NewTurn) -> dict[str, object]:
    """Return what the statements that admit a question need."""
    return {
        "owner_id": new.owner_id,
        "session_id": new.session_id,
        "title": new.title,
        "turn_id": new.turn_id,
        "question_id": new.question_id,
        "text": new.text,
        "quote": quote_value(new.quote),
        "idempotency_key": new.idempotency_key,
        "fingerprint": new.fingerprint,
        "max_attempts": new.max_attempts,
        "deadline_seconds": new.deadline_seconds,
        "lease_seconds": new.lease_seconds,
        "template": new.template,
        "stream": new.stream,
        "replaces": new.replaces,
        "window_turns": new.window_turns,
        "now": new.now,
        "client_id": new.client_id,
        "metadata": metadata_value(new.metadata),
    }


def metadata_value(metadata: Metadata) -> str | None:
    """Return what a caller noted down as JSON text."""
    return _encode(dict(metadata)).decode() if metadata else None


def ref_values(ref: TurnRef) -> dict[str, object]:
    """Return the guard of a write."""
    return {
        "owner_id": ref.owner_id,
        "session_id": ref.session_id,
        "turn_id": ref.turn_id,
        "number": ref.number,
        "attempt": ref.attempt,
    }


def end_values(end: TurnEnd) -> dict[str, object]:
    """Return what becomes true of a turn when it ends."""
    return {
        "status": end.status.value,
        "outcome": end.status.value,
        "reply_id": end.reply_id,
        "text": end.text,
        "now": end.now,
        "model": end.model,
        "request_digest": end.request_digest,
        "finish_reason": end.finish_reason,
        "error_code": end.error_code,
        "prompt_tokens": end.usage.prompt_tokens if end.usage else None,
        "completion_tokens": end.usage.completion_tokens if end.usage else None,
    }


def turn_values(owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> dict[str, object]:
    """Return which turn."""
    return {"owner_id": owner_id, "session_id": session_id, "turn_id": turn_id}


def beat_values(beats: Sequence[Beat], lease_seconds: float) -> dict[str, object]:
    """Return signs of life as columns."""
    refs = [beat.ref for beat in beats]
    return {
        "owner_ids": [ref.owner_id for ref in refs],
        "session_ids": [ref.session_id for ref in refs],
        "turn_ids": [ref.turn_id for ref in refs],
        "numbers": [ref.number for ref in refs],
        "attempts": [ref.attempt for ref in refs],
        "starts": [beat.start for beat in beats],
        "texts": [beat.text for beat in beats],
        "digests": [beat.request_digest for beat in beats],
        "lease_seconds": lease_seconds,
    }


def place_values(places: Sequence[JournalPlace]) -> dict[str, object]:
    """Return places in journals as columns."""
    return {
        "owner_ids": [place.owner_id for place in places],
        "session_ids": [place.session_id for place in places],
        "turn_ids": [place.turn_id for place in places],
        "attempts": [place.attempt for place in places],
        "starts": [place.offset for place in places],
    }
