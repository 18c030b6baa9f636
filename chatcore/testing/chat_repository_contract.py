"""Beside the hexagon: what every chat repository must pass.

May import: standard library, chatcore.

Authors of an adapter subclass `ChatRepositoryContract` and supply the fixture `repository`:

    class TestMyRepository(ChatRepositoryContract):
        @pytest.fixture
        async def repository(self):
            yield MyRepository(...)

The store need not be empty: every test makes owners of its own. Run it with pytest-asyncio in mode
`auto`. For the state machine over the same port see `chat_repository_machine`.
"""

from __future__ import annotations

from .feedback_contract import FeedbackContract
from .naming_contract import NamingContract
from .reply_journal_contract import ReplyJournalContract
from .session_contract import SessionContract
from .session_opening_contract import SessionOpeningContract
from .take_over_contract import TakeOverContract
from .turn_admission_contract import TurnAdmissionContract
from .turn_ending_contract import TurnEndingContract
from .turn_replacing_contract import TurnReplacingContract
from .turn_stopping_contract import TurnStoppingContract


class ChatRepositoryContract(
    TurnAdmissionContract,
    TurnReplacingContract,
    TurnStoppingContract,
    TurnEndingContract,
    ReplyJournalContract,
    TakeOverContract,
    SessionContract,
    SessionOpeningContract,
    NamingContract,
    FeedbackContract,
):
    """All promises of `ChatRepository`."""
