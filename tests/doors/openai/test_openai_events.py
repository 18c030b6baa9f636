"""The events of a response are numbered by its text alone.

May import: standard library, app, hypothesis, pytest, tests.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.doors.openai.objects import Item, OutputText, ResponseObject
from app.doors.openai.response_events import CELL_CHARS, FIRST_TEXT, ResponseEvents, cells_seen
from tests.http.streams import parse

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
statuses = st.sampled_from(["completed", "incomplete", "cancelled", "failed"])


def begun() -> ResponseObject:
    """Return a response at its beginning."""
    return ResponseObject(
        id="resp_1", created_at=0, status="in_progress", model="m", output=[], metadata={}
    )


def ended(text: str, status: str) -> ResponseObject:
    """Return it at its end."""
    item = Item(id="msg_1", role="assistant", content=[OutputText(text=text)])
    response = begun()
    response.status, response.output = status, [item] if text else []
    return response


def stream(pieces: list[str], status: str, *, after: int = -1, begin_at: int = 0) -> bytes:
    """Return what a reader gets who came back after an event, and reads the text from there."""
    events = ResponseEvents(begun(), item_id="msg_1", after=after)
    blocks, at = [events.begin()], 0
    for piece in pieces:
        if rest := piece[max(0, begin_at - at) :]:
            blocks.append(events.add(rest))
        at += len(piece)
    text = "".join(pieces)
    return b"".join([*blocks, events.end(ended(text, status), text)])


def read(raw: bytes) -> list[dict[str, Any]]:
    """Return the data of all events; each is one block with one line of it."""
    assert raw.endswith(b"\n\n") or not raw
    found = []
    for block in raw.split(b"\n\n")[:-1]:
        event = parse(block + b"\n\n")
        assert block.count(b"\n") == 1
        assert event.name == event.data["type"]
        found.append(event.data)
    return found


@given(st.lists(texts, max_size=6), statuses)
def test_numbers_follow_from_the_text(pieces: list[str], status: str) -> None:
    """However the text came, its events are the same, byte for byte, and without gaps."""
    text = "".join(pieces)
    raw = stream(pieces, status)
    assert raw == stream([text], status) == stream(list(text), status)
    found = read(raw)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    deltas = [event["delta"] for event in found if "delta" in event]
    assert "".join(deltas) == text
    assert all(len(delta) == CELL_CHARS for delta in deltas[:-1])
    assert len(found) == (3 if not text else FIRST_TEXT + len(deltas) + 4)


@given(st.lists(texts.filter(bool), max_size=6), statuses, st.data())
def test_coming_back_after_any_event(pieces: list[str], status: str, data: st.DataObject) -> None:
    """After event n come exactly those behind it, whoever answers and whatever is known by then."""
    whole = read(stream(pieces, status))
    after = data.draw(st.integers(0, len(whole) - 2))
    begin_at = min(cells_seen(after) * CELL_CHARS, len("".join(pieces)))
    rest = read(stream(pieces, status, after=after, begin_at=begin_at))
    assert rest == whole[after + 1 :]


@given(texts, statuses, st.integers(0, 100))
def test_the_end_is_always_told(text: str, status: str, beyond: int) -> None:
    """Who claims to have seen more than there is hears how it ended, with a number of its own."""
    after = len(read(stream([text], status))) - 1 + beyond
    (last,) = read(stream([text], status, after=after, begin_at=len(text)))
    assert last["sequence_number"] == after + 1
    assert last["response"]["status"] == status


@pytest.mark.parametrize("stored", ["", "12345678", "12345678abc"])
def test_more_was_sent_than_was_stored(stored: str) -> None:
    """After a stop the stored text counts; numbers go on all the same."""
    events = ResponseEvents(begun(), item_id="msg_1")
    raw = events.begin() + events.add("12345678abcdefghIJ")
    found = read(raw + events.end(ended(stored, "cancelled"), stored))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert [e["text"] for e in found if e["type"] == "response.output_text.done"] == [stored]
    assert found[-1]["type"] == "response.incomplete"


def test_the_last_words_of_a_broken_stream_move_nobody_on() -> None:
    """They carry the number of the event before them, from which the reader has to go on."""
    events = ResponseEvents(begun(), item_id="msg_1")
    found = read(events.begin() + events.add("12345678abc") + events.break_off("x", "y"))
    assert [event["sequence_number"] for event in found] == [0, 1, 2, 3, 4, 4]
    assert found[-1] == {
        "type": "error",
        "code": "x",
        "message": "y",
        "param": None,
        "sequence_number": 4,
    }
    assert json.dumps(found[-1])
