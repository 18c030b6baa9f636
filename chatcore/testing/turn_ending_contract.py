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
    OwnerId,
    Role,
    SessionBusy,
    SessionId,
    Turn,
    TurnEnd,
    TurnLost,
    TurnStatus,
)

from .builders import EXPIRED, NOW, an_owner, completed, failed, new_turn, ref_of, stopped
from .contract import Contract

LATER = NOW + timedelta(seconds=3)


class TurnEndingContract(Contract):
    """Cases of `TurnRepository.next_attempt`, `finish` and `end_abandoned`."""

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
        before = await _state(repository, ref.owner_id, ref.session_id)
        for end in (completed("second", now=LATER), failed(now=LATER), stopped("", now=LATER)):
            with pytest.raises(TurnLost):
                await repository.finish(ref, end)
        with pytest.raises(TurnLost):
            await repository.next_attempt(ref, error_code="x", request_digest="d", now=LATER)
        assert await _state(repository, ref.owner_id, ref.session_id) == before

    async def test_stale_attempt_changes_nothing(self, repository: ChatRepository) -> None:
        """G7: an attempt that is no longer the latest can neither end the turn nor move it on."""
        old = ref_of(await repository.admit(new_turn(an_owner())))
        new = await repository.next_attempt(
            old, error_code="llm_timeout", request_digest="d1", now=LATER
        )
        assert new == replace(old, attempt=2)
        for end in (completed("of the old one"), failed()):
            with pytest.raises(TurnLost):
                await repository.finish(old, end)
        with pytest.raises(TurnLost):
            await repository.next_attempt(
                old, error_code="llm_timeout", request_digest="d1", now=LATER + timedelta(1)
            )
        turn = await repository.finish(new, completed("of the new one"))
        assert turn.reply is not None
        assert turn.reply.content == "of the new one"

    async def test_attempts_are_on_record(self, repository: ChatRepository) -> None:
        """G7: a failed attempt is closed with its code, the next is pending before it is sent."""
        first = ref_of(await repository.admit(new_turn(an_owner())))
        second = await repository.next_attempt(
            first, error_code="llm_timeout", request_digest="d1", now=LATER
        )
        turn = await repository.turn(first.owner_id, first.session_id, first.turn_id)
        assert (turn.status, turn.attempt) == (TurnStatus.RUNNING, 2)
        closed, opened = turn.attempts
        assert (closed.outcome, closed.error_code) == (AttemptOutcome.FAILED, "llm_timeout")
        assert (closed.request_digest, closed.ended_at) == ("d1", LATER)
        assert (opened.outcome, opened.started_at) == (AttemptOutcome.PENDING, LATER)
        assert opened.window == closed.window
        # A repeat whose answer was lost finds itself.
        again = await repository.next_attempt(
            first, error_code="llm_timeout", request_digest="d1", now=LATER
        )
        assert again == second

    async def test_last_attempt_has_no_next(self, repository: ChatRepository) -> None:
        """G7: the model is asked at most max_attempts times."""
        ref = ref_of(await repository.admit(new_turn(an_owner(), max_attempts=1)))
        with pytest.raises(TurnLost):
            await repository.next_attempt(ref, error_code="x", request_digest="d", now=LATER)
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

    async def test_sweep_ends_only_abandoned_turns(self, repository: ChatRepository) -> None:
        """G7: the sweep ends turns past their lease, of any owner, and leaves the others alone."""
        alive = ref_of(await repository.admit(new_turn(an_owner())))
        dead = [
            ref_of(await repository.admit(new_turn(an_owner(), lease_seconds=EXPIRED)))
            for _ in range(3)
        ]
        ended = 0
        while found := await repository.end_abandoned(limit=2, now=LATER):
            assert found <= 2
            ended += found
        assert ended >= 3
        for ref in dead:
            turn = await repository.turn(ref.owner_id, ref.session_id, ref.turn_id)
            assert (turn.status, turn.error_code) == (TurnStatus.FAILED, "turn_interrupted")
            with pytest.raises(TurnLost):
                await repository.finish(ref, completed())
            following = await repository.admit(new_turn(ref.owner_id, ref.session_id))
            assert following.turn.number == 2
        turn = await repository.turn(alive.owner_id, alive.session_id, alive.turn_id)
        assert turn.status is TurnStatus.RUNNING

    async def test_renewed_lease_keeps_a_turn_alive(self, repository: ChatRepository) -> None:
        """G7: a turn whose lease was renewed in time is neither swept nor blocked out."""
        refs = [
            ref_of(await repository.admit(new_turn(an_owner(), lease_seconds=EXPIRED)))
            for _ in range(3)
        ]
        held = await repository.renew(refs[:2], lease_seconds=60)
        assert held == {ref.turn_id for ref in refs[:2]}
        while await repository.end_abandoned(limit=100, now=LATER):
            pass
        states = [await repository.turn(ref.owner_id, ref.session_id, ref.turn_id) for ref in refs]
        assert [turn.status.value for turn in states] == ["running", "running", "failed"]
        with pytest.raises(SessionBusy):
            await repository.admit(new_turn(refs[0].owner_id, refs[0].session_id))

    async def test_only_held_turns_are_renewed(self, repository: ChatRepository) -> None:
        """G7: who lost a turn learns it from renewing; nobody else's lease is touched."""
        ended, erased, stale, foreign, held = [
            ref_of(await repository.admit(new_turn(an_owner()))) for _ in range(5)
        ]
        await repository.finish(ended, completed())
        await repository.erase(erased.owner_id, erased.session_id, now=NOW)
        await repository.next_attempt(stale, error_code="x", request_digest="d", now=LATER)
        wrong = replace(foreign, owner_id=an_owner())
        refs = (ended, erased, stale, wrong, held)
        assert await repository.renew(refs, lease_seconds=60) == {held.turn_id}
        assert await repository.renew((), lease_seconds=60) == frozenset()

    async def test_reply_id_belongs_to_one_reply(self, repository: ChatRepository) -> None:
        """Two turns that end at the same moment with other ids are not taken for one another."""
        ref = ref_of(await repository.admit(new_turn(an_owner())))
        end = completed(now=LATER)
        await repository.finish(ref, end)
        with pytest.raises(TurnLost):
            await repository.finish(ref, replace(end, reply_id=MessageId(uuid4())))


async def _state(repository: ChatRepository, owner: OwnerId, session_id: SessionId) -> object:
    page = await repository.messages(owner, session_id, limit=100)
    return [
        (message, await repository.turn(owner, session_id, message.turn_id))
        for message in page.items
    ]
