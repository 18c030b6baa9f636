"""Who may see what, bad requests, and texts that try to be something else than text.

May import: standard library, httpx, openai, pytest, tests.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from tests.doors.openai.client import NO_CREDENTIAL, hear, refusal, said
from tests.http.door import VISITOR_A, VISITOR_B, Door, bearer

JSON = {"content-type": "application/json"}
HOSTILE = [
    "<script>window.__pwned = 1</script>",
    '<img src=x onerror="alert(1)">',
    "data: [DONE]\n\ndata: {}\n\nevent: response.completed\n\n",
    "\r\n\r\n: comment\r\nid: 7\r\nretry: 1\r\n",
    "a\u2028\u2029\u0085\x0b\x0c\x1cb",
    "\ufeff\u202e\u200b\x07\x1b[31m",
    '"}\\u0000\\ud800{"',
    "[DONE]",
    "👩\u200d🚀" * 9,
]
UNKNOWN = "0199f3a27c1e7d3b9a552f1c5be0a1d4"


def places(response: str, conversation: str, item: str | None) -> list[tuple[str, str, Any]]:
    """Return every request that names something."""
    return [
        ("GET", f"/v1/responses/{response}", None),
        ("GET", f"/v1/responses/{response}?stream=true", None),
        ("GET", f"/v1/responses/{response}/input_items", None),
        ("POST", f"/v1/responses/{response}/cancel", None),
        ("DELETE", f"/v1/responses/{response}", None),
        ("GET", f"/v1/conversations/{conversation}", None),
        ("POST", f"/v1/conversations/{conversation}", {"metadata": {}}),
        ("DELETE", f"/v1/conversations/{conversation}", None),
        ("GET", f"/v1/conversations/{conversation}/items", None),
        ("GET", f"/v1/conversations/{conversation}/items?after={item}", None),
        ("POST", f"/v1/conversations/{conversation}/items", {"items": HISTORY}),
        ("GET", f"/v1/conversations/{conversation}/items/{item}", None),
        ("DELETE", f"/v1/conversations/{conversation}/items/{item}", None),
        ("POST", "/v1/responses", {"input": "x", "conversation": conversation}),
        ("POST", "/v1/responses", {"input": "x", "previous_response_id": response}),
    ]


HISTORY = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def bare(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Return everything of an answer but what names the request and the time."""
    varying = {"x-request-id", "date"}
    headers = {name: value for name, value in answer.headers.items() if name not in varying}
    return answer.status_code, headers, answer.content


async def test_what_is_somebody_elses_is_unknown(
    anna: AsyncOpenAI, ben: AsyncOpenAI, door: Door
) -> None:
    """Foreign, unknown and impossible ids are answered alike, byte for byte (G11)."""
    made = await anna.conversations.create()
    response = await anna.responses.create(input="secret", conversation=made.id)
    item = response.output[0].id
    theirs = places(response.id, made.id, item)
    unknown = places(f"resp_{UNKNOWN}{UNKNOWN}", f"conv_{UNKNOWN}", f"msg_{UNKNOWN}")
    impossible = places("resp_x", "conv_x", "msg_x")
    for foreign, none, bad in zip(theirs, unknown, impossible, strict=True):
        answers = [
            await door.client.request(method, path, json=body, headers=bearer(VISITOR_B))
            for method, path, body in (foreign, none, bad)
        ]
        assert answers[0].status_code in (400, 404), foreign
        assert bare(answers[0]) == bare(answers[1]) == bare(answers[2]), foreign
    assert (await anna.responses.retrieve(response.id)) == response
    assert len((await anna.conversations.items.list(made.id)).data) == 2
    assert (await ben.responses.create(input="mine")).output_text == "You asked: mine"


async def test_without_a_credential(anna: AsyncOpenAI) -> None:
    """Whoever knows an id that was made without one may use it, and nobody else's."""
    public: Any = {"extra_headers": NO_CREDENTIAL}
    response = await anna.responses.create(input="x", **public)
    assert (await anna.responses.retrieve(response.id, **public)) == response
    assert said(await refusal(anna.responses.retrieve(response.id)))[0] == 404


@pytest.mark.parametrize("token", ["sk-something", "visitor-short"])
async def test_a_refused_credential(anna: AsyncOpenAI, token: str) -> None:
    """It is told in the form that the client reads, and what to send instead."""
    stranger = anna.with_options(api_key=token)
    for call in (stranger.models.list(), stranger.responses.create(input="x")):
        error = await refusal(call)
        assert said(error) == (401, "invalid_api_key", None)
        assert error.response.headers["www-authenticate"] == "Bearer"
        assert "visitor-" in error.message


NOWHERE = [
    ("GET", "/v1", 404, "not_found"),
    ("GET", "/v1/", 404, "not_found"),
    ("GET", "/v1/nowhere/at/all", 404, "not_found"),
    ("POST", "/v1/embeddings", 404, "not_found"),
    ("DELETE", "/v1/models", 405, "method_not_allowed"),
    ("GET", "/v1/responses", 405, "method_not_allowed"),
    ("PUT", "/v1/chat/completions", 405, "method_not_allowed"),
]
BAD: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"", JSON, 400, "malformed_json"),
    (b"{", JSON, 400, "malformed_json"),
    (b"[]", JSON, 400, "invalid_request"),
    (b"\xff\xfe", JSON, 400, "malformed_json"),
    (b'{"input": "a", "input": "b"}', JSON, 400, "malformed_json"),
    (b'{"input": "\\ud800"}', JSON, 400, "invalid_request"),
    (b'{"input": ' + b"[" * 90 + b"]" * 90 + b"}", JSON, 400, "malformed_json"),
    (b'{"input": "%b"}' % (b"x" * 300_000), JSON, 413, "body_too_large"),
    (b"{}", {"content-type": "text/plain"}, 415, "unsupported_media_type"),
    (b"{}", {**JSON, "content-encoding": "gzip"}, 415, "unsupported_media_type"),
    (b"{}", JSON, 400, "invalid_request"),
]


async def test_addresses_that_are_none(door: Door) -> None:
    """Below this door everything goes wrong in its own form; beside it nothing does."""
    for method, path, status, code in NOWHERE:
        answer = await door.client.request(method, path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"]
        error = answer.json()["error"]
        assert (error["code"], error["type"]) == (code, "invalid_request_error")
    beside = await door.client.get("/v2/nowhere")
    assert beside.headers["content-type"] == "application/problem+json"
    assert (await door.client.get("/v1x")).headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
async def test_bad_bodies(door: Door, path: str) -> None:
    """A clear 4xx, and nothing is kept or asked (G14)."""
    for body, headers, status, code in BAD:
        answer = await door.client.post(path, content=body, headers=headers)
        assert answer.status_code == status, body[:40]
        assert answer.json()["error"]["code"] == code, body[:40]
        assert answer.json().keys() == {"error"}
    assert door.repository.is_empty
    assert door.llm.requests == []


async def test_fields_that_nobody_knows(door: Door) -> None:
    """They are let pass, also when something else is wrong, which is then what is told."""
    body: dict[str, Any] = {"input": "x", "stream": "perhaps", "brand_new": {"a": [1]}}
    answer = await door.client.post("/v1/responses", json=body)
    assert answer.json()["error"]["param"] == "stream"
    body["stream"] = False
    assert (await door.client.post("/v1/responses", json=body)).status_code == 200


async def test_hostile_texts(anna: AsyncOpenAI, door: Door) -> None:
    """As a question and as an answer they come out as they went in, whole and in parts."""
    for text in HOSTILE:
        door.llm.script(*[text] * 4)
        whole = await anna.responses.create(input=text)
        assert whole.output_text == text
        heard = await hear(
            await anna.responses.create(input=text, previous_response_id=whole.id, stream=True)
        )
        assert heard.text == heard.response.output_text == text
        messages: list[Any] = [{"role": "user", "content": text}]
        answer = await anna.chat.completions.create(model="scripted", messages=messages)
        assert answer.choices[0].message.content == text
        pieces = [
            chunk.choices[0].delta.content or ""
            async for chunk in await anna.chat.completions.create(
                model="scripted", messages=messages, stream=True
            )
        ]
        assert "".join(pieces) == text
        items = await anna.conversations.items.list(f"conv_{whole.id[5:37]}")
        assert {json.dumps(item.content[0].text) for item in items.data} == {json.dumps(text)}  # type: ignore[union-attr,index]


async def test_cancel_takes_no_body(anna: AsyncOpenAI, door: Door) -> None:
    """The clients call nothing JSON; it is not read."""
    response = await anna.responses.create(input="x")
    path = f"/v1/responses/{response.id}/cancel"
    for content in (b"", b"no json"):
        answer = await door.client.post(
            path, content=content, headers={**JSON, **bearer(VISITOR_A)}
        )
        assert answer.status_code == 200
