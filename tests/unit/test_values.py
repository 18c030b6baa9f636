"""Small values: titles, texts, ids, clocks, ends of turns.

May import: standard library, adapters, chatcore, hypothesis, pytest.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory import SequentialIds, TickingClock
from adapters.system import SystemClock, UuidV7Source
from chatcore import ChatPolicy, InvalidInput, MessageId, TurnEnd, TurnStatus, Usage
from chatcore.model.text import derive_title, optional_text, repair_model_text, require_text


@given(st.text())
def test_title_is_one_short_line(question: str) -> None:
    """A title made from any question has one line of at most 80 characters."""
    title = derive_title(question)
    assert len(title) <= 80
    assert len(title.splitlines()) <= 1
    assert title == title.strip()


def test_title_breaks_between_words() -> None:
    """A long question is cut between words, or within one very long word."""
    assert derive_title("What  is\na servo?") == "What is a servo?"
    assert derive_title("word " * 30) == "word " * 14 + "word…"
    assert derive_title(" \n" * 500 + "hello") == "hello"
    assert derive_title("x" * 100) == "x" * 79 + "…"


@given(st.text(st.characters()))
def test_accepted_text_can_be_stored(text: str) -> None:
    """Text is accepted unchanged exactly if it says something and UTF-8 and PostgreSQL hold it."""
    storable = "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
    if storable and text.strip():
        assert require_text(text, field="f", max_chars=10_000) is text
    else:
        with pytest.raises(InvalidInput):
            require_text(text, field="f", max_chars=10_000)


def test_reasons_name_the_problem() -> None:
    """The reason says what is wrong."""
    for text, reason in (
        ("", "is empty"),
        ("xxx", "is longer than 2 characters"),
        ("\x00", "contains a NUL character"),
        ("\udfff", "contains a lone surrogate"),
    ):
        with pytest.raises(InvalidInput) as refused:
            require_text(text, field="title", max_chars=2)
        assert (refused.value.field, refused.value.reason) == ("title", reason)
        assert str(refused.value) == f"title: {reason}"
    assert optional_text(None, field="f", max_chars=1) is None


@given(st.text(st.characters()))
def test_model_text_is_repaired(text: str) -> None:
    """Text of the model keeps its length and every character that can be stored."""
    repaired = repair_model_text(text)
    assert len(repaired) == len(text)
    for before, after in zip(text, repaired, strict=True):
        bad = before == "\x00" or "\ud800" <= before <= "\udfff"
        assert after == ("\ufffd" if bad else before)
    repaired.encode()


def test_ids_are_version_7() -> None:
    """Ids are UUIDv7 as RFC 9562 has them: time first, then randomness, all different."""
    before = time.time_ns() // 1_000_000
    ids = [UuidV7Source().new_id() for _ in range(2000)]
    after = time.time_ns() // 1_000_000
    assert len(set(ids)) == 2000
    for made in (*ids, SequentialIds().new_id()):
        assert (made.version, made.variant) == (7, UUID(int=0x8 << 60).variant)
    assert all(before <= made.int >> 80 <= after for made in ids)
    assert SequentialIds(5).new_id() < SequentialIds(6).new_id()


def test_clocks_are_aware() -> None:
    """Both clocks tell aware times in UTC; the test clock moves when it is read."""
    assert abs((SystemClock().now() - datetime.now(UTC)).total_seconds()) < 5
    clock = TickingClock()
    assert (clock.now() < clock.now(), clock.now().tzinfo) == (True, UTC)


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        (TurnStatus.RUNNING, "", None),
        (TurnStatus.COMPLETED, "", None),
        (TurnStatus.FAILED, "", None),
        (TurnStatus.COMPLETED, "text", "llm_timeout"),
    ],
)
def test_impossible_ends_are_refused(status: TurnStatus, text: str, code: str | None) -> None:
    """An end that no table would take cannot be made."""
    with pytest.raises(ValueError, match="turn"):
        TurnEnd(
            status=status,
            reply_id=MessageId(UUID(int=1)),
            text=text,
            now=datetime.now(UTC),
            error_code=code,
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"history_messages": -1},
        {"history_max_chars": -1},
        {"max_tokens": 0},
        {"max_attempts": 0},
        {"message_max_chars": 0},
        {"quote_max_chars": 0},
        {"deadline_seconds": 0},
        {"lease_seconds": -1},
    ],
)
def test_impossible_policies_are_refused(wrong: dict[str, int]) -> None:
    """A policy that could never work cannot be made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ChatPolicy(**wrong)  # type: ignore[arg-type]


def test_usage_adds_up() -> None:
    """The total is the sum."""
    assert Usage(prompt_tokens=3, completion_tokens=4).total_tokens == 7
