"""Room 4, the door: the objects of this protocol, as far as plain text needs them.

May import: standard library, msgspec.

Fields without which the clients' own types refuse an object are there even where we have nothing to
say in them.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class Model(Struct, kw_only=True):
    """A model that may be asked."""

    id: str
    created: int
    owned_by: str = "chatcore"
    object: str = "model"


class ModelList(Struct, kw_only=True):
    """All of them."""

    data: list[Model]
    object: str = "list"


class OutputText(Struct, kw_only=True):
    """What an assistant said."""

    text: str
    type: str = "output_text"
    annotations: list[Any] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)


class InputText(Struct, kw_only=True):
    """What a user said."""

    text: str
    type: str = "input_text"


class Item(Struct, kw_only=True):
    """A message."""

    id: str
    role: str
    content: list[OutputText | InputText]
    type: str = "message"
    status: str = "completed"


class ItemList(Struct, kw_only=True):
    """Items, and where they are in the list. The types of clients want ids also where none is."""

    data: list[Item]
    first_id: str
    last_id: str
    has_more: bool
    object: str = "list"


class Conversation(Struct, kw_only=True):
    """A conversation."""

    id: str
    created_at: int
    metadata: dict[str, str]
    object: str = "conversation"


class Deleted(Struct, kw_only=True):
    """Something that is gone."""

    id: str
    object: str
    deleted: bool = True


class Named(Struct, kw_only=True):
    """Which conversation."""

    id: str


class InputDetails(Struct, kw_only=True):
    """What the input cost; we do not know it any closer."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputDetails(Struct, kw_only=True):
    """What the output cost; we do not know it any closer."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, kw_only=True):
    """What a response cost. Unit: tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputDetails = field(default_factory=InputDetails)
    output_tokens_details: OutputDetails = field(default_factory=OutputDetails)


class ResponseError(Struct, kw_only=True):
    """Why a response failed."""

    code: str
    message: str


class Incomplete(Struct, kw_only=True):
    """Why a response is not whole."""

    reason: str


class TextForm(Struct, kw_only=True):
    """What the text is to look like: always plain."""

    format: dict[str, str] = field(default_factory=lambda: {"type": "text"})


class ResponseObject(Struct, kw_only=True):
    """A response."""

    id: str
    created_at: int
    status: str
    model: str
    output: list[Item]
    metadata: dict[str, str]
    background: bool = False
    completed_at: int | None = None
    conversation: Named | None = None
    error: ResponseError | None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    object: str = "response"
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    store: bool = True
    temperature: float | None = None
    text: TextForm = field(default_factory=TextForm)
    tool_choice: str = "auto"
    tools: list[Any] = field(default_factory=list)
    top_p: float | None = None
    truncation: str = "disabled"
    usage: ResponseUsage | None = None


class Said(Struct, kw_only=True):
    """The message of a completion."""

    content: str
    role: str = "assistant"
    refusal: None = None


class Choice(Struct, kw_only=True):
    """The one choice of a completion."""

    message: Said
    finish_reason: str
    index: int = 0
    logprobs: None = None


class CompletionUsage(Struct, kw_only=True):
    """What a completion cost. Unit: tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(Struct, kw_only=True):
    """A completion."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage | None
    object: str = "chat.completion"


class ChunkChoice(Struct, kw_only=True):
    """What a chunk adds."""

    delta: dict[str, str]
    finish_reason: str | None = None
    index: int = 0
    logprobs: None = None


class Chunk(Struct, kw_only=True, omit_defaults=True):
    """A piece of a completion."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | None = None
