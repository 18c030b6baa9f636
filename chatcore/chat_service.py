"""Room 1, the hexagon: the one class that other Python code talks to.

May import: standard library, chatcore.model, chatcore.ports, chatcore.turns, chatcore.use_cases.
"""

from __future__ import annotations

from chatcore.model.policy import ChatPolicy
from chatcore.ports.chat_repository import ChatRepository
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.llm import LLMPort
from chatcore.ports.turn_observer import TurnObserver
from chatcore.turns.runner import TurnRunner
from chatcore.use_cases.asking_once import OnceUseCases
from chatcore.use_cases.following import FollowingUseCases
from chatcore.use_cases.keeping import KeepingUseCases
from chatcore.use_cases.parts import Parts
from chatcore.use_cases.replay import ReplayUseCases
from chatcore.use_cases.revising import RevisingUseCases
from chatcore.use_cases.sessions import SessionUseCases
from chatcore.use_cases.turns import TurnUseCases


class ChatService(
    TurnUseCases,
    RevisingUseCases,
    FollowingUseCases,
    KeepingUseCases,
    OnceUseCases,
    ReplayUseCases,
    SessionUseCases,
):
    """Owns conversations: takes a question, keeps it, asks the model, keeps the answer.

    Args:
        repository: Where conversations live.
        llm: Who answers.
        clock: Tells the time.
        ids: Makes ids.
        observer: Is told what happens to turns.
        policy: The operator's choices; the defaults are those of `ChatPolicy`.
    """

    def __init__(
        self,
        *,
        repository: ChatRepository,
        llm: LLMPort,
        clock: Clock,
        ids: IdSource,
        observer: TurnObserver,
        policy: ChatPolicy | None = None,
    ) -> None:
        policy = policy or ChatPolicy()
        runner = TurnRunner(
            repository=repository,
            llm=llm,
            clock=clock,
            ids=ids,
            observer=observer,
            policy=policy,
        )
        parts = Parts(repository=repository, runner=runner, clock=clock, ids=ids, policy=policy)
        TurnUseCases.__init__(self, parts)
        RevisingUseCases.__init__(self, parts)
        FollowingUseCases.__init__(self, parts)
        KeepingUseCases.__init__(self, parts)
        OnceUseCases.__init__(self, parts, llm=llm)
        ReplayUseCases.__init__(self, repository=repository, llm=llm)
        SessionUseCases.__init__(self, repository=repository, clock=clock)
