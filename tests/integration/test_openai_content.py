"""G14: whatever a provider repeats of a request in its errors, none of it is in their details.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from adapters.openai import OpenAILLM
from chatcore.errors import LLMError, LLMRejected
from chatcore.model.message import Role
from chatcore.model.prompt import Prompt, PromptMessage
from chatcore.testing.llm_rig import collect_until_failure
from tests.provider import DONE, Provider, Reply, Request, data, error, events, json_reply, raw, say

SYSTEM = 'You are the operator\'s own assistant.\nSay "no" to whatever is not about our products.'
PASSAGE = "Übermäßig vertrauliche Stelle: \t der Vertrag läuft am 31. März aus — 極秘の契約書です。"
EARLIER = 'C:\\new\\table and \\u00e9, \U0001f916 the patient\'s earlier question with "marks"'
REPLY = (
    "An earlier answer of the assistant that is long enough to be told apart\r\n\r\nfrom others."
)
QUESTION = f"About this passage:\n\n> {PASSAGE}\n\nWhat shall I tell   my lawyer, please?"
SHORT = "Am I pregnant?"
PIECE_CHARS = 20


def _prompt(question: str = QUESTION) -> Prompt:
    said = (
        PromptMessage(Role.USER, EARLIER),
        PromptMessage(Role.ASSISTANT, REPLY),
        PromptMessage(Role.USER, SHORT),
        PromptMessage(Role.USER, question),
    )
    return Prompt(system=SYSTEM, messages=said, max_tokens=16)


TEXTS = (SYSTEM, PASSAGE, EARLIER, REPLY, QUESTION)


def _repeat_all(request: Request) -> str:
    return " / ".join(message["content"] for message in request.json["messages"])


def _repeat_backwards(request: Request) -> str:
    return " / ".join(message["content"] for message in reversed(request.json["messages"]))


def _repeat_marked(request: Request) -> str:
    return f"bad value {request.json['messages'][-1]['content']!r} at messages[4].content"


def _repeat_body(request: Request) -> str:
    return f"invalid request: {request.body.decode()}"


def _repeat_ascii(request: Request) -> str:
    return f"invalid request: {json.dumps(request.json)}"


def _repeat_twice_escaped(request: Request) -> str:
    return json.dumps(json.dumps(request.json["messages"][::-1]))


def _repeat_a_part(request: Request) -> str:
    return f"token not allowed near ...{request.json['messages'][-1]['content'][20:60]}..."


def _repeat_short(request: Request) -> str:
    return f"refused: {request.json['messages'][3]['content']}"


WORDS = pytest.mark.parametrize(
    "repeat",
    [
        _repeat_all,
        _repeat_backwards,
        _repeat_marked,
        _repeat_body,
        _repeat_ascii,
        _repeat_twice_escaped,
        _repeat_a_part,
        _repeat_short,
    ],
)
Words = Callable[[Request], str]


def _validation(request: Request) -> Reply:
    told = {"type": "missing", "loc": ["body"], "msg": "bad", "input": request.json}
    return json_reply({"detail": [told]}, status=422)


BODIES: dict[str, Callable[[Request, str], Reply]] = {
    "OpenAI": lambda _, words: error(400, words, code="invalid", kind="invalid_request_error"),
    "in code": lambda _, words: error(400, "no", code=words, kind=words),
    "vLLM": lambda _, words: json_reply({"object": "error", "message": words}, status=400),
    "plain": lambda _, words: json_reply({"error": words}, status=400),
    "detail": lambda _, words: json_reply({"detail": words}, status=422),
    "message deep": lambda _, words: json_reply({"error": {"message": [words]}}, status=422),
    "FastAPI": lambda request, _: _validation(request),
    "a list": lambda request, _: json_reply([request.json], status=400),
    "a text": lambda _, words: json_reply(words, status=400),
    "HTML": lambda request, _: raw(b"<p>" + request.body, status=500),
    "in its type": lambda _, words: raw(
        status=500,
        headers={"Content-Type": words.encode("ascii", "ignore").decode().split("\n")[0]},
    ),
    "status 200": lambda _, words: json_reply({"error": {"message": words, "code": 400}}),
    "200, not JSON": lambda request, _: raw(request.body[:-1]),
    "200, the request": lambda request, _: raw(request.body),
    "in a stream": lambda _, words: events(say("a"), data({"error": {"message": words}}), DONE),
    "plain in a stream": lambda _, words: events(data({"error": words}), DONE),
    "request in a stream": lambda request, _: events(b"data: " + request.body[:-1] + b"\n\n"),
}


def _pieces(text: str) -> set[str]:
    return {text[i : i + PIECE_CHARS] for i in range(len(text) - PIECE_CHARS + 1)}


async def _fail(llm: OpenAILLM, prompt: Prompt, *, stream: bool) -> LLMError:
    request = llm.prepare(prompt, stream=stream)
    if stream:
        return (await collect_until_failure(llm, request))[1]
    with pytest.raises(LLMError) as caught:
        await llm.complete(request)
    return caught.value


@WORDS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shape", BODIES)
async def test_no_content_is_in_a_detail(
    provider: Provider, llm: OpenAILLM, shape: str, repeat: Words, stream: bool
) -> None:
    """G14: no 20 characters of question, passage, window or system prompt, in any form of error."""
    provider.script(lambda request: BODIES[shape](request, repeat(request)))
    failure = await _fail(llm, _prompt(), stream=stream)
    spelled = [*TEXTS, *(json.dumps(text) for text in TEXTS), *(repr(text) for text in TEXTS)]
    for text in [*spelled, *(" ".join(text.split()) for text in spelled)]:
        assert not [piece for piece in _pieces(text) if piece in failure.detail]
    assert SHORT not in failure.detail
    assert SHORT not in str(failure)


async def test_the_rest_of_the_words_stays(provider: Provider, llm: OpenAILLM) -> None:
    """What a provider says of its own is kept, around what it repeats; the model's name too."""
    words = f"Bad value '{QUESTION}' for m/a-model-with-a-very-long-name-indeed, see the manual"
    provider.script(error(400, words, code="bad_value"))
    failure = await _fail(llm, _prompt(), stream=False)
    assert type(failure) is LLMRejected
    assert failure.detail == (
        "HTTP 400: Bad value […] for m/a-model-with-a-very-long-name-indeed, see the manual "
        "(code bad_value)"
    )


@pytest.mark.parametrize(
    ("length", "told"), [(PIECE_CHARS - 1, SYSTEM[12:31]), (PIECE_CHARS, "[…]")]
)
async def test_twenty_characters_are_content(
    provider: Provider, llm: OpenAILLM, length: int, told: str
) -> None:
    """A run of 20 characters is blanked; a shorter one may be chance, and stays."""
    provider.script(error(400, f"<{SYSTEM[12 : 12 + length]}>"))
    failure = await _fail(llm, _prompt(), stream=False)
    assert failure.detail == f"HTTP 400: <{told}>"


async def test_a_large_request_is_looked_through_quickly(
    provider: Provider, llm: OpenAILLM
) -> None:
    """The time is linear in the request, also for texts and words that repeat themselves."""
    provider.script(error(400, "ab" * 30_000), error(400, '\\"' * 30_000))
    for mark in ("ab", '\\"'):
        started = time.process_time()  # the clock would count what others do on the machine
        failure = await _fail(llm, _prompt(mark * 250_000), stream=False)
        assert time.process_time() - started < 2
        assert mark * 10 not in failure.detail
