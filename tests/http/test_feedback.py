"""What people think of messages, over HTTP.

May import: standard library, pytest, tests.http.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.door import UNKNOWN_ID, VISITOR_A, VISITOR_B, Door, bearer, problem_of

A, B = bearer(VISITOR_A), bearer(VISITOR_B)
WRONG: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "rating"),
    "a comment alone": ({"comment": "x"}, "rating"),
    "a comment without a rating": ({"rating": None, "comment": "x"}, "comment"),
    "another rating": ({"rating": "sideways"}, "rating"),
    "a number": ({"rating": 1}, "rating"),
    "a rating in capitals": ({"rating": "UP"}, "rating"),
    "a field nobody knows": ({"rating": "up", "stars": 5}, "stars"),
    "an empty comment": ({"rating": "up", "comment": ""}, "comment"),
    "a blank comment": ({"rating": "up", "comment": " \n"}, "comment"),
    "a long comment": ({"rating": "up", "comment": "x" * 2001}, "comment"),
    "a NUL": ({"rating": "up", "comment": "a\x00b"}, "comment"),
    "a comment that is no text": ({"rating": "up", "comment": ["x"]}, "comment"),
}
MALFORMED = (b"", b"{", b"nope", b'{"rating": "up", "rating": "down"}', b'{"rating": "\xff"}')


async def place_of(door: Door, headers: dict[str, str]) -> str:
    """Ask something; return the address of the answer."""
    answer = await door.client.post("/chat", json={"message": "hello"}, headers=headers)
    body = answer.json()
    return f"/sessions/{body['session_id']}/messages/{body['message_id']}"


async def shown(door: Door, place: str, headers: dict[str, str]) -> list[Any]:
    """Return what is shown with each message of the session."""
    page = await door.client.get(place.rpartition("/")[0], headers=headers)
    return [item["feedback"] for item in page.json()["items"]]


@pytest.mark.parametrize("headers", [A, {}], ids=["visitor", "public"])
async def test_feedback_is_kept_and_shown(door: Door, headers: dict[str, str]) -> None:
    """A verdict is answered and listed until the next one takes its place; repeating is safe."""
    place = await place_of(door, headers)
    message_id = place.rpartition("/")[2]
    for sent in (
        {"rating": "up"},
        {"rating": "up"},
        {"rating": "down", "comment": "Too long. 🤖 <script>"},
        {"rating": "down", "comment": None},
        {"rating": None},
        {"rating": None},
        {"rating": "up", "comment": "x" * 2000},
    ):
        answer = await door.client.put(f"{place}/feedback", json=sent, headers=headers)
        kept = {"rating": sent["rating"], "comment": sent.get("comment")}
        assert answer.status_code == 200
        assert answer.json() == {"message_id": message_id, **kept}
        assert await shown(door, place, headers) == [None, kept if sent["rating"] else None]
    assert len(door.llm.requests) == 1


async def test_a_question_can_be_rated_too(door: Door) -> None:
    """Each message has feedback of its own."""
    place = await place_of(door, A)
    listed = (await door.client.get(place.rpartition("/")[0], headers=A)).json()["items"]
    for item, rating in zip(listed, ("down", "up"), strict=True):
        where = f"{place.rpartition('/')[0]}/{item['message_id']}/feedback"
        assert (await door.client.put(where, json={"rating": rating}, headers=A)).status_code == 200
    ratings = [feedback["rating"] for feedback in await shown(door, place, A)]
    assert ratings == ["down", "up"]


@pytest.mark.parametrize("name", WRONG)
async def test_feedback_that_cannot_be_accepted(door: Door, name: str) -> None:
    """G14: it is refused by name and changes nothing, for the model's eyes least of all."""
    body, field = WRONG[name]
    place = await place_of(door, A)
    kept = {"rating": "up", "comment": "before"}
    await door.client.put(f"{place}/feedback", json=kept, headers=A)
    answer = await door.client.put(f"{place}/feedback", json=body, headers=A)
    assert answer.status_code == 422
    problem = problem_of(answer)
    assert (problem["code"], problem["errors"][0]["field"]) == ("invalid_request", field)
    assert await shown(door, place, A) == [None, kept]


@pytest.mark.parametrize("body", MALFORMED)
async def test_feedback_that_is_no_json(door: Door, body: bytes) -> None:
    """G14: what cannot be read is refused."""
    place = await place_of(door, A)
    answer = await door.client.put(
        f"{place}/feedback", content=body, headers=A | {"content-type": "application/json"}
    )
    assert (answer.status_code, problem_of(answer)["code"]) == (400, "malformed_json")
    assert await shown(door, place, A) == [None, None]


async def test_a_lone_surrogate(door: Door) -> None:
    """G14: it is bad input, never a store that is away."""
    place = await place_of(door, A)
    answer = await door.client.put(
        f"{place}/feedback",
        content=rb'{"rating": "up", "comment": "\ud800"}',
        headers=A | {"content-type": "application/json"},
    )
    assert answer.status_code in {400, 422}
    assert await shown(door, place, A) == [None, None]


async def test_other_content_types(door: Door) -> None:
    """G14: only JSON is read."""
    place = await place_of(door, A)
    answer = await door.client.put(f"{place}/feedback", data={"rating": "up"}, headers=A)
    assert answer.status_code == 415
    assert await shown(door, place, A) == [None, None]


async def test_other_methods(door: Door) -> None:
    """The address knows PUT alone, and says so."""
    place = await place_of(door, A)
    answer = await door.client.post(f"{place}/feedback", json={"rating": "up"}, headers=A)
    assert answer.status_code == 405
    assert "PUT" in answer.headers["allow"]


async def test_nobody_else_rates_or_sees_it(door: Door) -> None:
    """G11: what others try is like rating what never was, and leaves nothing."""
    place = await place_of(door, A)
    kept = {"rating": "down", "comment": "mine"}
    await door.client.put(f"{place}/feedback", json=kept, headers=A)
    for headers in (B, {}):
        for body in ({"rating": "up"}, {"rating": None}):
            answer = await door.client.put(f"{place}/feedback", json=body, headers=headers)
            assert (answer.status_code, problem_of(answer)["code"]) == (404, "message_not_found")
    assert await shown(door, place, A) == [None, kept]


async def test_a_message_of_another_session_of_ones_own(door: Door) -> None:
    """A message is rated at its own address only."""
    place, other = await place_of(door, A), await place_of(door, A)
    mixed = f"{place.rpartition('/')[0]}/{other.rpartition('/')[2]}/feedback"
    for where in (mixed, f"{place.rpartition('/')[0]}/{UNKNOWN_ID}/feedback"):
        answer = await door.client.put(where, json={"rating": "up"}, headers=A)
        assert answer.status_code == 404
    assert await shown(door, place, A) == await shown(door, other, A) == [None, None]


async def test_feedback_is_erased_with_its_session(door: Door) -> None:
    """G12: there is nothing left to rate."""
    place = await place_of(door, A)
    await door.client.put(f"{place}/feedback", json={"rating": "up"}, headers=A)
    await door.client.delete(place.partition("/messages")[0], headers=A)
    answer = await door.client.put(f"{place}/feedback", json={"rating": "up"}, headers=A)
    assert answer.status_code == 404
