"""The files of the chat page and the widget: how they are served, and what else is not.

May import: standard library, app, litestar, tests.http.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from litestar import Litestar
from litestar.testing import TestClient

from app.http.page import FOLDER, POLICY, make_page
from tests.http.door import Door
from tests.http.sockets import Place, exchange

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
NAMES = ["/", "/page.css", "/favicon.svg", "/widget.js", "/widget/widget.css"]
# Words that make something of the page run or load what the policy would refuse.
INLINE = re.compile(
    r"<style|<script(?![^>]*\ssrc=)|\son\w+\s*=|\sstyle\s*=|javascript:", re.IGNORECASE
)
_THERE = r"""(?:https?:)?//"""
ELSEWHERE = {
    ".html": re.compile(rf"""<(?:script|link|img|iframe|source)\b[^>]*["'=]{_THERE}"""),
    ".js": re.compile(rf"""\b(?:import|from)\b[\s(]*["'`]{_THERE}"""),
    ".css": re.compile(rf"""(?:url\(|@import)\s*["']?{_THERE}"""),
    ".svg": re.compile(rf"""(?:href|src)=["']{_THERE}"""),
}


def address_of(path: Path) -> str:
    """Return where a file is served."""
    name = path.relative_to(FOLDER).as_posix()
    return "/" if name == "index.html" else f"/{name}"


FILES = [
    (address_of(path), path.suffix, path.read_bytes())
    for path in sorted(FOLDER.rglob("*"))
    if path.is_file()
]


async def test_every_file_is_served(door: Door) -> None:
    """As it is, with its type, asked for again each time, and nothing of it is sniffed."""
    assert FILES
    for name, kind, content in FILES:
        answer = await door.client.get(name)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-type"] == TYPES[kind]
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["vary"] == "Origin"
        assert "set-cookie" not in answer.headers


async def test_the_page_is_complete(door: Door) -> None:
    """The addresses others rely on are there."""
    for name in NAMES:
        assert (await door.client.get(name)).status_code == 200, name
    assert (await door.client.get("/index.html")).status_code == 404


async def test_the_policy_of_the_page(door: Door) -> None:
    """Nothing from another host, no inline script or style, in nobody else's frame."""
    policy = (await door.client.get("/")).headers["content-security-policy"]
    assert policy == POLICY
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy


def test_no_file_asks_for_what_the_policy_refuses() -> None:
    """Pages have no inline script or style, and no file loads anything from elsewhere."""
    for name, kind, content in FILES:
        text = content.decode()
        if kind == ".html":
            assert INLINE.findall(text) == []
        assert ELSEWHERE[kind].findall(text) == [], name


async def test_a_known_version_is_not_sent_again(door: Door) -> None:
    """With the validator of what there is: 304 and no byte; with another one: all of it."""
    first = await door.client.get("/widget.js")
    tag = first.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = await door.client.get("/widget.js", headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "no-cache"
    for other in ('"x"', tag.strip('"'), "", ","):
        again = await door.client.get("/widget.js", headers={"if-none-match": other})
        assert (again.status_code, again.content) == (200, first.content), other


async def test_validators_follow_the_content(tmp_path: Path) -> None:
    """Another content has another validator, also if length and time are the same."""
    found = []
    for text in ("one", "two"):
        (tmp_path / "a.js").write_text(text)
        with TestClient(Litestar([make_page(tmp_path)], openapi_config=None)) as client:
            found.append(client.get("/a.js").headers["etag"])
    assert found[0] != found[1]


async def test_asking_for_the_head(served: Place) -> None:
    """HEAD tells the same as GET, without the content."""
    for name in NAMES:
        bodies, heads = [], []
        for method in ("GET", "HEAD"):
            raw = f"{method} {name} HTTP/1.1\r\nHost: t\r\nX-Request-ID: x\r\nConnection: close"
            status, headers, body = await _whole(served, f"{raw}\r\n\r\n".encode())
            assert status == 200
            heads.append({k: v for k, v in headers.items() if k != "date"})
            bodies.append(body)
        assert heads[0] == heads[1]
        assert len(bodies[0]) == int(heads[0]["content-length"])
        assert bodies[1] == b""


async def _whole(place: Place, raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and read all that comes until the end."""
    reader, writer = await asyncio.open_connection(*place)
    writer.write(raw)
    head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, body


ELSEWHERE_IN_THE_TREE = [
    "/widget/../../http/page.py",
    "/../main.py",
    "/%2e%2e/main.py",
    "/widget/%2e%2e%2f%2e%2e%2fmain.py",
    "/widget/..%2f..%2fmain.py",
    "/widget/..\\..\\main.py",
    "/widget/%00widget.css",
    "/widget/widget.css%00.js",
    "/widget//etc/passwd",
    "/widget/",
    "/widget",
    "/widget.js/x",
    "/WIDGET.JS",
    "//widget.js/..",
    "/page/index.html",
    "/app/page/index.html",
    "/.git/config",
]


async def test_nothing_else_is_there(served: Place) -> None:
    """Addresses are a table: however a path is written, no other file is found."""
    for path in ELSEWHERE_IN_THE_TREE:
        raw = f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
        status, headers, _ = await exchange(served, raw, close=False)
        assert (status, headers["content-type"]) == (404, "application/problem+json"), path


async def test_the_page_only_shows(door: Door) -> None:
    """Nothing can be put or posted there."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await door.client.request(method, "/widget.js")
        assert answer.status_code == 405


async def test_the_page_is_no_part_of_the_contract(door: Door) -> None:
    """Its files are not in the OpenAPI document."""
    paths = (await door.client.get("/schema/openapi.json")).json()["paths"]
    assert not {"/", "/widget.js", "/page.css"} & set(paths)


async def test_modules_are_for_listed_origins(door: Door) -> None:
    """Modules are fetched with CORS, so only pages of listed origins can load the widget."""
    for origin, allowed in (("http://localhost:3000", True), ("http://e.example", False)):
        for name in ("/widget.js", "/widget/widget.css"):
            answer = await door.client.get(name, headers={"origin": origin})
            assert ("access-control-allow-origin" in answer.headers) is allowed
