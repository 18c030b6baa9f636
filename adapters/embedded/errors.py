"""Room 3, the world: the one error of the embedded parts.

May import: standard library.
"""


class EmbeddedUnavailable(RuntimeError):
    """An embedded part cannot start here; the message is one line that says what to do instead.

    It is raised while the service starts, never while it answers, so it is not a `ChatError`.
    """

    def __init__(self, reason: str, *, remedy: str) -> None:
        self.reason = " ".join(reason.split())
        self.remedy = remedy
        super().__init__(f"{self.reason}; {remedy}")
