"""Room 1, the hexagon: what is kept without asking the model.

May import: standard library, chatcore.model, chatcore.turns, chatcore.use_cases.

All of it is checked here, since what a store cannot keep would look like a store that is away.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from chatcore.model.admission import NewTurn, OnBusy, Question
from chatcore.model.feedback import FEEDBACK_COMMENT_MAX_CHARS, Feedback
from chatcore.model.ids import MessageId, OwnerId, SessionId, TurnId
from chatcore.model.message import TurnStatus
from chatcore.model.metadata import Metadata, make_metadata
from chatcore.model.session import ChatSession
from chatcore.model.text import optional_text, require_text
from chatcore.model.turn import Turn, TurnEnd
from chatcore.turns.admission import Asked, require_client_id
from chatcore.turns.running import ref_of
from chatcore.use_cases.beginning import make_turn
from chatcore.use_cases.parts import Parts

_ONCE = 1


class KeepingUseCases:
    """Everything that only keeps or finds.

    Args:
        parts: What it is put together from.
    """

    def __init__(self, parts: Parts) -> None:
        self._kept = parts.repository
        self._keeping = parts
        self._recording: set[asyncio.Task[Turn]] = set()

    async def open_session(self, owner_id: OwnerId, *, metadata: Metadata = ()) -> ChatSession:
        """Begin a session in which nothing has been said; the first question gives it its title.

        Raises:
            InvalidInput: The metadata is none that `make_metadata` would make.
            StorageUnavailable: The store did not answer.
        """
        return await self._kept.open(
            owner_id,
            SessionId(self._keeping.ids.new_id()),
            title="",
            metadata=make_metadata(dict(metadata)),
            now=self._keeping.clock.now(),
        )

    async def note(
        self, owner_id: OwnerId, session_id: SessionId, metadata: Metadata
    ) -> ChatSession:
        """Replace what was noted down with a session.

        Raises:
            InvalidInput: The metadata is none that `make_metadata` would make.
            SessionNotFound: No such session of this owner.
            StorageUnavailable: The store did not answer.
        """
        noted = make_metadata(dict(metadata))
        return await self._kept.note(owner_id, session_id, metadata=noted)

    async def question(
        self, owner_id: OwnerId, session_id: SessionId, message_id: MessageId
    ) -> Question:
        """Return the question of the turn that a message belongs to, whichever of the two it is.

        Raises:
            MessageNotFound: No such message in this session of this owner.
            StorageUnavailable: The store did not answer.
        """
        return await self._kept.question(owner_id, session_id, message_id)

    async def question_named(
        self, owner_id: OwnerId, session_id: SessionId, client_id: str
    ) -> Question:
        """Return the latest question that the caller called so; it may be superseded.

        Raises:
            InvalidInput: Nothing can be called so.
            MessageNotFound: No such question in this session of this owner.
            StorageUnavailable: The store did not answer.
        """
        return await self._kept.question_named(owner_id, session_id, require_client_id(client_id))

    async def question_after(
        self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId
    ) -> Question | None:
        """Return the question of the first turn after this one that still counts.

        It is what a question takes the place of that is asked right after that turn.

        Returns:
            The question; None if none after it counts, or there is no such turn in this session of
            this owner.

        Raises:
            StorageUnavailable: The store did not answer.
        """
        return await self._kept.question_after(owner_id, session_id, turn_id)

    async def rate(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        message_id: MessageId,
        feedback: Feedback | None,
    ) -> None:
        """Keep what an owner thinks of a message; None: nothing any more.

        Raises:
            InvalidInput: The comment is blank, too long, or cannot be stored.
            MessageNotFound: No such message in this session of this owner.
            StorageUnavailable: The store did not answer. Repeating is safe.
        """
        comment = None if feedback is None else feedback.comment
        optional_text(comment, field="comment", max_chars=FEEDBACK_COMMENT_MAX_CHARS)
        now = self._keeping.clock.now()
        await self._kept.rate(owner_id, session_id, message_id, feedback=feedback, now=now)

    def require_recordable(self, text: str, reply: str | None = None) -> None:
        """Check a question, and its answer if there is one, before anything is kept.

        Who keeps several at once, or one before asking another, finds out first what is refused.

        Raises:
            InvalidInput: A text is blank, too long, or cannot be stored.
        """
        policy = self._keeping.policy
        require_text(text, field="message", max_chars=policy.message_max_chars)
        optional_text(reply, field="reply", max_chars=policy.reply_max_chars)

    async def record(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        text: str,
        reply: str,
        *,
        on_busy: OnBusy = OnBusy.REJECT,
    ) -> Turn:
        """Keep a question that was answered elsewhere, with its answer. The model is not asked.

        Args:
            owner_id: Whose conversation.
            session_id: Which one.
            text: The question.
            reply: The answer.
            on_busy: As in `send`.

        Returns:
            The completed turn; its one attempt is none of the model's, and names none.

        Raises:
            InvalidInput: A text is blank, too long, or cannot be stored. Nothing was stored.
            SessionNotFound: No such session of this owner.
            SessionBusy: Another turn of the session is running.
            TurnLost: It was stopped or erased meanwhile.
            StorageUnavailable: The store did not answer; the question may be there without it.
        """
        self.require_recordable(text, reply)
        asked = Asked(
            owner_id=owner_id,
            session_id=session_id,
            text=text,
            quote=None,
            idempotency_key=None,
            on_busy=on_busy,
            stream=False,
        )
        # Should this process die in between, nobody is to ask the model instead.
        new = replace(make_turn(self._keeping, asked), max_attempts=_ONCE)
        # Cancelling whoever waits must not leave half of it done.
        recording = asyncio.create_task(self._record(new, reply))
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)
        return await asyncio.shield(recording)

    async def _record(self, new: NewTurn, reply: str) -> Turn:
        admission = await self._keeping.runner.admit(new)
        end = TurnEnd(
            status=TurnStatus.COMPLETED,
            reply_id=MessageId(self._keeping.ids.new_id()),
            text=reply,
            now=self._keeping.clock.now(),
        )
        return await self._kept.finish(ref_of(admission.turn), end)
