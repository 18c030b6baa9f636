"""Beside the hexagon: what every contract suite has in common.

May import: standard library.
"""

from __future__ import annotations


class Contract:
    """Base of contract suites: a subclass may add tests, never take one away or replace it."""

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        for base in cls.__mro__[1:]:
            if not _is_suite(base):
                continue
            for name in vars(cls):
                if name.startswith("test") and name in vars(base):
                    raise TypeError(f"{cls.__name__} must not override {base.__name__}.{name}")


def _is_suite(base: type) -> bool:
    return base is not Contract and issubclass(base, Contract)
