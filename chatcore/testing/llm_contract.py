"""Beside the hexagon: what every adapter of `LLMPort` must do, as tests for its author to inherit.

May import: standard library, chatcore, pytest.

    class TestMyLLM(LLMContract):
        @pytest.fixture
        async def rig(self) -> AsyncIterator[LLMRig]:
            yield MyRig()

A test is added in a subclass, never replaced. What a rig cannot do is declared in `missing_powers`,
with the reason; the tests that need it are reported as skipped with that reason, and counted.
The tests are coroutines: pytest-asyncio in its mode `auto` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from chatcore.testing.llm_answer_cases import LLMAnswerCases
from chatcore.testing.llm_failure_cases import LLMFailureCases
from chatcore.testing.llm_rig import LLMRig, ModelAnswer, Power

__all__ = ["LLMContract", "LLMRig", "ModelAnswer", "Power"]


class LLMContract(LLMAnswerCases, LLMFailureCases):
    """Inherit, provide the fixture `rig`, declare in `missing_powers` what it cannot do.

    Attributes:
        missing_powers: Each power that the rig lacks, with the reason.
    """

    missing_powers: ClassVar[Mapping[Power, str]] = {}

    @pytest.fixture(autouse=True)
    def _declared_powers(self, request: pytest.FixtureRequest) -> None:
        for power in getattr(request.function, "needed_powers", ()):
            if reason := self.missing_powers.get(power):
                pytest.skip(f"{type(self).__name__} cannot {power.value}: {reason}")
