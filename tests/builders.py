"""Services put together for tests, from real parts that live in memory.

May import: standard library, adapters, chatcore.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from adapters.memory import (
    InMemoryChatRepository,
    RecordingTurnObserver,
    ScriptedLLM,
    SequentialIds,
    TickingClock,
)
from chatcore import ChatPolicy, ChatRepository, ChatService, LLMPort, OwnerId, TurnRef

ANNA, BEN = OwnerId("anna"), OwnerId("ben")


@dataclass(frozen=True)
class Bench:
    """A service and the parts it was put together from."""

    service: ChatService
    repository: ChatRepository
    llm: LLMPort
    observer: RecordingTurnObserver

    @property
    def notices(self) -> list[str]:
        """What the observer was told, in order."""
        return [what for what, _ in self.observer.notices]


def bench(
    llm: LLMPort | None = None,
    *,
    repository: ChatRepository | None = None,
    policy: ChatPolicy | None = None,
    first_id: int = 1,
) -> Bench:
    """Put a service together; what is not given is scripted or in memory."""
    llm = llm or ScriptedLLM()
    repository = repository or InMemoryChatRepository()
    observer = RecordingTurnObserver()
    service = ChatService(
        repository=repository,
        llm=llm,
        clock=TickingClock(),
        ids=SequentialIds(first_id),
        observer=observer,
        policy=policy,
    )
    return Bench(service, repository, llm, observer)


async def until_running(llm: ScriptedLLM) -> None:
    """Wait until the model is being asked."""
    while not llm.running:
        await asyncio.sleep(0)


class SlowToMoveOn(InMemoryChatRepository):
    """Records a further attempt at once, and takes its time to say so."""

    pause_seconds = 0.3

    async def next_attempt(
        self,
        ref: TurnRef,
        *,
        error_code: str,
        request_digest: str,
        template: str,
        stream: bool,
        now: datetime,
    ) -> TurnRef:
        """See `TurnRepository.next_attempt`."""
        following = await super().next_attempt(
            ref,
            error_code=error_code,
            request_digest=request_digest,
            template=template,
            stream=stream,
            now=now,
        )
        await asyncio.sleep(self.pause_seconds)
        return following
