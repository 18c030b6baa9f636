"""All that a run left behind: what clients saw, what the model was asked, what is stored.

May import: standard library, asyncpg, msgspec, tests.chaos.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from tests.chaos.history import Record, open_kept, read_lines

TERMINAL = frozenset({"completed", "stopped", "failed"})
TELLING = ("answer", "failed", "read", "stopped", "seen")
"""Kinds of records that tell a turn's status."""

_SCHEMA = "chatcore"
_TABLES = "tables.json"
_HANGING = (
    "datname = current_database() AND pid <> pg_backend_pid()"
    " AND state LIKE 'idle in transaction%'"
    " AND state_change < clock_timestamp() - interval '1 second'"
)


@dataclass(kw_only=True)
class StoredTurn:
    """A turn as the tables hold it, with its two messages. Its times are left out:
    they inform, and replicas' clocks may be wrong.
    """

    id: str
    session: str
    owner: str
    number: int
    status: str
    attempt: int
    max_attempts: int
    question: str
    position: int
    reply: str | None = None
    reply_id: str | None = None
    question_id: str = ""
    quote: str | None = None
    key: str | None = None
    error_code: str | None = None
    finish_reason: str | None = None
    superseded_by: str | None = None


@dataclass(kw_only=True)
class StoredAttempt:
    """A call on record."""

    turn: str
    number: int
    outcome: str = "completed"
    window: tuple[int, ...] = ()
    template: str = ""
    stream: bool = True
    digest: str | None = None


@dataclass(kw_only=True)
class StoredSession:
    """A session's own row."""

    id: str
    owner: str
    last_turn: int
    last_position: int


@dataclass(kw_only=True)
class Dump:
    """Every table, read at the end.

    Attributes:
        positions: By session: position, role and turn of each message, in order.
        leftovers: What should not be there any more, in words.
    """

    turns: dict[str, StoredTurn] = field(default_factory=dict)
    attempts: dict[str, list[StoredAttempt]] = field(default_factory=dict)
    sessions: dict[str, StoredSession] = field(default_factory=dict)
    positions: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)


@dataclass
class Evidence:
    """What the checker looks at.

    Attributes:
        history: What clients saw.
        calls: What the model was asked, and what it sent.
        diary: What replicas wrote to the store.
        exits: Replicas that ended unasked.
        longest_seconds: How long a turn may last from its admission to its end.
        lease_seconds: How long a lease lasts.
        window_turns: How many earlier turns go along.
        flush_chars: How much more than the stored part a reader of a stopped turn may have got;
            None: not to be checked (the store was away at times).
    """

    history: list[Record]
    calls: list[Record]
    diary: list[Record]
    dump: Dump
    exits: list[str] = field(default_factory=list)
    longest_seconds: float = 60.0
    lease_seconds: float = 2.0
    window_turns: int = 5
    flush_chars: int | None = None

    @cached_property
    def calls_of(self) -> Mapping[tuple[str, int], list[Record]]:
        """Calls by turn and attempt."""
        found: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for call in self.calls:
            found[call["turn"], call["attempt"]].append(call)
        return found

    @cached_property
    def by_kind(self) -> Mapping[str, list[Record]]:
        """The history by kind of record."""
        found: dict[str, list[Record]] = defaultdict(list)
        for record in self.history:
            found[record["kind"]].append(record)
        return found

    @cached_property
    def erased(self) -> frozenset[str]:
        """Sessions whose erasing was confirmed."""
        return frozenset(record["session"] for record in self.by_kind["erased"])

    @cached_property
    def maybe_erased(self) -> frozenset[str]:
        """Sessions that somebody tried to erase."""
        tried = (r for r in (*self.by_kind["unknown"], *self.by_kind["refused"]))
        return self.erased | {r["session"] for r in tried if r.get("op") == "erase"}

    @cached_property
    def told_ends(self) -> Mapping[str, float]:
        """When somebody was first told that a turn had ended."""
        found: dict[str, float] = {}
        for record in (record for kind in TELLING for record in self.by_kind[kind]):
            if told_status(record) in TERMINAL:
                found[record["turn"]] = min(record["t1"], found.get(record["turn"], record["t1"]))
        return found

    @cached_property
    def counted(self) -> frozenset[str]:
        """Turns that had ended when the next one of their session was admitted.

        They are in its window, which is stored with it.
        """
        return frozenset(
            turn.id
            for turns in self.turns_by_session.values()
            for turn, following in pairwise(turns)
            for row in self.dump.attempts.get(following.id, ())[:1]
            if turn.number in row.window
        )

    @cached_property
    def turns_by_session(self) -> Mapping[str, list[StoredTurn]]:
        """Stored turns of each session, by number."""
        found: dict[str, list[StoredTurn]] = defaultdict(list)
        for turn in self.dump.turns.values():
            found[turn.session].append(turn)
        for turns in found.values():
            turns.sort(key=lambda turn: turn.number)
        return found

    @cached_property
    def writes(self) -> list[tuple[str, int, float, str]]:
        """Guarded writes that succeeded: turn, the attempt that wrote, when it was begun, which.

        A turn that is given away (`release`) is among them; a new attempt is a write of the old.
        """
        found = []
        for line in self.diary:
            do, began = line["do"], line.get("began", 0.0)
            if do in {"beat", "release"}:
                found += [(turn, attempt, began, do) for turn, attempt, _ in line["stored"]]
            elif do == "finish":
                found.append((line["turn"], line["attempt"], began, do))
            elif do == "next_attempt":
                found.append((line["turn"], line["attempt"] - 1, began, do))
        return found

    def sent(self, turn: str, attempt: int) -> list[str]:
        """Return what the model sent for an attempt: one text, or none if it was not asked."""
        return [call["sent"] for call in self.calls_of.get((turn, attempt), ())]


def told_status(record: Record) -> str:
    """Return the status a client was told; nothing for a stream that did not come to its end."""
    if record["kind"] == "failed":
        return "failed"
    if record["kind"] != "read":
        return str(record["status"])
    names = {"done": "completed", "stopped": "stopped"}
    if record["terminal"] == "error" and record["code"] != "turn_lost":
        return "failed"
    return names.get(record["terminal"] or "", "")


def gather(folder: Path, dump: Dump, **rest: Any) -> Evidence:
    """Return the evidence of a run that wrote into a folder, and keep the tables there as well."""
    kept = {"dump": dump, "rest": rest}
    (folder / _TABLES).write_bytes(msgspec.json.encode(kept))
    return _read(folder, dump, rest)


def gather_again(folder: Path) -> Evidence:
    """Return the evidence of a run that was judged before."""
    with open_kept(folder / _TABLES) as tables:
        kept = msgspec.json.decode(tables.read())
    return _read(folder, msgspec.convert(kept["dump"], Dump), kept["rest"])


def _read(folder: Path, dump: Dump, rest: dict[str, Any]) -> Evidence:
    return Evidence(
        history=list(read_lines(folder / "history.jsonl")),
        calls=list(read_lines(folder / "provider.jsonl")),
        diary=list(read_lines(folder / "replicas.jsonl")),
        dump=dump,
        **rest,
    )


async def take_dump(connection: Any) -> Dump:
    """Read every table."""
    dump = Dump()
    questions: dict[tuple[str, int], asyncpg.Record] = {}
    replies: dict[tuple[str, int], str] = {}
    rows = await _all(connection, "messages", "position")
    for row in rows:
        place = (str(row["session_id"]), row["turn_number"])
        if row["role"] == "user":
            questions[place] = row
        else:
            replies[place] = row["content"]
    for row in await _all(connection, "turns", "number"):
        place = (str(row["session_id"]), row["number"])
        turn = _turn(row, questions.get(place), replies.get(place))
        dump.turns[turn.id] = turn
    ids = {(turn.session, turn.number): turn.id for turn in dump.turns.values()}
    for row in rows:
        session = str(row["session_id"])
        said = (row["position"], row["role"], ids.get((session, row["turn_number"]), ""))
        dump.positions.setdefault(session, []).append(said)
    for row in await _all(connection, "attempts", "number"):
        dump.attempts.setdefault(str(row["turn_id"]), []).append(_attempt(row))
    for row in await _all(connection, "chat_sessions", "id"):
        session = str(row["id"])
        dump.sessions[session] = StoredSession(
            id=session,
            owner=row["owner_id"],
            last_turn=row["last_turn"],
            last_position=row["last_position"],
        )
    for row in await _all(connection, "request_templates", "digest"):
        dump.templates[row["digest"]] = row["body"]
    dump.leftovers = await _leftovers(connection)
    return dump


async def _all(connection: Any, table: str, order: str) -> Iterable[Any]:
    rows: Iterable[Any] = await connection.fetch(
        f"SELECT * FROM {_SCHEMA}.{table} ORDER BY {order}"
    )
    return rows


async def _leftovers(connection: Any) -> list[str]:
    found = []
    for what, query in (
        ("running turns", f"SELECT count(*) FROM {_SCHEMA}.turns WHERE status = 'running'"),
        ("journal rows", f"SELECT count(*) FROM {_SCHEMA}.reply_journal"),
        ("advisory locks", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
        (
            "transactions left open",
            f"SELECT count(*) FROM pg_stat_activity WHERE {_HANGING}",
        ),
    ):
        count = await connection.fetchval(query)
        if count:
            found.append(f"{count} {what}")
    return found


def _turn(row: Any, question: Any, reply: str | None) -> StoredTurn:
    return StoredTurn(
        id=str(row["id"]),
        session=str(row["session_id"]),
        owner=row["owner_id"],
        number=row["number"],
        status=row["status"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        question=question["content"] if question else "",
        quote=question["quote"] if question else None,
        question_id=str(row["question_id"]),
        position=row["question_position"],
        reply=reply,
        reply_id=str(row["reply_id"]) if row["reply_id"] else None,
        key=row["idempotency_key"],
        error_code=row["error_code"],
        finish_reason=row["finish_reason"],
        superseded_by=str(row["superseded_by"]) if row["superseded_by"] else None,
    )


def _attempt(row: Any) -> StoredAttempt:
    return StoredAttempt(
        turn=str(row["turn_id"]),
        number=row["number"],
        outcome=row["outcome"],
        window=tuple(row["window_turns"]),
        template=row["template"],
        stream=row["stream"],
        digest=row["request_digest"],
    )
