"""Beside the rooms: what the systems under comparison share: settings and prompt.

May import: standard library.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The environment, with the names that chatcore has for it."""

    database_url: str
    pool_size: int
    provider_url: str
    api_key: str
    model: str
    system_prompt: str
    history_messages: int

    @classmethod
    def read(cls) -> Settings:
        """Read the environment; everything has to be there."""
        given = os.environ  # noqa: TID251 - a program of its own, not a part of the service
        return cls(
            database_url=given["DATABASE_URL"],
            pool_size=int(given["DATABASE_POOL_SIZE"]),
            provider_url=given["OPENAI_BASE_URL"],
            api_key=given["OPENAI_API_KEY"],
            model=given["OPENAI_MODEL"],
            system_prompt=given["SYSTEM_PROMPT"],
            history_messages=int(given["HISTORY_MESSAGES"]),
        )


def user_content(message: str, selected_text: str | None) -> str:
    """Return what the model is told for a question."""
    return f"Selected passage:\n{selected_text}\n\n{message}" if selected_text else message
