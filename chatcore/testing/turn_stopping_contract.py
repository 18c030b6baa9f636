"""Beside the hexagon: what stopping a turn, and stopping one for another, promise.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from chatcore import (
    Admission,
    AttemptOutcome,
    ChatRepository,
    IdempotencyKeyReused,
    MessageId,
    NewTurn,
    OnBusy,
    OwnerId,
    Role,
    SessionId,
    SessionNotFound,
    Turn,
    TurnId,
    TurnLost,
    TurnNotFound,
    TurnRef,
    TurnStatus,
)

from .builders import NOW, an_owner, completed, failed, new_turn, ref_of, stopped
from .contract import Contract
from .steps import (
    LATER,
    abandon,
    look,
    place_in,
    start,
    state_of,
    stored,
    take_over,
    try_again,
    until_written,
    write,
    write_until_lost,
)

KEY = "a key of some length"
ROUNDS, AT_ONCE = 12, 20


class TurnStoppingContract(Contract):
    """Cases of `TurnRepository.stop`, and of `admit` with `on_busy` supersede."""

    async def test_stop_keeps_the_part(self, repository: ChatRepository) -> None:
        """G5: what had come becomes the reply, right after its question, and the turn is over."""
        ref = await start(repository, an_owner(), written="The first 🤖 ")
        await write(repository, ref, "half of", at=12, digest="a" * 64)
        reply_id = MessageId(uuid4())
        turn = await _stop(repository, ref, reply_id)
        assert (turn.status, turn.ended_at) == (TurnStatus.STOPPED, LATER)
        assert (turn.error_code, turn.finish_reason, turn.usage) == (None, None, None)
        assert turn.reply is not None
        assert (turn.reply.id, turn.reply.content) == (reply_id, "The first 🤖 half of")
        assert (turn.reply.role, turn.reply.position) == (Role.ASSISTANT, 2)
        assert (turn.reply.turn_status, turn.reply.created_at) == (TurnStatus.STOPPED, LATER)
        read = await stored(repository, ref)
        assert turn == replace(read, attempts=())
        [attempt] = read.attempts
        assert (attempt.outcome, attempt.ended_at) == (AttemptOutcome.STOPPED, LATER)
        assert (attempt.request_digest, attempt.error_code) == ("a" * 64, None)
        page = await repository.messages(ref.owner_id, ref.session_id, limit=10)
        assert page.items[1] == turn.reply
        assert page.items[0].turn_status is TurnStatus.STOPPED

    async def test_stop_before_any_text(self, repository: ChatRepository) -> None:
        """G5: a turn stopped before any text has no reply; its question is kept."""
        ref = await start(repository, an_owner())
        turn = await _stop(repository, ref)
        assert (turn.status, turn.reply) == (TurnStatus.STOPPED, None)
        page = await repository.messages(ref.owner_id, ref.session_id, limit=10)
        [question] = page.items
        assert (question.turn_id, question.turn_status) == (ref.turn_id, TurnStatus.STOPPED)

    async def test_next_question_is_admitted_at_once(self, repository: ChatRepository) -> None:
        """G5: on return the session is free; what was stopped with a part goes along (G8)."""
        owner = an_owner()
        ref = await start(repository, owner, written="a part")
        await _stop(repository, ref)
        admission = await repository.admit(new_turn(owner, ref.session_id))
        assert [said.content for said in admission.window][1:] == ["a part"]
        await _stop(repository, ref_of(admission))
        following = await repository.admit(new_turn(owner, ref.session_id))
        assert following.window == admission.window

    async def test_positions_stay_dense(self, repository: ChatRepository) -> None:
        """G4: positions go 1, 2, 3 … over stops with and without text."""
        owner = an_owner()
        ref = await start(repository, owner)
        for written in ("", "part", "", "", "part", "part"):
            await _stop(repository, ref)
            ref = await start(repository, owner, ref.session_id, written=written)
        await repository.finish(ref, completed())
        page = await repository.messages(owner, ref.session_id, limit=100)
        assert [message.position for message in page.items] == list(range(1, 11))
        assert [message.role.value[0] for message in page.items] == list("uuuauuuaua")
        assert (await stored(repository, ref)).number == 7

    async def test_stop_twice_is_one(self, repository: ChatRepository) -> None:
        """G5: a second stop, also one with other values, returns the turn as it was stopped."""
        for written in ("", "part"):
            ref = await start(repository, an_owner(), written=written)
            turn = await _stop(repository, ref)
            before = await state_of(repository, ref)
            again = await repository.stop(
                ref.owner_id, ref.session_id, ref.turn_id, reply_id=MessageId(uuid4()), now=NOW
            )
            assert again == turn
            assert await state_of(repository, ref) == before

    @pytest.mark.parametrize(
        "end",
        [completed(), failed(), failed("part"), stopped("p")],
        ids=["completed", "failed", "failed with a part", "stopped"],
    )
    async def test_ended_turns_are_left_alone(
        self, repository: ChatRepository, end: object
    ) -> None:
        """G5: stopping a turn that had ended changes nothing and returns it as it ended."""
        ref = await start(repository, an_owner(), written="part")
        ended = await repository.finish(ref, end)  # type: ignore[arg-type]
        before = await state_of(repository, ref)
        assert await _stop(repository, ref) == ended
        assert await state_of(repository, ref) == before

    async def test_strangers_stop_nothing(self, repository: ChatRepository) -> None:
        """G11: a turn is stopped by its owner, in its session, and by nobody else."""
        ref = await start(repository, an_owner(), written="part")
        other = await start(repository, ref.owner_id)
        before = await state_of(repository, ref)
        for wrong in (
            replace(ref, owner_id=an_owner()),
            replace(ref, session_id=other.session_id),
            replace(ref, session_id=SessionId(uuid4())),
            replace(ref, turn_id=TurnId(uuid4())),
        ):
            with pytest.raises(TurnNotFound):
                await _stop(repository, wrong)
        assert await state_of(repository, ref) == before

    async def test_same_ids_of_two_owners(self, repository: ChatRepository) -> None:
        """G11: stopping one's own turn leaves somebody else's of the same id running."""
        new = new_turn(an_owner())
        twins = (new, replace(new, owner_id=an_owner()))
        mine, theirs = [ref_of(await repository.admit(each)) for each in twins]
        await write(repository, theirs, "theirs")
        assert (await _stop(repository, mine)).reply is None
        entry = await look(repository, theirs)
        assert (entry.status, entry.text) == (TurnStatus.RUNNING, "theirs")

    async def test_late_writes_change_nothing(self, repository: ChatRepository) -> None:
        """G5: whatever the attempt writes after the stop is refused and leaves no trace."""
        ref = await start(repository, an_owner(), written="part")
        await _stop(repository, ref)
        before = await state_of(repository, ref)
        assert not await write(repository, ref, " and more", at=4, digest="d" * 64)
        for end in (completed(), failed(), stopped("other")):
            with pytest.raises(TurnLost):
                await repository.finish(ref, end)
        with pytest.raises(TurnLost):
            await try_again(repository, ref)
        with pytest.raises(TurnLost):
            await take_over(repository, ref)
        with pytest.raises(TurnLost):
            await repository.give_up(ref, reply_id=MessageId(uuid4()), error_code="x", now=LATER)
        assert await state_of(repository, ref) == before

    async def test_journal_is_dropped(self, repository: ChatRepository) -> None:
        """G6: after a stop the journal is gone; readers learn of the end and find the reply."""
        ref = await start(repository, an_owner(), written="part")
        await _stop(repository, ref)
        entry = await look(repository, ref)
        assert (entry.status, entry.attempt) == (TurnStatus.STOPPED, 1)
        assert (entry.is_abandoned, entry.text) == (False, "")

    async def test_part_is_of_the_latest_attempt(self, repository: ChatRepository) -> None:
        """G7: text of an earlier attempt is never in the part that is kept."""
        empty = await start(repository, an_owner(), written="first try")
        await try_again(repository, empty)
        assert (await _stop(repository, empty)).reply is None
        full = await try_again(repository, await start(repository, an_owner(), written="first try"))
        await write(repository, full, "second")
        turn = await _stop(repository, full)
        assert (turn.attempt, turn.reply and turn.reply.content) == (2, "second")
        closed, last = (await stored(repository, full)).attempts
        outcomes = (closed.outcome, last.outcome)
        assert outcomes == (AttemptOutcome.FAILED, AttemptOutcome.STOPPED)

    async def test_abandoned_turns_can_be_stopped(self, repository: ChatRepository) -> None:
        """G5: a turn whose process is gone is stopped like any other, its part kept."""
        ref = await abandon(repository, an_owner(), written="part")
        turn = await _stop(repository, ref)
        assert (turn.status, turn.reply and turn.reply.content) == (TurnStatus.STOPPED, "part")

    async def test_erased_turns_are_not_found(self, repository: ChatRepository) -> None:
        """G12: there is nothing to stop in an erased session, and nothing comes back."""
        ref = await start(repository, an_owner(), written="part")
        await repository.erase(ref.owner_id, ref.session_id, now=NOW)
        with pytest.raises(TurnNotFound):
            await _stop(repository, ref)
        assert await repository.read([place_in(ref)]) == ()

    async def test_no_text_is_lost_to_a_stop(self, repository: ChatRepository) -> None:
        """G5: what a beat had stored is in the part, and nothing else, whenever the stop comes."""

        async def one_race(number: int) -> None:
            ref = await start(repository, an_owner())
            writing = asyncio.create_task(write_until_lost(repository, ref))
            await _until_written(repository, ref, number)
            turn = await _stop(repository, ref)
            assert (turn.reply.content if turn.reply else "") == await writing
            assert turn == replace(await stored(repository, ref), attempts=())

        for _ in range(ROUNDS):
            await asyncio.gather(*(one_race(number) for number in range(AT_ONCE)))

    async def test_stop_against_the_end(self, repository: ChatRepository) -> None:
        """G5, G7: of stop and end at once one is stored, and both callers learn which."""
        for number in range(30):
            ref = await start(repository, an_owner(), written="part")
            end = completed("whole")
            racers = [_stop(repository, ref), repository.finish(ref, end)]
            ended, done = await asyncio.gather(
                *(racers if number % 2 else racers[::-1]), return_exceptions=True
            )
            if not number % 2:
                ended, done = done, ended
            read = replace(await stored(repository, ref), attempts=())
            assert ended == read
            assert read.reply is not None
            if isinstance(done, TurnLost):
                assert (read.status, read.reply.content) == (TurnStatus.STOPPED, "part")
            else:
                assert done == read
                assert (read.status, read.reply.content) == (TurnStatus.COMPLETED, "whole")

    async def test_stop_against_the_next_attempt(self, repository: ChatRepository) -> None:
        """G5, G7: a stop ends the turn also when its attempt is just being followed by another."""
        for _ in range(20):
            ref = await start(repository, an_owner(), written="part")
            turn, moved = await asyncio.gather(
                _stop(repository, ref), try_again(repository, ref), return_exceptions=True
            )
            assert isinstance(turn, Turn)
            lost = isinstance(moved, TurnLost)
            assert (turn.status, turn.attempt) == (TurnStatus.STOPPED, 1 if lost else 2)
            assert (turn.reply.content if turn.reply else "") == ("part" if lost else "")
            outcomes = [
                attempt.outcome.value for attempt in (await stored(repository, ref)).attempts
            ]
            assert outcomes == (["stopped"] if lost else ["failed", "stopped"])

    async def test_many_stops_at_once_are_one(self, repository: ChatRepository) -> None:
        """G5: of many stops at once one ends the turn, and all return the same."""
        ref = await start(repository, an_owner(), written="part")
        turns = await asyncio.gather(*(_stop(repository, ref) for _ in range(15)))
        assert {turn.reply.id for turn in turns if turn.reply} == {turns[0].reply.id}  # type: ignore[union-attr]
        assert all(turn == turns[0] for turn in turns)

    async def test_stop_against_erase(self, repository: ChatRepository) -> None:
        """G12: stopping and erasing at once leave nothing behind, whoever is first."""
        for _ in range(15):
            ref = await start(repository, an_owner(), written="part")
            turn, erased = await asyncio.gather(
                _stop(repository, ref),
                repository.erase(ref.owner_id, ref.session_id, now=LATER),
                return_exceptions=True,
            )
            assert erased is None
            assert isinstance(turn, Turn | TurnNotFound)
            with pytest.raises(TurnNotFound):
                await stored(repository, ref)

    async def test_supersede_stops_what_runs(self, repository: ChatRepository) -> None:
        """G3: the running turn is stopped, its part kept and sent along, and the question asked."""
        owner = an_owner()
        ref = await start(repository, owner, written="a part")
        new = _superseding(owner, ref.session_id)
        admission = await repository.admit(new)
        assert (admission.superseded, admission.repeated) == (ref.turn_id, False)
        assert (admission.turn.number, admission.turn.status) == (2, TurnStatus.RUNNING)
        assert [said.content for said in admission.window] == ["What is a servo?", "a part"]
        turn = await stored(repository, ref)
        assert (turn.status, turn.ended_at) == (TurnStatus.STOPPED, LATER)
        assert turn.superseded_by is None
        assert turn.reply is not None
        assert (turn.reply.id, turn.reply.content) == (new.part_id, "a part")
        assert (turn.reply.position, turn.reply.created_at) == (2, LATER)
        [attempt] = turn.attempts
        assert (attempt.outcome, attempt.ended_at) == (AttemptOutcome.STOPPED, LATER)
        page = await repository.messages(owner, ref.session_id, limit=10)
        assert [message.position for message in page.items] == [1, 2, 3]
        assert page.items[2].id == new.question_id
        assert not await write(repository, ref, "late", at=6)
        with pytest.raises(TurnLost):
            await repository.finish(ref, completed())
        assert (await look(repository, ref)).text == ""

    async def test_supersede_before_any_text(self, repository: ChatRepository) -> None:
        """G3: a turn stopped for another before any text has no reply and is in no window."""
        owner = an_owner()
        ref = await start(repository, owner)
        admission = await repository.admit(_superseding(owner, ref.session_id))
        assert (admission.superseded, admission.window) == (ref.turn_id, ())
        assert (await stored(repository, ref)).reply is None
        page = await repository.messages(owner, ref.session_id, limit=10)
        assert [message.position for message in page.items] == [1, 2]

    async def test_supersede_where_nothing_runs(self, repository: ChatRepository) -> None:
        """G3: with no running turn the question is admitted as it would be otherwise."""
        owner = an_owner()
        opening = await repository.admit(new_turn(owner, on_busy=OnBusy.SUPERSEDE))
        assert opening.superseded is None
        await repository.finish(ref_of(opening), completed())
        admission = await repository.admit(_superseding(owner, opening.turn.session_id))
        assert (admission.superseded, len(admission.window)) == (None, 2)
        first = await stored(repository, ref_of(opening))
        assert first.status is TurnStatus.COMPLETED

    async def test_supersede_of_an_abandoned_turn(self, repository: ChatRepository) -> None:
        """G3: a running turn past its lease is stopped for another like any other."""
        ref = await abandon(repository, an_owner(), written="part")
        admission = await repository.admit(_superseding(ref.owner_id, ref.session_id))
        assert admission.superseded == ref.turn_id
        turn = await stored(repository, ref)
        assert (turn.status, turn.reply and turn.reply.content) == (TurnStatus.STOPPED, "part")

    async def test_refused_supersede_stops_nothing(self, repository: ChatRepository) -> None:
        """G2, G11: strangers and misused keys stop nobody's turn."""
        owner = an_owner()
        await repository.finish(
            ref_of(await repository.admit(new_turn(owner, key=KEY))), completed()
        )
        ref = await start(repository, owner, written="part")
        before = await state_of(repository, ref)
        with pytest.raises(SessionNotFound):
            await repository.admit(_superseding(an_owner(), ref.session_id))
        with pytest.raises(IdempotencyKeyReused):
            await repository.admit(
                replace(_superseding(owner, ref.session_id), idempotency_key=KEY)
            )
        assert await state_of(repository, ref) == before

    async def test_repeats_stop_nothing(self, repository: ChatRepository) -> None:
        """G2: who repeats a key joins its turn, running or not, and stops nothing."""
        owner = an_owner()
        session_id = (await start(repository, owner)).session_id
        first = await repository.admit(_superseding(owner, session_id, key=KEY))
        again = await repository.admit(_superseding(owner, session_id, key=KEY))
        assert (again.repeated, again.turn, again.superseded) == (True, first.turn, None)
        await repository.finish(ref_of(first), completed())
        running = await start(repository, owner, session_id)
        assert (await repository.admit(_superseding(owner, session_id, key=KEY))).repeated
        assert (await stored(repository, running)).status is TurnStatus.RUNNING

    async def test_same_supersede_twice_is_one(self, repository: ChatRepository) -> None:
        """G1: one repeated because its answer was lost finds itself, and does not stop itself."""
        ref = await start(repository, an_owner(), written="part")
        new = _superseding(ref.owner_id, ref.session_id)
        first, again = await repository.admit(new), await repository.admit(new)
        assert (again.turn, again.window, again.repeated) == (first.turn, first.window, False)
        assert (await stored(repository, ref_of(first))).status is TurnStatus.RUNNING

    async def test_many_supersedes_at_once(self, repository: ChatRepository) -> None:
        """G3: of many at once each is admitted, each stops the one before it."""
        owner = an_owner()
        ref = await start(repository, owner)
        news = [_superseding(owner, ref.session_id) for _ in range(12)]
        admissions = await asyncio.gather(*(repository.admit(new) for new in news))
        by_number = sorted(admissions, key=lambda admission: admission.turn.number)
        assert [admission.turn.number for admission in by_number] == list(range(2, 14))
        ids = [ref.turn_id, *(admission.turn.id for admission in by_number)]
        assert [admission.superseded for admission in by_number] == ids[:-1]
        page = await repository.messages(owner, ref.session_id, limit=100)
        assert [message.position for message in page.items] == list(range(1, 14))
        statuses = [message.turn_status.value for message in page.items]
        assert statuses == ["stopped"] * 12 + ["running"]

    async def test_no_text_is_lost_to_a_supersede(self, repository: ChatRepository) -> None:
        """G3, G5: what a beat had stored is in the part and in the window of what comes next."""

        async def one_race(number: int) -> None:
            ref = await start(repository, an_owner())
            writing = asyncio.create_task(write_until_lost(repository, ref))
            await _until_written(repository, ref, number)
            admission = await repository.admit(_superseding(ref.owner_id, ref.session_id))
            written = await writing
            turn = await stored(repository, ref)
            assert (turn.reply.content if turn.reply else "") == written
            assert "".join(said.content for said in admission.window[1:]) == written

        for _ in range(ROUNDS):
            await asyncio.gather(*(one_race(number) for number in range(AT_ONCE)))

    async def test_supersede_against_the_end(self, repository: ChatRepository) -> None:
        """G3: a turn that ends while it is being stopped for another did one of both, whole."""
        for _ in range(30):
            ref = await start(repository, an_owner(), written="part")
            admission, done = await asyncio.gather(
                repository.admit(_superseding(ref.owner_id, ref.session_id)),
                repository.finish(ref, completed("whole")),
                return_exceptions=True,
            )
            assert isinstance(admission, Admission)
            lost = isinstance(done, TurnLost)
            assert admission.superseded == (ref.turn_id if lost else None)
            assert [said.content for said in admission.window][1:] == ["part" if lost else "whole"]


def _superseding(owner: OwnerId, session_id: SessionId, key: str | None = None) -> NewTurn:
    return new_turn(owner, session_id, key=key, on_busy=OnBusy.SUPERSEDE, now=LATER)


async def _stop(
    repository: ChatRepository, ref: TurnRef, reply_id: MessageId | None = None
) -> Turn:
    return await repository.stop(
        ref.owner_id,
        ref.session_id,
        ref.turn_id,
        reply_id=reply_id or MessageId(uuid4()),
        now=LATER,
    )


async def _until_written(repository: ChatRepository, ref: TurnRef, number: int) -> None:
    """Let some text come first, and then a little more: how much depends on the number."""
    await until_written(repository, ref, 5 * (number % 5))
    for _ in range(number % 7):
        await asyncio.sleep(0)
