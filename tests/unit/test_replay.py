"""Replaying: the requests of stored turns, made again from the store alone.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.memory import ScriptedLLM
from adapters.memory.llm import ScriptedAnswer
from chatcore import ChatPolicy, LLMUnavailable, Quote, TurnFailed, TurnId, TurnNotFound
from tests.builders import ANNA, BEN, bench

QUOTE = Quote(text="a passage </passage>", title="Chapter 1", url="https://example.org")


async def test_requests_are_made_again_from_the_store_alone() -> None:
    """G9: another process with other settings and another model makes the same bytes again."""
    llm = ScriptedLLM(["a1", "a2", LLMUnavailable("down"), "a3"], model="old-model")
    policy = ChatPolicy(system_prompt="Be kind.", max_tokens=77, history_messages=4)
    made = bench(llm, policy=policy)
    session_id = (await made.service.send(ANNA, "q1", quote=QUOTE)).turn.session_id
    await made.service.send(ANNA, "q2", session_id=session_id)
    turn = (await made.service.send(ANNA, "q3", session_id=session_id, quote=QUOTE)).turn
    later = bench(
        ScriptedLLM(model="new-model"),
        repository=made.repository,
        policy=ChatPolicy(system_prompt="Be brief.", max_tokens=5, history_max_chars=1),
    )
    replayed = await later.service.replay(ANNA, session_id, turn.id)
    sent = llm.requests[-2:]
    assert [again.request.body for again in replayed if again.request] == [one.body for one in sent]
    assert [again.attempt.stream for again in replayed] == [False, True]
    assert [again.matches for again in replayed] == [True, True]
    assert b"old-model" in sent[0].body
    assert b"Be kind." in sent[0].body


async def test_a_change_of_what_was_said_is_noticed() -> None:
    """G9: a digest that does not fit the stored words does not match."""
    made = bench(ScriptedLLM(["a1"]))
    turn = (await made.service.send(ANNA, "q1")).turn
    [record] = made.repository._kept.values()  # type: ignore[attr-defined]
    [kept] = record.turns
    kept.question = replace(kept.question, content="tampered")
    [again] = await made.service.replay(ANNA, turn.session_id, turn.id)
    assert again.matches is False


async def test_superseded_and_failed_turns_can_be_replayed() -> None:
    """G9: what left the window, and what never was in one, can still be made again."""
    llm = ScriptedLLM(["a1", ScriptedAnswer(("part", LLMUnavailable("cut"))), "a3"])
    made = bench(llm, policy=ChatPolicy(max_attempts=1, whole_answers=False))
    first = (await made.service.send(ANNA, "q1")).turn
    with pytest.raises(TurnFailed) as failure:
        await made.service.send(ANNA, "q2", session_id=first.session_id)
    reader = await made.service.edit(ANNA, first.session_id, first.question_id, "q1, better")
    third = (await reader.answer()).turn
    for number, turn_id in enumerate((first.id, TurnId(failure.value.turn_id), third.id)):
        [again] = await made.service.replay(ANNA, first.session_id, turn_id)
        assert again.request is not None
        assert (again.request.body, again.matches) == (llm.requests[number].body, True)


async def test_strangers_cannot_replay() -> None:
    """G11: somebody else's turn is not found."""
    made = bench(ScriptedLLM(["a1"]))
    turn = (await made.service.send(ANNA, "q1")).turn
    with pytest.raises(TurnNotFound):
        await made.service.replay(BEN, turn.session_id, turn.id)
