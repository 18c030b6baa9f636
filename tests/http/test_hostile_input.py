"""G14: no request takes longer than its length deserves, however it is made.

May import: standard library, pytest, tests.http.
"""

from __future__ import annotations

import time

import pytest

from tests.http.door import Door, open_door, problem_of

SIZE = 256 * 1024
TIMES_SLOWER = 50
ANYWAY_SECONDS = 0.5
TRIES = 3
HARMLESS = b'{"message": "%b"}' % (b"x" * (SIZE - 20))


def filled(begin: bytes, middle: bytes, end: bytes = b"") -> bytes:
    """Return a body of just under SIZE."""
    return begin + middle * ((SIZE - len(begin) - len(end)) // len(middle)) + end


HOSTILE = {
    "escaped quotes": filled(b'{"message":"', rb"\"", b'","session_id":"x"}'),
    "escaped quotes, unclosed": filled(b'{"message":"', rb"\""),
    "escaped quotes only": filled(b"", rb"\""),
    "escaped backslashes": filled(b'{"message":"', rb"\\", b'","session_id":"x"}'),
    "backslashes": filled(b"", b"\\"),
    "backslashes in a string": filled(b'"', b"\\"),
    "quotes": filled(b"", b'"'),
    "quotes and spaces": filled(b'{"', b'" '),
    "strings": filled(b"[", b'"",', b'""]'),
    "lists": filled(b"", b"["),
    "lists in lists": filled(b"[", b"[],", b"[]]"),
    "objects": filled(b"", b'{"a":'),
    "names": b"{" + b",".join(b'"%d":0' % n for n in range(25_000)) + b"}",
    "the same name": filled(b"{", b'"a":0,', b'"a":0}'),
    "names in deep objects": filled(b'{"%b":' % (b"n" * 64) * 30, b'{"":', b"}"),
    "spaces": filled(b'{"message"', b" ", b'"x"}'),
    "digits": filled(b'{"message":', b"1", b"}"),
    "decimals": filled(b'{"message":0.', b"7", b"}"),
    "escapes": filled(b'{"message":"', rb"\u00e9", b'"}'),
    "lone surrogates": filled(b'{"message":["', rb"\ud800", b'"]}'),
    "bytes that are no UTF-8": filled(b'{"message":"', b"\xff", b'"}'),
    "colons": filled(b"{", b":"),
}


async def seconds_for(door: Door, body: bytes, content_type: str = "application/json") -> float:
    """Return how much of a core refusing a body takes: the least of all tries.

    Nothing here waits, and the clock would count what others do on the machine meanwhile.
    """
    tries = []
    for _ in range(TRIES):
        started = time.process_time()
        answer = await door.post_raw(body, **{"content-type": content_type})
        tries.append(time.process_time() - started)
        assert answer.status_code in {400, 404, 415, 422}
        problem_of(answer)
    return min(tries)


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_body_is_slow(name: str) -> None:
    """A body made to be slow is refused about as fast as a harmless one of its size."""
    async with open_door() as door:
        usual = await seconds_for(door, HARMLESS)
        assert len(HOSTILE[name]) <= SIZE
        passed = await seconds_for(door, HOSTILE[name])
        assert passed < max(TIMES_SLOWER * usual, ANYWAY_SECONDS)


@pytest.mark.parametrize("filling", [" ", "\t", ";", " ;", "; charset=utf-8"])
async def test_no_content_type_is_slow(door: Door, filling: str) -> None:
    """Nor does a header of 60,000 characters take long."""
    kind = "application/json" + filling * (60_000 // len(filling)) + "x"
    usual = await seconds_for(door, b"{}", "x" * len(kind))
    passed = await seconds_for(door, b"{}", kind)
    assert passed < max(TIMES_SLOWER * usual, ANYWAY_SECONDS)
