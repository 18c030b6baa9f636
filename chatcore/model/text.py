"""Room 1, the hexagon: what text may enter a conversation, from people and from the model.

May import: standard library, chatcore.errors.

PostgreSQL cannot store U+0000, and UTF-8 cannot carry a lone surrogate. What people send is refused
with the reason; what the model sends is repaired, since nobody could correct it. Nothing else is
changed: no trimming, no Unicode normalisation, no filtering of control characters.
"""

from __future__ import annotations

import re

from chatcore.errors import InvalidInput

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

TITLE_MAX_CHARS = 200
"""Longest title a caller may set, in code points."""
DERIVED_TITLE_CHARS = 80
"""Length at which a title made from a question is cut, in code points."""


def require_text(value: str, *, field: str, max_chars: int) -> str:
    """Return the value unchanged if it can be stored and says something.

    Args:
        value: Any string.
        field: What the caller calls it; named in the error.
        max_chars: Longest accepted length, in code points.

    Raises:
        InvalidInput: Blank, too long, or with a NUL or a lone surrogate.
    """
    if len(value) > max_chars:
        raise InvalidInput(field, f"is longer than {max_chars} characters")
    if not value or value.isspace():
        raise InvalidInput(field, "is empty")
    if _UNSTORABLE.search(value):
        what = "a NUL character" if "\x00" in value else "a lone surrogate"
        raise InvalidInput(field, f"contains {what}")
    return value


def optional_text(value: str | None, *, field: str, max_chars: int) -> str | None:
    """Return the value unchanged, or None for None; the rules are those of `require_text`."""
    if value is None:
        return None
    return require_text(value, field=field, max_chars=max_chars)


def repair_model_text(value: str) -> str:
    """Return text of the model with everything that cannot be stored replaced by U+FFFD."""
    if value.isascii() and "\x00" not in value:
        return value
    return _UNSTORABLE.sub(_REPLACEMENT, value)


def derive_title(question: str) -> str:
    """Return the beginning of a question as one line of at most 80 characters."""
    line = " ".join(question.lstrip()[: DERIVED_TITLE_CHARS * 4].split())
    if len(line) <= DERIVED_TITLE_CHARS:
        return line
    head = line[: DERIVED_TITLE_CHARS - 1]
    word_end = head.rfind(" ")
    return (head[:word_end] if word_end > DERIVED_TITLE_CHARS // 2 else head) + "…"
