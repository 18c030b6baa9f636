"""What is kept without asking the model: names, notes, feedback, and what was answered elsewhere.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import uuid4

import pytest

from adapters.memory import InMemoryChatRepository, ScriptedLLM
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    Answer,
    ChatPolicy,
    ChatService,
    Feedback,
    InvalidInput,
    MessageId,
    MessageNotFound,
    OnBusy,
    Rating,
    SessionBusy,
    SessionId,
    SessionNotFound,
    StorageUnavailable,
    Turn,
    TurnEnd,
    TurnRef,
    TurnStatus,
    make_metadata,
)
from tests.builders import ANNA, BEN, bench, until_running

UNSTORABLE = ("\x00", "a\x00b", "\ud800", "a\udfffb")
QUICK = ChatPolicy(pulse_seconds=0.02, sweep_seconds=0.02, idle_sweep_seconds=0.02)


def test_metadata_is_in_order() -> None:
    """Names and values come back by name, as they are, up to the bounds."""
    assert make_metadata({}) == ()
    assert make_metadata({"b": " 2\n", "a": ""}) == (("a", ""), ("b", " 2\n"))
    longest = {f"{number:064}": "v" * 512 for number in range(24)}
    assert dict(make_metadata(longest)) == longest


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ({str(number): "" for number in range(25)}, "has more than 24 entries"),
        ({"": "x"}, "has a name that is not 1 to 64 characters long"),
        ({"n" * 65: "x"}, "has a name that is not 1 to 64 characters long"),
        ({"n": "v" * 513}, "has a value of more than 512 characters"),
        *(({"n": each}, "has characters that cannot be stored") for each in UNSTORABLE),
        *(({each: "v"}, "has characters that cannot be stored") for each in UNSTORABLE),
    ],
)
def test_metadata_that_is_refused(pairs: Mapping[str, str], reason: str) -> None:
    """G14: too many, too long, without a name, or not to be stored: the reason says which."""
    with pytest.raises(InvalidInput) as refused:
        make_metadata(pairs)
    assert (refused.value.field, refused.value.reason) == ("metadata", reason)


@pytest.mark.parametrize("text", UNSTORABLE)
async def test_what_no_store_can_keep_is_bad_input(text: str) -> None:
    """G14: nothing that cannot be stored gets as far as the store, by no way in."""
    made = bench()
    service = made.service
    turn = (await service.send(ANNA, "hello")).turn
    session_id, message_id = turn.session_id, turn.question_id
    bad = ((text, "value"),)
    for call in (
        service.send(ANNA, "hello", client_id=text),
        service.send(ANNA, "hello", metadata=bad),
        service.stream(ANNA, "hello", metadata=(("name", text),)),
        service.regenerate(ANNA, session_id, message_id, metadata=bad),
        service.edit(ANNA, session_id, message_id, "hi", metadata=bad),
        service.open_session(ANNA, metadata=bad),
        service.note(ANNA, session_id, bad),
        service.question_named(ANNA, session_id, text),
        service.rate(ANNA, session_id, message_id, Feedback(rating=Rating.UP, comment=text)),
        service.record(ANNA, session_id, text, "fine"),
        service.record(ANNA, session_id, "fine", text),
    ):
        with pytest.raises(InvalidInput):
            await call
    assert await _said(service, session_id) == ["hello", "You asked: hello"]
    assert len((await service.sessions(ANNA)).items) == 1


@pytest.mark.parametrize("name", ["", " ", "n" * 256])
async def test_names_that_are_refused(name: str) -> None:
    """G14: a question's name says something in at most 255 characters."""
    made = bench()
    with pytest.raises(InvalidInput) as refused:
        await made.service.send(ANNA, "hello", client_id=name)
    assert refused.value.field == "client_id"
    with pytest.raises(InvalidInput):
        await made.service.question_named(ANNA, SessionId(uuid4()), name)
    assert (await made.service.sessions(ANNA)).items == ()


async def test_question_keeps_its_name() -> None:
    """Asked again or edited, a question is still called what its caller called it."""
    service = bench().service
    first = (await service.send(ANNA, "one", client_id="msg-1")).turn
    again = await service.regenerate(ANNA, first.session_id, first.question_id)
    second = (await again.answer()).turn
    edited = await service.edit(ANNA, first.session_id, second.question_id, "two")
    third = (await edited.answer()).turn
    found = await service.question_named(ANNA, first.session_id, "msg-1")
    assert (found.turn_id, found.text, found.superseded_by) == (third.id, "two", None)
    page = await service.messages(ANNA, first.session_id)
    assert [said.client_id for said in page.items] == ["msg-1", None] * 3
    assert [said.superseded_by for said in page.items[::2]] == [second.id, third.id, None]


async def test_question_gets_another_name() -> None:
    """Who asks again or edits may call the question otherwise from then on."""
    service = bench().service
    first = (await service.send(ANNA, "one", client_id="msg-1")).turn
    again = await service.regenerate(ANNA, first.session_id, first.question_id, client_id="msg-2")
    second = (await again.answer()).turn
    edited = await service.edit(
        ANNA, first.session_id, second.question_id, "two", client_id="msg-3"
    )
    third = (await edited.answer()).turn
    for name, turn in (("msg-1", first), ("msg-2", second), ("msg-3", third)):
        found = await service.question_named(ANNA, first.session_id, name)
        assert found.turn_id == turn.id
    for bad in ("", "a\x00b"):
        with pytest.raises(InvalidInput):
            await service.regenerate(ANNA, first.session_id, third.question_id, client_id=bad)


async def test_metadata_of_a_turn() -> None:
    """What is noted with a question is found with its turn; an edit notes its own."""
    service = bench().service
    noted = make_metadata({"place": "chapter 3"})
    first = (await service.send(ANNA, "one", metadata=noted)).turn
    again = await service.regenerate(
        ANNA, first.session_id, first.question_id, metadata=make_metadata({"how": "again"})
    )
    second = (await again.answer()).turn
    edited = await service.edit(ANNA, first.session_id, second.question_id, "two")
    third = (await edited.answer()).turn
    kept = [
        (await service.turn(ANNA, first.session_id, turn.id)).metadata
        for turn in (first, second, third)
    ]
    assert kept == [noted, (("how", "again"),), ()]


async def test_session_that_may_be_opened() -> None:
    """With leave to open it, a question begins the session it names, and goes on there later."""
    llm = ScriptedLLM()
    service = bench(llm).service
    session_id = SessionId(uuid4())
    with pytest.raises(SessionNotFound):
        await service.send(ANNA, "one", session_id=session_id)
    for text in ("one", "two"):
        answer = await service.send(ANNA, text, session_id=session_id, may_open=True)
        assert answer.turn.session_id == session_id
    assert (await service.session(ANNA, session_id)).title == "one"
    assert [said.content for said in llm.requests[-1].prompt.messages][-3:-1] == [
        "one",
        "You asked: one",
    ]
    other = await service.send(BEN, "mine", session_id=session_id, may_open=True)
    assert (other.turn.number, other.turn.owner_id) == (1, BEN)


async def test_session_opened_twice_at_once() -> None:
    """G3: of two first questions for one unknown session at once, one is told it is busy."""
    llm = ScriptedLLM([ScriptedAnswer((0.05, "done")), ScriptedAnswer(("too many",))])
    made = bench(llm)
    session_id = SessionId(uuid4())
    asked = [
        made.service.send(ANNA, text, session_id=session_id, may_open=True) for text in ("a", "b")
    ]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["Answer", "SessionBusy"]
    assert len(await _said(made.service, session_id)) == 2
    assert made.service._runner.turns.places.is_any_free


async def test_session_opened_twice_with_one_key() -> None:
    """G2: of two with one key both get the one answer."""
    made = bench()
    session_id = SessionId(uuid4())
    asked = [
        made.service.send(ANNA, "a", session_id=session_id, may_open=True, idempotency_key="k" * 16)
        for _ in range(3)
    ]
    answers: list[Answer] = await asyncio.gather(*asked)
    assert len({answer.turn.id for answer in answers}) == 1


async def test_empty_session() -> None:
    """A session can be opened before anything is said; its first question gives the title."""
    service = bench().service
    noted = make_metadata({"topic": "servos"})
    session = await service.open_session(ANNA, metadata=noted)
    assert (session.title, session.metadata) == ("", noted)
    with pytest.raises(SessionNotFound):
        await service.note(BEN, session.id, ())
    changed = await service.note(ANNA, session.id, make_metadata({"topic": "motors"}))
    assert changed.metadata == (("topic", "motors"),)
    await service.send(ANNA, "What is a servo?", session_id=session.id)
    told = await service.session(ANNA, session.id)
    assert (told.title, told.metadata) == ("What is a servo?", changed.metadata)


async def test_feedback() -> None:
    """A verdict is shown with the message until there is another, or none."""
    service = bench().service
    turn = (await service.send(ANNA, "hello")).turn
    assert turn.reply is not None
    for verdict in (Feedback(rating=Rating.UP), None, Feedback(rating=Rating.DOWN, comment="x")):
        await service.rate(ANNA, turn.session_id, turn.reply.id, verdict)
        page = await service.messages(ANNA, turn.session_id)
        assert [said.feedback for said in page.items] == [None, verdict]
    with pytest.raises(MessageNotFound):
        await service.rate(BEN, turn.session_id, turn.reply.id, None)


@pytest.mark.parametrize("comment", ["", " \n", "x" * 2001])
async def test_comments_that_are_refused(comment: str) -> None:
    """G14: a comment says something in at most 2,000 characters, or there is none."""
    service = bench().service
    turn = (await service.send(ANNA, "hello")).turn
    longest = Feedback(rating=Rating.UP, comment="x" * 2000)
    await service.rate(ANNA, turn.session_id, turn.question_id, longest)
    verdict = Feedback(rating=Rating.UP, comment=comment)
    with pytest.raises(InvalidInput) as refused:
        await service.rate(ANNA, turn.session_id, turn.question_id, verdict)
    assert refused.value.field == "comment"
    page = await service.messages(ANNA, turn.session_id)
    assert page.items[0].feedback == longest


async def test_record() -> None:
    """What was answered elsewhere goes to the model with the next question, and was never asked."""
    llm = ScriptedLLM()
    service = bench(llm).service
    session = await service.open_session(ANNA)
    turn = await service.record(ANNA, session.id, "What is a servo?", "A motor.")
    assert (turn.status, turn.number, turn.model) == (TurnStatus.COMPLETED, 1, None)
    assert turn.reply is not None
    assert turn.reply.content == "A motor."
    assert llm.requests == []
    await service.send(ANNA, "And a stepper?", session_id=session.id)
    asked = [said.content for said in llm.requests[0].prompt.messages]
    assert asked[-3:] == ["What is a servo?", "A motor.", "And a stepper?"]
    stored = await service.turn(ANNA, session.id, turn.id)
    assert [(each.outcome.value, each.model) for each in stored.attempts] == [("completed", None)]
    [replayed] = await service.replay(ANNA, session.id, turn.id)
    assert replayed.matches is None
    assert (await service.session(ANNA, session.id)).title == "What is a servo?"


async def test_record_that_is_refused() -> None:
    """G3, G11, G14: in a busy or a foreign session, or with a text too long: nothing is stored."""
    llm = ScriptedLLM([ScriptedAnswer(("half", HANG))])
    service = bench(llm, policy=ChatPolicy(message_max_chars=10, reply_max_chars=20)).service
    reader = await service.stream(ANNA, "hello")
    await until_running(llm)
    where = reader.session_id
    with pytest.raises(SessionBusy) as busy:
        await service.record(ANNA, where, "one", "two")
    assert busy.value.turn_id == reader.turn_id
    for owner, session_id in ((BEN, where), (ANNA, SessionId(uuid4()))):
        with pytest.raises(SessionNotFound):
            await service.record(owner, session_id, "one", "two")
    for text, reply in (("x" * 11, "two"), ("one", "x" * 21), ("", "two"), ("one", " ")):
        with pytest.raises(InvalidInput):
            await service.record(ANNA, where, text, reply)
    assert await _said(service, where) == ["hello"]
    turn = await service.record(ANNA, where, "one", "two", on_busy=OnBusy.SUPERSEDE)
    assert turn.number == 2
    assert await _said(service, where) == ["hello", "half", "one", "two"]
    assert (await reader.answer()).turn.status is TurnStatus.STOPPED
    await service.close(timeout_seconds=0)


class _Dying(InMemoryChatRepository):
    """Is never told how a turn ends, as when the process dies before."""

    is_dead = False

    async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
        if self.is_dead:
            raise StorageUnavailable
        return await super().finish(ref, end)


@pytest.mark.parametrize(
    ("text", "reply", "field"),
    [
        (" ", "two", "message"),
        ("one", "", "reply"),
        ("x" * 6, None, "message"),
        ("\0", None, "message"),
    ],
)
async def test_what_could_not_be_recorded(text: str, reply: str | None, field: str) -> None:
    """It can be found out before anything is kept, by the rules of keeping it."""
    service = bench(policy=ChatPolicy(message_max_chars=5, reply_max_chars=5)).service
    service.require_recordable("one", "two")
    service.require_recordable("one")
    with pytest.raises(InvalidInput) as refused:
        service.require_recordable(text, reply)
    assert refused.value.field == field


async def test_record_that_is_cut_in_the_middle() -> None:
    """G7: a question whose answer did not get in ends as failed; the model is not asked for one."""
    now = 0.0
    repository = _Dying(monotonic=lambda: now)
    llm = ScriptedLLM()
    made = bench(llm, repository=repository, policy=QUICK)
    heir = bench(llm, repository=repository, policy=QUICK, first_id=1000)
    session = await made.service.open_session(ANNA)
    repository.is_dead = True
    with pytest.raises(StorageUnavailable):
        await made.service.record(ANNA, session.id, "one", "two")
    repository.is_dead = False
    now = QUICK.lease_seconds + 1
    await heir.service.start()
    page = await heir.service.messages(ANNA, session.id)
    assert [(said.content, said.turn_status) for said in page.items] == [("one", TurnStatus.FAILED)]
    assert llm.requests == []
    assert (await heir.service.record(ANNA, session.id, "three", "four")).number == 2
    await heir.service.close(timeout_seconds=0)


async def test_record_after_a_dead_turn() -> None:
    """G3, G7: a turn that nobody runs any more is out of the way, or taken over, as for `send`."""
    now = 0.0
    repository = InMemoryChatRepository(monotonic=lambda: now)
    once = ChatPolicy(max_attempts=1, pulse_seconds=0.02, idle_sweep_seconds=None)
    llm = ScriptedLLM([ScriptedAnswer((HANG,))])
    dead = bench(llm, repository=repository, policy=once)
    heir = bench(repository=repository, policy=once, first_id=1000)
    reader = await dead.service.stream(ANNA, "hello")
    await until_running(llm)
    dead.service._runner._pulse._turns.clear()
    now = once.lease_seconds + 1
    turn = await heir.service.record(ANNA, reader.session_id, "one", "two")
    assert (turn.number, turn.status) == (2, TurnStatus.COMPLETED)
    for made in (dead, heir):
        await made.service.close(timeout_seconds=0)


async def test_leaving_does_not_cut_a_record_in_two() -> None:
    """G5: whoever stops waiting for it leaves both messages behind, not one."""

    class Slow(InMemoryChatRepository):
        async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
            await asyncio.sleep(0.02)
            return await super().finish(ref, end)

    service = bench(repository=Slow()).service
    session = await service.open_session(ANNA)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await service.record(ANNA, session.id, "one", "two")
    await asyncio.sleep(0.05)
    assert await _said(service, session.id) == ["one", "two"]


async def test_question_of_a_message() -> None:
    """Both messages of a turn lead to its question; a foreign one is not found."""
    service = bench().service
    turn = (await service.send(ANNA, "hello", client_id="m")).turn
    assert turn.reply is not None
    for message_id in (turn.question_id, turn.reply.id):
        question = await service.question(ANNA, turn.session_id, message_id)
        assert (question.text, question.message_id) == ("hello", turn.question_id)
    for owner, message_id in ((BEN, turn.question_id), (ANNA, MessageId(uuid4()))):
        with pytest.raises(MessageNotFound):
            await service.question(owner, turn.session_id, message_id)
    with pytest.raises(MessageNotFound):
        await service.question_named(BEN, turn.session_id, "m")


async def _said(service: ChatService, session_id: SessionId) -> list[str]:
    page = await service.messages(ANNA, session_id)
    return [said.content for said in page.items]
