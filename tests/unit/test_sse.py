"""The splitter of server-sent events: the same events however the bytes are cut.

May import: standard library, adapters, hypothesis, pytest.
"""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.openai.sse import EventSplitter, EventTooLarge

LIMIT = 1000
BOM = b"\xef\xbb\xbf"

PARTS = [
    *b"data:|data| |:|\r|\n|\r\n|\n\n|x|{}|[DONE]|event: e|id: 1".split(b"|"),
    *(b"data: a\r\n", b"data: b\r", b"data: c\n", b"data: d\r\n\r\n"),
    *(BOM, "\u2028".encode(), b"\x85", b"\x0b", b"\x0c", b"\xff"),
]
bytes_like_a_stream = st.lists(st.sampled_from(PARTS), max_size=40).map(b"".join)
texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


def by_the_book(stream: bytes) -> list[bytes]:
    """The standard's own rules, for a whole stream; and the event that its end completes."""
    events: list[bytes] = []
    data: list[bytes] = []
    for line in [*re.split(rb"\r\n|\r|\n", stream.removeprefix(BOM)), b""]:
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        if not line and data:
            events.append(b"\n".join(data))
            data = []
    return events


def split(chunks: list[bytes]) -> list[bytes]:
    """All events of the chunks."""
    splitter = EventSplitter(max_event_bytes=LIMIT)
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events + splitter.finish()


@given(stream=bytes_like_a_stream, cuts=st.lists(st.integers(0, 200)))
@example(stream=b"data: a\r\n\r\ndata: b\r\r", cuts=[8, 9, 10, 11])
@example(stream=BOM + b"data: a\n\n", cuts=[1, 2])
@example(stream=b"data: a\r", cuts=[8, 8])
@example(stream=b"data: a\r\ndata: b\n\n", cuts=[8])
def test_any_cut_gives_the_events_of_the_standard(stream: bytes, cuts: list[int]) -> None:
    """However a stream is cut into reads, its events are those of the standard's rules."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert split(chunks) == by_the_book(stream)


@given(stream=bytes_like_a_stream)
def test_one_byte_at_a_time_gives_the_same_events(stream: bytes) -> None:
    """The finest cut of all changes nothing."""
    assert split([stream[i : i + 1] for i in range(len(stream))]) == by_the_book(stream)


@given(said=st.lists(texts, max_size=5), end=line_ends, space=st.sampled_from([b"", b" "]))
def test_text_comes_out_as_it_went_in(said: list[str], end: bytes, space: bytes) -> None:
    """Whatever a text holds (U+2028, U+0085, form feeds), only CR and LF end a line."""
    events = [b" " + text.encode() for text in said]
    stream = b"".join(b": c" + end + b"data:" + space + e + end + end for e in events)
    want = events if space else [event.removeprefix(b" ") for event in events]
    assert split([stream]) == want


def test_lines_of_one_event_are_joined() -> None:
    """Several data lines are one event, with LF between them; `data` alone is an empty line."""
    assert split([b"data: a\ndata\ndata:  b\n\n"]) == [b"a\n\n b"]


def test_events_of_one_read_come_together() -> None:
    """Every event that a read completes is given back at once, the unfinished one is kept."""
    splitter = EventSplitter(max_event_bytes=LIMIT)
    assert splitter.feed(b"data: 1\n\ndata: 2\n\ndata: 3") == [b"1", b"2"]
    assert splitter.feed(b"\n") == []
    assert splitter.feed(b"\n") == [b"3"]


def test_a_cr_ends_its_event_at_once() -> None:
    """An event that ends in CR does not wait for the LF that may follow."""
    splitter = EventSplitter(max_event_bytes=LIMIT)
    assert splitter.feed(b"data: 1\r\n\r") == [b"1"]
    assert splitter.feed(b"\ndata: 2\r\n\r\n") == [b"2"]


def test_the_end_completes_the_last_event() -> None:
    """Data without a blank line after it counts when the stream ends."""
    assert split([b"data: 1\n\ndata: 2"]) == [b"1", b"2"]
    assert split([b"data: 1\n\ndata: 2\n"]) == [b"1", b"2"]


@pytest.mark.parametrize(
    "piece", [b"x" * 100, b"data: " + b"x" * 94 + b"\n", b"data\n" * 20], ids=["line", "lines", "0"]
)
def test_an_endless_event_is_refused(piece: bytes) -> None:
    """G14: a line without end, or data lines without end, are refused at the limit."""
    splitter = EventSplitter(max_event_bytes=LIMIT)
    for _ in range(LIMIT // len(piece)):
        splitter.feed(piece)
    with pytest.raises(EventTooLarge):
        splitter.feed(piece)


def test_comments_and_other_fields_are_not_held() -> None:
    """What is not data takes no room, however much of it comes."""
    splitter = EventSplitter(max_event_bytes=LIMIT)
    for _ in range(100):
        assert splitter.feed(b": keep-alive " + b"x" * 500 + b"\nevent: e\nid: 7\n\n") == []
    assert splitter.feed(b"data: 1\n\n") == [b"1"]
