"""Beside the hexagon: what beginning a session promises, with a question and without one.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from chatcore import (
    Admission,
    ChatRepository,
    ChatSession,
    Metadata,
    NewTurn,
    OnBusy,
    OwnerId,
    SessionBusy,
    SessionId,
    SessionNotFound,
    TurnNotFound,
    TurnStatus,
)

from .builders import NOW, an_owner, completed, have_turn, new_turn, ref_of
from .contract import Contract
from .steps import start

LATER = NOW + timedelta(seconds=5)
KEY = "a key of some length"
NOTED: Metadata = (("", "odd"), ("place", "chapter 3"), ("Ünïcödé 🤖", "'\"\\\n\u2028"))


class SessionOpeningContract(Contract):
    """Cases of `SessionRepository.open` and `note`, and of `admit` with `opens_session`."""

    async def test_open(self, repository: ChatRepository) -> None:
        """An empty session is there at once: found, listed, with nothing said in it."""
        owner = an_owner()
        session = await _open(repository, owner, metadata=NOTED)
        assert session == ChatSession(
            id=session.id,
            owner_id=owner,
            title="",
            created_at=NOW,
            updated_at=NOW,
            metadata=tuple(sorted(NOTED)),
        )
        assert await repository.session(owner, session.id) == session
        listed = await repository.sessions(owner, limit=10, after=None)
        assert listed.items == (replace(session, metadata=()),)
        for before, after in ((None, None), (5, None), (None, 0)):
            page = await repository.messages(
                owner, session.id, limit=10, before=before, after=after
            )
            assert (page.items, page.has_older, page.has_newer) == ((), False, False)

    async def test_open_again(self, repository: ChatRepository) -> None:
        """A session that is there already is returned as it is, whatever is wanted now."""
        owner = an_owner()
        session = await _open(repository, owner, metadata=NOTED)
        again = await repository.open(
            owner, session.id, title="Another", metadata=(("place", "none"),), now=LATER
        )
        assert again == session
        turn = await have_turn(repository, owner)
        told = await repository.session(owner, turn.session_id)
        assert await _open(repository, owner, turn.session_id) == told
        assert len((await repository.messages(owner, turn.session_id, limit=10)).items) == 2

    async def test_open_many_times_at_once(self, repository: ChatRepository) -> None:
        """Whoever opens the same session at the same moment gets the same session."""
        owner, session_id = an_owner(), SessionId(uuid4())
        wanted = [(("by", str(number)),) for number in range(8)]
        opened = await asyncio.gather(
            *(_open(repository, owner, session_id, metadata=each) for each in wanted)
        )
        assert len(set(opened)) == 1
        assert await repository.session(owner, session_id) == opened[0]

    async def test_open_while_it_is_erased(self, repository: ChatRepository) -> None:
        """G12: opening and erasing at once: it is there or it is gone, and nobody fails."""
        owner = an_owner()
        for _ in range(20):
            session = await _open(repository, owner)
            again = [_open(repository, owner, session.id) for _ in range(6)]
            erasing = repository.erase(owner, session.id, now=NOW)
            *opened, _erased = await asyncio.gather(*again, erasing)
            assert set(opened) == {session}

    async def test_owners_may_have_the_same_id(self, repository: ChatRepository) -> None:
        """G11: somebody else's session of this id is neither found nor in the way."""
        theirs = await _open(repository, an_owner(), metadata=NOTED)
        mine = await _open(repository, an_owner(), theirs.id)
        assert mine.metadata == ()
        new = new_turn(an_owner(), theirs.id, may_open=True)
        assert (await repository.admit(new)).turn.number == 1
        assert await repository.session(theirs.owner_id, theirs.id) == theirs

    async def test_first_question_gives_the_title(self, repository: ChatRepository) -> None:
        """A session without a title takes that of its first question; one that has one keeps it."""
        owner = an_owner()
        session = await _open(repository, owner, metadata=NOTED)
        await have_turn(repository, owner, session.id)
        first = await repository.session(owner, session.id)
        assert (first.title, first.metadata) == ("A title", session.metadata)
        await repository.rename(owner, session.id, title="Servos", now=NOW)
        admission = await repository.admit(new_turn(owner, session.id, title="Another"))
        assert (await repository.session(owner, session.id)).title == "Servos"
        assert admission.turn.number == 2

    async def test_title_from_the_start(self, repository: ChatRepository) -> None:
        """A session opened with a title keeps it, with and without being asked."""
        owner = an_owner()
        session = await repository.open(
            owner, SessionId(uuid4()), title="Mine", metadata=(), now=NOW
        )
        await repository.admit(new_turn(owner, session.id, may_open=True))
        assert (await repository.session(owner, session.id)).title == "Mine"

    @pytest.mark.parametrize("may_open", [False, True])
    async def test_first_question_of_an_empty_session(
        self, repository: ChatRepository, may_open: bool
    ) -> None:
        """G4: the first question of an empty session has number and position 1, and no window."""
        owner = an_owner()
        session = await _open(repository, owner)
        new = new_turn(owner, session.id, may_open=may_open, now=LATER)
        admission = await repository.admit(new)
        assert (admission.turn.number, admission.window, admission.superseded) == (1, (), None)
        await repository.finish(ref_of(admission), completed())
        page = await repository.messages(owner, session.id, limit=10)
        assert [said.position for said in page.items] == [1, 2]
        told = await repository.session(owner, session.id)
        assert (told.created_at, told.updated_at) == (NOW, LATER)

    async def test_note(self, repository: ChatRepository) -> None:
        """What is noted replaces all that was noted, and is no activity."""
        owner = an_owner()
        turn = await have_turn(repository, owner)
        before = await repository.session(owner, turn.session_id)
        for metadata in (NOTED, (("only", "this"),), ()):
            noted = await repository.note(owner, turn.session_id, metadata=metadata)
            assert noted == replace(before, metadata=tuple(sorted(metadata)))
            assert await repository.session(owner, turn.session_id) == noted
        await repository.note(owner, turn.session_id, metadata=NOTED)
        renamed = await repository.rename(owner, turn.session_id, title="Servos", now=NOW)
        assert renamed.metadata == tuple(sorted(NOTED))

    async def test_note_in_an_unknown_session(self, repository: ChatRepository) -> None:
        """G11: unknown and foreign sessions are answered alike, and nothing is written."""
        session = await _open(repository, an_owner(), metadata=NOTED)
        for owner, session_id in (
            (an_owner(), session.id),
            (session.owner_id, SessionId(uuid4())),
        ):
            with pytest.raises(SessionNotFound):
                await repository.note(owner, session_id, metadata=())
        assert await repository.session(session.owner_id, session.id) == session

    async def test_opening_an_existing_session_goes_on(self, repository: ChatRepository) -> None:
        """A question that may open its session continues one that is there, window included."""
        owner = an_owner()
        turn = await have_turn(repository, owner, text="one")
        session_id = turn.session_id
        await repository.rename(owner, session_id, title="Servos", now=NOW)
        await repository.note(owner, session_id, metadata=NOTED)
        admission = await repository.admit(_opening(owner, session_id, text="two"))
        assert [said.content for said in admission.window] == ["one", "A motor with feedback."]
        assert (admission.turn.number, admission.repeated) == (2, False)
        told = await repository.session(owner, session_id)
        assert (told.title, told.metadata) == ("Servos", tuple(sorted(NOTED)))
        stored = await repository.turn(owner, session_id, admission.turn.id)
        assert stored.attempts[0].window == (1,)

    async def test_opening_a_busy_session_is_refused(self, repository: ChatRepository) -> None:
        """G3: while a turn runs, a question that may open its session is refused like any."""
        ref = await start(repository, an_owner())
        with pytest.raises(SessionBusy) as refused:
            await repository.admit(_opening(ref.owner_id, ref.session_id))
        assert (refused.value.turn_id, refused.value.is_abandoned) == (ref.turn_id, False)
        page = await repository.messages(ref.owner_id, ref.session_id, limit=10)
        assert len(page.items) == 1

    async def test_opening_a_busy_session_supersedes(self, repository: ChatRepository) -> None:
        """G3, G5: or it stops what runs, and has its part in the window."""
        ref = await start(repository, an_owner(), written="A mo")
        new = _opening(ref.owner_id, ref.session_id, on_busy=OnBusy.SUPERSEDE)
        admission = await repository.admit(new)
        assert (admission.superseded, admission.turn.number) == (ref.turn_id, 2)
        assert [said.content for said in admission.window][1:] == ["A mo"]
        stopped = await repository.turn(ref.owner_id, ref.session_id, ref.turn_id)
        assert stopped.status is TurnStatus.STOPPED
        again = await repository.admit(new)
        assert (again.turn.id, again.superseded) == (new.turn_id, ref.turn_id)

    @pytest.mark.parametrize("on_busy", OnBusy)
    async def test_opening_one_session_at_once(
        self, repository: ChatRepository, on_busy: OnBusy
    ) -> None:
        """G3, G4: questions for one unknown id at the same moment end in one session, in order."""
        for _ in range(5):
            owner, session_id = an_owner(), SessionId(uuid4())
            asked = [_opening(owner, session_id, on_busy=on_busy) for _ in range(4)]
            ended = await asyncio.gather(*map(repository.admit, asked), return_exceptions=True)
            admitted = [each.turn for each in ended if isinstance(each, Admission)]
            busy = [each for each in ended if isinstance(each, SessionBusy)]
            assert len(admitted) + len(busy) == 4
            assert len(admitted) == (1 if on_busy is OnBusy.REJECT else 4)
            assert sorted(turn.number for turn in admitted) == [*range(1, len(admitted) + 1)]
            listed = await repository.sessions(owner, limit=10, after=None)
            assert [session.id for session in listed.items] == [session_id]
            page = await repository.messages(owner, session_id, limit=10)
            assert [said.position for said in page.items] == [*range(1, len(admitted) + 1)]
            running = [each for each in page.items if each.turn_status is TurnStatus.RUNNING]
            assert len(running) == 1

    async def test_opening_with_one_key(self, repository: ChatRepository) -> None:
        """G2: a key's first admission is found again, also where the session had to be opened."""
        for _ in range(5):
            owner, session_id = an_owner(), SessionId(uuid4())
            asked = [_opening(owner, session_id, key=KEY) for _ in range(4)]
            admitted = await asyncio.gather(*map(repository.admit, asked))
            assert len({each.turn.id for each in admitted}) == 1
            assert [each.repeated for each in admitted].count(False) == 1
            again = await repository.admit(_opening(owner, session_id, key=KEY))
            assert (again.repeated, again.turn.id) == (True, admitted[0].turn.id)

    async def test_opening_again_what_was_lost(self, repository: ChatRepository) -> None:
        """G1: an admission that opened a session and whose answer got lost is repeated safely."""
        new = _opening(an_owner(), SessionId(uuid4()), metadata=NOTED)
        first = await repository.admit(new)
        again = await repository.admit(new)
        assert (again.turn, again.repeated) == (first.turn, False)

    async def test_erased_session_comes_back(self, repository: ChatRepository) -> None:
        """G12: a session of the same id is another one; it can be erased as well."""
        owner, session_id = an_owner(), SessionId(uuid4())
        for number in range(3):
            first = await repository.admit(_opening(owner, session_id, text=f"round {number}"))
            await repository.finish(ref_of(first), completed())
            assert (first.turn.number, first.window) == (1, ())
            await repository.erase(owner, session_id, now=NOW)
            with pytest.raises(TurnNotFound):
                await repository.turn(owner, session_id, first.turn.id)
        with pytest.raises(SessionNotFound):
            await repository.session(owner, session_id)

    async def test_opening_while_it_is_erased(self, repository: ChatRepository) -> None:
        """G12: it ends with a session that has one turn, or with none; nobody fails."""
        owner, session_id = an_owner(), SessionId(uuid4())
        for _ in range(10):
            await have_turn(repository, owner, (await _open(repository, owner, session_id)).id)
            admission, _erased = await asyncio.gather(
                repository.admit(_opening(owner, session_id)),
                repository.erase(owner, session_id, now=NOW),
            )
            assert admission.turn.number in {1, 2}
            listed = await repository.sessions(owner, limit=10, after=None)
            assert len(listed.items) == (admission.turn.number == 1)
            for session in listed.items:
                await repository.erase(owner, session.id, now=NOW)


async def _open(
    repository: ChatRepository,
    owner: OwnerId,
    session_id: SessionId | None = None,
    *,
    metadata: Metadata = (),
) -> ChatSession:
    session_id = session_id or SessionId(uuid4())
    return await repository.open(owner, session_id, title="", metadata=metadata, now=NOW)


def _opening(
    owner: OwnerId,
    session_id: SessionId,
    *,
    text: str = "What is a servo?",
    key: str | None = None,
    on_busy: OnBusy = OnBusy.REJECT,
    metadata: Metadata = (),
) -> NewTurn:
    return new_turn(
        owner,
        session_id,
        text=text,
        key=key,
        on_busy=on_busy,
        metadata=metadata,
        may_open=True,
    )
