"""Room 4, the door: what ChatKit's frontends send, told apart by `type`.

May import: standard library, app, msgspec.

Source: openai-chatkit 1.6.5, `chatkit.types` (read 2026-11).
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, TypeAlias

import msgspec
from msgspec import Struct

from app.doors.chatkit.params import (
    AddParams,
    CreateParams,
    FeedbackParams,
    ItemPaging,
    ItemParams,
    Paging,
    ThreadParams,
    TitleParams,
)
from app.http.body import read_struct
from app.http.problems import Refused
from app.http.schemas import FieldError

_MAX_REASON_CHARS = 200


class Request(Struct, frozen=True, tag_field="type"):
    """Base of all requests."""


class Create(Request, frozen=True, tag="threads.create"):
    """Begin a thread with a question."""

    params: CreateParams


class AddUserMessage(Request, frozen=True, tag="threads.add_user_message"):
    """Ask the next question."""

    params: AddParams


class Retry(Request, frozen=True, tag="threads.retry_after_item"):
    """Ask a question again; what came after it is gone."""

    params: ItemParams


class GetThread(Request, frozen=True, tag="threads.get_by_id"):
    """Look at a thread, with its first items."""

    params: ThreadParams


class ListThreads(Request, frozen=True, tag="threads.list"):
    """List threads."""

    params: Paging


class ListItems(Request, frozen=True, tag="items.list"):
    """List what was said."""

    params: ItemPaging


class UpdateThread(Request, frozen=True, tag="threads.update"):
    """Rename a thread."""

    params: TitleParams


class DeleteThread(Request, frozen=True, tag="threads.delete"):
    """Erase a thread."""

    params: ThreadParams


class SendFeedback(Request, frozen=True, tag="items.feedback"):
    """Say what one thinks of items."""

    params: FeedbackParams


class Unsupported(Request, frozen=True):
    """Base of what this service does not do; `refusal` is said instead."""

    refusal: ClassVar[str]


class AddToolOutput(Unsupported, frozen=True, tag="threads.add_client_tool_output"):
    """Answer a tool call."""

    refusal: ClassVar[str] = "This assistant calls no tools."


class AddStructuredInput(Unsupported, frozen=True, tag="threads.add_structured_input"):
    """Answer a form."""

    refusal: ClassVar[str] = "This assistant asks for no structured input."


class CustomAction(Unsupported, frozen=True, tag="threads.custom_action"):
    """Press a button of a widget."""

    refusal: ClassVar[str] = "This assistant has no widgets and no actions."


class SyncCustomAction(Unsupported, frozen=True, tag="threads.sync_custom_action"):
    """Press a button of a widget, and wait."""

    refusal: ClassVar[str] = CustomAction.refusal


class CreateAttachment(Unsupported, frozen=True, tag="attachments.create"):
    """Announce a file."""

    refusal: ClassVar[str] = "Attachments are not available here."


class DeleteAttachment(Unsupported, frozen=True, tag="attachments.delete"):
    """Drop a file."""

    refusal: ClassVar[str] = CreateAttachment.refusal


class Transcribe(Unsupported, frozen=True, tag="input.transcribe"):
    """Turn speech into text."""

    refusal: ClassVar[str] = "Dictation is not available here."


Asking: TypeAlias = Create | AddUserMessage | Retry
"""What asks the model, and is answered with a stream."""
Looking: TypeAlias = (
    GetThread | ListThreads | ListItems | UpdateThread | DeleteThread | SendFeedback
)
"""What asks no model, and is answered with JSON."""
_Refused: TypeAlias = (
    AddToolOutput
    | AddStructuredInput
    | CustomAction
    | SyncCustomAction
    | CreateAttachment
    | DeleteAttachment
    | Transcribe
)
AnyRequest: TypeAlias = Asking | Looking | _Refused

_decoder: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)


class _Envelope(Struct, frozen=True):
    """What every request has in common; read first, for what is wrong with any JSON."""

    type: str
    params: Any = None
    metadata: Any = None


def read_request(body: bytes) -> Asking | Looking:
    """Return a body as its request.

    Raises:
        Refused: It is no JSON, no request, or one for something that this service does not do.
    """
    read_struct(body, _Envelope)
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse(str(error))
    if isinstance(request, Unsupported):
        raise Refused("bad_request", request.refusal)
    if isinstance(request, Create | AddUserMessage) and request.params.input.attachments:
        raise Refused("bad_request", CreateAttachment.refusal)
    return request


def _refuse(complaint: str) -> NoReturn:
    """Refuse what the decoder complains about: `<what> - at `$<where>``."""
    reason, _, where = complaint.replace("`", "").rpartition(" - at $")
    reason = (reason or where)[:_MAX_REASON_CHARS]
    field = where.lstrip(".") if reason != where else ""
    wrong = FieldError(field=field or "body", reason=f"{reason[:1].lower()}{reason[1:]}")
    raise Refused("invalid_request", errors=[wrong])
