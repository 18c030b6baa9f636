"""Beside the hexagon: the part of the contract of `LLMPort` where something breaks off.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from chatcore.errors import (
    LLMError,
    LLMIncomplete,
    LLMRateLimited,
    LLMRejected,
    LLMTimeout,
    LLMUnavailable,
)
from chatcore.ports.llm import LLMDelta, LLMEnded, LLMStarted
from chatcore.testing.contract import Contract
from chatcore.testing.llm_rig import (
    LLMRig,
    ModelAnswer,
    Power,
    ask,
    ask_either_way,
    collect,
    collect_until_failure,
    needs,
    prompt,
    text_of,
    until_open_calls,
)

LLM_ERRORS = (LLMUnavailable, LLMRateLimited, LLMRejected, LLMTimeout, LLMIncomplete)


class LLMFailureCases(Contract):
    """Failures by their names, streams closed early, callers that are cancelled."""

    @needs(Power.FAIL)
    @pytest.mark.parametrize("error", LLM_ERRORS)
    async def test_a_whole_answer_fails_by_name(self, rig: LLMRig, error: type[LLMError]) -> None:
        """Each failure of a whole answer is told by its own class."""
        rig.script(ModelAnswer(failure=error))
        with pytest.raises(LLMError) as caught:
            await ask(rig.impatient_llm if error is LLMTimeout else rig.llm)
        assert type(caught.value) is error

    @needs(Power.FAIL)
    @pytest.mark.parametrize("error", LLM_ERRORS)
    @pytest.mark.parametrize("pieces", [(), ("some ", "text")], ids=["at once", "after text"])
    async def test_a_stream_fails_by_name(
        self, rig: LLMRig, error: type[LLMError], pieces: tuple[str, ...]
    ) -> None:
        """Each failure of a stream is told by its own class, after all text that came before it."""
        rig.script(ModelAnswer(pieces, failure=error))
        llm = rig.impatient_llm if error is LLMTimeout else rig.llm
        request = llm.prepare(prompt(), stream=True)
        events, failure = await collect_until_failure(llm, request)
        assert type(failure) is error
        assert text_of(events) == "".join(pieces)
        assert not any(isinstance(event, LLMEnded) for event in events)

    @needs(Power.FAIL)
    async def test_the_wish_to_wait_is_passed_on(self, rig: LLMRig) -> None:
        """`retry_after_seconds` is what the model asked for, None where it asked for nothing."""
        rig.script(
            ModelAnswer(failure=LLMRateLimited, retry_after_seconds=7),
            ModelAnswer(failure=LLMRateLimited),
        )
        for wish in (7, None):
            with pytest.raises(LLMRateLimited) as caught:
                await ask(rig.llm)
            assert caught.value.retry_after_seconds == wish

    @needs(Power.SCRIPT)
    @pytest.mark.parametrize(
        "answer",
        [ModelAnswer(("text",), finish_reason=None), ModelAnswer((), "stop"), ModelAnswer(("",))],
        ids=["no finish reason", "no piece", "an empty piece"],
    )
    async def test_what_is_not_whole_is_incomplete(self, rig: LLMRig, answer: ModelAnswer) -> None:
        """An answer without a finish reason, or without text, is never taken for a whole one."""
        rig.script(answer, answer)
        with pytest.raises(LLMIncomplete):
            await ask(rig.llm)
        with pytest.raises(LLMIncomplete):
            await collect(rig.llm, rig.llm.prepare(prompt(), stream=True))

    @needs(Power.FAIL)
    async def test_a_failure_does_no_harm_to_the_next_call(self, rig: LLMRig) -> None:
        """After a failure the same adapter answers again."""
        rig.script(ModelAnswer(("a",), failure=LLMUnavailable), ModelAnswer(("fine",)))
        with pytest.raises(LLMUnavailable):
            await collect(rig.llm, rig.llm.prepare(prompt(), stream=True))
        assert (await ask(rig.llm)).text == "fine"

    async def test_a_stream_can_be_closed_early(self, rig: LLMRig) -> None:
        """Closing a stream after its first text does no harm to the next call."""
        async with aclosing(rig.llm.stream(rig.llm.prepare(prompt(), stream=True))) as events:
            async for event in events:
                if isinstance(event, LLMDelta):
                    break
        assert (await ask(rig.llm)).text

    @needs(Power.SCRIPT, Power.WATCH)
    async def test_closing_a_stream_ends_the_call(self, rig: LLMRig) -> None:
        """G7: closing the generator ends the call of the model, not only our interest in it."""
        rig.script(ModelAnswer(("some text",), hangs=True))
        stream = rig.llm.stream(rig.llm.prepare(prompt(), stream=True))
        assert isinstance(await anext(stream), LLMStarted)
        assert rig.open_calls() == 1
        await stream.aclose()
        await until_open_calls(rig, 0)

    @needs(Power.SCRIPT, Power.WATCH)
    @pytest.mark.parametrize("pieces", [(), ("some text",)], ids=["before text", "after text"])
    @pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
    async def test_cancelling_ends_the_call(
        self, rig: LLMRig, pieces: tuple[str, ...], streamed: bool
    ) -> None:
        """G7: cancelling whoever waits ends the call of the model, and is not told as a failure."""
        rig.script(ModelAnswer(pieces, hangs=True))
        request = rig.llm.prepare(prompt(), stream=streamed)
        waiting = asyncio.create_task(ask_either_way(rig.llm, request))
        await until_open_calls(rig, 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until_open_calls(rig, 0)
