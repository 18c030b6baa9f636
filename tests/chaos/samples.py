"""Evidence of a small run in which all went well, for spoiling it.

May import: standard library, chatcore, tests.chaos.
"""

from __future__ import annotations

from uuid import UUID

from chatcore import RequestTemplate
from tests.chaos import rebuilding
from tests.chaos.evidence import Dump, Evidence, StoredAttempt, StoredSession, StoredTurn
from tests.chaos.history import Record
from tests.chaos.provider import tag, word

TEMPLATE = RequestTemplate(system_prompt="Be brief.", max_tokens=9, history_max_chars=999)
S1, S2 = (str(UUID(int=number)) for number in (1, 2))
T1, T2, T3, T4 = (str(UUID(int=number)) for number in (11, 12, 13, 14))


def said(name: str, attempt: int, words: int = 3) -> str:
    """Return an answer of the model."""
    return "".join(word(name, str(attempt), index) for index in range(words))


def stored(turn_id: str, session: str, number: int, name: str, **rest: object) -> StoredTurn:
    """Return a completed turn whose first attempt answered."""
    values: dict[str, object] = {
        "status": "completed",
        "attempt": 1,
        "max_attempts": 2,
        "owner": f"owner of {session}",
        "position": 2 * number - 1,
        "question": tag(name, words=3),
        "reply": said(name, 1),
        "reply_id": f"reply of {turn_id}",
        "key": f"key of {turn_id}",
    }
    return StoredTurn(id=turn_id, session=session, number=number, **(values | rest))  # type: ignore[arg-type]


def good() -> Evidence:
    """Return the evidence of a small run in which all went well.

    Turns 1 and 2 in session 1 are completed by the first and by the second attempt, turn 3 is
    stopped half-way; turn 4 is another visitor's.
    """
    turns = [
        stored(T1, S1, 1, "v1.1"),
        stored(T2, S1, 2, "v1.2", attempt=2, reply=said("v1.2", 2)),
        stored(T3, S1, 3, "v1.3", status="stopped", reply=said("v1.3", 1, 2)),
        stored(T4, S2, 1, "v2.1"),
    ]
    dump = Dump(
        turns={turn.id: turn for turn in turns},
        attempts={
            turn.id: [
                StoredAttempt(
                    turn=turn.id,
                    number=number + 1,
                    window=tuple(range(1, turn.number)),
                    template=TEMPLATE.digest,
                )
                for number in range(turn.attempt)
            ]
            for turn in turns
        },
        sessions={
            S1: StoredSession(id=S1, owner=f"owner of {S1}", last_turn=3, last_position=6),
            S2: StoredSession(id=S2, owner=f"owner of {S2}", last_turn=1, last_position=2),
        },
        positions={
            session: [
                (turn.position + step, role, turn.id)
                for turn in turns
                if turn.session == session
                for step, role in enumerate(("user", "assistant"))
            ]
            for session in (S1, S2)
        },
        templates={TEMPLATE.digest: TEMPLATE.to_json()},
    )
    evidence = Evidence(history=[], calls=[], diary=[], dump=dump, flush_chars=100)
    for turn in turns:
        write_down(evidence, turn)
    evidence.history += [
        {"kind": "stopping", "t0": 30.5, "session": S1, "turn": T3},
        {
            "kind": "stopped",
            "t0": 30.5,
            "t1": 31,
            "session": S1,
            "turn": T3,
            "status": "stopped",
            "text": dump.turns[T3].reply,
        },
        {
            "kind": "page",
            "t0": 40,
            "t1": 41,
            "session": S1,
            "items": [[1, "user", T1, turns[0].question], [2, "assistant", T1, turns[0].reply]],
        },
    ]
    return evidence


def write_down(evidence: Evidence, turn: StoredTurn) -> None:
    """Add what clients, replicas and the model have seen of a turn."""
    rows = evidence.dump.attempts[turn.id]
    name = turn.question[1:].split(" ")[0]
    by_number = {t.number: t for t in evidence.dump.turns.values() if t.session == turn.session}
    created = 10.0 * turn.number
    for row in rows:
        row.digest = rebuilding.rebuild(TEMPLATE, by_number, turn, row)
        at = created + row.number / 10
        evidence.calls.append(
            {
                "turn": turn.id,
                "attempt": row.number,
                "digest": row.digest,
                "began": at + 0.02,
                "whole": row.number == turn.attempt,
                "sent": said(name, row.number),
                "name": name,
            }
        )
        do = "admit" if row.number == 1 else "next_attempt"
        evidence.diary.append(
            {
                "do": do,
                "began": at,
                "at": at + 0.01,
                "turn": turn.id,
                "session": turn.session,
                "attempt": row.number,
                "number": turn.number,
                "repeated": False,
            }
        )
    evidence.diary.append(
        {
            "do": "finish",
            "began": created + 1,
            "at": created + 1.1,
            "turn": turn.id,
            "attempt": turn.attempt,
        }
    )
    text = turn.reply or ""
    evidence.history += [
        {
            "kind": "accepted",
            "t0": created,
            "t1": created,
            "visitor": name.split(".")[0],
            "session": turn.session,
            "turn": turn.id,
            "key": turn.key,
            "question": turn.question,
        },
        {
            "kind": "read",
            "t0": created,
            "t1": created + 2,
            "session": turn.session,
            "turn": turn.id,
            "start": None,
            "fault": None,
            "code": None,
            "text": text,
            "terminal": "done" if turn.status == "completed" else turn.status,
            "position": f"{turn.attempt}.{len(text)}.end",
            "runs": [*([1, 0, said(name, 1)] for _ in rows[1:]), [turn.attempt, 0, text]],
        },
    ]


def record(evidence: Evidence, kind: str, turn: str) -> Record:
    """Return a record of the history."""
    found = (r for r in evidence.history if r["kind"] == kind and r["turn"] == turn)
    return next(found)


def add(evidence: Evidence, kind: str, **fields: object) -> None:
    """Add a record to the history."""
    base = {
        "t0": 50.0,
        "t1": 51.0,
        "session": S1,
        "turn": T1,
        "text": None,
        "code": "",
        "op": "ask",
        "status": 0,
        "after_stop": None,
        "is_certain": True,
        "key": None,
    }
    evidence.history.append({"kind": kind, **(base | fields)})


def beat(began: float, turn: str, attempt: int = 1, end: int = 5) -> Record:
    """Return a heartbeat that was answered at once."""
    return {"do": "beat", "began": began, "at": began + 0.01, "stored": [[turn, attempt, end]]}
