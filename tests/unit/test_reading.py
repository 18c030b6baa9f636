"""Readers of replies: what they get to see, from where, and how it ends.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio

import pytest

from adapters.memory import InMemoryChatRepository, ScriptedLLM
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    ChatPolicy,
    InvalidInput,
    LLMUnavailable,
    OwnerId,
    ReplyDelta,
    ReplyPosition,
    ReplyRestarted,
    SessionId,
    Turn,
    TurnEnded,
    TurnEvent,
    TurnId,
    TurnNotFound,
    TurnOpened,
    TurnReader,
    TurnStatus,
)
from chatcore.turns.live_reply import LiveReply
from chatcore.turns.reader import PIECE_MAX_CHARS
from tests.builders import ANNA, BEN, Bench, bench, until_running

TEXT = "Servo 🤖 motors, e\u0301, 👩‍🔬 and more."
QUICK = ChatPolicy(pulse_seconds=0.02)


async def read(reader: TurnReader) -> list[TurnEvent]:
    """Read to the end."""
    with reader:
        return [event async for event in reader]


def said(events: list[TurnEvent]) -> str:
    """Return what the reader has by now: everything since the last restart."""
    text = ""
    for event in events:
        if isinstance(event, ReplyRestarted):
            text = ""
        elif isinstance(event, ReplyDelta):
            text += event.text
            assert event.position.offset == len(text)
    return text


async def test_reply_is_read_while_it_is_written() -> None:
    """G1, G6: first the ids, then the text piece by piece, last the end, which is stored."""
    llm = ScriptedLLM([ScriptedAnswer(("one ", 0.01, "two ", 0.01, "three"))])
    made = bench(llm)
    events = await read(await made.service.stream(ANNA, "count"))
    opened, *deltas, ended = events
    assert isinstance(opened, TurnOpened)
    assert [event.text for event in deltas if isinstance(event, ReplyDelta)] == [
        "one ",
        "two ",
        "three",
    ]
    assert isinstance(ended, TurnEnded)
    assert str(ended.position) == "1.13.end"
    stored = await made.service.turn(ANNA, opened.session_id, opened.turn_id)
    assert stored.reply is not None
    assert (stored.status, stored.reply.content) == (TurnStatus.COMPLETED, "one two three")
    assert ended.turn.reply == stored.reply
    assert llm.requests[0].stream is True


async def test_ids_come_before_the_model_says_anything() -> None:
    """The first event is there at once; silence is told from the end."""
    made = bench(ScriptedLLM([ScriptedAnswer((HANG,))]))
    reader = await made.service.stream(ANNA, "hello")
    assert isinstance(await reader.next_event(within_seconds=0), TurnOpened)
    assert await reader.next_event(within_seconds=0.01) is None
    await made.service.close(timeout_seconds=0)


async def test_who_waited_in_vain_leaves_nothing_behind() -> None:
    """However often a reader looks at a silent reply, or leaves it, nothing piles up."""
    live = LiveReply()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await live.changed(within_seconds=0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await live.changed()
    assert live._waiting == []
    waiting = [asyncio.create_task(live.changed(within_seconds=5)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    live.append("text")
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in done] == [type(None), asyncio.CancelledError, type(None)]


@pytest.mark.parametrize("offset", range(len(TEXT) + 1))
async def test_ended_reply_is_read_from_any_place(offset: int) -> None:
    """G6: a reply that ended long ago is its own log: the rest comes, and always the end."""
    made = bench(ScriptedLLM([TEXT]))
    turn = (await made.service.send(ANNA, "hello")).turn
    place = ReplyPosition(1, offset)
    reader = await made.service.follow(ANNA, turn.session_id, turn.id, after=place)
    assert not reader.is_over
    _, *deltas, ended = await read(reader)
    assert "".join(event.text for event in deltas if isinstance(event, ReplyDelta)) == TEXT[offset:]
    assert isinstance(ended, TurnEnded)
    over = await made.service.follow(ANNA, turn.session_id, turn.id, after=ended.position)
    assert over.is_over


@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_late_reader_gets_pieces_of_bounded_size(is_stored: bool) -> None:
    """Whoever is far behind holds one piece, not the reply; together they are all of it."""
    text = "Servo 🤖 " * 10_000
    made = bench(
        ScriptedLLM([text if is_stored else ScriptedAnswer((text[:50_000], text[50_000:], HANG))])
    )
    if is_stored:
        turn = (await made.service.send(ANNA, "hello")).turn
        reader = await made.service.follow(ANNA, turn.session_id, turn.id)
    else:
        reader = await made.service.stream(ANNA, "hello")
    deltas: list[ReplyDelta] = []
    while sum(len(delta.text) for delta in deltas) < len(text):
        event = await reader.next_event(within_seconds=5)
        deltas += [event] if isinstance(event, ReplyDelta) else []
    assert "".join(delta.text for delta in deltas) == text
    assert max(len(delta.text) for delta in deltas) <= PIECE_MAX_CHARS
    assert deltas[-1].position == ReplyPosition(1, len(text))
    await made.service.close(timeout_seconds=0)


async def test_readers_of_a_stored_reply_share_it() -> None:
    """Hundreds who come back to one long reply hold it once; a turn that changed is another."""
    made = bench(ScriptedLLM(["one", "two"]))
    turn = (await made.service.send(ANNA, "hello")).turn
    first, second = [await made.service.follow(ANNA, turn.session_id, turn.id) for _ in range(2)]
    assert first._live is second._live
    assert turn.reply is not None
    with await made.service.regenerate(ANNA, turn.session_id, turn.reply.id) as again:
        await again.answer()
    third = await made.service.follow(ANNA, turn.session_id, turn.id)
    assert third._live is not first._live
    *_, ended = await read(third)
    assert isinstance(ended, TurnEnded)
    assert ended.turn.superseded_by == again.turn_id


@pytest.mark.parametrize("place", ["1.999", "2.0", "2.5.end"])
async def test_places_that_never_were_are_refused(place: str) -> None:
    """A place the reply never had is refused, with the field's name."""
    made = bench(ScriptedLLM([TEXT]))
    turn = (await made.service.send(ANNA, "hello")).turn
    with pytest.raises(InvalidInput) as refused:
        await made.service.follow(ANNA, turn.session_id, turn.id, after=ReplyPosition.parse(place))
    assert refused.value.field == "after"


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "0.1", "1.-1", "01.1", "1.01", "1.1.END"])
def test_positions_have_one_form(text: str) -> None:
    """What is no position is refused."""
    with pytest.raises(ValueError, match="not a position"):
        ReplyPosition.parse(text)


async def test_many_readers_of_one_turn() -> None:
    """G6: readers that come at any time all get the same; one that never reads holds nobody up."""
    llm = ScriptedLLM([ScriptedAnswer(tuple("abcdefghij"))])
    made = bench(llm)
    reader = await made.service.stream(ANNA, "hello")
    idle = await made.service.follow(ANNA, reader.session_id, reader.turn_id)
    late = [
        await made.service.follow(
            ANNA, reader.session_id, reader.turn_id, after=ReplyPosition(1, offset)
        )
        for offset in range(5)
    ]
    read_all = await asyncio.gather(*[read(each) for each in (reader, *late)])
    assert said(read_all[0]) == "abcdefghij"
    for offset, events in enumerate(read_all[1:]):
        got = "".join(event.text for event in events if isinstance(event, ReplyDelta))
        assert got == "abcdefghij"[offset:]
    [_, everything, _] = await read(idle)
    assert isinstance(everything, ReplyDelta)
    assert everything.text == "abcdefghij"


async def test_new_attempt_restarts_readers() -> None:
    """G6, G7: after some text a new attempt begins anew; readers are told; one is stored."""
    llm = ScriptedLLM([ScriptedAnswer(("wrong ", 0.01, LLMUnavailable("cut"))), "right"])
    made = bench(llm, policy=ChatPolicy(whole_answers=False))
    events = await read(await made.service.stream(ANNA, "hello"))
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["TurnOpened", "ReplyDelta", "ReplyRestarted", "ReplyDelta", "TurnEnded"]
    assert said(events) == "right"
    ended = events[-1]
    assert isinstance(ended, TurnEnded)
    assert ended.turn.reply is not None
    assert ended.turn.reply.content == "right"
    old = await made.service.follow(
        ANNA, ended.turn.session_id, ended.turn.id, after=ReplyPosition(1, 3)
    )
    assert [type(event).__name__ for event in await read(old)][1] == "ReplyRestarted"


async def test_failure_after_some_text_keeps_the_part() -> None:
    """G7: the last attempt's part is kept and shown, and does not go to the model again."""
    llm = ScriptedLLM([ScriptedAnswer(("a part", 0.01, LLMUnavailable("cut"))), "next"])
    made = bench(llm, policy=ChatPolicy(max_attempts=1))
    events = await read(await made.service.stream(ANNA, "hello"))
    ended = events[-1]
    assert isinstance(ended, TurnEnded)
    assert (ended.turn.status, ended.turn.error_code) == (TurnStatus.FAILED, "llm_unavailable")
    assert said(events) == "a part"
    page = await made.service.messages(ANNA, ended.turn.session_id)
    assert [message.content for message in page.items] == ["hello", "a part"]
    await made.service.send(ANNA, "and now?", session_id=ended.turn.session_id)
    assert [message.content for message in llm.requests[-1].prompt.messages] == ["and now?"]


async def test_followers_in_another_process() -> None:
    """G6: a reader in another process gets all text and the end through the store alone."""
    steps: list[str | float] = []
    for letter in "abcdefghij":
        steps += [letter, 0.01]
    there = bench(ScriptedLLM([ScriptedAnswer(tuple(steps))]), policy=QUICK)
    here = bench(ScriptedLLM([]), repository=there.repository, policy=QUICK, first_id=1000)
    reader = await there.service.stream(ANNA, "hello")
    places = [None, ReplyPosition(1, 0), ReplyPosition(1, 3)]
    followers = [
        await here.service.follow(ANNA, reader.session_id, reader.turn_id, after=place)
        for place in places
    ]
    own, *others = await asyncio.gather(*[read(each) for each in (reader, *followers)])
    assert said(own) == "abcdefghij"
    for start, events in zip((0, 0, 3), others, strict=True):
        deltas = [event.text for event in events if isinstance(event, ReplyDelta)]
        assert "".join(deltas) == "abcdefghij"[start:]
        assert len(deltas) > 1, "it came in one piece: nothing was followed"
        assert isinstance(events[-1], TurnEnded)


class CountingRepository(InMemoryChatRepository):
    """Counts how often the journal is read."""

    reads = 0

    async def read(self, places):  # type: ignore[no-untyped-def]  # passed through
        self.reads += 1
        return await super().read(places)


class AskedRepository(InMemoryChatRepository):
    """Counts how often a turn is looked up."""

    lookups = 0

    async def turn(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> Turn:
        self.lookups += 1
        return await super().turn(owner_id, session_id, turn_id)


async def test_a_crowd_of_followers_asks_the_store_once() -> None:
    """G6: who follows a turn that somebody here follows already costs the store nothing more."""
    repository = AskedRepository()
    there = bench(ScriptedLLM([ScriptedAnswer(("a", HANG))]), repository=repository, policy=QUICK)
    here = bench(ScriptedLLM([]), repository=repository, policy=QUICK, first_id=1000)
    reader = await there.service.stream(ANNA, "hello")
    place = (reader.session_id, reader.turn_id)
    followers = [await here.service.follow(ANNA, *place) for _ in range(100)]
    assert repository.lookups == 1
    for owner, session_id in ((BEN, place[0]), (ANNA, SessionId(place[1]))):
        with pytest.raises(TurnNotFound):
            await here.service.follow(owner, session_id, place[1])
    for follower in followers:
        follower.close()
    await there.service.close(timeout_seconds=0)


async def test_nobody_watches_what_nobody_reads() -> None:
    """The store is asked about foreign turns only while somebody reads them, once for all."""
    repository = CountingRepository()
    there = bench(ScriptedLLM([ScriptedAnswer(("a", HANG))]), repository=repository, policy=QUICK)
    here = bench(ScriptedLLM([]), repository=repository, policy=QUICK, first_id=1000)
    reader = await there.service.stream(ANNA, "hello")
    followers = [
        await here.service.follow(ANNA, reader.session_id, reader.turn_id) for _ in range(20)
    ]
    await asyncio.sleep(0.1)
    during = repository.reads
    assert 2 <= during <= 8
    for follower in followers:
        follower.close()
        follower.close()
    await asyncio.sleep(0.05)
    settled = repository.reads
    await asyncio.sleep(0.1)
    assert repository.reads == settled
    await there.service.close(timeout_seconds=0)


async def test_strangers_follow_nothing() -> None:
    """G11: somebody else's running turn is not found, nor is one under another session."""
    made = bench(ScriptedLLM([ScriptedAnswer((HANG,))]))
    reader = await made.service.stream(ANNA, "hello")
    other = await _other_session(made)
    for owner, session_id in ((BEN, reader.session_id), (ANNA, other)):
        with pytest.raises(TurnNotFound):
            await made.service.follow(owner, session_id, reader.turn_id)
        with pytest.raises(TurnNotFound):
            await made.service.stop(owner, session_id, reader.turn_id)
    await made.service.close(timeout_seconds=0)


async def _other_session(made: Bench):  # type: ignore[no-untyped-def]  # an id
    assert isinstance(made.llm, ScriptedLLM)
    await until_running(made.llm)
    made.llm.script("elsewhere")
    return (await made.service.send(ANNA, "elsewhere")).turn.session_id


async def test_followers_elsewhere_see_the_restart() -> None:
    """G6: a reader in another process is told of a new attempt, and gets all of it."""
    first = ScriptedAnswer(("a longer text that is wrong", 0.1, LLMUnavailable("cut")))
    second = ScriptedAnswer(("right", 0.1, " at last", 0.1))
    there = bench(ScriptedLLM([first, second]), policy=QUICK)
    here = bench(ScriptedLLM([]), repository=there.repository, policy=QUICK, first_id=1000)
    reader = await there.service.stream(ANNA, "hello")
    events = await read(await here.service.follow(ANNA, reader.session_id, reader.turn_id))
    kinds = [type(event).__name__ for event in events]
    assert kinds == [
        "TurnOpened",
        "ReplyDelta",
        "ReplyRestarted",
        "ReplyDelta",
        "ReplyDelta",
        "TurnEnded",
    ]
    assert said(events) == "right at last"


async def test_oversized_stream_is_cut_off() -> None:
    """G14: a stream beyond the limit is cut there, its call is closed; the part is the reply."""
    llm = ScriptedLLM([ScriptedAnswer(("x" * 8, "y" * 8, HANG))])
    made = bench(llm, policy=ChatPolicy(reply_max_chars=10))
    answer = await (await made.service.stream(ANNA, "hello")).answer()
    assert (answer.text, answer.turn.finish_reason) == ("xxxxxxxxyy", "length")
    assert (answer.turn.model, llm.running) == ("scripted", 0)
