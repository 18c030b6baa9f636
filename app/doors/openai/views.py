"""Room 4, the door: turns, sessions and messages as this protocol shows them.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.doors.openai.bodies import shown_metadata
from app.doors.openai.ids import conversation_id, item_id, response_id
from app.doors.openai.objects import (
    CompletionUsage,
    Conversation,
    Incomplete,
    InputText,
    Item,
    ItemList,
    Named,
    OutputText,
    ResponseError,
    ResponseObject,
    ResponseUsage,
)
from app.http.problems import PROBLEMS
from chatcore import (
    ChatSession,
    Message,
    MessageId,
    Metadata,
    Role,
    SessionId,
    Turn,
    TurnId,
    TurnStatus,
    Usage,
)

ALONE = "_alone"
"""Noted down with a turn whose session was begun for it."""
BACKGROUND = "_background"
IN_CONVERSATION = "_conversation"
KEY = "_key"
"""Digest of the idempotency key of a question that comes after a response."""
PREVIOUS = "_previous_response_id"
REPLACED = "_replaced"
"""The message whose place such a question took."""
YES = "1"

_CUT = "length"
_STATUS = {
    TurnStatus.RUNNING: "in_progress",
    TurnStatus.COMPLETED: "completed",
    TurnStatus.STOPPED: "cancelled",
    TurnStatus.FAILED: "failed",
}
_RATE_LIMITED = "llm_rate_limited"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a response from its beginning on."""

    session_id: SessionId
    turn_id: TurnId
    model: str
    metadata: Metadata

    @property
    def item_id(self) -> str:
        """Id of its one item."""
        return item_id(self.turn_id)


def facts_of(turn: Turn, model: str) -> Facts:
    """Return what is known of the response of a turn that was looked up."""
    return Facts(session_id=turn.session_id, turn_id=turn.id, model=model, metadata=turn.metadata)


def view_response(facts: Facts, turn: Turn | None = None) -> ResponseObject:
    """Show a response; without its turn as it was at its beginning."""
    noted = dict(facts.metadata)
    session = Named(id=conversation_id(facts.session_id))
    shown = ResponseObject(
        id=response_id(facts.session_id, facts.turn_id),
        # Ids tell the time; so it is the same at the beginning and ever after.
        created_at=(facts.turn_id.int >> 80) // 1000,
        status=_STATUS[TurnStatus.RUNNING],
        model=facts.model,
        output=[],
        metadata=shown_metadata(facts.metadata),
        background=BACKGROUND in noted,
        conversation=session if IN_CONVERSATION in noted else None,
        previous_response_id=noted.get(PREVIOUS),
    )
    if turn is not None and turn.status.is_terminal:
        _show_end(shown, turn)
    return shown


def _show_end(shown: ResponseObject, turn: Turn) -> None:
    shown.status = _STATUS[turn.status]
    shown.model = turn.model or shown.model
    shown.output = [] if turn.reply is None else [view_answer(turn)]
    if turn.status is TurnStatus.COMPLETED and turn.ended_at is not None:
        shown.completed_at = int(turn.ended_at.timestamp())
    if turn.status is TurnStatus.COMPLETED and turn.finish_reason == _CUT:
        shown.status = "incomplete"
        shown.incomplete_details = Incomplete(reason="max_output_tokens")
    if turn.status is TurnStatus.FAILED:
        shown.error = view_failure(turn.error_code)
    shown.usage = view_usage(turn.usage)


def view_failure(code: str | None) -> ResponseError:
    """Show why a response failed, in our words."""
    row = PROBLEMS.get(code or "", PROBLEMS["internal_error"])
    name = "rate_limit_exceeded" if code == _RATE_LIMITED else "server_error"
    return ResponseError(code=name, message=row.detail)


def view_usage(usage: Usage | None) -> ResponseUsage | None:
    """Show what a response cost."""
    if usage is None:
        return None
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
    )


def view_completion_usage(usage: Usage | None) -> CompletionUsage | None:
    """Show what a completion cost."""
    if usage is None:
        return None
    return CompletionUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
    )


def view_answer(turn: Turn) -> Item:
    """Show the answer of a turn, as far as there is one."""
    text = "" if turn.reply is None else turn.reply.content
    return answer_item(item_id(turn.id), text, is_whole=turn.status is TurnStatus.COMPLETED)


def answer_item(known: str, text: str, *, is_whole: bool) -> Item:
    """Show an answer."""
    return Item(
        id=known,
        role="assistant",
        content=[OutputText(text=text)],
        status="completed" if is_whole else "incomplete",
    )


def question_item(message_id: MessageId, text: str) -> Item:
    """Show a question."""
    return Item(id=item_id(message_id), role="user", content=[InputText(text=text)])


def view_message(message: Message) -> Item:
    """Show a message."""
    if message.role is Role.USER:
        return question_item(message.id, message.content)
    is_whole = message.turn_status is TurnStatus.COMPLETED
    return answer_item(item_id(message.turn_id), message.content, is_whole=is_whole)


def view_items(items: Sequence[Item], *, has_more: bool) -> ItemList:
    """Show a page of items."""
    return ItemList(
        data=list(items),
        first_id=items[0].id if items else "",
        last_id=items[-1].id if items else "",
        has_more=has_more,
    )


def view_conversation(session: ChatSession) -> Conversation:
    """Show a session."""
    return Conversation(
        id=conversation_id(session.id),
        created_at=int(session.created_at.timestamp()),
        metadata=shown_metadata(session.metadata),
    )
