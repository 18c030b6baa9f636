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
    MessageSuperseded,
    NotFound,
    ServiceOverloaded,
    ServiceStopping,
    SessionBusy,
    SessionNotFound,
    StorageUnavailable,
    TurnFailed,
    TurnLost,
    TurnNotFound,
)
from chatcore.model.admission import Admission, NewTurn, OnBusy, Question, WindowMessage
from chatcore.model.event import (
    ReplyDelta,
    ReplyPosition,
    ReplyRestarted,
    TurnEnded,
    TurnEvent,
    TurnOpened,
)
from chatcore.model.feedback import Feedback, Rating
from chatcore.model.ids import MessageId, OwnerId, SessionId, TurnId
from chatcore.model.journal import AbandonedTurn, Beat, JournalEntry, JournalPlace, TakenTurn
from chatcore.model.message import Message, Quote, Role, TurnStatus
from chatcore.model.metadata import Metadata, make_metadata
from chatcore.model.page import MessagePage, SessionCursor, SessionPage
from chatcore.model.policy import ChatPolicy
from chatcore.model.prompt import Prompt, PromptMessage
from chatcore.model.session import ChatSession
from chatcore.model.template import RequestTemplate
from chatcore.model.turn import Answer, Attempt, AttemptOutcome, Turn, TurnEnd, TurnRef, Usage
from chatcore.ports.chat_repository import ChatRepository
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.feedback_repository import FeedbackRepository
from chatcore.ports.llm import (
    LLMDelta,
    LLMEnded,
    LLMEvent,
    LLMPort,
    LLMReply,
    LLMStarted,
    PreparedRequest,
)
from chatcore.ports.reply_journal import ReplyJournal
from chatcore.ports.session_repository import SessionRepository
from chatcore.ports.turn_observer import TurnObserver
from chatcore.ports.turn_repository import TurnRepository
from chatcore.prompt_builder import build_prompt
from chatcore.turns.reader import TurnReader
from chatcore.use_cases.replay import ReplayedAttempt

__all__ = [
    "AbandonedTurn",
    "Admission",
    "Answer",
    "Attempt",
    "AttemptOutcome",
    "Beat",
    "ChatError",
    "ChatPolicy",
    "ChatRepository",
    "ChatService",
    "ChatSession",
    "Clock",
    "Conflict",
    "Feedback",
    "FeedbackRepository",
    "IdSource",
    "IdempotencyKeyReused",
    "InvalidInput",
    "JournalEntry",
    "JournalPlace",
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
    "MessageSuperseded",
    "Metadata",
    "NewTurn",
    "NotFound",
    "OnBusy",
    "OwnerId",
    "PreparedRequest",
    "Prompt",
    "PromptMessage",
    "Question",
    "Quote",
    "Rating",
    "ReplayedAttempt",
    "ReplyDelta",
    "ReplyJournal",
    "ReplyPosition",
    "ReplyRestarted",
    "RequestTemplate",
    "Role",
    "ServiceOverloaded",
    "ServiceStopping",
    "SessionBusy",
    "SessionCursor",
    "SessionId",
    "SessionNotFound",
    "SessionPage",
    "SessionRepository",
    "StorageUnavailable",
    "TakenTurn",
    "Turn",
    "TurnEnd",
    "TurnEnded",
    "TurnEvent",
    "TurnFailed",
    "TurnId",
    "TurnLost",
    "TurnNotFound",
    "TurnObserver",
    "TurnOpened",
    "TurnReader",
    "TurnRef",
    "TurnRepository",
    "TurnStatus",
    "Usage",
    "WindowMessage",
    "build_prompt",
    "make_metadata",
]
