"""Room 1, the hexagon: every error chatcore raises, each with a stable code.

May import: standard library.

    ChatError
    ├── InvalidInput                 the caller's value cannot be accepted; nothing was changed
    ├── NotFound
    │   ├── SessionNotFound          unknown, erased, or somebody else's: not to be told apart
    │   ├── TurnNotFound
    │   └── MessageNotFound
    ├── Conflict
    │   ├── SessionBusy              another turn of the session is running
    │   ├── MessageSuperseded        another turn has taken the message's place
    │   └── IdempotencyKeyReused     the key names a turn with other contents
    ├── TurnLost                     the turn is no longer this attempt's to write
    ├── TurnFailed                   the turn ended without a whole reply; the question is kept
    ├── StorageUnavailable           the store did not answer
    ├── ServiceStopping              the process is shutting down and admits nothing more
    ├── ServiceOverloaded            the process has as much to do as it can; nothing was changed
    └── LLMError
        ├── LLMUnavailable           not reached, or broken on its side
        ├── LLMRateLimited           it asks us to slow down
        ├── LLMRejected              it refuses this request; asking again would not help
        ├── LLMTimeout               silent for too long
        └── LLMIncomplete            the answer broke off or made no sense

A code is public: it never changes its meaning. The HTTP status is one row in the HTTP adapter.
"""

from __future__ import annotations

import random
from uuid import UUID


class ChatError(Exception):
    """Root of all errors of chatcore."""

    code: str = "chat_error"
    """Stable, machine-readable name of what is true."""
    retryable: bool = False
    """Whether the same call may succeed later without any change by the caller."""


class InvalidInput(ChatError):
    """A value cannot be accepted. Nothing was changed."""

    code = "invalid_request"

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


class NotFound(ChatError):
    """There is no such thing, or it is not the caller's."""

    code = "not_found"


class SessionNotFound(NotFound):
    """No session with this id belongs to this owner."""

    code = "session_not_found"

    def __init__(self, session_id: UUID) -> None:
        self.session_id = session_id
        super().__init__("no such session")


class TurnNotFound(NotFound):
    """No turn with this id is in this session of this owner."""

    code = "turn_not_found"

    def __init__(self, turn_id: UUID) -> None:
        self.turn_id = turn_id
        super().__init__("no such turn")


class MessageNotFound(NotFound):
    """No message with this id, or this name, is in this session of this owner."""

    code = "message_not_found"

    def __init__(self, message_id: UUID | None = None) -> None:
        self.message_id = message_id
        super().__init__("no such message")


class Conflict(ChatError):
    """The call does not fit the state the conversation is in. Nothing was changed."""

    code = "conflict"


class SessionBusy(Conflict):
    """A turn of the session is running or, `is_abandoned`, waits for a process to take it over."""

    code = "session_busy"
    retryable = True

    def __init__(
        self, turn_id: UUID, *, retry_after_seconds: int = 1, is_abandoned: bool = False
    ) -> None:
        self.turn_id = turn_id
        self.retry_after_seconds = retry_after_seconds
        self.is_abandoned = is_abandoned
        super().__init__("another turn of this session is still running")


class MessageSuperseded(Conflict):
    """The message was edited or asked again: what took its place can be, this cannot any more."""

    code = "message_superseded"

    def __init__(self) -> None:
        super().__init__("another turn has taken this message's place")


class IdempotencyKeyReused(Conflict):
    """The idempotency key already names a turn with other contents."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("this idempotency key was used for another request")


class TurnLost(ChatError):
    """The turn was ended, taken over or erased: this attempt may write nothing more."""

    code = "turn_lost"

    def __init__(self, turn_id: UUID) -> None:
        self.turn_id = turn_id
        super().__init__("the turn is no longer this attempt's to write")


class TurnFailed(ChatError):
    """The turn ended without a whole reply. The question is kept with the turn.

    `code` and `retryable` are those of the cause (an `LLM…` code, `turn_interrupted` or
    `internal_error`); a new try is a new turn. `repeated`: an idempotency key named this turn.
    """

    code = "turn_failed"

    def __init__(
        self, *, session_id: UUID, turn_id: UUID, code: str, retryable: bool, repeated: bool = False
    ) -> None:
        self.session_id = session_id
        self.turn_id = turn_id
        self.code = code
        self.retryable = retryable
        self.repeated = repeated
        super().__init__(f"the turn failed: {code}")


class StorageUnavailable(ChatError):
    """The store did not answer. Repeating the same call is safe.

    `session_id` and `turn_id` name the turn whose reply is still waiting to be stored, if any.
    """

    code = "storage_unavailable"
    retryable = True

    def __init__(
        self,
        detail: str = "the store did not answer",
        *,
        session_id: UUID | None = None,
        turn_id: UUID | None = None,
    ) -> None:
        self.session_id = session_id
        self.turn_id = turn_id
        super().__init__(detail)


class ServiceStopping(ChatError):
    """The process is shutting down and admits nothing more. Another one will.

    `session_id` and `turn_id` name the turn that goes on there, if one was waited for.
    """

    code = "service_stopping"
    retryable = True

    def __init__(self, *, session_id: UUID | None = None, turn_id: UUID | None = None) -> None:
        self.session_id = session_id
        self.turn_id = turn_id
        super().__init__("the service is stopping")


class ServiceOverloaded(ChatError):
    """The process has enough to do; nothing was changed. A crowd is told different times."""

    code = "service_overloaded"
    retryable = True

    def __init__(self) -> None:
        self.retry_after_seconds = random.randint(1, 3)  # noqa: S311
        super().__init__("the service is overloaded")


class LLMError(ChatError):
    """The model did not give a usable answer. `detail` holds its own words: for logs only."""

    code = "llm_error"

    def __init__(self, detail: str = "", *, retry_after_seconds: float | None = None) -> None:
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        super().__init__(detail or self.code)


class LLMUnavailable(LLMError):
    """The model could not be reached, or broke on its side (5xx, refused, reset, TLS, DNS)."""

    code = "llm_unavailable"
    retryable = True


class LLMRateLimited(LLMError):
    """The model asks us to slow down (429). `retry_after_seconds` is its wish, if it named one."""

    code = "llm_rate_limited"
    retryable = True


class LLMRejected(LLMError):
    """The model refuses this request (400, 401, 403, 404, 422, content filter)."""

    code = "llm_rejected"


class LLMTimeout(LLMError):
    """No content for longer than the limit. Bytes that carry no content do not count."""

    code = "llm_timeout"
    retryable = True


class LLMIncomplete(LLMError):
    """The answer was empty, broke off without a finish reason, or could not be read."""

    code = "llm_incomplete"
    retryable = True
