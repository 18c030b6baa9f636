"""Room 4, the door: chat completions. The client keeps the conversation; nothing is kept here.

May import: standard library, app, chatcore, litestar, msgspec.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import msgspec
from litestar import Response, post

from app.doors.openai.answers import show
from app.doors.openai.bodies import ChatRequest, OwnedRequest, check_chat, check_model, read_body
from app.doors.openai.content import Said as SaidBefore
from app.doors.openai.content import read_messages, split_system
from app.doors.openai.errors import Wrong, describe, encode
from app.doors.openai.leaving import Pump, while_there
from app.doors.openai.objects import Choice, Chunk, ChunkChoice, Completion, Said
from app.doors.openai.passing_stream import PassingRendering, begin_passing
from app.doors.openai.views import view_completion_usage
from app.http.body import require_json
from app.http.parameters import Service
from chatcore import LLMEnded, LLMReply, PromptMessage, Role

_encode = msgspec.json.Encoder().encode
_DONE = b"data: [DONE]\n\n"
_CHUNK = "chat.completion.chunk"


@post("/chat/completions", status_code=200, guards=[require_json])
async def complete_chat(request: OwnedRequest, chat_service: Service) -> Response[Any]:
    """Answer a conversation."""
    wanted = await read_body(request, ChatRequest)
    check_chat(wanted)
    check_model(wanted.model, chat_service)
    system, said = split_system(read_messages(wanted.messages, param="messages"))
    messages = to_prompt(said, param="messages")
    asked: dict[str, Any] = {"instructions": system, "max_tokens": _max_tokens(wanted)}
    if wanted.stream:
        with_usage = bool((wanted.stream_options or {}).get("include_usage"))
        rendering = ChunkRendering(chat_service.model, with_usage=with_usage)
        pump = Pump(chat_service.stream_once(messages, **asked))
        return await begin_passing(request, pump, rendering)
    reply = await while_there(request, chat_service.complete_once(messages, **asked))
    return show(_view(reply))


def to_prompt(said: list[SaidBefore], *, param: str) -> list[PromptMessage]:
    """Return a conversation as the model is given it.

    Raises:
        Wrong: Nobody has said anything.
    """
    if not said:
        raise Wrong(param, f"'{param}' holds no message of the user.")
    return [PromptMessage(Role(each.role), each.text) for each in said]


def _max_tokens(wanted: ChatRequest) -> int | None:
    given = [n for n in (wanted.max_tokens, wanted.max_completion_tokens) if n is not None]
    return min(given, default=None)


def _new_id() -> str:
    return f"chatcmpl-{uuid4().hex}"


def _view(reply: LLMReply) -> Completion:
    return Completion(
        id=_new_id(),
        created=int(time.time()),
        model=reply.model,
        choices=[Choice(message=Said(content=reply.text), finish_reason=reply.finish_reason)],
        usage=view_completion_usage(reply.usage),
    )


class ChunkRendering(PassingRendering):
    """A completion in chunks.

    Args:
        model: Who answers.
        with_usage: Whether the client wants to know what it cost.
    """

    def __init__(self, model: str, *, with_usage: bool) -> None:
        self._id = _new_id()
        self._created = int(time.time())
        self._model = model
        self._with_usage = with_usage

    def begin(self) -> bytes:
        """Return who speaks."""
        return self._chunk(ChunkChoice(delta={"role": "assistant", "content": ""}))

    def add(self, text: str) -> bytes:
        """Return a piece of text."""
        return self._chunk(ChunkChoice(delta={"content": text}))

    def end(self, ended: LLMEnded) -> bytes:
        """Return why it ended, and what it cost."""
        blocks = [self._chunk(ChunkChoice(delta={}, finish_reason=ended.finish_reason))]
        usage = view_completion_usage(ended.usage)
        if self._with_usage and usage is not None:
            blocks.append(_block(self._make(choices=[], usage=usage)))
        return b"".join([*blocks, _DONE])

    def fail(self, error: Exception) -> bytes:
        """Return what went wrong: both clients raise on it."""
        return b"data: %b\n\n" % encode(describe(error)[1])

    def _chunk(self, choice: ChunkChoice) -> bytes:
        return _block(self._make(choices=[choice]))

    def _make(self, **more: Any) -> Chunk:
        return Chunk(id=self._id, object=_CHUNK, created=self._created, model=self._model, **more)


def _block(chunk: Chunk) -> bytes:
    return b"data: %b\n\n" % _encode(chunk)
