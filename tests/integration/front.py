"""nginx in front of two replicas, with the configuration that docs/how-to/nginx.conf is.

May import: standard library, tests.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.integration.served import ROOT
from tests.ports import kept_port

PROGRAM = shutil.which("nginx", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
SHIPPED = ROOT / "docs" / "how-to" / "nginx.conf"

_LOG = "/var/log/nginx/chat.log"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Answered:
    """One line of nginx's log.

    Attributes:
        began_at: When the request came, in seconds since 1970.
        upstreams: The replicas it was given to, one after the other.
    """

    request_id: str
    method: str
    status: int
    began_at: float
    upstreams: tuple[str, ...]


@dataclass(frozen=True)
class Front:
    """A running nginx."""

    address: str
    log: Path

    def answered(self) -> list[Answered]:
        """Return what it has answered, in the order in which the answers ended."""
        return [_read(line) for line in self.log.read_text("utf-8").splitlines()]


@asynccontextmanager
async def fronted(*addresses: str) -> AsyncIterator[Front]:
    """Run nginx in front of two replicas until it lets connections in, and stop it at the end."""
    assert PROGRAM is not None
    with kept_port() as port, tempfile.TemporaryDirectory(prefix="nginx-", dir="/tmp") as name:
        folder = Path(name)
        file = _configure(folder, port, addresses)
        places = f"daemon off; pid {folder}/pid; error_log {folder}/error.log;"
        process = await asyncio.create_subprocess_exec(
            *(PROGRAM, "-p", name, "-c", str(file), "-g", places), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _until_open(process, port)
            yield Front(f"http://127.0.0.1:{port}", folder / "chat.log")
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def _configure(folder: Path, port: int, addresses: tuple[str, ...]) -> Path:
    """Write the shipped configuration with this test's addresses and folders, else untouched."""
    folder.chmod(0o755)  # its workers are somebody else's when it runs as root
    text = SHIPPED.read_text("utf-8")
    listed = re.findall(r"^ +server ([\w.]+:\d+) ", text, re.MULTILINE)
    places = dict(zip(listed, (urlsplit(each).netloc for each in addresses), strict=True))
    places |= {"listen 80;": f"listen 127.0.0.1:{port};", _LOG: f"{folder}/chat.log"}
    for before, after in places.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    temporary = (f"{name}_temp_path {folder}/{name};\n" for name in _TEMPORARY)
    file = folder / "nginx.conf"
    file.write_text(text.replace("http {\n", f"http {{\n{''.join(temporary)}", 1), "utf-8")
    return file


async def _until_open(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            assert process.returncode is None, "nginx does not take its configuration"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def _read(line: str) -> Answered:
    said = json.loads(line)
    return Answered(
        request_id=said["request_id"],
        method=said["method"],
        status=said["status"],
        began_at=said["at"] - said["seconds"],
        upstreams=tuple(said["upstream"].split(", ")) if said["upstream"] else (),
    )
