"""The OpenAI adapter when the provider fails: every fault has its name, and ends in time.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
import socket
import traceback

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
from chatcore.ports.llm import LLMEnded, LLMStarted
from chatcore.testing.llm_rig import collect, prompt
from tests.integration.asking import KEY, LIMIT, STOP, ask, fail
from tests.provider import (
    DONE,
    Provider,
    Reply,
    Then,
    answer_as_asked,
    cut,
    data,
    error,
    event,
    events,
    garbled,
    json_reply,
    raw,
    say,
    streamed,
    whole,
)

HTML = {"Content-Type": "text/html"}


either_way = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class TestStatuses:
    """What a status other than 200 means."""

    @either_way
    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            *((status, LLMRejected) for status in (301, 307, 400, 401, 402, 403, 404, 422)),
            (408, LLMTimeout),
            (429, LLMRateLimited),
            *((status, LLMUnavailable) for status in (409, 500, 502, 503, 504, 529)),
        ],
    )
    async def test_a_status_has_its_error(
        self,
        provider: Provider,
        llm: OpenAILLM,
        status: int,
        expected: type[LLMError],
        stream: bool,
    ) -> None:
        """Refusals are told apart from what may pass; a redirect is a refusal and not followed."""
        provider.script(error(status, "because", headers={"Location": "/elsewhere"}))
        _, failure = await fail(llm, stream=stream)
        assert type(failure) is expected
        assert failure.detail == f"HTTP {status}: because"
        assert len(provider.requests) == 1

    @either_way
    async def test_an_empty_purse_is_a_refusal(
        self, provider: Provider, llm: OpenAILLM, stream: bool
    ) -> None:
        """429 for used-up credit does not pass by waiting."""
        provider.script(error(429, "You exceeded your quota", code="insufficient_quota"))
        _, failure = await fail(llm, stream=stream)
        assert type(failure) is LLMRejected

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"Retry-After": "3"}, 3.0),
            ({"Retry-After": "0.5"}, 0.5),
            ({"Retry-After": "-3"}, 0.0),
            ({"Retry-After": "soon"}, None),
            ({"Retry-After": "inf"}, None),
            ({"Retry-After": "20", "Retry-After-Ms": "1500"}, 1.5),
            (
                {
                    "Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT",
                    "Date": "Wed, 21 Oct 2026 07:28:00 GMT",
                },
                30.0,
            ),
            ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
            ({"Retry-After": "Wed, 21 Oct 2026 07:28:30"}, None),
        ],
    )
    @pytest.mark.parametrize("status", [429, 503])
    async def test_the_wish_to_wait_is_read(
        self,
        provider: Provider,
        llm: OpenAILLM,
        status: int,
        headers: dict[str, str],
        seconds: float | None,
    ) -> None:
        """Seconds, milliseconds and dates are understood; nonsense is no wish."""
        provider.script(error(status, headers=headers))
        _, failure = await fail(llm, stream=False)
        assert failure.retry_after_seconds == seconds

    @pytest.mark.parametrize(
        ("reply", "detail"),
        [
            (error(400, "Bad\r\n\x1b[31mwords"), "HTTP 400: Bad [31mwords"),
            (error(400, "a", code="b", kind="c"), "HTTP 400: a (code b, type c)"),
            (error(400, "a", code="b c", kind="d" * 65), "HTTP 400: a"),
            (json_reply({"message": "a", "code": 7}, status=400), "HTTP 400: a (code 7)"),
            (json_reply({"error": "plain"}, status=400), "HTTP 400: plain"),
            (json_reply({"detail": "x"}, status=404), "HTTP 404: application/json, 15 bytes"),
            (json_reply(["odd"], status=400), "HTTP 400: application/json, 7 bytes"),
            (json_reply("odd", status=400), "HTTP 400: application/json, 5 bytes"),
            (raw(b"<h1>\xff", status=502, headers=HTML), "HTTP 502: text/html, 5 bytes"),
            (raw(b"", status=500), "HTTP 500: no known type, 0 bytes"),
            (raw(b"[" * 60_000, status=500), "HTTP 500: no known type, 60000 bytes"),
            (error(500, "x, " * 9_999), None),
        ],
    )  # fmt: skip
    async def test_the_providers_words_are_for_the_log(
        self, provider: Provider, llm: OpenAILLM, reply: Reply, detail: str | None
    ) -> None:
        """The detail is one printable line of at most 500 characters, whatever was sent."""
        provider.script(reply)
        _, failure = await fail(llm, stream=False)
        assert detail is None or failure.detail == detail
        assert failure.detail.isprintable()
        assert len(failure.detail) <= 500

    @either_way
    async def test_the_key_is_told_nowhere(
        self, provider: Provider, llm: OpenAILLM, stream: bool
    ) -> None:
        """S15: neither the error nor its traceback holds the key, even if it is repeated."""
        replies = [
            error(401, f"x {KEY} " * 200),
            error(401, "x" * (4 * 500 - 18) + KEY),
            error(401, " " * (4 * 500 - len("HTTP 401: ") - 14) + KEY),
            garbled(),
            json_reply({"error": {"message": KEY}}),
        ]
        provider.script(*replies)
        for _ in replies:
            _, failure = await fail(llm, stream=stream)
            told = [*traceback.format_exception(failure), repr(failure), repr(failure.__cause__)]
            assert KEY not in "".join(told)
            assert KEY[:12] not in failure.detail


class TestBrokenAnswers:
    """Status 200, and yet no answer."""

    @pytest.mark.parametrize(
        "reply",
        [
            raw(b"<html>not found</html>", headers=HTML),
            raw(b"", headers={"Content-Type": "application/json"}),
            raw(b'{"choices": [{"message": {"content": "cut of', headers=HTML),
            raw(b'{"choices": [{"message": {"content": "\xff"}, "finish_reason": "stop"}]}'),
            raw(b"[" * 100_000),
            raw(b'{"x":' + b"[" * 100_000),
            json_reply([]),
            json_reply({}),
            json_reply({"choices": []}),
            json_reply({"choices": [{"finish_reason": "stop"}]}),
            json_reply({"choices": [{"message": {"content": ["a"]}, "finish_reason": "stop"}]}),
            whole(None),
            whole(""),
            whole("text", finish_reason=None),
            whole("text", finish_reason=""),
            whole("", finish_reason="tool_calls"),
            streamed(["a"]),
        ],
    )
    async def test_a_whole_answer_that_is_none(
        self, provider: Provider, llm: OpenAILLM, reply: Reply
    ) -> None:
        """HTML, broken JSON, no choices, no text, no finish reason: incomplete."""
        provider.script(reply)
        _, failure = await fail(llm, stream=False)
        assert type(failure) is LLMIncomplete

    @pytest.mark.parametrize(
        ("reply", "text"),
        [
            (raw(b"<html>", headers=HTML), ""),
            (whole("not a stream"), ""),
            (events(), ""),
            (events(DONE), ""),
            (events(STOP, DONE), ""),
            (events(say("a")), "a"),
            (events(say("a"), DONE), "a"),
            (events(say("a"), b"data: <html>\n\n", STOP, DONE), "a"),
            (events(say("a"), b'data: {"choices":\n\n', STOP, DONE), "a"),
            (events(say("a"), b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', STOP), "a"),
            (events(say("a"), b"data: " + b"[" * 100_000 + b"\n\n", STOP), "a"),
            (events(say("a"), b'data: {"x":' + b"[" * 100_000 + b"\n\n", STOP), "a"),
            (events(say("a"), b"data: 5\n\n", STOP, DONE), "a"),
            (events(say("a"), event({}, finish_reason=""), DONE), "a"),
            (raw(say("a"), Then.CLOSE, headers={"Content-Type": "text/event-stream"}), "a"),
            (events(event({}, finish_reason="tool_calls"), DONE), ""),
        ],
    )
    async def test_a_stream_that_is_none(
        self, provider: Provider, llm: OpenAILLM, reply: Reply, text: str
    ) -> None:
        """What cannot be read, or ends without text or finish reason, is incomplete."""
        provider.script(reply)
        came, failure = await fail(llm, stream=True)
        assert (came, type(failure)) == (text, LLMIncomplete)

    @pytest.mark.parametrize(
        ("told", "expected"),
        [
            ({"message": "x"}, LLMUnavailable),
            ("x", LLMUnavailable),
            ({"message": "x", "code": 429}, LLMRateLimited),
            ({"message": "x", "code": "503", "type": "?"}, LLMUnavailable),
            ({"message": "x", "code": 400}, LLMRejected),
            ({"message": "x", "code": "9" * 5000}, LLMUnavailable),
            ({"message": "x", "type": "rate_limit_error"}, LLMRateLimited),
            ({"message": "x", "code": "insufficient_quota", "status": 429}, LLMRejected),
            ({"message": "x", "type": "invalid_request_error", "code": None}, LLMRejected),
            ({"message": "x", "code": "timeout"}, LLMTimeout),
        ],
    )
    async def test_an_error_object_in_an_answer_is_told_by_its_code(
        self, provider: Provider, llm: OpenAILLM, told: object, expected: type[LLMError]
    ) -> None:
        """In a stream after text, in place of a stream, and in place of a whole answer."""
        reply = json_reply({"error": told})
        provider.script(events(say("a"), data({"error": told}), DONE), reply, reply)
        for stream, text in ((True, "a"), (True, ""), (False, "")):
            came, failure = await fail(llm, stream=stream)
            assert (came, type(failure)) == (text, expected)
            assert failure.detail.partition(" (")[0] == "x"

    @pytest.mark.parametrize(
        ("reason", "expected"), [("content_filter", LLMRejected), ("error", LLMUnavailable)]
    )
    async def test_a_finish_reason_can_be_a_failure(
        self, provider: Provider, llm: OpenAILLM, reason: str, expected: type[LLMError]
    ) -> None:
        """A filtered answer is a refusal, never a reply, whatever text it has."""
        provider.script(whole("text", finish_reason=reason))
        assert type((await fail(llm, stream=False))[1]) is expected
        provider.script(streamed(["text"], finish_reason=reason))
        came, failure = await fail(llm, stream=True)
        assert (came, type(failure)) == ("text", expected)


class TestConnections:
    """Connections that fail, and connections that are used again."""

    @either_way
    @pytest.mark.parametrize(
        "reply",
        [
            cut(),
            raw(Then.CLOSE, status=None),
            garbled(),
            raw(b"HTTP/1.1 200 OK\r\n", Then.CUT, status=None),
            raw(b'{"cho', 0.05, Then.CUT, headers={"Content-Length": "100"}),
        ],
        ids=["reset", "closed", "no HTTP", "half a head", "half a body"],
    )
    async def test_a_broken_connection_is_unavailable(
        self, provider: Provider, llm: OpenAILLM, reply: Reply, stream: bool
    ) -> None:
        """However a connection breaks before the answer is there, the model is unavailable."""
        if stream and reply.headers:
            reply = events(b"data: {", 0.05, Then.CUT)
        provider.script(reply)
        assert type((await fail(llm, stream=stream))[1]) is LLMUnavailable
        assert len(provider.requests) == 1

    async def test_a_cut_in_mid_text_is_unavailable(
        self, provider: Provider, llm: OpenAILLM
    ) -> None:
        """The text that came before the cut is delivered first."""
        provider.script(events(say("so far"), 0.05, Then.CUT))
        came, failure = await fail(llm, stream=True)
        assert (came, type(failure)) == ("so far", LLMUnavailable)

    @either_way
    @pytest.mark.parametrize("base_url", ["http://127.0.0.1:{port}/v1", "http://no.invalid/v1"])
    async def test_a_provider_that_is_not_there_is_unavailable(
        self, base_url: str, stream: bool
    ) -> None:
        """Connection refused, and an unknown name."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = base_url.format(port=taken.getsockname()[1])
            llm = OpenAILLM(api_key=KEY, base_url=url, model="m", use_environment_proxy=False)
            _, failure = await fail(llm, stream=stream)
        await llm.aclose()
        assert type(failure) is LLMUnavailable
        assert failure.__cause__ is not None

    @either_way
    async def test_a_tls_failure_is_unavailable(self, stream: bool) -> None:
        """A server that does not speak TLS where TLS is wanted."""

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"no TLS here\n")
            await reader.read()
            writer.close()

        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            llm = OpenAILLM(api_key=KEY, base_url=f"https://127.0.0.1:{port}/v1", model="m")
            _, failure = await fail(llm, stream=stream)
            await llm.aclose()
        assert type(failure) is LLMUnavailable
        assert "SSL" in failure.detail

    async def test_a_provider_that_does_not_take_the_connection_is_unavailable(self) -> None:
        """Nobody accepts: the limit for connecting ends it, long before the other one."""
        with socket.socket() as full, socket.socket() as filler:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            await asyncio.sleep(0.05)
            llm = OpenAILLM(
                api_key=KEY,
                base_url=f"http://127.0.0.1:{full.getsockname()[1]}/v1",
                model="m",
                timeout_seconds=10,
                connect_timeout_seconds=LIMIT,
            )
            async with asyncio.timeout(5):
                _, failure = await fail(llm, stream=True)
            await llm.aclose()
        assert type(failure) is LLMUnavailable
        assert "not reached in time" in failure.detail

    async def test_a_connection_is_used_again(self, provider: Provider, llm: OpenAILLM) -> None:
        """After whole answers, streams and refusals the same connection serves the next call."""
        late = events(say("a"), STOP, DONE, 0.05)  # the last bytes of HTTP come later
        provider.script(streamed(["a"]), whole("a"), error(429), late, streamed(["a"]))
        await collect(llm, llm.prepare(prompt(), stream=True))
        await ask(llm)
        await fail(llm, stream=True)
        await collect(llm, llm.prepare(prompt(), stream=True))
        await asyncio.sleep(0.15)
        await collect(llm, llm.prepare(prompt(), stream=True))
        assert [request.connection for request in provider.requests] == [1] * 5

    async def test_nothing_is_waited_for_after_the_end(
        self, provider: Provider, llm: OpenAILLM, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A provider that keeps the connection after `[DONE]` delays nobody, and loses it."""
        monkeypatch.setattr("adapters.openai.provider._TAIL_SECONDS", 4.0)
        monkeypatch.setattr("adapters.openai.llm._AFTER_FINISH_SECONDS", 4.0)
        provider.script(events(say("a"), STOP, DONE, Then.HANG))
        async with asyncio.timeout(3):
            came = await collect(llm, llm.prepare(prompt(), stream=True))
        assert isinstance(came[-1], LLMEnded)
        async with asyncio.timeout(10):
            await provider.requests[-1].left.wait()

    async def test_a_hundred_calls_do_not_queue(self, provider: Provider, llm: OpenAILLM) -> None:
        """G10: calls at once are not limited by the adapter."""
        provider.default(lambda request: answer_as_asked(request, "a", delay_seconds=0.5))
        async with asyncio.timeout(5), asyncio.TaskGroup() as calls:
            for _ in range(120):
                calls.create_task(ask(llm))
        assert len({request.connection for request in provider.requests}) == 120

    async def test_closing_the_adapter_ends_everything(
        self, provider: Provider, llm: OpenAILLM
    ) -> None:
        """After `aclose` running calls fail by name, and no call can be made."""
        provider.script(events(say("a"), Then.HANG))
        stream = llm.stream(llm.prepare(prompt(), stream=True))
        assert isinstance(await anext(stream), LLMStarted)
        await llm.aclose()
        with pytest.raises(LLMUnavailable):
            _ = [event async for event in stream]
        assert type((await fail(llm, stream=False))[1]) is LLMUnavailable
        await llm.aclose()
