"""Beside the hexagon: what keeping feedback promises.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from chatcore import (
    ChatRepository,
    Feedback,
    MessageId,
    MessageNotFound,
    Rating,
    SessionId,
    Turn,
)

from .builders import NOW, an_owner, completed, have_turn, new_turn, ref_of
from .contract import Contract
from .steps import start, stored

UP, DOWN = Feedback(rating=Rating.UP), Feedback(rating=Rating.DOWN)
SAID = Feedback(rating=Rating.DOWN, comment="Too long 🤖, '\"\\ \u2028 $1 %s")


class FeedbackContract(Contract):
    """Cases of `FeedbackRepository.rate`, and of what pages show."""

    @pytest.mark.parametrize("feedback", [UP, DOWN, SAID])
    async def test_rate(self, repository: ChatRepository, feedback: Feedback) -> None:
        """Feedback on a reply is shown with it in every kind of page, and nowhere else."""
        turn = await have_turn(repository, an_owner())
        await have_turn(repository, turn.owner_id, turn.session_id)
        await _rate(repository, turn, feedback)
        for before, after in ((None, None), (5, None), (None, 0)):
            page = await repository.messages(
                turn.owner_id, turn.session_id, limit=10, before=before, after=after
            )
            assert [said.feedback for said in page.items] == [None, feedback, None, None]
        again = await repository.turn(turn.owner_id, turn.session_id, turn.id)
        assert again.reply == turn.reply

    async def test_the_latest_counts(self, repository: ChatRepository) -> None:
        """Feedback takes the place of what was there; a repeat changes nothing; none removes it."""
        turn = await have_turn(repository, an_owner())
        for feedback in (UP, UP, SAID, DOWN, None, None, UP, None):
            await _rate(repository, turn, feedback)
            assert await _shown(repository, turn) == [None, feedback]

    async def test_question_and_reply_apart(self, repository: ChatRepository) -> None:
        """A question can be rated, too, also while its turn runs; each message has its own."""
        ref = await start(repository, an_owner())
        turn = await stored(repository, ref)
        await repository.rate(
            ref.owner_id, ref.session_id, turn.question_id, feedback=DOWN, now=NOW
        )
        turn = await repository.finish(ref, completed())
        await _rate(repository, turn, UP)
        assert await _shown(repository, turn) == [DOWN, UP]

    async def test_superseded_messages_keep_theirs(self, repository: ChatRepository) -> None:
        """What was thought of a reply that was asked for again stays with it."""
        turn = await have_turn(repository, an_owner())
        await _rate(repository, turn, SAID)
        again = new_turn(turn.owner_id, turn.session_id, replaces=1)
        await repository.finish(ref_of(await repository.admit(again)), completed())
        assert await _shown(repository, turn) == [None, SAID, None, None]
        await _rate(repository, turn, UP)
        assert await _shown(repository, turn) == [None, UP, None, None]

    async def test_unknown_messages(self, repository: ChatRepository) -> None:
        """G11: unknown, foreign and other sessions' messages are answered alike."""
        turn = await have_turn(repository, an_owner())
        assert turn.reply is not None
        mine = await have_turn(repository, an_owner())
        other = await have_turn(repository, turn.owner_id)
        for owner, session_id, message_id in (
            (mine.owner_id, turn.session_id, turn.reply.id),
            (mine.owner_id, mine.session_id, turn.reply.id),
            (turn.owner_id, other.session_id, turn.reply.id),
            (turn.owner_id, SessionId(uuid4()), turn.reply.id),
            (turn.owner_id, turn.session_id, MessageId(uuid4())),
            (turn.owner_id, turn.session_id, MessageId(turn.id)),
        ):
            for feedback in (UP, None):
                with pytest.raises(MessageNotFound):
                    await repository.rate(owner, session_id, message_id, feedback=feedback, now=NOW)
        for each in (turn, mine, other):
            assert await _shown(repository, each) == [None, None]

    async def test_foreign_removal_removes_nothing(self, repository: ChatRepository) -> None:
        """G11: nobody takes somebody else's feedback away."""
        turn = await have_turn(repository, an_owner())
        await _rate(repository, turn, SAID)
        mine = await have_turn(repository, an_owner())
        assert turn.reply is not None
        for session_id in (turn.session_id, mine.session_id):
            with pytest.raises(MessageNotFound):
                await repository.rate(
                    mine.owner_id, session_id, turn.reply.id, feedback=None, now=NOW
                )
        assert await _shown(repository, turn) == [None, SAID]

    async def test_feedback_is_erased(self, repository: ChatRepository) -> None:
        """G12: it goes with its session, and does not come back with a session of that id."""
        turn = await have_turn(repository, an_owner())
        await _rate(repository, turn, SAID)
        await repository.erase(turn.owner_id, turn.session_id, now=NOW)
        with pytest.raises(MessageNotFound):
            await _rate(repository, turn, UP)
        new = new_turn(turn.owner_id, turn.session_id, may_open=True)
        await repository.finish(ref_of(await repository.admit(new)), completed())
        assert await _shown(repository, turn) == [None, None]

    async def test_rating_at_once(self, repository: ChatRepository) -> None:
        """Ratings at the same moment leave one of them; nobody fails."""
        turn = await have_turn(repository, an_owner())
        given = [Feedback(rating=Rating.UP, comment=str(number)) for number in range(8)]
        await asyncio.gather(*(_rate(repository, turn, each) for each in given))
        assert (await _shown(repository, turn))[1] in given

    async def test_rating_while_it_is_erased(self, repository: ChatRepository) -> None:
        """G12: rating and erasing at once leave nothing behind, whoever is first."""
        for _ in range(10):
            turn = await have_turn(repository, an_owner())
            rated, erased = await asyncio.gather(
                _rate(repository, turn, SAID),
                repository.erase(turn.owner_id, turn.session_id, now=NOW),
                return_exceptions=True,
            )
            assert erased is None
            assert rated is None or isinstance(rated, MessageNotFound)


async def _rate(repository: ChatRepository, turn: Turn, feedback: Feedback | None) -> None:
    assert turn.reply is not None
    await repository.rate(turn.owner_id, turn.session_id, turn.reply.id, feedback=feedback, now=NOW)


async def _shown(repository: ChatRepository, turn: Turn) -> list[Feedback | None]:
    page = await repository.messages(turn.owner_id, turn.session_id, limit=10)
    return [said.feedback for said in page.items]
