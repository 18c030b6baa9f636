"""Beside the hexagon: a state machine that compares any repository with a plain model.

May import: standard library, chatcore, hypothesis.

Authors of an adapter make a subclass that opens a repository, and let Hypothesis run its test case:

    class MyMachine(ChatRepositoryMachine):
        async def open_repository(self): return MyRepository(...)

    TestMyMachine = MyMachine.TestCase
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chatcore import (
    ChatError,
    ChatRepository,
    IdempotencyKeyReused,
    NewTurn,
    OwnerId,
    SessionBusy,
    SessionCursor,
    SessionId,
    SessionNotFound,
    TurnEnd,
    TurnLost,
    TurnRef,
    TurnStatus,
)

from .builders import EXPIRED, NOW, an_owner, completed, failed, new_turn, ref_of, stopped

T = TypeVar("T")

TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40
)
KEYS = st.none() | st.sampled_from(["key-one", "key-two", "key-three"])


@dataclass
class ModelTurn:
    """What the model remembers of a turn."""

    new: NewTurn
    ref: TurnRef
    window: list[str]
    expired: bool
    end: TurnEnd | None = None

    @property
    def status(self) -> TurnStatus:
        """Where it stands."""
        return self.end.status if self.end else TurnStatus.RUNNING

    @property
    def texts(self) -> list[str]:
        """Question and, if there is one, reply."""
        return [self.new.text] + ([self.end.text] if self.end and self.end.text else [])

    @property
    def is_history(self) -> bool:
        """Whether later questions take it along."""
        good = self.status in (TurnStatus.COMPLETED, TurnStatus.STOPPED)
        return good and len(self.texts) == 2


@dataclass
class ModelSession:
    """What the model remembers of a session."""

    owner: OwnerId
    updated_at: datetime
    turns: list[ModelTurn] = field(default_factory=list)

    @property
    def running(self) -> ModelTurn | None:
        """The turn that has not ended."""
        return next((turn for turn in self.turns if turn.end is None), None)


class ChatRepositoryMachine(RuleBasedStateMachine):
    """Does at random what callers may do, and checks every answer against plain lists."""

    def __init__(self) -> None:
        super().__init__()
        # A connection belongs to its event loop, so each run has one of its own.
        self._loop = asyncio.new_event_loop()
        self.sessions: dict[SessionId, ModelSession] = {}
        self.keys: dict[tuple[OwnerId, str], ModelTurn] = {}
        self.ticks = 0

    async def open_repository(self) -> ChatRepository:
        """Return the repository to drive; to be supplied."""
        raise NotImplementedError

    async def close_repository(self) -> None:
        """Let go of what `open_repository` opened."""

    def call(self, awaitable: Awaitable[T]) -> T:
        """Run one method to its end."""
        return self._loop.run_until_complete(_as_coroutine(awaitable))

    def teardown(self) -> None:
        """Close the repository and the loop."""
        try:
            self.call(self.close_repository())
        finally:
            self._loop.close()

    @initialize()
    def begin(self) -> None:
        """Open the repository and make two owners."""
        self.repository = self.call(self.open_repository())
        self.owners = [an_owner(), an_owner()]

    @rule(
        data=st.data(),
        text=TEXT,
        key=KEYS,
        expired=st.booleans(),
        window_turns=st.integers(0, 3),
    )
    def admit(
        self, data: st.DataObject, text: str, key: str | None, expired: bool, window_turns: int
    ) -> None:
        """Ask, in a session of one's own, somebody else's, or a new one."""
        owner = data.draw(st.sampled_from(self.owners))
        session_id = data.draw(st.none() | self._session_ids())
        lease = EXPIRED if expired else 60.0
        new = new_turn(
            owner,
            session_id,
            text=text,
            key=key,
            lease_seconds=lease,
            window_turns=window_turns,
            now=self._now(),
        )
        expected = self._expected_refusal(new)
        if expected is not None:
            self._refused(self.repository.admit(new), expected)
            return
        admission = self.call(self.repository.admit(new))
        earlier = self.keys.get((owner, key)) if key else None
        assert admission.repeated is (earlier is not None)
        if earlier is not None:
            assert admission.turn.id == earlier.ref.turn_id
            assert admission.turn.status is earlier.status
            return
        self._note_admitted(new, ref_of(admission), expired)
        session = self.sessions[new.session_id]
        assert admission.turn.number == len(session.turns)
        assert [said.content for said in admission.window] == session.turns[-1].window

    @precondition(lambda self: self._running())
    @rule(data=st.data(), part=st.just("") | TEXT)
    def finish(self, data: st.DataObject, part: str) -> None:
        """End a running turn in one of the three ways."""
        turn = data.draw(st.sampled_from(self._running()))
        ways = [failed(part, now=self._now()), stopped(part, now=self._now())]
        end = data.draw(st.sampled_from([*ways, completed(part or "whole", now=self._now())]))
        stored = self.call(self.repository.finish(turn.ref, end))
        turn.end = end
        assert (stored.status, stored.reply is not None) == (end.status, bool(end.text))

    @precondition(lambda self: self._running())
    @rule(data=st.data())
    def try_again(self, data: st.DataObject) -> None:
        """Move a running turn on to its next attempt; the old one is refused from then on."""
        turn = data.draw(st.sampled_from(self._running()))
        old = turn.ref
        move = self.repository.next_attempt(
            old, error_code="llm_timeout", request_digest="d", now=self._now()
        )
        if old.attempt >= turn.new.max_attempts:
            self._refused(move, TurnLost)
            return
        turn.ref = self.call(move)
        assert turn.ref == replace(old, attempt=old.attempt + 1)
        self._refused(self.repository.finish(old, completed(now=self._now())), TurnLost)

    @precondition(lambda self: self._ended())
    @rule(data=st.data())
    def finish_again(self, data: st.DataObject) -> None:
        """End an ended turn: the very same end is recognised, any other refused."""
        turn = data.draw(st.sampled_from(self._ended()))
        assert turn.end is not None
        other = completed("another", now=self._now())
        self._refused(self.repository.finish(turn.ref, other), TurnLost)
        if turn.end.error_code != "turn_interrupted":
            assert self.call(self.repository.finish(turn.ref, turn.end)).status is turn.status

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), title=TEXT)
    def rename(self, data: st.DataObject, title: str) -> None:
        """Rename a session as its owner, or try to as the other one."""
        owner = data.draw(st.sampled_from(self.owners))
        session_id = data.draw(self._session_ids())
        now = self._now()
        call = self.repository.rename(owner, session_id, title=title, now=now)
        if self.sessions[session_id].owner != owner:
            self._refused(call, SessionNotFound)
            return
        assert self.call(call).title == title
        self.sessions[session_id].updated_at = now

    @precondition(lambda self: len(self.sessions) > 1)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        """Erase a session as its owner, or try to as the other one."""
        owner = data.draw(st.sampled_from(self.owners))
        session_id = data.draw(self._session_ids())
        call = self.repository.erase(owner, session_id, now=self._now())
        if self.sessions[session_id].owner != owner:
            self._refused(call, SessionNotFound)
            return
        self.call(call)
        gone = self.sessions.pop(session_id)
        self.keys = {key: turn for key, turn in self.keys.items() if turn not in gone.turns}
        for turn in gone.turns:
            self._refused(self.repository.finish(turn.ref, completed()), TurnLost)

    @invariant()
    def messages_are_those_of_the_model(self) -> None:
        """Every session reads back as it was written, in order, page by page."""
        for session_id, session in self.sessions.items():
            expected = [(text, turn.status) for turn in session.turns for text in turn.texts]
            page = self.call(self.repository.messages(session.owner, session_id, limit=1000))
            assert [(said.content, said.turn_status) for said in page.items] == expected
            assert [said.position for said in page.items] == list(range(1, len(expected) + 1))

    @invariant()
    def sessions_are_those_of_the_model(self) -> None:
        """Each owner's list holds exactly their sessions, latest activity first."""
        for owner in getattr(self, "owners", []):
            mine = [key for key, session in self.sessions.items() if session.owner == owner]
            mine.sort(key=lambda key: (self.sessions[key].updated_at, key), reverse=True)
            listed: list[SessionId] = []
            cursor: SessionCursor | None = None
            while cursor is not None or not listed:
                page = self.call(self.repository.sessions(owner, limit=2, after=cursor))
                listed += [session.id for session in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert listed == mine

    def _expected_refusal(self, new: NewTurn) -> type[ChatError] | None:
        earlier = self.keys.get((new.owner_id, new.idempotency_key or ""))
        if earlier is not None:
            same = earlier.new.fingerprint == new.fingerprint
            return None if same else IdempotencyKeyReused
        if new.opens_session:
            return None
        session = self.sessions.get(new.session_id)
        if session is None or session.owner != new.owner_id:
            return SessionNotFound
        running = session.running
        return SessionBusy if running is not None and not running.expired else None

    def _note_admitted(self, new: NewTurn, ref: TurnRef, expired: bool) -> None:
        session = self.sessions.setdefault(new.session_id, ModelSession(new.owner_id, new.now))
        if session.running is not None:
            session.running.end = failed(code="turn_interrupted")
        whole = [turn for turn in session.turns if turn.is_history]
        latest = whole[len(whole) - min(new.window_turns, len(whole)) :]
        window = [text for turn in latest for text in turn.texts]
        turn = ModelTurn(new, ref, window, expired)
        session.turns.append(turn)
        session.updated_at = new.now
        if new.idempotency_key is not None:
            self.keys[new.owner_id, new.idempotency_key] = turn

    def _refused(self, awaitable: Awaitable[object], error: type[ChatError]) -> None:
        try:
            self.call(awaitable)
        except error:
            return
        raise AssertionError(f"expected {error.__name__}")

    def _now(self) -> datetime:
        self.ticks += 1
        return NOW + timedelta(seconds=self.ticks)

    def _session_ids(self) -> st.SearchStrategy[SessionId]:
        return st.sampled_from(list(self.sessions)) if self.sessions else st.nothing()

    def _running(self) -> list[ModelTurn]:
        return [turn for session in self.sessions.values() if (turn := session.running)]

    def _ended(self) -> list[ModelTurn]:
        return [turn for session in self.sessions.values() for turn in session.turns if turn.end]


async def _as_coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable
