"""Room 4, the door: looking at threads over ChatKit, renaming, erasing and judging them.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from app.doors.chatkit import ids
from app.doors.chatkit.finding import find_question
from app.doors.chatkit.params import DEFAULT_LIMIT, Paging
from app.doors.chatkit.views import Page, Thread, view_items, view_thread
from app.http import cursors
from app.http.auth import PUBLIC_OWNER
from app.http.problems import Refused
from chatcore import (
    ChatService,
    Feedback,
    Message,
    MessageId,
    MessageNotFound,
    OwnerId,
    Rating,
    SessionId,
    TurnId,
    TurnNotFound,
)

_FIELD = "params.after"
_RATINGS = {"positive": Rating.UP, "negative": Rating.DOWN}


class Reading:
    """Everything that asks no model.

    Args:
        service: Where threads are.
    """

    def __init__(self, service: ChatService) -> None:
        self._service = service

    async def thread(self, owner_id: OwnerId, session_id: SessionId) -> Thread:
        """Return a thread with the first page of its items."""
        session = await self._service.session(owner_id, session_id)
        first = Paging(order="asc", limit=DEFAULT_LIMIT)
        return view_thread(session, await self.items(owner_id, session_id, first))

    async def threads(self, owner_id: OwnerId, wanted: Paging) -> Page:
        """Return one page of threads, latest activity first; the shared owner has no list.

        Raises:
            Refused: Another order is wanted, or the place is none in this list.
        """
        if wanted.order != "desc":
            raise Refused("bad_request", "Threads are listed latest first: order must be desc.")
        after = cursors.decode_session_cursor(wanted.after, field=_FIELD)
        if owner_id == PUBLIC_OWNER:
            return Page(data=[], has_more=False)
        page = await self._service.sessions(owner_id, limit=wanted.size, after=after)
        cursor = page.next_cursor
        return Page(
            data=[view_thread(session) for session in page.items],
            has_more=cursor is not None,
            after=None if cursor is None else cursors.encode_session_cursor(cursor),
        )

    async def items(self, owner_id: OwnerId, session_id: SessionId, wanted: Paging) -> Page:
        """Return one page of what counts of a thread.

        Raises:
            Refused: The place is none in this list.
        """
        place = cursors.decode_position(wanted.after, field=_FIELD)
        read = partial(
            self._service.messages, owner_id, session_id, limit=wanted.size, counting=True
        )
        if wanted.order == "desc":
            page = await read(before=place)
            return _page(page.items[::-1], is_more=page.has_older)
        page = await read(after=place or 0)
        return _page(page.items, is_more=page.has_newer)

    async def rename(self, owner_id: OwnerId, session_id: SessionId, title: str) -> Thread:
        """Give a thread another title."""
        return view_thread(await self._service.rename(owner_id, session_id, title))

    async def erase(self, owner_id: OwnerId, session_id: SessionId) -> None:
        """Erase a thread with every word in it."""
        await self._service.erase(owner_id, session_id)

    async def rate(self, owner_id: OwnerId, thread_id: str, item_ids: list[str], kind: str) -> None:
        """Keep what somebody thinks of items; all of them are there, or nothing is kept.

        Raises:
            MessageNotFound: One of them is not in this thread.
        """
        places = [ids.read_item_place(thread_id, item_id) for item_id in dict.fromkeys(item_ids)]
        found = [
            (session_id, await self._message_of(owner_id, session_id, named, item_id))
            for item_id, (session_id, named) in zip(dict.fromkeys(item_ids), places, strict=True)
        ]
        for session_id, message_id in found:
            await self._service.rate(
                owner_id, session_id, message_id, Feedback(rating=_RATINGS[kind])
            )

    async def _message_of(
        self, owner_id: OwnerId, session_id: SessionId, named: UUID, item_id: str
    ) -> MessageId:
        """Return the message of an item: an answer, as a rule."""
        try:
            turn = await self._service.turn(owner_id, session_id, TurnId(named))
        except TurnNotFound:
            question = await find_question(self._service, owner_id, session_id, item_id)
            return question.message_id
        if turn.reply is None:
            raise MessageNotFound
        return turn.reply.id


def _page(found: Sequence[Message], *, is_more: bool) -> Page:
    return Page(
        data=view_items(found),
        has_more=is_more,
        after=cursors.encode_position(found[-1].position) if is_more else None,
    )
