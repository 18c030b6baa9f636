"""Room 1, the hexagon: what this process makes its requests with, kept in the store once.

May import: standard library, chatcore.model, chatcore.ports, chatcore.prompt_builder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from chatcore.model.admission import WindowMessage
from chatcore.model.ids import TurnId
from chatcore.model.message import Quote
from chatcore.model.policy import ChatPolicy
from chatcore.model.prompt import Prompt
from chatcore.model.template import RequestTemplate
from chatcore.ports.llm import LLMPort
from chatcore.ports.turn_repository import TurnRepository
from chatcore.prompt_builder import build_prompt


class TemplateKeeper:
    """Keeps the template before the first attempt refers to it.

    Args:
        repository: Where it is kept.
        llm: Whose requests.
        policy: The operator's choices.
    """

    def __init__(self, repository: TurnRepository, *, llm: LLMPort, policy: ChatPolicy) -> None:
        self._repository = repository
        self._is_kept = False
        self.value = RequestTemplate(
            system_prompt=policy.system_prompt,
            max_tokens=policy.max_tokens,
            history_max_chars=policy.history_max_chars,
            options=llm.options,
        )
        self.digest = self.value.digest

    async def keep(self) -> None:
        """Store it, unless this process has done so already.

        Raises:
            StorageUnavailable: The store did not answer.
        """
        if not self._is_kept:
            await self._repository.keep_template(self.value)
            self._is_kept = True

    def prompt(
        self, turn_id: TurnId, text: str, quote: Quote | None, window: Sequence[WindowMessage]
    ) -> Callable[[], Prompt]:
        """Return what makes a turn's prompt: later, in the turn's own life, where it may fail."""
        return partial(
            build_prompt,
            template=self.value,
            window=window,
            turn_id=turn_id,
            question=text,
            quote=quote,
        )
