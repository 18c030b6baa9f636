"""Every statement of the adapter, and what the server does to run it.

May import: standard library, adapters, asyncpg, chatcore, sqlalchemy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import asyncpg
import sqlalchemy as sa

from adapters.postgres import (
    admit_statements,
    feedback_statements,
    journal_statements,
    page_statements,
    reading_statements,
    replace_statements,
    session_statements,
    stop_statements,
    turn_statements,
    values,
)
from adapters.postgres.statement import Statement
from chatcore import Beat, TurnRef
from chatcore.testing.builders import NOW, completed, failed, new_turn
from chatcore.testing.steps import place_in

MODULES: tuple[ModuleType, ...] = (
    admit_statements,
    feedback_statements,
    journal_statements,
    page_statements,
    reading_statements,
    replace_statements,
    session_statements,
    stop_statements,
    turn_statements,
)
STATEMENTS: dict[str, sa.ClauseElement] = {
    name: statement
    for module in MODULES
    for name, statement in vars(module).items()
    if re.fullmatch(r"[A-Z][A-Z_]*", name)
    and isinstance(statement, sa.Select | sa.Insert | sa.Update | sa.Delete)
}
WITHOUT_OWNER = {"SESSIONS_OF_TURN", "ABANDONED", "KEEP_TEMPLATE", "TEMPLATE_BY_DIGEST"}
"""For the operator, for the sweep, and about what belongs to nobody."""
GROWS = {"SESSIONS_OF_TURN", "ERASE", "SUPERSEDE"}
"""With what they are about: all turns, all of a session, all after a turn."""
MOST_ROWS = 200
"""What any other statement may look at."""
PAGE_ROWS = 20
"""What any of them may sort: the rows it returns, never rows to find them among."""
SORTS = {"ABANDONED"}
"""For the sweep: all that is abandoned just now, which no history makes more."""

_ADMITS = {"OPEN_SESSION", "CONTINUE_SESSION", "EARLIER_TURN"}
_AFTER_THE_END = {"CONTINUE_SESSION", "KEEP_PART"}

Node = dict[str, Any]


def prepared(name: str, ref: TurnRef, schema: str) -> tuple[str, list[object]]:
    """Return a statement about a running turn, with its arguments."""
    new = new_turn(
        ref.owner_id,
        None if name == "OPEN_SESSION" else ref.session_id,
        replaces=ref.number,
    )
    end = failed() if name == "FINISH_WITHOUT_REPLY" else completed()
    given = values.new_turn_values(new) | values.end_values(end)
    if name not in _ADMITS:
        given |= values.ref_values(ref)
    if not name.startswith("FINISH"):
        given |= {"error_code": "llm_timeout"}
    given |= values.place_values([place_in(ref)])
    given |= values.beat_values([Beat(ref, 10**6, "text", "digest")], 60.0)
    given |= {"numbers": [ref.number], "message_id": ref.turn_id, "body": "{}"}
    given |= {"limit": PAGE_ROWS, "place": 10_000, "updated_at": NOW, "after_id": ref.session_id}
    given |= {"question_position": 2 * ref.number - 1}
    given |= {"client_id": "question 7", "rating": "down", "comment": "Too long."}
    statement = Statement(STATEMENTS[name], schema)
    return statement.sql, statement.arguments(given)


async def plan_run(
    connection: asyncpg.Connection, name: str, ref: TurnRef, schema: str, *, planned_for: str
) -> Node:
    """Run a statement about a running turn, undo it, and return its plan with what it cost.

    Args:
        connection: To the server.
        name: Which statement.
        ref: About which turn.
        schema: In which schema.
        planned_for: `custom`: for these values. `generic`: for any, as after some executions.
    """
    sql, arguments = prepared(name, ref, schema)
    running = f"UPDATE {schema}.turns SET {{}} WHERE owner_id = $1 AND id = $2"
    given = ", ".join(map(_literal, arguments))
    undone = connection.transaction()
    await undone.start()
    try:
        change = "lease_expires_at = now() - interval '1 second'"
        if name in _AFTER_THE_END:
            change = "status = 'stopped', lease_expires_at = NULL, ended_at = now()"
        await connection.execute(running.format(change), ref.owner_id, ref.turn_id)
        await connection.execute(f"SET LOCAL plan_cache_mode = force_{planned_for}_plan")
        await connection.execute(f"PREPARE {name} AS {sql}")
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {name}"
        told = await connection.fetchval(f"{explain} ({given})" if given else explain)
    finally:
        await undone.rollback()
        await connection.execute("DEALLOCATE ALL")
    plan: Node = json.loads(told)[0]
    return plan


def nodes_run(plan: Node) -> list[Node]:
    """Return those nodes of a plan that did run."""
    return [node for node in _all_nodes(plan["Plan"]) if node["Actual Loops"]]


def rows_looked_at(node: Node) -> float:
    """Return how many rows of a table a node of a plan looked at."""
    if "Relation Name" not in node:
        return 0
    removed = sum(count for what, count in node.items() if what.startswith("Rows Removed"))
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def rows_sorted(node: Node) -> float:
    """Return how many rows a node of a plan takes in to sort them."""
    if "Sort" not in node["Node Type"]:
        return 0
    taken = [each for each in node["Plans"] if each["Parent Relationship"] == "Outer"]
    return float(sum(each["Actual Rows"] * each["Actual Loops"] for each in taken))


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    text = str(value)
    if isinstance(value, bytes):
        text = f"\\x{value.hex()}"
    elif isinstance(value, list):
        text = "{" + ",".join(f'"{each}"' for each in value) + "}"
    return "'" + text.replace("'", "''") + "'"


def _all_nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("Plans", []):
        yield from _all_nodes(child)
