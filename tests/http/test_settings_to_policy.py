"""What the container makes of settings.

May import: standard library, app, chatcore, pytest.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.container import AppContainer
from app.settings import LOCAL_MODEL_KEY, Settings
from chatcore import ChatPolicy


def test_the_local_model_is_streamed_from() -> None:
    """Whole answers are asked for, but not of the local model, which is slow on a busy machine."""
    hosted = Settings.from_env({"OPENAI_API_KEY": "a-key", "HISTORY_MESSAGES": "4"})
    local = replace(hosted, openai_api_key=LOCAL_MODEL_KEY)
    policies = [AppContainer(settings=given).policy() for given in (hosted, local)]
    assert [policy.whole_answers for policy in policies] == [True, False]
    assert policies[0].history_messages == 4
    assert [policy.history_max_chars for policy in policies] == [32_000, 8_000]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ChatPolicy().idle_sweep_seconds),
        ({"SWEEP": "always"}, ChatPolicy().idle_sweep_seconds),
        ({"SWEEP": "idle-off"}, None),
    ],
)
def test_a_database_may_fall_asleep(environment: dict[str, str], expected: float | None) -> None:
    """SWEEP=idle-off: nothing is looked for while nothing runs; else every so often."""
    policy = AppContainer(settings=Settings.from_env(environment)).policy()
    assert policy.idle_sweep_seconds == expected
    assert policy.sweep_seconds == ChatPolicy().sweep_seconds


@pytest.mark.parametrize(("value", "expected"), [("", 1000), ("0", None), ("7", 7)])
def test_the_number_of_turns_may_be_unlimited(value: str, expected: int | None) -> None:
    """MAX_RUNNING_TURNS=0: no limit; unset: the usual one."""
    settings = Settings.from_env({"MAX_RUNNING_TURNS": value})
    assert AppContainer(settings=settings).policy().max_running_turns == expected
