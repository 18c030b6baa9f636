"""Beside the hexagon: the part of the contract of `LLMPort` where all goes well.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from chatcore.model.prompt import Prompt
from chatcore.ports.llm import LLMDelta, LLMEnded, LLMStarted
from chatcore.testing.contract import Contract
from chatcore.testing.llm_rig import (
    UNICODE,
    LLMRig,
    ModelAnswer,
    Power,
    ask,
    ask_either_way,
    collect,
    needs,
    prompt,
    text_of,
)


class LLMAnswerCases(Contract):
    """Requests, whole answers, streams, and many of them at once."""

    def test_equal_prompts_give_equal_bytes(self, rig: LLMRig) -> None:
        """G9: preparing is pure: equal arguments give the same bytes and the same digest."""
        for stream in (False, True):
            one = rig.llm.prepare(prompt(UNICODE), stream=stream)
            other = rig.llm.prepare(prompt(UNICODE), stream=stream)
            assert (one.body, one.digest) == (other.body, other.digest)
            assert (one.prompt, one.stream) == (prompt(UNICODE), stream)

    def test_different_prompts_give_different_bytes(self, rig: LLMRig) -> None:
        """G9: every part of a prompt, and the kind of answer, shows in the bytes."""
        base = prompt("a")
        others = [
            prompt("b"),
            prompt("a", max_tokens=17),
            Prompt(system="x", messages=base.messages, max_tokens=16),
            Prompt(system=base.system, messages=base.messages[2:], max_tokens=16),
        ]
        bodies = {rig.llm.prepare(p, stream=False).body for p in (base, *others)}
        bodies.add(rig.llm.prepare(base, stream=True).body)
        assert len(bodies) == len(others) + 2

    def test_options_in_a_prompt_win(self, rig: LLMRig) -> None:
        """G9: a request says what its prompt's options say; the adapter's own ones are the same."""
        own = rig.llm.options
        assert own == tuple(sorted(own))
        others = tuple((name, f"{value}-other") for name, value in own)
        for stream in (False, True):
            plain, named, changed = (
                rig.llm.prepare(replace(prompt(UNICODE), options=options), stream=stream).body
                for options in ((), own, others)
            )
            assert named == plain
            assert (changed != plain) is bool(own)

    @needs(Power.WATCH)
    def test_preparing_sends_nothing(self, rig: LLMRig) -> None:
        """Preparing makes no call."""
        rig.llm.prepare(prompt(), stream=True)
        assert rig.open_calls() == 0
        assert rig.received() == ()

    async def test_a_whole_answer_has_text_finish_reason_and_model(self, rig: LLMRig) -> None:
        """A whole answer is never empty and always tells why it ended and who gave it."""
        reply = await ask(rig.llm)
        assert reply.text
        assert reply.finish_reason
        assert reply.model
        if reply.usage is not None:
            assert reply.usage.prompt_tokens > 0
            assert reply.usage.completion_tokens > 0

    async def test_a_stream_is_started_deltas_ended(self, rig: LLMRig) -> None:
        """A stream is one start, at least one delta, none of them empty, and one end, the last."""
        events = await collect(rig.llm, rig.llm.prepare(prompt(), stream=True))
        first, *deltas, last = events
        assert isinstance(first, LLMStarted)
        assert isinstance(last, LLMEnded)
        assert deltas
        assert all(isinstance(event, LLMDelta) and event.text for event in deltas)
        assert last.finish_reason
        assert last.model == first.model

    @needs(Power.SCRIPT)
    @pytest.mark.parametrize("finish_reason", ["stop", "length", "something_new"])
    async def test_text_and_finish_reason_are_the_models_own(
        self, rig: LLMRig, finish_reason: str
    ) -> None:
        """Whole or streamed, text and finish reason arrive as the model gave them."""
        answer = ModelAnswer(("Hel", "lo, ", "you"), finish_reason)
        rig.script(answer, answer)
        reply = await ask(rig.llm)
        events = await collect(rig.llm, rig.llm.prepare(prompt(), stream=True))
        assert reply.text == text_of(events) == "Hello, you"
        assert isinstance(events[-1], LLMEnded)
        assert reply.finish_reason == events[-1].finish_reason == finish_reason

    @needs(Power.SCRIPT, Power.WATCH)
    async def test_any_text_passes_both_ways(self, rig: LLMRig) -> None:
        """Emoji, combining marks, right-to-left text and line separators are changed nowhere."""
        rig.script(ModelAnswer((UNICODE,)), ModelAnswer(tuple(UNICODE)))
        reply = await ask(rig.llm, UNICODE)
        assert rig.received()[-1] == UNICODE
        events = await collect(rig.llm, rig.llm.prepare(prompt(UNICODE), stream=True))
        assert rig.received()[-1] == UNICODE
        assert reply.text == text_of(events) == UNICODE

    @needs(Power.WATCH)
    async def test_the_model_receives_the_whole_prompt_in_order(self, rig: LLMRig) -> None:
        """System text first, then the window, the question last."""
        await ask(rig.llm, "Why?")
        texts = ("You answer briefly.", "Hello.", "Hello, how can I help?", "Why?")
        assert rig.received() == texts

    @needs(Power.SCRIPT)
    async def test_what_cannot_be_stored_is_repaired(self, rig: LLMRig) -> None:
        """NUL and lone surrogates become U+FFFD; the text around them stays."""
        answer = ModelAnswer(("a\x00b", "\ud83dc", "d\ude00", "e"))
        rig.script(answer, answer)
        reply = await ask(rig.llm)
        events = await collect(rig.llm, rig.llm.prepare(prompt(), stream=True))
        assert reply.text == text_of(events) == "a\ufffdb\ufffdcd\ufffde"

    @needs(Power.SCRIPT)
    async def test_calls_at_once_do_not_mix(self, rig: LLMRig) -> None:
        """Ten calls at once, whole and streamed, get ten different answers, each in one piece."""
        expected = [f"answer number {i} " * 20 for i in range(10)]
        rig.script(*(ModelAnswer(tuple(text)) for text in expected))
        requests = [rig.llm.prepare(prompt(), stream=bool(i % 2)) for i in range(10)]
        answers = await asyncio.gather(*(ask_either_way(rig.llm, r) for r in requests))
        assert sorted(answers) == sorted(expected)

    async def test_two_calls_at_once_are_both_answered(self, rig: LLMRig) -> None:
        """A whole and a streamed answer asked for at the same time both come."""
        whole = rig.llm.prepare(prompt(), stream=False)
        streamed = rig.llm.prepare(prompt(), stream=True)
        answers = await asyncio.gather(
            ask_either_way(rig.llm, whole), ask_either_way(rig.llm, streamed)
        )
        assert all(answers)
