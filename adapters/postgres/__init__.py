"""Room 3, the world: conversations in PostgreSQL 15 or newer.

May import: standard library.
"""

from .chat_repository import PostgresChatRepository
from .database import Database
from .migrate import migrate
from .schema_version import SchemaOutdated, require_head

__all__ = ["Database", "PostgresChatRepository", "SchemaOutdated", "migrate", "require_head"]
