"""Room 4, the door: entities become bodies, and what clients send becomes plain values.

May import: standard library, app, chatcore, msgspec.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from uuid import UUID

from msgspec import UNSET, UnsetType

from app.http.cursors import encode_position, encode_session_cursor
from app.http.schemas import RateMessageRequest, SelectedText, SendMessageRequest
from app.http.views import (
    AttemptView,
    ChatReply,
    FeedbackView,
    MessageFeedbackView,
    MessagePageView,
    MessageView,
    SessionPageView,
    SessionView,
    TurnView,
    UsageView,
)
from chatcore import (
    Answer,
    Attempt,
    ChatSession,
    Feedback,
    InvalidInput,
    Message,
    MessageId,
    MessageNotFound,
    MessagePage,
    Quote,
    Rating,
    SessionId,
    SessionNotFound,
    SessionPage,
    Turn,
    TurnId,
    TurnNotFound,
    TurnStatus,
    Usage,
)

_NOWHERE = UUID(int=0)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def read_session_id(text: str) -> SessionId:
    """Return the id; what is no id names no session, which is all a client gets to know.

    Raises:
        SessionNotFound: It is no id.
    """
    if not _UUID.fullmatch(text):
        raise SessionNotFound(_NOWHERE)
    return SessionId(UUID(text))


def read_turn_place(session_id: str, turn_id: str) -> tuple[SessionId, TurnId]:
    """Return both ids of a turn's address; the answer tells nobody which of them is wrong.

    Raises:
        TurnNotFound: One of them is no id.
    """
    if not (_UUID.fullmatch(session_id) and _UUID.fullmatch(turn_id)):
        raise TurnNotFound(_NOWHERE)
    return SessionId(UUID(session_id)), TurnId(UUID(turn_id))


def read_message_place(session_id: str, message_id: str) -> tuple[SessionId, MessageId]:
    """Return both ids of a message's address; the answer tells nobody which of them is wrong.

    Raises:
        MessageNotFound: One of them is no id.
    """
    if not (_UUID.fullmatch(session_id) and _UUID.fullmatch(message_id)):
        raise MessageNotFound(_NOWHERE)
    return SessionId(UUID(session_id)), MessageId(UUID(message_id))


def read_optional_session_id(request: SendMessageRequest) -> SessionId | None:
    """Return the session a question continues; None begins a new one."""
    return None if request.session_id is None else read_session_id(request.session_id)


def read_quote(selected: str | SelectedText | UnsetType | None) -> Quote | None:
    """Return the passage a question is about."""
    if selected is None or selected is UNSET:
        return None
    if isinstance(selected, str):
        return Quote(text=selected)
    return Quote(text=selected.text, title=selected.title, url=selected.url, anchor=selected.anchor)


def read_feedback(request: RateMessageRequest) -> Feedback | None:
    """Return what is thought of a message; None: nothing any more.

    Raises:
        InvalidInput: There is a comment without a rating.
    """
    if request.rating is not None:
        return Feedback(rating=Rating(request.rating), comment=request.comment)
    if request.comment is not None:
        raise InvalidInput("comment", "needs a rating")
    return None


def view_reply(answer: Answer) -> ChatReply:
    """Show an answer."""
    turn, reply = answer.turn, answer.reply
    return ChatReply(
        response=answer.text,
        status="completed" if turn.status is TurnStatus.COMPLETED else "stopped",
        session_id=turn.session_id,
        timestamp=(turn.ended_at or turn.created_at) if reply is None else reply.created_at,
        turn_id=turn.id,
        message_id=None if reply is None else reply.id,
        model=turn.model,
        finish_reason=turn.finish_reason,
        usage=_view_usage(turn.usage),
    )


def view_session(session: ChatSession) -> SessionView:
    """Show a session."""
    return SessionView(
        session_id=session.id,
        title=session.title,
        created_at=session.created_at,
        updated_at=session.updated_at,
    )


def view_sessions(page: SessionPage) -> SessionPageView:
    """Show a page of sessions."""
    cursor = page.next_cursor
    return SessionPageView(
        items=[view_session(session) for session in page.items],
        next_cursor=None if cursor is None else encode_session_cursor(cursor),
    )


def view_messages(
    page: MessagePage, *, after: int | None, html: Mapping[UUID, str]
) -> MessagePageView:
    """Show a page of messages.

    Args:
        page: The page.
        after: The position it was asked for by, so that an empty page keeps its place.
        html: Replies as HTML by message id, where that was asked for.
    """
    last = page.items[-1].position if page.items else after
    return MessagePageView(
        items=[_view_message(message, html.get(message.id, UNSET)) for message in page.items],
        has_older=page.has_older,
        older_cursor=encode_position(page.items[0].position)
        if page.items and page.has_older
        else None,
        has_newer=page.has_newer,
        newer_cursor=None if last is None else encode_position(last),
    )


def view_feedback(message_id: MessageId, feedback: Feedback | None) -> MessageFeedbackView:
    """Show what is thought of a message from now on."""
    return MessageFeedbackView(
        message_id=message_id,
        rating=None if feedback is None else feedback.rating.value,
        comment=None if feedback is None else feedback.comment,
    )


def view_turn(turn: Turn) -> TurnView:
    """Show a turn with its reply and its attempts."""
    return TurnView(
        turn_id=turn.id,
        session_id=turn.session_id,
        number=turn.number,
        status=turn.status.value,
        question_id=turn.question_id,
        message_id=turn.reply.id if turn.reply else None,
        response=turn.reply.content if turn.reply else None,
        model=turn.model,
        finish_reason=turn.finish_reason,
        error_code=turn.error_code,
        superseded_by=turn.superseded_by,
        created_at=turn.created_at,
        ended_at=turn.ended_at,
        usage=_view_usage(turn.usage),
        attempts=[_view_attempt(attempt) for attempt in turn.attempts],
    )


def _view_message(message: Message, html: str | UnsetType) -> MessageView:
    quote = message.quote
    return MessageView(
        message_id=message.id,
        position=message.position,
        role=message.role.value,
        content=message.content,
        selected_text=None
        if quote is None
        else SelectedText(text=quote.text, title=quote.title, url=quote.url, anchor=quote.anchor),
        turn_id=message.turn_id,
        turn_status=message.turn_status.value,
        superseded_by=message.superseded_by,
        created_at=message.created_at,
        feedback=_view_feedback(message.feedback),
        html=html,
    )


def _view_feedback(feedback: Feedback | None) -> FeedbackView | None:
    if feedback is None:
        return None
    return FeedbackView(rating=feedback.rating.value, comment=feedback.comment)


def _view_attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        outcome=attempt.outcome.value,
        model=attempt.model,
        error_code=attempt.error_code,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        usage=_view_usage(attempt.usage),
    )


def _view_usage(usage: Usage | None) -> UsageView | None:
    if usage is None:
        return None
    return UsageView(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
    )
