"""Room 1, the hexagon: the choices an operator makes, with their defaults.

May import: standard library.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_SYSTEM_PROMPT = (
    "You are a helpful assistant for the Physical AI & Humanoid Robotics textbook. "
    "Answer questions about its subject clearly and to the point. When the reader has selected "
    "a passage, answer about that passage first. Say so when you do not know."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPolicy:
    """How questions are admitted and asked.

    Attributes:
        system_prompt: Sent first with every request to the model.
        history_messages: Most earlier messages that go along; whole turns only, so an odd
            number counts as the even one below it. 0: none.
        history_max_chars: Most code points of earlier messages that go along; where they are
            more, the oldest turns stay away, whole.
        max_tokens: Longest answer, in tokens.
        whole_answers: Whether the first attempt asks for a whole answer where nobody sees parts of
            it. Cheaper; but the model's limit for silence then covers the whole answer.
        max_attempts: How often the model may be asked for one turn, at least 1.
        max_running_turns: Most turns that run in one process at a time, those being admitted
            included; what comes beyond is refused. None: no limit.
        deadline_seconds: After this a turn is ended, whatever it is doing.
        lease_seconds: How long after its process's last sign of life a turn counts as abandoned.
        pulse_seconds: How often what came of running replies is written down, and how often replies
            that run in other processes are looked at.
        sweep_seconds: How often abandoned turns are looked for while this process has work.
        idle_sweep_seconds: How often else; None: only at the start and on occasion, so that a
            database may fall asleep.
        storage_patience_seconds: How long who waits for a reply waits for a store that does not
            answer, before being told; the reply is kept for longer.
        message_max_chars: Longest question, in code points.
        quote_max_chars: Longest selected text, in code points.
        reply_max_chars: Longest reply that is kept, in code points; what is beyond is cut.
    """

    system_prompt: str = DEFAULT_SYSTEM_PROMPT
    history_messages: int = 10
    history_max_chars: int = 32_000
    max_tokens: int = 1024
    whole_answers: bool = True
    max_attempts: int = 2
    max_running_turns: int | None = 1000
    deadline_seconds: float = 300.0
    lease_seconds: float = 15.0
    pulse_seconds: float = 0.25
    sweep_seconds: float = 1.0
    idle_sweep_seconds: float | None = 30.0
    storage_patience_seconds: float = 8.0
    message_max_chars: int = 32_000
    quote_max_chars: int = 16_000
    reply_max_chars: int = 262_144

    def __post_init__(self) -> None:
        for name in ("history_messages", "history_max_chars"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        for name in ("max_tokens", "max_attempts", "message_max_chars", "quote_max_chars"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.max_running_turns is not None and self.max_running_turns < 1:
            raise ValueError("max_running_turns must be at least 1, or None")
        for name in ("deadline_seconds", "lease_seconds", "pulse_seconds", "sweep_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")

    @property
    def window_turns(self) -> int:
        """How many earlier turns go along with a question."""
        return self.history_messages // 2
