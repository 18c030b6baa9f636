"""OpenAI's own client, and what is checked of all that it gets.

May import: standard library, openai, pydantic, pytest, tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI, AsyncStream, Omit
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.http.sockets import Place

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_RESPONSE = TypeAdapter(Response)
CELL = 8


NO_CREDENTIAL: dict[str, Any] = {"Authorization": Omit()}
"""What a call has to be given so that the client sends no credential."""


def client_of(place: Place, key: str, *, max_retries: int = 0) -> AsyncOpenAI:
    """Return a client."""
    host, port = place
    return AsyncOpenAI(api_key=key, base_url=f"http://{host}:{port}/v1", max_retries=max_retries)


def checked(response: Response) -> Response:
    """Return a response that its own type takes, every field of it."""
    _RESPONSE.validate_python(response.model_dump(), strict=False)
    assert response.object == "response"
    return response


class Heard:
    """The events of one stream, each of which its own type takes.

    Attributes:
        events: All of them.
    """

    def __init__(self) -> None:
        self.events: list[Any] = []

    def add(self, event: Any) -> None:
        """Take one more."""
        self.events.append(_EVENT.validate_python(event.model_dump()))

    @property
    def numbers(self) -> list[int]:
        """Their numbers."""
        return [event.sequence_number for event in self.events]

    @property
    def kinds(self) -> list[str]:
        """Their types, without the common beginning, repeated ones once."""
        kinds = [event.type.removeprefix("response.") for event in self.events]
        return [kind for at, kind in enumerate(kinds) if kind not in kinds[at - 1 : at]]

    @property
    def text(self) -> str:
        """What the deltas add up to."""
        return "".join(e.delta for e in self.events if e.type == "response.output_text.delta")

    @property
    def last(self) -> Any:
        """The last one."""
        return self.events[-1]

    @property
    def response(self) -> Response:
        """The response as the last event tells it."""
        found: Response = self.last.response
        return found


WHOLE = [
    "created",
    "in_progress",
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
    "output_item.done",
    "completed",
]


async def hear(stream: Awaitable[AsyncStream[Any]] | AsyncStream[Any]) -> Heard:
    """Read a stream to its end; numbers have no gaps."""
    heard = Heard()
    opened = stream if isinstance(stream, AsyncStream) else await stream
    async for event in opened:
        heard.add(event)
    first = heard.numbers[0]
    assert heard.numbers == list(range(first, first + len(heard.numbers)))
    return heard


async def until_text(stream: AsyncIterator[Any], text: str) -> Heard:
    """Read a stream until so much of the text has come."""
    heard = Heard()
    while heard.text != text:
        heard.add(await anext(stream))
        assert text.startswith(heard.text)
    return heard


async def refusal(call: Awaitable[Any]) -> APIStatusError:
    """Return the error that a call ends with, having checked its form."""
    with pytest.raises(APIStatusError) as raised:
        await call
    error = raised.value
    body = error.body
    assert isinstance(body, dict)
    assert body.keys() == {"message", "type", "param", "code"}, body
    assert error.response.headers["content-type"] == "application/json"
    assert error.request_id
    return error


def said(error: APIStatusError) -> tuple[int, str | None, str | None]:
    """Return what programs decide by: status, code, parameter."""
    return error.status_code, error.code, error.param
