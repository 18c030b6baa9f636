"""What the container makes of settings.

May import: standard library, app.
"""

from __future__ import annotations

from dataclasses import replace

from app.container import AppContainer
from app.settings import LOCAL_MODEL_KEY, Settings


def test_the_local_model_is_streamed_from() -> None:
    """Whole answers are asked for, but not of the local model, which is slow on a busy machine."""
    hosted = Settings.from_env({"OPENAI_API_KEY": "a-key", "HISTORY_MESSAGES": "4"})
    local = replace(hosted, openai_api_key=LOCAL_MODEL_KEY)
    policies = [AppContainer(settings=given).policy() for given in (hosted, local)]
    assert [policy.whole_answers for policy in policies] == [True, False]
    assert policies[0].history_messages == 4
    assert [policy.history_max_chars for policy in policies] == [32_000, 8_000]
