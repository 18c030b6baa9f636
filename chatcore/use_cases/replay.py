"""Room 1, the hexagon: makes the requests of a stored turn again (guarantee G9).

May import: standard library, chatcore.model, chatcore.ports, chatcore.prompt_builder.
"""

from __future__ import annotations

from dataclasses import dataclass

from chatcore.model.ids import OwnerId, SessionId, TurnId
from chatcore.model.template import PROMPT_FORMAT
from chatcore.model.turn import Attempt, Turn
from chatcore.ports.llm import LLMPort, PreparedRequest
from chatcore.ports.turn_repository import TurnRepository
from chatcore.prompt_builder import build_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedAttempt:
    """One call of the model, made again but not sent.

    Attributes:
        attempt: As it is on record.
        request: The request; None if its template is not kept, or was for another format.
        matches: Whether its digest is the recorded one; None if either is missing: the process died
            before it could record it.
    """

    attempt: Attempt
    request: PreparedRequest | None

    @property
    def matches(self) -> bool | None:
        """Compare the digests."""
        if self.request is None or not self.attempt.request_digest:
            return None
        return self.request.digest == self.attempt.request_digest


class ReplayUseCases:
    """Looks back.

    Args:
        repository: Where turns live.
        llm: Whose requests they were; nothing is sent.
    """

    def __init__(self, *, repository: TurnRepository, llm: LLMPort) -> None:
        self._stored = repository
        self._llm = llm

    async def replay(
        self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId
    ) -> tuple[ReplayedAttempt, ...]:
        """Return every attempt of a turn with its request, made again from the store alone.

        Raises:
            TurnNotFound: No such turn in this session of this owner.
            StorageUnavailable: The store did not answer.
        """
        turn = await self._stored.turn(owner_id, session_id, turn_id)
        return tuple([await self._again(turn, attempt) for attempt in turn.attempts])

    async def _again(self, turn: Turn, attempt: Attempt) -> ReplayedAttempt:
        template = await self._stored.template(attempt.template)
        if template is None or template.prompt_format != PROMPT_FORMAT:
            return ReplayedAttempt(attempt=attempt, request=None)
        said = await self._stored.window(
            turn.owner_id, turn.session_id, (*attempt.window, turn.number)
        )
        # A turn's own reply is not part of what was asked.
        question = next(each for each in said if each.turn_id == turn.id and each.from_user)
        prompt = build_prompt(
            template=template,
            window=[each for each in said if each.turn_id != turn.id],
            turn_id=turn.id,
            question=question.content,
            quote=question.quote,
        )
        request = self._llm.prepare(prompt, stream=attempt.stream)
        return ReplayedAttempt(attempt=attempt, request=request)
