"""Room 4, the door: replies as HTML that is safe to put into a page.

May import: standard library, app, chatcore, markdown_it.

Model output is hostile input. What comes out holds the elements below and no other, `href` (http,
https and mailto), `rel` and `target` of links, `start` of lists, `align` of cells and `class` of
code, whatever comes in:
a blockquote br code em h1 h2 h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from app.logs import get_logger
from chatcore import Message, Role

MOST_CHARS = 60_000
"""A longer reply is shown as plain text, in code points."""
MOST_CHARS_A_PAGE = 200_000
"""How much of a page is rendered anew, the newest replies first; the rest is plain text."""
MOST_CACHED_CHARS = 4_000_000
"""How much rendered HTML is kept."""

# The parser takes 2 to 20 microseconds a character, except for what these bound: cells that a table
# is filled up with, long addresses that are referred to often, elements in one another.
_MOST_BLOCKS = 20_000
_MOST_GROWTH = 12
_SMALL = 4_000
_MOST_LEVELS = 20
_MOST_DEPTH = 60
# From here on it is done beside the event loop.
_LONG = 4_000

_ADDRESS = re.compile(r"(https?://[^/\s]|mailto:[^\s]).*", re.IGNORECASE | re.DOTALL)
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,32}")
_LINK = {"rel": "noopener noreferrer nofollow", "target": "_blank"}
_ALIGNED = {f"text-align:{side}": side for side in ("left", "center", "right")}
_log = get_logger("http")


class _TooMuch(Exception):
    """A text becomes more HTML than it is worth."""


class Parser(MarkdownIt):
    """CommonMark with tables and strikethrough, without HTML and images."""

    def __init__(self) -> None:
        options: dict[str, Any] = {"html": False, "linkify": False, "maxNesting": _MOST_LEVELS}
        super().__init__("commonmark", options)
        self.enable(["table", "strikethrough"])
        self.disable(["image", "html_block", "html_inline"])

    def validateLink(self, url: str) -> bool:  # noqa: N802
        """Tell whether a link may lead there; what is no link stays text."""
        return _ADDRESS.fullmatch(url) is not None

    def tokens_of(self, text: str) -> list[Token]:
        """Return what a text consists of, or raise `_TooMuch`."""
        state = StateCore(text, self, {})
        state.tokens = _Bounded()
        self.core.process(state)
        return state.tokens


class _Bounded(list[Token]):
    """Grows only so far."""

    def append(self, token: Token) -> None:
        """Take one more, or raise `_TooMuch`."""
        if len(self) >= _MOST_BLOCKS:
            raise _TooMuch
        super().append(token)


_parser = Parser()


def render(text: str, parser: Parser = _parser) -> str:
    """Return Markdown as HTML; what is too long or too intricate comes out as it is, escaped."""
    if len(text) > MOST_CHARS:
        return plain(text)
    try:
        tokens = parser.tokens_of(text)
        _tidy(tokens, _SMALL + _MOST_GROWTH * len(text))
        return str(parser.renderer.render(tokens, parser.options, {}))
    except _TooMuch:
        return plain(text)
    except Exception as error:  # noqa: BLE001  # a fault of the parser must not hide what was said
        _log.warning("markdown_failed", error=error)
        return plain(text)


def plain(text: str) -> str:
    """Return a text as it is, as HTML."""
    return f"<pre>{escapeHtml(text)}</pre>"


def _tidy(tokens: Iterable[Token], room: int) -> None:
    """Leave only the attributes that are listed above, and count what it will come to."""
    depth = 0
    for token in _all(tokens):
        depth += token.nesting
        token.attrs = _attributes_of(token)
        if token.type == "fence":
            named = _LANGUAGE.match(token.info.strip())
            token.info = named[0] if named else ""
        room -= 2 * len(token.tag) + sum(len(str(value)) for value in token.attrs.values())
        if room < 0 or depth > _MOST_DEPTH:
            raise _TooMuch


def _attributes_of(token: Token) -> dict[str, str | int | float]:
    """Return what is left of a token's attributes."""
    if token.type == "link_open":
        return {"href": str(token.attrs.get("href")), **_LINK}
    if token.type == "ordered_list_open" and "start" in token.attrs:
        return {"start": token.attrs["start"]}
    # As a style attribute, which the policy of a page forbids, it would be without effect.
    style = str(token.attrs.get("style", ""))
    if token.type in {"th_open", "td_open"} and style in _ALIGNED:
        return {"align": _ALIGNED[style]}
    return {}


def _all(tokens: Iterable[Token]) -> Iterable[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


class Markdown:
    """Renders pages of messages, one page at a time, and keeps what it rendered.

    A stored reply never changes, so its id is all that has to be known to find it again. Who may
    read it was decided before it comes here.

    Args:
        render: Makes HTML of one reply.
        page_chars: How much of a page is rendered anew, in code points.
        cached_chars: How much rendered HTML is kept.
    """

    def __init__(
        self,
        render: Callable[[str], str] = render,
        *,
        page_chars: int = MOST_CHARS_A_PAGE,
        cached_chars: int = MOST_CACHED_CHARS,
    ) -> None:
        self._render = render
        self._page_chars = page_chars
        self._cached_chars = cached_chars
        self._kept: OrderedDict[UUID, str] = OrderedDict()
        self._kept_chars = 0
        self._turn = asyncio.Lock()

    async def render(self, messages: Sequence[Message]) -> dict[UUID, str]:
        """Return the HTML of every reply among these messages, by message id."""
        replies = [message for message in messages if message.role is Role.ASSISTANT]
        found = {reply.id: self._kept[reply.id] for reply in replies if reply.id in self._kept}
        for message_id in found:
            self._kept.move_to_end(message_id)
        new = [reply for reply in reversed(replies) if reply.id not in found]
        if sum(len(reply.content) for reply in new) < _LONG:
            return found | self._keep(self._render_all(new))
        async with self._turn:
            return found | self._keep(await asyncio.to_thread(self._render_all, new))

    def _keep(self, rendered: Iterable[tuple[UUID, str, bool]]) -> dict[UUID, str]:
        found = {}
        for message_id, html, is_final in rendered:
            found[message_id] = html
            if is_final and message_id not in self._kept:
                self._kept[message_id] = html
                self._kept_chars += len(html)
        while self._kept_chars > self._cached_chars:
            self._kept_chars -= len(self._kept.popitem(last=False)[1])
        return found

    def _render_all(self, replies: Iterable[Message]) -> list[tuple[UUID, str, bool]]:
        """Return id, HTML and whether it is as good as it gets, for each reply."""
        found: list[tuple[UUID, str, bool]] = []
        room = self._page_chars
        for reply in replies:
            room -= len(reply.content)
            html = self._render(reply.content) if room >= 0 else plain(reply.content)
            found.append((reply.id, html, room >= 0))
        return found
