"""Room 4, the door: the shapes of what clients send, and of problems, on the wire and in OpenAPI.

May import: standard library, msgspec.

They say what a body looks like. What a value may be (length, characters) is decided in one place,
by the service, for every door alike.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

_SESSION_ID = "0199f3a2-7c1e-7d3b-9a55-2f1c5be0a1d4"


class Request(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Base of what clients send: a field nobody knows is refused."""


class SelectedText(Request, frozen=True):
    """The passage a question is about, and where it comes from."""

    text: Annotated[
        str,
        Meta(
            description="The passage; up to 16,000 code points.",
            examples=["A humanoid robot balances by moving its center of mass."],
        ),
    ]
    title: Annotated[
        str | None, Meta(description="Title of its page.", examples=["Balance and gait"])
    ] = None
    url: Annotated[
        str | None,
        Meta(description="Address of its page.", examples=["https://book.example/balance"]),
    ] = None
    anchor: Annotated[
        str | None, Meta(description="Place in the page.", examples=["center-of-mass"])
    ] = None


WantsStream = Annotated[
    bool,
    Meta(
        description="Whether to answer with `text/event-stream`: the reply while it is written.",
        examples=[True],
    ),
]
OnBusyText = Annotated[
    Literal["reject", "supersede"],
    Meta(
        description="What to do while a reply of the session is still being written: `reject` "
        "answers 409; `supersede` stops that reply, keeps what there is of it, and goes on.",
        examples=["reject"],
    ),
]


class NoFields(Request, frozen=True):
    """An object without fields; the body may be left out."""


class SendMessageRequest(Request, frozen=True):
    """A question."""

    message: Annotated[
        str,
        Meta(
            description="The question; up to 32,000 code points, not blank.",
            examples=["What is a degree of freedom?"],
        ),
    ]
    session_id: Annotated[
        str | None,
        Meta(
            description="Which session it continues; without it a new one begins.",
            examples=[_SESSION_ID],
        ),
    ] = None
    selected_text: Annotated[
        str | SelectedText | None,
        Meta(description="The passage it is about: its text, or its text and source."),
    ] = None
    stream: WantsStream = False
    on_busy: OnBusyText = "reject"


class RegenerateRequest(Request, frozen=True):
    """How to ask again; the body may be left out."""

    stream: WantsStream = False
    on_busy: OnBusyText = "reject"


class EditMessageRequest(Request, frozen=True):
    """A question in the place of another."""

    message: Annotated[
        str,
        Meta(
            description="The question; up to 32,000 code points, not blank.",
            examples=["What is a degree of freedom of a robot arm?"],
        ),
    ]
    selected_text: Annotated[
        str | SelectedText | UnsetType | None,
        Meta(
            description="The passage it is about. Left out: that of the question it replaces; "
            "null: none."
        ),
    ] = UNSET
    stream: WantsStream = False
    on_busy: OnBusyText = "reject"


class RenameSessionRequest(Request, frozen=True):
    """A new title."""

    title: Annotated[
        str,
        Meta(description="1 to 200 code points, not blank.", examples=["Degrees of freedom"]),
    ]


class RateMessageRequest(Request, frozen=True):
    """What its owner thinks of a message."""

    rating: Annotated[
        Literal["up", "down"] | None,
        Meta(description="The verdict; null takes back what was said before.", examples=["up"]),
    ]
    comment: Annotated[
        str | None,
        Meta(
            description="Why: 1 to 2,000 code points, not blank. Left out or null: no comment, "
            "also if there was one.",
            examples=["Clear and to the point."],
        ),
    ] = None


class FieldError(Struct, kw_only=True):
    """One value that cannot be accepted."""

    field: Annotated[str, Meta(description="Which one.", examples=["message"])]
    reason: Annotated[str, Meta(description="What is wrong with it.", examples=["is empty"])]


class Problem(Struct, kw_only=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    type: Annotated[
        str, Meta(description="The code as a URI.", examples=["urn:chatcore:problem:session_busy"])
    ]
    title: Annotated[str, Meta(description="The code in words.", examples=["Session busy"])]
    status: Annotated[int, Meta(description="The HTTP status.", examples=[409])]
    code: Annotated[str, Meta(description="Stable name to decide by.", examples=["session_busy"])]
    detail: Annotated[str, Meta(description="One sentence for people.")]
    retryable: Annotated[
        bool, Meta(description="Whether the same call may succeed later.", examples=[True])
    ]
    request_id: Annotated[str, Meta(description="To find the request in the logs.")]
    turn_id: Annotated[str | None, Meta(description="Which turn is meant.")] = None
    session_id: Annotated[str | None, Meta(description="Which session is meant.")] = None
    errors: Annotated[
        list[FieldError] | None, Meta(description="Which fields cannot be accepted.")
    ] = None
