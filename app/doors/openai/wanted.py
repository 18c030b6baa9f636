"""Room 4, the door: what a request for a kept response means.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from app.doors.openai.bodies import ResponseRequest, read_metadata
from app.doors.openai.content import Pair, read_messages, split_question
from app.doors.openai.errors import Wrong, unsupported
from app.doors.openai.ids import Place, read_conversation_id, read_response_id
from app.doors.openai.views import ALONE, BACKGROUND, IN_CONVERSATION, KEY, PREVIOUS, YES
from chatcore import ChatService, Metadata, SessionId, TurnNotFound, make_metadata

_MAX_MESSAGES = 200


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A response as it is asked for.

    Attributes:
        pairs: What was said elsewhere before the question.
        session_id: The conversation it belongs to; None: one of its own.
        previous: The response that it comes after.
        metadata: What is noted down with it.
        key: The idempotency key.
    """

    pairs: Sequence[Pair]
    question: str
    session_id: SessionId | None
    previous: Place | None
    metadata: Metadata
    key: str | None


def read_wanted(request: ResponseRequest, service: ChatService, key: str | None) -> Wanted:
    """Return what a request for a kept response means.

    Raises:
        Wrong: It cannot be done.
        InvalidInput: What it notes down is too much, or cannot be stored.
        SessionNotFound: Its conversation has no id of ours.
    """
    if request.instructions:
        raise unsupported(
            "instructions",
            "conversations that are kept speak with the operator's own system prompt; send "
            "store=false to give instructions of your own",
        )
    if (request.max_output_tokens or service.max_tokens) < service.max_tokens:
        raise unsupported(
            "max_output_tokens", f"answers that are kept have up to {service.max_tokens} tokens"
        )
    pairs, question = _read_input(request.input)
    session_id = read_conversation(request.conversation)
    previous = _read_previous(request.previous_response_id)
    if pairs and key is not None:
        raise unsupported("input", "with an Idempotency-Key send the new message alone")
    return Wanted(
        pairs=pairs,
        question=question,
        session_id=session_id,
        previous=previous,
        metadata=_noted(request, key),
        key=key,
    )


def read_conversation(given: object) -> SessionId | None:
    """Return the conversation that a request names: `"id"` or `{"id"}`.

    Raises:
        Wrong: It is neither.
        SessionNotFound: It has no id of ours.
    """
    if given is None:
        return None
    named = given.get("id") if isinstance(given, dict) else given
    if not isinstance(named, str):
        raise Wrong("conversation", "'conversation' is not the id of a conversation.")
    return read_conversation_id(named)


def _read_input(given: object) -> tuple[Sequence[Pair], str]:
    if isinstance(given, str):
        return (), given
    said = read_messages(given, param="input")
    if len(said) > _MAX_MESSAGES:
        raise Wrong("input", f"'input' has more than {_MAX_MESSAGES} messages.")
    return split_question(said, param="input")


def _read_previous(given: str | None) -> Place | None:
    if given is None:
        return None
    try:
        return read_response_id(given)
    except TurnNotFound:
        raise no_previous("There is no such response.") from None


def _noted(request: ResponseRequest, key: str | None) -> Metadata:
    pairs = dict(read_metadata(request.metadata))
    if request.background:
        pairs[BACKGROUND] = YES
    if request.conversation is not None:
        pairs[IN_CONVERSATION] = YES
    elif request.previous_response_id is not None:
        pairs[PREVIOUS] = request.previous_response_id
        if key is not None:
            pairs[KEY] = key_digest(key)
    else:
        pairs[ALONE] = YES
    return make_metadata(pairs)


def key_digest(key: str) -> str:
    """Return what is noted down of an idempotency key."""
    return sha256(key.encode()).hexdigest()


def no_previous(words: str) -> Wrong:
    """Return that nothing can come after the response that was named."""
    return Wrong("previous_response_id", words, code="previous_response_not_found")
