"""Room 3, the world: a whole answer -> the reply, or the reason why it is none.

May import: standard library, chatcore.
"""

from __future__ import annotations

from chatcore.model.text import repair_model_text
from chatcore.ports.llm import LLMReply

from .failures import Failures
from .payloads import Unreadable, decode_answer, join_pairs, short_name, usage_of


def read_reply(body: bytes, *, model: str, max_chars: int, failures: Failures) -> LLMReply:
    """Return the reply in the body of an answer with status 200.

    Args:
        body: JSON, as a rule.
        model: The model that was asked; the answer may name another.
        max_chars: Longest text, in code points; what is beyond is cut.
        failures: Makes the errors.

    Raises:
        LLMError: An error object, a failing finish reason, no text, no finish reason, no JSON.
    """
    try:
        answer = decode_answer(body)
    except Unreadable as error:
        raise failures.incomplete(f"unreadable answer: {error}") from error
    if answer.error is not None:
        raise failures.of_error_object(answer.error)
    if not answer.choices:
        raise failures.incomplete("an answer without choices")
    choice = answer.choices[0]
    reason = short_name(choice.finish_reason or "")
    if failure := failures.of_finish_reason(reason):
        raise failure
    text = repair_model_text(join_pairs((choice.message and choice.message.content) or ""))
    if not reason or not text:
        raise failures.incomplete(f"an answer without {'text' if reason else 'a finish reason'}")
    if len(text) > max_chars:
        text, reason = text[:max_chars], "length"
    return LLMReply(text, reason, short_name(answer.model or "") or model, usage_of(answer.usage))
