"""Room 3, the world: prompt -> bytes of a Chat Completions request, bytes of an answer -> values.

May import: standard library, chatcore, msgspec.

Only the fields that chatcore needs are read; everything else a server sends is skipped unseen.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, TypeGuard, get_args

import msgspec

from chatcore.model.prompt import Prompt
from chatcore.model.text import repair_model_text
from chatcore.model.turn import Usage

TokenLimitField = Literal["max_tokens", "max_completion_tokens"]
"""What a server calls the longest answer: OpenAI's newer models refuse the old name, most other
servers know no other."""

TOKEN_LIMIT_FIELDS: frozenset[str] = frozenset(get_args(TokenLimitField))

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Largest whole answer, and largest single event, that is held in memory."""

_COUNT_LIMIT = 2**31
_NAME_MAX_CHARS = 100
_SPLIT_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Unreadable(Exception):
    """The bytes are not an answer of Chat Completions."""


class _Message(msgspec.Struct):
    role: str
    content: str


class _StreamOptions(msgspec.Struct):
    include_usage: bool = True


class _Request(msgspec.Struct):
    """The order of the fields is the order of the bytes: changing it changes every digest."""

    model: str
    messages: list[_Message]
    max_tokens: int | msgspec.UnsetType = msgspec.UNSET
    max_completion_tokens: int | msgspec.UnsetType = msgspec.UNSET
    stream: bool | msgspec.UnsetType = msgspec.UNSET
    stream_options: _StreamOptions | msgspec.UnsetType = msgspec.UNSET


class Content(msgspec.Struct, gc=False):
    """A message, or the part of one that a streamed event brings."""

    content: str | None = None


class Choice(msgspec.Struct, gc=False):
    """One answer out of those asked for. We ask for one."""

    message: Content | None = None
    delta: Content | None = None
    finish_reason: str | None = None


class Answer(msgspec.Struct, gc=False):
    """A whole answer, or one event of a streamed one."""

    choices: list[Choice] | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Answer).decode


def is_token_limit_field(name: str | None) -> TypeGuard[TokenLimitField]:
    """Whether a server may call the longest answer so."""
    return name in TOKEN_LIMIT_FIELDS


def encode_request(
    prompt: Prompt, *, model: str, token_limit_field: TokenLimitField, stream: bool
) -> bytes:
    """Return the body of a request: the same bytes for the same arguments, always."""
    messages = [_Message("system", prompt.system)] if prompt.system else []
    messages += [_Message(message.role.value, message.content) for message in prompt.messages]
    request = _Request(model, messages)
    setattr(request, token_limit_field, prompt.max_tokens)
    if stream:
        request.stream = True
        request.stream_options = _StreamOptions()
    return _encode(request)


def decode_answer(body: bytes) -> Answer:
    """Read a whole answer or one event.

    Raises:
        Unreadable: Not JSON, not UTF-8, or not of that shape.
    """
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_with_lone_surrogates(body)


def _decode_with_lone_surrogates(body: bytes) -> Answer:
    """Read what msgspec refuses and Python's own parser takes: half of a surrogate pair.

    A server that cuts its text by UTF-16 units sends the halves of an emoji in two events.
    """
    try:
        return msgspec.convert(json.loads(body.decode("utf-8", "surrogatepass")), Answer)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from error


def is_json(body: bytes) -> bool:
    """Whether a body is JSON at all."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def usage_of(counts: object) -> Usage | None:
    """Return what the server counted; None for anything that is not two sensible numbers."""
    if not isinstance(counts, dict):
        return None
    prompt = _count(counts.get("prompt_tokens"))
    completion = _count(counts.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    return Usage(prompt_tokens=prompt, completion_tokens=completion)


def join_pairs(text: str) -> str:
    """Return the text with every two halves of a surrogate pair made one character."""
    if text.isascii():
        return text
    return _SPLIT_PAIR.sub(lambda pair: _joined(pair.group()), text)


def short_name(word: str) -> str:
    """Return a provider's own word (a model, a finish reason) in a form that can be stored."""
    return repair_model_text(word[:_NAME_MAX_CHARS])


def _joined(pair: str) -> str:
    return pair.encode("utf-16", "surrogatepass").decode("utf-16")


def _count(value: object) -> int | None:
    if isinstance(value, int | float) and 0 <= value < _COUNT_LIMIT:
        return int(value)
    return None
