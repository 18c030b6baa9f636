"""Room 3, the world: puts a streamed answer together, read by read, and judges how it ended.

May import: standard library, chatcore.
"""

from __future__ import annotations

from chatcore.errors import LLMError
from chatcore.model.text import repair_model_text
from chatcore.model.turn import Usage

from .failures import Failures
from .payloads import (
    MAX_ANSWER_BYTES,
    Answer,
    Unreadable,
    decode_answer,
    join_pairs,
    short_name,
    usage_of,
)
from .sse import EventSplitter, EventTooLarge


class StreamedAnswer:
    """What is known of an answer so far.

    Args:
        model: The model that was asked; replaced by what the answer says.
        max_chars: Longest text, in code points; what is beyond is cut.
        failures: Makes the errors.

    Attributes:
        is_over: Nothing more is to be read: `failure` says whether the answer is whole.
        is_at_end: The provider said that nothing follows (`[DONE]`).
        failure: Why the answer is not whole. Text of the same read is still to be delivered.
    """

    def __init__(self, *, model: str, max_chars: int, failures: Failures) -> None:
        self.model = model
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.failure: LLMError | None = None
        self.is_over = False
        self.is_at_end = False
        self._failures = failures
        self._room = max_chars
        self._max_chars = max_chars
        self._half_pair = ""
        self._model_is_known = False
        self._splitter = EventSplitter(max_event_bytes=MAX_ANSWER_BYTES)

    @property
    def is_whole(self) -> bool:
        """Whether there is text and a finish reason: losing the connection now loses nothing."""
        return self.finish_reason is not None and self._has_text

    def take(self, chunk: bytes) -> str:
        """Take the bytes of one read, none for the end of the stream; return the text in them."""
        pieces: list[str] = []
        try:
            for event in self._splitter.feed(chunk) if chunk else self._splitter.finish():
                self._take_event(event, pieces)
                if self.is_over:
                    break
            else:
                self.is_over = not chunk
        except (EventTooLarge, Unreadable) as error:
            self._fail(self._failures.incomplete(f"unreadable event: {error}"))
        text = self._text("".join(pieces))
        if self.is_over and self.failure is None and not self.is_whole:
            missing = "a finish reason" if self._has_text else "any text"
            self.failure = self._failures.incomplete(f"the stream ended without {missing}")
        return text

    @property
    def _has_text(self) -> bool:
        return self._room < self._max_chars

    def _take_event(self, event: bytes, pieces: list[str]) -> None:
        if event.startswith(b"{"):
            answer = decode_answer(event)
        elif event.strip() == b"[DONE]":
            self.is_over = self.is_at_end = True
            return
        elif not event.strip():
            return
        else:
            answer = decode_answer(event)
        if answer.choices:
            choice = answer.choices[0]
            if choice.delta is not None and choice.delta.content:
                pieces.append(choice.delta.content)
            if choice.finish_reason:
                self._take_finish_reason(choice.finish_reason)
        if not self._model_is_known or answer.usage is not None or answer.error is not None:
            self._take_rest(answer)

    def _take_rest(self, answer: Answer) -> None:
        if answer.error is not None:
            self._fail(self._failures.of_error_object(answer.error))
        if answer.usage is not None:
            self.usage = usage_of(answer.usage)
        if answer.model:
            self.model = short_name(answer.model)
            self._model_is_known = True

    def _take_finish_reason(self, reason: str) -> None:
        failure = self._failures.of_finish_reason(reason)
        if failure is None:
            self.finish_reason = short_name(reason)
        else:
            self._fail(failure)

    def _fail(self, failure: LLMError) -> None:
        self.failure = failure
        self.is_over = True

    def _text(self, text: str) -> str:
        if self._half_pair or not text.isascii():
            text = self._join_pairs(self._half_pair + text)
        text = repair_model_text(text)
        if len(text) > self._room:
            text = text[: self._room]
            self.finish_reason = "length"
            self.failure = None
            self.is_over, self.is_at_end = True, False
        self._room -= len(text)
        return text

    def _join_pairs(self, text: str) -> str:
        """Make one character of a pair that came in two events; hold back a first half."""
        self._half_pair = ""
        text = join_pairs(text)
        if self.finish_reason is None and not self.is_over and "\ud800" <= text[-1] <= "\udbff":
            text, self._half_pair = text[:-1], text[-1]
        return text
