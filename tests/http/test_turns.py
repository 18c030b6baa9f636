"""Stopping, superseding, asking again and editing.

May import: standard library, adapters, chatcore, pytest, tests.http.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.memory.llm import ScriptedAnswer
from chatcore import LLMUnavailable
from tests.http.door import UNKNOWN_ID, VISITOR_A, Dictation, Door, bearer, problem_of
from tests.http.sockets import Place
from tests.http.streams import asking, following, request, text_of

KEY = "k" * 16


def path_of(turn: dict[str, Any], verb: str = "") -> str:
    """Return the address of a turn, or of something to do with it."""
    return f"/sessions/{turn['session_id']}/turns/{turn['turn_id']}{verb}"


async def messages_of(door: Door, session_id: str) -> list[dict[str, Any]]:
    """Return all messages of a session."""
    page = (await door.client.get(f"/sessions/{session_id}/messages?limit=100")).json()
    items: list[dict[str, Any]] = page["items"]
    return items


async def begun(door: Door, text: str = "half", **fields: Any) -> tuple[Dictation, dict[str, Any]]:
    """Begin a turn that has said so much, and leave it."""
    dictation = door.llm.dictate()
    door.llm.asked.clear()
    reading = asyncio.create_task(
        door.client.post("/chat", json={"message": "x", "stream": True, **fields})
    )
    await door.llm.asked.wait()
    dictation.say(text)
    await asyncio.sleep(0.01)
    reading.cancel()
    ((_, session_id),) = door.repository._kept
    question = (await messages_of(door, str(session_id)))[-1]
    return dictation, {"session_id": str(session_id), "turn_id": question["turn_id"]}


async def test_a_stop_ends_a_turn(door: Door) -> None:
    """G5: when stop returns, the turn is terminal, its part is kept, and the next is admitted."""
    _, turn = await begun(door)
    answer = await door.client.post(path_of(turn, "/stop"))
    assert answer.status_code == 200
    stopped = answer.json()
    assert (stopped["status"], stopped["response"]) == ("stopped", "half")
    assert stopped["error_code"] is None
    assert stopped["ended_at"] is not None
    again = await door.client.post("/chat", json={"message": "y"} | session_of(turn))
    assert again.status_code == 200
    contents = [message["content"] for message in await messages_of(door, turn["session_id"])]
    assert contents == ["x", "half", "y", again.json()["response"]]
    said = [message.content for message in door.llm.requests[-1].prompt.messages]
    assert said == ["x", "half", "y"]


def session_of(turn: dict[str, Any]) -> dict[str, Any]:
    """Return the field that names the session of a turn."""
    return {"session_id": turn["session_id"]}


async def test_a_stop_is_what_the_turn_says(door: Door) -> None:
    """A stop answers the turn as looking at it would, its attempts included; twice the same."""
    _, turn = await begun(door)
    first = (await door.client.post(path_of(turn, "/stop"))).json()
    assert (await door.client.get(path_of(turn))).json() == first
    assert (await door.client.post(path_of(turn, "/stop"))).json() == first
    assert [attempt["outcome"] for attempt in first["attempts"]] == ["stopped"]


async def test_stopping_what_is_over(door: Door) -> None:
    """A turn that has ended is answered as it is, and stays so."""
    turn = await door.ask()
    answer = await door.client.post(path_of(turn, "/stop"))
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert answer.json() == (await door.client.get(path_of(turn))).json()


async def test_many_stops_at_once(door: Door) -> None:
    """Whoever stops first, all get the one end."""
    _, turn = await begun(door)
    answers = await asyncio.gather(*(door.client.post(path_of(turn, "/stop")) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({"content-length": "0"}, b""),
        ({"content-type": "application/json"}, b""),
        ({"content-type": "text/plain;charset=UTF-8"}, b""),
        ({"content-type": "application/json"}, b"{}"),
    ],
    ids=["none", "no length", "empty JSON", "empty text", "empty object"],
)
@pytest.mark.parametrize("verb", ["stop", "regenerate"])
async def test_bodies_that_may_be_left_out(
    door: Door, headers: dict[str, str], body: bytes, verb: str
) -> None:
    """A page posts without a body, with an empty one, or with an empty object: all are fine."""
    turn = await door.ask()
    kind = ("turns", turn["turn_id"]) if verb == "stop" else ("messages", turn["message_id"])
    path = f"/sessions/{turn['session_id']}/{kind[0]}/{kind[1]}/{verb}"
    answer = await door.client.post(path, content=body, headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b'{"x": 1}', 422),
        ("application/json", b"[]", 422),
        ("application/json", b"null", 422),
        ("application/json", b"{", 400),
        ("application/json", b'{"stream": false, "stream": true}', 400),
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"a=b", 415),
        ("application/json", b"{" + b" " * 300_000 + b"}", 413),
    ],
)
@pytest.mark.parametrize("verb", ["stop", "regenerate", "edit"])
async def test_bodies_that_are_wrong(
    door: Door, content_type: str, body: bytes, status: int, verb: str
) -> None:
    """G14: a body that is there must be right; nothing is stopped or asked by a wrong one."""
    dictation, turn = await begun(door)
    question = (await messages_of(door, turn["session_id"]))[0]["message_id"]
    place = f"turns/{turn['turn_id']}" if verb == "stop" else f"messages/{question}"
    path = f"/sessions/{turn['session_id']}/{place}/{verb}"
    headers = {"content-type": content_type}
    answer = await door.client.post(path, content=body, headers=headers)
    assert answer.status_code == status
    problem_of(answer)
    assert (await door.client.get(path_of(turn))).json()["status"] == "running"
    assert len(door.llm.requests) == 1
    dictation.end()


@pytest.mark.parametrize("verb", ["regenerate", "edit"])
@pytest.mark.parametrize(
    "fields",
    [{"stream": "yes"}, {"stream": 1}, {"on_busy": "queue"}, {"on_busy": None}, {"owner": "x"}],
    ids=str,
)
async def test_fields_that_are_wrong(door: Door, verb: str, fields: dict[str, Any]) -> None:
    """G14: each wrong field is named, and nothing changes."""
    turn = await door.ask()
    path = f"/sessions/{turn['session_id']}/messages/{turn['message_id']}/{verb}"
    body = fields if verb == "regenerate" else {"message": "y", **fields}
    answer = await door.client.post(path, json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in problem_of(answer)["errors"]] == list(fields)
    assert len(await messages_of(door, turn["session_id"])) == 2


@pytest.mark.parametrize("message", ["", "  ", "\x00", "x" * 32_001])
async def test_an_edit_that_is_no_question(door: Door, message: str) -> None:
    """G14: what could not be asked cannot be asked instead; the old question stays."""
    turn = await door.ask()
    path = f"/sessions/{turn['session_id']}/messages/{turn['message_id']}/edit"
    answer = await door.client.post(path, json={"message": message})
    assert (answer.status_code, problem_of(answer)["code"]) == (422, "invalid_request")
    messages = await messages_of(door, turn["session_id"])
    assert [message["superseded_by"] for message in messages] == [None, None]


async def test_superseding_a_reply(door: Door, served: Place) -> None:
    """G3: `supersede` stops the running reply, tells its readers, and answers the new question."""
    dictation = door.llm.dictate()
    async with asking(served, "one") as first:
        dictation.say("half")
        turn = (await first.until("half"))[0].data
        async with asking(served, "two", on_busy="supersede", **session_of(turn)) as second:
            *_, done = await second.rest()
        (stopped,) = await first.rest()
    assert (stopped.name, stopped.data["response"]) == ("stopped", "half")
    assert (done.name, done.data["response"]) == ("done", "You asked: two")
    contents = [message["content"] for message in await messages_of(door, turn["session_id"])]
    assert contents == ["one", "half", "two", "You asked: two"]


async def test_superseding_without_a_stream(door: Door) -> None:
    """G3: the same with whole answers: who waited for the first gets its part."""
    turn = await door.ask("zero")
    door.llm.dictate()
    door.llm.asked.clear()
    waiting = asyncio.create_task(
        door.client.post("/chat", json={"message": "one"} | session_of(turn))
    )
    await door.llm.asked.wait()
    second = await door.ask("two", on_busy="supersede", **session_of(turn))
    first = (await waiting).json()
    assert (first["status"], first["response"], first["message_id"]) == ("stopped", "", None)
    assert second["response"] == "You asked: two"


async def test_a_busy_session_is_no_stream(door: Door, served: Place) -> None:
    """G3: a refusal for a running reply is a 409 that names it, also where a stream was wanted."""
    dictation, turn = await begun(door)
    body = {"message": "y", "stream": True} | session_of(turn)
    async with request(served, "POST", "/chat", body) as stream:
        assert stream.status == 409
        assert stream.headers["content-type"] == "application/problem+json"
    answer = await door.client.post("/chat", json=body)
    assert (problem_of(answer)["code"], problem_of(answer)["turn_id"]) == (
        "session_busy",
        turn["turn_id"],
    )
    dictation.end()


@pytest.mark.parametrize("of", ["question", "reply"])
async def test_asking_again(door: Door, of: str) -> None:
    """G8: a new turn takes the old one's place; the old one stays stored and says by whom."""
    turn = await door.ask("one")
    old = await messages_of(door, turn["session_id"])
    message_id = old[0 if of == "question" else 1]["message_id"]
    door.llm.script("another answer")
    path = f"/sessions/{turn['session_id']}/messages/{message_id}/regenerate"
    answer = await door.client.post(path)
    new = answer.json()
    assert (answer.status_code, new["response"]) == (200, "another answer")
    assert new.keys() == turn.keys()
    assert new["turn_id"] != turn["turn_id"]
    messages = await messages_of(door, turn["session_id"])
    assert [(message["content"], message["superseded_by"]) for message in messages] == [
        ("one", new["turn_id"]),
        ("You asked: one", new["turn_id"]),
        ("one", None),
        ("another answer", None),
    ]
    superseded = (await door.client.get(path_of(turn))).json()
    assert superseded["superseded_by"] == new["turn_id"]
    assert (await door.client.get(path_of(new))).json()["superseded_by"] is None
    await door.ask("two", session_id=turn["session_id"])
    said = [message.content for message in door.llm.requests[-1].prompt.messages]
    assert said == ["one", "another answer", "two"]


async def test_asking_again_as_a_stream(door: Door, served: Place) -> None:
    """A regenerated reply can be read while it is written, under its own turn."""
    turn = await door.ask("one")
    path = f"/sessions/{turn['session_id']}/messages/{turn['message_id']}/regenerate"
    dictation = door.llm.dictate()
    async with request(served, "POST", path, {"stream": True}) as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        dictation.say("new")
        first = (await stream.until("new"))[0].data
        async with following(served, first) as other:
            dictation.end()
            ends = [(await one.rest())[-1] for one in (stream, other)]
    assert ends[0] == ends[1]
    assert ends[0].data["turn_id"] == first["turn_id"] != turn["turn_id"]


async def test_an_edit(door: Door, served: Place) -> None:
    """G8: an edited question and all after it leave the window; the model sees the new one."""
    first = await door.ask("one")
    second = await door.ask("two", session_id=first["session_id"])
    await door.ask("three", session_id=first["session_id"])
    question = (await messages_of(door, first["session_id"]))[2]["message_id"]
    path = f"/sessions/{first['session_id']}/messages/{question}/edit"
    async with request(served, "POST", path, {"message": "2!", "stream": True}) as stream:
        events = await stream.rest()
    assert text_of(events) == events[-1].data["response"] == "You asked: 2!"
    messages = await messages_of(door, first["session_id"])
    new = events[-1].data["turn_id"]
    assert [message["superseded_by"] for message in messages] == [None] * 2 + [new] * 4 + [None] * 2
    said = [message.content for message in door.llm.requests[-1].prompt.messages]
    assert said == ["one", "You asked: one", "2!"]
    assert second["turn_id"] != new


PASSAGE = {"text": "old", "title": None, "url": None, "anchor": None}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, PASSAGE),
        ({"selected_text": None}, None),
        ({"selected_text": "new"}, PASSAGE | {"text": "new"}),
        ({"selected_text": {"text": "new", "url": "u"}}, PASSAGE | {"text": "new", "url": "u"}),
    ],
    ids=["left out", "null", "text", "with source"],
)
async def test_the_passage_of_an_edit(door: Door, fields: dict[str, Any], expected: Any) -> None:
    """Left out, the passage stays; null takes it away; another takes its place."""
    turn = await door.ask("one", selected_text="old")
    path = f"/sessions/{turn['session_id']}/messages/{turn['message_id']}/edit"
    answer = await door.client.post(path, json={"message": "one!", **fields})
    assert answer.status_code == 200, answer.text
    messages = await messages_of(door, turn["session_id"])
    assert messages[2]["selected_text"] == expected


@pytest.mark.parametrize("verb", ["regenerate", "edit"])
async def test_what_has_been_replaced(door: Door, verb: str) -> None:
    """A message whose place is taken cannot be replaced again: 409, and nothing changes."""
    turn = await door.ask("one")
    path = f"/sessions/{turn['session_id']}/messages/{turn['message_id']}"
    body = {"message": "y"} if verb == "edit" else {}
    assert (await door.client.post(f"{path}/{verb}", json=body)).status_code == 200
    answer = await door.client.post(f"{path}/{verb}", json=body)
    assert (answer.status_code, problem_of(answer)["code"]) == (409, "message_superseded")
    assert problem_of(answer)["retryable"] is False
    assert len(await messages_of(door, turn["session_id"])) == 4


@pytest.mark.parametrize("verb", ["regenerate", "edit"])
@pytest.mark.parametrize("ids", [(UNKNOWN_ID, None), (None, UNKNOWN_ID), ("x", None), (None, "x")])
async def test_what_is_not_there(door: Door, verb: str, ids: tuple[str | None, str | None]) -> None:
    """Unknown and malformed ids are one 404."""
    turn = await door.ask("one")
    path = f"/sessions/{ids[0] or turn['session_id']}/messages/{ids[1] or turn['message_id']}"
    body = {"message": "y"} if verb == "edit" else {}
    answer = await door.client.post(f"{path}/{verb}", json=body)
    assert (answer.status_code, problem_of(answer)["code"]) == (404, "message_not_found")


@pytest.mark.parametrize("verb", ["regenerate", "edit"])
async def test_replacing_what_is_being_written(door: Door, verb: str) -> None:
    """G3: while a reply runs a replacement is refused, or stops it and keeps its part."""
    _, turn = await begun(door)
    question = (await messages_of(door, turn["session_id"]))[0]["message_id"]
    path = f"/sessions/{turn['session_id']}/messages/{question}/{verb}"
    body = {"message": "y"} if verb == "edit" else {}
    refused = await door.client.post(path, json=body)
    assert (refused.status_code, problem_of(refused)["code"]) == (409, "session_busy")
    answer = await door.client.post(path, json=body | {"on_busy": "supersede"})
    assert answer.status_code == 200
    messages = await messages_of(door, turn["session_id"])
    assert [message["turn_status"] for message in messages] == ["stopped"] * 2 + ["completed"] * 2
    assert messages[1]["content"] == "half"
    assert messages[0]["superseded_by"] == answer.json()["turn_id"]


@pytest.mark.parametrize("verb", ["regenerate", "edit"])
async def test_one_key_one_replacement(door: Door, verb: str) -> None:
    """G2: a repeated replacement is the one that was made, also now that its target is replaced."""
    turn = await door.ask("one")
    path = f"/sessions/{turn['session_id']}/messages/{turn['message_id']}/{verb}"
    body = {"message": "y"} if verb == "edit" else {}
    headers = {"Idempotency-Key": KEY}
    first = await door.client.post(path, json=body, headers=headers)
    again = await door.client.post(path, json=body, headers=headers)
    assert first.json() == again.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    streamed = await door.client.post(path, json=body | {"stream": True}, headers=headers)
    assert streamed.headers["idempotent-replayed"] == "true"
    assert first.content in streamed.content
    other = await door.client.post("/chat", json={"message": "y"}, headers=headers)
    assert (other.status_code, problem_of(other)["code"]) == (422, "idempotency_key_reused")
    assert len(door.llm.requests) == 2


@pytest.mark.parametrize("verb", ["regenerate", "edit"])
async def test_two_keys_are_refused(door: Door, verb: str) -> None:
    """Of two keys none is meant."""
    path = f"/sessions/{UNKNOWN_ID}/messages/{UNKNOWN_ID}/{verb}"
    given = [(b"idempotency-key", name * 16) for name in (b"a", b"b")]
    answer = await door.client.post(path, json={"message": "y"}, headers=given)
    assert answer.status_code == 422
    assert problem_of(answer)["errors"][0]["field"] == "Idempotency-Key"


async def test_a_replacement_that_fails(door: Door) -> None:
    """A regenerated reply that fails is answered like any other failure, with its turn."""
    turn = await door.ask("one")
    door.llm.script(LLMUnavailable("canary"))
    path = f"/sessions/{turn['session_id']}/messages/{turn['message_id']}/regenerate"
    answer = await door.client.post(path)
    assert (answer.status_code, problem_of(answer)["code"]) == (502, "llm_unavailable")
    assert problem_of(answer)["turn_id"] != turn["turn_id"]
    assert "canary" not in answer.text


async def test_a_stop_of_somebody_else(door: Door) -> None:
    """G11: a stranger stops nothing and learns nothing."""
    door.llm.script(ScriptedAnswer((0.1, "mine")))
    headers = bearer(VISITOR_A)
    asking_mine = asyncio.create_task(
        door.client.post("/chat", json={"message": "x"}, headers=headers)
    )
    await door.llm.asked.wait()
    ((_, session_id),) = door.repository._kept
    page = await door.client.get(f"/sessions/{session_id}/messages", headers=headers)
    turn_id = page.json()["items"][0]["turn_id"]
    refused = await door.client.post(f"/sessions/{session_id}/turns/{turn_id}/stop")
    assert (refused.status_code, problem_of(refused)["code"]) == (404, "turn_not_found")
    assert (await asking_mine).json()["response"] == "mine"
