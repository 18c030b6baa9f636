"""The limits of the OpenAI adapter: of silence, of size; callers who leave; the probe.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable

import pytest

from adapters.openai import OpenAILLM
from chatcore.errors import (
    LLMError,
    LLMIncomplete,
    LLMRateLimited,
    LLMRejected,
    LLMTimeout,
    LLMUnavailable,
)
from chatcore.ports.llm import LLMDelta, LLMEnded, LLMStarted
from chatcore.testing.llm_rig import collect, prompt, text_of
from tests.integration.asking import KEY, LIMIT, MAX_CHARS, STOP, ask, fail
from tests.provider import (
    DONE,
    USAGE,
    Provider,
    Reply,
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

DRIPS: list[Step] = [0.05, b" "] * 80


class TestSilence:
    """The limit counts content, not bytes."""

    @pytest.mark.parametrize(
        ("steps", "text"),
        [
            ([], ""),
            ([event({"role": "assistant", "content": ""})], ""),
            ([say("a")], "a"),
            ([say("a"), *[0.05, b": keep-alive\n\n"] * 80], "a"),
            ([*[0.05, event({"role": "assistant"})] * 80], ""),
            ([say("a"), *[0.05, event({"content": ""})] * 80], "a"),
            ([say("a"), *[0.05, data({"choices": [], "usage": USAGE})] * 80], "a"),
            ([*[0.05, b"x"] * 80], ""),
        ],
        ids=["head", "role", "text", "comments", "roles", "empty", "usage", "no line end"],
    )
    async def test_a_stream_without_content_times_out(
        self, provider: Provider, impatient: OpenAILLM, steps: list[Step], text: str
    ) -> None:
        """Silence before or after text is a timeout; what carries no content is silence."""
        provider.script(events(*steps, Then.HANG))
        async with asyncio.timeout(3.5):
            came, failure = await fail(impatient, stream=True)
            await provider.requests[-1].left.wait()
        assert (came, type(failure)) == (text, LLMTimeout)

    async def test_a_stream_may_take_long_as_long_as_text_comes(
        self, provider: Provider, impatient: OpenAILLM
    ) -> None:
        """The limit is for silence, not for the whole stream."""
        provider.script(streamed("abcdefgh", pause_seconds=LIMIT / 4))
        came = await collect(impatient, impatient.prepare(prompt(), stream=True))
        assert text_of(came) == "abcdefgh"

    async def test_a_slow_reader_is_not_silence(
        self, provider: Provider, impatient: OpenAILLM
    ) -> None:
        """Time that whoever reads the stream takes does not count."""
        provider.script(events(say("a"), 0.05, say("b") + STOP + DONE))
        text = ""
        async for piece in impatient.stream(impatient.prepare(prompt(), stream=True)):
            await asyncio.sleep(LIMIT * 1.2)
            text += piece.text if isinstance(piece, LLMDelta) else ""
        assert text == "ab"

    async def test_a_loop_that_stood_still_is_not_silence(
        self, provider: Provider, impatient: OpenAILLM
    ) -> None:
        """After a pause of the whole process, bytes that had come in time are read first."""
        provider.script(events(say("a"), 0.1, say("b"), 0.05, STOP + DONE))
        stream = impatient.stream(impatient.prepare(prompt(), stream=True))
        assert isinstance(await anext(stream), LLMStarted)
        assert await anext(stream) == LLMDelta("a")
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.08)
        asyncio.get_running_loop().call_later(0.025, time.sleep, LIMIT * 2)
        assert await waiting == LLMDelta("b")
        assert isinstance([event async for event in stream][-1], LLMEnded)

    @pytest.mark.parametrize(
        "reply",
        [
            hang(),
            raw(b"{", Then.HANG, headers={"Content-Length": "100"}),
            raw(*DRIPS, headers={"Content-Length": "1000"}),
        ],
        ids=["no head", "no body", "drops"],
    )
    async def test_a_whole_answer_has_one_limit(
        self, provider: Provider, impatient: OpenAILLM, reply: Reply
    ) -> None:
        """Bytes that drip in do not lengthen the limit of a whole answer."""
        provider.script(reply)
        async with asyncio.timeout(3.5):
            _, failure = await fail(impatient, stream=False)
            await provider.requests[-1].left.wait()
        assert type(failure) is LLMTimeout
        assert failure.detail == f"no content for {LIMIT:g} seconds"

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    async def test_a_status_is_told_though_its_body_never_ends(
        self, provider: Provider, stream: bool
    ) -> None:
        """A refusal is a refusal, also when the words to it do not come."""
        provider.script(raw(b"{", Then.HANG, status=401, headers={"Content-Length": "9"}))
        # Time enough for the head on a machine that is busy; what is too late has no status.
        llm = OpenAILLM(api_key=KEY, base_url=provider.base_url, model="m", timeout_seconds=2)
        _, failure = await fail(llm, stream=stream)
        await llm.aclose()
        assert type(failure) is LLMRejected

    async def test_an_answer_that_is_whole_is_not_lost_to_silence(
        self, provider: Provider, llm: OpenAILLM
    ) -> None:
        """After text and finish reason, a provider that falls silent has said all, and soon."""
        provider.script(events(say("a"), STOP, Then.HANG))
        async with asyncio.timeout(10):
            came = await collect(llm, llm.prepare(prompt(), stream=True))
        assert isinstance(came[-1], LLMEnded)
        assert came[-1].finish_reason == "stop"


class TestSizes:
    """G14: memory is bounded, whatever is sent."""

    async def test_a_long_stream_is_cut(self, provider: Provider, llm: OpenAILLM) -> None:
        """Ten megabytes end at the limit, with `length`; the provider is not read to its end."""
        provider.script(events(*[say("é" * 10_000)] * 1000, STOP, DONE))
        came = await collect(llm, llm.prepare(prompt(), stream=True))
        assert text_of(came) == "é" * MAX_CHARS
        assert isinstance(came[-1], LLMEnded)
        assert came[-1].finish_reason == "length"
        async with asyncio.timeout(5):
            await provider.requests[-1].left.wait()

    async def test_a_text_of_just_the_limit_is_whole(
        self, provider: Provider, llm: OpenAILLM
    ) -> None:
        """The limit itself is allowed, whole and streamed."""
        provider.script(whole("a" * MAX_CHARS), events(say("a" * MAX_CHARS), STOP, DONE))
        assert (await ask(llm)).finish_reason == "stop"
        last = (await collect(llm, llm.prepare(prompt(), stream=True)))[-1]
        assert isinstance(last, LLMEnded)
        assert last.finish_reason == "stop"

    async def test_a_long_whole_answer_is_cut(self, provider: Provider, llm: OpenAILLM) -> None:
        """A whole answer beyond the limit is cut there, with `length`."""
        provider.script(whole("é" * (MAX_CHARS + 1)))
        reply = await ask(llm)
        assert (len(reply.text), reply.finish_reason) == (MAX_CHARS, "length")

    async def test_a_megabyte_in_one_event_is_cut(self, provider: Provider, llm: OpenAILLM) -> None:
        """One huge piece is read, and cut like many small ones."""
        provider.script(events(say("x" * 1_000_000), STOP, DONE))
        came = await collect(llm, llm.prepare(prompt(), stream=True))
        assert text_of(came) == "x" * MAX_CHARS

    async def test_a_hundred_thousand_small_pieces(
        self, provider: Provider, llm: OpenAILLM
    ) -> None:
        """Very many very small pieces cost neither much time nor text."""
        burst = b"".join([say("x")] * 1000)
        provider.script(events(*[burst] * 99, STOP, DONE))
        came = await collect(llm, llm.prepare(prompt(), stream=True))
        assert text_of(came) == "x" * 99_000
        assert len(came) < 2000

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    async def test_what_never_ends_is_given_up(
        self, provider: Provider, llm: OpenAILLM, stream: bool
    ) -> None:
        """An endless body, an endless line: incomplete, and memory stays within bounds."""
        megabyte = b"x" * 2**20
        tracemalloc.start()
        provider.script(events(*[megabyte] * 64) if stream else raw(*[megabyte] * 64))
        _, failure = await fail(llm, stream=stream)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert type(failure) is LLMIncomplete
        assert peak < 40 * 2**20
        async with asyncio.timeout(5):
            await provider.requests[-1].left.wait()


class TestLeaving:
    """Who leaves takes the call with them."""

    @pytest.fixture(autouse=True)
    def no_tail(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let what ends the calls be leaving, not the time that whole answers are given."""
        monkeypatch.setattr("adapters.openai.provider._TAIL_SECONDS", 30.0)

    @pytest.mark.parametrize("steps", [[Then.HANG], [say("a"), Then.HANG]], ids=["", "in text"])
    async def test_cancelling_a_stream_closes_the_connection(
        self, provider: Provider, llm: OpenAILLM, steps: list[Step]
    ) -> None:
        """The provider sees it within a moment."""
        provider.script(events(*steps))
        waiting = asyncio.create_task(collect(llm, llm.prepare(prompt(), stream=True)))
        await _until(lambda: provider.open_calls == 1)
        waiting.cancel()
        async with asyncio.timeout(5):
            await provider.requests[-1].left.wait()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def test_cancelling_a_whole_answer_closes_the_connection(
        self, provider: Provider, llm: OpenAILLM
    ) -> None:
        """The provider sees it within a moment."""
        provider.script(hang())
        waiting = asyncio.create_task(ask(llm))
        await _until(lambda: provider.open_calls == 1)
        waiting.cancel()
        async with asyncio.timeout(5):
            await provider.requests[-1].left.wait()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def test_closing_a_stream_closes_the_connection(
        self, provider: Provider, llm: OpenAILLM
    ) -> None:
        """G7: `aclose` after some text ends the call at once."""
        provider.script(events(say("a"), Then.HANG))
        stream = llm.stream(llm.prepare(prompt(), stream=True))
        assert isinstance(await anext(stream), LLMStarted)
        await stream.aclose()
        async with asyncio.timeout(5):
            await provider.requests[-1].left.wait()

    async def test_a_stream_never_begun_sends_nothing(
        self, provider: Provider, llm: OpenAILLM
    ) -> None:
        """Only asking for the first event makes the call."""
        stream = llm.stream(llm.prepare(prompt(), stream=True))
        await stream.aclose()
        assert provider.requests == []


class TestCheck:
    """The probe for `check` and for readiness."""

    async def test_a_list_of_models_is_enough(self, provider: Provider, llm: OpenAILLM) -> None:
        """One request, without a body, with the key."""
        await llm.check()
        sent = provider.requests[-1]
        assert (sent.method, sent.path, sent.body) == ("GET", "/v1/models", b"")
        assert sent.headers["authorization"] == f"Bearer {KEY}"

    @pytest.mark.parametrize("status", [400, 422])
    async def test_without_a_list_an_empty_request_will_do(
        self, provider: Provider, llm: OpenAILLM, status: int
    ) -> None:
        """A server that refuses an empty request as such is there and takes the key."""
        provider.script(error(404), error(status))
        await llm.check()
        assert provider.requests[-1].body == b"{}"

    @pytest.mark.parametrize(
        ("replies", "expected"),
        [
            ([error(401)], LLMRejected),
            ([error(404), error(401)], LLMRejected),
            ([error(404), error(404)], LLMRejected),
            ([error(405), error(500)], LLMUnavailable),
            ([error(503)], LLMUnavailable),
            ([error(429)], LLMRateLimited),
            ([raw(b"<html>")], LLMIncomplete),
            ([hang()], LLMTimeout),
            ([cut(), cut()], LLMUnavailable),
        ],
    )
    async def test_what_is_wrong_has_its_name(
        self,
        provider: Provider,
        llm: OpenAILLM,
        impatient: OpenAILLM,
        replies: list[Reply],
        expected: type[LLMError],
    ) -> None:
        """A wrong key or address is a refusal, a provider that is away is unavailable."""
        provider.script(*replies)
        with pytest.raises(LLMError) as caught:
            await (impatient if expected is LLMTimeout else llm).check()
        assert type(caught.value) is expected

    def test_an_adapter_can_be_made_without_an_event_loop(self) -> None:
        """Made in one place, used in another: no loop is needed before the first call."""
        llm = OpenAILLM(api_key=KEY, base_url="http://127.0.0.1:9/v1", model="m")

        async def use() -> None:
            with pytest.raises(LLMUnavailable):
                await llm.check()
            await llm.aclose()

        asyncio.run(use())


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
