"""Room 1, the hexagon: what the model is asked, free of any provider's format.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

from dataclasses import dataclass

from chatcore.model.message import Role


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One message of a prompt."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A whole request to the model.

    Attributes:
        system: What the operator says to the model. Nobody else's words are in it, unless nothing
            of the conversation is kept: then those of the caller come after the operator's.
        messages: The window, oldest first, and the question as the last one.
        max_tokens: Longest answer, in tokens.
        options: What else the request depends on, in the adapter's own words: its name and value,
            by name. Empty: the adapter's current ones.
    """

    system: str
    messages: tuple[PromptMessage, ...]
    max_tokens: int
    options: tuple[tuple[str, str], ...] = ()
