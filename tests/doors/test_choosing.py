"""Beside the rooms: which doors are open is the operator's choice.

May import: standard library, pytest, tests.http.
"""

from __future__ import annotations

import pytest

from tests.http.door import open_door

# What answers something else than "not found" where its door is open.
_BEHIND = {
    "page": ("GET", "/"),
    "ai-sdk": ("GET", "/api/chat/a-chat-that-nobody-knows"),
    "openai": ("GET", "/v1/models"),
    "chatkit": ("POST", "/chatkit"),
}


@pytest.mark.parametrize("chosen", [*_BEHIND, "none", ",".join(_BEHIND)])
async def test_only_chosen_doors_are_open(chosen: str) -> None:
    """Behind the others there is nothing; our own API is always there."""
    async with open_door(DOORS=chosen) as door:
        for name, (method, path) in _BEHIND.items():
            answer = await door.client.request(method, path)
            is_open = answer.status_code not in (404, 405)
            assert is_open == (name in chosen.split(",")), (name, answer.status_code)
        assert (await door.client.get("/sessions")).status_code == 200
