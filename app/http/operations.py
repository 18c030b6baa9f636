"""Room 4, the door: what the OpenAPI document says about streams, and about bodies left out.

May import: standard library, app, litestar.
"""

from __future__ import annotations

from dataclasses import dataclass

from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIType

from app.http.events import MEDIA_TYPE

EVENTS = """\
Server-sent events; `data` is one JSON object in one line.

- `turn` `{session_id, turn_id}`: first, at once.
- `delta` `{text}`: the next piece of the reply. Its `id` is the place after it: \
`<attempt>.<offset>`, the offset in code points.
- `restart` `{}`: the model is asked again; what was read of the reply counts no more.
- `done`, `stopped`: last; the JSON answer, with the reply as stored.
- `error`: last; a problem.

A comment, `: keep-alive`, comes after 15 seconds of silence. A stream that ends without one of \
the last three is to be followed again, from the last id.\
"""
_EXAMPLE = """\
event: turn
retry: 1000
data: {"session_id":"0199f3a2-7c1e-7d3b-9a55-2f1c5be0a1d4",\
"turn_id":"0199f3a2-7c1e-7d3b-9a55-30a4c1f2b7e8"}

event: delta
id: 1.15
data: {"text":"An independent "}

"""


@dataclass
class AnswerOrStream(Operation):
    """A route whose success may also be a stream of events."""

    def __post_init__(self) -> None:
        """Add the stream."""
        _content_of(self)[MEDIA_TYPE] = _events()


@dataclass
class StreamOnly(Operation):
    """A route whose success is a stream of events."""

    def __post_init__(self) -> None:
        """Put the stream in the place of what the return type says."""
        _content_of(self).clear()
        _content_of(self)[MEDIA_TYPE] = _events()


@dataclass
class OptionalBody(Operation):
    """A route whose body may be left out."""

    def __post_init__(self) -> None:
        """Say so."""
        _allow_no_body(self)


@dataclass
class OptionalBodyAnswerOrStream(AnswerOrStream):
    """A route whose body may be left out, and whose success may also be a stream of events."""

    def __post_init__(self) -> None:
        """Say both."""
        super().__post_init__()
        _allow_no_body(self)


def _allow_no_body(operation: Operation) -> None:
    if not isinstance(operation.request_body, RequestBody):
        raise TypeError("a route without a body")
    operation.request_body.required = False


def _content_of(operation: Operation) -> dict[str, OpenAPIMediaType]:
    success = (operation.responses or {}).get("200")
    if not isinstance(success, OpenAPIResponse) or success.content is None:
        raise TypeError("a route without content")
    return success.content


def _events() -> OpenAPIMediaType:
    schema = Schema(type=OpenAPIType.STRING, description=EVENTS, examples=[_EXAMPLE])
    return OpenAPIMediaType(schema=schema)
