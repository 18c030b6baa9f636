"""Beside the hexagon: what writing a reply down while it comes, and reading it, promise.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from chatcore import (
    Beat,
    ChatRepository,
    JournalEntry,
    SessionBusy,
    SessionId,
    TurnId,
    TurnLost,
    TurnRef,
    TurnStatus,
)

from .builders import EXPIRED, NOW, an_owner, completed, new_turn, ref_of
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
    write,
)

PIECES = (
    "plain ",
    "  kept as it is \n\t ",
    "🤖 and 👩‍🔬, combining e",
    "\u0301, right-to-left שלום, U+2028 \u2028, BOM \ufeff",
    "control \x01\x1b[31m\x7f",
    '\'; DROP TABLE turns; -- $1 %s {x} {} \\ , "NULL"',
    "x" * 20_000,
)


class ReplyJournalContract(Contract):
    """Cases of `ReplyJournal.beat`, `read` and `abandoned`."""

    async def test_pieces_add_up(self, repository: ChatRepository) -> None:
        """G6: pieces come back joined, code point by code point, from every place between them."""
        ref = await start(repository, an_owner())
        offset = 0
        for piece in PIECES:
            assert await write(repository, ref, piece, at=offset)
            offset += len(piece)
        whole, offset = "".join(PIECES), 0
        for piece in (*PIECES, ""):
            entry = await look(repository, ref, offset)
            assert (entry.start, entry.text) == (offset, whole[offset:])
            offset += len(piece)

    async def test_read_tells_how_the_turn_stands(self, repository: ChatRepository) -> None:
        """G6: of a running turn one learns status, latest attempt and what has come."""
        ref = await start(repository, an_owner(), written="So far.")
        assert await look(repository, ref) == JournalEntry(
            turn_id=ref.turn_id,
            status=TurnStatus.RUNNING,
            attempt=1,
            is_abandoned=False,
            start=0,
            text="So far.",
        )

    async def test_many_pieces_stay_in_order(self, repository: ChatRepository) -> None:
        """Pieces are joined by where they begin, as numbers, in whatever order they came."""
        ref = await start(repository, an_owner())
        for at in (0, 9, 2, 111, 10, 1):
            await write(repository, ref, f"<{at}>", at=at)
        assert (await look(repository, ref)).text == "<0><1><2><9><10><111>"
        assert (await look(repository, ref, 10)).text == "<10><111>"

    async def test_same_piece_twice_is_one(self, repository: ChatRepository) -> None:
        """A piece sent again because its answer was lost is stored once, and is still held."""
        ref = await start(repository, an_owner())
        for text, at in (("one ", 0), ("one ", 0), ("two", 4), ("one ", 0), ("two", 4)):
            assert await write(repository, ref, text, at=at)
        assert (await look(repository, ref)).text == "one two"

    async def test_same_piece_many_at_once_is_one(self, repository: ChatRepository) -> None:
        """A piece sent several times at once is stored once."""
        ref = await start(repository, an_owner())
        tries = [write(repository, ref, "once", digest="d" * 64) for _ in range(10)]
        assert all(await asyncio.gather(*tries))
        assert (await look(repository, ref)).text == "once"

    async def test_silent_beat_adds_nothing(self, repository: ChatRepository) -> None:
        """A sign of life without text, wherever it says it stands, changes no text."""
        ref = await start(repository, an_owner(), written="text")
        for at in (0, 4, 99):
            assert await write(repository, ref, "", at=at)
        assert (await look(repository, ref)).text == "text"
        await write(repository, ref, " more", at=4)
        assert (await look(repository, ref)).text == "text more"

    async def test_no_beats(self, repository: ChatRepository) -> None:
        """Nothing to report and nowhere to look is no error."""
        assert await repository.beat((), lease_seconds=60) == frozenset()
        assert await repository.read(()) == ()

    async def test_many_turns_in_one_beat(self, repository: ChatRepository) -> None:
        """One beat carries turns of many owners, with and without text and digest."""
        owners = [an_owner() for _ in range(10)]
        refs = [await start(repository, owner) for owner in owners for _ in range(3)]
        beats = [
            Beat(ref, 0, f"text {number}" * (number % 2), f"{number:064x}" if number % 3 else None)
            for number, ref in enumerate(refs)
        ]
        assert await repository.beat(beats, lease_seconds=60) == {ref.turn_id for ref in refs}
        entries = await repository.read([place_in(ref) for ref in reversed(refs)])
        found = {entry.turn_id: entry.text for entry in entries}
        assert found == {beat.ref.turn_id: beat.text for beat in beats}
        for beat in beats:
            [attempt] = (await stored(repository, beat.ref)).attempts
            assert attempt.request_digest == beat.request_digest

    async def test_only_held_turns_are_kept_alive(self, repository: ChatRepository) -> None:
        """G7: who lost a turn learns it from a beat, which stores none of its text anywhere."""
        owner = an_owner()
        ended, stale, foreign, elsewhere, held = [await start(repository, owner) for _ in range(5)]
        erased = await start(repository, owner)
        end = await repository.finish(ended, completed("The end."))
        await repository.erase(owner, erased.session_id, now=NOW)
        latest = await try_again(repository, stale)
        lost = (
            ended,
            stale,
            erased,
            replace(foreign, owner_id=an_owner()),
            replace(elsewhere, session_id=held.session_id),
            replace(held, turn_id=TurnId(uuid4()), session_id=SessionId(uuid4()), number=9),
        )
        beats = [Beat(ref, 0, "a word", "d" * 64) for ref in (*lost, held)]
        assert await repository.beat(beats, lease_seconds=60) == {held.turn_id}
        assert (await look(repository, held)).text == "a word"
        for ref in (latest, foreign, elsewhere, ended):
            assert (await look(repository, ref)).text == ""
        for ref in (stale, foreign, elsewhere):
            attempts = (await stored(repository, ref)).attempts
            assert attempts[-1].request_digest is None
        assert replace(await stored(repository, ended), attempts=()) == end
        assert await repository.read([place_in(erased)]) == ()

    async def test_lost_turns_are_not_revived(self, repository: ChatRepository) -> None:
        """G7: the beat of an old attempt does not renew the lease of the one that followed."""
        old = await abandon(repository, an_owner())
        await try_again(repository, old)
        assert not await write(repository, old, "late", lease_seconds=60)
        assert (await look(repository, old)).is_abandoned

    async def test_beats_in_any_order_never_deadlock(self, repository: ChatRepository) -> None:
        """G7: processes that believe to run the same turns report them at once, in any order."""
        owner = an_owner()
        refs = [await start(repository, owner) for _ in range(12)]
        for _ in range(15):
            beats = [Beat(ref, 0, "same") for ref in refs]
            results = await asyncio.gather(
                repository.beat(beats, lease_seconds=60),
                repository.beat(beats[::-1], lease_seconds=60),
                repository.beat(beats[6:] + beats[:6], lease_seconds=60),
            )
            assert set(results) == {frozenset(ref.turn_id for ref in refs)}
        entries = await repository.read([place_in(ref) for ref in refs])
        assert [entry.text for entry in entries] == ["same"] * 12

    async def test_beat_renews_the_lease(self, repository: ChatRepository) -> None:
        """G7: a turn that gave a sign of life is no longer there to be taken over or given up."""
        owner = an_owner()
        ref = await abandon(repository, owner)
        assert (await look(repository, ref)).is_abandoned
        assert await write(repository, ref, "")
        assert not (await look(repository, ref)).is_abandoned
        assert await _abandoned(repository, ref) == []
        with pytest.raises(TurnLost):
            await take_over(repository, ref)
        with pytest.raises(SessionBusy) as busy:
            await repository.admit(new_turn(owner, ref.session_id))
        assert not busy.value.is_abandoned

    async def test_beat_may_shorten_the_lease(self, repository: ChatRepository) -> None:
        """G7: the lease is counted from the latest beat, also where that makes it end earlier."""
        ref = await start(repository, an_owner(), lease_seconds=3600)
        await write(repository, ref, "", lease_seconds=EXPIRED)
        assert (await look(repository, ref)).is_abandoned

    async def test_turns_are_given_away_at_once(self, repository: ChatRepository) -> None:
        """G7: a beat with no lease stores its text, and anybody may take the turn at once."""
        ref = await start(repository, an_owner())
        assert await write(repository, ref, "all I have", lease_seconds=0)
        entry = await look(repository, ref)
        assert (entry.is_abandoned, entry.text) == (True, "all I have")
        assert await _abandoned(repository, ref) == [(ref, True)]
        assert (await take_over(repository, ref)).ref == replace(ref, attempt=2)

    async def test_lease_ends_soon_after_the_deadline(self, repository: ChatRepository) -> None:
        """G7: nobody keeps a turn alive past its deadline and one lease more."""
        owner = an_owner()
        late = ref_of(await repository.admit(new_turn(owner, deadline_seconds=-100)))
        assert await write(repository, late, "still here", lease_seconds=60)
        entry = await look(repository, late)
        assert (entry.is_abandoned, entry.text) == (True, "still here")
        barely = ref_of(await repository.admit(new_turn(owner, deadline_seconds=-100)))
        assert await write(repository, barely, "", lease_seconds=160)
        assert not (await look(repository, barely)).is_abandoned

    async def test_digest_is_recorded(self, repository: ChatRepository) -> None:
        """G9: the digest told with a beat is that of the attempt, and later beats keep it."""
        first = await start(repository, an_owner())
        await write(repository, first, "", digest="a" * 64)
        await write(repository, first, "text")
        [attempt] = (await stored(repository, first)).attempts
        assert attempt.request_digest == "a" * 64
        second = await try_again(repository, first, request_digest="a" * 64)
        await write(repository, second, "text", digest="b" * 64)
        attempts = (await stored(repository, first)).attempts
        assert [attempt.request_digest for attempt in attempts] == ["a" * 64, "b" * 64]

    async def test_each_attempt_begins_anew(self, repository: ChatRepository) -> None:
        """G6: the text of an earlier attempt is gone; a place in it counts as the beginning."""
        old = await start(repository, an_owner(), written="the first try")
        new = await try_again(repository, old)
        entry = await look(repository, old, 9)
        assert (entry.attempt, entry.start, entry.text) == (2, 0, "")
        await write(repository, new, "the ")
        await write(repository, new, "second", at=4)
        entry = await look(repository, old, 4)
        assert (entry.start, entry.text) == (0, "the second")
        entry = await look(repository, new, 4)
        assert (entry.start, entry.text) == (4, "second")

    async def test_ended_turns_have_no_journal(self, repository: ChatRepository) -> None:
        """G6: of an ended turn one learns that it has ended; its text is where the reply is."""
        ref = await start(repository, an_owner(), written="half")
        await repository.finish(ref, completed("half and half"))
        entry = await look(repository, ref)
        assert (entry.status, entry.attempt) == (TurnStatus.COMPLETED, 1)
        assert (entry.is_abandoned, entry.text) == (False, "")

    async def test_ended_turns_are_not_abandoned(self, repository: ChatRepository) -> None:
        """G7: a turn that ended after its lease is nobody's to take over."""
        ref = await abandon(repository, an_owner())
        await repository.finish(ref, completed())
        assert not (await look(repository, ref)).is_abandoned
        assert await _abandoned(repository, ref) == []

    async def test_strangers_read_nothing(self, repository: ChatRepository) -> None:
        """G11: a journal is read by its owner, in its session, and by nobody else."""
        ref = await start(repository, an_owner(), written="secret")
        other = await start(repository, ref.owner_id)
        wrong = (
            replace(ref, owner_id=an_owner()),
            replace(ref, session_id=other.session_id),
            replace(ref, session_id=SessionId(uuid4())),
            replace(ref, turn_id=TurnId(uuid4())),
        )
        assert await repository.read([place_in(each) for each in wrong]) == ()
        entries = await repository.read([place_in(each) for each in (*wrong, ref)])
        assert [entry.text for entry in entries] == ["secret"]

    async def test_same_ids_of_two_owners_do_not_mix(self, repository: ChatRepository) -> None:
        """G11: journals count within their owner, though all other ids were the same."""
        new = new_turn(an_owner())
        twins = (new, replace(new, owner_id=an_owner()))
        mine, theirs = [ref_of(await repository.admit(each)) for each in twins]
        await write(repository, mine, "mine")
        await write(repository, theirs, "theirs")
        assert (await look(repository, mine)).text == "mine"
        assert (await look(repository, theirs)).text == "theirs"
        await repository.finish(mine, completed())
        entry = await look(repository, theirs)
        assert (entry.status, entry.text) == (TurnStatus.RUNNING, "theirs")

    async def test_erased_turns_write_nothing(self, repository: ChatRepository) -> None:
        """G12: an erased turn's journal is gone, and no late beat brings it back."""
        ref = await start(repository, an_owner(), written="words")
        await repository.erase(ref.owner_id, ref.session_id, now=LATER)
        assert not await write(repository, ref, " and more", at=5, lease_seconds=EXPIRED)
        assert await repository.read([place_in(ref)]) == ()
        assert await _abandoned(repository, ref) == []

    async def test_erase_against_a_beat(self, repository: ChatRepository) -> None:
        """G12: erasing and writing at once leave nothing behind, whoever is first."""
        for _ in range(15):
            ref = await start(repository, an_owner())
            await asyncio.gather(
                repository.erase(ref.owner_id, ref.session_id, now=LATER),
                write(repository, ref, "words", digest="d" * 64),
            )
            assert await repository.read([place_in(ref)]) == ()

    async def test_beat_against_the_end(self, repository: ChatRepository) -> None:
        """G7: a beat and the end at once: the end is stored, and nothing of the journal stays."""
        for _ in range(15):
            ref = await start(repository, an_owner(), written="part")
            await asyncio.gather(
                write(repository, ref, "words", at=4), repository.finish(ref, completed("whole"))
            )
            turn = await stored(repository, ref)
            assert turn.reply is not None
            assert turn.reply.content == "whole"
            assert (await look(repository, ref)).text == ""

    async def test_abandoned_are_running_turns_past_their_lease(
        self, repository: ChatRepository
    ) -> None:
        """G7: only who is silent for too long is listed, as its latest attempt held it."""
        owner = an_owner()
        alive = await start(repository, owner)
        dead = await abandon(repository, owner)
        moved = await try_again(repository, await abandon(repository, owner, max_attempts=3))
        late = await repository.admit(
            new_turn(owner, lease_seconds=EXPIRED, deadline_seconds=EXPIRED)
        )
        last = await abandon(repository, owner, max_attempts=1)
        assert await _abandoned(repository, alive) == []
        assert await _abandoned(repository, dead) == [(dead, True)]
        assert await _abandoned(repository, moved) == [(moved, True)]
        assert await _abandoned(repository, ref_of(late)) == [(ref_of(late), False)]
        assert await _abandoned(repository, last) == [(last, False)]

    async def test_abandoned_of_all_owners(self, repository: ChatRepository) -> None:
        """G7: one question finds the abandoned turns of every owner; looking changes nothing."""
        dead = [await abandon(repository, an_owner(), written="part") for _ in range(4)]
        alive = await start(repository, an_owner())
        before = [await state_of(repository, ref) for ref in dead]
        found = {each.ref for each in await repository.abandoned(limit=100_000)}
        assert found >= set(dead)
        assert alive not in found
        assert len(await repository.abandoned(limit=3)) == 3
        assert len(await repository.abandoned(limit=1)) == 1
        assert [await state_of(repository, ref) for ref in dead] == before

    async def test_abandoned_of_strangers_are_not_found(self, repository: ChatRepository) -> None:
        """G11: asked for one session of one owner, nobody else's turns are returned."""
        ref = await abandon(repository, an_owner())
        for owner, session_id in (
            (an_owner(), ref.session_id),
            (ref.owner_id, SessionId(uuid4())),
        ):
            assert await repository.abandoned(limit=10, session=(owner, session_id)) == ()


async def _abandoned(repository: ChatRepository, ref: TurnRef) -> list[tuple[TurnRef, bool]]:
    """Return what the turn's session has of abandoned turns, and whether they may go on."""
    found = await repository.abandoned(limit=10, session=(ref.owner_id, ref.session_id))
    return [(each.ref, each.may_go_on) for each in found]
