"""Room 3, the world: reads the error object in a provider's answer, and nothing else of it.

May import: standard library.

Known are `{"error": {"message", "type", "code"}}` as OpenAI sends it, the same object without the
outer one, and `{"error": "…"}`. Every other body is left unread: it may repeat the request.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KIND = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60}")


def words_of(told: object) -> tuple[str, ...]:
    """Return the provider's names for the error: its code and its type."""
    inner = _inner(told)
    if not isinstance(inner, dict):
        return ()
    return tuple(word for key in ("code", "type") if isinstance(word := inner.get(key), str))


def status_in(told: object) -> int | None:
    """Return the HTTP status that an error object names."""
    inner = _inner(told)
    if isinstance(inner, dict):
        for key in ("code", "status", "status_code"):
            value = inner.get(key)
            if isinstance(value, int | str) and str(value).isdecimal():
                number = int(str(value)[:9])
                if 400 <= number <= 599:
                    return number
    return None


def message_of(told: object) -> str:
    """Return message, code and type of an error object; empty for anything else."""
    inner = _inner(told)
    if isinstance(inner, str):
        return inner
    message = inner.get("message") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(message, str) or not message:
        return ""
    names = [f"{key} {value}" for key in ("code", "type") if (value := _name(inner.get(key)))]
    return f"{message} ({', '.join(names)})" if names else message


def body_message_of(told: object) -> str:
    """Return the same of a whole body, of which a text that stands alone is no known form."""
    return message_of(told) if isinstance(told, dict) else ""


def describe_body(content_type: str, size_bytes: int) -> str:
    """Return what can be told of a body without telling anything that is in it."""
    kind = content_type.partition(";")[0].strip().lower()
    return f"{kind if _KIND.fullmatch(kind) else 'no known type'}, {size_bytes} bytes"


def _inner(told: object) -> object:
    """`{"error": …}` and what is in it are told the same way."""
    return told["error"] if isinstance(told, dict) and told.get("error") else told


def _name(value: object) -> str:
    """Return a code or a type, if it is a name or a small number and not a text."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9:
        return str(value)
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""
