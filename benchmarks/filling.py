"""Beside the rooms: sessions with a past, written straight into chatcore's tables.

May import: standard library, benchmarks.

Ids follow from a group's digit and a session's number, so that load generators can name them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.postgres import Postgres

_SKIP_FOREIGN_KEYS = "SET session_replication_role = replica"  # rows are made whole, at once
_SESSIONS = """
INSERT INTO chatcore.chat_sessions
    (owner_id, id, title, created_at, updated_at, last_turn, last_position)
SELECT '{owner}', {id}, 'made', moment, moment, {turns}, 2 * {turns}
FROM (SELECT n, now() - interval '1 day' + interval '1 second' * n AS moment
      FROM generate_series(1, {sessions}) AS n) AS made
"""
_TURNS = """
INSERT INTO chatcore.turns
    (owner_id, session_id, number, id, fingerprint, status, attempt, max_attempts, question_id,
     question_position, reply_id, model, finish_reason, prompt_tokens, completion_tokens,
     created_at, ended_at)
SELECT '{owner}', {id}, number, gen_random_uuid(), '\\x00'::bytea, 'completed', 1, 2,
    gen_random_uuid(), 2 * number - 1, gen_random_uuid(), 'fake-1', 'stop', 300, 100,
    now() - interval '1 day', now() - interval '1 day'
FROM generate_series(1, {sessions}) AS n, generate_series(1, {turns}) AS number
"""
_MESSAGES = """
INSERT INTO chatcore.messages
    (owner_id, session_id, position, id, turn_number, role, content, created_at)
SELECT owner_id, session_id, question_position + reply, CASE reply WHEN 0 THEN question_id
    ELSE reply_id END, number, CASE reply WHEN 0 THEN 'user' ELSE 'assistant' END,
    repeat('word ', 20), created_at
FROM chatcore.turns, (VALUES (0), (1)) AS part(reply)
WHERE owner_id = '{owner}' AND session_id::text LIKE '{digit}%'
"""
_ATTEMPTS = """
INSERT INTO chatcore.attempts
    (owner_id, turn_id, number, outcome, window_turns, template, stream, model, request_digest,
     prompt_tokens, completion_tokens, started_at, ended_at)
SELECT owner_id, id, 1, 'completed', ARRAY[]::integer[], '', false, model, repeat('0', 64),
    prompt_tokens, completion_tokens, created_at, ended_at
FROM chatcore.turns WHERE owner_id = '{owner}' AND session_id::text LIKE '{digit}%'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Sessions of one owner that are alike.

    Attributes:
        digit: What their ids begin with; no other group's.
        messages: In each, an even number.
    """

    owner: str
    digit: int
    sessions: int
    messages: int

    def id_of(self, number: int) -> str:
        """Return the id of a session, from 1."""
        return f"{self.digit}0000000-0000-4000-8000-{number:012d}"

    def write_ids(self, path: Path) -> Path:
        """Write the sessions into a file, one a line, and return it."""
        ids = [self.id_of(number) for number in range(1, self.sessions + 1)]
        path.write_text("\n".join(ids) + "\n", encoding="ascii")
        return path


def id_in_sql(digit: int, number: str) -> str:
    """Return the id of a session as SQL, for a number that is SQL."""
    return f"('{digit}0000000-0000-4000-8000-' || lpad(({number})::text, 12, '0'))::uuid"


def fill(postgres: Postgres, database: str, *groups: Group) -> None:
    """Write groups of sessions, and let the server look at what is there."""
    statements = [_SKIP_FOREIGN_KEYS]
    for group in groups:
        given = {
            "owner": group.owner,
            "digit": group.digit,
            "sessions": group.sessions,
            "turns": group.messages // 2,
            "id": id_in_sql(group.digit, "n"),
        }
        tables = (_SESSIONS, _TURNS, _MESSAGES, _ATTEMPTS)
        statements += [statement.format(**given) for statement in tables]
    postgres.execute(database, *statements, "VACUUM (ANALYZE)", "CHECKPOINT")
