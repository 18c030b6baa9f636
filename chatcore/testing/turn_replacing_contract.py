"""Beside the hexagon: what editing a question, and asking it again, promise.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from chatcore import (
    Admission,
    ChatRepository,
    Message,
    MessageId,
    MessageNotFound,
    MessagePage,
    MessageSuperseded,
    NewTurn,
    OnBusy,
    OwnerId,
    Question,
    Quote,
    SessionBusy,
    SessionId,
    SessionNotFound,
    TurnId,
    TurnStatus,
)

from .builders import NOW, an_owner, completed, failed, have_turn, new_turn, ref_of, stopped
from .contract import Contract
from .steps import LATER, start, state_of, stored, write

KEY = "a key of some length"


class TurnReplacingContract(Contract):
    """Cases of `admit` with `replaces`, of `question` and `question_after`, of what counts."""

    async def test_replaced_turn_leaves_the_window(self, repository: ChatRepository) -> None:
        """G8: a replaced turn stays as it was, names what took its place, and is sent no more."""
        owner, session_id = await _conversation(repository, "one", "two")
        before = await repository.messages(owner, session_id, limit=10)
        admission = await repository.admit(_replacing(owner, session_id, 2, text="two, please"))
        assert _said(admission) == ["one", "reply to one"]
        assert (admission.turn.number, admission.turn.superseded_by) == (3, None)
        assert (admission.superseded, admission.repeated) == (None, False)
        after = await repository.messages(owner, session_id, limit=10)
        by = admission.turn.id
        assert after.items[:2] == before.items[:2]
        assert after.items[2:4] == tuple(
            replace(message, superseded_by=by) for message in before.items[2:]
        )
        assert (after.items[4].id, after.items[4].position) == (admission.turn.question_id, 5)
        assert after.items[4].superseded_by is None
        turn = await repository.turn(owner, session_id, before.items[2].turn_id)
        assert (turn.status, turn.superseded_by) == (TurnStatus.COMPLETED, by)
        assert turn.reply == after.items[3]
        [attempt] = (await stored(repository, ref_of(admission))).attempts
        assert attempt.window == (1,)

    async def test_pages_of_what_counts(self, repository: ChatRepository) -> None:
        """What was replaced is passed over, page by page both ways, as if it had never been."""
        owner, session_id = await _conversation(repository, "one", "two", "three", "four")
        await _replace(repository, owner, session_id, 2, text="two, please")
        await _replace(repository, owner, session_id, 5, text="two, now", end=failed())
        await _replace(repository, owner, session_id, 6, text="two, at last")
        whole = (await repository.messages(owner, session_id, limit=100)).items
        counting = [message for message in whole if message.superseded_by is None]
        assert [message.position for message in counting] == [1, 2, 12, 13]
        for limit in range(1, 6):
            for place in range(15):
                page = await repository.messages(
                    owner, session_id, limit=limit, before=place, counting=True
                )
                assert page == _cut(counting, [m for m in counting if m.position < place][-limit:])
                page = await repository.messages(
                    owner, session_id, limit=limit, after=place, counting=True
                )
                assert page == _cut(counting, [m for m in counting if m.position > place][:limit])
            page = await repository.messages(owner, session_id, limit=limit, counting=True)
            assert page == _cut(counting, counting[-limit:])

    async def test_pages_when_all_before_was_replaced(self, repository: ChatRepository) -> None:
        """A conversation that began anew has nothing older, whatever is stored there."""
        owner, session_id = await _conversation(repository, "one", "two")
        admission = await repository.admit(_replacing(owner, session_id, 1))
        page = await repository.messages(owner, session_id, limit=10, counting=True)
        assert [message.id for message in page.items] == [admission.turn.question_id]
        assert (page.has_older, page.has_newer) == (False, False)
        page = await repository.messages(owner, session_id, limit=10, before=5, counting=True)
        assert (page.items, page.has_older, page.has_newer) == ((), False, False)
        with pytest.raises(SessionNotFound):
            await repository.messages(an_owner(), session_id, limit=10, counting=True)

    async def test_all_after_it_are_replaced_as_well(self, repository: ChatRepository) -> None:
        """G8: editing a question cuts off all that followed it, and nothing before."""
        owner, session_id = await _conversation(repository, "one", "two", "three", "four")
        admission = await repository.admit(_replacing(owner, session_id, 2))
        by = admission.turn.id
        assert await _superseders(repository, owner, session_id) == [None, by, by, by, None]
        assert _said(admission) == ["one", "reply to one"]

    async def test_the_first_can_be_replaced(self, repository: ChatRepository) -> None:
        """G8: with the first question replaced, the conversation begins anew in its session."""
        owner, session_id = await _conversation(repository, "one", "two")
        admission = await repository.admit(_replacing(owner, session_id, 1))
        assert (admission.window, admission.turn.number) == ((), 3)
        await repository.finish(ref_of(admission), completed("again"))
        following = await repository.admit(new_turn(owner, session_id))
        assert _said(following) == ["What is a servo?", "again"]
        assert [message.turn_number for message in following.window] == [3, 3]

    async def test_who_took_the_place_first_is_kept(self, repository: ChatRepository) -> None:
        """G8: only turns that still count are replaced; the others keep the name they have."""
        owner, session_id = await _conversation(repository, "one", "two", "three")
        first = await _replace(repository, owner, session_id, 3)
        second = await _replace(repository, owner, session_id, 2)
        assert await _superseders(repository, owner, session_id) == [
            None,
            second,
            first,
            second,
            None,
        ]
        third = await _replace(repository, owner, session_id, 5)
        assert (await _superseders(repository, owner, session_id))[3:] == [second, third, None]

    @pytest.mark.parametrize("turns", [0, 1, 2, 5])
    async def test_window_skips_what_was_replaced(
        self, repository: ChatRepository, turns: int
    ) -> None:
        """G8: the window is filled up with earlier turns that count, over those that do not."""
        owner, session_id = await _conversation(repository, "one", "two", "three", "four", "five")
        await _replace(repository, owner, session_id, 3, text="other three")
        await have_turn(repository, owner, session_id, text="last")
        admission = await repository.admit(new_turn(owner, session_id, window_turns=turns))
        asked = [message.content for message in admission.window if message.from_user]
        assert asked == ["one", "two", "other three", "last"][max(0, 4 - turns) :]

    async def test_positions_stay_dense(self, repository: ChatRepository) -> None:
        """G4: what is replaced keeps its positions; what takes its place comes last."""
        owner, session_id = await _conversation(repository, "one", "two")
        for number, end in enumerate((stopped(""), failed("part"), completed()), start=2):
            await _replace(repository, owner, session_id, number, end=end)
        page = await repository.messages(owner, session_id, limit=100)
        assert [message.position for message in page.items] == list(range(1, 10))

    @pytest.mark.parametrize(
        "end",
        [failed(), failed("part"), stopped(""), stopped("p")],
        ids=["failed", "failed with a part", "stopped", "stopped with a part"],
    )
    async def test_any_ended_turn_can_be_replaced(
        self, repository: ChatRepository, end: object
    ) -> None:
        """G8: also what failed or was stopped can be asked again, with or without a reply."""
        owner, session_id = await _conversation(repository, "one")
        await have_turn(repository, owner, session_id, text="two", end=end)  # type: ignore[arg-type]
        admission = await repository.admit(_replacing(owner, session_id, 2))
        assert _said(admission) == ["one", "reply to one"]
        assert (await _superseders(repository, owner, session_id))[1] == admission.turn.id

    async def test_replaced_twice_is_refused(self, repository: ChatRepository) -> None:
        """G8: a place is taken once: who comes second is told so, and nothing is written."""
        owner, session_id = await _conversation(repository, "one", "two")
        ref = ref_of(await repository.admit(_replacing(owner, session_id, 2)))
        await repository.finish(ref, completed())
        before = await state_of(repository, ref)
        session = await repository.session(owner, session_id)
        for on_busy in OnBusy:
            with pytest.raises(MessageSuperseded):
                await repository.admit(_replacing(owner, session_id, 2, on_busy=on_busy))
        assert await state_of(repository, ref) == before
        assert await repository.session(owner, session_id) == session

    @pytest.mark.parametrize("number", [0, 3, 99, -1])
    async def test_unknown_turn_is_refused(self, repository: ChatRepository, number: int) -> None:
        """G8: where there is no such turn, nothing is replaced, and nothing is written."""
        owner, session_id = await _conversation(repository, "one", "two")
        key = f"{KEY} {number}"
        with pytest.raises(MessageSuperseded):
            await repository.admit(_replacing(owner, session_id, number, key=key))
        assert await _superseders(repository, owner, session_id) == [None, None]
        assert not (await repository.admit(new_turn(owner, session_id, key=key))).repeated

    async def test_busy_session_is_left_alone(self, repository: ChatRepository) -> None:
        """G3: while a turn runs nothing is replaced, unless the caller wants it stopped."""
        owner, session_id = await _conversation(repository, "one", "two")
        ref = await start(repository, owner, session_id, written="part")
        before = await state_of(repository, ref)
        for number in (1, 3):
            with pytest.raises(SessionBusy) as refused:
                await repository.admit(_replacing(owner, session_id, number))
            assert refused.value.turn_id == ref.turn_id
        assert await state_of(repository, ref) == before

    async def test_running_turn_is_stopped_and_replaced(self, repository: ChatRepository) -> None:
        """G3, G8: the question being answered can be edited: its part is kept, and not sent."""
        owner, session_id = await _conversation(repository, "one")
        ref = await start(repository, owner, session_id, written="part")
        new = _replacing(owner, session_id, 2, on_busy=OnBusy.SUPERSEDE)
        admission = await repository.admit(new)
        assert (admission.superseded, _said(admission)) == (ref.turn_id, ["one", "reply to one"])
        turn = await stored(repository, ref)
        assert (turn.status, turn.superseded_by) == (TurnStatus.STOPPED, new.turn_id)
        assert turn.reply is not None
        assert (turn.reply.id, turn.reply.content) == (new.part_id, "part")
        assert (turn.reply.superseded_by, turn.reply.position) == (new.turn_id, 4)
        page = await repository.messages(owner, session_id, limit=10)
        assert [message.position for message in page.items] == [1, 2, 3, 4, 5]
        assert page.items[3] == turn.reply

    async def test_earlier_turn_is_replaced_while_one_runs(
        self, repository: ChatRepository
    ) -> None:
        """G3, G8: with an earlier question edited, what runs is stopped and cut off too."""
        owner, session_id = await _conversation(repository, "one", "two")
        ref = await start(repository, owner, session_id)
        new = _replacing(owner, session_id, 1, on_busy=OnBusy.SUPERSEDE)
        admission = await repository.admit(new)
        assert (admission.superseded, admission.window) == (ref.turn_id, ())
        by = new.turn_id
        assert await _superseders(repository, owner, session_id) == [by, by, by, None]

    async def test_refused_replacement_stops_nothing(self, repository: ChatRepository) -> None:
        """G3, G8: a replacement that comes too late does not stop the turn that runs."""
        owner, session_id = await _conversation(repository, "one", "two")
        await _replace(repository, owner, session_id, 2)
        ref = await start(repository, owner, session_id, written="part")
        before = await state_of(repository, ref)
        for number in (2, 99):
            new = _replacing(owner, session_id, number, on_busy=OnBusy.SUPERSEDE)
            with pytest.raises(MessageSuperseded):
                await repository.admit(new)
        assert await state_of(repository, ref) == before
        assert await write(repository, ref, " and more", at=4)

    async def test_strangers_replace_nothing(self, repository: ChatRepository) -> None:
        """G11: a replacement in somebody else's session, or an unknown one, is refused."""
        owner, session_id = await _conversation(repository, "one")
        stranger, theirs = await _conversation(repository, "theirs")
        for wrong in (session_id, SessionId(uuid4())):
            with pytest.raises(SessionNotFound):
                await repository.admit(_replacing(stranger, wrong, 1))
        await repository.admit(_replacing(stranger, theirs, 1))
        assert await _superseders(repository, owner, session_id) == [None]

    async def test_other_sessions_are_left_alone(self, repository: ChatRepository) -> None:
        """G8: only turns of the same session are replaced, though others have the same numbers."""
        owner, session_id = await _conversation(repository, "one", "two")
        _, other = await _conversation(repository, "one", "two", owner=owner)
        await _replace(repository, owner, session_id, 1)
        assert await _superseders(repository, owner, other) == [None, None]

    async def test_repeat_of_a_replacement(self, repository: ChatRepository) -> None:
        """G2: a repeated key gets its own turn, though the place it took is taken by then."""
        owner, session_id = await _conversation(repository, "one")
        first = await repository.admit(_replacing(owner, session_id, 1, key=KEY))
        again = await repository.admit(_replacing(owner, session_id, 1, key=KEY))
        assert (again.repeated, again.turn) == (True, first.turn)
        ended = await repository.finish(ref_of(first), completed())
        again = await repository.admit(_replacing(owner, session_id, 1, key=KEY))
        assert (again.repeated, again.turn) == (True, ended)
        by = await _replace(repository, owner, session_id, 2)
        again = await repository.admit(_replacing(owner, session_id, 1, key=KEY))
        assert (again.repeated, again.turn.id) == (True, first.turn.id)
        assert again.turn.superseded_by == by
        assert again.turn.reply is not None
        assert again.turn.reply.superseded_by == by
        first_of_all = (await _superseders(repository, owner, session_id))[0]
        assert first_of_all == first.turn.id

    async def test_same_replacement_twice_is_one(self, repository: ChatRepository) -> None:
        """G1: one repeated because its answer was lost finds itself, window and all."""
        owner, session_id = await _conversation(repository, "one", "two")
        new = _replacing(owner, session_id, 2)
        first = await repository.admit(new)
        assert await repository.admit(new) == first
        assert _said(first) == ["one", "reply to one"]
        assert len((await repository.messages(owner, session_id, limit=10)).items) == 5

    @pytest.mark.parametrize("on_busy", list(OnBusy))
    async def test_one_of_many_at_once_takes_the_place(
        self, repository: ChatRepository, on_busy: OnBusy
    ) -> None:
        """G3, G8: of many replacements at once one is admitted, and the others leave nothing."""
        owner, session_id = await _conversation(repository, "one", "two")
        tries = [
            repository.admit(_replacing(owner, session_id, 2, on_busy=on_busy)) for _ in range(12)
        ]
        results = await asyncio.gather(*tries, return_exceptions=True)
        [admitted] = [result for result in results if isinstance(result, Admission)]
        refusals = {type(result) for result in results} - {Admission}
        assert refusals <= {MessageSuperseded, SessionBusy}
        if on_busy is OnBusy.SUPERSEDE:
            assert refusals == {MessageSuperseded}
        by = admitted.turn.id
        assert await _superseders(repository, owner, session_id) == [None, by, None]
        assert (await stored(repository, ref_of(admitted))).status is TurnStatus.RUNNING

    async def test_replay_finds_what_was_replaced(self, repository: ChatRepository) -> None:
        """G9: asked for by number, the messages of any turn are found, also of a running one."""
        owner, session_id = await _conversation(repository, "one", "two")
        await _replace(repository, owner, session_id, 2, text="three")
        await start(repository, owner, session_id)
        said = await repository.window(owner, session_id, (2, 3, 4, 99))
        assert [(message.turn_number, message.content) for message in said] == [
            (2, "two"),
            (2, "reply to two"),
            (3, "three"),
            (3, "reply to three"),
            (4, "What is a servo?"),
        ]
        assert await repository.window(an_owner(), session_id, (2, 3, 4)) == ()

    async def test_question_after(self, repository: ChatRepository) -> None:
        """The next turn that counts is found, past those that do not; after the latest, none."""
        owner, session_id = await _conversation(repository, "one", "two", "three")
        page = await repository.messages(owner, session_id, limit=10)
        one, two, three = (page.items[place].turn_id for place in (0, 2, 4))

        async def after(turn_id: TurnId) -> tuple[int, str] | None:
            found = await repository.question_after(owner, session_id, turn_id)
            return None if found is None else (found.turn_number, found.text)

        assert [await after(turn) for turn in (one, two, three)] == [(2, "two"), (3, "three"), None]
        edited = new_turn(owner, session_id, text="two again", replaces=2)
        await repository.finish(ref_of(await repository.admit(edited)), completed())
        found = [await after(turn) for turn in (one, two, three, edited.turn_id)]
        assert found == [(4, "two again")] * 3 + [None]
        running = new_turn(owner, session_id, text="running", quote=Quote(text="a passage"))
        await repository.admit(running)
        question = await repository.question(owner, session_id, running.question_id)
        later = await repository.question_after(owner, session_id, edited.turn_id)
        assert later == question

    async def test_question_after_of_strangers(self, repository: ChatRepository) -> None:
        """G11: after a turn of another owner or session, or of nobody, there is nothing."""
        owner, session_id = await _conversation(repository, "one", "two")
        first = (await repository.messages(owner, session_id, limit=10)).items[0].turn_id
        other, elsewhere = await _conversation(repository, "one", "two")
        for who, where, turn_id in (
            (other, session_id, first),
            (owner, elsewhere, first),
            (other, elsewhere, first),
            (owner, session_id, TurnId(uuid4())),
        ):
            assert await repository.question_after(who, where, turn_id) is None

    async def test_question_of_either_message(self, repository: ChatRepository) -> None:
        """A question is found by its own message and by its reply's, passage and all."""
        owner, session_id = await _conversation(repository, "one")
        quote = Quote(text="a passage", title="Chapter 3", url="https://example.org/3", anchor="s")
        new = new_turn(owner, session_id, text="two", quote=quote)
        admission = await repository.admit(new)
        expected = Question(
            turn_id=new.turn_id,
            turn_number=2,
            message_id=new.question_id,
            position=3,
            text="two",
            quote=quote,
        )
        assert await repository.question(owner, session_id, new.question_id) == expected
        end = completed()
        await repository.finish(ref_of(admission), end)
        for message_id in (new.question_id, end.reply_id):
            assert await repository.question(owner, session_id, message_id) == expected
        plain = (await repository.messages(owner, session_id, limit=10)).items[0]
        question = await repository.question(owner, session_id, plain.id)
        assert (question.text, question.quote, question.turn_number) == ("one", None, 1)

    async def test_question_of_a_replaced_turn(self, repository: ChatRepository) -> None:
        """A question is found also when another took its place: that is found out later."""
        owner, session_id = await _conversation(repository, "one")
        await _replace(repository, owner, session_id, 1, text="other one")
        page = await repository.messages(owner, session_id, limit=10)
        found = [await repository.question(owner, session_id, each.id) for each in page.items]
        assert [question.text for question in found] == ["one"] * 2 + ["other one"] * 2
        assert [question.turn_number for question in found] == [1, 1, 2, 2]
        assert [question.position for question in found] == [1, 1, 3, 3]

    async def test_question_of_others_is_not_found(self, repository: ChatRepository) -> None:
        """G11: a message is found by its owner, in its session, and nowhere else."""
        owner, session_id = await _conversation(repository, "one")
        _, other = await _conversation(repository, "one", owner=owner)
        for message in (await repository.messages(owner, session_id, limit=10)).items:
            for wrong in (
                (an_owner(), session_id, message.id),
                (owner, other, message.id),
                (owner, SessionId(uuid4()), message.id),
                (owner, session_id, MessageId(uuid4())),
                (owner, session_id, MessageId(message.turn_id)),
            ):
                with pytest.raises(MessageNotFound):
                    await repository.question(*wrong)

    async def test_question_of_an_erased_session(self, repository: ChatRepository) -> None:
        """G12: no question of an erased session is found."""
        owner, session_id = await _conversation(repository, "one")
        page = await repository.messages(owner, session_id, limit=10)
        await repository.erase(owner, session_id, now=NOW)
        with pytest.raises(MessageNotFound):
            await repository.question(owner, session_id, page.items[0].id)


def _replacing(
    owner: OwnerId,
    session_id: SessionId,
    number: int,
    *,
    text: str = "What is a servo?",
    key: str | None = None,
    on_busy: OnBusy = OnBusy.REJECT,
) -> NewTurn:
    return new_turn(
        owner, session_id, text=text, key=key, on_busy=on_busy, replaces=number, now=LATER
    )


async def _conversation(
    repository: ChatRepository, *texts: str, owner: OwnerId | None = None
) -> tuple[OwnerId, SessionId]:
    """Have one completed turn for each text, in a session of its own."""
    owner = owner or an_owner()
    session_id: SessionId | None = None
    for text in texts:
        end = completed(f"reply to {text}")
        session_id = (await have_turn(repository, owner, session_id, text=text, end=end)).session_id
    assert session_id is not None
    return owner, session_id


async def _replace(
    repository: ChatRepository,
    owner: OwnerId,
    session_id: SessionId,
    number: int,
    *,
    text: str = "What is a servo?",
    end: object = None,
) -> TurnId:
    """Put another turn in the place of this one, and end it."""
    admission = await repository.admit(_replacing(owner, session_id, number, text=text))
    await repository.finish(ref_of(admission), end or completed(f"reply to {text}"))  # type: ignore[arg-type]
    return admission.turn.id


async def _superseders(
    repository: ChatRepository, owner: OwnerId, session_id: SessionId
) -> list[TurnId | None]:
    """Return who took the place of each turn, as its messages and the turn itself tell."""
    page = await repository.messages(owner, session_id, limit=100)
    told: dict[TurnId, TurnId | None] = {}
    for message in page.items:
        assert told.setdefault(message.turn_id, message.superseded_by) == message.superseded_by
    for turn_id, by in told.items():
        assert (await repository.turn(owner, session_id, turn_id)).superseded_by == by
    return list(told.values())


def _cut(whole: list[Message], items: list[Message]) -> MessagePage:
    """Return these of all messages as a page."""
    return MessagePage(
        items=tuple(items),
        has_older=bool(items) and items[0] != whole[0],
        has_newer=bool(items) and items[-1] != whole[-1],
    )


def _said(admission: Admission) -> list[str]:
    return [message.content for message in admission.window]
