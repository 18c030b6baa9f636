"""What a reply looks like as a UI message stream, byte by byte.

May import: standard library, app, chatcore, pytest, tests.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.doors.ai_sdk.rendering import UIMessageStream
from chatcore import ReplyDelta, ReplyRestarted, TurnEvent, TurnLost, TurnOpened, TurnStatus
from tests.doors.ending import PLACE, SESSION, TURN, ended

AT = "2026-01-31T09:30:00.250000Z"
OPENED = TurnOpened(session_id=SESSION, turn_id=TURN, repeated=False)
IDS = {"session_id": str(SESSION), "turn_id": str(TURN)}
START = {"type": "start", "messageId": str(TURN), "messageMetadata": IDS}


def parts_of(stream: bytes) -> list[Any]:
    """Return the parts in a stream; the last may be the mark that it is over."""
    *blocks, rest = stream.decode().split("\n\n")
    assert rest == ""
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    texts = [block.removeprefix("data: ") for block in blocks]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


def rendered(*events: TurnEvent) -> list[Any]:
    """Return the parts of a stream of these events."""
    stream = UIMessageStream()
    return parts_of(b"".join(stream.encode(event) for event in events))


def test_a_whole_answer() -> None:
    """Name and text, each in its frame, and the mark at the end."""
    end = ended(TurnStatus.COMPLETED, "ab", finish_reason="stop")
    assert rendered(OPENED, ReplyDelta("a", PLACE), ReplyDelta("b", PLACE), end) == [
        START,
        {"type": "text-start", "id": "text-1"},
        {"type": "text-delta", "id": "text-1", "delta": "a"},
        {"type": "text-delta", "id": "text-1", "delta": "b"},
        {"type": "text-end", "id": "text-1"},
        {
            "type": "finish",
            "finishReason": "stop",
            "messageMetadata": {"status": "completed", "created_at": AT},
        },
        "[DONE]",
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content-filter"),
        ("tool_calls", "tool-calls"),
        ("function_call", "tool-calls"),
        ("interrupted", "other"),
        ("a word of tomorrow", "other"),
        (None, "other"),
    ],
)
def test_finish_reasons(ours: str | None, theirs: str) -> None:
    """Only words that every version knows are said; whatever else it was, it was not `stop`."""
    finish = rendered(ended(TurnStatus.COMPLETED, "a", finish_reason=ours))[-2]
    assert finish["finishReason"] == theirs


def test_a_stopped_answer() -> None:
    """The text ends, then the answer is given up, which is no error."""
    assert rendered(OPENED, ReplyDelta("a", PLACE), ended(TurnStatus.STOPPED, "a"))[3:] == [
        {"type": "text-end", "id": "text-1"},
        {"type": "message-metadata", "messageMetadata": {"status": "stopped", "created_at": AT}},
        {"type": "abort", "reason": "stopped"},
        "[DONE]",
    ]


def test_stopped_before_any_text() -> None:
    """No text part begins or ends that has no text."""
    kinds = [part["type"] for part in rendered(OPENED, ended(TurnStatus.STOPPED))[:-1]]
    assert kinds == ["start", "message-metadata", "abort"]


@pytest.mark.parametrize(
    ("code", "shown", "text"),
    [
        ("llm_unavailable", "llm_unavailable", "The model could not be reached."),
        ("of_tomorrow", "turn_failed", "No whole reply came; the question is kept."),
    ],
)
def test_a_failed_answer(code: str, shown: str, text: str) -> None:
    """The error is the last part that is read: everything else comes before it."""
    parts = rendered(OPENED, ReplyDelta("a", PLACE), ended(TurnStatus.FAILED, "a", error_code=code))
    assert parts[3:] == [
        {"type": "text-end", "id": "text-1"},
        {
            "type": "message-metadata",
            "messageMetadata": {"status": "failed", "created_at": AT, "error_code": shown},
        },
        {"type": "error", "errorText": text},
        "[DONE]",
    ]


def test_starting_over() -> None:
    """A mark between what counts no more and what does; none where nothing was said."""
    over = ReplyRestarted(PLACE)
    events: list[TurnEvent] = [
        OPENED,
        over,
        ReplyDelta("a", PLACE),
        over,
        over,
        ReplyDelta("b", PLACE),
        over,
    ]
    events += [ReplyDelta("c", PLACE)]
    assert rendered(*events)[1:] == [
        {"type": "text-start", "id": "text-1"},
        {"type": "text-delta", "id": "text-1", "delta": "a"},
        {"type": "text-end", "id": "text-1"},
        {"type": "data-restart", "id": "restart-1", "data": {"text_parts_before": 1}},
        {"type": "text-start", "id": "text-2"},
        {"type": "text-delta", "id": "text-2", "delta": "b"},
        {"type": "text-end", "id": "text-2"},
        {"type": "data-restart", "id": "restart-2", "data": {"text_parts_before": 2}},
        {"type": "text-start", "id": "text-3"},
        {"type": "text-delta", "id": "text-3", "delta": "c"},
    ]


def test_ends_without_an_end() -> None:
    """A chat that is gone, and a process that goes, are errors in our words, after the text."""
    for lost in (True, False):
        stream = UIMessageStream()
        stream.encode(ReplyDelta("a", PLACE))
        last = stream.encode_lost(TurnLost(TURN)) if lost else stream.come_back()
        end, error, mark = parts_of(last)
        assert (end, mark) == ({"type": "text-end", "id": "text-1"}, "[DONE]")
        assert error["type"] == "error"


def test_silence() -> None:
    """One comment, with no empty line after it, which others of this kind would trip over."""
    assert UIMessageStream().keep_alive == b": ka\n"
    assert UIMessageStream().headers == {"x-vercel-ai-ui-message-stream": "v1"}


@pytest.mark.parametrize("text", ["a\n\ndata: [DONE]\n\n", "\r\r", "\u2028\u2029\x85", '"}\n'])
def test_no_text_ends_a_line(text: str) -> None:
    """G14: whatever the model says is one line of one part."""
    assert rendered(ReplyDelta(text, PLACE))[1]["delta"] == text
