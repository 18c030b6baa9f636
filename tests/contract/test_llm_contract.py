"""The contract of `LLMPort`, held against every adapter there is.

May import: standard library, adapters, chatcore, pytest, tests.provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import ClassVar

import pytest

from adapters.embedded.local_model import LocalModel
from adapters.memory.llm import HANG, ScriptedAnswer, ScriptedLLM
from adapters.openai import OpenAILLM
from chatcore.errors import (
    LLMError,
    LLMIncomplete,
    LLMRateLimited,
    LLMRejected,
    LLMTimeout,
    LLMUnavailable,
)
from chatcore.testing.llm_contract import LLMContract, LLMRig, ModelAnswer, Power
from chatcore.testing.llm_rig import prompt
from tests.provider import (
    DONE,
    Provider,
    Reply,
    Request,
    Step,
    Then,
    cut,
    data,
    error,
    event,
    events,
    hang,
    raw,
    say,
    streamed,
    whole,
)

STATUS = {LLMRateLimited: 429, LLMRejected: 401, LLMUnavailable: 503}
IMPATIENCE_SECONDS = 2.0  # text that is said at once must come before it, on any machine


class ScriptedRig(LLMRig):
    """`ScriptedLLM` is its own model."""

    def __init__(self) -> None:
        self.scripted = ScriptedLLM()
        self.llm = self.impatient_llm = self.scripted

    def script(self, *answers: ModelAnswer) -> None:
        for answer in answers:
            steps: list[str | float | LLMError] = [*answer.pieces]
            if answer.failure is not None:
                wish = answer.retry_after_seconds
                steps.append(answer.failure("as scripted", retry_after_seconds=wish))
            if answer.hangs:
                steps.append(HANG)
            self.scripted.script(ScriptedAnswer(tuple(steps), answer.finish_reason))

    def received(self) -> tuple[str, ...]:
        if not self.scripted.requests:
            return ()
        asked = self.scripted.requests[-1].prompt
        return (asked.system, *(message.content for message in asked.messages))

    def open_calls(self) -> int:
        return self.scripted.running


class ProviderRig(LLMRig):
    """`OpenAILLM` in front of a provider that does as it is told."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.llm = OpenAILLM(api_key="test", base_url=provider.base_url, model="test")
        self.impatient_llm = OpenAILLM(
            api_key="test",
            base_url=provider.base_url,
            model="test",
            timeout_seconds=IMPATIENCE_SECONDS,
        )

    def script(self, *answers: ModelAnswer) -> None:
        for answer in answers:
            self.provider.script(partial(reply_to, answer))

    def received(self) -> tuple[str, ...]:
        if not self.provider.requests:
            return ()
        return tuple(m["content"] for m in self.provider.requests[-1].json["messages"])

    def open_calls(self) -> int:
        return self.provider.open_calls

    async def aclose(self) -> None:
        assert isinstance(self.llm, OpenAILLM)
        assert isinstance(self.impatient_llm, OpenAILLM)
        await self.llm.aclose()
        await self.impatient_llm.aclose()


def reply_to(answer: ModelAnswer, request: Request) -> Reply:
    """Say in HTTP what the contract wants the model to do."""
    if not request.json.get("stream"):
        return _whole(answer)
    if answer.failure is None:
        then = Then.HANG if answer.hangs else None
        return streamed(answer.pieces, finish_reason=answer.finish_reason, then=then)
    if not answer.pieces:
        return _whole(answer)
    return events(*(say(piece) for piece in answer.pieces), *_failing(answer.failure))


def _whole(answer: ModelAnswer) -> Reply:
    if answer.hangs or answer.failure is LLMTimeout:
        return hang()
    if answer.failure is LLMIncomplete:
        return raw(b"<html>", headers={"Content-Type": "text/html"})
    if answer.failure is LLMUnavailable and answer.pieces:
        return cut()
    if answer.failure is not None:
        wish = answer.retry_after_seconds
        headers = {} if wish is None else {"Retry-After": str(wish)}
        return error(STATUS[answer.failure], headers=headers)
    return whole("".join(answer.pieces), finish_reason=answer.finish_reason)


def _failing(failure: type[LLMError]) -> list[Step]:
    steps: dict[type[LLMError], list[Step]] = {
        LLMUnavailable: [0.02, Then.CUT],
        LLMRateLimited: [data({"error": {"message": "slow down", "code": "rate_limit_exceeded"}})],
        LLMRejected: [event({}, finish_reason="content_filter"), DONE],
        LLMTimeout: [Then.HANG],
        LLMIncomplete: [DONE],
    }
    return steps[failure]


class TestScriptedLLM(LLMContract):
    """In memory."""

    @pytest.fixture
    def rig(self) -> LLMRig:
        """A scripted model."""
        return ScriptedRig()


class TestOpenAILLM(LLMContract):
    """Over HTTP, against a provider of ours."""

    @pytest.fixture
    async def rig(self) -> AsyncIterator[LLMRig]:
        """An adapter and its provider."""
        async with Provider() as provider:
            rig = ProviderRig(provider)
            yield rig
            await rig.aclose()


class LocalModelRig(LLMRig):
    """`OpenAILLM` in front of a real model."""

    def __init__(self, llm: OpenAILLM) -> None:
        self.llm = self.impatient_llm = llm

    def script(self, *answers: ModelAnswer) -> None:
        raise NotImplementedError

    def received(self) -> tuple[str, ...]:
        raise NotImplementedError

    def open_calls(self) -> int:
        raise NotImplementedError


@pytest.fixture(scope="module")
def local_model() -> Iterator[LocalModel]:
    """One server for all tests of it: it takes seconds to start."""
    model = LocalModel.start()
    yield model
    model.stop()


@pytest.mark.local_model
class TestOpenAILLMOnTheLocalModel(LLMContract):
    """Over HTTP, against a real model, as far as one can be held to a script."""

    missing_powers: ClassVar = {
        Power.SCRIPT: "a real model says what it likes",
        Power.FAIL: "a real model cannot be told to fail",
        Power.WATCH: "the server does not tell what it received",
    }

    @pytest.fixture
    async def rig(self, local_model: LocalModel) -> AsyncIterator[LLMRig]:
        """The adapter in front of it."""
        llm = OpenAILLM(
            api_key="none",
            base_url=local_model.base_url,
            model=local_model.model,
            timeout_seconds=60,
        )
        yield LocalModelRig(llm)
        await llm.aclose()

    async def test_check_finds_it(self, rig: LLMRig) -> None:
        """The probe of `check` works with a real server."""
        assert isinstance(rig.llm, OpenAILLM)
        await rig.llm.check()


def test_a_test_of_the_contract_cannot_be_replaced() -> None:
    """A subclass that overrides an inherited test is refused when it is defined."""
    with pytest.raises(TypeError, match="must not override"):
        type("Muted", (LLMContract,), {"test_equal_prompts_give_equal_bytes": None})


async def test_scripted_llm_runs_out() -> None:
    """A script that is used up is an unavailable model, not an answer made up."""
    llm = ScriptedLLM(["one"])
    request = llm.prepare(prompt(), stream=False)
    assert (await llm.complete(request)).text == "one"
    with pytest.raises(LLMUnavailable):
        await llm.complete(request)
    assert llm.requests == [request, request]
    assert llm.running == 0
