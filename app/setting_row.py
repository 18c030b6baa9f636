"""Room 4, the door: what there is to know about one setting.

May import: standard library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What there is to know about one setting.

    Attributes:
        name: Name of the environment variable.
        default: What an unset variable means, as one would write it; empty for nothing.
        unit: What is counted, where something is.
        help: What it is for, in one sentence or two.
        is_secret: Whether its value must not be shown.
    """

    name: str
    parse: Callable[[str], object]
    default: str
    help: str
    unit: str
    is_secret: bool


def setting(
    name: str,
    parse: Callable[[str], object],
    default: str,
    help_text: str,
    *,
    unit: str = "",
    is_secret: bool = False,
) -> Any:  # a dataclass field stands in for its value
    """Return a field of a dataclass with a row of its own; the default is parsed like any value."""
    row = Setting(
        name=name, parse=parse, default=default, help=help_text, unit=unit, is_secret=is_secret
    )
    return field(default=parse(default) if default else None, metadata={"setting": row})
