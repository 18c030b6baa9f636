"""Stopping, superseding, editing and asking again.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from adapters.memory import ScriptedLLM
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    ChatPolicy,
    IdempotencyKeyReused,
    LLMEvent,
    LLMRateLimited,
    LLMUnavailable,
    MessageNotFound,
    MessageSuperseded,
    OnBusy,
    PreparedRequest,
    ReplyDelta,
    SessionBusy,
    TurnEnded,
    TurnReader,
    TurnStatus,
)
from tests.builders import ANNA, BEN, bench, until_running

QUICK = ChatPolicy(pulse_seconds=0.02)
PART = ScriptedAnswer(("some ", "words", HANG))
KEY = "0123456789abcdef"


async def until_text(reader: TurnReader, text: str) -> None:
    """Read until this has come."""
    got = ""
    while got != text:
        event = await reader.next_event()
        got += event.text if isinstance(event, ReplyDelta) else ""


async def the_end(reader: TurnReader) -> TurnEnded:
    """Read to the end and return it."""
    last = [event async for event in reader][-1]
    assert isinstance(last, TurnEnded)
    return last


async def test_stop_keeps_every_word_shown() -> None:
    """G5: stopping ends the turn, keeps all that was shown, closes the call, frees the session."""
    llm = ScriptedLLM([PART, "next"])
    made = bench(llm)
    reader = await made.service.stream(ANNA, "hello")
    await until_text(reader, "some words")
    turn = await made.service.stop(ANNA, reader.session_id, reader.turn_id)
    assert turn.reply is not None
    assert (turn.status, turn.reply.content) == (TurnStatus.STOPPED, "some words")
    assert llm.running == 0
    assert (await made.service.send(ANNA, "go on", session_id=reader.session_id)).text == "next"
    said = [message.content for message in llm.requests[-1].prompt.messages]
    assert said == ["hello", "some words", "go on"]
    again = await made.service.stop(ANNA, reader.session_id, reader.turn_id)
    assert (again.status, again.reply) == (turn.status, turn.reply)
    assert (await the_end(reader)).turn.reply == turn.reply


async def test_stop_before_any_text() -> None:
    """G5, G8: a turn stopped before its first word has no reply and goes to no prompt."""
    llm = ScriptedLLM([ScriptedAnswer((HANG,)), "next"])
    made = bench(llm)
    waiting = asyncio.create_task(made.service.send(ANNA, "hello", idempotency_key=KEY))
    await until_running(llm)
    [session] = (await made.service.sessions(ANNA)).items
    [question] = (await made.service.messages(ANNA, session.id)).items
    turn = await made.service.stop(ANNA, session.id, question.turn_id)
    assert (turn.status, turn.reply) == (TurnStatus.STOPPED, None)
    answer = await waiting
    assert (answer.text, answer.reply, answer.turn.status) == ("", None, TurnStatus.STOPPED)
    await made.service.send(ANNA, "go on", session_id=session.id)
    assert [message.content for message in llm.requests[-1].prompt.messages] == ["go on"]
    assert (await made.service.send(ANNA, "hello", idempotency_key=KEY)).text == ""


async def test_stop_from_another_process() -> None:
    """G5: stopped from elsewhere: terminal on return, next send admitted, the call is closed."""
    llm = ScriptedLLM([PART])
    there = bench(llm, policy=QUICK)
    here = bench(ScriptedLLM(["next"]), repository=there.repository, policy=QUICK, first_id=1000)
    reader = await there.service.stream(ANNA, "hello")
    await until_text(reader, "some words")
    await asyncio.sleep(0.06)
    turn = await here.service.stop(ANNA, reader.session_id, reader.turn_id)
    assert turn.reply is not None
    assert (turn.status, turn.reply.content) == (TurnStatus.STOPPED, "some words")
    assert (await here.service.send(ANNA, "on", session_id=reader.session_id)).text == "next"
    ended = await the_end(reader)
    assert ended.turn.reply == turn.reply
    assert llm.running == 0
    assert there.notices == ["admitted", "lost"]


async def test_stop_of_an_ended_turn_changes_nothing() -> None:
    """G5: stopping what has ended returns it as it is."""
    made = bench(ScriptedLLM(["done"]))
    turn = (await made.service.send(ANNA, "hello")).turn
    assert (await made.service.stop(ANNA, turn.session_id, turn.id)).reply == turn.reply


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_supersede_stops_what_runs(elsewhere: bool) -> None:
    """G3: with supersede the running turn is stopped, its part kept, and the new one admitted."""
    llm = ScriptedLLM([PART, "instead"])
    there = bench(llm, policy=QUICK)
    here = there
    if elsewhere:
        here = bench(ScriptedLLM(["instead"]), repository=there.repository, first_id=1000)
    reader = await there.service.stream(ANNA, "hello")
    await until_text(reader, "some words")
    if elsewhere:
        await asyncio.sleep(0.06)
    with pytest.raises(SessionBusy):
        await here.service.send(ANNA, "no", session_id=reader.session_id)
    answer = await here.service.send(
        ANNA, "rather", session_id=reader.session_id, on_busy=OnBusy.SUPERSEDE
    )
    assert answer.text == "instead"
    ended = await the_end(reader)
    assert ended.turn.reply is not None
    assert (ended.turn.status, ended.turn.reply.content) == (TurnStatus.STOPPED, "some words")
    assert llm.running == 0
    asked = here.llm.requests[-1].prompt.messages  # type: ignore[attr-defined]
    assert [message.content for message in asked] == ["hello", "some words", "rather"]


async def test_edit_cuts_what_followed() -> None:
    """G8: an edited question takes the place of the old one and of all after it; those stay."""
    llm = ScriptedLLM(["a1", "a2", "a3", "a2, better", "a4"])
    made = bench(llm)
    turns = [(await made.service.send(ANNA, "q1")).turn]
    session_id = turns[0].session_id
    turns += [
        (await made.service.send(ANNA, question, session_id=session_id)).turn
        for question in ("q2", "q3")
    ]
    reader = await made.service.edit(ANNA, session_id, turns[1].question_id, "q2, better")
    edited = (await reader.answer()).turn
    await made.service.send(ANNA, "q4", session_id=session_id)
    said = [message.content for message in llm.requests[-1].prompt.messages]
    assert said == ["q1", "a1", "q2, better", "a2, better", "q4"]
    page = await made.service.messages(ANNA, session_id)
    assert [message.position for message in page.items] == list(range(1, 11))
    superseded = [message.content for message in page.items if message.superseded_by]
    assert superseded == ["q2", "a2", "q3", "a3"]
    assert {message.superseded_by for message in page.items} == {None, edited.id}
    with pytest.raises(MessageSuperseded):
        await made.service.edit(ANNA, session_id, turns[2].question_id, "too late")


async def test_regenerate_asks_the_same_again() -> None:
    """A reply is asked for again with the same question and window; a repeat of the key joins."""
    llm = ScriptedLLM(["a1", "a2", "a2 again"])
    made = bench(llm)
    first = (await made.service.send(ANNA, "q1")).turn
    second = await made.service.send(ANNA, "q2", session_id=first.session_id)
    assert second.reply is not None
    for repeated in (False, True):
        reader = await made.service.regenerate(
            ANNA, first.session_id, second.reply.id, idempotency_key=KEY
        )
        answer = await reader.answer()
        assert (answer.text, answer.repeated) == ("a2 again", repeated)
    assert llm.requests[-1].prompt.messages[:-1] == llm.requests[-2].prompt.messages[:-1]
    assert len(llm.requests) == 3


async def test_strangers_replace_nothing() -> None:
    """G11: somebody else's message is not found."""
    made = bench(ScriptedLLM(["a1"]))
    turn = (await made.service.send(ANNA, "q1")).turn
    for ask in (
        made.service.regenerate(BEN, turn.session_id, turn.question_id),
        made.service.edit(BEN, turn.session_id, turn.question_id, "mine"),
    ):
        with pytest.raises(MessageNotFound):
            await ask


async def test_stop_meets_a_turn_between_two_attempts() -> None:
    """G5: a turn that waits to ask again is stopped too, and asks no more."""
    llm = ScriptedLLM([LLMRateLimited("wait", retry_after_seconds=30), "never asked"])
    made = bench(llm)
    reader = await made.service.stream(ANNA, "hello")
    while "retrying" not in made.notices:
        await asyncio.sleep(0)
    turn = await made.service.stop(ANNA, reader.session_id, reader.turn_id)
    assert (turn.status, len(llm.requests)) == (TurnStatus.STOPPED, 1)


class SpitefulLLM(ScriptedLLM):
    """Fails in its own way when its call is closed."""

    async def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        try:
            async for event in super().stream(request):
                yield event
        except asyncio.CancelledError:
            raise LLMUnavailable("closed in the middle") from None


async def test_stop_is_no_failure_of_the_model() -> None:
    """G5: whatever closing the call does to it, a stopped turn is stopped, not failed."""
    made = bench(SpitefulLLM([PART]), policy=ChatPolicy(max_attempts=1))
    reader = await made.service.stream(ANNA, "hello")
    await until_text(reader, "some words")
    turn = await made.service.stop(ANNA, reader.session_id, reader.turn_id)
    assert (turn.status, turn.error_code) == (TurnStatus.STOPPED, None)


async def test_superseded_call_is_closed_at_once() -> None:
    """G3: the call of a turn superseded in its own process does not wait for the next heartbeat."""
    llm = ScriptedLLM([PART, "instead"])
    made = bench(llm, policy=ChatPolicy(pulse_seconds=3600))
    reader = await made.service.stream(ANNA, "hello")
    await until_text(reader, "some words")
    await made.service.send(ANNA, "rather", session_id=reader.session_id, on_busy=OnBusy.SUPERSEDE)
    assert llm.running == 0


async def test_key_of_a_regeneration_is_for_nothing_else() -> None:
    """G2: the same words as a question, an edit and a regeneration are three requests."""
    made = bench(ScriptedLLM(["a1", "a1 again"]))
    turn = (await made.service.send(ANNA, "q1")).turn
    place = (ANNA, turn.session_id, turn.question_id)
    await (await made.service.regenerate(*place, idempotency_key=KEY)).answer()
    with pytest.raises(IdempotencyKeyReused):
        await made.service.edit(*place, "q1", idempotency_key=KEY)
    with pytest.raises(IdempotencyKeyReused):
        await made.service.send(ANNA, "q1", session_id=turn.session_id, idempotency_key=KEY)
