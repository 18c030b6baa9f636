"""Room 4, the door: messages as clients send them become plain texts, or are refused by name.

May import: standard library, app.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from app.doors.openai.errors import Wrong, unsupported

_TEXTS = {"text", "input_text", "output_text"}
_BETWEEN = "\n\n"
_SYSTEM = {"system", "developer"}
_ONLY_TEXT = "this service reads plain text only"


class Said(NamedTuple):
    """One message: role `system`, `user` or `assistant`, and its text."""

    role: str
    text: str


class Pair(NamedTuple):
    """A question that was answered already, and its answer."""

    question: str
    answer: str


def read_messages(messages: Any, *, param: str) -> list[Said]:
    """Return messages of a client.

    Args:
        messages: A list of `{role, content}`, where content is a text or a list of parts.
        param: What the client calls them.

    Raises:
        Wrong: They are no messages, or hold something else than text.
    """
    if not isinstance(messages, list) or not messages:
        raise Wrong(param, f"'{param}' is not a list of messages.")
    return [_read(item, f"{param}[{at}]") for at, item in enumerate(messages)]


def _read(item: Any, param: str) -> Said:
    if not isinstance(item, dict):
        raise Wrong(param, f"'{param}' is not a message.")
    kind = item.get("type", "message")
    if kind != "message":
        raise unsupported(f"{param}.type", f"{_ONLY_TEXT}, in messages")
    # Anything may be where a word should be, also what no set can be asked for.
    role = str(item.get("role"))
    if role in {"tool", "function"} or item.get("tool_calls"):
        raise unsupported(f"{param}.role", "this service has no tools")
    if role not in {*_SYSTEM, "user", "assistant"}:
        raise Wrong(f"{param}.role", f"'{param}.role' is not one of system, user, assistant.")
    text = _text_of(item.get("content"), f"{param}.content")
    return Said("system" if role in _SYSTEM else role, text)


def _text_of(content: Any, param: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Wrong(param, f"'{param}' is neither a text nor a list of parts.")
    return "\n".join(_parts_of(content, param))


def _parts_of(content: list[Any], param: str) -> Iterator[str]:
    for at, part in enumerate(content):
        kind = str(part.get("type")) if isinstance(part, dict) else None
        if kind not in _TEXTS:
            raise unsupported(f"{param}[{at}].type", _ONLY_TEXT)
        text = part.get("text")
        if not isinstance(text, str):
            raise Wrong(f"{param}[{at}].text", f"'{param}[{at}].text' is not a text.")
        yield text


def split_system(said: Sequence[Said]) -> tuple[str, list[Said]]:
    """Return what is said to the model as a system, joined, and the conversation."""
    system = _BETWEEN.join(each.text for each in said if each.role == "system")
    return system, [each for each in said if each.role != "system"]


def split_question(said: Sequence[Said], *, param: str) -> tuple[list[Pair], str]:
    """Return the pairs of a conversation that is to be kept, and the question at its end.

    Raises:
        Wrong: It is no such conversation.
    """
    pairs, rest = _pair_up(said, param)
    if rest is None:
        raise Wrong(param, f"'{param}' does not end with a message of the user.")
    return pairs, rest


def split_pairs(said: Sequence[Said], *, param: str) -> list[Pair]:
    """Return the pairs of a conversation that was answered to its end.

    Raises:
        Wrong: It is no such conversation.
    """
    pairs, rest = _pair_up(said, param)
    if rest is not None:
        raise Wrong(
            param,
            f"'{param}' ends with a message of the user that has no answer: ask it with "
            "responses.create instead.",
        )
    return pairs


def _pair_up(said: Sequence[Said], param: str) -> tuple[list[Pair], str | None]:
    if any(each.role == "system" for each in said):
        raise unsupported(
            param,
            "conversations that are kept speak with the operator's own system prompt; leave out "
            "messages of the system or the developer, or send store=false",
        )
    texts = [
        (role, _BETWEEN.join(each.text for each in run))
        for role, run in groupby(said, key=lambda each: each.role)
    ]
    if texts and texts[0][0] == "assistant":
        raise Wrong(param, f"'{param}' begins with an answer that has no question.")
    rest = texts[-1][1] if len(texts) % 2 else None
    questions, answers = texts[0::2], texts[1::2]
    pairs = [Pair(q, a) for (_, q), (_, a) in zip(questions, answers, strict=False)]
    return pairs, rest
