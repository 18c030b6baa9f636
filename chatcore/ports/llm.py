"""Room 2, the wall: what chatcore asks of a language model.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from chatcore.model.prompt import Prompt
from chatcore.model.turn import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """A request to the model, made but not sent.

    Attributes:
        prompt: What is asked.
        body: The exact bytes that will be sent: a pure function of prompt, model and `stream`.
        stream: Whether the answer is wanted in parts.
    """

    prompt: Prompt
    body: bytes
    stream: bool

    @property
    def digest(self) -> str:
        """SHA-256 of `body`, hex."""
        return sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class LLMReply:
    """A whole answer.

    Attributes:
        text: Never empty; free of NUL and lone surrogates.
        finish_reason: The model's own word, `stop` or `length` as a rule.
        model: Which model answered.
        usage: None where the model does not count.
    """

    text: str
    finish_reason: str
    model: str
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class LLMStarted:
    """The first content is about to come."""

    model: str


@dataclass(frozen=True, slots=True)
class LLMDelta:
    """The next piece of the answer: never empty; free of NUL and lone surrogates."""

    text: str


@dataclass(frozen=True, slots=True)
class LLMEnded:
    """The answer is whole. Always the last event, and only ever after some text."""

    finish_reason: str
    model: str
    usage: Usage | None


LLMEvent = LLMStarted | LLMDelta | LLMEnded


class LLMPort(Protocol):
    """A language model that continues a conversation.

    It keeps no state between calls and never asks twice for one call: attempts are chatcore's, on
    record. It raises nothing but `LLMError`s, whose details are for logs alone.
    """

    @property
    @abstractmethod
    def options(self) -> tuple[tuple[str, str], ...]:
        """What requests depend on besides the prompt: names and values, by name; no secrets.

        Such as the model's name. Put into a prompt (`Prompt.options`), they win over the adapter's
        own, so that another configuration's requests can be made again.
        """
        ...

    @abstractmethod
    def prepare(self, prompt: Prompt, *, stream: bool) -> PreparedRequest:
        """Make the request, sending nothing.

        Args:
            prompt: What to ask; every text in it can be encoded as UTF-8.
            stream: Whether the answer is wanted in parts.

        Returns:
            The request with the exact bytes to be sent.

        Promise: pure. The same arguments, the prompt's `options` among them, give the same bytes in
        every process, so that a stored conversation can be replayed.
        Source: guarantee G9. Contract: chatcore.testing.llm_contract::LLMContract.
        """
        ...

    @abstractmethod
    async def complete(self, request: PreparedRequest) -> LLMReply:
        """Ask for a whole answer.

        Args:
            request: Made by `prepare(..., stream=False)` of this port.

        Returns:
            The answer, with a finish reason.

        Raises:
            LLMUnavailable: Not reached, or broken on its side. Asking again may help.
            LLMRateLimited: It asks to slow down. Asking again later may help.
            LLMRejected: It refuses the request, or filtered the answer. Asking again will not help.
            LLMTimeout: No answer within the adapter's limit. Asking again may help.
            LLMIncomplete: Empty, unreadable, or without a finish reason. Asking again may help.

        Promise: exactly one call of the model. Cancelling it ends the call and frees its resources.
        Source: guarantee G7. Contract: chatcore.testing.llm_contract::LLMContract.
        """
        ...

    @abstractmethod
    def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        """Ask for an answer in parts.

        Args:
            request: Made by `prepare(..., stream=True)` of this port.

        Returns:
            Events: one `LLMStarted`, one or more `LLMDelta`, one `LLMEnded`. The limit for silence
            counts from the call to the first content, and from content to content.

        Raises:
            LLMUnavailable: Not reached, or the connection broke. Also after some deltas.
            LLMRateLimited: It asks to slow down.
            LLMRejected: It refuses the request, or filtered the answer. Also after some deltas.
            LLMTimeout: Silent for longer than the adapter's limit. Also after some deltas.
            LLMIncomplete: Ended empty, unreadable, or without a finish reason.

        Promise: exactly one call of the model. Closing the generator ends the call at once.
        Source: guarantee G7. Contract: chatcore.testing.llm_contract::LLMContract.
        """
        ...
