"""Beside the rooms: the database's own limit: pgbench with the very SQL of the systems.

May import: standard library, adapters, benchmarks.

chatcore's statements are taken from its adapter, compiled as the service compiles them, so that
what is measured here cannot drift from what runs there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapters.postgres.admit_statements import CONTINUE_SESSION
from adapters.postgres.statement import Statement
from adapters.postgres.turn_statements import FINISH_WITH_REPLY
from benchmarks import machine
from benchmarks.apps import limit_sql
from benchmarks.errors import BenchmarkError
from benchmarks.filling import Group, fill, id_in_sql
from benchmarks.rig import Rig
from benchmarks.systems import CHATCORE, HISTORY_MESSAGES, LIMIT, QUESTION

CLIENTS = 32
_SESSIONS_EACH = 300
_DIGIT = 5
_REPLY = "the and you for can use one set " * 12
_SESSION = ":session_id"
# Each client has sessions of its own: a session has one running turn.
# The ids come from a statement of their own, so that the others get plain parameters, as from a
# driver, and are planned alike.
_HEAD = f"""\\set n random(0, {_SESSIONS_EACH - 1}) * {CLIENTS} + :client_id + 1
SELECT {id_in_sql(_DIGIT, ":n")} AS session_id, gen_random_uuid() AS turn_id,
    gen_random_uuid() AS question_id, gen_random_uuid() AS reply_id \\gset
"""
_NULL = "NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What pgbench found.

    Attributes:
        turns_per_s: With as many clients as the systems have.
        latency_ms: Mean.
        postgres_ms: CPU milliseconds of the server a turn.
    """

    turns_per_s: float
    latency_ms: float
    postgres_ms: float


def chatcore_script() -> str:
    """Return a turn of chatcore as pgbench runs it.

    Raises:
        BenchmarkError: A statement has a parameter that nothing is known of here.
    """
    admit, finish = (
        Statement(CONTINUE_SESSION, "chatcore"),
        Statement(FINISH_WITH_REPLY, "chatcore"),
    )
    admitted = _filled(admit, _ADMIT)
    finished = _filled(finish, _FINISH)
    return f"{_HEAD}{admitted} \\aset\n{finished};\n"


def limit_script() -> str:
    """Return a turn of the limit as pgbench runs it."""
    begun = substitute(
        limit_sql.BEGIN_OLD, [_SESSION, _quoted(QUESTION), "NULL::text", str(HISTORY_MESSAGES)]
    )
    ended = substitute(limit_sql.END, [_SESSION, _quoted(_REPLY)])
    return f"{_HEAD}{begun.strip()};\n{ended.strip()};\n"


def substitute(sql: str, values: Sequence[str]) -> str:
    """Return a statement with SQL in place of its parameters $1, $2 and so on."""
    return re.sub(r"\$(\d+)", lambda found: f"({values[int(found[1]) - 1]})", sql)


def measure_database(rig: Rig, *, rounds: int, seconds: float) -> dict[str, list[Rate]]:
    """Run both scripts in turn, and return what each found, round by round."""
    databases = {}
    for system, script in ((CHATCORE, chatcore_script()), (LIMIT, limit_script())):
        app = rig.start(system)
        rig.stop(app)
        path = rig.folder / f"{system.name}.sql"
        path.write_text(script, encoding="utf-8")
        databases[system.name] = (app.database, path)
    sessions = Group(owner="public", digit=_DIGIT, sessions=_SESSIONS_EACH * CLIENTS, messages=12)
    fill(rig.postgres, databases[CHATCORE.name][0], sessions)
    _fill_limit(rig, databases[LIMIT.name][0], sessions)
    found: dict[str, list[Rate]] = {name: [] for name in databases}
    for _ in range(rounds):
        for name, (database, path) in databases.items():
            before = machine.cpu_ms(rig.postgres.pid)
            said = rig.postgres.pgbench(database, path, clients=CLIENTS, seconds=seconds)
            found[name].append(_rate(said, machine.cpu_ms(rig.postgres.pid) - before))
    return found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_ADMIT: dict[str, str] = {
    "owner_id": "'public'",
    "session_id": _SESSION,
    "turn_id": ":turn_id",
    "question_id": ":question_id",
    "idempotency_key": _NULL,
    "fingerprint": "sha256('question')",
    "max_attempts": "2",
    "lease_seconds": "15.0",
    "deadline_seconds": "300.0",
    "now": "now()",
    "text": _quoted(QUESTION),
    "quote": _NULL,
    "window_turns": str(HISTORY_MESSAGES // 2),
    "template": "repeat('0', 64)",
    "stream": "false",
    "title": _quoted(QUESTION),
    "client_id": _NULL,
    "metadata": _NULL,
}
_FINISH: dict[str, str] = {
    "owner_id": "'public'",
    "session_id": _SESSION,
    "turn_id": ":turn_id",
    "number": ":last_turn",
    "attempt": "1",
    "reply_id": ":reply_id",
    "text": _quoted(_REPLY),
    "now": "now()",
    "status": "'completed'",
    "outcome": "'completed'",
    "model": "'fake-1'",
    "request_digest": "repeat('0', 64)",
    "finish_reason": "'stop'",
    "error_code": _NULL,
    "prompt_tokens": "300",
    "completion_tokens": "100",
}


def _filled(statement: Statement, values: Mapping[str, str]) -> str:
    try:
        in_order = statement.arguments(values)
    except KeyError as error:
        raise BenchmarkError(f"a statement has a parameter unknown here: {error}") from None
    return substitute(statement.sql, [str(value) for value in in_order])


def _fill_limit(rig: Rig, database: str, group: Group) -> None:
    rig.postgres.execute(
        database,
        f"INSERT INTO sessions (id) SELECT {id_in_sql(group.digit, 'n')} "
        f"FROM generate_series(1, {group.sessions}) AS n",
        "INSERT INTO messages (session_id, role, content) "
        "SELECT id, CASE n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, repeat('word ', 20) "
        f"FROM sessions, generate_series(1, {group.messages}) AS n",
        "VACUUM (ANALYZE)",
        "CHECKPOINT",
    )


def _rate(said: str, postgres_ms: float) -> Rate:
    numbers = [
        re.search(pattern, said)
        for pattern in (r"processed: (\d+)", r"tps = ([\d.]+)", r"latency average = ([\d.]+)")
    ]
    turns, per_s, latency = (float(found[1]) if found else 0.0 for found in numbers)
    if not turns:
        raise BenchmarkError(f"pgbench says nothing that is known here: {said}")
    return Rate(turns_per_s=per_s, latency_ms=latency, postgres_ms=postgres_ms / turns)
