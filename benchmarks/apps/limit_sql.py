"""Beside the rooms: the least SQL that does a turn: one statement, one commit, before and after.

May import: standard library.
"""

from __future__ import annotations

SCHEMA = """
CREATE TABLE sessions (
    id uuid PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions,
    role text NOT NULL,
    content text NOT NULL,
    selected_text text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX messages_session ON messages (session_id, id);
"""
BEGIN_NEW = """
WITH s AS (INSERT INTO sessions (id) VALUES ($1))
INSERT INTO messages (session_id, role, content, selected_text) VALUES ($1, 'user', $2, $3)
"""
# The last SELECT sees the table as it was before the INSERTs.
BEGIN_OLD = """
WITH s AS (INSERT INTO sessions (id) VALUES ($1) ON CONFLICT DO NOTHING),
     m AS (INSERT INTO messages (session_id, role, content, selected_text)
           VALUES ($1, 'user', $2, $3))
SELECT role, content FROM messages WHERE session_id = $1 ORDER BY id DESC LIMIT $4
"""
END = """
INSERT INTO messages (session_id, role, content) VALUES ($1, 'assistant', $2) RETURNING created_at
"""
