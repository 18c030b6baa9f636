"""Requests to the model made again from what is stored, and answers compared with it.

May import: standard library, adapters, chatcore, tests.chaos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from uuid import UUID

from adapters.openai import OpenAILLM
from chatcore import RequestTemplate, TurnId, WindowMessage
from chatcore.prompt_builder import build_prompt
from tests.chaos.evidence import StoredAttempt, StoredTurn
from tests.chaos.history import Record

REPLY_MAX_CHARS = 262_144


def rebuild(
    template: RequestTemplate,
    by_number: Mapping[int, StoredTurn],
    turn: StoredTurn,
    row: StoredAttempt,
) -> str:
    """Return the digest of an attempt's request, made again from what is stored."""
    earlier = [by_number[number] for number in row.window if number in by_number]
    prompt = build_prompt(
        template=template,
        window=_said(earlier),
        turn_id=TurnId(UUID(turn.id)),
        question=turn.question,
        quote=None,
    )
    return _adapter().prepare(prompt, stream=row.stream).digest


@cache
def _adapter() -> OpenAILLM:
    """The adapter that makes requests; what it makes depends on the templates alone."""
    return OpenAILLM(api_key="none", base_url="http://127.0.0.1:9/v1", model="none")


def _said(turns: Sequence[StoredTurn]) -> list[WindowMessage]:
    return [
        WindowMessage(
            turn_id=TurnId(UUID(turn.id)),
            turn_number=turn.number,
            content=content,
            quote=None,
            from_user=from_user,
        )
        for turn in turns
        for content, from_user in ((turn.question, True), (turn.reply or "", False))
    ]


def is_whole(reply: str, call: Record, turn: StoredTurn) -> bool:
    """Tell whether a reply is all that a call was sent, and that was all there was."""
    sent = call["sent"]
    if len(sent) > REPLY_MAX_CHARS:  # What is beyond is cut, and nobody waits for the end.
        return bool(reply == sent[:REPLY_MAX_CHARS]) and turn.finish_reason == "length"
    return bool(call["whole"] and reply == sent)
