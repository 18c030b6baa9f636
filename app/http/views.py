"""Room 4, the door: the shapes of what the service answers, on the wire and in OpenAPI.

May import: standard library, app, msgspec.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from app.http.schemas import SelectedText

_SESSION_ID = "0199f3a2-7c1e-7d3b-9a55-2f1c5be0a1d4"
_TURN_ID = "0199f3a2-7c1e-7d3b-9a55-30a4c1f2b7e8"
_MESSAGE_ID = "0199f3a2-8b02-7a10-b6f3-5d2c9e41aa07"
_TIME = "2026-01-31T09:30:00.250000Z"

SupersededBy = Annotated[
    UUID | None,
    Meta(
        description="Id of the turn that took its place when a question was edited or asked again; "
        "null while it counts.",
        examples=[None],
    ),
]
SessionIdText = Annotated[UUID, Meta(description="Id of the session.", examples=[_SESSION_ID])]
TurnIdText = Annotated[UUID, Meta(description="Id of the turn.", examples=[_TURN_ID])]
MessageIdText = Annotated[UUID, Meta(description="Id of the message.", examples=[_MESSAGE_ID])]


class View(Struct, kw_only=True):
    """Base of what the service answers."""


class UsageView(View):
    """What an answer cost, as the model counted it."""

    prompt_tokens: Annotated[int, Meta(description="Tokens read.", examples=[184])]
    completion_tokens: Annotated[int, Meta(description="Tokens written.", examples=[42])]
    total_tokens: Annotated[int, Meta(description="Sum of both.", examples=[226])]


class ChatReply(View):
    """The reply to a question, as stored."""

    response: Annotated[
        str,
        Meta(
            description="The reply's text, or the part of it that came before it was stopped.",
            examples=["An independent way to move."],
        ),
    ]
    status: Annotated[
        Literal["completed", "stopped"],
        Meta(description="Whether it is whole.", examples=["completed"]),
    ]
    session_id: SessionIdText
    timestamp: Annotated[
        datetime, Meta(description="When the reply was stored, UTC.", examples=[_TIME])
    ]
    turn_id: TurnIdText
    message_id: Annotated[
        UUID | None,
        Meta(
            description="Id of the reply; null if it was stopped before any text.",
            examples=[_MESSAGE_ID],
        ),
    ]
    model: Annotated[
        str | None, Meta(description="Which model answered.", examples=["gpt-4o-mini"])
    ]
    finish_reason: Annotated[
        str | None,
        Meta(description="Why it ended: `stop`, or `length` if cut.", examples=["stop"]),
    ]
    usage: Annotated[UsageView | None, Meta(description="Null where the model does not count.")]


class SessionView(View):
    """A session."""

    session_id: SessionIdText
    title: Annotated[
        str,
        Meta(
            description="Beginning of the first question, until renamed; empty before that.",
            examples=["What is a degree of freedom?"],
        ),
    ]
    created_at: Annotated[datetime, Meta(description="UTC.", examples=[_TIME])]
    updated_at: Annotated[
        datetime, Meta(description="Last question or renaming, UTC.", examples=[_TIME])
    ]


class SessionPageView(Struct, kw_only=True, omit_defaults=True):
    """One page of the caller's sessions, latest activity first."""

    items: list[SessionView]
    next_cursor: Annotated[
        str | None, Meta(description="Give it as `after` for the next page; null at the end.")
    ]
    notice: Annotated[
        str | None, Meta(description="Why there is nothing, where the reason is not obvious.")
    ] = None


RatingText = Annotated[Literal["up", "down"], Meta(description="The verdict.", examples=["up"])]
CommentText = Annotated[
    str | None,
    Meta(description="Why, if they said so.", examples=["Clear and to the point."]),
]


class FeedbackView(View):
    """What a message's owner thinks of it."""

    rating: RatingText
    comment: CommentText


class MessageFeedbackView(View):
    """What a message's owner thinks of it from now on."""

    message_id: MessageIdText
    rating: Annotated[
        Literal["up", "down"] | None,
        Meta(description="The verdict; null: none.", examples=["up"]),
    ]
    comment: CommentText


class MessageView(View):
    """A message, as stored."""

    message_id: MessageIdText
    position: Annotated[int, Meta(description="1, 2, 3 … in its session.", examples=[1])]
    role: Annotated[Literal["user", "assistant"], Meta(description="Who said it.")]
    content: Annotated[
        str, Meta(description="What was said.", examples=["What is a degree of freedom?"])
    ]
    selected_text: Annotated[
        SelectedText | None, Meta(description="The passage a question is about.")
    ]
    turn_id: TurnIdText
    turn_status: Annotated[
        Literal["running", "completed", "stopped", "failed"],
        Meta(description="Status of the turn it belongs to."),
    ]
    superseded_by: SupersededBy
    created_at: Annotated[datetime, Meta(description="UTC.", examples=[_TIME])]
    feedback: Annotated[
        FeedbackView | None, Meta(description="What its owner thinks of it; null: nothing said.")
    ]
    html: Annotated[
        str | UnsetType,
        Meta(
            description="A reply's Markdown as HTML that is safe to show; only with `render=html`.",
            examples=["<p>An independent way to move.</p>"],
        ),
    ] = UNSET


class MessagePageView(View):
    """One page of a session's messages, oldest first."""

    items: list[MessageView]
    has_older: Annotated[bool, Meta(description="Whether messages come before the first.")]
    older_cursor: Annotated[
        str | None, Meta(description="Give it as `before` for what comes before.")
    ]
    has_newer: Annotated[bool, Meta(description="Whether messages come after the last, by now.")]
    newer_cursor: Annotated[
        str | None, Meta(description="Give it as `after` for what comes after, now or later.")
    ]


class AttemptView(View):
    """One call of the model."""

    number: Annotated[int, Meta(description="1, 2, … in its turn.", examples=[1])]
    outcome: Literal["pending", "completed", "stopped", "failed", "abandoned"]
    model: str | None
    error_code: Annotated[str | None, Meta(description="Why it failed.")]
    started_at: Annotated[datetime, Meta(description="UTC.", examples=[_TIME])]
    ended_at: Annotated[datetime | None, Meta(description="UTC.", examples=[_TIME])]
    usage: UsageView | None


class TurnView(View):
    """One question, its one reply and the calls it took."""

    turn_id: TurnIdText
    session_id: SessionIdText
    number: Annotated[int, Meta(description="1, 2, 3 … in its session.", examples=[1])]
    status: Literal["running", "completed", "stopped", "failed"]
    question_id: Annotated[UUID, Meta(description="Id of the question.", examples=[_MESSAGE_ID])]
    message_id: Annotated[UUID | None, Meta(description="Id of the reply, if there is one.")]
    response: Annotated[str | None, Meta(description="The reply's text, if there is one.")]
    model: str | None
    finish_reason: str | None
    error_code: Annotated[str | None, Meta(description="Why it failed.")]
    superseded_by: SupersededBy
    created_at: Annotated[datetime, Meta(description="UTC.", examples=[_TIME])]
    ended_at: Annotated[datetime | None, Meta(description="UTC.", examples=[_TIME])]
    usage: UsageView | None
    attempts: list[AttemptView]


class HealthView(View):
    """How the process is."""

    status: Literal["ok", "ready"]
