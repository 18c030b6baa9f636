"""The benchmarks' arithmetic, report and SQL: what can be checked without measuring anything.

May import: standard library, pytest, benchmarks.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace

import pytest

from benchmarks import machine, report
from benchmarks.database import chatcore_script, limit_script, substitute
from benchmarks.errors import BenchmarkError
from benchmarks.filling import Group
from benchmarks.growth import Step
from benchmarks.profiles import slow_streams
from benchmarks.races import is_held
from benchmarks.ratio import compare
from benchmarks.samples import Sample, Spread, Used, make_sample, of, ratio
from benchmarks.systems import ALL, CHATCORE, PEER, Door

LOAD = {
    "turns": 100,
    "errors": 0,
    "first_error": "",
    "wall_s": 2.0,
    "turns_per_s": 50.0,
    "p50": 10.0,
    "p95": 20.0,
    "p99": 30.0,
    "tokens": 0,
    "ttft_p50": -1.0,
    "ttft_p99": -1.0,
    "gap_p99": -1.0,
    "load_cpu_ms": 100.0,
}
USED = Used(app=400.0, postgres=200.0, provider=100.0, machine=1200.0)


def sample(system: str, round_: int, app_ms: float, **changes: object) -> Sample:
    """Return a run that took so much CPU a turn."""
    made = make_sample([LOAD], USED, system=system, profile="turn", round_=round_, rss_mib=64.0)
    return replace(made, app_ms=app_ms, **changes)  # type: ignore[arg-type]


def test_sample() -> None:
    """CPU is shared out over the turns, and what nobody of ours used was used by others."""
    made = make_sample([LOAD], USED, system="peer", profile="turn", round_=1, rss_mib=64.0)
    assert (made.app_ms, made.postgres_ms, made.load_ms) == (4.0, 2.0, 1.0)
    assert made.others_share == pytest.approx(400 / 2000)
    assert not made.is_disturbed
    assert replace(made, others_share=0.31).is_disturbed


def test_sample_of_several_loads() -> None:
    """Of loads that ran at once counts are added up, and of times the worst is taken."""
    other = LOAD | {"turns": 300, "turns_per_s": 150.0, "p99": 90.0, "errors": 2}
    other |= {"first_error": "status"}
    made = make_sample([LOAD, other], USED, system="x", profile="turn", round_=1, rss_mib=1.0)
    assert (made.turns, made.turns_per_s, made.p50, made.p99) == (400, 200.0, 10.0, 90.0)
    assert made.app_ms == 1.0
    with pytest.raises(BenchmarkError, match=r"x, turn: 2 errors in 400 turns; the first: status"):
        made.checked()


def test_nothing_answered_is_an_error() -> None:
    """A run without a turn proves nothing, also if nothing failed."""
    with pytest.raises(BenchmarkError, match="nothing was answered"):
        sample("peer", 1, 1.0, turns=0).checked()


def test_ratio_is_taken_round_by_round() -> None:
    """A slow moment that met both systems does not show in the ratio."""
    theirs = [sample(PEER.name, 1, 6.0), sample(PEER.name, 2, 12.0), sample(PEER.name, 3, 7.0)]
    ours = [sample(CHATCORE.name, 2, 2.0), sample(CHATCORE.name, 1, 1.0)]
    assert ratio(theirs, ours, lambda each: each.app_ms) == Spread(6.0, 6.0, 6.0)
    assert compare([*theirs, *ours], "turn") == Spread(6.0, 6.0, 6.0)
    with pytest.raises(BenchmarkError, match="no round in common"):
        ratio(theirs[2:], ours, lambda each: each.app_ms)


@pytest.mark.parametrize(
    ("gap_p99", "ttft_p99", "errors", "held"),
    [(99, 749, 0, True), (100, 749, 0, False), (99, 750, 0, False), (99, 749, 1, False)],
)
def test_streams_that_are_held(gap_p99: float, ttft_p99: float, errors: int, held: bool) -> None:
    """Gaps, first tokens and errors decide, each by itself."""
    made = sample("peer", 1, 1.0, gap_p99=gap_p99, ttft_p99=ttft_p99, errors=errors)
    assert is_held(made, slow_streams(10).latency_ms) is held


def test_race_section() -> None:
    """The table has a row for each system, and the sentence the ratios with their spread."""
    samples = [sample(PEER.name, n, 5.0 + n) for n in (1, 2, 3)]
    samples += [sample(CHATCORE.name, n, 1.0) for n in (1, 2, 3)]
    text = report.race_section("Turns", samples, "turn")
    assert text.startswith("### Turns\n\n| system | app CPU ms |")
    assert "| peer | 7.00 (6.00 to 8.00) | 2.00 | 50.0 | 10.0 | 20.0 | 30.0 | 64.0 | 0.20 |" in text
    assert "The peer needs **7.00 (6.00 to 8.00) times** the CPU of chatcore." in text
    assert "limit" not in text


def test_added_latency() -> None:
    """What the model takes is taken off."""
    samples = [sample(CHATCORE.name, 1, 0.5, p50=503.0, p95=510.0, p99=520.0)]
    text = report.latency_section("Chats", samples, "turn", 500.0)
    assert "| chatcore | 3.00 (3.00 to 3.00) | 10.0 (10.0 to 10.0) | 20.0 (20.0 to 20.0) |" in text


def test_growth_section() -> None:
    """Each size is compared with the smallest of its kind."""
    small = Step(name="turn, 10", options=(), smallest="turn, 10")
    large = Step(name="turn, 1,000", options=(), smallest="turn, 10")
    samples = [sample(CHATCORE.name, 1, 2.0, profile="turn, 10")]
    samples += [sample(CHATCORE.name, 1, 4.0, profile="turn, 1,000", p50=15.0)]
    text = report.growth_section("Much", samples, [small, large])
    assert "| turn, 10 | 10.0 | 4.00 | 1 | 1 |" in text
    large_row = "| turn, 1,000 | 15.0 | 6.00 | 1.50 (1.50 to 1.50) | 1.50 (1.50 to 1.50) |"
    assert large_row in text


def test_streams_section() -> None:
    """Streams are whole ones, and each system's own runs tell who disturbed it."""
    samples = [sample(PEER.name, 1, 1.0, others_share=0.5), sample(CHATCORE.name, 1, 1.0)]
    held = {PEER.name: Spread(90.4, 85, 96), CHATCORE.name: Spread(300, 300, 300)}
    text = report.streams_section("Streams", held, samples)
    assert "| peer | 90 (85 to 96) | 0.50, 1 of 1 disturbed |" in text
    assert "| chatcore | 300 (300 to 300) | 0.20 |" in text


def test_disturbed_runs_are_marked() -> None:
    """Whoever reads a report learns which runs others disturbed."""
    samples = [sample(PEER.name, 1, 5.0), sample(PEER.name, 2, 5.0, others_share=0.5)]
    assert report.disturbed(samples).startswith("1 of 2 runs were disturbed")
    assert report.disturbed(samples[:1]).startswith("None of the 1 runs")
    assert report.disturbed([]) == ""
    assert "0.35, 1 of 2 disturbed |" in report.race_section("Turns", samples, "turn")


def test_report_gets_its_place() -> None:
    """What stood between the markers is replaced, and nothing else is touched."""
    document = f"# Speed\n\n{report.BEGIN}\nold\n{report.END}\n\nAfter.\n"
    written = report.put_into(document, "new\n")
    assert written == f"# Speed\n\n{report.BEGIN}\n\nnew\n\n{report.END}\n\nAfter.\n"
    assert report.put_into(written, "new") == written


@pytest.mark.parametrize(
    "document",
    ["", report.BEGIN, report.END + report.BEGIN, 2 * f"{report.BEGIN}\n{report.END}\n"],
)
def test_document_without_place(document: str) -> None:
    """A document without a place for the report, or with two, is refused."""
    with pytest.raises(BenchmarkError, match="each once"):
        report.put_into(document, "new")


@pytest.mark.parametrize(
    ("value", "text"),
    [(-1, "-"), (0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234")],
)
def test_numbers(value: float, text: str) -> None:
    """Figures have three digits, and what was not measured has none."""
    assert report.number(value) == text


def test_database_scripts_are_complete() -> None:
    """Every parameter of the statements that chatcore runs today is filled in for pgbench."""
    for script in (chatcore_script(), limit_script()):
        assert re.findall(r"\$\d+", script) == []
        assert script.count(";\n") + script.count("\\aset") == 2
        assert script.count("\\gset") == 1
    assert chatcore_script().count("chatcore.turns") > 5


def test_substitution() -> None:
    """Parameters are replaced by number, also where there are more than nine."""
    values = [f"v{n}" for n in range(1, 12)]
    assert substitute("SELECT $1::int, $11, $1", values) == "SELECT (v1)::int, (v11), (v1)"


def test_doors() -> None:
    """Every system is asked the same; a session and the wish for a stream come on top."""
    assert len({system.whole.body() for system in ALL}) == 1
    door = Door(path="/chat", fields={"stream": True}, token="t", end="e")
    assert door.body("%S").endswith('"session_id":"%S","stream":true}')
    assert door.load_options[-4:] == ["-m", "t", "-e", "e"]


def test_sessions_are_named_alike() -> None:
    """Ids that load generators are given have the form of those in the tables."""
    group = Group(owner="o", digit=3, sessions=2, messages=10)
    assert group.id_of(12) == "30000000-0000-4000-8000-000000000012"


def test_cpu_of_this_process() -> None:
    """Work that this process does is seen, and belongs to it and to the machine."""
    mine, all_ = machine.cpu_ms(os.getpid()), machine.busy_ms()
    give_up_at = time.monotonic() + 60
    used = seen = 0.0
    # The kernel keeps the two accounts apart, and the machine's by sampling: it may lag behind.
    while min(used, seen) < 100 and time.monotonic() < give_up_at:
        sum(range(100_000))
        used, seen = machine.cpu_ms(os.getpid()) - mine, machine.busy_ms() - all_
    assert 100 <= used < 1000
    assert seen >= 100
    assert machine.parent_of(os.getpid()) == os.getppid()
    assert machine.rss_mib(os.getpid()) > 10


def test_runs_are_found_by_round() -> None:
    """Runs of one system and profile come in the order of their rounds."""
    samples = [sample("peer", 2, 1.0), sample("limit", 1, 1.0), sample("peer", 1, 3.0)]
    assert [each.round for each in of(samples, "peer", "turn")] == [1, 2]
    assert of(samples, "peer", "stream") == []
