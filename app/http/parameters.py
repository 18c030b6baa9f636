"""Room 4, the door: where handlers get their arguments from, said once.

May import: standard library, app, chatcore, litestar.
"""

from typing import TypeAlias

from litestar.di import NamedDependency
from litestar.params import FromPath

from app.http.markdown import Markdown
from app.lifecycle import Lifecycle
from chatcore import ChatService, OwnerId

Owner: TypeAlias = NamedDependency[OwnerId]
"""Whose request it is."""
Service: TypeAlias = NamedDependency[ChatService]
Watch: TypeAlias = NamedDependency[Lifecycle]
Renderer: TypeAlias = NamedDependency[Markdown]
IdInPath: TypeAlias = FromPath[str]
"""Text, since what is no id must be answered like an unknown one."""
