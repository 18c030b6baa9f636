"""Beside the hexagon: what moving a turn on and ending it promise.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from chatcore import (
    AttemptOutcome,
    ChatRepository,
    MessageId,
    Role,
    Turn,
    TurnEnd,
    TurnLost,
    TurnRef,
    TurnStatus,
)

from .builders import TEMPLATE, an_owner, completed, failed, new_turn, ref_of, stopped
from .contract import Contract
from .steps import LATER, abandon, look, start, state_of, stored, try_again, write

OTHER = replace(TEMPLATE, max_tokens=7).digest


class TurnEndingContract(Contract):
    """Cases of `TurnRepository.next_attempt` and `finish`."""

    async def test_finish_stores_the_reply(self, repository: ChatRepository) -> None:
        """G1: ending well stores reply, outcome, reason, model and usage together."""
        admission = await repository.admit(new_turn(an_owner()))
        end = completed("Yes. 🤖", now=LATER)
        turn = await repository.finish(ref_of(admission), end)
        assert turn.reply is not None
        assert (turn.reply.id, turn.reply.content) == (end.reply_id, "Yes. 🤖")
        assert (turn.reply.position, turn.reply.role) == (2, Role.ASSISTANT)
        assert (turn.reply.turn_status, turn.reply.created_at) == (TurnStatus.COMPLETED, LATER)
        assert (turn.status, turn.finish_reason) == (TurnStatus.COMPLETED, "stop")
        assert (turn.model, turn.usage, turn.ended_at) == (end.model, end.usage, LATER)
        read = await repository.turn(turn.owner_id, turn.session_id, turn.id)
        assert replace(read, attempts=()) == turn
        [attempt] = read.attempts
        assert (attempt.outcome, attempt.ended_at) == (AttemptOutcome.COMPLETED, LATER)
        assert (attempt.request_digest, attempt.usage) == (end.request_digest, end.usage)
        page = await repository.messages(turn.owner_id, turn.session_id, limit=10)
        assert page.items[1] == turn.reply

    @pytest.mark.parametrize("part", ["", "The first half of"])
    async def test_failed_turn_keeps_the_question(
        self, repository: ChatRepository, part: str
    ) -> None:
        """A failed turn keeps its question, its code, and the part of the reply that had come."""
        admission = await repository.admit(new_turn(an_owner()))
        turn = await repository.finish(ref_of(admission), failed(part, code="llm_timeout"))
        assert (turn.status, turn.error_code) == (TurnStatus.FAILED, "llm_timeout")
        assert (turn.reply.content if turn.reply else "") == part
        page = await repository.messages(turn.owner_id, turn.session_id, limit=10)
        expected = [admission.turn.question_id] + ([turn.reply.id] if turn.reply else [])
        assert [message.id for message in page.items] == expected
        assert {message.turn_status for message in page.items} == {TurnStatus.FAILED}

    async def test_same_finish_twice_is_one(self, repository: ChatRepository) -> None:
        """G1: a finish repeated because its answer was lost gets the stored turn."""
        for end in (completed(now=LATER), failed(now=LATER), stopped("part", now=LATER)):
            ref = ref_of(await repository.admit(new_turn(an_owner())))
            first = await repository.finish(ref, end)
            assert await repository.finish(ref, end) == first

    async def test_terminal_turn_never_changes(self, repository: ChatRepository) -> None:
        """G7: whoever comes after the end is refused and changes nothing."""
        ref = ref_of(await repository.admit(new_turn(an_owner())))
        await repository.finish(ref, completed("first", now=LATER))
        before = await state_of(repository, ref)
        for end in (completed("second", now=LATER), failed(now=LATER), stopped("", now=LATER)):
            with pytest.raises(TurnLost):
                await repository.finish(ref, end)
        with pytest.raises(TurnLost):
            await try_again(repository, ref)
        assert await state_of(repository, ref) == before

    async def test_stale_attempt_changes_nothing(self, repository: ChatRepository) -> None:
        """G7: an attempt that is no longer the latest can neither end the turn nor move it on."""
        old = ref_of(await repository.admit(new_turn(an_owner())))
        new = await try_again(repository, old)
        assert new == replace(old, attempt=2)
        for end in (completed("of the old one"), failed()):
            with pytest.raises(TurnLost):
                await repository.finish(old, end)
        with pytest.raises(TurnLost):
            await try_again(repository, old, now=LATER + timedelta(1))
        turn = await repository.finish(new, completed("of the new one"))
        assert turn.reply is not None
        assert turn.reply.content == "of the new one"

    async def test_attempts_are_on_record(self, repository: ChatRepository) -> None:
        """G7: a failed attempt is closed with its code, the next is pending before it is sent."""
        first = ref_of(await repository.admit(new_turn(an_owner())))
        second = await try_again(repository, first, template=OTHER, stream=True)
        turn = await repository.turn(first.owner_id, first.session_id, first.turn_id)
        assert (turn.status, turn.attempt) == (TurnStatus.RUNNING, 2)
        closed, opened = turn.attempts
        assert (closed.outcome, closed.error_code) == (AttemptOutcome.FAILED, "llm_timeout")
        assert (closed.request_digest, closed.ended_at) == ("d1", LATER)
        assert (opened.outcome, opened.started_at) == (AttemptOutcome.PENDING, LATER)
        assert opened.window == closed.window
        assert (closed.template, closed.stream) == (TEMPLATE.digest, False)
        assert (opened.template, opened.stream, opened.request_digest) == (OTHER, True, None)
        # A repeat whose answer was lost finds itself.
        assert await try_again(repository, first, template=OTHER, stream=True) == second
        assert await repository.turn(first.owner_id, first.session_id, first.turn_id) == turn

    async def test_no_request_was_made(self, repository: ChatRepository) -> None:
        """G9: an attempt that failed before its request was made has no digest on record."""
        first = await start(repository, an_owner())
        await try_again(repository, first, request_digest="")
        assert (await stored(repository, first)).attempts[0].request_digest is None

    async def test_recorded_digest_is_kept(self, repository: ChatRepository) -> None:
        """G9: a digest that a beat recorded outlives an end, or a failure, that names none."""
        first = await start(repository, an_owner())
        await write(repository, first, "", digest="a" * 64)
        second = await try_again(repository, first, request_digest="")
        await write(repository, second, "", digest="b" * 64)
        await repository.finish(second, failed())
        attempts = (await stored(repository, first)).attempts
        assert [attempt.request_digest for attempt in attempts] == ["a" * 64, "b" * 64]

    async def test_end_carries_the_text(self, repository: ChatRepository) -> None:
        """G1: the reply is what the end says, not what the journal held; that is dropped."""
        for end in (completed("the whole"), failed("the most"), stopped("the part"), failed("")):
            ref = await start(repository, an_owner(), written="something else")
            turn = await repository.finish(ref, end)
            assert (turn.reply.content if turn.reply else "") == end.text
            assert (await look(repository, ref)).text == ""

    async def test_late_end_is_stored(self, repository: ChatRepository) -> None:
        """G7: past its lease an attempt may still end the turn, until somebody else has it."""
        for end in (completed("late"), failed(), stopped("part")):
            ref = await abandon(repository, an_owner())
            assert (await repository.finish(ref, end)).status is end.status

    async def test_next_attempts_at_once_are_one(self, repository: ChatRepository) -> None:
        """G7: the same step repeated at once is one step; at another moment it is refused."""
        for _ in range(10):
            ref = await start(repository, an_owner(), max_attempts=9)
            moments = [LATER] * 5 + [LATER + timedelta(seconds=number) for number in range(1, 6)]
            tries = [try_again(repository, ref, now=moment) for moment in moments]
            results = await asyncio.gather(*tries, return_exceptions=True)
            moved = [result for result in results if isinstance(result, TurnRef)]
            assert set(moved) == {replace(ref, attempt=2)}
            assert len(moved) in {1, 5}
            assert sum(isinstance(result, TurnLost) for result in results) == 10 - len(moved)
            assert len((await stored(repository, ref)).attempts) == 2

    async def test_last_attempt_has_no_next(self, repository: ChatRepository) -> None:
        """G7: the model is asked at most max_attempts times."""
        ref = ref_of(await repository.admit(new_turn(an_owner(), max_attempts=1)))
        with pytest.raises(TurnLost):
            await try_again(repository, ref)
        turn = await repository.turn(ref.owner_id, ref.session_id, ref.turn_id)
        assert (turn.attempt, len(turn.attempts)) == (1, 1)

    async def test_strangers_cannot_end_a_turn(self, repository: ChatRepository) -> None:
        """G11: a turn named with a wrong owner or session is not there to be ended."""
        ref = ref_of(await repository.admit(new_turn(an_owner())))
        other = ref_of(await repository.admit(new_turn(ref.owner_id)))
        for wrong in (
            replace(ref, owner_id=an_owner()),
            replace(ref, session_id=other.session_id),
        ):
            for end in (completed(), failed()):
                with pytest.raises(TurnLost):
                    await repository.finish(wrong, end)
        turn = await repository.turn(ref.owner_id, ref.session_id, ref.turn_id)
        assert turn.status is TurnStatus.RUNNING

    async def test_one_of_many_ends_wins(self, repository: ChatRepository) -> None:
        """G7: of many ends at once one is stored, whole, and the others change nothing."""
        ref = ref_of(await repository.admit(new_turn(an_owner())))
        ends: list[TurnEnd] = [completed(f"reply {number}") for number in range(8)]
        ends += [failed() for _ in range(8)]
        tries = [repository.finish(ref, end) for end in ends]
        results = await asyncio.gather(*tries, return_exceptions=True)
        [stored] = [result for result in results if isinstance(result, Turn)]
        assert sum(isinstance(result, TurnLost) for result in results) == 15
        read = await repository.turn(ref.owner_id, ref.session_id, ref.turn_id)
        assert replace(read, attempts=()) == stored
        # Whatever won, the next question stands right behind it.
        following = await repository.admit(new_turn(ref.owner_id, ref.session_id))
        page = await repository.messages(ref.owner_id, ref.session_id, limit=10)
        assert [message.position for message in page.items] == [1, 2, 3][: 3 if stored.reply else 2]
        assert page.items[-1].id == following.turn.question_id

    async def test_reply_id_belongs_to_one_reply(self, repository: ChatRepository) -> None:
        """Two turns that end at the same moment with other ids are not taken for one another."""
        ref = ref_of(await repository.admit(new_turn(an_owner())))
        end = completed(now=LATER)
        await repository.finish(ref, end)
        with pytest.raises(TurnLost):
            await repository.finish(ref, replace(end, reply_id=MessageId(uuid4())))
