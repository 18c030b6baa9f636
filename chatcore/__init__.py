"""Room 1, the hexagon: the public names and nothing else.

May import: standard library, chatcore.
"""

from chatcore.chat_service import ChatService
from chatcore.errors import (
    ChatError,
    Conflict,
    IdempotencyKeyReused,
    InvalidInput,
    LLMError,
    LLMIncomplete,
    LLMRateLimited,
    LLMRejected,
    LLMTimeout,
    LLMUnavailable,
    MessageNotFound,
    NotFound,
    ServiceStopping,
    SessionBusy,
    SessionNotFound,
    StorageUnavailable,
    TurnFailed,
    TurnLost,
    TurnNotFound,
)
from chatcore.model.ids import MessageId, OwnerId, SessionId, TurnId
from chatcore.model.message import Message, Quote, Role, TurnStatus
from chatcore.model.page import MessagePage, SessionCursor, SessionPage
from chatcore.model.policy import ChatPolicy
from chatcore.model.prompt import Prompt, PromptMessage
from chatcore.model.session import ChatSession
from chatcore.model.turn import (
    Admission,
    Answer,
    Attempt,
    AttemptOutcome,
    NewTurn,
    Turn,
    TurnEnd,
    TurnRef,
    Usage,
    WindowMessage,
)
from chatcore.ports.chat_repository import ChatRepository
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.llm import (
    LLMDelta,
    LLMEnded,
    LLMEvent,
    LLMPort,
    LLMReply,
    LLMStarted,
    PreparedRequest,
)
from chatcore.ports.session_repository import SessionRepository
from chatcore.ports.turn_observer import TurnObserver
from chatcore.ports.turn_repository import TurnRepository
from chatcore.prompt_builder import build_prompt

__all__ = [
    "Admission",
    "Answer",
    "Attempt",
    "AttemptOutcome",
    "ChatError",
    "ChatPolicy",
    "ChatRepository",
    "ChatService",
    "ChatSession",
    "Clock",
    "Conflict",
    "IdSource",
    "IdempotencyKeyReused",
    "InvalidInput",
    "LLMDelta",
    "LLMEnded",
    "LLMError",
    "LLMEvent",
    "LLMIncomplete",
    "LLMPort",
    "LLMRateLimited",
    "LLMRejected",
    "LLMReply",
    "LLMStarted",
    "LLMTimeout",
    "LLMUnavailable",
    "Message",
    "MessageId",
    "MessageNotFound",
    "MessagePage",
    "NewTurn",
    "NotFound",
    "OwnerId",
    "PreparedRequest",
    "Prompt",
    "PromptMessage",
    "Quote",
    "Role",
    "ServiceStopping",
    "SessionBusy",
    "SessionCursor",
    "SessionId",
    "SessionNotFound",
    "SessionPage",
    "SessionRepository",
    "StorageUnavailable",
    "Turn",
    "TurnEnd",
    "TurnFailed",
    "TurnId",
    "TurnLost",
    "TurnNotFound",
    "TurnObserver",
    "TurnRef",
    "TurnRepository",
    "TurnStatus",
    "Usage",
    "WindowMessage",
    "build_prompt",
]
