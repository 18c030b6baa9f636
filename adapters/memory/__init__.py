"""Room 3, the world: everything in this process's memory, for tests and for a first try.

May import: standard library.
"""

from .chat_repository import InMemoryChatRepository
from .clock import SequentialIds, TickingClock
from .llm import ScriptedLLM
from .turn_observer import RecordingTurnObserver

__all__ = [
    "InMemoryChatRepository",
    "RecordingTurnObserver",
    "ScriptedLLM",
    "SequentialIds",
    "TickingClock",
]
