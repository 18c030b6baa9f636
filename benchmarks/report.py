"""Beside the rooms: figures become Markdown, and Markdown gets its place in a document.

May import: standard library, benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from benchmarks.database import Rate
from benchmarks.errors import BenchmarkError
from benchmarks.growth import Step, times_the_smallest
from benchmarks.samples import Sample, Spread, Value, of, ratio
from benchmarks.systems import CHATCORE, LIMIT, PEER

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"

Column = tuple[str, Callable[[Sequence[Sample]], str]]


def put_into(document: str, report: str) -> str:
    """Return a document with the report between its two markers.

    Raises:
        BenchmarkError: It does not have each of them once, in order.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in after or END in after:
        raise BenchmarkError(f"the document needs {BEGIN} and then {END}, each once")
    return f"{before}{BEGIN}\n\n{report.strip()}\n\n{END}{after}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Return a figure with three digits that count, or a dash for what was not measured."""
    if value < 0:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}"


def spread(found: Spread) -> str:
    """Return a median with the least and the most."""
    return f"{number(found.median)} ({number(found.low)} to {number(found.high)})"


def race_section(title: str, samples: Sequence[Sample], profile: str, note: str = "") -> str:
    """Return what several systems did under one load, and what chatcore is of the others."""
    ran = {each.system: of(samples, each.system, profile) for each in samples}
    lines = [[name, *(show(runs) for _, show in _columns(runs))] for name, runs in ran.items()]
    head = ["system", *(name for name, _ in _columns(next(iter(ran.values()))))]
    return _section(title, note, table(head, lines), _comparison(samples, profile))


def latency_section(
    title: str, samples: Sequence[Sample], profile: str, latency_ms: float, note: str = ""
) -> str:
    """Return what systems add to the time that the model takes."""
    names = dict.fromkeys(each.system for each in samples)
    rows = []
    for name in names:
        runs = of(samples, name, profile)
        added: list[Value] = [
            lambda each: each.p50 - latency_ms,
            lambda each: each.p95 - latency_ms,
            lambda each: each.p99 - latency_ms,
        ]
        cells = [spread(Spread.of(map(value, runs))) for value in added]
        rows.append([name, *cells, _middle(runs, lambda each: each.app_ms), _others(runs)])
    head = ["system", "p50 ms", "p95 ms", "p99 ms", "app CPU ms a turn", "others' CPU"]
    return _section(title, note, table(head, rows))


def streams_section(
    title: str, held: Mapping[str, Spread], samples: Sequence[Sample], note: str = ""
) -> str:
    """Return how many slow streams each system holds, and who disturbed the search."""
    rows = []
    for name, found in held.items():
        counts = f"{found.median:.0f} ({found.low:.0f} to {found.high:.0f})"
        rows.append([name, counts, _others([each for each in samples if each.system == name])])
    return _section(title, note, table(["system", "streams", "others' CPU"], rows))


def memory_section(title: str, found: Mapping[str, Sequence[Spread]], note: str = "") -> str:
    """Return the memory at rest and what a stream adds."""
    rows = [[name, *map(spread, values)] for name, values in found.items()]
    head = ["system", "at rest, MiB", "each open stream, KiB"]
    return _section(title, note, table(head, rows))


def growth_section(
    title: str, samples: Sequence[Sample], steps: Sequence[Step], note: str = ""
) -> str:
    """Return what each size costs beside the smallest."""
    rows = []
    for step in steps:
        runs = of(samples, CHATCORE.name, step.name)
        latency, cpu = times_the_smallest(samples, step)
        cells = [_middle(runs, lambda each: each.p50), _middle(runs, _all_cpu)]
        is_first = step.name == step.smallest
        rows.append([step.name, *cells, *(["1", "1"] if is_first else map(spread, (latency, cpu)))])
    head = ["what", "p50 ms", "app + PostgreSQL CPU ms", "times the smallest: p50", "CPU"]
    return _section(title, note, table(head, rows))


def replicas_section(
    title: str, samples: Sequence[Sample], profiles: Sequence[str], note: str = ""
) -> str:
    """Return what several processes do on one database."""
    rows = []
    for name in profiles:
        runs = of(samples, CHATCORE.name, name)
        values: list[Value] = [
            lambda each: each.turns_per_s,
            lambda each: each.app_ms,
            lambda each: each.postgres_ms,
        ]
        cells = [spread(Spread.of(map(value, runs))) for value in values]
        rows.append([name, *cells, _others(runs)])
    head = ["chatcore", "turns/s", "app CPU ms a turn", "PostgreSQL CPU ms a turn", "others' CPU"]
    return _section(title, note, table(head, rows))


def database_section(title: str, found: Mapping[str, Sequence[Rate]], note: str = "") -> str:
    """Return what the database does when it has nothing else to do."""
    rows = [
        [
            f"the SQL of {name}",
            spread(Spread.of(rate.turns_per_s for rate in rates)),
            spread(Spread.of(rate.postgres_ms for rate in rates)),
            number(median(rate.latency_ms for rate in rates)),
        ]
        for name, rates in found.items()
    ]
    head = ["pgbench with", "turns/s", "PostgreSQL CPU ms a turn", "mean ms"]
    return _section(title, note, table(head, rows))


def disturbed(samples: Sequence[Sample]) -> str:
    """Return how many runs somebody else disturbed."""
    if not samples:
        return ""
    count = sum(each.is_disturbed for each in samples)
    return (
        f"{count} of {len(samples)} runs were disturbed: others used more than 0.3 cores meanwhile."
        " Throughput and latencies of such runs say little; CPU a turn says more."
        if count
        else f"None of the {len(samples)} runs was disturbed: others used at most 0.3 cores."
    )


def _columns(runs: Sequence[Sample]) -> list[Column]:
    def middle(value: Value) -> Callable[[Sequence[Sample]], str]:
        return lambda of_one: _middle(of_one, value)

    columns: list[Column] = [
        ("app CPU ms", lambda one: spread(Spread.of(each.app_ms for each in one))),
        ("PostgreSQL CPU ms", middle(lambda each: each.postgres_ms)),
        ("turns/s", middle(lambda each: each.turns_per_s)),
        ("p50 ms", middle(lambda each: each.p50)),
        ("p95 ms", middle(lambda each: each.p95)),
        ("p99 ms", middle(lambda each: each.p99)),
    ]
    if runs[0].tokens:
        columns += [
            ("first token p50", middle(lambda each: each.ttft_p50)),
            ("first token p99", middle(lambda each: each.ttft_p99)),
        ]
    return [*columns, ("RSS MiB", middle(lambda each: each.rss_mib)), ("others' CPU", _others)]


def _comparison(samples: Sequence[Sample], profile: str) -> str:
    ours, peer, limit = (of(samples, each.name, profile) for each in (CHATCORE, PEER, LIMIT))
    lines = []
    if ours and peer:
        found = ratio(peer, ours, lambda each: each.app_ms)
        lines.append(f"The peer needs **{spread(found)} times** the CPU of chatcore.")
    if ours and limit:
        found = ratio(ours, limit, lambda each: each.app_ms)
        lines.append(f"chatcore needs **{spread(found)} times** the CPU of the limit.")
    return " ".join(lines)


def _section(title: str, *parts: str) -> str:
    return "\n\n".join((f"### {title}", *filter(None, parts)))


def _middle(runs: Sequence[Sample], value: Value) -> str:
    return number(median(map(value, runs)))


def _all_cpu(sample: Sample) -> float:
    return sample.app_ms + sample.postgres_ms


def _others(runs: Sequence[Sample]) -> str:
    count = sum(each.is_disturbed for each in runs)
    note = f", {count} of {len(runs)} disturbed" if count else ""
    return f"{median(each.others_share for each in runs):.2f}{note}"
