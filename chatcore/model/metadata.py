"""Room 1, the hexagon: what a caller notes down with a session or a turn.

May import: standard library, chatcore.errors.
"""

from __future__ import annotations

from collections.abc import Mapping

from chatcore.errors import InvalidInput

Metadata = tuple[tuple[str, str], ...]
"""Names and values, by name: for the caller to find again. The model never sees them."""

METADATA_MAX_PAIRS = 24
METADATA_NAME_MAX_CHARS = 64
METADATA_VALUE_MAX_CHARS = 512


def make_metadata(pairs: Mapping[str, str]) -> Metadata:
    """Return names and values in order.

    Raises:
        InvalidInput: There are too many, one is too long, or cannot be stored.
    """
    if len(pairs) > METADATA_MAX_PAIRS:
        raise InvalidInput("metadata", f"has more than {METADATA_MAX_PAIRS} entries")
    for name, value in pairs.items():
        if not 1 <= len(name) <= METADATA_NAME_MAX_CHARS:
            reason = f"has a name that is not 1 to {METADATA_NAME_MAX_CHARS} characters long"
            raise InvalidInput("metadata", reason)
        if len(value) > METADATA_VALUE_MAX_CHARS:
            reason = f"has a value of more than {METADATA_VALUE_MAX_CHARS} characters"
            raise InvalidInput("metadata", reason)
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in name + value):
            raise InvalidInput("metadata", "has characters that cannot be stored")
    return tuple(sorted(pairs.items()))
