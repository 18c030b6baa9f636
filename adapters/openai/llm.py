"""Room 3, the world: the language model behind any server that speaks Chat Completions.

May import: standard library, chatcore.

Our own aiohttp session sends, the openai client lends address and headers, msgspec reads; why is in
docs/adr/0005.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from chatcore.model.prompt import Prompt
from chatcore.ports.llm import (
    LLMDelta,
    LLMEnded,
    LLMEvent,
    LLMPort,
    LLMReply,
    LLMStarted,
    PreparedRequest,
)

from .calls import Calls
from .failures import Failures
from .payloads import TokenLimitField, encode_request, is_json, is_token_limit_field
from .provider import OPENAI_BASE_URL, Provider
from .silence import Silence
from .streamed_answer import StreamedAnswer
from .whole_answer import read_reply

_CHAT = "chat/completions"
_AFTER_FINISH_SECONDS = 2.0
_NEW_FIELD_HOSTS = (".api.openai.com", ".openai.azure.com")


class OpenAILLM(LLMPort):
    """A model of OpenAI, or of a server that speaks its Chat Completions.

    Can be made without an event loop; belongs to the loop of its first call. Reads no environment
    variable of the openai package.

    Args:
        api_key: Sent as bearer token. Any word where the server asks for none.
        base_url: Up to and without `chat/completions`, usually ending in `/v1`. None: OpenAI.
        model: Name of the model as the server knows it.
        timeout_seconds: Limit for a whole answer; of a streamed one, for the first content and for
            the silence between contents. Comments, roles and empty pieces are not content.
        connect_timeout_seconds: Limit for name look-up, connection and TLS together.
        reply_max_chars: Longest answer, in code points. What is beyond is cut, with the finish
            reason `length`, and the connection is closed.
        token_limit_field: What the server calls the longest answer. None: `max_completion_tokens`
            for OpenAI and Azure OpenAI, else `max_tokens`.
        organization: For the header OpenAI-Organization.
        project: For the header OpenAI-Project.
        extra_headers: Sent with every request; they win over the others.
        use_environment_proxy: Whether HTTPS_PROXY, HTTP_PROXY and NO_PROXY count; never for an
            address of this machine.

    Raises:
        ValueError: The key or the address cannot be used. The message holds neither.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None = None,
        model: str,
        timeout_seconds: float = 30.0,
        connect_timeout_seconds: float = 5.0,
        reply_max_chars: int = 262_144,
        token_limit_field: TokenLimitField | None = None,
        organization: str | None = None,
        project: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
        use_environment_proxy: bool = True,
    ) -> None:
        self._provider = Provider(
            api_key=api_key,
            base_url=base_url or OPENAI_BASE_URL,
            organization=organization,
            project=project,
            extra_headers=extra_headers,
            connect_timeout_seconds=connect_timeout_seconds,
            use_environment_proxy=use_environment_proxy,
        )
        self._failures = Failures(secret=api_key)
        self._limit_seconds = timeout_seconds
        self._max_chars = reply_max_chars
        self._token_limit_field = token_limit_field or _token_limit_field(self._provider.host)
        self.model = model

    @property
    def base_url(self) -> str:
        """Where requests go, without the path of the call."""
        return self._provider.base_url

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """See `LLMPort.options`: the model's name, and what the server calls the longest answer."""
        return ("model", self.model), ("token_limit_field", self._token_limit_field)

    def __repr__(self) -> str:
        return f"OpenAILLM(base_url={self.base_url!r}, model={self.model!r}, api_key='***')"

    async def aclose(self) -> None:
        """Close all connections. Calls that still run fail; later ones cannot be made."""
        await self._provider.aclose()

    def prepare(self, prompt: Prompt, *, stream: bool) -> PreparedRequest:
        """See `LLMPort.prepare`."""
        chosen = dict(prompt.options)
        field = chosen.get("token_limit_field")
        body = encode_request(
            prompt,
            model=chosen.get("model") or self.model,
            token_limit_field=field if is_token_limit_field(field) else self._token_limit_field,
            stream=stream,
        )
        return PreparedRequest(prompt=prompt, body=body, stream=stream)

    async def complete(self, request: PreparedRequest) -> LLMReply:
        """See `LLMPort.complete`."""
        failures = self._failures.about(request.prompt)
        exchange = await self._calls(failures).fetch("POST", _CHAT, request.body)
        if exchange.failure is not None:
            raise exchange.failure
        return read_reply(
            exchange.body, model=self.model, max_chars=self._max_chars, failures=failures
        )

    async def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        """See `LLMPort.stream`."""
        asked_at = asyncio.get_running_loop().time()
        failures = self._failures.about(request.prompt)
        calls = self._calls(failures)
        response = await calls.open_stream(_CHAT, request.body)
        silence = Silence(self._limit_seconds, since=asked_at, on_silence=response.close)
        answer = StreamedAnswer(model=self.model, max_chars=self._max_chars, failures=failures)
        has_started = False
        try:
            while not answer.is_over:
                text = answer.take(await calls.read(response, answer, silence))
                if text:
                    silence.pause()
                    if not has_started:
                        has_started = True
                        yield LLMStarted(answer.model)
                    yield LLMDelta(text)
                    silence.restart()
                if answer.is_whole:
                    silence.shorten(_AFTER_FINISH_SECONDS)
            if answer.failure is not None:
                raise answer.failure
            yield LLMEnded(answer.finish_reason or "", answer.model, answer.usage)
        finally:
            silence.stop()
            if answer.is_at_end:
                calls.let_go(response)
            else:
                response.close()

    async def check(self) -> None:
        """Ask whether the server is there and takes the key. Asks no model, costs nothing.

        Asks for the list of models. Where there is none, an empty request is sent: a server that
        takes the key refuses it as such. The model's name is not checked, since servers differ too
        much in what they list.

        Raises:
            LLMRejected: Wrong key, or nothing of the kind at this address.
            LLMUnavailable: Not reached, or broken on its side.
            LLMRateLimited: It asks to slow down.
            LLMTimeout: No answer within the limit.
            LLMIncomplete: What answers does not speak this language.
        """
        calls = self._calls(self._failures)
        exchange = await calls.fetch("GET", "models")
        if exchange.status in {404, 405}:
            exchange = await calls.fetch("POST", _CHAT, b"{}")
            if exchange.status in {400, 422}:
                return
        if exchange.failure is not None:
            raise exchange.failure
        if not is_json(exchange.body):
            raise self._failures.incomplete("the list of models is not JSON")

    def _calls(self, failures: Failures) -> Calls:
        return Calls(self._provider, failures, limit_seconds=self._limit_seconds)


def _token_limit_field(host: str) -> TokenLimitField:
    is_new = f".{host}".endswith(_NEW_FIELD_HOSTS)
    return "max_completion_tokens" if is_new else "max_tokens"
