"""Both repositories of the project pass the contract.

May import: standard library, adapters, chatcore, pytest.
"""

from __future__ import annotations

import pytest

from adapters.memory import InMemoryChatRepository
from adapters.postgres import Database, PostgresChatRepository
from chatcore import ChatRepository
from chatcore.testing.chat_repository_contract import ChatRepositoryContract


class TestInMemoryChatRepository(ChatRepositoryContract):
    """In this process's memory."""

    @pytest.fixture
    async def repository(self) -> ChatRepository:
        """Give an empty repository."""
        return InMemoryChatRepository()


@pytest.mark.postgres
class TestPostgresChatRepository(ChatRepositoryContract):
    """On a real PostgreSQL."""

    @pytest.fixture
    async def repository(self, database: Database) -> ChatRepository:
        """Give a repository on the run's PostgreSQL."""
        return PostgresChatRepository(database)
