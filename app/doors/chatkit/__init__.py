"""Room 4, the door: the ChatKit protocol, `POST /chatkit`.

May import: standard library, app.
"""

from app.doors.chatkit.routes import make_router

__all__ = ["make_router"]
