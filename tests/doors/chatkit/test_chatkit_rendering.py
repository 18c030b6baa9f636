"""What happens to a reply, as ChatKit's events: each kind of end, and what is taken back.

May import: standard library, app, chatcore, hypothesis, tests.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.doors.chatkit.rendering import ChatKitRendering
from chatcore import ReplyDelta, ReplyRestarted, TurnEvent, TurnLost, TurnOpened, TurnStatus
from tests.doors.chatkit.frontend import Shown, read_events
from tests.doors.ending import PLACE, SESSION, TURN, WHEN, ended

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1)


def rendering() -> ChatKitRendering:
    """Return one that is at its beginning."""
    return ChatKitRendering(session_id=SESSION, turn_id=TURN, created_at=WHEN)


def shown_after(*events: TurnEvent) -> Shown:
    """Return what a frontend shows of these events."""
    made = rendering()
    return Shown.after(one for event in events for one in read_events(made.encode(event)))


def say(text: str) -> ReplyDelta:
    """Return a piece of the reply."""
    return ReplyDelta(text, PLACE)


@given(st.lists(TEXTS))
def test_any_text_is_shown_as_it_is(pieces: list[str]) -> None:
    """However a text is cut, and whatever is in it, a frontend has it in the end."""
    opened = TurnOpened(session_id=SESSION, turn_id=TURN, repeated=False)
    whole = "".join(pieces) or "x"
    shown = shown_after(opened, *map(say, pieces), ended(TurnStatus.COMPLETED, whole))
    assert shown.texts == [whole]


def test_nothing_is_shown_before_the_first_word() -> None:
    """An answer that never comes leaves nothing to take back."""
    shown = shown_after(ended(TurnStatus.FAILED, error_code="llm_timeout"))
    assert (shown.items, len(shown.errors)) == ({}, 1)
    assert shown_after(ReplyRestarted(PLACE), ended(TurnStatus.STOPPED)).items == {}


def test_the_stored_text_counts() -> None:
    """A stopped answer is shown as it is kept, which may be less than was sent, or nothing."""
    assert shown_after(say("Half and"), ended(TurnStatus.STOPPED, "Half")).texts == ["Half"]
    assert shown_after(say("Half"), ended(TurnStatus.STOPPED)).texts == []
    failed = shown_after(say("Half"), ended(TurnStatus.FAILED, error_code="llm_rejected"))
    assert (failed.texts, [error.allow_retry for error in failed.errors]) == ([], [False])


def test_a_code_nobody_knows_is_an_error_of_ours() -> None:
    """What is told is never more than what the table says."""
    [error] = shown_after(ended(TurnStatus.FAILED, error_code="secret")).errors
    assert error.message == "Something went wrong on our side."


def test_last_words() -> None:
    """A thread that is gone takes its answer with it; one that goes on says so."""
    gone, going_on = rendering(), rendering()
    sent = gone.encode(say("Half")) + gone.encode_lost(TurnLost(TURN))
    lost = Shown.after(read_events(sent))
    sent = going_on.encode(say("Half")) + going_on.come_back()
    left = Shown.after(read_events(sent))
    assert (lost.texts, [error.allow_retry for error in lost.errors]) == ([], [False])
    assert (left.texts, [error.allow_retry for error in left.errors]) == (["Half"], [True])
