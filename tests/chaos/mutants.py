"""Planted bugs: each is a patch that a replica applies to itself when it starts.

May import: standard library, adapters, chatcore, sqlalchemy, tests.chaos.

A run that finds nothing proves something only if it finds these.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from adapters.openai.streamed_answer import StreamedAnswer
from adapters.postgres import admission, ending, stop_statements, turn_repository
from adapters.postgres.statement import Statement
from adapters.postgres.turn_repository import PostgresTurns
from chatcore import Admission, ReplyDelta, ReplyPosition, Turn, TurnReader
from chatcore.model.message import Message, Role
from chatcore.turns import admission as questions
from chatcore.turns import live_reply, runner
from chatcore.turns.ending import Ending
from chatcore.turns.running import Cut
from tests.chaos.failpoints import WatchedModel

Edit = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One planted bug.

    Attributes:
        caught_by: The clauses of the checker of which one must find it.
        edits: Changes to statements: for those that hold the first, every match of the second
            becomes the third.
        patch: Changes to the code.
        tables: Statements that change the tables.
        scenario: What has to happen for it to show; see `tests.chaos.scenarios`.
    """

    scenario: str
    caught_by: tuple[str, ...]
    edits: tuple[Edit, ...] = ()
    patch: Callable[[], None] | None = None
    tables: tuple[str, ...] = ()
    policy: dict[str, Any] = field(default_factory=dict)


def apply(name: str) -> None:
    """Plant a bug in this process."""
    mutant = MUTANTS[name]
    if mutant.edits:
        _edit_statements(mutant.edits)
    if mutant.patch is not None:
        mutant.patch()


def _edit_statements(edits: tuple[Edit, ...]) -> None:
    compile_as_written = Statement.__init__

    def compile_edited(self: Statement, statement: sa.ClauseElement, schema: str) -> None:
        compile_as_written(self, statement, schema)
        for marker, pattern, replacement in edits:
            if marker in self.sql:
                self.sql, count = re.subn(pattern, replacement, self.sql)
                if marker and not count:
                    raise LookupError(f"nothing to edit after {marker!r}: the statement changed")

    Statement.__init__ = compile_edited  # type: ignore[method-assign]


def _in_two_commits() -> None:
    """The question follows the turn in a commit of its own."""
    admit = admission.PostgresAdmissions._admit
    question = sa.text(
        "INSERT INTO chatcore.messages"
        " (owner_id, session_id, position, id, turn_number, role, content, created_at)"
        " VALUES (:owner_id, :session_id, :position, :question_id, :number, 'user', :text, :now)"
    ).bindparams(
        sa.bindparam("owner_id", type_=sa.Text),
        sa.bindparam("session_id", type_=sa.Uuid),
        sa.bindparam("position", type_=sa.Integer),
        sa.bindparam("question_id", type_=sa.Uuid),
        sa.bindparam("number", type_=sa.Integer),
        sa.bindparam("text", type_=sa.Text),
        sa.bindparam("now", type_=sa.DateTime(timezone=True)),
    )

    async def admit_twice(self: Any, new: Any) -> Any:
        admitted = await admit(self, new)
        await asyncio.sleep(0.3)
        number = admitted.turn.number
        values = {name: getattr(new, name) for name in ("owner_id", "session_id", "text", "now")}
        values |= {"question_id": new.question_id, "number": number, "position": 2 * number - 1}
        await self._database.fetch(question, values)
        return admitted

    admission.PostgresAdmissions._admit = admit_twice  # type: ignore[method-assign]


def _done_before_commit() -> None:
    """Readers are told of the end before it is stored."""
    store = Ending.store

    async def store_late(self: Any, turn: Any, end: Any) -> Any:
        ref = turn.ref
        reply = Message(
            id=end.reply_id,
            session_id=ref.session_id,
            turn_id=ref.turn_id,
            turn_status=end.status,
            position=2,
            role=Role.ASSISTANT,
            content=end.text,
            quote=None,
            created_at=end.now,
        )
        told = Turn(
            id=ref.turn_id,
            session_id=ref.session_id,
            owner_id=ref.owner_id,
            number=ref.number,
            status=end.status,
            attempt=ref.attempt,
            max_attempts=2,
            question_id=end.reply_id,
            created_at=end.now,
            ended_at=end.now,
            reply=reply if end.text else None,
            error_code=end.error_code,
        )
        turn.live.finish(told)
        await asyncio.sleep(0.2)
        return await store(self, turn, end)

    Ending.store = store_late  # type: ignore[method-assign]


def _stop_as_one_statement() -> None:
    """The part is read by the statement that ends the turn, as that statement sees the journal."""

    async def stop_at_once(held: Any, turn: Any) -> bool:
        given = {**turn, "error_code": None, "outcome": "stopped"}
        ended = await held.fetch_one(stop_statements.STOP, given)
        if ended is None:
            return False
        found = dict(ended)
        part = found.pop("part_text")
        await held.fetch(stop_statements.KEEP_PART, given | found)
        if part:
            await held.fetch(_SET_PART, {"id": given["reply_id"], "text": part})
        return True

    for module in (admission, ending, turn_repository):
        module.stop_running = stop_at_once  # type: ignore[attr-defined]


_SET_PART = sa.text("UPDATE chatcore.messages SET content = :text WHERE id = :id").bindparams(
    sa.bindparam("text", type_=sa.Text), sa.bindparam("id", type_=sa.Uuid)
)


def _record_after_the_call() -> None:
    """An attempt is recorded when it is well under way."""
    record = PostgresTurns.next_attempt

    async def record_late(self: Any, ref: Any, **rest: Any) -> Any:
        async def later() -> None:
            await asyncio.sleep(0.5)
            await record(self, ref, **rest)

        _LATER.add(asyncio.ensure_future(later()))
        return replace(ref, attempt=ref.attempt + 1)

    PostgresTurns.next_attempt = record_late  # type: ignore[method-assign]


_LATER: set[Any] = set()


def _no_restart() -> None:
    """A new attempt goes on where the last one broke off."""

    def go_on(self: Any, attempt: int) -> None:
        self.attempt = attempt

    live_reply.LiveReply.restart = go_on  # type: ignore[method-assign]


def _end_of_file_is_done() -> None:
    """A stream that ends without a finish reason counts as whole."""
    take = StreamedAnswer.take

    def take_all(self: Any, chunk: bytes) -> str:
        if not chunk and self.finish_reason is None:
            self.finish_reason = "stop"
        return take(self, chunk)

    StreamedAnswer.take = take_all  # type: ignore[method-assign]


def _cursor_in_bytes() -> None:
    """Places in a reply are counted in bytes."""
    delta = TurnReader._delta

    def in_bytes(self: Any, text: str) -> ReplyDelta:
        told = delta(self, text)
        place = told.position
        extra = len(text.encode()) - len(text)
        return ReplyDelta(told.text, ReplyPosition(place.attempt, place.offset + extra))

    TurnReader._delta = in_bytes  # type: ignore[method-assign]


def _journal_deleted_before_finish() -> None:
    """The journal goes in a commit of its own, before the end is stored."""
    finish = PostgresTurns.finish
    drop = sa.text("DELETE FROM chatcore.reply_journal WHERE turn_id = :turn_id").bindparams(
        sa.bindparam("turn_id", type_=sa.Uuid)
    )

    async def finish_after(self: Any, ref: Any, end: Any) -> Any:
        await self._database.fetch(drop, {"turn_id": ref.turn_id})
        await asyncio.sleep(1)
        return await finish(self, ref, end)

    PostgresTurns.finish = finish_after  # type: ignore[method-assign]


def _leaving_stops() -> None:
    """A reader that leaves takes the turn with it."""
    close = TurnReader.close
    begin = runner.TurnRunner.__init__

    def begin_known(self: Any, **rest: Any) -> None:
        begin(self, **rest)
        _RUNNERS.append(self)

    def close_all(self: Any) -> None:
        if not self._is_ended:
            for each in _RUNNERS:
                for turn in tuple(each.turns._by_id.values()):
                    if turn.live is self._live:
                        turn.cut(Cut.STOPPED)
        close(self)

    runner.TurnRunner.__init__ = begin_known  # type: ignore[method-assign]
    TurnReader.close = close_all  # type: ignore[method-assign]


_RUNNERS: list[Any] = []


def _run_whatever_was_admitted() -> None:
    """What is admitted is run here, whoever runs it by now."""
    Admission.is_to_run = property(lambda self: not self.repeated)  # type: ignore[method-assign,assignment]


def _fingerprint_ignored() -> None:
    """Whatever is sent with a key is taken for a repeat."""
    questions._fingerprint_of = lambda asked: bytes(32)


def _clocks_of_their_own() -> None:
    """Leases are given by the replica's clock, which is an hour ahead."""
    _edit_statements((("", r"clock_timestamp\(\) \+", "clock_timestamp() + interval '1 hour' +"),))


def _hidden_retry() -> None:
    """A call that fails is made once more, and nobody is told."""
    stream = WatchedModel.stream

    async def stream_twice(self: Any, request: Any) -> Any:
        try:
            async for event in stream(self, request):
                yield event
        except Exception:  # noqa: BLE001  # that is the bug
            async for event in stream(self, request):
                yield event

    WatchedModel.stream = stream_twice  # type: ignore[method-assign]


def _prompt_of_the_moment() -> None:
    """What the model is asked depends on more than what is stored."""
    prepare = WatchedModel.prepare

    def prepare_now(self: Any, prompt: Any, *, stream: bool) -> Any:
        now = f"{prompt.system} It is {time.time()}."
        return prepare(self, replace(prompt, system=now), stream=stream)

    WatchedModel.prepare = prepare_now  # type: ignore[method-assign]


_ATTEMPT_IS_MINE = r"chatcore\.turns\.attempt = (\$\d+)::INTEGER AND turns\.status = 'running'"
_NO_FENCE = r"\1::INTEGER IS NOT NULL"
_PART_OF_ANY = r"AND chatcore\.reply_journal\.attempt = (\$\d+)::INTEGER\)"

_PART_AS_SEEN = (
    "SELECT string_agg(j.text, '' ORDER BY j.start) FROM chatcore.reply_journal AS j"
    " WHERE j.owner_id = chatcore.turns.owner_id AND j.turn_id = chatcore.turns.id"
    " AND j.attempt = chatcore.turns.attempt"
)

MUTANTS: dict[str, Mutant] = {
    "finish without fence": Mutant(
        scenario="zombie finishes",
        caught_by=("G7 one author", "G7 fence"),
        edits=(("SET status=$", _ATTEMPT_IS_MINE + r" AND turns\.xmin = \([^)]*\)", _NO_FENCE),),
    ),
    "heartbeat without fence": Mutant(
        scenario="zombie goes on",
        caught_by=("G7 fence",),
        edits=(
            (
                "ON CONFLICT DO NOTHING), \nrecorded",
                r"AND chatcore\.turns\.attempt = mine\.attempt",
                "",
            ),
        ),
    ),
    "no index of running turns": Mutant(
        scenario="two at once",
        caught_by=("G3 one turn at a time",),
        tables=("DROP INDEX chatcore.turns_one_running",),
    ),
    "no index of keys": Mutant(
        scenario="one key again",
        caught_by=("G2 one key, one turn",),
        tables=("DROP INDEX chatcore.turns_idempotency_key",),
    ),
    "admitted in two commits": Mutant(
        scenario="killed while admitting",
        caught_by=("G1 accepted is durable", "G4 dense order", "G7 turns end"),
        edits=(
            (
                "INSERT INTO chatcore.messages",
                r"(FROM session)(\), \n(?:first|recent))",
                r"\1 WHERE false\2",
            ),
        ),
        patch=_in_two_commits,
    ),
    "done before commit": Mutant(
        scenario="killed before finish",
        caught_by=("G1 told is stored", "G6 readers"),
        patch=_done_before_commit,
    ),
    "leases by the replica's clock": Mutant(
        scenario="killed in the middle",
        caught_by=("G7 turns end",),
        patch=_clocks_of_their_own,
    ),
    "stop as one statement": Mutant(
        scenario="many stops",
        caught_by=("G5 no text is lost",),
        edits=(
            (
                "SET status='stopped'",
                r"(chatcore\.turns\.question_position)\s*$",
                rf"\1, ({_PART_AS_SEEN}) AS part_text",
            ),
        ),
        patch=_stop_as_one_statement,
    ),
    "owner left out": Mutant(
        scenario="a stranger",
        caught_by=("G11 strangers see nothing",),
        edits=(
            (
                "AS reply_content",
                r"WHERE chatcore\.turns\.owner_id = (\$\d+)::VARCHAR AND",
                r"WHERE \1::VARCHAR IS NOT NULL AND",
            ),
        ),
    ),
    "recorded after the call": Mutant(
        scenario="killed in the second attempt",
        caught_by=("G7 budget",),
        patch=_record_after_the_call,
    ),
    "hidden retry": Mutant(
        scenario="model cuts off", caught_by=("G7 budget",), patch=_hidden_retry
    ),
    "no restart": Mutant(
        scenario="model cuts off", caught_by=("G7 one author", "G6 readers"), patch=_no_restart
    ),
    "end of file is done": Mutant(
        scenario="model cuts off", caught_by=("G7 one author",), patch=_end_of_file_is_done
    ),
    "places in bytes": Mutant(
        scenario="model cuts off", caught_by=("G6 readers",), patch=_cursor_in_bytes
    ),
    "journal deleted before finish": Mutant(
        scenario="killed before the only finish",
        caught_by=("G5 no text is lost",),
        patch=_journal_deleted_before_finish,
    ),
    "part of any attempt": Mutant(
        scenario="stopped in the second attempt",
        caught_by=("G7 one author",),
        edits=(("WITH part AS", _PART_OF_ANY, r"AND \1::INTEGER IS NOT NULL)"),),
    ),
    "taken over without asking the lease": Mutant(
        scenario="woken just in time",
        caught_by=("G7 leases hold",),
        edits=(
            (
                "SET attempt=(chatcore.turns.attempt + 1), lease_expires_at",
                r"AND chatcore\.turns\.lease_expires_at <= clock_timestamp\(\)",
                "",
            ),
        ),
    ),
    "run though taken over": Mutant(
        scenario="admitted without an answer",
        caught_by=("G7 budget",),
        patch=_run_whatever_was_admitted,
    ),
    "leaving stops": Mutant(
        scenario="leave in the middle",
        caught_by=("G5 nobody stops by leaving",),
        patch=_leaving_stops,
    ),
    "fingerprint ignored": Mutant(
        scenario="one key again",
        caught_by=("G2 one key, one turn",),
        patch=_fingerprint_ignored,
    ),
    "position not given back": Mutant(
        scenario="no answer at all",
        caught_by=("G4 dense order",),
        edits=(("given_back", r"(chatcore\.chat_sessions\.last_position) - 1\)", r"\1 - 0)"),),
    ),
    "failed turns in the window": Mutant(
        scenario="broken off and again",
        caught_by=("G8 history rules",),
        edits=(("recent AS", r"status IN \('completed', 'stopped'\)", "status <> 'running'"),),
    ),
    "prompt of the moment": Mutant(
        scenario="model cuts off", caught_by=("G9 replay",), patch=_prompt_of_the_moment
    ),
}
"""Every planted bug by its name."""
