"""Beside the hexagon: what callers' names of questions, and notes with turns, promise.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from chatcore import (
    ChatRepository,
    MessageNotFound,
    Metadata,
    Quote,
    SessionId,
)

from .builders import EXPIRED, NOW, an_owner, completed, have_turn, new_turn, ref_of
from .contract import Contract
from .steps import LATER, take_over

LONGEST = "".join(chr(0x1F300 + number) for number in range(255))
NAMES = ("msg-1", "x", LONGEST, "'; DROP -- $1 %s", "Ünï 🤖 \u2028 \x01")


class NamingContract(Contract):
    """Cases of `client_id` and `metadata` of turns, and of `TurnRepository.question_named`."""

    @pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
    async def test_question_named(self, repository: ChatRepository, name: str) -> None:
        """A question is found by the name its caller gave it, and pages show the name."""
        owner, quote = an_owner(), Quote(text="a passage", anchor="s")
        session_id = (await have_turn(repository, owner, text="one")).session_id
        new = new_turn(owner, session_id, text="two", quote=quote, client_id=name)
        admission = await repository.admit(new)
        found = await repository.question_named(owner, session_id, name)
        assert found == await repository.question(owner, session_id, new.question_id)
        assert (found.turn_id, found.turn_number) == (admission.turn.id, 2)
        assert (found.message_id, found.text, found.quote) == (new.question_id, "two", quote)
        assert (found.client_id, found.superseded_by) == (name, None)
        end = completed()
        await repository.finish(ref_of(admission), end)
        by_reply = await repository.question(owner, session_id, end.reply_id)
        assert by_reply == found
        page = await repository.messages(owner, session_id, limit=10)
        assert [said.client_id for said in page.items] == [None, None, name, None]

    async def test_latest_of_several(self, repository: ChatRepository) -> None:
        """Of several questions of one name the latest is found, be they superseded or not."""
        owner = an_owner()
        first = await repository.admit(new_turn(owner, text="one", client_id="m"))
        session_id = first.turn.session_id
        await repository.finish(ref_of(first), completed())
        other = await repository.admit(new_turn(owner, session_id, client_id="other"))
        await repository.finish(ref_of(other), completed())
        edited = new_turn(owner, session_id, text="two", client_id="m", replaces=1)
        await repository.finish(ref_of(await repository.admit(edited)), completed())
        found = await repository.question_named(owner, session_id, "m")
        assert (found.turn_number, found.text, found.superseded_by) == (3, "two", None)
        gone = await repository.question_named(owner, session_id, "other")
        assert (gone.turn_id, gone.superseded_by) == (other.turn.id, edited.turn_id)

    async def test_unknown_names(self, repository: ChatRepository) -> None:
        """G11: names count within one session of one owner, to the letter."""
        owner = an_owner()
        admission = await repository.admit(new_turn(owner, client_id="msg-1"))
        session_id = admission.turn.session_id
        elsewhere = await have_turn(repository, owner)
        for who, where, name in (
            (an_owner(), session_id, "msg-1"),
            (owner, SessionId(uuid4()), "msg-1"),
            (owner, elsewhere.session_id, "msg-1"),
            (owner, session_id, "msg-2"),
            (owner, session_id, "MSG-1"),
            (owner, session_id, "msg-1 "),
            (owner, session_id, ""),
        ):
            with pytest.raises(MessageNotFound):
                await repository.question_named(who, where, name)

    async def test_same_name_in_two_sessions(self, repository: ChatRepository) -> None:
        """G11: the same name elsewhere, or of somebody else, is another question's."""
        for owner in (an_owner(), an_owner()):
            for _ in range(2):
                new = new_turn(owner, client_id="msg-1")
                await repository.admit(new)
                found = await repository.question_named(owner, new.session_id, "msg-1")
                assert found.turn_id == new.turn_id

    async def test_names_are_erased(self, repository: ChatRepository) -> None:
        """G12: an erased session's names find nothing, also when its id comes back."""
        new = new_turn(an_owner(), client_id="msg-1")
        await repository.admit(new)
        await repository.erase(new.owner_id, new.session_id, now=NOW)
        with pytest.raises(MessageNotFound):
            await repository.question_named(new.owner_id, new.session_id, "msg-1")
        again = new_turn(new.owner_id, new.session_id, may_open=True)
        await repository.admit(again)
        with pytest.raises(MessageNotFound):
            await repository.question_named(new.owner_id, new.session_id, "msg-1")

    async def test_metadata_of_a_turn(self, repository: ChatRepository) -> None:
        """What was noted with a turn comes back with it, all its life long, and nowhere else."""
        noted: Metadata = (("a", ""), ("b", "'\"\\\n 🤖 \u2028"), ("c" * 64, "d" * 512))
        owner = an_owner()
        new = new_turn(owner, metadata=noted, lease_seconds=EXPIRED, key="a key")
        admission = await repository.admit(new)
        assert admission.turn.metadata == ()
        repeated = await repository.admit(
            replace(
                new_turn(owner, key="a key"),
                session_id=SessionId(uuid4()),
                fingerprint=new.fingerprint,
            )
        )
        assert (repeated.repeated, repeated.turn.metadata) == (True, ())

        async def kept() -> Metadata:
            turn = await repository.turn(owner, new.session_id, new.turn_id)
            return turn.metadata

        assert await kept() == noted
        taken = await take_over(repository, ref_of(admission))
        assert await kept() == noted
        end = completed(now=LATER)
        ended = await repository.finish(taken.ref, end)
        assert await kept() == noted
        assert ended.metadata == (await repository.finish(taken.ref, end)).metadata == ()
        stopped = await repository.stop(
            owner, new.session_id, new.turn_id, reply_id=end.reply_id, now=LATER
        )
        assert stopped.metadata == ()
        other = await have_turn(repository, owner, new.session_id)
        told = await repository.turn(owner, new.session_id, other.id)
        assert told.metadata == ()
