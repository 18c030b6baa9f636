"""Room 4, the door: what OpenAI's clients send, as far as it means something here.

May import: standard library, app, chatcore, litestar, msgspec.

The clients' vocabulary grows by the month. A field that only tunes how the model writes
(`temperature`, `seed`, …), or is for bookkeeping, is let pass and does nothing, as with other
servers of this protocol. One whose absence would make the answer another thing than was asked for
is refused by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from litestar import Request
from msgspec import Struct

from app.doors.openai.errors import Wrong, unsupported
from app.http.body import read_struct
from app.http.problems import Refused
from chatcore import ChatService, Metadata, OwnerId, make_metadata

_MAX_PAIRS = 16
_MAX_CONVERSATION_ITEMS = 20
_NOTHING: tuple[object, ...] = (None, False, 0, "", "auto", "none", [], {})
_NO_TOOLS = "this service has no tools"

OwnedRequest = Request[OwnerId, Any, Any]
S = TypeVar("S", bound=Struct)


class ChatRequest(Struct, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Any
    model: str | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    response_format: dict[str, Any] | None = None
    tools: Any = None
    tool_choice: Any = None
    functions: Any = None
    function_call: Any = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    audio: Any = None
    stop: Any = None
    web_search_options: Any = None


class ResponseRequest(Struct, kw_only=True):
    """POST /v1/responses."""

    input: Any
    model: str | None = None
    conversation: Any = None
    previous_response_id: str | None = None
    instructions: Any = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    max_output_tokens: int | None = None
    text: dict[str, Any] | None = None
    tools: Any = None
    tool_choice: Any = None
    top_logprobs: int | None = None
    prompt: Any = None


class ConversationRequest(Struct, kw_only=True):
    """POST /v1/conversations."""

    items: list[Any] | None = None
    metadata: dict[str, str] | None = None


class ConversationUpdate(Struct, kw_only=True):
    """POST /v1/conversations/{id}."""

    metadata: dict[str, str] | None


class ItemsRequest(Struct, kw_only=True):
    """POST /v1/conversations/{id}/items."""

    items: list[Any]


_REFUSED_IN_CHAT = {
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
    "functions": _NO_TOOLS,
    "function_call": _NO_TOOLS,
    "logprobs": "the model's probabilities are not passed on",
    "top_logprobs": "the model's probabilities are not passed on",
    "audio": "this service writes plain text only",
    "stop": "answers end where the model ends them",
    "web_search_options": "this service does not search",
}
_REFUSED_IN_RESPONSES = {
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
    "top_logprobs": "the model's probabilities are not passed on",
    "prompt": "this service keeps no prompts",
}


async def read_body(request: OwnedRequest, model: type[S]) -> S:
    """Return the body of a request.

    Raises:
        Refused: It is not JSON, or no such object.
    """
    body = await request.body()
    if not body:
        raise Refused("malformed_json", "The body is empty.")
    return read_struct(body, model)


def check_chat(request: ChatRequest) -> None:
    """Refuse what would silently be answered as something else.

    Raises:
        Wrong: Something is.
    """
    _refuse(request, _REFUSED_IN_CHAT)
    if request.n not in (None, 1):
        raise unsupported("n", "there is one answer to a question")
    if (request.response_format or {"type": "text"}).get("type") != "text":
        raise unsupported("response_format", "answers are plain text")
    if set(request.modalities or ["text"]) != {"text"}:
        raise unsupported("modalities", "this service writes plain text only")
    _require_positive("max_tokens", request.max_tokens)
    _require_positive("max_completion_tokens", request.max_completion_tokens)


def check_response(request: ResponseRequest) -> None:
    """Refuse what would silently be answered as something else.

    Raises:
        Wrong: Something is.
    """
    _refuse(request, _REFUSED_IN_RESPONSES)
    form = (request.text or {}).get("format") or {"type": "text"}
    if not isinstance(form, dict) or form.get("type") != "text":
        raise unsupported("text.format", "answers are plain text")
    if request.conversation is not None and request.previous_response_id is not None:
        raise Wrong(
            "previous_response_id",
            "'previous_response_id' and 'conversation' cannot be given together.",
        )
    _require_positive("max_output_tokens", request.max_output_tokens)


def check_model(name: str | None, service: ChatService) -> None:
    """Refuse a model that is not the one there is.

    Raises:
        Wrong: It is another one.
    """
    if name is not None and name != service.model:
        message = f"There is no such model here; there is '{service.model}'."
        raise Wrong("model", message, code="model_not_found", status=404)


def read_metadata(given: Mapping[str, str] | None) -> Metadata:
    """Return what a client notes down.

    Raises:
        InvalidInput: It is too much, or cannot be stored.
        Wrong: It is too much, or a name is one of ours.
    """
    pairs = dict(given or {})
    if len(pairs) > _MAX_PAIRS:
        raise Wrong("metadata", f"'metadata' has more than {_MAX_PAIRS} entries.")
    if any(name.startswith("_") for name in pairs):
        raise Wrong("metadata", "'metadata' has a name that begins with an underscore.")
    return make_metadata(pairs)


def shown_metadata(metadata: Metadata) -> dict[str, str]:
    """Return what the client noted down, without what we did."""
    return {name: value for name, value in metadata if not name.startswith("_")}


def check_items(items: list[Any]) -> None:
    """Refuse too many items at once.

    Raises:
        Wrong: They are.
    """
    if len(items) > _MAX_CONVERSATION_ITEMS:
        raise Wrong("items", f"'items' has more than {_MAX_CONVERSATION_ITEMS} entries.")


def _require_positive(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise Wrong(name, f"'{name}' is not at least 1.")


def _refuse(request: Struct, reasons: Mapping[str, str]) -> None:
    for name, reason in reasons.items():
        if getattr(request, name) not in _NOTHING:
            raise unsupported(name, reason)
