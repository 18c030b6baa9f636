"""Room 3, the world: the parts that make the service run on a bare machine, all from wheels.

May import: standard library.
"""

from .errors import EmbeddedUnavailable
from .local_model import LocalModel
from .postgres import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedUnavailable", "LocalModel"]
