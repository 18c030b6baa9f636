"""Pages that use the real hook `useChat`, as a test sees them.

May import: standard library, tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.doors.node.harness.process import NodeProcess
from tests.http.door import VISITOR_A
from tests.http.sockets import Place


@dataclass(frozen=True)
class Shown:
    """What a page shows at a moment."""

    status: str
    error: str | None
    messages: list[dict[str, Any]]
    errors: list[str]
    finishes: list[dict[str, Any]]
    data: list[dict[str, Any]]

    @property
    def said(self) -> list[tuple[str, str]]:
        """Roles and texts, in order."""
        return [(message["role"], text_of(message)) for message in self.messages]

    @property
    def texts(self) -> list[str]:
        """Texts, in order."""
        return [text for _, text in self.said]

    @property
    def names(self) -> list[str]:
        """Names of messages, in order."""
        return [message["id"] for message in self.messages]


def text_of(message: dict[str, Any]) -> str:
    """Return the text of a message."""
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


class Page:
    """One page with one chat on it."""

    def __init__(self, program: NodeProcess, name: str) -> None:
        self._program = program
        self._name = name

    async def send(self, text: str, **more: Any) -> Shown:
        """Send a message and wait for what becomes of it."""
        return await self.run("sendMessage", {"text": text, **more})

    async def begin(self, text: str, **more: Any) -> None:
        """Send a message."""
        await self.start("sendMessage", {"text": text, **more})

    async def run(self, method: str, *given: Any) -> Shown:
        """Do anything, and wait for what becomes of it."""
        return Shown(**await self._do("run", method=method, given=given))

    async def start(self, method: str, *given: Any) -> None:
        """Do anything."""
        await self._do("start", method=method, given=given)

    async def until(self, **wanted: Any) -> Shown:
        """Wait until the page shows this: `status`, a piece of `text`, `count`, `finishes`."""
        return Shown(**await self._do("until", **wanted))

    async def close(self) -> None:
        """Leave the page."""
        await self._do("close")

    async def _do(self, operation: str, **given: Any) -> Any:
        return await self._program.do(operation, name=self._name, **given)


class Browser:
    """Opens pages that talk to one service.

    Args:
        program: Where they live.
        place: Where the service is.
    """

    def __init__(self, program: NodeProcess, place: Place) -> None:
        self._program = program
        self.api = f"http://{place[0]}:{place[1]}/api/chat"

    async def open(
        self, chat_id: str | None = None, *, token: str | None = VISITOR_A, **options: Any
    ) -> Page:
        """Open a page.

        Args:
            chat_id: The chat on it; None: a new one.
            token: Whose page; None: without a credential.
            options: `shape` ("all" or "last" messages are sent), `messages`, `resume`, `body`.
        """
        name = uuid4().hex
        await self._program.do(
            "open", name=name, api=self.api, id=chat_id or name, token=token, **options
        )
        return Page(self._program, name)

    async def close(self) -> None:
        """Leave all pages."""
        await self._program.do("closeAll")
