"""Room 4, the door: the chat page and the widget, as files that are read once.

May import: standard library, litestar.

Their addresses are a table made at the start: what is not in it is not there, however a path is
written. They come with a validator, and are asked for again each time, so that a new version is
seen at once and an old one costs no bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from litestar import HttpMethod, Request, Response, Router
from litestar.handlers import HTTPRouteHandler

FOLDER = Path(__file__).parents[1] / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
"""What the page may load and do: nothing from elsewhere, nothing that stands in the page itself."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# A picture that is opened by itself is a document too.
_POLICIES = {".html": POLICY, ".svg": "default-src 'none'; style-src 'unsafe-inline'"}
_INDEX = "/index.html"


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is sent."""

    content: bytes
    headers: dict[str, str]

    def is_known(self, validators: str) -> bool:
        """Tell whether the client has it already, by its `If-None-Match`."""
        known = [one.strip().removeprefix("W/") for one in validators.split(",")]
        return self.headers["ETag"] in known or "*" in known


def make_page(folder: Path = FOLDER) -> Router:
    """Return the routes of all files in a folder; `index.html` is `/`."""
    files = {
        "/" + path.relative_to(folder).as_posix(): _read(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in _TYPES and path.is_file()
    }
    if _INDEX in files:
        files["/"] = files.pop(_INDEX)
    return Router(path="/", route_handlers=[_serve(path, file) for path, file in files.items()])


def _read(path: Path) -> _File:
    content = path.read_bytes()
    headers = {
        "Content-Type": _TYPES[path.suffix],
        "ETag": f'"{sha256(content).hexdigest()[:32]}"',
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
    }
    if path.suffix in _POLICIES:
        headers["Content-Security-Policy"] = _POLICIES[path.suffix]
    return _File(content, headers)


def _serve(path: str, file: _File) -> HTTPRouteHandler:
    async def answer(request: Request[Any, Any, Any]) -> Response[bytes]:
        if file.is_known(request.headers.get("If-None-Match", "")):
            return Response(b"", status_code=304, headers=file.headers)
        return Response(file.content, headers=file.headers)

    methods = [HttpMethod.GET, HttpMethod.HEAD]
    return HTTPRouteHandler(path, http_method=methods, include_in_schema=False)(answer)
