"""Room 4, the door: the protocol of Vercel's AI SDK, as its hook `useChat` speaks it.

May import: app.
"""

from app.doors.ai_sdk.routes import make_router

__all__ = ["make_router"]
