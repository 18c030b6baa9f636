"""Judges a run: every promise is a clause, every clause takes time in proportion to the evidence.

May import: standard library, chatcore, tests.chaos.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chatcore import RequestTemplate
from tests.chaos.evidence import TELLING, TERMINAL, Evidence, StoredTurn, told_status
from tests.chaos.history import Record
from tests.chaos.rebuilding import is_whole, rebuild

_WORD = re.compile(r"(v\d+\.\d+)a(\d+)w\d+")
_NAME = re.compile(r"\[(v\d+)(\.\d+)")


@dataclass(frozen=True)
class Violation:
    """A promise that was not kept."""

    clause: str
    what: str

    def __str__(self) -> str:
        return f"{self.clause}: {self.what}"


Clause = Callable[[Evidence], Iterator[str]]
CLAUSES: dict[str, Clause] = {}
"""Each clause by its name, which begins with the guarantee it is about."""


def clause(name: str) -> Callable[[Clause], Clause]:
    """Register a clause."""

    def register(function: Clause) -> Clause:
        CLAUSES[name] = function
        return function

    return register


def check(evidence: Evidence) -> list[Violation]:
    """Return every violation of every clause."""
    return [
        Violation(name, what) for name, function in CLAUSES.items() for what in function(evidence)
    ]


@clause("G1 accepted is durable")
def accepted_is_durable(evidence: Evidence) -> Iterator[str]:
    """Whatever turn a client was told of is stored, with the question it sent."""
    for record in evidence.by_kind["accepted"]:
        if record["session"] in evidence.maybe_erased:
            continue
        turn = evidence.dump.turns.get(record["turn"])
        if turn is None:
            yield f"turn {record['turn']} was accepted and is not stored"
        elif turn.session != record["session"]:
            yield f"turn {turn.id} is in another session than was said"
        elif record["question"] is not None and turn.question != record["question"]:
            yield f"turn {turn.id} holds another question than was sent"


@clause("G1 told is stored")
def told_is_stored(evidence: Evidence) -> Iterator[str]:
    """Whatever end a client was told of is the stored one, text included, and never changes."""
    for record in (record for kind in TELLING for record in evidence.by_kind[kind]):
        told = told_status(record)
        turn = evidence.dump.turns.get(record["turn"])
        if told not in TERMINAL or turn is None or turn.session in evidence.maybe_erased:
            continue
        if turn.status != told:
            yield f"turn {turn.id} was told as {told} and is stored as {turn.status}"
        elif record.get("code") and turn.error_code != record["code"]:
            yield f"turn {turn.id} failed as {record['code']}, stored as {turn.error_code}"
        elif record["kind"] != "failed" and record.get("text") not in {None, turn.reply or ""}:
            yield f"turn {turn.id} was told with another text than is stored"
        if (message := record.get("message")) and turn.reply_id != message:
            yield f"turn {turn.id} was told with reply {message}, stored is {turn.reply_id}"


@clause("G1 an end is for good")
def an_end_is_for_good(evidence: Evidence) -> Iterator[str]:
    """Nobody finds a turn running that somebody had been told had ended."""
    ended = evidence.told_ends
    for record in (*evidence.by_kind["seen"], *evidence.by_kind["stopped"]):
        is_running = told_status(record) not in TERMINAL
        if is_running and record["t0"] > ended.get(record["turn"], float("inf")):
            yield f"turn {record['turn']} was {record['status']} after it had ended"


@clause("G1 pages are stored")
def pages_are_stored(evidence: Evidence) -> Iterator[str]:
    """Whatever message a client read is stored at that position."""
    for record in evidence.by_kind["page"]:
        if record["session"] in evidence.maybe_erased:
            continue
        stored = {
            position: (role, turn)
            for position, role, turn in evidence.dump.positions.get(record["session"], ())
        }
        for position, role, turn_id, content in record["items"]:
            turn = evidence.dump.turns.get(turn_id)
            if turn is None or stored.get(position) != (role, turn_id):
                yield f"message {position} of session {record['session']} is not stored as read"
            elif content != (turn.question if role == "user" else turn.reply):
                yield f"message {position} of session {record['session']} holds another text"


@clause("G2 one key, one turn")
def one_key_one_turn(evidence: Evidence) -> Iterator[str]:
    """A key names one turn and one question for ever."""
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    asked: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in evidence.by_kind["accepted"]:
        if record["key"]:
            place = (record["visitor"], record["key"])
            told[place].add(record["turn"])
            if record["question"]:
                asked[place].add(record["question"])
    for (visitor, key), turns in told.items():
        if len(turns) > 1:
            yield f"key {key} of {visitor} got {len(turns)} turns"
        if len(asked[visitor, key]) > 1:
            yield f"key {key} of {visitor} was accepted for different questions"
    stored: dict[tuple[str, str], int] = defaultdict(int)
    for turn in evidence.dump.turns.values():
        if turn.key:
            stored[turn.owner, turn.key] += 1
    for (_, key), count in stored.items():
        if count > 1:
            yield f"key {key} is stored with {count} turns"


@clause("G2 asked once")
def asked_once(evidence: Evidence) -> Iterator[str]:
    """No question is stored twice, unless it was asked again and the first one superseded."""
    for session, turns in evidence.turns_by_session.items():
        counting: set[str] = set()
        for turn in turns:
            if turn.superseded_by is None and turn.question in counting:
                yield f"session {session} holds {turn.question} twice"
            elif turn.superseded_by is None:
                counting.add(turn.question)


@clause("G3 one turn at a time")
def one_turn_at_a_time(evidence: Evidence) -> Iterator[str]:
    """Nobody wrote for a turn after the next one of its session had been admitted.

    Sound with frozen processes: a write counts from when it was begun, an admission from when its
    answer had come.
    """
    admitted: dict[tuple[str, int], float] = {}
    last_write: dict[str, float] = {}
    for line in evidence.diary:
        if line["do"] == "admit" and not line["repeated"]:
            place = (line["session"], line["number"])
            admitted[place] = min(line["at"], admitted.get(place, line["at"]))
    for turn_id, _, began, do in evidence.writes:
        # An end whose answer was lost is asked for again, also after others have seen it.
        is_again = turn_id in evidence.counted or began > evidence.told_ends.get(turn_id, began)
        if do != "finish" or not is_again:
            last_write[turn_id] = max(began, last_write.get(turn_id, 0.0))
    for turn in evidence.dump.turns.values():
        following = admitted.get((turn.session, turn.number + 1))
        if following is not None and last_write.get(turn.id, 0.0) > following:
            yield f"turn {turn.id} was written to while its successor ran"


@clause("G4 dense order")
def dense_order(evidence: Evidence) -> Iterator[str]:
    """Turns are numbered 1..n, messages stand at 1..m, a reply right after its question."""
    for session in evidence.dump.sessions.values():
        turns = evidence.turns_by_session.get(session.id, [])
        if [turn.number for turn in turns] != list(range(1, session.last_turn + 1)):
            yield f"session {session.id} has turns {[turn.number for turn in turns]}"
        expected: list[tuple[int, str, str]] = []
        for turn in turns:
            expected.append((len(expected) + 1, "user", turn.id))
            if turn.reply is not None or turn.reply_id is not None:
                expected.append((len(expected) + 1, "assistant", turn.id))
        found = sorted(evidence.dump.positions.get(session.id, ()))
        if found != expected:
            yield f"session {session.id} has messages {found}, expected {expected}"
        if turns and turns[-1].status != "running" and session.last_position != len(expected):
            yield f"session {session.id} counts {session.last_position} positions"


@clause("G5 stop is stop")
def stop_is_stop(evidence: Evidence) -> Iterator[str]:
    """A confirmed stop leaves no running turn, and the next question is admitted."""
    for record in evidence.by_kind["stopped"]:
        if record["status"] not in TERMINAL:
            yield f"turn {record['turn']} was stopped and is {record['status']}"
    for record in evidence.by_kind["refused"]:
        if record["code"] != "session_busy" or not record["after_stop"]:
            continue
        if record["turn"] == record["after_stop"]:
            yield f"turn {record['turn']} was stopped and is in the way"
        elif record["is_certain"]:
            yield f"after turn {record['after_stop']} was stopped, {record['turn']} was in the way"


@clause("G5 no text is lost")
def no_text_is_lost(evidence: Evidence) -> Iterator[str]:
    """What a heartbeat of the last attempt had stored is in the part that is kept."""
    kept: dict[tuple[str, int], int] = {}
    for line in evidence.diary:
        for turn_id, attempt, end in line.get("stored", ()):
            kept[turn_id, attempt] = max(end, kept.get((turn_id, attempt), 0))
    for turn in evidence.dump.turns.values():
        length = len(turn.reply or "")
        if turn.status != "running" and kept.get((turn.id, turn.attempt), 0) > length:
            yield f"turn {turn.id} keeps {length} characters of those that were stored"


@clause("G5 nobody stops by leaving")
def nobody_stops_by_leaving(evidence: Evidence) -> Iterator[str]:
    """A turn is stopped only if somebody asked for that, or for another in its place."""
    asked = {r["turn"] for r in (*evidence.by_kind["stopped"], *evidence.by_kind["stopping"])}
    superseding = {r["session"] for r in evidence.by_kind["superseding"]}
    for turn in evidence.dump.turns.values():
        if turn.status == "stopped" and turn.id not in asked and turn.session not in superseding:
            yield f"turn {turn.id} is stopped, and nobody asked for that"


@clause("G6 readers")
def readers_get_the_reply(evidence: Evidence) -> Iterator[str]:
    """What a reader got of an attempt is what the model sent, and in the end the stored reply."""
    for record in evidence.by_kind["refused"]:
        if record["op"] == "events" and record["status"] == 422:
            yield f"a reader of {record['turn']} came back to {record['after']} and was refused"
    for record in evidence.by_kind["read"]:
        if record["fault"]:
            yield f"a reader of {record['turn']} got {record['fault']}"
        yield from _runs_faults(evidence, record)
        turn = evidence.dump.turns.get(record["turn"])
        if turn is not None and record["terminal"] in {"done", "stopped", "error"}:
            yield from _end_faults(evidence, record, turn)


@clause("G7 one author")
def one_author(evidence: Evidence) -> Iterator[str]:
    """A stored reply is what one attempt, the last one, was sent: all of it if completed."""
    for turn in evidence.dump.turns.values():
        reply = turn.reply or ""
        if not reply:
            continue
        calls = evidence.calls_of.get((turn.id, turn.attempt), ())
        if turn.status == "completed":
            fits = any(is_whole(reply, call, turn) for call in calls)
        else:
            fits = any(call["sent"].startswith(reply) for call in calls)
        if not fits:
            yield f"turn {turn.id} ({turn.status}) holds what attempt {turn.attempt} was not sent"


@clause("G7 budget")
def budget(evidence: Evidence) -> Iterator[str]:
    """Every call is for an attempt on record, at most one call each, at most so many a turn."""
    held: dict[tuple[str, int], float] = {}
    for line in evidence.diary:
        if line["do"] in {"admit", "next_attempt", "take_over"} and not line.get("repeated"):
            place = (line["turn"], line["attempt"])
            held[place] = min(line["at"], held.get(place, line["at"]))
    for (turn_id, attempt), calls in evidence.calls_of.items():
        if not turn_id:
            yield f"{len(calls)} calls for no turn"
            continue
        if len(calls) > 1:
            yield f"attempt {attempt} of {turn_id} made {len(calls)} calls"
        if held.get((turn_id, attempt), float("inf")) > calls[0]["began"]:
            yield f"attempt {attempt} of {turn_id} called before it was on record"
        turn = evidence.dump.turns.get(turn_id)
        if turn is None:
            continue
        rows = [row.number for row in evidence.dump.attempts.get(turn_id, ())]
        if attempt not in rows:
            yield f"attempt {attempt} of {turn_id} called and is not on record"
        if attempt > turn.max_attempts:
            yield f"turn {turn_id} may ask {turn.max_attempts} times and asked {attempt}"
    for turn in evidence.dump.turns.values():
        rows = [row.number for row in evidence.dump.attempts.get(turn.id, ())]
        if rows != list(range(1, turn.attempt + 1)):
            yield f"turn {turn.id} is at attempt {turn.attempt} and has {rows} on record"


@clause("G7 fence")
def fence(evidence: Evidence) -> Iterator[str]:
    """Who has lost a turn to a later attempt, or to a stop, writes nothing more."""
    lost: dict[tuple[str, int], float] = {}
    stopped: dict[str, float] = {}
    for line in evidence.diary:
        if line["do"] in {"take_over", "next_attempt"}:
            place = (line["turn"], line["attempt"] - 1)
            lost[place] = min(line["at"], lost.get(place, line["at"]))
        elif line["do"] == "stop" and line["status"] == "stopped":
            stopped[line["turn"]] = min(line["at"], stopped.get(line["turn"], line["at"]))
    for turn_id, attempt, began, do in evidence.writes:
        if began > lost.get((turn_id, attempt), float("inf")):
            yield f"attempt {attempt} of {turn_id} made a {do} after it had lost the turn"
        # The answer to an end may be lost, and the end be asked for again: that changes nothing.
        elif do != "finish" and began > stopped.get(turn_id, float("inf")):
            yield f"attempt {attempt} of {turn_id} made a {do} after the turn was stopped"


@clause("G7 leases hold")
def leases_hold(evidence: Evidence) -> Iterator[str]:
    """Nobody takes a turn over whose lease had been renewed."""
    renewed: dict[tuple[str, int], float] = {}
    for turn_id, attempt, began, do in evidence.writes:
        if do == "beat":
            place = (turn_id, attempt)
            renewed[place] = max(began, renewed.get(place, 0.0))
    released = {
        (turn_id, attempt)
        for line in evidence.diary
        if line["do"] == "release"
        for turn_id, attempt, _ in line["stored"]
    }
    for line in evidence.diary:
        if line["do"] != "take_over":
            continue
        place = (line["turn"], line["attempt"] - 1)
        lease_end = renewed.get(place, 0.0) + evidence.lease_seconds
        if line["at"] < lease_end and place not in released:
            early = lease_end - line["at"]
            yield f"attempt {place[1]} of {place[0]} was taken over {early:.2f} s early"


@clause("G7 turns end")
def turns_end(evidence: Evidence) -> Iterator[str]:
    """Every turn ends in time, and nothing of the machinery is left."""
    yield from evidence.dump.leftovers
    began: dict[str, float] = {}
    for line in evidence.diary:
        if line["do"] == "admit" and not line["repeated"]:
            began.setdefault(line["turn"], line["began"])
        elif line["do"] in {"finish", "give_up"} and line["turn"] in began:
            took = line["at"] - began[line["turn"]]
            if took > evidence.longest_seconds:
                yield f"turn {line['turn']} took {took:.1f} s"


@clause("G8 history rules")
def history_rules(evidence: Evidence) -> Iterator[str]:
    """A window holds the latest turns that count, and no other."""
    for turns in evidence.turns_by_session.values():
        number_of = {turn.id: turn.number for turn in turns}
        counting: list[tuple[int, float]] = []
        for turn in turns:
            for row in evidence.dump.attempts.get(turn.id, ()):
                still = [number for number, until in counting if until > turn.number]
                expected = still[-evidence.window_turns :] if evidence.window_turns else []
                if list(row.window) != expected:
                    yield f"turn {turn.id} was asked with {row.window}, expected {expected}"
            if turn.reply is not None and turn.status in {"completed", "stopped"}:
                until = number_of.get(turn.superseded_by or "", float("inf"))
                counting.append((turn.number, until))

    for record in evidence.by_kind["replaced"]:
        old, new = (evidence.dump.turns.get(record[which]) for which in ("old", "turn"))
        if old and new and old.superseded_by is None:
            yield f"turn {old.id} was replaced by {new.id} and still counts"


@clause("G9 replay")
def replay(evidence: Evidence) -> Iterator[str]:
    """What the model was asked is what is rebuilt from the tables, and what was recorded."""
    templates = {
        digest: RequestTemplate.from_json(body) for digest, body in evidence.dump.templates.items()
    }
    for turns in evidence.turns_by_session.values():
        by_number = {turn.number: turn for turn in turns}
        for turn in turns:
            for row in evidence.dump.attempts.get(turn.id, ()):
                template = templates.get(row.template)
                if template is None:
                    yield f"attempt {row.number} of {turn.id} has no template"
                    continue
                rebuilt = rebuild(template, by_number, turn, row)
                if row.digest and row.digest != rebuilt:
                    yield f"attempt {row.number} of {turn.id} recorded another request"
                for call in evidence.calls_of.get((turn.id, row.number), ()):
                    if call["digest"] != rebuilt:
                        yield f"attempt {row.number} of {turn.id} sent another request"


@clause("G11 strangers see nothing")
def strangers_see_nothing(evidence: Evidence) -> Iterator[str]:
    """No text holds a word of somebody else's, and no session has two owners."""
    owner_of: dict[str, str] = {}
    for record in evidence.by_kind["accepted"]:
        session = evidence.dump.sessions.get(record["session"])
        if session and owner_of.setdefault(record["visitor"], session.owner) != session.owner:
            yield f"session {session.id} of {record['visitor']} belongs to somebody else"
    for turn in evidence.dump.turns.values():
        name = _NAME.search(turn.question)
        visitor = name[1] if name else ""
        if visitor in owner_of and owner_of[visitor] != turn.owner:
            yield f"turn {turn.id} holds a question of {visitor}, who is not its owner"
        mine = {found[0] for found in _WORD.findall(turn.reply or "")}
        if name and mine - {name[1] + name[2]}:
            yield f"turn {turn.id} holds words of {sorted(mine)}"
    for record in evidence.by_kind["leak"]:
        yield f"{record['visitor']} was shown {record['op']} of {record['session']}"
    for record in evidence.by_kind["read"]:
        names = {found[0] for run in record["runs"] for found in _WORD.findall(run[2])}
        if len(names) > 1:
            yield f"a reader of {record['turn']} got words of {sorted(names)}"


@clause("G12 erasing erases")
def erasing_erases(evidence: Evidence) -> Iterator[str]:
    """Of an erased session nothing is left."""
    for session in evidence.erased:
        if session in evidence.dump.sessions or session in evidence.turns_by_session:
            yield f"session {session} was erased and is stored"
        if evidence.dump.positions.get(session):
            yield f"session {session} was erased and has messages"


@clause("G14 no surprises")
def no_surprises(evidence: Evidence) -> Iterator[str]:
    """No answer that is not documented, and no replica that ended unasked."""
    for record in evidence.by_kind["broken"]:
        yield f"{record['op']} got {record['status']} {record['code']}"
    known = {record["session"] for record in evidence.by_kind["accepted"]}
    for record in evidence.by_kind["refused"]:
        turn = evidence.dump.turns.get(record["turn"] or "")
        is_elsewhere = turn is not None and turn.session != record["session"]
        is_known = record["session"] in known - evidence.maybe_erased
        if record["status"] == 404 and is_known and not is_elsewhere:
            yield f"{record['op']} of session {record['session']} got {record['code']}"
    yield from evidence.exits


def _runs_faults(evidence: Evidence, record: Record) -> Iterator[str]:
    for attempt, start, text in record["runs"]:
        if not text:
            continue
        sent = evidence.sent(record["turn"], attempt)
        if not any(one[start : start + len(text)] == text for one in sent):
            yield f"a reader of {record['turn']} got what attempt {attempt} was not sent"


def _end_faults(evidence: Evidence, record: Record, turn: StoredTurn) -> Iterator[str]:
    stored = turn.reply or ""
    is_lost = record["code"] == "turn_lost"
    if is_lost:
        if turn.session not in evidence.maybe_erased:
            yield f"a reader of {turn.id} was told that it is gone"
        return
    if record["position"] != f"{turn.attempt}.{len(stored)}.end":
        yield f"a reader of {turn.id} was told the end as {record['position']}"
    if not record["runs"]:
        if stored:
            yield f"a reader of {turn.id} got nothing of the reply"
        return
    attempt, start, text = record["runs"][-1]
    end = start + len(text)
    # Who reads along may be ahead of what a stop or a crash left of the reply.
    allowed = evidence.flush_chars if turn.status != "completed" else 0
    if attempt != turn.attempt:
        yield f"a reader of {turn.id} ended with attempt {attempt}, stored is {turn.attempt}"
    elif end < len(stored) or (allowed is not None and end > len(stored) + allowed):
        yield f"a reader of {turn.id} got {end} of {len(stored)} characters"
    elif not text.startswith(stored[start:end]):
        yield f"a reader of {turn.id} got another text than is stored"
