"""Room 4, the door: responses that are not to be kept (`store: false`).

May import: standard library, app, chatcore, litestar, msgspec.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from litestar import Response
from msgspec import structs

from app.doors.openai.answers import show
from app.doors.openai.bodies import OwnedRequest, ResponseRequest, read_metadata, shown_metadata
from app.doors.openai.completions import to_prompt
from app.doors.openai.content import Said, read_messages, split_system
from app.doors.openai.errors import Wrong, describe, unsupported
from app.doors.openai.ids import passing_item_id, passing_response_id
from app.doors.openai.leaving import Pump, while_there
from app.doors.openai.objects import Incomplete, ResponseError, ResponseObject
from app.doors.openai.passing_stream import PassingRendering, begin_passing
from app.doors.openai.response_events import ResponseEvents
from app.doors.openai.views import answer_item, view_failure, view_usage
from chatcore import ChatError, ChatService, InvalidInput, LLMEnded

_CUT = "length"


async def answer_once(
    request: OwnedRequest, wanted: ResponseRequest, service: ChatService
) -> Response[Any]:
    """Answer without keeping anything; the client's leaving ends it.

    Raises:
        Wrong: It asks for something that only kept responses have.
        ChatError: There is no answer.
    """
    for name in ("conversation", "previous_response_id", "background"):
        if getattr(wanted, name):
            raise unsupported(name, "it needs a response that is kept, and store is false")
    system, said = _read_said(wanted)
    messages = to_prompt(said, param="input")
    asked: dict[str, Any] = {"instructions": system, "max_tokens": wanted.max_output_tokens}
    begun = _begin(wanted, service.model)
    item_id = passing_item_id()
    try:
        if wanted.stream:
            pump = Pump(service.stream_once(messages, **asked))
            return await begin_passing(request, pump, PassingResponse(begun, item_id))
        reply = await while_there(request, service.complete_once(messages, **asked))
    except InvalidInput as error:
        field = "input" if error.field == "messages" else error.field
        raise InvalidInput(field, error.reason) from None
    ended = LLMEnded(reply.finish_reason, reply.model, reply.usage)
    return show(_end(begun, item_id, reply.text, ended))


def _read_said(wanted: ResponseRequest) -> tuple[str, list[Said]]:
    instructions = wanted.instructions or ""
    if not isinstance(instructions, str):
        raise Wrong("instructions", "'instructions' is not a text.")
    if isinstance(wanted.input, str):
        return instructions, [Said("user", wanted.input)]
    system, said = split_system(read_messages(wanted.input, param="input"))
    return "\n\n".join(text for text in (instructions, system) if text), said


def _begin(wanted: ResponseRequest, model: str) -> ResponseObject:
    return ResponseObject(
        id=passing_response_id(),
        created_at=int(time.time()),
        status="in_progress",
        model=model,
        output=[],
        metadata=shown_metadata(read_metadata(wanted.metadata)),
        instructions=wanted.instructions,
        max_output_tokens=wanted.max_output_tokens,
        store=False,
    )


def _end(begun: ResponseObject, item_id: str, text: str, ended: LLMEnded) -> ResponseObject:
    is_cut = ended.finish_reason == _CUT
    return structs.replace(
        begun,
        status="incomplete" if is_cut else "completed",
        incomplete_details=Incomplete(reason="max_output_tokens") if is_cut else None,
        completed_at=None if is_cut else int(time.time()),
        model=ended.model,
        output=[answer_item(item_id, text, is_whole=not is_cut)],
        usage=view_usage(ended.usage),
    )


class PassingResponse(PassingRendering):
    """A response that is not kept, event by event.

    Args:
        begun: The response at its beginning.
        item_id: Id of its one item.
    """

    headers: Mapping[str, str] = {}

    def __init__(self, begun: ResponseObject, item_id: str) -> None:
        self._begun = begun
        self._item_id = item_id
        self._events = ResponseEvents(begun, item_id=item_id)
        self._pieces: list[str] = []

    def begin(self) -> bytes:
        """Return what comes first."""
        return self._events.begin()

    def add(self, text: str) -> bytes:
        """Return the next piece."""
        self._pieces.append(text)
        return self._events.add(text)

    def end(self, ended: LLMEnded) -> bytes:
        """Return what comes last."""
        text = "".join(self._pieces)
        return self._events.end(_end(self._begun, self._item_id, text, ended), text)

    def fail(self, error: Exception) -> bytes:
        """Return that it failed, with what there was of it."""
        text = "".join(self._pieces)
        output = [answer_item(self._item_id, text, is_whole=False)] if text else []
        code = error.code if isinstance(error, ChatError) else None
        failure = (
            view_failure(code)
            if code
            else ResponseError(code="server_error", message=describe(error)[1].message)
        )
        failed = structs.replace(self._begun, status="failed", error=failure, output=output)
        return self._events.end(failed, text)
