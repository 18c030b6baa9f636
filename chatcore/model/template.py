"""Room 1, the hexagon: what every request of one configuration has in common.

May import: standard library.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

PROMPT_FORMAT = 1
"""Which way of writing prompts this code knows: another one needs another number (see `replay`)."""


@dataclass(frozen=True, kw_only=True)
class RequestTemplate:
    """Everything a request to the model is made from besides the conversation.

    Kept in the store under its digest, so that each attempt's exact request can be made again from
    the store alone, whatever the settings are by then (guarantee G9).

    Attributes:
        system_prompt: The operator's words.
        max_tokens: Longest answer, in tokens.
        history_max_chars: Most code points of earlier messages that go along.
        options: What else the adapter's requests depend on: names and values, by name.
        prompt_format: Which way prompts are written.
    """

    system_prompt: str
    max_tokens: int
    history_max_chars: int
    options: tuple[tuple[str, str], ...] = ()
    prompt_format: int = PROMPT_FORMAT

    def to_json(self) -> str:
        """Return the template as text: the same for the same values."""
        values = {
            "system_prompt": self.system_prompt,
            "max_tokens": self.max_tokens,
            "history_max_chars": self.history_max_chars,
            "options": dict(sorted(self.options)),
            "prompt_format": self.prompt_format,
        }
        return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> RequestTemplate:
        """Return the template that `to_json` wrote."""
        values = json.loads(text)
        options = tuple(sorted(values.pop("options").items()))
        return cls(options=options, **values)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `to_json`, hex."""
        return sha256(self.to_json().encode()).hexdigest()
