"""The OpenAI adapter over real HTTP: what a provider can do to us, and what becomes of it.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from adapters.openai import OpenAILLM
from chatcore.errors import (
    LLMUnavailable,
)
from chatcore.model.turn import Usage
from chatcore.ports.llm import LLMDelta, LLMEnded, LLMEvent, LLMReply, LLMStarted
from chatcore.testing.llm_rig import collect, prompt, text_of
from tests.integration.asking import KEY, STOP, ask
from tests.provider import (
    DONE,
    MODEL,
    USAGE,
    Provider,
    Step,
    Then,
    data,
    event,
    events,
    json_reply,
    say,
    streamed,
    whole,
)

COUNT = data({"usage": USAGE})
DIGEST = "02b71f53be22ed3f5e97d983da9be936e217db8aa1efff5868c49b4ca6b02329"
ENDED = LLMEnded("stop", MODEL, Usage(prompt_tokens=7, completion_tokens=3))


async def ask_stream(llm: OpenAILLM) -> list[LLMEvent]:
    """Ask for a stream that ends well."""
    return await collect(llm, llm.prepare(prompt(), stream=True))


either_way = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class TestRequests:
    """What is sent."""

    async def test_a_request_is_what_was_prepared(self, provider: Provider, llm: OpenAILLM) -> None:
        """G9: exactly the prepared bytes are sent, to the address and with the headers expected."""
        request = llm.prepare(prompt("Why? \u2028🤖"), stream=True)
        await collect(llm, request)
        sent = provider.requests[-1]
        assert (sent.method, sent.path, sent.body) == ("POST", "/v1/chat/completions", request.body)
        assert sent.headers["authorization"] == f"Bearer {KEY}"
        assert sent.headers["content-type"] == sent.headers["accept"] == "application/json"
        assert sent.headers["accept-encoding"] == "identity"
        assert "openai-organization" not in sent.headers

    def test_the_bytes_of_a_request_are_fixed(self) -> None:
        """G9: a change of these bytes would make every stored digest unprovable."""
        body = _llm("http://127.0.0.1:9/v1").prepare(prompt("é", max_tokens=5), stream=True).body
        assert (
            body
            == (
                '{"model":"m","messages":[{"role":"system","content":"You answer briefly."},'
                '{"role":"user","content":"Hello."},'
                '{"role":"assistant","content":"Hello, how can I help?"},'
                '{"role":"user","content":"é"}],"max_tokens":5,'
                '"stream":true,"stream_options":{"include_usage":true}}'
            ).encode()
        )

    @pytest.mark.parametrize(
        ("base_url", "field"),
        [
            (None, "max_completion_tokens"),
            ("https://eu.api.openai.com/v1", "max_completion_tokens"),
            ("https://me.openai.azure.com/openai/v1/", "max_completion_tokens"),
            ("https://openrouter.ai/api/v1", "max_tokens"),
            ("http://localhost:11434/v1", "max_tokens"),
            ("https://notapi.openai.com/v1", "max_tokens"),
        ],
    )
    def test_the_token_limit_has_the_servers_own_name(
        self, base_url: str | None, field: str
    ) -> None:
        """OpenAI's newer models refuse `max_tokens`; most other servers know nothing else."""
        body = json.loads(_llm(base_url).prepare(prompt(), stream=False).body)
        assert {name for name in body if name.startswith("max_")} == {field}
        assert body[field] == 16
        assert "stream" not in body

    def test_what_requests_depend_on_is_told(self) -> None:
        """G9: model and name of the token limit, by name, and nothing secret."""
        assert _llm(None).options == (
            ("model", "m"),
            ("token_limit_field", "max_completion_tokens"),
        )
        assert _llm("http://127.0.0.1:9/v1").options[1] == ("token_limit_field", "max_tokens")

    @pytest.mark.parametrize("stream", [False, True])
    def test_options_of_a_prompt_make_another_servers_request(self, stream: bool) -> None:
        """G9: any adapter makes the very bytes of another one again, if it is told its options."""
        here = OpenAILLM(api_key="other", base_url="http://127.0.0.1:9/v1", model="here")
        there = OpenAILLM(api_key=KEY, model="there")
        asked = there.prepare(prompt("é"), stream=stream)
        again = here.prepare(replace(prompt("é"), options=there.options), stream=stream)
        assert (again.body, again.digest) == (asked.body, asked.digest)
        assert again.body != here.prepare(prompt("é"), stream=stream).body

    @pytest.mark.parametrize(
        "options",
        [
            (("temperature", "2"), ("stream", "true"), ("messages", "[]")),
            (("token_limit_field", "max_words"),),
            (("model", ""), ("token_limit_field", "")),
        ],
        ids=["unknown names", "unknown value", "empty"],
    )
    def test_options_that_mean_nothing_change_nothing(
        self, options: tuple[tuple[str, str], ...]
    ) -> None:
        """What this adapter does not know is not sent, and its own values stand."""
        llm = _llm(None)
        plain = llm.prepare(prompt(), stream=False)
        assert llm.prepare(replace(prompt(), options=options), stream=False).body == plain.body

    def test_the_digest_of_a_request_is_fixed(self) -> None:
        """G9: SHA-256 of the bytes, the same in every process and release."""
        request = _llm(None).prepare(prompt("é", max_tokens=5), stream=True)
        assert request.digest == hashlib.sha256(request.body).hexdigest()
        assert request.digest == DIGEST

    async def test_names_and_headers_given_are_sent(self, provider: Provider) -> None:
        """Organisation, project, further headers and a query in the address reach the provider."""
        llm = OpenAILLM(
            api_key=KEY, base_url=provider.base_url + "?api-version=1", model="m",
            token_limit_field="max_completion_tokens", organization="org", project="proj",
            extra_headers={"X-Title": "chatcore", "User-Agent": "mine"},
        )  # fmt: skip
        await ask(llm)
        await llm.aclose()
        sent = provider.requests[-1]
        assert sent.path == "/v1/chat/completions?api-version=1"
        assert sent.json["max_completion_tokens"] == 16
        assert sent.headers["openai-organization"] == "org"
        assert sent.headers["openai-project"] == "proj"
        assert (sent.headers["x-title"], sent.headers["user-agent"]) == ("chatcore", "mine")

    async def test_the_environment_of_the_library_has_no_say(
        self, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Variables that the openai package would read change nothing."""
        for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY"):
            monkeypatch.setenv(name, "stray")
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/stray")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: stray\nX-Stray: stray")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        llm = _llm(provider.base_url)
        await ask(llm)
        await llm.aclose()
        assert "stray" not in str(provider.requests[-1].headers)
        assert _llm(None).base_url == "https://api.openai.com/v1/"

    async def test_a_proxy_of_the_environment_is_used(
        self, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """HTTP_PROXY counts for a provider that is not on this machine, unless switched off."""
        monkeypatch.setenv("http_proxy", provider.base_url.removesuffix("/v1"))
        llm = _llm("http://provider.invalid/v1")
        assert (await ask(llm)).text == "Hello"
        await llm.aclose()
        assert provider.requests[-1].path == "http://provider.invalid/v1/chat/completions"
        direct = OpenAILLM(
            api_key=KEY, base_url="http://provider.invalid/v1", model="m",
            use_environment_proxy=False,
        )  # fmt: skip
        with pytest.raises(LLMUnavailable):
            await ask(direct)
        await direct.aclose()

    async def test_a_large_request_is_sent_whole(self, provider: Provider, llm: OpenAILLM) -> None:
        """A prompt of several megabytes arrives byte by byte, without a warning."""
        request = llm.prepare(prompt("é" * 1_500_000), stream=False)
        await llm.complete(request)
        assert provider.requests[-1].body == request.body

    @pytest.mark.parametrize("key", ["", "a b", "a\nb", "schlüssel", "a\x7f"])
    def test_a_key_that_no_header_can_carry_is_refused(self, key: str) -> None:
        """A bad key fails when the adapter is made, and is not told."""
        with pytest.raises(ValueError, match="api_key must be") as caught:
            OpenAILLM(api_key=key, model="m")
        assert not key or key not in str(caught.value)

    @pytest.mark.parametrize("url", ["api.openai.com/v1", "ftp://x/v1", "http://", "http://u:pw@x"])
    def test_an_address_that_is_none_is_refused(self, url: str) -> None:
        """A bad address fails when the adapter is made; a password in it is not told."""
        with pytest.raises(ValueError, match="base_url must") as caught:
            _llm(url)
        assert "pw" not in str(caught.value)

    def test_it_does_not_show_its_key(self) -> None:
        """The key is in no representation of the adapter."""
        llm = _llm(None)
        assert KEY not in repr(llm)
        assert repr(llm).startswith("OpenAILLM(base_url='https://api.openai.com/v1/', model='m'")


class TestStreams:
    """Streams that end well, however strangely they are sent."""

    @pytest.mark.parametrize(
        "steps",
        [
            [say("Hel"), say("lo"), STOP, COUNT, DONE],
            [say("Hel"), 0.02, say("lo"), STOP, COUNT],
            [b"".join([say("Hello"), STOP, data({"choices": [], "usage": USAGE})])],
            [event({"content": "Hello"}, finish_reason="stop"), COUNT, DONE],
            [b": hi\n\n", event({"role": "assistant"}), event({"content": None}),
             say("Hello"), STOP, COUNT, DONE],
            [say("Hello"), STOP, COUNT, DONE,
             say("after the end"), b"garbage"],
            [data({"model": MODEL, "choices": []}), say("Hello"), STOP,
             COUNT.rstrip()],
            [say("Hello"), STOP, COUNT, Then.CUT],
            [b"\xef\xbb\xbf" + say("Hello").replace(b"\n", b"\r\n"),
             STOP.replace(b"\n", b"\r"), COUNT.replace(b"data: ", b"data:"), DONE],
            [b'data: {"model": "test-model",\n',
             b'data: "choices": [{"delta":{"content": "Hello"}}]}\n\n',
             STOP, COUNT, DONE],
            [b"data:\n\n", event({"content": "Hello"}, finish_reason=""), STOP,
             data({"usage": USAGE, "error": None}), DONE],
        ],
        ids=["usual", "no DONE", "no blank line", "finish with text", "comments and roles",
             "more after DONE", "unfinished line", "cut after finish", "BOM and CR", "many lines",
             "empty fields"],
    )  # fmt: skip
    async def test_the_text_arrives(
        self, provider: Provider, llm: OpenAILLM, steps: list[Step]
    ) -> None:
        """Each of these streams is the answer `Hello`, whole, with its usage."""
        provider.script(events(*steps))
        came = await ask_stream(llm)
        assert came[0] == LLMStarted(MODEL)
        assert text_of(came) == "Hello"
        assert came[-1] == ENDED

    async def test_any_cut_of_the_bytes_is_the_same(
        self, provider: Provider, llm: OpenAILLM
    ) -> None:
        """A stream sent byte by byte, characters split, gives the same text."""
        said = "Grüße 🤖 e\u0301 \u2028 end"
        content = json.dumps({"choices": [{"delta": {"content": said}}]}, ensure_ascii=False)
        stream = f"data: {content}\r\n\r\n".encode() + STOP + DONE
        provider.script(events(*(stream[i : i + 1] for i in range(len(stream)))))
        assert text_of(await ask_stream(llm)) == said

    async def test_one_read_is_one_delta(self, provider: Provider, llm: OpenAILLM) -> None:
        """The events of one read are delivered together."""
        burst = b"".join(say(word) for word in ("a ", "b ", "c"))
        provider.script(events(burst, 0.1, say("d") + STOP + DONE))
        came = await ask_stream(llm)
        assert came[1:-1] == [LLMDelta("a b c"), LLMDelta("d")]
        assert came[-1] == LLMEnded("stop", MODEL, None)

    @pytest.mark.parametrize("pause", [[], [0.05]], ids=["one read", "two reads"])
    async def test_a_split_surrogate_pair_is_joined(
        self, provider: Provider, llm: OpenAILLM, pause: list[Step]
    ) -> None:
        """The halves of an emoji in two events are one character; a half alone becomes U+FFFD."""
        provider.script(
            events(say("a\ud83d"), *pause, say("\ude00b"), STOP, DONE),
            events(say("a\ud83d"), *pause, say("b"), STOP, DONE),
            events(say("a\ud83d"), *pause, STOP, DONE),
            events(b'data: {"choices":[{"delta":{"content":"\xed\xa0\xbd"}}]}\n\n', STOP, DONE),
        )
        texts = [text_of(await ask_stream(llm)) for _ in range(4)]
        assert texts == ["a😀b", "a\ufffdb", "a\ufffd", "\ufffd"]

    @pytest.mark.parametrize(
        "usage",
        [None, {}, "many", {"prompt_tokens": -1, "completion_tokens": 1},
         {"prompt_tokens": 2**31, "completion_tokens": 1}, {"prompt_tokens": "7"}],
    )  # fmt: skip
    async def test_usage_that_makes_no_sense_is_none(
        self, provider: Provider, llm: OpenAILLM, usage: object
    ) -> None:
        """What cannot be stored as a count does not spoil the answer."""
        provider.script(whole("a", usage=usage), streamed(["a"], usage=usage))
        assert (await ask(llm)).usage is None
        last = (await ask_stream(llm))[-1]
        assert isinstance(last, LLMEnded)
        assert last.usage is None

    @either_way
    async def test_names_of_the_provider_can_be_stored(
        self, provider: Provider, llm: OpenAILLM, stream: bool
    ) -> None:
        """G14: a model's name or finish reason with NUL, or without end, is made storable."""
        choice = {
            "delta": {"content": "a"},
            "message": {"content": "a"},
            "finish_reason": "x\0" * 99,
        }
        body = {"model": "m\0\ud800" * 99, "choices": [choice]}
        provider.script(events(data(body), DONE) if stream else json_reply(body))
        came = (await ask_stream(llm))[-1] if stream else await ask(llm)
        assert isinstance(came, LLMEnded | LLMReply)
        assert len(came.model) == len(came.finish_reason) == 100
        assert "\0" not in (came.model + came.finish_reason)

    @either_way
    async def test_no_model_named_is_the_model_asked(
        self, provider: Provider, llm: OpenAILLM, stream: bool
    ) -> None:
        """An answer that names no model is one of the model that was asked."""
        choice = {"delta": {"content": "a"}, "message": {"content": "a"}, "finish_reason": "stop"}
        body = {"model": None, "choices": [choice]}
        provider.script(events(data(body), DONE) if stream else json_reply(body))
        came = (await ask_stream(llm))[-1] if stream else await ask(llm)
        assert isinstance(came, LLMEnded | LLMReply)
        assert came.model == "asked"


def _llm(base_url: str | None) -> OpenAILLM:
    return OpenAILLM(api_key=KEY, base_url=base_url, model="m")
