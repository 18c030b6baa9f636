"""Streams through a reverse proxy as it comes out of the box.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests import provider as say
from tests.integration.reading import asking
from tests.integration.served import serving
from tests.ports import kept_port
from tests.provider import Provider

PROGRAM = shutil.which("nginx", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
IDLE_SECONDS = 17
"""After this much silence the proxy gives a connection up: more than one keep-alive, not two."""

# Buffering is on, as it is when nobody says otherwise.
_CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  gzip on;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {address};
      proxy_http_version 1.1;
      proxy_read_timeout {idle}s;
    }}
  }}
}}
"""

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(
        PROGRAM is None, reason="needs nginx: Debian's package nginx-light, see .ci/run"
    ),
]


@asynccontextmanager
async def proxied(address: str) -> AsyncIterator[str]:
    """Start a proxy in front of a service, and give its address."""
    assert PROGRAM is not None
    with kept_port() as port, tempfile.TemporaryDirectory(prefix="nginx-", dir="/tmp") as name:
        file = _configure(Path(name), port, address)
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "-p", name, "-c", str(file), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _until_open(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            await process.wait()


def _configure(folder: Path, port: int, address: str) -> Path:
    folder.chmod(0o755)  # its workers are somebody else's when it runs as root
    file = folder / "nginx.conf"
    text = _CONFIGURATION.format(folder=folder, port=port, address=address, idle=IDLE_SECONDS)
    file.write_text(text, encoding="utf-8")
    return file


async def _until_open(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def test_nothing_is_held_back_and_nothing_is_cut(
    postgres_url: str, empty_schema: str
) -> None:
    """G6: events pass a buffering proxy one by one; silence does not make it close the stream."""
    async with Provider() as provider:
        provider.default(say.streamed(["One ", "two"]))
        settings = {
            "DATABASE_URL": postgres_url,
            "DATABASE_SCHEMA": empty_schema,
            "OPENAI_BASE_URL": provider.base_url,
            "LLM_TIMEOUT_SECONDS": "60",
        }
        async with serving(**settings) as service, proxied(service.address) as address:
            provider.script(
                say.events(
                    1.0,
                    say.say("One "),
                    IDLE_SECONDS + 2.0,
                    say.say("two"),
                    say.event({}, finish_reason="stop"),
                    say.DONE,
                )
            )
            async with asking(replace(service, address=address), "Count.") as reading:
                opened = await reading.until("turn")
                first = await reading.until("delta")
                assert not reading.is_over.is_set()
                done = await reading.until("done", within_seconds=IDLE_SECONDS + 10)
            assert reading.text == done.data["response"] == "One two"
            assert first.at - opened.at > 0.5
            assert done.at - first.at > IDLE_SECONDS
