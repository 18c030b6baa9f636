"""Is the process alive, and should it get requests.

May import: standard library, adapters, chatcore, pytest, tests.http.
"""

from __future__ import annotations

import pytest

from adapters.postgres import SchemaOutdated
from chatcore import StorageUnavailable
from tests.http.door import Door, open_door, problem_of


async def test_health_asks_nobody(door: Door) -> None:
    """/health is cheap: it answers with the database gone."""
    door.store.error = StorageUnavailable()
    before = list(door.store.calls)
    answer = await door.client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert door.store.calls == before


async def test_ready_asks_the_database(door: Door) -> None:
    """/health/ready is 200 while the database answers and is at head."""
    answer = await door.client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    assert door.store.calls[-1] == "check"


@pytest.mark.parametrize("error", [StorageUnavailable("secret host"), SchemaOutdated("1", "2")])
async def test_not_ready_without_the_database(door: Door, error: StorageUnavailable) -> None:
    """A database that is away, or not at head, is a 503 with Retry-After."""
    door.store.error = error
    answer = await door.client.get("/health/ready")
    assert (answer.status_code, problem_of(answer)["code"]) == (503, error.code)
    assert "retry-after" in answer.headers
    assert "secret host" not in answer.text


async def test_everything_that_was_opened_is_closed() -> None:
    """At the end the model's and the database's connections are closed, in this order."""
    async with open_door() as door:
        assert door.store.calls == ["open"]
    assert door.llm.is_closed
    assert door.store.calls == ["open", "close"]
