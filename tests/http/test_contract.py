"""The OpenAPI document and the page that shows it.

May import: standard library, app, tests.http.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from app.http.problems import PROBLEMS
from tests.http.door import Door

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "openapi.json"
REFERENCE = ROOT / "docs" / "reference" / "api.md"
REQUESTS = (
    "SendMessageRequest",
    "RegenerateRequest",
    "EditMessageRequest",
    "NoFields",
    "RateMessageRequest",
    "RenameSessionRequest",
)
NO: dict[str, Any] = {"content": {}}
METHODS = {"get", "post", "put", "patch", "delete"}


def document() -> dict[str, Any]:
    """Return the document as committed."""
    found: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return found


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Return every operation by method and path."""
    return {
        (method.upper(), path): operation
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


async def test_the_committed_document_is_what_the_code_says(door: Door) -> None:
    """docs/openapi.json equals the served contract; if not: make openapi."""
    assert (await door.client.get("/schema/openapi.json")).json() == document()


def test_the_routes_are_those_of_the_contract() -> None:
    """Routes are added and removed on purpose."""
    assert set(operations()) == {
        ("POST", "/chat"),
        ("GET", "/sessions"),
        ("GET", "/sessions/{session_id}"),
        ("PATCH", "/sessions/{session_id}"),
        ("DELETE", "/sessions/{session_id}"),
        ("GET", "/sessions/{session_id}/messages"),
        ("POST", "/sessions/{session_id}/messages/{message_id}/regenerate"),
        ("POST", "/sessions/{session_id}/messages/{message_id}/edit"),
        ("PUT", "/sessions/{session_id}/messages/{message_id}/feedback"),
        ("GET", "/sessions/{session_id}/turns/{turn_id}"),
        ("GET", "/sessions/{session_id}/turns/{turn_id}/events"),
        ("POST", "/sessions/{session_id}/turns/{turn_id}/stop"),
        ("GET", "/health"),
        ("GET", "/health/ready"),
    }


def test_every_field_is_described_and_shown() -> None:
    """Bodies of requests refuse other fields; fields have a description and an example."""
    schemas = document()["components"]["schemas"]
    for name in REQUESTS:
        assert schemas[name]["additionalProperties"] is False, name
    for name in (*REQUESTS, "ChatReply", "SessionView"):
        for field, schema in schemas[name]["properties"].items():
            assert schema.get("description"), (name, field)
            assert schema.get("examples") or "oneOf" in schema, (name, field)


def test_every_failure_is_a_problem() -> None:
    """Every answer from 400 on is a problem, by codes of the table with that status."""
    for where, operation in operations().items():
        assert operation["summary"], where
        for status, answer in operation["responses"].items():
            if int(status) < 400:
                continue
            assert list(answer["content"]) == ["application/problem+json"], (where, status)
            codes = re.findall(r"`(\w+)`", answer["description"])
            assert codes, (where, status)
            assert {PROBLEMS[code].status for code in codes} == {int(status)}


def test_streams_are_in_the_document() -> None:
    """Every route that can answer with events says so, names them, and shows how they look."""
    streaming = {
        path: content["text/event-stream"]["schema"]
        for (_, path), operation in operations().items()
        if "text/event-stream" in (content := operation["responses"].get("200", NO)["content"])
    }
    assert set(streaming) == {
        "/chat",
        "/sessions/{session_id}/messages/{message_id}/regenerate",
        "/sessions/{session_id}/messages/{message_id}/edit",
        "/sessions/{session_id}/turns/{turn_id}/events",
    }
    for schema in streaming.values():
        assert schema["type"] == "string"
        assert schema["examples"][0].startswith("event: turn\n")
        for name in ("turn", "delta", "restart", "done", "stopped", "error", ": keep-alive"):
            assert f"`{name}`" in schema["description"]


def test_bodies_that_may_be_left_out() -> None:
    """The document requires a body exactly where one is needed."""
    optional = {
        path
        for (_, path), operation in operations().items()
        if not operation.get("requestBody", {"required": True})["required"]
    }
    assert optional == {
        "/sessions/{session_id}/messages/{message_id}/regenerate",
        "/sessions/{session_id}/turns/{turn_id}/stop",
    }


def test_the_document_bounds_pages() -> None:
    """A client can read from the document that a page holds 1 to 100 items."""
    for path in ("/sessions", "/sessions/{session_id}/messages"):
        parameters = operations()["GET", path]["parameters"]
        (limit,) = [one["schema"] for one in parameters if one["name"] == "limit"]
        assert (limit["minimum"], limit["maximum"]) == (1, 100)


def test_routes_that_read_a_body_may_time_out() -> None:
    """Where a body is read, the document has 408."""
    for where, operation in operations().items():
        assert ("408" in operation["responses"]) == ("requestBody" in operation), where


def test_the_reference_names_every_route_and_every_code() -> None:
    """docs/reference/api.md has a heading or a row for each."""
    text = REFERENCE.read_text(encoding="utf-8")
    for method, path in operations():
        assert f"`{method} {path}`" in text, (method, path)
    abstract = {"chat_error", "conflict", "llm_error", "turn_failed"}
    for code, row in PROBLEMS.items():
        if code not in abstract:
            assert re.search(rf"\| `{code}` \| {row.status} \|", text), code


async def test_the_page_needs_no_network(door: Door) -> None:
    """The documentation page is one file of ours that loads nothing from anywhere else."""
    answer = await door.client.get("/schema")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.search(r"(src|href)\s*=\s*[\"'](https?:)?//", answer.text)
    assert "http" not in answer.text.replace("http-equiv", "")
