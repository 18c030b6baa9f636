"""Beside the hexagon: what listing, renaming and erasing promise.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from uuid import uuid4

import pytest

from chatcore import (
    ChatRepository,
    MessagePage,
    OwnerId,
    SessionCursor,
    SessionId,
    SessionNotFound,
    TurnLost,
    TurnNotFound,
)

from .builders import NOW, an_owner, completed, failed, have_turn, new_turn, ref_of
from .contract import Contract
from .steps import try_again

SECOND = timedelta(seconds=1)


class SessionContract(Contract):
    """Cases of `SessionRepository`."""

    async def test_unknown_session(self, repository: ChatRepository) -> None:
        """G11: unknown and foreign sessions are answered alike by every method."""
        turn = await have_turn(repository, an_owner())
        for owner, session_id in (
            (an_owner(), turn.session_id),
            (turn.owner_id, SessionId(uuid4())),
        ):
            for call in (
                repository.session(owner, session_id),
                repository.messages(owner, session_id, limit=10),
                repository.messages(owner, session_id, limit=10, before=3),
                repository.messages(owner, session_id, limit=10, after=0),
                repository.rename(owner, session_id, title="mine now", now=NOW),
                repository.erase(owner, session_id, now=NOW),
            ):
                with pytest.raises(SessionNotFound):
                    await call
        session = await repository.session(turn.owner_id, turn.session_id)
        assert session.title == "A title"

    async def test_sessions_latest_activity_first(self, repository: ChatRepository) -> None:
        """Sessions are listed by latest activity; a question brings its session to the top."""
        owner = an_owner()
        turns = [await have_turn(repository, owner, now=NOW + SECOND * n) for n in range(3)]
        ids = [turn.session_id for turn in turns]
        assert await _listed(repository, owner) == ids[::-1]
        await have_turn(repository, owner, ids[0], now=NOW + SECOND * 9)
        assert await _listed(repository, owner) == [ids[0], ids[2], ids[1]]
        assert await _listed(repository, an_owner()) == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
    async def test_pages_of_equal_times(self, repository: ChatRepository, limit: int) -> None:
        """Sessions of the same moment are each listed once, by id, whatever the page's size."""
        owner = an_owner()
        made = [(await have_turn(repository, owner)).session_id for _ in range(7)]
        assert await _walk(repository, owner, limit) == sorted(made, reverse=True)

    async def test_cursor_outlives_its_session(self, repository: ChatRepository) -> None:
        """A cursor whose session was erased still points to the same place."""
        owner = an_owner()
        for n in range(4):
            await have_turn(repository, owner, now=NOW + SECOND * n)
        page = await repository.sessions(owner, limit=2, after=None)
        rest = (await _listed(repository, owner))[2:]
        await repository.erase(owner, page.items[-1].id, now=NOW)
        following = await repository.sessions(owner, limit=2, after=page.next_cursor)
        assert [session.id for session in following.items] == rest
        assert following.next_cursor is None

    async def test_foreign_cursor_shows_nothing_foreign(self, repository: ChatRepository) -> None:
        """G11: a cursor of somebody else lists only one's own."""
        mine = await have_turn(repository, an_owner())
        theirs = await have_turn(repository, an_owner(), now=NOW + SECOND)
        cursor = SessionCursor(updated_at=NOW + SECOND, session_id=theirs.session_id)
        page = await repository.sessions(mine.owner_id, limit=10, after=cursor)
        assert [session.id for session in page.items] == [mine.session_id]

    async def test_messages_newest_page(self, repository: ChatRepository) -> None:
        """Without bounds the newest messages are returned, oldest first."""
        owner, session_id = await _seven_messages(repository)
        page = await repository.messages(owner, session_id, limit=3)
        assert (_positions(page), page.has_older, page.has_newer) == ([5, 6, 7], True, False)
        page = await repository.messages(owner, session_id, limit=7)
        assert (_positions(page), page.has_older, page.has_newer) == ([*range(1, 8)], False, False)

    async def test_messages_both_ways(self, repository: ChatRepository) -> None:
        """Pages can be walked back from the newest and forth from the oldest, without a gap."""
        owner, session_id = await _seven_messages(repository)
        back = await repository.messages(owner, session_id, limit=3, before=5)
        assert (_positions(back), back.has_older, back.has_newer) == ([2, 3, 4], True, True)
        back = await repository.messages(owner, session_id, limit=3, before=2)
        assert (_positions(back), back.has_older, back.has_newer) == ([1], False, True)
        forth = await repository.messages(owner, session_id, limit=3, after=0)
        assert (_positions(forth), forth.has_older, forth.has_newer) == ([1, 2, 3], False, True)
        forth = await repository.messages(owner, session_id, limit=3, after=4)
        assert (_positions(forth), forth.has_older, forth.has_newer) == ([5, 6, 7], True, False)

    async def test_messages_past_the_ends(self, repository: ChatRepository) -> None:
        """A page beyond either end is empty, not an error."""
        owner, session_id = await _seven_messages(repository)
        for page in (
            await repository.messages(owner, session_id, limit=3, before=1),
            await repository.messages(owner, session_id, limit=3, after=7),
            await repository.messages(owner, session_id, limit=3, after=2**31 - 1),
        ):
            assert (page.items, page.has_older, page.has_newer) == ((), False, False)

    async def test_order_does_not_follow_the_clock(self, repository: ChatRepository) -> None:
        """G4: messages stay in order although the clock goes backwards between them."""
        owner = an_owner()
        session_id = (await have_turn(repository, owner, text="first", now=NOW)).session_id
        await have_turn(repository, owner, session_id, text="second", now=NOW - SECOND * 60)
        page = await repository.messages(owner, session_id, limit=10)
        assert [message.content for message in page.items][::2] == ["first", "second"]
        session = await repository.session(owner, session_id)
        assert session.updated_at == NOW

    async def test_times_are_aware(self, repository: ChatRepository) -> None:
        """Every time that comes back is aware, in UTC, to the microsecond."""
        turn = await have_turn(repository, an_owner())
        session = await repository.session(turn.owner_id, turn.session_id)
        page = await repository.messages(turn.owner_id, turn.session_id, limit=1)
        for moment in (session.created_at, session.updated_at, page.items[0].created_at):
            assert (moment, moment.utcoffset()) == (NOW, UTC.utcoffset(None))

    async def test_rename(self, repository: ChatRepository) -> None:
        """A new title is stored and shown, and counts as activity."""
        turn = await have_turn(repository, an_owner())
        later = NOW + SECOND
        session = await repository.rename(
            turn.owner_id, turn.session_id, title="Servos 🤖", now=later
        )
        assert (session.title, session.created_at, session.updated_at) == ("Servos 🤖", NOW, later)
        assert await repository.session(turn.owner_id, turn.session_id) == session
        await have_turn(repository, turn.owner_id, turn.session_id)
        assert (await repository.session(turn.owner_id, turn.session_id)).title == "Servos 🤖"

    async def test_erase(self, repository: ChatRepository) -> None:
        """G12: an erased session, its turns, messages and keys are gone; others stay."""
        owner = an_owner()
        admission = await repository.admit(new_turn(owner, key="k" * 20))
        await repository.finish(ref_of(admission), completed())
        kept = await have_turn(repository, owner)
        session_id = admission.turn.session_id
        await repository.erase(owner, session_id, now=NOW)
        with pytest.raises(SessionNotFound):
            await repository.messages(owner, session_id, limit=10)
        with pytest.raises(TurnNotFound):
            await repository.turn(owner, session_id, admission.turn.id)
        with pytest.raises(SessionNotFound):
            await repository.admit(new_turn(owner, session_id))
        with pytest.raises(SessionNotFound):
            await repository.erase(owner, session_id, now=NOW)
        assert await _listed(repository, owner) == [kept.session_id]
        assert not (await repository.admit(new_turn(owner, key="k" * 20))).repeated

    async def test_erase_during_a_turn(self, repository: ChatRepository) -> None:
        """G12: a running turn of an erased session finds nothing to write to."""
        ref = ref_of(await repository.admit(new_turn(an_owner())))
        await repository.erase(ref.owner_id, ref.session_id, now=NOW)
        for end in (completed(), failed()):
            with pytest.raises(TurnLost):
                await repository.finish(ref, end)
        with pytest.raises(TurnLost):
            await try_again(repository, ref)
        with pytest.raises(SessionNotFound):
            await repository.session(ref.owner_id, ref.session_id)

    async def test_erase_against_the_end_of_a_turn(self, repository: ChatRepository) -> None:
        """G12: erasing and ending at once leave nothing behind, whoever is first."""
        for _ in range(10):
            ref = ref_of(await repository.admit(new_turn(an_owner())))
            erased, _ended = await asyncio.gather(
                repository.erase(ref.owner_id, ref.session_id, now=NOW),
                repository.finish(ref, completed()),
                return_exceptions=True,
            )
            assert erased is None
            with pytest.raises(TurnNotFound):
                await repository.turn(ref.owner_id, ref.session_id, ref.turn_id)


async def _seven_messages(repository: ChatRepository) -> tuple[OwnerId, SessionId]:
    owner = an_owner()
    session_id = (await have_turn(repository, owner)).session_id
    for end in (completed(), failed(), completed()):
        await have_turn(repository, owner, session_id, end=end)
    return owner, session_id


async def _listed(repository: ChatRepository, owner: OwnerId) -> list[SessionId]:
    page = await repository.sessions(owner, limit=100, after=None)
    return [session.id for session in page.items]


async def _walk(repository: ChatRepository, owner: OwnerId, limit: int) -> list[SessionId]:
    walked: list[SessionId] = []
    cursor: SessionCursor | None = None
    while True:
        page = await repository.sessions(owner, limit=limit, after=cursor)
        assert len(page.items) <= limit
        walked += [session.id for session in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return walked


def _positions(page: MessagePage) -> list[int]:
    return [message.position for message in page.items]
