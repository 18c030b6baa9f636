"""The judge is judged: good evidence passes, and each clause finds what it is there for.

May import: standard library, pytest, tests.chaos.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos import checker
from tests.chaos.evidence import Evidence
from tests.chaos.provider import tag
from tests.chaos.reading import Reading
from tests.chaos.samples import S1, S2, T1, T2, T3, T4, add, beat, good, record, said


def _lose_a_turn(evidence: Evidence) -> None:
    del evidence.dump.turns[T4]


def _change_a_question(evidence: Evidence) -> None:
    evidence.dump.turns[T4].question = tag("v2.1", words=4)


def _tell_another_text(evidence: Evidence) -> None:
    add(evidence, "answer", status="completed", text="other", message=f"reply of {T1}")


def _tell_before_commit(evidence: Evidence) -> None:
    add(evidence, "answer", status="completed", text=said("v1.3", 1, 2), turn=T3, message=None)


def _tell_another_reply(evidence: Evidence) -> None:
    add(evidence, "answer", status="completed", text=said("v1.1", 1), message="another")


def _run_again_after_the_end(evidence: Evidence) -> None:
    add(evidence, "seen", status="running")


def _change_a_page(evidence: Evidence) -> None:
    evidence.history[-1]["items"][1][3] = "other"


def _two_turns_for_a_key(evidence: Evidence) -> None:
    record(evidence, "accepted", T2)["key"] = f"key of {T1}"


def _two_questions_for_a_key(evidence: Evidence) -> None:
    evidence.history.append(
        record(evidence, "accepted", T1) | {"question": "[v1.9] something else"}
    )


def _same_key_stored_twice(evidence: Evidence) -> None:
    evidence.dump.turns[T2].key = f"key of {T1}"


def _a_question_twice(evidence: Evidence) -> None:
    evidence.dump.turns[T2].question = evidence.dump.turns[T1].question


def _two_turns_at_a_time(evidence: Evidence) -> None:
    evidence.diary.append(beat(25.0, T1))


def _an_end_after_the_successor_began(evidence: Evidence) -> None:
    _forget_the_end(evidence)
    evidence.dump.attempts[T2][0].window = ()


def _forget_the_end(evidence: Evidence) -> None:
    """Nobody was told of an end that is asked for once more after the successor began."""
    evidence.history.remove(record(evidence, "read", T1))
    evidence.diary.append({"do": "finish", "began": 25.0, "at": 26.0, "turn": T1, "attempt": 1})


def _a_gap_in_the_numbers(evidence: Evidence) -> None:
    evidence.dump.turns[T3].number = 4


def _a_gap_in_the_positions(evidence: Evidence) -> None:
    evidence.dump.positions[S1][5] = (7, "assistant", T3)


def _a_position_too_many(evidence: Evidence) -> None:
    evidence.dump.sessions[S1].last_position = 7


def _stopped_and_in_the_way(evidence: Evidence) -> None:
    add(evidence, "refused", status=409, code="session_busy", turn=T3, after_stop=T3)


def _another_in_the_way(evidence: Evidence) -> None:
    add(evidence, "refused", status=409, code="session_busy", turn=T2, after_stop=T3)


def _stop_that_did_not(evidence: Evidence) -> None:
    record(evidence, "stopped", T3)["status"] = "running"


def _text_that_was_stored_before(evidence: Evidence) -> None:
    evidence.diary.append(beat(30.3, T3, end=len(said("v1.3", 1, 2)) + 1))


def _a_cursor_refused(evidence: Evidence) -> None:
    add(evidence, "refused", op="events", status=422, code="invalid_request", after="1.2")


def _write_after_losing(evidence: Evidence) -> None:
    evidence.diary.append(beat(20.5, T2, attempt=1))


def _write_after_a_stop(evidence: Evidence) -> None:
    evidence.diary += [
        {"do": "stop", "began": 30.5, "at": 30.6, "turn": T3, "status": "stopped", "attempt": 1},
        beat(30.7, T3),
    ]


def _taken_over_too_early(evidence: Evidence) -> None:
    evidence.diary.append(beat(20.15, T2))
    next(line for line in evidence.diary if line["do"] == "next_attempt")["do"] = "take_over"


def _shown_to_a_stranger(evidence: Evidence) -> None:
    add(evidence, "leak", visitor="v2", op="turn")


def _stopped_by_leaving(evidence: Evidence) -> None:
    evidence.history = [r for r in evidence.history if r["kind"] not in {"stopping", "stopped"}]


def _read_what_was_not_sent(evidence: Evidence) -> None:
    record(evidence, "read", T1)["runs"][0][2] = said("v1.1", 1)[:-1] + "x"


def _read_a_gap(evidence: Evidence) -> None:
    record(evidence, "read", T1)["runs"][0][1] = 3


def _read_less_than_all(evidence: Evidence) -> None:
    record(evidence, "read", T1)["runs"][0][2] = said("v1.1", 1)[:-1]


def _end_at_another_place(evidence: Evidence) -> None:
    record(evidence, "read", T1)["position"] = "1.3.end"


def _end_with_another_attempt(evidence: Evidence) -> None:
    record(evidence, "read", T2)["runs"].pop()


def _read_far_beyond_the_stop(evidence: Evidence) -> None:
    evidence.flush_chars = 5
    record(evidence, "read", T3)["runs"] = [[1, 0, said("v1.3", 1, 3)]]


def _miscounted_offsets(evidence: Evidence) -> None:
    reading = Reading()
    reading.take(b'event: delta\nid: 1.5\ndata: {"text":"\xc3\xa9\xc3\xa9\xc3\xa9"}')
    record(evidence, "read", T1)["fault"] = reading.fault


def _no_restart(evidence: Evidence) -> None:
    reading = Reading()
    reading.take(b'event: delta\nid: 1.1\ndata: {"text":"a"}')
    reading.take(b'event: delta\nid: 2.1\ndata: {"text":"b"}')
    record(evidence, "read", T2)["fault"] = reading.fault


def _two_ends(evidence: Evidence) -> None:
    reading = Reading()
    reading.take(b"event: done\nid: 1.1.end\ndata: {}")
    reading.take(b"event: done\nid: 1.1.end\ndata: {}")
    record(evidence, "read", T1)["fault"] = reading.fault


def _a_spliced_reply(evidence: Evidence) -> None:
    turn = evidence.dump.turns[T2]
    turn.reply = said("v1.2", 1, 1) + said("v1.2", 2)[len(said("v1.2", 1, 1)) :]


def _the_wrong_attempts_reply(evidence: Evidence) -> None:
    evidence.dump.turns[T2].reply = said("v1.2", 1)


def _a_broken_off_reply_as_completed(evidence: Evidence) -> None:
    next(call for call in evidence.calls if call["turn"] == T1)["whole"] = False


def _a_hidden_call(evidence: Evidence) -> None:
    evidence.calls.append(dict(evidence.calls[0]))


def _a_call_for_nobody(evidence: Evidence) -> None:
    evidence.calls.append(evidence.calls[0] | {"turn": "", "attempt": 0})


def _a_call_not_on_record(evidence: Evidence) -> None:
    evidence.dump.attempts[T2].pop()


def _a_call_before_its_record(evidence: Evidence) -> None:
    evidence.calls[0]["began"] = 1.0


def _a_call_too_many(evidence: Evidence) -> None:
    evidence.dump.turns[T2].max_attempts = 1


def _left_running(evidence: Evidence) -> None:
    evidence.dump.leftovers.append("1 running turns")


def _an_endless_turn(evidence: Evidence) -> None:
    next(line for line in evidence.diary if line["do"] == "finish")["at"] = 500.0


def _a_window_with_a_gap(evidence: Evidence) -> None:
    evidence.dump.attempts[T3][0].window = (2,)


def _a_superseded_turn_in_a_window(evidence: Evidence) -> None:
    evidence.dump.turns[T1].superseded_by = T2


def _replaced_and_still_counting(evidence: Evidence) -> None:
    add(evidence, "replaced", turn=T2, old=T1)


def _another_request_recorded(evidence: Evidence) -> None:
    evidence.dump.attempts[T1][0].digest = "0" * 64


def _another_request_sent(evidence: Evidence) -> None:
    evidence.calls[0]["digest"] = "0" * 64


def _a_template_lost(evidence: Evidence) -> None:
    evidence.dump.templates.clear()


def _words_of_another(evidence: Evidence) -> None:
    evidence.dump.turns[T1].reply = said("v2.1", 1)


def _a_strangers_question(evidence: Evidence) -> None:
    evidence.dump.turns[T1].question = tag("v2.7", words=3)


def _a_strangers_session(evidence: Evidence) -> None:
    evidence.dump.sessions[S2].owner = f"owner of {S1}"
    record(evidence, "accepted", T4)["visitor"] = "v1"
    evidence.dump.sessions[S1].owner = "somebody"


def _erased_and_there(evidence: Evidence) -> None:
    add(evidence, "erased", session=S2)


def _an_undocumented_answer(evidence: Evidence) -> None:
    add(evidence, "broken", status=500, code="internal_error")


def _a_session_not_found(evidence: Evidence) -> None:
    add(evidence, "refused", status=404, code="session_not_found")


def _a_crash_of_its_own(evidence: Evidence) -> None:
    evidence.exits.append("r0.1: status 256 while up")


BAD: list[tuple[str, Callable[[Evidence], None]]] = [
    ("G1 accepted is durable", _lose_a_turn),
    ("G1 accepted is durable", _change_a_question),
    ("G1 told is stored", _tell_another_text),
    ("G1 told is stored", _tell_before_commit),
    ("G1 told is stored", _tell_another_reply),
    ("G1 an end is for good", _run_again_after_the_end),
    ("G1 pages are stored", _change_a_page),
    ("G2 one key, one turn", _two_turns_for_a_key),
    ("G2 one key, one turn", _two_questions_for_a_key),
    ("G2 one key, one turn", _same_key_stored_twice),
    ("G2 asked once", _a_question_twice),
    ("G3 one turn at a time", _two_turns_at_a_time),
    ("G3 one turn at a time", _an_end_after_the_successor_began),
    ("G4 dense order", _a_gap_in_the_numbers),
    ("G4 dense order", _a_gap_in_the_positions),
    ("G4 dense order", _a_position_too_many),
    ("G5 stop is stop", _stopped_and_in_the_way),
    ("G5 stop is stop", _another_in_the_way),
    ("G5 stop is stop", _stop_that_did_not),
    ("G5 no text is lost", _text_that_was_stored_before),
    ("G7 fence", _write_after_losing),
    ("G7 fence", _write_after_a_stop),
    ("G7 leases hold", _taken_over_too_early),
    ("G11 strangers see nothing", _shown_to_a_stranger),
    ("G5 nobody stops by leaving", _stopped_by_leaving),
    ("G6 readers", _read_what_was_not_sent),
    ("G6 readers", _read_a_gap),
    ("G6 readers", _read_less_than_all),
    ("G6 readers", _end_at_another_place),
    ("G6 readers", _end_with_another_attempt),
    ("G6 readers", _read_far_beyond_the_stop),
    ("G6 readers", _miscounted_offsets),
    ("G6 readers", _no_restart),
    ("G6 readers", _two_ends),
    ("G6 readers", _a_cursor_refused),
    ("G7 one author", _a_spliced_reply),
    ("G7 one author", _the_wrong_attempts_reply),
    ("G7 one author", _a_broken_off_reply_as_completed),
    ("G7 budget", _a_hidden_call),
    ("G7 budget", _a_call_for_nobody),
    ("G7 budget", _a_call_not_on_record),
    ("G7 budget", _a_call_before_its_record),
    ("G7 budget", _a_call_too_many),
    ("G7 turns end", _left_running),
    ("G7 turns end", _an_endless_turn),
    ("G8 history rules", _a_window_with_a_gap),
    ("G8 history rules", _a_superseded_turn_in_a_window),
    ("G8 history rules", _replaced_and_still_counting),
    ("G9 replay", _another_request_recorded),
    ("G9 replay", _another_request_sent),
    ("G9 replay", _a_template_lost),
    ("G11 strangers see nothing", _words_of_another),
    ("G11 strangers see nothing", _a_strangers_question),
    ("G11 strangers see nothing", _a_strangers_session),
    ("G12 erasing erases", _erased_and_there),
    ("G14 no surprises", _an_undocumented_answer),
    ("G14 no surprises", _a_session_not_found),
    ("G14 no surprises", _a_crash_of_its_own),
]


def test_good_evidence_passes() -> None:
    """Where nothing is wrong, nothing is found."""
    assert checker.check(good()) == []


@pytest.mark.parametrize(
    ("clause", "spoil"), BAD, ids=[f"{spoil.__name__[1:]}" for _, spoil in BAD]
)
def test_bad_evidence_is_found(clause: str, spoil: Callable[[Evidence], None]) -> None:
    """What is wrong is found by the clause that is about it."""
    evidence = good()
    spoil(evidence)
    assert clause in {violation.clause for violation in checker.check(evidence)}


def test_every_clause_is_judged() -> None:
    """No clause without evidence that it must refuse."""
    assert {clause for clause, _ in BAD} == set(checker.CLAUSES)


def test_frozen_processes_raise_no_false_alarm() -> None:
    """G3: a write that was begun before the successor's admission was answered may end later."""
    evidence = good()
    evidence.diary.append({"do": "finish", "began": 20.105, "at": 35.0, "turn": T1, "attempt": 1})
    assert checker.check(evidence) == []


def test_an_end_that_is_repeated_raises_no_false_alarm() -> None:
    """G3: a client, or the next window, has the end; its process asks for it once more."""
    told, counted = good(), good()
    told.diary.append({"do": "finish", "began": 25.0, "at": 26.0, "turn": T1, "attempt": 1})
    told.dump.attempts[T2][0].window = ()
    _forget_the_end(counted)
    assert "G3 one turn at a time" not in {found.clause for found in checker.check(told)}
    assert checker.check(counted) == []


def test_erased_sessions_are_not_missed() -> None:
    """G12: what was erased, or may have been, need not be there."""
    evidence = good()
    add(evidence, "erased", session=S2)
    del evidence.dump.turns[T4], evidence.dump.sessions[S2], evidence.dump.positions[S2]
    assert checker.check(evidence) == []
