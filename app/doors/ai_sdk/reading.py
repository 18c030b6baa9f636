"""Room 4, the door: what a client says in a request.

May import: standard library, app, chatcore, msgspec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from msgspec import UNSET

from app.doors.ai_sdk.schemas import ChatRequest, SentMessage
from app.http import wire
from app.http.problems import Refused
from app.http.schemas import FieldError
from chatcore import Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The last question on a client's screen.

    Attributes:
        name: What the client calls it; None if it has no name.
        names_quote: Whether the client says which passage it is about, or that it is about none.
    """

    name: str | None
    text: str
    quote: Quote | None
    names_quote: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a client asks for.

    Attributes:
        said: None if it shows no question.
        before: What the client shows before it, newest first; empty if it does not say.
        again: Whether to answer once more.
        name: The message that the client names besides: the one it edits, or answers again.
    """

    said: Said | None
    before: Sequence[SentMessage]
    again: bool
    name: str | None


def read_wanted(request: ChatRequest) -> Wanted:
    """Return what a request asks for, in either of its two forms.

    Raises:
        Refused: There is nothing to answer, or it has no text.
    """
    again = request.trigger == "regenerate-message"
    shown = [request.message] if request.message is not None else request.messages or []
    if again:
        # The old answer is on its way out, whether or not the client still sends it.
        answers = list(takewhile(lambda message: message.role != "user", reversed(shown)))
        shown = shown[: len(shown) - len(answers)]
        if not shown and (answers or request.message_id is None):
            raise _wrong("messages", "hold no question to answer again")
    elif not shown or shown[-1].role != "user":
        raise _wrong("messages", "do not end with a message of the user")
    return Wanted(
        said=_read_said(shown[-1], request) if shown else None,
        before=shown[-2::-1],
        again=again,
        name=request.message_id or None,
    )


def _read_said(message: SentMessage, request: ChatRequest) -> Said:
    return Said(
        name=message.id or None,
        text=_text_of(message),
        quote=wire.read_quote(request.selected_text),
        names_quote=request.selected_text is not UNSET,
    )


def _text_of(message: SentMessage) -> str:
    """Return a question's text; what it has besides is left out."""
    texts = [part.text for part in message.parts if part.type == "text"]
    if not texts:
        raise _wrong("message.parts", "have no text, and nothing else is understood")
    if not all(isinstance(text, str) for text in texts):
        raise _wrong("message.parts", "have a text that is no string")
    return "\n\n".join(texts)


def _wrong(field: str, reason: str) -> Refused:
    return Refused("invalid_request", errors=[FieldError(field=field, reason=reason)])
