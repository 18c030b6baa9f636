"""What every answer has in common: request id, security headers, CORS, one log line.

May import: standard library, app, pytest, tests.http.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from app.http.edge import Edge
from tests.http.door import VISITOR_A, Door, bearer, open_door

EVERY_KIND = [
    ("GET", "/health", 200),
    ("GET", "/schema", 200),
    ("GET", "/schema/openapi.json", 200),
    ("GET", "/sessions", 200),
    ("GET", "/sessions/x", 404),
    ("GET", "/nowhere", 404),
    ("PUT", "/chat", 405),
    ("POST", "/chat", 415),
    ("OPTIONS", "/chat", 204),
]
ORIGIN = "http://localhost:3000"
CORS_HEADERS = re.compile("access-control-.*")


@pytest.mark.parametrize(("method", "path", "status"), EVERY_KIND)
async def test_every_answer_has_the_same_headers(
    door: Door, method: str, path: str, status: int
) -> None:
    """Nothing is sniffed, nothing is cached, nobody says what server it is."""
    answer = await door.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "Origin"
    assert "server" not in answer.headers
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("method", "path", "status"), EVERY_KIND)
async def test_every_answer_has_the_request_id(
    door: Door, method: str, path: str, status: int
) -> None:
    """A sane id of the caller comes back; else there is a new one each time."""
    answer = await door.client.request(method, path, headers={"x-request-id": "my-id/1"})
    assert answer.headers["x-request-id"] == "my-id/1"
    made = {(await door.client.request(method, path)).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3


@pytest.mark.parametrize(
    "given", [b"", b"x" * 129, b"a b", b"a\tb", "é".encode(), b"\x1b[31m", b"\x7f"]
)
async def test_an_id_that_is_not_sane_is_replaced(door: Door, given: bytes) -> None:
    """An id that is too long or not visible ASCII is not repeated anywhere."""
    answer = await door.client.get("/health", headers=[(b"x-request-id", given)])
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_an_allowed_origin_gets_its_headers(door: Door) -> None:
    """The page's origin is named exactly, with the headers it may read; no credentials."""
    for path in ("/health", "/nowhere"):
        answer = await door.client.get(path, headers={"origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in answer.headers
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert exposed == "x-request-id, retry-after, x-should-retry, idempotent-replayed"


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3001",
        "https://localhost:3000",
        "http://localhost",
        "http://LOCALHOST:3000",
        "http://localhost:3000/",
        "http://localhost:3000.evil.example",
        "http://evil.example/http://localhost:3000",
        "http://localhostx3000",
        "null",
        "*",
        "",
    ],
)
async def test_another_origin_gets_no_cors_header(door: Door, origin: str) -> None:
    """S12: origins are compared as a whole: no pattern, no case, no port is forgiven."""
    preflight = {"origin": origin, "access-control-request-method": "POST"}
    for answer in (
        await door.client.get("/health", headers={"origin": origin}),
        await door.client.options("/chat", headers=preflight),
    ):
        assert not [name for name in answer.headers if CORS_HEADERS.match(name)]


async def test_a_preflight_is_answered(door: Door) -> None:
    """A page may send JSON with a token, a key and a request id, on every method there is."""
    headers = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,idempotency-key,x-request-id",
    }
    answer = await door.client.options("/chat", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    allowed = answer.headers["access-control-allow-headers"].split(",")
    assert set(headers["access-control-request-headers"].split(",")) <= set(allowed)
    methods = set(answer.headers["access-control-allow-methods"].split(", "))
    assert {"GET", "POST", "PATCH", "DELETE", "PUT"} <= methods


@pytest.mark.parametrize(
    "names",
    [
        "x-stainless-lang,x-stainless-retry-count,openai-organization,authorization",
        "user-agent",
        "X-Anything-At-All, content-type",
    ],
)
async def test_clients_have_headers_of_their_own(door: Door, names: str) -> None:
    """What the browser clients of other protocols send is allowed by name, to listed origins."""
    headers = {"access-control-request-method": "PUT", "access-control-request-headers": names}
    answer = await door.client.options("/v1/responses", headers=headers | {"origin": ORIGIN})
    assert (answer.status_code, answer.headers["access-control-allow-headers"]) == (204, names)
    answer = await door.client.options("/v1/responses", headers=headers | {"origin": "http://e.x"})
    assert not [name for name in answer.headers if CORS_HEADERS.match(name)]


@pytest.mark.parametrize(
    "names",
    [
        b"*",
        b"x-a, *",
        b"\xe9",
        b"a b",
        b"a,,b",
        b",",
        b"a;b",
        b"a\tb",
        b"a: b",
        b"<script>",
        b"",
        b"a\x00",
    ],
)
async def test_names_that_are_none_are_not_repeated(door: Door, names: bytes) -> None:
    """Only names of headers come back; else those of our own protocol are allowed."""
    given = [
        (b"origin", ORIGIN.encode()),
        (b"access-control-request-method", b"POST"),
        (b"access-control-request-headers", names),
    ]
    answer = await door.client.options("/chat", headers=given)
    assert answer.headers["access-control-allow-headers"] == (
        "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-ID"
    )


async def test_several_origins(door: Door) -> None:
    """FRONTEND_URL lists exact origins; slashes at the end and default ports are forgiven there."""
    async with open_door(FRONTEND_URL="https://a.example/, https://B.example:443") as other:
        for origin in ("https://a.example", "https://b.example"):
            answer = await other.client.get("/health", headers={"origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
        answer = await other.client.get("/health", headers={"origin": ORIGIN})
        assert "access-control-allow-origin" not in answer.headers


async def test_one_line_a_request(door: Door) -> None:
    """A request is one event: method, route template, status, time, id; no address, no query."""
    session_id = (await door.ask())["session_id"]
    await door.client.get(
        f"/sessions/{session_id}/messages?limit=7", headers={"x-request-id": "find-me"}
    )
    (line,) = [
        line
        for line in door.log_lines()
        if line["event"] == "request" and line["request_id"] == "find-me"
    ]
    assert line.pop("ms") >= 0
    assert line == {
        "time": line["time"],
        "level": "info",
        "event": "request",
        "part": "http",
        "method": "GET",
        "route": "/sessions/{session_id}/messages",
        "status": 200,
        "request_id": "find-me",
    }


async def test_a_turns_events_name_the_request(door: Door) -> None:
    """What happens to a turn can be found by the id of the request that began it."""
    await door.client.post("/chat", json={"message": "x"}, headers={"x-request-id": "mine"})
    events = [line["event"] for line in door.log_lines() if line.get("request_id") == "mine"]
    assert events == ["turn_admitted", "turn_ended", "request"]


async def test_health_is_quiet() -> None:
    """Probes are not logged at the usual level, unless they fail."""
    async with open_door() as door:
        await door.client.get("/health")
        await door.client.get("/health/ready")
        assert door.log_lines() == []
        door.store.error = RuntimeError()
        await door.client.get("/health/ready")
        assert [line["event"] for line in door.log_lines()] == ["request_broken", "request"]


async def test_no_content_and_no_secret_is_ever_logged(door: Door) -> None:
    """S15: at the lowest level, over good and bad requests, no canary reaches the log."""
    canary = "canary-7f3a"
    token = f"visitor-{canary}-" + "a" * 32
    door.llm.script(f"reply {canary}")
    headers = bearer(token) | {"Idempotency-Key": f"key-{canary}"}
    body = {"message": canary, "selected_text": {"text": canary, "title": canary, "url": canary}}
    answer = await door.client.post("/chat", json=body, headers=headers)
    path = f"/sessions/{answer.json()['session_id']}"
    await door.client.patch(path, json={"title": canary}, headers=bearer(token))
    await door.client.get(f"{path}/messages?after={canary}", headers=bearer(token))
    await door.client.get(f"/{canary}?{canary}={canary}", headers=bearer(canary))
    await door.post_raw(f'{{"{canary}": "{canary}'.encode())
    await door.client.post("/chat", json={canary: canary})
    for error in (RuntimeError(canary), ValueError(canary), OSError(canary)):
        door.repository.error = error
        assert (await door.client.post("/chat", json=body)).status_code == 500
    lines = door.log_lines()
    assert len([line for line in lines if line["event"] == "request"]) == 9
    assert canary not in door.stream.getvalue()
    assert VISITOR_A not in door.stream.getvalue()


async def test_a_broken_request_says_where(door: Door) -> None:
    """The log of a fault names the kinds of exceptions and the places, for whoever repairs it."""
    door.repository.error = RuntimeError("x")
    await door.client.post("/chat", json={"message": "x"})
    (line,) = [line for line in door.log_lines() if line["event"] == "request_broken"]
    assert line["error"] == "RuntimeError"
    assert "door.py:" in line["at"]


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_cancelled_request_stays_cancelled(has_begun: bool) -> None:
    """A problem is sent unless an answer has begun; whoever cancelled sees that it is done."""
    begun = asyncio.Event()
    sent: list[Any] = []

    async def hang(_: Any, __: Any, send: Any) -> None:
        if has_begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        begun.set()
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "method": "GET", "path": "/", "headers": []}
    receive: Any = None
    task = asyncio.ensure_future(Edge(hang, origins=())(scope, receive, send))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [message.get("status") for message in sent] == ([200] if has_begun else [503, None])


async def test_only_a_body_has_to_hurry() -> None:
    """Whoever listens for the client's leaving, once the body is there, may listen for long."""
    heard: list[str] = []
    messages: list[Any] = [
        {"type": "http.request", "body": b"x", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        await asyncio.sleep(0.05 * len(heard))
        return messages[len(heard)]

    async def answer_then_listen(_: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        heard.append((await receive())["type"])

    async def send(_: Any) -> None:
        pass

    scope: Any = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await Edge(answer_then_listen, origins=(), body_seconds=0.02)(scope, receive, send)
    assert heard == ["http.request", "http.disconnect"]
