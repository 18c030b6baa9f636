"""Asking: what the service keeps, what the model gets, and what becomes of failures.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from adapters.memory import ScriptedLLM
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    ChatPolicy,
    IdempotencyKeyReused,
    InvalidInput,
    LLMError,
    LLMEvent,
    LLMIncomplete,
    LLMRateLimited,
    LLMRejected,
    LLMTimeout,
    LLMUnavailable,
    PreparedRequest,
    Quote,
    SessionBusy,
    Turn,
    TurnFailed,
    TurnStatus,
)
from tests.builders import ANNA, BEN, Bench, bench, until_running

KEY = "0123456789abcdef"


async def test_first_question_opens_a_session() -> None:
    """A question without a session opens one, and its answer is what was stored."""
    made = bench(ScriptedLLM(["Forty-two."]))
    answer = await made.service.send(ANNA, "What is the answer?")
    assert (answer.text, answer.repeated) == ("Forty-two.", False)
    page = await made.service.messages(ANNA, answer.turn.session_id)
    assert [said.content for said in page.items] == ["What is the answer?", "Forty-two."]
    assert page.items[1] == answer.reply
    assert made.notices == ["admitted", "completed"]


async def test_window_goes_to_the_model() -> None:
    """G8: the model gets system prompt, the last ten messages as whole turns, and the question."""
    llm = ScriptedLLM(lambda prompt: f"answer to {prompt.messages[-1].content}")
    made = bench(llm, policy=ChatPolicy(system_prompt="Be kind.", history_messages=5))
    session_id = (await made.service.send(ANNA, "q1")).turn.session_id
    for question in ("q2", "q3", "q4"):
        await made.service.send(ANNA, question, session_id=session_id)
    prompt = llm.requests[-1].prompt
    assert prompt.system == "Be kind."
    said = [(message.role.value, message.content) for message in prompt.messages]
    assert said == [
        ("user", "q2"),
        ("assistant", "answer to q2"),
        ("user", "q3"),
        ("assistant", "answer to q3"),
        ("user", "q4"),
    ]


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (LLMUnavailable("x"), True),
        (LLMRateLimited("x", retry_after_seconds=0.01), True),
        (LLMTimeout("x"), True),
        (LLMIncomplete("x"), True),
        (LLMRejected("x"), False),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
async def test_failure_keeps_the_question(error: LLMError, retryable: bool) -> None:
    """A failing model ends the turn with its code; the question stays, the next prompt is clean."""
    llm = ScriptedLLM([error, "good again"])
    made = bench(llm, policy=ChatPolicy(max_attempts=1))
    with pytest.raises(TurnFailed) as failure:
        await made.service.send(ANNA, "lost question")
    failed = failure.value
    assert (failed.code, failed.retryable) == (error.code, retryable)
    turn = await made.service.turn(ANNA, failed.session_id, failed.turn_id)  # type: ignore[arg-type]
    assert (turn.status, turn.error_code) == (TurnStatus.FAILED, error.code)
    page = await made.service.messages(ANNA, turn.session_id)
    assert [said.content for said in page.items] == ["lost question"]
    answer = await made.service.send(ANNA, "next", session_id=turn.session_id)
    assert answer.text == "good again"
    assert [message.content for message in llm.requests[-1].prompt.messages] == ["next"]
    assert made.notices == ["admitted", "gave up", "failed", "admitted", "completed"]


async def test_second_attempt_answers() -> None:
    """G7: a passing failure is followed by one more attempt, on record, and streamed."""
    llm = ScriptedLLM([LLMUnavailable("down"), "up again"])
    made = bench(llm)
    answer = await made.service.send(ANNA, "hello")
    turn = await made.service.turn(ANNA, answer.turn.session_id, answer.turn.id)
    assert [attempt.outcome.value for attempt in turn.attempts] == ["failed", "completed"]
    assert [attempt.error_code for attempt in turn.attempts] == ["llm_unavailable", None]
    assert [request.stream for request in llm.requests] == [False, True]
    assert made.notices == ["admitted", "retrying", "completed"]


async def test_streams_can_be_asked_for_at_once() -> None:
    """Where the policy says so, the first attempt already asks for a stream."""
    llm = ScriptedLLM(["in parts"])
    made = bench(llm, policy=ChatPolicy(whole_answers=False))
    assert (await made.service.send(ANNA, "hello")).text == "in parts"
    assert [request.stream for request in llm.requests] == [True]


async def test_attempts_are_bounded() -> None:
    """G7: the model is asked at most max_attempts times, and never again after a refusal."""
    llm = ScriptedLLM([LLMUnavailable("1"), LLMUnavailable("2"), "never asked"])
    with pytest.raises(TurnFailed):
        await bench(llm).service.send(ANNA, "hello")
    assert len(llm.requests) == 2
    refusing = ScriptedLLM([LLMRejected("no"), "never asked"])
    with pytest.raises(TurnFailed):
        await bench(refusing).service.send(ANNA, "hello")
    assert len(refusing.requests) == 1


async def test_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    """A wish to wait longer than the turn may last ends the turn at once."""
    llm = ScriptedLLM([LLMRateLimited("slow down", retry_after_seconds=120), "never asked"])
    made = bench(llm, policy=ChatPolicy(deadline_seconds=60))
    with pytest.raises(TurnFailed) as failure:
        await made.service.send(ANNA, "hello")
    assert failure.value.code == "llm_rate_limited"


async def test_deadline_ends_a_silent_turn() -> None:
    """A turn past its deadline is ended as llm_timeout, and the call of the model is closed."""
    llm = ScriptedLLM([ScriptedAnswer((HANG,))])
    made = bench(llm, policy=ChatPolicy(deadline_seconds=0.05))
    with pytest.raises(TurnFailed) as failure:
        await made.service.send(ANNA, "hello")
    assert (failure.value.code, llm.running) == ("llm_timeout", 0)


async def test_leaving_is_not_stopping() -> None:
    """G5: cancelling the wait changes nothing; the reply is stored."""
    llm = ScriptedLLM([ScriptedAnswer((0.02, "still here"))])
    made = bench(llm)
    waiting = asyncio.create_task(made.service.send(ANNA, "hello"))
    await until_running(llm)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await made.service.close(timeout_seconds=5)
    [session] = (await made.service.sessions(ANNA)).items
    page = await made.service.messages(ANNA, session.id)
    assert page.items[1].content == "still here"


async def test_busy_session() -> None:
    """G3: a second question is refused while the first is being answered; another session goes."""
    llm = ScriptedLLM([ScriptedAnswer((0.02, "one")), "two", "three"])
    made = bench(llm)
    session_id = (await bench_session(made)).session_id
    first = asyncio.create_task(made.service.send(ANNA, "a", session_id=session_id))
    await until_running(llm)
    with pytest.raises(SessionBusy):
        await made.service.send(ANNA, "b", session_id=session_id)
    assert (await made.service.send(ANNA, "elsewhere")).text
    assert (await first).text


async def bench_session(made: Bench) -> Turn:
    """Store one turn without asking the model."""
    script = made.llm
    assert isinstance(script, ScriptedLLM)
    script._in_order.appendleft("before")
    return (await made.service.send(ANNA, "before")).turn


async def test_repeats_of_a_key() -> None:
    """G2: a repeat joins the running turn, later gets the stored one; the model is asked once."""
    llm = ScriptedLLM([ScriptedAnswer((0.02, "once")), "never"])
    made = bench(llm)
    first = asyncio.create_task(made.service.send(ANNA, "hello", idempotency_key=KEY))
    await until_running(llm)
    joined = await made.service.send(ANNA, "hello", idempotency_key=KEY)
    stored = await made.service.send(ANNA, "hello", idempotency_key=KEY)
    assert [(await first).repeated, joined.repeated, stored.repeated] == [False, True, True]
    assert (await first).reply == joined.reply == stored.reply
    assert len(llm.requests) == 1
    with pytest.raises(IdempotencyKeyReused):
        await made.service.send(ANNA, "other", idempotency_key=KEY)
    assert (await made.service.send(BEN, "hello", idempotency_key=KEY)).repeated is False


async def test_repeat_in_another_process() -> None:
    """G2: a repeat that arrives at another process waits for the first one's stored reply."""
    llm = ScriptedLLM([ScriptedAnswer((0.05, "from the other"))])
    here = bench(llm)
    there = bench(ScriptedLLM([]), repository=here.repository, first_id=1000)
    first = asyncio.create_task(here.service.send(ANNA, "hello", idempotency_key=KEY))
    await until_running(llm)
    answer = await there.service.send(ANNA, "hello", idempotency_key=KEY)
    assert (answer.text, answer.repeated) == ("from the other", True)
    assert (await first).reply == answer.reply


async def test_repeat_of_a_failed_turn_is_its_failure() -> None:
    """G2: a repeat of a failed turn is told the stored failure; a new try takes a new key."""
    made = bench(ScriptedLLM([LLMRejected("no"), "yes"]))
    for repeated in (False, True):
        with pytest.raises(TurnFailed) as failure:
            await made.service.send(ANNA, "hello", idempotency_key=KEY)
        assert (failure.value.code, failure.value.repeated) == ("llm_rejected", repeated)
    assert (await made.service.send(ANNA, "hello", idempotency_key=KEY + "2")).text == "yes"


async def test_oversized_reply_is_cut() -> None:
    """G14: a reply longer than the limit is cut there and kept."""
    made = bench(ScriptedLLM(["x" * 100]), policy=ChatPolicy(reply_max_chars=10))
    assert (await made.service.send(ANNA, "hello")).text == "x" * 10


class CountingLLM(ScriptedLLM):
    """Streams in parts that end without the end event: a broken adapter."""

    def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        return self._silent()

    async def _silent(self) -> AsyncGenerator[LLMEvent, None]:
        nothing: tuple[LLMEvent, ...] = ()
        for event in nothing:
            yield event


async def test_stream_without_an_end_is_incomplete() -> None:
    """A stream that just ends is a failure, never a completed reply."""
    made = bench(CountingLLM([]), policy=ChatPolicy(max_attempts=2))
    with pytest.raises(TurnFailed) as failure:
        await made.service.send(ANNA, "hello")
    assert failure.value.code == "llm_incomplete"


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("message", {"text": ""}),
        ("message", {"text": " \n\t\u2003"}),
        ("message", {"text": "x" * 32_001}),
        ("message", {"text": "a\x00b"}),
        ("message", {"text": "a\ud83db"}),
        ("selected_text", {"quote": Quote(text="")}),
        ("selected_text", {"quote": Quote(text="x" * 16_001)}),
        ("selected_text", {"quote": Quote(text="a\x00")}),
        ("selected_text.title", {"quote": Quote(text="a", title="x" * 2_049)}),
        ("selected_text.url", {"quote": Quote(text="a", url="\x00")}),
        ("selected_text.anchor", {"quote": Quote(text="a", anchor="")}),
        ("idempotency_key", {"idempotency_key": ""}),
        ("idempotency_key", {"idempotency_key": "x" * 256}),
        ("idempotency_key", {"idempotency_key": "ключ"}),
        ("owner_id", {"owner": ""}),
        ("owner_id", {"owner": "x" * 129}),
    ],
)
async def test_bad_input_changes_nothing(field: str, arguments: dict[str, object]) -> None:
    """G14: what cannot be accepted is refused with the field's name, and nothing is stored."""
    made = bench()
    call: dict[str, object] = {"text": "hello", **arguments}
    owner = call.pop("owner", ANNA)
    with pytest.raises(InvalidInput) as refused:
        await made.service.send(owner, **call)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert (await made.service.sessions(ANNA)).items == ()
    assert made.notices == []


async def test_longest_input_is_accepted() -> None:
    """Texts of exactly the longest accepted length, in code points, go through."""
    made = bench(ScriptedLLM(["fine"]))
    quote = Quote(text="🤖" * 16_000, title="t" * 2_048)
    answer = await made.service.send(ANNA, "🤖" * 32_000, quote=quote, idempotency_key="~" * 255)
    assert answer.text == "fine"


@pytest.mark.parametrize("limit", [0, -1, 101])
async def test_page_size_is_bounded(limit: int) -> None:
    """A page of less than one or more than a hundred items is refused."""
    made = bench()
    answer = await made.service.send(ANNA, "hello")
    with pytest.raises(InvalidInput):
        await made.service.sessions(ANNA, limit=limit)
    with pytest.raises(InvalidInput):
        await made.service.messages(ANNA, answer.turn.session_id, limit=limit)
    with pytest.raises(InvalidInput):
        await made.service.messages(ANNA, answer.turn.session_id, before=1, after=1)


async def test_rename_and_look() -> None:
    """Renaming checks the title and shows in the session."""
    made = bench()
    session_id = (await made.service.send(ANNA, "hello")).turn.session_id
    assert (await made.service.session(ANNA, session_id)).title == "hello"
    assert (await made.service.rename(ANNA, session_id, "New")).title == "New"
    for title in ("", " ", "x" * 201, "a\x00"):
        with pytest.raises(InvalidInput):
            await made.service.rename(ANNA, session_id, title)
    assert (await made.service.session(ANNA, session_id)).title == "New"
