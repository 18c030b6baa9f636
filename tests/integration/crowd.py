"""Rows enough for the server to plan its work as it would in earnest.

May import: standard library, asyncpg, chatcore.
"""

from __future__ import annotations

from uuid import UUID

import asyncpg

from chatcore import OwnerId, SessionId, TurnId, TurnRef

BIG = OwnerId("big")
"""An owner of a thousand sessions, the first of which has ten thousand turns and runs one."""
TURNS = 10_000
NAMES = 5000
"""How many names there are for the questions of the big session, each for two of them."""
OTHERS = ((2000, 2), (20_000, 1))
"""What the other owners are like: some with two turns each, or many with a single one."""

# One turn is the number n of session s of owner o; id, question and reply are made from these.
_FILL = f"""
CREATE TEMP TABLE planned AS
SELECT 'small-' || o AS owner_id, md5('s' || o)::uuid AS session_id, n,
       n = {{turns}} AND o <= 100 AS runs
  FROM generate_series(1, {{owners}}) AS o, generate_series(1, {{turns}}) AS n
UNION ALL SELECT '{BIG}', md5('big' || s)::uuid, n, s = 1 AND n = {TURNS}
  FROM generate_series(1, 1000) AS s, generate_series(1, {TURNS}) AS n WHERE s = 1 OR n = 1;
ALTER TABLE planned ADD id uuid;
UPDATE planned SET id = md5(session_id::text || n)::uuid;
INSERT INTO chat_sessions
SELECT owner_id, session_id, 'A title', now(), now() + random() * interval '1 day', max(n),
       2 * max(n)
  FROM planned GROUP BY owner_id, session_id;
INSERT INTO turns (owner_id, session_id, number, id, idempotency_key, fingerprint, status, attempt,
                   max_attempts, lease_expires_at, deadline, question_id, question_position,
                   reply_id, created_at, ended_at)
SELECT owner_id, session_id, n, id, 'key ' || id, '', CASE WHEN runs THEN 'running' ELSE
       'completed' END, 1, 2, CASE WHEN runs THEN now() + (random() - 0.5) * interval '1 hour' END,
       now() + interval '1 hour', id, 2 * n - 1, CASE WHEN NOT runs THEN id END, now(),
       CASE WHEN NOT runs THEN now() END
  FROM planned;
INSERT INTO messages (owner_id, session_id, position, id, turn_number, role, content, created_at,
                      client_id)
SELECT owner_id, session_id, 2 * n - 1, id, n, 'user', 'A question of some length.', now(),
       'question ' || n % {{names}}
  FROM planned
UNION ALL
SELECT owner_id, session_id, 2 * n, md5('r' || id)::uuid, n, 'assistant', 'A reply.', now(), NULL
  FROM planned WHERE NOT runs;
INSERT INTO message_feedback SELECT owner_id, md5('r' || id)::uuid, 'up', 'Clear.', now()
  FROM planned WHERE NOT runs;
INSERT INTO attempts (owner_id, turn_id, number, outcome, window_turns, template, stream,
                      started_at, ended_at)
SELECT owner_id, id, 1, CASE WHEN runs THEN 'pending' ELSE 'completed' END,
       ARRAY(SELECT generate_series(greatest(1, n - 5), n - 1)), '', false, now(),
       CASE WHEN NOT runs THEN now() END
  FROM planned;
INSERT INTO reply_journal
SELECT owner_id, id, 1, 10 * piece, repeat('x', 10)
  FROM planned, generate_series(0, 39) AS piece WHERE runs;
INSERT INTO request_templates SELECT md5('t' || n), '{{{{}}}}' FROM generate_series(1, 2000) AS n;
"""


async def fill(url: str, schema: str, *, others: tuple[int, int] = OTHERS[0]) -> TurnRef:
    """Fill a schema's empty tables; return the turn that runs in the big session.

    Args:
        url: Of the server.
        schema: Where the tables are.
        others: How many other owners there are, and how many turns each has.
    """
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    try:
        await connection.execute(_FILL.format(owners=others[0], turns=others[1], names=NAMES))
        await connection.execute("ANALYZE")
        row = await connection.fetchrow(
            "SELECT session_id, id FROM turns WHERE owner_id = $1 AND number = $2", BIG, TURNS
        )
    finally:
        await connection.close()
    return TurnRef(
        owner_id=BIG,
        session_id=SessionId(UUID(str(row["session_id"]))),
        turn_id=TurnId(UUID(str(row["id"]))),
        number=TURNS,
        attempt=1,
    )
