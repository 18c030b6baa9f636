"""Room 4, the door: what OpenAI's own clients speak, below `/v1`.

May import: app.

Sources: the packages openai 3.54 (Python) and openai 6.49 and 7.57 (npm), read 2026-11.
"""

from app.doors.openai.router import answer_anywhere, make_router

__all__ = ["answer_anywhere", "make_router"]
