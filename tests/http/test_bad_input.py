"""G14: bad input gets a clear 4xx and changes nothing.

May import: standard library, hypothesis, pytest, tests.http.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.http.door import Door, open_door, problem_of

DEEP = 100_000


def chat(**fields: Any) -> bytes:
    """Return a body."""
    return json.dumps({"message": "x"} | fields).encode()


INVALID = {
    "no message": (b"{}", {"message": "is missing"}),
    "empty message": (chat(message=""), {"message": "is empty"}),
    "blank message": (chat(message=" \n\t\u3000"), {"message": "is empty"}),
    "null message": (chat(message=None), {"message": "expected str, got null"}),
    "number as message": (chat(message=5), {"message": "expected str, got int"}),
    "32,001 characters": (
        chat(message="é" * 32_001),
        {"message": "is longer than 32000 characters"},
    ),
    "NUL": (rb'{"message": "a\u0000b"}', {"message": "contains a NUL character"}),
    "lone surrogate": (rb'{"message": "a\ud800b"}', {"message": "contains a lone surrogate"}),
    "surrogates in the wrong order": (
        rb'{"message": "\udc00\ud800"}',
        {"message": "contains a lone surrogate"},
    ),
    "lone surrogate in a passage": (
        rb'{"message": "x", "selected_text": {"text": "\udfff"}}',
        {"selected_text.text": "contains a lone surrogate"},
    ),
    "unknown field": (chat(owner_id="me"), {"owner_id": "is not a known field"}),
    "unknown field within": (
        chat(selected_text={"text": "t", "page": 1}),
        {"selected_text.page": "is not a known field"},
    ),
    "everything wrong": (
        chat(message=1, stream="yes", on_busy="queue", selected_text={"title": 2}, model="x"),
        {
            "model": "is not a known field",
            "message": "expected str, got int",
            "selected_text.text": "is missing",
            "selected_text.title": "expected str | null, got int",
            "stream": "expected bool, got str",
            "on_busy": "is not accepted; accepted: reject, supersede",
        },
    ),
    "another way when busy": (
        chat(on_busy="queue"),
        {"on_busy": "is not accepted; accepted: reject, supersede"},
    ),
    "a list": (b"[]", {"body": "is not a JSON object"}),
    "a number": (b"17", {"body": "is not a JSON object"}),
    "null": (b"null", {"body": "is not a JSON object"}),
    "session id as number": (chat(session_id=5), {"session_id": "expected str | null, got int"}),
    "empty passage": (chat(selected_text=""), {"selected_text": "is empty"}),
    "passage of 16,001": (
        chat(selected_text="x" * 16_001),
        {"selected_text": "is longer than 16000 characters"},
    ),
    "long title of a passage": (
        chat(selected_text={"text": "t", "title": "x" * 2049}),
        {"selected_text.title": "is longer than 2048 characters"},
    ),
    "passage as list": (
        chat(selected_text=["x"]),
        {"selected_text": "expected str | object | null, got array"},
    ),
    "name with a surrogate": (
        rb'{"message": "x", "\ud800": 1}',
        {"body": "contains a lone surrogate"},
    ),
}

MALFORMED = {
    "nothing": b"",
    "no JSON": b"hello",
    "cut off": b'{"message": "x"',
    "too much": b'{"message": "x"} {}',
    "single quotes": b"{'message': 'x'}",
    "trailing comma": b'{"message": "x",}',
    "invalid UTF-8": b'{"message": "\xff\xfe"}',
    "UTF-8 surrogate": b'{"message": "\xed\xa0\x80"}',
    "overlong UTF-8": b'{"message": "\xc0\xaf"}',
    "UTF-16": '{"message": "x"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"message": "x"}',
    "raw newline in text": b'{"message": "a\nb"}',
    "NaN": b'{"message": NaN}',
    "number of 5,000 digits": b'{"message": %s}' % (b"9" * 5000),
    "deep lists": b"[" * DEEP,
    "deep lists, closed": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * (DEEP // 2),
    "deep in the message": b'{"message":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep in an unknown field": b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "33 levels": b'{"message":' + b"[" * 32 + b"]" * 32 + b"}",
    "a field twice": b'{"message": "x", "message": "y"}',
    "a field twice, once escaped": rb'{"message": "x", "\u006dessage": "y"}',
    "a field twice within": b'{"message": "x", "selected_text": {"text": "a", "text": "b"}}',
    "a field twice, hidden by quotes": rb'{"message": "\"a\":\"b\\", "message": "y"}',
    "an escaped field twice": rb'{"mess\u0061ge": "x", "m\u0065ssage": "y"}',
    "a quoted field twice": rb'{"a\"b": 1, "a\u0022b": 2, "message": "x"}',
    "an unknown field twice, deep": b'{"message": "x", "x": [{"a": 1, "a": 2}]}',
    "a wrong field twice": b'{"message": 1, "message": 2}',
}


@pytest.mark.parametrize("name", INVALID)
async def test_values_that_cannot_be_accepted(door: Door, name: str) -> None:
    """Every wrong field is named with what is wrong with it, and nothing is stored."""
    body, expected = INVALID[name]
    answer = await door.post_raw(body)
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (422, "invalid_request")
    assert {error["field"]: error["reason"] for error in problem["errors"]} == expected
    assert door.repository.is_empty
    assert door.llm.requests == []


@pytest.mark.parametrize("name", MALFORMED)
async def test_bodies_that_are_no_json(door: Door, name: str) -> None:
    """What is no JSON document, or one too deep or ambiguous, is a 400, and nothing is stored."""
    answer = await door.post_raw(MALFORMED[name])
    assert (answer.status_code, problem_of(answer)["code"]) == (400, "malformed_json")
    assert door.repository.is_empty


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=latin-1",
        "application/problem+json",
        "application/jsonp",
        "json",
        "",
    ],
)
async def test_other_content_types(door: Door, kind: str) -> None:
    """Only application/json in UTF-8 is read."""
    answer = await door.post_raw(chat(), **{"content-type": kind})
    assert (answer.status_code, problem_of(answer)["code"]) == (415, "unsupported_media_type")
    assert door.repository.is_empty


async def test_no_content_type_at_all(door: Door) -> None:
    """A body that does not say what it is is not read."""
    answer = await door.client.post("/chat", content=chat())
    assert answer.status_code == 415


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "deflate", "identity, gzip", "x"])
async def test_compressed_bodies(door: Door, coding: str) -> None:
    """A body with a Content-Encoding is not read, and the answer says what would be."""
    answer = await door.post_raw(chat(), **{"content-encoding": coding})
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (415, "unsupported_media_type")
    assert "Content-Encoding" in problem["detail"]
    assert answer.headers["accept-encoding"] == "identity"
    assert door.repository.is_empty


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
async def test_a_body_as_it_is(door: Door, coding: str) -> None:
    """The coding that changes nothing may be named."""
    assert (await door.post_raw(chat(), **{"content-encoding": coding})).status_code == 200


async def test_two_idempotency_keys(door: Door) -> None:
    """Two keys are none: the request is refused, whether or not they are alike."""
    for second in ("key-0123456789abcdef", "key-fedcba9876543210"):
        headers = [("Idempotency-Key", "key-0123456789abcdef"), ("idempotency-key", second)]
        answer = await door.client.post("/chat", json={"message": "x"}, headers=headers)
        (error,) = problem_of(answer)["errors"]
        assert answer.status_code == 422
        assert error == {"field": "Idempotency-Key", "reason": "is given more than once"}
    assert door.repository.is_empty


async def test_escapes_count_as_they_are_sent(door: Door) -> None:
    """The longest message in emoji fits as UTF-8; escaped, its body is too long."""
    message = "\U0001f916" * 32_000
    plain = json.dumps({"message": message}, ensure_ascii=False).encode()
    assert (await door.post_raw(plain)).status_code == 200
    answer = await door.post_raw(json.dumps({"message": message}).encode())
    assert (answer.status_code, problem_of(answer)["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
    ],
)
async def test_accepted_content_types(door: Door, kind: str) -> None:
    """JSON in UTF-8 is accepted however it is spelled."""
    assert (await door.post_raw(chat(), **{"content-type": kind})).status_code == 200


@pytest.mark.parametrize(
    "message",
    [
        "x" * 32_000,
        "😀" * 32_000,
        "\u202etext\x1b[31m\x7f",
        '"message":"message":',
        "\\u0000",
        "a\u0301",
    ],
    ids=[
        "longest",
        "longest emoji",
        "control characters",
        "looks like JSON",
        "looks escaped",
        "combining",
    ],
)
async def test_what_is_allowed_comes_back_unchanged(door: Door, message: str) -> None:
    """Text is stored as it came: no trimming, no normalisation."""
    session_id = (await door.ask(message))["session_id"]
    page = (await door.client.get(f"/sessions/{session_id}/messages")).json()
    assert page["items"][0]["content"] == message


async def test_a_body_at_the_limit_is_read_and_one_above_is_not() -> None:
    """BODY_MAX_BYTES is the longest body that is read."""
    async with open_door(BODY_MAX_BYTES="1024") as door:
        body = chat().ljust(1024)
        assert (await door.post_raw(body)).status_code == 200
        answer = await door.post_raw(body + b" ")
        assert (answer.status_code, problem_of(answer)["code"]) == (413, "body_too_large")


async def test_a_chunked_body_is_cut_at_the_limit(door: Door) -> None:
    """Without a length, reading stops at the limit: the rest is never asked for."""
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield b" " * 65_536

    answer = await door.client.post(
        "/chat", content=chunks(), headers={"content-type": "application/json"}
    )
    assert (answer.status_code, problem_of(answer)["code"]) == (413, "body_too_large")
    assert taken <= 6
    assert door.repository.is_empty


async def test_the_operators_limits_hold() -> None:
    """MESSAGE_MAX_CHARS and SELECTED_TEXT_MAX_CHARS are what the service refuses by."""
    async with open_door(MESSAGE_MAX_CHARS="3", SELECTED_TEXT_MAX_CHARS="2") as door:
        await door.ask("abc", selected_text="ab")
        answer = await door.post_raw(chat(message="abcd"))
        assert problem_of(answer)["errors"][0]["reason"] == "is longer than 3 characters"
        answer = await door.post_raw(chat(selected_text="abc"))
        assert problem_of(answer)["errors"][0]["field"] == "selected_text"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/sessions/x/nowhere", 404, "not_found"),
        ("GET", "/schema/nowhere", 404, "not_found"),
        ("GET", "/schema/redoc", 404, "not_found"),
        ("GET", "/schema/openapi.yaml", 404, "not_found"),
        ("GET", "/schema/x/y", 404, "not_found"),
        ("GET", "/chat", 405, "method_not_allowed"),
        ("DELETE", "/sessions", 405, "method_not_allowed"),
        ("PUT", "/health", 405, "method_not_allowed"),
        ("BREW", "/chat", 405, "method_not_allowed"),
    ],
)
async def test_unknown_addresses_and_methods(
    door: Door, method: str, path: str, status: int, code: str
) -> None:
    """Router errors are problems too; a 405 names the methods there are."""
    answer = await door.client.request(method, path)
    assert (answer.status_code, problem_of(answer)["code"]) == (status, code)
    assert ("allow" in answer.headers) == (status == 405)


SOUP = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b'{"message":',
                b'"x"',
                b"{",
                b"}",
                b"[",
                b"]",
                b":",
                b",",
                b'"',
                b"\\",
                b"null",
                b"1e9",
                b'"selected_text":',
                b'{"text":',
                rb"\ud800",
                rb"\u0000",
                b"\xff",
                b"\x00",
                b"true",
                b'"stream":',
            ],
        ),
        st.binary(max_size=4),
    ),
    max_size=30,
).map(b"".join)


@given(body=SOUP)
@example(body=b'{"message":"x","message":"\\"}')
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_body_breaks_the_service(body: bytes) -> None:
    """Whatever the bytes, the answer is a documented one, never a 5xx."""
    async with open_door() as door:
        answer = await door.post_raw(body)
        assert answer.status_code in {200, 400, 404, 422}
        if answer.status_code != 200:
            problem_of(answer)
            assert door.repository.is_empty
