"""Beside the hexagon: what taking over and giving up abandoned turns promise.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from chatcore import (
    AttemptOutcome,
    ChatRepository,
    MessageId,
    Quote,
    Role,
    SessionBusy,
    SessionId,
    TakenTurn,
    Turn,
    TurnId,
    TurnLost,
    TurnRef,
    TurnStatus,
)

from .builders import (
    EXPIRED,
    NOW,
    TEMPLATE,
    an_owner,
    completed,
    failed,
    have_turn,
    new_turn,
    ref_of,
    stopped,
)
from .contract import Contract
from .steps import (
    LATER,
    abandon,
    look,
    start,
    state_of,
    stored,
    take_over,
    try_again,
    until_written,
    write,
    write_until_lost,
)

OTHER = replace(TEMPLATE, max_tokens=7).digest


class TakeOverContract(Contract):
    """Cases of `ReplyJournal.take_over` and `give_up`."""

    async def test_all_that_is_needed_to_ask_again(self, repository: ChatRepository) -> None:
        """G7: who takes a turn over gets question, window and what time is left."""
        owner = an_owner()
        session_id = (await have_turn(repository, owner, text="before")).session_id
        quote = Quote(text="a passage", title="Chapter 3", url="https://example.org", anchor="s")
        new = new_turn(
            owner, session_id, text="Why?", quote=quote, lease_seconds=EXPIRED, max_attempts=7
        )
        admission = await repository.admit(new)
        taken = await take_over(repository, ref_of(admission))
        assert taken.ref == replace(ref_of(admission), attempt=2)
        assert (taken.text, taken.quote, taken.window) == ("Why?", quote, admission.window)
        assert [said.content for said in taken.window] == ["before", "A motor with feedback."]
        assert taken.max_attempts == 7
        assert 200 < taken.seconds_left <= 300

    async def test_both_attempts_are_on_record(self, repository: ChatRepository) -> None:
        """G7: the silent attempt is closed as abandoned; ours is pending, with the same window."""
        old = await abandon(repository, an_owner(), written="part")
        await write(repository, old, "", lease_seconds=EXPIRED, digest="a" * 64)
        await take_over(repository, old, template=OTHER, stream=True)
        turn = await stored(repository, old)
        assert (turn.status, turn.attempt, turn.ended_at) == (TurnStatus.RUNNING, 2, None)
        assert (turn.error_code, turn.reply) == (None, None)
        closed, opened = turn.attempts
        assert (closed.outcome, closed.error_code) == (AttemptOutcome.ABANDONED, "turn_interrupted")
        assert (closed.ended_at, closed.request_digest) == (LATER, "a" * 64)
        assert (closed.template, closed.stream) == (TEMPLATE.digest, False)
        assert (opened.number, opened.outcome) == (2, AttemptOutcome.PENDING)
        assert (opened.template, opened.stream) == (OTHER, True)
        assert (opened.started_at, opened.ended_at) == (LATER, None)
        assert (opened.window, opened.request_digest) == (closed.window, None)
        assert (opened.error_code, opened.model, opened.usage) == (None, None, None)

    async def test_taken_turn_is_like_any_other(self, repository: ChatRepository) -> None:
        """G7: it is written, moved on and ended by its new attempt; one attempt wrote the reply."""
        old = await abandon(repository, an_owner(), written="of the first", max_attempts=3)
        taken = (await take_over(repository, old)).ref
        entry = await look(repository, old, 12)
        assert (entry.attempt, entry.start, entry.text) == (2, 0, "")
        assert await write(repository, taken, "of the second")
        assert (await look(repository, old, 12)).text == "of the second"
        last = await try_again(repository, taken)
        turn = await repository.finish(last, completed("of the third"))
        assert (turn.attempt, turn.reply and turn.reply.content) == (3, "of the third")
        outcomes = [attempt.outcome.value for attempt in (await stored(repository, old)).attempts]
        assert outcomes == ["abandoned", "failed", "completed"]

    async def test_window_is_that_of_the_admission(self, repository: ChatRepository) -> None:
        """G9: the window taken along is the one on record, whole turns of it."""
        owner = an_owner()
        session_id = (await have_turn(repository, owner, text="one")).session_id
        for text, end in (("two", failed("part")), ("three", stopped("part")), ("four", None)):
            await have_turn(repository, owner, session_id, text=text, end=end)
        new = new_turn(owner, session_id, lease_seconds=EXPIRED, window_turns=2)
        taken = await take_over(repository, ref_of(await repository.admit(new)))
        assert [said.turn_number for said in taken.window] == [3, 3, 4, 4]

    async def test_lease_begins_anew(self, repository: ChatRepository) -> None:
        """G7: a taken turn is ours for a lease, and abandoned again when that ends in silence."""
        old = await abandon(repository, an_owner(), max_attempts=3)
        second = (await take_over(repository, old, lease_seconds=EXPIRED)).ref
        assert (await look(repository, old)).is_abandoned
        third = (await take_over(repository, second, lease_seconds=60)).ref
        assert third.attempt == 3
        assert not (await look(repository, old)).is_abandoned
        with pytest.raises(SessionBusy) as busy:
            await repository.admit(new_turn(old.owner_id, old.session_id))
        assert not busy.value.is_abandoned

    async def test_living_turns_are_not_taken(self, repository: ChatRepository) -> None:
        """G7: a turn within its lease is nobody else's, and trying changes nothing."""
        ref = await start(repository, an_owner(), written="part")
        before = await state_of(repository, ref)
        with pytest.raises(TurnLost):
            await take_over(repository, ref)
        with pytest.raises(TurnLost):
            await _give_up(repository, ref)
        assert await state_of(repository, ref) == before

    async def test_no_attempt_left(self, repository: ChatRepository) -> None:
        """G7: a turn that used up its attempts is not taken over; it can be given up."""
        once = await abandon(repository, an_owner(), written="part", max_attempts=1)
        twice = await abandon(repository, an_owner(), max_attempts=2)
        twice = (await take_over(repository, twice, lease_seconds=EXPIRED)).ref
        for ref in (once, twice):
            before = await state_of(repository, ref)
            with pytest.raises(TurnLost):
                await take_over(repository, ref)
            assert await state_of(repository, ref) == before
            assert (await _give_up(repository, ref)).status is TurnStatus.FAILED

    async def test_no_time_left(self, repository: ChatRepository) -> None:
        """G7: a turn past its deadline is not taken over; it can be given up."""
        new = new_turn(an_owner(), lease_seconds=EXPIRED, deadline_seconds=EXPIRED)
        ref = ref_of(await repository.admit(new))
        before = await state_of(repository, ref)
        with pytest.raises(TurnLost):
            await take_over(repository, ref)
        assert await state_of(repository, ref) == before
        assert (await _give_up(repository, ref)).status is TurnStatus.FAILED

    async def test_only_the_latest_attempt_is_taken(self, repository: ChatRepository) -> None:
        """G7: a turn that has moved on, ended or gone is not taken under the name it had."""
        moved = await abandon(repository, an_owner(), max_attempts=3)
        latest = await try_again(repository, moved)
        ended = await abandon(repository, an_owner())
        await repository.finish(ended, completed())
        before = [await state_of(repository, ref) for ref in (latest, ended)]
        for ref in (moved, replace(moved, attempt=3), ended):
            with pytest.raises(TurnLost):
                await take_over(repository, ref)
            with pytest.raises(TurnLost):
                await _give_up(repository, ref)
        assert [await state_of(repository, ref) for ref in (latest, ended)] == before
        assert (await take_over(repository, latest)).ref.attempt == 3

    async def test_strangers_take_nothing(self, repository: ChatRepository) -> None:
        """G11: a turn named with a wrong owner or session is not there to be taken."""
        ref = await abandon(repository, an_owner(), written="part")
        other = await abandon(repository, ref.owner_id)
        before = await state_of(repository, ref)
        for wrong in (
            replace(ref, owner_id=an_owner()),
            replace(ref, session_id=SessionId(uuid4())),
            replace(ref, session_id=other.session_id, number=2),
            replace(ref, session_id=SessionId(uuid4()), turn_id=TurnId(uuid4())),
        ):
            with pytest.raises(TurnLost):
                await take_over(repository, wrong)
            with pytest.raises(TurnLost):
                await _give_up(repository, wrong)
        assert await state_of(repository, ref) == before

    async def test_same_ids_of_two_owners(self, repository: ChatRepository) -> None:
        """G11: taking one's own turn leaves somebody else's of the same id where it was."""
        new = new_turn(an_owner(), lease_seconds=EXPIRED)
        twins = (new, replace(new, owner_id=an_owner()))
        mine, theirs = [ref_of(await repository.admit(each)) for each in twins]
        await take_over(repository, mine)
        entry = await look(repository, theirs)
        assert (entry.attempt, entry.is_abandoned) == (1, True)
        await _give_up(repository, theirs)
        assert (await stored(repository, mine)).status is TurnStatus.RUNNING

    async def test_erased_turns_are_not_there(self, repository: ChatRepository) -> None:
        """G12: nothing of an erased session is taken over or given up, and nothing comes back."""
        ref = await abandon(repository, an_owner(), written="part")
        await repository.erase(ref.owner_id, ref.session_id, now=NOW)
        with pytest.raises(TurnLost):
            await take_over(repository, ref)
        with pytest.raises(TurnLost):
            await _give_up(repository, ref)
        assert (await repository.sessions(ref.owner_id, limit=10, after=None)).items == ()

    async def test_repeat_waits_for_the_lease(self, repository: ChatRepository) -> None:
        """G7: who repeats a take-over whose answer was lost is refused like anybody else."""
        ref = await abandon(repository, an_owner(), max_attempts=3)
        await take_over(repository, ref)
        for each in (ref, replace(ref, attempt=2)):
            with pytest.raises(TurnLost):
                await take_over(repository, each)
        assert (await stored(repository, ref)).attempt == 2

    async def test_one_of_many_takes_it(self, repository: ChatRepository) -> None:
        """G7: of many that try at once exactly one succeeds, and one attempt is on record."""
        for _ in range(10):
            ref = await abandon(repository, an_owner(), max_attempts=9)
            tries = [take_over(repository, ref) for _ in range(10)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            [taken] = [result for result in results if isinstance(result, TakenTurn)]
            assert sum(isinstance(result, TurnLost) for result in results) == 9
            assert taken.ref == replace(ref, attempt=2)
            assert len((await stored(repository, ref)).attempts) == 2

    async def test_late_writes_change_nothing(self, repository: ChatRepository) -> None:
        """G7: whoever lost its lease and comes back is refused, and leaves no trace."""
        old = await abandon(repository, an_owner(), written="old", max_attempts=3)
        new = (await take_over(repository, old)).ref
        await write(repository, new, "new")
        before = await state_of(repository, new)
        # The moment is another one: a writer that went on by itself would have had its own.
        late = LATER.replace(microsecond=1)
        assert not await write(repository, old, " words", at=3, digest="d" * 64)
        assert not await write(repository, old, "new", lease_seconds=0)
        for end in (completed(now=late), failed("part", now=late), stopped("part", now=late)):
            with pytest.raises(TurnLost):
                await repository.finish(old, end)
        with pytest.raises(TurnLost):
            await try_again(repository, old, now=late)
        assert await state_of(repository, new) == before
        assert not (await look(repository, new)).is_abandoned
        assert await write(repository, new, "er", at=3)
        turn = await repository.stop(
            new.owner_id, new.session_id, new.turn_id, reply_id=MessageId(uuid4()), now=late
        )
        assert (turn.reply and turn.reply.content) == "newer"

    async def test_sign_of_life_against_take_over(self, repository: ChatRepository) -> None:
        """G7: of a late beat and a take-over at once exactly one finds the turn its own."""
        for number in range(20):
            old = await abandon(repository, an_owner())
            racers = [write(repository, old, "old"), take_over(repository, old)]
            results = await asyncio.gather(
                *(racers if number % 2 else racers[::-1]), return_exceptions=True
            )
            held = True in results
            assert held is not any(isinstance(result, TakenTurn) for result in results)
            entry = await look(repository, old)
            assert (entry.attempt, entry.text) == ((1, "old") if held else (2, ""))

    async def test_end_against_take_over(self, repository: ChatRepository) -> None:
        """G7: of a late end and a take-over at once exactly one is stored."""
        for number in range(20):
            old = await abandon(repository, an_owner())
            racers = [repository.finish(old, completed("late")), take_over(repository, old)]
            results = await asyncio.gather(
                *(racers if number % 2 else racers[::-1]), return_exceptions=True
            )
            [lost] = [result for result in results if isinstance(result, TurnLost)]
            assert lost.turn_id == old.turn_id
            turn = await stored(repository, old)
            ended = any(isinstance(result, Turn) for result in results)
            expected = (TurnStatus.COMPLETED, 1) if ended else (TurnStatus.RUNNING, 2)
            assert (turn.status, turn.attempt) == expected

    async def test_stop_against_take_over(self, repository: ChatRepository) -> None:
        """G5, G7: a stop ends the turn, whether or not somebody is just taking it over."""
        for _ in range(20):
            old = await abandon(repository, an_owner(), written="part")
            turn, taken = await asyncio.gather(
                repository.stop(
                    old.owner_id, old.session_id, old.turn_id, reply_id=MessageId(uuid4()), now=NOW
                ),
                take_over(repository, old),
                return_exceptions=True,
            )
            assert isinstance(turn, Turn)
            lost = isinstance(taken, TurnLost)
            assert (turn.status, turn.attempt) == (TurnStatus.STOPPED, 1 if lost else 2)
            assert (turn.reply.content if turn.reply else "") == ("part" if lost else "")

    async def test_giving_up_keeps_the_part(self, repository: ChatRepository) -> None:
        """G7: a given-up turn has failed; what had come is kept, and shown, and never sent."""
        ref = await abandon(repository, an_owner(), written="The first 🤖 ")
        digest = "a" * 64
        await write(repository, ref, "half", at=12, lease_seconds=EXPIRED, digest=digest)
        reply_id = MessageId(uuid4())
        turn = await _give_up(repository, ref, reply_id)
        assert (turn.status, turn.error_code) == (TurnStatus.FAILED, "turn_interrupted")
        assert (turn.ended_at, turn.attempt) == (LATER, 1)
        assert turn.reply is not None
        assert (turn.reply.id, turn.reply.content) == (reply_id, "The first 🤖 half")
        assert (turn.reply.role, turn.reply.position) == (Role.ASSISTANT, 2)
        assert (turn.reply.turn_status, turn.reply.created_at) == (TurnStatus.FAILED, LATER)
        read = await stored(repository, ref)
        assert replace(read, attempts=()) == turn
        [attempt] = read.attempts
        assert (attempt.outcome, attempt.error_code) == (
            AttemptOutcome.ABANDONED,
            "turn_interrupted",
        )
        assert (attempt.ended_at, attempt.request_digest) == (LATER, digest)
        page = await repository.messages(ref.owner_id, ref.session_id, limit=10)
        assert page.items[1] == turn.reply
        assert page.items[0].turn_status is TurnStatus.FAILED
        entry = await look(repository, ref)
        assert (entry.status, entry.is_abandoned, entry.text) == (TurnStatus.FAILED, False, "")
        following = await repository.admit(new_turn(ref.owner_id, ref.session_id))
        assert (following.turn.number, following.window) == (2, ())

    async def test_giving_up_before_any_text(self, repository: ChatRepository) -> None:
        """G4, G7: a turn given up before any text has no reply, and leaves no gap."""
        ref = await abandon(repository, an_owner())
        turn = await _give_up(repository, ref)
        assert (turn.status, turn.reply) == (TurnStatus.FAILED, None)
        following = await repository.admit(new_turn(ref.owner_id, ref.session_id))
        page = await repository.messages(ref.owner_id, ref.session_id, limit=10)
        assert [message.position for message in page.items] == [1, 2]
        assert page.items[1].id == following.turn.question_id

    async def test_given_up_part_is_of_the_last_attempt(self, repository: ChatRepository) -> None:
        """G7: text of an earlier attempt is never in the part that is kept."""
        empty = await abandon(repository, an_owner(), written="first")
        empty = (await take_over(repository, empty, lease_seconds=EXPIRED)).ref
        assert (await _give_up(repository, empty)).reply is None
        full = await abandon(repository, an_owner(), written="first")
        full = (await take_over(repository, full)).ref
        await write(repository, full, "second", lease_seconds=EXPIRED)
        turn = await _give_up(repository, full)
        assert (turn.attempt, turn.reply and turn.reply.content) == (2, "second")
        assert {each.outcome for each in (await stored(repository, full)).attempts} == {
            AttemptOutcome.ABANDONED
        }

    async def test_giving_up_is_for_good(self, repository: ChatRepository) -> None:
        """G7: whoever comes after is refused and changes nothing, the dead process too."""
        ref = await abandon(repository, an_owner(), written="part")
        await _give_up(repository, ref)
        before = await state_of(repository, ref)
        late = LATER.replace(microsecond=1)
        assert not await write(repository, ref, " and more", at=4)
        for end in (completed(now=late), failed(now=late)):
            with pytest.raises(TurnLost):
                await repository.finish(ref, end)
        with pytest.raises(TurnLost):
            await try_again(repository, ref, now=late)
        with pytest.raises(TurnLost):
            await take_over(repository, ref)
        assert await state_of(repository, ref) == before

    async def test_any_code_is_kept(self, repository: ChatRepository) -> None:
        """G7: turn and attempt carry the code they were given up with, attempts left or not."""
        ref = await abandon(repository, an_owner(), max_attempts=9)
        turn = await repository.give_up(
            ref, reply_id=MessageId(uuid4()), error_code="llm_timeout", now=LATER
        )
        assert turn.error_code == "llm_timeout"
        [attempt] = (await stored(repository, ref)).attempts
        assert (attempt.outcome, attempt.error_code) == (AttemptOutcome.ABANDONED, "llm_timeout")

    async def test_one_of_many_gives_it_up(self, repository: ChatRepository) -> None:
        """G7: of many that give it up and take it over at once the turn goes one way only."""
        for _ in range(10):
            ref = await abandon(repository, an_owner(), written="part")
            tries = [_give_up(repository, ref) for _ in range(5)]
            others = [take_over(repository, ref) for _ in range(5)]
            results = await asyncio.gather(*tries, *others, return_exceptions=True)
            given_up = [result for result in results if isinstance(result, Turn)]
            taken = [result for result in results if isinstance(result, TakenTurn)]
            assert all(isinstance(each, Turn | TakenTurn | TurnLost) for each in results)
            turn = await stored(repository, ref)
            if taken:
                assert (len(taken), given_up, turn.status) == (1, [], TurnStatus.RUNNING)
            else:
                assert turn.status is TurnStatus.FAILED
                assert all(each == replace(turn, attempts=()) for each in given_up)

    async def test_no_text_is_lost_to_giving_up(self, repository: ChatRepository) -> None:
        """G7: what a late beat had stored is in the part, and nothing else."""

        async def one_race(number: int) -> None:
            ref = await abandon(repository, an_owner())
            writing = asyncio.create_task(write_until_lost(repository, ref, lease_seconds=EXPIRED))
            await until_written(repository, ref, 5 * (number % 4))
            turn = await _give_up(repository, ref)
            assert (turn.reply.content if turn.reply else "") == await writing

        for _ in range(6):
            await asyncio.gather(*(one_race(number) for number in range(20)))


async def _give_up(
    repository: ChatRepository, ref: TurnRef, reply_id: MessageId | None = None
) -> Turn:
    return await repository.give_up(
        ref,
        reply_id=reply_id or MessageId(uuid4()),
        error_code="turn_interrupted",
        now=LATER,
    )
