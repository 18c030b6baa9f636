"""Room 1, the hexagon: codes of failed turns that are no errors of their own.

May import: chatcore.errors.
"""

from chatcore.errors import LLMIncomplete, LLMRateLimited, LLMTimeout, LLMUnavailable

TURN_INTERRUPTED = "turn_interrupted"
"""Error code of a turn whose process went away before the reply was whole."""
INTERNAL_ERROR = "internal_error"
"""Error code of a turn that ended by a fault of ours."""

RETRYABLE_TURN_CODES = frozenset(
    {
        TURN_INTERRUPTED,
        LLMUnavailable.code,
        LLMRateLimited.code,
        LLMTimeout.code,
        LLMIncomplete.code,
    }
)
"""Error codes of failed turns after which the same question, asked anew, may succeed."""
