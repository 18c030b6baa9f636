"""Room 4, the door: the settings' values, and the only reader of the environment.

May import: standard library, app, dotenv.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from app.setting_row import Setting
from app.setting_table import (
    ConversationSettings,
    DatabaseSettings,
    ModelSettings,
    ServerSettings,
)
from app.setting_types import Secret

LOCAL_MODEL_KEY = Secret("local")
"""What is sent to the local model, which asks for no key. Tells it from others, also in workers."""


class SettingsError(Exception):
    """One or more settings are wrong; `problems` says of each what is accepted, one line each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, kw_only=True)
class Settings(ConversationSettings, ModelSettings, DatabaseSettings, ServerSettings):
    """All settings with their values. Empty counts as unset; unknown variables are ignored."""

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        """Return the settings that the variables say.

        Raises:
            SettingsError: At least one is wrong; all of the wrong ones are named.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for attribute, row in _rows():
            raw = environment.get(row.name, "").strip()
            if not raw:
                continue
            try:
                values[attribute] = row.parse(raw)
            except ValueError as error:
                problems.append(f"{row.name} {error}")
        _take_prompt_file(values, problems)
        if problems:
            raise SettingsError(tuple(problems))
        return cls(**values)

    @classmethod
    def load(cls) -> Settings:
        """Return the settings of this process: its environment, and `.env` below it.

        Raises:
            SettingsError: At least one is wrong; all of the wrong ones are named.
        """
        return cls.from_env(read_environment())

    @property
    def has_own_model(self) -> bool:
        """Whether a model is named, so that the local one is not needed."""
        return self.openai_api_key is not None or self.openai_base_url is not None

    @property
    def uses_local_model(self) -> bool:
        """Whether the model named is the local one, started by ourselves."""
        return self.openai_api_key == LOCAL_MODEL_KEY

    def secrets(self) -> tuple[str, ...]:
        """Return every text that must not be shown anywhere."""
        key, url = self.openai_api_key, self.database_url
        found = (key and key.reveal(), url and url.reveal(), url and url.password)
        return tuple(text for text in found if text)

    def shown(self) -> Iterator[tuple[Setting, str]]:
        """Yield every setting with its value as it may be shown."""
        for attribute, row in _rows():
            value = getattr(self, attribute)
            parts = value if isinstance(value, tuple) else ("" if value is None else value,)
            yield row, ",".join(str(part) for part in parts)


def table() -> tuple[Setting, ...]:
    """Return every setting there is, in the order of the documentation."""
    return tuple(row for _, row in _rows())


def read_environment(dotenv: Path = Path(".env")) -> dict[str, str]:
    """Return the lines of `.env` and, over them, the environment; a variable set empty counts.

    Raises:
        SettingsError: `.env` is there but cannot be read.
    """
    try:
        written = dotenv_values(dotenv, interpolate=False) if dotenv.is_file() else {}
    except (OSError, UnicodeDecodeError):
        raise SettingsError((".env cannot be read; accepted: UTF-8 lines of NAME=value",)) from None
    known = {name: value for name, value in written.items() if value is not None}
    return known | dict(os.environ)  # noqa: TID251  # this is the one place


def hand_to_workers(values: Mapping[str, str]) -> None:
    """Set variables that the worker processes inherit: what the parent found or started."""
    os.environ.update(values)  # noqa: TID251  # this is the one place


def _rows() -> Iterator[tuple[str, Setting]]:
    for column in fields(Settings):
        yield column.name, column.metadata["setting"]


def _take_prompt_file(values: dict[str, Any], problems: list[str]) -> None:
    """Read the system prompt from its file, if one is named."""
    file: Path | None = values.get("system_prompt_file")
    if file is None:
        return
    if "system_prompt" in values:
        problems.append(
            "SYSTEM_PROMPT_FILE is set together with SYSTEM_PROMPT; accepted: one of them"
        )
        return
    try:
        prompt = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        problems.append("SYSTEM_PROMPT_FILE cannot be read; accepted: a UTF-8 text file")
        return
    if not prompt or "\x00" in prompt:
        problems.append("SYSTEM_PROMPT_FILE is empty or has a NUL; accepted: a UTF-8 text file")
        return
    values["system_prompt"] = prompt
