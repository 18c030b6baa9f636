"""Room 4, the door: the OpenAPI document, and a page that shows it without any network.

May import: standard library, litestar.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litestar import Request, Response, Router
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

_PAGE = Path(__file__).with_name("docs_page.html")
_DESCRIPTION = (
    "Conversations, their messages and replies. Bodies are JSON in UTF-8; a field nobody knows is "
    "refused. Everything that goes wrong is an RFC 9457 problem: decide by `code`, and send again "
    "what is `retryable`. Times are UTC. Cursors are opaque."
)


class OfflineDocsPlugin(OpenAPIRenderPlugin):
    """One static page of ours; those that Litestar brings load their scripts from elsewhere."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the page, which fetches the document itself."""
        return _PAGE.read_bytes()


def _refuse_unknown(response: Response[Any]) -> Response[Any]:
    """Answer an unknown address like any other: Litestar has a page of its own for those here."""
    if response.status_code == NotFoundException.status_code:
        raise NotFoundException
    return response


def openapi_config() -> OpenAPIConfig:
    """Return what the document says besides the routes."""
    return OpenAPIConfig(
        title="chatcore",
        version="1",
        description=_DESCRIPTION,
        openapi_router=Router(
            "/schema",
            route_handlers=[],
            include_in_schema=False,
            dto=None,
            return_dto=None,
            after_request=_refuse_unknown,
        ),
        use_handler_docstrings=True,
        render_plugins=[OfflineDocsPlugin(path="/"), JsonRenderPlugin(path="/openapi.json")],
        components=Components(
            security_schemes={
                "visitor": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="`visitor-` and at least 32 random characters, made and kept by "
                    "the browser. Without it the caller is the shared owner `public`.",
                )
            }
        ),
        security=[{}, {"visitor": []}],
    )
