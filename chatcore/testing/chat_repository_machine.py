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
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chatcore import (
    AttemptOutcome,
    Beat,
    ChatError,
    ChatRepository,
    Feedback,
    JournalEntry,
    JournalPlace,
    MessageId,
    MessageNotFound,
    NewTurn,
    OnBusy,
    OwnerId,
    SessionBusy,
    SessionCursor,
    SessionId,
    SessionNotFound,
    TurnLost,
    TurnNotFound,
    TurnRef,
    TurnStatus,
)

from .builders import EXPIRED, NOW, an_owner, completed, failed, new_turn, ref_of, stopped
from .chat_repository_model import Model, ModelSession, ModelTurn
from .steps import place_in, take_over, try_again
from .strategies import ALIVE, DEADLINES, DIGESTS, FEEDBACK, KEYS, LEASES, TEXT

T = TypeVar("T")


class ChatRepositoryMachine(RuleBasedStateMachine):
    """Does at random what callers may do, and checks every answer against plain lists."""

    def __init__(self) -> None:
        super().__init__()
        # A connection belongs to its event loop, so each run has one of its own.
        self._loop = asyncio.new_event_loop()
        self.model = Model()
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
        lease=LEASES,
        deadline=DEADLINES,
        window_turns=st.integers(0, 3),
        max_attempts=st.integers(1, 3),
        on_busy=st.sampled_from(OnBusy),
        may_open=st.booleans(),
    )
    def admit(
        self,
        data: st.DataObject,
        text: str,
        key: str | None,
        lease: float,
        deadline: float,
        window_turns: int,
        max_attempts: int,
        on_busy: OnBusy,
        may_open: bool,
    ) -> None:
        """Ask, in a session of one's own, somebody else's, or a new one; or ask something anew."""
        known = [*self.model.gone, *3 * list(self.model.sessions)]
        session_id = data.draw(st.sampled_from([None, *known]))
        owner = self._somebody(data, session_id)
        session = None if session_id is None else self.model.sessions.get(session_id)
        new = new_turn(
            owner,
            session_id,
            # Two owners may have sessions of one id; the model cannot.
            may_open=may_open and (session is None or session.owner == owner),
            text=text,
            key=key,
            lease_seconds=lease,
            deadline_seconds=deadline,
            window_turns=window_turns,
            max_attempts=max_attempts,
            on_busy=on_busy,
            replaces=data.draw(self._replaceable(session_id)),
            now=self._now(),
        )
        refusals = self.model.refusals(new)
        if refusals:
            self._check_busy(new, self._refused(self.repository.admit(new), *refusals))
            return
        admission = self.call(self.repository.admit(new))
        earlier = self.model.earlier(new)
        assert admission.repeated is (earlier is not None)
        if earlier is not None:
            assert admission.turn.id == earlier.ref.turn_id
            assert admission.turn.superseded_by == earlier.superseded_by
            assert (admission.turn.status, admission.superseded) == (earlier.status, None)
            return
        stopped_turn = self.model.admit(new, ref_of(admission))
        session = self.model.sessions[new.session_id]
        assert admission.superseded == (stopped_turn.ref.turn_id if stopped_turn else None)
        assert admission.turn.number == len(session.turns)
        assert [said.content for said in admission.window] == session.turns[-1].window

    @precondition(lambda self: self.model.turns)
    @rule(data=st.data())
    def admit_again(self, data: st.DataObject) -> None:
        """Repeat an admission whose answer was lost, at any later time: nothing happens."""
        turn = self._one_of(data, self.model.turns)
        admission = self.call(self.repository.admit(turn.new))
        assert (admission.turn.id, admission.repeated) == (turn.ref.turn_id, False)
        assert (admission.turn.status, admission.turn.attempt) == (turn.status, turn.ref.attempt)
        assert [said.content for said in admission.window] == turn.window

    @precondition(lambda self: self.model.running)
    @rule(data=st.data(), part=st.just("") | TEXT)
    def finish(self, data: st.DataObject, part: str) -> None:
        """End a running turn in one of the three ways."""
        turn = self._one_of(data, self.model.running)
        ways = [failed(part, now=self._now()), stopped(part, now=self._now())]
        end = data.draw(st.sampled_from([*ways, completed(part or "whole", now=self._now())]))
        stored = self.call(self.repository.finish(turn.ref, end))
        turn.end, turn.digest = end, end.request_digest or turn.digest
        turn.finish(end.status, AttemptOutcome(end.status.value), end.reply_id, end.text)
        assert (stored.status, stored.reply is not None) == (end.status, bool(end.text))

    @precondition(lambda self: self.model.running)
    @rule(data=st.data(), digest=DIGESTS)
    def try_again(self, data: st.DataObject, digest: str | None) -> None:
        """Move a running turn on to its next attempt; the old one is refused from then on."""
        turn = self._one_of(data, self.model.running)
        old, now = turn.ref, self._now()
        move = try_again(self.repository, old, request_digest=digest or "", now=now)
        if not turn.has_attempts_left:
            self._refused(move, TurnLost)
            return
        turn.move_on(AttemptOutcome.FAILED, digest)
        assert self.call(move) == turn.ref
        assert self.call(try_again(self.repository, old, now=now)) == turn.ref
        self._refused(self.repository.finish(old, completed(now=self._now())), TurnLost)

    @precondition(lambda self: self.model.ended)
    @rule(data=st.data())
    def finish_again(self, data: st.DataObject) -> None:
        """End an ended turn: the very same end is recognised, any other refused."""
        turn = self._one_of(data, self.model.ended)
        other = completed("another", now=self._now())
        self._refused(self.repository.finish(turn.ref, other), TurnLost)
        if turn.end is not None:
            assert self.call(self.repository.finish(turn.ref, turn.end)).status is turn.status

    @precondition(lambda self: self.model.running)
    @rule(data=st.data(), pieces=st.lists(TEXT, min_size=1, max_size=3), lease=LEASES)
    def write(self, data: st.DataObject, pieces: list[str], lease: float) -> None:
        """Append some text to a running turn, piece by piece."""
        turn = self._one_of(data, self.model.running)
        for piece in pieces:
            beat = Beat(turn.ref, len(turn.written), piece)
            held = self.call(self.repository.beat([beat], lease_seconds=lease))
            assert held == {turn.ref.turn_id}
            turn.write(beat.start, piece, None, lease_seconds=lease)

    @precondition(lambda self: self.model.turns)
    @rule(data=st.data(), lease=st.sampled_from([ALIVE, 0.0, EXPIRED]))
    def beat(self, data: st.DataObject, lease: float) -> None:
        """Report several turns at once: held or lost ones, new pieces, old ones, or none."""
        mostly_running = st.sampled_from(self.model.turns + 3 * self.model.running)
        turns = data.draw(st.lists(mostly_running, min_size=1, max_size=4, unique=True))
        beats = [self._beat_of(data, turn) for turn in turns]
        held = self.call(self.repository.beat(beats, lease_seconds=lease))
        expected = set()
        for turn, beat in zip(turns, beats, strict=True):
            if turn.is_running and turn.ref == beat.ref:
                expected.add(turn.ref.turn_id)
                turn.write(beat.start, beat.text, beat.request_digest, lease_seconds=lease)
        assert held == expected

    @precondition(lambda self: self.model.turns)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        """Stop a turn, ended or not, as its owner, or try to as the other one."""
        turn = self._one_of(data, self.model.turns)
        owner, reply_id = self._somebody(data, turn.ref.session_id), MessageId(uuid4())
        call = self.repository.stop(
            owner, turn.ref.session_id, turn.ref.turn_id, reply_id=reply_id, now=self._now()
        )
        if owner != turn.ref.owner_id:
            self._refused(call, TurnNotFound)
            return
        stored = self.call(call)
        if turn.is_running:
            turn.close(TurnStatus.STOPPED, AttemptOutcome.STOPPED, reply_id)
        assert stored.status is turn.status
        assert (stored.reply and (stored.reply.id, stored.reply.content)) == turn.reply

    @precondition(lambda self: self.model.turns)
    @rule(data=st.data(), lease=LEASES)
    def take_over(self, data: st.DataObject, lease: float) -> None:
        """Take a turn over, under any name it had: only an abandoned one's latest is good."""
        turn = self._one_of(data, self.model.turns)
        ref = self._name_of(data, turn)
        call = take_over(self.repository, ref, lease_seconds=lease, now=self._now())
        if not (turn.is_abandoned and ref == turn.ref and turn.may_go_on):
            self._refused(call, TurnLost)
            return
        taken = self.call(call)
        turn.move_on(AttemptOutcome.ABANDONED)
        turn.expired = lease <= 0
        assert (taken.ref, taken.text) == (turn.ref, turn.new.text)
        assert [said.content for said in taken.window] == turn.window
        self._refused(self.repository.finish(ref, completed(now=self._now())), TurnLost)

    @precondition(lambda self: self.model.turns)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """Give a turn up, under any name it had: only an abandoned one's latest is good."""
        turn = self._one_of(data, self.model.turns)
        ref, reply_id = self._name_of(data, turn), MessageId(uuid4())
        call = self.repository.give_up(
            ref, reply_id=reply_id, error_code="turn_interrupted", now=self._now()
        )
        if not (turn.is_abandoned and ref == turn.ref):
            self._refused(call, TurnLost)
            return
        stored = self.call(call)
        turn.close(TurnStatus.FAILED, AttemptOutcome.ABANDONED, reply_id)
        assert (stored.status, stored.error_code) == (turn.status, "turn_interrupted")

    @precondition(lambda self: self.model.turns)
    @rule(data=st.data())
    def look_closely(self, data: st.DataObject) -> None:
        """Read one turn and its question, as its owner and as the other one."""
        turn = self._one_of(data, self.model.turns)
        owner = self._somebody(data, turn.ref.session_id)
        message_id = data.draw(st.sampled_from(turn.message_ids))
        asking = self.repository.question(owner, turn.ref.session_id, message_id)
        if owner != turn.ref.owner_id:
            reading = self.repository.turn(owner, turn.ref.session_id, turn.ref.turn_id)
            self._refused(reading, TurnNotFound)
            self._refused(asking, MessageNotFound)
            return
        self._check_details(turn)
        question = self.call(asking)
        assert (question.turn_id, question.turn_number) == (turn.ref.turn_id, turn.ref.number)
        assert question.text == turn.new.text

    @rule(data=st.data(), title=st.just("") | TEXT, value=TEXT)
    def open(self, data: st.DataObject, title: str, value: str) -> None:
        """Open a session that was never there, is gone, or is there and stays as it is."""
        new, known = SessionId(uuid4()), list(self.model.sessions)
        session_id = data.draw(st.sampled_from([new, *self.model.gone, *known]))
        owner = data.draw(st.sampled_from(self.owners))
        opened = ModelSession(owner, self._now(), title, (("name", value),))
        session = self.model.sessions.setdefault(session_id, opened)
        call = self.repository.open(
            session.owner,
            session_id,
            title=opened.title,
            metadata=opened.metadata,
            now=opened.updated_at,
        )
        told = self.call(call)
        assert (told.id, told.owner_id, told.updated_at) == (
            session_id,
            session.owner,
            session.updated_at,
        )
        assert (told.title, told.metadata) == (session.title, session.metadata)

    @precondition(lambda self: self.model.turns)
    @rule(data=st.data(), feedback=FEEDBACK)
    def rate(self, data: st.DataObject, feedback: Feedback | None) -> None:
        """Rate a message as its owner, or try to as the other one."""
        turn = self._one_of(data, self.model.turns)
        session_id, message_id = turn.ref.session_id, data.draw(st.sampled_from(turn.message_ids))
        owner = self._somebody(data, session_id)
        call = self.repository.rate(owner, session_id, message_id, feedback=feedback, now=NOW)
        if owner != turn.ref.owner_id:
            self._refused(call, MessageNotFound)
            return
        self.call(call)
        self.model.sessions[session_id].feedback[message_id] = feedback

    @precondition(lambda self: self.model.sessions)
    @rule(data=st.data(), title=TEXT)
    def rename(self, data: st.DataObject, title: str) -> None:
        """Rename a session as its owner, or try to as the other one."""
        session_id = data.draw(self._session_ids())
        owner = self._somebody(data, session_id)
        now = self._now()
        call = self.repository.rename(owner, session_id, title=title, now=now)
        if self.model.sessions[session_id].owner != owner:
            self._refused(call, SessionNotFound)
            return
        assert self.call(call).title == title
        self.model.sessions[session_id].updated_at = now
        self.model.sessions[session_id].title = title

    @precondition(lambda self: len(self.model.sessions) > 1)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        """Erase a session as its owner, or try to as the other one."""
        session_id = data.draw(self._session_ids())
        owner = self._somebody(data, session_id)
        call = self.repository.erase(owner, session_id, now=self._now())
        if self.model.sessions[session_id].owner != owner:
            self._refused(call, SessionNotFound)
            return
        self.call(call)
        gone = self.model.erase(session_id).turns
        for turn in gone:
            self._refused(self.repository.finish(turn.ref, completed()), TurnLost)
        beats = [Beat(turn.ref, len(turn.written), "late") for turn in gone]
        assert self.call(self.repository.beat(beats, lease_seconds=EXPIRED)) == frozenset()
        places = [place_in(turn.ref) for turn in gone]
        assert self.call(self.repository.read(places)) == ()

    @invariant()
    def messages_are_those_of_the_model(self) -> None:
        """Every session reads back as it was written, in order, page by page."""
        for session_id, session in self.model.sessions.items():
            expected = session.said()
            page = self.call(self.repository.messages(session.owner, session_id, limit=1000))
            seen = [(m.content, m.turn_status, m.superseded_by, m.feedback) for m in page.items]
            assert seen == expected
            assert [said.position for said in page.items] == list(range(1, len(expected) + 1))
            counting = tuple(said for said in page.items if said.superseded_by is None)
            call = self.repository.messages(session.owner, session_id, limit=1000, counting=True)
            assert self.call(call).items == counting

    @invariant()
    def journals_are_those_of_the_model(self) -> None:
        """Every turn's journal reads back from every piece on, to its owner and nobody else."""
        turns = self.model.turns
        places = []
        for index, turn in enumerate(turns):
            # Another place at each step, so that all are seen.
            skipped = "".join(turn.pieces[: (index + self.ticks) % (len(turn.pieces) + 1)])
            places.append(place_in(turn.ref, len(skipped)))
        strangers = [replace(place, owner_id=self._other(place.owner_id)) for place in places]
        assert not turns or self.call(self.repository.read(strangers)) == ()
        found = {entry.turn_id: entry for entry in self._read(places)}
        for turn, place in zip(turns, places, strict=True):
            entry = found.pop(turn.ref.turn_id)
            assert (entry.status, entry.attempt) == (turn.status, turn.ref.attempt)
            assert entry.is_abandoned is turn.is_abandoned
            assert entry.text == turn.written[place.offset :]
        assert not found

    @invariant()
    def abandoned_are_those_of_the_model(self) -> None:
        """Of every session the abandoned turn is known, and whether it may go on."""
        for session_id, session in self.model.sessions.items():
            call = self.repository.abandoned(limit=9, session=(session.owner, session_id))
            found = [(each.ref, each.may_go_on) for each in self.call(call)]
            late = [turn for turn in session.turns if turn.is_abandoned]
            assert found == [(turn.ref, turn.may_go_on) for turn in late]

    @invariant()
    def details_are_those_of_the_model(self) -> None:
        """The latest turn of every session reads back with its attempts."""
        for session in self.model.sessions.values():
            for turn in session.turns[-1:]:
                self._check_details(turn)

    @invariant()
    def sessions_are_those_of_the_model(self) -> None:
        """Each owner's list holds exactly their sessions, latest activity first."""
        sessions = self.model.sessions
        for owner in getattr(self, "owners", []):
            mine = [key for key, session in sessions.items() if session.owner == owner]
            mine.sort(key=lambda key: (sessions[key].updated_at, key), reverse=True)
            listed: list[tuple[SessionId, str]] = []
            cursor: SessionCursor | None = None
            while cursor is not None or not listed:
                page = self.call(self.repository.sessions(owner, limit=2, after=cursor))
                listed += [(session.id, session.title) for session in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert listed == [(key, sessions[key].title) for key in mine]

    def _check_details(self, turn: ModelTurn) -> None:
        ref = turn.ref
        stored = self.call(self.repository.turn(ref.owner_id, ref.session_id, ref.turn_id))
        assert (stored.status, stored.superseded_by) == (turn.status, turn.superseded_by)
        assert (stored.number, stored.attempt) == (ref.number, ref.attempt)
        assert (stored.reply and (stored.reply.id, stored.reply.content)) == turn.reply
        seen = [(attempt.outcome, attempt.request_digest) for attempt in stored.attempts]
        assert seen == turn.attempts

    def _beat_of(self, data: st.DataObject, turn: ModelTurn) -> Beat:
        """Draw a sign of life: with a new piece, with one sent before, or without any."""
        starts = [len("".join(turn.pieces[:index])) for index in range(len(turn.pieces))]
        again = [Beat(turn.ref, *piece) for piece in zip(starts, turn.pieces, strict=True)]
        new = Beat(turn.ref, len(turn.written), data.draw(TEXT))
        beat = data.draw(st.sampled_from([new, new, Beat(turn.ref), *again]))
        return replace(beat, ref=self._name_of(data, turn), request_digest=data.draw(DIGESTS))

    def _name_of(self, data: st.DataObject, turn: ModelTurn) -> TurnRef:
        """Draw what somebody holds a turn for: mostly what it is."""
        earlier = replace(turn.ref, attempt=max(1, turn.ref.attempt - 1))
        foreign = replace(turn.ref, owner_id=self._other(turn.ref.owner_id))
        return data.draw(st.sampled_from([turn.ref, turn.ref, turn.ref, earlier, earlier, foreign]))

    def _somebody(self, data: st.DataObject, session_id: SessionId | None) -> OwnerId:
        """Draw who acts: mostly the session's owner."""
        if session_id not in self.model.sessions:
            return data.draw(st.sampled_from(self.owners))
        owner = self.model.sessions[session_id].owner
        return data.draw(st.sampled_from([owner, owner, owner, self._other(owner)]))

    def _replaceable(self, session_id: SessionId | None) -> st.SearchStrategy[int | None]:
        """Draw whose place a question takes: mostly nobody's, sometimes one's that is not there."""
        session = None if session_id is None else self.model.sessions.get(session_id)
        if session is None:
            return st.none()
        return st.none() | st.integers(1, len(session.turns) + 1)

    def _check_busy(self, new: NewTurn, error: ChatError) -> None:
        if isinstance(error, SessionBusy):
            running = self.model.sessions[new.session_id].running
            assert running is not None
            assert (error.turn_id, error.is_abandoned) == (running.ref.turn_id, running.expired)

    def _refused(self, awaitable: Awaitable[object], *errors: type[ChatError]) -> ChatError:
        try:
            self.call(awaitable)
        except errors as error:
            return error
        raise AssertionError(f"expected {errors}")

    def _read(self, places: list[JournalPlace]) -> tuple[JournalEntry, ...]:
        return self.call(self.repository.read(places)) if places else ()

    def _other(self, owner: OwnerId) -> OwnerId:
        return next(each for each in self.owners if each != owner)

    def _now(self) -> datetime:
        self.ticks += 1
        return NOW + timedelta(seconds=self.ticks)

    def _session_ids(self) -> st.SearchStrategy[SessionId]:
        sessions = self.model.sessions
        return st.sampled_from(list(sessions)) if sessions else st.nothing()

    def _one_of(self, data: st.DataObject, turns: list[ModelTurn]) -> ModelTurn:
        return data.draw(st.sampled_from(turns))


async def _as_coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable
